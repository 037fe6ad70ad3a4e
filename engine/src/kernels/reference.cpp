// The kernel set "reference": docs/file-format.md as loops, one value at a time. It shares no code with the other sets and takes
// weights as they stand in the file, so that a mistake in one of them can't hide here.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "../kernels.h"

namespace onebit {
namespace {

template <class T>
const T *pixel_at(const Map<T> &map, int y, int x) {
    return map.data + y * map.row + x * map.pixel;
}

template <class T>
T *pixel_at_mutable(const Map<T> &map, int y, int x) {
    return map.data + y * map.row + x * map.pixel;
}

bool inside(int y, int x, int height, int width) { return y >= 0 && y < height && x >= 0 && x < width; }

float finish(const Epilogue &epilogue, int y, int x, int channel, float v) {
    for (int i = 0; i < epilogue.posts; ++i) {
        const Post &post = epilogue.post[i];
        switch (post.kind) {
            case PostKind::add: v = v + pixel_at(post.map, y, x)[channel]; break;
            case PostKind::multiply: v = v * post.p0; break;
            case PostKind::affine: v = std::fma(v, post.scale[channel], post.bias[channel]); break;
            case PostKind::relu: v = v > 0 ? v : 0; break;
            case PostKind::prelu: v = v >= 0 ? v : v * post.scale[channel]; break;
            case PostKind::clamp: v = v < post.p0 ? post.p0 : v > post.p1 ? post.p1 : v; break;
        }
    }
    return v;
}

bool is_positive(const SignOutput &sign, int channel, float v) {
    if (sign.scale) v = std::fma(v, sign.scale[channel], sign.bias[channel]);
    return v + sign.shift >= 0;
}

// Stores one block of finished values. Signs are stored 16 at a time: another thread may own the other half of a word.
void store(const Epilogue &epilogue, int y, int x, int channel, int count, const float *values) {
    if (epilogue.out.data) std::copy(values, values + count, pixel_at_mutable(epilogue.out, y, x) + channel);
    for (int i = 0; i < epilogue.signs; ++i) {
        const SignOutput &sign = epilogue.sign[i];
        uint16_t half = 0;
        for (int lane = 0; lane < count; ++lane)
            if (is_positive(sign, channel + lane, values[lane])) half = uint16_t(half | 1u << lane);
        uint32_t *words = sign.bits.data + y * sign.bits.row + ptrdiff_t(x) * sign.bits.words;
        std::memcpy(reinterpret_cast<uint16_t *>(words) + channel / lanes, &half, sizeof half);
    }
}

// Where an output channel stands: its number, its group, and its place in arrays that are padded group by group.
struct Output {
    int channel, group, padded;
};

// Runs value(y, x, output) for every output of the part, through the epilogue into memory.
template <class Value>
void each_output(Part part, int width, int channels, int groups, const Epilogue &epilogue, Value value) {
    const int group_channels = channels / groups, group_blocks = blocks(group_channels);
    for (int y = part.row_begin; y < part.row_end; ++y)
        for (int x = 0; x < width; ++x)
            for (int block = part.block_begin; block < part.block_end; ++block) {
                const int group = block / group_blocks, first = block % group_blocks * lanes;
                const int channel = group * group_channels + first, count = std::min(lanes, group_channels - first);
                float values[lanes];
                for (int lane = 0; lane < count; ++lane)
                    values[lane] = finish(epilogue, y, x, channel + lane,
                                          value(y, x, Output{channel + lane, group, block * lanes + lane}));
                store(epilogue, y, x, channel, count, values);
            }
}

// Calls tap(kernel row, kernel column, y, x) for the taps of the result's pixel that lie inside the map, row by row.
template <class Shape, class Tap>
void each_tap(const Shape &shape, int dilation_h, int dilation_w, int out_y, int out_x, int height, int width, Tap tap) {
    for (int r = 0; r < shape.kernel_h; ++r)
        for (int s = 0; s < shape.kernel_w; ++s) {
            const int y = out_y * shape.stride_h - shape.pad_h + r * dilation_h;
            const int x = out_x * shape.stride_w - shape.pad_w + s * dilation_w;
            if (inside(y, x, height, width)) tap(r, s, y, x);
        }
}

bool weight_bit(const uint8_t *bits, size_t i) { return bits[i / 8] >> i % 8 & 1; }

// Sign of channel c of group g. In a merged map the leftover channels stand in the middle of three lots, behind the whole words.
bool sign_bit(const BinaryConv &conv, const BitMap &map, int y, int x, int group, int c) {
    const uint32_t *words = map.data + y * map.row + ptrdiff_t(x) * map.words;
    const int channels = conv.shape.channels_in / conv.shape.groups, whole = channels / 32 * 32;
    int i = c;
    if (!conv.merged) i += group * ((channels + 31) / 32 * 32);
    else if (c >= whole) i += channels - whole;
    return words[i / 32] >> i % 32 & 1;
}

void binary_conv(const BinaryConvCall &call, Part part) {
    const BinaryConv &conv = *call.conv;
    const ConvShape &shape = conv.shape;
    const int channels = shape.channels_in / shape.groups;
    const size_t stride = size_t(blocks(shape.channels_out / shape.groups)) * shape.groups * lanes;
    each_output(part, call.border->width, shape.channels_out, shape.groups, call.epilogue, [&](int y, int x, Output o) {
        float result = conv.bias[o.padded];
        for (int t = 0; t < conv.terms; ++t) {
            const BitMap &input = *call.inputs[t];
            const size_t output = size_t(conv.index[t]) * shape.channels_out + o.channel;
            int sum = 0;
            each_tap(shape, shape.dilation_h, shape.dilation_w, y, x, input.height, input.width, [&](int r, int s, int iy, int ix) {
                const size_t first = ((output * shape.kernel_h + r) * shape.kernel_w + s) * channels;
                for (int c = 0; c < channels; ++c)
                    sum += weight_bit(conv.file_bits, first + c) == sign_bit(conv, input, iy, ix, o.group, c) ? 1 : -1;
            });
            float s = float(sum);
            if (call.input_scale.data) s = s * *pixel_at(call.input_scale, y, x);
            result = std::fma(s, conv.scale[t * stride + o.padded], result);
        }
        return result;
    });
}

void conv(const FloatConvCall &call, Part part) {
    const ConvShape &shape = call.conv->shape;
    const int channels = shape.channels_in / shape.groups;
    each_output(part, call.width, shape.channels_out, shape.groups, call.epilogue, [&](int y, int x, Output o) {
        float result = call.conv->bias[o.padded];
        each_tap(shape, shape.dilation_h, shape.dilation_w, y, x, call.input.height, call.input.width,
                 [&](int r, int s, int iy, int ix) {
                     const float *pixel = pixel_at(call.input, iy, ix) + o.group * channels;
                     const float *weight = call.conv->file_weight +
                                           ((size_t(o.channel) * shape.kernel_h + r) * shape.kernel_w + s) * channels;
                     for (int c = 0; c < channels; ++c) result = std::fma(pixel[c], weight[c], result);
                 });
        return result;
    });
}

void pixel_conv(const PixelConvCall &call, Part part) {
    const PixelConv &conv = *call.conv;
    const ConvShape &shape = conv.shape;
    each_output(part, call.border->width, shape.channels_out, 1, call.epilogue, [&](int y, int x, Output o) {
        int sum = 0;
        double bias = conv.bias[o.channel];
        each_tap(shape, shape.dilation_h, shape.dilation_w, y, x, call.input.height, call.input.width,
                 [&](int r, int s, int iy, int ix) {
                     const size_t tap = (size_t(o.channel) * shape.kernel_h + r) * shape.kernel_w + s;
                     bias += conv.file_offset[tap];
                     for (int c = 0; c < shape.channels_in; ++c) {
                         const size_t i = tap * shape.channels_in + c;
                         sum += pixel_at(call.input, iy, ix)[c] *
                                (conv.bits == 8 ? static_cast<const int8_t *>(conv.file_weight)[i]
                                                : static_cast<const int16_t *>(conv.file_weight)[i]);
                     }
                 });
        return std::fma(float(sum), conv.scale[o.channel], float(bias));
    });
}

float greatest_magnitude(const FloatMap &in, int row_begin, int row_end) {
    float greatest = 0;
    for (int y = row_begin; y < row_end; ++y)
        for (int x = 0; x < in.width; ++x)
            for (int c = 0; c < in.channels; ++c) greatest = std::max(greatest, std::fabs(pixel_at(in, y, x)[c]));
    return greatest;
}

void quantize(const FloatMap &in, float factor, const Map<int16_t> &out, int row_begin, int row_end) {
    for (int y = row_begin; y < row_end; ++y)
        for (int x = 0; x < in.width; ++x) {
            int16_t *to = pixel_at_mutable(out, y, x);
            for (int c = 0; c < in.channels; ++c) {
                const float q = std::nearbyint(pixel_at(in, y, x)[c] * factor);
                to[c] = int16_t(q > -2047 ? std::min(q, 2047.0f) : -2047.0f);  // beyond 2047, or NaN, only where m overflowed
            }
            if (in.channels % 2) to[in.channels] = 0;
        }
}

void pointwise(const PointwiseCall &call, Part part) {
    const Pointwise &conv = *call.conv;
    each_output(part, call.input.width, conv.channels_out, 1, call.epilogue, [&](int y, int x, Output o) {
        int sum = 0;
        for (int c = 0; c < conv.channels_in; ++c)
            sum += pixel_at(call.input, y, x)[c] * conv.file_weight[size_t(o.channel) * conv.channels_in + c];
        return std::fma(float(sum), conv.scale[o.channel] * call.step, conv.bias[o.channel]);
    });
}

void max_pool(const PoolCall &call, Part part) {
    each_output(part, call.width, call.input.channels, 1, call.epilogue, [&](int y, int x, Output o) {
        float greatest = 0;
        bool first = true;
        each_tap(call, 1, 1, y, x, call.input.height, call.input.width, [&](int, int, int iy, int ix) {
            const float v = pixel_at(call.input, iy, ix)[o.channel];
            if (first || v > greatest) greatest = v;
            first = false;
        });
        return greatest;
    });
}

void average_pool(const PoolCall &call, Part part) {
    each_output(part, call.width, call.input.channels, 1, call.epilogue, [&](int y, int x, Output o) {
        float sum = 0;
        int count = 0, padded_count = 0;
        each_tap(call, 1, 1, y, x, call.input.height, call.input.width, [&](int, int, int iy, int ix) {
            sum += pixel_at(call.input, iy, ix)[o.channel];
            ++count;
        });
        for (int r = 0; r < call.kernel_h; ++r)
            for (int s = 0; s < call.kernel_w; ++s)
                padded_count += inside(y * call.stride_h + r, x * call.stride_w + s, call.input.height + 2 * call.pad_h,
                                       call.input.width + 2 * call.pad_w);
        return sum / float(call.count_padding ? padded_count : count);
    });
}

void mean_pool(const PoolCall &call, Part part) {
    each_output(part, 1, call.input.channels, 1, call.epilogue, [&](int, int, Output o) {
        float sum = 0;
        for (int y = 0; y < call.input.height; ++y)
            for (int x = 0; x < call.input.width; ++x) sum += pixel_at(call.input, y, x)[o.channel];
        return sum / float(call.input.height * call.input.width);
    });
}

void elementwise(const ElementwiseCall &call, Part part) {
    each_output(part, call.input.width, call.input.channels, 1, call.epilogue,
                [&](int y, int x, Output o) { return pixel_at(call.input, y, x)[o.channel]; });
}

void mean_abs(const FloatMap &in, const FloatMap &out, int row_begin, int row_end) {
    for (int y = row_begin; y < row_end; ++y)
        for (int x = 0; x < in.width; ++x) {
            float sums[lanes] = {};
            for (int c = 0; c < in.channels; ++c) sums[c % lanes] += std::fabs(pixel_at(in, y, x)[c]);
            for (int half = lanes / 2; half; half /= 2)
                for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
            *pixel_at_mutable(out, y, x) = sums[0] / float(in.channels);
        }
}

void merge(const BitMap &plain, int leftover, const BitMap &merged, int row_begin, int row_end) {
    const int whole = plain.words - 1;
    for (int y = row_begin; y < row_end; ++y)
        for (int x = 0; x < plain.width; ++x) {
            const uint32_t *from = plain.data + y * plain.row + ptrdiff_t(x) * plain.words;
            uint32_t *to = merged.data + y * merged.row + ptrdiff_t(x) * merged.words;
            std::copy(from, from + whole, to);
            std::fill(to + whole, to + merged.words, 0u);
            for (int lot = 0; lot < 3; ++lot) {
                if (!inside(y, x + lot - 1, plain.height, plain.width)) continue;
                const uint32_t bits = from[(lot - 1) * plain.words + whole];
                for (int i = 0; i < leftover; ++i) {
                    const int place = lot * leftover + i;
                    to[whole + place / 32] |= (bits >> i & 1) << place % 32;
                }
            }
        }
}

}  // namespace

extern const Kernels reference_kernels = {"reference", binary_conv, conv, pixel_conv, greatest_magnitude, quantize, pointwise, max_pool,
                                          average_pool, mean_pool, elementwise, mean_abs, merge, nullptr, nullptr};

}  // namespace onebit
