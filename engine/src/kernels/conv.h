// Convolutions of floats: tiles of P pixels by B blocks of channels stay in registers, one accumulator an output.
#pragma once

#include "tile.h"

namespace onebit {
namespace ONEBIT_SET {

template <int P, int B>
inline void conv_tile(const FloatConvCall &call, const Tile<P> &tile, int index) {
    const FloatConv &conv = *call.conv;
    const ConvShape &shape = conv.shape;
    const Block block = block_at(index, shape.channels_out, shape.groups);
    const int group_channels = shape.channels_in / shape.groups;
    const bool side_by_side = call.input.pixel == group_channels && shape.dilation_w == 1;
    const int runs = side_by_side ? 1 : shape.kernel_w, run = group_channels * (side_by_side ? shape.kernel_w : 1);
    const size_t block_size = size_t(shape.kernel_h) * shape.kernel_w * group_channels * lanes;
    const float *weights = conv.weights.data() + index * block_size;
    const float *pixel[P];
    F sums[P][B];
    ONEBIT_UNROLL
    for (int p = 0; p < P; ++p) {
        pixel[p] = at(call.input, tile.y[p] * shape.stride_h - shape.pad_h, tile.x[p] * shape.stride_w - shape.pad_w) +
                   block.group * group_channels;
        ONEBIT_UNROLL
        for (int b = 0; b < B; ++b) sums[p][b] = load(&conv.bias[(index + b) * lanes]);
    }
    for (int r = 0; r < shape.kernel_h; ++r)
        for (int s = 0; s < runs; ++s) {
            const ptrdiff_t offset = r * shape.dilation_h * call.input.row + s * shape.dilation_w * call.input.pixel;
            for (int k = 0; k < run; ++k, weights += lanes) {
                F w[B];
                ONEBIT_UNROLL
                for (int b = 0; b < B; ++b) w[b] = load(weights + b * block_size);
                ONEBIT_UNROLL
                for (int p = 0; p < P; ++p) {
                    const F x = broadcast(pixel[p][offset + k]);
                    ONEBIT_UNROLL
                    for (int b = 0; b < B; ++b) sums[p][b] = fma(x, w[b], sums[p][b]);
                }
            }
        }
    finish(call.epilogue, tile, block.channel, shape.channels_out / shape.groups - block.first, sums);
}

struct ConvTile {
    const FloatConvCall &call;
    template <int P, int B>
    void run(const Tile<P> &tile, int block) const {
        conv_tile<P, B>(call, tile, block);
    }
};

inline void conv(const FloatConvCall &call, Part part) {
    const ConvShape &shape = call.conv->shape;
    if ((part.row_end - part.row_begin) * call.width == 1) each_tile<1, single_blocks>(part, call.width, shape.channels_out, shape.groups, ConvTile{call});
    else each_tile<real_pixels, real_blocks>(part, call.width, shape.channels_out, shape.groups, ConvTile{call});
}

}  // namespace ONEBIT_SET
}  // namespace onebit
