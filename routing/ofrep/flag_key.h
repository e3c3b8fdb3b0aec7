// What a client of the OpenFeature Remote Evaluation Protocol may ask for, by name.
//
// A weir flag chooses a whole unit, OpenFeature's clients ask for a boolean, a string, a number or an object.
// So a flag, and a scenario, is one object and some typed views of it:
//
//   support-v2                      object   the unit that answers
//   support-v2.unit  .model  .arm   string   its name, its model, the arm it answers as
//   support-v2.prompt               string   its prompt; not found if it has none
//   support-v2.params.<name>        any      one of its params, of the JSON type it has; not found if it has
//   none support-v2.enabled              boolean  does the flag apply to this request     ╮ support-v2.state
//   string   the tenant's standing on it             │ flags only support-v2.percent              number how
//   much of the tenant it is for: the   │
//                                            percent of a pilot, else 0 or 100       ╯
//
// The name of a declared object may hold dots: the longest one that leaves a known view wins, and a flag wins
// over a scenario of the same name.
//
// Pure; no allocation; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "routing/table/table.h"

namespace weir::routing {

enum class FlagView : uint8_t { object, unit, model, arm, prompt, param, enabled, state, percent };

// The last part of its key: "enabled"; "params" for FlagView::param.
std::string_view token(FlagView view);

struct FlagKey {
  ScenarioIndex scenario{};
  std::optional<FlagIndex> flag;  // none: the scenario was asked for
  FlagView view = FlagView::object;
  std::string_view param;  // FlagView::param; views the key

  friend bool operator==(const FlagKey&, const FlagKey&) = default;
};

// Letters, digits and . _ - only, and not empty. Other names of a table (they may hold @ and :) cannot be
// asked for.
bool is_flag_key(std::string_view text);

// Whether the table has the param is not looked at. None: there is no such flag.
std::optional<FlagKey> find_flag_key(const TableBody& body, std::string_view key);

}  // namespace weir::routing
