#include "routing/exchange/shadow_call.h"

#include <algorithm>
#include <utility>

#include "routing/exchange/attempt_policy.h"
#include "routing/exchange/shard.h"

namespace weir::routing {

using core::ErrorCode;

ShadowCall::ShadowCall(Shard& shard, ShadowPair& pair, const BudgetGuard& budget, const Unreported& facts)
    : shard_(shard),
      table_(shard.pin_table()),
      pair_(pair),
      side_(pair.shadow),
      budget_(budget),
      facts_(facts),
      usage_(pair.endpoint),
      timer_(on_timer, this),
      release_task_(on_release, this),
      started_ns_(shard.loop().now_ns()) {}

ShadowCall::~ShadowCall() {
  WEIR_ASSERT(ended_ && upstream_ == nullptr && !waiting());
}

const Unit& ShadowCall::unit() const {
  return (*pair_.table->body)[UnitIndex{side_.unit}];
}

const Model& ShadowCall::model() const {
  return (*pair_.table->body)[unit().model];
}

BreakerLine& ShadowCall::breaker() const {
  return pair_.table->guards->breaker(unit().model, host_);
}

void ShadowCall::start(core::Slice request, uint32_t host) {
  host_ = host;
  request_bytes_ = request.size();
  request_ = std::move(request);
  const Timeouts& timeouts = unit().timeouts;
  shard_.loop().timers().schedule(timer_, core::deadline_after(started_ns_, timeouts.total_ns));
  pool_ = &shard_.pool_for(*pair_.table, model().provider_at(host), PoolUse::copies);
  core::Result<void> outcome;
  const auto connect_ms =
      static_cast<uint32_t>(std::min<uint64_t>(timeouts.connect_ns / core::kNsPerMs, UINT32_MAX));
  upstream_ = pool_->acquire(*this, outcome, std::max<uint32_t>(connect_ms, 1));
  if (upstream_ != nullptr) return send();
  shard_.shadow_gate().charge_connection(started_ns_);
  if (outcome) return;
  pool_ = nullptr;
  fail(outcome.error().code);
}

void ShadowCall::on_upstream_ready(net::ClientSession& session) {
  upstream_ = &session;
  send();
}

void ShadowCall::on_upstream_refused(core::Error error) {
  pool_ = nullptr;
  fail(error.code);
}

void ShadowCall::send() {
  upstream_->begin(*this, net::Method::post);
  upstream_->send(std::move(request_));
  sent_ = true;
}

void ShadowCall::on_response_head(const net::ResponseHead& head, const uint8_t* base) {
  side_.status = head.status;
  if (head.status != 429) return;
  const uint64_t wait_ns = retry_after_of(head, base, shard_.loop().wall_now_ns());
  if (limited(breaker(), Pass::yes, wait_ns, shard_.loop().now_ns())) shard_.metrics().breakers_opened.add();
}

void ShadowCall::on_response_body(net::BodyPiece piece) {
  const auto payload = piece.bytes.bytes().subspan(piece.payload_offset, piece.payload_size);
  if (first_piece_) side_.first_byte_ns = std::max<uint64_t>(1, shard_.loop().now_ns() - started_ns_);
  // Streams are searched as plain bodies are: the last usage that is named counts.
  usage_.feed(payload, first_piece_ ? UsageReader::Position::first : UsageReader::Position::middle);
  first_piece_ = false;
  side_.append(payload);
  answer_bytes_ += payload.size();
  lines_ += static_cast<uint64_t>(std::ranges::count(payload, uint8_t{'\n'}));
  if (answer_bytes_ > core::limits::kMaxShadowAnswerBytes) end(Reuse::no);  // the pair says `truncated`
}

void ShadowCall::on_response_end(Reuse reuse) {
  if (side_.status >= 200 && side_.status < 300)
    copy_succeeded(breaker(), started_ns_, shard_.loop().now_ns());
  end(reuse);
}

void ShadowCall::on_response_failed(core::Error error) {
  fail(error.code);
}

void ShadowCall::on_timer(core::Timer& timer) {
  timer.owner<ShadowCall>().fail(ErrorCode::total_timeout);
}

void ShadowCall::abandon() {
  if (!ended_) fail(ErrorCode::shutting_down);
}

void ShadowCall::fail(ErrorCode code) {
  side_.error = code;
  shard_.metrics().shadow_failed.add();
  end(Reuse::no);
}

void ShadowCall::end(Reuse reuse) {
  WEIR_ASSERT(!ended_);
  ended_ = true;
  timer_.cancel();
  if (waiting()) pool_->abandon(*this);
  if (upstream_ != nullptr) {
    if (reuse == Reuse::no) upstream_->cancel();
    pool_->release(*std::exchange(upstream_, nullptr), reuse);
  }
  pool_ = nullptr;
  shard_.shadow_gate().charge_bytes(request_bytes_ + answer_bytes_, shard_.loop().now_ns());
  side_.total_ns = shard_.loop().now_ns() - started_ns_;
  side_.usage = usage_.usage();
  if (!side_.usage.present && sent_ && (side_.status == 0 || is_paid_for(side_.status))) {
    (pair_.streamed ? facts_.events : facts_.body_bytes) = pair_.streamed ? lines_ / 2 : answer_bytes_;
    side_.usage = estimate_usage(pair_.table->guards->estimate(unit().model), facts_);
  }
  side_.cost_nano_usd = cost(side_.usage, model().price);
  routing::settle(*budget_.line, budget_.spec, cost(facts_.most, model().price), side_.cost_nano_usd);
  shard_.shadow_pairs().finish(pair_, side_);
  shard_.loop().at_end_of_turn(release_task_);
}

void ShadowCall::on_release(core::TurnTask& task) {
  auto& self = task.owner<ShadowCall>();
  self.shard_.shadow_calls().release(&self);
}

}  // namespace weir::routing
