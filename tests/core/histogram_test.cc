#include "core/histogram.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <thread>
#include <vector>

namespace weir::core {
namespace {

using Buckets = HistogramBuckets;

HistogramSnapshot snapshot_of(std::initializer_list<uint64_t> values) {
  Histogram histogram;
  for (const uint64_t value : values) histogram.record(value);
  HistogramSnapshot snapshot;
  histogram.merge_into(snapshot);
  return snapshot;
}

TEST(Histogram, CoversEveryValueWithAdjacentBuckets) {
  EXPECT_EQ(Buckets::lowest(0), 0u);
  for (unsigned index = 0; index < Buckets::kCount; ++index) {
    EXPECT_EQ(Buckets::index_of(Buckets::lowest(index)), index);
    EXPECT_EQ(Buckets::index_of(Buckets::highest(index)), index);
    if (index > 0) {
      EXPECT_EQ(Buckets::highest(index - 1) + 1, Buckets::lowest(index));
    }
  }
  EXPECT_EQ(Buckets::highest(Buckets::kCount - 1), Buckets::kMaxValue);
}

TEST(Histogram, ErrsByAtMostOneSixteenth) {
  for (unsigned index = 0; index < Buckets::kCount; ++index) {
    const uint64_t width = Buckets::highest(index) - Buckets::lowest(index);  // 0 = exact
    EXPECT_LE(width * 16, Buckets::lowest(index)) << index;
  }
}

TEST(Histogram, CountsValuesPastItsRangeInTheLastBucket) {
  EXPECT_EQ(Buckets::index_of(Buckets::kMaxValue + 1), Buckets::kCount - 1);
  EXPECT_EQ(Buckets::index_of(UINT64_MAX), Buckets::kCount - 1);
  const HistogramSnapshot snapshot = snapshot_of({Buckets::kMaxValue * 4});
  EXPECT_EQ(snapshot.percentile(50), Buckets::kMaxValue * 4);
  EXPECT_EQ(snapshot.max(), Buckets::kMaxValue * 4);
}

TEST(Histogram, IsEmptyAtFirst) {
  const HistogramSnapshot snapshot = snapshot_of({});
  EXPECT_EQ(snapshot.count(), 0u);
  EXPECT_EQ(snapshot.percentile(99), 0u);
  EXPECT_EQ(snapshot.mean(), 0);
}

TEST(Histogram, KeepsCountSumAndMaximumExactly) {
  const HistogramSnapshot snapshot = snapshot_of({1, 1'000'003, 17});
  EXPECT_EQ(snapshot.count(), 3u);
  EXPECT_EQ(snapshot.sum(), 1'000'021u);
  EXPECT_EQ(snapshot.max(), 1'000'003u);
}

TEST(Histogram, AnswersPercentilesExactlyForSmallValues) {
  const HistogramSnapshot snapshot = snapshot_of({1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  EXPECT_EQ(snapshot.percentile(0), 1u);
  EXPECT_EQ(snapshot.percentile(10), 1u);
  EXPECT_EQ(snapshot.percentile(50), 5u);
  EXPECT_EQ(snapshot.percentile(51), 6u);
  EXPECT_EQ(snapshot.percentile(90), 9u);
  EXPECT_EQ(snapshot.percentile(100), 10u);
}

TEST(Histogram, AnswersPercentilesWithinOneSixteenthAbove) {
  std::mt19937_64 random(3);
  Histogram histogram;
  std::vector<uint64_t> values;
  for (int i = 0; i < 10'000; ++i) {
    const uint64_t value = random() >> (22 + random() % 40);
    values.push_back(value);
    histogram.record(value);
  }
  std::sort(values.begin(), values.end());
  HistogramSnapshot snapshot;
  histogram.merge_into(snapshot);
  for (const double percent : {1.0, 10.0, 50.0, 90.0, 99.0, 99.9}) {
    const uint64_t truth = values[static_cast<size_t>(std::ceil(percent * 100)) - 1];
    EXPECT_GE(snapshot.percentile(percent), truth);
    EXPECT_LE(snapshot.percentile(percent), truth + truth / 16);
  }
}

TEST(Histogram, MergesShards) {
  Histogram a;
  Histogram b;
  a.record(10);
  b.record(20);
  b.record(5);
  HistogramSnapshot snapshot;
  a.merge_into(snapshot);
  b.merge_into(snapshot);
  EXPECT_EQ(snapshot.count(), 3u);
  EXPECT_EQ(snapshot.sum(), 35u);
  EXPECT_EQ(snapshot.max(), 20u);
  EXPECT_EQ(snapshot.percentile(50), 10u);
}

TEST(Histogram, CumulatesAtGivenBounds) {
  const HistogramSnapshot snapshot = snapshot_of({1, 5, 10, 11, 1000, UINT64_MAX});
  const std::vector<uint64_t> bounds = {0, 5, 10, 20, 2000, UINT64_MAX};
  std::vector<uint64_t> counts(bounds.size());
  snapshot.cumulative(bounds, counts);
  EXPECT_EQ(counts, (std::vector<uint64_t>{0, 2, 3, 4, 5, 5})) << "the last belongs to infinity alone";
}

TEST(Histogram, NeverCountsAValueUnderABoundBelowIt) {
  std::vector<uint64_t> bounds = {1000};
  std::vector<uint64_t> counts(1);
  const unsigned index = Buckets::index_of(1000);
  ASSERT_LT(Buckets::lowest(index), 1000u);
  ASSERT_GT(Buckets::highest(index), 1000u);
  snapshot_of({1001}).cumulative(bounds, counts);
  EXPECT_EQ(counts[0], 0u);
  snapshot_of({Buckets::lowest(index) - 1}).cumulative(bounds, counts);
  EXPECT_EQ(counts[0], 1u);
}

TEST(Histogram, IsReadWhileItIsWritten) {
  const auto histogram = std::make_unique<Histogram>();
  constexpr uint64_t kTotal = 100'000;
  std::thread writer([&] {
    for (uint64_t i = 0; i < kTotal; ++i) histogram->record(i);
  });
  uint64_t last = 0;
  while (last < kTotal) {
    HistogramSnapshot snapshot;
    histogram->merge_into(snapshot);
    ASSERT_GE(snapshot.count(), last);
    ASSERT_LE(snapshot.percentile(100), kTotal);
    last = snapshot.count();
  }
  writer.join();
}

}  // namespace
}  // namespace weir::core
