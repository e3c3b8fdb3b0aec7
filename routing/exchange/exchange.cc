// Attempts: from the decision to the provider's answer, and on to the next hop. How answers go downstream
// stands in exchange_answer.cc and exchange_stream.cc.
#include "routing/exchange/exchange.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "net/http/head_rules.h"
#include "net/http/writer.h"
#include "routing/exchange/shard.h"

namespace weir::routing {
namespace {

using core::ErrorCode;

constexpr uint32_t kConnectGraceMs = 20;
// A pooled connection that had ended when the request was sent shows it within a round trip; what ends later ended at
// work, and is paid for.
constexpr uint64_t kStaleWithinNs = core::milliseconds(1000);
constexpr uint32_t kFirstScratchBytes = 8192 - kRequestHeadRoom;
// What else the head holds is far smaller than this.
static_assert(core::limits::kMaxCredentialBytes + core::limits::kMaxBasePathBytes + 1024 <= kRequestHeadRoom);

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

// Media types ignore case (RFC 9110 section 8.3.1).
bool is_event_stream(std::string_view type) {
  constexpr std::string_view kType = "text/event-stream";
  return net::equals_ignoring_case(type.substr(0, kType.size()), kType);
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

bool Exchange::start(const Decision& decision, const Inspection& inspection, std::string_view user,
                     const AttributeValues& attributes, uint64_t runaway_tag,
                     std::optional<ShadowChoice> shadow, PilotPlaces& pilots) {
  decision_ = decision;
  shadow_ = shadow;
  runaway_tag_ = runaway_tag;
  stream_ = inspection.stream;
  input_bytes_ = inspection.input_bytes;
  media_bytes_ = inspection.media_bytes;
  input_elsewhere_ = inspection.input_elsewhere;
  shard_.retries().exchange_begins();
  shard_.loop().when_receive_memory_is_short(copy_out_task_);
  if (!user.empty()) user_ = shard_.small_bytes().copy(user);
  keep_attributes(attributes);
  record_.streamed = stream_;
  if (decision.scenario) record_.scenario = static_cast<uint32_t>(*decision.scenario);
  if (decision.flag) record_.flag = static_cast<uint32_t>(*decision.flag);
  record_.state = decision.state;
  record_.arm = record_.decided_arm = decision.arm;
  record_.reason = decision.reason;
  record_.decided_unit = static_cast<uint32_t>(decision.unit);
  // The deadline of the whole exchange, all hops together, is that of the unit it began with.
  total_deadline_ns_ = core::deadline_after(started_ns_, (*table().body)[decision.unit].timeouts.total_ns);
  if (!admit(inspection)) return false;
  const bool as_decided = decision_.unit == decision.unit;
  if (as_decided) pilots.move_to(pilots_);
  // A budget may have put another unit in the candidate's place.
  stable_left_ = decision_.arm == Arm::candidate && decision_.scenario &&
                 (*table().body)[*decision_.scenario].stable != decision_.unit;
  if (decision.hop) {
    const FallbackHop& hop = (*table().body)[*decision.scenario].fallback[*decision.hop];
    next_hop_ = *decision.hop + 1u;
    if (hop.kind == FallbackHop::Kind::static_text) {
      answer_static(hop.text);
      return as_decided;
    }
  }
  if (!try_cache(inspection)) begin_attempt(decision_.unit, &inspection);
  return as_decided;
}

// As offsets: the request's bytes stay until the exchange ends, but may move to a block of their own.
void Exchange::keep_attributes(const AttributeValues& attributes) {
  const auto* base = reinterpret_cast<const char*>(session_.request_bytes().data());
  for (uint32_t left = attributes.present(); left != 0; left &= left - 1) {
    const auto at = static_cast<uint8_t>(std::countr_zero(left));
    const std::string_view value = attributes.find(AttributeIndex{at})->text();
    const auto offset = static_cast<size_t>(value.data() - base);
    WEIR_ASSERT(offset + value.size() <= facts_.head_size);
    attributes_[attribute_count_++] = {static_cast<uint16_t>(offset), static_cast<uint16_t>(value.size()),
                                       at};
  }
}

void Exchange::begin_attempt(UnitIndex unit_index, const Inspection* inspection) {
  pausing_ = false;
  const bool other_unit = unit_ != unit_index || record_.attempts == 0;
  unit_ = unit_index;
  if (other_unit) {
    retries_left_ = unit().retries;
    const size_t hosts = (*table().body)[unit().model].hosts.size();
    other_providers_ = hosts > 0 ? static_cast<uint32_t>(hosts - 1) : 0;
    retries_made_ = 0;
    failed_host_.reset();
    hop_deadline_ns_ =
        std::min(total_deadline_ns_, core::deadline_after(shard_.loop().now_ns(), unit().timeouts.total_ns));
  }
  record_.unit = static_cast<uint32_t>(unit_index);
  ++record_.attempts;
  shard_.metrics().attempts.add();
  phase_ = Phase::acquiring;
  mode_ = Mode::plain;
  begin_capture(/*looked_up=*/inspection != nullptr);
  usage_ = UsageReader(facts_.endpoint);
  splitter_.reset();
  partial_event_.reset();
  held_.reset();
  checked_.reset();
  checking_ = refused_ = false;
  saw_done_ = saw_terminal_ = false;
  first_piece_ = first_event_ = true;
  content_events_ = body_bytes_ = 0;
  sent_ = false;
  record_.upstream_status = 0;
  record_.response_bytes = 0;
  plain_length_ = 0;
  upstream_retry_after_ns_ = 0;
  retry_after_ns_ = 0;
  if (auto chosen = choose_provider(); !chosen) {
    fail_attempt(chosen.error(), 0);
    return;
  }
  // The connection has the same clock and tells first, so that a retry opens another one to the next address.
  const uint64_t connect_ns = unit().timeouts.connect_ns;
  set_deadline(connect_ns + core::milliseconds(kConnectGraceMs));

  pool_ = &shard_.pool_for(table(), ProviderIndex{record_.provider});
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

// What `unit_index` makes of the client's request. Nothing of it is sent.
core::Result<void> Exchange::render_request(UnitIndex unit_index, ProviderIndex provider_index,
                                            const Inspection& inspection, UpstreamRequest& out) {
  const Table& now_table = table();
  const Unit& of_unit = (*now_table.body)[unit_index];
  const core::Slice& request = session_.request_bytes();
  const auto body = request.bytes().subspan(facts_.head_size);
  PromptValues values{};
  char user_json[6 * core::limits::kMaxIdentifierBytes];
  if (!of_unit.rewrite.prompt.empty()) {
    const Tenant tenant = now_table[decision_.tenant];
    const auto put = [&](PromptVariable variable, std::string_view text) {
      values.of[static_cast<unsigned>(variable)] = text;
    };
    put(PromptVariable::tenant_id, tenant.id());
    put(PromptVariable::tenant_name, tenant.display_name_json());
    if (decision_.scenario) put(PromptVariable::scenario, (*now_table.body)[*decision_.scenario].name);
    put(PromptVariable::model, (*now_table.body)[of_unit.model].name);
    put(PromptVariable::date, shard_.date());
    ScratchWriter escaped({reinterpret_cast<uint8_t*>(user_json), sizeof user_json});
    render_json_string_body(user_.text(), escaped);
    put(PromptVariable::user, escaped.text(0, escaped.size()));
    values.attributes = std::span(attributes_).first(attribute_count_);
    values.request = request.data();
  }

  // New bytes are rendered behind room for the head; the block grows with the prompt, which is fixed by the
  // table.
  core::Slice& block = out.block;
  PieceList& pieces = out.pieces;
  core::Result<RewriteResult> rewrite = core::fail(ErrorCode::rewrite_too_large);
  const uint32_t wanted = kRequestHeadRoom + kFirstScratchBytes + prompt_bytes(of_unit.rewrite, values);
  for (uint64_t size = wanted; !rewrite && size <= core::limits::kMaxRewrittenBytes; size *= 4) {
    block = shard_.loop().buffers().allocate(static_cast<uint32_t>(size));
    if (block.block() == nullptr) {
      rewrite = core::fail(ErrorCode::out_of_buffers);
      break;
    }
    ScratchWriter scratch({block.mutable_data() + kRequestHeadRoom, block.room() - kRequestHeadRoom});
    pieces.clear();
    rewrite = plan_rewrite(inspection, body, of_unit.rewrite, values, scratch, pieces);
    if (!rewrite && rewrite.error().code != ErrorCode::rewrite_too_large) break;
    block.set_size(kRequestHeadRoom + scratch.size());
  }
  if (!rewrite) return std::unexpected(rewrite.error());
  out.usage_hidden = rewrite->usage_hidden;

  const Provider& provider = (*now_table.body)[provider_index];
  char head_bytes[kRequestHeadRoom];
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
  if (head.overflowed()) return core::fail(ErrorCode::internal);
  out.head_size = static_cast<uint32_t>(head.size());
  out.head_begin = kRequestHeadRoom - out.head_size;
  std::memcpy(block.mutable_data() + out.head_begin, head_bytes, out.head_size);
  return {};
}

void Exchange::send_request(const Inspection& inspection) {
  const uint64_t now_ns = shard_.loop().now_ns();
  record_.upstream_ready_ns = now_ns - started_ns_;
  sent_ns_ = now_ns;
  reused_session_ = upstream_->exchanges() > 0;

  UpstreamRequest rendered;
  if (auto made = render_request(unit_, ProviderIndex{record_.provider}, inspection, rendered); !made) {
    report(made.error(), 0);  // or a probe would keep its breaker half open
    end_attempt(Reuse::yes);  // nothing was sent on it
    return answer_error(made.error());
  }
  usage_hidden_ = rendered.usage_hidden;
  const core::Slice& request = session_.request_bytes();

  phase_ = Phase::waiting_head;
  sent_ = true;
  most_ = most_usage(unit_, inspection);
  const Timeouts& timeouts = unit().timeouts;
  set_deadline(std::min(timeouts.header_ns, timeouts.first_token_ns));
  net::ClientSession& upstream = *upstream_;
  upstream.begin(*this, net::Method::post);
  upstream.send(rendered.block.share(rendered.head_begin, rendered.head_size));
  for (const Piece& piece : rendered.pieces.pieces()) {
    upstream.send(piece.from_body ? request.share(facts_.head_size + piece.offset, piece.size)
                                  : rendered.block.share(kRequestHeadRoom + piece.offset, piece.size));
  }
  if (shadow_) start_shadow(inspection);
}

// The clock of the present phase, within the hop's.
void Exchange::set_deadline(uint64_t timeout_ns) {
  const uint64_t deadline_ns = core::deadline_after(shard_.loop().now_ns(), timeout_ns);
  shard_.loop().timers().schedule(timer_, std::min(deadline_ns, hop_deadline_ns_));
}

void Exchange::on_timer(core::Timer& timer) {
  auto& self = timer.owner<Exchange>();
  const uint64_t now_ns = self.shard_.loop().now_ns();
  ErrorCode code = ErrorCode::idle_timeout;
  if (self.pausing_ && now_ns < self.hop_deadline_ns_) return self.begin_attempt(self.unit_, nullptr);
  if (now_ns >= self.hop_deadline_ns_) {
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
      (error.code == ErrorCode::upstream_closed || error.code == ErrorCode::upstream_reset) &&
      shard_.loop().now_ns() - sent_ns_ < kStaleWithinNs;
  if (failure.stale_connection) sent_ = false;  // it had ended before the request came
  failure.free_retry_left = free_retry_left_;
  // Nobody is made to pay for a probe, or for a provider that took no request, while another one is well.
  const auto cause = cause_of(error.code, upstream_status);
  const bool not_taken = cause == FallbackCause::connect || cause == FallbackCause::rate_limited;
  failure.other_provider = other_providers_ > 0 && (not_taken || pass_ == Pass::probe) &&
                           core::describe(error.code).retry_on_next_hop &&
                           error.code != ErrorCode::breaker_open && error.code != ErrorCode::provider_limited;
  report(error, upstream_status);
  failed_host_ = host_;
  const uint64_t now_ns = shard_.loop().now_ns();
  failure.time_left = now_ns < total_deadline_ns_;
  // What the provider says, and on top of it the jitter: or all would come back at once. A provider that
  // wants to be left alone for longer is not waited for.
  const uint64_t delay_ns = upstream_retry_after_ns_ + RetryBudget::delay_ns(retries_made_, shard_.dice());
  const bool soon = upstream_retry_after_ns_ <= core::milliseconds(RetryBudget::kLongestDelayMs) &&
                    core::deadline_after(now_ns, delay_ns) < hop_deadline_ns_;
  failure.retries_left = soon && shard_.retries().may_retry() ? retries_left_ : 0;
  // A candidate that is too slow is not given the time twice.
  if (cause == FallbackCause::timeout && stable_may_answer()) failure.retries_left = 0;
  // What this attempt has cost already is spent; another one must fit beside it.
  if ((failure.retries_left > 0 || failure.other_provider) && attempt_cost() > 0 && !affords(unit_)) {
    failure.retries_left = 0;
    failure.other_provider = false;
  }

  // Looked for only when it is wanted: what a hop may cost is reserved on the way.
  std::optional<NextHop> hop;
  if (cause && !failure.committed && !stays_on_hop(failure)) hop = find_next_hop(*cause, failure.time_left);
  failure.hop_answers = hop.has_value();

  const AfterFailure next = after_failure(failure);
  if (next != AfterFailure::forward) end_attempt(Reuse::no);
  switch (next) {
    case AfterFailure::same_hop_free:
      if (failure.other_provider) {
        --other_providers_;
      } else {
        free_retry_left_ = false;
      }
      write_off_attempt();
      begin_attempt(unit_, nullptr);
      break;
    case AfterFailure::same_hop:
      --retries_left_;
      write_off_attempt();
      pause_before_retry(delay_ns);
      break;
    case AfterFailure::next_hop:
      if (!record_.first_failure) record_.first_failure = error.code;
      write_off_attempt();
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

void Exchange::pause_before_retry(uint64_t delay_ns) {
  shard_.retries().retry_begins();
  ++retries_made_;
  pausing_ = true;
  phase_ = Phase::acquiring;
  set_deadline(delay_ns);
}

bool Exchange::stable_may_answer() const {
  if (!stable_left_) return false;
  const UnitIndex stable = (*table().body)[*decision_.scenario].stable;
  return !is_unit_killed(table(), stable) && may_follow(stable);
}

// Whether anything might answer to `cause`; it need not be able to when it comes to that.
bool Exchange::may_fall_back(FallbackCause cause) const {
  uint32_t hop = next_hop_;
  return decision_.scenario &&
         (stable_may_answer() || next_fallback(table(), *decision_.scenario, cause, &hop) != nullptr);
}

// Of a candidate that failed stable, then the chain. What the hop may cost is reserved.
std::optional<Exchange::NextHop> Exchange::find_next_hop(FallbackCause cause, bool time_left) {
  if (!decision_.scenario) return std::nullopt;
  const UnitIndex stable = (*table().body)[*decision_.scenario].stable;
  if (cause != FallbackCause::refusal && time_left && stable_may_answer() && affords(stable)) {
    return NextHop{.hop = nullptr, .after = next_hop_};
  }
  NextHop next{.hop = nullptr, .after = next_hop_};
  while ((next.hop = next_fallback(table(), *decision_.scenario, cause, &next.after)) != nullptr) {
    const bool asks = next.hop->kind == FallbackHop::Kind::unit;
    const bool asked_already = asks && stable_asked_ && next.hop->unit == stable;
    if ((asks && !time_left) || asked_already || !can_answer(*next.hop)) continue;
    return next;
  }
  return std::nullopt;
}

// A unit must fit into the budgets, and the cache must have something.
bool Exchange::can_answer(const FallbackHop& hop) {
  switch (hop.kind) {
    case FallbackHop::Kind::unit:
      return may_follow(hop.unit) && affords(hop.unit);
    case FallbackHop::Kind::cached:
      return answer_from_any_cache(CacheLook::only_look);
    case FallbackHop::Kind::static_text:
      return true;
  }
  return false;
}

void Exchange::take_next_hop(const NextHop& next) {
  ++hops_taken_;
  next_hop_ = next.after;
  record_.arm = Arm::fallback;
  record_.reason = Reason::fallback;
  stable_left_ = false;
  if (next.hop == nullptr) {
    stable_asked_ = true;
    return begin_attempt((*table().body)[*decision_.scenario].stable, nullptr);
  }
  const FallbackHop& hop = *next.hop;
  switch (hop.kind) {
    case FallbackHop::Kind::unit:
      return begin_attempt(hop.unit, nullptr);
    case FallbackHop::Kind::static_text:
      return answer_static(hop.text);
    case FallbackHop::Kind::cached:
      if (answer_from_any_cache(CacheLook::answer)) return;
      return answer_error({*record_.first_failure});  // another shard has just taken it
  }
}

void Exchange::on_response_head(const net::ResponseHead& head, const uint8_t* base) {
  record_.upstream_status = head.status;
  if (head.status == 429 || head.status == 503) upstream_retry_after_ns_ = retry_after_of(head, base, shard_.loop().wall_now_ns());
  if (is_attempt_failure(head.status) || is_hidden_status(head.status)) {
    if (fail_attempt({ErrorCode::upstream_status}, head.status) != AfterFailure::forward) return;
    // Nobody else answers, so the provider's own words go to the client.
    record_.error = ErrorCode::upstream_status;
  }
  const std::string_view coding = head.fields.value(net::HeaderId::content_encoding, base);
  const bool is_coded = !coding.empty() && coding != "identity";
  if (head.status < 300 && (is_coded || head.fields.count(net::HeaderId::content_encoding) > 1)) {
    fail_attempt({ErrorCode::upstream_malformed}, 0);  // not asked for, and unreadable
    return;
  }
  const std::string_view type = head.fields.value(net::HeaderId::content_type, base);
  mode_ = stream_ && head.status < 300 && is_event_stream(type) ? Mode::events : Mode::plain;
  // A stream that may still fall back on a missed first token holds back what comes before it.
  const bool holds = mode_ == Mode::events && (may_fall_back(FallbackCause::timeout) || may_leave_refusals());
  checking_ = must_be_checked();
  phase_ = holds || checking_ ? Phase::holding : Phase::relaying;
  const uint64_t first_token_deadline_ns = core::deadline_after(sent_ns_, unit().timeouts.first_token_ns);
  set_deadline(core::timeout_until(first_token_deadline_ns, shard_.loop().now_ns()));
  go_on_capturing(head.status);
  if (head.framing.kind == net::BodyKind::content_length) plain_length_ = head.framing.content_length;
  render_head(head, base);
}

void Exchange::on_response_body(net::BodyPiece piece) {
  if (mode_ == Mode::events) {
    if (!relay_events(std::move(piece))) return;
    if (refused_ && leave_refused()) return;
  } else {
    if (!checking_) on_first_token();
    relay_plain(std::move(piece));
  }
  if (phase_ == Phase::ended) return;
  if (record_.first_token_ns != 0 || checking_) set_deadline(unit().timeouts.idle_ns);
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
