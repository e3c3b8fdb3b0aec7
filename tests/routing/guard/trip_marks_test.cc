#include "routing/guard/trip_marks.h"

#include <gtest/gtest.h>

#include <map>
#include <thread>

namespace weir::routing {
namespace {

std::map<uint64_t, uint64_t> taken(UserTrips& trips) {
  std::map<uint64_t, uint64_t> all;
  trips.take([&](uint64_t user, uint64_t rules) {
    all[user] |= rules;
    return true;
  });
  return all;
}

TEST(UserTrips, SayOfWhichUsersWhichRulesActed) {
  UserTrips trips{};
  EXPECT_FALSE(trips.any());
  trips.note(11, 1);
  trips.note(11, 4);
  trips.note(12, 2);
  trips.note(13, 2);
  trips.note(14, 8);
  EXPECT_TRUE(trips.any());
  EXPECT_EQ(taken(trips), (std::map<uint64_t, uint64_t>{{11, 5}, {12, 2}, {13, 2}, {0, 8}}));
  EXPECT_TRUE(taken(trips).empty());
  EXPECT_FALSE(trips.any()) << "places of users who came no more are free";
  trips.note(14, 8);
  EXPECT_EQ(taken(trips), (std::map<uint64_t, uint64_t>{{14, 8}}));
}

TEST(UserTrips, WhatIsNotTakenStays) {
  UserTrips trips{};
  trips.note(11, 3);
  trips.take([](uint64_t, uint64_t) { return false; });
  EXPECT_EQ(taken(trips), (std::map<uint64_t, uint64_t>{{11, 3}}));
}

TEST(UserTrips, LoseNothingWhileTheyAreTaken) {
  UserTrips trips{};
  constexpr uint64_t kRounds = 20'000;
  std::atomic<unsigned> running{4};
  std::atomic<uint64_t> noted{0};
  std::vector<std::thread> threads;
  for (unsigned thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      // A rule of its own, noted again only once it was taken.
      for (uint64_t round = 0; round < kRounds; ++round) trips.note(1 + round % 7, uint64_t{1} << thread);
      noted.fetch_or(uint64_t{1} << thread);
      --running;
    });
  }
  uint64_t seen = 0;
  while (running != 0) {
    for (const auto& [user, rules] : taken(trips)) seen |= rules;
  }
  for (std::thread& thread : threads) thread.join();
  trips.note(99, 16);
  for (const auto& [user, rules] : taken(trips)) seen |= rules;
  EXPECT_EQ(seen, noted | 16);
}

TEST(LimitMarks, OfEachKindAreBitsOfTheirOwn) {
  uint64_t all = 0;
  for (const unsigned mark :
       {limit_mark::kBegun, limit_mark::kPast, limit_mark::kFilling, limit_mark::kWatched}) {
    for (unsigned kind = 0; kind < 6; ++kind) {
      EXPECT_EQ(all & limit_mark::bit(mark, kind), 0u);
      all |= limit_mark::bit(mark, kind);
    }
  }
  EXPECT_EQ(all & ~limit_mark::kAll, 0u);
  all = 0;
  for (const unsigned mark : {limit_mark::kBegun, limit_mark::kPast, limit_mark::kFilling}) {
    for (unsigned kind = 0; kind < 6; ++kind) {
      EXPECT_EQ(all & UserTrips::of_limit(mark, kind), 0u);
      all |= UserTrips::of_limit(mark, kind);
    }
  }
  for (unsigned rule = 0; rule < 16; ++rule) {
    for (const bool open : {false, true}) {
      EXPECT_EQ(all & UserTrips::of_budget(rule, open), 0u);
      all |= UserTrips::of_budget(rule, open);
    }
  }
}

}  // namespace
}  // namespace weir::routing
