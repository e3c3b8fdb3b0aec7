#include "net/http/date.h"

#include <chrono>

namespace weir::net {

std::optional<int64_t> parse_http_date(std::string_view text) {
  namespace chrono = std::chrono;
  constexpr std::string_view kShape = "Aaa, 00 Aaa 0000 00:00:00 GMT";
  constexpr std::string_view kDays = "SunMonTueWedThuFriSat",
                             kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  if (text.size() != kShape.size()) return std::nullopt;
  bool good = true;
  // Letters of the shape are looked at with their names.
  for (size_t i = 0; i < text.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    good &= kShape[i] == '0' ? digit : (kShape[i] | 0x20) == 'a' || text[i] == kShape[i];
  }
  const auto number = [&](size_t at, size_t digits) {
    int value = 0;
    for (const char digit : text.substr(at, digits)) value = value * 10 + (digit - '0');
    return value;
  };
  const auto name = [&](std::string_view names, size_t at) {
    const size_t found = names.find(text.substr(at, 3));
    good &= found != std::string_view::npos && found % 3 == 0;
    return found / 3;
  };
  name(kDays, 0);
  const size_t month = name(kMonths, 8);
  if (!good) return std::nullopt;
  const chrono::year_month_day date(chrono::year(number(12, 4)),
                                    chrono::month(static_cast<unsigned>(month) + 1),
                                    chrono::day(static_cast<unsigned>(number(5, 2))));
  const int hour = number(17, 2), minute = number(20, 2), second = number(23, 2);
  if (!date.ok() || hour > 23 || minute > 59 || second > 60) return std::nullopt;  // 60: a leap second
  const auto day = chrono::sys_days(date);
  return chrono::seconds(day.time_since_epoch()).count() + hour * 3600 + minute * 60 + second;
}

}  // namespace weir::net
