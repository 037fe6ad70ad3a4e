// What every kind of operation asks of its tensors, inputs and fields: the table of docs/file-format.md.
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "failure.h"
#include "format.h"

namespace onebit {
namespace {

constexpr uint32_t bit(Role role) { return 1u << role; }

struct Rule {
    const char *name;
    int min_inputs, max_inputs;
    uint32_t required, optional;  // tensors by role
    uint32_t flags;
    bool window, dilation, groups;
    int parameters;  // how many of p0, p1
};

const Rule rules[op_kinds] = {
    {"input", 0, 0, 0, bit(role_scale), flag_pixels, false, false, false, 0},
    {"conv", 1, 1, bit(role_weight) | bit(role_bias), 0, 0, true, true, true, 0},
    {"pixel_conv", 1, 1, bit(role_weight) | bit(role_scale) | bit(role_bias) | bit(role_offset), 0, 0, true, true, false, 0},
    {"binary_conv", 1, 2, bit(role_weight) | bit(role_index) | bit(role_shift) | bit(role_scale) | bit(role_bias), 0, 0, true, true, true, 0},
    {"pointwise", 1, 1, bit(role_weight) | bit(role_scale) | bit(role_bias), 0, 0, false, false, false, 0},
    {"affine", 1, 1, bit(role_scale) | bit(role_bias), 0, 0, false, false, false, 0},
    {"add", 2, 2, 0, 0, 0, false, false, false, 0},
    {"multiply", 1, 1, 0, 0, 0, false, false, false, 1},
    {"concat", 2, 2, 0, 0, 0, false, false, false, 0},
    {"max_pool", 1, 1, 0, 0, flag_ceil, true, false, false, 0},
    {"average_pool", 1, 1, 0, 0, flag_ceil | flag_count_padding, true, false, false, 0},
    {"mean_pool", 1, 1, 0, 0, 0, false, false, false, 0},
    {"relu", 1, 1, 0, 0, 0, false, false, false, 0},
    {"prelu", 1, 1, bit(role_scale), 0, 0, false, false, false, 0},
    {"clamp", 1, 1, 0, 0, 0, false, false, false, 2},
    {"mean_abs", 1, 1, 0, 0, 0, false, false, false, 0},
    {"flatten", 1, 1, 0, 0, 0, false, false, false, 0},
};

const Rule &rule_of(OpKind kind) { return rules[static_cast<uint32_t>(kind) - 1]; }

const char *const role_names[roles] = {"weight", "scale", "bias", "index", "shift", "offset", "a reserved tensor", "a reserved tensor"};
const char *const type_names[] = {"bits", "float32", "int16", "int8", "uint32"};

using Dims = std::vector<int64_t>;

std::string text(const Dims &dims) {
    std::string out = "(";
    for (size_t i = 0; i < dims.size(); ++i) out += (i ? ", " : "") + std::to_string(dims[i]);
    return out + ")";
}

// One operation under examination; every failure names it.
struct Check {
    const Program &program;
    int index;
    const Operation &op;
    const Rule &rule;

    [[noreturn]] void refuse(const std::string &why) const {
        fail(ONEBIT_BAD_FILE, "operation %d (%s) %s", index, rule.name, why.c_str());
    }

    const Tensor &tensor(Role role, TensorType type, const Dims &dims) const {
        const Tensor &tensor = *op.tensors[role];
        if (tensor.type != type)
            refuse(std::string("has ") + role_names[role] + " of type " + type_names[static_cast<int>(tensor.type)] + ", expected " +
                   type_names[static_cast<int>(type)]);
        const Dims actual(tensor.dims, tensor.dims + tensor.rank);
        if (actual != dims) refuse(std::string("has ") + role_names[role] + " of shape " + text(actual) + ", expected " + text(dims));
        if (type == TensorType::float32) finite(role, tensor);
        return tensor;
    }

    void finite(Role role, const Tensor &tensor) const {
        const uint32_t *values = tensor.as<uint32_t>();
        uint32_t broken = 0;
        for (uint64_t i = 0; i < tensor.count; ++i) broken |= (values[i] & 0x7F800000u) == 0x7F800000u;
        if (broken) refuse(std::string("has a NaN or infinity in ") + role_names[role]);
    }

