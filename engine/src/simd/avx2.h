// portable.h's vectors as two ymm registers. Compiled with -mavx2 -mfma -mbmi2.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "inline.h"

namespace onebit {
namespace ONEBIT_SET {

struct F {
    __m256 low, high;
};
struct I {
    __m256i low, high;
};
struct Mask {
    __m256 low, high;
};

constexpr int wide_tile = 4, narrow_tile = 3;
constexpr int real_pixels = 6, real_blocks = 1, single_blocks = 4;
constexpr bool own_rows = false, own_epilogues = true;

// All ones in the lanes below `count`.
ONEBIT_INLINE I lanes_below(int count) {
    alignas(32) static constexpr int32_t lane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const __m256i n = _mm256_set1_epi32(count);
    return {_mm256_cmpgt_epi32(n, _mm256_load_si256(reinterpret_cast<const __m256i *>(lane))),
            _mm256_cmpgt_epi32(n, _mm256_load_si256(reinterpret_cast<const __m256i *>(lane + 8)))};
}
ONEBIT_INLINE __m256i load_integers(const void *p) { return _mm256_loadu_si256(static_cast<const __m256i *>(p)); }

// ---- Floats.
ONEBIT_INLINE F broadcast(float a) { return {_mm256_set1_ps(a), _mm256_set1_ps(a)}; }
ONEBIT_INLINE F load(const float *p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
ONEBIT_INLINE F load(const float *p, int count) {
    if (count >= 16) return load(p);
    const I mask = lanes_below(count);
    return {_mm256_maskload_ps(p, mask.low), _mm256_maskload_ps(p + 8, mask.high)};
}
ONEBIT_INLINE void store(float *p, F a) {
    _mm256_storeu_ps(p, a.low);
    _mm256_storeu_ps(p + 8, a.high);
}
ONEBIT_INLINE void store(float *p, F a, int count) {
    const I mask = lanes_below(count);
    _mm256_maskstore_ps(p, mask.low, a.low);
    _mm256_maskstore_ps(p + 8, mask.high, a.high);
}
ONEBIT_INLINE F add(F a, F b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
ONEBIT_INLINE F mul(F a, F b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
ONEBIT_INLINE F div(F a, F b) { return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)}; }
ONEBIT_INLINE F fma(F a, F b, F c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
ONEBIT_INLINE F max(F a, F b) { return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)}; }
ONEBIT_INLINE F abs(F a) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return {_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high)};
}
ONEBIT_INLINE Mask ge(F a, F b) {
    return {_mm256_cmp_ps(a.low, b.low, _CMP_GE_OQ), _mm256_cmp_ps(a.high, b.high, _CMP_GE_OQ)};
}
ONEBIT_INLINE Mask gt(F a, F b) {
    return {_mm256_cmp_ps(a.low, b.low, _CMP_GT_OQ), _mm256_cmp_ps(a.high, b.high, _CMP_GT_OQ)};
}
ONEBIT_INLINE uint32_t bits(Mask a) {
    return uint32_t(_mm256_movemask_ps(a.low)) | uint32_t(_mm256_movemask_ps(a.high)) << 8;
}
ONEBIT_INLINE F select(Mask mask, F a, F b) {
    return {_mm256_blendv_ps(b.low, a.low, mask.low), _mm256_blendv_ps(b.high, a.high, mask.high)};
}
ONEBIT_INLINE float sum(F a) {
    const __m256 eight = _mm256_add_ps(a.low, a.high);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
ONEBIT_INLINE float greatest(F a) {
    const __m256 eight = _mm256_max_ps(a.low, a.high);
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
ONEBIT_INLINE void store_rounded(int16_t *p, F a, int count) {
    const __m256 least = _mm256_set1_ps(-2047), most = _mm256_set1_ps(2047);
    const __m256i low = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(a.low, least), most));
    const __m256i high = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(a.high, least), most));
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
    if (count >= 16) {
        _mm256_storeu_si256(reinterpret_cast<__m256i *>(p), packed);
    } else {
        alignas(32) int16_t values[16];
        _mm256_store_si256(reinterpret_cast<__m256i *>(values), packed);
        std::memcpy(p, values, size_t(count) * sizeof *values);
    }
}

