// A model with its working memory and its threads.
#pragma once

#include <memory>

#include "../include/onebit.h"
#include "graph/plan.h"
#include "threads.h"

namespace onebit {

class Session {
public:
    Session(std::shared_ptr<const Model> model, int threads);

    Shape shape(int64_t height, int64_t width) const;
    // Throws Failure; images behind the failing one are not written.
    void run(const onebit_images &images, float *output, size_t count);
    void profile(bool on);
    const Plan *plan() const { return plan_.get(); }
    onebit_step step(int index) const;

private:
    struct Timing {
        int64_t runs = 0;
        double seconds = 0;
    };
    void read_image(const onebit_images &images, int64_t index);
    void run_step(Step &step);
    void write_output(float *output) const;

    std::shared_ptr<const Model> model_;
    Threads threads_;
    std::unique_ptr<Plan> plan_;
    bool profiling_ = false;
    std::vector<Timing> timings_;
};

}  // namespace onebit
