#include <algorithm>
#include <cstring>
#include <new>

#include "../failure.h"
#include "planner.h"

namespace onebit {
namespace {

constexpr int64_t strip_bytes = 256 << 10;
constexpr double border_limit = 1 << 28;  // sums over taps that a table of border classes may take

double classes(int size, int kernel) { return std::min(size, 2 * kernel + 1); }

}  // namespace

Planner::Planner(const Model &m, Plan &p, int64_t height, int64_t width, int w)
    : model(m), plan(p), workers(w), shapes(infer_shapes(m.program, m.paths, height, width)), fusion(fuse(m, shapes)),
      placing(place_values(fusion, shapes)), bits_at(fusion.requests.size()), merged_at(fusion.requests.size()),
      quantized_at(fusion.steps.size()), strips_at(fusion.steps.size()) {}

// ---- Addresses, first as offsets.

BitMap Planner::bit_map(const SignRequest &request) const {
    const Shape &s = shape(request.value);
    BitMap map;
    map.height = s.height;
    map.width = s.width;
    map.words = request.groups * words(s.channels / request.groups);
    map.row = ptrdiff_t(map.width + 2 * request.pad_w) * map.words;
    return map;
}

BitMap Planner::merged_map(const SignRequest &request) const {
    const Shape &s = shape(request.value);
    BitMap map = bit_map(request);
    map.words = merged_words(s.channels);
    map.row = ptrdiff_t(map.width + 2 * request.merged_pad_w) * map.words;
    return map;
}

size_t Planner::take_bits(const BitMap &map, const std::vector<int> &key, int pad_h, int first, int last) {
    return memory.take_shaped(key, size_t(map.height + 2 * pad_h) * size_t(map.row) * sizeof(uint32_t), first, last);
}

void Planner::reserve_bits() {
    std::vector<int> last(fusion.requests.size()), order(fusion.requests.size());
    for (int s = 0; s < int(fusion.steps.size()); ++s)
        for (const FusedStep *part = &fusion.steps[size_t(s)]; part; part = part->strip.get())
            for (int r : part->takes) last[size_t(r)] = s;
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

void Planner::reserve_floats() {
    struct Wish {
        int first, last;
        size_t bytes, *offset;
    };
    std::vector<Wish> wishes;
    for (Storage &storage : placing.storages) {
        if (storage.frame_h == 0 && storage.frame_w == 0) wishes.push_back({storage.first, storage.last, storage.bytes(), &storage.offset});
    }
    for (int s = 0; s < int(fusion.steps.size()); ++s) {
        const FusedStep &step = fusion.steps[size_t(s)];
        if (step.kind == StepKind::pointwise) {
            const Shape &in = shape(step.reads[0]);
            wishes.push_back({s, s, size_t(in.height) * size_t(in.width) * size_t(in.channels + 1) * sizeof(int16_t), &quantized_at[size_t(s)]});
        }
        if (step.strip) wishes.push_back({s, s, size_t(workers) * strip_of(step).bytes(), &strips_at[size_t(s)]});
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

// Rows of the map between a convolution and its pooling that are there at a time: as many as stay in the cache.
int Planner::pooled_rows(const FusedStep &pool) const {
    const ConvShape &s = op(pool).shape;
    const int64_t row = int64_t(blocks(shape(pool.strip->result).channels)) * lanes * shape(pool.strip->result).width * int64_t(sizeof(float));
    const int64_t rows = (strip_bytes / row - s.kernel_h) / s.stride_h + 1;
    return int(std::min<int64_t>(std::max<int64_t>(rows, 1), shape(pool.op).height));
}

Storage Planner::strip_of(const FusedStep &pool) const {
    const Shape &between = shape(pool.strip->result);
    Storage storage;
    storage.height = std::min(between.height, (pooled_rows(pool) - 1) * op(pool).shape.stride_h + op(pool).shape.kernel_h);
    storage.width = between.width;
    storage.channels = between.channels;
    return storage;
}

// One row more below, see kernels.h.
size_t Planner::pixel_bytes() const {
    const Shape &s = shape(0);
    return size_t(s.height + 2 * fusion.frame_h[0] + 1) * size_t(s.width + 2 * fusion.frame_w[0]) * size_t(s.channels);
}

void Planner::reserve_borders() {
    for (const FusedStep &outer : fusion.steps) {
        const FusedStep &step = outer.strip ? *outer.strip : outer;
        if (step.kind != StepKind::binary_conv && step.kind != StepKind::pixel_conv) continue;
        const Shape &out = shape(step.op);
        const ConvShape &s = op(step).shape;
        const double bases = step.kind == StepKind::binary_conv ? op(step).tensors[role_weight]->dims[0] : 1;
        const double table = classes(out.height, s.kernel_h) * classes(out.width, s.kernel_w) * bases * all_blocks(s) * lanes;
        if (table * s.kernel_h * s.kernel_w > border_limit)
            fail(ONEBIT_NO_MEMORY, "%s has too large a kernel for so many channels: its border would take %.3g sums",
                 name_of(step).c_str(), table * s.kernel_h * s.kernel_w);
        memory.count(size_t(table) * 4);
    }
}

// ---- Maps.

FloatMap Planner::float_map(int value) const {
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

void Planner::allocate() {
    const size_t size = std::max<size_t>(memory.total(), 64);
    block = static_cast<uint8_t *>(plan.block = ::operator new(size, std::align_val_t(64)));
    std::memset(block, 0, size);
    arena = block + memory.shaped();
    plan.memory = size;
    std::vector<BitMap> &bits = plan.bit_maps, &merged = plan.merged_maps;
    bits.resize(fusion.requests.size());
    merged.resize(fusion.requests.size());
    for (size_t r = 0; r < bits.size(); ++r) {
        const SignRequest &q = fusion.requests[r];
        bits[r] = bit_map(q);
        bits[r].data = reinterpret_cast<uint32_t *>(block + bits_at[r]) + q.pad_h * bits[r].row + ptrdiff_t(q.pad_w) * bits[r].words;
        if (!q.merged) continue;
        merged[r] = merged_map(q);
        merged[r].data = reinterpret_cast<uint32_t *>(block + merged_at[r]) + q.merged_pad_h * merged[r].row + ptrdiff_t(q.merged_pad_w) * merged[r].words;
    }
}

void Planner::run() {
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
    for (size_t s = 0; s < fusion.steps.size(); ++s) add(fusion.steps[s], s);
}

Plan::Plan(const Model &model, int64_t height, int64_t width, int workers) {
    Planner planner(model, *this, height, width, workers);
    planner.run();
}

Plan::~Plan() { ::operator delete(block, std::align_val_t(64)); }

}  // namespace onebit
