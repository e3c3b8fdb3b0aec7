#include "routing/table/scalars.h"

#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <utility>

#include "core/ascii.h"
#include "core/assert.h"

namespace weir::routing {
namespace {

// Takes exactly `count` digits off the front of `text`.
std::optional<int64_t> take_digits(std::string_view& text, size_t count) {
  if (text.size() < count) return std::nullopt;
  int64_t value = 0;
  for (size_t i = 0; i < count; i++) {
    if (!core::is_digit(text[i])) return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(count);
  return value;
}

bool take(std::string_view& text, char wanted) {
  if (!text.starts_with(wanted)) return false;
  text.remove_prefix(1);
  return true;
}

// ".5" as nanoseconds; at most nine digits count, more are refused.
std::optional<int64_t> take_fraction(std::string_view& text) {
  if (!take(text, '.')) return 0;
  int64_t value = 0;
  size_t count = 0;
  for (; count < text.size() && core::is_digit(text[count]); count++) {
    if (count == 9) return std::nullopt;
    value = value * 10 + (text[count] - '0');
  }
  if (count == 0) return std::nullopt;
  text.remove_prefix(count);
  for (; count < 9; count++) value *= 10;
  return value;
}

// "Z" or "+01:00" as seconds east of UTC.
std::optional<int64_t> take_offset(std::string_view& text) {
  if (take(text, 'Z') || take(text, 'z')) return 0;
  const bool east = take(text, '+');
  if (!east && !take(text, '-')) return std::nullopt;
  const auto hours = take_digits(text, 2);
  if (!hours || *hours > 23 || !take(text, ':')) return std::nullopt;
  const auto minutes = take_digits(text, 2);
  if (!minutes || *minutes > 59) return std::nullopt;
  const int64_t seconds = *hours * 3600 + *minutes * 60;
  return east ? seconds : -seconds;
}

}  // namespace

std::optional<uint64_t> parse_duration_ns(std::string_view text) {
  uint64_t count = 0;
  const auto [unit_begin, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc()) return std::nullopt;
  const std::string_view unit = text.substr(static_cast<size_t>(unit_begin - text.data()));
  uint64_t unit_ns = 0;
  if (unit == "ms") unit_ns = core::kNsPerMs;
  if (unit == "s") unit_ns = core::kNsPerSecond;
  if (unit == "m") unit_ns = kNsPerMinute;
  if (unit == "h") unit_ns = kNsPerHour;
  if (unit == "d") unit_ns = kNsPerDay;
  uint64_t ns = 0;
  if (unit_ns == 0 || __builtin_mul_overflow(count, unit_ns, &ns) || ns > 36525 * kNsPerDay)
    return std::nullopt;
  return ns;
}

std::optional<int64_t> parse_timestamp_ns(std::string_view text) {
  const auto year = take_digits(text, 4);
  if (!year || !take(text, '-')) return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || !take(text, '-')) return std::nullopt;
  const auto day = take_digits(text, 2);
  if (!day) return std::nullopt;
  // Nanoseconds since 1970 end in April 2262.
  if (*year < 1970 || *year > 2261) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(*year)),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  int64_t seconds = std::chrono::sys_days(date).time_since_epoch().count() * int64_t{86400};
  int64_t fraction_ns = 0;
  if (!text.empty()) {
    if (!take(text, 'T') && !take(text, 't')) return std::nullopt;
    const auto hour = take_digits(text, 2);
    if (!hour || *hour > 23 || !take(text, ':')) return std::nullopt;
    const auto minute = take_digits(text, 2);
    if (!minute || *minute > 59) return std::nullopt;
    seconds += *hour * 3600 + *minute * 60;
    if (take(text, ':')) {
      const auto second = take_digits(text, 2);
      const auto fraction = take_fraction(text);
      if (!second || *second > 59 || !fraction) return std::nullopt;
      seconds += *second;
      fraction_ns = *fraction;
    }
    const auto offset = take_offset(text);
    if (!offset || !text.empty()) return std::nullopt;
    seconds -= *offset;
  }
  if (seconds < 0) return std::nullopt;
  return seconds * static_cast<int64_t>(core::kNsPerSecond) + fraction_ns;
}

Decimal shortest_decimal(double value) {
  WEIR_ASSERT(std::isfinite(value));
  Decimal decimal{.negative = std::signbit(value)};
  std::array<char, 32> text;
  const auto end =
      std::to_chars(text.data(), text.data() + text.size(), std::fabs(value), std::chars_format::scientific)
          .ptr;
  // "d.ddde-xx" or "de-xx"
  const char* at = text.data();
  int point = 0;
  for (; *at != 'e'; at++) {
    if (*at == '.') continue;
    decimal.digits = decimal.digits * 10 + static_cast<uint64_t>(*at - '0');
    if (at != text.data()) point--;
  }
  at++;
  if (*at == '+') at++;
  std::from_chars(at, end, decimal.exponent);
  decimal.exponent += point;
  if (decimal.digits == 0) return {.negative = decimal.negative};
  for (; decimal.digits % 10 == 0; decimal.digits /= 10) decimal.exponent++;
  return decimal;
}

std::optional<int64_t> scale(const Decimal& decimal, int decimals) {
  if (decimal.digits == 0) return 0;
  const int exponent = decimal.exponent + decimals;
  if (exponent < 0 || exponent > 18) return std::nullopt;
  if (!std::in_range<int64_t>(decimal.digits)) return std::nullopt;
  auto value = static_cast<int64_t>(decimal.digits);
  for (int i = 0; i < exponent; i++) {
    if (__builtin_mul_overflow(value, 10, &value)) return std::nullopt;
  }
  return decimal.negative ? -value : value;
}

void append_number(std::string& out, double value) {
  const Decimal decimal = shortest_decimal(value);
  if (decimal.digits == 0) {
    out += '0';  // -0 as well
    return;
  }
  const std::string digits = std::to_string(decimal.digits);
  const int count = static_cast<int>(digits.size());
  const int point = count + decimal.exponent;  // where the decimal point stands, from the first digit
  if (decimal.negative) out += '-';
  if (point > 21 || point <= -6) {
    out += digits[0];
    if (count > 1) out.append(".").append(digits, 1);
    out += point > 0 ? "e+" : "e-";
    out += std::to_string(std::abs(point - 1));
  } else if (point <= 0) {
    out.append("0.").append(static_cast<size_t>(-point), '0').append(digits);
  } else if (point >= count) {
    out.append(digits).append(static_cast<size_t>(point - count), '0');
  } else {
    out.append(digits, 0, static_cast<size_t>(point)).append(".").append(digits, static_cast<size_t>(point));
  }
}

}  // namespace weir::routing
