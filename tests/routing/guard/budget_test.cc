#include "routing/guard/budget.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "routing/table/scalars.h"

namespace weir::routing {
namespace {

constexpr uint64_t kHour = 3'600'000'000'000;
constexpr int64_t kUsd = 1'000'000'000;

GuardTime at(std::string_view time) {
  CalendarClock clock;
  return clock.at(1'000'000'000, *parse_timestamp_ns(time));
}
GuardTime after(GuardTime time, int64_t ns) {
  time.wall_ns += ns;
  time.now_ns += static_cast<uint64_t>(ns);
  return time;
}

const GuardTime kNoon = at("2026-12-01T12:00:00Z");

BudgetSpec hourly(int64_t usd, BudgetAction action) {
  return {.window_ns = kHour, .limit = usd * kUsd, .action = action};
}

TEST(Budget, AdmitsExactlyAsManyWorstCasesAsFit) {
  BudgetLine line{};
  const BudgetSpec spec = hourly(10, BudgetAction::reject);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(reserve(line, spec, kUsd, kNoon), Fit::fits);
  EXPECT_EQ(reserve(line, spec, 1, kNoon), Fit::acts);
  EXPECT_EQ(view(line, spec, kNoon).reserved, 10 * kUsd);
  settle(line, spec, kUsd, kUsd / 4);
  EXPECT_EQ(view(line, spec, kNoon).spent, kUsd / 4);
  EXPECT_EQ(reserve(line, spec, kUsd * 3 / 4, kNoon), Fit::fits);
  EXPECT_EQ(reserve(line, spec, 1, kNoon), Fit::acts);
}

TEST(Budget, ARefusedRequestLeavesNothingReserved) {
  BudgetLine line{};
  const BudgetSpec spec = hourly(1, BudgetAction::reject);
  EXPECT_EQ(reserve(line, spec, 2 * kUsd, kNoon), Fit::acts);
  EXPECT_EQ(view(line, spec, kNoon).reserved, 0);
  EXPECT_EQ(reserve(line, spec, kUsd, kNoon), Fit::fits);
}

TEST(Budget, WindowsAreTheCalendars) {
  constexpr uint64_t kDay = 24 * kHour;
  const auto number = [](uint64_t window, std::string_view time) {
    return window_at(window, at(time)).number;
  };
  EXPECT_EQ(number(kDay, "2026-12-01T00:00:00Z"), number(kDay, "2026-12-01T23:59:59Z"));
  EXPECT_EQ(number(kDay, "2026-12-01T23:59:59Z") + 1, number(kDay, "2026-12-02T00:00:00Z"));
  EXPECT_EQ(number(kHour, "2026-12-01T11:59:59Z") + 1, number(kHour, "2026-12-01T12:00:00Z"));
  // 2026-11-30 is a Monday.
  EXPECT_EQ(number(7 * kDay, "2026-11-29T23:59:59Z") + 1, number(7 * kDay, "2026-11-30T00:00:00Z"));
  EXPECT_EQ(number(7 * kDay, "2026-11-30T00:00:00Z"), number(7 * kDay, "2026-12-06T23:59:59Z"));
  EXPECT_EQ(number(0, "2026-11-30T23:59:59Z") + 1, number(0, "2026-12-01T00:00:00Z"));
  EXPECT_EQ(number(0, "2026-12-31T23:59:59Z") + 1, number(0, "2027-01-01T00:00:00Z"));
  EXPECT_EQ(window_at(0, at("2028-02-10T00:00:00Z")).end_wall_ns,
            *parse_timestamp_ns("2028-03-01T00:00:00Z"));
  EXPECT_EQ(window_at(7 * kDay, at("2026-12-01T00:00:00Z")).end_wall_ns,
            *parse_timestamp_ns("2026-12-07T00:00:00Z"));
}

TEST(Budget, ANewWindowBeginsWithWhatIsStillUnderWay) {
  BudgetLine line{};
  const BudgetSpec spec = hourly(10, BudgetAction::reject);
  reserve(line, spec, 4 * kUsd, kNoon);
  reserve(line, spec, 6 * kUsd, kNoon);
  settle(line, spec, 4 * kUsd, 4 * kUsd);
  const GuardTime next = after(kNoon, kHour);
  // 4 spent belong to the old hour; 6 are reserved and may be spent in this one.
  EXPECT_EQ(reserve(line, spec, 4 * kUsd, next), Fit::fits);
  EXPECT_EQ(reserve(line, spec, 1, next), Fit::acts);
  EXPECT_EQ(view(line, spec, next).spent, 0);
  settle(line, spec, 6 * kUsd, 1 * kUsd);
  EXPECT_EQ(view(line, spec, next).spent, 1 * kUsd);
  EXPECT_EQ(reserve(line, spec, 5 * kUsd, next), Fit::fits);
}

TEST(Budget, AShardWhoseClockLagsAtTheBoundaryBeginsNothingAnew) {
  BudgetLine line{};
  const BudgetSpec spec = hourly(10, BudgetAction::reject);
  const GuardTime next = after(kNoon, kHour);
  reserve(line, spec, 8 * kUsd, next);
  settle(line, spec, 8 * kUsd, 8 * kUsd);
  EXPECT_EQ(reserve(line, spec, 3 * kUsd, after(next, -1)), Fit::acts);
  EXPECT_EQ(reserve(line, spec, 3 * kUsd, next), Fit::acts);
  EXPECT_EQ(view(line, spec, next).spent, 8 * kUsd);
}

TEST(Budget, ACalendarSetBackNeitherForgetsNorStaysShut) {
  BudgetLine line{};
  const BudgetSpec spec = hourly(10, BudgetAction::reject);
  const GuardTime wrong = after(kNoon, 1000 * static_cast<int64_t>(kHour));
  reserve(line, spec, 10 * kUsd, wrong);
  settle(line, spec, 10 * kUsd, 10 * kUsd);
  EXPECT_EQ(reserve(line, spec, 1, kNoon), Fit::acts);
  EXPECT_EQ(reserve(line, spec, 1, after(kNoon, kHour)), Fit::fits);
}

TEST(Calendar, FollowsSmallStepsAndBelievesLargeOnesOnlyWhenTheyLast) {
  CalendarClock clock;
  constexpr int64_t kDay = 24 * static_cast<int64_t>(kHour);
  constexpr int64_t kStart = 1'790'000'000'000'000'000;
  uint64_t now = 5'000'000'000;
  int64_t wall = kStart;
  const auto advance = [&](int64_t ns) {
    now += static_cast<uint64_t>(ns);
    wall += ns;
  };
  EXPECT_EQ(clock.at(now, wall).wall_ns, wall);
  advance(1'000'000'000);
  wall += 500'000'000;  // a slew
  EXPECT_EQ(clock.at(now, wall).wall_ns, wall);
  const int64_t before = wall;
  wall += kDay;
  EXPECT_EQ(clock.at(now, wall).wall_ns, before);
  for (int i = 0; i < 59; ++i) {
    advance(1'000'000'000);
    EXPECT_EQ(clock.at(now, wall).wall_ns, wall - kDay);
  }
  advance(1'000'000'000);
  EXPECT_EQ(clock.at(now, wall).wall_ns, wall) << "it was meant";
  const int64_t glitch = wall;
  EXPECT_EQ(clock.at(now, wall - kDay).wall_ns, glitch);
  advance(90'000'000'000);
  EXPECT_EQ(clock.at(now, wall).wall_ns, wall) << "and this one was not";
}

TEST(Budget, ASoftRuleOpensAtItsLimitAndClosesWithHysteresis) {
  BudgetLine line{};
  const BudgetSpec spec = hourly(100, BudgetAction::economy);
  EXPECT_EQ(reserve(line, spec, 95 * kUsd, kNoon), Fit::fits);
  EXPECT_EQ(reserve(line, spec, 10 * kUsd, kNoon), Fit::opened);
  EXPECT_EQ(reserve(line, spec, 1 * kUsd, kNoon), Fit::acts);
  EXPECT_EQ(view(line, spec, kNoon).reserved, 106 * kUsd) << "soft rules reserve all the same";
  EXPECT_TRUE(view(line, spec, kNoon).open);
  settle(line, spec, 10 * kUsd, 0);
  EXPECT_EQ(reserve(line, spec, 1, kNoon), Fit::acts) << "96 of 100: not yet";
  settle(line, spec, 95 * kUsd, 79 * kUsd);
  EXPECT_EQ(reserve(line, spec, 1, kNoon), Fit::acts) << "80 and a bit";
  settle(line, spec, 1 * kUsd, 0);
  EXPECT_EQ(reserve(line, spec, 1, kNoon), Fit::fits);
  EXPECT_FALSE(view(line, spec, kNoon).open);
  EXPECT_EQ(line.trips.load(), 1u);
}

TEST(Budget, OneRequestTooLargeForWhatIsLeftOpensNothing) {
  BudgetLine line{};
  const BudgetSpec kill = hourly(100, BudgetAction::kill);
  reserve(line, kill, 20 * kUsd, kNoon);
  EXPECT_EQ(reserve(line, kill, 90 * kUsd, kNoon), Fit::acts);
  EXPECT_EQ(reserve(line, kill, 70 * kUsd, kNoon), Fit::fits);
}

TEST(Budget, AKillLastsUntilItsWindowEnds) {
  BudgetLine line{};
  const BudgetSpec spec = hourly(100, BudgetAction::kill);
  reserve(line, spec, 100 * kUsd, kNoon);
  EXPECT_EQ(reserve(line, spec, 1, kNoon), Fit::opened);
  settle(line, spec, 100 * kUsd, 0);
  EXPECT_EQ(reserve(line, spec, 1, kNoon), Fit::acts) << "the money came back, the decision did not";
  EXPECT_EQ(view(line, spec, kNoon).reserved, 0);
  EXPECT_EQ(reserve(line, spec, 1, after(kNoon, kHour)), Fit::fits);
}

TEST(Budget, ARaisedLimitEndsAKillOnceLittleEnoughOfItIsUsed) {
  BudgetLine line{};
  const BudgetSpec spec = hourly(100, BudgetAction::kill);
  reserve(line, spec, 100 * kUsd, kNoon);
  EXPECT_EQ(reserve(line, spec, 1, kNoon), Fit::opened);
  EXPECT_EQ(reserve(line, hourly(120, BudgetAction::kill), 1, kNoon), Fit::acts) << "100 of 120 are used";
  EXPECT_TRUE(view(line, hourly(120, BudgetAction::kill), kNoon).open);
  EXPECT_EQ(reserve(line, hourly(125, BudgetAction::kill), kUsd, kNoon), Fit::fits);
  EXPECT_FALSE(view(line, hourly(125, BudgetAction::kill), kNoon).open);
}

TEST(Budget, ALoweredLimitEndsNoKill) {
  BudgetLine line{};
  reserve(line, hourly(100, BudgetAction::kill), 100 * kUsd, kNoon);
  EXPECT_EQ(reserve(line, hourly(100, BudgetAction::kill), 1, kNoon), Fit::opened);
  settle(line, hourly(100, BudgetAction::kill), 100 * kUsd, 0);
  EXPECT_EQ(reserve(line, hourly(50, BudgetAction::kill), 1, kNoon), Fit::acts);
  EXPECT_EQ(reserve(line, hourly(100, BudgetAction::kill), 1, kNoon), Fit::acts);
}

// What one action has tripped is no other action's; what was spent is.
TEST(Budget, AnotherActionDecidesAnewOnTheSameSpend) {
  BudgetLine line{};
  const BudgetSpec economy = hourly(50, BudgetAction::economy), kill = hourly(100, BudgetAction::kill),
                   reject = hourly(100, BudgetAction::reject);
  EXPECT_EQ(reserve(line, economy, 50 * kUsd, kNoon), Fit::fits);
  EXPECT_EQ(reserve(line, economy, 40 * kUsd, kNoon), Fit::opened);
  EXPECT_EQ(reserve(line, kill, 5 * kUsd, kNoon), Fit::fits) << "95 of 100, and only economy had tripped";
  EXPECT_EQ(reserve(line, reject, 6 * kUsd, kNoon), Fit::acts);
  EXPECT_EQ(reserve(line, kill, 6 * kUsd, kNoon), Fit::opened);
  EXPECT_EQ(reserve(line, reject, 1 * kUsd, kNoon), Fit::fits) << "reject has no state";
  EXPECT_EQ(reserve(line, kill, 1, kNoon), Fit::acts) << "which does not end the kill";
}

TEST(Budget, AnotherUnitChangesWhatIsReserved) {
  BudgetLine line{};
  const BudgetSpec spec = hourly(10, BudgetAction::reject);
  reserve(line, spec, 6 * kUsd, kNoon);
  EXPECT_TRUE(change(line, spec, 6 * kUsd, 9 * kUsd, kNoon));
  EXPECT_FALSE(change(line, spec, 9 * kUsd, 11 * kUsd, kNoon));
  EXPECT_EQ(view(line, spec, kNoon).reserved, 9 * kUsd);
  EXPECT_TRUE(change(line, spec, 9 * kUsd, 2 * kUsd, kNoon));
  settle(line, spec, 2 * kUsd, 2 * kUsd);
  EXPECT_EQ(view(line, spec, kNoon).spent, 2 * kUsd);
  EXPECT_EQ(view(line, spec, kNoon).reserved, 0);
}

TEST(Budget, AbsurdAmountsNeitherWrapNorBecomeCredit) {
  BudgetLine line{};
  const BudgetSpec hard{.window_ns = kHour, .limit = kMaxBudget, .action = BudgetAction::reject};
  EXPECT_EQ(reserve(line, hard, INT64_MAX, kNoon), Fit::acts);
  EXPECT_EQ(reserve(line, hard, INT64_MIN, kNoon), Fit::fits);
  settle(line, hard, INT64_MIN, INT64_MIN);
  EXPECT_EQ(view(line, hard, kNoon).spent, 0);
  EXPECT_EQ(view(line, hard, kNoon).reserved, 0);
  BudgetLine soft_line{};
  const BudgetSpec soft = hourly(1, BudgetAction::economy);
  for (int i = 0; i < 1000; ++i) reserve(soft_line, soft, INT64_MAX, kNoon);
  EXPECT_EQ(view(soft_line, soft, kNoon).reserved, 1000 * kMaxSoftReserve);
  settle(soft_line, soft, INT64_MAX, INT64_MAX);
  EXPECT_EQ(view(soft_line, soft, kNoon).spent, kMaxCost);
}

TEST(Budget, ARestoredLineCountsReservationsAsSpent) {
  BudgetLine line{};
  const BudgetSpec spec = hourly(10, BudgetAction::reject);
  reserve(line, spec, 3 * kUsd, kNoon);
  settle(line, spec, 3 * kUsd, 2 * kUsd);
  reserve(line, spec, 4 * kUsd, kNoon);
  const BudgetState saved = snapshot(line);
  EXPECT_EQ(saved.spent, 2 * kUsd);
  EXPECT_EQ(saved.reserved, 4 * kUsd);

  BudgetLine restored{};
  restore(restored, saved);
  EXPECT_EQ(view(restored, spec, kNoon).spent, 6 * kUsd);
  EXPECT_EQ(reserve(restored, spec, 4 * kUsd, kNoon), Fit::fits);
  EXPECT_EQ(reserve(restored, spec, 1, kNoon), Fit::acts);
  EXPECT_EQ(reserve(restored, spec, 6 * kUsd, after(kNoon, kHour)), Fit::fits)
      << "the window of then is over";
}

TEST(Budget, AKillIsRestoredWithTheLimitItWasFor) {
  BudgetLine line{};
  const BudgetSpec spec = hourly(100, BudgetAction::kill);
  reserve(line, spec, 100 * kUsd, kNoon);
  reserve(line, spec, 1, kNoon);
  settle(line, spec, 100 * kUsd, 10 * kUsd);
  BudgetLine restored{};
  restore(restored, snapshot(line));
  EXPECT_EQ(snapshot(restored), snapshot(line));
  EXPECT_EQ(reserve(restored, spec, 1, kNoon), Fit::acts);
  EXPECT_EQ(reserve(restored, hourly(101, BudgetAction::kill), 1, kNoon), Fit::fits);
}

// Shards reserve, settle and cross window boundaries, each when it gets there but none more than one window
// ahead of another (that is a clock set back, see above); what they settle in any window stays within its
// limit.
TEST(Budget, NoWindowIsOverspentByConcurrency) {
  constexpr int kShards = 4;
  constexpr int64_t kWindows = 20, kSecond = 1'000'000'000;
  const BudgetSpec spec{.window_ns = kSecond, .limit = 1000, .action = BudgetAction::reject};
  BudgetLine line{};
  std::array<std::atomic<int64_t>, kShards> reached{};
  std::array<std::atomic<int64_t>, kWindows> settled{};  // a settlement at a boundary counts in either
  std::vector<std::thread> shards;
  for (size_t shard = 0; shard < kShards; ++shard) {
    shards.emplace_back([&, shard] {
      std::mt19937_64 random(shard);
      std::vector<int64_t> open;
      for (int64_t window = 0; window < kWindows; ++window) {
        reached[shard] = window;
        while (std::any_of(reached.begin(), reached.end(), [&](auto& other) { return other < window - 1; })) {
          std::this_thread::yield();
        }
        GuardTime now = kNoon;
        now.wall_ns += window * kSecond;
        for (int i = 0; i < 1000; ++i) {
          if (random() % 2 == 0 || open.empty()) {
            const auto worst = static_cast<int64_t>(1 + random() % 60);
            if (reserve(line, spec, worst, now) == Fit::fits) open.push_back(worst);
          } else {
            const int64_t worst = open.back();
            open.pop_back();
            const auto actual = static_cast<int64_t>(random() % static_cast<uint64_t>(worst + 1));
            settle(line, spec, worst, actual);
            settled[static_cast<size_t>(window)] += actual;
          }
        }
      }
      for (const int64_t worst : open) settle(line, spec, worst, 0);
      reached[shard] = INT64_MAX;
    });
  }
  for (std::thread& shard : shards) shard.join();
  int64_t total = 0;
  for (const auto& sum : settled) total += sum;
  EXPECT_EQ(line.spent.load(), total);
  EXPECT_EQ(line.committed.load(), line.spent.load()) << "reserved returns to nothing";
  EXPECT_LE(total, spec.limit * kWindows);
  EXPECT_GT(total, spec.limit * 2);
}

}  // namespace
}  // namespace weir::routing
