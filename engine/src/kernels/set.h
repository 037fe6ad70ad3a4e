// Included last by the source file of a set: everything that the bodies define in the set's namespace, and a table of it.
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

// Every kernel as its body has it. Sets without functions of their own: namespace onebit::name { extern const Kernels kernels = common_kernels(); }
constexpr Kernels common_kernels() {
    return {ONEBIT_NAME(ONEBIT_SET), binary_conv, conv, pixel_conv, greatest_magnitude, quantize, pointwise, max_pool, average_pool,
            mean_pool, elementwise, mean_abs, merge, nullptr, nullptr};
}

}  // namespace ONEBIT_SET
}  // namespace onebit
