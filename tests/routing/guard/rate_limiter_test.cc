#include "routing/guard/rate_limiter.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>
#include <vector>

#include "tests/routing/guard/interleave.h"

namespace weir::routing::rate_limiter_test {
namespace {

using Kind = RateOutcome::Kind;
using tests::Interleaver;
using tests::SteppedWord;

constexpr uint64_t kMinute = 60'000'000'000;
constexpr uint64_t kNow = 1'000'000'000'000;

// A clock that stands still.
auto at(uint64_t now_ns) {
  return [now_ns] { return now_ns; };
}

TEST(RateLimiter, AdmitsExactlyItsLimitAtOnce) {
  for (const uint64_t limit : {1u, 2u, 3u, 7u, 60u, 600u, 999'983u}) {
    const RateSpec spec = rate_spec(limit, kMinute);
    std::atomic<uint64_t> word{0};
    for (uint64_t i = 0; i < limit; ++i) ASSERT_TRUE(take(word, spec, 1, kNow)) << limit << " at " << i;
    EXPECT_EQ(take(word, spec, 1, kNow).kind, Kind::refused);
  }
}

TEST(RateLimiter, SaysExactlyWhenTheNextOneFits) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 2000; ++round) {
    const RateSpec spec = rate_spec(1 + random() % 1'000'000, kMinute);
    std::atomic<uint64_t> word{0};
    uint64_t now = kNow;
    while (true) {
      const uint64_t units = 1 + random() % spec.limit;
      const RateOutcome outcome = take(word, spec, units, now);
      now += random() % 1000;
      if (outcome) continue;
      const RateOutcome again = take(word, spec, units, now);
      ASSERT_EQ(again.kind, Kind::refused);
      ASSERT_GT(again.retry_after_ns(), 0u);
      ASSERT_FALSE(take(word, spec, units, now + again.retry_after_ns() - 1));
      ASSERT_TRUE(take(word, spec, units, now + again.retry_after_ns()));
      break;
    }
  }
}

TEST(RateLimiter, NeverAdmitsMoreThanItsBurstAndItsRateAllow) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 200; ++round) {
    const uint64_t limit = 1 + random() % 1000;
    const RateSpec spec = rate_spec(limit, kMinute);
    std::atomic<uint64_t> word{0};
    uint64_t now = kNow, admitted = 0;
    for (int i = 0; i < 5000; ++i) {
      now += random() % (2 * kMinute / limit);
      admitted += static_cast<bool>(take(word, spec, 1, now));
      ASSERT_LE(admitted, limit + (now - kNow) * limit / kMinute);
    }
    EXPECT_GE(admitted, std::min<uint64_t>(5000, (now - kNow) * limit / kMinute * 99 / 100) / 2);
  }
}

TEST(RateLimiter, SaysNeverToMoreThanItAdmitsAtOnce) {
  std::atomic<uint64_t> word{0};
  EXPECT_EQ(take(word, rate_spec(10, kMinute), 11, kNow).kind, Kind::never);
  EXPECT_EQ(word.load(), 0u);
  EXPECT_TRUE(take(word, rate_spec(10, kMinute), 10, kNow));
}

TEST(RateLimiter, TakesTheLargestNumbersATableMayHold) {
  for (const uint64_t period : kRatePeriodsNs) {
    const RateSpec spec = rate_spec(1'000'000'000'000, period);
    std::atomic<uint64_t> word{0};
    const uint64_t ten_years = uint64_t{10} * 365 * 86'400 * 1'000'000'000;
    EXPECT_TRUE(take(word, spec, spec.limit, ten_years));
    EXPECT_FALSE(take(word, spec, 1, ten_years));
    EXPECT_TRUE(take(word, spec, spec.limit, ten_years + 2 * 86'400'000'000'000));
  }
}

// The estimate corrected by the truth leaves the word where the truth alone would have put it.
TEST(RateLimiter, CorrectingAnEstimateLeavesTheTrueAmount) {
  const RateSpec spec = rate_spec(1000, kMinute);
  std::atomic<uint64_t> word{0}, truth{0};
  const RateOutcome first = take(word, spec, 500, kNow);
  take(truth, spec, 120, kNow);
  give_back(word, first.charge(spec, 500), (500 - 120) * spec.interval, kNow, at(kNow + 1000));
  EXPECT_EQ(word.load(), truth.load());
  take(word, spec, 100, kNow + 2000);
  take(truth, spec, 300, kNow + 2000);
  charge(word, spec, 200, kNow + 3000);
  EXPECT_EQ(word.load(), truth.load());
}

