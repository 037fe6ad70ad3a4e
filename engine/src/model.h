// What a file holds, made ready for one set of kernels. Immutable: any number of sessions share it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "format.h"

namespace onebit {

// The tensors of one operation as kernels read them; only those of its kind are there.
struct Prepared {
    std::unique_ptr<BinaryConv> binary;
    std::unique_ptr<FloatConv> conv;
    std::unique_ptr<PixelConv> pixels;
    std::unique_ptr<Pointwise> pointwise;
    std::vector<float> scale, bias;  // affine, prelu, and what pixels stand for; padded with zeros
};

class Model {
public:
    // kernel: a name or null for the best one. Throws Failure.
    Model(Bytes bytes, const char *kernel);

    const Bytes bytes;  // prepared weights and the metadata point into it
    const Kernels &kernels;
    const Program program;
    const std::vector<std::string> paths;
    const std::vector<Prepared> prepared;

    const Operation &input() const { return program.operations.front(); }
    bool pixels_only() const { return (input().flags & flag_pixels) != 0; }
    // channels x 256 values that pixels stand for; null where the file has none.
    const float *pixel_values() const { return prepared[0].scale.empty() ? nullptr : prepared[0].scale.data(); }
};

// That name, else $ONEBIT_KERNEL, else the best one that this processor can run. Throws Failure (ONEBIT_BAD_KERNEL).
const Kernels &choose_kernels(const char *name);

}  // namespace onebit
