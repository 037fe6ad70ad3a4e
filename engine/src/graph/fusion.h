// From operations to steps: a step is one kernel's work with all element-wise operations and signs that can go with it while its
// values are still in registers.
#pragma once

#include <memory>
#include <vector>

#include "../model.h"
#include "shapes.h"

namespace onebit {

// Signs of a value that binary convolutions read: sign(value + shift), first through an affine where only signs read that.
struct SignRequest {
    int value = 0;
    int affine = -1;  // the operation; -1 for none
    float shift = 0;
    int groups = 1;
    int pad_h = 0, pad_w = 0;                // frame that the readers ask for
    bool merged = false;                     // a reader wants merged rows
    int merged_pad_h = 0, merged_pad_w = 0;  // frame of that map
    int step = -1, merge_step = -1;          // who makes them
};

enum class StepKind {
    input, conv, pixel_conv, binary_conv, pointwise, max_pool, average_pool, mean_pool, mean_abs, concat, flatten, elementwise, merge
};

// A convolution whose only reader is a max_pool runs inside its step, a few rows at a time: the map between them never exists as a
// whole. The convolution's step then is the member `strip` of the pooling's.
struct FusedStep {
    StepKind kind = StepKind::input;
    int op = 0;                   // whose kernel and name it has
    int result = -1;              // the value that leaves; -1 where only signs do
    std::vector<int> reads;       // values that the kernel itself reads as floats
    std::vector<int> takes;       // sign requests that it reads: binary_conv one per term, merge one
    std::vector<int> posts;       // operations fused into it, in order
    std::vector<int> summands;    // values that the additions among them read
    std::vector<int> signs;       // sign requests that it makes
    std::shared_ptr<FusedStep> strip;
};

struct Fusion {
    std::vector<FusedStep> steps;  // in an order that they can run in
    std::vector<SignRequest> requests;
    std::vector<int> frame_h, frame_w;    // zeros that the readers of a value want around it
    std::vector<char> floats;             // somebody reads the value as floats
    int output = 0;
};

Fusion fuse(const Model &model, const std::vector<Shape> &shapes);

}  // namespace onebit
