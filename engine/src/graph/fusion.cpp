#include "fusion.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <queue>
#include <tuple>

namespace onebit {
namespace {

constexpr int64_t least_strip_values = 1 << 16;

bool is_elementwise(OpKind kind) {
    return kind == OpKind::affine || kind == OpKind::add || kind == OpKind::multiply || kind == OpKind::relu ||
           kind == OpKind::prelu || kind == OpKind::clamp;
}

bool has_epilogue(StepKind kind) {
    return kind != StepKind::input && kind != StepKind::mean_abs && kind != StepKind::concat && kind != StepKind::flatten &&
           kind != StepKind::merge;
}

StepKind step_kind(OpKind kind) {
    switch (kind) {
        case OpKind::input: return StepKind::input;
        case OpKind::conv: return StepKind::conv;
        case OpKind::pixel_conv: return StepKind::pixel_conv;
        case OpKind::binary_conv: return StepKind::binary_conv;
        case OpKind::pointwise: return StepKind::pointwise;
        case OpKind::max_pool: return StepKind::max_pool;
        case OpKind::average_pool: return StepKind::average_pool;
        case OpKind::mean_pool: return StepKind::mean_pool;
        case OpKind::mean_abs: return StepKind::mean_abs;
        case OpKind::concat: return StepKind::concat;
        case OpKind::flatten: return StepKind::flatten;
        default: return StepKind::elementwise;
    }
}

struct Fuser {
    const Model &model;
    const std::vector<Shape> &shapes;
    const std::vector<Operation> &ops;
    Fusion out;
    std::vector<int> same;                       // value -> the one that stands for it: flattening one pixel changes nothing
    std::vector<char> live, sign_only;           // sign_only: an affine that nothing but signs reads
    std::vector<int> float_readers, sign_readers;
    std::vector<int> maker;                      // value -> step

    Fuser(const Model &m, const std::vector<Shape> &s) : model(m), shapes(s), ops(m.program.operations) {
        const size_t count = ops.size();
        same.resize(count);
        out.frame_h.resize(count);
        out.frame_w.resize(count);
        out.floats.resize(count);
        live.resize(count);
        sign_only.resize(count);
        float_readers.resize(count);
        sign_readers.resize(count);
        maker.assign(count, -1);
    }

    int input_of(int op, int k) const { return same[size_t(ops[size_t(op)].inputs[k])]; }
    bool stands_for_itself(int op) const { return live[size_t(op)] && same[size_t(op)] == op; }

    template <class Visit>
    void for_each_op(Visit visit) {
        for (int i = 0; i < int(ops.size()); ++i)
            if (stands_for_itself(i)) visit(i, ops[size_t(i)]);
    }

    void find_live() {
        for (int i = 0; i < int(ops.size()); ++i) {
            const Shape &in = shapes[size_t(ops[size_t(i)].inputs[0])];
            const bool nothing = ops[size_t(i)].kind == OpKind::flatten && in.height == 1 && in.width == 1;
            same[size_t(i)] = nothing ? input_of(i, 0) : i;
        }
        out.output = same.back();
        live.back() = 1;
        for (int i = int(ops.size()) - 1; i >= 0; --i)
            if (live[size_t(i)])
                for (int k = 0; k < ops[size_t(i)].input_count; ++k) live[size_t(ops[size_t(i)].inputs[k])] = live[size_t(input_of(i, k))] = 1;
        live[0] = 1;
    }

    void count_readers() {
        std::vector<int> others(ops.size()), signs(ops.size());
        others[size_t(out.output)] = 1;
        for_each_op([&](int i, const Operation &op) {
            for (int k = 0; k < op.input_count; ++k) ++(op.kind == OpKind::binary_conv && k == 0 ? signs : others)[size_t(input_of(i, k))];
        });
        for_each_op([&](int i, const Operation &op) { sign_only[size_t(i)] = op.kind == OpKind::affine && others[size_t(i)] == 0; });
        float_readers[size_t(out.output)] = 1;
        for_each_op([&](int i, const Operation &op) {
            for (int k = 0; k < op.input_count; ++k) {
                const bool sign = (op.kind == OpKind::binary_conv && k == 0) || sign_only[size_t(i)];
                ++(sign ? sign_readers : float_readers)[size_t(input_of(i, k))];
            }
            if (op.kind == OpKind::conv || op.kind == OpKind::pixel_conv) {
                const size_t value = size_t(input_of(i, 0));
                out.frame_h[value] = std::max(out.frame_h[value], op.shape.pad_h);
                out.frame_w[value] = std::max(out.frame_w[value], op.shape.pad_w);
            }
        });
    }

