// How a plan comes about: addresses for everything that fusion left over (plan.cpp), then one step after the other (build.cpp).
#pragma once

#include "placing.h"
#include "plan.h"

namespace onebit {

struct Planner {
    Planner(const Model &model, Plan &plan, int64_t height, int64_t width, int workers);
    void run();

    // ---- plan.cpp: memory, and maps in it
    BitMap bit_map(const SignRequest &request) const;     // without data
    BitMap merged_map(const SignRequest &request) const;  // without data
    size_t take_bits(const BitMap &map, const std::vector<int> &key, int pad_h, int first, int last);
    void reserve_bits();
    void reserve_floats();
    void reserve_borders();
    size_t pixel_bytes() const;
    int pooled_rows(const FusedStep &pool) const;
    Storage strip_of(const FusedStep &pool) const;
    void allocate();
    FloatMap float_map(int value) const;

    // ---- build.cpp: steps
    std::string name_of(const FusedStep &step) const;
    Post post(int index, const FloatMap &summand) const;
    SignOutput sign(int request) const;
    Epilogue epilogue(const FusedStep &step) const;
    void fill(const FusedStep &step, BinaryConvCall *call, Border *border) const;
    void fill(const FusedStep &step, FloatConvCall *call, Border *border) const;
    void fill(const FusedStep &step, PixelConvCall *call, Border *border) const;
    void fill(const FusedStep &step, PoolCall *call) const;
    void rate(const FusedStep &step, int weight_bits, Step *made) const;
    template <class Call>
    void add_conv(const FusedStep &step, void (*Kernels::*kernel)(const Call &, Part), int weight_bits);
    template <class Call>
    void add_strip(const FusedStep &step, size_t s, void (*Kernels::*kernel)(const Call &, Part), int weight_bits);
    void add_pool(const FusedStep &step, size_t s);
    void add_elementwise(const FusedStep &step);
    void add_groups(const FusedStep &step);
    void add_concat(const FusedStep &step);
    void add_pointwise(const FusedStep &step, size_t s);
    void add_mean_abs(const FusedStep &step);
    void add_merge(const FusedStep &step);
    void add_flatten(const FusedStep &step);
    void add(const FusedStep &step, size_t s);
    void append(std::unique_ptr<Step> step, std::string name);

    const Operation &op(const FusedStep &step) const { return model.program.operations[size_t(step.op)]; }
    const Shape &shape(int value) const { return shapes[size_t(value)]; }
    const Prepared &prepared(int op) const { return model.prepared[size_t(op)]; }

    const Model &model;
    Plan &plan;
    const int workers;
    const std::vector<Shape> shapes;
    const Fusion fusion;
    Placing placing;
    Memory memory;
    std::vector<size_t> bits_at, merged_at, quantized_at, strips_at;  // by request, by request, by step, by step
    size_t pixels_at = 0;
    uint8_t *block = nullptr, *arena = nullptr;
};

}  // namespace onebit
