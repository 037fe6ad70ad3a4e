// Binary convolution. A lane is an output channel: the words of 16 channels' weights differ from one word of the input, which is the same for
// all of them, in so many bits. Counters start where Border::start says, so that the padding costs nothing.
#pragma once

#include "tile.h"

namespace onebit {
namespace ONEBIT_SET {

// Adds the differing bits of `words` words at offset of every pixel. N: the number of words where the compiler may know it, else 0.
template <int N, int P>
ONEBIT_INLINE void count_run(I (&counts)[P], const uint32_t *const (&pixel)[P], ptrdiff_t offset, const uint32_t *weights, int words) {
    const int n = N ? N : words;
    for (int k = 0; k < n; ++k) {
        const I w = load_words(weights + k * lanes);
        ONEBIT_UNROLL
        for (int p = 0; p < P; ++p) counts[p] = count_differences(counts[p], w, pixel[p] + offset + k);
    }
}

// A kernel row, as runs of words that lie side by side: `runs` times `words` words every `step` words; `middle` more in the middle one of
// merged rows.
struct Row {
    int runs, words, middle;
    ptrdiff_t step;
};

inline Row row_of(const BinaryConv &conv) {
    const ConvShape &shape = conv.shape;
    const int group_words = conv.words / shape.groups;
    if (conv.merged) {
        const int whole = shape.channels_in / 32;
        return {3, whole, conv.words - whole, conv.words};
    }
    if (shape.dilation_w == 1 && shape.groups == 1) return {1, conv.row_words, 0, 0};
    return {shape.kernel_w, group_words, 0, ptrdiff_t(shape.dilation_w) * conv.words};
}

// Rows of N words in one run.
template <int N>
struct WholeRow {
    template <int P>
    static ONEBIT_INLINE void count(const Row &row, I (&counts)[P], const uint32_t *const (&pixel)[P], ptrdiff_t offset, const uint32_t *weights) {
        count_run<N>(counts, pixel, offset, weights, row.words);
    }
};

struct AnyRow {
    template <int P>
    static ONEBIT_INLINE void count(const Row &row, I (&counts)[P], const uint32_t *const (&pixel)[P], ptrdiff_t offset, const uint32_t *weights) {
        for (int run = 0; run < row.runs; ++run) {
            const int words = row.words + (run == 1 ? row.middle : 0);
            count_run<0>(counts, pixel, offset + run * row.step, weights, words);
            weights += words * lanes;
        }
    }
};

// Counters of the pixels after all kernel rows.
template <class RowKind, int P>
ONEBIT_INLINE void count_taps(const BinaryConv &conv, const Row &row, I (&counts)[P], const uint32_t *const (&pixel)[P], ptrdiff_t row_step,
                              const uint32_t *weights) {
    for (int r = 0; r < conv.shape.kernel_h; ++r) {
        RowKind::count(row, counts, pixel, r * row_step, weights);
        weights += conv.row_words * lanes;
    }
}

template <class RowKind, int P>
inline void binary_conv_tiles(const BinaryConvCall &call, Part part) {
    const BinaryConv &conv = *call.conv;
    const ConvShape &shape = conv.shape;
    const Border &border = *call.border;
    const Row row = row_of(conv);
    const int group_words = conv.words / shape.groups, padded = blocks(shape.channels_out / shape.groups) * shape.groups * lanes;
    const size_t block_words = size_t(shape.kernel_h) * conv.row_words * lanes, base_words = block_words * (padded / lanes);
    const int end = part.row_end * border.width;
    for (int first = part.row_begin * border.width; first < end; first += P) {
        const Tile<P> tile = tile_at<P>(first, end, border.width);
        int border_class[P];
        for (int p = 0; p < P; ++p)
            border_class[p] = border.row_class[tile.y[p]] * border.column_classes + border.column_class[tile.x[p]];
        for (int index = part.block_begin; index < part.block_end; ++index) {
            const Block block = block_at(index, shape.channels_out, shape.groups);
            F values[P][1];
            for (int p = 0; p < P; ++p) values[p][0] = load(&conv.bias[index * lanes]);
            for (int t = 0; t < conv.terms; ++t) {
                const BitMap &input = *call.inputs[t];
                const int base = int(conv.index[t]);
                const uint32_t *pixel[P];
                I counts[P];
                ONEBIT_UNROLL
                for (int p = 0; p < P; ++p) {
                    pixel[p] = at(input, tile.y[p] * shape.stride_h - shape.pad_h, tile.x[p] * shape.stride_w - shape.pad_w) +
                               block.group * group_words;
                    counts[p] = load_words(&border.start[(size_t(border_class[p]) * conv.bases + base) * padded + index * lanes]);
                }
                count_taps<RowKind>(conv, row, counts, pixel, input.row * shape.dilation_h,
                                    conv.weights.data() + base * base_words + index * block_words);
                const F scale = load(&conv.scale[size_t(t) * padded + index * lanes]);
                for (int p = 0; p < P; ++p) {
                    F sum = to_float(subtract_twice(border.odd[border_class[p]], counts[p]));
                    if (call.input_scale.data) sum = mul(sum, broadcast(*at(call.input_scale, tile.y[p], tile.x[p])));
                    values[p][0] = fma(sum, scale, values[p][0]);
                }
            }
            finish(call.epilogue, tile, block.channel, block.count, values);
        }
    }
}

inline void binary_conv(const BinaryConvCall &call, Part part) { binary_conv_tiles<AnyRow, wide_tile>(call, part); }

}  // namespace ONEBIT_SET
}  // namespace onebit
