#include "routing/exchange/shadow_pair.h"

#include <algorithm>
#include <cstring>

#include "core/assert.h"

namespace weir::routing {

using core::limits::kMaxShadowTextBytes;

void ShadowSide::append(std::span<const uint8_t> more) {
  const auto fits = std::min<size_t>(more.size(), kMaxShadowTextBytes - size);
  if (fits > 0) std::memcpy(bytes + size, more.data(), fits);
  size += static_cast<uint32_t>(fits);
  truncated |= fits < more.size();
}

ShadowPairs::ShadowPairs() : memory_(size_t{kPairs} * 2 * kMaxShadowTextBytes), pairs_(kPairs) {
  WEIR_ASSERT(memory_.data() != nullptr);
}

ShadowPair* ShadowPairs::take() {
  std::optional<uint32_t> index;
  if (untouched_ < kPairs) {
    index = untouched_++;
  } else if (const uint32_t* given = free_.front()) {
    index = *given;
    free_.pop();
  }
  if (!index) return nullptr;
  ShadowPair& pair = pairs_[*index];
  pair = {};
  auto* bytes = static_cast<uint8_t*>(memory_.data()) + size_t{*index} * 2 * kMaxShadowTextBytes;
  pair.primary.bytes = bytes;
  pair.shadow.bytes = bytes + kMaxShadowTextBytes;
  return &pair;
}

void ShadowPairs::finish(ShadowPair& pair, ShadowSide& side) {
  WEIR_ASSERT(!side.done);
  side.done = true;
  if (!pair.primary.done || !pair.shadow.done) return;
  const bool pushed = done_.try_push(static_cast<uint32_t>(&pair - pairs_.data()));
  WEIR_ASSERT(pushed);  // there is room for all of them
}

}  // namespace weir::routing
