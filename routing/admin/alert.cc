#include "routing/admin/alert.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "core/strong.h"
#include "core/timestamp.h"
#include "routing/admin/guard_views.h"
#include "routing/guard/admission.h"
#include "routing/guard/guard_plan.h"
#include "routing/table/properties.h"

namespace weir::routing {
namespace {

using Json = nlohmann::ordered_json;

// A limit by its token, "tenant.rpm", and who has it.
struct Holder {
  const ScopeGuard* guard = nullptr;
  std::string_view name;  // empty: everybody together
};

bool is_of(std::string_view limit, GuardScope scope) {
  const std::string_view name = token(scope);
  return limit.starts_with(name) && limit.substr(name.size()).starts_with('.');
}

Holder holder_of(const Record& record, std::string_view limit) {
  const Table& table = *record.table;
  const GuardPlan* plan = table.guards.get();
  if (plan == nullptr || is_of(limit, GuardScope::global)) {
    return {.guard = plan == nullptr ? nullptr : plan->global(), .name = {}};
  }
  if (is_of(limit, GuardScope::scenario) && record.scenario != Record::kNone) {
    const ScenarioIndex scenario{record.scenario};
    return {.guard = plan->of(scenario), .name = (*table.body)[scenario].name};
  }
  if (is_of(limit, GuardScope::key) && record.key != Record::kNone) {
    const KeyIndex key{record.key};
    return {.guard = plan->of(key), .name = table[key].id()};
  }
  if (record.tenant == Record::kNone) return {};
  const TenantIndex tenant{record.tenant};
  // Of users it is not known here which one it was.
  const bool of_user = is_of(limit, GuardScope::user);
  if (!of_user && !is_of(limit, GuardScope::tenant)) return {};
  return {.guard = of_user ? plan->user_of(tenant) : plan->of(tenant), .name = table[tenant].id()};
}

std::string_view state_of(const AlertCause& cause, const Record& record) {
  return cause.type == AlertType::filling ? "filling" : record.limit_open ? "open" : "exceeded";
}

// The rule of a budget that decided; null: the guard has no such rule.
const BudgetSpec* rule_of(const ScopeGuard& guard, const Record& record) {
  return record.limit_rule < guard.budgets.size() ? &guard.budgets[record.limit_rule].spec : nullptr;
}

std::string_view action_name(BudgetAction action) {
  return kBudgetActions[static_cast<size_t>(action)];
}

void add_limit_cause(const Record& record, std::vector<AlertCause>& causes) {
  const std::string_view limit = record.limit;
  if (limit.starts_with("runaway.")) {
    const std::string_view key =
        record.key == Record::kNone ? "" : (*record.table)[KeyIndex{record.key}].id();
    causes.push_back({.type = AlertType::runaway, .key = fmt::format("{} {}", limit, key)});
    return;
  }
  const Holder holder = holder_of(record, limit);
  if (holder.guard == nullptr) return;
  AlertCause cause{.type = limit.ends_with(".budget") ? AlertType::budget : AlertType::limit};
  if (cause.type == AlertType::limit) {
    // That a rate refuses is everyday life; that it makes others answer is not.
    const BudgetAction action = holder.guard->on_exceed;
    if (!is_soft(action)) return;
    cause.key = fmt::format("{} {} {} {}", limit, holder.name, action_name(action), state_of(cause, record));
  } else if (const BudgetSpec* rule = rule_of(*holder.guard, record)) {
    cause.pages =
        rule->action == BudgetAction::kill && record.limit_open && holder.guard->scope != GuardScope::user;
    cause.key = fmt::format("{} {} {} {} {}", limit, holder.name, rule->window_ns, action_name(rule->action),
                            state_of(cause, record));
  } else {
    return;
  }
  causes.push_back(std::move(cause));
}

Json budgets_of(const ScopeGuard& guard, const GuardTime& now) {
  Json budgets = Json::array();
  for (const BudgetGuard& budget : guard.budgets) {
    Json row = budget_rule_view(budget.spec);
    if (budget.line != nullptr) row.update(budget_state_view(view(*budget.line, budget.spec, now)));
    budgets.push_back(std::move(row));
  }
  return budgets;
}

Json breaker_details(const Record& record, const GuardTime& now) {
  const TableBody& body = *record.table->body;
  const Model& model = body[ModelIndex{record.opened_breaker}];
  Json details{{"model", model.name}, {"provider", body[model.provider_at(record.opened_host)].name}};
  if (const auto& guards = record.table->guards) {
    const BreakerView seen =
        view(guards->breaker(ModelIndex{record.opened_breaker}, record.opened_host), now.now_ns);
    details["open_ms"] = seen.left_ns / core::kNsPerMs;
  }
  return details;
}

Json copies_details(const Record& record, const GuardTime& now) {
  const FlagIndex flag{record.shadow_over_budget};
  Json details{{"flag", (*record.table->body)[flag].name},
               {"limit", limit_token(GuardScope::shadow, LimitKind::budget)}};
  if (const ScopeGuard* guard = record.table->guards->shadow(flag))
    details["budgets"] = budgets_of(*guard, now);
  return details;
}

Json limit_details(const AlertCause& cause, const Record& record, const GuardTime& now) {
  Json details{{"limit", record.limit}, {"state", state_of(cause, record)}};
  const ScopeGuard& guard = *holder_of(record, record.limit).guard;
  if (cause.type == AlertType::limit) {
    details["on_exceed"] = action_name(guard.on_exceed);
    return details;
  }
  const Json rule = budget_rule_view(*rule_of(guard, record));
  details["window"] = rule["window"];
  details["on_exceed"] = rule["on_exceed"];
  details["budgets"] = budgets_of(guard, now);
  return details;
}

Json details_of(const AlertCause& cause, const Record& record, const GuardTime& now) {
  switch (cause.type) {
    case AlertType::breaker:
      return breaker_details(record, now);
    case AlertType::overload:
      break;
    case AlertType::copies:
      return copies_details(record, now);
    case AlertType::filling:
      return {{"limit", record.warned}, {"state", state_of(cause, record)}};
    case AlertType::runaway:
      return {{"limit", record.limit}};
    case AlertType::limit:
    case AlertType::budget:
      return limit_details(cause, record, now);
  }
  return Json::object();
}

std::string_view name_of(AlertType type) {
  static constexpr std::string_view kNames[] = {"breaker", "overload", "budget", "limit",
                                                "runaway", "limit",    "budget"};
  return kNames[static_cast<size_t>(type)];
}

}  // namespace

std::vector<AlertCause> alert_causes(const Record& record) {
  std::vector<AlertCause> causes;
  if (record.table == nullptr) return causes;
  const TableBody& body = *record.table->body;
  if (record.opened_breaker != Record::kNone) {
    const Model& model = body[ModelIndex{record.opened_breaker}];
    const std::string& provider = body[model.provider_at(record.opened_host)].name;
    causes.push_back({.type = AlertType::breaker, .key = fmt::format("breaker {}/{}", provider, model.name)});
  }
  if (record.error == core::ErrorCode::overloaded)
    causes.push_back({.type = AlertType::overload, .pages = true, .key = "overload"});
  if (record.shadow_over_budget != Record::kNone && record.table->guards != nullptr) {
    causes.push_back({.type = AlertType::copies,
                      .key = fmt::format("copies {}", body[FlagIndex{record.shadow_over_budget}].name)});
  }
  if (record.warned != nullptr) {
    const std::string_view whose = holder_of(record, record.warned).name;
    causes.push_back({.type = AlertType::filling, .key = fmt::format("filling {} {}", record.warned, whose)});
  }
  if (record.limit != nullptr) add_limit_cause(record, causes);
  return causes;
}

std::string alert_body(const AlertCause& cause, const Record& record, const GuardTime& now) {
  const Table& table = *record.table;
  Json body;
  body["type"] = name_of(cause.type);
  body["severity"] = cause.pages ? "page" : "warn";
  body["time"] = core::timestamp(record.wall_ns).view();
  if (record.tenant != Record::kNone) body["tenant"] = table[TenantIndex{record.tenant}].id();
  if (record.key != Record::kNone) body["key"] = table[KeyIndex{record.key}].id();
  if (record.scenario != Record::kNone) body["scenario"] = (*table.body)[ScenarioIndex{record.scenario}].name;
  body.update(details_of(cause, record, now));
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace weir::routing
