// The vectors of portable.h in one 512-bit register. Needs AVX-512 F, BW, DQ, VL, VPOPCNTDQ and VNNI.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "inline.h"

namespace onebit {
namespace ONEBIT_SET {

using F = __m512;
using I = __m512i;
using Mask = __mmask16;

constexpr int wide_tile = 8, narrow_tile = 7;
constexpr int real_pixels = 6, real_blocks = 4, single_blocks = 4;
constexpr bool own_rows = true, own_epilogues = true;

ONEBIT_INLINE __mmask16 first_lanes(int count) { return __mmask16(_bzhi_u32(0xffff, unsigned(count))); }

// ---- Floats.
ONEBIT_INLINE F broadcast(float a) { return _mm512_set1_ps(a); }
ONEBIT_INLINE F load(const float *p) { return _mm512_loadu_ps(p); }
ONEBIT_INLINE F load(const float *p, int count) { return _mm512_maskz_loadu_ps(first_lanes(count), p); }
ONEBIT_INLINE void store(float *p, F a) { _mm512_storeu_ps(p, a); }
ONEBIT_INLINE void store(float *p, F a, int count) { _mm512_mask_storeu_ps(p, first_lanes(count), a); }
ONEBIT_INLINE F add(F a, F b) { return _mm512_add_ps(a, b); }
ONEBIT_INLINE F mul(F a, F b) { return _mm512_mul_ps(a, b); }
ONEBIT_INLINE F div(F a, F b) { return _mm512_div_ps(a, b); }
ONEBIT_INLINE F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
ONEBIT_INLINE F max(F a, F b) { return _mm512_max_ps(a, b); }
ONEBIT_INLINE F abs(F a) { return _mm512_abs_ps(a); }
ONEBIT_INLINE Mask ge(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
ONEBIT_INLINE Mask gt(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
ONEBIT_INLINE uint32_t bits(Mask mask) { return mask; }
ONEBIT_INLINE F select(Mask mask, F a, F b) { return _mm512_mask_blend_ps(mask, b, a); }
ONEBIT_INLINE float sum(F a) {
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
ONEBIT_INLINE float greatest(F a) { return _mm512_reduce_max_ps(a); }
ONEBIT_INLINE void store_rounded(int16_t *p, F a, int count) {
    const F held = _mm512_min_ps(_mm512_max_ps(a, _mm512_set1_ps(-2047)), _mm512_set1_ps(2047));
    _mm256_mask_storeu_epi16(p, first_lanes(count), _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(held)));
}

// ---- Integers.
ONEBIT_INLINE I load_words(const void *p) { return _mm512_loadu_si512(p); }
ONEBIT_INLINE I broadcast_word(const void *p) {
    int32_t word;
    __builtin_memcpy(&word, p, sizeof word);
    return _mm512_set1_epi32(word);
}
ONEBIT_INLINE I zero() { return _mm512_setzero_si512(); }
ONEBIT_INLINE F to_float(I a) { return _mm512_cvtepi32_ps(a); }
ONEBIT_INLINE I subtract_twice(int32_t b, I a) { return _mm512_sub_epi32(_mm512_set1_epi32(b), _mm512_add_epi32(a, a)); }
// Sums are written out as instructions: compilers load the broadcast of x into a register first, where it is free as an operand, and copy
// sums to other registers and to memory.
ONEBIT_INLINE I count_differences(I sum, I weights, const uint32_t *x) {
    I differences;
    asm("vpxord %3%{1to16%}, %2, %1\n\t"
        "vpopcntd %1, %1\n\t"
        "vpaddd %1, %0, %0"
        : "+v"(sum), "=&v"(differences)
        : "v"(weights), "m"(*x));
    return sum;
}
ONEBIT_INLINE I dot_pairs(I sum, I weights, I x) {
    asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(weights), "v"(x));
    return sum;
}
ONEBIT_INLINE I dot_quads(I sum, I weights, I x) {
    asm("vpdpbusd %1, %2, %0" : "+v"(sum) : "v"(weights), "v"(x));
    return sum;
}
ONEBIT_INLINE void widen(int16_t *to, const uint8_t *from) {
    _mm512_storeu_si512(to, _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(from))));
}

}  // namespace ONEBIT_SET
}  // namespace onebit
