// Answers that are looked at before the client gets them: a refusal of the model that another unit may
// answer, and what a unit declares of its answers. A plain answer is kept back until it is whole; of a stream
// only the first token counts, since what has gone to the client cannot be taken back.
//
//   plain:   head ─▶ held_,  body ─▶ checked_ ── whole ──▶ passes: both go out; else next hop, or an error
//   stream:  head, events ─▶ held_ ── first token ──▶ a refusal that a hop answers to: next hop; else all out
//
// An answer longer than kMaxCheckedAnswerBytes goes out unchecked.
#include <algorithm>
#include <cstring>

#include "routing/exchange/exchange.h"
#include "routing/exchange/shard.h"

namespace weir::routing {

using core::ErrorCode;

// Only a unit hop that names the cause: a cached or static hop is no reason to take a refusal away.
bool Exchange::may_leave_refusals() const {
  if (!decision_.scenario) return false;
  const auto& chain = (*table().body)[*decision_.scenario].fallback;
  return std::any_of(chain.begin() + std::min<ptrdiff_t>(next_hop_, std::ssize(chain)), chain.end(),
                     [](const FallbackHop& hop) {
                       return hop.kind == FallbackHop::Kind::unit &&
                              (hop.on & static_cast<uint8_t>(FallbackCause::refusal)) != 0;
                     });
}

bool Exchange::must_be_checked() const {
  if (record_.upstream_status != 200 || mode_ != Mode::plain || stream_) return false;
  return unit().answer != AnswerCheck::any || may_leave_refusals();
}

bool Exchange::keep_for_check(std::span<const uint8_t> bytes) {
  const auto size = static_cast<uint32_t>(bytes.size());
  const uint32_t have = checked_.size();
  if (uint64_t{have} + size > core::limits::kMaxCheckedAnswerBytes) return false;
  if (checked_.block() == nullptr || checked_.room() - have < size) {
    core::Slice larger = shard_.loop().buffers().allocate(std::max<uint32_t>(2 * (have + size), 2048));
    if (larger.block() == nullptr) return false;
    if (have > 0) std::memcpy(larger.mutable_data(), checked_.data(), have);
    larger.set_size(have);
    checked_ = std::move(larger);
  }
  if (size > 0) std::memcpy(checked_.mutable_data() + have, bytes.data(), size);
  checked_.set_size(have + size);
  return true;
}

// What is kept goes out, and the rest as it comes.
void Exchange::release_checked() {
  checking_ = false;
  core::Slice body = std::move(checked_);
  on_first_token();
  capture(body.bytes());
  if (body.empty()) return;
  if (chunked_downstream_) return send_chunk(std::move(body));
  send_downstream(std::move(body));
}

// The whole answer is there. False: another attempt, or an error, has taken its place.
bool Exchange::passes_check() {
  const uint32_t size = checked_.size();
  core::Slice scratch = shard_.loop().buffers().allocate(size + JsonCursor::kPadding);
  AnswerVerdict verdict;
  if (scratch.block() != nullptr) {
    verdict = check_answer(facts_.endpoint, checked_.bytes(), unit().answer,
                           {scratch.mutable_data(), scratch.room()});
  }
  const bool refused = verdict.refused && may_leave_refusals();
  if (!refused && (verdict.valid || verdict.refused)) return true;
  if (refused) report_success();  // it is well; it does not want to
  return fail_attempt({refused ? ErrorCode::answer_refused : ErrorCode::answer_invalid}, 0) ==
         AfterFailure::forward;
}

// A stream's first token was a refusal. False: this attempt goes on, because nobody else can answer.
bool Exchange::leave_refused() {
  refused_ = false;
  if (phase_ == Phase::holding) {
    report_success();
    if (fail_attempt({ErrorCode::answer_refused}, 0) != AfterFailure::forward) return true;
  }
  on_first_token();
  return false;
}

}  // namespace weir::routing
