#include "routing/admin/guard_views.h"

#include <gtest/gtest.h>

#include "core/limits.h"
#include "routing/guard/guard_plan.h"
#include "tests/routing/guard/guard_fixture.h"

namespace weir::routing {
namespace {

struct World {
  World() {
    const tests::GuardedTable compiled = tests::guarded_table();
    table.body = compiled.body;
    table.tenants = compiled.tenants;
    table.guards = compiled.bind(std::make_shared<GuardArena>(64));
    now = CalendarReader().at(1'000'000'000'000, {.offset_ns = 1'796'125'400'000'000'000, .epoch = 1});
  }
  Table table;
  GuardTime now;
};

nlohmann::ordered_json row(const nlohmann::ordered_json& rows, std::string_view scope, std::string_view key,
                           std::string_view value) {
  for (const auto& candidate : rows) {
    if (candidate["scope"] == scope && candidate[std::string(key)] == value) return candidate;
  }
  ADD_FAILURE() << "no " << scope << " " << value << " in " << rows.dump();
  return {};
}

TEST(LimitsView, ShowsWhatRemains) {
  World world;
  const ScopeGuard& tenant = *world.table.guards->of(TenantIndex{0});
  take(tenant.line->rates[1], tenant.limits.rates[1], 6000, world.now.now_ns);
  const auto view = limits_view(world.table, {}, world.now);
  const auto rpm = row(view["limits"], "tenant", "limit", "rpm");
  EXPECT_EQ(rpm["name"], "t1");
  EXPECT_EQ(rpm["rate"], 6000);
  EXPECT_EQ(rpm["remaining"], 0);
  EXPECT_EQ(rpm["reset_ms"], 60'000);
  EXPECT_EQ(row(view["limits"], "pilot", "limit", "total_requests")["used"], 0);
  EXPECT_FALSE(row(view["limits"], "user", "limit", "rpd").contains("remaining"));
  EXPECT_EQ(view["more"], false);
}

TEST(LimitsView, ShowsOneTenantsWhenAsked) {
  World world;
  const auto view = limits_view(world.table, {.tenant = "t1"}, world.now);
  for (const auto& each : view["limits"]) EXPECT_NE(each["scope"], "global");
  EXPECT_TRUE(limits_view(world.table, {.tenant = "t2"}, world.now)["limits"].empty());
}

TEST(BudgetsView, ShowsSpendAndReservations) {
  World world;
  const BudgetGuard& budget = world.table.guards->of(KeyIndex{0})->budgets[0];
  reserve(*budget.line, budget.spec, 3'000'000'000, world.now);
  reserve(*budget.line, budget.spec, 2'000'000'000, world.now);
  settle(*budget.line, budget.spec, 3'000'000'000, 1'500'000'000);
  const auto key = row(budgets_view(world.table, {}, world.now)["budgets"], "key", "name", "k1");
  EXPECT_EQ(key["window"], "1m");
  EXPECT_EQ(key["spent_usd"], 1.5);
  EXPECT_EQ(key["reserved_usd"], 2.0);
  EXPECT_EQ(key["on_exceed"], "reject");
  EXPECT_EQ(key["open"], false);
}

TEST(BreakersView, ShowsEachModel) {
  World world;
  limited(world.table.guards->breaker(ModelIndex{0}), Pass::yes, 5'000'000'000, world.now.now_ns);
  const auto view = breakers_view(world.table, world.now);
  ASSERT_EQ(view["breakers"].size(), 2u);
  EXPECT_EQ(view["breakers"][0]["state"], "open");
  EXPECT_EQ(view["breakers"][0]["open_ms"], 5000);
  EXPECT_EQ(view["breakers"][1]["state"], "closed");
}

TEST(Guards, AreBoundedByKMaxGuardLines) {
  EXPECT_EQ(GuardArena(core::limits::kMaxGuardLines).max_lines(), core::limits::kMaxGuardLines);
}

}  // namespace
}  // namespace weir::routing
