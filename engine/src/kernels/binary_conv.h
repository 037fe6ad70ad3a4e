// Binary convolution. A lane is an output channel: the words of 16 channels' weights differ from one word of the input, which is the same for
// all of them, in so many bits. Counters start where Border::start says, so that the padding costs nothing.
#pragma once

#include "tile.h"

namespace onebit {
namespace ONEBIT_SET {

// Adds the differing bits of `words` words at offset of every pixel. N: the number of words where the compiler may know it, else 0.
#ifndef ONEBIT_OWN_COUNT_RUN
template <int N, int P>
ONEBIT_INLINE void count_run(I (&counts)[P], const uint32_t *const (&pixel)[P], ptrdiff_t offset, const uint32_t *weights, int words) {
    const int n = N ? N : words;
    for (int k = 0; k < n; ++k) {
        const I w = load_words(weights + k * lanes);
        ONEBIT_UNROLL
        for (int p = 0; p < P; ++p) counts[p] = count_differences(counts[p], w, pixel[p] + offset + k);
    }
}
#endif

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

// Merged rows: `whole` words of either neighbour, and as many with `middle` words of leftover bits in between.
template <int whole, int middle>
struct MergedRow {
    template <int P>
    static ONEBIT_INLINE void count(const Row &, I (&counts)[P], const uint32_t *const (&pixel)[P], ptrdiff_t offset, const uint32_t *weights) {
        constexpr int words = whole + middle;
        count_run<whole>(counts, pixel, offset, weights, whole);
        count_run<words>(counts, pixel, offset + words, weights + whole * lanes, words);
        count_run<whole>(counts, pixel, offset + 2 * words, weights + (whole + words) * lanes, whole);
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
    const uint32_t *first[P];
    ONEBIT_UNROLL
    for (int p = 0; p < P; ++p) first[p] = pixel[p];
    for (int r = 0; r < conv.shape.kernel_h; ++r) {
        RowKind::count(row, counts, first, 0, weights);
        weights += conv.row_words * lanes;
        ONEBIT_UNROLL
        for (int p = 0; p < P; ++p) first[p] += row_step;
    }
}

// What a tile of pixels reads and starts from.
template <int P>
struct TileInput {
    const uint32_t *pixel[P];
    bool one_class;  // all pixels start from start[0] and have odd[0]
    const int32_t *start[P];
    float odd[P];
};

// The common case: one term without input scale. Blocks of 16 channels of P pixels at a time; what depends on pixels only is worked out
// once for all blocks.
template <class RowKind, int P>
inline void binary_conv_tiles(const BinaryConvCall &call, Part part) {
    const BinaryConv &conv = *call.conv;
    const ConvShape &shape = conv.shape;
    const Border &border = *call.border;
    const BitMap &input = *call.inputs[0];
    const Row row = row_of(conv);
    const int group_words = conv.words / shape.groups, padded = int(conv.bias.size());
    const size_t block_words = size_t(shape.kernel_h) * conv.row_words * lanes;
    const ptrdiff_t row_step = input.row * shape.dilation_h;
    const uint32_t *base_weights = conv.weights.data() + conv.index[0] * block_words * (padded / lanes);
    const uint32_t *origin = at(input, -shape.pad_h, -shape.pad_w);
    const int32_t *base_start = border.start.data() + conv.index[0] * padded;
    const ptrdiff_t class_size = ptrdiff_t(conv.bases) * padded;
    const bool doubled = conv.doubled;
    const int end = part.row_end * border.width;
    for (int first = part.row_begin * border.width; first < end; first += P) {
        const Tile<P> tile = tile_at<P>(first, end, border.width);
        const Finish<P> finish(call.epilogue, tile);
        TileInput<P> from;
        addresses(tile, origin, input.row * shape.stride_h, ptrdiff_t(input.words) * shape.stride_w, from.pixel);
        const auto border_class = [&](int p) {
            return border.row_class[tile.y[p]] * border.column_classes + border.column_class[tile.x[p]];
        };
        from.one_class = tile.one_row && border.column_class[tile.x[0]] == border.column_class[tile.x[P - 1]];
        from.start[0] = base_start + border_class(0) * class_size;
        from.odd[0] = border.odd[border_class(0)];
        if (!from.one_class)
            for (int p = 1; p < P; ++p) {
                from.start[p] = base_start + border_class(p) * class_size;
                from.odd[p] = border.odd[border_class(p)];
            }
        for (int index = part.block_begin; index < part.block_end; ++index) {
            const Block block = block_at(index, shape.channels_out, shape.groups);
            const uint32_t *pixel[P];
            I counts[P];
            counts[0] = load_words(from.start[0] + index * lanes);
            ONEBIT_UNROLL
            for (int p = 1; p < P; ++p) counts[p] = counts[0];
            if (!from.one_class) {
                ONEBIT_UNROLL
                for (int p = 1; p < P; ++p) counts[p] = load_words(from.start[p] + index * lanes);
            }
            ONEBIT_UNROLL
            for (int p = 0; p < P; ++p) pixel[p] = from.pixel[p] + block.group * group_words;
            count_taps<RowKind>(conv, row, counts, pixel, row_step, base_weights + index * block_words);
            const F minus_two = broadcast(-2), scale = load(&conv.scale[index * lanes]), bias = load(&conv.bias[index * lanes]);
            const F minus_two_scale = mul(minus_two, scale);
            F values[P];
            ONEBIT_UNROLL
            for (int p = 0; p < P; ++p) values[p] = to_float(counts[p]);
            if (doubled) {
                ONEBIT_UNROLL
                for (int p = 0; p < P; ++p) values[p] = fma(values[p], minus_two_scale, bias);
            } else {
                ONEBIT_UNROLL
                for (int p = 0; p < P; ++p)
                    values[p] = fma(fma(values[p], minus_two, broadcast(from.odd[from.one_class ? 0 : p])), scale, bias);
            }
            finish.put(block.channel, block.count, values);
        }
    }
}

// Any number of terms, with an input scale or without.
template <int P>
inline void binary_conv_terms(const BinaryConvCall &call, Part part) {
    const BinaryConv &conv = *call.conv;
    const ConvShape &shape = conv.shape;
    const Border &border = *call.border;
    const Row row = row_of(conv);
    const int group_words = conv.words / shape.groups, padded = int(conv.bias.size());
    const size_t block_words = size_t(shape.kernel_h) * conv.row_words * lanes, base_words = block_words * (padded / lanes);
    const int end = part.row_end * border.width;
    for (int first = part.row_begin * border.width; first < end; first += P) {
        const Tile<P> tile = tile_at<P>(first, end, border.width);
        const Finish<P> finish(call.epilogue, tile);
        int border_class[P];
        for (int p = 0; p < P; ++p)
            border_class[p] = border.row_class[tile.y[p]] * border.column_classes + border.column_class[tile.x[p]];
        for (int index = part.block_begin; index < part.block_end; ++index) {
            const Block block = block_at(index, shape.channels_out, shape.groups);
            F values[P];
            ONEBIT_UNROLL
            for (int p = 0; p < P; ++p) values[p] = load(&conv.bias[index * lanes]);
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
                count_taps<AnyRow>(conv, row, counts, pixel, input.row * shape.dilation_h,
                                   conv.weights.data() + base * base_words + index * block_words);
                const F scale = load(&conv.scale[size_t(t) * padded + index * lanes]);
                ONEBIT_UNROLL
                for (int p = 0; p < P; ++p) {
                    F sum = to_float(subtract_twice(border.odd[border_class[p]], counts[p]));
                    if (call.input_scale.data) sum = mul(sum, broadcast(*at(call.input_scale, tile.y[p], tile.x[p])));
                    values[p] = fma(sum, scale, values[p]);
                }
            }
            finish.put(block.channel, block.count, values);
        }
    }
}

template <class RowKind>
inline void binary_conv_width(const BinaryConvCall &call, Part part) {
    // The width that leaves less of the last tile unused; at the same rest, the one that fits rows better.
    const int width = call.border->width, pixels = (part.row_end - part.row_begin) * width;
    const int narrow = (pixels + narrow_tile - 1) / narrow_tile * narrow_tile, wide = (pixels + wide_tile - 1) / wide_tile * wide_tile;
    if (narrow < wide || (narrow == wide && width % narrow_tile < width % wide_tile))
        binary_conv_tiles<RowKind, narrow_tile>(call, part);
    else binary_conv_tiles<RowKind, wide_tile>(call, part);
}

// Short rows of known length are worth their own code.
inline void binary_conv_rows(const BinaryConvCall &call, Part part) {
    const Row row = row_of(*call.conv);
    if (call.conv->merged) switch (10 * row.words + row.middle) {
            case 11: return binary_conv_width<MergedRow<1, 1>>(call, part);
            case 12: return binary_conv_width<MergedRow<1, 2>>(call, part);
            case 22: return binary_conv_width<MergedRow<2, 2>>(call, part);
            case 31: return binary_conv_width<MergedRow<3, 1>>(call, part);
            default: return binary_conv_width<AnyRow>(call, part);
        }
    if (row.runs > 1) return binary_conv_width<AnyRow>(call, part);
    switch (row.words) {
        case 3: return binary_conv_width<WholeRow<3>>(call, part);
        case 6: return binary_conv_width<WholeRow<6>>(call, part);
        default: return binary_conv_width<WholeRow<0>>(call, part);
    }
}

inline void binary_conv(const BinaryConvCall &call, Part part) {
    if (call.conv->terms > 1 || call.input_scale.data) return binary_conv_terms<wide_tile>(call, part);
    if constexpr (own_rows) binary_conv_rows(call, part);
    else binary_conv_tiles<AnyRow, wide_tile>(call, part);
}

}  // namespace ONEBIT_SET
}  // namespace onebit
