#include "routing/inspect/field_name.h"

#include <array>
#include <bit>
#include <cstring>
#include <iterator>

namespace weir::routing {
namespace {

constexpr std::string_view kNames[] = {
#define X(name) #name,
    WEIR_FIELD_TABLE(X)
#undef X
};
static_assert(std::size(kNames) == kFieldNameCount);

constexpr uint64_t kLowerCase = 0x2020'2020'2020'2020;
constexpr uint64_t kHighBits = 0x8080'8080'8080'8080;

// Compile time cannot copy bytes into a word, run time should not do it one by one.
template <typename Word>
constexpr Word load(const char* at) {
  Word word = 0;
  if
    consteval {
      for (size_t i = 0; i < sizeof word; ++i) word |= Word{static_cast<uint8_t>(at[i])} << (8 * i);
    }
  else {
    std::memcpy(&word, at, sizeof word);
  }
  return word;
}
static_assert(std::endian::native == std::endian::little);

// As a == b, inline for the lengths that names have.
bool same_bytes(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  const size_t size = a.size();
  if (size > 16) return std::memcmp(a.data(), b.data(), size) == 0;
  if (size >= 8) {
    return load<uint64_t>(a.data()) == load<uint64_t>(b.data()) &&
           load<uint64_t>(a.data() + size - 8) == load<uint64_t>(b.data() + size - 8);
  }
  if (size >= 4) {
    return load<uint32_t>(a.data()) == load<uint32_t>(b.data()) &&
           load<uint32_t>(a.data() + size - 4) == load<uint32_t>(b.data() + size - 4);
  }
  for (size_t i = 0; i < size; ++i) {
    if (a[i] != b[i]) return false;
  }
  return true;
}

constexpr uint64_t mix(uint64_t state, uint64_t word) {
  state = (state ^ word) * 0x9e37'79b9'7f4a'7c15;
  return state ^ state >> 29;
}

// Setting bit 5 of each byte folds ASCII letters (and makes a few signs equal, which same_key tells apart).
// `seen` collects all bytes, to find out whether they are ASCII.
constexpr uint32_t hash_words(std::string_view key, uint64_t& seen) {
  const char* at = key.data();
  const size_t size = key.size();
  uint64_t state = size;
  if (size >= 8) {
    for (size_t i = 0; i + 8 < size; i += 8) {
      const uint64_t word = load<uint64_t>(at + i);
      seen |= word;
      state = mix(state, word | kLowerCase);
    }
    const uint64_t word = load<uint64_t>(at + size - 8);
    seen |= word;
    state = mix(state, word | kLowerCase);
  } else {
    uint64_t word = 0;
    if (size >= 4) {
      word = load<uint32_t>(at) | uint64_t{load<uint32_t>(at + size - 4)} << 32;
    } else if (size > 0) {
      word = static_cast<uint8_t>(at[0]) | uint64_t{static_cast<uint8_t>(at[size / 2])} << 8 |
             uint64_t{static_cast<uint8_t>(at[size - 1])} << 16;
    }
    seen |= word;
    state = mix(state, word | kLowerCase);
  }
  return static_cast<uint32_t>(state >> 32);
}

// Takes one folded byte off the front of `rest`.
char take_folded(std::string_view& rest) {
  const char first = rest.front();
  if (first >= 'A' && first <= 'Z') {
    rest.remove_prefix(1);
    return static_cast<char>(first | 0x20);
  }
  if (rest.starts_with("\u017f")) {
    rest.remove_prefix(2);
    return 's';
  }
  if (rest.starts_with("\u212a")) {
    rest.remove_prefix(3);
    return 'k';
  }
  rest.remove_prefix(1);
  return first;
}

// ---- the known names, by their bytes ----

// A name as words, zero after its end: two keys of the same size are equal if their words are.
struct Words {
  uint64_t word[3];
};
constexpr size_t kMaxKnownBytes = sizeof(Words);

// The first `size` of 8 bytes.
constexpr uint64_t head_mask(size_t size) {
  return size >= 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * size)) - 1;
}

