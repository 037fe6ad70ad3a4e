// Sizes of all values for one size of image.
#pragma once

#include <string>
#include <vector>

#include "../format.h"

namespace onebit {

constexpr int max_side = 65535;
constexpr int64_t max_values = int64_t(1) << 30;  // of one map
constexpr double max_work = 1e13;                 // multiply-accumulates, or values touched, of one image

struct Shape {
    int channels = 0, height = 0, width = 0;
    int64_t values() const { return int64_t(channels) * height * width; }
};

// What one image costs in an operation: multiply-accumulates, padded taps counted.
double count_macs(const Operation &op, const Shape &out);

// "binary_conv stages.0.0.conv", or "binary_conv (operation 7)" without a path.
std::string step_name(const Operation &op, int index, const std::string &path);

// Throws Failure (ONEBIT_BAD_ARGUMENT) where the graph does not take images of this size.
std::vector<Shape> infer_shapes(const Program &program, const std::vector<std::string> &paths, int64_t height, int64_t width);

}  // namespace onebit
