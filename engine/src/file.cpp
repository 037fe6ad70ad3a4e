// From bytes to a program. Nothing in a file is believed before it has been compared with the size of what holds it.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>

#if defined(_WIN32)
#include <windows.h>
#else
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

#include "failure.h"
#include "format.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the file's numbers are read in place: a little-endian processor is needed"
#endif

namespace onebit {

// ---- Bytes

Bytes::Bytes(Bytes &&other) noexcept : data_(other.data_), size_(other.size_), mapped_(other.mapped_) {
    other.data_ = nullptr;
}

Bytes::~Bytes() {
    if (!data_) return;
    void *data = const_cast<uint8_t *>(data_);
#if !defined(_WIN32)
    if (mapped_) {
        munmap(data, size_);
        return;
    }
#endif
    ::operator delete(data, std::align_val_t(64));
}

Bytes Bytes::copy(const void *data, size_t size) {
    Bytes bytes;
    void *room = ::operator new(size + 64, std::align_val_t(64));
    std::memcpy(room, data, size);
    bytes.data_ = static_cast<uint8_t *>(room);
    bytes.size_ = size;
    return bytes;
}

#if defined(_WIN32)
Bytes Bytes::map(const char *path) {
    FILE *file = std::fopen(path, "rb");
    if (!file) fail(ONEBIT_BAD_FILE, "cannot open %s: %s", path, std::strerror(errno));
    std::vector<uint8_t> content;
    uint8_t buffer[65536];
    for (size_t count; (count = std::fread(buffer, 1, sizeof buffer, file)) > 0;)
        content.insert(content.end(), buffer, buffer + count);
    const bool broken = std::ferror(file) != 0;
    std::fclose(file);
    if (broken) fail(ONEBIT_BAD_FILE, "cannot read %s", path);
    return copy(content.data(), content.size());
}
#else
Bytes Bytes::map(const char *path) {
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) fail(ONEBIT_BAD_FILE, "cannot open %s: %s", path, std::strerror(errno));
    struct stat status;
    if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(file);
        fail(ONEBIT_BAD_FILE, "cannot read %s: not a regular file", path);
    }
    Bytes bytes;
    bytes.size_ = static_cast<size_t>(status.st_size);
    if (bytes.size_ == 0) {
        close(file);
        fail(ONEBIT_BAD_FILE, "%s is empty", path);
    }
    int flags = MAP_PRIVATE;
#if defined(MAP_POPULATE)
    flags |= MAP_POPULATE;
#endif
    void *data = mmap(nullptr, bytes.size_, PROT_READ, flags, file, 0);
    const int error = errno;
    close(file);
    if (data == MAP_FAILED) fail(ONEBIT_BAD_FILE, "cannot map %s: %s", path, std::strerror(error));
    bytes.data_ = static_cast<uint8_t *>(data);
    bytes.mapped_ = true;
    return bytes;
}
#endif

// ---- Program

