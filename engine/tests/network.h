// Networks made in memory, written as .onebit files by docs/file-format.md alone: nothing of the engine is used here.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <string>

#include "check.h"

enum Kind : uint32_t {
    k_input = 1, k_conv, k_pixel_conv, k_binary_conv, k_pointwise, k_affine, k_add, k_multiply, k_concat,
    k_max_pool, k_average_pool, k_mean_pool, k_relu, k_prelu, k_clamp, k_mean_abs, k_flatten
};
enum TensorRole { r_weight, r_scale, r_bias, r_index, r_shift, r_offset };
enum Type : uint32_t { t_bits, t_float32, t_int16, t_int8, t_uint32 };

struct FileTensor {
    uint32_t type = t_float32;
    std::vector<uint32_t> dims;
    std::vector<uint8_t> data;

    template <class T>
    const T *as() const { return reinterpret_cast<const T *>(data.data()); }
};

struct FileOp {
    uint32_t kind = k_input;
    std::vector<uint32_t> inputs;
    std::array<uint32_t, 8> tensors{~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u};
    std::array<uint32_t, 8> window{1, 1, 1, 1, 0, 0, 1, 1};  // kernel, stride, padding, dilation
    uint32_t groups = 1, channels = 1, flags = 0;
    float p0 = 0, p1 = 0;
};

inline uint32_t slow_crc(const uint8_t *bytes, size_t size) {
    uint32_t crc = ~0u;
    for (size_t i = 0; i < size; ++i) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

template <class T>
void put(std::vector<uint8_t> &bytes, size_t at, T value) {
    std::memcpy(bytes.data() + at, &value, sizeof value);
}

inline void repair_crc(std::vector<uint8_t> &bytes) {
    if (bytes.size() >= 16) put(bytes, 12, slow_crc(bytes.data() + 16, bytes.size() - 16));
}

struct Network {
    std::vector<FileOp> ops;
    std::vector<FileTensor> tensors;
    std::string metadata = "{\"creator\": \"tests\"}";
    int channels = 1, height = 1, width = 1;  // the image that it was made for

    template <class T>
    uint32_t tensor(Type type, std::vector<uint32_t> dims, const std::vector<T> &values) {
        FileTensor made{type, std::move(dims), std::vector<uint8_t>(values.size() * sizeof(T))};
        std::memcpy(made.data.data(), values.data(), made.data.size());
        tensors.push_back(std::move(made));
        return uint32_t(tensors.size() - 1);
    }
    const FileTensor &of(const FileOp &op, int role) const { return tensors[op.tensors[size_t(role)]]; }

    std::vector<uint8_t> bytes() const {
        auto rounded = [](size_t n, size_t to) { return (n + to - 1) / to * to; };
        const size_t tensors_at = 64, ops_at = tensors_at + 48 * tensors.size(), metadata_at = ops_at + 128 * ops.size();
        size_t end = metadata_at + metadata.size();
        std::vector<size_t> offsets;
        for (const FileTensor &tensor : tensors) {
            offsets.push_back(rounded(end, 64));
            end = offsets.back() + tensor.data.size();
        }
        std::vector<uint8_t> out(end);
        const uint8_t signature[8] = {0x89, 'O', 'B', 'T', '\r', '\n', 0x1A, '\n'};
        std::memcpy(out.data(), signature, 8);
        put<uint32_t>(out, 8, 1);
        put<uint64_t>(out, 16, end);
        put<uint64_t>(out, 24, metadata_at);
        put<uint64_t>(out, 32, metadata.size());
        put<uint32_t>(out, 40, uint32_t(ops.size()));
        put<uint32_t>(out, 44, uint32_t(tensors.size()));
        put<uint64_t>(out, 48, ops_at);
        put<uint64_t>(out, 56, tensors_at);
        for (size_t i = 0; i < tensors.size(); ++i) {
            const size_t at = tensors_at + 48 * i;
            put(out, at, tensors[i].type);
            put(out, at + 4, uint32_t(tensors[i].dims.size()));
            for (size_t d = 0; d < 6; ++d) put<uint32_t>(out, at + 8 + 4 * d, d < tensors[i].dims.size() ? tensors[i].dims[d] : 1);
            put<uint64_t>(out, at + 32, offsets[i]);
            put<uint64_t>(out, at + 40, tensors[i].data.size());
            std::copy(tensors[i].data.begin(), tensors[i].data.end(), out.begin() + ptrdiff_t(offsets[i]));
        }
        for (size_t i = 0; i < ops.size(); ++i) {
            const FileOp &op = ops[i];
            const size_t at = ops_at + 128 * i;
            put(out, at, op.kind);
            put(out, at + 4, uint32_t(op.inputs.size()));
            for (size_t k = 0; k < op.inputs.size(); ++k) put(out, at + 8 + 4 * k, op.inputs[k]);
            for (size_t k = 0; k < 8; ++k) put(out, at + 24 + 4 * k, op.tensors[k]), put(out, at + 56 + 4 * k, op.window[k]);
            put(out, at + 88, op.groups);
            put(out, at + 92, op.channels);
            put(out, at + 96, op.flags);
            put(out, at + 100, op.p0);
            put(out, at + 104, op.p1);
        }
        std::copy(metadata.begin(), metadata.end(), out.begin() + ptrdiff_t(metadata_at));
        repair_crc(out);
        return out;
    }
};

struct Size {
    int channels, height, width;
    bool operator==(const Size &o) const { return channels == o.channels && height == o.height && width == o.width; }
};

inline int window_count(int size, int kernel, int stride, int pad, int dilation, bool ceil_mode) {
    const int room = size + 2 * pad - dilation * (kernel - 1) - 1 + (ceil_mode ? stride - 1 : 0);
    if (room < 0) return 0;
    const int count = room / stride + 1;
    return ceil_mode && (count - 1) * stride >= size + pad ? count - 1 : count;
}

// The result's size, from the sizes of the values before it; 0 x 0 where there is none.
inline Size size_of(const FileOp &op, const std::vector<Size> &sizes) {
    Size size = sizes[op.inputs[0]];
    auto count = [&](int in, size_t axis) {
        const bool ceil_mode = (op.kind == k_max_pool || op.kind == k_average_pool) && op.flags & 1;
        return window_count(in, int(op.window[axis]), int(op.window[2 + axis]), int(op.window[4 + axis]), int(op.window[6 + axis]), ceil_mode);
    };
    switch (op.kind) {
        case k_mean_pool: return {size.channels, 1, 1};
        case k_flatten: return {size.channels * size.height * size.width, 1, 1};
        default: return {int(op.channels), count(size.height, 0), count(size.width, 1)};
    }
}
