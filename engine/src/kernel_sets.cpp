// Which sets of kernels this build has, and which of them this processor can run.
#include <cstring>

#include "kernels.h"

namespace onebit {

extern const Kernels reference_kernels;
namespace portable {
extern const Kernels kernels;
}
#if defined(__x86_64__) && !defined(ONEBIT_PORTABLE_ONLY)
namespace avx512 {
extern const Kernels kernels;
}
namespace avx2 {
extern const Kernels kernels;
}
#elif defined(__aarch64__) && !defined(ONEBIT_PORTABLE_ONLY)
namespace neon {
extern const Kernels kernels;
}
#endif

namespace {

bool always() { return true; }

#if defined(__x86_64__) && !defined(ONEBIT_PORTABLE_ONLY)
bool has_avx512() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("avx512vnni");
}
bool has_avx2() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}
#endif

struct KernelSet {
    const Kernels *kernels;
    bool (*runs_here)();
};

// Best first.
const KernelSet kernel_sets[] = {
#if defined(__x86_64__) && !defined(ONEBIT_PORTABLE_ONLY)
    {&avx512::kernels, has_avx512},
    {&avx2::kernels, has_avx2},
#elif defined(__aarch64__) && !defined(ONEBIT_PORTABLE_ONLY)
    {&neon::kernels, always},
#endif
    {&portable::kernels, always},
    {&reference_kernels, always},
};
constexpr int number_of_sets = sizeof kernel_sets / sizeof *kernel_sets;

}  // namespace

const Kernels *find_kernels(const char *name) {
    for (const KernelSet &set : kernel_sets)
        if (std::strcmp(set.kernels->name, name) == 0) return set.runs_here() ? set.kernels : nullptr;
    return nullptr;
}

const char *const *kernel_names() {
    static const struct Names {
        const char *name[number_of_sets + 1] = {};
        Names() {
            int n = 0;
            for (const KernelSet &set : kernel_sets)
                if (set.runs_here()) name[n++] = set.kernels->name;
        }
    } names;
    return names.name;
}

}  // namespace onebit
