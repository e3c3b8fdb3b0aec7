#include "core/counter.h"

#include <gtest/gtest.h>

#include <thread>

namespace weir::core {
namespace {

TEST(Counter, CountsFromZero) {
  Counter counter;
  EXPECT_EQ(counter.value(), 0u);
  counter.add();
  counter.add(41);
  EXPECT_EQ(counter.value(), 42u);
}

TEST(Counter, IsReadByAnotherThreadWithoutEverFalling) {
  Counter counter;
  constexpr uint64_t kTotal = 200'000;
  std::thread writer([&] {
    for (uint64_t i = 0; i < kTotal; ++i) counter.add();
  });
  uint64_t last = 0;
  while (last < kTotal) {
    const uint64_t seen = counter.value();
    ASSERT_GE(seen, last);
    if (seen == last) std::this_thread::yield();
    last = seen;
  }
  writer.join();
  EXPECT_EQ(counter.value(), kTotal);
}

TEST(Gauge, RisesFallsAndIsSet) {
  Gauge gauge;
  gauge.add(3);
  gauge.add(-5);
  EXPECT_EQ(gauge.value(), -2);
  gauge.set(7);
  EXPECT_EQ(gauge.value(), 7);
}

}  // namespace
}  // namespace weir::core
