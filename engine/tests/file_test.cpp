// The loader: the checksum, every cut and many flips of a file, foreign files, and one wrong field after the other.
#include <cstdio>
#include <functional>
#include <string>

#include "../src/format.h"
#include "random_network.h"
#include "session.h"

namespace {

Network small_network() {
    Random random(5);
    NetworkMaker maker{random, 20, {}, {}, 0};
    FileOp input;
    input.channels = 3;
    maker.net.channels = 3, maker.net.height = maker.net.width = 6;
    maker.push(input, {3, 6, 6});
    while (!maker.add_conv(k_conv)) {}
    while (!maker.add_conv(k_binary_conv)) {}
    while (!maker.add_simple(k_affine)) {}
    while (!maker.add_simple(k_clamp)) {}
    maker.net.ops.resize(5);
    return maker.net;
}

onebit_status read(const std::vector<uint8_t> &bytes) {
    onebit_model *model = nullptr;
    const std::vector<uint8_t> exact(bytes);  // nothing behind its end, so that an over-read is seen
    const onebit_status status = onebit_model_read(exact.data(), exact.size(), "reference", &model);
    CHECK((status == ONEBIT_OK) == (model != nullptr), "status %d", status);
    onebit_model_free(model);
    return status;
}

void refuse(const std::vector<uint8_t> &bytes, const char *what, const char *sentence = "") {
    CHECK(read(bytes) == ONEBIT_BAD_FILE, "%s was not refused", what);
    CHECK(std::strstr(onebit_last_error(), sentence) && onebit_last_error()[0], "%s: the message is \"%s\"", what, onebit_last_error());
}

void refuse(const char *what, const char *sentence, const std::function<void(Network &)> &change) {
    Network net = small_network();
    change(net);
    refuse(net.bytes(), what, sentence);
}

void test_crc() {
    const std::string digits = "123456789";
    CHECK(onebit::crc32(reinterpret_cast<const uint8_t *>(digits.data()), 9) == 0xCBF43926u, "CRC-32 of the usual nine digits");
    Random random(2);
    std::vector<uint8_t> bytes(4099);
    for (uint8_t &byte : bytes) byte = uint8_t(random.pick(0, 255));
    for (size_t size = 0; size < 300; ++size) CHECK(onebit::crc32(bytes.data() + size % 9, size) == slow_crc(bytes.data() + size % 9, size), "%zu bytes", size);
    CHECK(onebit::crc32(bytes.data(), bytes.size()) == slow_crc(bytes.data(), bytes.size()), "4099 bytes");
}

void test_damage(const std::vector<uint8_t> &good) {
    refuse({'x'}, "one byte", "not a .onebit file");
    refuse(std::vector<uint8_t>(5000, 'P'), "a foreign file", "not a .onebit file");
    for (size_t size = 1; size < good.size(); size += size < 300 ? 1 : 37) {
        std::vector<uint8_t> cut(good.begin(), good.begin() + ptrdiff_t(size));
        refuse(cut, "a cut file");
        if (size < 64) continue;
        put<uint64_t>(cut, 16, size);  // the cut hidden: only what lies behind the end is left to find
        repair_crc(cut);
        refuse(cut, "a cut file with its size and checksum repaired", "");
    }
    std::vector<uint8_t> longer(good);
    longer.push_back(0);
    refuse(longer, "a file with something behind its end", "behind its end");
    for (size_t bit = 0; bit < 8 * good.size(); bit += bit < 512 ? 1 : 61) {
        std::vector<uint8_t> flipped(good);
        flipped[bit / 8] = uint8_t(flipped[bit / 8] ^ 1u << bit % 8);
        refuse(flipped, "a flipped bit");
    }
    std::vector<uint8_t> newer(good);
    put<uint32_t>(newer, 8, 2);
    refuse(newer, "a file of version 2", "version 2");
    std::vector<uint8_t> overlapping(good);
    put<uint64_t>(overlapping, 64 + 32, 0);  // where the first tensor lies
    repair_crc(overlapping);
    refuse(overlapping, "a tensor on top of the header", "should lie at byte 0");
}

// Every number of header and tables, set to many values, with the checksum repaired: refused in one sentence, or read and run.
void test_numbers(const std::vector<uint8_t> &good, size_t tables_end) {
    static const uint32_t values[] = {0, 1, 2, 3, 5, 31, 64, 1025, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFC0, 0xFFFFFFFF};
    int accepted = 0;
    for (size_t at = 16; at < tables_end; at += 4)
        for (uint32_t value : values) {
            std::vector<uint8_t> changed(good);
            put(changed, at, value);
            repair_crc(changed);
            const onebit_status status = read(changed);
            CHECK(status == ONEBIT_OK || (status == ONEBIT_BAD_FILE && onebit_last_error()[0]), "byte %zu = %08x gives status %d", at, value, status);
            accepted += status == ONEBIT_OK;
        }
    CHECK(accepted > 20, "only %d changed files were readable", accepted);
}

void test_rules() {
    refuse("a first operation that is no input", "input", [](Network &net) { net.ops[0].kind = k_relu; });
    refuse("a second input", "input", [](Network &net) { net.ops[3] = net.ops[0]; });
    refuse("an unknown kind", "kind", [](Network &net) { net.ops[3].kind = 18; });
    refuse("an operation that reads itself", "input", [](Network &net) { net.ops[3].inputs[0] = 3; });
    refuse("a missing weight", "lacks weight", [](Network &net) { net.ops[1].tensors[r_weight] = ~0u; });
    refuse("a tensor that is not there", "tensor", [](Network &net) { net.ops[1].tensors[r_weight] = 99; });
    refuse("a weight of another type", "type", [](Network &net) { net.tensors[net.ops[1].tensors[r_weight]].type = t_uint32; });
    refuse("a weight of another shape", "shape", [](Network &net) { std::swap(net.ops[1].channels, net.ops[1].groups); net.ops[1].channels = net.ops[1].groups = 1; });
    refuse("a NaN among the weights", "NaN", [](Network &net) { put(net.tensors[net.ops[1].tensors[r_weight]].data, 4, NAN); });
    refuse("an infinite bias", "infinity", [](Network &net) { put(net.tensors[net.ops[2].tensors[r_bias]].data, 0, INFINITY); });
    refuse("an index beyond the bases", "index", [](Network &net) { put<uint32_t>(net.tensors[net.ops[2].tensors[r_index]].data, 0, 7); });
    refuse("a stride of 0", "stride", [](Network &net) { net.ops[1].window[2] = 0; });
    refuse("a huge kernel", "kernel", [](Network &net) { net.ops[1].window[0] = 1u << 30; });
    refuse("a field that a kind does not have", "dilation", [](Network &net) { net.ops[3].window[6] = 2; });
    refuse("an unknown flag", "flag", [](Network &net) { net.ops[3].flags = 8; });
    refuse("a NaN as bound", "NaN", [](Network &net) { net.ops[4].p0 = NAN; });
    refuse("crossed bounds", "bounds", [](Network &net) { net.ops[4].p0 = 2, net.ops[4].p1 = 1; });
    refuse("a sum of different channels", "", [](Network &net) { net.ops[3] = FileOp{}; net.ops[3].kind = k_add; net.ops[3].inputs = {0, 2}; net.ops[3].channels = 3; });
    refuse("pixels read by a real convolution", "pixels", [](Network &net) { net.ops[0].flags = 1; });
    refuse("no operations", "operations", [](Network &net) { net.ops.clear(); });
}

void test_paths() {
    onebit_model *model = nullptr;
    for (const char *path : {"/nowhere/at/all.onebit", "/", "/dev/null", ""}) {
        CHECK(onebit_model_open(path, nullptr, &model) == ONEBIT_BAD_FILE && !model, "%s was opened", path);
        CHECK(onebit_last_error()[0], "no message for %s", path);
    }
    const std::vector<uint8_t> bytes = small_network().bytes();
    const char *path = "file_test.onebit";
    FILE *file = std::fopen(path, "wb");
    CHECK(file && std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size(), "cannot write %s", path);
    std::fclose(file);
    CHECK_OK(onebit_model_open(path, nullptr, &model));
    std::remove(path);  // a mapped file may go
    size_t size = 0;
    const char *metadata = onebit_model_metadata(model, &size);
    CHECK(std::string(metadata, size) == small_network().metadata, "metadata %.*s", int(size), metadata);
    onebit_model_free(model);
}

}  // namespace

int main() {
    const Network net = small_network();
    const std::vector<uint8_t> good = net.bytes();
    CHECK(read(good) == ONEBIT_OK, "%s", onebit_last_error());
    test_crc();
    test_damage(good);
    test_numbers(good, 64 + 48 * net.tensors.size() + 128 * net.ops.size());
    test_rules();
    test_paths();
    std::puts("every damaged, foreign and wrong file was refused");
}
