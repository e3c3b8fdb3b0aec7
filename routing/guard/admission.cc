#include "routing/guard/admission.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "core/assert.h"

namespace weir::routing {
namespace {

constexpr const char* kLimitTokens[kGuardScopes][kLimitKinds] = {
#define ROW(scope)                                                   \
  {scope ".rps", scope ".rpm",         scope ".rph",   scope ".rpd", \
   scope ".tpm", scope ".concurrency", scope ".total", scope ".budget"}
    ROW("global"), ROW("scenario"), ROW("tenant"), ROW("key"),
    ROW("user"),   ROW("pilot"),    ROW("shadow")
#undef ROW
};

// Nobody knows when a place will be free: a moment that does not invite a storm.
constexpr uint64_t kRetryConcurrencyNs = 1'000'000'000;

constexpr unsigned kMinute = static_cast<unsigned>(RateKind::minute);
constexpr unsigned kTokenRate = static_cast<unsigned>(RateKind::tokens);

constexpr uint64_t nonzero(uint64_t tag) {
  return tag != 0 ? tag : 1;
}

// A line per rule: what it has counted goes with its window, as that of declared rules does. Two of the same window are
// told apart by their order.
uint64_t rule_tag(uint64_t user, std::span<const BudgetGuard> rules, size_t at) {
  const uint64_t window_ns = rules[at].spec.window_ns;
  uint64_t same = 0;
  for (size_t i = 0; i < at; ++i) same += rules[i].spec.window_ns == window_ns;
  return nonzero(user ^ (window_ns * 0x9e3779b97f4a7c15u + same + 1) * 0xff51afd7ed558ccdu);
}

// Of several budgets that act the strongest action wins.
constexpr int strength(BudgetAction action) {
  switch (action) {
    case BudgetAction::economy:
      return 1;
    case BudgetAction::cached:
      return 2;
    case BudgetAction::static_text:
      return 3;
    case BudgetAction::reject:
      return 4;
    case BudgetAction::kill:
      return 5;
  }
  return 5;
}

// A limit or budget that is used up has something to say.
void act(Verdict& verdict, const Verdict& said) {
  if (verdict.kind == Verdict::Kind::acts && strength(said.action) <= strength(verdict.action)) return;
  verdict = said;
  verdict.kind = Verdict::Kind::acts;
}

unsigned place_of(const BudgetSpec& spec, const ScopeGuard& guard) {
  unsigned at = 0;
  while (&guard.budgets[at].spec != &spec) ++at;
  return at;
}

}  // namespace

const char* limit_token(GuardScope scope, LimitKind kind) {
  return kLimitTokens[static_cast<unsigned>(scope)][static_cast<unsigned>(kind)];
}

// A key stands for the user where none is named; a user may have a key's name. Each text under a key made from the one
// before, so that no two pairs run into the same bytes.
uint64_t UserGuards::tag_of(std::string_view tenant_id, std::string_view user, std::string_view key_id) const {
  constexpr uint64_t kOfKey = 0xd6e8feb86659fd93;
  const core::Hash128 hash = core::siphash128(key, tenant_id);
  if (user.empty()) return core::siphash64({hash.low ^ kOfKey, hash.high}, key_id);
  return core::siphash64({hash.low, hash.high}, user);
}

void UserGuards::prefetch(const ScopeGuard& guard, uint64_t tag) const {
  if (guard.limits.any()) limits.prefetch(nonzero(tag));
  for (size_t at = 0; at < guard.budgets.size(); ++at) budgets.prefetch(rule_tag(tag, guard.budgets, at));
}

UserLook::UserLook(const ScopeGuard& guard, std::string_view tenant_id, std::string_view user,
                   UserGuards& users)
    : UserLook(guard, users.tag_of(tenant_id, user, {}), users) {}

UserLook::UserLook(const ScopeGuard& guard, uint64_t tag, UserGuards& users) : users_(users), tag_(tag) {
  if (guard.limits.any()) limits_ = users.limits.find(nonzero(tag));
  for (size_t at = 0; at < guard.budgets.size(); ++at)
    budgets_[at] = users.budgets.find(rule_tag(tag, guard.budgets, at));
}

UserLook::~UserLook() {
  if (limits_ != nullptr) users_.limits.release(*limits_);
  for (BudgetLine* line : budgets_) {
    if (line != nullptr) users_.budgets.release(*line);
  }
}

GuardHold::~GuardHold() {
  WEIR_ASSERT(!holds());
}

template <typename Visit>
bool GuardHold::each_budget(Visit&& visit) const {
  for (unsigned i = 0; i < part_count_; ++i) {
    const ScopeGuard& guard = *parts_[i].guard;
    const bool of_user = guard.scope == GuardScope::user;
    const auto budgets = guard.budgets;
    for (size_t at = 0; at < budgets.size(); ++at) {
      BudgetLine& line = of_user ? *user_budgets_[at] : *budgets[at].line;
      if (!visit(guard, budgets[at].spec, line)) return false;
    }
  }
  return true;
}

void GuardHold::add(const ScopeGuard* guard, LimitLine* line) {
  if (guard == nullptr) return;
  parts_[part_count_++] = {.guard = guard, .line = line, .token_mark = 0, .counted = false, .taken = 0};
}

// The user's lines; false: one cannot be had.
bool GuardHold::find_user(const AdmitRequest& request, UserGuards& users, const GuardTime& now) {
  const ScopeGuard* guard = plan_->user_of(request.tenant);
  if (guard == nullptr) return true;
  const uint64_t tag = user_tag_ = request.user_tag;
  if (guard->limits.any()) {
    user_limits_ = users.limits.acquire(
        nonzero(tag), [&](const LimitLine& line) { return line.idle(now.now_ns) ? 0 : line.busy_until(); },
        &user_others_);
    if (user_limits_ == nullptr) return false;
  }
  const auto budgets = guard->budgets;
  for (size_t at = 0; at < budgets.size(); ++at) {
    BudgetLine* line = users.budgets.acquire(rule_tag(tag, budgets, at), [&](const BudgetLine& held) {
      return held.idle(now) ? uint64_t{0} : static_cast<uint64_t>(held.end_wall_ns.load(std::memory_order_relaxed));
    });
    if (line == nullptr) return false;
    user_budgets_[user_budget_count_++] = line;
  }
  add(guard, user_limits_);
  return true;
}

void GuardHold::release_user(UserGuards& users) {
  if (user_limits_ != nullptr) users.limits.release(*std::exchange(user_limits_, nullptr));
  while (user_budget_count_ > 0) users.budgets.release(*user_budgets_[--user_budget_count_]);
}

// False: refused. Past a limit with a soft action it goes on, and the verdict says which.
bool GuardHold::take_rates(unsigned at, const GuardTime& now, Marks& marks, Verdict& verdict) {
  Part& part = parts_[at];
  const ScopeGuard& guard = *part.guard;
  if (const uint64_t most = guard.limits.concurrency; most != 0) {
    const bool of_user = guard.scope == GuardScope::user;  // who holds its line is counted by that
    const bool fits = of_user ? user_others_ < most : count_one(part.line->in_flight, most);
    if (!fits &&
        !go_past(part, LimitKind::concurrency,
                 {.kind = RateOutcome::Kind::refused, .value = kRetryConcurrencyNs}, now, verdict)) {
      return false;
    }
    part.counted = fits && !of_user;
  }
  for (unsigned left = guard.rate_kinds; left != 0; left &= left - 1) {
    const auto kind = static_cast<unsigned>(std::countr_zero(left));
    if (kind == kTokenRate && tokens_ == 0) continue;  // whatever is owed
    const RateOutcome outcome = take_rate(part, kind, now);
    if (outcome) {
      marks[at][kind] = outcome.mark();
    } else if (!go_past(part, static_cast<LimitKind>(kind), outcome, now, verdict)) {
      return false;
    }
  }
  return true;
}

// A limit is used up. False: that refuses the request.
bool GuardHold::go_past(Part& part, LimitKind kind, const RateOutcome& outcome, const GuardTime& now,
                        Verdict& verdict) {
  const ScopeGuard& guard = *part.guard;
  part.line->refused.fetch_add(1, std::memory_order_relaxed);
  if (is_soft(guard.on_exceed)) {
    mark_past(guard, part.line, kind, outcome);
    act(verdict, {.action = guard.on_exceed,
                  .scope = guard.scope,
                  .limit = kind,
                  .retry_after_ns = outcome.retry_after_ns()});
    return true;
  }
  const bool never = outcome.kind == RateOutcome::Kind::never;
  verdict = {.kind = never ? Verdict::Kind::never : Verdict::Kind::refused,
             .scope = guard.scope,
             .limit = kind,
             .retry_after_ns = outcome.retry_after_ns()};
  if (kind != LimitKind::concurrency) {
    const RateSpec& spec = guard.limits.rates[static_cast<unsigned>(kind)];
    const RateView seen = view(part.line->rates[static_cast<unsigned>(kind)], spec, now.now_ns);
    verdict.facts = {.any = true, .limit = spec.limit, .remaining = seen.remaining, .reset_ns = seen.reset_ns};
  }
  return false;
}

// So that people are told. Of the rates of others than users take_rate() has said when an action begins.
void GuardHold::mark_past(const ScopeGuard& guard, LimitLine* line, LimitKind kind,
                          const RateOutcome& outcome) const {
  const bool open = outcome.kind == RateOutcome::Kind::refused;
  const unsigned mark = open ? limit_mark::kBegun : limit_mark::kPast;
  if (guard.scope == GuardScope::user) {
    guard.trips->note(nonzero(user_tag_), UserTrips::of_limit(mark, static_cast<unsigned>(kind)));
  } else if (!open || kind == LimitKind::concurrency) {
    leave_mark(line->total, limit_mark::bit(mark, static_cast<unsigned>(kind)));
  }
}

RateOutcome GuardHold::take_rate(Part& part, unsigned kind, const GuardTime& now) {
  const RateSpec& spec = part.guard->limits.rates[kind];
  LimitLine& line = *part.line;
  const bool soft = is_soft(part.guard->on_exceed);
  const uint64_t bit = uint64_t{1} << kind;
  if (soft && (line.total.load(std::memory_order_relaxed) & bit) != 0) {
    const RateView seen = view(line.rates[kind], spec, now.now_ns);
    if (seen.remaining < to_recover(spec)) {
      const uint64_t free_ns = (spec.burst() - to_recover(spec) * spec.interval) / kTicksPerNs;
      return {.kind = RateOutcome::Kind::refused, .value = std::max(seen.reset_ns, free_ns) - free_ns};
    }
    line.total.fetch_and(~bit, std::memory_order_relaxed);
  }
  const bool tokens = kind == kTokenRate;
  const RateOutcome outcome = take(line.rates[kind], spec, tokens ? tokens_ : 1, now.now_ns, now.fresh());
  if (outcome) {
    part.taken = static_cast<uint8_t>(part.taken | bit);
    if (tokens) part.token_mark = outcome.mark();
  } else if (soft && outcome.kind == RateOutcome::Kind::refused) {
    line.total.fetch_or(bit | limit_mark::bit(limit_mark::kBegun, kind), std::memory_order_relaxed);
  }
  return outcome;
}

Charge GuardHold::rate_charge(const Part& part, unsigned kind, uint64_t mark) const {
  const uint64_t units = kind == kTokenRate ? tokens_ : 1;
  return {.cost_ticks = units * part.guard->limits.rates[kind].interval, .mark = mark};
}

void GuardHold::undo_rates(unsigned at, const Marks& marks, const FreshClock& clock) {
  Part& part = parts_[at];
  if (part.line == nullptr) return;
  for (unsigned left = part.taken; left != 0; left &= left - 1) {
    const auto kind = static_cast<unsigned>(std::countr_zero(left));
    const Charge charge = rate_charge(part, kind, marks[at][kind]);
    give_back(part.line->rates[kind], charge, charge.cost_ticks, clock.now_ns, clock);
  }
  part.taken = 0;
  if (std::exchange(part.counted, false)) release_one(part.line->in_flight);
}

bool GuardHold::take_budgets(const GuardTime& now, Verdict& verdict) {
  unsigned reserved = 0;
  const bool fits = each_budget([&](const ScopeGuard& guard, const BudgetSpec& spec, BudgetLine& line) {
    const Fit fit = reserve(line, spec, worst_, now);
    if (fit == Fit::fits) {
      ++reserved;
      return true;
    }
    const int64_t ends_in_ns = window_at(spec.window_ns, now).end_wall_ns - now.wall_ns;
    act(verdict, {.action = spec.action,
                  .scope = guard.scope,
                  .limit = LimitKind::budget,
                  .retry_after_ns = static_cast<uint64_t>(std::max<int64_t>(ends_in_ns, 0))});
    if (guard.scope == GuardScope::user) {
      guard.trips->note(nonzero(user_tag_), UserTrips::of_budget(place_of(spec, guard), fit == Fit::open));
    }
    if (!spec.soft()) return false;
    ++reserved;
    return true;
  });
  if (fits) return true;
  each_budget([&](const ScopeGuard&, const BudgetSpec& spec, BudgetLine& line) {
    if (reserved == 0) return false;
    --reserved;
    routing::settle(line, spec, worst_, 0);
    return true;
  });
  return false;
}

// Flat, and settle() too: what a call stores and loads again waits for each of the sixteen locked operations.
[[gnu::flatten]] Verdict GuardHold::admit(const AdmitRequest& request, UserGuards& users, const GuardTime& now) {
  WEIR_ASSERT(!holds());
  Verdict verdict;
  if (request.plan == nullptr || request.plan->empty()) return verdict;
  plan_ = request.plan;
  part_count_ = 0;
  tokens_ = request.tokens;
  worst_ = std::min(std::max<int64_t>(request.worst_nano_usd, 0), kMaxBudget);
  const auto declared = [&](const ScopeGuard* guard) {
    if (guard != nullptr) add(guard, guard->line);
  };
  declared(plan_->global());
  if (request.scenario) declared(plan_->of(*request.scenario));
  declared(plan_->of(request.tenant));
  declared(plan_->of(request.key));
  if (!find_user(request, users, now)) {
    release_user(users);
    plan_ = nullptr;
    verdict.kind = Verdict::Kind::refused;
    verdict.scope = GuardScope::user;
    verdict.limit = LimitKind::concurrency;
    verdict.retry_after_ns = kRetryConcurrencyNs;
    return verdict;
  }
  Marks marks;
  unsigned asked = 0;
  bool fits = true;
  while (fits && asked < part_count_) {
    fits = parts_[asked].line == nullptr || take_rates(asked, now, marks, verdict);
    ++asked;
  }
  if (fits && take_budgets(now, verdict)) return verdict;
  while (asked > 0) undo_rates(--asked, marks, now.fresh());
  release_user(users);
  plan_ = nullptr;
  return verdict;
}

bool GuardHold::change_worst(int64_t worst_nano_usd, Asks asks, const GuardTime& now) {
  if (!holds()) return true;
  const int64_t worst = std::min(std::max<int64_t>(worst_nano_usd, 0), kMaxBudget);
  unsigned changed = 0;
  const bool fits = each_budget([&](const ScopeGuard&, const BudgetSpec& spec, BudgetLine& line) {
    const bool forced = asks == Asks::economy_unit && spec.action == BudgetAction::economy;
    if (!change(line, spec, worst_, worst, forced, now)) return false;
    ++changed;
    return true;
  });
  if (!fits) {
    each_budget([&](const ScopeGuard&, const BudgetSpec& spec, BudgetLine& line) {
      if (changed == 0) return false;
      --changed;
      return change(line, spec, worst, worst_, /*forced=*/true, now);
    });
    return false;
  }
  worst_ = worst;
  return true;
}

[[gnu::flatten]] void GuardHold::settle(uint64_t tokens, int64_t cost_nano_usd, UserGuards& users, const GuardTime& now) {
  if (!holds()) return;
  each_budget([&](const ScopeGuard&, const BudgetSpec& spec, BudgetLine& line) {
    routing::settle(line, spec, worst_, cost_nano_usd);
    return true;
  });
  for (unsigned i = 0; i < part_count_; ++i) {
    Part& part = parts_[i];
    if (part.line == nullptr) continue;
    const RateSpec& spec = part.guard->limits.rates[kTokenRate];
    if ((part.taken >> kTokenRate & 1) != 0) {
      std::atomic<uint64_t>& word = part.line->rates[kTokenRate];
      if (tokens < tokens_) {
        const Charge charged = rate_charge(part, kTokenRate, part.token_mark);
        give_back(word, charged, (tokens_ - tokens) * spec.interval, now.now_ns, now.fresh());
      }
      if (tokens > tokens_) charge(word, spec, tokens - tokens_, now.now_ns);
    }
    if (part.counted) release_one(part.line->in_flight);
  }
  release_user(users);
  plan_ = nullptr;
}

void GuardHold::rate_facts(const GuardTime& now, RateFacts& requests, RateFacts& tokens) const {
  if (!holds()) return;
  for (unsigned i = 0; i < part_count_; ++i) {
    if (parts_[i].line == nullptr) continue;
    for (unsigned left = parts_[i].guard->rate_kinds; left != 0; left &= left - 1) {
      const auto kind = static_cast<unsigned>(std::countr_zero(left));
      const RateSpec& spec = parts_[i].guard->limits.rates[kind];
      RateFacts& facts = kind == kTokenRate ? tokens : requests;
      const RateView seen = view(parts_[i].line->rates[kind], spec, now.now_ns);
      if (facts.any && facts.remaining <= seen.remaining) continue;
      facts = {.any = true, .limit = spec.limit, .remaining = seen.remaining, .reset_ns = seen.reset_ns};
    }
  }
}

const char* GuardHold::warns(const GuardTime& now) const {
  const char* first = nullptr;
  for (unsigned i = 0; holds() && i < part_count_; ++i) {
    const ScopeGuard& guard = *parts_[i].guard;
    if (parts_[i].line == nullptr || guard.warn_percent == 0) continue;
    for (unsigned left = guard.rate_kinds; left != 0; left &= left - 1) {
      const auto kind = static_cast<unsigned>(std::countr_zero(left));
      const RateSpec& spec = guard.limits.rates[kind];
      const uint64_t used = spec.limit - view(parts_[i].line->rates[kind], spec, now.now_ns).remaining;
      if (used * 100 < spec.limit * guard.warn_percent) continue;
      if (guard.scope == GuardScope::user) {
        guard.trips->note(nonzero(user_tag_), UserTrips::of_limit(limit_mark::kFilling, kind));
      } else {
        leave_mark(parts_[i].line->total, limit_mark::bit(limit_mark::kFilling, kind));
      }
      if (first == nullptr) first = limit_token(guard.scope, static_cast<LimitKind>(kind));
    }
  }
  return first;
}

PilotPlaces::Place PilotPlaces::begin(const ScopeGuard& pilot) {
  return {.pilot = &pilot, .requests = {}, .tokens = {}, .counted = false, .in_total = false};
}

std::optional<LimitKind> PilotPlaces::take(const ScopeGuard& pilot, uint64_t tokens, const GuardTime& now) {
  WEIR_ASSERT(count_ < taken_.size());
  LimitLine& line = *pilot.line;
  Place place = begin(pilot);
  clock_ = now.fresh();
  std::optional<LimitKind> past;
  if (const uint64_t most = pilot.limits.concurrency; most != 0) {
    place.counted = count_one(line.in_flight, most);
    if (!place.counted) past = LimitKind::concurrency;
  }
  if (const RateSpec& rate = pilot.limits.rates[kMinute]; !past && rate.any()) {
    const RateOutcome outcome = routing::take(line.rates[kMinute], rate, 1, now.now_ns, clock_);
    if (outcome) {
      place.requests = outcome.charge(rate, 1);
    } else {
      past = LimitKind::rpm;
    }
  }
  if (const RateSpec& rate = pilot.limits.rates[kTokenRate]; !past && rate.any()) {
    const RateOutcome outcome = routing::take(line.rates[kTokenRate], rate, tokens, now.now_ns, clock_);
    if (outcome) {
      place.tokens = outcome.charge(rate, tokens);
    } else {
      past = LimitKind::tpm;
    }
  }
  if (!past && pilot.limits.total != 0) {
    place.in_total = true;
    if (!count_one(pilot.line->total, pilot.limits.total)) {
      place.in_total = false;
      past = LimitKind::total;
    }
  }
  if (past) {
    undo(place, clock_);
    line.refused.fetch_add(1, std::memory_order_relaxed);
  } else {
    taken_[count_++] = place;
  }
  return past;
}

void PilotPlaces::take_anyway(const ScopeGuard& pilot, uint64_t tokens, const GuardTime& now) {
  WEIR_ASSERT(count_ < taken_.size());
  LimitLine& line = *pilot.line;
  Place place = begin(pilot);
  clock_ = now.fresh();
  if (pilot.limits.concurrency != 0) {
    line.in_flight.fetch_add(1, std::memory_order_relaxed);
    place.counted = true;
  }
  if (const RateSpec& rate = pilot.limits.rates[kMinute]; rate.any()) {
    place.requests = charge(line.rates[kMinute], rate, 1, now.now_ns);
  }
  if (const RateSpec& rate = pilot.limits.rates[kTokenRate]; rate.any()) {
    place.tokens = charge(line.rates[kTokenRate], rate, tokens, now.now_ns);
  }
  if (pilot.limits.total != 0) {
    line.total.fetch_add(1, std::memory_order_relaxed);
    place.in_total = true;
  }
  taken_[count_++] = place;
}

void PilotPlaces::undo(const Place& place, const FreshClock& clock) {
  LimitLine& line = *place.pilot->line;
  const auto undo_one = [&](unsigned kind, const Charge& charge) {
    routing::give_back(line.rates[kind], charge, charge.cost_ticks, clock.now_ns, clock);
  };
  undo_one(kMinute, place.requests);
  undo_one(kTokenRate, place.tokens);
  if (place.counted) release_one(line.in_flight);
  if (place.in_total) release_one(line.total);
}

void PilotPlaces::give_back() {
  while (count_ > 0) undo(taken_[--count_], clock_);
}

void PilotPlaces::move_to(PilotPlaces& other) {
  WEIR_ASSERT(other.count_ == 0);
  std::copy_n(taken_.begin(), count_, other.taken_.begin());
  other.count_ = std::exchange(count_, 0);
  other.clock_ = clock_;
}

void PilotPlaces::settle(uint64_t tokens, const GuardTime& now) {
  while (count_ > 0) {
    const Place& place = taken_[--count_];
    LimitLine& line = *place.pilot->line;
    if (const RateSpec& rate = place.pilot->limits.rates[kTokenRate]; rate.any()) {
      std::atomic<uint64_t>& word = line.rates[kTokenRate];
      const uint64_t expected = place.tokens.units(rate);
      if (tokens < expected) {
        routing::give_back(word, place.tokens, (expected - tokens) * rate.interval, now.now_ns, now.fresh());
      } else if (tokens > expected) {
        charge(word, rate, tokens - expected, now.now_ns);
      }
    }
    if (place.counted) release_one(line.in_flight);
  }
}

bool would_be_within_pilot(const ScopeGuard& pilot, uint64_t now_ns) {
  const LimitLine& line = *pilot.line;
  for (const unsigned kind : {kMinute, kTokenRate}) {
    const RateSpec& rate = pilot.limits.rates[kind];
    if (rate.any() && view(line.rates[kind], rate, now_ns).remaining == 0) return false;
  }
  const auto below = [](const std::atomic<uint64_t>& count, uint64_t limit) {
    return limit == 0 || count.load(std::memory_order_relaxed) < limit;
  };
  return below(line.in_flight, pilot.limits.concurrency) && below(line.total, pilot.limits.total);
}

}  // namespace weir::routing
