// The thread pool: every chunk is done once, by a worker below the count, and everything written is seen when run() returns.
#include <thread>

#include "../src/threads.h"
#include "check.h"

int main() {
    for (int count : {1, 2, 3, 5}) {
        onebit::Threads threads(count);
        CHECK(threads.count() == count, "%d", threads.count());
        Random random{unsigned(count)};
        for (int job = 0; job < 3000; ++job) {
            const int chunks = random.chance(5) ? 0 : random.pick(1, random.chance(5) ? 400 : 9);
            std::vector<int> done(size_t(chunks), 0);  // plain integers: a race would be one
            std::vector<int> workers(size_t(chunks), -1);
            threads.run(chunks, [&](int chunk, int worker) {
                ++done[size_t(chunk)];
                workers[size_t(chunk)] = worker;
            });
            for (int i = 0; i < chunks; ++i)
                CHECK(done[size_t(i)] == 1 && workers[size_t(i)] >= 0 && workers[size_t(i)] < count, "chunk %d of %d was done %d times, by worker %d", i, chunks,
                      done[size_t(i)], workers[size_t(i)]);
            if (job % 500 == 499) std::this_thread::sleep_for(std::chrono::milliseconds(3));  // long enough for workers to fall asleep
        }
    }
    std::puts("every chunk was done once");
}
