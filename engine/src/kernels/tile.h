// What all kernels share: tiles of pixels, and the epilogue from registers to memory.
#pragma once

#include <cstring>

#include "../kernels.h"

namespace onebit {
namespace ONEBIT_SET {

template <class T>
ONEBIT_INLINE T *at(const Map<T> &map, int y, int x) {
    return map.data + y * map.row + x * map.pixel;
}
ONEBIT_INLINE uint32_t *at(const BitMap &map, int y, int x) { return map.data + y * map.row + ptrdiff_t(x) * map.words; }

ONEBIT_INLINE int smaller(int a, int b) { return a < b ? a : b; }
ONEBIT_INLINE int greater(int a, int b) { return a > b ? a : b; }

// Up to P consecutive pixels, row after row. Where fewer are left, the last one stands in the places beyond `count`: it is computed
// again, never stored again.
template <int P>
struct Tile {
    int count;
    bool one_row;  // P pixels side by side
    int y[P], x[P];
};

template <int P>
ONEBIT_INLINE Tile<P> tile_at(int pixel, int end, int width) {
    Tile<P> tile;
    tile.count = smaller(P, end - pixel);
    int y = pixel / width, x = pixel % width;
    tile.one_row = tile.count == P && x + P <= width;
    if (tile.one_row) {
        ONEBIT_UNROLL
        for (int p = 0; p < P; ++p) {
            tile.y[p] = y;
            tile.x[p] = x + p;
        }
        return tile;
    }
    for (int p = 0; p < P; ++p) {
        tile.y[p] = y;
        tile.x[p] = x;
        if (p + 1 < tile.count && ++x == width) {
            x = 0;
            ++y;
        }
    }
    return tile;
}

// Addresses of a tile's pixels in a map that moves on by row and pixel.
template <int P, class T>
ONEBIT_INLINE void addresses(const Tile<P> &tile, T *origin, ptrdiff_t row, ptrdiff_t pixel, T *(&result)[P]) {
    if (tile.one_row) {
        T *address = origin + tile.y[0] * row + tile.x[0] * pixel;
        ONEBIT_UNROLL
        for (int p = 0; p < P; ++p, address += pixel) result[p] = address;
        return;
    }
    for (int p = 0; p < P; ++p) result[p] = origin + tile.y[p] * row + tile.x[p] * pixel;
}

// Where a block of a part stands: its group, its first channel within the group and among all, and how many channels it has.
struct Block {
    int group, first, channel, count;
};

ONEBIT_INLINE Block block_at(int block, int channels, int groups) {
    if (groups == 1) return {0, block * lanes, block * lanes, smaller(lanes, channels - block * lanes)};
    const int group_channels = channels / groups, group_blocks = blocks(group_channels);
    const int group = block / group_blocks, first = block % group_blocks * lanes;
    return {group, first, group * group_channels + first, smaller(lanes, group_channels - first)};
}

// How many blocks, at most `most`, can be computed together from `block` on: those of one group, and of the part.
ONEBIT_INLINE int blocks_together(int block, int end, int channels, int groups, int most) {
    if (groups == 1) return smaller(most, end - block);
    const int group_blocks = blocks(channels / groups);
    return smaller(most, smaller(end, (block / group_blocks + 1) * group_blocks) - block);
}

// The signs of v + shift, without the addition: rounding never changes the sign of a sum.
ONEBIT_INLINE void store_signs(uint32_t *pixel, int channel, int count, F v, F minus_shift) {
    const uint16_t half = uint16_t(bits(ge(v, minus_shift)) & ((1u << count) - 1));
    std::memcpy(reinterpret_cast<char *>(pixel) + unsigned(channel) / lanes * 2, &half, 2);
}

// A post other than an addition, on a block of channels of all pixels.
template <int P>
ONEBIT_INLINE void apply(const Post &post, int channel, int count, F (&v)[P]) {
    const F scale = post.scale ? load(post.scale + channel, count) : broadcast(post.p0);
    const F bias = post.bias ? load(post.bias + channel, count) : broadcast(post.p1);
    const F nothing = broadcast(0);
    ONEBIT_UNROLL
    for (int p = 0; p < P; ++p) switch (post.kind) {
            case PostKind::add: break;
            case PostKind::multiply: v[p] = mul(v[p], scale); break;
            case PostKind::affine: v[p] = fma(v[p], scale, bias); break;
            case PostKind::relu: v[p] = max(v[p], nothing); break;
            case PostKind::prelu: v[p] = select(ge(v[p], nothing), v[p], mul(v[p], scale)); break;
            case PostKind::clamp: v[p] = select(gt(scale, v[p]), scale, select(gt(v[p], bias), bias, v[p])); break;
        }
}

// From values to memory: a block of channels, `count` of them from `channel` on, at the pixels of the tile.
template <int P>
inline ONEBIT_NO_INLINE void finish_block(const Epilogue &epilogue, const Tile<P> &tile, int channel, int count, F (&v)[P]) {
    for (int i = 0; i < epilogue.posts; ++i) {
        const Post &post = epilogue.post[i];
        if (post.kind != PostKind::add) apply(post, channel, count, v);
        else for (int p = 0; p < tile.count; ++p) v[p] = add(v[p], load(at(post.map, tile.y[p], tile.x[p]) + channel));
    }
    if (epilogue.out.data)
        for (int p = 0; p < tile.count; ++p) {
            float *out = at(epilogue.out, tile.y[p], tile.x[p]) + channel;
            if (count == lanes) store(out, v[p]);
            else store(out, v[p], count);
        }
    for (int i = 0; i < epilogue.signs; ++i) {
        const SignOutput &sign = epilogue.sign[i];
        const F minus_shift = broadcast(-sign.shift);
        if (sign.scale) {
            const F scale = load(sign.scale + channel, count), bias = load(sign.bias + channel, count);
            for (int p = 0; p < tile.count; ++p)
                store_signs(at(sign.bits, tile.y[p], tile.x[p]), channel, count, fma(v[p], scale, bias), minus_shift);
        } else {
            for (int p = 0; p < tile.count; ++p) store_signs(at(sign.bits, tile.y[p], tile.x[p]), channel, count, v[p], minus_shift);
        }
    }
}

// A block of values straight from registers, where there is nothing to do but to store them, their signs, or both.
template <int P>
ONEBIT_INLINE void store_block(float *const (&out)[P], int channel, int count, const F (&v)[P]) {
    if (count == lanes) {
        ONEBIT_UNROLL
        for (int p = 0; p < P; ++p) store(out[p] + channel, v[p]);
    } else {
        ONEBIT_UNROLL
        for (int p = 0; p < P; ++p) store(out[p] + channel, v[p], count);
    }
}

template <int P>
ONEBIT_INLINE void store_block_signs(const SignOutput &sign, uint32_t *const (&bits)[P], int channel, int count, const F (&v)[P]) {
    const F minus_shift = broadcast(-sign.shift);
    if (sign.scale) {
        const F scale = load(sign.scale + channel, count), bias = load(sign.bias + channel, count);
        ONEBIT_UNROLL
        for (int p = 0; p < P; ++p) store_signs(bits[p], channel, count, fma(v[p], scale, bias), minus_shift);
    } else {
        ONEBIT_UNROLL
        for (int p = 0; p < P; ++p) store_signs(bits[p], channel, count, v[p], minus_shift);
    }
}

// From values to memory for B blocks or a little less, `channels` channels in all.
template <int P, int B>
ONEBIT_INLINE void finish(const Epilogue &epilogue, const Tile<P> &tile, int channel, int channels, const F (&v)[P][B]) {
    const bool plain = own_epilogues && epilogue.posts == 0 && epilogue.signs <= 1 && tile.count == P;
    float *out[P] = {};
    uint32_t *bits[P] = {};
    if (plain && epilogue.out.data) addresses(tile, epilogue.out.data, epilogue.out.row, epilogue.out.pixel, out);
    if (plain && epilogue.signs) {
        const BitMap &next = epilogue.sign[0].bits;
        addresses(tile, next.data, next.row, ptrdiff_t(next.words), bits);
    }
    ONEBIT_UNROLL
    for (int b = 0; b < B; ++b) {
        const int c = channel + b * lanes, count = smaller(lanes, channels - b * lanes);
        F block[P];
        ONEBIT_UNROLL
        for (int p = 0; p < P; ++p) block[p] = v[p][b];
        if (plain) {
            if (epilogue.out.data) store_block(out, c, count, block);
            if (epilogue.signs) store_block_signs(epilogue.sign[0], bits, c, count, block);
        } else {
            F copy[P];
            for (int p = 0; p < P; ++p) copy[p] = block[p];
            finish_block(epilogue, tile, c, count, copy);
        }
    }
}

// The same straight from registers for kernels that take little time a tile: up to three additions among the posts, one output of signs.
// Addresses are worked out once a tile for all blocks.
template <int P>
struct Finish {
    static constexpr int most_additions = 3;

