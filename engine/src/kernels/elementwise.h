// Work on single values, and the small passes around binary convolutions.
#pragma once

#include "tile.h"

namespace onebit {
namespace ONEBIT_SET {

// Pixel by pixel, with addresses worked out once a pixel: maps are wide here, concatenations above all.
inline void elementwise(const ElementwiseCall &call, Part part) {
    const Epilogue &epilogue = call.epilogue;
    const int channels = call.input.channels;
    const float *summand[max_posts] = {};
    uint32_t *signs[max_signs] = {};
    for (int y = part.row_begin; y < part.row_end; ++y)
        for (int x = 0; x < call.input.width; ++x) {
            const float *pixel = at(call.input, y, x);
            float *const out = epilogue.out.data ? at(epilogue.out, y, x) : nullptr;
            for (int i = 0; i < epilogue.posts; ++i)
                if (epilogue.post[i].kind == PostKind::add) summand[i] = at(epilogue.post[i].map, y, x);
            for (int i = 0; i < epilogue.signs; ++i) signs[i] = at(epilogue.sign[i].bits, y, x);
            for (int block = part.block_begin; block < part.block_end; ++block) {
                const int channel = block * lanes, count = smaller(lanes, channels - channel);
                F v[1] = {load(pixel + channel)};
                for (int i = 0; i < epilogue.posts; ++i) {
                    if (epilogue.post[i].kind == PostKind::add) v[0] = add(v[0], load(summand[i] + channel));
                    else apply(epilogue.post[i], channel, count, v);
                }
                if (out) {
                    if (count == lanes) store(out + channel, v[0]);
                    else store(out + channel, v[0], count);
                }
                for (int i = 0; i < epilogue.signs; ++i) {
                    const SignOutput &sign = epilogue.sign[i];
                    F value = v[0];
                    if (sign.scale && count == lanes) value = fma(value, load(sign.scale + channel), load(sign.bias + channel));
                    else if (sign.scale) value = fma(value, load(sign.scale + channel, count), load(sign.bias + channel, count));
                    store_signs(signs[i], channel, count, value, broadcast(-sign.shift));
                }
            }
        }
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
