// Writes small random networks, valid files of every kind of operation, for the fuzzer to start from.
//
//   seeds FOLDER [count]
#include <fstream>

#include "../tests/random_network.h"

int main(int count, char **arguments) {
    CHECK(count > 1, "usage: seeds FOLDER [count]");
    const int files = count > 2 ? std::atoi(arguments[2]) : 60;
    for (int i = 0; i < files; ++i) {
        Random random(unsigned(i) + 1);
        const std::vector<uint8_t> bytes = random_network(random, random.pick(2, 12), i % 4 ? 9 : 40).bytes();
        std::ofstream(std::string(arguments[1]) + "/random-" + std::to_string(i) + ".onebit", std::ios::binary)
            .write(reinterpret_cast<const char *>(bytes.data()), std::streamsize(bytes.size()));
    }
}
