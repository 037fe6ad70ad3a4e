// The kernel set "portable": any processor.
#define ONEBIT_SET portable
#define ONEBIT_UNROLL
#include "../simd/portable.h"
#include "set.h"

namespace onebit::portable {
extern const Kernels kernels = common_kernels();
}
