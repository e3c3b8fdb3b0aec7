// What the shards and the control thread of one process share.
//
//      control thread                                             shards
//   Table ── tables (RCU) ─────────────────────────────────────▶ decide
//   addresses (resolver thread writes) ────────────────────────▶ when a connection is opened
//   calendar (one word) ───────────────────────────────────────▶ windows of budgets
//   limits, budgets ◀─────────── lock-free ────────────────────▶ admission, settlement
//   cache ◀───────────────────── lock-free ────────────────────▶ look-up, store
//   pins ◀────────────────────── lock-free ────────────────────▶ pins
//   shadow log ◀── pairs (two queues per shard) ─────────────────
//   access log ◀── records (one queue per shard) ───────────────
//   /metrics ◀── ShardMetrics (read at any time) ───────────────
//
// Made before the threads start and destroyed after they have ended.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/limits.h"
#include "core/loop.h"
#include "core/snapshot.h"
#include "core/spsc_queue.h"
#include "net/accept_balance.h"
#include "net/upstream_pool.h"
#include "routing/decide/identify.h"
#include "routing/exchange/metrics.h"
#include "routing/exchange/record.h"
#include "routing/exchange/shadow_pair.h"
#include "routing/guard/admission.h"
#include "routing/guard/answer_cache.h"
#include "routing/guard/guard_memory.h"
#include "routing/guard/guard_time.h"
#include "routing/guard/pin_table.h"
#include "routing/table/table.h"

namespace weir::routing {

struct GatewayOptions {
  uint32_t shards = 1;
  std::string key_hash_secret = {};  // users' hashes come of it too: the same for as long as it is
  uint32_t max_body_bytes = core::limits::kMaxBodyBytes;
  uint32_t max_connections_per_shard = core::limits::kMaxConnectionsPerShard;
  uint32_t max_exchanges_per_shard = core::limits::kMaxExchangesPerShard;
  uint32_t head_timeout_ms = core::limits::kHeadTimeoutMs;
  uint32_t body_stall_timeout_ms = core::limits::kBodyStallTimeoutMs;
  uint32_t idle_timeout_ms = core::limits::kIdleTimeoutMs;
  uint32_t write_stall_timeout_ms = core::limits::kWriteStallTimeoutMs;
  uint32_t upstream_idle_ms = core::limits::kUpstreamIdleMs;
  uint64_t pin_memory_bytes = uint64_t{64} << 20;                    // for all shards; touched as it is used
  uint64_t pin_ttl_ns = uint64_t{24} * 3600 * 1'000'000'000;         // an unused pin is forgotten after it
  uint64_t cache_memory_bytes = kCacheMemoryBytes;                   // answers; touched as it is used
  uint64_t user_guard_memory_bytes = kUserMemoryBytes;               // limits and budgets of users; the same
  bool balance_connections = false;  // a shard passes new ones on to those that have fewer
  bool shadow = false;  // copies are made, because somebody reads the pairs
  uint32_t max_guard_lines = core::limits::kMaxGuardLines;
  uint64_t process_seed = 0;              // for hash keys and request ids; random in production
};

struct Gateway {
  // `wake_shards` wakes the loops of all shards; it is called at every publish.
  Gateway(const GatewayOptions& gateway_options, net::AddressSource& address_source,
          std::function<void()> wake_shards);

  // Requests, since ever, because a shard was overloaded.
  uint64_t turned_away() const;

  const GatewayOptions options;
  net::AddressSource& addresses;
  Calendar calendar;                         // ticked by the control thread
  core::SnapshotPublisher<Table> tables;
  PinTable pins;
  const std::shared_ptr<GuardArena> arena;   // what limits and budgets have counted; see Table::guards
  UserGuards users;                          // the same of users
  AnswerCache cache;
  const core::SipKey cache_key;              // of its keys' hashes
  net::AcceptBalance balance;                // of client connections between shards
  std::vector<std::unique_ptr<core::SpscQueue<Record>>> records;   // by shard
  std::vector<std::unique_ptr<ShadowPairs>> shadows;               // by shard
  std::vector<std::unique_ptr<ShardMetrics>> metrics;              // by shard
  core::Loop* control = nullptr;          // woken by a shard that has taken a new table; set before shards start
  std::atomic<bool> ready{false};         // /readyz; relaxed: nothing else depends on it
  std::atomic<bool> draining{false};
};

}  // namespace weir::routing
