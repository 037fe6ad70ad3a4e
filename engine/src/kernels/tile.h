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
    int y[P], x[P];
};

template <int P>
ONEBIT_INLINE Tile<P> tile_at(int pixel, int end, int width) {
    Tile<P> tile;
    tile.count = smaller(P, end - pixel);
    int y = pixel / width, x = pixel % width;
    ONEBIT_UNROLL
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

// Where a block of a part stands: its group, its first channel within the group and among all, and how many channels it has.
struct Block {
    int group, first, channel, count;
};

ONEBIT_INLINE Block block_at(int block, int channels, int groups) {
    const int group_channels = channels / groups, group_blocks = blocks(group_channels);
    const int group = block / group_blocks, first = block % group_blocks * lanes;
    return {group, first, group * group_channels + first, smaller(lanes, group_channels - first)};
}

// How many blocks, at most `most`, can be computed together from `block` on: those of one group, and of the part.
ONEBIT_INLINE int blocks_together(int block, int end, int channels, int groups, int most) {
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

// v + shift >= 0, without the addition: rounding never changes the sign of a sum.
ONEBIT_INLINE void store_signs(const SignOutput &sign, char *pixel, int channel, int count, F v, F scale, F bias) {
    if (sign.scale) v = fma(v, scale, bias);
    const uint16_t half = uint16_t(bits(ge(v, broadcast(-sign.shift))) & ((1u << count) - 1));
    std::memcpy(pixel + channel / lanes * 2, &half, 2);
}

// Values from registers to memory at the pixels of a tile. The common epilogues, at most one addition and one output of signs, have
// their addresses worked out once a tile and their constants once a block; all others go through `general`.
template <int P>
struct Finish {
    const Epilogue &epilogue;
    const Tile<P> &tile;
    bool common, adds;
    float *out[P];
    const float *summand[P];
    char *signs[P];

    ONEBIT_INLINE Finish(const Epilogue &epilogue, const Tile<P> &tile) : epilogue(epilogue), tile(tile) {
        adds = epilogue.posts == 1 && epilogue.post[0].kind == PostKind::add;
        common = (adds || epilogue.posts == 0) && epilogue.signs <= 1;
        if (!common) return;
        ONEBIT_UNROLL
        for (int p = 0; p < P; ++p) {
            if (epilogue.out.data) out[p] = at(epilogue.out, tile.y[p], tile.x[p]);
            if (adds) summand[p] = at(epilogue.post[0].map, tile.y[p], tile.x[p]);
            if (epilogue.signs) signs[p] = reinterpret_cast<char *>(at(epilogue.sign[0].bits, tile.y[p], tile.x[p]));
        }
    }

    // `channels` channels from `channel` on: B blocks or a little less.
    template <int B>
    ONEBIT_INLINE void put(int channel, int channels, F (&v)[P][B]) const {
        if (!common) return general(epilogue, tile, channel, channels, v);
        const SignOutput &sign = epilogue.sign[0];
        ONEBIT_UNROLL
        for (int b = 0; b < B; ++b) {
            const int c = channel + b * lanes, count = smaller(lanes, channels - b * lanes);
            F scale = broadcast(0), bias = broadcast(0);
            if (epilogue.signs && sign.scale) {
                scale = load(sign.scale + c, count);
                bias = load(sign.bias + c, count);
            }
            ONEBIT_UNROLL
            for (int p = 0; p < P; ++p) {
                if (p >= tile.count) break;
                F value = v[p][b];
                if (adds) value = add(value, load(summand[p] + c));
                if (epilogue.out.data) {
                    if (count == lanes) store(out[p] + c, value);
                    else store(out[p] + c, value, count);
                }
                if (epilogue.signs) store_signs(sign, signs[p], c, count, value, scale, bias);
            }
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
                    const F scale = sign.scale ? load(sign.scale + c, count) : broadcast(0);
                    const F bias = sign.scale ? load(sign.bias + c, count) : broadcast(0);
                    store_signs(sign, reinterpret_cast<char *>(at(sign.bits, y, x)), c, count, v[p][b], scale, bias);
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
