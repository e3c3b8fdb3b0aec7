#include "routing/ofrep/ofrep_target.h"

#include <algorithm>

#include "core/limits.h"

namespace weir::routing {
namespace {

constexpr std::string_view kPrefix = "/ofrep/";
constexpr std::string_view kAllFlags = "/ofrep/v1/evaluate/flags";

// Tickets need no escapes.
std::string_view ticket_of(std::string_view query) {
  constexpr std::string_view kName = "ticket=";
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view parameter = query.substr(0, end);
    if (parameter.starts_with(kName)) return parameter.substr(kName.size());
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return {};
}

}  // namespace

std::optional<OfrepTarget> parse_ofrep_target(std::string_view target) {
  if (!target.starts_with(kPrefix)) return std::nullopt;
  const size_t question = std::min(target.find('?'), target.size());
  const std::string_view path = target.substr(0, question);
  using enum OfrepTarget::Kind;
  if (path == kAllFlags) return OfrepTarget{.kind = all_flags, .key = {}, .ticket = {}};
  if (path == kEventsPath) {
    const std::string_view query = target.substr(std::min(question + 1, target.size()));
    return OfrepTarget{.kind = events, .key = {}, .ticket = ticket_of(query)};
  }
  if (path.starts_with(kAllFlags) && path[kAllFlags.size()] == '/') {
    return OfrepTarget{.kind = one_flag, .key = path.substr(kAllFlags.size() + 1), .ticket = {}};
  }
  return OfrepTarget{};
}

std::optional<OfrepTarget> parse_refused_ofrep_target(std::span<const uint8_t> request) {
  constexpr size_t kLongestMethod = 16;
  std::string_view line(reinterpret_cast<const char*>(request.data()),
                        std::min<size_t>(request.size(), kLongestMethod + core::limits::kMaxTargetBytes));
  const size_t space = line.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  line.remove_prefix(space + 1);
  const auto visible = [](char c) { return c > 0x20 && c < 0x7f; };
  const auto end = std::ranges::find_if_not(line, visible);
  return parse_ofrep_target(line.substr(0, static_cast<size_t>(end - line.begin())));
}

}  // namespace weir::routing
