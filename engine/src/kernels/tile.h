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

template <int P, int B>
ONEBIT_INLINE void apply(const Post &post, const Tile<P> &tile, int channel, int channels, F (&v)[P][B]) {
    ONEBIT_UNROLL
    for (int b = 0; b < B; ++b) {
        const int c = channel + b * lanes, count = smaller(lanes, channels - b * lanes);
        const F scale = post.scale ? load(post.scale + c, count) : broadcast(post.p0);
        const F bias = post.bias ? load(post.bias + c, count) : broadcast(post.p1);
        const F nothing = broadcast(0);
        ONEBIT_UNROLL
        for (int p = 0; p < P; ++p) {
            F &value = v[p][b];
            switch (post.kind) {
                case PostKind::add: value = add(value, load(at(post.map, tile.y[p], tile.x[p]) + c)); break;
                case PostKind::multiply: value = mul(value, scale); break;
                case PostKind::affine: value = fma(value, scale, bias); break;
                case PostKind::relu: value = max(value, nothing); break;
                case PostKind::prelu: value = select(ge(value, nothing), value, mul(value, scale)); break;
                case PostKind::clamp: value = select(gt(scale, value), scale, select(gt(value, bias), bias, value)); break;
            }
        }
    }
}

// The signs of v + shift, without the addition: rounding never changes the sign of a sum.
ONEBIT_INLINE void store_signs(char *pixel, int channel, int count, F v, F minus_shift) {
    uint32_t mask = bits(ge(v, minus_shift));
    if (count < lanes) mask &= (1u << count) - 1;
    const uint16_t half = uint16_t(mask);
    std::memcpy(pixel + unsigned(channel) / lanes * 2, &half, 2);
}

// Values from registers to memory at the pixels of a tile. The common epilogues, at most one addition and one output of signs, have
// their addresses worked out once a tile and their constants once a block; all others, and tiles that are not full, go through `general`.
template <int P>
struct Finish {
    const Epilogue &epilogue;
    const Tile<P> &tile;
    const bool adds, stores, signs, common;
    float *out[P];
    float *summand[P];
    char *bits[P];

    ONEBIT_INLINE Finish(const Epilogue &epilogue, const Tile<P> &tile)
        : epilogue(epilogue),
          tile(tile),
          adds(epilogue.posts == 1 && epilogue.post[0].kind == PostKind::add),
          stores(epilogue.out.data),
          signs(epilogue.signs),
          common((adds || epilogue.posts == 0) && epilogue.signs <= 1 && tile.count == P) {
        if (!common) return;
        const FloatMap &map = epilogue.post[0].map;
        const BitMap &next = epilogue.sign[0].bits;
        if (stores) addresses(tile, epilogue.out.data, epilogue.out.row, epilogue.out.pixel, out);
        if (adds) addresses(tile, map.data, map.row, map.pixel, summand);
        if (signs) addresses(tile, reinterpret_cast<char *>(next.data), next.row * 4, ptrdiff_t(next.words) * 4, bits);
    }

    // `channels` channels from `channel` on: B blocks or a little less.
    template <int B>
    ONEBIT_INLINE void put(int channel, int channels, const F (&v)[P][B]) const {
        if (!common) {
            // Copies, so that tile and values need no place in memory otherwise.
            const Tile<P> pixels = tile;
            F values[P][B];
            for (int p = 0; p < P; ++p)
                for (int b = 0; b < B; ++b) values[p][b] = v[p][b];
            return general(epilogue, pixels, channel, channels, values);
        }
        if (adds && stores && signs) put_as<true, true, true>(channel, channels, v);
        else if (adds && stores) put_as<true, true, false>(channel, channels, v);
        else if (adds) put_as<true, false, true>(channel, channels, v);
        else if (stores && signs) put_as<false, true, true>(channel, channels, v);
        else if (stores) put_as<false, true, false>(channel, channels, v);
        else put_as<false, false, true>(channel, channels, v);
    }