// Perfect for the names in the table (asserted below): no two share a slot.
constexpr unsigned kSlots = 128;
constexpr unsigned quick_slot(uint64_t first_word, size_t size) {
  return static_cast<unsigned>((first_word ^ size) * 0xf112'cfd0'37b5'dbad >> 57);
}

struct Slot {
  Words words{};
  uint32_t size = 0;
  uint32_t hash = 0;
  FieldName name = FieldName::other;
};

constexpr std::array<Slot, kSlots> kQuick = [] {
  std::array<Slot, kSlots> table{};
  for (unsigned i = 0; i < kFieldNameCount; ++i) {
    const std::string_view name = kNames[i];
    if (name.size() > kMaxKnownBytes) throw "a known name is longer than Words";
    Words words{};
    for (size_t at = 0; at < name.size(); ++at) {
      words.word[at / 8] |= uint64_t{static_cast<uint8_t>(name[at])} << (8 * (at % 8));
    }
    Slot& slot = table[quick_slot(words.word[0], name.size())];
    if (slot.name != FieldName::other) throw "two names share a slot: change the factor in quick_slot";
    uint64_t seen = 0;
    slot = {words, static_cast<uint32_t>(name.size()), hash_words(name, seen), static_cast<FieldName>(i)};
  }
  return table;
}();

// The names by key_hash, open addressing.
constexpr std::array<FieldName, kSlots> kByHash = [] {
  std::array<FieldName, kSlots> table{};
  table.fill(FieldName::other);
  for (unsigned i = 0; i < kFieldNameCount; ++i) {
    uint64_t seen = 0;
    unsigned at = hash_words(kNames[i], seen) % kSlots;
    while (table[at] != FieldName::other) at = (at + 1) % kSlots;
    table[at] = static_cast<FieldName>(i);
  }
  return table;
}();

}  // namespace

const char* to_string(FieldName name) {
  return name == FieldName::other ? "" : kNames[static_cast<unsigned>(name)].data();
}

uint32_t key_hash(std::string_view key) {
  uint64_t seen = 0;
  const uint32_t hash = hash_words(key, seen);
  if ((seen & kHighBits) == 0) [[likely]]
    return hash;
  std::array<char, core::limits::kMaxKeyBytes> folded;
  size_t size = 0;
  for (std::string_view rest = key.substr(0, folded.size()); !rest.empty();)
    folded[size++] = take_folded(rest);
  return hash_words({folded.data(), size}, seen);
}

bool same_key(std::string_view a, std::string_view b) {
  while (!a.empty() && !b.empty()) {
    if (take_folded(a) != take_folded(b)) return false;
  }
  return a.empty() && b.empty();
}

NameMatch match_whole_name(std::string_view key, std::string_view name) {
  if (same_bytes(key, name)) return NameMatch::exact;
  if (key.size() < name.size()) return NameMatch::none;  // folding only shortens
  return same_key(key, name) ? NameMatch::differs_in_case : NameMatch::none;
}

FieldName exact_field_name(std::string_view key, uint32_t& hash) {
  const size_t size = key.size();
  if (size > kMaxKnownBytes || size == 0) return FieldName::other;
  const uint64_t first = load<uint64_t>(key.data()) & head_mask(size);
  const Slot& slot = kQuick[quick_slot(first, size)];
  if (slot.words.word[0] != first || slot.size != size) return FieldName::other;
  if (size > 8) {
    const uint64_t second = load<uint64_t>(key.data() + 8) & head_mask(size - 8);
    if (slot.words.word[1] != second) return FieldName::other;
    if (size > 16) {
      const uint64_t third = load<uint64_t>(key.data() + 16) & head_mask(size - 16);
      if (slot.words.word[2] != third) return FieldName::other;
    }
  }
  hash = slot.hash;
  return slot.name;
}

FieldName folded_field_name(std::string_view key, uint32_t hash) {
  for (unsigned at = hash % kSlots; kByHash[at] != FieldName::other; at = (at + 1) % kSlots) {
    if (same_key(key, kNames[static_cast<unsigned>(kByHash[at])])) return kByHash[at];
  }
  return FieldName::other;
}

}  // namespace weir::routing
