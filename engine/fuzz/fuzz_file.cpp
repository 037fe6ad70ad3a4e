// Fuzzing of everything that a file can reach: reading and checking it, preparation, shapes, plan, and runs on small images.
//
//   fuzz_file CORPUS -max_len=16384 -max_total_time=60
//
// Nearly every random change is caught by the checksum, so most mutants get theirs repaired, together with the stated size; the rest are
// left as they are. Half of the mutations change one number in the tables, which random bytes would seldom hit.
#include <onebit.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "../src/failure.h"
#include "../src/format.h"
#include "../src/graph/shapes.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

namespace {

constexpr size_t header_bytes = 64;
constexpr double budget = 3e6;  // multiplications and values of one image

template <class T>
T number(const uint8_t *at) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

void repair(uint8_t *data, size_t size) {
    if (size < header_bytes) return;
    const uint64_t stated = size;
    std::memcpy(data + 16, &stated, 8);
    const uint32_t crc = onebit::crc32(data + 16, size - 16);
    std::memcpy(data + 12, &crc, 4);
}

// One 32-bit number of the header, of a tensor or of an operation becomes a small number, a neighbour, or an extreme.
void change_number(uint8_t *data, size_t size, std::mt19937 &random) {
    size_t begin = 16, end = header_bytes;
    const bool operations = random() % 4 != 0;
    if (random() % 16 != 0) {
        const uint64_t at = number<uint64_t>(data + (operations ? 48 : 56));
        const uint64_t bytes = uint64_t(number<uint32_t>(data + (operations ? 40 : 44))) * (operations ? 128 : 48);
        if (at < size && bytes && bytes <= size - at) begin = at, end = at + bytes;
    }
    uint8_t *field = data + begin + random() % ((end - begin) / 4) * 4;
    static const uint32_t extremes[] = {0, 1, 2, 3, 16, 17, 31, 32, 33, 64, 255, 1024, 65535, 65536, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7F7FFFFF, 0x7F800000};
    uint32_t value = number<uint32_t>(field);
    switch (random() % 4) {
        case 0: value = random() % 24; break;
        case 1: value += random() % 2 ? 1u : ~0u; break;
        case 2: value = extremes[random() % (sizeof extremes / sizeof *extremes)]; break;
        default: value = number<uint32_t>(data + begin + random() % ((end - begin) / 4) * 4);
    }
    std::memcpy(field, &value, 4);
}

// Whether a run on images of that size is allowed and cheap enough.
bool affordable(const onebit::Program &program, int height, int width) {
    try {
        const auto shapes = onebit::infer_shapes(program, std::vector<std::string>(program.operations.size()), height, width);
        double work = 0;
        for (size_t i = 0; i < shapes.size(); ++i) {
            const onebit::Operation &op = program.operations[i];
            const double window = op.shape.kernel_h * op.shape.kernel_w;
            const bool pool = op.kind == onebit::OpKind::max_pool || op.kind == onebit::OpKind::average_pool;
            // Frames are as wide as the padding, and channels come in blocks, group by group.
            const double framed = double(shapes[i].height + 2 * 1024.0 * (op.shape.pad_h > 64)) * (shapes[i].width + 2 * 1024.0 * (op.shape.pad_w > 64));
            work += framed * shapes[i].channels * (pool ? window : 1) + 16 * onebit::count_macs(op, shapes[i]) / std::max(1, std::min(16, shapes[i].channels / op.shape.groups));
        }
        return work < budget;
    } catch (const onebit::Failure &) {
        return true;  // refused: cheap
    }
}

struct AlignedCopy {
    uint8_t *data;
    explicit AlignedCopy(const uint8_t *from, size_t size) : data(static_cast<uint8_t *>(::operator new(size + 64, std::align_val_t(64)))) {
        std::memcpy(data, from, size);
    }
    ~AlignedCopy() { ::operator delete(data, std::align_val_t(64)); }
};

void expect(bool holds) {
    if (!holds) std::abort();
}

void run(const onebit_model *model, int threads, int height, int width, std::mt19937 &random) {
    onebit_session *session = nullptr;
    expect(onebit_session_create(model, threads, &session) == ONEBIT_OK);
    int64_t shape[3];
    const int channels = int(onebit_model_channels(model));
    if (onebit_session_shape(session, height, width, shape) == ONEBIT_OK) {
        const size_t values = size_t(channels) * size_t(height) * size_t(width), results = size_t(shape[0] * shape[1] * shape[2]);
        std::vector<float> floats(values), output(results), again(results);
        std::vector<uint8_t> pixels(values);
        for (size_t i = 0; i < values; ++i) floats[i] = float(int(random() % 2001) - 1000) / 250, pixels[i] = uint8_t(random());
        const bool as_pixels = onebit_model_pixels_only(model) || random() % 2;
        onebit_images images{as_pixels ? static_cast<const void *>(pixels.data()) : floats.data(), as_pixels ? ONEBIT_UINT8 : ONEBIT_FLOAT32, 1, channels, height,
                             width, int64_t(values), int64_t(height) * width, width, 1};
        const onebit_status first = onebit_session_run(session, &images, output.data(), results);
        expect(onebit_session_run(session, &images, again.data(), results) == first);
        if (first == ONEBIT_OK) {
            // NaN, which overflow can make, has many bit patterns
            for (size_t i = 0; i < results; ++i) expect(std::memcmp(&output[i], &again[i], 4) == 0 || (std::isnan(output[i]) && std::isnan(again[i])));
            onebit_step step;
            for (int i = 0; i < onebit_session_steps(session); ++i) expect(onebit_session_step(session, i, &step) == ONEBIT_OK);
        }
    } else {
        expect(onebit_last_error()[0] != 0);
    }
    onebit_session_free(session);
}

std::vector<std::string> kernel_list() {
    std::istringstream names(onebit_kernels());
    std::vector<std::string> list;
    for (std::string name; names >> name;) list.push_back(name);
    return list;
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    std::mt19937 random(seed);
    if (size >= header_bytes && random() % 2)
        for (unsigned i = 0, count = 1 + random() % 4; i < count; ++i) change_number(data, size, random);
    else
        size = LLVMFuzzerMutate(data, size, max_size);
    if (random() % 8) repair(data, size);
    return size;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const std::vector<std::string> kernels = kernel_list();
    // Everything else follows from the bytes, so that a finding can be run again.
    std::mt19937 random(onebit::crc32(data, size));
    onebit_model *model = nullptr;
    const onebit_status status = onebit_model_read(data, size, kernels[random() % kernels.size()].c_str(), &model);
    if (status != ONEBIT_OK) {
        expect((status == ONEBIT_BAD_FILE || status == ONEBIT_NO_MEMORY) && !model && onebit_last_error()[0] != 0);
        return 0;
    }
    const AlignedCopy copy(data, size);
    const onebit::Program program = onebit::read_program(copy.data, size);
    static const int sides[] = {1, 2, 5, 8, 11, 16, 28};
    for (int i = 0; i < 2; ++i) {
        const int height = sides[random() % 7], width = sides[random() % 7];
        if (affordable(program, height, width)) run(model, 1 + int(random() % 2), height, width, random);
    }
    onebit_model_free(model);
    return 0;
}
