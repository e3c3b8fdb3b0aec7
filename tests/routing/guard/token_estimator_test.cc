#include "routing/guard/token_estimator.h"

#include <gtest/gtest.h>

#include <random>

#include "routing/guard/retry_budget.h"

namespace weir::routing {
namespace {

TEST(TokenEstimator, BeginsWithFourBytesPerToken) {
  const EstimateLine line{};
  EXPECT_EQ(expected_input_tokens(line, 4000, 0), 1001u);
  EXPECT_EQ(expected_output_tokens(line, 0, 1), kDefaultOutputTokens);
  EXPECT_EQ(expected_output_tokens(line, 10, 3), 30u) << "what the request allows bounds it";
}

TEST(TokenEstimator, LearnsWhatTheProviderCounts) {
  EstimateLine line{};
  std::mt19937_64 random(1);
  for (int i = 0; i < 1000; ++i) {
    const uint64_t bytes = 1000 + random() % 1000;
    observe(line, bytes, bytes * (300 + random() % 100) / 1000, 450 + random() % 100);
  }
  EXPECT_NEAR(static_cast<double>(expected_input_tokens(line, 100'000, 0)), 35'000, 1'500);
  EXPECT_NEAR(static_cast<double>(expected_output_tokens(line, 0, 1)), 500, 25);
}

TEST(TokenEstimator, FollowsAChangeWithinAFewHundredObservations) {
  EstimateLine line{};
  for (int i = 0; i < 500; ++i) observe(line, 1000, 250, 100);
  for (int i = 0; i < 500; ++i) observe(line, 1000, 500, 100);
  EXPECT_NEAR(static_cast<double>(expected_input_tokens(line, 1000, 0)), 500, 10);
}

TEST(TokenEstimator, IsNotTaughtByNonsense) {
  EstimateLine line{};
  observe(line, 0, 10, 10);
  observe(line, 1000, 0, 10);
  observe(line, 1000, 5000, 10);
  EXPECT_EQ(line.observations.load(), 0u);
  observe(line, 1000, 250, UINT64_MAX);
  EXPECT_LE(expected_output_tokens(line, 0, 1), uint64_t{1} << 32);
}

TEST(TokenEstimator, TheMostIsATokenPerByteAndPicturesHaveABound) {
  EXPECT_EQ(most_input_tokens(1000, 0), 1000u);
  EXPECT_EQ(most_input_tokens(1'001'000, 1'000'000), 1000 + kTokensPerMedia);
  EXPECT_EQ(most_input_tokens(1000, 900), 1000u);
  EXPECT_EQ(most_input_tokens(32'000'000, 32'000'000), 2'000'000u);
}

TEST(TokenEstimator, EstimatesWhatNobodyReportedAndNeverMoreThanWasReserved) {
  EstimateLine line{};
  const Usage most{.input = 5000, .output = 100};
  EXPECT_EQ(estimate_usage(line, {.input_bytes = 4000, .events = 7, .most = most}),
            (Usage{.input = 1001, .output = 7}));
  EXPECT_EQ(estimate_usage(line, {.input_bytes = 4000, .body_bytes = 80, .most = most}),
            (Usage{.input = 1001, .output = 20}));
  EXPECT_EQ(estimate_usage(line, {.input_bytes = 40'000, .body_bytes = 8000, .most = most}),
            (Usage{.input = 5000, .output = 100}));
  observe(line, 1000, 500, 10);
  EXPECT_EQ(estimate_usage(line, {.input_bytes = 4000, .most = most}).input, 2001) << "by what was learned";
}

TEST(TokenEstimator, HugeCountsDoNotWrap) {
  const EstimateLine line{};
  EXPECT_GT(expected_output_tokens(line, 0, UINT64_MAX / 3), uint64_t{1} << 62);
}

TEST(RetryBudget, RetriesAreAShareOfTrafficAboveAStock) {
  RetryBudget budget;
  uint32_t retries = 0;
  const auto exchanges = [&](int count) {
    for (int i = 0; i < count; ++i) {
      budget.exchange_begins();
      if (!budget.may_retry()) continue;
      budget.retry_begins();
      ++retries;
    }
  };
  exchanges(10'000);
  EXPECT_LE(retries, 10'000 * RetryBudget::kPerMille / 1000 + RetryBudget::kStock);
  EXPECT_GE(retries, 10'000 * RetryBudget::kPerMille / 1000);
  for (int i = 0; i < 100'000; ++i) budget.exchange_begins();
  retries = 0;
  while (budget.may_retry()) {
    budget.retry_begins();
    ++retries;
  }
  EXPECT_EQ(retries, RetryBudget::kMost);
}

TEST(RetryBudget, WaitsLongerEachTimeAndNeverTheSame) {
  const auto ms = [](uint32_t retry, uint32_t dice) {
    return RetryBudget::delay_ns(retry, dice) / core::kNsPerMs;
  };
  EXPECT_EQ(ms(0, 0), RetryBudget::kFirstDelayMs / 2);
  EXPECT_EQ(ms(0, 512), RetryBudget::kFirstDelayMs);
  EXPECT_EQ(ms(1, 512), RetryBudget::kFirstDelayMs * 2);
  EXPECT_LE(ms(40, 1023), RetryBudget::kLongestDelayMs);
}

}  // namespace
}  // namespace weir::routing
