// How the kernels ask the compiler for inlining and unrolling.
#pragma once

#define ONEBIT_INLINE inline __attribute__((always_inline))
#define ONEBIT_NO_INLINE __attribute__((noinline))

// Before a loop over registers, whose index the compiler must know. Sets that are not written for speed define it as nothing.
#if defined(ONEBIT_UNROLL)
#elif defined(__clang__)
#define ONEBIT_UNROLL _Pragma("unroll")
#else
#define ONEBIT_UNROLL _Pragma("GCC unroll 16")
#endif
