#include "routing/admin/alert_scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "core/strong.h"
#include "routing/admin/guard_views.h"
#include "routing/guard/guard_plan.h"
#include "routing/guard/trip_marks.h"
#include "routing/table/properties.h"

namespace weir::routing {
namespace {

using Json = nlohmann::ordered_json;

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr unsigned kRates = kRateKinds;
constexpr unsigned kConcurrency = static_cast<unsigned>(LimitKind::concurrency);
static_assert(kConcurrency == kRates && kConcurrency < 8, "a byte of limit_mark has a bit for each");
static_assert(core::limits::kMaxBudgets <= 16, "UserTrips has two bits for each");

std::string_view name_of(BudgetAction action) {
  return kBudgetActions[static_cast<size_t>(action)];
}

// A rule by its token and its holder: `type` and whose it is; the rest is added.
AlertThing thing_of(const Table& table, const ScopeGuard& guard, LimitKind kind) {
  AlertThing thing{.key = limit_token(guard.scope, kind),
                   .about = {{"type", kind == LimitKind::budget ? "budget" : "limit"}}};
  const auto holder = [&](const char* member, std::string_view name) {
    thing.about[member] = name;
    thing.key += ' ';
    thing.key += name;
  };
  switch (guard.scope) {
    case GuardScope::global:
      break;
    case GuardScope::scenario:
      holder("scenario", table.body->scenarios[guard.owner].name);
      break;
    case GuardScope::tenant:
    case GuardScope::user:
    case GuardScope::pilot:
      holder("tenant", table[TenantIndex{guard.owner}].id());
      break;
    case GuardScope::key: {
      const Key key = table[KeyIndex{guard.owner}];
      thing.about["tenant"] = table[key.tenant()].id();
      holder("key", key.id());
      break;
    }
    case GuardScope::shadow: {
      const Flag& flag = table.body->flags[guard.owner];
      thing.about["scenario"] = (*table.body)[flag.scenario].name;
      holder("flag", flag.name);
      break;
    }
  }
  thing.about["limit"] = limit_token(guard.scope, kind);
  return thing;
}

AlertThing budget_thing(const Table& table, const ScopeGuard& guard, size_t at) {
  const BudgetSpec& spec = guard.budgets[at].spec;
  AlertThing thing = thing_of(table, guard, LimitKind::budget);
  const auto same =
      std::count_if(guard.budgets.begin(), guard.budgets.begin() + static_cast<ptrdiff_t>(at),
                    [&](const BudgetGuard& other) { return other.spec.window_ns == spec.window_ns; });
  thing.key += fmt::format(" {} {} {}", spec.window_ns, same, name_of(spec.action));
  thing.about["window"] = window_name(spec.window_ns);
  thing.about["on_exceed"] = name_of(spec.action);
  return thing;
}

AlertThing limit_thing(const Table& table, const ScopeGuard& guard, unsigned kind) {
  AlertThing thing = thing_of(table, guard, static_cast<LimitKind>(kind));
  thing.key += ' ';
  thing.key += name_of(guard.on_exceed);
  thing.about["on_exceed"] = name_of(guard.on_exceed);
  return thing;
}

// All budgets of a holder; `line(at)` says where one of them counts, or null.
template <typename LineOf>
Json budget_details(const ScopeGuard& guard, const GuardTime& now, LineOf&& line_of) {
  Json rows = Json::array();
  for (size_t at = 0; at < guard.budgets.size(); ++at) {
    Json row = budget_rule_view(guard.budgets[at].spec);
    if (const BudgetLine* line = line_of(at))
      row.update(budget_state_view(view(*line, guard.budgets[at].spec, now)));
    rows.push_back(std::move(row));
  }
  return {{"budgets", std::move(rows)}};
}

Json limit_details(const ScopeGuard& guard, const LimitLine* line, unsigned kind, const GuardTime& now) {
  const RateSpec* rate = kind < kRates ? &guard.limits.rates[kind] : nullptr;
  Json details{{"allows", rate != nullptr ? rate->limit : guard.limits.concurrency}};
  if (line == nullptr) return details;
  if (rate != nullptr) {
    details["remaining"] = view(line->rates[kind], *rate, now.now_ns).remaining;
  } else {
    details["in_flight"] = line->in_flight.load(kRelaxed);
  }
  return details;
}

bool has_limit(const ScopeGuard& guard, unsigned kind) {
  return kind < kRates ? guard.limits.rates[kind].any() : guard.limits.concurrency != 0;
}

// Whether a limit's action applies to whoever comes now.
bool is_acting(const ScopeGuard& guard, unsigned kind, const GuardTime& now) {
  const LimitLine& line = *guard.line;
  if (kind == kConcurrency) return line.in_flight.load(kRelaxed) >= guard.limits.concurrency;
  // The bit goes with the next request, which may be long in coming.
  const RateSpec& spec = guard.limits.rates[kind];
  return (line.total.load(kRelaxed) >> kind & 1) != 0 &&
         view(line.rates[kind], spec, now.now_ns).remaining < to_recover(spec);
}

// What has been seen of a budget's counts, in a word of its line. `watched`: it was open then.
struct BudgetSeen {
  uint32_t trips = 0;  // 31 bits
  uint32_t refused = 0;
  bool watched = false;

