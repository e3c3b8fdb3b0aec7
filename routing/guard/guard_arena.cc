#include "routing/guard/guard_arena.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "core/assert.h"

namespace weir::routing {
namespace {

// Names come from the operator's table: no secret is needed against collisions, and the same key in every
// process makes a state's name the same after a restart.
constexpr core::SipKey kNameKey{.low = 0x7765697267756172, .high = 0x6c696e65732d6f66};
constexpr size_t kFirstBuckets = 1024;

}  // namespace

GuardArena::GuardArena(uint32_t max_lines)
    : max_lines_(std::max(max_lines, 1u)),
      memory_(size_t{max_lines_} * core::kCacheLineBytes),
      counts_memory_(size_t{max_lines_} * sizeof(std::atomic<uint32_t>)),
      held_(static_cast<std::atomic<uint32_t>*>(counts_memory_.data())),
      buckets_(kFirstBuckets) {
  WEIR_ASSERT(memory_.data() != nullptr && held_ != nullptr);
}

GuardArena::Bucket& GuardArena::bucket_of(core::Hash128 key) {
  size_t at = key.low & (buckets_.size() - 1);
  while (buckets_[at].line_plus_one != 0 && buckets_[at].key != key) at = (at + 1) & (buckets_.size() - 1);
  return buckets_[at];
}

std::optional<uint32_t> GuardArena::find(LineKind kind, uint8_t scope, std::string_view name,
                                         uint64_t detail) {
  std::string text(10, '\0');
  text[0] = static_cast<char>(kind);
  text[1] = static_cast<char>(scope);
  std::memcpy(&text[2], &detail, sizeof detail);
  text += name;
  const core::Hash128 key = core::siphash128(kNameKey, text);
  Bucket* bucket = &bucket_of(key);
  if (bucket->line_plus_one == 0) {
    uint32_t line = used_;
    if (used_ < max_lines_) {
      if ((size_t{used_} + 1) * 2 > buckets_.size()) {
        rebuild(buckets_.size() * 2);
        bucket = &bucket_of(key);
      }
      keys_.push_back(key);
      ++used_;
    } else {
      if (free_.empty()) take_back();
      if (free_.empty()) return std::nullopt;
      bucket = &bucket_of(key);
      line = free_.back();
      free_.pop_back();
      std::memset(static_cast<char*>(memory_.data()) + size_t{line} * core::kCacheLineBytes, 0,
                  core::kCacheLineBytes);
      keys_[line] = key;
    }
    *bucket = {key, line + 1};
  }
  const uint32_t line = bucket->line_plus_one - 1;
  held_[line].fetch_add(1, std::memory_order_relaxed);
  return line;
}

// Every line that no plan holds loses its name.
void GuardArena::take_back() {
  for (uint32_t line = 0; line < used_; ++line) {
    if (held_[line].load(std::memory_order_acquire) == 0) free_.push_back(line);
  }
  if (!free_.empty()) rebuild(buckets_.size());
}

void GuardArena::rebuild(size_t buckets) {
  buckets_.assign(buckets, {});
  for (uint32_t line = 0; line < used_; ++line) {
    const bool is_free = !free_.empty() && std::binary_search(free_.begin(), free_.end(), line);
    if (!is_free) bucket_of(keys_[line]) = {keys_[line], line + 1};
  }
}

}  // namespace weir::routing
