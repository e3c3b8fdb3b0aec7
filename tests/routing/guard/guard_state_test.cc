#include "routing/guard/guard_state.h"

#include <gtest/gtest.h>

#include "routing/guard/admission.h"
#include "tests/routing/guard/guard_fixture.h"

namespace weir::routing::guard_state_test {
namespace {

constexpr int64_t kUsd = 1'000'000'000;

struct World {
  World() {
    const tests::GuardedTable compiled = tests::guarded_table();
    table.body = compiled.body;
    table.tenants = compiled.tenants;
    table.guards = compiled.bind(std::make_shared<GuardArena>(64));
  }
  Table table;
  GuardTime now = CalendarReader().at(1'000'000'000'000, {.offset_ns = 1'796'125'400'000'000'000, .epoch = 1});

  const BudgetGuard& budget(size_t index) const { return table.guards->of(TenantIndex{0})->budgets[index]; }
  BudgetView view_of(size_t index) const { return view(*budget(index).line, budget(index).spec, now); }
  void spend(size_t index, int64_t worst, int64_t actual) const {
    reserve(*budget(index).line, budget(index).spec, worst, now);
    settle(*budget(index).line, budget(index).spec, worst, actual);
  }
};

TEST(GuardState, SurvivesAProcessWithReservationsAsSpend) {
  World before;
  before.spend(0, 5 * kUsd, 3 * kUsd);
  before.spend(1, 7 * kUsd, 7 * kUsd);
  reserve(*before.budget(0).line, before.budget(0).spec, 2 * kUsd, before.now);
  const std::string text = save_guards(before.table, before.now);

  World after;
  EXPECT_EQ(restore_guards(after.table, text, after.now), 2u);
  EXPECT_EQ(after.view_of(0).spent, 5 * kUsd);
  EXPECT_EQ(after.view_of(0).reserved, 0);
  EXPECT_EQ(after.view_of(1).spent, 7 * kUsd);
}

TEST(GuardState, ReadsTheSameASecondLaterThoughClocksDrift) {
  const tests::GuardedTable compiled =
      tests::compiled(tests::guarded_text("", "", ", limits: { rpd: 1000 }", ""));
  Table table;
  table.body = compiled.body;
  table.tenants = compiled.tenants;
  table.guards = compiled.bind(std::make_shared<GuardArena>(64));
  const ScopeGuard& tenant = *table.guards->of(TenantIndex{0});
  GuardTime now = World().now;
  now.wall_ns += 300'000'000;
  constexpr auto kDay = static_cast<size_t>(RateKind::day);
  take(tenant.line->rates[kDay], tenant.limits.rates[kDay], 600, now.now_ns);
  const std::string text = save_guards(table, now);
  EXPECT_NE(text.find("rate tenant t1 day "), std::string::npos) << text;
  for (const int64_t drift_ns : {100'000, -100'000}) {
    now.now_ns += 1'000'000'000;
    now.wall_ns += 1'000'000'000 + drift_ns;
    EXPECT_EQ(save_guards(table, now), text);
  }
}

TEST(GuardState, AChangedActionFindsWhatWasSpentBeforeTheProcessEnded) {
  const auto make = [](const std::string& action) {
    const auto compiled = tests::compiled(tests::guarded_text(
        "", "", ", budgets: [ { window: 1h, usd: 10, on_exceed: " + action + " } ]", ""));
    Table table;
    table.body = compiled.body;
    table.tenants = compiled.tenants;
    table.guards = compiled.bind(std::make_shared<GuardArena>(64));
    return table;
  };
  const GuardTime now = World().now;
  const auto budget = [](const Table& table) { return table.guards->of(TenantIndex{0})->budgets[0]; };
  const Table before = make("kill"), same = make("kill"), after = make("reject");
  reserve(*budget(before).line, budget(before).spec, 10 * kUsd, now);
  EXPECT_EQ(reserve(*budget(before).line, budget(before).spec, 1, now), Fit::open);
  settle(*budget(before).line, budget(before).spec, 10 * kUsd, kUsd);
  const std::string text = save_guards(before, now);
  EXPECT_EQ(restore_guards(same, text, now), 1u);
  EXPECT_EQ(reserve(*budget(same).line, budget(same).spec, 1, now), Fit::open) << "still killed";
  EXPECT_EQ(restore_guards(after, text, now), 1u);
  EXPECT_EQ(view(*budget(after).line, budget(after).spec, now).spent, kUsd);
  EXPECT_EQ(reserve(*budget(after).line, budget(after).spec, 1, now), Fit::fits);
}

TEST(GuardState, DoesNotOverwriteWhatHasBeenCounted) {
  World world;
  world.spend(0, 5 * kUsd, 3 * kUsd);
  const std::string text = save_guards(world.table, world.now);
  world.spend(0, 5 * kUsd, 4 * kUsd);
  EXPECT_EQ(restore_guards(world.table, text, world.now), 0u);
  EXPECT_EQ(world.view_of(0).spent, 7 * kUsd);
}

// Every prefix, as a crash while writing would leave it, and bytes that mean nothing.
TEST(GuardState, ReadsWhateverStandsInTheFile) {
  World before;
  before.spend(0, 5 * kUsd, 3 * kUsd);
  before.spend(1, 7 * kUsd, 7 * kUsd);
  const std::string text = save_guards(before.table, before.now);
  for (size_t size = 0; size <= text.size(); ++size) {
    World after;
    const size_t found = restore_guards(after.table, text.substr(0, size), after.now).value_or(0);
    EXPECT_LE(found, 2u);
    EXPECT_TRUE(after.view_of(0).spent == 0 || after.view_of(0).spent == 3 * kUsd);
    EXPECT_TRUE(after.view_of(1).spent == 0 || after.view_of(1).spent == 7 * kUsd);
  }
  World after;
  for (const std::string line :
       {"budget tenant t1 0 0 1 -5 0 0\n", "budget tenant t1\n", "\n", "budget tenant t1 0 0 x 1 1 7\n",
        "budget tenant t1 0 0 1 1 1 open\n", "budget tenant gone 0 0 1 5 0 0\n",
        "budget a b c d e f g h i j\n", "total pilot t1/f -1\n", "rate\n", "budget\n", " \n"}) {
    EXPECT_EQ(restore_guards(after.table, "weir-guards 2\n" + line, after.now), 0u) << line;
  }
}

TEST(GuardState, RatesOfDaysAndTotalsOfPilotsSurviveToo) {
  const tests::GuardedTable compiled =
      tests::compiled(tests::guarded_text("", "", ", limits: { rpm: 100, rpd: 1000 }", ""));
  const auto make = [&] {
    Table table;
    table.body = compiled.body;
    table.tenants = compiled.tenants;
    table.guards = compiled.bind(std::make_shared<GuardArena>(64));
    return table;
  };
  const GuardTime now = World().now;
  const auto day_of = [](const Table& table) -> std::pair<LimitLine*, RateSpec> {
    const ScopeGuard& tenant = *table.guards->of(TenantIndex{0});
    return {tenant.line, tenant.limits.rates[static_cast<size_t>(RateKind::day)]};
  };
  constexpr auto kDay = static_cast<size_t>(RateKind::day);

  const Table before = make();
  const auto [line, spec] = day_of(before);
  take(line->rates[kDay], spec, 600, now.now_ns);
  const ScopeGuard& pilot = *before.guards->pilot(TenantIndex{0}, FlagIndex{0});
  PilotPlaces places;
  for (int i = 0; i < 2; ++i) places.take(pilot, 0, now);
  const std::string text = save_guards(before, now);

  // The machine was started anew: another monotonic clock, an hour later on the wall.
  GuardTime later = now;
  later.now_ns = 5'000'000'000;
  later.wall_ns += 3'600'000'000'000;
  const Table after = make();
  EXPECT_EQ(restore_guards(after, text, later), 2u);
  const auto [restored, same] = day_of(after);
  EXPECT_NEAR(static_cast<double>(view(restored->rates[kDay], same, later.now_ns).remaining),
              400 + 1000 / 24.0, 1.5);
  EXPECT_EQ(after.guards->pilot(TenantIndex{0}, FlagIndex{0})->line->total.load(), 2u);

  // Whatever a clock said when it was written, no limit is shut for longer than its period.
  GuardTime wrong = now;
  wrong.wall_ns -= 400LL * 24 * 3'600'000'000'000;
  const Table shut = make();
  restore_guards(shut, text, wrong);
  const auto [shut_line, shut_spec] = day_of(shut);
  EXPECT_LE(view(shut_line->rates[kDay], shut_spec, wrong.now_ns).reset_ns, 24 * 3'600'000'000'000u);
}

}  // namespace
}  // namespace weir::routing::guard_state_test
