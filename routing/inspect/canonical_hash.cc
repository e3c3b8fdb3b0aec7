#include "routing/inspect/canonical_hash.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "core/assert.h"
#include "routing/inspect/json_index.h"

namespace weir::routing {
namespace {

constexpr bool is_blank(uint8_t byte) {
  return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

class SliceHash {
 public:
  explicit SliceHash(core::SipKey key) : key_(key) {}

  void add(const uint8_t* bytes, size_t count) {
    if (used_ != 0) {
      const size_t fits = std::min(count, slice_.size() - used_);
      std::memcpy(slice_.data() + used_, bytes, fits);
      used_ += fits;
      bytes += fits;
      count -= fits;
      if (used_ < slice_.size()) return;
      take(slice_.data(), slice_.size());
      used_ = 0;
    }
    take_slices(bytes, count);
    std::memcpy(slice_.data(), bytes, count);
    used_ = count;
  }
  // Adds the last bytes. The last slice is shorter than all others, and may be empty: so the length counts.
  core::Hash128 end(const uint8_t* bytes, size_t count) {
    if (used_ != 0) {
      add(bytes, count);
      take(slice_.data(), used_);
    } else {
      take_slices(bytes, count);
      take(bytes, count);
    }
    return {key_.low, key_.high};
  }

 private:
  void take_slices(const uint8_t*& bytes, size_t& count) {
    for (; count >= slice_.size(); bytes += slice_.size(), count -= slice_.size()) take(bytes, slice_.size());
  }
  void take(const uint8_t* bytes, size_t count) {
    const core::Hash128 hash = core::siphash128(key_, {reinterpret_cast<const char*>(bytes), count});
    key_ = {hash.low, hash.high};
  }

  core::SipKey key_;
  size_t used_ = 0;
  std::array<uint8_t, kHashSlice> slice_;
};

}  // namespace

core::Hash128 hash_tokens(core::SipKey key, std::span<const uint8_t> json) {
  SliceHash hash(key);
  TokenIndex index(json);
  size_t begin = 0;  // of the bytes without a blank between tokens that have not been added yet
  bool in_string = false;
  // Of two neighbours, what lies between them: the later one waits for the next batch.
  uint32_t kept = 0;
  bool first = true;
  while (index.next_batch(kept)) {
    const uint32_t* positions = index.positions();
    if (first) begin = positions[0];
    first = false;
    // At the end positions()[count()] is the document's.
    const uint32_t pairs = index.at_end() ? index.count() : index.count() - 1;
    for (uint32_t i = 0; i < pairs; ++i) {
      if (json[positions[i]] == '"') in_string = !in_string;
      const uint32_t next = positions[i + 1];
      if (in_string || !is_blank(json[next - 1])) continue;
      uint32_t end = next - 1;
      while (is_blank(json[end - 1])) --end;  // the token itself is none
      hash.add(json.data() + begin, end - begin);
      begin = next;
    }
    kept = index.at_end() ? 0 : 1;
    if (index.at_end()) break;
  }
  WEIR_ASSERT(!index.faulty());  // it was valid
  return hash.end(json.data() + begin, json.size() - begin);
}

}  // namespace weir::routing
