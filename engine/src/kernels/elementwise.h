// Work on single values, and the small passes around binary convolutions.
#pragma once

#include "tile.h"

namespace onebit {
namespace ONEBIT_SET {

struct ElementwiseTile {
    const ElementwiseCall &call;

    template <int P, int B>
    void run(const Tile<P> &tile, const Finish<P> &finish, int block) const {
        const float *pixel = at(call.input, tile.y[0], tile.x[0]) + block * lanes;
        F values[1][B];
        ONEBIT_UNROLL
        for (int b = 0; b < B; ++b) values[0][b] = load(pixel + b * lanes);
        finish.put(block * lanes, call.input.channels - block * lanes, values);
    }
};

inline void elementwise(const ElementwiseCall &call, Part part) {
    each_tile<1, 4>(part, call.input.width, call.input.channels, 1, call.epilogue, ElementwiseTile{call});
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

inline void merge(const BitMap &plain, int leftover, const BitMap &merged, int row_begin, int row_end) {
    const int whole = plain.words - 1;
    for (int y = row_begin; y < row_end; ++y)
        for (int x = 0; x < plain.width; ++x) {
            const uint32_t *from = at(plain, y, x);
            uint32_t *to = at(merged, y, x);
            for (int k = 0; k < whole; ++k) to[k] = from[k];
            const uint64_t left = x > 0 ? (from - plain.words)[whole] : 0, right = x + 1 < plain.width ? (from + plain.words)[whole] : 0;
            const uint64_t bits = left | uint64_t(from[whole]) << leftover | right << 2 * leftover;
            to[whole] = uint32_t(bits);
            if (merged.words > plain.words) to[whole + 1] = uint32_t(bits >> 32);
        }
}

}  // namespace ONEBIT_SET
}  // namespace onebit