    // The signs that a binary convolution takes, one request per term.
    std::vector<int> request_signs(int i, std::map<std::tuple<int, int, uint32_t, int>, int> &known) {
        const BinaryConv &conv = *model.prepared[size_t(i)].binary;
        const ConvShape &shape = conv.shape;
        int value = input_of(i, 0), affine = -1;
        if (sign_only[size_t(value)]) {
            affine = value;
            value = input_of(affine, 0);
        }
        std::vector<int> requests;
        for (int t = 0; t < conv.terms; ++t) {
            uint32_t shift_bits;
            std::memcpy(&shift_bits, &conv.shift[size_t(t)], 4);
            const auto [place, fresh] = known.insert({{value, affine, shift_bits, shape.groups}, int(out.requests.size())});
            if (fresh) {
                SignRequest request;
                request.value = value;
                request.affine = affine;
                request.shift = conv.shift[size_t(t)];
                request.groups = shape.groups;
                out.requests.push_back(request);
            }
            SignRequest &request = out.requests[size_t(place->second)];
            // Merging looks at both neighbours of a pixel.
            request.pad_h = std::max(request.pad_h, conv.merged ? 0 : shape.pad_h);
            request.pad_w = std::max(request.pad_w, conv.merged ? 1 : shape.pad_w);
            if (conv.merged) {
                request.merged = true;
                request.merged_pad_h = std::max(request.merged_pad_h, shape.pad_h);
                request.merged_pad_w = std::max(request.merged_pad_w, shape.pad_w);
            }
            requests.push_back(place->second);
        }
        return requests;
    }

    bool can_take_post(int value) const {
        const FusedStep &step = out.steps[size_t(maker[size_t(value)])];
        return float_readers[size_t(value)] == 1 && sign_readers[size_t(value)] == 0 && value != out.output && has_epilogue(step.kind) &&
               int(step.posts.size()) < max_posts;
    }

    void place_elementwise(int i, const Operation &op) {
        // Of two producers the one that runs last takes an addition.
        int into = -1, other = -1;
        for (int k = 0; k < op.input_count; ++k) {
            const int value = input_of(i, k);
            if (can_take_post(value) && maker[size_t(value)] > into) {
                into = maker[size_t(value)];
                other = op.input_count == 2 ? input_of(i, 1 - k) : -1;
            }
        }
        if (into < 0) {
            into = int(out.steps.size());
            FusedStep step;
            step.kind = StepKind::elementwise;
            step.op = i;
            step.reads = {input_of(i, 0)};
            out.steps.push_back(step);
            other = op.input_count == 2 ? input_of(i, 1) : -1;
        }
        FusedStep &step = out.steps[size_t(into)];
        step.posts.push_back(i);
        step.result = i;
        if (other >= 0) step.summands.push_back(other);
        maker[size_t(i)] = into;
    }

    void make_steps() {
        std::map<std::tuple<int, int, uint32_t, int>, int> known;
        for_each_op([&](int i, const Operation &op) {
            if (sign_only[size_t(i)]) return;
            if (is_elementwise(op.kind)) return place_elementwise(i, op);
            FusedStep step;
            step.kind = step_kind(op.kind);
            step.op = step.result = i;
            if (op.kind == OpKind::binary_conv) step.takes = request_signs(i, known);
            for (int k = op.kind == OpKind::binary_conv ? 1 : 0; k < op.input_count; ++k) step.reads.push_back(input_of(i, k));
            maker[size_t(i)] = int(out.steps.size());
            out.steps.push_back(step);
        });
    }

    // A step can make these signs if its lanes of 16 and the words of 32 fall together.
    bool can_make(const FusedStep &step, const SignRequest &request) const {
        const ConvShape &shape = ops[size_t(step.op)].shape;
        const bool conv = step.kind == StepKind::binary_conv || step.kind == StepKind::conv;
        return has_epilogue(step.kind) && int(step.signs.size()) < max_signs &&
               (!conv || fill_words(shape.channels_out, shape.groups)) && fill_words(shapes[size_t(request.value)].channels, request.groups);
    }

