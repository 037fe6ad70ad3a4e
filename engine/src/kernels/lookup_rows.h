// What kernels that look differences up (lookup_conv.h) and the preparation of their weights agree on.
#pragma once

#include "../kernels.h"

namespace onebit {

constexpr int strip_offsets = 16384;  // bytes of input that one strip of pixels may read
constexpr int strip_steps = 8191;     // bytes of input that one result may read: its sum fits 16 bits

// Bytes of one group that hold signs: of a pixel, of a kernel row in the order of the weights, and the runs that the latter lies in:
// `runs` times `run` bytes every `step` bytes, `middle` more in the middle one of merged rows.
struct ByteRow {
    int pixel, total, runs, run, middle, step;
};

inline ByteRow byte_row_of(const BinaryConv &conv) {
    const ConvShape &shape = conv.shape;
    const int channels = shape.channels_in / shape.groups;
    if (conv.merged) {
        const int whole = channels / 32 * 4, leftover = (channels % 32 * 3 + 7) / 8;
        return {whole + leftover, 3 * whole + leftover, 3, whole, leftover, whole + leftover};
    }
    const int pixel = (channels + 7) / 8;
    if (shape.dilation_w == 1) return {pixel, pixel * shape.kernel_w, 1, pixel * shape.kernel_w, 0, 0};
    return {pixel, pixel * shape.kernel_w, shape.kernel_w, pixel, 0, pixel * shape.dilation_w};
}

// Rows and columns of the input that so many rows and columns of results read.
inline int64_t input_rows(const ConvShape &shape, int rows) {
    return int64_t(rows - 1) * shape.stride_h + int64_t(shape.kernel_h - 1) * shape.dilation_h + 1;
}
inline int64_t input_columns(const ConvShape &shape, int columns) {
    return int64_t(columns - 1) * shape.stride_w + int64_t(shape.kernel_w - 1) * shape.dilation_w + 1;
}

// Weights from words to nibbles: [base][block][kernel row][byte of the row][low nibbles of 16 lanes, high nibbles of 16 lanes]. Only where
// sums fit 16 bits and a strip holds the input of at least one pixel.
void arrange_for_look_up(BinaryConv *conv);

}  // namespace onebit
