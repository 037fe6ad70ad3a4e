#include "model.h"

#include <cstdlib>

#include "failure.h"

namespace onebit {
namespace {

constexpr uint64_t weights_limit = uint64_t(1) << 30;  // bytes; more where the file itself is larger

// Arrays of constants are read block by block, from where a group begins.
std::vector<float> padded(const Tensor &tensor) {
    std::vector<float> values(size_t(blocks(int(tensor.count)) + 1) * lanes);
    std::copy(tensor.as<float>(), tensor.as<float>() + tensor.count, values.begin());
    return values;
}

// An upper bound of what prepare() makes of an operation, in bytes: lanes and words that stay empty counted.
double prepared_bytes(const Operation &op) {
    const ConvShape &s = op.shape;
    const double outputs = double(all_blocks(s)) * lanes;
    const double taps = double(s.kernel_h) * s.kernel_w, inputs = s.channels_in / s.groups;
    switch (op.kind) {
        case OpKind::conv: return outputs * taps * inputs * 4;
        case OpKind::binary_conv: {
            const double bases = op.tensors[role_weight]->dims[0], terms = op.tensors[role_index]->dims[0];
            return outputs * 4 * (bases * taps * (words(int(inputs)) + 1) + terms);
        }
        case OpKind::pixel_conv: return outputs * taps * (inputs + 4) * 4;
        case OpKind::pointwise: return outputs * (inputs + 1) * 2;
        case OpKind::input: return op.tensors[role_scale] ? double(s.channels_out) * 1024 : 0;
        default: return double(s.channels_out) * 8;
    }
}

Prepared prepare(const Operation &op, const Kernels &kernels) {
    Prepared made;
    const Tensor *const *tensors = op.tensors;
    const auto floats = [&](Role role) { return tensors[role]->as<float>(); };
    switch (op.kind) {
        case OpKind::conv:
            made.conv = std::make_unique<FloatConv>();
            made.conv->shape = op.shape;
            prepare_float(floats(role_weight), floats(role_bias), made.conv.get());
            break;
        case OpKind::pixel_conv:
            made.pixels = std::make_unique<PixelConv>();
            made.pixels->shape = op.shape;
            made.pixels->bits = tensors[role_weight]->type == TensorType::int16 ? 16 : 8;
            prepare_pixels(tensors[role_weight]->data, floats(role_scale), floats(role_bias), floats(role_offset), made.pixels.get());
            if (kernels.arrange_pixels) kernels.arrange_pixels(made.pixels.get());
            break;
        case OpKind::binary_conv:
            made.binary = std::make_unique<BinaryConv>();
            made.binary->shape = op.shape;
            made.binary->bases = int(tensors[role_weight]->dims[0]);
            made.binary->terms = int(tensors[role_index]->dims[0]);
            prepare_binary(tensors[role_weight]->data, tensors[role_index]->as<uint32_t>(), floats(role_shift), floats(role_scale),
                           floats(role_bias), made.binary.get());
            if (kernels.arrange) kernels.arrange(made.binary.get());
            break;
        case OpKind::pointwise:
            made.pointwise = std::make_unique<Pointwise>();
            made.pointwise->channels_in = op.shape.channels_in;
            made.pointwise->channels_out = op.shape.channels_out;
            prepare_pointwise(tensors[role_weight]->as<int16_t>(), floats(role_scale), floats(role_bias), made.pointwise.get());
            break;
        case OpKind::input:  // copied, so that only the reference kernels look into the mapped file once a model is open
            if (tensors[role_scale]) made.scale = padded(*tensors[role_scale]);
            break;
        case OpKind::affine: made.bias = padded(*tensors[role_bias]); [[fallthrough]];
        case OpKind::prelu: made.scale = padded(*tensors[role_scale]); break;
        default: break;
    }
    return made;
}

std::vector<Prepared> prepare_all(const Program &program, size_t file_size, const Kernels &kernels) {
    double total = 0;
    const double limit = double(weights_limit > file_size * 4 ? weights_limit : file_size * 4);
    for (const Operation &op : program.operations) total += prepared_bytes(op);
    if (total > limit) fail(ONEBIT_BAD_FILE, "its weights would take %.3g GiB of memory, the limit is %.3g", total / (1 << 30), limit / (1 << 30));
    std::vector<Prepared> prepared;
    prepared.reserve(program.operations.size());
    for (const Operation &op : program.operations) prepared.push_back(prepare(op, kernels));
    return prepared;
}

}  // namespace

const Kernels &choose_kernels(const char *name) {
    if (!name) name = std::getenv("ONEBIT_KERNEL");
    if (!name || !*name) name = kernel_names()[0];
    if (const Kernels *found = find_kernels(name)) return *found;
    std::string known;
    for (const char *const *other = kernel_names(); *other; ++other) known += (known.empty() ? "" : ", ") + std::string(*other);
    fail(ONEBIT_BAD_KERNEL, "no kernel '%.64s' on this processor; it can run: %s", name, known.c_str());
}

Model::Model(Bytes file, const char *kernel)
    : bytes(std::move(file)),
      kernels(choose_kernels(kernel)),
      program(read_program(bytes.data(), bytes.size())),
      paths(read_paths(program.metadata, program.metadata_size, program.operations.size())),
      prepared(prepare_all(program, bytes.size(), kernels)) {}

}  // namespace onebit
