#include "session.h"

#include <time.h>

#include <algorithm>
#include <chrono>

#include "failure.h"
#include "images.h"

namespace onebit {
namespace {

// Below this, waking and waiting cost more than a second thread brings.
constexpr double least_shared = 12e3, least_chunk = 3e3;  // nanoseconds

// Processor time of the calling thread: what others do on a busy machine does not count.
double seconds() {
#if defined(CLOCK_THREAD_CPUTIME_ID)
    timespec now;
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0) return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
#endif
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// How a step is divided: rows first where there are many, else blocks of channels (in pairs: two blocks share a word of signs).
struct Division {
    int row_chunk, block_chunk, row_chunks, block_chunks;

    Division(const Step &step, int threads) : row_chunk(step.rows), block_chunk(step.channel_blocks), row_chunks(1), block_chunks(1) {
        if (threads == 1 || step.work < least_shared) return;
        const int wanted = int(std::min(double(threads * step.chunks_per_thread), std::max(double(threads), step.work / least_chunk)));
        const int pairs = (step.channel_blocks + 1) / 2;
        if (step.rows < 2 * wanted && pairs > 1) {
            block_chunk = (pairs + std::min(wanted, pairs) - 1) / std::min(wanted, pairs) * 2;
            block_chunks = (step.channel_blocks + block_chunk - 1) / block_chunk;
        }
        const int rows_wanted = std::min(step.rows, (wanted + block_chunks - 1) / block_chunks);
        row_chunk = (step.rows + rows_wanted - 1) / rows_wanted;
        row_chunks = (step.rows + row_chunk - 1) / row_chunk;
    }

    int chunks() const { return row_chunks * block_chunks; }

    Part part(const Step &step, int chunk) const {
        const int row = chunk / block_chunks * row_chunk, block = chunk % block_chunks * block_chunk;
        return {row, std::min(step.rows, row + row_chunk), block, std::min(step.channel_blocks, block + block_chunk)};
    }
};

}  // namespace

Session::Session(std::shared_ptr<const Model> model, int threads) : model_(std::move(model)), threads_(threads) {}

Shape Session::shape(int64_t height, int64_t width) const {
    if (plan_ && plan_->height == height && plan_->width == width) return plan_->output_shape;
    return infer_shapes(model_->program, model_->paths, height, width).back();
}

void Session::profile(bool on) {
    profiling_ = on;
    if (plan_) timings_.assign(plan_->steps.size(), Timing());
}

onebit_step Session::step(int index) const {
    const Step &step = *plan_->steps[size_t(index)];
    const Timing &timing = timings_[size_t(index)];
    return {step.name.c_str(), step.macs, step.weight_bits, timing.runs, timing.seconds};
}

void Session::run_step(Step &step) {
    const Division division(step, threads_.count());
    threads_.run(division.chunks(), [&](int chunk, int worker) { step.run(model_->kernels, division.part(step, chunk), worker); });
}

void Session::read_image(const onebit_images &images, int64_t index) {
    const Plan &plan = *plan_;
    const int chunk_rows = std::max(1, 32768 / std::max(1, plan.width * int(images.channels)));
    std::atomic<bool> broken{false};
    threads_.run((plan.height + chunk_rows - 1) / chunk_rows, [&](int chunk, int) {
        const int begin = chunk * chunk_rows, end = std::min(plan.height, begin + chunk_rows);
        if (model_->pixels_only()) copy_pixels(images, index, plan.pixels, begin, end);
        else if (images.type == ONEBIT_UINT8) read_pixels(images, index, model_->pixel_values(), plan.input, begin, end);
        else if (!read_floats(images, index, plan.input, begin, end)) broken = true;
    });
    if (broken) fail(ONEBIT_BAD_NUMBER, "image %lld of the batch holds a NaN", static_cast<long long>(index));
}

void Session::write_output(float *output) const {
    const FloatMap &map = plan_->output;
    for (int c = 0; c < map.channels; ++c)
        for (int y = 0; y < map.height; ++y)
            for (int x = 0; x < map.width; ++x) *output++ = map.data[y * map.row + x * map.pixel + c];
}

void Session::run(const onebit_images &images, float *output, size_t count) {
    check_images(images);
    const int64_t channels = model_->input().shape.channels_out;
    if (images.channels != channels)
        fail(ONEBIT_BAD_ARGUMENT, "images have %lld channels, the network takes %lld", static_cast<long long>(images.channels), static_cast<long long>(channels));
    if (images.type == ONEBIT_FLOAT32 && model_->pixels_only())
        fail(ONEBIT_BAD_ARGUMENT, "this network's first layer computes in integers: pass pixels (uint8), not float32");
    if (images.type == ONEBIT_UINT8 && !model_->pixels_only() && !model_->pixel_values())
        fail(ONEBIT_BAD_ARGUMENT, "the file holds no normalisation for pixels: pass normalised float32 images");
    if (!plan_ || plan_->height != images.height || plan_->width != images.width) {
        plan_.reset();
        timings_.clear();
        auto plan = std::make_unique<Plan>(*model_, images.height, images.width, threads_.count());
        timings_.resize(plan->steps.size());
        plan_ = std::move(plan);
    }
    const size_t values = size_t(plan_->output_shape.values());
    if (count / values < size_t(images.batch))
        fail(ONEBIT_BAD_ARGUMENT, "output has room for %zu floats, %lld images need %zu each", count, static_cast<long long>(images.batch), values);
    for (int64_t index = 0; index < images.batch; ++index) {
        read_image(images, index);
        for (size_t s = 0; s < plan_->steps.size(); ++s) {
            if (!profiling_) {
                run_step(*plan_->steps[s]);
                continue;
            }
            const double start = seconds();
            run_step(*plan_->steps[s]);
            timings_[s].seconds += seconds() - start;
            ++timings_[s].runs;
        }
        write_output(output + size_t(index) * values);
    }
}

}  // namespace onebit
