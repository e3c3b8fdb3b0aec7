#include "routing/guard/guard_plan.h"

#include <gtest/gtest.h>

#include "routing/guard/admission.h"
#include "tests/routing/guard/guard_fixture.h"

namespace weir::routing {
namespace {

TEST(GuardArena, KeepsALinePerNameAcrossPlans) {
  auto arena = std::make_shared<GuardArena>(64);
  const auto body = tests::guarded_table();
  auto first = GuardPlan::bind(*body, arena);
  ASSERT_NE(first, nullptr);
  const uint32_t used = arena->used();
  const ScopeGuard* tenant = first->of(TenantIndex{0});
  ASSERT_NE(tenant, nullptr);
  take(tenant->line->rates[1], tenant->limits.rates[1], 1, 1'000);
  auto second = GuardPlan::bind(*body, arena);
  EXPECT_EQ(arena->used(), used);
  EXPECT_EQ(second->of(TenantIndex{0})->line, tenant->line);
  first.reset();
  second.reset();
  const auto third = GuardPlan::bind(*body, arena);
  EXPECT_EQ(third->of(TenantIndex{0})->line->rates[1].load(),
            1'000 * kTicksPerNs + third->of(TenantIndex{0})->limits.rates[1].interval)
      << "nobody held it for a while, and it is still there";
}

TEST(GuardArena, GivesLinesOfNamesThatLeftToOthersOnlyWhenAllAreGivenOut) {
  GuardArena arena(3);
  const auto a = arena.find(LineKind::limits, 0, "a", 0);
  const auto b = arena.find(LineKind::limits, 0, "b", 0);
  const auto c = arena.find(LineKind::limits, 1, "a", 0);
  ASSERT_TRUE(a && b && c);
  EXPECT_NE(*a, *c) << "the scope is part of the name";
  EXPECT_EQ(arena.find(LineKind::limits, 0, "d", 0), std::nullopt);
  arena.at<LimitLine>(*b).total.store(7);
  arena.release(*b);
  const auto again = arena.find(LineKind::limits, 0, "b", 0);
  EXPECT_EQ(again, b);
  EXPECT_EQ(arena.at<LimitLine>(*b).total.load(), 7u);
  arena.release(*b);
  const auto d = arena.find(LineKind::limits, 0, "d", 0);
  EXPECT_EQ(d, b);
  EXPECT_EQ(arena.at<LimitLine>(*d).total.load(), 0u) << "cleared";
  EXPECT_EQ(arena.find(LineKind::limits, 0, "a", 0), a);
  EXPECT_EQ(arena.find(LineKind::limits, 0, "b", 0), std::nullopt);
}

TEST(GuardArena, FindsEveryNameAfterGrowing) {
  GuardArena arena(10'000);
  std::vector<uint32_t> lines;
  for (int i = 0; i < 10'000; ++i) lines.push_back(*arena.find(LineKind::budget, 2, std::to_string(i), 5));
  for (int i = 0; i < 10'000; ++i)
    ASSERT_EQ(arena.find(LineKind::budget, 2, std::to_string(i), 5), lines[static_cast<size_t>(i)]);
}

TEST(GuardPlan, IsRefusedWhenTheArenaIsFull) {
  auto arena = std::make_shared<GuardArena>(3);
  EXPECT_EQ(GuardPlan::bind(*tests::guarded_table(), arena), nullptr);
  EXPECT_NE(GuardPlan::bind(*tests::unguarded_table(), arena), nullptr) << "what it had taken came back";
}

TEST(GuardPlan, HoldsOnlyModelsForATableWithoutGuards) {
  auto arena = std::make_shared<GuardArena>(3);
  const auto plan = GuardPlan::bind(*tests::unguarded_table(), arena);
  EXPECT_TRUE(plan->empty());
  EXPECT_EQ(arena->used(), 2u) << "what its one model uses, and how it fares";
}

TEST(GuardPlan, KnowsEachScopesRules) {
  auto arena = std::make_shared<GuardArena>(64);
  const auto body = tests::guarded_table();
  const auto plan = GuardPlan::bind(*body, arena);
  EXPECT_EQ(plan->global()->limits.rates[static_cast<unsigned>(RateKind::second)].limit, 100'000u);
  EXPECT_EQ(plan->of(TenantIndex{0})->limits.rates[static_cast<unsigned>(RateKind::minute)].limit, 6'000u);
  EXPECT_EQ(plan->of(TenantIndex{0})->limits.concurrency, 200u);
  EXPECT_EQ(plan->budgets(*plan->of(TenantIndex{0})).size(), 2u);
  EXPECT_EQ(plan->budgets(*plan->of(TenantIndex{0}))[1].spec.window_ns, 0u) << "a month";
  EXPECT_EQ(plan->user_of(TenantIndex{0})->line, nullptr) << "found per request";
  EXPECT_EQ(plan->user_of(TenantIndex{1}), nullptr);
  const ScopeGuard* pilot = plan->pilot(TenantIndex{0}, FlagIndex{0});
  ASSERT_NE(pilot, nullptr);
  EXPECT_EQ(pilot->limits.total, 3u);
  EXPECT_EQ(plan->pilot(TenantIndex{1}, FlagIndex{0}), nullptr);
}

TEST(GuardPlan, TheEconomyUnitIsTheCheapestOfTheLowestTier) {
  auto arena = std::make_shared<GuardArena>(64);
  const auto body = tests::guarded_table();
  const auto plan = GuardPlan::bind(*body, arena);
  EXPECT_EQ((*body)[plan->economy_unit(ScenarioIndex{0})].name, "mini");
}

TEST(Pilot, CountsItsRateAndItsTotal) {
  auto arena = std::make_shared<GuardArena>(64);
  const auto plan = GuardPlan::bind(*tests::guarded_table(), arena);
  const ScopeGuard& pilot = *plan->pilot(TenantIndex{0}, FlagIndex{0});
  GuardTime now{.now_ns = 1'000'000'000};
  EXPECT_TRUE(within_pilot(pilot, now));
  EXPECT_TRUE(within_pilot(pilot, now));
  EXPECT_FALSE(within_pilot(pilot, now)) << "two per minute";
  now.now_ns += 60'000'000'000;
  EXPECT_TRUE(within_pilot(pilot, now));
  EXPECT_FALSE(within_pilot(pilot, now)) << "three in all";
  now.now_ns += 600'000'000'000;
  EXPECT_FALSE(within_pilot(pilot, now));
}

}  // namespace
}  // namespace weir::routing
