// The kernel set "avx2": x86 with AVX2 and FMA. Its instructions are asked for below the standard headers, so that no function of theirs,
// which the linker may take for the whole program, is compiled with them.
#if defined(__x86_64__) && !defined(ONEBIT_PORTABLE_ONLY)
#include <immintrin.h>

#include <cmath>
#include <cstring>

#include "../kernels.h"
#include "lookup_rows.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,bmi,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,bmi,bmi2")
#endif

#define ONEBIT_SET avx2
#include "../simd/avx2.h"
#include "lookup_conv.h"
#include "set.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace onebit::avx2 {

constexpr Kernels own_kernels() {
    Kernels kernels = common_kernels();
    kernels.binary_conv = look_up_conv;
    kernels.arrange = arrange_for_look_up;
    kernels.arrange_pixels = widen_weights;
    return kernels;
}
extern const Kernels kernels = own_kernels();

}  // namespace onebit::avx2
#endif
