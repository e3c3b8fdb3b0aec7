#include "routing/guard/overload.h"

#include <gtest/gtest.h>

#include <random>

namespace weir::routing {
namespace {

constexpr uint64_t kMs = 1'000'000;

// Turns that take so long, until the average is there.
void be_slow(OverloadLadder& ladder, uint64_t turn_ns, uint64_t& now) {
  for (int turn = 0; turn < 60; ++turn) ladder.observe({.turn_ns = turn_ns}, now += turn_ns);
}

TEST(OverloadLadder, SlownessClimbsAtOnceAndComesDownOneRungAtATime) {
  OverloadLadder ladder;
  uint64_t now = 0;
  be_slow(ladder, 1100 * kMs, now);
  ASSERT_EQ(ladder.rung(), Rung::no_accept);
  for (int turn = 0; turn < 100; ++turn) ladder.observe({}, ++now);
  EXPECT_EQ(ladder.rung(), Rung::no_accept) << "not yet";
  for (const Rung rung : {Rung::shed, Rung::no_shadow, Rung::no_keep_alive, Rung::normal, Rung::normal}) {
    now += OverloadLadder::kCalmNs;
    EXPECT_EQ(ladder.observe({}, now), rung);
    EXPECT_EQ(ladder.observe({}, now), rung);
  }
}

TEST(OverloadLadder, RecoversWithinASecond) {
  OverloadLadder ladder;
  uint64_t now = 0;
  be_slow(ladder, 2000 * kMs, now);
  ladder.observe({.memory_permille = 1000}, now);
  const uint64_t over = now;
  while (ladder.observe({}, now) != Rung::normal) now += kMs;
  EXPECT_LE(now - over, 1000 * kMs);
}

TEST(OverloadLadder, APlaceThatIsFreeIsGivenAwayAtOnce) {
  OverloadLadder ladder;
  EXPECT_EQ(ladder.observe({.exchanges_permille = 599}, 0), Rung::normal);
  EXPECT_EQ(ladder.observe({.exchanges_permille = 600}, 0), Rung::no_keep_alive);
  EXPECT_EQ(ladder.observe({.exchanges_permille = 980}, 0), Rung::no_accept);
  EXPECT_EQ(ladder.observe({.exchanges_permille = 960}, 0), Rung::shed);
  EXPECT_EQ(ladder.observe({.exchanges_permille = 100}, 0), Rung::normal);
}

TEST(OverloadLadder, GoesByTheWorstOfTheThree) {
  OverloadLadder memory, exchanges;
  EXPECT_EQ(memory.observe({.exchanges_permille = 650, .memory_permille = 860}, 0), Rung::shed);
  EXPECT_EQ(exchanges.observe({.exchanges_permille = 860, .memory_permille = 10}, 0), Rung::shed);
}

TEST(OverloadLadder, OneSlowTurnIsNoOverload) {
  OverloadLadder ladder;
  EXPECT_EQ(ladder.observe({.turn_ns = 300 * kMs}, 0), Rung::normal);
  for (uint64_t turn = 1; turn < 100; ++turn)
    EXPECT_EQ(ladder.observe({.turn_ns = kMs}, turn * kMs), Rung::normal);
  // All of them are slow.
  uint64_t now = 100 * kMs;
  be_slow(ladder, 300 * kMs, now);
  EXPECT_EQ(ladder.rung(), Rung::shed);
}

TEST(OverloadLadder, ConnectionsEndAFewAtATime) {
  OverloadLadder ladder;
  int ended = 0;
  constexpr int kTurns = 1700;
  for (int turn = 0; turn < kTurns; ++turn) {
    ladder.observe({.exchanges_permille = 700}, static_cast<uint64_t>(turn) * kMs);
    ended += ladder.ends_connections();
  }
  EXPECT_EQ(ended, kTurns / static_cast<int>(OverloadLadder::kTurnsPerClosing));
  ladder.observe({}, kTurns * kMs);
  for (int turn = 0; turn < 100; ++turn) {
    ladder.observe({}, kTurns * kMs);
    EXPECT_FALSE(ladder.ends_connections());
  }
}

// Whatever is observed: never below what is measured at this moment, never up without a cause, and down to
// normal within a second of quiet.
TEST(OverloadLadder, InvariantsHoldForAnySequence) {
  std::mt19937_64 random(9);
  for (int round = 0; round < 200; ++round) {
    OverloadLadder ladder;
    uint64_t now = 0;
    for (int turn = 0; turn < 300; ++turn) {
      const LoadFacts facts{.turn_ns = random() % (random() % 4 == 0 ? 3'000 * kMs : kMs),
                            .exchanges_permille = static_cast<uint32_t>(random() % 1001),
                            .memory_permille = static_cast<uint32_t>(random() % 1001)};
      now += facts.turn_ns + random() % kMs;
      const Rung rung = ladder.observe(facts, now);
      for (size_t i = 0; i < 4; ++i) {
        const bool full = facts.exchanges_permille >= OverloadLadder::kExchangesPermille[i] ||
                          facts.memory_permille >= OverloadLadder::kMemoryPermille[i];
        if (full) {
          ASSERT_GE(static_cast<size_t>(rung), i + 1);
        }
      }
    }
    const uint64_t quiet_from = now;
    while (ladder.observe({.turn_ns = 1000}, now) != Rung::normal) now += kMs;
    ASSERT_LE(now - quiet_from, 1000 * kMs);
  }
}

}  // namespace
}  // namespace weir::routing
