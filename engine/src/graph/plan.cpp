#include "plan.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "../failure.h"
#include "placing.h"

namespace onebit {
namespace {

constexpr double border_limit = 1 << 28;  // sums over taps that a table of border classes may take

// Rates of a fast core, per nanosecond; they only decide what is worth dividing.
constexpr double binary_rate = 1000, float_rate = 50, pixel_rate = 150, value_rate = 8;

double classes(int size, int kernel) { return std::min(size, 2 * kernel + 1); }

}  // namespace

struct Planner {
    const Model &model;
    Plan &plan;
    const int workers;
    const std::vector<Shape> shapes;
    const Fusion fusion;
    Placing placing;
    Memory memory;
    std::vector<size_t> bits_at, merged_at, quantized_at;  // by request, by step
    size_t pixels_at = 0;
    std::vector<BitMap> bits, merged;
    uint8_t *block = nullptr, *arena = nullptr;

    Planner(const Model &m, Plan &p, int64_t height, int64_t width, int w)
        : model(m), plan(p), workers(w), shapes(infer_shapes(m.program, m.paths, height, width)), fusion(fuse(m, shapes)),
          placing(place_values(fusion, shapes)), bits_at(fusion.requests.size()), merged_at(fusion.requests.size()),
          quantized_at(fusion.steps.size()), bits(fusion.requests.size()), merged(fusion.requests.size()) {}

    const Operation &op(const FusedStep &step) const { return model.program.operations[size_t(step.op)]; }
    const Shape &shape(int value) const { return shapes[size_t(value)]; }

    // ---- Addresses, first as offsets.

    BitMap bit_map(const SignRequest &request) const {
        const Shape &s = shape(request.value);
        BitMap map;
        map.height = s.height;
        map.width = s.width;
        map.words = request.groups * ((s.channels / request.groups + 31) / 32);
        map.row = ptrdiff_t(map.width + 2 * request.pad_w) * map.words;
        return map;
    }

    BitMap merged_map(const SignRequest &request) const {
        const Shape &s = shape(request.value);
        BitMap map = bit_map(request);
        map.words = s.channels / 32 + (3 * (s.channels % 32) + 31) / 32;
        map.row = ptrdiff_t(map.width + 2 * request.merged_pad_w) * map.words;
        return map;
    }

    size_t take_bits(const BitMap &map, const std::vector<int> &key, int pad_h, int first, int last) {
        return memory.take_shaped(key, size_t(map.height + 2 * pad_h) * size_t(map.row) * sizeof(uint32_t), first, last);
    }

    void reserve_bits() {
        std::vector<int> last(fusion.requests.size()), order(fusion.requests.size());
        for (int s = 0; s < int(fusion.steps.size()); ++s)
            for (int r : fusion.steps[size_t(s)].takes) last[size_t(r)] = s;
        for (size_t r = 0; r < order.size(); ++r) order[r] = int(r);
        std::sort(order.begin(), order.end(), [&](int a, int b) { return fusion.requests[size_t(a)].step < fusion.requests[size_t(b)].step; });
        for (int r : order) {
            const SignRequest &q = fusion.requests[size_t(r)];
            const Shape &s = shape(q.value);
            bits_at[size_t(r)] = take_bits(bit_map(q), {0, s.height, s.width, s.channels, q.groups, q.pad_h, q.pad_w}, q.pad_h, q.step, last[size_t(r)]);
        }
        std::sort(order.begin(), order.end(), [&](int a, int b) { return fusion.requests[size_t(a)].merge_step < fusion.requests[size_t(b)].merge_step; });
        for (int r : order) {
            const SignRequest &q = fusion.requests[size_t(r)];
            const Shape &s = shape(q.value);
            if (q.merged)
                merged_at[size_t(r)] = take_bits(merged_map(q), {1, s.height, s.width, s.channels, q.merged_pad_h, q.merged_pad_w}, q.merged_pad_h, q.merge_step, last[size_t(r)]);
        }
    }

