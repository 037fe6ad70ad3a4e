// Where values lie: which share a buffer, from which step to which, and at which byte.
#pragma once

#include <map>
#include <queue>

#include "fusion.h"

namespace onebit {

constexpr size_t max_memory = size_t(4) << 30;  // of one session

// A float map in memory, or several: the operands of a concatenation lie in it side by side, and a sum overwrites a summand that
// nobody needs any more.
struct Storage {
    int height = 0, width = 0, channels = 0;
    int frame_h = 0, frame_w = 0;
    int first = 0, last = 0;  // steps
    size_t offset = 0;

    ptrdiff_t pixel() const { return channels > lanes / 2 ? ptrdiff_t(blocks(channels)) * lanes : channels; }
    ptrdiff_t row() const { return (width + 2 * frame_w) * pixel(); }
    size_t bytes() const { return size_t(height + 2 * frame_h) * size_t(row()) * sizeof(float); }
};

struct Place {
    int storage = -1;
    int channel = 0;  // the first one in it
};

struct Placing {
    std::vector<Place> places;  // by value; storage -1 where nobody reads its floats
    std::vector<Storage> storages;
};

Placing place_values(const Fusion &fusion, const std::vector<Shape> &shapes);

// Gives out byte ranges for spans of steps. Ranges with a key are shared among equal keys only: their frames of zeros and unused bits
// are written by nobody and stay valid.
class Memory {
public:
    // Spans have to come in the order of their first step.
    size_t take(size_t bytes, int first, int last);
    size_t take_shaped(const std::vector<int> &key, size_t bytes, int first, int last);
    // What is allocated elsewhere counts for the limit, too.
    void count(size_t bytes);
    // Bytes of the shaped part, which lies first, and of everything. Offsets of take() count from the end of the shaped part.
    size_t shaped() const { return shaped_; }
    size_t total() const { return shaped_ + arena_; }

private:
    struct Range {
        size_t offset, bytes;
        int last;
    };
    using Ends = std::priority_queue<std::pair<int, size_t>, std::vector<std::pair<int, size_t>>, std::greater<>>;  // last step, offset
    void check() const;
    std::vector<Range> live_;  // by offset
    std::map<std::vector<int>, Ends> shapes_;
    size_t shaped_ = 0, arena_ = 0, elsewhere_ = 0;
};

}  // namespace onebit
