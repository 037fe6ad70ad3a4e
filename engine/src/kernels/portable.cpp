// The kernel set "portable": any processor.
#define ONEBIT_SET portable
#include "../simd/portable.h"
#include "set.h"
