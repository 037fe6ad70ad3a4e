// Writes a network with three channels and an image for it, for the example in C.
//
//   example_files NETWORK.onebit IMAGE.ppm
#include "random_network.h"

int main(int count, char **arguments) {
    CHECK(count == 3, "usage: example_files NETWORK.onebit IMAGE.ppm");
    Random random(1);
    NetworkMaker maker{random, 20, {}, {}, 0};
    FileOp input;
    input.channels = 3;
    input.tensors[r_scale] = maker.floats({3, 256}, 2);
    maker.push(input, {3, 9, 12});
    while (!maker.add_conv(k_conv)) {}
    while (!maker.add_conv(k_binary_conv)) {}
    while (!maker.add_simple(k_mean_pool)) {}
    const auto write = [](const char *path, const std::string &text) {
        FILE *file = std::fopen(path, "wb");
        CHECK(file && std::fwrite(text.data(), 1, text.size(), file) == text.size() && std::fclose(file) == 0, "cannot write %s", path);
    };
    const std::vector<uint8_t> bytes = maker.net.bytes();
    write(arguments[1], std::string(bytes.begin(), bytes.end()));
    std::string image = "P6 12 9 255\n";
    for (int i = 0; i < 3 * 9 * 12; ++i) image += char(random.pick(0, 255));
    write(arguments[2], image);
}
