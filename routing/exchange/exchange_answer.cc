// What goes downstream: heads, plain bodies, errors, static texts, and the end.
#include <cstring>

#include "net/http/writer.h"
#include "routing/exchange/answers.h"
#include "routing/exchange/exchange.h"
#include "routing/exchange/shard.h"
#include "routing/guard/runaway.h"

namespace weir::routing {
namespace {

using core::ErrorCode;

constexpr uint32_t kMaxAnswerHeadBytes = 4096;

}  // namespace

void Exchange::send_downstream(core::Slice data) {
  if (phase_ == Phase::ended) return;  // the step before could not be taken
  record_.response_bytes += data.size();
  // So much and no token yet: not what the hold is for.
  if (phase_ == Phase::holding && held_.size() + uint64_t{data.size()} > core::limits::kMaxQueuedSendBytes)
    release_held();
  if (phase_ == Phase::holding) {
    // Small by nature: a head and the events before the first token. Copied, so that no receive block waits.
    if (held_.block() == nullptr || held_.room() - held_.size() < data.size()) {
      core::Slice larger =
          shard_.loop().buffers().allocate(std::max<uint32_t>(2048, 2 * (held_.size() + data.size())));
      if (larger.block() == nullptr) return cut({ErrorCode::out_of_buffers});
      if (!held_.empty()) std::memcpy(larger.mutable_data(), held_.data(), held_.size());
      larger.set_size(held_.size());
      held_ = std::move(larger);
    }
    std::memcpy(held_.mutable_data() + held_.size(), data.data(), data.size());
    held_.set_size(held_.size() + data.size());
    return;
  }
  committed_ = true;
  session_.send(std::move(data));
}

// The head of a relayed answer: status and an allow-list of the provider's fields, and weir's own.
void Exchange::render_head(const net::ResponseHead& head, const uint8_t* base) {
  const auto room = shard_.small_bytes().room(kMaxAnswerHeadBytes);
  if (room.size() < kMaxAnswerHeadBytes) return cut({ErrorCode::out_of_buffers});
  net::HeadWriter writer({reinterpret_cast<char*>(room.data()), kMaxAnswerHeadBytes});
  writer.status_line(head.status);
  for (const net::Field& field : head.fields) {
    switch (field.id) {
      case net::HeaderId::content_type:
        if (&field != head.fields.find(field.id)) break;  // the client reads the one that weir acts upon
        [[fallthrough]];
      case net::HeaderId::retry_after:
      case net::HeaderId::retry_after_ms:
      case net::HeaderId::content_encoding:
        writer.parsed_field(field.name(base), field.value(base));
        break;
      case net::HeaderId::rate_limit:  // only where it is the reason: it tells of weir's account, not the
                                       // tenant's
        if (head.status == 429) writer.parsed_field(field.name(base), field.value(base));
        break;
      default:
        break;
    }
  }
  if (head.status >= 500) writer.field("x-should-retry", "false");
  append_decision_fields(writer, table(), record_, hops_taken_, record_.first_failure);
  const AnswerContext context = answer_context();
  append_rate_fields(writer, context.requests, context.tokens);
  chunked_downstream_ = head.framing.kind == net::BodyKind::chunked ||
                        head.framing.kind == net::BodyKind::until_close || mode_ == Mode::events;
  if (chunked_downstream_) {
    writer.field("transfer-encoding", "chunked");
    if (mode_ == Mode::events) writer.field("cache-control", "no-cache");
  } else if (head.framing.kind == net::BodyKind::content_length) {
    writer.field("content-length", head.framing.content_length);
  } else if (head.status != 204 && head.status != 304) {
    writer.field("content-length", uint64_t{0});
  }
  if (session_.must_close()) writer.field("connection", "close");
  writer.end();
  if (writer.overflowed()) return cut({ErrorCode::upstream_head_too_large});
  record_.status = head.status;
  send_downstream(shard_.small_bytes().take(static_cast<uint32_t>(writer.size())));
}

void Exchange::relay_plain(net::BodyPiece piece) {
  const auto payload = piece.bytes.bytes().subspan(piece.payload_offset, piece.payload_size);
  auto position = first_piece_ ? UsageReader::Position::first : UsageReader::Position::middle;
  if (first_piece_ && payload.size() == plain_length_) position = UsageReader::Position::whole;
  usage_.feed(payload, position);
  first_piece_ = false;
  body_bytes_ += payload.size();
  if (checking_) {
    if (keep_for_check(payload)) return;
    release_checked();
    if (phase_ == Phase::ended) return;
  }
  capture(payload);
  if (!chunked_downstream_) return send_downstream(piece.payload());
  if (piece.whole_chunk) return send_downstream(std::move(piece.bytes));
  send_chunk(piece.payload());
}

void Exchange::end_plain() {
  if (checking_) {
    if (!passes_check()) return;
    release_checked();
    if (phase_ == Phase::ended) return;
  }
  if (chunked_downstream_) send_downstream(core::Slice::of_static(net::kLastChunk));
  store_capture();
  finish();
}

void Exchange::on_first_token() {
  if (record_.first_token_ns != 0) return;
  report_answering();
  record_.first_token_ns = std::max<uint64_t>(1, shard_.loop().now_ns() - started_ns_);
  if (phase_ == Phase::holding) release_held();
}

// From here on the answer is this attempt's.
void Exchange::release_held() {
  phase_ = Phase::relaying;
  if (held_.empty()) return;
  committed_ = true;
  session_.send(std::move(held_));
}

void Exchange::answer_error(core::Error error) {
  record_.error = error.code;
  record_.status = core::describe(error.code).status;
  phase_ = Phase::relaying;
  committed_ = true;
  record_.response_bytes += send_error(session_, shard_.small_bytes(), error, answer_context());
  finish();
}

void Exchange::answer_static(std::string_view text) {
  // A text is no vector: what made weir come here is the answer.
  if (facts_.endpoint == Endpoint::embeddings)
    return answer_error({record_.first_failure.value_or(ErrorCode::killed)});
  phase_ = Phase::relaying;
  committed_ = true;
  record_.status = 200;
  record_.unit = Record::kNone;  // no unit answers, and nothing is charged for this
  record_.upstream_status = 0;
  record_.response_bytes = 0;
  usage_ = UsageReader(facts_.endpoint);
  record_.response_bytes += send_static_answer(session_, shard_.loop().buffers(), text, facts_.endpoint,
                                               stream_, shard_.loop().wall_now_ns(), answer_context());
  finish();
}

// The answer cannot be completed. Before anything has gone downstream it becomes an error; after that the
// client must be able to see that it is not whole: an error event on a stream, and an ending that is none.
void Exchange::cut(core::Error error) {
  if (phase_ == Phase::ended) return;
  report(error, 0);
  if (!committed_) {
    end_attempt(Reuse::no);
    held_.reset();
    return answer_error(error);
  }
  record_.error = error.code;
  end_attempt(Reuse::no);
  if (mode_ == Mode::events) {
    if (core::Slice event = render_error_event(shard_.small_bytes(), error); !event.empty())
      send_chunk(std::move(event));
    if (phase_ == Phase::ended) return;  // no memory even for that
  }
  session_.cut();
  settle();
}

void Exchange::finish() {
  session_.end_response();
  settle();
}

// The one place where an exchange is accounted for.
void Exchange::settle() {
  WEIR_ASSERT(phase_ != Phase::ended);
  phase_ = Phase::ended;
  if (record_.upstream_status != 0) report_success();  // it has come to its end
  timer_.cancel();
  copy_out_task_.unlink();
  shard_.gateway().cache.drop(draft_);
  record_.total_ns = shard_.loop().now_ns() - started_ns_;
  const Usage usage = attempt_usage();
  record_.usage_reported = usage.present;
  record_.usage_estimated = is_estimated();
  record_.input_tokens = usage.input;
  record_.cached_input_tokens = usage.cached_input;
  record_.output_tokens = usage.output;
  record_.reasoning_tokens = usage.reasoning;
  record_.cost_nano_usd = attempt_cost();
  if (__builtin_add_overflow(record_.cost_nano_usd, written_off_cost_, &record_.cost_nano_usd)) {
    record_.cost_nano_usd = INT64_MAX;
  }
  if (usage.present) learn(usage);
  const auto tokens = static_cast<uint64_t>(usage.input + usage.output + written_off_tokens_);
  hold_.settle(tokens, record_.cost_nano_usd, shard_.gateway().users, shard_.guard_time());
  pilots_.settle(tokens, shard_.guard_time());
  if (runaway_tag_ != 0 && full_length_ > 0 && usage.output >= full_length_) {
    count_full_length(shard_.gateway().users, runaway_tag_, table().body->runaway, shard_.loop().now_ns());
  }
  const std::string_view model = usage_.model();
  record_.model_size = static_cast<uint8_t>(std::min(model.size(), record_.model.size()));
  std::memcpy(record_.model.data(), model.data(), record_.model_size);
  finish_shadow(usage);
  shard_.settle(record_);
  session_.exchange = nullptr;
  shard_.loop().at_end_of_turn(release_task_);
}

}  // namespace weir::routing