// ---- Words: 16 int32, or 16 pairs of int16, or 16 quads of bytes.
ONEBIT_INLINE I load_words(const void *p) { return {load_integers(p), load_integers(static_cast<const __m256i *>(p) + 1)}; }
ONEBIT_INLINE I broadcast_word(const void *p) {
    int32_t word;
    std::memcpy(&word, p, sizeof word);
    return {_mm256_set1_epi32(word), _mm256_set1_epi32(word)};
}
ONEBIT_INLINE I zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
ONEBIT_INLINE F to_float(I a) { return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)}; }
ONEBIT_INLINE I subtract_twice(int32_t b, I a) {
    const __m256i from = _mm256_set1_epi32(b);
    return {_mm256_sub_epi32(from, _mm256_add_epi32(a.low, a.low)), _mm256_sub_epi32(from, _mm256_add_epi32(a.high, a.high))};
}
// Set bits of each 32-bit lane: nibbles looked up, bytes added.
ONEBIT_INLINE __m256i count_bits(__m256i v) {
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                           0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i bytes = _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(v, nibble)),
                                          _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble)));
    return _mm256_madd_epi16(_mm256_maddubs_epi16(bytes, _mm256_set1_epi8(1)), _mm256_set1_epi16(1));
}
ONEBIT_INLINE I count_differences(I sum, I weights, const uint32_t *x) {
    const I word = broadcast_word(x);
    return {_mm256_add_epi32(sum.low, count_bits(_mm256_xor_si256(word.low, weights.low))),
            _mm256_add_epi32(sum.high, count_bits(_mm256_xor_si256(word.high, weights.high)))};
}
// Written out, or the compiler collects products until the sums no longer fit the registers.
ONEBIT_INLINE __m256i dot_pairs(__m256i sum, __m256i weights, __m256i x) {
    __m256i products;
    asm("vpmaddwd %[x], %[weights], %[products]\n\t"
        "vpaddd %[products], %[sum], %[sum]"
        : [sum] "+x"(sum), [products] "=x"(products)
        : [weights] "x"(weights), [x] "x"(x));
    return sum;
}
ONEBIT_INLINE I dot_pairs(I sum, I weights, I x) {
    return {dot_pairs(sum.low, weights.low, x.low), dot_pairs(sum.high, weights.high, x.high)};
}
// Even and odd bytes apart, as 16-bit values: vpmaddubsw would saturate.
ONEBIT_INLINE __m256i dot_quads(__m256i sum, __m256i weights, __m256i x) {
    const __m256i even_weights = _mm256_srai_epi16(_mm256_slli_epi16(weights, 8), 8);
    const __m256i even = _mm256_madd_epi16(even_weights, _mm256_and_si256(x, _mm256_set1_epi16(255)));
    const __m256i odd = _mm256_madd_epi16(_mm256_srai_epi16(weights, 8), _mm256_srli_epi16(x, 8));
    return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
}
ONEBIT_INLINE I dot_quads(I sum, I weights, I x) {
    return {dot_quads(sum.low, weights.low, x.low), dot_quads(sum.high, weights.high, x.high)};
}
ONEBIT_INLINE void widen(int16_t *to, const uint8_t *from) {
    const __m128i *bytes = reinterpret_cast<const __m128i *>(from);
    __m256i *values = reinterpret_cast<__m256i *>(to);
    _mm256_storeu_si256(values, _mm256_cvtepu8_epi16(_mm_loadu_si128(bytes)));
    _mm256_storeu_si256(values + 1, _mm256_cvtepu8_epi16(_mm_loadu_si128(bytes + 1)));
}

}  // namespace ONEBIT_SET
}  // namespace onebit
