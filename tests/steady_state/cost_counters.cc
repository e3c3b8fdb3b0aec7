#include "tests/steady_state/cost_counters.h"

#include <algorithm>
#include <cstddef>

namespace weir::tests {

Costs costs;

namespace {

void count_allocation() {
  if (costs.counting) ++costs.allocations;
}

void count_copy(size_t size) {
  if (!costs.counting) return;
  costs.copied_bytes += size;
  costs.largest_copy = std::max<uint64_t>(costs.largest_copy, size);
}

}  // namespace
}  // namespace weir::tests

using weir::tests::count_allocation;
using weir::tests::count_copy;

// glibc's own names do the work; copies are written in assembly, or the compiler would call memcpy for them.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void* malloc(size_t size) {
  count_allocation();
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  count_allocation();
  return __libc_calloc(count, size);
}
void* realloc(void* memory, size_t size) {
  count_allocation();
  return __libc_realloc(memory, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  count_allocation();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** memory, size_t alignment, size_t size) {
  count_allocation();
  *memory = __libc_memalign(alignment, size);
  return *memory == nullptr ? 12 : 0;
}

#if defined(__x86_64__)
void* memcpy(void* __restrict to, const void* __restrict from, size_t size) {
  count_copy(size);
  void* at = to;
  asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
  return to;
}
void* memmove(void* to, const void* from, size_t size) {
  count_copy(size);
  if (to <= from || static_cast<const char*>(from) + size <= to) {
    void* at = to;
    asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
  } else {
    char* at = static_cast<char*>(to) + size - 1;
    const char* back = static_cast<const char*>(from) + size - 1;
    asm volatile("std\n\trep movsb\n\tcld" : "+D"(at), "+S"(back), "+c"(size) : : "memory");
  }
  return to;
}
#endif
}
