#include "routing/admin/open_rule.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/timestamp.h"
#include "routing/admin/guard_views.h"
#include "routing/guard/guard_plan.h"
#include "routing/table/properties.h"

namespace weir::routing {
namespace {

const ScopeGuard* guard_of(const OpenRule& rule, const Table& table) {
  if (table.guards == nullptr) return nullptr;
  const GuardPlan& plan = *table.guards;
  switch (rule.scope) {
    case GuardScope::global:
      return plan.global();
    case GuardScope::scenario: {
      const auto& all = table.body->scenarios;
      const auto found = std::ranges::find(all, rule.holder, &Scenario::name);
      if (found == all.end()) return nullptr;
      return plan.of(ScenarioIndex{static_cast<uint32_t>(found - all.begin())});
    }
    case GuardScope::tenant: {
      const auto tenant = table.tenants->find(rule.holder);
      return tenant ? plan.of(*tenant) : nullptr;
    }
    case GuardScope::key: {
      const auto key = table.tenants->find_key(rule.holder);
      return key ? plan.of(*key) : nullptr;
    }
    case GuardScope::user:
    case GuardScope::pilot:
    case GuardScope::shadow:
      break;
  }
  return nullptr;
}

}  // namespace

std::optional<OpenRule> open_rule_of(const AlertCause& cause, const Record& record) {
  if (cause.type != AlertType::budget && cause.type != AlertType::limit) return std::nullopt;
  if (!record.limit_open || record.table->guards == nullptr) return std::nullopt;
  const GuardPlan& plan = *record.table->guards;
  OpenRule rule;
  const ScopeGuard* guard = nullptr;
  for (const auto scope : {GuardScope::global, GuardScope::scenario, GuardScope::tenant, GuardScope::key}) {
    for (unsigned kind = 0; kind < kLimitKinds; ++kind) {
      if (record.limit != std::string_view(limit_token(scope, static_cast<LimitKind>(kind)))) continue;
      rule.scope = scope;
      rule.kind = static_cast<LimitKind>(kind);
      if (scope == GuardScope::global) guard = plan.global();
      if (scope == GuardScope::scenario) {
        rule.holder = (*record.table->body)[ScenarioIndex{record.scenario}].name;
        guard = plan.of(ScenarioIndex{record.scenario});
      }
      if (scope == GuardScope::tenant) {
        rule.holder = (*record.table)[TenantIndex{record.tenant}].id();
        guard = plan.of(TenantIndex{record.tenant});
      }
      if (scope == GuardScope::key) {
        rule.holder = (*record.table)[KeyIndex{record.key}].id();
        guard = plan.of(KeyIndex{record.key});
      }
    }
  }
  if (guard == nullptr) return std::nullopt;
  rule.action = guard->on_exceed;
  if (rule.kind == LimitKind::budget) {
    const BudgetSpec& spec = guard->budgets[record.limit_rule].spec;
    rule.action = spec.action;
    rule.window_ns = spec.window_ns;
  }
  if (rule.action == BudgetAction::reject) return std::nullopt;  // it has no state
  return rule;
}

bool is_open(const OpenRule& rule, const Table& table, const GuardTime& now) {
  const ScopeGuard* guard = guard_of(rule, table);
  if (guard == nullptr) return false;
  if (rule.kind == LimitKind::budget) {
    return std::ranges::any_of(guard->budgets, [&](const BudgetGuard& budget) {
      return budget.spec.window_ns == rule.window_ns && budget.spec.action == rule.action &&
             view(*budget.line, budget.spec, now).open;
    });
  }
  if (guard->line == nullptr || guard->on_exceed != rule.action) return false;
  if (rule.kind == LimitKind::concurrency) {
    const uint64_t limit = guard->limits.concurrency;
    return limit != 0 && guard->line->in_flight.load(std::memory_order_relaxed) >= limit;
  }
  // The bit goes with the next request, which may be long in coming.
  const auto kind = static_cast<unsigned>(rule.kind);
  const RateSpec& spec = guard->limits.rates[kind];
  return (guard->line->total.load(std::memory_order_relaxed) >> kind & 1) != 0 &&
         view(guard->line->rates[kind], spec, now.now_ns).remaining < to_recover(spec);
}

std::string closed_body(const OpenRule& rule, const GuardTime& now) {
  const bool budget = rule.kind == LimitKind::budget;
  nlohmann::ordered_json body{{"type", budget ? "budget" : "limit"},
                              {"severity", "warn"},
                              {"time", core::timestamp(now.wall_ns).view()}};
  if (rule.scope != GuardScope::global) body[std::string(token(rule.scope))] = rule.holder;
  body["limit"] = limit_token(rule.scope, rule.kind);
  body["state"] = "closed";
  if (budget) body["window"] = window_name(rule.window_ns);
  body["on_exceed"] = kBudgetActions[static_cast<size_t>(rule.action)];
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace weir::routing
