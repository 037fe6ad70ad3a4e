// Work on single values, and the small passes around binary convolutions.
#pragma once

#include "tile.h"

namespace onebit {
namespace ONEBIT_SET {

struct ElementwiseTile {
    const ElementwiseCall &call;

    template <int P, int B>
    void run(const Tile<P> &tile, int block) const {
        const float *pixel = at(call.input, tile.y[0], tile.x[0]) + block * lanes;
        F values[1][B];
        ONEBIT_UNROLL
        for (int b = 0; b < B; ++b) values[0][b] = load(pixel + b * lanes);
        finish(call.epilogue, tile, block * lanes, call.input.channels - block * lanes, values);
    }
};

inline void elementwise(const ElementwiseCall &call, Part part) {
    each_tile<1, single_blocks>(part, call.input.width, call.input.channels, 1, ElementwiseTile{call});
}

inline void mean_abs(const FloatMap &in, const FloatMap &out, int row_begin, int row_end) {
    for (int y = row_begin; y < row_end; ++y)
        for (int x = 0; x < in.width; ++x) {
            const float *pixel = at(in, y, x);
            F sums = broadcast(0);
            for (int c = 0; c < in.channels; c += lanes) sums = add(sums, abs(load(pixel + c, smaller(lanes, in.channels - c))));
            *at(out, y, x) = sum(sums) / float(in.channels);
        }
}

// known_whole: the number of whole words of a pixel where the compiler may know it, else -1.
template <int known_whole>
inline void merge_rows(const BitMap &plain, int leftover, const BitMap &merged, int row_begin, int row_end) {
    const int whole = known_whole >= 0 ? known_whole : plain.words - 1;
    const bool two_words = merged.words > plain.words;
    for (int y = row_begin; y < row_end; ++y) {
        const uint32_t *from = at(plain, y, 0);
        uint32_t *to = at(merged, y, 0);
        uint64_t left = 0, own = from[whole];
        for (int x = 0; x < plain.width; ++x, from += plain.words, to += merged.words) {
            const uint64_t right = x + 1 < plain.width ? (from + plain.words)[whole] : 0;
            const uint64_t bits = left | own << leftover | right << 2 * leftover;
            for (int k = 0; k < whole; ++k) to[k] = from[k];
            to[whole] = uint32_t(bits);
            if (two_words) to[whole + 1] = uint32_t(bits >> 32);
            left = own;
            own = right;
        }
    }
}

inline void merge(const BitMap &plain, int leftover, const BitMap &merged, int row_begin, int row_end) {
    switch (plain.words - 1) {
        case 0: return merge_rows<0>(plain, leftover, merged, row_begin, row_end);
        case 1: return merge_rows<1>(plain, leftover, merged, row_begin, row_end);
        case 2: return merge_rows<2>(plain, leftover, merged, row_begin, row_end);
        default: return merge_rows<-1>(plain, leftover, merged, row_begin, row_end);
    }
}

}  // namespace ONEBIT_SET
}  // namespace onebit
