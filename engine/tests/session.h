// What tests do with the C API: open or fail, images in any layout, one call for a run.
#pragma once

#include <onebit.h>

#include <memory>
#include <sstream>

#include "interpreter.h"

struct FreeModel {
    void operator()(onebit_model *model) const { onebit_model_free(model); }
};
struct FreeSession {
    void operator()(onebit_session *session) const { onebit_session_free(session); }
};
using Model = std::unique_ptr<onebit_model, FreeModel>;
using Session = std::unique_ptr<onebit_session, FreeSession>;

#define CHECK_OK(call) CHECK((call) == ONEBIT_OK, "%s", onebit_last_error())

inline Model open_model(const std::vector<uint8_t> &bytes, const char *kernel) {
    onebit_model *model = nullptr;
    CHECK_OK(onebit_model_read(bytes.data(), bytes.size(), kernel, &model));
    return Model(model);
}

inline Session open_session(const Model &model, int threads) {
    onebit_session *session = nullptr;
    CHECK_OK(onebit_session_create(model.get(), threads, &session));
    return Session(session);
}

inline std::vector<std::string> kernel_list() {
    std::istringstream names(onebit_kernels());
    std::vector<std::string> list;
    for (std::string name; names >> name;) list.push_back(name);
    return list;
}

// An image both as the interpreter sees it and as it lies in memory, in a random layout.
struct Image {
    Value value;
    std::vector<float> floats;
    std::vector<uint8_t> pixels;
    onebit_images images{};

    Image(Random &random, const Network &net, int height, int width, bool as_pixels) {
        const FileOp &input = net.ops[0];
        const bool raw = input.flags & 1;
        value.size = {net.channels, height, width};
        value.data.resize(size_t(net.channels) * size_t(height) * size_t(width));
        std::vector<uint8_t> bytes(value.data.size());
        for (size_t i = 0; i < bytes.size(); ++i) {
            bytes[i] = uint8_t(random.pick(0, 255));
            const size_t channel = i / (size_t(height) * size_t(width));
            value.data[i] = raw ? float(bytes[i]) : as_pixels ? net.of(input, r_scale).as<float>()[channel * 256 + bytes[i]] : random.value();
        }
        // NCHW, NHWC, or with gaps
        images = {nullptr, as_pixels ? ONEBIT_UINT8 : ONEBIT_FLOAT32, 1, net.channels, height, width, 0, 0, 0, 0};
        const int gap = random.chance(30) ? random.pick(1, 5) : 0;
        if (random.chance(50)) {
            images.stride_column = 1 + gap, images.stride_row = images.stride_column * width + gap;
            images.stride_channel = images.stride_row * height, images.stride_batch = images.stride_channel * net.channels;
        } else {
            images.stride_channel = 1, images.stride_column = net.channels + gap;
            images.stride_row = images.stride_column * width + gap, images.stride_batch = images.stride_row * height;
        }
        const size_t room = size_t(images.stride_batch);
        floats.resize(as_pixels ? 0 : room, NAN);
        pixels.resize(as_pixels ? room : 0, 77);
        for (int c = 0; c < net.channels; ++c)
            for (int y = 0; y < height; ++y)
                for (int x = 0; x < width; ++x) {
                    const size_t at = size_t(c * images.stride_channel + y * images.stride_row + x * images.stride_column);
                    const size_t i = size_t((c * height + y) * width + x);
                    if (as_pixels) pixels[at] = bytes[i];
                    else floats[at] = value.data[i];
                }
        images.data = as_pixels ? static_cast<const void *>(pixels.data()) : floats.data();
    }
};

inline bool takes_pixels(const Network &net) { return net.ops[0].flags & 1 || net.ops[0].tensors[r_scale] != ~0u; }
inline bool takes_floats(const Network &net) { return !(net.ops[0].flags & 1); }

// The result's shape for an image of that size; channels 0 where the network does not allow it.
inline Size result_of(const Network &net, int height, int width) {
    std::vector<Size> sizes{{net.channels, height, width}};
    for (size_t i = 1; i < net.ops.size(); ++i) {
        const FileOp &op = net.ops[i];
        const Size size = size_of(op, sizes);
        bool fits = size.height > 0 && size.width > 0;
        const Size &a = sizes[op.inputs[0]];
        if (op.kind == k_add || op.kind == k_concat) fits = fits && a.height == sizes[op.inputs[1]].height && a.width == sizes[op.inputs[1]].width;
        if (op.kind == k_binary_conv && op.inputs.size() == 2)
            fits = fits && sizes[op.inputs[1]].height == size.height && sizes[op.inputs[1]].width == size.width;
        if (op.kind == k_flatten) fits = fits && a.channels * a.height * a.width == int(op.channels);
        if (!fits) return {0, 0, 0};
        sizes.push_back(size);
    }
    return sizes.back();
}

inline std::vector<float> run(onebit_session *session, const onebit_images &images) {
    int64_t shape[3];
    CHECK_OK(onebit_session_shape(session, images.height, images.width, shape));
    std::vector<float> output(size_t(images.batch * shape[0] * shape[1] * shape[2]), NAN);
    CHECK_OK(onebit_session_run(session, &images, output.data(), output.size()));
    return output;
}

inline bool same_bits(const std::vector<float> &a, const std::vector<float> &b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}
