#include "routing/guard/pin_table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace weir::routing::pin_table_test {
namespace {

constexpr uint64_t kTtl = 1'000'000;
constexpr core::SipKey kSecret{.low = 1, .high = 2};
constexpr size_t kSetBytes = 192;

PinTable::Options sets(size_t count) {
  return {.memory_bytes = count * kSetBytes, .ttl_ns = kTtl, .secret = kSecret};
}

TEST(PinTable, RemembersAPinUntilItsTtl) {
  PinTable table(sets(16));
  const uint64_t key = table.key("bank", "chat", "c-1");
  EXPECT_EQ(table.lookup(key, 0), std::nullopt);
  table.store(key, 0xabc, 100);
  EXPECT_EQ(table.lookup(key, 100 + kTtl), std::nullopt);
  EXPECT_EQ(table.lookup(key, 99 + kTtl), 0xabcu);
}

TEST(PinTable, ExtendsTheLifeOfAPinThatIsUsed) {
  PinTable table(sets(16));
  const uint64_t key = table.key("bank", "chat", "c-1");
  table.store(key, 0xabc, 0);
  for (uint64_t now = kTtl / 2; now < 10 * kTtl; now += kTtl / 2) ASSERT_EQ(table.lookup(key, now), 0xabcu);
}

TEST(PinTable, PeekingDoesNotExtendTheLifeOfAPin) {
  PinTable table(sets(16));
  const uint64_t key = table.key("bank", "chat", "c-1");
  EXPECT_EQ(table.peek(key, 0), std::nullopt);
  table.store(key, 0xabc, 0);
  for (uint64_t now = 0; now < kTtl; now += kTtl / 4) EXPECT_EQ(table.peek(key, now), 0xabcu);
  EXPECT_EQ(table.peek(key, kTtl), std::nullopt);
}

TEST(PinTable, ReplacesThePinOfAConversation) {
  PinTable table(sets(16));
  const uint64_t key = table.key("bank", "chat", "c-1");
  table.store(key, 1, 0);
  table.store(key, 2, 0);
  EXPECT_EQ(table.lookup(key, 1), 2u);
  table.erase(key);
  EXPECT_EQ(table.lookup(key, 1), std::nullopt);
  EXPECT_EQ(table.evictions(), 0u);
}

TEST(PinTable, TellsTenantsScenariosAndConversationsApart) {
  const PinTable table(sets(1));
  const uint64_t key = table.key("ab", "c", "d");
  EXPECT_NE(key, table.key("a", "bc", "d"));
  EXPECT_NE(key, table.key("ab", "cd", ""));
  EXPECT_NE(key, table.key("c", "ab", "d"));
  EXPECT_NE(key,
            PinTable({.memory_bytes = 0, .ttl_ns = 1, .secret = {.low = 3, .high = 4}}).key("ab", "c", "d"));
}

TEST(PinTable, StaysInTheMemoryItWasGiven) {
  EXPECT_EQ(PinTable({.memory_bytes = 0, .ttl_ns = 1, .secret = kSecret}).capacity(), PinTable::kWays);
  EXPECT_EQ(PinTable(sets(3)).capacity(), 2 * PinTable::kWays);
  EXPECT_EQ(PinTable(sets(1024)).capacity(), 1024 * PinTable::kWays);
}

TEST(PinTable, GivesUpThePinThatWentUnusedLongest) {
  PinTable table(sets(1));
  for (uint64_t i = 1; i <= PinTable::kWays; i++) table.store(i, 100 + i, i);
  EXPECT_EQ(table.evictions(), 0u);
  EXPECT_EQ(table.lookup(1, kTtl / 2), 101u);  // used: now pin 2 is the oldest
  table.store(99, 199, kTtl / 2);
  EXPECT_EQ(table.evictions(), 1u);
  EXPECT_EQ(table.lookup(2, kTtl / 2), std::nullopt);
  EXPECT_EQ(table.lookup(1, kTtl / 2), 101u);
  EXPECT_EQ(table.lookup(99, kTtl / 2), 199u);
}

TEST(PinTable, TakesAnExpiredSlotBeforeALivePin) {
  PinTable table(sets(1));
  for (uint64_t i = 1; i <= PinTable::kWays; i++) table.store(i, 100 + i, i == 5 ? 0 : kTtl / 2);
  table.store(99, 199, kTtl);
  EXPECT_EQ(table.evictions(), 0u);
  for (uint64_t i = 1; i <= PinTable::kWays; i++) EXPECT_EQ(table.lookup(i, kTtl).has_value(), i != 5);
}

TEST(PinTable, LosesFewPinsAtHalfLoad) {
  PinTable table(sets(1024));
  const size_t pins = table.capacity() / 2;
  for (size_t i = 0; i < pins; i++) table.store(table.key("bank", "chat", std::to_string(i)), i + 1, 0);
  size_t kept = 0;
  for (size_t i = 0; i < pins; i++) {
    const auto unit = table.lookup(table.key("bank", "chat", std::to_string(i)), 1);
    if (unit) {
      ASSERT_EQ(*unit, i + 1);
    }
    kept += unit.has_value();
  }
  EXPECT_EQ(kept + table.evictions(), pins);
  EXPECT_GT(kept, pins * 97 / 100);
}

// Shards that store, look up and erase in the same few sets never read a unit that was not stored for the
// key.
TEST(PinTable, NeverAnswersAWrongUnitUnderContention) {
  PinTable table(sets(2));
  constexpr uint64_t kKeys = 40;  // more than there are slots
  std::vector<uint64_t> keys;     // real ones: the equation of invariant 1 rests on their being random
  for (uint64_t i = 0; i < kKeys; i++) keys.push_back(table.key("bank", "chat", std::to_string(i)));
  const auto unit_of = [](uint64_t key, uint64_t version) { return key * 0x9e3779b97f4a7c15 + version % 4; };
  std::atomic<uint64_t> wrong{0};
  std::atomic<uint64_t> hits{0};
  std::vector<std::thread> shards;
  for (unsigned shard = 0; shard < 4; shard++) {
    shards.emplace_back([&, shard] {
      std::mt19937_64 random(shard);
      for (uint64_t i = 0; i < 50'000; i++) {
        const uint64_t key = keys[random() % kKeys];
        const uint64_t what = random() % 16;
        if (what < 7) {
          table.store(key, unit_of(key, random()), i);
        } else if (what == 7) {
          table.erase(key);
        } else if (const auto unit = table.lookup(key, i)) {
          hits++;
          wrong += *unit - unit_of(key, 0) >= 4;
        }
      }
    });
  }
  for (std::thread& shard : shards) shard.join();
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_GT(hits.load(), 0u);
}

}  // namespace
}  // namespace weir::routing::pin_table_test