    void place_signs() {
        for (size_t v = 0; v < ops.size(); ++v) out.floats[v] = float_readers[v] > 0;
        if (model.pixels_only()) out.floats[0] = 0;
        std::map<int, int> spilled;  // value -> step of its own for the signs that its maker cannot make
        for (int r = 0; r < int(out.requests.size()); ++r) {
            SignRequest &request = out.requests[size_t(r)];
            int step = maker[size_t(request.value)];
            if (!can_make(out.steps[size_t(step)], request)) {
                out.floats[size_t(request.value)] = 1;
                const auto found = spilled.find(request.value);
                step = found == spilled.end() ? -1 : found->second;
                if (step < 0 || !can_make(out.steps[size_t(step)], request)) {
                    step = int(out.steps.size());
                    FusedStep fresh;
                    fresh.kind = StepKind::elementwise;
                    fresh.op = request.value;
                    fresh.reads = {request.value};
                    out.steps.push_back(fresh);
                    // Groups that do not fill words are written one by one, in a step that does nothing else.
                    if (fill_words(shapes[size_t(request.value)].channels, request.groups)) spilled[request.value] = step;
                }
            }
            out.steps[size_t(step)].signs.push_back(r);
            request.step = step;
            if (request.merged) {
                FusedStep merge;
                merge.kind = StepKind::merge;
                merge.op = request.value;
                merge.takes = {r};
                request.merge_step = int(out.steps.size());
                out.steps.push_back(merge);
            }
        }
    }

    // Small maps stay in the cache anyway.
    void make_strips() {
        std::vector<char> moved(out.steps.size());
        for (FusedStep &pool : out.steps) {
            if (pool.kind != StepKind::max_pool) continue;
            const int value = pool.reads[0], maker_of = maker[size_t(value)];
            FusedStep &conv = out.steps[size_t(maker_of)];
            const bool convolution = conv.kind == StepKind::conv || conv.kind == StepKind::pixel_conv || conv.kind == StepKind::binary_conv;
            if (!convolution || float_readers[size_t(value)] != 1 || sign_readers[size_t(value)] != 0 || value == out.output ||
                shapes[size_t(value)].values() < least_strip_values)
                continue;
            pool.strip = std::make_shared<FusedStep>(std::move(conv));
            pool.reads.clear();
            moved[size_t(maker_of)] = 1;
        }
        std::vector<int> place(out.steps.size(), -1);
        std::vector<FusedStep> kept;
        for (size_t s = 0; s < out.steps.size(); ++s)
            if (!moved[s]) {
                place[s] = int(kept.size());
                kept.push_back(std::move(out.steps[s]));
            }
        out.steps = std::move(kept);
        for (int &step : maker)
            if (step >= 0) step = place[size_t(step)];
    }

    bool takes_merged(const FusedStep &step) const {
        return step.kind == StepKind::binary_conv && model.prepared[size_t(step.op)].binary->merged;
    }

    // Topological, otherwise by number of the operation.
    void order() {
        const size_t count = out.steps.size();
        std::vector<std::vector<int>> followers(count);
        std::vector<int> missing(count);
        for (int s = 0; s < int(count); ++s) {
            const FusedStep &step = out.steps[size_t(s)];
            const auto after = [&](int other) {
                followers[size_t(other)].push_back(s);
                ++missing[size_t(s)];
            };
            for (const FusedStep *part = &step; part; part = part->strip.get()) {
                for (int value : part->reads) after(maker[size_t(value)]);
                for (int value : part->summands) after(maker[size_t(value)]);
                for (int r : part->takes) after(takes_merged(*part) ? out.requests[size_t(r)].merge_step : out.requests[size_t(r)].step);
            }
        }
        using Entry = std::pair<int, int>;
        std::priority_queue<Entry, std::vector<Entry>, std::greater<Entry>> ready;
        const auto push = [&](int s) { ready.push({out.steps[size_t(s)].op, s}); };
        for (int s = 0; s < int(count); ++s)
            if (missing[size_t(s)] == 0) push(s);
        std::vector<int> position(count);
        std::vector<FusedStep> ordered;
        while (!ready.empty()) {
            const int s = ready.top().second;
            ready.pop();
            position[size_t(s)] = int(ordered.size());
            ordered.push_back(std::move(out.steps[size_t(s)]));
            for (int follower : followers[size_t(s)])
                if (--missing[size_t(follower)] == 0) push(follower);
        }
        out.steps = std::move(ordered);
        for (SignRequest &request : out.requests) {
            request.step = position[size_t(request.step)];
            if (request.merge_step >= 0) request.merge_step = position[size_t(request.merge_step)];
        }
    }
};

}  // namespace

Fusion fuse(const Model &model, const std::vector<Shape> &shapes) {
    Fuser fuser(model, shapes);
    fuser.find_live();
    fuser.count_readers();
    fuser.make_steps();
    fuser.make_strips();
    fuser.place_signs();
    fuser.order();
    return std::move(fuser.out);
}

}  // namespace onebit