    void reserve_floats() {
        struct Wish {
            int first, last;
            size_t bytes, *offset;
        };
        std::vector<Wish> wishes;
        for (Storage &storage : placing.storages) {
            if (storage.frame_h == 0 && storage.frame_w == 0) wishes.push_back({storage.first, storage.last, storage.bytes(), &storage.offset});
        }
        for (int s = 0; s < int(fusion.steps.size()); ++s)
            if (fusion.steps[size_t(s)].kind == StepKind::pointwise) {
                const Shape &in = shape(fusion.steps[size_t(s)].reads[0]);
                wishes.push_back({s, s, size_t(in.height) * size_t(in.width) * size_t(in.channels + 1) * sizeof(int16_t), &quantized_at[size_t(s)]});
            }
        std::stable_sort(wishes.begin(), wishes.end(), [](const Wish &a, const Wish &b) { return a.first < b.first; });
        for (const Wish &wish : wishes) *wish.offset = memory.take(wish.bytes, wish.first, wish.last);

        std::vector<Storage *> framed;
        for (Storage &storage : placing.storages)
            if (storage.frame_h != 0 || storage.frame_w != 0) framed.push_back(&storage);
        std::sort(framed.begin(), framed.end(), [](const Storage *a, const Storage *b) { return a->first < b->first; });
        for (Storage *s : framed)
            s->offset = memory.take_shaped({2, s->height, s->width, s->channels, s->frame_h, s->frame_w}, s->bytes(), s->first, s->last);
        if (model.pixels_only()) pixels_at = memory.take_shaped({3}, pixel_bytes(), 0, int(fusion.steps.size()));
    }

    // One row more below, see kernels.h.
    size_t pixel_bytes() const {
        const Shape &s = shape(0);
        return size_t(s.height + 2 * fusion.frame_h[0] + 1) * size_t(s.width + 2 * fusion.frame_w[0]) * size_t(s.channels);
    }

    void reserve_borders() {
        for (const FusedStep &step : fusion.steps) {
            if (step.kind != StepKind::binary_conv && step.kind != StepKind::pixel_conv) continue;
            const Shape &out = shape(step.op);
            const ConvShape &s = op(step).shape;
            const double outputs = double(s.groups) * blocks(s.channels_out / s.groups) * lanes;
            const double bases = step.kind == StepKind::binary_conv ? op(step).tensors[role_weight]->dims[0] : 1;
            const double table = classes(out.height, s.kernel_h) * classes(out.width, s.kernel_w) * bases * outputs;
            if (table * s.kernel_h * s.kernel_w > border_limit)
                fail(ONEBIT_NO_MEMORY, "%s has too large a kernel for so many channels: its border would take %.3g sums",
                     name_of(step).c_str(), table * s.kernel_h * s.kernel_w);
            memory.count(size_t(table) * 4);
        }
    }

    // ---- Maps.

    FloatMap float_map(int value) const {
        FloatMap map;
        const Place &place = placing.places[size_t(value)];
        if (place.storage < 0) return map;
        const Storage &s = placing.storages[size_t(place.storage)];
        const bool framed = s.frame_h != 0 || s.frame_w != 0;
        map.height = s.height;
        map.width = s.width;
        map.channels = shape(value).channels;
        map.pixel = s.pixel();
        map.row = s.row();
        map.data = reinterpret_cast<float *>((framed ? block : arena) + s.offset) + s.frame_h * map.row + s.frame_w * map.pixel + place.channel;
        return map;
    }

    void allocate() {
        const size_t size = std::max<size_t>(memory.total(), 64);
        block = static_cast<uint8_t *>(plan.block_ = ::operator new(size, std::align_val_t(64)));
        std::memset(block, 0, size);
        arena = block + memory.shaped();
        plan.memory = size;
        for (size_t r = 0; r < bits.size(); ++r) {
            const SignRequest &q = fusion.requests[r];
            bits[r] = bit_map(q);
            bits[r].data = reinterpret_cast<uint32_t *>(block + bits_at[r]) + q.pad_h * bits[r].row + ptrdiff_t(q.pad_w) * bits[r].words;
            if (!q.merged) continue;
            merged[r] = merged_map(q);
            merged[r].data = reinterpret_cast<uint32_t *>(block + merged_at[r]) + q.merged_pad_h * merged[r].row + ptrdiff_t(q.merged_pad_w) * merged[r].words;
        }
        plan.bit_maps_ = bits;
        plan.merged_maps_ = merged;
    }

    // ---- Steps.

    std::string name_of(const FusedStep &step) const {
        const std::string &path = model.paths[size_t(step.op)];
        const std::string name = step_name(op(step), step.op, path);
        if (step.kind == StepKind::merge) return "merge for " + name;
        return step.kind == StepKind::elementwise && step.posts.empty() ? "sign of " + name : name;
    }

