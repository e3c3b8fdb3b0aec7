// Attempts: from the decision to the provider's answer, and on to the next hop. How answers go downstream
// stands in exchange_answer.cc and exchange_stream.cc.
#include "routing/exchange/exchange.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>

#include "net/http/writer.h"
#include "routing/exchange/shard.h"

namespace weir::routing {
namespace {

using core::ErrorCode;

// Room for the request head in front of what the rewrite renders, so that both leave in one piece.
constexpr uint32_t kConnectGraceMs = 20;
constexpr uint32_t kHeadRoom = 4096;
constexpr uint32_t kFirstScratchBytes = 8192 - kHeadRoom;
// What else the head holds is far smaller than this.
static_assert(core::limits::kMaxCredentialBytes + core::limits::kMaxBasePathBytes + 1024 <= kHeadRoom);

std::string_view upstream_path(Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::chat_completions:
      return "/chat/completions";
    case Endpoint::completions:
      return "/completions";
    case Endpoint::embeddings:
      return "/embeddings";
    case Endpoint::responses:
      return "/responses";
  }
  return {};
}

// What a provider says about when to come back, in seconds or milliseconds; 0 = nothing that is a number.
uint64_t retry_after_of(const net::ResponseHead& head, const uint8_t* base) {
  const auto number = [&](net::HeaderId id) -> uint64_t {
    const std::string_view text = head.fields.value(id, base);
    uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size() ? value : 0;
  };
  const uint64_t ms = number(net::HeaderId::retry_after_ms);
  return ms != 0 ? core::milliseconds(ms) : core::seconds(number(net::HeaderId::retry_after));
}

}  // namespace

Exchange::Exchange(Shard& shard, net::ServerSession& session, const RequestFacts& facts, const Record& record)
    : shard_(shard),
      session_(session),
      table_(shard.pin_table()),
      timer_(on_timer, this),
      release_task_(on_release, this),
      copy_out_task_(on_memory_short, this),
      facts_(facts),
      record_(record),
      usage_(facts.endpoint),
      started_ns_(shard.loop().now_ns()) {
  record_.table = table_.get();
  record_.wall_ns = shard.loop().wall_now_ns();
}

Exchange::~Exchange() {
  WEIR_ASSERT(phase_ == Phase::ended && upstream_ == nullptr && !waiting());
}

const Unit& Exchange::unit() const {
  return (*table().body)[unit_];
}

void Exchange::start(const Decision& decision, const Inspection& inspection, std::string_view user,
                     const AttributeValues& attributes) {
  decision_ = decision;
  stream_ = inspection.stream;
  input_bytes_ = inspection.input_bytes;
  media_bytes_ = inspection.media_bytes;
  shard_.retries().exchange_begins();
  shard_.loop().when_receive_memory_is_short(copy_out_task_);
  if (!user.empty()) user_ = shard_.small_bytes().copy(user);
  keep_attributes(attributes);
  record_.streamed = stream_;
  if (decision.scenario) record_.scenario = static_cast<uint32_t>(*decision.scenario);
  if (decision.flag) record_.flag = static_cast<uint32_t>(*decision.flag);
  record_.state = decision.state;
  record_.arm = decision.arm;
  record_.reason = decision.reason;
  record_.decided_unit = static_cast<uint32_t>(decision.unit);
  // The deadline of the whole exchange, all hops together, is that of the unit it began with.
  total_deadline_ns_ = core::deadline_after(started_ns_, (*table().body)[decision.unit].timeouts.total_ns);
  if (!admit(inspection, user)) return;
  if (decision.hop) {
    const FallbackHop& hop = (*table().body)[*decision.scenario].fallback[*decision.hop];
    next_hop_ = *decision.hop + 1u;
    if (hop.kind == FallbackHop::Kind::static_text) return answer_static(hop.text);
  }
  begin_attempt(decision_.unit, &inspection);
}

