#include "routing/admin/guard_views.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "core/strong.h"
#include "routing/guard/guard_plan.h"
#include "routing/table/properties.h"

namespace weir::routing {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kRateNames[kRateKinds] = {"rps", "rpm", "rph", "rpd", "tpm"};

// A scope's owner by name, and the tenant it belongs to.
struct Owner {
  std::string_view name;
  std::string_view tenant;
};
Owner owner_of(const Table& table, const ScopeGuard& guard) {
  switch (guard.scope) {
    case GuardScope::global:
      return {};
    case GuardScope::scenario:
      return {table.body->scenarios[guard.owner].name, {}};
    case GuardScope::shadow:
      return {table.body->flags[guard.owner].name, {}};
    case GuardScope::tenant:
    case GuardScope::user:
    case GuardScope::pilot: {
      const std::string_view id = table[TenantIndex{guard.owner}].id();
      return {id, id};
    }
    case GuardScope::key: {
      const Key key = table[KeyIndex{guard.owner}];
      return {key.id(), table[key.tenant()].id()};
    }
  }
  return {};
}

// Rows that are shown, as many as fit.
class Rows {
 public:
  explicit Rows(bool closest_first) : closest_first_(closest_first) {}

  // Whether a row would be shown of which this share is used: it is made only then.
  bool wants(double share) {
    const bool fits = closest_first_ ? share > least_ : rows_.size() < GuardFilter::kMaxRows;
    more_ |= !fits;
    return fits;
  }
  void add(double share, Json row) {
    rows_.emplace_back(share, std::move(row));
    if (rows_.size() == 2 * GuardFilter::kMaxRows) cut();
  }
  // {"<name>":[...],"more"}
  Json take(const char* name) {
    if (closest_first_) cut();
    Json list = Json::array();
    for (auto& [share, row] : rows_) list.push_back(std::move(row));
    return {{name, std::move(list)}, {"more", more_}};
  }

 private:
  // Sorts, and keeps those that count.
  void cut() {
    std::ranges::stable_sort(rows_, std::ranges::greater(), &std::pair<double, Json>::first);
    if (rows_.size() <= GuardFilter::kMaxRows) return;
    rows_.resize(GuardFilter::kMaxRows);
    least_ = rows_.back().first;
    more_ = true;
  }

  const bool closest_first_;
  std::vector<std::pair<double, Json>> rows_;
  double least_ = -2;
  bool more_ = false;
};

constexpr double kNothingToSee = -1;  // less than any share

double share_of(uint64_t used, uint64_t limit) {
  return static_cast<double>(used) / static_cast<double>(std::max<uint64_t>(limit, 1));
}

// What is counted under a guard; null where nothing is, or nobody can be named.
struct Counted {
  const LimitLine* limits = nullptr;
  const UserLook* user = nullptr;
  const BudgetLine* budget(const ScopeGuard& guard, size_t rule) const {
    return user != nullptr ? user->budget(rule) : guard.budgets[rule].line;
  }
};

// Calls each(guard, owner, counted) for what the filter shows.
template <typename Each>
void each_shown(const Table& table, const GuardFilter& filter, Each&& each) {
  if (table.guards == nullptr) return;
  if (!filter.user.empty()) {
    const auto tenant = table.tenants->find(filter.tenant);
    const ScopeGuard* guard = tenant ? table.guards->user_of(*tenant) : nullptr;
    if (guard == nullptr) return;
    const UserLook look(*guard, filter.tenant, filter.user, *filter.users);
    each(*guard, Owner{.name = filter.tenant, .tenant = filter.tenant},
         Counted{.limits = look.limits(), .user = &look});
    return;
  }
  for (const ScopeGuard& guard : table.guards->scopes()) {
    const Owner owner = owner_of(table, guard);
    if (!filter.tenant.empty() && owner.tenant != filter.tenant) continue;
    each(guard, owner, Counted{.limits = guard.line});
  }
}

Json row_of(const Table& table, const ScopeGuard& guard, const Owner& owner, const Counted& counted) {
  Json row;
  row["scope"] = token(guard.scope);
  if (guard.scope != GuardScope::global) row["name"] = owner.name;
  if (guard.scope == GuardScope::pilot) row["flag"] = (*table.body)[guard.flag].name;
  if (counted.user != nullptr) row["user_hash"] = user_hash(counted.user->tag());
  return row;
}

}  // namespace

std::string user_hash(uint64_t tag) {
  return fmt::format("{:016x}", tag);
}

double usd(int64_t nano_usd) {
  return static_cast<double>(nano_usd) / static_cast<double>(core::NanoUsd::kPerUsd);
}

