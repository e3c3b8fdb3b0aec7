// Guards in an exchange: admission before the first attempt, what a unit may cost at worst, and the answers
// when a limit or budget says no. What was taken is settled in Exchange::settle().
#include <algorithm>
#include <array>
#include <utility>

#include "routing/decide/decide.h"
#include "routing/exchange/answers.h"
#include "routing/exchange/exchange.h"
#include "routing/exchange/expected_tokens.h"
#include "routing/exchange/shard.h"
#include "routing/guard/balance.h"

namespace weir::routing {
namespace {

using core::ErrorCode;

// How long after a table was activated it is told that limits with `warn_at` fill up.
constexpr int64_t kWarnNs = 3'600'000'000'000;

}  // namespace

// What an attempt at this unit uses at most: every byte of input a token, every choice as long as it may be.
Usage Exchange::most_usage(UnitIndex unit_index, const Inspection& inspection) const {
  const Unit& unit = (*table().body)[unit_index];
  const Model& model = (*table().body)[unit.model];
  Usage usage;
  usage.input = static_cast<int64_t>(most_input_tokens(inspection.input_bytes, inspection.media_bytes)) +
                prompt_bytes(unit.rewrite, {});
  for (const PromptPart& part : unit.rewrite.prompt) {
    if (part.variable == PromptVariable::none) continue;
    usage.input += part.variable == PromptVariable::tenant_name
                       ? static_cast<int64_t>(table()[decision_.tenant].display_name_json().size())
                       : int64_t{core::limits::kMaxIdentifierBytes};
  }
  if (inspection.input_elsewhere) usage.input = std::max<int64_t>(usage.input, model.max_input_tokens);
  if (facts_.endpoint != Endpoint::embeddings) {
    const OutputBound bound = output_bound(inspection, unit.rewrite);
    const uint64_t each = bound.tokens_per_choice != 0 ? bound.tokens_per_choice : model.max_output_tokens;
    if (__builtin_mul_overflow(each, bound.choices, &usage.output)) usage.output = INT64_MAX;
  }
  return usage;
}

int64_t Exchange::worst_case(UnitIndex unit, const Inspection& inspection) const {
  return cost(most_usage(unit, inspection), (*table().body)[(*table().body)[unit].model].price);
}

// Whether the present attempt is paid for and nobody has said how much it used: the provider has the request,
// and has not answered with a failure.
bool Exchange::is_estimated() const {
  return sent_ && !usage_.usage().present &&
         (record_.upstream_status == 0 || is_paid_for(record_.upstream_status));
}

// What the present attempt has used so far, as far as somebody pays for it.
Usage Exchange::attempt_usage() const {
  if (!is_estimated()) return usage_.usage();
  static constexpr EstimateLine kNothingLearned{};
  const GuardPlan* plan = table().guards.get();
  return estimate_usage(plan == nullptr ? kNothingLearned : plan->estimate(unit().model),
                        {.input_bytes = uint64_t{input_bytes_} + prompt_bytes(unit().rewrite, {}),
                         .media_bytes = media_bytes_,
                         .events = content_events_,
                         .body_bytes = body_bytes_,
                         .most = most_});
}

int64_t Exchange::attempt_cost() const {
  if (record_.unit == Record::kNone || record_.attempts == 0) return 0;
  return cost(attempt_usage(), (*table().body)[unit().model].price);
}

// Another attempt takes this one's place; what it has used is settled with the rest.
void Exchange::write_off_attempt() {
  const Usage usage = attempt_usage();
  if (__builtin_add_overflow(written_off_cost_, attempt_cost(), &written_off_cost_))
    written_off_cost_ = INT64_MAX;
  written_off_tokens_ += usage.input + usage.output;
  // So that it is not counted again when the exchange ends before the next attempt begins.
  usage_ = UsageReader(facts_.endpoint);
  content_events_ = body_bytes_ = 0;
  sent_ = false;
  record_.upstream_status = 0;
  record_.error.reset();  // its stream may have held one; `first_failure` stays
  if (shadow_pair_ != nullptr) {
    shadow_pair_->primary.size = 0;
    shadow_pair_->primary.truncated = false;
  }
}

// What the provider counted teaches the next estimate, if it was all there.
void Exchange::learn(const Usage& usage) {
  if (table().guards == nullptr || record_.unit == Record::kNone) return;
  if (choices_ != 1 || input_elsewhere_) return;
  const uint64_t text =
      input_bytes_ - std::min(input_bytes_, media_bytes_) + prompt_bytes(unit().rewrite, {});
  observe(table().guards->estimate(unit().model), text, static_cast<uint64_t>(usage.input),
          static_cast<uint64_t>(usage.output));
}

BreakerLine* Exchange::breaker() const {
  return table().guards == nullptr ? nullptr : &table().guards->breaker(unit().model, host_);
}

// What is known of each of a model's providers, in their order. `room` holds kMaxModelHosts.
std::span<HostLoad> Exchange::host_loads(ModelIndex index, PoolUse use, std::span<HostLoad> room) {
  const Table& now_table = table();
  const Model& model = (*now_table.body)[index];
  const uint64_t now_ns = shard_.loop().now_ns();
  const std::span<HostLoad> loads = room.first(std::max<size_t>(model.hosts.size(), 1));
  for (uint32_t i = 0; i < loads.size(); ++i) {
    const ProviderIndex provider = model.provider_at(i);
    const net::UpstreamPoolMachine& pool = shard_.pool_for(now_table, provider, use).machine();
    const bool killed = now_table.kills.any && now_table.kills.providers[static_cast<size_t>(provider)];
    const uint32_t share =
        now_table.guards == nullptr ? 1000 : share_permille(now_table.guards->breaker(index, i), now_ns);
    loads[i] = {.weight = (model.hosts.empty() ? 1 : model.hosts[i].weight) * share,
                .in_flight = pool.busy() + pool.waiting(),
                .usable = !killed && share > 0};
  }
  return loads;
}

// Which of the model's providers this attempt asks: the less loaded of two, by weight and by what its breaker
// lets through. Error: none may be asked now.
core::Result<void> Exchange::choose_provider() {
  const Table& now_table = table();
  const Model& model = (*now_table.body)[unit().model];
  const uint64_t now_ns = shard_.loop().now_ns();
  const auto take = [&](uint32_t host) {
    host_ = host;
    record_.provider = static_cast<uint32_t>(model.provider_at(host));
  };
  take(0);
  if (model.hosts.empty()) {
    BreakerLine* line = breaker();
    if (line == nullptr) return {};
    // A slow start leads requests elsewhere; without an elsewhere they come.
    const bool slow = share_permille(*line, now_ns) < 1000 && may_fall_back(FallbackCause::connect);
    pass_ = ask(*line, now_ns, slow ? shard_.dice() : kNoSlowStart);
    return pass_ != Pass::no ? core::Result<void>() : refuse_by(*line);
  }
  std::array<HostLoad, core::limits::kMaxModelHosts> room;
  const std::span loads = host_loads(unit().model, PoolUse::answers, room);
  // Another shard may take the one probe that a breaker lets through: then the next one is asked.
  while (const auto chosen = choose_host(loads, shard_.dice(), failed_host_)) {
    take(*chosen);
    BreakerLine* line = breaker();
    if (line == nullptr) return {};
    pass_ = ask(*line, now_ns, kNoSlowStart);
    if (pass_ != Pass::no) return {};
    loads[*chosen].usable = false;
  }
  if (now_table.guards == nullptr)
    return core::fail(ErrorCode::killed);  // decide() sees to it that one is left
  return refuse_by(*soonest_breaker());
}

// Of the present model, at whichever of its providers opens first.
BreakerLine* Exchange::soonest_breaker() const {
  const Model& model = (*table().body)[unit().model];
  const uint64_t now_ns = shard_.loop().now_ns();
  BreakerLine* soonest = nullptr;
  for (uint32_t i = 0; i < model.hosts.size(); ++i) {
    BreakerLine& line = table().guards->breaker(unit().model, i);
    if (soonest == nullptr || view(line, now_ns).left_ns < view(*soonest, now_ns).left_ns) soonest = &line;
  }
  return soonest;
}

// A provider that has said when to come back is quoted, with its own status.
core::Result<void> Exchange::refuse_by(const BreakerLine& line) {
  const BreakerView seen = view(line, shard_.loop().now_ns());
  retry_after_ns_ = seen.left_ns;
  return core::fail(seen.limited && seen.left_ns > 0 ? ErrorCode::provider_limited : ErrorCode::breaker_open);
}

// Once per attempt: its answer is whole, or as good as it can be seen to be.
void Exchange::report_success() {
  if (pass_ == Pass::no) return;
  succeeded(*breaker(), std::exchange(pass_, Pass::no), shard_.loop().now_ns());
}

// The first token is here. Others need not wait for the end of a probe's answer, which may take minutes; whether
// it has one is reported as of any attempt.
void Exchange::report_answering() {
  if (pass_ == Pass::probe) succeeded(*breaker(), std::exchange(pass_, Pass::yes), shard_.loop().now_ns());
}

// The attempt ended before its answer did. Once per attempt; what comes after says nothing new about the
// provider.
void Exchange::report(core::Error error, uint16_t upstream_status) {
  if (pass_ == Pass::no) return;
  BreakerLine& line = *breaker();
  const Pass pass = std::exchange(pass_, Pass::no);
  const uint64_t now_ns = shard_.loop().now_ns();
  bool opened = false;
  // Who answers for longer than a unit's total allows is slow, and not broken.
  const bool answering = record_.first_token_ns != 0;
  if (core::describe(error.code).side != core::Side::provider ||
      (answering && error.code == ErrorCode::total_timeout)) {
    answering ? succeeded(line, pass, now_ns) : cancelled(line, pass, now_ns);
  } else if (upstream_status == 429) {
    opened = limited(line, pass, upstream_retry_after_ns_, now_ns);
  } else {
    opened = failed(line, pass, now_ns);
  }
  if (opened) shard_.metrics().breakers_opened.add();
}

// Takes its place under every limit and budget. False: it has been answered.
bool Exchange::admit(const Inspection& inspection) {
  const Table& now_table = table();
  if (now_table.guards == nullptr) return true;
  const TableBody& body = *now_table.body;
  const OutputBound bound = output_bound(inspection, body[decision_.unit].rewrite);
  choices_ = bound.choices;
  if (runaway_tag_ != 0) {
    const uint64_t most = body[body[decision_.unit].model].max_output_tokens;
    const uint64_t each =
        bound.tokens_per_choice != 0 ? std::min<uint64_t>(bound.tokens_per_choice, INT32_MAX) : most;
    if (__builtin_mul_overflow(each, bound.choices, &full_length_)) full_length_ = 0;
  }
  if (now_table.guards->empty()) return true;
  const bool free = decision_.hop &&
                    body[*decision_.scenario].fallback[*decision_.hop].kind == FallbackHop::Kind::static_text;
  const AdmitRequest request{.plan = now_table.guards.get(),
                             .tenant = decision_.tenant,
                             .key = KeyIndex{record_.key},
                             .scenario = decision_.scenario,
                             .user_tag = facts_.user_tag,
                             .tokens = free ? 0 : expected_tokens(now_table, decision_.unit, inspection),
                             .worst_nano_usd = free ? 0 : worst_case(decision_.unit, inspection)};
  const Verdict verdict = hold_.admit(request, shard_.gateway().users, shard_.guard_time());
  if (shard_.guard_time().wall_ns - now_table.published_wall_ns < kWarnNs) {
    record_.warned = hold_.warns(shard_.guard_time());
    if (record_.warned != nullptr) shard_.metrics().limit_warnings.add();
  }
  if (verdict.kind == Verdict::Kind::admitted) return true;
  record_.limit = limit_token(verdict.scope, verdict.limit);
  shard_.metrics().limited[static_cast<size_t>(verdict.scope)][static_cast<size_t>(verdict.limit)].add();
  retry_after_ns_ = verdict.retry_after_ns;
  refused_rate_ = verdict.facts;
  refused_tokens_ = verdict.limit == LimitKind::tpm;
  if (verdict.kind != Verdict::Kind::acts) {
    const bool never = verdict.kind == Verdict::Kind::never;
    answer_error({never ? ErrorCode::request_over_limit : ErrorCode::rate_limited, record_.limit});
    return false;
  }
  if (free && is_soft(verdict.action)) return true;  // what was decided costs nothing
  const bool budget = verdict.limit == LimitKind::budget;
  const ErrorCode used_up = budget ? ErrorCode::budget_exceeded : ErrorCode::rate_limited;
  switch (verdict.action) {
    case BudgetAction::economy:
      if (take_economy(inspection)) return true;
      break;
    case BudgetAction::static_text:
      if (answer_with_static_hop(used_up)) return false;
      break;
    case BudgetAction::cached:
      if (answer_from_any_cache(CacheLook::answer, used_up)) return false;
      break;
    case BudgetAction::reject:
    case BudgetAction::kill:
      break;
  }
  answer_error({used_up, record_.limit});
  return false;
}

// Whether a limit or budget has asked for the economy unit, which is the decided one since.
bool Exchange::is_economy() const {
  return decision_.reason == Reason::economy;
}

// Whether a unit may answer in the decided one's place, whatever it may cost: past a limit nobody dearer than the
// economy unit does.
bool Exchange::may_follow(UnitIndex unit) const {
  return !is_economy() || (unit != decision_.unit && !is_dearer(table(), unit, decision_.unit));
}

// The cheapest unit that may answer does.
bool Exchange::take_economy(const Inspection& inspection) {
  if (!decision_.scenario) return false;
  const UnitIndex economy = economy_unit(table(), *decision_.scenario, decision_.unit);
  if (economy != decision_.unit &&
      !hold_.change_worst(worst_case(economy, inspection), GuardHold::Asks::economy_unit, shard_.guard_time())) {
    return false;
  }
  if (economy != decision_.unit) {
    const bool stable = economy == (*table().body)[*decision_.scenario].stable;
    decision_.arm = record_.arm = stable ? Arm::stable : Arm::fallback;
    decision_.unit = economy;
  }
  decision_.reason = record_.reason = Reason::economy;
  return true;
}

// A limit or budget has led to another answer than the decided unit's: for records and clients a fallback.
void Exchange::leave_decided_unit(ErrorCode why) {
  ++hops_taken_;
  record_.first_failure = why;
  record_.arm = Arm::fallback;
  record_.reason = Reason::fallback;
}

// The scenario's fixed text, if it has one.
bool Exchange::answer_with_static_hop(ErrorCode why) {
  if (!decision_.scenario || facts_.endpoint == Endpoint::embeddings) return false;
  for (const FallbackHop& hop : (*table().body)[*decision_.scenario].fallback) {
    if (hop.kind != FallbackHop::Kind::static_text) continue;
    leave_decided_unit(why);
    answer_static(hop.text);
    return true;
  }
  return false;
}

// Whether a hop's unit fits into the budgets in place of the one before; if so that much is reserved.
bool Exchange::affords(UnitIndex unit) {
  if (!hold_.holds()) return true;
  // The Inspector has seen other bodies since: look again.
  const auto inspection =
      shard_.inspector().inspect(facts_.endpoint, session_.request_bytes().bytes().subspan(facts_.head_size));
  WEIR_ASSERT(inspection.has_value());  // the same bytes were accepted before
  int64_t worst = worst_case(unit, **inspection);
  for (const int64_t spent : {written_off_cost_, attempt_cost()}) {
    if (__builtin_add_overflow(worst, spent, &worst)) worst = INT64_MAX;
  }
  const bool economy = is_economy() && unit == decision_.unit;
  return hold_.change_worst(worst, economy ? GuardHold::Asks::economy_unit : GuardHold::Asks::unit,
                            shard_.guard_time());
}

AnswerContext Exchange::answer_context() {
  AnswerContext context{record_, record_.table, hops_taken_, record_.first_failure};
  context.retry_after_ns = retry_after_ns_;
  (refused_tokens_ ? context.tokens : context.requests) = refused_rate_;
  hold_.rate_facts(shard_.guard_time(), context.requests, context.tokens);
  return context;
}

}  // namespace weir::routing