// As offsets: the request's bytes stay until the exchange ends, but may move to a block of their own.
void Exchange::keep_attributes(const AttributeValues& attributes) {
  const auto* base = reinterpret_cast<const char*>(session_.request_bytes().data());
  for (uint32_t left = attributes.present(); left != 0; left &= left - 1) {
    const auto at = static_cast<uint8_t>(std::countr_zero(left));
    const std::string_view value = attributes.find(AttributeIndex{at})->text();
    const auto offset = static_cast<size_t>(value.data() - base);
    WEIR_ASSERT(offset + value.size() <= facts_.head_size);
    attributes_[attribute_count_++] = {static_cast<uint16_t>(offset), static_cast<uint16_t>(value.size()), at};
  }
}

void Exchange::begin_attempt(UnitIndex unit_index, const Inspection* inspection) {
  pausing_ = false;
  if (unit_ != unit_index || record_.attempts == 0) {
    retries_left_ = (*table().body)[unit_index].retries;
    retries_made_ = 0;
  }
  unit_ = unit_index;
  record_.unit = static_cast<uint32_t>(unit_index);
  ++record_.attempts;
  shard_.metrics().attempts.add();
  phase_ = Phase::acquiring;
  mode_ = Mode::plain;
  usage_ = UsageReader(facts_.endpoint);
  splitter_.reset();
  partial_event_.reset();
  held_.reset();
  saw_done_ = saw_terminal_ = false;
  first_piece_ = first_event_ = true;
  content_events_ = 0;
  record_.upstream_status = 0;
  record_.response_bytes = 0;
  plain_length_ = 0;
  upstream_retry_after_ns_ = 0;
  if (!may_ask()) {
    fail_attempt({ErrorCode::breaker_open}, 0);
    return;
  }
  // The connection has the same clock and tells first, so that a retry opens another one to the next address.
  const uint64_t connect_ns = unit().timeouts.connect_ns;
  set_deadline(connect_ns + core::milliseconds(kConnectGraceMs));

  const Model& model = (*table().body)[unit().model];
  pool_ = &shard_.pool_for(table(), model.provider);
  core::Result<void> outcome;
  const auto connect_ms = static_cast<uint32_t>(std::min<uint64_t>(connect_ns / core::kNsPerMs, UINT32_MAX));
  upstream_ = pool_->acquire(*this, outcome, std::max<uint32_t>(connect_ms, 1));
  if (!outcome) {
    pool_ = nullptr;
    fail_attempt(outcome.error(), 0);
    return;
  }
  if (upstream_ == nullptr) return;  // on_upstream_ready() or on_upstream_refused() comes
  if (inspection != nullptr) return send_request(*inspection);
  send_request();
}

void Exchange::on_upstream_ready(net::ClientSession& session) {
  upstream_ = &session;
  send_request();
}

void Exchange::on_upstream_refused(core::Error error) {
  pool_ = nullptr;
  fail_attempt(error, 0);
}

// The Inspector has seen other bodies since: look again.
void Exchange::send_request() {
  const auto body = session_.request_bytes().bytes().subspan(facts_.head_size);
  auto inspection = shard_.inspector().inspect(facts_.endpoint, body);
  WEIR_ASSERT(inspection.has_value());  // the same bytes were accepted before
  send_request(**inspection);
}

