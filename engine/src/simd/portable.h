// The vectors that the kernels are written over, as plain arrays and loops: what any processor can do, and the definition of what
// every other header in this folder must do. F: 16 floats. I: 16 int32. Mask: 16 bits, lane 0 the lowest. `count` lanes of a load or
// store are touched, the others read as 0. ONEBIT_SET is the namespace of the set.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "inline.h"

namespace onebit {
namespace ONEBIT_SET {

struct F {
    float lane[16];
};
struct I {
    int32_t lane[16];
};
using Mask = uint32_t;

// Pixels of a binary convolution that are computed together: one of these widths, whichever fits the map.
constexpr int wide_tile = 2, narrow_tile = 2;
// Pixels and blocks of a real or integer convolution that are computed together, as many sums as registers can hold; blocks where pixels
// are taken one by one.
constexpr int real_pixels = 2, real_blocks = 1, single_blocks = 1;
// Whether code of their own for the usual lengths of rows and the usual epilogues is worth the time it takes to compile.
constexpr bool own_rows = false, own_epilogues = false;

template <class Lane>
ONEBIT_INLINE F each(Lane lane) {
    F r;
    for (int i = 0; i < 16; ++i) r.lane[i] = lane(i);
    return r;
}

// ---- Floats. max(a, b) is a where a > b, else b.
ONEBIT_INLINE F broadcast(float a) {
    return each([=](int) { return a; });
}
ONEBIT_INLINE F load(const float *p) {
    return each([=](int i) { return p[i]; });
}
ONEBIT_INLINE F load(const float *p, int count) {
    return each([=](int i) { return i < count ? p[i] : 0.0f; });
}
ONEBIT_INLINE void store(float *p, const F &a) { std::memcpy(p, a.lane, sizeof a.lane); }
ONEBIT_INLINE void store(float *p, const F &a, int count) {
    for (int i = 0; i < count; ++i) p[i] = a.lane[i];
}
ONEBIT_INLINE F add(const F &a, const F &b) {
    return each([&](int i) { return a.lane[i] + b.lane[i]; });
}
ONEBIT_INLINE F mul(const F &a, const F &b) {
    return each([&](int i) { return a.lane[i] * b.lane[i]; });
}
ONEBIT_INLINE F div(const F &a, const F &b) {
    return each([&](int i) { return a.lane[i] / b.lane[i]; });
}
ONEBIT_INLINE F fma(const F &a, const F &b, const F &c) {
    return each([&](int i) { return std::fma(a.lane[i], b.lane[i], c.lane[i]); });
}
ONEBIT_INLINE F max(const F &a, const F &b) {
    return each([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
ONEBIT_INLINE F abs(const F &a) {
    return each([&](int i) { return std::fabs(a.lane[i]); });
}
ONEBIT_INLINE Mask ge(const F &a, const F &b) {
    Mask r = 0;
    for (int i = 0; i < 16; ++i) r |= Mask(a.lane[i] >= b.lane[i]) << i;
    return r;
}
ONEBIT_INLINE Mask gt(const F &a, const F &b) {
    Mask r = 0;
    for (int i = 0; i < 16; ++i) r |= Mask(a.lane[i] > b.lane[i]) << i;
    return r;
}
ONEBIT_INLINE uint32_t bits(Mask mask) { return mask; }
// a where the mask is set, else b.
ONEBIT_INLINE F select(Mask mask, const F &a, const F &b) {
    return each([&](int i) { return mask >> i & 1 ? a.lane[i] : b.lane[i]; });
}
// Lane i += lane i + 8, then + 4, + 2, + 1: lane 0.
ONEBIT_INLINE float sum(F a) {
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; ++i) a.lane[i] += a.lane[i + half];
    return a.lane[0];
}
ONEBIT_INLINE float greatest(const F &a) {
    float r = a.lane[0];
    for (int i = 1; i < 16; ++i) r = a.lane[i] > r ? a.lane[i] : r;
    return r;
}
// Rounded to the nearest integer, ties to even, held within -2047..2047 (NaN: -2047).
ONEBIT_INLINE void store_rounded(int16_t *p, const F &a, int count) {
    for (int i = 0; i < count; ++i) {
        float v = a.lane[i] > -2047.0f ? a.lane[i] : -2047.0f;
        v = v < 2047.0f ? v : 2047.0f;
        p[i] = int16_t(std::nearbyint(v));
    }
}

// ---- Integers. 64 bytes from memory, whatever they hold; 4 bytes from memory into every lane.
ONEBIT_INLINE I load_words(const void *p) {
    I r;
    std::memcpy(r.lane, p, sizeof r.lane);
    return r;
}
ONEBIT_INLINE I broadcast_word(const void *p) {
    int32_t word;
    std::memcpy(&word, p, sizeof word);
    I r;
    for (int i = 0; i < 16; ++i) r.lane[i] = word;
    return r;
}
ONEBIT_INLINE I zero() { return I{}; }
ONEBIT_INLINE F to_float(const I &a) {
    return each([&](int i) { return float(a.lane[i]); });
}
// b - 2 * a, b in every lane.
ONEBIT_INLINE I subtract_twice(int32_t b, const I &a) {
    I r;
    for (int i = 0; i < 16; ++i) r.lane[i] = b - 2 * a.lane[i];
    return r;
}
// sum + popcount(weights ^ x), the one word x against the word of every lane.
ONEBIT_INLINE I count_differences(I sum, const I &weights, const uint32_t *x) {
    for (int i = 0; i < 16; ++i) {
        uint32_t v = uint32_t(weights.lane[i]) ^ *x;
        v = v - (v >> 1 & 0x55555555u);
        v = (v & 0x33333333u) + (v >> 2 & 0x33333333u);
        sum.lane[i] += int32_t(((v + (v >> 4)) & 0x0f0f0f0fu) * 0x01010101u >> 24);
    }
    return sum;
}
// sum + weights * x, both two int16 a lane.
ONEBIT_INLINE I dot_pairs(I sum, const I &weights, const I &x) {
    for (int i = 0; i < 16; ++i)
        sum.lane[i] += int16_t(weights.lane[i]) * int16_t(x.lane[i]) + (weights.lane[i] >> 16) * (x.lane[i] >> 16);
    return sum;
}
// sum + weights * x, four int8 times four uint8 a lane.
ONEBIT_INLINE I dot_quads(I sum, const I &weights, const I &x) {
    for (int i = 0; i < 16; ++i)
        for (int shift = 0; shift < 32; shift += 8)
            sum.lane[i] += int8_t(weights.lane[i] >> shift) * uint8_t(x.lane[i] >> shift);
    return sum;
}
// 32 bytes to 32 int16.
ONEBIT_INLINE void widen(int16_t *to, const uint8_t *from) {
    for (int i = 0; i < 32; ++i) to[i] = from[i];
}

}  // namespace ONEBIT_SET
}  // namespace onebit
