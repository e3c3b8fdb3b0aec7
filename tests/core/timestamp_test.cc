#include "core/timestamp.h"

#include <gtest/gtest.h>

namespace weir::core {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

TEST(Timestamp, WritesRfc3339InUtcWithMilliseconds) {
  EXPECT_EQ(timestamp(0).view(), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(timestamp(1'796'115'600 * kSecond).view(), "2026-12-01T09:00:00.000Z");
  EXPECT_EQ(timestamp(951'782'399 * kSecond + 999'999'999).view(), "2000-02-28T23:59:59.999Z");
  EXPECT_EQ(timestamp(951'782'400 * kSecond).view(), "2000-02-29T00:00:00.000Z") << "a leap day";
}

TEST(Timestamp, CountsDownBefore1970) {
  EXPECT_EQ(timestamp(-1).view(), "1969-12-31T23:59:59.999Z");
  EXPECT_EQ(timestamp(INT64_MAX).view(), "2262-04-11T23:47:16.854Z");
  EXPECT_EQ(timestamp(INT64_MIN).view(), "1677-09-21T00:12:43.145Z");
}

}  // namespace
}  // namespace weir::core
