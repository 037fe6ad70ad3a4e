// Convolutions of pixels in integers: two or four products of small integers to a lane at once.
#pragma once

#include "tile.h"

namespace onebit {
namespace ONEBIT_SET {

// The 32 bytes from here on as 8-bit quads, read in place.
struct Quads {
    static constexpr int bytes = 4;
    const uint8_t *from = nullptr;
    ONEBIT_INLINE void take(const uint8_t *p) { from = p; }
    ONEBIT_INLINE I word(int k) const { return broadcast_word(from + k * bytes); }
    static ONEBIT_INLINE I dot(const I &sum, const I &weights, const I &x) { return dot_quads(sum, weights, x); }
    static const void *weights(const PixelConv &conv) { return conv.weights8.data(); }
};

// The same as 16-bit pairs.
struct Pairs {
    static constexpr int bytes = 2;
    alignas(64) int16_t wide[32];
    ONEBIT_INLINE void take(const uint8_t *p) { widen(wide, p); }
    ONEBIT_INLINE I word(int k) const { return broadcast_word(wide + k * bytes); }
    static ONEBIT_INLINE I dot(const I &sum, const I &weights, const I &x) { return dot_pairs(sum, weights, x); }
    static const void *weights(const PixelConv &conv) { return conv.weights16.data(); }
};

// Products: Quads or Pairs.
template <class Products>
struct PixelConvTile {
    const PixelConvCall &call;

    template <int P, int B>
    void run(const Tile<P> &tile, int index) const {
        const PixelConv &conv = *call.conv;
        const ConvShape &shape = conv.shape;
        const bool side_by_side = shape.dilation_w == 1;
        const int runs = side_by_side ? 1 : shape.kernel_w, run = shape.channels_in * (side_by_side ? shape.kernel_w : 1);
        const size_t word = lanes * sizeof(int32_t), run_words = (run + Products::bytes - 1) / Products::bytes;
        const size_t block_size = run_words * runs * shape.kernel_h * word;
        const char *weights = static_cast<const char *>(Products::weights(conv)) + index * block_size;
        const uint8_t *pixel[P];
        I sums[P][B];
        ONEBIT_UNROLL
        for (int p = 0; p < P; ++p) {
            pixel[p] = at(call.input, tile.y[p] * shape.stride_h - shape.pad_h, tile.x[p] * shape.stride_w - shape.pad_w);
            ONEBIT_UNROLL
            for (int b = 0; b < B; ++b) sums[p][b] = zero();
        }
        for (int r = 0; r < shape.kernel_h; ++r)
            for (int s = 0; s < runs; ++s) {
                const ptrdiff_t offset = r * shape.dilation_h * call.input.row + s * shape.dilation_w * call.input.pixel;
                for (int byte = 0; byte < run; byte += 32) {
                    Products x[P];
                    ONEBIT_UNROLL
                    for (int p = 0; p < P; ++p) x[p].take(pixel[p] + offset + byte);
                    const int words = (smaller(32, run - byte) + Products::bytes - 1) / Products::bytes;
                    for (int k = 0; k < words; ++k, weights += word) {
                        I w[B];
                        ONEBIT_UNROLL
                        for (int b = 0; b < B; ++b) w[b] = load_words(weights + b * block_size);
                        ONEBIT_UNROLL
                        for (int p = 0; p < P; ++p) {
                            const I pixels = x[p].word(k);
                            ONEBIT_UNROLL
                            for (int b = 0; b < B; ++b) sums[p][b] = Products::dot(sums[p][b], w[b], pixels);
                        }
                    }
                }
            }
        const Border &border = *call.border;
        const int padded = blocks(shape.channels_out) * lanes, channel = index * lanes;
        F values[P][B];
        ONEBIT_UNROLL
        for (int p = 0; p < P; ++p) {
            const int border_class = border.row_class[tile.y[p]] * border.column_classes + border.column_class[tile.x[p]];
            const float *bias = &border.bias[size_t(border_class) * padded + channel];
            ONEBIT_UNROLL
            for (int b = 0; b < B; ++b)
                values[p][b] = fma(to_float(sums[p][b]), load(&conv.scale[channel + b * lanes]), load(bias + b * lanes));
        }
        finish(call.epilogue, tile, channel, shape.channels_out - channel, values);
    }
};

inline void pixel_conv(const PixelConvCall &call, Part part) {
    const int channels = call.conv->shape.channels_out;
    if (call.conv->weights16.empty()) each_tile<real_pixels, real_blocks>(part, call.border->width, channels, 1, PixelConvTile<Quads>{call});
    else each_tile<real_pixels, real_blocks>(part, call.border->width, channels, 1, PixelConvTile<Pairs>{call});
}

}  // namespace ONEBIT_SET
}  // namespace onebit
