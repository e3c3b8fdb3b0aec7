// The life of one request, from the whole body to the settled record.
//
//   start() ▶ admitted by limits and budgets, else answered
//           ─▶ acquiring ──▶ waiting_head ──▶ [holding] ──▶ relaying ──▶ settled, released
//                 ▲  │            │               │             │
//                 │  ▼            ▼               ▼             ▼
//                 └─ attempt failed: same hop | next hop | forward | answer     cut (the client sees it)
//
//   holding: a stream whose scenario may still fall back keeps what has come so far until the first token, so
//   that a candidate that misses its first-token deadline, or refuses, is answered by another unit in the
//   same request. So does a plain answer that must be looked at as a whole, until its end
//   (exchange_check.cc).
//
//   next hop: of a candidate that failed (a refusal is no failure) stable, as if there were no launch; then
//   the scenario's chain. When the total deadline has passed, only what is at hand: cached and static hops.
//
// Invariants
//   1. Each exchange settles exactly once, on every path, and is released at the end of that turn: whoever is
//      in the middle of an event may still look at phase_.
//   2. Nothing of one attempt's answer goes downstream after another attempt has begun.
//   3. While it lives, `table_` pins the table its decision was made with; no other table is looked at.
//   4. At most one attempt is under way; its session is released to its pool exactly once.
//   5. A client that has gone ends the attempt at once.
//   6. What was taken of limits and budgets goes back in settle(), and nowhere else.
//
// Thread: its shard's.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "core/limits.h"
#include "core/snapshot.h"
#include "net/client_session.h"
#include "net/http/sse.h"
#include "net/server_session.h"
#include "net/upstream_pool.h"
#include "routing/decide/decide.h"
#include "routing/decide/shadow.h"
#include "routing/exchange/answers.h"
#include "routing/exchange/attempt_policy.h"
#include "routing/exchange/record.h"
#include "routing/exchange/shadow_pair.h"
#include "routing/guard/admission.h"
#include "routing/guard/answer_cache.h"
#include "routing/guard/balance.h"
#include "routing/inspect/inspect.h"
#include "routing/inspect/rewrite.h"
#include "routing/inspect/usage.h"

namespace weir::routing {

class Shard;
enum class PoolUse : uint8_t;

// What of the request head the exchange still needs when it is under way; fixed copies, since the head's
// parser serves the next connection by then.
struct RequestFacts {
  Endpoint endpoint = Endpoint::chat_completions;
  uint32_t head_size = 0;  // where the body begins in the session's request bytes
  bool accepts_stream = false;
  uint8_t traceparent_size = 0;
  char traceparent[55];  // W3C trace context, version 00: 55 bytes
  uint64_t user_tag = 0;  // UserGuards::tag_of(); 0 where the tenant's users are not counted
};

// Room for the request head in front of what the rewrite renders, so that both leave in one piece.
inline constexpr uint32_t kRequestHeadRoom = 4096;

// A request as a provider gets it: head and body, the body in pieces of `block` (behind the room) and of the
// client's own.
struct UpstreamRequest {
  core::Slice block;
  uint32_t head_begin = 0;
  uint32_t head_size = 0;
  PieceList pieces;
  bool usage_hidden = false;
};

class Exchange final : private net::ResponseHandler, private net::UpstreamWaiter {
 public:
  Exchange(Shard& shard, net::ServerSession& session, const RequestFacts& facts, const Record& record);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  // Begins with a decision made on the shard's current table; `inspection` is the Inspector's last result.
  // `attributes` are views into the session's request.
  // `runaway_tag`: see RunawayVerdict, 0 = full-length answers are not counted. False: guards have not let the
  // decided unit answer; else what was taken of `pilots` is the exchange's from now on.
  bool start(const Decision& decision, const Inspection& inspection, std::string_view user,
             const AttributeValues& attributes, uint64_t runaway_tag, std::optional<ShadowChoice> shadow,
             PilotPlaces& pilots);
  // The session's side of things.
  void on_client_gone(core::Error error);
  void on_send_queue_low();
  // Ends it for shutdown.
  void abandon();

 private:
  enum class Phase : uint8_t { acquiring, waiting_head, holding, relaying, ended };
  enum class Mode : uint8_t { plain, events };

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
  static void on_memory_short(core::TurnTask& task);

