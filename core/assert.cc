#include "core/assert.h"

#include <cstdio>
#include <cstdlib>

namespace weir::core {

void assertion_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "weir: assertion failed: %s (%s:%d)\n", expression, file, line);
  std::abort();
}

}  // namespace weir::core