    void fields() const {
        if (op.input_count < rule.min_inputs || op.input_count > rule.max_inputs)
            refuse("has " + std::to_string(op.input_count) + " inputs");
        if ((index == 0) != (op.kind == OpKind::input)) refuse("stands at the wrong place: operation 0, and no other, is the input");
        for (int role = 0; role < roles; ++role) {
            const bool there = op.tensors[role] != nullptr;
            if (!there && (rule.required >> role & 1)) refuse(std::string("lacks ") + role_names[role]);
            if (there && !((rule.required | rule.optional) >> role & 1)) refuse(std::string("has ") + role_names[role] + ", which it does not use");
        }
        if (op.flags & ~rule.flags) refuse("has unknown flags " + std::to_string(op.flags));
        const ConvShape &s = op.shape;
        if (!rule.window && (s.kernel_h != 1 || s.kernel_w != 1 || s.stride_h != 1 || s.stride_w != 1 || s.pad_h != 0 || s.pad_w != 0))
            refuse("has a kernel, stride or padding, which it does not use");
        if (!rule.dilation && (s.dilation_h != 1 || s.dilation_w != 1)) refuse("has a dilation, which it does not use");
        if (!rule.groups && s.groups != 1) refuse("has groups, which it does not use");
        if (!std::isfinite(op.p0) || !std::isfinite(op.p1)) refuse("has a NaN or infinity as p0 or p1");
        if ((rule.parameters < 1 && op.p0 != 0) || (rule.parameters < 2 && op.p1 != 0)) refuse("has a p0 or p1, which it does not use");
    }

    int input_channels(int input) const { return program.operations[static_cast<size_t>(op.inputs[input])].shape.channels_out; }

    void channels(int64_t expected) const {
        if (op.shape.channels_out != expected)
            refuse("states " + std::to_string(op.shape.channels_out) + " channels, expected " + std::to_string(expected));
    }

    void grouped() const {
        const ConvShape &s = op.shape;
        if (s.channels_in % s.groups != 0 || s.channels_out % s.groups != 0)
            refuse("has " + std::to_string(s.groups) + " groups, which do not divide its " + std::to_string(s.channels_in) + " input and " +
                   std::to_string(s.channels_out) + " output channels");
    }

    // Pixels go to pixel_conv and nowhere else, and it takes nothing else.
    void pixels() const {
        for (int i = 0; i < op.input_count; ++i) {
            const Operation &source = program.operations[static_cast<size_t>(op.inputs[i])];
            const bool bytes = source.kind == OpKind::input && (source.flags & flag_pixels);
            if (bytes != (op.kind == OpKind::pixel_conv)) refuse(bytes ? "reads pixels, which only pixel_conv can" : "needs pixels as its input");
        }
    }

    void pixel_conv(const Dims &weight_dims, int64_t outputs) const {
        const bool wide = op.tensors[role_weight]->type == TensorType::int16;
        const Tensor &weight = tensor(role_weight, wide ? TensorType::int16 : TensorType::int8, weight_dims);
        tensor(role_scale, TensorType::float32, {outputs});
        tensor(role_bias, TensorType::float32, {outputs});
        tensor(role_offset, TensorType::float32, {outputs, op.shape.kernel_h, op.shape.kernel_w});
        const uint64_t taps = weight.count / static_cast<uint64_t>(outputs);
        for (int64_t o = 0; o < outputs; ++o) {
            uint64_t sum = 0;
            for (uint64_t i = 0; i < taps; ++i) {
                const uint64_t at = static_cast<uint64_t>(o) * taps + i;
                sum += static_cast<uint64_t>(std::abs(wide ? int(weight.as<int16_t>()[at]) : int(weight.as<int8_t>()[at])));
            }
            if (sum * 255 > INT32_MAX) refuse("has weights whose sum of products with pixels can exceed 32 bits");
        }
    }

