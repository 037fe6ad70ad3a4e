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

ONEBIT_INLINE void store_signs(const SignOutput &sign, int y, int x, int channel, int count, F v) {
    if (sign.scale) v = fma(v, load(sign.scale + channel, count), load(sign.bias + channel, count));
    const Mask mask = ge(add(v, broadcast(sign.shift)), broadcast(0)) & ((1u << count) - 1);
    const uint16_t half = uint16_t(mask);
    std::memcpy(reinterpret_cast<char *>(at(sign.bits, y, x)) + channel / lanes * 2, &half, 2);
}

// From values to memory: `channels` channels from `channel` on, B blocks of them or a little less, at the pixels of the tile.
template <int P, int B>
inline ONEBIT_NO_INLINE void finish(const Epilogue &epilogue, const Tile<P> &tile, int channel, int channels, F (&v)[P][B]) {
    for (int i = 0; i < epilogue.posts; ++i) apply(epilogue.post[i], tile, channel, channels, v);
    for (int p = 0; p < tile.count; ++p)
        for (int b = 0; b < B; ++b) {
            const int y = tile.y[p], x = tile.x[p], c = channel + b * lanes, count = smaller(lanes, channels - b * lanes);
            if (epilogue.out.data) {
                if (count == lanes) store(at(epilogue.out, y, x) + c, v[p][b]);
                else store(at(epilogue.out, y, x) + c, v[p][b], count);
            }
            for (int i = 0; i < epilogue.signs; ++i) store_signs(epilogue.sign[i], y, x, c, count, v[p][b]);
        }
}

// Runs a kernel on tiles of pixels by blocks. tile_kernel.run<P, B>(tile, block) computes B blocks of one group from block on.
template <int P, class TileKernel>
ONEBIT_INLINE void each_tile(Part part, int width, int channels, int groups, const TileKernel &kernel) {
    const int end = part.row_end * width;
    for (int first = part.row_begin * width; first < end; first += P) {
        const Tile<P> tile = tile_at<P>(first, end, width);
        for (int block = part.block_begin; block < part.block_end;) {
            const int together = blocks_together(block, part.block_end, channels, groups, 4);
            switch (together) {
                case 4: kernel.template run<P, 4>(tile, block); break;
                case 3: kernel.template run<P, 3>(tile, block); break;
                case 2: kernel.template run<P, 2>(tile, block); break;
                default: kernel.template run<P, 1>(tile, block); break;
            }
            block += together;
        }
    }
}

}  // namespace ONEBIT_SET
}  // namespace onebit
