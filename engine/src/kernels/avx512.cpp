// The kernel set "avx512": AVX-512 with VPOPCNTDQ and VNNI. Its instructions are asked for below the standard headers, so that no function
// of theirs, which the linker may take for the whole program, is compiled with them.
#if defined(__x86_64__) && !defined(ONEBIT_PORTABLE_ONLY)
#include <immintrin.h>

#include <cmath>
#include <cstring>

#include "../kernels.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,avx512vnni,bmi,bmi2,fma"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,avx512vnni,bmi,bmi2,fma")
#endif

#if defined(__GNUC__) && !defined(__clang__)  // GCC 12 takes its own _mm512_undefined_ps() for a mistake
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#define ONEBIT_SET avx512
#include "../simd/avx512.h"
#include "set.h"

namespace onebit::avx512 {
extern const Kernels kernels = common_kernels();
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
