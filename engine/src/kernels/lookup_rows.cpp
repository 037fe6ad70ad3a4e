#include "lookup_rows.h"

namespace onebit {
namespace {

bool can_look_up(const BinaryConv &conv) {
    const ByteRow row = byte_row_of(conv);
    return int64_t(row.total) * conv.shape.kernel_h <= strip_steps &&
           input_rows(conv.shape, 1) * input_columns(conv.shape, 1) * row.pixel <= strip_offsets;
}

}  // namespace

void arrange_for_look_up(BinaryConv *conv) {
    if (!can_look_up(*conv)) return;
    const ByteRow row = byte_row_of(*conv);
    const size_t row_words = size_t(conv->row_words) * lanes, rows = conv->weights.size() / row_words;
    Weights<uint32_t> arranged(rows * row.total * (2 * lanes / sizeof(uint32_t)));
    uint8_t *to = reinterpret_cast<uint8_t *>(arranged.data());
    for (size_t r = 0; r < rows; ++r) {
        const uint32_t *words = &conv->weights[r * row_words];
        for (int tap = 0; tap < conv->shape.kernel_w; ++tap) {
            const int bytes = !conv->merged ? row.pixel : row.run + (tap == 1 ? row.middle : 0);
            for (int byte = 0; byte < bytes; ++byte, to += 2 * lanes)
                for (int lane = 0; lane < lanes; ++lane) {
                    const uint32_t value = words[byte / 4 * lanes + lane] >> byte % 4 * 8;
                    to[lane] = value & 15;
                    to[lane + lanes] = value >> 4 & 15;
                }
            words += (bytes + 3) / 4 * lanes;
        }
    }
    conv->weights.swap(arranged);
    conv->arranged = true;
}

}  // namespace onebit
