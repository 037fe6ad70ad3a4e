// An image from the caller's memory into the network's first map.
#pragma once

#include "../include/onebit.h"
#include "kernels.h"

namespace onebit {

// Throws Failure: a null pointer, an empty or overflowing shape.
void check_images(const onebit_images &images);

// Rows [row_begin, row_end) of image `index`. False where there is a NaN.
bool read_floats(const onebit_images &images, int64_t index, const FloatMap &to, int row_begin, int row_end);
// Pixels through a table of channels x 256 values.
void read_pixels(const onebit_images &images, int64_t index, const float *values, const FloatMap &to, int row_begin, int row_end);
// Pixels as they are.
void copy_pixels(const onebit_images &images, int64_t index, const ByteMap &to, int row_begin, int row_end);

}  // namespace onebit
