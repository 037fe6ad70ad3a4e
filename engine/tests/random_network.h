// Random networks of every kind of operation, valid by construction.
#pragma once

#include <algorithm>
#include <cmath>

#include "network.h"

struct NetworkMaker {
    Random &random;
    int most_channels = 70;
    Network net;
    std::vector<Size> sizes;
    uint32_t first_value = 0;  // 1 where the input gives pixels, which only pixel_conv reads

    uint32_t floats(std::vector<uint32_t> dims, float size) {
        size_t count = 1;
        for (uint32_t d : dims) count *= d;
        return net.tensor(t_float32, std::move(dims), random.values(count, size));
    }

    uint32_t push(FileOp op, Size size) {
        net.ops.push_back(std::move(op));
        sizes.push_back(size);
        return uint32_t(sizes.size() - 1);
    }

    // A recent value, sometimes an old one.
    uint32_t pick_value() {
        const int last = int(sizes.size()) - 1, first = int(first_value);
        return uint32_t(random.chance(60) ? last : random.pick(std::max(first, last - 6), last));
    }

    void pick_window(FileOp &op, bool dilation) {
        static const int kernels[] = {1, 3, 3, 5};
        op.window[0] = op.window[1] = uint32_t(kernels[random.pick(0, 3)]);
        if (random.chance(15)) op.window[1] = uint32_t(random.pick(1, 4));
        op.window[2] = op.window[3] = random.chance(75) ? 1 : 2;
        if (dilation && random.chance(15)) op.window[6] = op.window[7] = 2;
        for (size_t axis = 0; axis < 2; ++axis)
            op.window[4 + axis] = random.chance(75) ? op.window[axis] / 2 * op.window[6 + axis] : uint32_t(random.pick(0, int(op.window[axis] / 2)));
    }

    int pick_channels() {
        static const int usual[] = {1, 3, 16, 17, 31, 32, 33, 41, 48, 53, 64};
        return random.chance(60) ? std::min(most_channels, usual[random.pick(0, 10)]) : random.pick(1, most_channels);
    }

    bool add_conv(uint32_t kind) {
        const uint32_t x = kind == k_pixel_conv ? 0 : pick_value();
        const Size in = sizes[x];
        FileOp op;
        op.kind = kind;
        op.inputs = {x};
        op.channels = uint32_t(pick_channels());
        if (kind == k_pointwise && in.channels > 511) return false;
        if (kind != k_pointwise) pick_window(op, true);
        if ((kind == k_conv || kind == k_binary_conv) && in.channels > 1 && random.chance(20)) {
            for (uint32_t g : {4u, 2u, 3u})
                if (in.channels % int(g) == 0) op.groups = g;
            op.channels = (op.channels + op.groups - 1) / op.groups * op.groups;
        }
        // A residual unit keeps its size, so that the sum that may follow has something to add.
        if (random.chance(40) && in.channels % int(op.groups) == 0 && kind != k_pixel_conv) op.channels = uint32_t(in.channels);
        std::vector<Size> known = sizes;
        const Size size = size_of(op, known);
        if (size.height < 1 || size.width < 1) return false;
        const uint32_t group_channels = uint32_t(in.channels) / op.groups, taps = op.window[0] * op.window[1] * group_channels;
        if (double(taps) * size.channels * size.height * size.width > 1.5e6) return false;
        const float spread = 2 / std::sqrt(float(taps));
        std::vector<uint32_t> dims{op.channels, op.window[0], op.window[1], group_channels};
        const size_t weights = size_t(op.channels) * taps;
        if (kind == k_conv) {
            op.tensors[r_weight] = floats(dims, spread);
        } else if (kind == k_pointwise) {
            std::vector<int16_t> weight(weights);
            for (int16_t &w : weight) w = int16_t(random.pick(-2047, 2047));
            op.tensors[r_weight] = net.tensor(t_int16, {op.channels, uint32_t(in.channels)}, weight);
            op.tensors[r_scale] = floats({op.channels}, spread / 2047);
        } else if (kind == k_pixel_conv) {
            if (random.chance(50)) {
                std::vector<int16_t> weight(weights);
                const int most = int(std::min<uint32_t>(32767, 2147483647u / 255 / taps));
                for (int16_t &w : weight) w = int16_t(random.pick(-most, most));
                op.tensors[r_weight] = net.tensor(t_int16, dims, weight);
            } else {
                std::vector<int8_t> weight(weights);
                for (int8_t &w : weight) w = int8_t(random.pick(-128, 127));
                op.tensors[r_weight] = net.tensor(t_int8, dims, weight);
            }
            op.tensors[r_scale] = floats({op.channels}, 1e-4f);
            op.tensors[r_offset] = floats({op.channels, op.window[0], op.window[1]}, spread);
        } else {
            const uint32_t bases = random.chance(75) ? 1 : uint32_t(random.pick(2, 3)), terms = random.chance(75) ? bases : uint32_t(random.pick(1, 6));
            std::vector<uint8_t> bits((weights * bases + 7) / 8);
            for (size_t i = 0; i < weights * bases; ++i) bits[i / 8] = uint8_t(bits[i / 8] | random.pick(0, 1) << i % 8);
            dims.insert(dims.begin(), bases);
            op.tensors[r_weight] = net.tensor(t_bits, dims, bits);
            std::vector<uint32_t> index;
            std::vector<float> shift;
            for (uint32_t t = 0; t < terms; ++t) {
                index.push_back(uint32_t(random.pick(0, int(bases) - 1)));
                // the same shift again means the same signs again
                shift.push_back(terms == 1 && random.chance(70) ? 0 : random.chance(30) && t ? shift.back() : random.value(1));
            }
            op.tensors[r_index] = net.tensor(t_uint32, {terms}, index);
            op.tensors[r_shift] = net.tensor(t_float32, {terms}, shift);
            op.tensors[r_scale] = floats({terms, op.channels}, spread);
            if (random.chance(15)) add_input_scale(op, x);
        }
        op.tensors[r_bias] = floats({op.channels}, 1);
        push(op, size);
        return true;
    }

