// A copy of a request at the candidate: one attempt, whose answer is written down and given to nobody.
//
//   start() ─▶ acquiring ─▶ waiting ─▶ reading ─▶ over: settled, its side of the pair is finished, released
//                  └────────────┴──────────┴─ any failure, its clock, the shard's end ─┘
//
// What keeps it from hurting anybody:
//   - it begins after the request itself has been sent, from bytes of its own
//   - its own caps: kMaxShadowCalls at a time, kMaxShadowRequestBytes a request, kMaxShadowPairs not written
//     down yet (core/limits.h); past any of them no copy is made, and a busy shard makes none. Past
//     kMaxShadowAnswerBytes of an answer it is cancelled. So many connections and bytes per second
//     (routing/guard/shadow_gate.h)
//   - its own connections: it never stands before a client in a pool's queue
//   - its own budget, reserved at its worst case, settled at what it cost; the tenant's is not touched
//   - health: a provider whose breaker is open is not asked, and what fails here opens none. But one that says 429 says
//     it to everybody, and who answers once its time is over is well again (routing/guard/breaker.h)
//
// Thread: its shard's.
#pragma once

#include <cstdint>

#include "core/loop.h"
#include "core/snapshot.h"
#include "net/client_session.h"
#include "net/upstream_pool.h"
#include "routing/exchange/shadow_pair.h"
#include "routing/guard/guard_plan.h"
#include "routing/guard/token_estimator.h"
#include "routing/inspect/usage.h"

namespace weir::routing {

class Shard;

class ShadowCall final : private net::ResponseHandler, private net::UpstreamWaiter {
 public:
  // `budget` has the cost of `facts.most` reserved for it; `facts` of the request are for an estimate.
  ShadowCall(Shard& shard, ShadowPair& pair, const BudgetGuard& budget, const Unreported& facts);
  ~ShadowCall();
  ShadowCall(const ShadowCall&) = delete;
  ShadowCall& operator=(const ShadowCall&) = delete;

  // Sends `request`, head and body, to one of the providers of the unit of its side of the pair (Model::hosts).
  void start(core::Slice request, uint32_t host);
  // Ends it for shutdown.
  void abandon();

 private:
  // net::UpstreamWaiter
  void on_upstream_ready(net::ClientSession& session) override;
  void on_upstream_refused(core::Error error) override;
  // net::ResponseHandler
  void on_response_head(const net::ResponseHead& head, const uint8_t* base) override;
  void on_response_body(net::BodyPiece piece) override;
  void on_response_end(Reuse reuse) override;
  void on_response_failed(core::Error error) override;
  static void on_timer(core::Timer& timer);
  static void on_release(core::TurnTask& task);

  const Unit& unit() const;
  const Model& model() const;
  BreakerLine& breaker() const;
  void send();
  void end(Reuse reuse);
  void fail(core::ErrorCode code);

  Shard& shard_;
  core::SnapshotRef<Table> table_;
  ShadowPair& pair_;
  ShadowSide& side_;
  const BudgetGuard& budget_;
  Unreported facts_;
  core::Slice request_;
  net::ClientSession* upstream_ = nullptr;
  net::UpstreamPool* pool_ = nullptr;
  UsageReader usage_;
  core::Timer timer_;
  core::TurnTask release_task_;
  uint64_t started_ns_;
  uint32_t host_ = 0;
  uint64_t request_bytes_ = 0;
  uint64_t answer_bytes_ = 0;
  uint64_t lines_ = 0;
  bool sent_ = false;
  bool first_piece_ = true;
  bool ended_ = false;
};

}  // namespace weir::routing