  const Table& table() const { return *table_; }
  const Unit& unit() const;

  // attempts (exchange.cc)
  void begin_attempt(UnitIndex unit, const Inspection* inspection);
  core::Result<void> render_request(UnitIndex unit, ProviderIndex provider, const Inspection& inspection,
                                    UpstreamRequest& request);
  void send_request(const Inspection& inspection);
  void send_request();
  AfterFailure fail_attempt(core::Error error, uint16_t upstream_status);
  // What answers in an attempt's place; `hop` null: stable.
  struct NextHop {
    const FallbackHop* hop = nullptr;
    uint32_t after = 0;  // where the chain goes on from there
  };
  std::optional<NextHop> find_next_hop(FallbackCause cause, bool time_left);
  bool may_fall_back(FallbackCause cause) const;
  bool stable_may_answer() const;
  bool can_answer(const FallbackHop& hop);
  void pause_before_retry(uint64_t delay_ns);
  void take_next_hop(const NextHop& next);
  void end_attempt(Reuse reuse);
  void set_deadline(uint64_t timeout_ns);
  void keep_attributes(const AttributeValues& attributes);

  // guards (exchange_guard.cc)
  bool admit(const Inspection& inspection);
  bool take_economy(const Inspection& inspection);
  bool is_economy() const;
  bool may_follow(UnitIndex unit) const;
  Usage most_usage(UnitIndex unit, const Inspection& inspection) const;
  int64_t worst_case(UnitIndex unit, const Inspection& inspection) const;
  bool is_estimated() const;
  Usage attempt_usage() const;
  int64_t attempt_cost() const;
  void write_off_attempt();
  bool affords(UnitIndex unit);
  void leave_decided_unit(core::ErrorCode why);
  bool answer_with_static_hop(core::ErrorCode why);
  AnswerContext answer_context();
  BreakerLine* breaker() const;
  std::span<HostLoad> host_loads(ModelIndex model, PoolUse use, std::span<HostLoad> room);
  core::Result<void> choose_provider();
  BreakerLine* soonest_breaker() const;
  core::Result<void> refuse_by(const BreakerLine& line);
  void report(core::Error error, uint16_t upstream_status);
  void report_success();
  void report_answering();
  void learn(const Usage& usage);

  // the cache (exchange_cache.cc)
  std::optional<core::Hash128> cache_key(UnitIndex unit, const Inspection& inspection);
  std::optional<core::Hash128> cache_key(UnitIndex unit);
  bool is_too_large_for_cache() const;
  enum class CacheLook : uint8_t { only_look, answer };
  bool answer_from_cache(UnitIndex unit, core::Hash128 key, CacheLook look,
                         std::optional<core::ErrorCode> why = {});
  bool answer_from_any_cache(CacheLook look, std::optional<core::ErrorCode> why = {});
  bool try_cache(const Inspection& inspection);
  void begin_capture(bool looked_up);  // by try_cache(), for this unit
  void go_on_capturing(uint16_t status);
  void capture(std::span<const uint8_t> bytes);
  void store_capture();

  // answers that are looked at before anybody gets them (exchange_check.cc)
  bool may_leave_refusals() const;
  bool must_be_checked() const;
  bool keep_for_check(std::span<const uint8_t> bytes);
  bool passes_check();
  void release_checked();
  bool leave_refused();

  // the copy for a candidate (exchange_shadow.cc)
  void start_shadow(const Inspection& inspection);
  core::Slice render_copy(UnitIndex unit, ProviderIndex provider, const Inspection& inspection);
  void finish_shadow(const Usage& usage);

  // answers (exchange_answer.cc)
  void render_head(const net::ResponseHead& head, const uint8_t* base);
  void send_downstream(core::Slice data);
  void relay_plain(net::BodyPiece piece);
  void end_plain();
  void answer_error(core::Error error);
  void answer_static(std::string_view text);
  void cut(core::Error error);
  void finish();
  void settle();

  // streams (exchange_stream.cc)
  bool relay_events(net::BodyPiece piece);
  bool take_event(std::span<uint8_t> bytes);
  void send_chunk(core::Slice payload);
  bool keep_partial(std::span<const uint8_t> bytes);
  void end_events(Reuse reuse);
  void on_first_token();
  void release_held();
  bool stream_complete() const;

