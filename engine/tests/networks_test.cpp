// Random networks of every kind of operation: the engine, with every set of kernels and 1 to 3 threads, against the interpreter.
// Same bits, on the size that the network was made for and on others, one session for all of them.
//
//   networks_test [networks] [seed]
#include "random_network.h"
#include "session.h"

namespace {

std::string describe(const Network &net) {
    static const char *const names[] = {"", "input", "conv", "pixel_conv", "binary_conv", "pointwise", "affine", "add", "multiply", "concat", "max_pool",
                                        "average_pool", "mean_pool", "relu", "prelu", "clamp", "mean_abs", "flatten"};
    std::ostringstream text;
    for (size_t i = 0; i < net.ops.size(); ++i) {
        const FileOp &op = net.ops[i];
        text << "\n  " << i << " " << names[op.kind];
        for (uint32_t input : op.inputs) text << " " << input;
        text << " -> " << op.channels << " groups " << op.groups << " flags " << op.flags << " window";
        for (uint32_t w : op.window) text << " " << w;
    }
    return text.str();
}

// The first value that differs when the network is cut off behind it, for the message.
size_t first_difference(const Network &net, const Image &image, const char *kernel, int threads) {
    for (size_t end = 2; end <= net.ops.size(); ++end) {
        Network cut = net;
        cut.ops.resize(end);
        if (cut.ops.back().kind == k_input) continue;
        const Model model = open_model(cut.bytes(), kernel);
        if (!same_bits(run(open_session(model, threads).get(), image.images), Interpreter(cut, image.value).result().data)) return end - 1;
    }
    return 0;
}

}  // namespace

int main(int count, char **arguments) {
    const int networks = count > 1 ? std::atoi(arguments[1]) : 60;
    const unsigned seed = count > 2 ? unsigned(std::atoi(arguments[2])) : 1;
    long runs = 0;
    for (int n = 0; n < networks; ++n) {
        Random random(seed + unsigned(n));
        const Network net = random_network(random, random.pick(2, 28), random.chance(20) ? 300 : 70);
        const std::vector<uint8_t> bytes = net.bytes();
        std::vector<Image> images;
        for (int i = 0; i < 3; ++i) {
            const int height = i ? random.pick(1, 16) : net.height, width = i ? random.pick(1, 20) : net.width;
            if (!result_of(net, height, width).channels) continue;
            const bool pixels = takes_pixels(net) && (!takes_floats(net) || random.chance(50));
            images.emplace_back(random, net, height, width, pixels);
            if (takes_floats(net) && takes_pixels(net)) images.emplace_back(random, net, height, width, !pixels);
        }
        std::vector<std::vector<float>> expected;
        for (const Image &image : images) expected.push_back(Interpreter(net, image.value).result().data);
        for (const std::string &kernel : kernel_list()) {
            const Model model = open_model(bytes, kernel.c_str());
            CHECK(onebit_model_kernel(model.get()) == kernel, "asked for %s, got %s", kernel.c_str(), onebit_model_kernel(model.get()));
            for (int threads : {1, 2, 3}) {
                const Session session = open_session(model, threads);
                for (size_t i = 0; i < images.size() * 2; ++i, ++runs) {
                    const Image &image = images[i % images.size()];
                    const bool same = same_bits(run(session.get(), image.images), expected[i % images.size()]);
                    if (!same) {
                        const size_t first = first_difference(net, image, kernel.c_str(), threads);
                        CHECK(same, "network of seed %u: %s with %d threads differs from the interpreter on %dx%d (run %zu), first at operation %zu of:%s",
                              seed + unsigned(n), kernel.c_str(), threads, image.value.size.height, image.value.size.width, i, first, describe(net).c_str());
                    }
                }
            }
        }
    }
    std::printf("%d networks, %ld runs on: %s\n", networks, runs, onebit_kernels());
}
