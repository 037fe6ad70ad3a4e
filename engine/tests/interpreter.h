// Runs a Network value by value as docs/file-format.md says, each in an array of its own: what the executor, with everything that it
// fuses, places and reuses, is compared with.
#pragma once

#include <cmath>

#include "network.h"

struct Value {
    Size size{};
    std::vector<float> data;
    float &at(int c, int y, int x) { return data[size_t((c * size.height + y) * size.width + x)]; }
    float at(int c, int y, int x) const { return data[size_t((c * size.height + y) * size.width + x)]; }
};

class Interpreter {
public:
    Interpreter(const Network &network, const Value &image) : net(network), image_(image) {
        for (const FileOp &op : net.ops) values.push_back(run(op));
    }
    const Value &result() const { return values.back(); }
    std::vector<Value> values;

private:
    const Network &net;
    const Value &image_;

    const Value &in(const FileOp &op, size_t i = 0) const { return values[op.inputs[i]]; }

    Value make(const FileOp &op) const {
        std::vector<Size> sizes;
        for (const Value &value : values) sizes.push_back(value.size);
        Value out;
        out.size = size_of(op, sizes);
        out.data.resize(size_t(out.size.channels) * size_t(out.size.height) * size_t(out.size.width));
        return out;
    }

    template <class F>
    static void each(Value &out, F f) {
        for (int c = 0; c < out.size.channels; ++c)
            for (int y = 0; y < out.size.height; ++y)
                for (int x = 0; x < out.size.width; ++x) out.at(c, y, x) = f(c, y, x);
    }

    // f(kernel row, kernel column, y, x) for the taps of (out_y, out_x) inside the map
    template <class F>
    static void taps(const FileOp &op, const Size &in, int out_y, int out_x, F f) {
        for (int r = 0; r < int(op.window[0]); ++r)
            for (int s = 0; s < int(op.window[1]); ++s) {
                const int y = out_y * int(op.window[2]) - int(op.window[4]) + r * int(op.window[6]);
                const int x = out_x * int(op.window[3]) - int(op.window[5]) + s * int(op.window[7]);
                if (y >= 0 && y < in.height && x >= 0 && x < in.width) f(r, s, y, x);
            }
    }

