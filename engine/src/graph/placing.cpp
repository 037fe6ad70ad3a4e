#include "placing.h"

#include <algorithm>
#include <climits>

#include "../failure.h"

namespace onebit {
namespace {

constexpr size_t slack = 64;  // loads may read past the last channel

struct Placer {
    const Fusion &fusion;
    const std::vector<Shape> &shapes;
    std::vector<int> made, last_use;  // by value: steps
    Placing out;

    Placer(const Fusion &f, const std::vector<Shape> &s) : fusion(f), shapes(s), made(s.size(), -1), last_use(s.size(), -1) {
        out.places.resize(shapes.size());
    }

    void find_uses() {
        for (int s = 0; s < int(fusion.steps.size()); ++s) {
            const FusedStep &step = fusion.steps[size_t(s)];
            if (step.result >= 0) made[size_t(step.result)] = s;
            for (const FusedStep *part = &step; part; part = part->strip.get()) {
                for (int value : part->reads) last_use[size_t(value)] = s;
                for (int value : part->summands) last_use[size_t(value)] = s;
            }
        }
        last_use[size_t(fusion.output)] = int(fusion.steps.size());
    }

    int open(int value) {
        const Shape &shape = shapes[size_t(value)];
        Storage storage;
        storage.height = shape.height;
        storage.width = shape.width;
        storage.channels = shape.channels;
        storage.first = INT_MAX;
        storage.last = -1;
        out.storages.push_back(storage);
        return int(out.storages.size()) - 1;
    }

    void put(int value, int storage, int channel) {
        out.places[size_t(value)] = {storage, channel};
        Storage &home = out.storages[size_t(storage)];
        home.first = std::min(home.first, made[size_t(value)]);
        home.last = std::max({home.last, made[size_t(value)], last_use[size_t(value)]});
        home.frame_h = std::max(home.frame_h, fusion.frame_h[size_t(value)]);
        home.frame_w = std::max(home.frame_w, fusion.frame_w[size_t(value)]);
    }

    // The widest concatenation comes last; its operands, concatenations themselves perhaps, become slices of it.
    void place_concats() {
        for (auto step = fusion.steps.rbegin(); step != fusion.steps.rend(); ++step) {
            if (step->kind != StepKind::concat) continue;
            if (out.places[size_t(step->result)].storage < 0) put(step->result, open(step->result), 0);
            const Place home = out.places[size_t(step->result)];
            int channel = home.channel;
            for (int value : step->reads) {
                if (out.places[size_t(value)].storage < 0) put(value, home.storage, channel);
                channel += shapes[size_t(value)].channels;
            }
        }
    }

    // A result may overwrite what the step reads pixel by pixel, if that is read for the last time.
    int overwritable(const FusedStep &step, int s) const {
        std::vector<int> candidates = step.summands;
        if (step.kind == StepKind::elementwise) candidates.insert(candidates.end(), step.reads.begin(), step.reads.end());
        const int result = step.result;
        for (int value : candidates) {
            const int index = out.places[size_t(value)].storage;
            const Storage &storage = out.storages[size_t(index)];
            bool free = storage.last == s && storage.channels == shapes[size_t(result)].channels &&
                        storage.frame_h >= fusion.frame_h[size_t(result)] && storage.frame_w >= fusion.frame_w[size_t(result)];
            if (step.strip) free = false;
            if (step.kind != StepKind::elementwise)
                for (int read : step.reads) free = free && out.places[size_t(read)].storage != index;
            if (free) return index;
        }
        return -1;
    }

    void place_others() {
        for (int s = 0; s < int(fusion.steps.size()); ++s) {
            const FusedStep &step = fusion.steps[size_t(s)];
            const int value = step.result;
            if (value < 0 || !fusion.floats[size_t(value)] || out.places[size_t(value)].storage >= 0) continue;
            const int reused = overwritable(step, s);
            put(value, reused >= 0 ? reused : open(value), 0);
        }
    }
};

}  // namespace

Placing place_values(const Fusion &fusion, const std::vector<Shape> &shapes) {
    Placer placer(fusion, shapes);
    placer.find_uses();
    placer.place_concats();
    placer.place_others();
    return std::move(placer.out);
}

size_t Memory::take(size_t bytes, int first, int last) {
    bytes = (bytes + slack + 63) / 64 * 64;
    live_.erase(std::remove_if(live_.begin(), live_.end(), [&](const Range &range) { return range.last < first; }), live_.end());
    size_t best = SIZE_MAX, best_room = SIZE_MAX, at = 0;
    for (const Range &range : live_) {
        if (range.offset >= at + bytes && range.offset - at < best_room) {
            best = at;
            best_room = range.offset - at;
        }
        at = std::max(at, range.offset + range.bytes);
    }
    if (best == SIZE_MAX) best = at;
    const Range range{best, bytes, last};
    live_.insert(std::upper_bound(live_.begin(), live_.end(), range, [](const Range &a, const Range &b) { return a.offset < b.offset; }), range);
    arena_ = std::max(arena_, best + bytes);
    check();
    return best;
}

size_t Memory::take_shaped(const std::vector<int> &key, size_t bytes, int first, int last) {
    Ends &ends = shapes_[key];
    size_t offset = shaped_;
    if (!ends.empty() && ends.top().first < first) {
        offset = ends.top().second;
        ends.pop();
    } else {
        shaped_ += (bytes + slack + 63) / 64 * 64;
        check();
    }
    ends.push({last, offset});
    return offset;
}

void Memory::count(size_t bytes) {
    elsewhere_ += bytes;
    check();
}

void Memory::check() const {
    if (total() + elsewhere_ > max_memory)
        fail(ONEBIT_NO_MEMORY, "images of this size need more than %zu GiB of working memory", max_memory >> 30);
}

}  // namespace onebit
