// The kernel set "neon": 64-bit ARM. Every such processor has what it needs.
#if defined(__aarch64__) && !defined(ONEBIT_PORTABLE_ONLY)
#define ONEBIT_SET neon
#include "../simd/neon.h"
#include "set.h"

namespace onebit::neon {
extern const Kernels kernels = common_kernels();
}
#endif
