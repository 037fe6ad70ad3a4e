// A .onebit file in memory: docs/file-format.md as types. Whatever read_program returns has been checked in full.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels.h"

namespace onebit {

constexpr uint32_t max_operations = 1 << 14;
constexpr uint32_t max_tensors = 1 << 16;
constexpr uint32_t max_channels = 1 << 20;
constexpr uint32_t max_sharing = 64;      // uses of the file's tensors, on average
constexpr uint32_t max_window = 1 << 10;  // kernel, stride, padding, dilation

enum class TensorType : uint32_t { bits, float32, int16, int8, uint32 };

struct Tensor {
    TensorType type = TensorType::bits;
    int rank = 0;
    uint32_t dims[6] = {1, 1, 1, 1, 1, 1};
    const uint8_t *data = nullptr;
    uint64_t count = 0;  // of elements

    template <class T>
    const T *as() const { return reinterpret_cast<const T *>(data); }
};

enum class OpKind : uint32_t {
    input = 1, conv, pixel_conv, binary_conv, pointwise, affine, add, multiply, concat,
    max_pool, average_pool, mean_pool, relu, prelu, clamp, mean_abs, flatten
};
constexpr uint32_t op_kinds = 17;
const char *kind_name(OpKind kind);

enum Role { role_weight, role_scale, role_bias, role_index, role_shift, role_offset, roles = 8 };

constexpr uint32_t flag_pixels = 1;         // input: read by pixel_conv, as bytes
constexpr uint32_t flag_ceil = 1;           // pools: output size rounded up
constexpr uint32_t flag_count_padding = 2;  // average_pool

struct Operation {
    OpKind kind = OpKind::input;
    int input_count = 0;
    int inputs[4] = {};
    const Tensor *tensors[roles] = {};
    ConvShape shape;  // channels_in: of the first input; channels_out: of the result
    uint32_t flags = 0;
    float p0 = 0, p1 = 0;
};

struct Program {
    std::vector<Tensor> tensors;
    std::vector<Operation> operations;
    const char *metadata = nullptr;
    size_t metadata_size = 0;
};

// The bytes must outlive the program and be aligned to 64. Throws Failure (ONEBIT_BAD_FILE).
Program read_program(const uint8_t *bytes, size_t size);
// Part of it: one operation against the operations before it and its tensors.
void check_operation(const Program &program, int index);

uint32_t crc32(const uint8_t *bytes, size_t size);

// A file's bytes: mapped, or a copy aligned to 64.
class Bytes {
public:
    static Bytes map(const char *path);
    static Bytes copy(const void *data, size_t size);
    Bytes(Bytes &&other) noexcept;
    Bytes(const Bytes &) = delete;
    Bytes &operator=(const Bytes &) = delete;
    ~Bytes();
    const uint8_t *data() const { return data_; }
    size_t size() const { return size_; }

private:
    Bytes() = default;
    const uint8_t *data_ = nullptr;
    size_t size_ = 0;
    bool mapped_ = false;
};

// "paths" of the metadata, tolerantly: "" for operations that it does not name, and for all where it cannot be read.
std::vector<std::string> read_paths(const char *metadata, size_t size, size_t operations);

}  // namespace onebit