TEST(RateLimiter, AbsurdReportsShutALimitForKMaxDebtPeriodsInAll) {
  const RateSpec spec = rate_spec(1000, kMinute);
  std::atomic<uint64_t> word{0};
  for (int i = 0; i < 100; ++i) charge(word, spec, UINT64_MAX, kNow);
  EXPECT_FALSE(take(word, spec, 1, kNow + (kMaxDebt - 1) * kMinute));
  EXPECT_TRUE(take(word, spec, 1, kNow + kMaxDebt * kMinute));
  const uint64_t full = word.load();
  charge(word, spec, 1, kNow);
  EXPECT_GE(word.load(), full) << "a charge never takes anything off";
}

TEST(RateLimiter, GivesNothingBackThatTimeHasRefilled) {
  const RateSpec spec = rate_spec(1000, kMinute);
  std::atomic<uint64_t> word{0};
  const RateOutcome first = take(word, spec, 1000, kNow);
  const uint64_t later = kNow + 2 * kMinute;  // all of it is free again
  take(word, spec, 1000, later);
  const Charge charge = first.charge(spec, 1000);
  EXPECT_EQ(give_back(word, charge, charge.cost_ticks, kNow, at(later)), 0u);
  EXPECT_FALSE(take(word, spec, 1, later));
}

