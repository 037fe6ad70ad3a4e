// From the file's tensors to what the vector kernels read: weights by blocks of 16 output channels, constants padded to whole blocks,
// and where the border cuts kernels off. kernels.h states every layout.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels.h"

namespace onebit {
namespace {

// Where output channels stand in arrays that are padded group by group.
struct Outputs {
    int channels, group_channels, padded;

    explicit Outputs(const ConvShape &shape)
        : channels(shape.channels_out), group_channels(shape.channels_out / shape.groups), padded(all_blocks(shape) * lanes) {}
    int place(int channel) const { return channel / group_channels * blocks(group_channels) * lanes + channel % group_channels; }

    void pad(const float *from, std::vector<float> *to) const {
        const size_t start = to->size();
        to->resize(start + padded);
        for (int o = 0; o < channels; ++o) (*to)[start + place(o)] = from[o];
    }
};

// The stream of bits of docs/file-format.md.
struct BitStream {
    const uint8_t *bytes;
    size_t size;  // in bytes

    // Bits [position, position + count), at most 32.
    uint32_t at(size_t position, int count) const {
        uint64_t value = 0;
        const size_t first = position / 8;
        if (first + sizeof value <= size) std::memcpy(&value, bytes + first, sizeof value);
        else for (size_t i = 0; first + i < size; ++i) value |= uint64_t(bytes[first + i]) << 8 * i;
        return uint32_t(value >> position % 8 & ((uint64_t(1) << count) - 1));
    }
};

int popcount(uint32_t v) {
    v = v - (v >> 1 & 0x55555555u);
    v = (v & 0x33333333u) + (v >> 2 & 0x33333333u);
    return int(((v + (v >> 4)) & 0x0f0f0f0fu) * 0x01010101u >> 24);
}

// Merged rows pay where they save at least a word of a row that is short.
bool is_merged(const ConvShape &shape) {
    const int leftover = shape.channels_in % 32;
    return shape.groups == 1 && shape.kernel_w == 3 && shape.dilation_w == 1 && shape.pad_w <= 1 && leftover > 0 &&
           words(3 * leftover) < 3 && shape.channels_in < 512;
}

// Bit of channel c, the first of a word, of kernel column s within a row of the kernel, in the order of the input map's words.
int bit_in_row(const BinaryConv &conv, int s, int c) {
    const int channels = conv.shape.channels_in / conv.shape.groups;
    if (!conv.merged) return s * words(channels) * 32 + c;
    const int leftover = channels % 32, whole = channels - leftover;
    if (c >= whole) return 2 * whole + s * leftover + c - whole;
    return s * whole + (s == 2 ? words(3 * leftover) * 32 : 0) + c;
}

// Kernel taps [begin, end) that lie inside the map; equal ranges make a class.
struct Taps {
    int begin, end;
};

std::vector<Taps> classify(int size, int in_size, int kernel, int stride, int pad, int dilation, std::vector<uint16_t> *classes) {
    std::vector<Taps> distinct;
    classes->resize(size);
    for (int i = 0; i < size; ++i) {
        const int start = i * stride - pad;
        Taps taps{0, kernel};
        while (taps.begin < kernel && start + taps.begin * dilation < 0) ++taps.begin;
        while (taps.end > taps.begin && start + (taps.end - 1) * dilation >= in_size) --taps.end;
        const auto same = [&](const Taps &other) { return taps.begin == other.begin && taps.end == other.end; };
        const auto found = std::find_if(distinct.begin(), distinct.end(), same);
        (*classes)[i] = uint16_t(found - distinct.begin());
        if (found == distinct.end()) distinct.push_back(taps);
    }
    return distinct;
}

int result_size(int size, int kernel, int stride, int pad, int dilation) {
    return (size + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
}

// A border without what sums start from, and the taps inside of all its classes.
struct Classes {
    Border border;
    std::vector<Taps> rows, columns;

    Classes(const ConvShape &s, int in_height, int in_width) {
        border.height = result_size(in_height, s.kernel_h, s.stride_h, s.pad_h, s.dilation_h);
        border.width = result_size(in_width, s.kernel_w, s.stride_w, s.pad_w, s.dilation_w);
        rows = classify(border.height, in_height, s.kernel_h, s.stride_h, s.pad_h, s.dilation_h, &border.row_class);
        columns = classify(border.width, in_width, s.kernel_w, s.stride_w, s.pad_w, s.dilation_w, &border.column_class);
        border.column_classes = int(columns.size());
    }
    size_t count() const { return rows.size() * columns.size(); }
};

// Weights of `bytes` small integers to a lane: [block][row][run][word][lane][bytes], zeros in the last word of a run.
template <class Weight>
Weights<Weight> in_words(const Weight *weight, const ConvShape &shape, int per_word) {
    const int columns = shape.dilation_w == 1 ? shape.kernel_w : 1, runs = shape.kernel_w / columns, run = columns * shape.channels_in;
    const int run_words = (run + per_word - 1) / per_word, rows = shape.kernel_h * runs;
    Weights<Weight> result(size_t(blocks(shape.channels_out)) * rows * run_words * lanes * per_word);
    for (int o = 0; o < shape.channels_out; ++o)
        for (int r = 0; r < rows; ++r)
            for (int k = 0; k < run; ++k)
                result[(((size_t(o / lanes) * rows + r) * run_words + k / per_word) * lanes + o % lanes) * per_word + k % per_word] =
                    weight[(size_t(o) * rows + r) * run + k];
    return result;
}

}  // namespace

void prepare_binary(const uint8_t *bits, const uint32_t *index, const float *shift, const float *scale, const float *bias,
                    BinaryConv *conv) {
    const ConvShape &shape = conv->shape;
    const Outputs outputs(shape);
    const int channels = shape.channels_in / shape.groups, taps = shape.kernel_h * shape.kernel_w;
    conv->file_bits = bits;
    conv->merged = is_merged(shape);
    conv->words = conv->merged ? merged_words(channels) : words(channels) * shape.groups;
    conv->row_words = conv->merged ? 2 * (channels / 32) + merged_words(channels) : words(channels) * shape.kernel_w;
    conv->index.assign(index, index + conv->terms);
    conv->shift.assign(shift, shift + conv->terms);
    conv->scale.clear();
    conv->bias.clear();
    for (int t = 0; t < conv->terms; ++t) outputs.pad(scale + size_t(t) * shape.channels_out, &conv->scale);
    outputs.pad(bias, &conv->bias);
    conv->doubled = channels % 2 == 0 && std::all_of(conv->scale.begin(), conv->scale.end(), [](float v) { return std::isfinite(2 * v); }) &&
                    std::none_of(conv->bias.begin(), conv->bias.end(), [](float v) { return v == 0 && std::signbit(v); });

    conv->weights.assign(size_t(conv->bases) * outputs.padded * shape.kernel_h * conv->row_words, 0);
    conv->positives.assign(size_t(conv->bases) * shape.channels_out * taps, 0);
    const size_t output_bits = size_t(taps) * channels, all_outputs = size_t(conv->bases) * shape.channels_out;
    const BitStream stream{bits, (all_outputs * output_bits + 7) / 8};
    for (size_t o = 0; o < all_outputs;) {
        const int base = int(o / shape.channels_out), output = int(o % shape.channels_out), place = outputs.place(output);
        const int count = std::min(lanes, outputs.group_channels - output % outputs.group_channels);
        uint32_t *row = &conv->weights[(size_t(base) * outputs.padded + place) * shape.kernel_h * conv->row_words];
        int32_t *positives = &conv->positives[o * taps];
        for (int tap = 0; tap < taps; ++tap) {
            for (int c = 0; c < channels; c += 32) {
                const int bit = bit_in_row(*conv, tap % shape.kernel_w, c), size = std::min(32, channels - c);
                uint32_t *words = row + bit / 32 * lanes;
                for (int lane = 0; lane < count; ++lane) {
                    const uint32_t word = stream.at((o + lane) * output_bits + size_t(tap) * channels + c, size);
                    const uint64_t shifted = uint64_t(word) << bit % 32;
                    words[lane] |= uint32_t(shifted);
                    if (shifted >> 32) words[lanes + lane] |= uint32_t(shifted >> 32);
                    positives[lane * taps + tap] += popcount(word);
                }
            }
            if (tap % shape.kernel_w == shape.kernel_w - 1) row += conv->row_words * lanes;
        }
        o += count;
    }
}

// A padded tap meets zero words, which differ from the weights in `positives` bits. Of n channels in all taps inside, the sum is
// n + 2 * (positives of the padded taps) - 2 * (all differing bits).
Border make_border(const BinaryConv &conv, int in_height, int in_width) {
    const ConvShape &shape = conv.shape;
    const Outputs outputs(shape);
    const int channels = shape.channels_in / shape.groups, taps = shape.kernel_h * shape.kernel_w;
    Classes classes(shape, in_height, in_width);
    Border &border = classes.border;
    border.start.assign(classes.count() * conv.bases * outputs.padded, 0);
    int32_t *start = border.start.data();
    for (const Taps &row : classes.rows)
        for (const Taps &column : classes.columns) {
            const int inside = channels * (row.end - row.begin) * (column.end - column.begin);
            border.odd.push_back(uint8_t(inside % 2));
            for (int m = 0; m < conv.bases; ++m, start += outputs.padded)
                for (int o = 0; o < shape.channels_out; ++o) {
                    const int32_t *positives = &conv.positives[(size_t(m) * shape.channels_out + o) * taps];
                    int padded = 0;
                    for (int tap = 0; tap < taps; ++tap) {
                        const int r = tap / shape.kernel_w, s = tap % shape.kernel_w;
                        if (r < row.begin || r >= row.end || s < column.begin || s >= column.end) padded += positives[tap];
                    }
                    start[outputs.place(o)] = -(inside / 2 + padded);
                }
        }
    return std::move(border);
}

void prepare_float(const float *weight, const float *bias, FloatConv *conv) {
    const ConvShape &shape = conv->shape;
    const Outputs outputs(shape);
    const size_t taps = size_t(shape.kernel_h) * shape.kernel_w * (shape.channels_in / shape.groups);
    conv->file_weight = weight;
    conv->bias.clear();
    outputs.pad(bias, &conv->bias);
    conv->weights.assign(outputs.padded * taps, 0);
    for (int o = 0; o < shape.channels_out;) {
        const int place = outputs.place(o), count = std::min(lanes, outputs.group_channels - o % outputs.group_channels);
        float *to = &conv->weights[place * taps];
        for (size_t k = 0; k < taps; ++k, to += lanes)
            for (int lane = 0; lane < count; ++lane) to[lane] = weight[(o + lane) * taps + k];
        o += count;
    }
}

void prepare_pixels(const void *weight, const float *scale, const float *bias, const float *offset, PixelConv *conv) {
    const ConvShape &shape = conv->shape;
    const Outputs outputs(shape);
    conv->file_weight = weight;
    conv->file_offset = offset;
    if (conv->bits == 8) conv->weights8 = in_words(static_cast<const int8_t *>(weight), shape, 4);
    else conv->weights16 = in_words(static_cast<const int16_t *>(weight), shape, 2);
    conv->scale.clear();
    conv->bias.clear();
    outputs.pad(scale, &conv->scale);
    outputs.pad(bias, &conv->bias);
    conv->offset.assign(offset, offset + size_t(shape.channels_out) * shape.kernel_h * shape.kernel_w);
}

void widen_weights(PixelConv *conv) {
    if (conv->bits != 8) return;
    const size_t count = size_t(conv->shape.channels_out) * conv->shape.kernel_h * conv->shape.kernel_w * conv->shape.channels_in;
    const int8_t *weight = static_cast<const int8_t *>(conv->file_weight);
    conv->weights16 = in_words(std::vector<int16_t>(weight, weight + count).data(), conv->shape, 2);
    conv->weights8.clear();
    conv->weights8.shrink_to_fit();
}

Border make_border(const PixelConv &conv, int in_height, int in_width) {
    const ConvShape &shape = conv.shape;
    const Outputs outputs(shape);
    Classes classes(shape, in_height, in_width);
    Border &border = classes.border;
    border.bias.reserve(classes.count() * outputs.padded);
    std::vector<float> sums(shape.channels_out);
    for (const Taps &row : classes.rows)
        for (const Taps &column : classes.columns) {
            for (int o = 0; o < shape.channels_out; ++o) {
                double sum = conv.bias[o];
                for (int r = row.begin; r < row.end; ++r)
                    for (int s = column.begin; s < column.end; ++s)
                        sum += conv.offset[(size_t(o) * shape.kernel_h + r) * shape.kernel_w + s];
                sums[o] = float(sum);
            }
            outputs.pad(sums.data(), &border.bias);
        }
    return std::move(border);
}

void prepare_pointwise(const int16_t *weight, const float *scale, const float *bias, Pointwise *conv) {
    ConvShape shape;
    shape.channels_in = conv->channels_in;
    shape.channels_out = conv->channels_out;
    const Outputs outputs(shape);
    conv->file_weight = weight;
    conv->weights = in_words(weight, shape, 2);
    conv->scale.clear();
    conv->bias.clear();
    outputs.pad(scale, &conv->scale);
    outputs.pad(bias, &conv->bias);
}

}  // namespace onebit
