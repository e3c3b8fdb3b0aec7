// Which unit each open conversation began on, for all shards: a fixed number of entries, no locks.
//
// An entry of the table is found by a 64-bit key, SipHash of (tenant, scenario, conversation) under a secret
// of this process, so nobody outside can aim at another conversation's entry or fill one set. Two words hold
// the pin and one its expiry:
//
//   set, three cache lines    check[8] = key ^ unit     unit[8] = Unit::short_hash     expires[8]
//
// Invariants
//   1. A pin is valid only if check ^ unit == key. The two words are written apart, so a reader may see one
//      old and one new; or two writers may leave one word each. Then the equation fails (but for a chance of
//      2^-64 per look) and there is no pin: the conversation is decided afresh, and by its sticky key. Wrong
//      units are never read. When writer and reader agree on the unit, either word will do.
//   2. expires is advisory and belongs to the slot: mixed up, a pin lives shorter or longer by at most one
//      ttl. 0 = the slot is free.
//   3. Memory is given at construction and never grows; pages are touched as sets are used. A full set gives
//      up the pin that has gone unused longest (counted, to within kRefreshesPerTtl-th of the ttl).
//
// Every atomic access is relaxed: nothing but the words themselves is published through them, and invariant 1
// holds for every order in which they become visible.
//
// Names are hashed, not indices, so pins survive table swaps. Any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/siphash.h"
#include "core/zeroed_memory.h"

namespace weir::routing {

class PinTable {
 public:
  static constexpr uint32_t kWays = 8;
  static constexpr uint32_t kRefreshesPerTtl = 8;

  struct Options {
    size_t memory_bytes = 0;  // rounded down to a power of two of sets, at least one set
    uint64_t ttl_ns = 0;      // how long an unused pin lives
    core::SipKey secret;      // random, drawn at start-up
  };

  explicit PinTable(const Options& options);
  PinTable(const PinTable&) = delete;
  PinTable& operator=(const PinTable&) = delete;

  // The key of a conversation. Never 0.
  uint64_t key(std::string_view tenant_id, std::string_view scenario, std::string_view conversation) const;

  // The unit (Unit::short_hash) the conversation is pinned to. Using a pin extends its life to one ttl from
  // now, at most kRefreshesPerTtl times per ttl so that readers seldom write. `now_ns` is monotonic.
  std::optional<uint64_t> lookup(uint64_t key, uint64_t now_ns);

  // The same without using the pin: its life is not extended.
  std::optional<uint64_t> peek(uint64_t key, uint64_t now_ns) const;

  // Pins the conversation to a unit until now_ns + ttl, in place of an earlier pin.
  void store(uint64_t key, uint64_t short_hash, uint64_t now_ns);

  // Forgets the pin, if there is one.
  void erase(uint64_t key);

  size_t capacity() const { return (set_mask_ + 1) * kWays; }
  // Pins given up before their time because their set was full.
  uint64_t evictions() const { return evictions_.load(std::memory_order_relaxed); }

 private:
  struct Set {
    std::array<uint64_t, kWays> check;
    std::array<uint64_t, kWays> unit;
    std::array<uint64_t, kWays> expires_ns;
  };
  static_assert(sizeof(Set) == 192);

  Set& set_of(uint64_t key) const { return sets_[key & set_mask_]; }

  const uint64_t ttl_ns_;
  const core::SipKey secret_;
  const size_t set_mask_;
  core::ZeroedMemory memory_;
  Set* const sets_;  // in memory_, on a cache line's boundary
  std::atomic<uint64_t> evictions_{0};
};

}  // namespace weir::routing
