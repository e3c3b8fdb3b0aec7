#include "core/strong.h"

#include <gtest/gtest.h>

namespace weir::core {
namespace {

TEST(NanoUsd, AddsSubtractsAndCompares) {
  EXPECT_EQ(NanoUsd(3) + NanoUsd(4), NanoUsd(7));
  EXPECT_EQ(NanoUsd(3) - NanoUsd(4), NanoUsd(-1));
  EXPECT_LT(NanoUsd(-1), NanoUsd(0));
  NanoUsd sum(1);
  sum += NanoUsd(5);
  sum -= NanoUsd(2);
  EXPECT_EQ(sum, NanoUsd(4));
}

TEST(NanoUsd, SaturatesInsteadOfWrapping) {
  EXPECT_EQ(NanoUsd::max() + NanoUsd(1), NanoUsd::max());
  EXPECT_EQ(NanoUsd::min() + NanoUsd(-1), NanoUsd::min());
  EXPECT_EQ(NanoUsd::max() - NanoUsd(-1), NanoUsd::max());
  EXPECT_EQ(NanoUsd::min() - NanoUsd(1), NanoUsd::min());
  EXPECT_EQ(NanoUsd(2) * UINT64_MAX, NanoUsd::max());
  EXPECT_EQ(NanoUsd(-2) * UINT64_MAX, NanoUsd::min());
  EXPECT_EQ(NanoUsd(0) * UINT64_MAX, NanoUsd(0));
  EXPECT_EQ(NanoUsd(1) * UINT64_MAX, NanoUsd::max());
  EXPECT_EQ(NanoUsd(-3) * 4, NanoUsd(-12));
}

TEST(NanoUsd, ProratesAPriceRoundingUp) {
  const NanoUsd per_million(150'000'000);  // 0.15 USD per million tokens
  EXPECT_EQ(per_million.prorated(0, 1'000'000), NanoUsd(0));
  EXPECT_EQ(per_million.prorated(1, 1'000'000), NanoUsd(150));
  EXPECT_EQ(per_million.prorated(1'000'000, 1'000'000), per_million);
  EXPECT_EQ(NanoUsd(1).prorated(1, 1'000'000), NanoUsd(1));
  EXPECT_EQ(NanoUsd(37'500'000).prorated(3, 1'000'000), NanoUsd(113)) << "112.5";
  EXPECT_EQ(NanoUsd::max().prorated(UINT64_MAX, 1), NanoUsd::max());
}

TEST(NanoUsd, PrintsDollarsWithNineDecimals) {
  EXPECT_EQ(to_string(NanoUsd(0)), "0.000000000");
  EXPECT_EQ(to_string(NanoUsd(12'345'000'000)), "12.345000000");
  EXPECT_EQ(to_string(NanoUsd(-1)), "-0.000000001");
  EXPECT_EQ(to_string(NanoUsd::min()), "-9223372036.854775808");
}

TEST(Deadline, SaturatesToNever) {
  EXPECT_EQ(deadline_after(100, 50), 150u);
  EXPECT_EQ(deadline_after(100, kNoDeadline), kNoDeadline);
  EXPECT_EQ(deadline_after(UINT64_MAX - 1, 2), kNoDeadline);
  EXPECT_EQ(milliseconds(3), 3'000'000u);
  EXPECT_EQ(seconds(3), 3'000'000'000u);
  EXPECT_EQ(milliseconds(UINT64_MAX), kNoDeadline);
  EXPECT_EQ(seconds(UINT64_MAX), kNoDeadline);
}

TEST(Deadline, LeavesNothingOnceItHasPassed) {
  EXPECT_EQ(timeout_until(150, 100), 50u);
  EXPECT_EQ(timeout_until(150, 150), 0u);
  EXPECT_EQ(timeout_until(150, 200), 0u);
  EXPECT_EQ(timeout_until(kNoDeadline, 200), kNoDeadline);
}

}  // namespace
}  // namespace weir::core
