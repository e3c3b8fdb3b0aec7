#include "routing/guard/pin_table.h"

#include <algorithm>
#include <bit>

#include "core/assert.h"

namespace weir::routing {

namespace {

// Relaxed throughout: see the header.
uint64_t load(uint64_t& word) {
  return std::atomic_ref(word).load(std::memory_order_relaxed);
}
void save(uint64_t& word, uint64_t value) {
  std::atomic_ref(word).store(value, std::memory_order_relaxed);
}

core::SipKey derive(core::SipKey secret, std::string_view text) {
  const core::Hash128 hash = core::siphash128(secret, text);
  return {hash.low, hash.high};
}

}  // namespace

PinTable::PinTable(const Options& options)
    : ttl_ns_(options.ttl_ns),
      secret_(options.secret),
      set_mask_(std::bit_floor(std::max<size_t>(options.memory_bytes / sizeof(Set), 1)) - 1),
      memory_((set_mask_ + 1) * sizeof(Set)),
      sets_(static_cast<Set*>(memory_.data())) {
  WEIR_ASSERT(memory_.data() != nullptr);
  WEIR_ASSERT(ttl_ns_ > 0);
}

// Each text is hashed under a key made from the one before it, so that no two triples run into the same
// bytes.
uint64_t PinTable::key(std::string_view tenant_id, std::string_view scenario,
                       std::string_view conversation) const {
  const uint64_t hash = core::siphash64(derive(derive(secret_, tenant_id), scenario), conversation);
  return hash != 0 ? hash : 1;
}

std::optional<uint64_t> PinTable::lookup(uint64_t key, uint64_t now_ns) {
  Set& set = set_of(key);
  for (uint32_t way = 0; way < kWays; way++) {
    const uint64_t unit = load(set.unit[way]);
    if ((load(set.check[way]) ^ unit) != key) continue;
    const uint64_t expires_ns = load(set.expires_ns[way]);
    if (expires_ns <= now_ns) continue;
    if (expires_ns - now_ns < ttl_ns_ - ttl_ns_ / kRefreshesPerTtl)
      save(set.expires_ns[way], now_ns + ttl_ns_);
    return unit;
  }
  return std::nullopt;
}

std::optional<uint64_t> PinTable::peek(uint64_t key, uint64_t now_ns) const {
  Set& set = set_of(key);
  for (uint32_t way = 0; way < kWays; way++) {
    const uint64_t unit = load(set.unit[way]);
    if ((load(set.check[way]) ^ unit) == key && load(set.expires_ns[way]) > now_ns) return unit;
  }
  return std::nullopt;
}

void PinTable::store(uint64_t key, uint64_t short_hash, uint64_t now_ns) {
  Set& set = set_of(key);
  uint32_t chosen = kWays;
  uint32_t oldest = 0;
  uint64_t oldest_ns = UINT64_MAX;
  for (uint32_t way = 0; way < kWays; way++) {
    if ((load(set.check[way]) ^ load(set.unit[way])) == key) {
      if (chosen == kWays) {
        chosen = way;
      } else {  // two shards stored the same conversation at the same time
        save(set.check[way], 0);
        save(set.unit[way], 0);
        save(set.expires_ns[way], 0);
      }
      continue;
    }
    const uint64_t expires_ns = load(set.expires_ns[way]);
    if (expires_ns < oldest_ns) {
      oldest_ns = expires_ns;
      oldest = way;
    }
  }
  if (chosen == kWays) {
    chosen = oldest;
    if (oldest_ns > now_ns) evictions_.fetch_add(1, std::memory_order_relaxed);  // a counter, orders nothing
  }
  save(set.unit[chosen], short_hash);
  save(set.check[chosen], key ^ short_hash);
  save(set.expires_ns[chosen], now_ns + ttl_ns_);
}

void PinTable::erase(uint64_t key) {
  Set& set = set_of(key);
  for (uint32_t way = 0; way < kWays; way++) {
    if ((load(set.check[way]) ^ load(set.unit[way])) != key) continue;
    // All three: a reader that has just matched may still extend the expiry.
    save(set.check[way], 0);
    save(set.unit[way], 0);
    save(set.expires_ns[way], 0);
  }
}

}  // namespace weir::routing