    void binary_conv(const Dims &weight_dims, int64_t outputs) const {
        const Tensor &weight = *op.tensors[role_weight];
        const int64_t bases = weight.dims[0], terms = op.tensors[role_index]->dims[0];
        if (bases > max_terms || terms > max_terms)
            refuse("has " + std::to_string(bases) + " bases and " + std::to_string(terms) + " terms, at most " + std::to_string(max_terms) + " are allowed");
        Dims dims{bases};
        dims.insert(dims.end(), weight_dims.begin(), weight_dims.end());
        tensor(role_weight, TensorType::bits, dims);
        const Tensor &index_tensor = tensor(role_index, TensorType::uint32, {terms});
        tensor(role_shift, TensorType::float32, {terms});
        tensor(role_scale, TensorType::float32, {terms, outputs});
        tensor(role_bias, TensorType::float32, {outputs});
        for (int64_t t = 0; t < terms; ++t)
            if (index_tensor.as<uint32_t>()[t] >= bases)
                refuse("has " + std::to_string(index_tensor.as<uint32_t>()[t]) + " as index of one of " + std::to_string(bases) + " bases");
        if (weight.count / static_cast<uint64_t>(bases * outputs) > 1u << 24) refuse("has more than 2^24 weights an output, whose sums are not exact");
        if (op.input_count == 2 && input_channels(1) != 1) refuse("takes K with one channel, not " + std::to_string(input_channels(1)));
    }

    void pointwise(int64_t inputs, int64_t outputs) const {
        if (inputs > 511) refuse("has " + std::to_string(inputs) + " input channels, at most 511 are allowed");
        const Tensor &weight = tensor(role_weight, TensorType::int16, {outputs, inputs});
        tensor(role_scale, TensorType::float32, {outputs});
        tensor(role_bias, TensorType::float32, {outputs});
        int greatest = 0;
        for (uint64_t i = 0; i < weight.count; ++i) greatest = std::max(greatest, std::abs(int(weight.as<int16_t>()[i])));
        if (greatest > 2047) refuse("has a weight of magnitude " + std::to_string(greatest) + ", at most 2047 is allowed");
    }

    void pool() const {
        const ConvShape &s = op.shape;
        if (s.pad_h > s.kernel_h / 2 || s.pad_w > s.kernel_w / 2)
            refuse("has padding " + std::to_string(s.pad_h) + " x " + std::to_string(s.pad_w) + ", more than half of its kernel " +
                   std::to_string(s.kernel_h) + " x " + std::to_string(s.kernel_w));
    }

    void run() const {
        fields();
        pixels();
        const ConvShape &s = op.shape;
        const int64_t in = s.channels_in, out = s.channels_out;
        const Dims weight_dims{out, s.kernel_h, s.kernel_w, in / s.groups};
        switch (op.kind) {
            case OpKind::input:
                if (op.tensors[role_scale]) tensor(role_scale, TensorType::float32, {out, 256});
                break;
            case OpKind::conv:
                grouped();
                tensor(role_weight, TensorType::float32, weight_dims);
                tensor(role_bias, TensorType::float32, {out});
                break;
            case OpKind::pixel_conv: pixel_conv(weight_dims, out); break;
            case OpKind::binary_conv:
                grouped();
                binary_conv(weight_dims, out);
                break;
            case OpKind::pointwise: pointwise(in, out); break;
            case OpKind::affine:
                tensor(role_bias, TensorType::float32, {in});
                [[fallthrough]];
            case OpKind::prelu:
                tensor(role_scale, TensorType::float32, {in});
                channels(in);
                break;
            case OpKind::add:
                if (input_channels(1) != in) refuse("adds " + std::to_string(in) + " and " + std::to_string(input_channels(1)) + " channels");
                channels(in);
                break;
            case OpKind::concat: channels(in + input_channels(1)); break;
            case OpKind::max_pool:
            case OpKind::average_pool:
                pool();
                channels(in);
                break;
            case OpKind::clamp:
                if (op.p0 > op.p1) refuse("has bounds from " + std::to_string(op.p0) + " to " + std::to_string(op.p1));
                [[fallthrough]];
            case OpKind::multiply:
            case OpKind::mean_pool:
            case OpKind::relu: channels(in); break;
            case OpKind::mean_abs: channels(1); break;
            case OpKind::flatten:
                if (out % in != 0) channels(in);
                break;
        }
    }
};

}  // namespace

const char *kind_name(OpKind kind) { return rule_of(kind).name; }

void check_operation(const Program &program, int index) {
    const Operation &op = program.operations[static_cast<size_t>(index)];
    Check{program, index, op, rule_of(op.kind)}.run();
}

}  // namespace onebit
