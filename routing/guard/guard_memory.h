// How much memory the tables of users and of answers have: the defaults, and what a configuration may say instead
// (limits.user_memory, limits.cache_memory). What does not fit makes others give way; it is touched as it is used.
#pragma once

#include <cstdint>

namespace weir::routing {

inline constexpr uint64_t kMinTableMemoryBytes = uint64_t{1} << 20;
inline constexpr uint64_t kUserMemoryBytes = uint64_t{64} << 20;
inline constexpr uint64_t kMaxUserMemoryBytes = uint64_t{1} << 30;  // all of it is written again and again
inline constexpr uint64_t kCacheMemoryBytes = uint64_t{64} << 20;
inline constexpr uint64_t kMaxCacheMemoryBytes = uint64_t{64} << 30;

}  // namespace weir::routing