    // XNOR-Net's K: mean magnitudes over channels, averaged over the window.
    void add_input_scale(FileOp &op, uint32_t x) {
        if (op.window[6] != 1 || op.window[7] != 1 || op.window[4] > op.window[0] / 2 || op.window[5] > op.window[1] / 2) return;
        FileOp mean;
        mean.kind = k_mean_abs;
        mean.inputs = {x};
        mean.channels = 1;
        const uint32_t magnitude = push(mean, {1, sizes[x].height, sizes[x].width});
        FileOp pool;
        pool.kind = k_average_pool;
        pool.inputs = {magnitude};
        pool.channels = 1;
        pool.window = op.window;
        pool.flags = random.chance(50) ? 2 : 0;
        op.inputs.push_back(push(pool, size_of(pool, sizes)));
    }

    bool add_pool(uint32_t kind) {
        FileOp op;
        op.kind = kind;
        op.inputs = {pick_value()};
        const Size in = sizes[op.inputs[0]];
        op.channels = uint32_t(in.channels);
        for (size_t axis = 0; axis < 2; ++axis) {
            op.window[axis] = uint32_t(random.pick(1, 3));
            op.window[2 + axis] = uint32_t(random.pick(1, 2));
            op.window[4 + axis] = uint32_t(random.pick(0, int(op.window[axis] / 2)));
        }
        op.flags = uint32_t(random.pick(0, kind == k_average_pool ? 3 : 1));
        const Size size = size_of(op, sizes);
        if (size.height < 1 || size.width < 1) return false;
        push(op, size);
        return true;
    }

    bool add_simple(uint32_t kind) {
        FileOp op;
        op.kind = kind;
        op.inputs = {pick_value()};
        const Size in = sizes[op.inputs[0]];
        op.channels = uint32_t(in.channels);
        if (kind == k_affine || kind == k_prelu) op.tensors[r_scale] = floats({op.channels}, 1);
        if (kind == k_affine) op.tensors[r_bias] = floats({op.channels}, 1);
        if (kind == k_multiply) op.p0 = random.value(1);
        if (kind == k_clamp) op.p0 = -1, op.p1 = 1 + random.value(1);
        if (kind == k_mean_abs) op.channels = 1;
        if (kind == k_flatten) op.channels = uint32_t(in.channels * in.height * in.width);
        if (op.channels > 2000) return false;
        push(op, size_of(op, sizes));
        return true;
    }

    bool add_pair(uint32_t kind) {
        FileOp op;
        op.kind = kind;
        const uint32_t a = pick_value();
        std::vector<uint32_t> fitting;
        for (uint32_t b = first_value; b < sizes.size(); ++b)
            if (kind == k_add ? sizes[b] == sizes[a] : sizes[b].height == sizes[a].height && sizes[b].width == sizes[a].width) fitting.push_back(b);
        const uint32_t b = fitting[size_t(random.pick(0, int(fitting.size()) - 1))];
        op.inputs = {a, b};
        if (random.chance(50)) std::swap(op.inputs[0], op.inputs[1]);
        op.channels = uint32_t(kind == k_add ? sizes[a].channels : sizes[a].channels + sizes[b].channels);
        if (op.channels > 400) return false;
        push(op, {int(op.channels), sizes[a].height, sizes[a].width});
        return true;
    }

    Network make(int operations) {
        net.channels = random.pick(1, 5);
        net.height = random.chance(10) ? 1 : random.pick(2, 14), net.width = random.chance(10) ? 1 : random.pick(2, 18);
        FileOp input;
        input.channels = uint32_t(net.channels);
        const bool pixels = random.chance(35);
        if (pixels) input.flags = 1;
        else if (random.chance(60)) input.tensors[r_scale] = floats({input.channels, 256}, 2);
        push(input, {net.channels, net.height, net.width});
        if (pixels) {
            first_value = 1;
            while (!add_conv(k_pixel_conv)) {}
        }
        const uint32_t simple[] = {k_affine, k_affine, k_multiply, k_relu, k_prelu, k_prelu, k_clamp};
        for (int tries = 0; int(net.ops.size()) < operations && tries < 20 * operations; ++tries) {
            const int dice = random.pick(1, 100);
            if (dice <= 30) add_conv(k_binary_conv);
            else if (dice <= 36) add_conv(k_conv);
            else if (dice <= 42) add_conv(k_pointwise);
            else if (dice <= 44 && pixels) add_conv(k_pixel_conv);
            else if (dice <= 62) add_pair(k_add);
            else if (dice <= 71) add_pair(k_concat);
            else if (dice <= 90) add_simple(simple[random.pick(0, 6)]);
            else if (dice <= 93) add_pool(k_max_pool);
            else if (dice <= 96) add_pool(k_average_pool);
            else if (dice <= 97) add_simple(k_mean_abs);
            else if (dice <= 98) add_simple(k_mean_pool);
            else if (dice <= 99) add_simple(k_flatten);
        }
        if (net.ops.size() == 1) add_simple(k_relu);
        return net;
    }
};

inline Network random_network(Random &random, int operations, int most_channels = 70) {
    return NetworkMaker{random, most_channels, {}, {}, 0}.make(operations);
}
