#include "routing/ofrep/flag_key.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/limits.h"

namespace weir::routing {
namespace {

constexpr auto kViews = std::to_array<std::string_view>(
    {"", "unit", "model", "arm", "prompt", "params", "enabled", "state", "percent"});

constexpr bool is_of_flags(FlagView view) {
  return view == FlagView::enabled || view == FlagView::state || view == FlagView::percent;
}

// The view that `rest` names: what follows the object's name, from the dot on.
std::optional<FlagKey> with_view(FlagKey key, std::string_view rest) {
  if (rest.empty()) return key;
  rest.remove_prefix(1);
  constexpr std::string_view kParams = "params.";
  if (rest.starts_with(kParams)) {
    key.view = FlagView::param;
    key.param = rest.substr(kParams.size());
    return key.param.empty() ? std::nullopt : std::optional(key);
  }
  const auto found = std::ranges::find(kViews, rest);
  if (rest.empty() || found == kViews.end()) return std::nullopt;
  key.view = static_cast<FlagView>(found - kViews.begin());
  if (key.view == FlagView::param || (is_of_flags(key.view) && !key.flag)) return std::nullopt;
  return key;
}

}  // namespace

std::string_view token(FlagView view) {
  return kViews[std::to_underlying(view)];
}

bool is_flag_key(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

std::optional<FlagKey> find_flag_key(const TableBody& body, std::string_view key) {
  if (!is_flag_key(key)) return std::nullopt;
  // No declared name is longer: the number of looks is bounded.
  constexpr size_t kMaxName = core::limits::kMaxNameBytes;
  size_t end = key.size() <= kMaxName ? key.size() : key.rfind('.', kMaxName);
  while (end != std::string_view::npos && end != 0) {
    const std::string_view name = key.substr(0, end);
    const std::string_view rest = key.substr(end);
    if (const auto flag = body.flag_names.find(name)) {
      const FlagIndex index{*flag};
      if (const auto found =
              with_view({.scenario = body[index].scenario, .flag = index, .param = {}}, rest)) {
        return found;
      }
    }
    if (const auto scenario = body.scenario_names.find(name)) {
      if (const auto found =
              with_view({.scenario = ScenarioIndex{*scenario}, .flag = {}, .param = {}}, rest)) {
        return found;
      }
    }
    end = key.rfind('.', end - 1);
  }
  return std::nullopt;
}

}  // namespace weir::routing
