// Tells ThreadSanitizer of an order between threads that goes through the kernel, by way of a ring that it
// does not look into. Costs nothing in other builds.
//
// Nothing else of the ring needs it: each ring belongs to one thread, and what the kernel does to memory that
// thread has lent it is no access of the program's.
#pragma once

#if defined(__SANITIZE_THREAD__)
#define WEIR_THREAD_ORDER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WEIR_THREAD_ORDER 1
#endif
#endif

#ifdef WEIR_THREAD_ORDER
#include <sanitizer/tsan_interface.h>
#endif

namespace weir::core {

// What this thread has done so far happens before what another one does after its thread_order_after(token).
inline void thread_order_before([[maybe_unused]] void* token) {
#ifdef WEIR_THREAD_ORDER
  __tsan_release(token);
#endif
}
inline void thread_order_after([[maybe_unused]] void* token) {
#ifdef WEIR_THREAD_ORDER
  __tsan_acquire(token);
#endif
}

}  // namespace weir::core
