#include "core/timer_wheel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <vector>

namespace weir::core {
namespace {

constexpr uint64_t kStart = 1'234'567'890'123'456;  // not on a tick

class TimerWheelTest : public ::testing::Test {
 protected:
  // A timer with a name; what fires is written down.
  struct Item {
    Item(TimerWheelTest& t, int n) : test(t), name(n), timer(&fire, this) {}
    static void fire(Timer& timer) {
      Item& item = timer.owner<Item>();
      EXPECT_FALSE(timer.armed()) << "disarmed before the callback";
      item.test.fired.push_back(item.name);
      if (item.then) item.then();
    }
    TimerWheelTest& test;
    int name;
    std::function<void()> then;
    Timer timer;
  };

  Item& item(std::function<void()> then = {}) {
    items.push_back(std::make_unique<Item>(*this, static_cast<int>(items.size())));
    items.back()->then = std::move(then);
    return *items.back();
  }
  // Arms `which` to fire `ms` milliseconds after the start.
  void arm(Item& which, uint64_t ms) { wheel.schedule(which.timer, kStart + milliseconds(ms)); }
  Item& armed_item(uint64_t ms) {
    Item& made = item();
    arm(made, ms);
    return made;
  }
  // Advances to `ms` milliseconds after the start; answers the names fired.
  std::vector<int> at(uint64_t ms) {
    fired.clear();
    const size_t count = wheel.advance(kStart + milliseconds(ms));
    EXPECT_EQ(count, fired.size());
    return fired;
  }
  using Names = std::vector<int>;

