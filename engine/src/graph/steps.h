// Steps as they run: one kernel call each, over any part of its rows and blocks of channels.
#pragma once

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "../kernels.h"

namespace onebit {

class Step {
public:
    virtual ~Step() = default;
    // Parts are disjoint and may run at the same time; worker numbers the thread.
    virtual void run(const Kernels &kernels, Part part, int worker) = 0;

    std::string name;
    int64_t macs = 0;
    int weight_bits = 0;
    int rows = 1, channel_blocks = 1;  // what parts may divide
    double work = 0;                   // nanoseconds on a fast core, roughly
    int chunks_per_thread = 4;
};

// A convolution without a strip.
template <class Call>
struct ConvStep : Step {
    Call call;
    Border border;  // where the call has one
    void (*Kernels::*kernel)(const Call &, Part) = nullptr;
    void run(const Kernels &kernels, Part part, int) override { (kernels.*kernel)(call, part); }
};

struct PoolStep : Step {
    PoolCall call;
    void (*Kernels::*kernel)(const PoolCall &, Part) = nullptr;
    void run(const Kernels &kernels, Part part, int) override { (kernels.*kernel)(call, part); }
};

// A convolution and the max_pool behind it, a few rows at a time. Every thread has a strip of the map between them; rows that the
// next windows need again move to its top.
template <class Call>
struct StripStep : Step {
    std::vector<Call> convs;      // by worker; their result is written to the strip
    std::vector<PoolCall> pools;
    std::vector<float *> strips;
    void (*Kernels::*conv)(const Call &, Part) = nullptr;
    int conv_blocks = 1, group = 1;  // group: pooled rows at a time
    Border border;                   // where the calls have one

    void run(const Kernels &kernels, Part part, int worker) override {
        PoolCall &pool = pools[size_t(worker)];
        FloatMap &between = pool.input, &made = convs[size_t(worker)].epilogue.out;
        float *const strip = strips[size_t(worker)];
        int first = 0, end = 0;  // rows in the strip
        for (int row = part.row_begin; row < part.row_end; row += group) {
            const int row_end = row + group < part.row_end ? row + group : part.row_end;
            const int top = row * pool.stride_h - pool.pad_h, bottom = (row_end - 1) * pool.stride_h - pool.pad_h + pool.kernel_h;
            const int wanted = top > 0 ? top : 0, wanted_end = bottom < between.height ? bottom : between.height;
            const int kept = end > wanted ? end - wanted : 0;
            if (kept > 0) std::memmove(strip, strip + (wanted - first) * between.row, size_t(kept) * size_t(between.row) * sizeof(float));
            made.data = between.data = strip - wanted * between.row;
            first = wanted;
            end = wanted_end;
            if (wanted + kept < end) (kernels.*conv)(convs[size_t(worker)], {wanted + kept, end, 0, conv_blocks});
            kernels.max_pool(pool, {row, row_end, 0, blocks(between.channels)});
        }
    }
};

// Several calls where groups do not fill words, or where a concatenation copies.
struct ElementwiseStep : Step {
    std::vector<ElementwiseCall> calls;
    void run(const Kernels &kernels, Part part, int) override {
        for (const ElementwiseCall &call : calls)
            kernels.elementwise(call, channel_blocks > 1 ? part : Part{part.row_begin, part.row_end, 0, blocks(call.input.channels)});
    }
};

struct MeanAbsStep : Step {
    FloatMap in, out;
    void run(const Kernels &kernels, Part part, int) override { kernels.mean_abs(in, out, part.row_begin, part.row_end); }
};

struct MergeStep : Step {
    BitMap plain, merged;
    int leftover = 0;
    void run(const Kernels &kernels, Part part, int) override { kernels.merge(plain, leftover, merged, part.row_begin, part.row_end); }
};

// What the three steps of a pointwise convolution share.
struct Quantization {
    FloatMap source;
    Map<int16_t> target;
    std::vector<float> magnitudes;  // by row; parts leave rows but their first at 0
    float greatest() const {
        float greatest = 0;
        for (float magnitude : magnitudes) greatest = magnitude > greatest ? magnitude : greatest;
        return greatest;
    }
};

struct MagnitudeStep : Step {
    std::shared_ptr<Quantization> shared;
    void run(const Kernels &kernels, Part part, int) override {
        for (int row = part.row_begin; row < part.row_end; ++row) shared->magnitudes[size_t(row)] = 0;
        shared->magnitudes[size_t(part.row_begin)] = kernels.greatest_magnitude(shared->source, part.row_begin, part.row_end);
    }
};

struct QuantizeStep : Step {
    std::shared_ptr<Quantization> shared;
    void run(const Kernels &kernels, Part part, int) override {
        const float factor = 2047.0f / shared->greatest();
        kernels.quantize(shared->source, std::isfinite(factor) ? factor : 0.0f, shared->target, part.row_begin, part.row_end);
    }
};

struct PointwiseStep : Step {
    std::shared_ptr<Quantization> shared;
    PointwiseCall call;  // but for its step, which depends on the image
    void run(const Kernels &kernels, Part part, int) override {
        PointwiseCall own = call;
        own.step = shared->greatest() / 2047.0f;
        kernels.pointwise(own, part);
    }
};

struct FlattenStep : Step {
    FloatMap in, out;
    void run(const Kernels &, Part, int) override {
        float *to = out.data;
        for (int c = 0; c < in.channels; ++c)
            for (int y = 0; y < in.height; ++y)
                for (int x = 0; x < in.width; ++x) *to++ = in.data[y * in.row + x * in.pixel + c];
    }
};

}  // namespace onebit
