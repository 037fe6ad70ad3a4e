// Binary convolution without a popcount instruction. Eight signs of the input pick an entry of a table: for either nibble of them, in how
// many bits it differs from each of the sixteen nibbles there are. The weights of 16 channels are the indices into it, low nibbles in the
// low lane of a ymm register and high nibbles in the high lane: one shuffle and one addition for 128 multiply-accumulates.
//
// Per strip of pixels, the input's bytes become offsets into the table. Counters are bytes; after at most 63 steps they are added to
// 16-bit sums, strip by strip, so that the weights of these steps stay in the first-level cache.
#pragma once

#include "binary_conv.h"
#include "lookup_rows.h"

namespace onebit {
namespace ONEBIT_SET {

struct CountTable {
    alignas(64) uint8_t differences[256][32];

    constexpr CountTable() : differences() {
        for (int byte = 0; byte < 256; ++byte)
            for (int i = 0; i < 32; ++i) {
                const int nibble = i < 16 ? byte & 15 : byte >> 4;
                for (int rest = nibble ^ (i & 15); rest; rest >>= 1) differences[byte][i] = uint8_t(differences[byte][i] + (rest & 1));
            }
    }
};
constexpr CountTable count_table;

constexpr int strip_pixels = 64;     // at most; sums of a strip stay in the first-level cache
constexpr int steps_between_sums = 255 / 4;

// Pixels [x0, x1) of rows [y0, y1) of the result.
struct Strip {
    int y0, y1, x0, x1;
};

struct StripSize {
    int rows, columns;
};

// Whole rows where they are short, else even pieces of a row.
inline StripSize strip_size(const ConvShape &shape, int pixel_bytes, int width) {
    const int pieces = (width + strip_pixels - 1) / strip_pixels;
    StripSize size{pieces == 1 ? strip_pixels / width : 1, (width + pieces - 1) / pieces};
    while (input_rows(shape, size.rows) * input_columns(shape, size.columns) * pixel_bytes > strip_offsets) {
        if (size.rows > 1) --size.rows;
        else size.columns = (size.columns + 1) / 2;
    }
    return size;
}

// `count` bytes to offsets of their entries in the table, and up to 15 more.
inline void to_offsets(const uint8_t *bytes, int count, uint16_t *offsets) {
    for (int i = 0; i < count; i += 16) {
        const __m256i values = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i *>(bytes + i)));
        _mm256_storeu_si256(reinterpret_cast<__m256i *>(offsets + i), _mm256_slli_epi16(values, 5));
    }
}

// sum += table[index], byte by byte. Written out, or the compiler copies registers around it.
ONEBIT_INLINE void look_up(__m256i &sum, __m256i table, __m256i index) {
    __m256i counts;
    asm("vpshufb %[index], %[table], %[counts]\n\t"
        "vpaddb %[counts], %[sum], %[sum]"
        : [sum] "+x"(sum), [counts] "=x"(counts)
        : [table] "x"(table), [index] "x"(index));
}

// A load that stays in its register: the compiler would repeat it where it is used.
ONEBIT_INLINE __m256i load_index(const uint8_t *p) {
    __m256i index;
    asm("vmovdqu %[memory], %[index]" : [index] "=x"(index) : [memory] "m"(*reinterpret_cast<const __m256i_u *>(p)));
    return index;
}

// Differing bits in `count` steps, for P pixels by B blocks: 16 lanes of 16 bits each. steps: where the bytes stand, from a pixel's first.
template <int P, int B>
ONEBIT_INLINE void look_up_steps(const uint16_t *steps, int count, const uint16_t *const (&pixel)[P], const uint8_t *weights,
                                 size_t block_bytes, __m256i (&sums)[P][B]) {
    const uint8_t *table = count_table.differences[0];
    __m256i counts[P][B];
    ONEBIT_UNROLL
    for (int p = 0; p < P; ++p)
        ONEBIT_UNROLL
        for (int b = 0; b < B; ++b) counts[p][b] = _mm256_setzero_si256();
    for (const uint16_t *step = steps; step < steps + count; ++step, weights += 32) {
        __m256i index[B];
        ONEBIT_UNROLL
        for (int b = 0; b < B; ++b) index[b] = load_index(weights + b * block_bytes);
        ONEBIT_UNROLL
        for (int p = 0; p < P; ++p) {
            const __m256i entry = load_integers(table + pixel[p][*step]);
            ONEBIT_UNROLL
            for (int b = 0; b < B; ++b) look_up(counts[p][b], entry, index[b]);
        }
    }
    ONEBIT_UNROLL
    for (int p = 0; p < P; ++p)
        ONEBIT_UNROLL
        for (int b = 0; b < B; ++b)
            sums[p][b] = _mm256_add_epi16(_mm256_cvtepu8_epi16(_mm256_castsi256_si128(counts[p][b])),
                                          _mm256_cvtepu8_epi16(_mm256_extracti128_si256(counts[p][b], 1)));
}

