// A session's own threads. Work comes in chunks that whoever is free claims; nobody waits for a thread that the system has put to
// sleep unless it holds a chunk.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace onebit {

class Threads {
public:
    // The calling thread counts as one of them. Throws std::system_error where the system gives no more.
    explicit Threads(int count);
    ~Threads();
    Threads(const Threads &) = delete;
    Threads &operator=(const Threads &) = delete;

    int count() const { return int(workers_.size()) + 1; }

    // Calls body(chunk, worker) for every chunk below `chunks`, and returns when all are done. Bodies throw nothing.
    template <class Body>
    void run(int chunks, Body &&body) {
        if (workers_.empty() || chunks <= 1) {
            for (int chunk = 0; chunk < chunks; ++chunk) body(chunk, 0);
            return;
        }
        share(chunks, [](void *context, int chunk, int worker) { (*static_cast<std::remove_reference_t<Body> *>(context))(chunk, worker); }, &body);
    }

private:
    using Call = void (*)(void *context, int chunk, int worker);
    void share(int chunks, Call call, void *context);
    bool claim_one(int worker);
    void work(int worker);

    std::vector<std::thread> workers_;
    // Number of the job (32 bits), its chunks (16), the next one to claim (16): one word, so that nobody claims a chunk of a job that is over.
    alignas(64) std::atomic<uint64_t> ticket_{0};
    alignas(64) std::atomic<int> finished_{0};
    Call call_ = nullptr;
    void *context_ = nullptr;

    alignas(64) std::atomic<int> asleep_{0};
    std::atomic<bool> stop_{false};
    std::mutex mutex_;
    std::condition_variable wake_;
};

}  // namespace onebit