    const Epilogue &epilogue;
    const Tile<P> &tile;
    const bool residual;  // one addition, and both outputs: the case that matters most has its own code
    bool fits;
    float *out[P];
    float *summand[most_additions][P];
    uint32_t *bits[P];

    ONEBIT_INLINE Finish(const Epilogue &epilogue, const Tile<P> &tile)
        : epilogue(epilogue),
          tile(tile),
          residual(epilogue.posts == 1 && epilogue.post[0].kind == PostKind::add && epilogue.out.data && epilogue.signs == 1) {
        fits = own_epilogues && epilogue.signs <= 1 && tile.count == P;
        if (residual) {
            const FloatMap &map = epilogue.post[0].map;
            if (fits) addresses(tile, map.data, map.row, map.pixel, summand[0]);
        } else {
            int additions = 0;
            for (int i = 0; i < epilogue.posts && fits; ++i) {
                if (epilogue.post[i].kind != PostKind::add) continue;
                const FloatMap &map = epilogue.post[i].map;
                if (additions == most_additions) fits = false;
                else addresses(tile, map.data, map.row, map.pixel, summand[additions++]);
            }
        }
        if (!fits) return;
        const BitMap &next = epilogue.sign[0].bits;
        if (epilogue.out.data) addresses(tile, epilogue.out.data, epilogue.out.row, epilogue.out.pixel, out);
        if (epilogue.signs) addresses(tile, next.data, next.row, ptrdiff_t(next.words), bits);
    }

