// A model on one size of image: all steps with their addresses, in one block of memory.
#pragma once

#include "../model.h"
#include "shapes.h"
#include "steps.h"

namespace onebit {

class Plan {
public:
    // Throws Failure where the size does not fit or takes too much memory.
    Plan(const Model &model, int64_t height, int64_t width, int workers);
    Plan(const Plan &) = delete;
    Plan &operator=(const Plan &) = delete;
    ~Plan();

    int height = 0, width = 0;  // of the image
    FloatMap input;             // where the image goes: floats,
    ByteMap pixels;             // or bytes
    FloatMap output;
    Shape output_shape;
    std::vector<std::unique_ptr<Step>> steps;
    size_t memory = 0;          // bytes

    std::vector<BitMap> bit_maps, merged_maps;  // calls point to them
    void *block = nullptr;                      // all maps
};

}  // namespace onebit
