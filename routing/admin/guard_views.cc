#include "routing/admin/guard_views.h"

#include <string>

#include "core/strong.h"
#include "routing/guard/guard_plan.h"
#include "routing/table/properties.h"

namespace weir::routing {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kRateNames[kRateKinds] = {"rps", "rpm", "rph", "rpd", "tpm"};

double usd(int64_t nano_usd) {
  return static_cast<double>(nano_usd) / static_cast<double>(core::NanoUsd::kPerUsd);
}

std::string window_name(uint64_t window_ns) {
  if (window_ns == 0) return "month";
  if (window_ns == INT64_MAX) return "ever";
  constexpr std::pair<uint64_t, const char*> kUnits[] = {{86'400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}};
  const uint64_t seconds = window_ns / core::kNsPerSecond;
  for (const auto& [length, name] : kUnits) {
    if (seconds % length == 0) return std::to_string(seconds / length) + name;
  }
  return {};
}

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

// Calls row(guard, owner) for what the filter shows; false from it = no more rows fit.
template <typename Row>
bool each_shown(const Table& table, const GuardFilter& filter, Row&& row) {
  if (table.guards == nullptr) return true;
  for (const ScopeGuard& guard : table.guards->scopes()) {
    const Owner owner = owner_of(table, guard);
    if (!filter.tenant.empty() && owner.tenant != filter.tenant) continue;
    if (!row(guard, owner)) return false;
  }
  return true;
}

Json row_of(const Table& table, const ScopeGuard& guard, const Owner& owner) {
  Json row;
  row["scope"] = token(guard.scope);
  if (guard.scope != GuardScope::global) row["name"] = owner.name;
  if (guard.scope == GuardScope::pilot) row["flag"] = (*table.body)[guard.flag].name;
  return row;
}

}  // namespace

Json budget_rule_view(const BudgetSpec& spec) {
  return {{"window", window_name(spec.window_ns)},
          {"usd", usd(spec.limit)},
          {"on_exceed", kBudgetActions[static_cast<size_t>(spec.action)]}};
}

Json budget_state_view(const BudgetView& seen) {
  return {{"spent_usd", usd(seen.spent)}, {"reserved_usd", usd(seen.reserved)}, {"open", seen.open}};
}

Json limits_view(const Table& table, const GuardFilter& filter, const GuardTime& now) {
  Json rows = Json::array();
  const bool all = each_shown(table, filter, [&](const ScopeGuard& guard, const Owner& owner) {
    const auto add = [&](std::string_view kind, uint64_t limit) -> Json& {
      Json row = row_of(table, guard, owner);
      row["limit"] = kind;
      row["rate"] = limit;
      if (guard.on_exceed != BudgetAction::reject) {
        row["on_exceed"] = kBudgetActions[static_cast<size_t>(guard.on_exceed)];
      }
      rows.push_back(std::move(row));
      return rows.back();
    };
    // Of users only the rule is known here: whose they are is a hash.
    for (unsigned kind = 0; kind < kRateKinds; ++kind) {
      const RateSpec& spec = guard.limits.rates[kind];
      if (!spec.any()) continue;
      Json& row = add(kRateNames[kind], spec.limit);
      if (guard.line == nullptr) continue;
      const RateView seen = view(guard.line->rates[kind], spec, now.now_ns);
      row["remaining"] = seen.remaining;
      row["reset_ms"] = (seen.reset_ns + core::kNsPerMs - 1) / core::kNsPerMs;
      row["refused"] = guard.line->refused.load(std::memory_order_relaxed);
    }
    if (guard.limits.concurrency != 0) {
      Json& row = add("concurrency", guard.limits.concurrency);
      if (guard.line != nullptr) row["in_flight"] = guard.line->in_flight.load(std::memory_order_relaxed);
    }
    if (guard.limits.total != 0 && guard.line != nullptr) {
      add("total_requests", guard.limits.total)["used"] = guard.line->total.load(std::memory_order_relaxed);
    }
    return rows.size() < GuardFilter::kMaxRows;
  });
  return {{"limits", std::move(rows)}, {"more", !all}};
}

Json budgets_view(const Table& table, const GuardFilter& filter, const GuardTime& now) {
  Json rows = Json::array();
  const bool all = each_shown(table, filter, [&](const ScopeGuard& guard, const Owner& owner) {
    for (const BudgetGuard& budget : guard.budgets) {
      Json row = row_of(table, guard, owner);
      row.update(budget_rule_view(budget.spec));
      if (budget.line != nullptr) {
        const BudgetView seen = view(*budget.line, budget.spec, now);
        row.update(budget_state_view(seen));
        row["trips"] = budget.line->trips.load(std::memory_order_relaxed);
        row["refused"] = budget.line->refused.load(std::memory_order_relaxed);
        row["ends_in_s"] =
            std::max<int64_t>(seen.end_wall_ns - now.wall_ns, 0) / static_cast<int64_t>(core::kNsPerSecond);
      }
      rows.push_back(std::move(row));
    }
    return rows.size() < GuardFilter::kMaxRows;
  });
  return {{"budgets", std::move(rows)}, {"more", !all}};
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
