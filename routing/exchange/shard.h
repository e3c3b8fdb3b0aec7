// One shard of the data plane: a loop with its listeners, its exchanges, its upstream pools, its counters.
// It shares nothing with other shards but what stands in Gateway.
//
// Thread: made and run on the shard's own thread. begin_drain() and the like go there with Loop::post().
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/bump_block.h"
#include "core/clock.h"
#include "core/loop.h"
#include "core/slab.h"
#include "core/snapshot.h"
#include "net/http_server.h"
#include "net/upstream_pool.h"
#include "routing/decide/identify.h"
#include "routing/exchange/gateway.h"
#include "routing/exchange/metrics.h"
#include "routing/guard/overload.h"
#include "routing/guard/retry_budget.h"
#include "routing/guard/shadow_gate.h"
#include "routing/inspect/inspect.h"

namespace weir::routing {

class DataPlane;
class Exchange;
class ShadowCall;

enum class PoolUse : uint8_t { answers, copies };  // copies have connections of their own

class Shard {
 public:
  Shard(core::Loop& loop, Gateway& gateway, uint32_t index);
  ~Shard();
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  void listen(int listener, const net::TlsServerContextHolder* tls = nullptr);
  // Stops accepting; exchanges under way end, and connections idle for `idle_ms`; then closed() becomes true.
  void begin_drain(uint32_t idle_ms = core::limits::kDrainIdleMs);
  // Ends whatever is still open, at once.
  void close_all();
  // After begin_drain() or close_all(): everything has ended, idle provider connections included. Asked each
  // turn.
  bool closed();

  // ---- for the exchange and the data plane ----
  core::Loop& loop() { return loop_; }
  Gateway& gateway() { return gateway_; }
  const Table& table() const { return reader_.current(); }
  bool has_table() const { return reader_.has_current(); }
  uint64_t table_version() const { return reader_.current_version(); }
  core::SnapshotRef<Table> pin_table() { return reader_.pin(); }
  Inspector& inspector() { return inspector_; }
  Identifier& identifier() { return identifier_; }
  const KeyHasher& key_hasher() const { return hasher_; }
  core::BumpBlock& small_bytes() { return small_bytes_; }
  ShardMetrics& metrics() { return metrics_; }
  core::Slab<Exchange>& exchanges() { return exchanges_; }
  core::Slab<ShadowCall>& shadow_calls() { return shadow_calls_; }
  ShadowPairs& shadow_pairs() { return *gateway_.shadows[index_]; }
  bool has_room_for_shadow();
  ShadowGate& shadow_gate() { return shadow_gate_; }
  Rung rung() const { return ladder_.rung(); }
  net::UpstreamPool& pool_for(const Table& of, ProviderIndex provider, PoolUse use = PoolUse::answers);
  RequestId next_request_id();
  RetryBudget& retries() { return retries_; }
  uint32_t dice() { return static_cast<uint32_t>(next_request_id().low >> 32); }
  const GuardTime& guard_time() { return calendar_.at(loop_.now_ns(), gateway_.calendar.point()); }
  std::string_view date();  // "2026-12-01", UTC
  // Counts the exchange and hands its record to the control thread.
  void settle(const Record& record);

 private:
  static void on_turn(void* self);
  static void on_calm(core::Timer& timer);
  void observe_load();
  net::UpstreamPool& find_pool(const Table& of, ProviderIndex provider, PoolUse use);

  core::Loop& loop_;
  Gateway& gateway_;
  ShardMetrics& metrics_;
  core::SpscQueue<Record>& records_;
  core::SnapshotReader<Table> reader_;
  KeyHasher hasher_;
  Identifier identifier_;
  Inspector inspector_;
  core::BumpBlock small_bytes_;
  net::ResponseHeadParser response_parser_;
  core::Slab<Exchange> exchanges_;
  core::Slab<ShadowCall> shadow_calls_;
  struct Pool {
    std::unique_ptr<net::UpstreamPool> pool;
    std::shared_ptr<net::TlsClientContext> trust;  // the prototype its context was made from
  };
  std::unordered_map<std::string, Pool> pools_;  // by scheme, host, port, trust
  // By PoolUse and provider of the current table; null = not looked up yet.
  std::array<std::vector<net::UpstreamPool*>, 2> pool_of_provider_;
  std::unique_ptr<DataPlane> data_plane_;
  net::HttpServer server_;
  CalendarReader calendar_{core::monotonic_now_ns};
  OverloadLadder ladder_;
  ShadowGate shadow_gate_;
  core::Timer calm_timer_;  // so that a ladder without turns comes down
  const uint32_t index_;
  bool draining_ = false;
  RetryBudget retries_;
  RequestId next_id_;
  int64_t date_day_ = -1;
  char date_[11] = {};
};

}  // namespace weir::routing
