// portable.h's vectors as four q registers. Any AArch64 processor runs this: no dot-product extension.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "inline.h"

namespace onebit {
namespace ONEBIT_SET {

struct F {
    float32x4_t part[4];
};
struct I {
    int32x4_t part[4];
};
struct Mask {
    uint32x4_t part[4];
};

constexpr int wide_tile = 4, narrow_tile = 4;
constexpr int real_pixels = 6, real_blocks = 1, single_blocks = 4;
constexpr bool own_rows = false, own_epilogues = true;

template <class Part>
ONEBIT_INLINE F each(Part part) {
    return {{part(0), part(1), part(2), part(3)}};
}
template <class Part>
ONEBIT_INLINE I each_integer(Part part) {
    return {{part(0), part(1), part(2), part(3)}};
}

// ---- Floats.
ONEBIT_INLINE F broadcast(float a) {
    return each([=](int) { return vdupq_n_f32(a); });
}
ONEBIT_INLINE F load(const float *p) {
    return each([=](int i) { return vld1q_f32(p + 4 * i); });
}
ONEBIT_INLINE F load(const float *p, int count) {
    if (count >= 16) return load(p);
    float lanes[16] = {};
    std::memcpy(lanes, p, size_t(count) * sizeof *lanes);
    return load(lanes);
}
ONEBIT_INLINE void store(float *p, const F &a) {
    for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, a.part[i]);
}
ONEBIT_INLINE void store(float *p, const F &a, int count) {
    float lanes[16];
    store(lanes, a);
    std::memcpy(p, lanes, size_t(count) * sizeof *lanes);
}
ONEBIT_INLINE F add(const F &a, const F &b) {
    return each([&](int i) { return vaddq_f32(a.part[i], b.part[i]); });
}
ONEBIT_INLINE F mul(const F &a, const F &b) {
    return each([&](int i) { return vmulq_f32(a.part[i], b.part[i]); });
}
ONEBIT_INLINE F div(const F &a, const F &b) {
    return each([&](int i) { return vdivq_f32(a.part[i], b.part[i]); });
}
ONEBIT_INLINE F fma(const F &a, const F &b, const F &c) {
    return each([&](int i) { return vfmaq_f32(c.part[i], a.part[i], b.part[i]); });
}
// Not vmaxq: it prefers +0 to -0, and NaN to anything.
ONEBIT_INLINE F max(const F &a, const F &b) {
    return each([&](int i) { return vbslq_f32(vcgtq_f32(a.part[i], b.part[i]), a.part[i], b.part[i]); });
}
ONEBIT_INLINE F abs(const F &a) {
    return each([&](int i) { return vabsq_f32(a.part[i]); });
}
ONEBIT_INLINE Mask ge(const F &a, const F &b) {
    Mask r;
    for (int i = 0; i < 4; ++i) r.part[i] = vcgeq_f32(a.part[i], b.part[i]);
    return r;
}
ONEBIT_INLINE Mask gt(const F &a, const F &b) {
    Mask r;
    for (int i = 0; i < 4; ++i) r.part[i] = vcgtq_f32(a.part[i], b.part[i]);
    return r;
}
ONEBIT_INLINE uint32_t bits(const Mask &a) {
    static constexpr uint16_t bit[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    const uint16x8_t place = vld1q_u16(bit);
    const uint16x8_t low = vcombine_u16(vmovn_u32(a.part[0]), vmovn_u32(a.part[1]));
    const uint16x8_t high = vcombine_u16(vmovn_u32(a.part[2]), vmovn_u32(a.part[3]));
    return uint32_t(vaddvq_u16(vandq_u16(low, place))) | uint32_t(vaddvq_u16(vandq_u16(high, place))) << 8;
}
ONEBIT_INLINE F select(const Mask &mask, const F &a, const F &b) {
    return each([&](int i) { return vbslq_f32(mask.part[i], a.part[i], b.part[i]); });
}
ONEBIT_INLINE float sum(const F &a) {
    const float32x4_t four = vaddq_f32(vaddq_f32(a.part[0], a.part[2]), vaddq_f32(a.part[1], a.part[3]));
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
ONEBIT_INLINE float greatest(const F &a) {
    return vmaxvq_f32(vmaxq_f32(vmaxq_f32(a.part[0], a.part[1]), vmaxq_f32(a.part[2], a.part[3])));
}
ONEBIT_INLINE void store_rounded(int16_t *p, const F &a, int count) {
    const F least = broadcast(-2047), most = broadcast(2047);
    const F held = max(a, least);
    const F v = select(gt(most, held), held, most);
    int16_t values[16];
    for (int i = 0; i < 4; ++i) vst1_s16(values + 4 * i, vmovn_s32(vcvtnq_s32_f32(v.part[i])));
    std::memcpy(p, values, size_t(count) * sizeof *values);
}

// ---- Words: 16 int32, or 16 pairs of int16, or 16 quads of bytes.
ONEBIT_INLINE I load_words(const void *p) {
    return each_integer([=](int i) { return vld1q_s32(static_cast<const int32_t *>(p) + 4 * i); });
}
ONEBIT_INLINE I broadcast_word(const void *p) {
    int32_t word;
    std::memcpy(&word, p, sizeof word);
    return each_integer([=](int) { return vdupq_n_s32(word); });
}
ONEBIT_INLINE I zero() {
    return each_integer([](int) { return vdupq_n_s32(0); });
}
ONEBIT_INLINE F to_float(const I &a) {
    return each([&](int i) { return vcvtq_f32_s32(a.part[i]); });
}
ONEBIT_INLINE I subtract_twice(int32_t b, const I &a) {
    return each_integer([&](int i) { return vmlsq_n_s32(vdupq_n_s32(b), a.part[i], 2); });
}
ONEBIT_INLINE I count_differences(const I &sum, const I &weights, const uint32_t *x) {
    const I word = broadcast_word(x);
    return each_integer([&](int i) {
        const uint8x16_t bytes = vcntq_u8(vreinterpretq_u8_s32(veorq_s32(word.part[i], weights.part[i])));
        return vreinterpretq_s32_u32(vpadalq_u16(vreinterpretq_u32_s32(sum.part[i]), vpaddlq_u8(bytes)));
    });
}
// count_differences over a run of words, for binary_conv.h: bytes take up to 31 counts of at most 8 before they are added to 32-bit lanes.
#define ONEBIT_OWN_COUNT_RUN
template <int N, int P>
ONEBIT_INLINE void count_run(I (&counts)[P], const uint32_t *const (&pixel)[P], ptrdiff_t offset, const uint32_t *weights, int words) {
    const int n = N ? N : words;
    for (int k = 0; k < n;) {
        uint8x16_t bytes[P][4];
        ONEBIT_UNROLL
        for (int p = 0; p < P; ++p)
            ONEBIT_UNROLL
            for (int i = 0; i < 4; ++i) bytes[p][i] = vdupq_n_u8(0);
        for (const int end = n - k < 31 ? n : k + 31; k < end; ++k) {
            const I w = load_words(weights + k * 16);
            ONEBIT_UNROLL
            for (int p = 0; p < P; ++p) {
                const int32x4_t x = vreinterpretq_s32_u32(vld1q_dup_u32(pixel[p] + offset + k));
                ONEBIT_UNROLL
                for (int i = 0; i < 4; ++i)
                    bytes[p][i] = vaddq_u8(bytes[p][i], vcntq_u8(vreinterpretq_u8_s32(veorq_s32(x, w.part[i]))));
            }
        }
        ONEBIT_UNROLL
        for (int p = 0; p < P; ++p)
            ONEBIT_UNROLL
            for (int i = 0; i < 4; ++i)
                counts[p].part[i] = vreinterpretq_s32_u32(vpadalq_u16(vreinterpretq_u32_s32(counts[p].part[i]), vpaddlq_u8(bytes[p][i])));
    }
}
ONEBIT_INLINE I dot_pairs(const I &sum, const I &weights, const I &x) {
    return each_integer([&](int i) {
        const int16x8_t w = vreinterpretq_s16_s32(weights.part[i]), v = vreinterpretq_s16_s32(x.part[i]);
        const int32x4_t low = vmull_s16(vget_low_s16(w), vget_low_s16(v)), high = vmull_high_s16(w, v);
        return vaddq_s32(sum.part[i], vpaddq_s32(low, high));
    });
}
ONEBIT_INLINE I dot_quads(const I &sum, const I &weights, const I &x) {
    return each_integer([&](int i) {
        const int8x16_t w = vreinterpretq_s8_s32(weights.part[i]);
        const uint8x16_t v = vreinterpretq_u8_s32(x.part[i]);
        const int16x8_t w_low = vmovl_s8(vget_low_s8(w)), w_high = vmovl_high_s8(w);
        const int16x8_t v_low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(v))), v_high = vreinterpretq_s16_u16(vmovl_high_u8(v));
        const int32x4_t low = vpaddq_s32(vmull_s16(vget_low_s16(w_low), vget_low_s16(v_low)), vmull_high_s16(w_low, v_low));
        const int32x4_t high = vpaddq_s32(vmull_s16(vget_low_s16(w_high), vget_low_s16(v_high)), vmull_high_s16(w_high, v_high));
        return vaddq_s32(sum.part[i], vpaddq_s32(low, high));
    });
}
ONEBIT_INLINE void widen(int16_t *to, const uint8_t *from) {
    for (int i = 0; i < 32; i += 8) vst1q_s16(to + i, vreinterpretq_s16_u16(vmovl_u8(vld1_u8(from + i))));
}

}  // namespace ONEBIT_SET
}  // namespace onebit
