// Whether this build is sanitized: it then takes several times the memory and the time, and checks of either say
// nothing about weir. Compilers do not agree on how they tell.
#pragma once

namespace weir::tests {

#if defined(__SANITIZE_THREAD__)
inline constexpr bool kThreadSanitized = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
inline constexpr bool kThreadSanitized = true;
#else
inline constexpr bool kThreadSanitized = false;
#endif
#else
inline constexpr bool kThreadSanitized = false;
#endif

// By address, thread or memory sanitizer; those of undefined behaviour and of integers cost little.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = kThreadSanitized;
#endif
#else
inline constexpr bool kSanitized = kThreadSanitized;
#endif

// How long a test waits for what must come.
inline constexpr int kPatienceSeconds = kThreadSanitized ? 120 : 20;

// How often a test on random input repeats itself: as often as it says where it is quick.
constexpr int rounds(int all) {
  return kSanitized ? all / 4 : all;
}

}  // namespace weir::tests
