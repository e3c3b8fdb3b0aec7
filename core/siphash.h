// SipHash-2-4: a keyed hash for short inputs. Whoever does not know the key cannot make collisions (tables
// filled from outside) nor find an input from its hash. API keys are looked up by their 128-bit SipHash under
// a key drawn at start-up, which the table's stored hashes are not; time depends on the length alone.
//
// Source: Aumasson & Bernstein, "SipHash: a fast short-input PRF" (2012), and its reference code for the
// 128-bit variant. Pure functions: any thread.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace weir::core {

struct SipKey {
  uint64_t low = 0;   // bytes 0-7, little-endian
  uint64_t high = 0;  // bytes 8-15
};

struct Hash128 {
  uint64_t low = 0;   // bytes 0-7 of the reference output, little-endian
  uint64_t high = 0;  // bytes 8-15

  friend bool operator==(Hash128, Hash128) = default;
};

// The state of one hash; use siphash64() and siphash128().
class SipState {
 public:
  enum class Output : uint8_t { bits64, bits128 };

  SipState(SipKey key, Output output)
      : v0_(key.low ^ 0x736f6d6570736575),
        v1_(key.high ^ 0x646f72616e646f6d),
        v2_(key.low ^ 0x6c7967656e657261),
        v3_(key.high ^ 0x7465646279746573) {
    if (output == Output::bits128) v1_ ^= 0xee;
  }

  // Takes the whole input, including its padding and length.
  void absorb(std::string_view bytes) {
    const char* position = bytes.data();
    for (size_t words = bytes.size() / 8; words > 0; --words, position += 8) compress(load(position));
    const size_t rest = bytes.size() % 8;
    uint64_t last = uint64_t{bytes.size()} << 56;
    if (rest != 0) {
      if (bytes.size() >= 8) {
        // Load the input's last eight bytes and shift out those already taken: no branch per byte.
        last |= load(position + rest - 8) >> (64 - 8 * rest);
      } else {
        for (size_t i = 0; i < rest; ++i) last |= uint64_t{static_cast<uint8_t>(position[i])} << (8 * i);
      }
    }
    compress(last);
  }

  // Mixes `marker` in and answers the next 64 bits of output.
  uint64_t finish_v2(uint8_t marker) {
    v2_ ^= marker;
    return squeeze();
  }
  uint64_t finish_v1(uint8_t marker) {
    v1_ ^= marker;
    return squeeze();
  }

 private:
  static uint64_t load(const char* bytes) {
    static_assert(std::endian::native == std::endian::little);
    uint64_t word = 0;
    std::memcpy(&word, bytes, sizeof(word));
    return word;
  }

  void round() {
    v0_ += v1_;
    v2_ += v3_;
    v1_ = std::rotl(v1_, 13) ^ v0_;
    v3_ = std::rotl(v3_, 16) ^ v2_;
    v0_ = std::rotl(v0_, 32);
    v2_ += v1_;
    v0_ += v3_;
    v1_ = std::rotl(v1_, 17) ^ v2_;
    v3_ = std::rotl(v3_, 21) ^ v0_;
    v2_ = std::rotl(v2_, 32);
  }

  void compress(uint64_t word) {
    v3_ ^= word;
    round();
    round();
    v0_ ^= word;
  }

  uint64_t squeeze() {
    for (int i = 0; i < 4; ++i) round();
    return v0_ ^ v1_ ^ v2_ ^ v3_;
  }

  uint64_t v0_;
  uint64_t v1_;
  uint64_t v2_;
  uint64_t v3_;
};

// 64 bits: for hash tables.
inline uint64_t siphash64(SipKey key, std::string_view bytes) {
  SipState state(key, SipState::Output::bits64);
  state.absorb(bytes);
  return state.finish_v2(0xff);
}

// 128 bits: where two inputs must never be taken for one another.
inline Hash128 siphash128(SipKey key, std::string_view bytes) {
  SipState state(key, SipState::Output::bits128);
  state.absorb(bytes);
  Hash128 hash;
  hash.low = state.finish_v2(0xee);
  hash.high = state.finish_v1(0xdd);
  return hash;
}

}  // namespace weir::core