// a + b, b 16 lanes of 16 bits.
ONEBIT_INLINE I add_counts(I a, __m256i b) {
    return {_mm256_add_epi32(a.low, _mm256_cvtepu16_epi32(_mm256_castsi256_si128(b))),
            _mm256_add_epi32(a.high, _mm256_cvtepu16_epi32(_mm256_extracti128_si256(b, 1)))};
}

// The input of a strip as offsets into the table; kept as long as strip, group and input stay the same.
class StripInput {
public:
    StripInput(const BinaryConv &conv, StripSize size)
        : conv(conv), row(byte_row_of(conv)), row_offsets(int(input_columns(conv.shape, size.columns)) * row.pixel) {
        for (int y = 0; y < conv.shape.kernel_h; ++y)
            for (int run = 0; run < row.runs; ++run)
                for (int k = 0; k < row.run + (run == 1 ? row.middle : 0); ++k)
                    step[steps++] = uint16_t(y * conv.shape.dilation_h * row_offsets + run * row.step + k);
    }

    void take(const BitMap &input, const Strip &strip, int group) {
        if (&input == taken && group == taken_group && strip.y0 == taken_y && strip.x0 == taken_x) return;
        taken = &input;
        taken_group = group;
        taken_y = strip.y0;
        taken_x = strip.x0;
        const ConvShape &shape = conv.shape;
        const int first_y = strip.y0 * shape.stride_h - shape.pad_h, first_x = strip.x0 * shape.stride_w - shape.pad_w;
        const int rows = int(input_rows(shape, strip.y1 - strip.y0)), width = int(input_columns(shape, strip.x1 - strip.x0));
        for (int y = 0; y < rows; ++y) {
            const uint32_t *words = at(input, first_y + y, first_x) + group * (input.words / shape.groups);
            uint16_t *to = offsets + y * row_offsets;
            if (row.pixel == input.words * 4) to_offsets(reinterpret_cast<const uint8_t *>(words), width * row.pixel, to);
            else
                for (int x = 0; x < width; ++x, words += input.words, to += row.pixel)
                    to_offsets(reinterpret_cast<const uint8_t *>(words), row.pixel, to);
        }
    }

    const uint16_t *first() const { return offsets; }
    // The bytes that a result reads, in the order of the weights: their places from its first.
    int steps = 0;
    uint16_t step[strip_steps];

    int result_row() const { return conv.shape.stride_h * row_offsets; }
    int result_pixel() const { return conv.shape.stride_w * row.pixel; }

private:
    const BinaryConv &conv;
    const ByteRow row;
    const int row_offsets;
    const BitMap *taken = nullptr;
    int taken_group = -1, taken_y = -1, taken_x = -1;
    uint16_t offsets[strip_offsets + 16];
};

// The pixels of a strip, P at a time: where they stand, their input, and what their counters start from.
template <int P>
struct StripTiles {
    static constexpr int most = (strip_pixels + P - 1) / P;
    int count;
    Tile<P> tile[most];
    const uint16_t *input[most][P];
    int border_class[most][P];

    StripTiles(const Strip &strip, const Border &border, const StripInput &strip_input) {
        const int width = strip.x1 - strip.x0, pixels = (strip.y1 - strip.y0) * width;
        count = (pixels + P - 1) / P;
        int y = 0, x = 0, pixel = 0;
        for (int i = 0; i < count; ++i) {
            tile[i].count = smaller(P, pixels - pixel);
            tile[i].one_row = tile[i].count == P && x + P <= width;
            for (int p = 0; p < P; ++p) {
                tile[i].y[p] = strip.y0 + y;
                tile[i].x[p] = strip.x0 + x;
                input[i][p] = strip_input.first() + y * strip_input.result_row() + x * strip_input.result_pixel();
                border_class[i][p] = border.row_class[strip.y0 + y] * border.column_classes + border.column_class[strip.x0 + x];
                if (++pixel < pixels && ++x == width) {
                    x = 0;
                    ++y;
                }
            }
        }
    }
};