    ONEBIT_INLINE void put(int channel, int count, const F (&v)[P]) const {
        if (!fits) {
            // Copies, so that tile and values need no place in memory otherwise.
            const Tile<P> pixels = tile;
            F values[P];
            for (int p = 0; p < P; ++p) values[p] = v[p];
            return finish_block(epilogue, pixels, channel, count, values);
        }
        F values[P];
        if (residual) {
            ONEBIT_UNROLL
            for (int p = 0; p < P; ++p) values[p] = add(v[p], load(summand[0][p] + channel));
            store_block(out, channel, count, values);
            store_block_signs(epilogue.sign[0], bits, channel, count, values);
            return;
        }
        ONEBIT_UNROLL
        for (int p = 0; p < P; ++p) values[p] = v[p];
        for (int i = 0, addition = 0; i < epilogue.posts; ++i) {
            const Post &post = epilogue.post[i];
            if (post.kind == PostKind::add) {
                ONEBIT_UNROLL
                for (int p = 0; p < P; ++p) values[p] = add(values[p], load(summand[addition][p] + channel));
                ++addition;
            } else {
                apply(post, channel, count, values);
            }
        }
        if (epilogue.out.data) store_block(out, channel, count, values);
        if (epilogue.signs) store_block_signs(epilogue.sign[0], bits, channel, count, values);
    }
};

// Runs a kernel on tiles of P pixels by at most most_blocks blocks. kernel.run<P, B>(tile, block) computes B blocks of one group from
// block on.
template <int P, int most_blocks, class TileKernel>
ONEBIT_INLINE void each_tile(Part part, int width, int channels, int groups, const TileKernel &kernel) {
    const int end = part.row_end * width;
    for (int first = part.row_begin * width; first < end; first += P) {
        const Tile<P> tile = tile_at<P>(first, end, width);
        for (int block = part.block_begin; block < part.block_end;) {
            const int together = blocks_together(block, part.block_end, channels, groups, most_blocks);
            if constexpr (most_blocks >= 4)
                if (together == 4) kernel.template run<P, 4>(tile, block);
            if constexpr (most_blocks >= 3)
                if (together == 3) kernel.template run<P, 3>(tile, block);
            if constexpr (most_blocks >= 2)
                if (together == 2) kernel.template run<P, 2>(tile, block);
            if (together == 1) kernel.template run<P, 1>(tile, block);
            block += together;
        }
    }
}

}  // namespace ONEBIT_SET
}  // namespace onebit
