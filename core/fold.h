// The mixing step of the hashes of names and of tenant images.
#pragma once

#include <cstdint>

namespace weir::core {

// Folded 64 x 64 -> 128 bit multiplication: every input bit reaches every output bit.
constexpr uint64_t fold(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

}  // namespace weir::core
