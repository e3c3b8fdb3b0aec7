#include "net/http/header_id.h"

#include <array>
#include <cstring>
#include <utility>

#include "net/http/scan.h"

namespace weir::net {
namespace {

constexpr std::string_view kNames[kHeaderIdCount] = {
    "",
#define X(enumerator, name) name,
    WEIR_HEADER_TABLE(X)
#undef X
        kWeirAttributePrefix,
    "x-weir-",
    "x-ratelimit-",
    "openai-",
};

constexpr size_t kFirstPrefix = static_cast<size_t>(HeaderId::weir_attribute);
constexpr size_t kMinHashed = 4;  // shorter names are compared one by one
constexpr size_t kMaxHashed = 24;

// Bytes of a name as little-endian words, whatever the machine, in lower case: OR 0x20 maps upper-case
// letters to lower-case ones and leaves digits and '-' as they are. Other token characters may collide with
// each other, but not with the letters, digits and '-' that known names consist of.
template <class Word>
constexpr Word folded_word(const uint8_t* bytes) {
  Word word = 0;
  if
    consteval {
      for (size_t i = 0; i < sizeof(Word); ++i) word |= static_cast<Word>(bytes[i]) << (8 * i);
    }
  else {
    std::memcpy(&word, bytes, sizeof(word));
    if constexpr (std::endian::native == std::endian::big) {
      word = sizeof(Word) == 8 ? static_cast<Word>(__builtin_bswap64(word))
                               : static_cast<Word>(__builtin_bswap32(static_cast<uint32_t>(word)));
    }
  }
  return word | static_cast<Word>(0x2020202020202020u);
}

constexpr uint64_t word_of(std::string_view text) {
  uint8_t bytes[8] = {};
  for (size_t i = 0; i < text.size() && i < 8; ++i) bytes[i] = static_cast<uint8_t>(text[i]);
  uint64_t word = 0;
  for (size_t i = 0; i < 8; ++i) word |= static_cast<uint64_t>(bytes[i]) << (8 * i);
  return word;
}

constexpr unsigned kSlotBits = 8;

// Multipliers found by trial: no two known names share a slot (checked below).
constexpr size_t slot_of(uint32_t first_four, uint32_t last_four, size_t size, uint32_t multiplier) {
  const uint32_t mixed =
      (first_four ^ (last_four << 3 | last_four >> 29)) + static_cast<uint32_t>(size) * 0x9e3779b9u;
  return (mixed * multiplier) >> (32 - kSlotBits);
}

struct Table {
  bool perfect = true;
  std::array<uint8_t, 1u << kSlotBits> slots{};  // id, or 0
};

consteval Table make_table(uint32_t multiplier) {
  Table table;
  for (size_t id = 1; id < kFirstPrefix; ++id) {
    const std::string_view name = kNames[id];
    if (name.size() < kMinHashed) continue;
    uint8_t bytes[kMaxHashed] = {};
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

constexpr uint32_t kMultiplier = find_multiplier();
constexpr Table kTable = make_table(kMultiplier);

// A known name in the overlapping words that equality is decided by.
struct Known {
  uint64_t first = 0;   // bytes [0, 8), or [0, 4) and the last four
  uint64_t middle = 0;  // bytes [8, 16) if longer than 16
  uint64_t last = 0;    // the last eight
  size_t size = 0;
};

constexpr std::array<Known, kFirstPrefix> kKnown = [] {
  std::array<Known, kFirstPrefix> known{};
  for (size_t id = 1; id < kFirstPrefix; ++id) {
    const std::string_view name = kNames[id];
    Known& entry = known[id];
    entry.size = name.size();
    if (name.size() >= 8) {
      entry.first = word_of(name.substr(0, 8));
      entry.last = word_of(name.substr(name.size() - 8));
      if (name.size() > 16) entry.middle = word_of(name.substr(8, 8));
    } else if (name.size() >= kMinHashed) {
      entry.first = word_of(name.substr(0, 4)) | word_of(name.substr(name.size() - 4)) << 32;
    }
  }
  return known;
}();

static_assert(
    [] {
      for (size_t id = 1; id < kFirstPrefix; ++id)
        if (kNames[id].size() > kMaxHashed) return false;
      return true;
    }(),
    "equality compares three words at most");

constexpr uint64_t kSevenBytes = 0x00ff'ffff'ffff'ffffu;

// `first` is the first word of a name of eight bytes or more.
HeaderId prefix_id(const uint8_t* name, size_t size, uint64_t first) {
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

}  // namespace

HeaderId header_id(const uint8_t* name, size_t size) {
  if (size < kMinHashed)
    return size == 2 && folded(name[0]) == 't' && folded(name[1]) == 'e' ? HeaderId::te : HeaderId::other;

  const uint32_t first_four = folded_word<uint32_t>(name);
  const uint32_t last_four = folded_word<uint32_t>(name + size - 4);
  const uint8_t candidate = kTable.slots[slot_of(first_four, last_four, size, kMultiplier)];
  const Known& known = kKnown[candidate];
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

HeaderId header_id(std::string_view name) {
  return header_id(reinterpret_cast<const uint8_t*>(name.data()), name.size());
}

std::string_view header_name(HeaderId id) {
  return kNames[std::to_underlying(id)];
}

}  // namespace weir::net