    template <bool adds, bool stores, bool signs, int B>
    ONEBIT_INLINE void put_as(int channel, int channels, const F (&v)[P][B]) const {
        ONEBIT_UNROLL
        for (int b = 0; b < B; ++b) {
            const int left = channels - b * lanes;
            if (left >= lanes) put_block<adds, stores, signs, true>(channel + b * lanes, lanes, b, v);
            else put_block<adds, stores, signs, false>(channel + b * lanes, left, b, v);
        }
    }

    template <bool adds, bool stores, bool signs, bool all_lanes, int B>
    ONEBIT_INLINE void put_block(int channel, int count, int b, const F (&v)[P][B]) const {
        const SignOutput &sign = epilogue.sign[0];
        const F minus_shift = broadcast(-sign.shift);
        const bool scales = signs && sign.scale;
        F scale = minus_shift, bias = minus_shift;
        if (scales) {
            scale = load(sign.scale + channel, count);
            bias = load(sign.bias + channel, count);
        }
        ONEBIT_UNROLL
        for (int p = 0; p < P; ++p) {
            F value = v[p][b];
            if (adds) value = add(value, load(summand[p] + channel));
            if (stores) {
                if (all_lanes) store(out[p] + channel, value);
                else store(out[p] + channel, value, count);
            }
            if (scales) value = fma(value, scale, bias);
            if (signs) store_signs(bits[p], channel, all_lanes ? lanes : count, value, minus_shift);
        }
    }

    template <int B>
    static ONEBIT_NO_INLINE void general(const Epilogue &epilogue, const Tile<P> &tile, int channel, int channels, F (&v)[P][B]) {
        for (int i = 0; i < epilogue.posts; ++i) apply(epilogue.post[i], tile, channel, channels, v);
        for (int p = 0; p < tile.count; ++p)
            for (int b = 0; b < B; ++b) {
                const int y = tile.y[p], x = tile.x[p], c = channel + b * lanes, count = smaller(lanes, channels - b * lanes);
                if (epilogue.out.data) {
                    if (count == lanes) store(at(epilogue.out, y, x) + c, v[p][b]);
                    else store(at(epilogue.out, y, x) + c, v[p][b], count);
                }
                for (int i = 0; i < epilogue.signs; ++i) {
                    const SignOutput &sign = epilogue.sign[i];
                    F value = v[p][b];
                    if (sign.scale) value = fma(value, load(sign.scale + c, count), load(sign.bias + c, count));
                    store_signs(reinterpret_cast<char *>(at(sign.bits, y, x)), c, count, value, broadcast(-sign.shift));
                }
            }
    }
};

template <int P, int B>
ONEBIT_INLINE void finish(const Epilogue &epilogue, const Tile<P> &tile, int channel, int channels, F (&v)[P][B]) {
    Finish<P>(epilogue, tile).put(channel, channels, v);
}

// Runs a kernel on tiles of P pixels by at most most_blocks blocks. kernel.run<P, B>(tile, finish, block) computes B blocks of one group from
// block on.
template <int P, int most_blocks, class TileKernel>
ONEBIT_INLINE void each_tile(Part part, int width, int channels, int groups, const Epilogue &epilogue, const TileKernel &kernel) {
    const int end = part.row_end * width;
    for (int first = part.row_begin * width; first < end; first += P) {
        const Tile<P> tile = tile_at<P>(first, end, width);
        const Finish<P> finish(epilogue, tile);
        for (int block = part.block_begin; block < part.block_end;) {
            const int together = blocks_together(block, part.block_end, channels, groups, most_blocks);
            if constexpr (most_blocks >= 4)
                if (together == 4) kernel.template run<P, 4>(tile, finish, block);
            if constexpr (most_blocks >= 3)
                if (together == 3) kernel.template run<P, 3>(tile, finish, block);
            if constexpr (most_blocks >= 2)
                if (together == 2) kernel.template run<P, 2>(tile, finish, block);
            if (together == 1) kernel.template run<P, 1>(tile, finish, block);
            block += together;
        }
    }
}

}  // namespace ONEBIT_SET
}  // namespace onebit
