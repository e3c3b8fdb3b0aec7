#include "core/spsc_queue.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <thread>
#include <vector>

namespace weir::core {
namespace {

struct Record {
  uint64_t words[12];
};

Record record(uint64_t value) {
  Record made;
  for (uint64_t& word : made.words) word = value;
  return made;
}

TEST(SpscQueue, KeepsOrderAcrossItsEnd) {
  SpscQueue<int> queue(4);
  int next = 0;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(queue.try_push(i));
    if (i % 3 == 2) {
      while (int* element = queue.front()) {
        EXPECT_EQ(*element, next++);
        queue.pop();
      }
    }
  }
  EXPECT_EQ(next, 99);
  EXPECT_EQ(queue.approximate_size(), 1u);
}

TEST(SpscQueue, RefusesWhenFullAndAcceptsAfterAPop) {
  SpscQueue<int> queue(2);
  EXPECT_TRUE(queue.try_push(1));
  EXPECT_TRUE(queue.try_push(2));
  EXPECT_FALSE(queue.try_push(3));
  EXPECT_EQ(queue.begin_push(), nullptr);
  EXPECT_EQ(*queue.front(), 1);
  queue.pop();
  EXPECT_TRUE(queue.try_push(3));
  EXPECT_FALSE(queue.try_push(4));
}

TEST(SpscQueue, AnswersNullptrWhenEmpty) {
  SpscQueue<int> queue(1);
  EXPECT_EQ(queue.front(), nullptr);
  EXPECT_EQ(queue.drain([](int&) { FAIL(); }), 0u);
}

TEST(SpscQueue, ShowsAnElementOnlyOnceItIsCommitted) {
  SpscQueue<int> queue(4);
  int* slot = queue.begin_push();
  *slot = 7;
  EXPECT_EQ(queue.front(), nullptr);
  EXPECT_EQ(queue.begin_push(), slot);
  queue.commit_push();
  EXPECT_EQ(*queue.front(), 7);
}

TEST(SpscQueue, DrainsInBatchesUpToALimit) {
  SpscQueue<int> queue(8);
  for (int i = 0; i < 8; ++i) queue.try_push(i);
  std::vector<int> seen;
  const auto visit = [&](int& element) { seen.push_back(element); };
  EXPECT_EQ(queue.drain(visit, 3), 3u);
  EXPECT_EQ(*queue.front(), 3) << "front() and drain() may be mixed";
  EXPECT_EQ(queue.drain(visit), 5u);
  EXPECT_EQ(seen, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_TRUE(queue.try_push(8));
}

TEST(SpscQueueDeathTest, RefusesACapacityThatIsNoPowerOfTwo) {
  EXPECT_DEATH(SpscQueue<int>(3), "");
  EXPECT_DEATH(SpscQueue<int>(0), "");
}

TEST(SpscQueueDeathTest, RefusesAPopOfNothing) {
  SpscQueue<int> queue(2);
  EXPECT_DEATH(queue.pop(), "");
}

// Every element arrives once, in order, untorn, whatever the interleaving.
TEST(SpscQueue, CarriesRecordsBetweenThreads) {
  constexpr uint64_t kTotal = 200'000;
  SpscQueue<Record> queue(16);
  std::thread producer([&] {
    for (uint64_t i = 0; i < kTotal;) {
      if (i % 2 == 0 ? queue.try_push(record(i)) : [&] {
            Record* slot = queue.begin_push();
            if (slot == nullptr) return false;
            *slot = record(i);
            queue.commit_push();
            return true;
          }()) {
        ++i;
      } else {
        std::this_thread::yield();
      }
    }
  });
  uint64_t next = 0;
  uint64_t wrong = 0;
  const auto check = [&](Record& element) {
    for (const uint64_t word : element.words) wrong += word != next;
    ++next;
  };
  while (next < kTotal) {
    if (next % 5 == 0) {
      if (queue.drain(check, 7) == 0) std::this_thread::yield();
    } else if (Record* element = queue.front()) {
      check(*element);
      queue.pop();
    } else {
      std::this_thread::yield();
    }
  }
  producer.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(queue.front(), nullptr);
}

}  // namespace
}  // namespace weir::core
