// The C API: misuse gives a status and a sentence, runs after the first allocate nothing, many sessions at once give the same bits.
#include <atomic>
#include <climits>
#include <new>
#include <thread>

#include "random_network.h"
#include "session.h"

namespace {
std::atomic<long> allocations{0};
}

// Every allocation of the program, the engine's among them.
void *operator new(size_t size) {
    ++allocations;
    if (void *memory = std::malloc(size ? size : 1)) return memory;
    throw std::bad_alloc();
}
void *operator new(size_t size, std::align_val_t alignment) {
    ++allocations;
    const size_t step = size_t(alignment);
    if (void *memory = std::aligned_alloc(step, (size + step - 1) / step * step)) return memory;
    throw std::bad_alloc();
}
void *operator new[](size_t size) { return operator new(size); }
void *operator new[](size_t size, std::align_val_t alignment) { return operator new(size, alignment); }
void *operator new(size_t size, const std::nothrow_t &) noexcept {
    ++allocations;
    return std::malloc(size ? size : 1);
}
void *operator new[](size_t size, const std::nothrow_t &) noexcept { return operator new(size, std::nothrow); }
void operator delete(void *memory) noexcept { std::free(memory); }
void operator delete(void *memory, const std::nothrow_t &) noexcept { std::free(memory); }
void operator delete[](void *memory, const std::nothrow_t &) noexcept { std::free(memory); }
void operator delete(void *memory, size_t) noexcept { std::free(memory); }
void operator delete(void *memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void *memory, size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void *memory) noexcept { std::free(memory); }
void operator delete[](void *memory, size_t) noexcept { std::free(memory); }
void operator delete[](void *memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void *memory, size_t, std::align_val_t) noexcept { std::free(memory); }