std::string window_name(uint64_t window_ns) {
  if (window_ns == 0) return "month";
  if (window_ns == kNoWindow) return "ever";
  constexpr std::pair<uint64_t, const char*> kUnits[] = {{86'400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}};
  const uint64_t seconds = window_ns / core::kNsPerSecond;
  for (const auto& [length, name] : kUnits) {
    if (seconds % length == 0) return std::to_string(seconds / length) + name;
  }
  return {};
}

Json budget_rule_view(const BudgetSpec& spec) {
  return {{"window", window_name(spec.window_ns)},
          {"usd", usd(spec.limit)},
          {"on_exceed", kBudgetActions[static_cast<size_t>(spec.action)]}};
}

Json budget_state_view(const BudgetView& seen) {
  return {{"spent_usd", usd(seen.spent)}, {"reserved_usd", usd(seen.reserved)}, {"open", seen.open}};
}

Json limits_view(const Table& table, const GuardFilter& filter, const GuardTime& now) {
  Rows rows(filter.closest_first);
  each_shown(table, filter, [&](const ScopeGuard& guard, const Owner& owner, const Counted& counted) {
    const auto add = [&](std::string_view kind, uint64_t limit, double share, const Json& state) {
      if (!rows.wants(share)) return;
      Json row = row_of(table, guard, owner, counted);
      row["limit"] = kind;
      row["rate"] = limit;
      if (guard.on_exceed != BudgetAction::reject) {
        row["on_exceed"] = kBudgetActions[static_cast<size_t>(guard.on_exceed)];
      }
      if (state.is_object()) row.update(state);
      rows.add(share, std::move(row));
    };
    const LimitLine* line = counted.limits;
    for (unsigned kind = 0; kind < kRateKinds; ++kind) {
      const RateSpec& spec = guard.limits.rates[kind];
      if (!spec.any()) continue;
      if (line == nullptr) {
        add(kRateNames[kind], spec.limit, kNothingToSee, {});
        continue;
      }
      const RateView seen = view(line->rates[kind], spec, now.now_ns);
      add(kRateNames[kind], spec.limit, share_of(spec.limit - seen.remaining, spec.limit),
          {{"remaining", seen.remaining},
           {"reset_ms", (seen.reset_ns + core::kNsPerMs - 1) / core::kNsPerMs},
           {"refused", line->refused.load(std::memory_order_relaxed)}});
    }
    if (const uint64_t limit = guard.limits.concurrency; limit != 0) {
      // A user's line counts whoever looks at it, too.
      const uint64_t held = line == nullptr ? 0 : line->in_flight.load(std::memory_order_relaxed);
      const uint64_t in_flight = held - (counted.user != nullptr && held != 0 ? 1 : 0);
      add("concurrency", limit, line == nullptr ? kNothingToSee : share_of(in_flight, limit),
          line == nullptr ? Json() : Json{{"in_flight", in_flight}});
    }
    if (const uint64_t limit = guard.limits.total; limit != 0 && line != nullptr) {
      const uint64_t used = line->total.load(std::memory_order_relaxed);
      add("total_requests", limit, share_of(used, limit), {{"used", used}});
    }
  });
  return rows.take("limits");
}

Json budgets_view(const Table& table, const GuardFilter& filter, const GuardTime& now) {
  Rows rows(filter.closest_first);
  each_shown(table, filter, [&](const ScopeGuard& guard, const Owner& owner, const Counted& counted) {
    for (size_t at = 0; at < guard.budgets.size(); ++at) {
      const BudgetSpec& spec = guard.budgets[at].spec;
      const BudgetLine* line = counted.budget(guard, at);
      const BudgetView seen = line == nullptr ? BudgetView{} : view(*line, spec, now);
      const double share =
          line == nullptr ? kNothingToSee
                          : share_of(static_cast<uint64_t>(std::max<int64_t>(seen.spent + seen.reserved, 0)),
                                     static_cast<uint64_t>(std::max<int64_t>(spec.limit, 1)));
      if (!rows.wants(share)) continue;
      Json row = row_of(table, guard, owner, counted);
      row.update(budget_rule_view(spec));
      if (line != nullptr) {
        row.update(budget_state_view(seen));
        row["trips"] = line->trips.load(std::memory_order_relaxed);
        row["refused"] = line->refused.load(std::memory_order_relaxed);
        row["ends_in_s"] =
            std::max<int64_t>(seen.end_wall_ns - now.wall_ns, 0) / static_cast<int64_t>(core::kNsPerSecond);
      }
      rows.add(share, std::move(row));
    }
  });
  return rows.take("budgets");
}

Json breakers_view(const Table& table, const GuardTime& now) {
  Json rows = Json::array();
  if (table.guards != nullptr) {
    const TableBody& body = *table.body;
    for (uint32_t i = 0; i < body.models.size(); ++i) {
      const Model& model = body.models[i];
      const auto add = [&](ProviderIndex provider, uint32_t host) {
        const BreakerView seen = view(table.guards->breaker(ModelIndex{i}, host), now.now_ns);
        rows.push_back({{"model", model.name},
                        {"provider", body[provider].name},
                        {"state", token(seen.state)},
                        {"open_ms", seen.left_ns / core::kNsPerMs},
                        {"limited", seen.limited && seen.left_ns > 0},
                        {"consecutive_failures", seen.consecutive},
                        {"opened", seen.opened},
                        {"kept_away", seen.kept_away}});
      };
      for (uint32_t host = 0; host < model.hosts.size(); ++host) add(model.hosts[host].provider, host);
      if (model.hosts.empty()) add(model.provider, 0);
    }
  }
  return {{"breakers", std::move(rows)}};
}

}  // namespace weir::routing
