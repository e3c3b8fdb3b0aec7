#include "routing/guard/answer_cache.h"
#include "tests/support/sanitized.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <thread>
#include <vector>

namespace weir::routing::answer_cache_test {
namespace {

constexpr uint64_t kNow = 1'000'000'000'000;
constexpr uint64_t kTtl = 60'000'000'000;
constexpr size_t kMemory = 4 << 20;

core::Hash128 key_of(uint64_t number) {
  return core::siphash128({1, 2}, std::to_string(number));
}
std::span<const uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

void put(AnswerCache& cache, uint64_t number, const std::string& text, const CacheLabels& labels = {},
         uint64_t now = kNow) {
  AnswerCache::Draft draft;
  cache.begin(draft);
  for (size_t at = 0; at < text.size(); at += 1000)
    cache.append(draft, bytes_of(text).subspan(at, std::min<size_t>(1000, text.size() - at)), now);
  cache.store(draft, key_of(number), labels, kTtl, now);
  EXPECT_FALSE(draft.collecting());
}
std::string get(AnswerCache& cache, uint64_t number, uint64_t now = kNow) {
  AnswerCache::Hit hit;
  cache.look_up(key_of(number), now, hit);
  std::string text;
  if (hit) {
    for (unsigned i = 0; i < hit.part_count; ++i) text += hit.parts[i];
    EXPECT_EQ(text.size(), hit.size);
  }
  cache.release(hit);
  return text;
}
std::string pattern(uint64_t number, size_t size) {
  std::string text = std::to_string(number) + ":";
  while (text.size() < size) text += static_cast<char>('a' + (number + text.size()) % 26);
  return text;
}

TEST(AnswerCache, GivesWhatWasStoredUntilItsTime) {
  AnswerCache cache(kMemory);
  EXPECT_EQ(get(cache, 1), "");
  for (const size_t size : {1, 4095, 4096, 4097, 100'000}) {
    put(cache, size, pattern(size, size));
    EXPECT_EQ(get(cache, size), pattern(size, size));
    EXPECT_EQ(get(cache, size, kNow + kTtl), "");
  }
}

TEST(AnswerCache, ComparesTheWholeKey) {
  AnswerCache cache(kMemory);
  put(cache, 1, "one");
  core::Hash128 other = key_of(1);
  other.high ^= 1;
  AnswerCache::Hit hit;
  cache.look_up(other, kNow, hit);
  EXPECT_FALSE(hit);
}

TEST(AnswerCache, ANewAnswerTakesThePlaceOfTheOldOne) {
  AnswerCache cache(kMemory);
  put(cache, 1, pattern(1, 50'000));
  put(cache, 1, "short");
  EXPECT_EQ(get(cache, 1), "short");
  EXPECT_EQ(cache.free_chunks(), cache.chunks() - 1);
}

TEST(AnswerCache, WhatIsBeingReadIsNotTakenAway) {
  AnswerCache cache(kMemory);
  put(cache, 1, "first");
  AnswerCache::Hit hit;
  cache.look_up(key_of(1), kNow, hit);
  ASSERT_TRUE(hit);
  put(cache, 1, "second");
  EXPECT_EQ(hit.parts[0], "first");
  cache.release(hit);
  EXPECT_EQ(get(cache, 1), "first");
}

TEST(AnswerCache, AnAnswerLargerThanKMaxCacheEntryBytesIsNotKept) {
  using core::limits::kMaxCacheEntryBytes;
  AnswerCache cache(kMemory);
  put(cache, 1, pattern(1, kMaxCacheEntryBytes));
  EXPECT_EQ(get(cache, 1).size(), kMaxCacheEntryBytes);
  AnswerCache::Draft draft;
  cache.begin(draft);
  cache.append(draft, bytes_of(pattern(2, kMaxCacheEntryBytes)), kNow);
  cache.append(draft, bytes_of("x"), kNow);
  EXPECT_FALSE(draft.collecting());
  EXPECT_EQ(cache.free_chunks(), cache.chunks() - AnswerCache::kMaxChunks);
}

TEST(AnswerCache, WhatHasExpiredGoesFirstAsARule) {
  AnswerCache cache(kMemory);
  const uint64_t later = kNow + kTtl;
  uint64_t count = 0;  // odd ones live on; as many as there is room for
  for (; cache.free_chunks() > 8; ++count) put(cache, count, pattern(count, 10'000), {}, count % 2 ? later : kNow);
  for (uint64_t i = 0; i < count / 8; ++i) put(cache, 1'000'000 + i, pattern(i, 10'000), {}, later);
  uint64_t kept = 0;
  for (uint64_t i = 1; i < count; i += 2) kept += !get(cache, i, later).empty();
  EXPECT_GE(kept, count / 2 - count / 32) << "of what made room, at most a quarter lived";
}

TEST(AnswerCache, StaysInItsMemoryAndMakesRoom) {
  AnswerCache cache(kMemory);
  for (uint64_t i = 0; i < 5'000; ++i) put(cache, i, pattern(i, 10'000));
  uint64_t kept = 0;
  for (uint64_t i = 0; i < 5'000; ++i) {
    const std::string text = get(cache, i);
    if (!text.empty()) {
      EXPECT_EQ(text, pattern(i, 10'000));
    }
    kept += !text.empty();
  }
  EXPECT_GT(kept, kMemory / 10'000 / 3);
}

TEST(AnswerCache, PurgesByTenantUnitAndScenario) {
  AnswerCache cache(kMemory);
  put(cache, 1, "1", {.tenant = 10, .unit = 20, .scenario = 30});
  put(cache, 2, "2", {.tenant = 11, .unit = 20, .scenario = 30});
  put(cache, 3, "3", {.tenant = 11, .unit = 21, .scenario = 31});
  EXPECT_EQ(cache.purge(&CacheLine::tenant, 10), 1u);
  EXPECT_EQ(get(cache, 1), "");
  EXPECT_EQ(get(cache, 2), "2");
  EXPECT_EQ(cache.purge(&CacheLine::unit, 20), 1u) << "the other one was purged already";
  EXPECT_EQ(get(cache, 2), "");
  EXPECT_EQ(cache.purge(&CacheLine::scenario, 31), 1u);
  EXPECT_EQ(get(cache, 3), "");
}

TEST(AnswerCache, WhatWasBeingCollectedWhenSomethingWasPurgedIsNotStored) {
  AnswerCache cache(kMemory);
  put(cache, 1, "old", {.tenant = 10});
  AnswerCache::Draft draft;
  cache.begin(draft);
  cache.append(draft, bytes_of("old"), kNow);
  EXPECT_EQ(cache.purge(&CacheLine::tenant, 10), 1u);
  EXPECT_FALSE(cache.store(draft, key_of(1), {.tenant = 10}, kTtl, kNow));
  EXPECT_EQ(get(cache, 1), "");
  put(cache, 1, "new", {.tenant = 10});
  EXPECT_EQ(get(cache, 1), "new");
  EXPECT_EQ(cache.free_chunks(), cache.chunks() - 1) << "nothing leaks";
}

// Somebody asked before the purge and is answered last; meanwhile another one's answer was stored.
TEST(AnswerCache, WhatIsNotStoredForAPurgeTakesNothingAway) {
  AnswerCache cache(kMemory);
  AnswerCache::Draft early;
  cache.begin(early);
  cache.append(early, bytes_of("early"), kNow);
  cache.purge(&CacheLine::tenant, 1);
  put(cache, 1, "late");
  EXPECT_FALSE(cache.store(early, key_of(1), {}, kTtl, kNow));
  EXPECT_EQ(get(cache, 1), "late");
}

// Whenever the purge comes, what began before it is not there afterwards.
TEST(AnswerCache, APurgeAndAStoreAtTheSameMomentLeaveNothing) {
  AnswerCache cache(64 * AnswerCache::kChunkBytes);
  for (uint64_t round = 0; round < 2000; ++round) {
    AnswerCache::Draft draft;
    cache.begin(draft);
    cache.append(draft, bytes_of("old"), kNow);
    std::atomic<bool> go{false};
    std::thread purger([&] {
      while (!go) std::this_thread::yield();
      cache.purge(&CacheLine::tenant, 10);
    });
    go = true;
    cache.store(draft, key_of(round), {.tenant = 10}, kTtl, kNow);
    purger.join();
    ASSERT_EQ(get(cache, round), "") << round;
  }
}

TEST(AnswerCache, CountsWhatGaveWayBeforeItsTime) {
  AnswerCache cache(4 * AnswerCache::kChunkBytes);
  for (uint64_t i = 0; i < 4; ++i) put(cache, i, "x");
  EXPECT_EQ(cache.evictions(), 0u);
  put(cache, 4, "x");
  EXPECT_GE(cache.evictions(), 1u);
}

TEST(AnswerCache, ShardsNeverReadHalfAnAnswerOrAnothers) {
  AnswerCache cache(1 << 20);
  std::atomic<uint64_t> hits{0}, wrong{0};
  std::vector<std::thread> shards;
  for (unsigned shard = 0; shard < 4; ++shard) {
    shards.emplace_back([&, shard] {
      std::mt19937_64 random(shard);
      for (int i = 0; i < tests::rounds(10'000); ++i) {
        const uint64_t number = random() % 100;
        const size_t size = 20 + number * 300;
        if (random() % 3 == 0) {
          AnswerCache::Draft draft;
          cache.begin(draft);
          const std::string text = pattern(number, size);
          cache.append(draft, bytes_of(text), kNow);
          if (random() % 8 == 0) cache.drop(draft);
          cache.store(draft, key_of(number), {.tenant = number % 7 + 1}, kTtl, kNow);
          if (random() % 100 == 0) cache.purge(&CacheLine::tenant, random() % 7 + 1);
        } else if (const std::string text = get(cache, number); !text.empty()) {
          ++hits;
          wrong += text != pattern(number, size);
        }
      }
    });
  }
  for (std::thread& shard : shards) shard.join();
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_GT(hits.load(), 1000u);
}

}  // namespace
}  // namespace weir::routing::answer_cache_test