// B blocks from `index` on for all pixels of a strip, P at a time.
template <int P, int B>
inline ONEBIT_NO_INLINE void look_up_strip(const BinaryConvCall &call, const Strip &strip, int index, StripInput *strip_input) {
    const BinaryConv &conv = *call.conv;
    const ConvShape &shape = conv.shape;
    const Border &border = *call.border;
    const Block block = block_at(index, shape.channels_out, shape.groups);
    const int padded = int(conv.bias.size()), channels = shape.channels_out / shape.groups - block.first;
    const bool doubled = conv.doubled && !call.input_scale.data;
    const size_t block_bytes = size_t(byte_row_of(conv).total) * shape.kernel_h * 32, base_bytes = block_bytes * (padded / lanes);
    const StripTiles<P> tiles(strip, border, *strip_input);
    __m256i sums[tiles.most][P][B];
    F values[tiles.most][P][B];

    for (int t = 0; t < conv.terms; ++t) {
        const int base = int(conv.index[t]);
        const int32_t *start = border.start.data() + base * padded + index * lanes;
        const float *scale = &conv.scale[size_t(t) * padded + index * lanes], *bias = &conv.bias[index * lanes];
        const uint8_t *weights = reinterpret_cast<const uint8_t *>(conv.weights.data()) + base * base_bytes + index * block_bytes;
        strip_input->take(*call.inputs[t], strip, block.group);
        for (int first = 0; first < strip_input->steps; first += steps_between_sums) {
            const int count = smaller(steps_between_sums, strip_input->steps - first);
            const bool last = first + count == strip_input->steps;
            for (int i = 0; i < tiles.count; ++i) {
                __m256i counts[P][B];
                look_up_steps(strip_input->step + first, count, tiles.input[i], weights + first * 32, block_bytes, counts);
                ONEBIT_UNROLL
                for (int p = 0; p < P; ++p)
                    ONEBIT_UNROLL
                    for (int b = 0; b < B; ++b) {
                        if (first > 0) counts[p][b] = _mm256_add_epi16(counts[p][b], sums[i][p][b]);
                        if (!last) sums[i][p][b] = counts[p][b];
                    }
                if (!last) continue;
                const Tile<P> &tile = tiles.tile[i];
                const Finish<P> finish(call.epilogue, tile);
                for (int b = 0; b < B; ++b) {
                    const F block_scale = load(scale + b * lanes), minus_two_scale = mul(broadcast(-2), block_scale);
                    F result[P];
                    ONEBIT_UNROLL
                    for (int p = 0; p < P; ++p) {
                        const int border_class = tiles.border_class[i][p];
                        const I from = load_words(start + ptrdiff_t(border_class) * conv.bases * padded + b * lanes);
                        const F difference = to_float(add_counts(from, counts[p][b])), before = t == 0 ? load(bias + b * lanes) : values[i][p][b];
                        if (doubled) {
                            result[p] = fma(difference, minus_two_scale, before);
                        } else {
                            F sum = fma(difference, broadcast(-2), broadcast(border.odd[border_class]));
                            if (call.input_scale.data) sum = mul(sum, broadcast(*at(call.input_scale, tile.y[p], tile.x[p])));
                            result[p] = fma(sum, block_scale, before);
                        }
                        if (t + 1 < conv.terms) values[i][p][b] = result[p];
                    }
                    if (t + 1 == conv.terms) finish.put(block.channel + b * lanes, smaller(lanes, channels - b * lanes), result);
                }
            }
        }
    }
}

inline void look_up_conv(const BinaryConvCall &call, Part part) {
    const BinaryConv &conv = *call.conv;
    if (!conv.arranged) return binary_conv(call, part);
    const ConvShape &shape = conv.shape;
    const int width = call.border->width;
    const StripSize size = strip_size(shape, byte_row_of(conv).pixel, width);
    StripInput input(conv, size);
    for (int y = part.row_begin; y < part.row_end; y += size.rows)
        for (int x = 0; x < width; x += size.columns) {
            const Strip strip{y, smaller(y + size.rows, part.row_end), x, smaller(x + size.columns, width)};
            for (int block = part.block_begin; block < part.block_end;) {
                const int left = blocks_together(block, part.block_end, shape.channels_out, shape.groups, 8);
                const int together = left == 5 || left == 6 ? 3 : smaller(left, 4);
                switch (together) {
                    case 4: look_up_strip<2, 4>(call, strip, block, &input); break;
                    case 3: look_up_strip<3, 3>(call, strip, block, &input); break;
                    case 2: look_up_strip<5, 2>(call, strip, block, &input); break;
                    default: look_up_strip<7, 1>(call, strip, block, &input); break;
                }
                block += together;
            }
        }
}

}  // namespace ONEBIT_SET
}  // namespace onebit
