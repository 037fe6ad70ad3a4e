// One case of the kernels' test: random shapes, maps and epilogues, and the comparison of a set with the reference.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>

#include "../src/kernels.h"
#include "check.h"

using namespace onebit;

constexpr int slack = 64;

// A map with its own memory; every map of a case is made from the same random numbers for both sets of kernels.
template <class T>
struct Owned {
    std::vector<T> memory;
    Map<T> map;
};

// frame: rows and columns around it, filled with `outside`. The map may be a slice of a wider one.
template <class T, class Fill>
Owned<T> make_map(int height, int width, int channels, int frame_h, int frame_w, int before, int after, T outside, Fill fill) {
    Owned<T> owned;
    const ptrdiff_t pixel = before + channels + after, row = pixel * (width + 2 * frame_w);
    owned.memory.assign(size_t(row) * size_t(height + 2 * frame_h) + slack / sizeof(T), outside);
    owned.map = {owned.memory.data() + frame_h * row + frame_w * pixel + before, height, width, channels, pixel, row};
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x)
            for (int c = 0; c < channels; ++c) owned.map.data[y * row + x * pixel + c] = fill();
    return owned;
}

inline Owned<float> make_floats(Random &random, int height, int width, int channels, int frame_h = 0, int frame_w = 0) {
    const bool slice = random.chance(30) && !frame_h && !frame_w;
    return make_map<float>(height, width, channels, frame_h, frame_w, slice ? random.pick(0, 40) : 0, slice ? random.pick(0, 40) : 0, 0,
                           [&] { return random.chance(3) ? 0.0f : random.value(); });
}

struct OwnedBits {
    std::vector<uint32_t> memory;
    BitMap map;
};

inline OwnedBits make_bits(int height, int width, int words, int frame_h, int frame_w) {
    OwnedBits owned;
    const ptrdiff_t row = ptrdiff_t(words) * (width + 2 * frame_w);
    owned.memory.assign(size_t(row) * size_t(height + 2 * frame_h) + slack / 4, 0);
    owned.map = {owned.memory.data() + frame_h * row + frame_w * words, height, width, words, row};
    return owned;
}

inline OwnedBits random_bits(Random &random, int height, int width, int channels, int groups, int frame_h, int frame_w) {
    const int group_channels = channels / groups, group_words = (group_channels + 31) / 32;
    OwnedBits owned = make_bits(height, width, groups * group_words, frame_h, frame_w);
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x)
            for (int c = 0; c < channels; ++c)
                if (random.chance(50))
                    owned.map.data[y * owned.map.row + x * owned.map.words + c / group_channels * group_words +
                                   c % group_channels / 32] |= 1u << c % group_channels % 32;
    return owned;
}

// Everything that one call writes and the constants that its epilogue reads; `made` again from the same seed gives a twin.
struct Target {
    Owned<float> out;
    std::vector<Owned<float>> summands;
    std::vector<std::vector<float>> constants;
    std::vector<OwnedBits> bits;
    Epilogue epilogue;

    Target(Random random, int height, int width, int channels, int groups) {
        auto constant = [&](float size) {
            constants.push_back(random.values(size_t(channels), size));
            constants.back().resize(size_t(blocks(channels) + 1) * lanes);
            return constants.back().data();
        };
        summands.reserve(max_posts);
        constants.reserve(2 * max_posts + 2 * max_signs);
        bits.reserve(max_signs);
        epilogue.posts = random.chance(30) ? 0 : random.pick(1, random.chance(10) ? max_posts : 3);
        for (int i = 0; i < epilogue.posts; ++i) {
            Post &post = epilogue.post[i];
            post.kind = PostKind(random.pick(0, 5));
            if (post.kind == PostKind::add) {
                summands.push_back(make_floats(random, height, width, channels));
                post.map = summands.back().map;
            } else if (post.kind == PostKind::affine) {
                post.scale = constant(2), post.bias = constant(2);
            } else if (post.kind == PostKind::prelu) {
                post.scale = constant(1);
            } else {
                post.p0 = random.value(), post.p1 = post.p0 + 1;
            }
        }
        // Signs of groups that are not whole words are another step's work.
        const bool whole = groups == 1 || channels / groups % 32 == 0;
        epilogue.signs = whole && random.chance(70) ? random.pick(1, random.chance(10) ? max_signs : 2) : 0;
        for (int i = 0; i < epilogue.signs; ++i) {
            bits.push_back(make_bits(height, width, (channels + 31) / 32, random.pick(0, 2), random.pick(0, 2)));
            SignOutput &sign = epilogue.sign[i];
            sign.bits = bits.back().map;
            if (random.chance(60)) sign.scale = constant(1), sign.bias = constant(1);
            sign.shift = random.chance(50) ? 0 : random.value();
        }
        const bool slice = random.chance(40);
        out = make_map<float>(height, width, channels, 0, 0, slice ? random.pick(0, 40) : 0, slice ? random.pick(0, 40) : 0, -7.5f,
                              [] { return -7.5f; });
        if (!epilogue.signs || random.chance(60)) epilogue.out = out.map;
    }

