// Assertions about our own code, on in release. What a client, provider, file or operator can cause is
// an error (core/error.h), never an assertion.
#pragma once

namespace weir::core {
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);
}

#define WEIR_ASSERT(expression) \
  (__builtin_expect(!!(expression), 1) ? (void)0 : ::weir::core::assertion_failed(#expression, __FILE__, __LINE__))
