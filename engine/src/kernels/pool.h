// Poolings.
#pragma once

#include "tile.h"

namespace onebit {
namespace ONEBIT_SET {

struct Range {
    int begin, end;
};

// Taps of a window that starts at `start` which lie inside 0..size-1.
ONEBIT_INLINE Range inside(int start, int kernel, int size) { return {greater(start, 0), smaller(start + kernel, size)}; }

// Sum or maximum of the pixels of a window, in row-major order.
template <bool maximum, int B>
ONEBIT_INLINE void pool_window(const FloatMap &input, Range rows, Range columns, int channel, F (&v)[1][B]) {
    ONEBIT_UNROLL
    for (int b = 0; b < B; ++b)
        v[0][b] = maximum ? load(at(input, rows.begin, columns.begin) + channel + b * lanes) : broadcast(0);
    for (int y = rows.begin; y < rows.end; ++y)
        for (int x = columns.begin; x < columns.end; ++x) {
            const float *pixel = at(input, y, x) + channel;
            ONEBIT_UNROLL
            for (int b = 0; b < B; ++b) {
                const F tap = load(pixel + b * lanes);
                v[0][b] = maximum ? max(tap, v[0][b]) : add(v[0][b], tap);
            }
        }
}

template <bool maximum>
struct PoolTile {
    const PoolCall &call;

    template <int P, int B>
    void run(const Tile<P> &tile, int block) const {
        const FloatMap &input = call.input;
        const int y = tile.y[0] * call.stride_h - call.pad_h, x = tile.x[0] * call.stride_w - call.pad_w;
        const Range rows = inside(y, call.kernel_h, input.height), columns = inside(x, call.kernel_w, input.width);
        F values[1][B];
        pool_window<maximum>(input, rows, columns, block * lanes, values);
        if (!maximum) {
            const int padded_rows = smaller(y + call.kernel_h, input.height + call.pad_h) - y;
            const int padded_columns = smaller(x + call.kernel_w, input.width + call.pad_w) - x;
            const int count = call.count_padding ? padded_rows * padded_columns : (rows.end - rows.begin) * (columns.end - columns.begin);
            ONEBIT_UNROLL
            for (int b = 0; b < B; ++b) values[0][b] = div(values[0][b], broadcast(float(count)));
        }
        finish(call.epilogue, tile, block * lanes, input.channels - block * lanes, values);
    }
};

inline void max_pool(const PoolCall &call, Part part) { each_tile<1, single_blocks>(part, call.width, call.input.channels, 1, PoolTile<true>{call}); }

inline void average_pool(const PoolCall &call, Part part) {
    each_tile<1, single_blocks>(part, call.width, call.input.channels, 1, PoolTile<false>{call});
}

struct MeanTile {
    const PoolCall &call;

    template <int P, int B>
    void run(const Tile<P> &tile, int block) const {
        const FloatMap &input = call.input;
        F values[1][B];
        pool_window<false>(input, {0, input.height}, {0, input.width}, block * lanes, values);
        ONEBIT_UNROLL
        for (int b = 0; b < B; ++b) values[0][b] = div(values[0][b], broadcast(float(input.height * input.width)));
        finish(call.epilogue, tile, block * lanes, input.channels - block * lanes, values);
    }
};

inline void mean_pool(const PoolCall &call, Part part) { each_tile<1, single_blocks>(part, 1, call.input.channels, 1, MeanTile{call}); }

}  // namespace ONEBIT_SET
}  // namespace onebit