  Shard& shard_;
  net::ServerSession& session_;
  net::ClientSession* upstream_ = nullptr;
  net::UpstreamPool* pool_ = nullptr;
  core::SnapshotRef<Table> table_;
  core::Timer timer_;
  core::TurnTask release_task_;
  core::TurnTask copy_out_task_;  // queued while the request lies in a receive block
  Decision decision_;
  RequestFacts facts_;
  Record record_;
  std::optional<core::Hash128> draft_key_;  // nothing: this attempt's answer is not kept
  AnswerCache::Draft draft_;              // of this attempt's answer, for the cache
  GuardHold hold_;                        // what it has taken of limits and budgets
  PilotPlaces pilots_;                    // and of those of pilots
  RateFacts refused_rate_;                // of the refusal it ends with
  bool refused_tokens_ = false;           // refused_rate_ is one of tokens
  uint64_t retry_after_ns_ = 0;           // the same
  uint64_t upstream_retry_after_ns_ = 0;  // what the provider said in this attempt
  std::optional<ShadowChoice> shadow_;    // until the copy is begun
  ShadowPair* shadow_pair_ = nullptr;
  UsageReader usage_;
  net::SseSplitter splitter_;
  core::Slice partial_event_;  // bytes of an event whose end has not come
  core::Slice held_;           // head and events kept back while holding
  core::Slice checked_;        // a plain body kept back until it is whole
  core::Slice user_;           // for prompts that mention {{user}}
  std::array<SentAttribute, core::limits::kMaxAttributes>
      attributes_;  // the first attribute_count_, for prompts
  uint64_t started_ns_;
  uint64_t total_deadline_ns_ = 0;
  uint64_t hop_deadline_ns_ = 0;  // of all attempts at the present unit; within the total
  uint64_t plain_length_ = 0;     // of a plain body with Content-Length, else 0
  uint64_t sent_ns_ = 0;          // the request of this attempt was handed to the connection
  Usage most_;               // what this attempt can use at most
  uint64_t body_bytes_ = 0;  // of its answer, if that is no stream
  uint64_t content_events_ = 0;
  UnitIndex unit_{};
  uint32_t host_ = 0;                    // of Model::hosts, in this attempt
  std::optional<uint32_t> failed_host_;  // of the same model, in the attempt before
  uint32_t next_hop_ = 0;
  uint32_t retries_left_ = 0;
  uint32_t other_providers_ = 0;  // of the same model, that a request may go on to
  uint32_t input_bytes_ = 0;
  uint32_t media_bytes_ = 0;
  uint32_t retries_made_ = 0;  // on this hop
  uint64_t choices_ = 1;
  int64_t written_off_cost_ = 0;  // of attempts that were paid for and whose answer nobody got
  int64_t written_off_tokens_ = 0;
  uint64_t runaway_tag_ = 0;  // whom a full-length answer is counted for; 0 = nobody
  int64_t full_length_ = 0;   // output tokens that make one
  uint16_t hops_taken_ = 0;
  uint8_t attribute_count_ = 0;
  Phase phase_ = Phase::acquiring;
  Mode mode_ = Mode::plain;
  bool stream_ = false;  // the client asked for a stream
  bool usage_hidden_ = false;
  bool committed_ = false;     // something of an answer has gone downstream
  bool stable_left_ = false;   // the candidate was decided on, and stable has not been asked
  bool stable_asked_ = false;  // in the candidate's place
  bool chunked_downstream_ = false;
  bool free_retry_left_ = true;
  bool reused_session_ = false;
  bool saw_done_ = false;
  bool saw_terminal_ = false;
  bool upstream_paused_ = false;
  bool first_piece_ = true;
  bool first_event_ = true;
  bool input_elsewhere_ = false;
  bool sent_ = false;      // the provider has the request of this attempt
  bool pausing_ = false;   // acquiring: the clock of a retry runs
  bool checking_ = false;  // the body goes to checked_
  bool refused_ = false;   // a stream's first token is a refusal that a hop answers to
  Pass pass_ = Pass::no;   // of this attempt, until it has reported; no = nothing to report
};

}  // namespace weir::routing
