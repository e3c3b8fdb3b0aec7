// Dates of header fields: "Sun, 06 Nov 1994 08:49:37 GMT" (IMF-fixdate, RFC 9110 section 5.6.7). The two obsolete
// forms, which nobody may send any more, are not read.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace weir::net {

// Seconds since 1970; none if it is not such a date. The name of the day is not compared with the date.
std::optional<int64_t> parse_http_date(std::string_view text);

}  // namespace weir::net
