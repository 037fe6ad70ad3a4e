#include "threads.h"

#include <chrono>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace onebit {
namespace {

constexpr auto patience = std::chrono::microseconds(200);  // what a thread without work waits before it sleeps

void pause() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

uint64_t next_of(uint64_t ticket) { return ticket & 0xFFFF; }
uint64_t chunks_of(uint64_t ticket) { return ticket >> 16 & 0xFFFF; }

}  // namespace

Threads::Threads(int count) {
    try {
        for (int worker = 1; worker < count; ++worker) workers_.emplace_back([this, worker] { work(worker); });
    } catch (...) {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            stop_ = true;
        }
        wake_.notify_all();
        for (std::thread &thread : workers_) thread.join();
        throw;
    }
}

Threads::~Threads() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        stop_ = true;
    }
    wake_.notify_all();
    for (std::thread &thread : workers_) thread.join();
}

bool Threads::claim_one(int worker) {
    uint64_t ticket = ticket_.load(std::memory_order_acquire);
    do {
        if (next_of(ticket) >= chunks_of(ticket)) return false;
    } while (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel, std::memory_order_acquire));
    call_(context_, int(next_of(ticket)), worker);
    finished_.fetch_add(1, std::memory_order_release);
    return true;
}

void Threads::share(int chunks, Call call, void *context) {
    call_ = call;
    context_ = context;
    finished_.store(0, std::memory_order_relaxed);
    const uint64_t job = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
    ticket_.store(job << 32 | uint64_t(chunks) << 16, std::memory_order_seq_cst);
    if (asleep_.load(std::memory_order_seq_cst) > 0) {
        { const std::lock_guard<std::mutex> lock(mutex_); }
        wake_.notify_all();
    }
    while (claim_one(0)) {
    }
    for (int spins = 0; finished_.load(std::memory_order_acquire) < chunks; ++spins) {
        if (spins < 64)
            pause();
        else
            std::this_thread::yield();
    }
}

void Threads::work(int worker) {
    const auto now = [] { return std::chrono::steady_clock::now(); };
    auto since = now();
    for (int idle = 0;;) {
        if (claim_one(worker)) {
            idle = 0;
            continue;
        }
        if (stop_.load(std::memory_order_relaxed)) return;
        if (++idle == 1) since = now();
        if (idle < 64) {
            pause();
            continue;
        }
        std::this_thread::yield();
        if (idle % 16 != 0 || now() - since < patience) continue;
        std::unique_lock<std::mutex> lock(mutex_);
        asleep_.fetch_add(1, std::memory_order_seq_cst);
        wake_.wait(lock, [this] {
            const uint64_t ticket = ticket_.load(std::memory_order_seq_cst);
            return stop_.load() || next_of(ticket) < chunks_of(ticket);
        });
        asleep_.fetch_sub(1, std::memory_order_relaxed);
        idle = 0;
    }
}

}  // namespace onebit
