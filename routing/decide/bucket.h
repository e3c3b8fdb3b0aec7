// The split: where a sticky key falls on a flag's scale of 100,000 buckets of 0.001 %.
//
// The bucket depends on the flag's salt and the key only, so raising a percentage never moves anybody out,
// and two flags cut the same people independently.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/murmur3.h"

namespace weir::routing {

inline constexpr uint32_t kBuckets = 100'000;  // the scale of milli_percent

// Projects a 32-bit hash to [0, total) without a modulo's bias: (hash * total) >> 32.
constexpr uint32_t project(uint32_t hash, uint32_t total) {
  return static_cast<uint32_t>((uint64_t{hash} * total) >> 32);
}

// The state of murmur3-32, seed 0, after salt ":". A flag keeps it (Flag::split); bucket_of() goes on from a
// copy.
inline core::Murmur3 begin_split(std::string_view salt) {
  core::Murmur3 state(0);
  state.update(salt);
  state.update(":");
  return state;
}

inline uint32_t bucket_of(core::Murmur3 split, std::string_view key) {
  split.update(key);
  return project(split.finish(), kBuckets);
}

}  // namespace weir::routing