// Against a meter that knew the true amounts from the start, estimates never let through what it would not
// have, beyond what is under way.
TEST(RateLimiter, EstimatesNeverOpenTheLimitEarly) {
  std::mt19937_64 random(3);
  struct Open {
    Charge charge;
    uint64_t units, actual;
  };
  for (int round = 0; round < 300; ++round) {
    const RateSpec spec = rate_spec(10'000, kMinute);
    std::atomic<uint64_t> word{0};
    std::vector<Open> open;
    uint64_t now = kNow, used = 0;
    for (int i = 0; i < 500; ++i) {
      now += random() % (kMinute / 50);
      if (random() % 2 == 0) {
        const uint64_t units = 1 + random() % 2000;
        if (const RateOutcome outcome = take(word, spec, units, now))
          open.push_back({outcome.charge(spec, units), units, random() % (units + 1)});
      } else if (!open.empty()) {
        std::swap(open[random() % open.size()], open.back());
        const Open settled = open.back();
        open.pop_back();
        give_back(word, settled.charge, (settled.units - settled.actual) * spec.interval, now, at(now));
        used += settled.actual;
      }
      ASSERT_LE(used, spec.limit + (now - kNow) * spec.limit / kMinute + 1);
    }
  }
}

TEST(RateLimiter, GivesNoMoreBackThanWasCharged) {
  const RateSpec spec = rate_spec(1000, kMinute);
  std::atomic<uint64_t> word{0};
  take(word, spec, 600, kNow);
  const Charge charge = take(word, spec, 100, kNow).charge(spec, 100);
  EXPECT_EQ(charge.units(spec), 100u);
  EXPECT_EQ(give_back(word, charge, 700 * spec.interval, kNow, at(kNow)), 100 * spec.interval);
  EXPECT_EQ(view(word, spec, kNow).remaining, 400u);
  EXPECT_EQ(give_back(word, Charge{}, 700 * spec.interval, kNow, at(kNow)), 0u);
  EXPECT_EQ(view(word, spec, kNow).remaining, 400u);
}

// A shard whose time lags asks for the past, where less is free; what counts is the present.
TEST(RateLimiter, WhoseTimeLagsIsRefusedOnlyByTheClock) {
  const RateSpec spec = rate_spec(2, kMinute);
  std::atomic<uint64_t> word{0};
  const uint64_t later = kNow + 5'000'000;
  EXPECT_TRUE(take(word, spec, 1, later));
  EXPECT_FALSE(take(word, spec, 1, kNow));
  EXPECT_TRUE(take(word, spec, 1, kNow, at(later))) << "two of two";
  const RateOutcome third = take(word, spec, 1, kNow, at(later));
  EXPECT_EQ(third.kind, Kind::refused);
  EXPECT_EQ(third.retry_after_ns(), kMinute / 2) << "from the clock's time on";
  EXPECT_EQ(take(word, spec, 3, kNow, at(later)).kind, Kind::never);
}

TEST(RateLimiter, ShowsWhatRemainsAndWhenItIsUnused) {
  const RateSpec spec = rate_spec(60, kMinute);
  std::atomic<uint64_t> word{0};
  EXPECT_EQ(view(word, spec, kNow).remaining, 60u);
  EXPECT_EQ(view(word, spec, kNow).reset_ns, 0u);
  for (int i = 0; i < 45; ++i) take(word, spec, 1, kNow);
  EXPECT_EQ(view(word, spec, kNow).remaining, 15u);
  EXPECT_EQ(view(word, spec, kNow).reset_ns, 45'000'000'000u);
  EXPECT_EQ(view(word, spec, kNow + 5'000'000'000).remaining, 20u);
}

TEST(RateLimiter, KnowsIdleLines) {
  LimitLine line{};
  EXPECT_TRUE(line.idle(kNow));
  take(line.rates[1], rate_spec(60, kMinute), 1, kNow);
  EXPECT_FALSE(line.idle(kNow));
  EXPECT_TRUE(line.idle(kNow + 1'000'000'000));
}

// ---- model check: the production code over a word whose every step may be interleaved ----

TEST(RateLimiterModel, EveryInterleavingOfThreeTakersAdmitsExactlyWhatFits) {
  const RateSpec spec = rate_spec(2, kMinute);
  SteppedWord word;
  std::array<bool, 3> admitted{};
  const auto taker = [&](size_t i) {
    return [&, i] { admitted[i] = static_cast<bool>(take(word, spec, 1, kNow)); };
  };
  const uint64_t runs = Interleaver::explore(
      {taker(0), taker(1), taker(2)},
      [&] {
        word.value = 0;
        admitted = {};
      },
      [&] {
        EXPECT_EQ(admitted[0] + admitted[1] + admitted[2], 2);
        EXPECT_EQ(word.value, (kNow * kTicksPerNs) + spec.burst());
      });
  EXPECT_GT(runs, 90u);
}

TEST(RateLimiterModel, EveryInterleavingOfTwoTakersAndARefundIsOneAfterTheOther) {
  const RateSpec spec = rate_spec(3, kMinute);
  SteppedWord word;
  Charge charge;
  std::array<bool, 2> admitted{};
  const uint64_t runs = Interleaver::explore(
      {[&] { admitted[0] = static_cast<bool>(take(word, spec, 2, kNow)); },
       [&] { admitted[1] = static_cast<bool>(take(word, spec, 1, kNow)); },
       [&] { give_back(word, charge, charge.cost_ticks, kNow, at(kNow)); }},
      [&] {
        word.value = 0;
        std::atomic<uint64_t> before{0};
        charge = take(before, spec, 2, kNow).charge(spec, 2);  // 2 of 3 are taken already
        word.value = before.load();
        admitted = {};
      },
      [&] {
        // Some serial order explains it: the small one always fits; the large one only after the refund.
        EXPECT_TRUE(admitted[1]);
        const uint64_t used = (word.value - kNow * kTicksPerNs) / spec.interval;
        EXPECT_EQ(used, (admitted[0] ? 2u : 0u) + 1u);
      });
  EXPECT_GT(runs, 50u);
}

TEST(RateLimiterModel, EveryInterleavingKeepsACounterAtItsLimit) {
  SteppedWord word;
  std::array<bool, 3> counted{};
  const auto program = [&](size_t i) { return [&, i] { counted[i] = count_one(word, 1); }; };
  Interleaver::explore(
      {program(0), program(1), program(2)},
      [&] {
        word.value = 0;
        counted = {};
      },
      [&] {
        EXPECT_EQ(counted[0] + counted[1] + counted[2], 1);
        EXPECT_EQ(word.value, 1u);
      });
}

TEST(RateLimiter, ThreadsAreAdmittedExactlyAsOftenAsTheLimitSays) {
  constexpr uint64_t kLimit = 10'007;
  const RateSpec spec = rate_spec(kLimit, 86'400'000'000'000);
  for (int round = 0; round < 5; ++round) {
    std::atomic<uint64_t> word{0}, admitted{0};
    std::vector<std::thread> shards;
    for (int shard = 0; shard < 4; ++shard) {
      shards.emplace_back([&] {
        uint64_t mine = 0;
        for (int i = 0; i < 10'000; ++i) mine += static_cast<bool>(take(word, spec, 1, kNow));
        admitted += mine;
      });
    }
    for (std::thread& shard : shards) shard.join();
    EXPECT_EQ(admitted.load(), kLimit);
  }
}

}  // namespace
}  // namespace weir::routing::rate_limiter_test