    Value run(const FileOp &op) const {
        if (op.kind == k_input) return image_;
        Value out = make(op);
        const Value &a = in(op);
        const auto floats = [&](int role) { return net.of(op, role).as<float>(); };
        const int group_channels = a.size.channels / int(op.groups);
        const auto first_channel = [&](int o) { return o / (out.size.channels / int(op.groups)) * group_channels; };
        const auto weight_at = [&](int o, int r, int s) {
            return ((size_t(o) * op.window[0] + size_t(r)) * op.window[1] + size_t(s)) * size_t(group_channels);
        };
        switch (op.kind) {
            case k_conv:
                each(out, [&](int o, int y, int x) {
                    float v = floats(r_bias)[o];
                    taps(op, a.size, y, x, [&](int r, int s, int iy, int ix) {
                        for (int c = 0; c < group_channels; ++c)
                            v = std::fma(a.at(first_channel(o) + c, iy, ix), floats(r_weight)[weight_at(o, r, s) + size_t(c)], v);
                    });
                    return v;
                });
                break;
            case k_pixel_conv:
                each(out, [&](int o, int y, int x) {
                    int sum = 0;
                    double bias = floats(r_bias)[o];
                    const FileTensor &weight = net.of(op, r_weight);
                    taps(op, a.size, y, x, [&](int r, int s, int iy, int ix) {
                        bias += floats(r_offset)[weight_at(o, r, s) / size_t(group_channels)];
                        for (int c = 0; c < group_channels; ++c) {
                            const size_t i = weight_at(o, r, s) + size_t(c);
                            sum += int(a.at(c, iy, ix)) * (weight.type == t_int8 ? weight.as<int8_t>()[i] : weight.as<int16_t>()[i]);
                        }
                    });
                    return std::fma(float(sum), floats(r_scale)[o], float(bias));
                });
                break;
            case k_binary_conv:
                each(out, [&](int o, int y, int x) {
                    const size_t base_weights = weight_at(out.size.channels, 0, 0), terms = net.of(op, r_index).dims[0];
                    float v = floats(r_bias)[o];
                    for (size_t t = 0; t < terms; ++t) {
                        int sum = 0;
                        const size_t base = net.of(op, r_index).as<uint32_t>()[t];
                        taps(op, a.size, y, x, [&](int r, int s, int iy, int ix) {
                            for (int c = 0; c < group_channels; ++c) {
                                const size_t i = base * base_weights + weight_at(o, r, s) + size_t(c);
                                const bool weight = net.of(op, r_weight).data[i / 8] >> i % 8 & 1;
                                const bool sign = a.at(first_channel(o) + c, iy, ix) + floats(r_shift)[t] >= 0;
                                sum += weight == sign ? 1 : -1;
                            }
                        });
                        float s = float(sum);
                        if (op.inputs.size() == 2) s *= in(op, 1).at(0, y, x);
                        v = std::fma(s, floats(r_scale)[t * size_t(out.size.channels) + size_t(o)], v);
                    }
                    return v;
                });
                break;
            case k_pointwise: {
                float m = 0;
                for (float v : a.data) m = std::max(m, std::fabs(v));
                const float factor = std::isfinite(2047 / m) ? 2047 / m : 0, step = m / 2047;
                each(out, [&](int o, int y, int x) {
                    int sum = 0;
                    for (int c = 0; c < a.size.channels; ++c)
                        sum += int(std::nearbyint(a.at(c, y, x) * factor)) * net.of(op, r_weight).as<int16_t>()[o * a.size.channels + c];
                    return std::fma(float(sum), floats(r_scale)[o] * step, floats(r_bias)[o]);
                });
                break;
            }
            case k_affine: each(out, [&](int c, int y, int x) { return std::fma(a.at(c, y, x), floats(r_scale)[c], floats(r_bias)[c]); }); break;
            case k_add: each(out, [&](int c, int y, int x) { return a.at(c, y, x) + in(op, 1).at(c, y, x); }); break;
            case k_multiply: each(out, [&](int c, int y, int x) { return a.at(c, y, x) * op.p0; }); break;
            case k_concat:
                each(out, [&](int c, int y, int x) {
                    return c < a.size.channels ? a.at(c, y, x) : in(op, 1).at(c - a.size.channels, y, x);
                });
                break;
            case k_max_pool:
                each(out, [&](int c, int y, int x) {
                    float greatest = -INFINITY;
                    taps(op, a.size, y, x, [&](int, int, int iy, int ix) {
                        if (a.at(c, iy, ix) > greatest) greatest = a.at(c, iy, ix);
                    });
                    return greatest;
                });
                break;
            case k_average_pool:
                each(out, [&](int c, int y, int x) {
                    float sum = 0;
                    int count = 0;
                    taps(op, a.size, y, x, [&](int, int, int iy, int ix) { sum += a.at(c, iy, ix), ++count; });
                    if (op.flags & 2) {
                        const auto span = [&](int i, size_t axis, int size) {
                            const int begin = i * int(op.window[2 + axis]) - int(op.window[4 + axis]);
                            return std::min(begin + int(op.window[axis]), size + int(op.window[4 + axis])) - begin;
                        };
                        count = span(y, 0, a.size.height) * span(x, 1, a.size.width);
                    }
                    return sum / float(count);
                });
                break;
            case k_mean_pool:
                each(out, [&](int c, int, int) {
                    float sum = 0;
                    for (int y = 0; y < a.size.height; ++y)
                        for (int x = 0; x < a.size.width; ++x) sum += a.at(c, y, x);
                    return sum / float(a.size.height * a.size.width);
                });
                break;
            case k_relu: each(out, [&](int c, int y, int x) { return a.at(c, y, x) > 0 ? a.at(c, y, x) : 0; }); break;
            case k_prelu: each(out, [&](int c, int y, int x) { return a.at(c, y, x) >= 0 ? a.at(c, y, x) : a.at(c, y, x) * floats(r_scale)[c]; }); break;
            case k_clamp:
                each(out, [&](int c, int y, int x) { return a.at(c, y, x) < op.p0 ? op.p0 : a.at(c, y, x) > op.p1 ? op.p1 : a.at(c, y, x); });
                break;
            case k_mean_abs:
                each(out, [&](int, int y, int x) {
                    float sums[16] = {};
                    for (int c = 0; c < a.size.channels; ++c) sums[c % 16] += std::fabs(a.at(c, y, x));
                    for (int half : {8, 4, 2, 1})
                        for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
                    return sums[0] / float(a.size.channels);
                });
                break;
            case k_flatten: out.data = a.data; break;
            default: CHECK(false, "kind %u", op.kind);
        }
        return out;
    }
};
