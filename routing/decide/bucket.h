// The split: where a sticky key falls on a flag's scale of 100,000 buckets of 0.001 %.
//
// The bucket depends on the flag's salt and the key only, so raising a percentage never moves anybody out, and
// two flags cut the same people independently.
#pragma once

#include <cstdint>
#include <string_view>

namespace weir::routing {

inline constexpr uint32_t kBuckets = 100'000;  // the scale of milli_percent

// Projects a 32-bit hash to [0, total) without a modulo's bias: (hash * total) >> 32.
constexpr uint32_t project(uint32_t hash, uint32_t total) {
  return static_cast<uint32_t>((uint64_t{hash} * total) >> 32);
}

// murmur3-32 with seed 0 of salt ":" key, projected to kBuckets. Salt up to limits::kMaxNameBytes, key up to
// limits::kMaxIdentifierBytes.
uint32_t bucket_of(std::string_view salt, std::string_view key);

}  // namespace weir::routing
