// The look-up behind header_id(), in line for the head parser, which does it once per field. Internal:
// everybody else calls header_id().
//
// A perfect hash over the length and the first and last four bytes of a name picks the only candidate; two or
// three words decide whether it is the one. All tables are made when compiled, from WEIR_HEADER_TABLE.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "net/http/header_id.h"
#include "net/http/scan.h"

namespace weir::net {

inline constexpr std::string_view kHeaderNames[kHeaderIdCount] = {
    "",
#define X(enumerator, name) name,
    WEIR_HEADER_TABLE(X)
#undef X
        kWeirAttributePrefix,
    "x-weir-",
    "x-ratelimit-",
    "openai-",
};

inline constexpr size_t kFirstPrefixId = static_cast<size_t>(HeaderId::weir_attribute);
inline constexpr size_t kMinHashedName = 4;  // shorter names are compared one by one
inline constexpr size_t kMaxHashedName = 24;

// Bytes of a name as little-endian words, whatever the machine, in lower case: OR 0x20 maps upper-case
// letters to lower-case ones and leaves digits and '-' as they are. Other token characters may collide with
// each other, but not with the letters, digits and '-' that known names consist of.
template <class Word>
constexpr Word folded_word(const uint8_t* bytes) {
  Word word = 0;
  if (std::is_constant_evaluated()) {
    for (size_t i = 0; i < sizeof(Word); ++i) word |= static_cast<Word>(bytes[i]) << (8 * i);
  } else {
    std::memcpy(&word, bytes, sizeof(word));
    if constexpr (std::endian::native == std::endian::big) {
      word = sizeof(Word) == 8 ? static_cast<Word>(__builtin_bswap64(word))
                               : static_cast<Word>(__builtin_bswap32(static_cast<uint32_t>(word)));
    }
  }
  return word | static_cast<Word>(0x2020202020202020u);
}

consteval uint64_t word_of(std::string_view text) {
  uint8_t bytes[8] = {};
  for (size_t i = 0; i < text.size() && i < 8; ++i) bytes[i] = static_cast<uint8_t>(text[i]);
  uint64_t word = 0;
  for (size_t i = 0; i < 8; ++i) word |= static_cast<uint64_t>(bytes[i]) << (8 * i);
  return word;
}

inline constexpr unsigned kHeaderSlotBits = 8;

// Multipliers found by trial: no two known names share a slot (checked below).
constexpr size_t slot_of(uint32_t first_four, uint32_t last_four, size_t size, uint32_t multiplier) {
  const uint32_t mixed =
      (first_four ^ (last_four << 3 | last_four >> 29)) + static_cast<uint32_t>(size) * 0x9e3779b9u;
  return (mixed * multiplier) >> (32 - kHeaderSlotBits);
}

struct HeaderSlots {
  bool perfect = true;
  std::array<uint8_t, 1u << kHeaderSlotBits> slots{};  // id, or 0
};

consteval HeaderSlots make_table(uint32_t multiplier) {
  HeaderSlots table;
  for (size_t id = 1; id < kFirstPrefixId; ++id) {
    const std::string_view name = kHeaderNames[id];
    if (name.size() < kMinHashedName) continue;
    uint8_t bytes[kMaxHashedName] = {};
    for (size_t i = 0; i < name.size(); ++i) bytes[i] = static_cast<uint8_t>(name[i]);
    const size_t slot = slot_of(folded_word<uint32_t>(bytes), folded_word<uint32_t>(bytes + name.size() - 4),
                                name.size(), multiplier);
    if (table.slots[slot] != 0) table.perfect = false;
    table.slots[slot] = static_cast<uint8_t>(id);
  }
  return table;
}

consteval uint32_t find_multiplier() {
  for (uint32_t multiplier = 0x9e3779b1u;; multiplier += 2)
    if (make_table(multiplier).perfect) return multiplier;
}

inline constexpr uint32_t kHeaderMultiplier = find_multiplier();
inline constexpr HeaderSlots kHeaderSlots = make_table(kHeaderMultiplier);

// A known name in the overlapping words that equality is decided by.
struct KnownHeader {
  uint64_t first = 0;   // bytes [0, 8), or [0, 4) and the last four
  uint64_t middle = 0;  // bytes [8, 16) if longer than 16
  uint64_t last = 0;    // the last eight
  size_t size = 0;
};

inline constexpr std::array<KnownHeader, kFirstPrefixId> kKnownHeaders = []() consteval {
  std::array<KnownHeader, kFirstPrefixId> known{};
  for (size_t id = 1; id < kFirstPrefixId; ++id) {
    const std::string_view name = kHeaderNames[id];
    KnownHeader& entry = known[id];
    entry.size = name.size();
    if (name.size() >= 8) {
      entry.first = word_of(name.substr(0, 8));
      entry.last = word_of(name.substr(name.size() - 8));
      if (name.size() > 16) entry.middle = word_of(name.substr(8, 8));
    } else if (name.size() >= kMinHashedName) {
      entry.first = word_of(name.substr(0, 4)) | word_of(name.substr(name.size() - 4)) << 32;
    }
  }
  return known;
}
();

static_assert(
    [] {
      for (size_t id = 1; id < kFirstPrefixId; ++id)
        if (kHeaderNames[id].size() > kMaxHashedName) return false;
      return true;
    }(),
    "equality compares three words at most");

inline constexpr uint64_t kSevenBytes = 0x00ff'ffff'ffff'ffffu;

// `first` is the first word of a name of eight bytes or more.
inline HeaderId prefix_id(const uint8_t* name, size_t size, uint64_t first) {
  if ((first & kSevenBytes) == word_of("x-weir-")) {
    if (size > kWeirAttributePrefix.size() &&
        folded_word<uint64_t>(name + 4) == word_of(kWeirAttributePrefix.substr(4)))
      return HeaderId::weir_attribute;
    return HeaderId::weir_other;
  }
  if ((first & kSevenBytes) == word_of("openai-")) return HeaderId::openai;
  if (first == word_of("x-rateli") && size >= 12 &&
      folded_word<uint32_t>(name + 8) == static_cast<uint32_t>(word_of("mit-")))
    return HeaderId::rate_limit;
  return HeaderId::other;
}

// As header_id().
[[gnu::always_inline]] inline HeaderId look_up_header_id(const uint8_t* name, size_t size) {
  if (size < kMinHashedName)
    return size == 2 && folded(name[0]) == 't' && folded(name[1]) == 'e' ? HeaderId::te : HeaderId::other;

  const uint32_t first_four = folded_word<uint32_t>(name);
  const uint32_t last_four = folded_word<uint32_t>(name + size - 4);
  const uint8_t candidate = kHeaderSlots.slots[slot_of(first_four, last_four, size, kHeaderMultiplier)];
  const KnownHeader& known = kKnownHeaders[candidate];
  if (size < 8) {
    const uint64_t both = first_four | static_cast<uint64_t>(last_four) << 32;
    return known.size == size && known.first == both ? HeaderId{candidate} : HeaderId::other;
  }
  const uint64_t first = folded_word<uint64_t>(name);
  if (known.size == size && known.first == first && known.last == folded_word<uint64_t>(name + size - 8) &&
      (size <= 16 || known.middle == folded_word<uint64_t>(name + 8)))
    return HeaderId{candidate};
  return prefix_id(name, size, first);
}

}  // namespace weir::net
