#include "routing/guard/budget.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "routing/table/scalars.h"

namespace weir::routing::budget_test {
namespace {

constexpr uint64_t kHour = 3'600'000'000'000;
constexpr int64_t kUsd = 1'000'000'000;

GuardTime at(std::string_view time) {
  return CalendarReader().at(1'000'000'000,
                             {.offset_ns = *parse_timestamp_ns(time) - 1'000'000'000, .epoch = 1});
}
// The calendar was set back by so much.
GuardTime back(GuardTime time, int64_t ns) {
  time.wall_ns -= ns;
  ++time.epoch;
  return time;
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
  EXPECT_EQ(reserve(line, spec, 1, kNoon), Fit::open);
  EXPECT_EQ(view(line, spec, kNoon).reserved, 10 * kUsd);
  settle(line, spec, kUsd, kUsd / 4);
  EXPECT_EQ(view(line, spec, kNoon).spent, kUsd / 4);
  EXPECT_EQ(reserve(line, spec, kUsd * 3 / 4, kNoon), Fit::fits);
  EXPECT_EQ(reserve(line, spec, 1, kNoon), Fit::open);
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

TEST(Budget, AWindowsLengthIsKnownByItsNumberAndItsEnd) {
  constexpr uint64_t kDayNs = 24 * kHour;
  for (const std::string_view time : {"1970-01-01T00:00:00Z", "2026-12-01T12:00:00Z", "2028-02-29T23:59:59Z",
                                      "2027-01-01T00:00:00Z", "2031-12-31T23:59:59Z"}) {
    for (const uint64_t length :
         {uint64_t{0}, uint64_t{1'000'000'000}, uint64_t{90'000'000'000}, kHour, 7 * kHour, kDayNs,
          7 * kDayNs, 14 * kDayNs, 30 * kDayNs, 31 * kDayNs, 365 * kDayNs}) {
      const WindowAt window = window_at(length, at(time));
      // The first of 31 days is January: either length has it, and the same window follows.
      if (length == 31 * kDayNs && window.number == 0) continue;
      EXPECT_EQ(window_length(window), length) << time;
    }
  }
  EXPECT_EQ(window_length({.number = 20'000, .end_wall_ns = 1'800'000'000'000'000'001}), std::nullopt);
  EXPECT_EQ(window_length({.number = 0, .end_wall_ns = 0}), std::nullopt);
  EXPECT_EQ(window_length({.number = 0, .end_wall_ns = INT64_MAX}), std::nullopt);
  EXPECT_EQ(window_length({.number = UINT64_MAX, .end_wall_ns = 1'800'000'000'000'000'000}), std::nullopt);
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
  EXPECT_EQ(reserve(line, spec, 1, next), Fit::open);
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

// It read the calendar before it jumped, and comes late with what it read.
TEST(Budget, AShardThatLagsByManyWindowsBeginsNothingAnew) {
  BudgetLine line{};
  const BudgetSpec spec = hourly(10, BudgetAction::kill);
  const GuardTime ahead = after(kNoon, 24 * static_cast<int64_t>(kHour));
  reserve(line, spec, 3 * kUsd, kNoon);
  reserve(line, spec, 5 * kUsd, ahead);
  settle(line, spec, 5 * kUsd, 5 * kUsd);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(reserve(line, spec, 3 * kUsd, i % 2 == 0 ? kNoon : ahead), Fit::acts) << "8 of 10 are taken";
  }
  EXPECT_EQ(view(line, spec, ahead).spent, 5 * kUsd);
  EXPECT_EQ(view(line, spec, kNoon).spent, 5 * kUsd);
  EXPECT_EQ(reserve(line, spec, 2 * kUsd, ahead), Fit::fits);
  EXPECT_EQ(reserve(line, spec, 1, kNoon), Fit::open);
  EXPECT_EQ(reserve(line, spec, 1, ahead), Fit::open) << "the kill is everybody's";
  EXPECT_TRUE(view(line, spec, ahead).open);
  EXPECT_EQ(line.trips.load(), 1u);
}

TEST(Budget, ACalendarSetBackNeitherForgetsNorStaysShut) {
  BudgetLine line{};
  constexpr auto kHours = static_cast<int64_t>(kHour);
  const BudgetSpec spec = hourly(10, BudgetAction::kill);
  const GuardTime wrong = after(kNoon, 1000 * kHours), right = back(wrong, 1000 * kHours);
  reserve(line, spec, 10 * kUsd, wrong);
  EXPECT_EQ(reserve(line, spec, 1, wrong), Fit::open);
  settle(line, spec, 10 * kUsd, 7 * kUsd);
  EXPECT_EQ(view(line, spec, right).spent, 7 * kUsd) << "before anybody has come";
  EXPECT_EQ(reserve(line, spec, 1, right), Fit::open) << "nor is the kill forgotten";
  EXPECT_EQ(reserve(line, spec, 1, wrong), Fit::open) << "who lags brings nothing back";
  EXPECT_EQ(view(line, spec, right).spent, 7 * kUsd);
  EXPECT_TRUE(view(line, spec, right).open);
  EXPECT_EQ(reserve(line, spec, 10 * kUsd, after(right, kHours)), Fit::fits);
  EXPECT_NE(reserve(line, spec, 1, wrong), Fit::fits);
  EXPECT_EQ(view(line, spec, after(right, kHours)).spent, 0);
}

TEST(Budget, ALineFromAFileThatIsAheadOfTheCalendarNeitherForgetsNorStaysShut) {
  BudgetLine line{};
  const BudgetSpec spec = hourly(10, BudgetAction::reject);
  restore(line, {.window = window_at(kHour, after(kNoon, 1000 * static_cast<int64_t>(kHour))).number,
                 .spent = 10 * kUsd});
  EXPECT_EQ(reserve(line, spec, 1, kNoon), Fit::open);
  EXPECT_EQ(reserve(line, spec, 1, after(kNoon, kHour)), Fit::fits);
}

// What everybody reads while the control thread looks at the wall clock.
struct CalendarUnderTest {
  uint64_t now = 5'000'000'000;
  int64_t wall = 1'790'000'000'000'000'000;
  Calendar calendar{now, wall};
  CalendarReader reader;

  void advance(int64_t ns) {
    now += static_cast<uint64_t>(ns);
    wall += ns;
  }
  const GuardTime& look() {
    calendar.tick(now, wall);
    return reader.at(now, calendar.point());
  }
  // How far it is from the wall clock; what the word rounds away is nothing.
  int64_t behind() {
    const int64_t ns = wall - look().wall_ns;
    return ns >= 0 && ns < 1 << 16 ? 0 : ns;
  }
};
constexpr int64_t kSecond = 1'000'000'000, kDay = 24 * static_cast<int64_t>(kHour);

TEST(Calendar, FollowsSmallStepsAndBelievesLargeOnesOnlyWhenTheyLast) {
  CalendarUnderTest c;
  EXPECT_EQ(c.behind(), 0);
  c.advance(kSecond);
  c.wall += kSecond / 2;  // a slew
  EXPECT_EQ(c.behind(), 0);
  c.wall += kDay;
  EXPECT_NE(c.behind(), 0);
  for (int i = 0; i < 59; ++i) {
    c.advance(kSecond);
    EXPECT_NEAR(static_cast<double>(c.behind()), kDay, 1 << 16);
  }
  c.advance(kSecond);
  EXPECT_EQ(c.behind(), 0) << "it was meant";
  c.wall -= kDay;
  EXPECT_NE(c.behind(), 0);
  c.wall += kDay;
  c.advance(90 * kSecond);
  EXPECT_EQ(c.behind(), 0) << "and this one was not";
  EXPECT_EQ(c.look().epoch, 1) << "nothing was set back";
}

TEST(Calendar, AnEpochBeginsWhenItIsSetBackHoweverSlowly) {
  CalendarUnderTest c;
  c.wall -= kDay;
  c.look();
  c.advance(60 * kSecond);
  EXPECT_EQ(c.behind(), 0);
  EXPECT_EQ(c.look().epoch, 2);
  c.wall -= kSecond * 3 / 2;
  EXPECT_EQ(c.look().epoch, 2) << "less than what counts as a lag";
  c.wall -= kSecond * 3 / 2;
  EXPECT_EQ(c.behind(), 0);
  EXPECT_EQ(c.look().epoch, 3);
  for (int i = 0; i < 70'000; ++i) {
    c.wall -= kDay;
    c.look();
    c.advance(60 * kSecond);
    ASSERT_NE(c.look().epoch, 0) << "which stands for none";
  }
}

TEST(Budget, ASoftRuleOpensAtItsLimitAndClosesWithHysteresis) {
  BudgetLine line{};
  const BudgetSpec spec = hourly(100, BudgetAction::economy);
  EXPECT_EQ(reserve(line, spec, 95 * kUsd, kNoon), Fit::fits);
  EXPECT_EQ(reserve(line, spec, 10 * kUsd, kNoon), Fit::open);
  EXPECT_EQ(reserve(line, spec, 1 * kUsd, kNoon), Fit::open);
  EXPECT_EQ(view(line, spec, kNoon).reserved, 106 * kUsd) << "soft rules reserve all the same";
  EXPECT_TRUE(view(line, spec, kNoon).open);
  settle(line, spec, 10 * kUsd, 0);
  EXPECT_EQ(reserve(line, spec, 1, kNoon), Fit::open) << "96 of 100: not yet";
  settle(line, spec, 95 * kUsd, 79 * kUsd);
  EXPECT_EQ(reserve(line, spec, 1, kNoon), Fit::open) << "80 and a bit";
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
  EXPECT_EQ(reserve(line, spec, 1, kNoon), Fit::open);
  settle(line, spec, 100 * kUsd, 0);
  EXPECT_EQ(reserve(line, spec, 1, kNoon), Fit::open) << "the money came back, the decision did not";
  EXPECT_EQ(view(line, spec, kNoon).reserved, 0);
  EXPECT_EQ(reserve(line, spec, 1, after(kNoon, kHour)), Fit::fits);
}

TEST(Budget, ARaisedLimitEndsAKillOnceLittleEnoughOfItIsUsed) {
  BudgetLine line{};
  const BudgetSpec spec = hourly(100, BudgetAction::kill);
  reserve(line, spec, 100 * kUsd, kNoon);
  EXPECT_EQ(reserve(line, spec, 1, kNoon), Fit::open);
  EXPECT_EQ(reserve(line, hourly(120, BudgetAction::kill), 1, kNoon), Fit::open) << "100 of 120 are used";
  EXPECT_TRUE(view(line, hourly(120, BudgetAction::kill), kNoon).open);
  EXPECT_EQ(reserve(line, hourly(125, BudgetAction::kill), kUsd, kNoon), Fit::fits);
  EXPECT_FALSE(view(line, hourly(125, BudgetAction::kill), kNoon).open);
}

TEST(Budget, ALoweredLimitEndsNoKill) {
  BudgetLine line{};
  reserve(line, hourly(100, BudgetAction::kill), 100 * kUsd, kNoon);
  EXPECT_EQ(reserve(line, hourly(100, BudgetAction::kill), 1, kNoon), Fit::open);
  settle(line, hourly(100, BudgetAction::kill), 100 * kUsd, 0);
  EXPECT_EQ(reserve(line, hourly(50, BudgetAction::kill), 1, kNoon), Fit::open);
  EXPECT_EQ(reserve(line, hourly(100, BudgetAction::kill), 1, kNoon), Fit::open);
}

// What one action has tripped is no other action's; what was spent is.
TEST(Budget, AnotherActionDecidesAnewOnTheSameSpend) {
  BudgetLine line{};
  const BudgetSpec economy = hourly(50, BudgetAction::economy), kill = hourly(100, BudgetAction::kill),
                   reject = hourly(100, BudgetAction::reject);
  EXPECT_EQ(reserve(line, economy, 50 * kUsd, kNoon), Fit::fits);
  EXPECT_EQ(reserve(line, economy, 40 * kUsd, kNoon), Fit::open);
  EXPECT_EQ(reserve(line, kill, 5 * kUsd, kNoon), Fit::fits) << "95 of 100, and only economy had tripped";
  EXPECT_EQ(reserve(line, reject, 6 * kUsd, kNoon), Fit::open);
  EXPECT_EQ(reserve(line, kill, 6 * kUsd, kNoon), Fit::open);
  EXPECT_EQ(reserve(line, reject, 1 * kUsd, kNoon), Fit::fits) << "reject has no state";
  EXPECT_EQ(reserve(line, kill, 1, kNoon), Fit::open) << "which does not end the kill";
}

// What a soft rule takes beyond its limit is its own action's answer, and not any unit that comes after.
TEST(Budget, ADearerUnitMustFitUnderSoftRulesToo) {
  for (const BudgetAction action : {BudgetAction::economy, BudgetAction::cached, BudgetAction::static_text}) {
    BudgetLine line{};
    const BudgetSpec spec = hourly(10, action);
    reserve(line, spec, 6 * kUsd, kNoon);
    EXPECT_TRUE(change(line, spec, 6 * kUsd, 10 * kUsd, false, kNoon));
    EXPECT_FALSE(change(line, spec, 10 * kUsd, 11 * kUsd, false, kNoon)) << static_cast<int>(action);
    EXPECT_TRUE(change(line, spec, 10 * kUsd, 11 * kUsd, true, kNoon));
    settle(line, spec, 11 * kUsd, 0);
    EXPECT_EQ(view(line, spec, kNoon).reserved, 0);
  }
}

TEST(Budget, AnotherUnitChangesWhatIsReserved) {
  BudgetLine line{};
  const BudgetSpec spec = hourly(10, BudgetAction::reject);
  reserve(line, spec, 6 * kUsd, kNoon);
  EXPECT_TRUE(change(line, spec, 6 * kUsd, 9 * kUsd, false, kNoon));
  EXPECT_FALSE(change(line, spec, 9 * kUsd, 11 * kUsd, false, kNoon));
  EXPECT_EQ(view(line, spec, kNoon).reserved, 9 * kUsd);
  EXPECT_TRUE(change(line, spec, 9 * kUsd, 2 * kUsd, false, kNoon));
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
  EXPECT_EQ(reserve(restored, spec, 1, kNoon), Fit::open);
  EXPECT_EQ(reserve(restored, spec, 6 * kUsd, after(kNoon, kHour)), Fit::fits)
      << "the window of then is over";
}

TEST(Budget, WhatIsReservedAcrossABoundaryIsSavedForTheWindowItStandsIn) {
  BudgetLine line{};
  const BudgetSpec spec = hourly(10, BudgetAction::reject);
  reserve(line, spec, 9 * kUsd, kNoon);
  settle(line, spec, 3 * kUsd, 3 * kUsd);
  const auto saved = [&](const GuardTime& now) {
    BudgetState state = snapshot(line);
    carry_over(state, window_at(spec.window_ns, now));
    return state;
  };
  EXPECT_EQ(saved(kNoon), snapshot(line));
  const GuardTime next = after(kNoon, kHour);
  EXPECT_EQ(saved(next), (BudgetState{.window = window_at(kHour, next).number, .reserved = 6 * kUsd}));
  EXPECT_EQ(saved(back(kNoon, kHour)), snapshot(line))
      << "nothing is forgotten when the calendar is set back";
  settle(line, spec, 6 * kUsd, kUsd);
  EXPECT_EQ(saved(next), snapshot(line)) << "nothing stands in it";
}

// Another process's count comes while windows end, and what is taken off is of a window that has it.
TEST(Budget, WhatIsTakenOffLateIsTakenOffItsOwnWindow) {
  constexpr int64_t kWindows = 200'000;
  const BudgetSpec spec{.window_ns = kSecond, .limit = kMaxBudget, .action = BudgetAction::reject};
  BudgetLine line{};
  std::atomic<int64_t> window{0};
  const auto now_of = [](int64_t number) { return after(kNoon, number * kSecond); };
  std::thread late([&] {
    for (int64_t number = 0; (number = window.load()) < kWindows;) {
      const GuardTime now = now_of(number);
      add_spend(line, window_at(spec.window_ns, now), -1000, now);
    }
  });
  int64_t least = 0;
  for (int64_t number = 0; number < kWindows; ++number) {
    const GuardTime now = now_of(number);
    reserve(line, spec, 0, now);  // begins it
    least = std::min(least, view(line, spec, now).spent);
    reserve(line, spec, 1000, now);
    settle(line, spec, 1000, 1000);
    window = number;
  }
  window = kWindows;
  late.join();
  EXPECT_EQ(least, 0);
  EXPECT_EQ(line.committed.load(), line.spent.load());
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
  EXPECT_EQ(reserve(restored, spec, 1, kNoon), Fit::open);
  EXPECT_EQ(reserve(restored, hourly(101, BudgetAction::kill), 1, kNoon), Fit::fits);
}

// Shards reserve, settle and cross window boundaries, each when it gets there, some many windows behind the
// others; in between the calendar is set back. What they settle in any window stays within its limit.
TEST(Budget, NoWindowIsOverspentByConcurrency) {
  constexpr int kShards = 4;
  constexpr int64_t kWindows = 20;
  const BudgetSpec spec{.window_ns = kSecond, .limit = 1000, .action = BudgetAction::reject};
  BudgetLine line{};
  std::atomic<int64_t> total{0};
  std::vector<std::thread> shards;
  for (size_t shard = 0; shard < kShards; ++shard) {
    shards.emplace_back([&, shard] {
      std::mt19937_64 random(shard);
      std::vector<int64_t> open;
      for (int64_t step = 0; step < 2 * kWindows; ++step) {
        GuardTime now = kNoon;
        now.wall_ns += step * kSecond;
        if (step >= kWindows) now = back(now, kWindows / 2 * kSecond);
        for (int i = 0; i < 1000; ++i) {
          if (random() % 2 == 0 || open.empty()) {
            const auto worst = static_cast<int64_t>(1 + random() % 60);
            if (reserve(line, spec, worst, now) == Fit::fits) open.push_back(worst);
          } else {
            const int64_t worst = open.back();
            open.pop_back();
            const auto actual = static_cast<int64_t>(random() % static_cast<uint64_t>(worst + 1));
            settle(line, spec, worst, actual);
            total += actual;
          }
        }
      }
      for (const int64_t worst : open) settle(line, spec, worst, 0);
    });
  }
  for (std::thread& shard : shards) shard.join();
  EXPECT_EQ(line.spent.load(), total);
  EXPECT_EQ(line.committed.load(), line.spent.load()) << "reserved returns to nothing";
  // The windows of the first epoch, and in the second those past where the line was taken over.
  EXPECT_LE(total, spec.limit * 2 * kWindows);
  EXPECT_GT(total, spec.limit * 2);
}

}  // namespace
}  // namespace weir::routing::budget_test
