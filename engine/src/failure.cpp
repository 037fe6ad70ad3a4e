#include "failure.h"

#include <cstdarg>
#include <cstdio>

namespace onebit {

void fail(onebit_status status, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    throw Failure{status, text};
}

}  // namespace onebit
