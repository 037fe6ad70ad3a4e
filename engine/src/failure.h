// How anything below the C API gives up: one sentence, with the numbers that matter, for onebit_last_error().
#pragma once

#include <string>

#include "../include/onebit.h"

namespace onebit {

struct Failure {
    onebit_status status;
    std::string message;
};

[[noreturn]]
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void fail(onebit_status status, const char *format, ...);

}  // namespace onebit
