#include "routing/table/scalars.h"

#include <gtest/gtest.h>

#include <limits>

namespace weir::routing {
namespace {

TEST(Duration, IsDigitsAndOneUnit) {
  EXPECT_EQ(parse_duration_ns("300ms"), 300'000'000u);
  EXPECT_EQ(parse_duration_ns("2s"), 2'000'000'000u);
  EXPECT_EQ(parse_duration_ns("5m"), 300'000'000'000u);
  EXPECT_EQ(parse_duration_ns("1h"), 3'600'000'000'000u);
  EXPECT_EQ(parse_duration_ns("7d"), 604'800'000'000'000u);
  EXPECT_EQ(parse_duration_ns("0s"), 0u);
}

TEST(Duration, RefusesEverythingElse) {
  for (const char* text : {"", "5", "s", "-1s", "+1s", "1.5s", "1 s", " 1s", "1s ", "1h30m", "1S", "1us",
                           "1w", "0x1s", "99999999999999999999s", "36526d", "18446744073709551615d"}) {
    EXPECT_EQ(parse_duration_ns(text), std::nullopt) << text;
  }
}

TEST(Timestamp, ReadsRfc3339AndItsShorterForms) {
  EXPECT_EQ(parse_timestamp_ns("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(parse_timestamp_ns("1970-01-02"), 86'400'000'000'000);
  EXPECT_EQ(parse_timestamp_ns("2026-12-01T09:00Z"), 1'796'115'600'000'000'000);
  EXPECT_EQ(parse_timestamp_ns("2026-12-01T09:00:00Z"), 1'796'115'600'000'000'000);
  EXPECT_EQ(parse_timestamp_ns("2026-12-01t09:00:00z"), 1'796'115'600'000'000'000);
  EXPECT_EQ(parse_timestamp_ns("2026-12-01T10:30:00+01:30"), 1'796'115'600'000'000'000);
  EXPECT_EQ(parse_timestamp_ns("2026-12-01T08:00:00-01:00"), 1'796'115'600'000'000'000);
  EXPECT_EQ(parse_timestamp_ns("2026-12-01T09:00:00.25Z"), 1'796'115'600'250'000'000);
  EXPECT_EQ(parse_timestamp_ns("2026-12-01T09:00:00.123456789Z"), 1'796'115'600'123'456'789);
  EXPECT_EQ(parse_timestamp_ns("2028-02-29"), 1'835'395'200'000'000'000);
}

TEST(Timestamp, RefusesWhatIsNoTime) {
  for (const char* text : {"",
                           "2026",
                           "2026-12",
                           "2026-1-1",
                           "2026-13-01",
                           "2026-02-29",
                           "2026-12-00",
                           "2026-12-01T",
                           "2026-12-01T09Z",
                           "2026-12-01T09:00",
                           "2026-12-01T24:00Z",
                           "2026-12-01T09:60Z",
                           "2026-12-01T09:00:60Z",
                           "2026-12-01T09:00:00",
                           "2026-12-01 09:00:00Z",
                           "2026-12-01T09:00:00.Z",
                           "2026-12-01T09:00:00.1234567890Z",
                           "2026-12-01T09:00Zx",
                           "2026-12-01T09:00+1:00",
                           "2026-12-01T09:00+24:00",
                           "2026-12-01T09:00+01:60",
                           "1969-12-31",
                           "2262-01-01",
                           "1970-01-01T00:00:00+01:00",
                           "+026-12-01",
                           "tomorrow"}) {
    EXPECT_EQ(parse_timestamp_ns(text), std::nullopt) << text;
  }
}

TEST(Decimal, IsExactlyWhatWasWritten) {
  EXPECT_EQ(scale(shortest_decimal(0.15), 9), 150'000'000);
  EXPECT_EQ(scale(shortest_decimal(0.075), 9), 75'000'000);
  EXPECT_EQ(scale(shortest_decimal(0.000000001), 9), 1);
  EXPECT_EQ(scale(shortest_decimal(123456.789012345), 9), 123'456'789'012'345);
  EXPECT_EQ(scale(shortest_decimal(1e9), 9), 1'000'000'000'000'000'000);
  EXPECT_EQ(scale(shortest_decimal(-2.5), 1), -25);
  EXPECT_EQ(scale(shortest_decimal(0.0), 9), 0);
  EXPECT_EQ(scale(shortest_decimal(-0.0), 9), 0);
}

// Every amount in steps of 0.001 comes out exactly; none is off by one from binary rounding.
TEST(Decimal, KeepsEveryThousandth) {
  for (int64_t thousandths = 0; thousandths <= 100'000; thousandths++) {
    ASSERT_EQ(scale(shortest_decimal(static_cast<double>(thousandths) / 1000), 3), thousandths);
  }
}

TEST(Decimal, RefusesWhatIsNotWholeOrDoesNotFit) {
  EXPECT_EQ(scale(shortest_decimal(0.0000000001), 9), std::nullopt);
  EXPECT_EQ(scale(shortest_decimal(0.0005), 3), std::nullopt);
  EXPECT_EQ(scale(shortest_decimal(1e10), 9), std::nullopt);
  EXPECT_EQ(scale(shortest_decimal(1e300), 0), std::nullopt);
  EXPECT_EQ(scale(shortest_decimal(5e-324), 9), std::nullopt);
  EXPECT_EQ(scale(Decimal{.digits = UINT64_MAX}, 0), std::nullopt);
}

std::string printed(double value) {
  std::string text;
  append_number(text, value);
  return text;
}

// Rows of RFC 8785 appendix B.
TEST(Number, IsPrintedAsEcmascriptDoes) {
  EXPECT_EQ(printed(0), "0");
  EXPECT_EQ(printed(-0.0), "0");
  EXPECT_EQ(printed(5e-324), "5e-324");
  EXPECT_EQ(printed(-5e-324), "-5e-324");
  EXPECT_EQ(printed(1.7976931348623157e308), "1.7976931348623157e+308");
  EXPECT_EQ(printed(9007199254740992), "9007199254740992");
  EXPECT_EQ(printed(295147905179352830000.0), "295147905179352830000");
  EXPECT_EQ(printed(9.999999999999997e22), "9.999999999999997e+22");
  EXPECT_EQ(printed(1e23), "1e+23");
  EXPECT_EQ(printed(1e21), "1e+21");
  EXPECT_EQ(printed(999999999999999700000.0), "999999999999999700000");
  EXPECT_EQ(printed(333333333.3333332), "333333333.3333332");
  EXPECT_EQ(printed(0.000001), "0.000001");
  EXPECT_EQ(printed(9.999999999999997e-7), "9.999999999999997e-7");
  EXPECT_EQ(printed(-0.0000033333333333333333), "-0.0000033333333333333333");
  EXPECT_EQ(printed(0.2), "0.2");
  EXPECT_EQ(printed(100), "100");
}

}  // namespace
}  // namespace weir::routing