void Exchange::send_request(const Inspection& inspection) {
  const uint64_t now_ns = shard_.loop().now_ns();
  record_.upstream_ready_ns = now_ns - started_ns_;
  sent_ns_ = now_ns;
  reused_session_ = upstream_->exchanges() > 0;

  const core::Slice& request = session_.request_bytes();
  const auto body = request.bytes().subspan(facts_.head_size);
  const Table& now_table = table();
  PromptValues values{};
  char user_json[6 * core::limits::kMaxIdentifierBytes];
  if (!unit().rewrite.prompt.empty()) {
    const Tenant tenant = now_table[decision_.tenant];
    const auto put = [&](PromptVariable variable, std::string_view text) {
      values.of[static_cast<unsigned>(variable)] = text;
    };
    put(PromptVariable::tenant_id, tenant.id());
    put(PromptVariable::tenant_name, tenant.display_name_json());
    if (decision_.scenario) put(PromptVariable::scenario, (*now_table.body)[*decision_.scenario].name);
    put(PromptVariable::model, (*now_table.body)[unit().model].name);
    put(PromptVariable::date, shard_.date());
    ScratchWriter escaped({reinterpret_cast<uint8_t*>(user_json), sizeof user_json});
    render_json_string_body(user_.text(), escaped);
    put(PromptVariable::user, escaped.text(0, escaped.size()));
    values.attributes = std::span(attributes_).first(attribute_count_);
    values.request = request.data();
  }

  // New bytes are rendered behind room for the head; the block grows with the prompt, which is fixed by the
  // table.
  core::Slice block;
  PieceList pieces;
  core::Result<RewriteResult> rewrite = core::fail(ErrorCode::rewrite_too_large);
  const uint32_t wanted = kHeadRoom + kFirstScratchBytes + prompt_bytes(unit().rewrite, values);
  for (uint64_t size = wanted; !rewrite && size <= core::limits::kMaxRewrittenBytes; size *= 4) {
    block = shard_.loop().buffers().allocate(static_cast<uint32_t>(size));
    if (block.block() == nullptr) {
      rewrite = core::fail(ErrorCode::out_of_buffers);
      break;
    }
    ScratchWriter scratch({block.mutable_data() + kHeadRoom, block.room() - kHeadRoom});
    pieces.clear();
    rewrite = plan_rewrite(inspection, body, unit().rewrite, values, scratch, pieces);
    if (!rewrite && rewrite.error().code != ErrorCode::rewrite_too_large) break;
    block.set_size(kHeadRoom + scratch.size());
  }
  if (!rewrite) {
    end_attempt(Reuse::yes);  // nothing was sent on it
    return answer_error(rewrite.error());
  }
  usage_hidden_ = rewrite->usage_hidden;

  const Provider& provider = (*now_table.body)[(*now_table.body)[unit().model].provider];
  char head_bytes[kHeadRoom];
  net::HeadWriter head(head_bytes);
  char target[core::limits::kMaxBasePathBytes + 64];
  const std::string_view path = upstream_path(facts_.endpoint);
  const size_t prefix = provider.path_prefix.size();
  WEIR_ASSERT(prefix <= core::limits::kMaxBasePathBytes);  // checked when the table was read
  std::memcpy(target, provider.path_prefix.data(), prefix);
  std::memcpy(target + prefix, path.data(), path.size());
  head.request_line(net::Method::post, {target, prefix + path.size()});
  head.field("host", provider.host_header);
  if (!provider.authorization.empty()) head.field("authorization", provider.authorization.reveal());
  head.field("content-type", "application/json");
  head.field("accept", stream_ ? "text/event-stream" : "application/json");
  head.field("accept-encoding", "identity");  // usage is read on the way
  head.field("content-length", rewrite->content_length);
  if (facts_.traceparent_size > 0) head.field("traceparent", {facts_.traceparent, facts_.traceparent_size});
  head.field("x-request-id", std::string_view(to_hex(record_.id).data(), 32));
  head.end();
  if (head.overflowed()) {
    end_attempt(Reuse::yes);
    return answer_error({ErrorCode::internal});
  }
  const auto head_size = static_cast<uint32_t>(head.size());
  const uint32_t head_begin = kHeadRoom - head_size;
  std::memcpy(block.mutable_data() + head_begin, head_bytes, head_size);

  phase_ = Phase::waiting_head;
  const Timeouts& timeouts = unit().timeouts;
  set_deadline(std::min(timeouts.header_ns, timeouts.first_token_ns));
  net::ClientSession& upstream = *upstream_;
  upstream.begin(*this, net::Method::post);
  upstream.send(block.share(head_begin, head_size));
  for (const Piece& piece : pieces.pieces()) {
    upstream.send(piece.from_body ? request.share(facts_.head_size + piece.offset, piece.size)
                                  : block.share(kHeadRoom + piece.offset, piece.size));
  }
}

// The clock of the present phase, within the total.
void Exchange::set_deadline(uint64_t timeout_ns) {
  const uint64_t deadline_ns = core::deadline_after(shard_.loop().now_ns(), timeout_ns);
  shard_.loop().timers().schedule(timer_, std::min(deadline_ns, total_deadline_ns_));
}

