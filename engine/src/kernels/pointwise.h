// 1x1 convolutions of values rounded to 12 bits, and the rounding.
#pragma once

#include "tile.h"

namespace onebit {
namespace ONEBIT_SET {

inline float greatest_magnitude(const FloatMap &in, int row_begin, int row_end) {
    F result = broadcast(0);
    for (int y = row_begin; y < row_end; ++y)
        for (int x = 0; x < in.width; ++x) {
            const float *pixel = at(in, y, x);
            int c = 0;
            for (; c + lanes <= in.channels; c += lanes) result = max(abs(load(pixel + c)), result);
            if (c < in.channels) result = max(abs(load(pixel + c, in.channels - c)), result);
        }
    return greatest(result);
}

inline void quantize(const FloatMap &in, float factor, const Map<int16_t> &out, int row_begin, int row_end) {
    const F f = broadcast(factor);
    for (int y = row_begin; y < row_end; ++y)
        for (int x = 0; x < in.width; ++x) {
            const float *pixel = at(in, y, x);
            int16_t *to = at(out, y, x);
            for (int c = 0; c < in.channels; c += lanes) store_rounded(to + c, mul(load(pixel + c), f), smaller(lanes, in.channels - c));
            if (in.channels % 2) to[in.channels] = 0;
        }
}

struct PointwiseTile {
    const PointwiseCall &call;

    template <int P, int B>
    void run(const Tile<P> &tile, int index) const {
        const Pointwise &conv = *call.conv;
        const int pairs = (conv.channels_in + 1) / 2;
        const size_t word = lanes * 2, block_size = pairs * word;
        const int16_t *weights = conv.weights.data() + index * block_size;
        const int16_t *pixel[P];
        I sums[P][B];
        ONEBIT_UNROLL
        for (int p = 0; p < P; ++p) {
            pixel[p] = at(call.input, tile.y[p], tile.x[p]);
            ONEBIT_UNROLL
            for (int b = 0; b < B; ++b) sums[p][b] = zero();
        }
        for (int k = 0; k < pairs; ++k, weights += word) {
            I w[B];
            ONEBIT_UNROLL
            for (int b = 0; b < B; ++b) w[b] = load_words(weights + b * block_size);
            ONEBIT_UNROLL
            for (int p = 0; p < P; ++p) {
                const I x = broadcast_word(pixel[p] + 2 * k);
                ONEBIT_UNROLL
                for (int b = 0; b < B; ++b) sums[p][b] = dot_pairs(sums[p][b], w[b], x);
            }
        }
        F values[P][B];
        const int channel = index * lanes;
        ONEBIT_UNROLL
        for (int b = 0; b < B; ++b) {
            const F scale = mul(load(&conv.scale[channel + b * lanes]), broadcast(call.step)), bias = load(&conv.bias[channel + b * lanes]);
            ONEBIT_UNROLL
            for (int p = 0; p < P; ++p) values[p][b] = fma(to_float(sums[p][b]), scale, bias);
        }
        finish(call.epilogue, tile, channel, conv.channels_out - channel, values);
    }
};

inline void pointwise(const PointwiseCall &call, Part part) {
    each_tile<real_pixels, real_blocks>(part, call.input.width, call.conv->channels_out, 1, PointwiseTile{call});
}

}  // namespace ONEBIT_SET
}  // namespace onebit
