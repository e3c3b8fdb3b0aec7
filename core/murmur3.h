// MurmurHash3_x86_32, which places a sticky key on a flag's split. Chosen not for strength but because flag
// services agree on it: the same salt and key land in the same bucket here and elsewhere.
//
// The text hashed is salt ":" key; the pieces are fed one after the other, never joined in memory. A flag's
// salt can be fed once when the table is compiled and the state copied for every request.
//
// Source: Austin Appleby, SMHasher (public domain); vectors of open-feature/flagd-testbed in the test.
// Values: any thread.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace weir::core {

class Murmur3 {
 public:
  explicit Murmur3(uint32_t seed = 0) : hash_(seed) {}

  // Appends bytes to the input. At most 4 GiB in all, as in the original.
  void update(std::string_view bytes) {
    length_ += static_cast<uint32_t>(bytes.size());
    const char* position = bytes.data();
    size_t left = bytes.size();
    while (pending_bytes_ != 0 && left > 0) {  // complete the word that the last piece began
      pending_ |= uint32_t{static_cast<uint8_t>(*position++)} << (8 * pending_bytes_);
      --left;
      if (++pending_bytes_ == 4) {
        mix(pending_);
        pending_ = 0;
        pending_bytes_ = 0;
      }
    }
    for (; left >= 4; left -= 4, position += 4) {
      static_assert(std::endian::native == std::endian::little);
      uint32_t word = 0;
      std::memcpy(&word, position, sizeof(word));
      mix(word);
    }
    for (; left > 0; --left)
      pending_ |= uint32_t{static_cast<uint8_t>(*position++)} << (8 * pending_bytes_++);
  }

  // The hash of everything appended so far; more may follow.
  uint32_t finish() const {
    uint32_t hash = hash_;
    if (pending_bytes_ != 0) hash ^= scramble(pending_);
    hash ^= length_;
    hash ^= hash >> 16;
    hash *= 0x85ebca6b;
    hash ^= hash >> 13;
    hash *= 0xc2b2ae35;
    hash ^= hash >> 16;
    return hash;
  }

 private:
  static uint32_t scramble(uint32_t word) { return std::rotl(word * 0xcc9e2d51, 15) * 0x1b873593; }
  void mix(uint32_t word) { hash_ = std::rotl(hash_ ^ scramble(word), 13) * 5 + 0xe6546b64; }

  uint32_t hash_;
  uint32_t length_ = 0;
  uint32_t pending_ = 0;        // the first bytes of an incomplete word
  uint32_t pending_bytes_ = 0;  // 0-3
};

inline uint32_t murmur3_32(std::string_view bytes, uint32_t seed = 0) {
  Murmur3 state(seed);
  state.update(bytes);
  return state.finish();
}

}  // namespace weir::core