    Post post(int index, const FloatMap &summand) const {
        const Operation &op = model.program.operations[size_t(index)];
        const Prepared &prepared = model.prepared[size_t(index)];
        Post post;
        post.p0 = op.p0;
        post.p1 = op.p1;
        post.scale = prepared.scale.empty() ? nullptr : prepared.scale.data();
        post.bias = prepared.bias.empty() ? nullptr : prepared.bias.data();
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

    SignOutput sign(int r) const {
        const SignRequest &request = fusion.requests[size_t(r)];
        SignOutput sign;
        sign.bits = bits[size_t(r)];
        sign.shift = request.shift;
        if (request.affine >= 0) {
            sign.scale = model.prepared[size_t(request.affine)].scale.data();
            sign.bias = model.prepared[size_t(request.affine)].bias.data();
        }
        return sign;
    }

    Epilogue epilogue(const FusedStep &step) const {
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

    // Signs of groups that do not fill words: group by group.
    void split_groups(const FusedStep &step, ElementwiseStep &made) const {
        const int r = step.signs[0];
        const SignRequest &request = fusion.requests[size_t(r)];
        const FloatMap in = float_map(step.reads[0]);
        const int channels = in.channels / request.groups, words = (channels + 31) / 32;
        for (int g = 0; g < request.groups; ++g) {
            ElementwiseCall call;
            call.input = in;
            call.input.data += ptrdiff_t(g) * channels;
            call.input.channels = channels;
            call.epilogue.signs = 1;
            SignOutput &out = call.epilogue.sign[0] = sign(r);
            out.bits.data += ptrdiff_t(g) * words;
            if (out.scale) out.scale += ptrdiff_t(g) * channels, out.bias += ptrdiff_t(g) * channels;
            made.calls.push_back(call);
        }
    }

    std::unique_ptr<Step> elementwise(const FusedStep &step) const {
        auto made = std::make_unique<ElementwiseStep>();
        const FloatMap in = float_map(step.reads[0]);
        const bool one = step.signs.empty() || fusion.requests[size_t(step.signs[0])].groups == 1 ||
                         in.channels / fusion.requests[size_t(step.signs[0])].groups % 32 == 0;
        if (one) {
            made->calls.push_back({in, epilogue(step)});
            made->channel_blocks = blocks(in.channels);
        } else {
            split_groups(step, *made);
        }
        made->rows = in.height;
        made->work = double(in.height) * in.width * in.channels * double(1 + step.signs.size() + step.summands.size()) / value_rate;
        return made;
    }

    // Operands that could not be placed inside the result are copied.
    std::unique_ptr<Step> concat(const FusedStep &step) const {
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
        if (made->calls.empty()) return nullptr;
        made->rows = whole.height;
        made->work = double(whole.height) * whole.width * whole.channels / value_rate;
        return made;
    }

    std::unique_ptr<Step> binary_conv(const FusedStep &step) const {
        auto made = std::make_unique<BinaryConvStep>();
        const BinaryConv &conv = *model.prepared[size_t(step.op)].binary;
        const Shape &in = shape(fusion.requests[size_t(step.takes[0])].value);
        made->border = make_border(conv, in.height, in.width);
        made->call.conv = &conv;
        made->call.border = &made->border;
        for (size_t t = 0; t < step.takes.size(); ++t) {
            const size_t r = size_t(step.takes[t]);
            made->call.inputs[t] = conv.merged ? &plan.merged_maps_[r] : &plan.bit_maps_[r];
        }
        if (!step.reads.empty()) made->call.input_scale = float_map(step.reads[0]);
        made->call.epilogue = epilogue(step);
        made->weight_bits = 1;
        return made;
    }

    std::unique_ptr<Step> conv(const FusedStep &step) const {
        auto made = std::make_unique<FloatConvStep>();
        made->call.conv = model.prepared[size_t(step.op)].conv.get();
        made->call.input = float_map(step.reads[0]);
        made->call.height = shape(step.op).height;
        made->call.width = shape(step.op).width;
        made->call.epilogue = epilogue(step);
        made->weight_bits = 32;
        return made;
    }

    std::unique_ptr<Step> pixel_conv(const FusedStep &step) const {
        auto made = std::make_unique<PixelConvStep>();
        const PixelConv &conv = *model.prepared[size_t(step.op)].pixels;
        made->call.conv = &conv;
        made->call.input = plan.pixels;
        plan_pixels(conv, plan.pixels.height, plan.pixels.width, &made->call);
        made->call.epilogue = epilogue(step);
        made->weight_bits = conv.bits;
        return made;
    }

    std::unique_ptr<Step> pool(const FusedStep &step) const {
        auto made = std::make_unique<PoolStep>();
        const ConvShape &s = op(step).shape;
        PoolCall &call = made->call;
        call.input = float_map(step.reads[0]);
        call.height = shape(step.op).height;
        call.width = shape(step.op).width;
        const bool mean = step.kind == StepKind::mean_pool;
        call.kernel_h = mean ? call.input.height : s.kernel_h;
        call.kernel_w = mean ? call.input.width : s.kernel_w;
        call.stride_h = s.stride_h;
        call.stride_w = s.stride_w;
        call.pad_h = s.pad_h;
        call.pad_w = s.pad_w;
        call.count_padding = step.kind == StepKind::average_pool && (op(step).flags & flag_count_padding);
        call.epilogue = epilogue(step);
        made->kernel = mean ? &Kernels::mean_pool : step.kind == StepKind::max_pool ? &Kernels::max_pool : &Kernels::average_pool;
        made->work = double(shape(step.op).values()) * call.kernel_h * call.kernel_w / value_rate;
        return made;
    }

    // Three steps: the greatest magnitude, rounding to 12 bits, products.
    std::unique_ptr<Step> pointwise(const FusedStep &step, size_t s) {
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
        magnitude->rows = quantize->rows = in.height;
        magnitude->work = quantize->work = double(in.height) * in.width * in.channels / value_rate;
        const std::string name = name_of(step);
        magnitude->name = "magnitude for " + name;
        quantize->name = "rounding for " + name;
        plan.steps.push_back(std::move(magnitude));
        plan.steps.push_back(std::move(quantize));
        made->call.conv = model.prepared[size_t(step.op)].pointwise.get();
        made->call.input = target;
        made->call.epilogue = epilogue(step);
        made->weight_bits = 16;
        return made;
    }

    std::unique_ptr<Step> mean_abs(const FusedStep &step) const {
        auto made = std::make_unique<MeanAbsStep>();
        made->in = float_map(step.reads[0]);
        made->out = float_map(step.result);
        made->rows = made->in.height;
        made->work = double(made->in.height) * made->in.width * made->in.channels / value_rate;
        return made;
    }

    std::unique_ptr<Step> merge(const FusedStep &step) const {
        auto made = std::make_unique<MergeStep>();
        const size_t r = size_t(step.takes[0]);
        made->plain = bits[r];
        made->merged = merged[r];
        made->leftover = shape(fusion.requests[r].value).channels % 32;
        made->rows = made->plain.height;
        made->work = double(made->rows) * made->plain.width * made->plain.words;
        return made;
    }

    std::unique_ptr<Step> flatten(const FusedStep &step) const {
        auto made = std::make_unique<FlattenStep>();
        made->in = float_map(step.reads[0]);
        made->out = float_map(step.result);
        return made;
    }

    std::unique_ptr<Step> make(const FusedStep &step, size_t s) {
        switch (step.kind) {
            case StepKind::input: return nullptr;
            case StepKind::conv: return conv(step);
            case StepKind::pixel_conv: return pixel_conv(step);
            case StepKind::binary_conv: return binary_conv(step);
            case StepKind::pointwise: return pointwise(step, s);
            case StepKind::max_pool:
            case StepKind::average_pool:
            case StepKind::mean_pool: return pool(step);
            case StepKind::mean_abs: return mean_abs(step);
            case StepKind::concat: return concat(step);
            case StepKind::flatten: return flatten(step);
            case StepKind::elementwise: return elementwise(step);
            case StepKind::merge: return merge(step);
        }
        return nullptr;
    }

    void run() {
        reserve_bits();
        reserve_floats();
        reserve_borders();
        allocate();
        plan.height = shape(0).height;
        plan.width = shape(0).width;
        plan.output = float_map(fusion.output);
        plan.output_shape = shapes.back();
        if (model.pixels_only()) {
            ByteMap &p = plan.pixels;
            p.height = plan.height;
            p.width = plan.width;
            p.channels = shape(0).channels;
            p.pixel = p.channels;
            p.row = ptrdiff_t(p.width + 2 * fusion.frame_w[0]) * p.channels;
            p.data = block + pixels_at + fusion.frame_h[0] * p.row + fusion.frame_w[0] * p.pixel;
        } else {
            plan.input = float_map(0);
        }
        for (size_t s = 0; s < fusion.steps.size(); ++s) {
            const FusedStep &fused = fusion.steps[s];
            std::unique_ptr<Step> step = make(fused, s);
            if (!step) continue;
            const bool conv = step->weight_bits > 0;
            if (conv) {
                const ConvShape &shape_of = op(fused).shape;
                const double macs = count_macs(op(fused), shape(fused.op));
                step->macs = int64_t(macs);
                step->rows = shape(fused.op).height;
                step->channel_blocks = shape_of.groups * blocks(shape_of.channels_out / shape_of.groups);
                step->work = macs / (step->weight_bits == 1 ? binary_rate : step->weight_bits == 32 ? float_rate : pixel_rate) +
                             double(shape(fused.op).values()) / value_rate;
            } else if (dynamic_cast<PoolStep *>(step.get())) {
                step->rows = shape(fused.op).height;
                step->channel_blocks = blocks(shape(fused.op).channels);
            }
            step->name = name_of(fused);
            plan.steps.push_back(std::move(step));
        }
    }
};

Plan::Plan(const Model &model, int64_t height, int64_t width, int workers) {
    Planner planner(model, *this, height, width, workers);
    planner.run();
}

Plan::~Plan() { ::operator delete(block_, std::align_val_t(64)); }

}  // namespace onebit