  static BudgetSeen of(uint64_t word) {
    return {static_cast<uint32_t>(word >> 33), static_cast<uint32_t>(word >> 1), (word & 1) != 0};
  }
  uint64_t word() const { return uint64_t{trips} << 33 | uint64_t{refused} << 1 | (watched ? 1 : 0); }
};
constexpr uint32_t kTripBits = UINT32_MAX >> 1;

}  // namespace

bool AlertScan::look(const Table& table, uint64_t turned_away, const GuardTime& now) {
  if (piece_ == 0) begin_pass(table, turned_away, now);
  const GuardPlan* plan = table.guards.get();
  whole_ &= plan == plan_.get();
  size_t seen = 0;
  while (plan != nullptr && piece_ < plan->pieces()) {
    if (seen >= kSlice) return false;
    const auto guards = plan->piece(piece_++);
    for (const ScopeGuard& guard : guards) look_at(table, guard, now);
    seen += 1 + guards.size();
  }
  book_.end_pass(whole_, now);
  piece_ = 0;
  plan_.reset();
  return true;
}

void AlertScan::begin_pass(const Table& table, uint64_t turned_away, const GuardTime& now) {
  plan_ = table.guards;
  whole_ = true;
  const AlertThing overload{.key = "overload", .about = {{"type", "overload"}}, .pages = true};
  const uint64_t requests = turned_away - turned_away_;
  if (requests != 0 && book_.event(
                           overload, {},
                           [&] {
                             return Json{{"requests", requests}};
                           },
                           now)) {
    turned_away_ = turned_away;
  }
  if (plan_ == nullptr) return;
  for (uint32_t i = 0; i < table.body->models.size(); ++i) {
    const auto hosts = std::max<size_t>(table.body->models[i].hosts.size(), 1);
    for (uint32_t host = 0; host < hosts; ++host) look_at_breaker(table, ModelIndex{i}, host, now);
  }
}

void AlertScan::look_at(const Table& table, const ScopeGuard& guard, const GuardTime& now) {
  if (guard.scope == GuardScope::user) {
    if (!guard.trips->any()) return;
    return guard.trips->take(
        [&](uint64_t user, uint64_t rules) { return look_at_user(table, guard, user, rules, now); });
  }
  for (size_t at = 0; at < guard.budgets.size(); ++at) look_at_budget(table, guard, at, now);
  // A pilot that is full has no action of this kind: its previous unit answers.
  if (guard.line != nullptr && guard.scope != GuardScope::pilot) look_at_limits(table, guard, now);
}

void AlertScan::look_at_budget(const Table& table, const ScopeGuard& guard, size_t at, const GuardTime& now) {
  const BudgetSpec& spec = guard.budgets[at].spec;
  BudgetLine& line = *guard.budgets[at].line;
  const auto before = BudgetSeen::of(line.in_flight.load(kRelaxed));
  // In the order opposite to that in which they are counted: a refusal without the trip that came of it would be
  // taken for a request that was too large.
  BudgetSeen seen{.refused = line.refused.load(std::memory_order_acquire)};
  seen.trips = line.trips.load(kRelaxed) & kTripBits;
  uint64_t opened = (seen.trips - before.trips) & kTripBits;
  const bool refused = seen.refused != before.refused;
  const bool marked = (line.window.load(kRelaxed) & BudgetLine::kOpen) != 0;
  if (opened == 0 && !refused && !before.watched && !marked) return;

  AlertThing thing = budget_thing(table, guard, at);
  const bool was_open = book_.is_open(thing.key);
  const BudgetView state = view(line, spec, now);
  seen.watched = state.open;
  if (spec.action == BudgetAction::reject) {
    const int64_t used = state.spent + state.reserved;
    seen.watched = was_open ? used > part_of(spec.limit, kRecoverPermille)
                            : refused && used >= part_of(spec.limit, kTripPermille);
    opened = seen.watched && !was_open ? 1 : 0;
  }
  const auto details = [&] {
    return budget_details(guard, now, [&](size_t rule) { return guard.budgets[rule].line; });
  };
  bool taken = true;
  if (seen.watched || was_open || opened != 0) {
    thing.pages = spec.action == BudgetAction::kill;
    taken = book_.rule(thing, opened, seen.watched, details, now);
  } else if (refused) {
    taken = book_.event(thing, {.state = "exceeded"}, details, now);
  }
  if (taken) line.in_flight.store(seen.word(), kRelaxed);
}

void AlertScan::look_at_limits(const Table& table, const ScopeGuard& guard, const GuardTime& now) {
  const uint64_t marks = guard.line->total.load(kRelaxed) & limit_mark::kAll;
  if (marks == 0) return;
  uint64_t left = 0;
  for (unsigned kind = 0; kind <= kConcurrency; ++kind) left |= look_at_limit(table, guard, kind, marks, now);
  if ((marks & ~left) != 0) guard.line->total.fetch_and(~(marks & ~left), kRelaxed);
  leave_mark(guard.line->total, left);
}

// Which of its marks are to stand from now on.
uint64_t AlertScan::look_at_limit(const Table& table, const ScopeGuard& guard, unsigned kind, uint64_t marks,
                                  const GuardTime& now) {
  using namespace limit_mark;
  const uint64_t begun = marks & bit(kBegun, kind), past = marks & bit(kPast, kind);
  const uint64_t filling = marks & bit(kFilling, kind), watched = marks & bit(kWatched, kind);
  if ((begun | past | filling | watched) == 0 || !has_limit(guard, kind)) return 0;
  const AlertThing thing = limit_thing(table, guard, kind);
  const auto details = [&] { return limit_details(guard, guard.line, kind, now); };
  uint64_t left = 0;
  if (filling != 0 && !book_.event(thing, {.state = "filling"}, details, now)) left |= filling;
  if (!is_soft(guard.on_exceed)) return left;
  if (past != 0 && !book_.event(thing, {.state = "exceeded"}, details, now)) left |= past;
  const bool open = is_acting(guard, kind, now);
  if (begun != 0 || open || book_.is_open(thing.key)) {
    if (!book_.rule(thing, begun != 0 ? 1 : 0, open, details, now)) left |= begun | watched;
    if (open) left |= bit(kWatched, kind);
  }
  return left;
}

// False: not all of it was taken.
bool AlertScan::look_at_user(const Table& table, const ScopeGuard& guard, uint64_t user, uint64_t rules,
                             const GuardTime& now) {
  const UserLook look(guard, user, users_);
  const bool known = user != 0;
  const auto named = [&](Json details) {
    Json all;
    if (known) all["user"] = user_hash(user);
    all.update(details);
    return all;
  };
  AlertBook::Event event{.whom = known ? AlertBook::Whom::user : AlertBook::Whom::others, .user = user};
  bool taken = true;
  using limit_mark::kBegun, limit_mark::kPast, limit_mark::kFilling;
  for (const auto& [mark, state] : {std::pair(kBegun, "open"), {kPast, "exceeded"}, {kFilling, "filling"}}) {
    for (unsigned kind = 0; kind <= kConcurrency; ++kind) {
      if ((rules & UserTrips::of_limit(mark, kind)) == 0 || !has_limit(guard, kind)) continue;
      event.state = state;
      const auto details = [&] { return named(limit_details(guard, look.limits(), kind, now)); };
      taken &= book_.event(limit_thing(table, guard, kind), event, details, now);
    }
  }
  for (size_t at = 0; at < guard.budgets.size(); ++at) {
    for (const bool open : {true, false}) {
      if ((rules & UserTrips::of_budget(static_cast<unsigned>(at), open)) == 0) continue;
      const BudgetSpec& spec = guard.budgets[at].spec;
      event.state = open ? "open" : "exceeded";
      // Each window anew.
      event.user = user ^ window_at(spec.window_ns, now).number * 0x9e3779b97f4a7c15u;
      const auto details = [&] {
        return named(budget_details(guard, now, [&](size_t rule) { return look.budget(rule); }));
      };
      taken &= book_.event(budget_thing(table, guard, at), event, details, now);
    }
  }
  return taken;
}

void AlertScan::look_at_breaker(const Table& table, ModelIndex index, uint32_t host, const GuardTime& now) {
  const Model& model = (*table.body)[index];
  const std::string& provider = (*table.body)[model.provider_at(host)].name;
  BreakerLine& line = table.guards->breaker(index, host);
  const BreakerView state = view(line, now.now_ns);
  const bool open = state.state != BreakerState::closed;
  const uint64_t opened = state.opened - line.seen.load(kRelaxed);
  const AlertThing thing{.key = fmt::format("breaker {}/{}", provider, model.name),
                         .about = {{"type", "breaker"}, {"model", model.name}, {"provider", provider}}};
  if (opened == 0 && !open && !book_.is_open(thing.key)) return;
  const auto details = [&] {
    Json said = Json::object();
    if (state.state == BreakerState::open) said["open_ms"] = state.left_ns / core::kNsPerMs;
    if (open && state.limited) said["limited"] = true;
    return said;
  };
  if (book_.rule(thing, opened, open, details, now)) line.seen.store(state.opened, kRelaxed);
}

}  // namespace weir::routing
