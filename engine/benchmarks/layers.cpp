// What single layers cost: microseconds, multiply-accumulates per cycle and their share of the ceiling, one thread, median of CPU times.
//   layers [kernel set]
// The binary layers do all that they do in a network: scale and norm, shortcut added in place, floats and the next signs stored. The
// clock is measured in the same run by a loop of dependent additions, one a cycle. Ceilings are those of a processor that
// issues two 512-bit operations a cycle (Zen 4): three of them for 512 binary products; 16 float, 32 16-bit or 64 8-bit ones take one, at
// half that rate.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "../src/kernels.h"

using namespace onebit;

namespace {

std::mt19937 random_bits(1);

double cpu_seconds() {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

template <class Work>
double median_seconds(const Work &work) {
    work();
    const double start = cpu_seconds();
    work();
    const int inner = int(1 + 2e-4 / std::max(1e-7, cpu_seconds() - start));
    std::vector<double> times;
    for (int i = 0; i < 31; ++i) {
        const double begin = cpu_seconds();
        for (int k = 0; k < inner; ++k) work();
        times.push_back((cpu_seconds() - begin) / inner);
    }
    std::nth_element(times.begin(), times.begin() + 15, times.end());
    return times[15];
}

double cycles_per_second() {
    constexpr long additions = 400000;
    return additions / median_seconds([] {
        long sum = 0;
        const auto add_one = [&] {
            ++sum;
            asm volatile("" : "+r"(sum));  // so that the compiler adds every time
        };
        for (long i = 0; i < additions; i += 8) {
            add_one(), add_one(), add_one(), add_one();
            add_one(), add_one(), add_one(), add_one();
        }
    });
}

// A map with a frame of zeros and slack behind it.
template <class T>
struct Buffer {
    Weights<T> values;  // a vector that starts at a cache line, as a session's maps do
    Map<T> map;

    Buffer(int height, int width, int channels, int pad_h, int pad_w, bool random) {
        map.height = height;
        map.width = width;
        map.channels = channels;
        map.pixel = channels;
        map.row = ptrdiff_t(width + 2 * pad_w) * channels;
        values.assign(size_t(height + 2 * pad_h + 1) * size_t(map.row) + 64, T(0));
        map.data = values.data() + pad_h * map.row + pad_w * channels;
        if (!random) return;
        for (int y = 0; y < height; ++y)
            for (int i = 0; i < width * channels; ++i) map.data[y * map.row + i] = T(random_bits() % 256);
    }
};

struct Signs {
    std::vector<uint32_t> values;
    BitMap map;

    Signs(int height, int width, int channels, int pad) {
        map.height = height;
        map.width = width;
        map.words = (channels + 31) / 32;
        map.row = ptrdiff_t(width + 2 * pad) * map.words;
        values.assign(size_t(height + 2 * pad) * size_t(map.row) + 16, 0);
        map.data = values.data() + pad * map.row + pad * map.words;
        for (int y = 0; y < height; ++y)
            for (int x = 0; x < width; ++x)
                for (int c = 0; c < channels; ++c)
                    map.data[y * map.row + x * map.words + c / 32] |= uint32_t(random_bits() & 1) << c % 32;
    }
};

std::vector<float> random_floats(size_t n) {
    std::vector<float> values((n + lanes - 1) / lanes * lanes);
    for (float &v : values) v = float(int(random_bits() % 2001) - 1000) / 1000;
    return values;
}

ConvShape shape_of(int channels_in, int channels_out, int kernel, int stride) {
    ConvShape shape;
    shape.channels_in = channels_in;
    shape.channels_out = channels_out;
    shape.kernel_h = shape.kernel_w = kernel;
    shape.stride_h = shape.stride_w = stride;
    shape.pad_h = shape.pad_w = kernel / 2;
    return shape;
}

int result_size(int size, const ConvShape &shape) { return (size + 2 * shape.pad_h - shape.kernel_h) / shape.stride_h + 1; }

class Bench {
public:
    Bench(const Kernels &kernels) : kernels(kernels), clock(cycles_per_second()) {
        std::printf("kernels %s, clock %.2f GHz\n%-44s %9s %10s %8s\n", kernels.name, clock / 1e9, "layer", "us", "MAC/cycle", "ceiling");
    }

    // Returns microseconds.
    double binary(int size, int channels_in, int channels_out, int kernel = 3, int stride = 1) {
        BinaryConv conv;
        conv.shape = shape_of(channels_in, channels_out, kernel, stride);
        std::vector<uint8_t> bits(size_t(channels_out) * kernel * kernel * channels_in / 8 + 1);
        for (uint8_t &b : bits) b = uint8_t(random_bits());
        const uint32_t index = 0;
        const float shift = 0;
        const std::vector<float> scale = random_floats(channels_out), bias = random_floats(channels_out);
        prepare_binary(bits.data(), &index, &shift, scale.data(), bias.data(), &conv);
        if (kernels.arrange) kernels.arrange(&conv);
        const Border border = make_border(conv, size, size);
        const Signs input(size, size, channels_in, kernel / 2);
        Signs merged(size, size, conv.words * 32, kernel / 2);
        BinaryConvCall call;
        call.conv = &conv;
        call.border = &border;
        call.inputs[0] = conv.merged ? &merged.map : &input.map;
        Buffer<float> shortcut(border.height, border.width, channels_out, 0, 0, true);
        Signs next(border.height, border.width, channels_out, 1);
        call.epilogue.posts = call.epilogue.signs = 1;
        call.epilogue.post[0].map = call.epilogue.out = shortcut.map;
        call.epilogue.sign[0].bits = next.map;
        const double seconds = median_seconds([&] {
            std::fill(shortcut.values.begin(), shortcut.values.begin() + 16, 0.0f);
            if (conv.merged) kernels.merge(input.map, channels_in % 32, merged.map, 0, size);
            kernels.binary_conv(call, whole(border.height, channels_out));
        });
        return row("binary " + name(size, conv.shape) + (conv.merged ? ", rows merged" : ""), seconds, macs(border.height, conv.shape),
                   ceiling(1024.0 / 3));
    }

    double real(int size, int channels_in, int channels_out, int kernel = 3, int stride = 1) {
        FloatConv conv;
        conv.shape = shape_of(channels_in, channels_out, kernel, stride);
        const std::vector<float> weight = random_floats(size_t(channels_out) * kernel * kernel * channels_in), bias = random_floats(channels_out);
        prepare_float(weight.data(), bias.data(), &conv);
        const Buffer<float> input(size, size, channels_in, kernel / 2, kernel / 2, true);
        FloatConvCall call;
        call.conv = &conv;
        call.input = input.map;
        call.height = call.width = result_size(size, conv.shape);
        Buffer<float> out(call.height, call.width, channels_out, 0, 0, false);
        call.epilogue.out = out.map;
        const double seconds = median_seconds([&] { kernels.conv(call, whole(call.height, channels_out)); });
        return row("float " + name(size, conv.shape), seconds, macs(call.height, conv.shape), ceiling(16));
    }

    double pixels(int size, int channels_out, int kernel, int stride, int weight_bits) {
        PixelConv conv;
        conv.shape = shape_of(3, channels_out, kernel, stride);
        conv.bits = weight_bits;
        const size_t taps = size_t(channels_out) * kernel * kernel;
        std::vector<int16_t> weight(taps * 3);
        for (int16_t &w : weight) w = int16_t(random_bits());
        const std::vector<float> scale = random_floats(channels_out), bias = random_floats(channels_out), offset = random_floats(taps);
        prepare_pixels(weight.data(), scale.data(), bias.data(), offset.data(), &conv);
        if (kernels.arrange_pixels) kernels.arrange_pixels(&conv);
        const Border border = make_border(conv, size, size);
        PixelConvCall call;
        call.conv = &conv;
        call.border = &border;
        const Buffer<uint8_t> input(size, size, 3, kernel / 2, kernel / 2, true);
        call.input = input.map;
        Buffer<float> out(border.height, border.width, channels_out, 0, 0, false);
        call.epilogue.out = out.map;
        const double seconds = median_seconds([&] { kernels.pixel_conv(call, whole(border.height, channels_out)); });
        return row("pixels, " + std::to_string(weight_bits) + "-bit " + name(size, conv.shape), seconds, macs(border.height, conv.shape),
                   ceiling(512.0 / weight_bits));
    }

    double pointwise(int size, int channels_in, int channels_out) {
        Pointwise conv;
        conv.channels_in = channels_in;
        conv.channels_out = channels_out;
        std::vector<int16_t> weight(size_t(channels_in) * channels_out);
        for (int16_t &w : weight) w = int16_t(int(random_bits() % 4095) - 2047);
        const std::vector<float> scale = random_floats(channels_out), bias = random_floats(channels_out);
        prepare_pointwise(weight.data(), scale.data(), bias.data(), &conv);
        const Buffer<float> input(size, size, channels_in, 0, 0, true);
        Buffer<int16_t> rounded(size, size, (channels_in + 1) / 2 * 2, 0, 0, false);
        PointwiseCall call;
        call.conv = &conv;
        call.input = rounded.map;
        Buffer<float> out(size, size, channels_out, 0, 0, false);
        call.epilogue.out = out.map;
        const double seconds = median_seconds([&] {
            const float magnitude = kernels.greatest_magnitude(input.map, 0, size);
            kernels.quantize(input.map, 2047 / magnitude, rounded.map, 0, size);
            call.step = magnitude / 2047;
            kernels.pointwise(call, whole(size, channels_out));
        });
        const ConvShape shape = shape_of(channels_in, channels_out, 1, 1);
        return row("12-bit, with rounding " + name(size, shape), seconds, macs(size, shape), ceiling(32));
    }

    double pool(const char *what, int size, int channels, int kernel, int stride, int pad) {
        const Buffer<float> input(size, size, channels, 0, 0, true);
        PoolCall call;
        call.input = input.map;
        call.kernel_h = call.kernel_w = kernel;
        call.stride_h = call.stride_w = stride;
        call.pad_h = call.pad_w = pad;
        call.height = call.width = (size + 2 * pad - kernel) / stride + 1;
        Buffer<float> out(call.height, call.width, channels, 0, 0, false);
        Signs next(call.height, call.width, channels, 1);
        call.epilogue.out = out.map;
        call.epilogue.signs = 1;
        call.epilogue.sign[0].bits = next.map;
        const Part part = whole(call.height, channels);
        const bool greatest = what[0] == 'm';
        const double seconds = median_seconds([&] { (greatest ? kernels.max_pool : kernels.average_pool)(call, part); });
        const double bytes = 4.0 * channels * (double(size) * size + double(call.height) * call.width);
        std::printf("%-44s %9.1f %10.1f GB/s\n", (std::string(what) + " " + name(size, shape_of(channels, channels, kernel, stride)) + ", and signs").c_str(),
                    seconds * 1e6, bytes / seconds / 1e9);
        return seconds * 1e6;
    }

    double signs(int size, int channels) {
        const Buffer<float> input(size, size, channels, 0, 0, true);
        Signs next(size, size, channels, 1);
        ElementwiseCall call;
        call.input = input.map;
        call.epilogue.signs = 1;
        call.epilogue.sign[0].bits = next.map;
        const double seconds = median_seconds([&] { kernels.elementwise(call, whole(size, channels)); });
        std::printf("%-44s %9.1f %10.1f GB/s\n", ("signs " + std::to_string(size) + "x" + std::to_string(size) + " " + std::to_string(channels)).c_str(),
                    seconds * 1e6, 4.0 * channels * size * size / seconds / 1e9);
        return seconds * 1e6;
    }

private:
    static Part whole(int rows, int channels) { return {0, rows, 0, blocks(channels)}; }
    static double macs(int size, const ConvShape &s) { return double(size) * size * s.channels_out * s.channels_in * s.kernel_h * s.kernel_w; }
    static std::string name(int size, const ConvShape &s) {
        return std::to_string(size) + "x" + std::to_string(size) + " " + std::to_string(s.channels_in) + "->" + std::to_string(s.channels_out) + " " +
               std::to_string(s.kernel_h) + "x" + std::to_string(s.kernel_w) + (s.stride_h > 1 ? " /" + std::to_string(s.stride_h) : "");
    }
    // Known for this set only.
    double ceiling(double macs_per_cycle) const { return std::string(kernels.name) == "avx512" ? macs_per_cycle : 0; }

    double row(const std::string &layer, double seconds, double macs, double ceiling) const {
        const double rate = macs / (seconds * clock);
        std::printf("%-44s %9.1f %10.1f", layer.c_str(), seconds * 1e6, rate);
        if (ceiling > 0) std::printf(" %7.0f%%", 100 * rate / ceiling);
        std::printf("\n");
        return seconds * 1e6;
    }

    const Kernels &kernels;
    const double clock;
};

}  // namespace

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : kernel_names()[0];
    const Kernels *kernels = find_kernels(name);
    if (!kernels) {
        std::fprintf(stderr, "This build or this processor has no kernels '%s'.\n", name);
        return 2;
    }
    Bench bench(*kernels);
    double sum = 4 * bench.binary(56, 64, 64) + bench.binary(56, 64, 128, 3, 2) + 3 * bench.binary(28, 128, 128);
    sum += bench.binary(28, 128, 256, 3, 2) + 3 * bench.binary(14, 256, 256) + bench.binary(14, 256, 512, 3, 2) + 3 * bench.binary(7, 512, 512);
    std::printf("%-44s %9.1f\n", "the 16 binary layers of ResNet18 at 224", sum);
    for (const int width : {32, 64}) {
        bench.binary(32, width, width);
        bench.binary(32, width, 2 * width, 3, 2);
        bench.binary(16, 2 * width, 2 * width);
        bench.binary(8, 4 * width, 4 * width);
    }
    for (const int channels : {16, 41, 48, 53, 80, 82, 106, 164}) bench.binary(channels < 64 ? 32 : 16, channels, channels);
    bench.binary(28, 256, 256, 1);
    bench.binary(14, 128, 128, 5);
    bench.real(224, 3, 64, 7, 2);
    bench.real(32, 3, 64);
    bench.real(28, 64, 128, 1);
    bench.real(14, 256, 256, 1);
    bench.real(1, 512, 1000, 1);
    bench.pixels(224, 64, 7, 2, 16);
    bench.pixels(224, 64, 7, 2, 8);
    bench.pixels(32, 41, 3, 1, 16);
    bench.pointwise(28, 64, 128);
    bench.pointwise(14, 256, 256);
    bench.pool("max_pool", 112, 64, 3, 2, 1);
    bench.pool("average_pool", 56, 64, 2, 2, 0);
    bench.signs(56, 64);
    return 0;
}
