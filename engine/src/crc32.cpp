// CRC-32 (IEEE 802.3), 16 bytes a step: table k holds the remainders of a byte that is followed by k zero bytes.
#include <cstring>

#include "format.h"

namespace onebit {
namespace {

struct Tables {
    uint32_t of[16][256];
    Tables() {
        for (uint32_t byte = 0; byte < 256; ++byte) {
            uint32_t value = byte;
            for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ (0xEDB88320u & (0u - (value & 1)));
            of[0][byte] = value;
        }
        for (int zeros = 1; zeros < 16; ++zeros)
            for (int byte = 0; byte < 256; ++byte)
                of[zeros][byte] = (of[zeros - 1][byte] >> 8) ^ of[0][of[zeros - 1][byte] & 255];
    }
};

}  // namespace

uint32_t crc32(const uint8_t *bytes, size_t size) {
    static const Tables tables;
    const auto &of = tables.of;
    uint32_t crc = 0xFFFFFFFFu;
    for (; size >= 16; bytes += 16, size -= 16) {
        uint32_t word[4];
        std::memcpy(word, bytes, 16);
        word[0] ^= crc;
        crc = 0;
        for (int i = 0; i < 4; ++i)
            for (int byte = 0; byte < 4; ++byte) crc ^= of[15 - 4 * i - byte][(word[i] >> (8 * byte)) & 255];
    }
    for (; size > 0; ++bytes, --size) crc = (crc >> 8) ^ of[0][(crc ^ *bytes) & 255];
    return ~crc;
}

}  // namespace onebit
