// How the kernels ask the compiler for inlining and unrolling.
#pragma once

#define ONEBIT_INLINE inline __attribute__((always_inline))
#define ONEBIT_NO_INLINE __attribute__((noinline))

#if defined(__clang__)
#define ONEBIT_UNROLL _Pragma("unroll")
#else
#define ONEBIT_UNROLL _Pragma("GCC unroll 16")
#endif