    bool same_memory(const Target &other) const {
        auto same = [](const auto &a, const auto &b) {
            return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof a[0]) == 0;
        };
        bool equal = same(out.memory, other.out.memory);
        for (size_t i = 0; i < bits.size(); ++i) equal = equal && same(bits[i].memory, other.bits[i].memory);
        return equal;
    }
};

// The whole work as one part, or cut into rows and blocks as threads do.
inline std::vector<Part> make_parts(Random &random, int rows, int all_blocks) {
    const int row_step = random.chance(50) ? rows : random.pick(1, rows);
    const int block_step = random.chance(50) ? all_blocks : 2 * random.pick(1, (all_blocks + 1) / 2);  // parts begin at whole words
    std::vector<Part> parts;
    for (int r = 0; r < rows; r += row_step)
        for (int b = 0; b < all_blocks; b += block_step)
            parts.push_back({r, std::min(rows, r + row_step), b, std::min(all_blocks, b + block_step)});
    std::shuffle(parts.begin(), parts.end(), random.engine);
    return parts;
}

struct Case {
    const Kernels &tested, &reference;
    Random &random;
    std::string what;

    // Runs call(kernels, epilogue, part) for both sets and compares.
    void compare(int height, int width, int channels, int groups,
                 const std::function<void(const Kernels &, const Epilogue &, Part)> &call) {
        const Random twin(unsigned(random.pick(0, 1 << 30)));
        Target expected(twin, height, width, channels, groups), got(twin, height, width, channels, groups);
        const int all_blocks = groups * blocks(channels / groups);
        call(reference, expected.epilogue, {0, height, 0, all_blocks});
        for (Part part : make_parts(random, height, all_blocks)) call(tested, got.epilogue, part);
        CHECK(got.same_memory(expected), "%s differs from reference: %s, result %dx%dx%d, %d posts, %d signs", tested.name,
              what.c_str(), height, width, channels, got.epilogue.posts, got.epilogue.signs);
    }

    void describe(const char *kind, const ConvShape &s, int height, int width, const char *more = "") {
        char text[256];
        std::snprintf(text, sizeof text, "%s %d->%d groups %d kernel %dx%d stride %d,%d pad %d,%d dilation %d,%d input %dx%d%s", kind,
                      s.channels_in, s.channels_out, s.groups, s.kernel_h, s.kernel_w, s.stride_h, s.stride_w, s.pad_h, s.pad_w,
                      s.dilation_h, s.dilation_w, height, width, more);
        what = text;
    }
};

inline int pick_channels(Random &random, int most) {
    static const int usual[] = {1, 3, 8, 15, 16, 17, 31, 32, 33, 41, 48, 53, 63, 64, 65, 96, 127, 128, 129, 164, 256};
    const int channels = random.chance(50) ? usual[random.pick(0, 20)] : random.pick(1, random.chance(15) ? most : 80);
    return std::min(channels, most);
}

inline int result_size(int size, int pad, int dilation, int kernel, int stride) {
    const int room = size + 2 * pad - dilation * (kernel - 1) - 1;
    return room < 0 ? 0 : room / stride + 1;
}

// A convolution and an image on which it has a result; small enough for the reference.
inline ConvShape pick_shape(Random &random, int *height, int *width, bool groups, int most_channels) {
    for (;;) {
        ConvShape s;
        static const int sizes[] = {1, 3, 5};
        s.kernel_h = s.kernel_w = sizes[random.pick(0, 2)];
        if (random.chance(20)) s.kernel_h = random.pick(1, 5);
        if (random.chance(10)) s.kernel_w = random.pick(1, 7);
        s.stride_h = s.stride_w = random.chance(65) ? 1 : random.pick(2, 3);
        if (random.chance(15)) s.stride_h = random.pick(1, 3);
        s.dilation_h = s.dilation_w = random.chance(80) ? 1 : random.pick(2, 3);
        if (random.chance(10)) s.dilation_w = random.pick(1, 3);
        s.pad_h = s.pad_w = random.chance(60) ? s.kernel_h / 2 * s.dilation_h : random.pick(0, 3);
        if (random.chance(15)) s.pad_w = random.pick(0, 3);
        s.channels_in = pick_channels(random, most_channels), s.channels_out = pick_channels(random, most_channels);
        if (groups && random.chance(25)) {
            s.groups = random.pick(2, 4);
            s.channels_in = (s.channels_in + s.groups - 1) / s.groups * s.groups;
            s.channels_out = (s.channels_out + s.groups - 1) / s.groups * s.groups;
        }
        *height = random.chance(20) ? 1 : random.pick(1, 14), *width = random.chance(20) ? 1 : random.pick(1, random.chance(20) ? 40 : 14);
        const int out_h = result_size(*height, s.pad_h, s.dilation_h, s.kernel_h, s.stride_h);
        const int out_w = result_size(*width, s.pad_w, s.dilation_w, s.kernel_w, s.stride_w);
        const double work = double(out_h) * out_w * s.channels_out * s.kernel_h * s.kernel_w * (s.channels_in / s.groups);
        if (work >= 1 && work < 2e6) return s;
    }
}

inline std::vector<uint8_t> random_bytes(Random &random, size_t count) {
    std::vector<uint8_t> bytes(count);
    for (uint8_t &byte : bytes) byte = uint8_t(random.pick(0, 255));
    return bytes;
}