namespace {

// input, conv, binary conv, sum; any size of images from 1x1 on.
Network residual_network(unsigned seed, bool pixels = false, bool table = true) {
    Random random(seed);
    NetworkMaker maker{random, 48, {}, {}, 0};
    FileOp input;
    input.channels = 3;
    maker.net.channels = 3, maker.net.height = 12, maker.net.width = 10;
    if (pixels) input.flags = 1;
    else if (table) input.tensors[r_scale] = maker.floats({3, 256}, 2);
    maker.push(input, {3, 12, 10});
    const auto convolve = [&](uint32_t kind, uint32_t from, uint32_t channels) {
        FileOp op;
        op.kind = kind;
        op.inputs = {from};
        op.channels = channels;
        op.window = {3, 3, 1, 1, 1, 1, 1, 1};
        const uint32_t in = maker.net.ops[from].channels;
        const size_t weights = size_t(channels) * 9 * in;
        if (kind == k_conv) {
            op.tensors[r_weight] = maker.floats({channels, 3, 3, in}, 0.5f);
        } else if (kind == k_pixel_conv) {
            op.tensors[r_weight] = maker.net.tensor(t_int8, {channels, 3, 3, in}, std::vector<int8_t>(weights, int8_t(3)));
            op.tensors[r_scale] = maker.floats({channels}, 1e-3f);
            op.tensors[r_offset] = maker.floats({channels, 3, 3}, 1);
        } else {
            std::vector<uint8_t> bits((weights + 7) / 8);
            for (size_t i = 0; i < weights; ++i) bits[i / 8] = uint8_t(bits[i / 8] | random.pick(0, 1) << i % 8);
            op.tensors[r_weight] = maker.net.tensor(t_bits, {1, channels, 3, 3, in}, bits);
            op.tensors[r_index] = maker.net.tensor(t_uint32, {1}, std::vector<uint32_t>{0});
            op.tensors[r_shift] = maker.net.tensor(t_float32, {1}, std::vector<float>{0});
            op.tensors[r_scale] = maker.floats({1, channels}, 0.1f);
        }
        op.tensors[r_bias] = maker.floats({channels}, 1);
        return maker.push(op, {int(channels), 12, 10});
    };
    uint32_t last = convolve(pixels ? k_pixel_conv : k_conv, 0, 40);
    for (int unit = 0; unit < 3; ++unit) {
        const uint32_t sum = convolve(k_binary_conv, last, 40);
        FileOp add;
        add.kind = k_add;
        add.inputs = {sum, last};
        add.channels = 40;
        last = maker.push(add, {40, 12, 10});
    }
    return maker.net;
}

void expect(onebit_status status, onebit_status expected, const char *what) {
    CHECK(status == expected, "%s gives status %d, expected %d (%s)", what, status, expected, onebit_last_error());
    CHECK(onebit_last_error()[0], "%s: no sentence", what);
}

void test_null() {
    const std::vector<uint8_t> bytes = residual_network(1).bytes();
    onebit_model *none = nullptr;
    onebit_session *no_session = nullptr;
    expect(onebit_model_read(nullptr, 10, nullptr, &none), ONEBIT_BAD_ARGUMENT, "null bytes");
    expect(onebit_model_read(bytes.data(), bytes.size(), nullptr, nullptr), ONEBIT_BAD_ARGUMENT, "null model");
    expect(onebit_model_read(bytes.data(), 0, nullptr, &none), ONEBIT_BAD_FILE, "no bytes");
    expect(onebit_model_open(nullptr, nullptr, &none), ONEBIT_BAD_ARGUMENT, "null path");
    expect(onebit_session_create(nullptr, 1, &no_session), ONEBIT_BAD_ARGUMENT, "session of no model");
    expect(onebit_model_read(bytes.data(), bytes.size(), "sse9", &none), ONEBIT_BAD_KERNEL, "an unknown kernel");
    setenv("ONEBIT_KERNEL", "turbo", 1);
    expect(onebit_model_read(bytes.data(), bytes.size(), nullptr, &none), ONEBIT_BAD_KERNEL, "an unknown $ONEBIT_KERNEL");
    setenv("ONEBIT_KERNEL", "reference", 1);
    CHECK(std::string(onebit_model_kernel(open_model(bytes, nullptr).get())) == "reference", "$ONEBIT_KERNEL has no effect");
    CHECK(std::string(onebit_model_kernel(open_model(bytes, "portable").get())) == "portable", "a name has to win over $ONEBIT_KERNEL");
    unsetenv("ONEBIT_KERNEL");
    onebit_model_free(nullptr);
    onebit_session_free(nullptr);

    const Model model = open_model(bytes, nullptr);
    CHECK(kernel_list().front() == onebit_model_kernel(model.get()), "the default is %s", onebit_model_kernel(model.get()));
    CHECK(onebit_model_channels(model.get()) == 3 && !onebit_model_pixels_only(model.get()), "channels or pixels_only");
    for (int threads : {0, -1, INT_MIN, INT_MAX}) expect(onebit_session_create(model.get(), threads, &no_session), ONEBIT_BAD_ARGUMENT, "a wrong number of threads");
    expect(onebit_session_create(model.get(), 1, nullptr), ONEBIT_BAD_ARGUMENT, "null session");
    const Session session = open_session(model, 2);
    CHECK(onebit_session_steps(session.get()) == -1, "steps before the first run");
    onebit_step step;
    expect(onebit_session_step(session.get(), 0, &step), ONEBIT_BAD_ARGUMENT, "a step before the first run");
    float output[1];
    onebit_images images{};
    expect(onebit_session_run(nullptr, &images, output, 1), ONEBIT_BAD_ARGUMENT, "null session");
    expect(onebit_session_run(session.get(), nullptr, output, 1), ONEBIT_BAD_ARGUMENT, "null images");
    expect(onebit_session_run(session.get(), &images, nullptr, 1), ONEBIT_BAD_ARGUMENT, "null output");
    expect(onebit_session_run(session.get(), &images, output, 1), ONEBIT_BAD_ARGUMENT, "null data");
    int64_t shape[3];
    for (int64_t side : {int64_t(0), int64_t(-3), INT64_MAX, int64_t(1) << 40}) expect(onebit_session_shape(session.get(), side, 8, shape), ONEBIT_BAD_ARGUMENT, "an impossible side");
    expect(onebit_session_shape(session.get(), 8, 8, nullptr), ONEBIT_BAD_ARGUMENT, "null shape");
}

void test_images() {
    Random random(3);
    const Network net = residual_network(2);
    const Model model = open_model(net.bytes(), nullptr);
    const Session session = open_session(model, 2);
    Image image(random, net, 7, 5, false);
    std::vector<float> output(40 * 7 * 5);
    const auto attempt = [&](const char *what, onebit_status expected, auto change) {
        onebit_images images = image.images;
        change(images);
        expect(onebit_session_run(session.get(), &images, output.data(), output.size()), expected, what);
    };
    attempt("two channels", ONEBIT_BAD_ARGUMENT, [](onebit_images &i) { i.channels = 2; });
    attempt("no images", ONEBIT_BAD_ARGUMENT, [](onebit_images &i) { i.batch = 0; });
    attempt("a negative height", ONEBIT_BAD_ARGUMENT, [](onebit_images &i) { i.height = -7; });
    attempt("a batch beyond the output", ONEBIT_BAD_ARGUMENT, [](onebit_images &i) { i.batch = 2, i.stride_batch = 0; });
    attempt("an endless batch", ONEBIT_BAD_ARGUMENT, [](onebit_images &i) { i.batch = INT64_MAX, i.stride_batch = 0; });
    attempt("an unknown type", ONEBIT_BAD_ARGUMENT, [](onebit_images &i) { i.type = onebit_type(7); });
    attempt("a stride that overflows", ONEBIT_BAD_ARGUMENT, [](onebit_images &i) { i.stride_row = INT64_MAX / 2; });
    attempt("the smallest stride", ONEBIT_BAD_ARGUMENT, [](onebit_images &i) { i.stride_channel = INT64_MIN; });
    attempt("huge images", ONEBIT_BAD_ARGUMENT, [](onebit_images &i) { i.height = i.width = int64_t(1) << 33; });
    attempt("a misaligned pointer", ONEBIT_BAD_ARGUMENT, [](onebit_images &i) { i.data = static_cast<const char *>(i.data) + 1; });
    const size_t at = size_t(2 * image.images.stride_channel + 6 * image.images.stride_row + 4 * image.images.stride_column);
    image.floats[at] = NAN;
    attempt("a NaN in the last pixel", ONEBIT_BAD_NUMBER, [](onebit_images &) {});
    image.floats[at] = image.value.at(2, 6, 4);

    // After all of that the session works. Images upside down, by negative strides, are read in place.
    CHECK(same_bits(run(session.get(), image.images), Interpreter(net, image.value).result().data), "a run after refused ones");
    Value turned = image.value;
    for (int c = 0; c < 3; ++c)
        for (int y = 0; y < 7; ++y)
            for (int x = 0; x < 5; ++x) turned.at(c, y, x) = image.value.at(c, 6 - y, x);
    onebit_images images = image.images;
    images.data = image.floats.data() + 6 * images.stride_row;
    images.stride_row = -images.stride_row;
    CHECK(same_bits(run(session.get(), images), Interpreter(net, turned).result().data), "negative strides");
    // One image over and over, by a stride of 0.
    images = image.images;
    images.batch = 3, images.stride_batch = 0;
    const std::vector<float> thrice = run(session.get(), images);
    CHECK(std::equal(thrice.begin(), thrice.begin() + 1400, thrice.begin() + 1400) && thrice.size() == 3 * 1400, "a stride of 0");

    const Model floats_only = open_model(residual_network(2, false, false).bytes(), nullptr), pixels_only = open_model(residual_network(2, true).bytes(), nullptr);
    CHECK(onebit_model_pixels_only(pixels_only.get()), "an integer stem takes pixels only");
    expect(onebit_session_run(open_session(pixels_only, 1).get(), &image.images, output.data(), output.size()), ONEBIT_BAD_ARGUMENT, "floats for an integer stem");
    const Image bytes(random, net, 7, 5, true);
    expect(onebit_session_run(open_session(floats_only, 1).get(), &bytes.images, output.data(), output.size()), ONEBIT_BAD_ARGUMENT, "pixels without a table");
}

void test_allocations(int networks) {
    Random random(4);
    for (int n = 0; n < networks; ++n) {
        const Network net = n ? random_network(random, 20) : residual_network(1);
        for (const std::string &kernel : kernel_list()) {
            const Model model = open_model(net.bytes(), kernel.c_str());
            for (int threads : {1, 2}) {
                const Session session = open_session(model, threads);
                const Image image(random, net, net.height, net.width, !takes_floats(net));
                std::vector<float> output = run(session.get(), image.images);
                const size_t memory = onebit_session_memory(session.get());
                const long before = allocations;
                for (int i = 0; i < 5; ++i) CHECK_OK(onebit_session_run(session.get(), &image.images, output.data(), output.size()));
                CHECK(allocations == before, "%ld allocations in later runs on %s with %d threads", allocations - before, kernel.c_str(), threads);
                CHECK(memory > 0 && onebit_session_memory(session.get()) == memory, "working memory went from %zu to %zu bytes", memory, onebit_session_memory(session.get()));
            }
        }
    }
}

void test_steps() {
    Random random(6);
    const Network net = residual_network(5);
    const Model model = open_model(net.bytes(), nullptr);
    const Session session = open_session(model, 1);
    const Image image(random, net, 12, 10, false);
    CHECK_OK(onebit_session_profile(session.get(), 1));
    for (int i = 0; i < 4; ++i) run(session.get(), image.images);
    int64_t binary = 0, real = 0;
    for (int i = 0; i < onebit_session_steps(session.get()); ++i) {
        onebit_step step;
        CHECK_OK(onebit_session_step(session.get(), i, &step));
        CHECK(step.runs == 4 && step.seconds >= 0 && step.name && step.name[0], "step %d: %s, %lld runs", i, step.name, (long long)step.runs);
        (step.weight_bits == 1 ? binary : real) += step.macs;
    }
    CHECK(binary == 3 * 12 * 10 * 40 * 9 * 40 && real == 12 * 10 * 40 * 9 * 3, "%lld binary and %lld real multiplications", (long long)binary, (long long)real);
    onebit_step step;
    expect(onebit_session_step(session.get(), 1000, &step), ONEBIT_BAD_ARGUMENT, "step 1000");
    expect(onebit_session_step(session.get(), -1, &step), ONEBIT_BAD_ARGUMENT, "step -1");
}

// Several models, each in several sessions with threads of their own, all at once and on changing sizes.
void test_many_at_once() {
    struct Job {
        Network net;
        Model model;
        std::vector<Image> images;
        std::vector<std::vector<float>> expected;
    };
    Random random(7);
    std::vector<Job> jobs;
    for (unsigned m = 0; m < 3; ++m) {
        Job job;
        job.net = residual_network(10 + m);
        job.model = open_model(job.net.bytes(), nullptr);
        for (int height : {12, 5, 9}) {
            job.images.emplace_back(random, job.net, height, 11, m == 1);
            job.expected.push_back(Interpreter(job.net, job.images.back().value).result().data);
        }
        jobs.push_back(std::move(job));
    }
    std::vector<std::thread> callers;
    std::atomic<int> wrong{0}, done{0};
    for (int caller = 0; caller < 6; ++caller)
        callers.emplace_back([&, caller] {
            const Job &job = jobs[size_t(caller) % jobs.size()];
            const Session session = open_session(job.model, 1 + caller % 3);
            for (size_t i = 0; i < 12; ++i, ++done) {
                const size_t which = (i / 2 + size_t(caller)) % job.images.size();
                if (!same_bits(run(session.get(), job.images[which].images), job.expected[which])) ++wrong;
                // errors belong to the thread that made them
                onebit_images broken = job.images[which].images;
                broken.channels = caller + 10;
                float output;
                onebit_session_run(session.get(), &broken, &output, 1);
                if (!std::strstr(onebit_last_error(), std::to_string(caller + 10).c_str())) ++wrong;
            }
        });
    for (std::thread &caller : callers) caller.join();
    CHECK(wrong == 0 && done == 72, "%d of %d runs gave other bits or messages", wrong.load(), done.load());
    // A session outlives its model's handle.
    Session session = open_session(jobs[0].model, 2);
    jobs[0].model.reset();
    CHECK(same_bits(run(session.get(), jobs[0].images[0].images), jobs[0].expected[0]), "a session without its model's handle");
}

}  // namespace

int main(int count, char **arguments) {
    test_null();
    test_images();
    test_allocations(count > 1 ? std::atoi(arguments[1]) : 12);
    test_steps();
    test_many_at_once();
    std::puts("misuse refused, no allocation after the first run, many at once give the same bits");
}