namespace {

constexpr uint8_t signature[8] = {0x89, 0x4F, 0x42, 0x54, 0x0D, 0x0A, 0x1A, 0x0A};
constexpr size_t header_bytes = 64, tensor_bytes = 48, operation_bytes = 128;
constexpr uint32_t none = 0xFFFFFFFFu;

template <class T>
T number(const uint8_t *at) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

using Wide = unsigned long long;  // for printf

// The section [offset, offset + size) as bytes of the file.
const uint8_t *section(const uint8_t *bytes, size_t file_size, uint64_t offset, uint64_t size, const char *what) {
    if (offset < header_bytes || offset > file_size || size > file_size - offset)
        fail(ONEBIT_BAD_FILE, "damaged file: %s should lie at byte %llu with %llu bytes, but the file has %zu bytes", what,
             static_cast<Wide>(offset), static_cast<Wide>(size), file_size);
    return bytes + offset;
}

int bits_per_value(TensorType type) {
    switch (type) {
        case TensorType::bits: return 1;
        case TensorType::int8: return 8;
        case TensorType::int16: return 16;
        default: return 32;
    }
}

Tensor read_tensor(const uint8_t *bytes, size_t file_size, const uint8_t *row, uint32_t index) {
    char what[32];
    std::snprintf(what, sizeof what, "tensor %u", index);
    Tensor tensor;
    const uint32_t type = number<uint32_t>(row), rank = number<uint32_t>(row + 4);
    if (type > static_cast<uint32_t>(TensorType::uint32)) fail(ONEBIT_BAD_FILE, "damaged file: %s has unknown type %u", what, type);
    if (rank < 1 || rank > 6) fail(ONEBIT_BAD_FILE, "damaged file: %s has rank %u, expected 1 to 6", what, rank);
    tensor.type = static_cast<TensorType>(type);
    tensor.rank = static_cast<int>(rank);
    tensor.count = 1;
    for (uint32_t i = 0; i < 6; ++i) {
        const uint32_t dim = tensor.dims[i] = number<uint32_t>(row + 8 + 4 * i);
        if (dim < 1 || (i >= rank && dim != 1)) fail(ONEBIT_BAD_FILE, "damaged file: %s has %u as dimension %u", what, dim, i);
        // A file of n bytes holds at most 8 n values; beyond that the exact product does not matter.
        if (tensor.count > 8 * static_cast<uint64_t>(file_size) / dim)
            fail(ONEBIT_BAD_FILE, "damaged file: %s is larger than the file", what);
        tensor.count *= dim;
    }
    const uint64_t offset = number<uint64_t>(row + 32), size = number<uint64_t>(row + 40);
    const uint64_t expected = (tensor.count * static_cast<uint64_t>(bits_per_value(tensor.type)) + 7) / 8;
    if (size != expected)
        fail(ONEBIT_BAD_FILE, "damaged file: %s states %llu bytes, its type and dimensions ask for %llu", what,
             static_cast<Wide>(size), static_cast<Wide>(expected));
    if (offset % 64 != 0) fail(ONEBIT_BAD_FILE, "damaged file: %s lies at byte %llu, no multiple of 64", what, static_cast<Wide>(offset));
    tensor.data = section(bytes, file_size, offset, size, what);
    if (tensor.type == TensorType::bits && tensor.count % 8 != 0 && tensor.data[size - 1] >> (tensor.count % 8) != 0)
        fail(ONEBIT_BAD_FILE, "damaged file: unused bits of %s are not 0", what);
    return tensor;
}

Operation read_operation(const Program &program, const uint8_t *row, uint32_t index) {
    Operation op;
    const uint32_t kind = number<uint32_t>(row), inputs = number<uint32_t>(row + 4);
    if (kind < 1 || kind > op_kinds) fail(ONEBIT_BAD_FILE, "operation %u is of unknown kind %u", index, kind);
    op.kind = static_cast<OpKind>(kind);
    const char *name = kind_name(op.kind);
    if (inputs > 4) fail(ONEBIT_BAD_FILE, "operation %u (%s) states %u inputs", index, name, inputs);
    op.input_count = static_cast<int>(inputs);
    for (uint32_t i = 0; i < 4; ++i) {
        const uint32_t input = number<uint32_t>(row + 8 + 4 * i);
        if (i < inputs ? input >= index : input != 0)
            fail(ONEBIT_BAD_FILE, "operation %u (%s) has %u as input %u, expected %s", index, name, input, i,
                 i < inputs ? "an earlier operation" : "0");
        op.inputs[i] = static_cast<int>(input);
    }
    for (uint32_t i = 0; i < roles; ++i) {
        const uint32_t tensor = number<uint32_t>(row + 24 + 4 * i);
        if (tensor == none) continue;
        if (tensor >= program.tensors.size())
            fail(ONEBIT_BAD_FILE, "operation %u (%s) refers to tensor %u of %zu", index, name, tensor, program.tensors.size());
        op.tensors[i] = &program.tensors[tensor];
    }
    uint32_t window[8];
    for (uint32_t i = 0; i < 8; ++i) {
        window[i] = number<uint32_t>(row + 56 + 4 * i);
        const bool padding = i == 4 || i == 5;
        if (window[i] > max_window || (window[i] < 1 && !padding))
            fail(ONEBIT_BAD_FILE, "operation %u (%s) has %u as kernel, stride, padding or dilation, expected %d to %u", index, name,
                 window[i], padding ? 0 : 1, max_window);
    }
    const uint32_t groups = number<uint32_t>(row + 88), channels = number<uint32_t>(row + 92);
    if (channels < 1 || channels > max_channels)
        fail(ONEBIT_BAD_FILE, "operation %u (%s) has %u channels, expected 1 to %u", index, name, channels, max_channels);
    if (groups < 1 || groups > channels) fail(ONEBIT_BAD_FILE, "operation %u (%s) has %u groups for %u channels", index, name, groups, channels);
    ConvShape &shape = op.shape;
    shape.channels_in = inputs > 0 ? program.operations[static_cast<size_t>(op.inputs[0])].shape.channels_out : 0;
    shape.channels_out = static_cast<int>(channels);
    shape.groups = static_cast<int>(groups);
    int *const fields[8] = {&shape.kernel_h, &shape.kernel_w, &shape.stride_h,   &shape.stride_w,
                            &shape.pad_h,    &shape.pad_w,    &shape.dilation_h, &shape.dilation_w};
    for (int i = 0; i < 8; ++i) *fields[i] = static_cast<int>(window[i]);
    op.flags = number<uint32_t>(row + 96);
    op.p0 = number<float>(row + 100);
    op.p1 = number<float>(row + 104);
    for (int i = 108; i < 128; ++i)
        if (row[i] != 0) fail(ONEBIT_BAD_FILE, "operation %u (%s) has a value in a reserved byte", index, name);
    return op;
}

}  // namespace

