// The small values of a table's text: durations, points in time, exact decimals. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/strong.h"

namespace weir::routing {

inline constexpr uint64_t kNsPerMinute = 60 * core::kNsPerSecond;
inline constexpr uint64_t kNsPerHour = 60 * kNsPerMinute;
inline constexpr uint64_t kNsPerDay = 24 * kNsPerHour;

// "300ms", "2s", "5m", "1h", "7d": plain digits and one unit. In nanoseconds; none when malformed or longer
// than 100 years.
std::optional<uint64_t> parse_duration_ns(std::string_view text);

// A point in time: RFC 3339 ("2026-12-01T09:00:00.5+01:00"), the same without seconds
// ("2026-12-01T09:00Z"), or a date, which means its first moment in UTC. Nanoseconds since 1970; none when
// malformed, not a date of the calendar, or outside 1970 to 2261.
std::optional<int64_t> parse_timestamp_ns(std::string_view text);

// A decimal number: digits * 10^exponent, without trailing zeros.
struct Decimal {
  bool negative = false;
  uint64_t digits = 0;
  int exponent = 0;
};

// The shortest decimal that reads back as `value`, which must be finite: up to 15 significant digits it is
// what a person wrote, so 0.15 is exactly 15 * 10^-2.
Decimal shortest_decimal(double value);

// decimal * 10^decimals as an integer; none when that is not whole or does not fit.
std::optional<int64_t> scale(const Decimal& decimal, int decimals);

// Appends the number as ECMAScript prints it, which RFC 8785 prescribes.
void append_number(std::string& out, double value);

}  // namespace weir::routing
