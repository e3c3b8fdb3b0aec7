// Tells AddressSanitizer that pooled memory is free although the allocator does not know it, so that a
// use after release is reported as one. Costs nothing in other builds.
//
// Receive memory is poisoned for as long as the kernel may write to it. What is being sent cannot be: until the send
// has completed it is also read by whoever shares it (a body that is relayed and kept for the cache), and no poison
// tells those who may read from those who may write.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define WEIR_POISONING 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEIR_POISONING 1
#endif
#endif

#ifdef WEIR_POISONING
#include <sanitizer/asan_interface.h>
#endif

namespace weir::core {

// From now on touching [memory, memory + bytes) is an error.
inline void poison([[maybe_unused]] const void* memory, [[maybe_unused]] size_t bytes) {
#ifdef WEIR_POISONING
  __asan_poison_memory_region(memory, bytes);
#endif
}

// From now on it is legal again. Call before the memory goes back to the allocator, too.
inline void unpoison([[maybe_unused]] const void* memory, [[maybe_unused]] size_t bytes) {
#ifdef WEIR_POISONING
  __asan_unpoison_memory_region(memory, bytes);
#endif
}

}  // namespace weir::core
