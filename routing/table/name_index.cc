#include "routing/table/name_index.h"

#include "core/fold.h"

namespace weir::routing {
namespace {

template <typename Word>
uint64_t load(const char* from) {
  Word word;
  std::memcpy(&word, from, sizeof(word));
  return word;
}

// Odd, half of the bits set.
constexpr uint64_t kFirst = 0x9e3779b97f4a7c15;
constexpr uint64_t kSecond = 0xd1b54a32d192ed03;

}  // namespace

uint64_t hash_name(std::string_view name) {
  const char* p = name.data();
  const size_t length = name.size();
  uint64_t state = kFirst;
  uint64_t low = 0, high = 0;
  if (length >= 8) {
    size_t left = length;
    for (; left > 16; left -= 16, p += 16)
      state = core::fold(load<uint64_t>(p) ^ kSecond, load<uint64_t>(p + 8) ^ state);
    const char* end = name.data() + length;
    // The last 1..16 bytes, overlapping what came before where fewer are left.
    low = load<uint64_t>(length >= 16 ? end - 16 : name.data());
    high = load<uint64_t>(end - 8);
  } else if (length >= 4) {
    low = load<uint32_t>(p);
    high = load<uint32_t>(p + length - 4);
  } else if (length > 0) {
    const auto byte = [&](size_t at) { return static_cast<uint64_t>(static_cast<unsigned char>(p[at])); };
    low = byte(0) << 16 | byte(length / 2) << 8 | byte(length - 1);
  }
  return core::fold(core::fold(low ^ kSecond, high ^ state), kFirst ^ length);
}

uint64_t hash_digest(const Digest& digest) {
  std::array<uint64_t, 4> words;
  std::memcpy(words.data(), digest.data(), digest.size());
  return core::fold(core::fold(words[0] ^ kFirst, words[1] ^ kSecond) ^ words[2], words[3] ^ kFirst);
}

}  // namespace weir::routing
