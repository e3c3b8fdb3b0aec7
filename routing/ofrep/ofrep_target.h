// The paths of the OpenFeature Remote Evaluation Protocol. Exact, as everywhere; but a query is let through,
// since providers add parameters of their own (flagConfigEtag, ...).
//
//   POST /ofrep/v1/evaluate/flags/{key}   one flag          GET /ofrep/v1/events   the stream of changes
//   POST /ofrep/v1/evaluate/flags         all of them
//
// Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace weir::routing {

inline constexpr std::string_view kEventsPath = "/ofrep/v1/events";

struct OfrepTarget {
  enum class Kind : uint8_t { one_flag, all_flags, events, unknown };
  Kind kind = Kind::unknown;
  std::string_view key;     // one_flag: as it was sent, which need not be a legal key
  std::string_view ticket;  // events: empty = not sent
};

// None: the target is not under /ofrep/.
std::optional<OfrepTarget> parse_ofrep_target(std::string_view target);

// The same of the first bytes of a request that was refused, perhaps before its head was whole or for what is
// wrong with it. A key ends before the first byte that is not visible ASCII.
std::optional<OfrepTarget> parse_refused_ofrep_target(std::span<const uint8_t> request);

}  // namespace weir::routing
