#include "images.h"

#include <cstring>

#include "failure.h"

namespace onebit {
namespace {

constexpr int64_t max_extent = int64_t(1) << 60;  // bytes between any two values of a batch

// Calls read(to, from) for every value. Three channels, the usual case, are read together, so that a row is written in one go.
template <class From, class To, class Read>
void walk(const onebit_images &images, int64_t index, const Map<To> &to, int row_begin, int row_end, Read read) {
    const From *image = static_cast<const From *>(images.data) + index * images.stride_batch;
    const int64_t channel = images.stride_channel, column = images.stride_column;
    for (int y = row_begin; y < row_end; ++y) {
        const From *from = image + y * images.stride_row;
        To *row = to.data + y * to.row;
        if (to.channels == 3 && to.pixel == 3) {
            const auto triples = [&](int64_t c, int64_t x) {
                for (int64_t i = 0; i < to.width; ++i)
                    for (int64_t k = 0; k < 3; ++k) row[3 * i + k] = read(from[i * x + k * c], int(k));
            };
            if (column == 1) triples(channel, 1);
            else if (channel == 1 && column == 3) triples(1, 3);
            else triples(channel, column);
        } else {
            for (int x = 0; x < to.width; ++x)
                for (int c = 0; c < to.channels; ++c) row[x * to.pixel + c] = read(from[x * column + c * channel], c);
        }
    }
}

}  // namespace

void check_images(const onebit_images &images) {
    if (!images.data) fail(ONEBIT_BAD_ARGUMENT, "images.data is null");
    int type;  // C lets any number stand in an enumeration, C++ must not read it as one
    std::memcpy(&type, &images.type, sizeof type);
    if (type != ONEBIT_FLOAT32 && type != ONEBIT_UINT8)
        fail(ONEBIT_BAD_ARGUMENT, "images are of unknown type %d, expected ONEBIT_FLOAT32 or ONEBIT_UINT8", type);
    const int64_t size = images.type == ONEBIT_FLOAT32 ? 4 : 1;
    if (reinterpret_cast<uintptr_t>(images.data) % uintptr_t(size) != 0) fail(ONEBIT_BAD_ARGUMENT, "images.data is not aligned to its %d-byte floats", int(size));
    const int64_t sizes[4] = {images.batch, images.channels, images.height, images.width};
    const int64_t strides[4] = {images.stride_batch, images.stride_channel, images.stride_row, images.stride_column};
    int64_t extent = 0;
    for (int i = 0; i < 4; ++i) {
        if (sizes[i] < 1)
            fail(ONEBIT_BAD_ARGUMENT, "images of shape (%lld, %lld, %lld, %lld): every size must be 1 or more", static_cast<long long>(sizes[0]),
                 static_cast<long long>(sizes[1]), static_cast<long long>(sizes[2]), static_cast<long long>(sizes[3]));
        if (sizes[i] == 1) continue;
        const int64_t room = (max_extent - extent) / size / (sizes[i] - 1);
        if (strides[i] > room || strides[i] < -room)
            fail(ONEBIT_BAD_ARGUMENT, "images with stride %lld over %lld values reach beyond any memory", static_cast<long long>(strides[i]),
                 static_cast<long long>(sizes[i]));
        extent += (strides[i] < 0 ? -strides[i] : strides[i]) * (sizes[i] - 1) * size;
    }
}

bool read_floats(const onebit_images &images, int64_t index, const FloatMap &to, int row_begin, int row_end) {
    uint32_t broken = 0;
    walk<float>(images, index, to, row_begin, row_end, [&](float value, int) {
        broken |= uint32_t(value != value);
        return value;
    });
    return broken == 0;
}

void read_pixels(const onebit_images &images, int64_t index, const float *values, const FloatMap &to, int row_begin, int row_end) {
    walk<uint8_t>(images, index, to, row_begin, row_end, [&](uint8_t pixel, int channel) { return values[channel * 256 + pixel]; });
}

void copy_pixels(const onebit_images &images, int64_t index, const ByteMap &to, int row_begin, int row_end) {
    if (images.stride_channel == 1 && images.stride_column == to.channels && to.pixel == to.channels) {
        const uint8_t *image = static_cast<const uint8_t *>(images.data) + index * images.stride_batch;
        for (int y = row_begin; y < row_end; ++y)
            std::memcpy(to.data + y * to.row, image + y * images.stride_row, size_t(to.width) * size_t(to.channels));
        return;
    }
    walk<uint8_t>(images, index, to, row_begin, row_end, [](uint8_t pixel, int) { return pixel; });
}

}  // namespace onebit
