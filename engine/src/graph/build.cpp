#include "planner.h"

namespace onebit {
namespace {

// Rates of a fast core, per nanosecond; they only decide what is worth dividing.
constexpr double binary_rate = 1000, float_rate = 50, integer_rate = 150, value_rate = 8;

}  // namespace

std::string Planner::name_of(const FusedStep &step) const {
    const std::string name = step_name(op(step), step.op, model.paths[size_t(step.op)]);
    if (step.strip) return name_of(*step.strip) + " with " + name;
    if (step.kind == StepKind::merge) return "merge for " + name;
    return step.kind == StepKind::elementwise && step.posts.empty() ? "sign of " + name : name;
}

// ---- Epilogues

Post Planner::post(int index, const FloatMap &summand) const {
    const Operation &op = model.program.operations[size_t(index)];
    const Prepared &constants = prepared(index);
    Post post;
    post.p0 = op.p0;
    post.p1 = op.p1;
    post.scale = constants.scale.empty() ? nullptr : constants.scale.data();
    post.bias = constants.bias.empty() ? nullptr : constants.bias.data();
    switch (op.kind) {
        case OpKind::add: post.kind = PostKind::add, post.map = summand; break;
        case OpKind::multiply: post.kind = PostKind::multiply; break;
        case OpKind::affine: post.kind = PostKind::affine; break;
        case OpKind::relu: post.kind = PostKind::relu; break;
        case OpKind::prelu: post.kind = PostKind::prelu; break;
        default: post.kind = PostKind::clamp; break;
    }
    return post;
}

SignOutput Planner::sign(int r) const {
    const SignRequest &request = fusion.requests[size_t(r)];
    SignOutput sign;
    sign.bits = plan.bit_maps[size_t(r)];
    sign.shift = request.shift;
    if (request.affine >= 0) {
        sign.scale = prepared(request.affine).scale.data();
        sign.bias = prepared(request.affine).bias.data();
    }
    return sign;
}

Epilogue Planner::epilogue(const FusedStep &step) const {
    Epilogue e;
    auto summand = step.summands.begin();
    for (int index : step.posts) {
        const bool add = model.program.operations[size_t(index)].kind == OpKind::add;
        e.post[e.posts++] = post(index, add ? float_map(*summand) : FloatMap());
        if (add) ++summand;
    }
    for (int r : step.signs) e.sign[e.signs++] = sign(r);
    if (step.result >= 0 && fusion.floats[size_t(step.result)]) e.out = float_map(step.result);
    return e;
}

// ---- Convolutions and pooling

void Planner::fill(const FusedStep &step, BinaryConvCall *call, Border *border) const {
    const BinaryConv &conv = *prepared(step.op).binary;
    const Shape &in = shape(fusion.requests[size_t(step.takes[0])].value);
    if (border->height == 0) *border = make_border(conv, in.height, in.width);
    call->conv = &conv;
    call->border = border;
    for (size_t t = 0; t < step.takes.size(); ++t) call->inputs[t] = &(conv.merged ? plan.merged_maps : plan.bit_maps)[size_t(step.takes[t])];
    if (!step.reads.empty()) call->input_scale = float_map(step.reads[0]);
    call->epilogue = epilogue(step);
}

void Planner::fill(const FusedStep &step, FloatConvCall *call, Border *) const {
    call->conv = prepared(step.op).conv.get();
    call->input = float_map(step.reads[0]);
    call->height = shape(step.op).height;
    call->width = shape(step.op).width;
    call->epilogue = epilogue(step);
}

void Planner::fill(const FusedStep &step, PixelConvCall *call, Border *border) const {
    const PixelConv &conv = *prepared(step.op).pixels;
    if (border->height == 0) *border = make_border(conv, plan.pixels.height, plan.pixels.width);
    call->conv = &conv;
    call->border = border;
    call->input = plan.pixels;
    call->epilogue = epilogue(step);
}

void Planner::fill(const FusedStep &step, PoolCall *call) const {
    const ConvShape &s = op(step).shape;
    if (!step.strip) call->input = float_map(step.reads[0]);
    call->height = shape(step.op).height;
    call->width = shape(step.op).width;
    const bool mean = step.kind == StepKind::mean_pool;
    call->kernel_h = mean ? call->input.height : s.kernel_h;
    call->kernel_w = mean ? call->input.width : s.kernel_w;
    call->stride_h = s.stride_h;
    call->stride_w = s.stride_w;
    call->pad_h = s.pad_h;
    call->pad_w = s.pad_w;
    call->count_padding = step.kind == StepKind::average_pool && (op(step).flags & flag_count_padding);
    call->epilogue = epilogue(step);
}

void Planner::append(std::unique_ptr<Step> step, std::string name) {
    step->name = std::move(name);
    plan.steps.push_back(std::move(step));
}

// Of a convolution: what a profile tells, and what it costs.
void Planner::rate(const FusedStep &step, int weight_bits, Step *made) const {
    const double macs = count_macs(op(step), shape(step.op));
    made->macs = int64_t(macs);
    made->weight_bits = weight_bits;
    made->work = macs / (weight_bits == 1 ? binary_rate : weight_bits == 32 ? float_rate : integer_rate) + double(shape(step.op).values()) / value_rate;
}

template <class Call>
void Planner::add_conv(const FusedStep &step, void (*Kernels::*kernel)(const Call &, Part), int weight_bits) {
    auto made = std::make_unique<ConvStep<Call>>();
    fill(step, &made->call, &made->border);
    made->kernel = kernel;
    made->rows = shape(step.op).height;
    made->channel_blocks = all_blocks(op(step).shape);
    rate(step, weight_bits, made.get());
    append(std::move(made), name_of(step));
}

template <class Call>
void Planner::add_strip(const FusedStep &step, size_t s, void (*Kernels::*kernel)(const Call &, Part), int weight_bits) {
    auto made = std::make_unique<StripStep<Call>>();
    const FusedStep &conv = *step.strip;
    const Storage strip = strip_of(step);
    const Shape &between = shape(conv.result);
    FloatMap map;
    map.height = between.height;
    map.width = between.width;
    map.channels = between.channels;
    map.pixel = strip.pixel();
    map.row = strip.row();
    made->convs.resize(size_t(workers));
    made->pools.resize(size_t(workers));
    for (int worker = 0; worker < workers; ++worker) {
        made->strips.push_back(reinterpret_cast<float *>(arena + strips_at[s] + size_t(worker) * strip.bytes()));
        Call &call = made->convs[size_t(worker)];
        fill(conv, &call, &made->border);
        call.epilogue.out = map;
        PoolCall &pool = made->pools[size_t(worker)];
        fill(step, &pool);
        pool.input = map;
    }
    made->conv = kernel;
    made->conv_blocks = all_blocks(op(conv).shape);
    made->group = pooled_rows(step);
    made->rows = shape(step.op).height;
    made->chunks_per_thread = 2;  // neighbouring chunks both compute the rows that they share
    rate(conv, weight_bits, made.get());
    append(std::move(made), name_of(step));
}

void Planner::add_pool(const FusedStep &step, size_t s) {
    if (step.strip) {
        switch (step.strip->kind) {
            case StepKind::binary_conv: return add_strip(step, s, &Kernels::binary_conv, 1);
            case StepKind::pixel_conv: return add_strip(step, s, &Kernels::pixel_conv, prepared(step.strip->op).pixels->bits);
            default: return add_strip(step, s, &Kernels::conv, 32);
        }
    }
    auto made = std::make_unique<PoolStep>();
    fill(step, &made->call);
    made->kernel = step.kind == StepKind::mean_pool ? &Kernels::mean_pool : step.kind == StepKind::max_pool ? &Kernels::max_pool : &Kernels::average_pool;
    made->rows = shape(step.op).height;
    made->channel_blocks = blocks(shape(step.op).channels);
    made->work = double(shape(step.op).values()) * made->call.kernel_h * made->call.kernel_w / value_rate;
    append(std::move(made), name_of(step));
}

// Three steps: the greatest magnitude, rounding to 12 bits, products.
void Planner::add_pointwise(const FusedStep &step, size_t s) {
    auto shared = std::make_shared<Quantization>();
    shared->source = float_map(step.reads[0]);
    const FloatMap &in = shared->source;
    Map<int16_t> &target = shared->target;
    target.data = reinterpret_cast<int16_t *>(arena + quantized_at[s]);
    target.height = in.height;
    target.width = in.width;
    target.channels = in.channels;
    target.pixel = (in.channels + 1) / 2 * 2;
    target.row = target.pixel * in.width;
    shared->magnitudes.resize(size_t(in.height));

    auto magnitude = std::make_unique<MagnitudeStep>();
    auto quantize = std::make_unique<QuantizeStep>();
    auto made = std::make_unique<PointwiseStep>();
    magnitude->shared = quantize->shared = made->shared = shared;
    magnitude->rows = quantize->rows = made->rows = in.height;
    magnitude->work = quantize->work = double(shape(step.reads[0]).values()) / value_rate;
    append(std::move(magnitude), "magnitude for " + name_of(step));
    append(std::move(quantize), "rounding for " + name_of(step));
    made->call.conv = prepared(step.op).pointwise.get();
    made->call.input = target;
    made->call.epilogue = epilogue(step);
    made->channel_blocks = blocks(shape(step.op).channels);
    rate(step, 16, made.get());
    append(std::move(made), name_of(step));
}

// ---- Everything else

void Planner::add_elementwise(const FusedStep &step) {
    if (!step.signs.empty()) {
        const int groups = fusion.requests[size_t(step.signs[0])].groups;
        if (!fill_words(shape(step.reads[0]).channels, groups)) return add_groups(step);
    }
    auto made = std::make_unique<ElementwiseStep>();
    const FloatMap in = float_map(step.reads[0]);
    made->calls.push_back({in, epilogue(step)});
    made->rows = in.height;
    made->channel_blocks = blocks(in.channels);
    made->work = double(shape(step.reads[0]).values()) * double(1 + step.signs.size() + step.summands.size()) / value_rate;
    append(std::move(made), name_of(step));
}

// Signs of groups that do not fill words: group by group.
void Planner::add_groups(const FusedStep &step) {
    auto made = std::make_unique<ElementwiseStep>();
    const int r = step.signs[0], groups = fusion.requests[size_t(r)].groups;
    const FloatMap in = float_map(step.reads[0]);
    const int channels = in.channels / groups;
    for (int g = 0; g < groups; ++g) {
        ElementwiseCall call;
        call.input = in;
        call.input.data += ptrdiff_t(g) * channels;
        call.input.channels = channels;
        call.epilogue.signs = 1;
        SignOutput &out = call.epilogue.sign[0] = sign(r);
        out.bits.data += ptrdiff_t(g) * words(channels);
        if (out.scale) out.scale += ptrdiff_t(g) * channels, out.bias += ptrdiff_t(g) * channels;
        made->calls.push_back(call);
    }
    made->rows = in.height;
    made->work = double(shape(step.reads[0]).values()) / value_rate;
    append(std::move(made), name_of(step));
}

// Operands that could not be placed inside the result are copied.
void Planner::add_concat(const FusedStep &step) {
    auto made = std::make_unique<ElementwiseStep>();
    const FloatMap whole = float_map(step.result);
    int channel = 0;
    for (int value : step.reads) {
        ElementwiseCall call;
        call.input = float_map(value);
        call.epilogue.out = whole;
        call.epilogue.out.data += channel;
        call.epilogue.out.channels = call.input.channels;
        channel += call.input.channels;
        if (call.input.data != call.epilogue.out.data) made->calls.push_back(call);
    }
    if (made->calls.empty()) return;
    made->rows = whole.height;
    made->work = double(shape(step.result).values()) / value_rate;
    append(std::move(made), name_of(step));
}

void Planner::add_mean_abs(const FusedStep &step) {
    auto made = std::make_unique<MeanAbsStep>();
    made->in = float_map(step.reads[0]);
    made->out = float_map(step.result);
    made->rows = made->in.height;
    made->work = double(shape(step.reads[0]).values()) / value_rate;
    append(std::move(made), name_of(step));
}

void Planner::add_merge(const FusedStep &step) {
    auto made = std::make_unique<MergeStep>();
    const size_t r = size_t(step.takes[0]);
    made->plain = plan.bit_maps[r];
    made->merged = plan.merged_maps[r];
    made->leftover = shape(fusion.requests[r].value).channels % 32;
    made->rows = made->plain.height;
    made->work = double(made->rows) * made->plain.width * made->plain.words;
    append(std::move(made), name_of(step));
}

void Planner::add_flatten(const FusedStep &step) {
    auto made = std::make_unique<FlattenStep>();
    made->in = float_map(step.reads[0]);
    made->out = float_map(step.result);
    append(std::move(made), name_of(step));
}

void Planner::add(const FusedStep &step, size_t s) {
    switch (step.kind) {
        case StepKind::input: return;
        case StepKind::conv: return add_conv(step, &Kernels::conv, 32);
        case StepKind::pixel_conv: return add_conv(step, &Kernels::pixel_conv, prepared(step.op).pixels->bits);
        case StepKind::binary_conv: return add_conv(step, &Kernels::binary_conv, 1);
        case StepKind::pointwise: return add_pointwise(step, s);
        case StepKind::max_pool:
        case StepKind::average_pool:
        case StepKind::mean_pool: return add_pool(step, s);
        case StepKind::mean_abs: return add_mean_abs(step);
        case StepKind::concat: return add_concat(step);
        case StepKind::flatten: return add_flatten(step);
        case StepKind::elementwise: return add_elementwise(step);
        case StepKind::merge: return add_merge(step);
    }
}

}  // namespace onebit