  TimerWheel wheel{kStart};
  std::vector<int> fired;
  std::vector<std::unique_ptr<Item>> items;
};

TEST_F(TimerWheelTest, SaysNeverWhenEmpty) {
  EXPECT_EQ(wheel.next_deadline_ns(), kNoDeadline);
  EXPECT_EQ(at(1'000'000), Names{});
  EXPECT_EQ(wheel.armed(), 0u);
}

TEST_F(TimerWheelTest, FiresOnceAfterTheDeadline) {
  armed_item(10);
  EXPECT_EQ(at(9), Names{});
  EXPECT_EQ(at(11), Names{0});
  EXPECT_EQ(at(1000), Names{});
}

TEST_F(TimerWheelTest, NeverFiresEarlyAndIsLateByLessThanAMillisecond) {
  for (const uint64_t timeout_ns : {uint64_t{1}, uint64_t{999'999}, kNsPerMs, kNsPerMs + 1, seconds(70) + 3,
                                    seconds(4096) + 17, seconds(400'000) + 999'999}) {
    TimerWheel fresh(kStart);
    bool has_fired = false;
    Timer timer([](Timer& t) { t.owner<bool>() = true; }, &has_fired);
    fresh.schedule(timer, kStart + timeout_ns);
    EXPECT_LT(timer.deadline_ns() - (kStart + timeout_ns), kNsPerMs);
    fresh.advance(timer.deadline_ns() - 1);
    EXPECT_FALSE(has_fired) << timeout_ns;
    fresh.advance(timer.deadline_ns());
    EXPECT_TRUE(has_fired) << timeout_ns;
  }
}

TEST_F(TimerWheelTest, FiresInDeadlineOrderAcrossLevels) {
  armed_item(300'000);  // 0
  armed_item(5);        // 1
  armed_item(70'000);   // 2
  armed_item(64);       // 3
  armed_item(5);        // 4
  armed_item(4'096);    // 5
  armed_item(4'095);    // 6
  armed_item(63);       // 7
  EXPECT_EQ(at(1'000'000), (Names{1, 4, 7, 3, 6, 5, 2, 0}));
}

TEST_F(TimerWheelTest, FiresAPassedDeadlineInTheNextAdvance) {
  at(100);
  armed_item(50);
  EXPECT_LE(wheel.next_deadline_ns(), kStart + milliseconds(100));
  EXPECT_EQ(fired, Names{}) << "never inside schedule()";
  EXPECT_EQ(at(100), Names{0}) << "even when the clock stands still";
}

TEST_F(TimerWheelTest, CancelsOnAnyLevel) {
  for (const uint64_t ms : {1u, 63u, 64u, 5'000u, 300'000u, 20'000'000u}) armed_item(ms);
  for (const auto& each : items) each->timer.cancel();
  EXPECT_EQ(wheel.armed(), 0u);
  EXPECT_EQ(wheel.next_deadline_ns(), kNoDeadline) << "no stale bits";
  EXPECT_EQ(at(100'000'000), Names{});
}

TEST_F(TimerWheelTest, CancelOfAnUnarmedTimerDoesNothing) {
  Item& idle = item();
  idle.timer.cancel();
  wheel.cancel(idle.timer);
  EXPECT_FALSE(idle.timer.armed());
}

TEST_F(TimerWheelTest, DisarmsOnNoDeadline) {
  Item& which = armed_item(5);
  wheel.schedule(which.timer, kNoDeadline);
  EXPECT_FALSE(which.timer.armed());
  EXPECT_EQ(at(1000), Names{});
}

TEST_F(TimerWheelTest, HoldsTheFarthestDeadline) {
  Item& which = item();
  wheel.schedule(which.timer, kNoDeadline - 1);
  EXPECT_EQ(at(1'000'000'000), Names{});
  EXPECT_TRUE(which.timer.armed());
  EXPECT_GT(wheel.next_deadline_ns(), kStart);
}

TEST_F(TimerWheelTest, MovesADeadlineLater) {
  Item& idle = armed_item(10);
  for (uint64_t ms = 1; ms <= 1000; ++ms) {
    EXPECT_EQ(at(ms), Names{});
    arm(idle, ms + 10);
  }
  EXPECT_EQ(at(1009), Names{});
  EXPECT_EQ(at(1011), Names{0});
}

TEST_F(TimerWheelTest, MovesADeadlineEarlier) {
  Item& which = armed_item(300'000);
  arm(which, 20);
  EXPECT_EQ(at(19), Names{});
  EXPECT_EQ(at(21), Names{0});
}

TEST_F(TimerWheelTest, MovesADeadlineLaterThenEarlierAgain) {
  Item& which = armed_item(1000);
  arm(which, 50'000);
  arm(which, 2000);
  EXPECT_EQ(at(1999), Names{});
  EXPECT_EQ(at(2001), Names{0});
}

TEST_F(TimerWheelTest, MovesAPassedDeadlineLater) {
  at(100);
  Item& which = armed_item(50);
  arm(which, 200);
  EXPECT_EQ(at(150), Names{});
  EXPECT_EQ(at(201), Names{0});
}

TEST_F(TimerWheelTest, LetsACallbackRearmItself) {
  Item& ticking = item();
  uint64_t next = 10;
  ticking.then = [&] { arm(ticking, next += 10); };
  arm(ticking, next);
  EXPECT_EQ(at(35), (Names{0, 0, 0}));
  EXPECT_EQ(at(41), (Names{0}));
}

TEST_F(TimerWheelTest, EndsEvenIfACallbackRearmsItselfForThePast) {
  Item& restless = item();
  restless.then = [&] { arm(restless, 0); };
  arm(restless, 5);
  EXPECT_EQ(at(6), Names{0});
  EXPECT_EQ(at(6), Names{0});
  EXPECT_EQ(at(7), Names{0});
}

TEST_F(TimerWheelTest, LetsACallbackCancelOthersOfTheSameSlot) {
  Item& first = armed_item(5);
  Item& second = armed_item(5);
  armed_item(5);
  first.then = [&] { second.timer.cancel(); };
  EXPECT_EQ(at(6), (Names{0, 2}));
}

TEST_F(TimerWheelTest, LetsACallbackCancelOtherPassedDeadlines) {
  at(100);
  Item& first = armed_item(5);
  Item& second = armed_item(5);
  first.then = [&] { second.timer.cancel(); };
  EXPECT_EQ(at(100), Names{0});
  EXPECT_EQ(wheel.next_deadline_ns(), kNoDeadline);
}

TEST_F(TimerWheelTest, LetsACallbackMoveOthersOfTheSameSlot) {
  Item& first = armed_item(5);
  Item& second = armed_item(5);
  first.then = [&] { arm(second, 80); };
  EXPECT_EQ(at(6), Names{0});
  EXPECT_EQ(at(81), Names{1});
}

TEST_F(TimerWheelTest, LetsACallbackDestroyAnyTimer) {
  armed_item(5);
  armed_item(5);
  armed_item(9'000);
  items[0]->then = [&] {
    items[2].reset();
    items[1].reset();
  };
  EXPECT_EQ(at(10'000), Names{0});

  struct Suicidal {
    Timer timer{[](Timer& t) { delete &t.owner<Suicidal>(); }, this};
  };
  auto* suicidal = new Suicidal;
  wheel.schedule(suicidal->timer, kStart);
  EXPECT_EQ(wheel.advance(kStart + seconds(20)), 1u);
}

TEST_F(TimerWheelTest, LetsACallbackArmAnotherDueInTheSameAdvance) {
  Item& late = item();
  Item& early = armed_item(5);
  early.then = [&] { arm(late, 7); };
  armed_item(9);
  EXPECT_EQ(at(20), (Names{1, 0, 2}));
}

TEST_F(TimerWheelTest, ToleratesAClockThatStepsBack) {
  armed_item(10);
  at(5);
  EXPECT_EQ(at(1), Names{});
  EXPECT_EQ(at(11), Names{0});
}

TEST_F(TimerWheelTest, DisarmsTimersThatOutliveIt) {
  Item outliving(*this, 7);
  {
    TimerWheel brief(0);
    brief.schedule(outliving.timer, seconds(5));
  }
  EXPECT_FALSE(outliving.timer.armed());
}

TEST_F(TimerWheelTest, FiresInTheLoopThatSleepsUntilTheNextDeadline) {
  for (const uint64_t ms : {3u, 100u, 5'000u, 300'000u, 90'000'000u}) {
    armed_item(ms);
    fired.clear();
    int turns = 0;
    while (fired.empty()) {
      ASSERT_LT(++turns, 8) << "at most one wake-up per level";
      const uint64_t next = wheel.next_deadline_ns();
      ASSERT_LE(next, items.back()->timer.deadline_ns());
      wheel.advance(next);
    }
    wheel.advance(kStart + milliseconds(ms + 1));
  }
}

// Against the obvious implementation, with timers that arm and cancel others when they fire.
TEST_F(TimerWheelTest, BehavesLikeASortedList) {
  std::mt19937_64 random(7);
  constexpr int kTimers = 200;
  std::vector<uint64_t> deadline_ms(kTimers, kNoDeadline);  // the model, by name
  uint64_t now_ms = 0;

  const auto random_deadline = [&] {
    constexpr uint64_t kRanges[] = {3, 60, 64, 70, 5'000, 300'000, 20'000'000};
    return now_ms + random() % kRanges[random() % std::size(kRanges)];
  };
  const auto model_arm = [&](int name, uint64_t ms) {
    deadline_ms[static_cast<size_t>(name)] = ms;
    // Whole ticks, so that model and wheel agree without rounding.
    wheel.schedule(items[static_cast<size_t>(name)]->timer, (kStart / kNsPerMs + ms) * kNsPerMs);
  };
  const auto model_cancel = [&](int name) {
    deadline_ms[static_cast<size_t>(name)] = kNoDeadline;
    items[static_cast<size_t>(name)]->timer.cancel();
  };
  uint64_t last_fired_ms = 0;
  for (int i = 0; i < kTimers; ++i) {
    Item& made = item();
    made.then = [&, name = i] {
      const uint64_t due = deadline_ms[static_cast<size_t>(name)];
      EXPECT_LE(due, now_ms) << "early";
      EXPECT_GE(due, last_fired_ms) << "out of order";
      last_fired_ms = due;
      deadline_ms[static_cast<size_t>(name)] = kNoDeadline;
      if (random() % 4 == 0) model_cancel(static_cast<int>(random() % kTimers));
      if (random() % 2 == 0) model_arm(static_cast<int>(random() % kTimers), now_ms + 1 + random() % 9'000);
    };
  }
  for (int step = 0; step < 20'000; ++step) {
    const int name = static_cast<int>(random() % kTimers);
    switch (random() % 4) {
      case 0:
      case 1:
        model_arm(name, random_deadline());
        break;
      case 2:
        model_cancel(name);
        break;
      default: {
        const uint64_t earliest = *std::min_element(deadline_ms.begin(), deadline_ms.end());
        const uint64_t next = wheel.next_deadline_ns();
        if (earliest == kNoDeadline) {
          ASSERT_EQ(next, kNoDeadline);
        } else {
          ASSERT_LE(next, (kStart / kNsPerMs + std::max(earliest, now_ms)) * kNsPerMs);
        }
        now_ms += random() % 8 == 0 ? random() % 400'000 : random() % 40;
        last_fired_ms = 0;
        wheel.advance(kStart + milliseconds(now_ms));
        for (const uint64_t deadline : deadline_ms) {
          ASSERT_TRUE(deadline == kNoDeadline || deadline > now_ms) << "a timer was missed";
        }
        break;
      }
    }
    const auto in_model = std::count_if(deadline_ms.begin(), deadline_ms.end(),
                                        [](uint64_t deadline) { return deadline != kNoDeadline; });
    ASSERT_EQ(wheel.armed(), static_cast<size_t>(in_model));
  }
}

}  // namespace
}  // namespace weir::core
