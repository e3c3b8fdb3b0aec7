#include "routing/guard/overload.h"

#include <gtest/gtest.h>

namespace weir::routing {
namespace {

constexpr uint64_t kMs = 1'000'000;

TEST(OverloadLadder, ClimbsAtOnceAndComesDownOneRungAtATime) {
  OverloadLadder ladder;
  uint64_t now = 0;
  EXPECT_EQ(ladder.observe({.exchanges_permille = 599}, now), Rung::normal);
  EXPECT_EQ(ladder.observe({.exchanges_permille = 600}, now), Rung::no_keep_alive);
  EXPECT_EQ(ladder.observe({.exchanges_permille = 980}, now += kMs), Rung::no_accept);
  EXPECT_EQ(ladder.observe({}, now += kMs), Rung::no_accept) << "not yet";
  now += OverloadLadder::kCalmNs;
  EXPECT_EQ(ladder.observe({}, now), Rung::shed);
  EXPECT_EQ(ladder.observe({}, now), Rung::shed);
  for (const Rung rung : {Rung::no_shadow, Rung::no_keep_alive, Rung::normal, Rung::normal}) {
    EXPECT_EQ(ladder.observe({}, now += OverloadLadder::kCalmNs), rung);
  }
}

TEST(OverloadLadder, RecoversWithinASecond) {
  OverloadLadder ladder;
  ladder.observe({.memory_permille = 1000}, 0);
  uint64_t now = 0;
  while (ladder.observe({}, now) != Rung::normal) now += kMs;
  EXPECT_LE(now, 1000 * kMs);
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
  for (int turn = 0; turn < 40; ++turn) ladder.observe({.turn_ns = 300 * kMs}, now += 300 * kMs);
  EXPECT_EQ(ladder.rung(), Rung::shed);
}

}  // namespace
}  // namespace weir::routing