void Exchange::on_timer(core::Timer& timer) {
  auto& self = timer.owner<Exchange>();
  const uint64_t now_ns = self.shard_.loop().now_ns();
  ErrorCode code = ErrorCode::idle_timeout;
  if (self.pausing_ && now_ns < self.total_deadline_ns_) return self.begin_attempt(self.unit_, nullptr);
  if (now_ns >= self.total_deadline_ns_) {
    code = ErrorCode::total_timeout;
  } else if (self.phase_ == Phase::acquiring) {
    code = ErrorCode::connect_timeout;
  } else if (self.phase_ == Phase::waiting_head) {
    const Timeouts& timeouts = self.unit().timeouts;
    code = timeouts.first_token_ns < timeouts.header_ns ? ErrorCode::first_token_timeout
                                                        : ErrorCode::header_timeout;
  } else if (self.record_.first_token_ns == 0) {
    code = ErrorCode::first_token_timeout;
  } else if (self.upstream_paused_) {
    // The client is slow, not the provider: the client's own clock decides.
    return self.set_deadline(self.unit().timeouts.idle_ns);
  }
  self.fail_attempt({code}, 0);
}

// Gives the session or the place in the queue back.
void Exchange::end_attempt(Reuse reuse) {
  if (waiting()) pool_->abandon(*this);
  upstream_paused_ = false;
  if (upstream_ != nullptr) {
    if (reuse == Reuse::no) upstream_->cancel();
    net::ClientSession& session = *std::exchange(upstream_, nullptr);
    pool_->release(session, reuse);
  }
  pool_ = nullptr;
}

void Exchange::on_response_failed(core::Error error) {
  fail_attempt(error, 0);
}

// The attempt is over without a usable answer. For a provider's own error answer see on_response_head().
AfterFailure Exchange::fail_attempt(core::Error error, uint16_t upstream_status) {
  const bool before_answer = phase_ == Phase::waiting_head && error.code != ErrorCode::header_timeout &&
                             error.code != ErrorCode::first_token_timeout &&
                             error.code != ErrorCode::total_timeout;
  AttemptFailure failure{.code = error.code};
  failure.upstream_status = upstream_status;
  failure.committed = committed_;
  failure.stale_connection =
      before_answer && reused_session_ && upstream_status == 0 &&
      (error.code == ErrorCode::upstream_closed || error.code == ErrorCode::upstream_reset);
  failure.free_retry_left = free_retry_left_;
  report(error, upstream_status);
  // A provider that wants to be left alone for longer is not waited for.
  const bool soon = upstream_retry_after_ns_ <= core::milliseconds(RetryBudget::kLongestDelayMs);
  failure.retries_left = soon && shard_.retries().may_retry() ? retries_left_ : 0;
  failure.time_left = shard_.loop().now_ns() < total_deadline_ns_;

  uint32_t hop_after = next_hop_;
  const FallbackHop* hop = nullptr;
  if (const auto cause = cause_of(error.code, upstream_status); cause && decision_.scenario) {
    do {  // there is no cache to answer a `cached` hop from, and a unit must fit into the budgets
      hop = next_fallback(table(), *decision_.scenario, *cause, &hop_after);
    } while (hop != nullptr && (hop->kind == FallbackHop::Kind::cached ||
                                (hop->kind == FallbackHop::Kind::unit && !affords(hop->unit))));
  }
  failure.hop_answers = hop != nullptr;

  const AfterFailure next = after_failure(failure);
  if (next != AfterFailure::forward) end_attempt(Reuse::no);
  switch (next) {
    case AfterFailure::same_hop_free:
      free_retry_left_ = false;
      begin_attempt(unit_, nullptr);
      break;
    case AfterFailure::same_hop:
      --retries_left_;
      pause_before_retry();
      break;
    case AfterFailure::next_hop:
      next_hop_ = hop_after;
      if (!first_failure_) first_failure_ = error.code;
      take_next_hop(*hop);
      break;
    case AfterFailure::forward:
      break;  // the caller relays what the provider says
    case AfterFailure::answer:
      answer_error(error);
      break;
    case AfterFailure::cut:
      cut(error);
      break;
  }
  return next;
}

void Exchange::pause_before_retry() {
  shard_.retries().retry_begins();
  pausing_ = true;
  phase_ = Phase::acquiring;
  set_deadline(std::max(RetryBudget::delay_ns(retries_made_++, shard_.dice()), upstream_retry_after_ns_));
}

