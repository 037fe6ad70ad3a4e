// Included last by the source file of a set: its table, from everything that the bodies define in the set's namespace.
#pragma once

#include "binary_conv.h"
#include "conv.h"
#include "elementwise.h"
#include "pixel_conv.h"
#include "pointwise.h"
#include "pool.h"

#define ONEBIT_STRING(name) #name
#define ONEBIT_NAME(name) ONEBIT_STRING(name)

namespace onebit {
namespace ONEBIT_SET {

extern const Kernels kernels = {ONEBIT_NAME(ONEBIT_SET), binary_conv, conv, pixel_conv, greatest_magnitude, quantize, pointwise, max_pool, average_pool,
                                mean_pool, elementwise, mean_abs, merge};

}  // namespace ONEBIT_SET
}  // namespace onebit
