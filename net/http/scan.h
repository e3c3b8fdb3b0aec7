// Finding bytes sixteen at a time, for the parsers of this folder. Nothing here reads outside the given
// range: the last bytes of a range are covered by a load that ends where the range ends and overlaps bytes
// already seen, never by one that starts inside and runs past the end.
//
// Written with the vector extension that g++ and clang share; only the step from lanes to bits differs per
// machine (SSE2 on x86-64, NEON on ARM64, plain code elsewhere).
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace weir::net {

// ---- character classes ------------------------------------------------------------------------------

// RFC 9110 section 5.6.2.
inline constexpr std::array<bool, 256> kTokenCharacters = [] {
  std::array<bool, 256> table{};
  for (unsigned c = '0'; c <= '9'; ++c) table[c] = true;
  for (unsigned c = 'a'; c <= 'z'; ++c) table[c] = true;
  for (unsigned c = 'A'; c <= 'Z'; ++c) table[c] = true;
  for (const char c : {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~'})
    table[static_cast<unsigned char>(c)] = true;
  return table;
}();

inline bool is_token_character(uint8_t byte) {
  return kTokenCharacters[byte];
}

// True for a token: at least one byte, all of them token characters.
inline bool is_token(std::string_view text) {
  for (const char c : text)
    if (!is_token_character(static_cast<uint8_t>(c))) return false;
  return !text.empty();
}

// Optional white space of RFC 9110 section 5.6.3.
inline bool is_white_space(uint8_t byte) {
  return byte == ' ' || byte == '\t';
}

// Lower case for letters; other bytes may change, so only for comparing against lower-case letters.
inline uint8_t folded(uint8_t byte) {
  return byte | 0x20;
}

// ---- sixteen bytes ----------------------------------------------------------------------------------

using Lanes = uint8_t __attribute__((vector_size(16)));
using SignedLanes = int8_t __attribute__((vector_size(16)));

inline Lanes load_lanes(const uint8_t* bytes) {
  Lanes lanes;
  std::memcpy(&lanes, bytes, sizeof(lanes));
  return lanes;
}

// Bit i is set if lane i is; each lane must be 0 or 0xff.
inline uint32_t lane_bits(Lanes lanes) {
#if defined(__SSE2__)
  return static_cast<uint32_t>(_mm_movemask_epi8(reinterpret_cast<__m128i>(lanes)));
#elif defined(__aarch64__)
  const Lanes weights = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const auto weighted = reinterpret_cast<uint8x16_t>(lanes & weights);
  return static_cast<uint32_t>(vaddv_u8(vget_low_u8(weighted))) |
         static_cast<uint32_t>(vaddv_u8(vget_high_u8(weighted))) << 8;
#else
  uint32_t bits = 0;
  for (int i = 0; i < 16; ++i) bits |= static_cast<uint32_t>(lanes[i] & 1) << i;
  return bits;
#endif
}

// Lanes below `bound` as signed numbers. Written with the operator that x86 has, which saves an inversion.
inline Lanes below(Lanes lanes, int8_t bound) {
  return reinterpret_cast<Lanes>((SignedLanes{} + bound) > reinterpret_cast<SignedLanes>(lanes));
}

// A class of bytes gives two predicates that agree: of(lanes) and of(byte).

// What ends or spoils a run of plain text: everything but 0x20–0x7e. One addition moves DEL and the bytes
// from 0x80 below zero, so that one signed comparison finds them together with the controls.
struct NotPlainText {
  static Lanes of(Lanes lanes) { return below(lanes + 1, 0x21); }
  static bool of(uint8_t byte) { return byte < 0x20 || byte >= 0x7f; }
};

// Everything but 0x21–0x7e.
struct NotVisible {
  static Lanes of(Lanes lanes) { return below(lanes + 1, 0x22); }
  static bool of(uint8_t byte) { return byte <= 0x20 || byte >= 0x7f; }
};

// What a request target may not hold: everything but 0x21–0x7e, and '#'.
struct NotTarget {
  static Lanes of(Lanes lanes) { return NotVisible::of(lanes) | reinterpret_cast<Lanes>(lanes == '#'); }
  static bool of(uint8_t byte) { return NotVisible::of(byte) || byte == '#'; }
};

// Everything but letters, digits and '-': the end of nearly every field name. The few other token characters
// are left to the caller.
struct NotCommonName {
  static Lanes of(Lanes lanes) {
    const Lanes letter = reinterpret_cast<Lanes>(((lanes | 0x20) - 'a') <= 25);
    const Lanes digit = reinterpret_cast<Lanes>((lanes - '0') <= 9);
    const Lanes dash = reinterpret_cast<Lanes>(lanes == '-');
    return ~(letter | digit | dash);
  }
  static bool of(uint8_t byte) {
    return !((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z') && !(byte >= '0' && byte <= '9') && byte != '-';
  }
};

// Everything but what host names and IPv4 addresses in use consist of.
struct NotHostName {
  static Lanes of(Lanes lanes) {
    return NotCommonName::of(lanes) & reinterpret_cast<Lanes>(lanes != '.') &
           reinterpret_cast<Lanes>(lanes != '_');
  }
  static bool of(uint8_t byte) { return NotCommonName::of(byte) && byte != '.' && byte != '_'; }
};

// CR and LF.
struct LineEnd {
  static Lanes of(Lanes lanes) {
    return reinterpret_cast<Lanes>(lanes == '\n') | reinterpret_cast<Lanes>(lanes == '\r');
  }
  static bool of(uint8_t byte) { return byte == '\n' || byte == '\r'; }
};

// Offset of the first byte of the class in [from, size), or size.
template <class Class>
inline size_t find_first(const uint8_t* bytes, size_t from, size_t size) {
  size_t at = from;
  // Long runs 64 at a time, one branch for four loads.
  for (; at + 64 <= size; at += 64) {
    const Lanes any = (Class::of(load_lanes(bytes + at)) | Class::of(load_lanes(bytes + at + 16))) |
                      (Class::of(load_lanes(bytes + at + 32)) | Class::of(load_lanes(bytes + at + 48)));
    if (lane_bits(any) != 0) break;
  }
  for (; at + 16 <= size; at += 16) {
    const uint32_t bits = lane_bits(Class::of(load_lanes(bytes + at)));
    if (bits != 0) return at + static_cast<size_t>(std::countr_zero(bits));
  }
  if (at == size) return size;
  if (size >= 16) {
    const uint32_t bits = lane_bits(Class::of(load_lanes(bytes + size - 16))) >> (at + 16 - size);
    return bits != 0 ? at + static_cast<size_t>(std::countr_zero(bits)) : size;
  }
  for (; at < size; ++at)
    if (Class::of(bytes[at])) return at;
  return size;
}

// Whether any of the bytes is of the class. Short runs are covered by two loads that overlap.
template <class Class>
inline bool holds_any(const uint8_t* bytes, size_t size) {
  if (size >= 16) return find_first<Class>(bytes, 0, size) != size;
  if (size >= 4) {
    uint64_t halves[2];
    if (size >= 8) {
      std::memcpy(&halves[0], bytes, 8);
      std::memcpy(&halves[1], bytes + size - 8, 8);
    } else {
      uint32_t first;
      uint32_t last;
      std::memcpy(&first, bytes, 4);
      std::memcpy(&last, bytes + size - 4, 4);
      halves[0] = halves[1] = uint64_t{last} << 32 | first;
    }
    Lanes lanes;
    std::memcpy(&lanes, halves, sizeof lanes);
    return lane_bits(Class::of(lanes)) != 0;
  }
  for (size_t at = 0; at < size; ++at)
    if (Class::of(bytes[at])) return true;
  return false;
}

// Enumerates every byte of a class in order, 64 at a time: the positions depend on each other only through
// one register of bits, not through loads, which lets the processor work on several lines at once.
template <class Class>
class Scanner {
 public:
  // Scans [from, size).
  Scanner(const uint8_t* bytes, uint32_t from, uint32_t size)
      : bytes_(bytes), size_(size), block_(from - 64) {}

  // Moves to the next byte of the class; false if there is none.
  [[gnu::always_inline]] bool next(uint32_t& at) {
    while (bits_ == 0) {
      block_ += 64;
      if (block_ >= size_) {
        block_ -= 64;
        return false;
      }
      bits_ = size_ - block_ >= 64 ? whole_block(bytes_ + block_) : last_block();
    }
    at = block_ + static_cast<uint32_t>(std::countr_zero(bits_));
    bits_ &= bits_ - 1;
    return true;
  }

  // Leaves out the next byte, which stands at `at` and is of the class.
  [[gnu::always_inline]] void skip(uint32_t at) {
    if (bits_ != 0)
      bits_ &= bits_ - 1;
    else
      block_ = at + 1 - 64;  // it would be the first of the next block
  }

  uint32_t size() const { return size_; }

 private:
  [[gnu::always_inline]] static uint64_t whole_block(const uint8_t* bytes) {
    const uint64_t b0 = lane_bits(Class::of(load_lanes(bytes)));
    const uint64_t b1 = lane_bits(Class::of(load_lanes(bytes + 16)));
    const uint64_t b2 = lane_bits(Class::of(load_lanes(bytes + 32)));
    const uint64_t b3 = lane_bits(Class::of(load_lanes(bytes + 48)));
    return (b0 | b1 << 16) | (b2 | b3 << 16) << 32;
  }

  // Fewer than 64 bytes are left.
  [[gnu::noinline]] uint64_t last_block() const {
    if (size_ >= 64) return whole_block(bytes_ + size_ - 64) >> (block_ + 64 - size_);
    uint64_t bits = 0;
    uint32_t at = block_;
    for (; at + 16 <= size_; at += 16)
      bits |= static_cast<uint64_t>(lane_bits(Class::of(load_lanes(bytes_ + at)))) << (at - block_);
    for (; at < size_; ++at) bits |= static_cast<uint64_t>(Class::of(bytes_[at])) << (at - block_);
    return bits;
  }

  const uint8_t* bytes_;
  uint32_t size_;
  uint32_t block_;  // offset of the bytes that bits_ is about; wraps below 0 before the first
  uint64_t bits_ = 0;
};

}  // namespace weir::net