Program read_program(const uint8_t *bytes, size_t size) {
    if (size < sizeof signature || std::memcmp(bytes, signature, sizeof signature) != 0)
        fail(ONEBIT_BAD_FILE, "not a .onebit file: its first bytes are different");
    if (size < header_bytes) fail(ONEBIT_BAD_FILE, "the file is cut off: %zu bytes, the header alone has %zu", size, header_bytes);
    const uint32_t version = number<uint32_t>(bytes + 8);
    if (version != 1) fail(ONEBIT_BAD_FILE, "file of version %u; this engine reads version 1", version);
    const uint64_t stated = number<uint64_t>(bytes + 16);
    if (stated != size)
        fail(ONEBIT_BAD_FILE, "the file %s: it states %llu bytes and has %zu", size < stated ? "is cut off" : "has something behind its end",
             static_cast<Wide>(stated), size);
    const uint32_t expected = number<uint32_t>(bytes + 12), crc = crc32(bytes + 16, size - 16);
    if (crc != expected) fail(ONEBIT_BAD_FILE, "damaged file: its checksum is %08x, its content gives %08x", expected, crc);

    Program program;
    program.metadata_size = number<uint64_t>(bytes + 32);
    program.metadata = reinterpret_cast<const char *>(section(bytes, size, number<uint64_t>(bytes + 24), program.metadata_size, "the metadata"));
    const uint32_t operations = number<uint32_t>(bytes + 40), tensors = number<uint32_t>(bytes + 44);
    if (operations < 1 || operations > max_operations)
        fail(ONEBIT_BAD_FILE, "the file has %u operations, expected 1 to %u", operations, max_operations);
    if (tensors > max_tensors) fail(ONEBIT_BAD_FILE, "the file has %u tensors, at most %u are allowed", tensors, max_tensors);
    const uint64_t operations_at = number<uint64_t>(bytes + 48), tensors_at = number<uint64_t>(bytes + 56);
    if (operations_at % 8 != 0 || tensors_at % 8 != 0) fail(ONEBIT_BAD_FILE, "damaged file: its tables do not lie at multiples of 8");

    const uint8_t *row = section(bytes, size, tensors_at, tensors * tensor_bytes, "the tensor table");
    program.tensors.reserve(tensors);
    for (uint32_t i = 0; i < tensors; ++i) program.tensors.push_back(read_tensor(bytes, size, row + i * tensor_bytes, i));

    row = section(bytes, size, operations_at, operations * operation_bytes, "the operations");
    program.operations.reserve(operations);
    uint64_t reads = 0;
    for (uint32_t i = 0; i < operations; ++i) {
        program.operations.push_back(read_operation(program, row + i * operation_bytes, i));
        // Shared weights are fine; a small file that asks for its one large tensor again and again is not.
        for (const Tensor *tensor : program.operations.back().tensors) reads += tensor ? tensor->count : 0;
        if (reads / max_sharing > 8 * static_cast<uint64_t>(size))
            fail(ONEBIT_BAD_FILE, "the operations up to %u use the file's tensors more than %u times over", i, max_sharing);
        check_operation(program, static_cast<int>(i));
    }
    if (program.operations.back().flags & flag_pixels && operations == 1)
        fail(ONEBIT_BAD_FILE, "the file has no operation but its input, which gives pixels");
    return program;
}

}  // namespace onebit
