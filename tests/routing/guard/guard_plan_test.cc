#include "routing/guard/guard_plan.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "routing/guard/admission.h"
#include "routing/exchange/gateway.h"
#include "routing/table/compile_change.h"
#include "routing/table/kills.h"
#include "tests/routing/guard/guard_fixture.h"

namespace weir::routing {
namespace {

TEST(GuardArena, KeepsALinePerNameAcrossPlans) {
  auto arena = std::make_shared<GuardArena>(64);
  const auto table = tests::guarded_table();
  auto first = table.bind(arena);
  ASSERT_NE(first, nullptr);
  const uint32_t used = arena->used();
  const ScopeGuard* tenant = first->of(TenantIndex{0});
  ASSERT_NE(tenant, nullptr);
  take(tenant->line->rates[1], tenant->limits.rates[1], 1, 1'000);
  auto second = table.bind(arena);
  EXPECT_EQ(arena->used(), used);
  EXPECT_EQ(second->of(TenantIndex{0})->line, tenant->line);
  first.reset();
  second.reset();
  const auto third = table.bind(arena);
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
  EXPECT_EQ(tests::guarded_table().bind(arena), nullptr);
  EXPECT_NE(tests::unguarded_table().bind(arena), nullptr) << "what it had taken came back";
}

TEST(GuardPlan, MayHaveKMaxGuardLinesUnlessToldOtherwise) {
  EXPECT_EQ(GatewayOptions().max_guard_lines, core::limits::kMaxGuardLines);
}

TEST(GuardPlan, HoldsOnlyModelsForATableWithoutGuards) {
  auto arena = std::make_shared<GuardArena>(3);
  const auto plan = tests::unguarded_table().bind(arena);
  EXPECT_TRUE(plan->empty());
  EXPECT_EQ(arena->used(), 2u) << "what its one model uses, and how it fares";
}

TEST(GuardPlan, KnowsEachScopesRules) {
  auto arena = std::make_shared<GuardArena>(64);
  const auto table = tests::guarded_table();
  const auto plan = table.bind(arena);
  EXPECT_EQ(plan->global()->limits.rates[static_cast<unsigned>(RateKind::second)].limit, 100'000u);
  EXPECT_EQ(plan->of(TenantIndex{0})->limits.rates[static_cast<unsigned>(RateKind::minute)].limit, 6'000u);
  EXPECT_EQ(plan->of(TenantIndex{0})->limits.concurrency, 200u);
  EXPECT_EQ(plan->of(TenantIndex{0})->budgets.size(), 2u);
  EXPECT_EQ(plan->of(TenantIndex{0})->budgets[1].spec.window_ns, 0u) << "a month";
  EXPECT_EQ(plan->user_of(TenantIndex{0})->line, nullptr) << "found per request";
  EXPECT_EQ(plan->user_of(TenantIndex{1}), nullptr);
  const ScopeGuard* pilot = plan->pilot(TenantIndex{0}, FlagIndex{0});
  ASSERT_NE(pilot, nullptr);
  EXPECT_EQ(pilot->limits.total, 3u);
  EXPECT_EQ(plan->pilot(TenantIndex{1}, FlagIndex{0}), nullptr);
}

// Of a rule what is spent goes with scope and window, whatever it does when that is too much.
TEST(GuardPlan, ABudgetKeepsItsLineWhenItsActionOrAmountChanges) {
  auto arena = std::make_shared<GuardArena>(64);
  const auto budgets = [&](const std::string& list) {
    return tests::compiled(tests::guarded_text("", "", ", budgets: [ " + list + " ]", "")).bind(arena);
  };
  const auto before = budgets("{ window: 1h, usd: 5, on_exceed: economy }, { window: 1h, usd: 9 }, { window: 1d, usd: 9 }");
  const auto after = budgets("{ window: 1h, usd: 7, on_exceed: kill }, { window: 1h, usd: 9, on_exceed: kill }, { window: 1d, usd: 9, on_exceed: static }");
  const auto of = [](const auto& plan) { return plan->of(TenantIndex{0})->budgets; };
  ASSERT_EQ(of(after).size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(of(after)[i].line, of(before)[i].line) << i;
    for (size_t j = 0; j < i; ++j) EXPECT_NE(of(after)[i].line, of(after)[j].line);
  }
}

TEST(GuardPlan, TheEconomyUnitIsTheCheapestThatMayAnswer) {
  const auto compiled = tests::compiled(tests::guarded_text("", "", "", ""));
  Table table;
  table.body = compiled.body;
  table.tenants = compiled.tenants;
  const ScenarioIndex chat{0};
  const UnitIndex stable = (*table.body)[chat].stable, mini{*table.body->unit_names.find("mini")};
  EXPECT_EQ(economy_unit(table, chat, stable), mini) << "a hop of the chain";
  KillList kills;
  kills.add({.scope = KillScope::unit, .name = "mini", .reason = "r"});
  table.kills = kills.resolve(*table.body, *table.tenants);
  EXPECT_EQ(economy_unit(table, chat, stable), stable);
  EXPECT_EQ(economy_unit(table, chat, mini), mini) << "which decide() never says of a killed one";
}

// Only what a change touches is bound anew, and it is the same as if all were.
TEST(GuardPlan, SharesThePartsOfBlocksThatDidNotChange) {
  auto arena = std::make_shared<GuardArena>(10'000);
  std::string tenants, keys;
  for (int i = 0; i < 3'000; ++i) {
    tenants += fmt::format("  x{}: {{ limits: {{ rpm: {} }} }}\n", i, 1 + i);
    keys += fmt::format(
        "  - {{ id: xk{0}, tenant: x{0}, limits: {{ rps: 5 }}, hash: \"hmac-sha256:{1:064}\" }}\n", i, i + 1);
  }
  auto table = tests::compiled(tests::guarded_text(keys, "", " }\n" + tenants + "  last: {", ""));
  const auto before = table.bind(arena);
  ASSERT_NE(before, nullptr);
  const std::vector changes = {
      ObjectChange{ObjectKind::tenant, "x7", std::nullopt,
                   R"({"limits":{"rpm":77},"user_limits":{"rps":1}})"},
      ObjectChange{ObjectKind::tenant, "new", std::nullopt, R"({"budgets":[{"window":"1h","usd":1}]})"}};
  auto changed = change_tenants(*table.body, *table.tenants, changes);
  ASSERT_TRUE(changed.has_value());
  table.tenants = std::move(*changed);
  const auto after = table.bind(arena, before.get());
  ASSERT_NE(after, nullptr);
  const auto rpm = [](const ScopeGuard* guard) {
    return guard->limits.rates[static_cast<unsigned>(RateKind::minute)].limit;
  };
  const TenantIndex seventh = *table.tenants->find("x7");
  EXPECT_EQ(rpm(before->of(seventh)), 8u);
  EXPECT_EQ(rpm(after->of(seventh)), 77u);
  EXPECT_EQ(after->of(seventh)->line, before->of(seventh)->line) << "what was counted stays";
  EXPECT_NE(after->user_of(seventh), nullptr);
  EXPECT_EQ(after->of(*table.tenants->find("new"))->budgets.size(), 1u);
  EXPECT_EQ(after->of(*table.tenants->find("x2000")), before->of(*table.tenants->find("x2000"))) << "shared";
  EXPECT_EQ(after->of(*table.tenants->find_key("xk2000")), before->of(*table.tenants->find_key("xk2000")));
  const auto whole = table.bind(arena);
  const std::vector<ScopeGuard> shared_scopes = after->scopes(), whole_scopes = whole->scopes();
  ASSERT_EQ(shared_scopes.size(), whole_scopes.size());
  for (size_t i = 0; i < whole_scopes.size(); ++i) {
    EXPECT_EQ(shared_scopes[i].scope, whole_scopes[i].scope);
    EXPECT_EQ(shared_scopes[i].owner, whole_scopes[i].owner);
    EXPECT_EQ(shared_scopes[i].line, whole_scopes[i].line);
    EXPECT_EQ(shared_scopes[i].budgets.size(), whole_scopes[i].budgets.size());
  }
}

TEST(GuardPlan, SharesNothingWithThePlanOfATableOfOtherNames) {
  auto arena = std::make_shared<GuardArena>(64);
  const auto other = tests::unguarded_table().bind(arena);
  const auto plan = tests::guarded_table().bind(arena, other.get());
  EXPECT_EQ(plan->scopes().size(), tests::guarded_table().bind(arena)->scopes().size());
}

// A request of its own, which is over at once.
bool within_pilot(const ScopeGuard& pilot, const GuardTime& now) {
  PilotPlaces places;
  const bool within = !places.take(pilot, 0, now);
  places.settle(0, now);
  return within;
}

TEST(Pilot, CountsItsRateAndItsTotal) {
  auto arena = std::make_shared<GuardArena>(64);
  const auto plan = tests::guarded_table().bind(arena);
  const ScopeGuard& pilot = *plan->pilot(TenantIndex{0}, FlagIndex{0});
  GuardTime now{.now_ns = 1'000'000'000};
  EXPECT_TRUE(would_be_within_pilot(pilot, now.now_ns)) << "and asking so does not count";
  EXPECT_TRUE(within_pilot(pilot, now));
  EXPECT_TRUE(within_pilot(pilot, now));
  EXPECT_FALSE(would_be_within_pilot(pilot, now.now_ns));
  EXPECT_FALSE(within_pilot(pilot, now)) << "two per minute";
  now.now_ns += 60'000'000'000;
  EXPECT_TRUE(within_pilot(pilot, now));
  EXPECT_FALSE(would_be_within_pilot(pilot, now.now_ns));
  EXPECT_FALSE(within_pilot(pilot, now)) << "three in all";
  now.now_ns += 600'000'000'000;
  EXPECT_FALSE(within_pilot(pilot, now));
}

TEST(Pilot, TakesBackOnceAndWholeWhatIsNotKept) {
  auto arena = std::make_shared<GuardArena>(64);
  const auto plan = tests::guarded_table().bind(arena);
  const ScopeGuard& pilot = *plan->pilot(TenantIndex{0}, FlagIndex{0});
  const GuardTime now{.now_ns = 1'000'000'000};
  EXPECT_TRUE(within_pilot(pilot, now));
  const uint64_t rate = pilot.line->rates[static_cast<size_t>(RateKind::minute)].load();
  {
    PilotPlaces unused;
    EXPECT_EQ(unused.take(pilot, 0, now), std::nullopt);
  }
  PilotPlaces places;
  EXPECT_EQ(places.take(pilot, 0, now), std::nullopt);
  places.give_back();
  places.give_back();
  EXPECT_EQ(pilot.line->rates[static_cast<size_t>(RateKind::minute)].load(), rate);
  EXPECT_EQ(pilot.line->total.load(), 1u);
  EXPECT_TRUE(within_pilot(pilot, now));
  EXPECT_EQ(places.take(pilot, 0, now), LimitKind::rpm);
  places.give_back();
  EXPECT_EQ(pilot.line->total.load(), 2u) << "it had taken nothing";
  for (int i = 0; i < 3; ++i) places.take_anyway(pilot, 0, now);
  EXPECT_EQ(pilot.line->total.load(), 5u) << "past its limits too";
}

// A pilot with limits of tokens and of requests at the same time.
struct UsedPilot {
  explicit UsedPilot(std::string_view more)
      : table(tests::compiled(tests::guarded_text("", "", "", "", more))), plan(table.bind(arena)) {}
  uint64_t tokens_left() const {
    constexpr auto kTokens = static_cast<size_t>(RateKind::tokens);
    return view(pilot.line->rates[kTokens], pilot.limits.rates[kTokens], now.now_ns).remaining;
  }
  uint64_t in_flight() const { return pilot.line->in_flight.load(); }

  std::shared_ptr<GuardArena> arena = std::make_shared<GuardArena>(64);
  tests::GuardedTable table;
  std::shared_ptr<const GuardPlan> plan;
  const ScopeGuard& pilot = *plan->pilot(TenantIndex{0}, FlagIndex{0});
  GuardTime now{.now_ns = 1'000'000'000};
};

TEST(Pilot, ChargesTheTokensItExpectsAndSettlesThoseThatWereUsed) {
  UsedPilot used(", tpm: 1000");
  PilotPlaces places;
  EXPECT_EQ(places.take(used.pilot, 300, used.now), std::nullopt);
  EXPECT_EQ(used.tokens_left(), 700u);
  EXPECT_EQ(places.take(used.pilot, 701, used.now), LimitKind::tpm);
  EXPECT_EQ(used.pilot.line->total.load(), 1u) << "which took nothing of the others";
  EXPECT_EQ(places.take(used.pilot, 1001, used.now), LimitKind::tpm);
  places.settle(100, used.now);
  EXPECT_EQ(used.tokens_left(), 900u);
  EXPECT_EQ(places.take(used.pilot, 10, used.now), std::nullopt);
  places.settle(910, used.now);
  EXPECT_EQ(used.tokens_left(), 0u) << "ten more than there were";
  EXPECT_FALSE(would_be_within_pilot(used.pilot, used.now.now_ns));
  places.settle(5, used.now);
  EXPECT_EQ(used.tokens_left(), 0u) << "there was nothing to settle any more";
}

TEST(Pilot, CountsThoseAtTheSameTimeUntilTheyAreSettledOrGiveBack) {
  UsedPilot used(", tpm: 1000, concurrency: 2");
  PilotPlaces first, second, third;
  EXPECT_EQ(first.take(used.pilot, 100, used.now), std::nullopt);
  EXPECT_EQ(second.take(used.pilot, 100, used.now), std::nullopt);
  EXPECT_FALSE(would_be_within_pilot(used.pilot, used.now.now_ns));
  EXPECT_EQ(third.take(used.pilot, 100, used.now), LimitKind::concurrency);
  EXPECT_EQ(used.in_flight(), 2u);
  {
    PilotPlaces last;
    second.move_to(last);
    second.settle(0, used.now);
    EXPECT_EQ(used.in_flight(), 2u) << "it has none any more";
    EXPECT_EQ(used.tokens_left(), 800u);
  }
  EXPECT_EQ(used.in_flight(), 1u);
  EXPECT_EQ(used.tokens_left(), 900u) << "given back whole";
  third.take_anyway(used.pilot, 100, used.now);
  third.take_anyway(used.pilot, 100, used.now);
  EXPECT_EQ(used.in_flight(), 3u) << "past the limit";
  third.settle(150, used.now);
  first.settle(100, used.now);
  EXPECT_EQ(used.in_flight(), 0u);
  EXPECT_EQ(used.tokens_left(), 600u);
}

TEST(Pilot, WhatConversationsOweBeyondTheMostDebtIsNotGivenBackEither) {
  UsedPilot used(", tpm: 1000");
  const auto& word = used.pilot.line->rates[static_cast<size_t>(RateKind::tokens)];
  PilotPlaces first, second;
  first.take_anyway(used.pilot, 15'500, used.now);
  const uint64_t before = word.load();
  second.take_anyway(used.pilot, 4'000, used.now);  // 16 times the limit is the most
  second.give_back();
  EXPECT_EQ(word.load(), before);
  first.settle(0, used.now);
  EXPECT_EQ(used.tokens_left(), 1000u);
}

// A shard whose time stands still while another one's goes on.
uint64_t lagging_clock_ns = 0;
GuardTime lagging_at(uint64_t now_ns) {
  lagging_clock_ns = now_ns;
  return {.now_ns = now_ns, .clock = [] { return lagging_clock_ns; }};
}

TEST(Pilot, GivesBackOnlyWhatTimeHasNotRefilledSinceItsShardLookedAtTheClock) {
  UsedPilot used(", tpm: 1000");
  constexpr auto kRequests = static_cast<size_t>(RateKind::minute);
  const GuardTime behind = lagging_at(used.now.now_ns);
  PilotPlaces first, others;
  EXPECT_EQ(first.take(used.pilot, 1000, behind), std::nullopt);
  lagging_clock_ns += 60'000'000'000;
  used.now.now_ns = lagging_clock_ns;
  EXPECT_EQ(others.take(used.pilot, 1000, used.now), std::nullopt) << "a minute later there is room for it";
  first.give_back();
  EXPECT_EQ(used.tokens_left(), 0u);
  EXPECT_EQ(
      view(used.pilot.line->rates[kRequests], used.pilot.limits.rates[kRequests], lagging_clock_ns).remaining,
      1u);
  EXPECT_EQ(used.pilot.line->total.load(), 1u);
  others.settle(1000, used.now);
}

TEST(Pilot, IsUsedUpForALaggingShardWhenItIsByTheClock) {
  UsedPilot used(", tpm: 1000");
  const GuardTime behind = lagging_at(used.now.now_ns);
  lagging_clock_ns += 1'000'000;
  used.now.now_ns = lagging_clock_ns;
  PilotPlaces first, second, third;
  EXPECT_EQ(first.take(used.pilot, 500, used.now), std::nullopt);
  EXPECT_EQ(second.take(used.pilot, 500, behind), std::nullopt) << "two per minute, a thousand tokens";
  EXPECT_EQ(third.take(used.pilot, 0, behind), LimitKind::rpm);
  PilotPlaces last;
  second.move_to(last);
  last.give_back();
  EXPECT_EQ(used.tokens_left(), 500u);
  EXPECT_EQ(second.take(used.pilot, 500, behind), std::nullopt);
  first.settle(500, used.now);
  second.settle(500, used.now);
}

}  // namespace
}  // namespace weir::routing
