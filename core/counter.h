// Numbers that one shard counts and another thread reads now and then.
//
// The obvious std::atomic fetch_add costs a locked instruction (about 5 ns) to protect against a second
// writer that does not exist. A relaxed load, an addition and a relaxed store compile to plain instructions,
// and a reader still never sees a torn value.
//
// Ordering: relaxed throughout. A counter orders nothing but itself; two counters read together may be from
// different moments, which a scrape does not mind.
//
// Cache lines: a counter is eight bytes and is not padded. Keep one shard's counters together in one struct,
// aligned to kCacheLineBytes, so that no other shard writes to their lines; a scrape costs the shard one
// cache miss per line, ten times a minute. Never put the counters of two shards side by side.
//
// Thread: add() and set() the owning shard only, value() any.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/cache_line.h"

namespace weir::core {

// Only rises.
class Counter {
 public:
  void add(uint64_t count = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// Rises and falls: connections open, bytes held.
class Gauge {
 public:
  void add(int64_t change) {
    value_.store(value_.load(std::memory_order_relaxed) + change, std::memory_order_relaxed);
  }
  void set(int64_t value) { value_.store(value, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

}  // namespace weir::core
