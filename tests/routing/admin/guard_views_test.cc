#include "routing/admin/guard_views.h"

#include <gtest/gtest.h>

#include "core/limits.h"
#include "routing/guard/guard_plan.h"
#include "tests/routing/guard/guard_fixture.h"

namespace weir::routing::guard_views_test {
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

TEST(LimitsView, ShowsWhatIsNearlyUsedUpFirst) {
  World world;
  const ScopeGuard& key = *world.table.guards->of(KeyIndex{0});
  take(key.line->rates[0], key.limits.rates[0], 4500, world.now.now_ns);
  const ScopeGuard& tenant = *world.table.guards->of(TenantIndex{0});
  take(tenant.line->rates[1], tenant.limits.rates[1], 3000, world.now.now_ns);
  const auto rows = limits_view(world.table, {.closest_first = true}, world.now)["limits"];
  EXPECT_EQ(rows.size(), limits_view(world.table, {}, world.now)["limits"].size());
  EXPECT_EQ(rows[0]["scope"], "key") << "nine tenths";
  EXPECT_EQ(rows[0]["limit"], "rps");
  EXPECT_EQ(rows[1]["scope"], "tenant") << "half";
  EXPECT_EQ(rows[rows.size() - 1]["scope"], "user") << "nothing to see";
}

TEST(LimitsView, OfVeryManyTheClosestAreAmongThoseShown) {
  std::string keys;
  for (size_t i = 0; i < 3 * GuardFilter::kMaxRows; ++i) {
    std::string hash = "c" + std::to_string(i);
    keys += "  - { id: n" + std::to_string(i) +
            ", tenant: t2, scenario: chat, limits: { rpm: 100 }, hash: \"hmac-sha256:" +
            std::string(64 - hash.size(), '0') + hash + "\" }\n";
  }
  const tests::GuardedTable compiled = tests::compiled(tests::guarded_text(keys, "", "", ""));
  Table table;
  table.body = compiled.body;
  table.tenants = compiled.tenants;
  table.guards = compiled.bind(std::make_shared<GuardArena>(4 * GuardFilter::kMaxRows));
  ASSERT_NE(table.guards, nullptr);
  const GuardTime now = World().now;
  const ScopeGuard& last = *table.guards->of(*table.tenants->find_key("n2999"));
  take(last.line->rates[1], last.limits.rates[1], 50, now.now_ns);
  const auto view = limits_view(table, {.closest_first = true}, now);
  EXPECT_EQ(view["limits"].size(), GuardFilter::kMaxRows);
  EXPECT_EQ(view["limits"][0]["name"], "n2999");
  EXPECT_EQ(view["more"], true);
  EXPECT_EQ(limits_view(table, {}, now)["limits"].size(), GuardFilter::kMaxRows);
}

TEST(GuardViews, ShowWhatIsCountedOfOneUser) {
  World world;
  UserGuards users(1 << 20, {.low = 1, .high = 2});
  GuardHold hold;
  ASSERT_EQ(hold.admit({.plan = world.table.guards.get(),
                        .scenario = ScenarioIndex{0},
                        .user_tag = users.tag_of("t1", "anna", {}),
                        .tokens = 10,
                        .worst_nano_usd = 2'000'000'000},
                       users, world.now)
                .kind,
            Verdict::Kind::admitted);
  GuardFilter filter{.tenant = "t1", .user = "anna", .users = &users};
  const auto limits = limits_view(world.table, filter, world.now)["limits"];
  ASSERT_EQ(limits.size(), 2u);
  EXPECT_EQ(row(limits, "user", "limit", "rpm")["remaining"], 999);
  EXPECT_EQ(limits[0]["user_hash"].get<std::string>().size(), 16u) << "as alerts call her";
  EXPECT_EQ(budgets_view(world.table, filter, world.now)["budgets"][0]["user_hash"], limits[0]["user_hash"]);
  EXPECT_EQ(budgets_view(world.table, filter, world.now)["budgets"][0]["reserved_usd"], 2.0);
  hold.settle(10, 1'000'000'000, users, world.now);
  EXPECT_EQ(budgets_view(world.table, filter, world.now)["budgets"][0]["spent_usd"], 1.0);
  filter.user = "carl";
  EXPECT_FALSE(limits_view(world.table, filter, world.now)["limits"][0].contains("remaining"))
      << "nobody has seen him";
  filter.tenant = "t2";
  EXPECT_TRUE(limits_view(world.table, filter, world.now)["limits"].empty());
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

TEST(BudgetsView, ShowsTheWindowOfCopies) {
  for (const auto& [window, name] :
       {std::pair("", "ever"), std::pair(", window: 7d", "7d"), std::pair(", window: month", "month")}) {
    std::string text = tests::guarded_text("", "", "", "");
    text.replace(
        text.find("flags:\n"), 7,
        std::string("flags:\n  g: { scenario: elsewhere, candidate: { unit: mini }, shadow: { percent: 1, "
                    "budget_usd: 3") +
            window + " } }\n");
    const tests::GuardedTable compiled = tests::compiled(text);
    Table table;
    table.body = compiled.body;
    table.tenants = compiled.tenants;
    table.guards = compiled.bind(std::make_shared<GuardArena>(64));
    const auto shadow = row(budgets_view(table, {}, World().now)["budgets"], "shadow", "name", "g");
    EXPECT_EQ(shadow["window"], name);
    EXPECT_EQ(shadow["usd"], 3.0);
  }
}

TEST(BreakersView, ShowsEachModel) {
  World world;
  limited(world.table.guards->breaker(ModelIndex{0}), Pass::yes, 5'000'000'000, world.now.now_ns);
  const auto view = breakers_view(world.table, world.now);
  ASSERT_EQ(view["breakers"].size(), 2u);
  EXPECT_EQ(view["breakers"][0]["state"], "open");
  EXPECT_EQ(view["breakers"][0]["open_ms"], 5000);
  EXPECT_EQ(view["breakers"][0]["limited"], true) << "it said 429";
  BreakerLine& failing = world.table.guards->breaker(ModelIndex{1});
  for (uint64_t i = 0; i < BreakerRules::kConsecutive; ++i) failed(failing, Pass::yes, world.now.now_ns);
  EXPECT_EQ(breakers_view(world.table, world.now)["breakers"][1]["state"], "open");
  EXPECT_EQ(breakers_view(world.table, world.now)["breakers"][1]["limited"], false);
  EXPECT_EQ(view["breakers"][1]["state"], "closed") << "as it was then";
}

TEST(Guards, AreBoundedByKMaxGuardLines) {
  EXPECT_EQ(GuardArena(core::limits::kMaxGuardLines).max_lines(), core::limits::kMaxGuardLines);
}

}  // namespace
}  // namespace weir::routing::guard_views_test
