// Wall-clock time as text for logs and records: RFC 3339, UTC, milliseconds: "2026-12-01T09:00:00.000Z".
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string_view>

namespace weir::core {

struct Timestamp {
  std::array<char, 24> text;

  std::string_view view() const { return {text.data(), text.size()}; }
};

// `wall_ns` since 1970-01-01T00:00Z. Years 0 to 9999, which 64 bits of nanoseconds do not leave.
constexpr Timestamp timestamp(int64_t wall_ns) {
  namespace chrono = std::chrono;
  // Milliseconds before days: the first day that 64 bits of nanoseconds reach begins before they do.
  const auto instant = chrono::floor<chrono::milliseconds>(
      chrono::sys_time<chrono::nanoseconds>{chrono::nanoseconds(wall_ns)});
  const auto day = chrono::floor<chrono::days>(instant);
  const chrono::year_month_day date(day);
  const chrono::hh_mm_ss time(instant - day);

  Timestamp made{{}};
  size_t at = 0;
  const auto put = [&](int64_t value, size_t digits, char after) {
    for (size_t i = digits; i > 0; --i, value /= 10)
      made.text[at + i - 1] = static_cast<char>('0' + value % 10);
    at += digits;
    made.text[at++] = after;
  };
  put(static_cast<int>(date.year()), 4, '-');
  put(static_cast<unsigned>(date.month()), 2, '-');
  put(static_cast<unsigned>(date.day()), 2, 'T');
  put(time.hours().count(), 2, ':');
  put(time.minutes().count(), 2, ':');
  put(time.seconds().count(), 2, '.');
  put(time.subseconds().count(), 3, 'Z');
  return made;
}

}  // namespace weir::core
