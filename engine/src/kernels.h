// What the executor asks of a set of kernels, and what both agree on: maps in memory, prepared weights, epilogues.
//
// Maps are stored pixel by pixel, channels innermost. Work on channels goes in blocks of 16 lanes, whatever the processor. Loads may
// read past the last channel of a pixel (every buffer ends with 64 bytes of slack); stores never write past it, because a map
// may be a slice of a wider one. Arrays of constants are padded with zeros to whole blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

namespace onebit {

constexpr int lanes = 16;
constexpr int max_posts = 8;
constexpr int max_signs = 8;
constexpr int max_terms = 64;

constexpr int blocks(int channels) { return (channels + lanes - 1) / lanes; }
constexpr int words(int signs) { return (signs + 31) / 32; }
// Whether every group ends where a word does.
constexpr bool fill_words(int channels, int groups) { return groups == 1 || channels / groups % 32 == 0; }
// Words of a pixel where rows are merged, see BinaryConv.
constexpr int merged_words(int channels) { return channels / 32 + words(3 * (channels % 32)); }

// Memory that begins at a cache line.
template <class T>
struct LineAllocator {
    using value_type = T;
    LineAllocator() = default;
    template <class U>
    LineAllocator(const LineAllocator<U> &) {}
    T *allocate(size_t n) { return static_cast<T *>(::operator new(n * sizeof(T), std::align_val_t(64))); }
    void deallocate(T *p, size_t) { ::operator delete(p, std::align_val_t(64)); }
    bool operator==(const LineAllocator &) const { return true; }
    bool operator!=(const LineAllocator &) const { return false; }
};
template <class T>
using Weights = std::vector<T, LineAllocator<T>>;

// Channel c of pixel (y, x) is data[y * row + x * pixel + c]. A framed map has zeros around it, at negative y and x and beyond
// height and width, as far as the padding of the convolutions that read it.
template <class T>
struct Map {
    T *data = nullptr;
    int height = 0, width = 0, channels = 0;
    ptrdiff_t pixel = 0, row = 0;
};
using FloatMap = Map<float>;
using ByteMap = Map<uint8_t>;

// Signs: channel c of a group is bit c % 32 of word c / 32; every group starts at a word, unused bits are 0. Word w of pixel
// (y, x) is data[y * row + x * words + w]. Always framed with zero words as far as the padding of its readers.
struct BitMap {
    uint32_t *data = nullptr;
    int height = 0, width = 0, words = 0;
    ptrdiff_t row = 0;
};

// Element-wise work on a value on its way from registers to memory, in the order of the list.
enum class PostKind { add, multiply, affine, relu, prelu, clamp };
struct Post {
    PostKind kind = PostKind::add;
    FloatMap map;                  // add: the other summand
    const float *scale = nullptr;  // affine, prelu
    const float *bias = nullptr;   // affine
    float p0 = 0, p1 = 0;          // multiply: p0; clamp: from p0 to p1
};

// Signs of the finished value: bit = (v + shift >= 0), v first through fma(v, scale, bias) where scale is not null. The channels
// lie in one group, or in groups of whole words.
struct SignOutput {
    BitMap bits;
    const float *scale = nullptr, *bias = nullptr;
    float shift = 0;
};

struct Epilogue {
    int posts = 0, signs = 0;
    Post post[max_posts];
    SignOutput sign[max_signs];
    FloatMap out;  // data is null where nobody reads the floats
};

// The part of a step that one call does: rows [row_begin, row_end) of the result, blocks [block_begin, block_end) of its
// channels (counted group by group where there are groups: blocks(channels_out / groups) each).
struct Part {
    int row_begin, row_end, block_begin, block_end;
};

struct ConvShape {
    int channels_in = 0, channels_out = 0, groups = 1;
    int kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1, pad_h = 0, pad_w = 0, dilation_h = 1, dilation_w = 1;
};

// Blocks of all groups of the result.
constexpr int all_blocks(const ConvShape &shape) { return shape.groups * blocks(shape.channels_out / shape.groups); }

// ---- Binary convolution. Prepared once a model by prepare_binary (prepare.cpp), the same for all vector kernels.
struct BinaryConv {
    ConvShape shape;
    int bases = 1, terms = 1;
    // Merged rows: for 3 taps a row whose last word of channels is mostly empty, the leftover bits of the three taps stand together in
    // the words of the middle one. Its input then is the map that `merge` makes.
    bool merged = false;
    // For counters n, the sums -2 * n are even and fma(n, -2 * scale, bias) has the bits of fma(-2 * n, scale, bias): not so for a scale whose
    // double is infinite, nor for a bias of -0.
    bool doubled = false;
    bool arranged = false;  // weights stand in the order that the set's `arrange` gave them
    int words = 0;       // words per pixel of its input map, all groups
    int row_words = 0;   // words that one kernel row multiplies, of one group
    const uint8_t *file_bits = nullptr;  // the file's own tensor, as all file_... below: what the reference kernels read
    Weights<uint32_t> weights;   // [base][block of all groups][kernel row][word of the row][lane]
    std::vector<uint32_t> index;     // term -> base
    std::vector<float> shift;        // term -> shift of its input
    std::vector<float> scale;        // terms x (blocks of all groups x 16)
    std::vector<float> bias;         // blocks of all groups x 16
    std::vector<int32_t> positives;  // number of +1 of base, output, tap: what a padded tap would add
};

// Where the border cuts taps off: a class for every row and every column, and what the sums start from per row class and column class.
struct Border {
    int height = 0, width = 0;  // of the result
    std::vector<uint16_t> row_class, column_class;
    int column_classes = 0;
    // Of a binary convolution. start: per base, blocks of all groups x 16, what the counters of differing bits start from, so that a
    // finished counter n means the sum odd - 2 * n. odd: 0 or 1.
    std::vector<int32_t> start;
    std::vector<uint8_t> odd;
    std::vector<float> bias;  // of a convolution of pixels: blocks x 16
};

struct BinaryConvCall {
    const BinaryConv *conv = nullptr;
    const Border *border = nullptr;
    const BitMap *inputs[max_terms] = {};  // one per term
    FloatMap input_scale;                  // K, one channel; data null where there is none
    Epilogue epilogue;
};

// ---- Real convolutions. weights: [group][block][kernel row][kernel column][channel][lane]; bias padded like scale above.
struct FloatConv {
    ConvShape shape;
    Weights<float> weights;
    std::vector<float> bias;
    const float *file_weight = nullptr;
};
struct FloatConvCall {
    const FloatConv *conv = nullptr;
    FloatMap input;  // framed as far as its padding
    int height = 0, width = 0;
    Epilogue epilogue;
};

// Pixels times 8- or 16-bit weights in exact 32-bit sums.
struct PixelConv {
    ConvShape shape;
    int bits = 16;
    // [block][kernel row][run][pair][lane][2] or [..][quad][lane][4]: a run is what lies side by side in memory, all columns of the kernel
    // row, or one where they are dilated; zeros fill its last pair or quad. One of the two is empty.
    Weights<int16_t> weights16;
    Weights<int8_t> weights8;
    std::vector<float> scale, bias, offset;
    const void *file_weight = nullptr;
    const float *file_offset = nullptr;
};
struct PixelConvCall {
    const PixelConv *conv = nullptr;
    ByteMap input;  // without gaps between pixels; framed as far as its padding, one row more below and 64 bytes more
    const Border *border = nullptr;
    Epilogue epilogue;
};

// 1x1 convolution of values rounded to 12 bits by the map's own greatest magnitude.
struct Pointwise {
    int channels_in = 0, channels_out = 0;
    Weights<int16_t> weights;  // [block][pair of channels][lane][2]
    std::vector<float> scale, bias;
    const int16_t *file_weight = nullptr;
};
struct PointwiseCall {
    const Pointwise *conv = nullptr;
    Map<int16_t> input;  // what `quantize` made: channels rounded up to an even number, zeros beyond
    float step = 0;      // greatest magnitude / 2047
    Epilogue epilogue;
};

struct PoolCall {
    FloatMap input;
    int height = 0, width = 0;  // of the result
    int kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1, pad_h = 0, pad_w = 0;
    bool count_padding = false;
    Epilogue epilogue;
};

struct ElementwiseCall {
    FloatMap input;
    Epilogue epilogue;
};

// One set of kernels for one kind of processor. All sets give the same bits.
struct Kernels {
    const char *name;
    void (*binary_conv)(const BinaryConvCall &, Part);
    void (*conv)(const FloatConvCall &, Part);
    void (*pixel_conv)(const PixelConvCall &, Part);
    float (*greatest_magnitude)(const FloatMap &, int row_begin, int row_end);
    void (*quantize)(const FloatMap &, float factor, const Map<int16_t> &, int row_begin, int row_end);
    void (*pointwise)(const PointwiseCall &, Part);
    void (*max_pool)(const PoolCall &, Part);
    void (*average_pool)(const PoolCall &, Part);
    void (*mean_pool)(const PoolCall &, Part);       // kernel = the whole map
    void (*elementwise)(const ElementwiseCall &, Part);
    void (*mean_abs)(const FloatMap &in, const FloatMap &out, int row_begin, int row_end);
    // The map of a merged convolution from the plain one: main words of every pixel, then the leftover bits of its left neighbour,
    // its own and its right neighbour's, `leftover` bits each without gaps.
    void (*merge)(const BitMap &plain, int leftover, const BitMap &merged, int row_begin, int row_end);
    // Where not null, called once after preparation: puts weights into an order of the set's own, in place.
    void (*arrange)(BinaryConv *);
    void (*arrange_pixels)(PixelConv *);
};

// The set of that name, or null where this build or this processor lacks it; the names of all that are there, best first, then null.
const Kernels *find_kernels(const char *name);
const char *const *kernel_names();

// ---- prepare.cpp: from the file's tensors to what kernels read. bits: the stream of docs/file-format.md. The tensors outlive what is
// prepared from them.
void prepare_binary(const uint8_t *bits, const uint32_t *index, const float *shift, const float *scale, const float *bias,
                    BinaryConv *conv /* shape, bases, terms set */);
Border make_border(const BinaryConv &conv, int in_height, int in_width);
Border make_border(const PixelConv &conv, int in_height, int in_width);
void prepare_float(const float *weight, const float *bias, FloatConv *conv /* shape set */);
void prepare_pixels(const void *weight, const float *scale, const float *bias, const float *offset,
                    PixelConv *conv /* shape, bits set */);
void widen_weights(PixelConv *conv);  // from quads to pairs, for processors that multiply only these
void prepare_pointwise(const int16_t *weight, const float *scale, const float *bias, Pointwise *conv /* channels set */);

}  // namespace onebit
