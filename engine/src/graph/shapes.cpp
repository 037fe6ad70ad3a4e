#include "shapes.h"

#include "../failure.h"

namespace onebit {
namespace {

int window_count(int size, int kernel, int stride, int pad, int dilation, bool ceil) {
    const int room = size + 2 * pad - dilation * (kernel - 1) - 1;
    if (room < 0 && !(ceil && room + stride > 0)) return 0;  // rounded up, one window may reach over a map smaller than itself
    int count = (room + (ceil ? stride - 1 : 0)) / stride + 1;
    if (ceil && (count - 1) * stride >= size + pad) --count;  // a window has to start inside the map or its left padding
    return count;
}

struct Inference {
    const Program &program;
    const std::vector<std::string> &paths;
    std::vector<Shape> shapes;

    std::string name(int i) const { return step_name(program.operations[size_t(i)], i, paths[size_t(i)]); }

    static std::string size(const Shape &shape) { return std::to_string(shape.height) + " x " + std::to_string(shape.width); }

    [[noreturn]] void refuse(int i, const std::string &why) const {
        fail(ONEBIT_BAD_ARGUMENT, "images of %s do not fit this network: %s %s", size(shapes[0]).c_str(), name(i).c_str(), why.c_str());
    }

    Shape windows(int i, const Operation &op, const Shape &in) const {
        const ConvShape &s = op.shape;
        const bool pool = op.kind == OpKind::max_pool || op.kind == OpKind::average_pool;
        const bool ceil = pool && (op.flags & flag_ceil);
        const Shape out{s.channels_out, window_count(in.height, s.kernel_h, s.stride_h, s.pad_h, s.dilation_h, ceil),
                        window_count(in.width, s.kernel_w, s.stride_w, s.pad_w, s.dilation_w, ceil)};
        if (out.height < 1 || out.width < 1)
            refuse(i, "gets a map of " + size(in) + ", too small for its kernel " + std::to_string(s.kernel_h) + " x " + std::to_string(s.kernel_w));
        return out;
    }

    Shape infer(int i) const {
        const Operation &op = program.operations[size_t(i)];
        const Shape in = shapes[size_t(op.inputs[0])];
        Shape out = in;
        out.channels = op.shape.channels_out;
        switch (op.kind) {
            case OpKind::conv:
            case OpKind::pixel_conv:
            case OpKind::binary_conv:
            case OpKind::max_pool:
            case OpKind::average_pool: out = windows(i, op, in); break;
            case OpKind::add:
            case OpKind::concat: {
                const Shape other = shapes[size_t(op.inputs[1])];
                if (in.height != other.height || in.width != other.width) refuse(i, "joins maps of " + size(in) + " and " + size(other));
                break;
            }
            case OpKind::mean_pool: out.height = out.width = 1; break;
            case OpKind::flatten:
                if (in.values() != out.channels)
                    refuse(i, "makes a vector of " + std::to_string(out.channels) + " values, but gets " + std::to_string(in.channels) + " channels of " + size(in));
                out.height = out.width = 1;
                break;
            default: break;
        }
        if (op.kind == OpKind::binary_conv && op.input_count == 2) {
            const Shape k = shapes[size_t(op.inputs[1])];
            if (k.height != out.height || k.width != out.width) refuse(i, "makes a map of " + size(out) + ", but its K has " + size(k));
        }
        if (out.height > max_side || out.width > max_side || out.values() > max_values) refuse(i, "would make a map of " + size(out) + " with " + std::to_string(out.channels) + " channels, too large");
        return out;
    }
};

}  // namespace

std::string step_name(const Operation &op, int index, const std::string &path) {
    return std::string(kind_name(op.kind)) + " " + (path.empty() ? "(operation " + std::to_string(index) + ")" : path);
}

double count_macs(const Operation &op, const Shape &out) {
    const ConvShape &s = op.shape;
    const double dense = double(out.values()) * s.kernel_h * s.kernel_w * (s.channels_in / s.groups);
    switch (op.kind) {
        case OpKind::conv:
        case OpKind::pixel_conv:
        case OpKind::pointwise: return dense;
        case OpKind::binary_conv: return dense * op.tensors[role_index]->dims[0];
        default: return 0;
    }
}

std::vector<Shape> infer_shapes(const Program &program, const std::vector<std::string> &paths, int64_t height, int64_t width) {
    const Operation &input = program.operations[0];
    if (height < 1 || width < 1 || height > max_side || width > max_side || height * width * input.shape.channels_out > max_values)
        fail(ONEBIT_BAD_ARGUMENT, "images of %lld x %lld: sides from 1 to %d are allowed, and %lld values", static_cast<long long>(height),
             static_cast<long long>(width), max_side, static_cast<long long>(max_values));
    Inference inference{program, paths, {}};
    inference.shapes.push_back({input.shape.channels_out, int(height), int(width)});
    double work = 0;
    for (int i = 1; i < int(program.operations.size()); ++i) {
        inference.shapes.push_back(inference.infer(i));
        const Operation &op = program.operations[size_t(i)];
        const Shape &out = inference.shapes.back();
        const bool pool = op.kind == OpKind::max_pool || op.kind == OpKind::average_pool;
        work += double(out.values()) + double(inference.shapes[size_t(op.inputs[0])].values()) +
                (pool ? double(out.values()) * op.shape.kernel_h * op.shape.kernel_w : count_macs(op, out));
        if (work > max_work) inference.refuse(i, "brings the work above 10^13 multiplications an image");
    }
    return inference.shapes;
}

}  // namespace onebit