void Exchange::take_next_hop(const FallbackHop& hop) {
  ++hops_taken_;
  record_.arm = Arm::fallback;
  record_.reason = Reason::fallback;
  switch (hop.kind) {
    case FallbackHop::Kind::unit:
      return begin_attempt(hop.unit, nullptr);
    case FallbackHop::Kind::static_text:
      return answer_static(hop.text);
    case FallbackHop::Kind::cached:
      WEIR_ASSERT(false);  // passed over by fail_attempt()
  }
}

void Exchange::on_response_head(const net::ResponseHead& head, const uint8_t* base) {
  record_.upstream_status = head.status;
  if (head.status == 429 || head.status == 503) upstream_retry_after_ns_ = retry_after_of(head, base);
  if (is_attempt_failure(head.status) || is_hidden_status(head.status)) {
    if (fail_attempt({ErrorCode::upstream_status}, head.status) != AfterFailure::forward) return;
    // Nobody else answers, so the provider's own words go to the client.
    record_.error = ErrorCode::upstream_status;
  }
  const std::string_view coding = head.fields.value(net::HeaderId::content_encoding, base);
  if (head.status < 300 && !coding.empty() && coding != "identity") {
    fail_attempt({ErrorCode::upstream_malformed}, 0);  // not asked for, and unreadable
    return;
  }
  const std::string_view type = head.fields.value(net::HeaderId::content_type, base);
  mode_ = stream_ && head.status < 300 && type.starts_with("text/event-stream") ? Mode::events : Mode::plain;
  // A stream that may still fall back on a missed first token holds back what comes before it.
  uint32_t hop = next_hop_;
  const bool may_fall_back =
      mode_ == Mode::events && decision_.scenario &&
      next_fallback(table(), *decision_.scenario, FallbackCause::timeout, &hop) != nullptr;
  phase_ = may_fall_back ? Phase::holding : Phase::relaying;
  const uint64_t first_token_deadline_ns = core::deadline_after(sent_ns_, unit().timeouts.first_token_ns);
  set_deadline(core::timeout_until(first_token_deadline_ns, shard_.loop().now_ns()));
  if (head.framing.kind == net::BodyKind::content_length) plain_length_ = head.framing.content_length;
  render_head(head, base);
}

void Exchange::on_response_body(net::BodyPiece piece) {
  if (mode_ == Mode::events) {
    relay_events(std::move(piece));
  } else {
    on_first_token();
    relay_plain(std::move(piece));
  }
  if (phase_ == Phase::ended) return;
  if (record_.first_token_ns != 0) set_deadline(unit().timeouts.idle_ns);
  if (upstream_ != nullptr && !upstream_paused_ && session_.send_queue_high()) {
    upstream_paused_ = true;
    upstream_->pause_receiving();
  }
}

void Exchange::on_send_queue_low() {
  if (!upstream_paused_ || upstream_ == nullptr) return;
  upstream_paused_ = false;
  upstream_->resume_receiving();
}

void Exchange::on_response_end(Reuse reuse) {
  if (mode_ == Mode::events) return end_events(reuse);
  end_attempt(reuse);
  end_plain();
}

void Exchange::on_client_gone(core::Error error) {
  report(error, 0);
  record_.client_gone = true;
  record_.error = error.code;
  end_attempt(Reuse::no);
  settle();
}

void Exchange::on_release(core::TurnTask& task) {
  auto& self = task.owner<Exchange>();
  self.shard_.exchanges().release(&self);
}

// The request is kept for further attempts, but not at the price of the block it came in. Without memory for
// a copy it stays where it is.
void Exchange::on_memory_short(core::TurnTask& task) {
  auto& self = task.owner<Exchange>();
  core::Loop& loop = self.shard_.loop();
  if (!loop.worth_copying_out(self.session_.request_bytes().size())) return loop.when_receive_memory_is_short(task);
  self.session_.move_request_to_own_block();
}

void Exchange::abandon() {
  if (phase_ == Phase::ended) return;  // settled in this very turn
  report({ErrorCode::shutting_down}, 0);
  end_attempt(Reuse::no);
  record_.error = ErrorCode::shutting_down;
  if (!committed_) record_.status = 0;
  session_.abort();
  settle();
}

}  // namespace weir::routing
