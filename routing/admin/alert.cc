#include "routing/admin/alert.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string_view>

#include "core/strong.h"
#include "core/timestamp.h"
#include "routing/admin/guard_views.h"
#include "routing/guard/admission.h"
#include "routing/guard/guard_plan.h"

namespace weir::routing {
namespace {

using Json = nlohmann::ordered_json;

// The scope whose budget decided, by its token: "tenant.budget".
const ScopeGuard* guard_of(const Record& record) {
  const GuardPlan& plan = *record.table->guards;
  const std::string_view limit = record.limit;
  const auto is = [&](GuardScope scope) { return limit.starts_with(token(scope)); };
  if (is(GuardScope::global)) return plan.global();
  if (is(GuardScope::scenario) && record.scenario != Record::kNone)
    return plan.of(ScenarioIndex{record.scenario});
  if (is(GuardScope::tenant)) return plan.of(TenantIndex{record.tenant});
  if (is(GuardScope::key)) return plan.of(KeyIndex{record.key});
  if (is(GuardScope::user)) return plan.user_of(TenantIndex{record.tenant});
  return nullptr;
}

// `pages`: whether one of them has stopped everybody; null = never mind.
Json budgets_of(const ScopeGuard& guard, const GuardTime& now, bool* pages) {
  Json budgets = Json::array();
  for (const BudgetGuard& budget : guard.budgets) {
    Json row = budget_rule_view(budget.spec);
    if (budget.line != nullptr) {
      const BudgetView seen = view(*budget.line, budget.spec, now);
      row.update(budget_state_view(seen));
      if (pages != nullptr) *pages |= seen.open && budget.spec.action == BudgetAction::kill;
    }
    budgets.push_back(std::move(row));
  }
  return budgets;
}

Alert make(const Record& record, std::string_view type, std::string key, bool pages, Json details) {
  const Table& table = *record.table;
  Json body;
  body["type"] = type;
  body["severity"] = pages ? "page" : "warn";
  body["time"] = core::timestamp(record.wall_ns).view();
  if (record.tenant != Record::kNone) body["tenant"] = table[TenantIndex{record.tenant}].id();
  if (record.key != Record::kNone) body["key"] = table[KeyIndex{record.key}].id();
  if (record.scenario != Record::kNone) body["scenario"] = (*table.body)[ScenarioIndex{record.scenario}].name;
  body.update(details);
  return {.key = std::move(key), .body = body.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

}  // namespace

std::optional<Alert> alert_of(const Record& record, const GuardTime& now) {
  if (record.table == nullptr) return std::nullopt;
  if (record.opened_breaker != Record::kNone) {
    const TableBody& body = *record.table->body;
    const Model& model = body[ModelIndex{record.opened_breaker}];
    const ProviderIndex provider = model.provider_at(record.opened_host);
    Json details{{"model", model.name}, {"provider", body[provider].name}};
    if (record.table->guards != nullptr) {
      const BreakerView seen = view(
          record.table->guards->breaker(ModelIndex{record.opened_breaker}, record.opened_host), now.now_ns);
      details["open_ms"] = seen.left_ns / core::kNsPerMs;
    }
    return make(record, "breaker", fmt::format("breaker {}/{}", body[provider].name, model.name), false,
                std::move(details));
  }
  if (record.error == core::ErrorCode::overloaded)
    return make(record, "overload", "overload", true, Json::object());
  if (record.shadow_over_budget != Record::kNone && record.table->guards != nullptr) {
    const FlagIndex flag{record.shadow_over_budget};
    const ScopeGuard* guard = record.table->guards->shadow(flag);
    if (guard == nullptr) return std::nullopt;
    const std::string& name = (*record.table->body)[flag].name;
    const char* limit = limit_token(GuardScope::shadow, LimitKind::budget);
    return make(record, "budget", fmt::format("{} {}", limit, name), false,
                {{"flag", name}, {"limit", limit}, {"budgets", budgets_of(*guard, now, nullptr)}});
  }
  if (record.tenant == Record::kNone || record.key == Record::kNone) return std::nullopt;
  if (record.warned != nullptr) {
    const bool of_key = std::string_view(record.warned).starts_with("key.");
    const std::string_view whose = of_key ? record.table->operator[](KeyIndex{record.key}).id()
                                          : record.table->operator[](TenantIndex{record.tenant}).id();
    return make(record, "limit", fmt::format("warn {} {}", record.warned, whose), false,
                {{"limit", record.warned}});
  }
  if (record.limit == nullptr) return std::nullopt;
  const std::string_view limit = record.limit;
  if (limit.starts_with("runaway.")) {
    const std::string key = fmt::format("{} {}", limit, record.table->operator[](KeyIndex{record.key}).id());
    return make(record, "runaway", key, false, {{"limit", limit}});
  }
  if (!limit.ends_with(".budget") || record.table->guards == nullptr) return std::nullopt;
  const ScopeGuard* guard = guard_of(record);
  if (guard == nullptr) return std::nullopt;
  bool pages = false;
  Json budgets = budgets_of(*guard, now, &pages);
  // Of users it is not known here which one it was.
  const std::string key = fmt::format("{} {} {}", limit, guard->owner, static_cast<int>(guard->scope));
  return make(record, "budget", key, pages, {{"limit", limit}, {"budgets", std::move(budgets)}});
}

}  // namespace weir::routing
