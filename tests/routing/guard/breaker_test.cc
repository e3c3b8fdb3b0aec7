#include "routing/guard/breaker.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>
#include <vector>

namespace weir::routing::breaker_test {
namespace {

using R = BreakerRules;

constexpr uint64_t kNow = 1'000'000'000'000;
constexpr uint64_t kSecond = 1'000'000'000;

void open_by_failures(BreakerLine& line, uint64_t now) {
  for (uint64_t i = 1; i < R::kConsecutive; ++i) ASSERT_FALSE(failed(line, ask(line, now, 0), now));
  ASSERT_TRUE(failed(line, ask(line, now, 0), now));
}

TEST(Breaker, OpensAfterFailuresInARow) {
  BreakerLine line{};
  open_by_failures(line, kNow);
  EXPECT_EQ(ask(line, kNow, 0), Pass::no);
  EXPECT_EQ(view(line, kNow).state, BreakerState::open);
  EXPECT_EQ(view(line, kNow).left_ns, R::kOpenNs);
}

TEST(Breaker, ASuccessEndsTheRow) {
  BreakerLine line{};
  for (int round = 0; round < 3; ++round) {
    for (uint64_t i = 1; i < R::kConsecutive; ++i) failed(line, Pass::yes, kNow);
    succeeded(line, Pass::yes, kNow);
  }
  EXPECT_EQ(ask(line, kNow, 0), Pass::yes);
}

TEST(Breaker, OpensAtAShareOfFailuresInAWindow) {
  BreakerLine line{};
  bool opened = false;
  uint64_t attempts = 0;
  while (!opened && attempts < 1000) {
    attempts += 2;
    succeeded(line, Pass::yes, kNow);
    opened = failed(line, Pass::yes, kNow);
  }
  EXPECT_EQ(attempts, R::kLeast);
  BreakerLine slow{};
  for (uint64_t i = 0; i < 200; ++i) {  // the same share, but too few at a time
    succeeded(slow, Pass::yes, kNow + i * kSecond);
    EXPECT_FALSE(failed(slow, Pass::yes, kNow + i * kSecond));
  }
}

TEST(Breaker, LetsOneProbeThroughAndComesBackSlowly) {
  BreakerLine line{};
  open_by_failures(line, kNow);
  const uint64_t later = kNow + R::kOpenNs;
  EXPECT_EQ(ask(line, later - 1, 0), Pass::no);
  EXPECT_EQ(ask(line, later, 999), Pass::probe);
  EXPECT_EQ(ask(line, later, 0), Pass::no) << "one at a time";
  EXPECT_EQ(view(line, later).state, BreakerState::half_open);
  succeeded(line, Pass::probe, later);
  EXPECT_EQ(ask(line, later, 99), Pass::yes);
  EXPECT_EQ(ask(line, later, 100), Pass::no) << "a tenth at first";
  EXPECT_EQ(ask(line, later + R::kSlowStartNs / 2, 549), Pass::yes);
  EXPECT_EQ(ask(line, later + R::kSlowStartNs / 2, 550), Pass::no);
  EXPECT_EQ(ask(line, later + R::kSlowStartNs, 999), Pass::yes);
}

TEST(Breaker, WaitsTwiceAsLongAfterEachFailedProbe) {
  BreakerLine line{};
  open_by_failures(line, kNow);
  uint64_t now = kNow, wait = R::kOpenNs;
  for (int i = 0; i < 10; ++i) {
    now += wait;
    ASSERT_EQ(ask(line, now, 0), Pass::probe);
    EXPECT_TRUE(failed(line, Pass::probe, now));
    wait = std::min(wait * 2, R::kMaxOpenNs);
    EXPECT_EQ(view(line, now).left_ns, wait);
  }
}

TEST(Breaker, AProbeThatNeverReportsIsFollowedByAnother) {
  BreakerLine line{};
  open_by_failures(line, kNow);
  const uint64_t later = kNow + R::kOpenNs;
  EXPECT_EQ(ask(line, later, 0), Pass::probe);
  EXPECT_EQ(ask(line, later + R::kProbePatienceNs - 1, 0), Pass::no);
  EXPECT_EQ(ask(line, later + R::kProbePatienceNs, 0), Pass::probe);
  cancelled(line, Pass::probe, later + R::kProbePatienceNs);
  EXPECT_EQ(ask(line, later + R::kProbePatienceNs, 0), Pass::probe) << "a cancelled one makes room at once";
}

TEST(Breaker, A429OpensForAsLongAsItSays) {
  BreakerLine line{};
  EXPECT_TRUE(limited(line, Pass::yes, 7 * kSecond, kNow));
  EXPECT_EQ(ask(line, kNow + 7 * kSecond - 1, 0), Pass::no);
  EXPECT_EQ(ask(line, kNow + 7 * kSecond, 0), Pass::probe);
  EXPECT_TRUE(limited(line, Pass::probe, 100'000 * kSecond, kNow + 7 * kSecond));
  EXPECT_EQ(view(line, kNow + 7 * kSecond).left_ns, R::kMaxLimitedNs);
  BreakerLine silent{};
  EXPECT_FALSE(limited(silent, Pass::yes, 0, kNow)) << "a failure like any other";
}

TEST(Breaker, ALater429ExtendsAnOpenOneAndAShorterOneDoesNot) {
  BreakerLine line{};
  EXPECT_TRUE(limited(line, Pass::yes, 7 * kSecond, kNow));
  EXPECT_FALSE(limited(line, Pass::yes, 3 * kSecond, kNow + kSecond)) << "it is open";
  EXPECT_EQ(view(line, kNow).left_ns, 7 * kSecond);
  EXPECT_FALSE(limited(line, Pass::yes, 600 * kSecond, kNow + kSecond));
  EXPECT_EQ(view(line, kNow + kSecond).left_ns, 600 * kSecond);
  EXPECT_EQ(view(line, kNow).opened, 1u) << "once";
  failed(line, Pass::yes, kNow + kSecond);
  EXPECT_EQ(view(line, kNow + kSecond).left_ns, 600 * kSecond);

  BreakerLine failing{};
  open_by_failures(failing, kNow);
  EXPECT_FALSE(limited(failing, Pass::yes, 60 * kSecond, kNow));
  EXPECT_EQ(view(failing, kNow).left_ns, 60 * kSecond);
  EXPECT_TRUE(view(failing, kNow).limited);
}

TEST(Breaker, A429ThatComesDuringAProbeIsObeyedWhateverTheProbeSays) {
  BreakerLine line{};
  limited(line, Pass::yes, kSecond, kNow);
  const uint64_t later = kNow + kSecond;
  ASSERT_EQ(ask(line, later, 0), Pass::probe);
  EXPECT_TRUE(limited(line, Pass::yes, 60 * kSecond, later));
  succeeded(line, Pass::probe, later + kSecond);
  EXPECT_EQ(view(line, later).left_ns, 60 * kSecond);
}

TEST(Breaker, ACopyThatWasSentOnceItsTimeWasOverClosesIt) {
  BreakerLine line{};
  limited(line, Pass::yes, 7 * kSecond, kNow);
  copy_succeeded(line, kNow, kNow + 8 * kSecond);
  EXPECT_EQ(view(line, kNow).state, BreakerState::open) << "it was sent before";
  copy_succeeded(line, kNow + 7 * kSecond, kNow + 8 * kSecond);
  EXPECT_EQ(view(line, kNow).state, BreakerState::closed);
  EXPECT_EQ(share_permille(line, kNow + 8 * kSecond), 100u) << "and is taken back slowly";
  ASSERT_EQ(ask(line, kNow + 60 * kSecond, 0), Pass::yes);
}

TEST(Breaker, KnowsThatA429OpenedIt) {
  BreakerLine line{};
  limited(line, Pass::yes, 7 * kSecond, kNow);
  EXPECT_TRUE(view(line, kNow).limited);
  EXPECT_EQ(view(line, kNow).state, BreakerState::open);
  ASSERT_EQ(ask(line, kNow + 7 * kSecond, 0), Pass::probe);
  EXPECT_FALSE(view(line, kNow + 7 * kSecond).limited);
  failed(line, Pass::probe, kNow + 7 * kSecond);
  EXPECT_FALSE(view(line, kNow + 7 * kSecond).limited) << "another reason this time";
}

TEST(Breaker, TheShareThatIsLedHereFollowsItsState) {
  BreakerLine line{};
  EXPECT_EQ(share_permille(line, kNow), 1000u);
  open_by_failures(line, kNow);
  EXPECT_EQ(share_permille(line, kNow), 0u);
  const uint64_t later = kNow + R::kOpenNs;
  EXPECT_EQ(share_permille(line, later - 1), 0u);
  EXPECT_EQ(share_permille(line, later), 100u) << "somebody must be the probe";
  ASSERT_EQ(ask(line, later, 0), Pass::probe);
  EXPECT_EQ(share_permille(line, later), 0u) << "one at a time";
  EXPECT_EQ(share_permille(line, later + R::kProbePatienceNs), 100u);
  succeeded(line, Pass::probe, later);
  uint32_t before = 0;
  for (uint64_t at = 0; at <= R::kSlowStartNs; at += R::kSlowStartNs / 50) {
    EXPECT_GE(share_permille(line, later + at), std::max(before, 100u));
    before = share_permille(line, later + at);
  }
  EXPECT_EQ(before, 1000u);
  EXPECT_EQ(ask(line, later, kNoSlowStart), Pass::yes) << "of one who cannot go elsewhere";
}

// Whatever is reported in whatever order: nobody passes while open, one at a time while half open, and where
// share_permille() says 0 nobody passes.
TEST(Breaker, InvariantsHoldForAnySequence) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 200; ++round) {
    BreakerLine line{};
    uint64_t now = kNow;
    bool probing = false;
    uint64_t probe_since = 0;
    std::vector<Pass> under_way;
    for (int step = 0; step < 500; ++step) {
      now += random() % (R::kOpenNs / 2);
      const auto dice = static_cast<uint32_t>(random());
      if (random() % 2 == 0) {
        const BreakerView before = view(line, now);
        const uint32_t share = share_permille(line, now);
        const Pass pass = ask(line, now, dice);
        if (before.state == BreakerState::open && before.left_ns > 0) {
          ASSERT_EQ(pass, Pass::no);
        }
        if (share == 0) {
          ASSERT_EQ(pass, Pass::no);
        }
        if (pass == Pass::probe) {
          ASSERT_TRUE(!probing || now - probe_since >= R::kProbePatienceNs);
          probing = true;
          probe_since = now;
        }
        if (pass != Pass::no) under_way.push_back(pass);
      } else if (!under_way.empty()) {
        std::swap(under_way[random() % under_way.size()], under_way.back());
        const Pass pass = under_way.back();
        under_way.pop_back();
        switch (random() % 4) {
          case 0:
            succeeded(line, pass, now);
            break;
          case 1:
            failed(line, pass, now);
            break;
          case 2:
            limited(line, pass, random() % 3 * kSecond, now);
            break;
          default:
            cancelled(line, pass, now);
        }
        // Also after a 429 that another attempt has heard: the probe counts no more.
        probing &= view(line, now).state == BreakerState::half_open;
      }
    }
  }
}

TEST(Breaker, AttemptsFromBeforeItOpenedChangeNothing) {
  BreakerLine line{};
  open_by_failures(line, kNow);
  succeeded(line, Pass::yes, kNow);
  EXPECT_FALSE(failed(line, Pass::yes, kNow));
  cancelled(line, Pass::yes, kNow);
  EXPECT_EQ(view(line, kNow).state, BreakerState::open);
  EXPECT_EQ(view(line, kNow).opened, 1u);
}

TEST(Breaker, ShardsLetOneProbeThroughTogether) {
  for (int round = 0; round < 200; ++round) {
    BreakerLine line{};
    limited(line, Pass::yes, kSecond, kNow);
    std::atomic<int> probes{0};
    std::vector<std::thread> shards;
    for (int shard = 0; shard < 3; ++shard) {
      shards.emplace_back([&] { probes += ask(line, kNow + kSecond, 0) == Pass::probe; });
    }
    for (std::thread& shard : shards) shard.join();
    ASSERT_EQ(probes.load(), 1);
  }
}

}  // namespace
}  // namespace weir::routing::breaker_test
