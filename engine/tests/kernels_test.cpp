// Every set of kernels against the reference: the same calls on random shapes, then the same bytes in all of memory, written
// pixels, frames, neighbours of a slice and slack alike.
//
//   kernels_test [cases] [seed]
#include "kernels_case.h"

namespace {

// edges: scales whose double is infinite and biases of -0 among the others, one term.
void compare_binary_conv(Case &test, const ConvShape &s, int height, int width, bool edges = false) {
    Random &random = test.random;
    BinaryConv conv;
    conv.shape = s;
    conv.bases = edges || random.chance(75) ? 1 : random.pick(2, 5);
    conv.terms = edges || random.chance(75) ? conv.bases : random.pick(1, 9);
    const size_t weights = size_t(conv.bases) * s.channels_out * s.kernel_h * s.kernel_w * (s.channels_in / s.groups);
    const std::vector<uint8_t> bits = random_bytes(random, (weights + 7) / 8);
    std::vector<uint32_t> index;
    for (int t = 0; t < conv.terms; ++t) index.push_back(uint32_t(random.pick(0, conv.bases - 1)));
    const auto shift = random.values(size_t(conv.terms));
    auto scale = random.values(size_t(conv.terms) * s.channels_out, 0.1f), bias = random.values(size_t(s.channels_out));
    for (size_t o = 0; edges && o < bias.size(); ++o) {
        if (o % 5 == 0) scale[o] = o % 2 ? 0x1p127f : -0x1.8p127f;
        bias[o] = o % 5 == 0 && o % 3 == 0 ? -0x1p127f : o % 2 ? -0.0f : bias[o];
    }
    prepare_binary(bits.data(), index.data(), shift.data(), scale.data(), bias.data(), &conv);
    const Border border = make_border(conv, height, width);
    BinaryConv arranged = conv;
    if (test.tested.arrange) test.tested.arrange(&arranged);
    test.describe("binary_conv", s, height, width, conv.merged ? " merged" : conv.terms > 1 ? " terms" : "");

    std::vector<OwnedBits> plain, merged;
    for (int t = 0; t < conv.terms; ++t) plain.push_back(random_bits(random, height, width, s.channels_in, s.groups, s.pad_h, s.pad_w));
    if (conv.merged)
        for (const OwnedBits &map : plain) {
            OwnedBits expected = make_bits(height, width, conv.words, s.pad_h, s.pad_w), got = make_bits(height, width, conv.words, s.pad_h, s.pad_w);
            test.reference.merge(map.map, s.channels_in % 32, expected.map, 0, height);
            const int cut = random.pick(0, height);
            test.tested.merge(map.map, s.channels_in % 32, got.map, cut, height);
            test.tested.merge(map.map, s.channels_in % 32, got.map, 0, cut);
            CHECK(got.memory == expected.memory, "%s merges otherwise than reference: %s", test.tested.name, test.what.c_str());
            merged.push_back(std::move(got));
        }
    const std::vector<OwnedBits> &inputs = conv.merged ? merged : plain;
    const bool scaled = random.chance(15);
    const Owned<float> k = make_floats(random, border.height, border.width, 1);
    test.compare(border.height, border.width, s.channels_out, s.groups, [&](const Kernels &kernels, const Epilogue &epilogue, Part part) {
        BinaryConvCall call;
        call.conv = &kernels == &test.tested ? &arranged : &conv;
        call.border = &border;
        for (int t = 0; t < conv.terms; ++t) call.inputs[t] = &inputs[size_t(t)].map;
        if (scaled) call.input_scale = k.map;
        call.epilogue = epilogue;
        kernels.binary_conv(call, part);
    });
}

void test_binary_conv(Case &test) {
    int height, width;
    const ConvShape shape = pick_shape(test.random, &height, &width, true, 600);
    compare_binary_conv(test, shape, height, width);
}

// Where kernels leave their usual ways: rows longer than they take at once, sums beyond 16 bits and just below, kernels that reach far.
void test_large_binary_convs(Case &test) {
    const auto shape = [](int channels_in, int channels_out, int kernel, int stride, int dilation) {
        ConvShape s;
        s.channels_in = channels_in, s.channels_out = channels_out;
        s.kernel_h = s.kernel_w = kernel, s.stride_h = s.stride_w = stride, s.dilation_h = s.dilation_w = dilation;
        s.pad_h = s.pad_w = kernel / 2 * dilation;
        return s;
    };
    compare_binary_conv(test, shape(16, 20, 3, 1, 1), 3, 300);
    compare_binary_conv(test, shape(41, 41, 3, 1, 1), 2, 130);
    compare_binary_conv(test, shape(40, 33, 1, 7, 1), 3, 600);
    compare_binary_conv(test, shape(7280, 5, 3, 1, 1), 2, 2);
    compare_binary_conv(test, shape(8192, 3, 3, 1, 1), 2, 2);
    compare_binary_conv(test, shape(64, 17, 5, 1, 40), 6, 6);
}

void test_edges_of_binary_convs(Case &test) {
    for (int channels : {2, 3, 4, 41})
        for (int kernel : {1, 3}) {
            ConvShape s;
            s.channels_in = channels, s.channels_out = 35;
            s.kernel_h = s.kernel_w = kernel, s.pad_h = s.pad_w = kernel / 2;
            compare_binary_conv(test, s, 5, 9, true);
        }
}

void test_conv(Case &test) {
    Random &random = test.random;
    int height, width;
    FloatConv conv;
    conv.shape = pick_shape(random, &height, &width, true, 200);
    const ConvShape &s = conv.shape;
    const auto weight = random.values(size_t(s.channels_out) * s.kernel_h * s.kernel_w * (s.channels_in / s.groups), 0.3f),
               bias = random.values(size_t(s.channels_out));
    prepare_float(weight.data(), bias.data(), &conv);
    const Owned<float> input = make_floats(random, height, width, s.channels_in, s.pad_h, s.pad_w);
    const int out_h = result_size(height, s.pad_h, s.dilation_h, s.kernel_h, s.stride_h);
    const int out_w = result_size(width, s.pad_w, s.dilation_w, s.kernel_w, s.stride_w);
    test.describe("conv", s, height, width);
    test.compare(out_h, out_w, s.channels_out, s.groups, [&](const Kernels &kernels, const Epilogue &epilogue, Part part) {
        kernels.conv({&conv, input.map, out_h, out_w, epilogue}, part);
    });
}

void test_pixel_conv(Case &test) {
    Random &random = test.random;
    int height, width;
    PixelConv conv;
    conv.shape = pick_shape(random, &height, &width, false, random.chance(80) ? 4 : 20);
    conv.shape.channels_out = pick_channels(random, 80);
    const ConvShape &s = conv.shape;
    conv.bits = random.chance(50) ? 8 : 16;
    const size_t taps = size_t(s.channels_out) * s.kernel_h * s.kernel_w, inputs = taps / s.channels_out * s.channels_in;
    // As large as 32-bit sums allow.
    const int most = conv.bits == 8 ? 127 : int(std::min<size_t>(32767, 2147483647 / 255 / inputs));
    std::vector<int16_t> weight16(taps * s.channels_in);
    std::vector<int8_t> weight8(taps * s.channels_in);
    const bool extreme = random.chance(20);
    for (size_t i = 0; i < weight16.size(); ++i) {
        weight16[i] = int16_t(extreme ? most : random.pick(-most, most));
        weight8[i] = int8_t(extreme ? -128 : random.pick(-128, 127));
    }
    const auto scale = random.values(size_t(s.channels_out), 1e-4f), bias = random.values(size_t(s.channels_out)), offset = random.values(taps);
    prepare_pixels(conv.bits == 8 ? static_cast<const void *>(weight8.data()) : weight16.data(), scale.data(), bias.data(), offset.data(), &conv);
    PixelConv arranged = conv;
    if (test.tested.arrange_pixels) test.tested.arrange_pixels(&arranged);
    // one row more below
    const bool bright = extreme || random.chance(20);
    Owned<uint8_t> input = make_map<uint8_t>(height, width, s.channels_in, s.pad_h, s.pad_w, 0, 0, 0,
                                             [&] { return uint8_t(bright ? 255 : random.pick(0, 255)); });
    const ptrdiff_t at = input.map.data - input.memory.data();
    input.memory.resize(input.memory.size() + size_t(input.map.row));
    input.map.data = input.memory.data() + at;
    const Border border = make_border(conv, height, width);
    test.describe("pixel_conv", s, height, width, conv.bits == 8 ? " 8 bits" : " 16 bits");
    test.compare(border.height, border.width, s.channels_out, 1, [&](const Kernels &kernels, const Epilogue &epilogue, Part part) {
        kernels.pixel_conv({&kernels == &test.tested ? &arranged : &conv, input.map, &border, epilogue}, part);
    });
}

void test_pointwise(Case &test) {
    Random &random = test.random;
    Pointwise conv;
    conv.channels_in = random.chance(10) ? 511 : pick_channels(random, 511), conv.channels_out = pick_channels(random, 300);
    const int height = random.pick(1, 6), width = random.pick(1, 12);
    std::vector<int16_t> weight(size_t(conv.channels_in) * conv.channels_out);
    const bool extreme = random.chance(20);
    for (int16_t &w : weight) w = int16_t(extreme ? 2047 : random.pick(-2047, 2047));
    const auto scale = random.values(size_t(conv.channels_out), 1e-3f), bias = random.values(size_t(conv.channels_out));
    prepare_pointwise(weight.data(), scale.data(), bias.data(), &conv);
    Owned<float> values = make_floats(random, height, width, conv.channels_in);
    if (extreme) std::fill(values.memory.begin(), values.memory.end(), -1.5f);
    char what[128];
    std::snprintf(what, sizeof what, "pointwise %d->%d input %dx%d", conv.channels_in, conv.channels_out, height, width);
    test.what = what;

    const float greatest = test.reference.greatest_magnitude(values.map, 0, height);
    const int cut = random.pick(0, height);
    const float parts = std::max(test.tested.greatest_magnitude(values.map, 0, cut), test.tested.greatest_magnitude(values.map, cut, height));
    CHECK(parts == greatest, "%s: greatest magnitude %g, reference %g: %s", test.tested.name, double(parts), double(greatest), what);
    const int even = (conv.channels_in + 1) / 2 * 2;
    auto quantized = [&](const Kernels &kernels, int at) {
        Owned<int16_t> map = make_map<int16_t>(height, width, even, 0, 0, 0, 0, 0, [] { return int16_t(-1); });
        const float factor = greatest == 0 ? 0 : 2047 / greatest;
        kernels.quantize(values.map, factor, map.map, 0, at);
        kernels.quantize(values.map, factor, map.map, at, height);
        return map;
    };
    const Owned<int16_t> expected = quantized(test.reference, height), got = quantized(test.tested, cut);
    CHECK(got.memory == expected.memory, "%s quantizes otherwise than reference: %s", test.tested.name, what);
    test.compare(height, width, conv.channels_out, 1, [&](const Kernels &kernels, const Epilogue &epilogue, Part part) {
        kernels.pointwise({&conv, expected.map, greatest / 2047, epilogue}, part);
    });
}

void test_pools(Case &test) {
    Random &random = test.random;
    PoolCall pool;
    const int height = random.pick(1, 14), width = random.pick(1, 14), channels = pick_channels(random, 200);
    const Owned<float> input = make_floats(random, height, width, channels);
    pool.input = input.map;
    pool.kernel_h = random.pick(1, std::min(4, height)), pool.kernel_w = random.pick(1, std::min(4, width));
    pool.stride_h = random.pick(1, 3), pool.stride_w = random.pick(1, 3);
    pool.pad_h = random.pick(0, pool.kernel_h / 2), pool.pad_w = random.pick(0, pool.kernel_w / 2);
    const bool ceil_mode = random.chance(50);
    auto size = [&](int in, int kernel, int stride, int pad) {
        int out = (in + 2 * pad - kernel + (ceil_mode ? stride - 1 : 0)) / stride + 1;
        return (out - 1) * stride >= in + pad ? out - 1 : out;
    };
    pool.height = size(height, pool.kernel_h, pool.stride_h, pool.pad_h), pool.width = size(width, pool.kernel_w, pool.stride_w, pool.pad_w);
    pool.count_padding = random.chance(50);
    char what[160];
    std::snprintf(what, sizeof what, "pool %dx%d stride %d,%d pad %d,%d ceil %d count %d input %dx%dx%d", pool.kernel_h, pool.kernel_w,
                  pool.stride_h, pool.stride_w, pool.pad_h, pool.pad_w, ceil_mode, pool.count_padding, height, width, channels);
    auto run = [&](const char *name, const PoolCall &planned, auto function) {
        test.what = std::string(name) + " " + what;
        test.compare(planned.height, planned.width, channels, 1, [&](const Kernels &kernels, const Epilogue &epilogue, Part part) {
            PoolCall call = planned;
            call.epilogue = epilogue;
            (kernels.*function)(call, part);
        });
    };
    run("max", pool, &Kernels::max_pool);
    run("average", pool, &Kernels::average_pool);
    pool.kernel_h = height, pool.kernel_w = width, pool.pad_h = pool.pad_w = 0, pool.height = pool.width = 1;
    run("mean", pool, &Kernels::mean_pool);
}

void test_elementwise(Case &test) {
    Random &random = test.random;
    const int height = random.pick(1, 8), width = random.pick(1, 20), channels = pick_channels(random, 600);
    const Owned<float> input = make_floats(random, height, width, channels);
    test.what = "elementwise";
    test.compare(height, width, channels, 1,
                 [&](const Kernels &kernels, const Epilogue &epilogue, Part part) { kernels.elementwise({input.map, epilogue}, part); });

    const int cut = random.pick(0, height);
    auto mean = [&](const Kernels &kernels, int at) {
        Owned<float> out = make_map<float>(height, width, 1, 0, 0, 0, 0, 0, [] { return -1.0f; });
        kernels.mean_abs(input.map, out.map, 0, at);
        kernels.mean_abs(input.map, out.map, at, height);
        return out;
    };
    CHECK(mean(test.tested, cut).memory == mean(test.reference, height).memory, "%s: mean_abs of %dx%dx%d differs from reference", test.tested.name,
          height, width, channels);
}

}  // namespace

