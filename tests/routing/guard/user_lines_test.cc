#include "routing/guard/user_lines.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>
#include <vector>

#include "routing/guard/rate_limiter.h"

namespace weir::routing::user_lines_test {
namespace {

using Lines = UserLines<LimitLine>;

constexpr uint64_t kNow = 1'000'000'000'000;
const RateSpec kSpec = rate_spec(10, 60'000'000'000);

size_t memory_for(size_t sets) {
  return sets * (1 + Lines::kWays) * core::kCacheLineBytes;
}

LimitLine* acquire(Lines& lines, uint64_t tag, uint64_t now = kNow) {
  return lines.acquire(tag, [now](const LimitLine& line) { return line.idle(now) ? 0 : line.busy_until(); });
}

TEST(UserLines, FindTheSameLineAgain) {
  Lines lines(memory_for(16));
  LimitLine* line = acquire(lines, 77);
  ASSERT_NE(line, nullptr);
  EXPECT_TRUE(take(line->rates[1], kSpec, 3, kNow));
  EXPECT_EQ(line->in_flight.load(), 1u);
  EXPECT_EQ(acquire(lines, 77), line);
  EXPECT_EQ(line->in_flight.load(), 2u);
  EXPECT_NE(acquire(lines, 78), line);
  lines.release(*line);
  lines.release(*line);
  EXPECT_EQ(line->in_flight.load(), 0u);
  EXPECT_EQ(view(acquire(lines, 77)->rates[1], kSpec, kNow).remaining, 7u);
}

TEST(UserLines, GiveTheIdleOneAwayFirstAndForgetNothingByThat) {
  Lines lines(memory_for(1));
  for (uint64_t tag = 1; tag <= Lines::kWays; ++tag) {
    LimitLine* line = acquire(lines, tag);
    if (tag != 5) take(line->rates[1], kSpec, tag, kNow);
    lines.release(*line);
  }
  lines.release(*acquire(lines, 99));
  EXPECT_EQ(lines.evictions(), 0u);
  for (uint64_t tag = 1; tag <= Lines::kWays; ++tag) {
    if (tag == 5) continue;
    LimitLine* line = acquire(lines, tag);
    EXPECT_EQ(view(line->rates[1], kSpec, kNow).remaining, 10 - tag);
    lines.release(*line);
  }
}

TEST(UserLines, TakeAFreePlaceBeforeAnIdleOne) {
  Lines lines(memory_for(1));
  LimitLine* idle = acquire(lines, 1);
  lines.release(*idle);
  LimitLine* other = acquire(lines, 2);
  EXPECT_NE(other, idle);
  lines.release(*other);
  EXPECT_EQ(acquire(lines, 1), idle);
}

// Somebody takes the idle line, counts in it and leaves, between the choice and the lock.
TEST(UserLines, LookAgainAtWhatTheyHaveChosen) {
  Lines lines(memory_for(1));
  for (uint64_t tag = 1; tag <= Lines::kWays; ++tag) {
    LimitLine* line = acquire(lines, tag);
    if (tag != 5) take(line->rates[1], kSpec, tag, kNow);
    lines.release(*line);
  }
  int looked = 0;
  LimitLine* fresh = lines.acquire(99, [&](const LimitLine& line) {
    const uint64_t until = line.idle(kNow) ? 0 : line.busy_until();
    if (until == 0 && looked++ == 0) {
      LimitLine* fifth = acquire(lines, 5);
      take(fifth->rates[1], kSpec, 10, kNow);
      lines.release(*fifth);
    }
    return until;
  });
  ASSERT_NE(fresh, nullptr);
  EXPECT_EQ(lines.evictions(), 1u);
  EXPECT_EQ(view(acquire(lines, 5)->rates[1], kSpec, kNow).remaining, 0u) << "the first one went, not this";
}

TEST(UserLines, GiveTheOneAwayThatIsIdleSoonestAndCountIt) {
  Lines lines(memory_for(1));
  for (uint64_t tag = 1; tag <= Lines::kWays; ++tag) {
    LimitLine* line = acquire(lines, tag);
    take(line->rates[1], kSpec, tag, kNow);
    lines.release(*line);
  }
  LimitLine* fresh = acquire(lines, 99);
  EXPECT_EQ(lines.evictions(), 1u);
  EXPECT_EQ(view(fresh->rates[1], kSpec, kNow).remaining, 10u) << "it begins unused";
  LimitLine* second = acquire(lines, 2);
  EXPECT_EQ(view(second->rates[1], kSpec, kNow).remaining, 8u) << "the first one went";
}

TEST(UserLines, NeverGiveAwayWhatIsHeld) {
  Lines lines(memory_for(1));
  std::vector<LimitLine*> held;
  for (uint64_t tag = 1; tag <= Lines::kWays; ++tag) held.push_back(acquire(lines, tag));
  EXPECT_EQ(acquire(lines, 99), nullptr) << "and the caller refuses";
  lines.release(*held[3]);
  EXPECT_EQ(acquire(lines, 99), held[3]);
}

// The error bound of the header: below half of the capacity fewer than 1 % of the users active in a period
// are given away while they are counted.
TEST(UserLines, LoseFewUsersAtHalfLoad) {
  Lines lines(memory_for(2048));
  std::mt19937_64 random(1);
  const size_t users = lines.capacity() / 2;
  for (size_t i = 0; i < users; ++i) {
    LimitLine* line = acquire(lines, random() | 1u << 20);
    ASSERT_NE(line, nullptr);
    take(line->rates[1], kSpec, 5, kNow);
    lines.release(*line);
  }
  EXPECT_LT(lines.evictions() * 100, users);
}

// Shards hammer more users than there are places. Whoever holds a line holds it alone with its own tag: two
// users never share one, one user never has two, and in the end nothing is held.
TEST(UserLines, BelongToOneUserAtATimeUnderContention) {
  Lines lines(memory_for(2));
  constexpr uint64_t kUsers = 40;
  std::vector<std::atomic<LimitLine*>> held_by(kUsers);
  std::atomic<uint64_t> wrong{0}, got{0};
  std::vector<std::thread> shards;
  for (unsigned shard = 0; shard < 4; ++shard) {
    shards.emplace_back([&, shard] {
      std::mt19937_64 random(shard);
      for (int i = 0; i < 100'000; ++i) {
        const uint64_t user = random() % kUsers;
        LimitLine* line = acquire(lines, 1000 + user, kNow + static_cast<uint64_t>(i) * 1000);
        if (line == nullptr) continue;
        ++got;
        // While anybody holds it, everybody who asks for this user gets the same line.
        const uint64_t owner = line->total.load();
        if (owner != 0 && owner != 1000 + user) ++wrong;
        line->total.store(1000 + user);
        LimitLine* again = acquire(lines, 1000 + user, kNow);
        if (again != nullptr && again != line) ++wrong;
        if (again != nullptr) lines.release(*again);
        take(line->rates[1], kSpec, 1, kNow + static_cast<uint64_t>(i) * 1000);
        if (line->total.load() != 1000 + user) ++wrong;
        lines.release(*line);
      }
    });
  }
  for (std::thread& shard : shards) shard.join();
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_GT(got.load(), 100'000u);
  for (uint64_t user = 0; user < kUsers; ++user) {
    LimitLine* line = acquire(lines, 1000 + user, kNow);
    ASSERT_NE(line, nullptr);
    EXPECT_EQ(line->in_flight.load(), 1u);
    lines.release(*line);
  }
}

}  // namespace
}  // namespace weir::routing::user_lines_test
