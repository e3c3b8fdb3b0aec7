#include "routing/admin/guard_metrics.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/limits.h"
#include "core/strong.h"
#include "routing/admin/guard_views.h"
#include "routing/exchange/prometheus_text.h"
#include "routing/guard/guard_plan.h"
#include "routing/table/properties.h"

namespace weir::routing {
namespace {

using enum MetricsText::Type;

struct BudgetRow {
  std::string labels;
  BudgetView seen;
  int64_t limit;
};

// The budgets that have series, and how many have not.
struct Budgets {
  std::vector<BudgetRow> shown;
  uint64_t left_out = 0;

  void add(const ScopeGuard* guard, std::string_view name, const GuardTime& now) {
    if (guard == nullptr) return;
    for (size_t at = 0; at < guard->budgets.size(); ++at) {
      const BudgetGuard& budget = guard->budgets[at];
      if (shown.size() == core::limits::kMaxBudgetSeries) {
        ++left_out;
        continue;
      }
      shown.push_back(
          {.labels = metric_label("scope", token(guard->scope)) + "," + metric_label("name", name) + "," +
                     metric_label("window", window_name(budget.spec.window_ns)) + "," +
                     metric_label("on_exceed", kBudgetActions[static_cast<size_t>(budget.spec.action)]) +
                     "," + metric_label("rule", MetricsText::text_of(at)),
           .seen = view(*budget.line, budget.spec, now),
           .limit = budget.spec.limit});
    }
  }
};

Budgets budgets_of(const Table& table, const GuardTime& now) {
  Budgets budgets;
  const TableBody& body = *table.body;
  const GuardPlan& plan = *table.guards;
  budgets.add(plan.global(), "", now);
  for (uint32_t i = 0; i < body.scenarios.size(); ++i)
    budgets.add(plan.of(ScenarioIndex{i}), body.scenarios[i].name, now);
  for (uint32_t i = 0; i < body.flags.size(); ++i)
    budgets.add(plan.shadow(FlagIndex{i}), body.flags[i].name, now);
  for (uint32_t i = 0; i < table.tenants->tenant_end(); ++i) {
    if (const ScopeGuard* guard = plan.of(TenantIndex{i}))
      budgets.add(guard, table[TenantIndex{i}].id(), now);
  }
  for (uint32_t i = 0; i < table.tenants->key_end(); ++i) {
    if (const ScopeGuard* guard = plan.of(KeyIndex{i})) budgets.add(guard, table[KeyIndex{i}].id(), now);
  }
  return budgets;
}

void append_budgets(MetricsText& text, const Table& table, const GuardTime& now) {
  const Budgets budgets = budgets_of(table, now);
  const auto gauge_of = [&](std::string_view name, std::string_view help, auto get) {
    text.family(name, gauge, help);
    for (const BudgetRow& budget : budgets.shown) text.sample("", budget.labels, "", get(budget));
  };
  gauge_of("weir_budget_limit_usd", "What a budget allows in its window.",
           [](const BudgetRow& budget) { return usd(budget.limit); });
  gauge_of("weir_budget_spent_usd", "What was spent of it in this window.",
           [](const BudgetRow& budget) { return usd(budget.seen.spent); });
  gauge_of("weir_budget_reserved_usd", "What requests under way may cost at most.",
           [](const BudgetRow& budget) { return usd(budget.seen.reserved); });
  gauge_of("weir_budget_open", "1 while its action answers.",
           [](const BudgetRow& budget) { return budget.seen.open ? 1 : 0; });
  text.family("weir_budgets_left_out", gauge, "Budgets that have no series, because there are too many.");
  text.sample("", "", "", budgets.left_out);
}

void append_breakers(MetricsText& text, const Table& table, const GuardTime& now) {
  std::vector<std::pair<std::string, BreakerView>> breakers;
  const TableBody& body = *table.body;
  for (uint32_t i = 0; i < body.models.size(); ++i) {
    const Model& model = body.models[i];
    const auto hosts = static_cast<uint32_t>(std::max<size_t>(model.hosts.size(), 1));
    for (uint32_t host = 0; host < hosts; ++host) {
      breakers.emplace_back(metric_label("model", model.name) + "," +
                                metric_label("provider", body[model.provider_at(host)].name),
                            view(table.guards->breaker(ModelIndex{i}, host), now.now_ns));
    }
  }
  const auto each = [&](std::string_view name, MetricsText::Type type, std::string_view help, auto get) {
    text.family(name, type, help);
    for (const auto& [labels, seen] : breakers) text.sample("", labels, "", get(seen));
  };
  each("weir_breaker_open", gauge, "1 while the model is left alone at that provider, 0.5 while one asks.",
       [](const BreakerView& seen) {
         return seen.state == BreakerState::open ? 1.0 : seen.state == BreakerState::half_open ? 0.5 : 0.0;
       });
  each("weir_breaker_limited", gauge, "1 while that is because the provider said 429.",
       [](const BreakerView& seen) { return seen.limited && seen.left_ns > 0 ? 1 : 0; });
  each("weir_breaker_kept_away_total", counter, "Attempts that it did not let through.",
       [](const BreakerView& seen) { return seen.kept_away; });
}

}  // namespace

void append_guard_metrics(const Gateway& gateway, const Table& table, const GuardTime& now,
                          std::string& out) {
  MetricsText text(out);
  if (table.guards != nullptr) {
    append_budgets(text, table, now);
    append_breakers(text, table, now);
  }
  text.family("weir_user_evictions_total", counter,
              "Users whose count was given up before its time: each may have had one limit or window more.");
  text.sample("", metric_label("of", "limits"), "", gateway.users.limits.evictions());
  text.sample("", metric_label("of", "budgets"), "", gateway.users.budgets.evictions());
  text.family("weir_user_lines", gauge, "How many users' counts there is room for.");
  text.sample("", metric_label("of", "limits"), "", gateway.users.limits.capacity());
  text.sample("", metric_label("of", "budgets"), "", gateway.users.budgets.capacity());
  text.family("weir_cache_evictions_total", counter, "Cached answers that gave way before their time.");
  text.sample("", "", "", gateway.cache.evictions());
}

void append_alert_metrics(const AlertSender& alerts, std::string& out) {
  MetricsText text(out);
  const auto one = [&](std::string_view name, MetricsText::Type type, std::string_view help, uint64_t value) {
    text.family(name, type, help);
    text.sample("", "", "", value);
  };
  one("weir_alerts_delivered_total", counter, "Alerts that the webhook took.", alerts.delivered());
  one("weir_alerts_failed_total", counter, "Tries that it did not take; they are repeated.",
      alerts.failures());
  one("weir_alerts_dropped_total", counter,
      "Alerts of clients that loop that nobody was told: there were too many things to tell.",
      alerts.dropped());
  one("weir_alerts_waiting", gauge, "Alerts that are to be told.", alerts.queue().waiting());
}

}  // namespace weir::routing
