#include "routing/guard/guard_state.h"

#include <gtest/gtest.h>

#include "tests/routing/guard/guard_fixture.h"

namespace weir::routing {
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
  GuardTime now = [] {
    CalendarClock clock;
    return clock.at(1'000'000'000'000, 1'796'126'400'000'000'000);
  }();

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
  const std::string text = save_budgets(before.table);

  World after;
  EXPECT_EQ(restore_budgets(after.table, text), 2u);
  EXPECT_EQ(after.view_of(0).spent, 5 * kUsd);
  EXPECT_EQ(after.view_of(0).reserved, 0);
  EXPECT_EQ(after.view_of(1).spent, 7 * kUsd);
}

TEST(GuardState, DoesNotOverwriteWhatHasBeenCounted) {
  World world;
  world.spend(0, 5 * kUsd, 3 * kUsd);
  const std::string text = save_budgets(world.table);
  world.spend(0, 5 * kUsd, 4 * kUsd);
  EXPECT_EQ(restore_budgets(world.table, text), 0u);
  EXPECT_EQ(world.view_of(0).spent, 7 * kUsd);
}

// Every prefix, as a crash while writing would leave it, and bytes that mean nothing.
TEST(GuardState, ReadsWhateverStandsInTheFile) {
  World before;
  before.spend(0, 5 * kUsd, 3 * kUsd);
  before.spend(1, 7 * kUsd, 7 * kUsd);
  const std::string text = save_budgets(before.table);
  for (size_t size = 0; size <= text.size(); ++size) {
    World after;
    const size_t found = restore_budgets(after.table, text.substr(0, size));
    EXPECT_LE(found, 2u);
    EXPECT_TRUE(after.view_of(0).spent == 0 || after.view_of(0).spent == 3 * kUsd);
    EXPECT_TRUE(after.view_of(1).spent == 0 || after.view_of(1).spent == 7 * kUsd);
  }
  World after;
  for (const std::string line :
       {"tenant t1 0 reject 0 1 -5 0 closed\n", "tenant t1\n", "\n", "tenant t1 0 reject 0 x 1 1 open\n",
        "tenant gone 0 reject 0 1 5 0 closed\n", "a b c d e f g h i j\n"}) {
    EXPECT_EQ(restore_budgets(after.table, "weir-guards 1\n" + line), 0u) << line;
  }
}

}  // namespace
}  // namespace weir::routing