int main(int count, char **arguments) {
    const int cases = count > 1 ? std::atoi(arguments[1]) : 300;
    const unsigned seed = count > 2 ? unsigned(std::atoi(arguments[2])) : 1;
    const Kernels *reference = find_kernels("reference");
    CHECK(reference, "no reference kernels in this build");
    CHECK(!find_kernels("sparc") && !find_kernels(""), "kernels found under a name that none has");
    int merged_names = 0;
    for (const char *const *name = kernel_names(); *name; ++name, ++merged_names) {
        const Kernels *tested = find_kernels(*name);
        CHECK(tested && tested->name == std::string(*name), "%s is listed but not found", *name);
        Random large(seed);
        Case test_large{*tested, *reference, large, ""};
        test_large_binary_convs(test_large);
        test_edges_of_binary_convs(test_large);
        for (int i = 0; i < cases; ++i) {
            Random random(seed + unsigned(i));
            Case test{*tested, *reference, random, ""};
            test_binary_conv(test);
            if (i % 3 == 0) test_conv(test);
            test_pixel_conv(test);
            test_pointwise(test);
            test_pools(test);
            test_elementwise(test);
        }
        std::printf("%s: %d cases of every kind, bits equal\n", *name, cases);
    }
    CHECK(merged_names >= 2, "only %d set of kernels", merged_names);
}
