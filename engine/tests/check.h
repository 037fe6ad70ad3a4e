// A check that prints what failed and where, and random numbers that are the same everywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#define CHECK(condition, ...)                                                        \
    do {                                                                             \
        if (!(condition)) {                                                          \
            std::fprintf(stderr, "%s:%d: %s failed: ", __FILE__, __LINE__, #condition); \
            std::fprintf(stderr, __VA_ARGS__);                                       \
            std::fputc('\n', stderr);                                                \
            std::exit(1);                                                            \
        }                                                                            \
    } while (false)

struct Random {
    std::mt19937 engine;

    explicit Random(unsigned seed) : engine(seed) {}
    // from..to, both included; the same on every platform, unlike the standard distributions
    int pick(int from, int to) { return from + int(engine() % unsigned(to - from + 1)); }
    bool chance(int percent) { return pick(1, 100) <= percent; }
    float value(float size = 2) { return float(int(engine() >> 8) - (1 << 23)) * (size / float(1 << 23)); }
    std::vector<float> values(size_t count, float size = 2) {
        std::vector<float> made(count);
        for (float &v : made) v = value(size);
        return made;
    }
};
