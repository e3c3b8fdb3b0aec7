#include "routing/admin/guard_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "core/limits.h"
#include "tests/routing/admin/admin_fixture.h"

namespace weir::routing::guard_metrics_test {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kUsd = 1'000'000'000;

size_t count_of(std::string_view text, std::string_view part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(GuardMetrics, ShowBudgetsAsTheyStand) {
  AdminHost host({.table = table_text() + "budgets: [ { window: 1h, usd: 100, on_exceed: economy },"
                                          " { window: 1h, usd: 200, on_exceed: economy } ]\n"});
  CalendarReader reader;
  const GuardTime now = reader.at(host.loop->now_ns(), host.gateway.calendar.point());
  const BudgetGuard& budget = host.control.table().guards->global()->budgets[0];
  reserve(*budget.line, budget.spec, 90 * kUsd, now);
  settle(*budget.line, budget.spec, 90 * kUsd, 5 * kUsd);
  reserve(*budget.line, budget.spec, 90 * kUsd, now);
  reserve(*budget.line, budget.spec, 50 * kUsd, now);
  const std::string text = host.get("/metrics").body;
  const std::string labels = R"({scope="global",name="",window="1h",on_exceed="economy",rule="0"} )";
  EXPECT_THAT(text, HasSubstr("weir_budget_limit_usd" + labels + "100\n"));
  EXPECT_THAT(text, HasSubstr("weir_budget_spent_usd" + labels + "5\n"));
  EXPECT_THAT(text, HasSubstr("weir_budget_reserved_usd" + labels + "140\n"));
  EXPECT_THAT(text, HasSubstr("weir_budget_open" + labels + "1\n"));
  EXPECT_THAT(text, HasSubstr("weir_budgets_left_out 0\n"));
}

TEST(GuardMetrics, ShowBreakersAndWhatWasGivenUp) {
  AdminHost host;
  BreakerLine& line = host.control.table().guards->breaker(ModelIndex{0});
  limited(line, Pass::yes, 60'000'000'000, host.loop->now_ns());
  const std::string text = host.get("/metrics").body;
  const Model& model = host.control.table().body->models[0];
  const std::string labels = "{model=\"" + model.name + "\",provider=\"" +
                             (*host.control.table().body)[model.provider_at(0)].name + "\"} ";
  EXPECT_THAT(text, HasSubstr("weir_breaker_open" + labels + "1\n"));
  EXPECT_THAT(text, HasSubstr("weir_breaker_limited" + labels + "1\n"));
  for (const char* series :
       {"weir_user_evictions_total{of=\"limits\"} 0\n", "weir_user_evictions_total{of=\"budgets\"} 0\n",
        "weir_cache_evictions_total 0\n"}) {
    EXPECT_THAT(text, HasSubstr(series));
  }
}

// A scraper refuses the whole page for one series that comes twice.
TEST(GuardMetrics, AreBoundedByKMaxBudgetSeriesAndNoneComesTwice) {
  using core::limits::kMaxBudgetSeries;
  std::string tenants = "tenants: {";
  for (unsigned i = 0; i <= kMaxBudgetSeries; ++i)
    tenants += (i == 0 ? " n" : ", n") + std::to_string(i) + ": { budgets: [ { window: 1d, usd: 1 } ] }";
  AdminHost host({.table = R"(
providers: { p: { dialect: openai, base_url: "http://127.0.0.1:1/v1" } }
models: { m: { provider: p, price: { input: 1, output: 1 } } }
units: { u: { model: m } }
scenarios: { chat: { stable: u } }
budgets: [ { window: 1d, usd: 1 } ]
)" + tenants + " }\n"});
  const std::string text = host.get("/metrics").body;
  EXPECT_EQ(count_of(text, "\nweir_budget_open{"), kMaxBudgetSeries);
  EXPECT_THAT(text, HasSubstr("weir_budgets_left_out 2\n"));
  EXPECT_THAT(text, HasSubstr("weir_budget_open{scope=\"global\""));
  std::set<std::string> seen;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with('#')) continue;
    EXPECT_TRUE(seen.insert(line.substr(0, line.rfind(' '))).second) << line;
  }
}

TEST(GuardMetrics, CountWhatBecameOfAlerts) {
  AdminHost host;
  const Table table;
  const AlertSender sender(*host.loop,
                           {.calendar = host.gateway.calendar,
                            .users = host.gateway.users,
                            .table = [&]() -> const Table& { return table; }},
                           "secret", 1, [](const WebhookRequest&, const std::stop_token&) { return true; });
  std::string text;
  append_alert_metrics(sender, text);
  for (const char* series : {"weir_alerts_delivered_total 0\n", "weir_alerts_failed_total 0\n",
                             "weir_alerts_dropped_total 0\n", "weir_alerts_waiting 0\n"}) {
    EXPECT_THAT(text, HasSubstr(series));
  }
}

}  // namespace
}  // namespace weir::routing::guard_metrics_test
