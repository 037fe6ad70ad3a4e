// The C API: arguments checked, exceptions turned into a status and a sentence.
#include <cstdio>
#include <cstring>
#include <new>
#include <system_error>

#include "failure.h"
#include "session.h"

#ifndef ONEBIT_VERSION
#define ONEBIT_VERSION "0.1.0"
#endif

struct onebit_model {
    std::shared_ptr<const onebit::Model> model;
};

struct onebit_session {
    onebit::Session session;
};

namespace {

using onebit::fail;

constexpr int max_threads = 1024;
thread_local char last_error[600] = "";  // a fixed array: telling about missing memory must not need any

onebit_status report(onebit_status status, const char *sentence) {
    std::snprintf(last_error, sizeof last_error, "%s", sentence);
    return status;
}

template <class Body>
onebit_status guarded(Body body) noexcept {
    try {
        body();
        return ONEBIT_OK;
    } catch (const onebit::Failure &failure) {
        return report(failure.status, failure.message.c_str());
    } catch (const std::bad_alloc &) {
        return report(ONEBIT_NO_MEMORY, "not enough memory");
    } catch (const std::system_error &error) {
        return report(ONEBIT_NO_MEMORY, error.what());
    } catch (const std::exception &error) {
        return report(ONEBIT_BAD_ARGUMENT, error.what());
    }
}

void demand(const void *pointer, const char *name) {
    if (!pointer) fail(ONEBIT_BAD_ARGUMENT, "%s is null", name);
}

void open_model(onebit::Bytes bytes, const char *kernel, onebit_model **model) {
    *model = new onebit_model{std::make_shared<const onebit::Model>(std::move(bytes), kernel)};
}

}  // namespace

const char *onebit_version(void) { return ONEBIT_VERSION; }

const char *onebit_last_error(void) { return last_error; }

const char *onebit_kernels(void) {
    static char names[256];
    static const bool filled = [] {
        size_t used = 0;
        for (const char *const *name = onebit::kernel_names(); *name; ++name)
            if (used < sizeof names) used += size_t(std::snprintf(names + used, sizeof names - used, "%s%s", used ? " " : "", *name));
        return true;
    }();
    (void)filled;
    return names;
}

onebit_status onebit_model_open(const char *path, const char *kernel, onebit_model **model) {
    return guarded([&] {
        demand(model, "model");
        *model = nullptr;
        demand(path, "path");
        open_model(onebit::Bytes::map(path), kernel, model);
    });
}

onebit_status onebit_model_read(const void *bytes, size_t size, const char *kernel, onebit_model **model) {
    return guarded([&] {
        demand(model, "model");
        *model = nullptr;
        demand(bytes, "bytes");
        open_model(onebit::Bytes::copy(bytes, size), kernel, model);
    });
}

void onebit_model_free(onebit_model *model) { delete model; }

const char *onebit_model_metadata(const onebit_model *model, size_t *size) {
    if (size) *size = model ? model->model->program.metadata_size : 0;
    return model ? model->model->program.metadata : "";
}

const char *onebit_model_kernel(const onebit_model *model) { return model ? model->model->kernels.name : ""; }

int64_t onebit_model_channels(const onebit_model *model) { return model ? model->model->input().shape.channels_out : 0; }

int onebit_model_pixels_only(const onebit_model *model) { return model && model->model->pixels_only(); }

onebit_status onebit_session_create(const onebit_model *model, int threads, onebit_session **session) {
    return guarded([&] {
        demand(session, "session");
        *session = nullptr;
        demand(model, "model");
        if (threads < 1 || threads > max_threads) fail(ONEBIT_BAD_ARGUMENT, "%d threads: expected 1 to %d", threads, max_threads);
        *session = new onebit_session{{model->model, threads}};
    });
}

void onebit_session_free(onebit_session *session) { delete session; }

onebit_status onebit_session_shape(onebit_session *session, int64_t height, int64_t width, int64_t shape[3]) {
    return guarded([&] {
        demand(session, "session");
        demand(shape, "shape");
        const onebit::Shape out = session->session.shape(height, width);
        shape[0] = out.channels;
        shape[1] = out.height;
        shape[2] = out.width;
    });
}

onebit_status onebit_session_run(onebit_session *session, const onebit_images *images, float *output, size_t count) {
    return guarded([&] {
        demand(session, "session");
        demand(images, "images");
        demand(output, "output");
        session->session.run(*images, output, count);
    });
}

onebit_status onebit_session_profile(onebit_session *session, int on) {
    return guarded([&] {
        demand(session, "session");
        session->session.profile(on != 0);
    });
}

int onebit_session_steps(const onebit_session *session) {
    return session && session->session.plan() ? int(session->session.plan()->steps.size()) : -1;
}

onebit_status onebit_session_step(const onebit_session *session, int index, onebit_step *step) {
    return guarded([&] {
        demand(session, "session");
        demand(step, "step");
        const int steps = onebit_session_steps(session);
        if (index < 0 || index >= steps) fail(ONEBIT_BAD_ARGUMENT, "no step %d: the session has %d", index, steps < 0 ? 0 : steps);
        *step = session->session.step(index);
    });
}

size_t onebit_session_memory(const onebit_session *session) {
    return session && session->session.plan() ? session->session.plan()->memory : 0;
}
