// The decision (DESIGN section 4): which unit answers a request. Pure: a table, a request's facts and
// the wall clock come in; a Decision comes out. No allocation, no clock, no randomness.
//
//   scenario:  x-weir-scenario | model naming a scenario | the key's scenario | model named directly | 404
//   unit, first match wins:
//     kill -> pin -> tenant's row (off, before start, past expiry) -> exclude -> segments -> split -> stable
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/error.h"
#include "routing/table/table.h"

namespace weir::routing {

enum class Arm : uint8_t { stable, candidate, shadow, fallback };

// Why this unit. Log token and x-weir-reason value = the enumerator's name.
#define WEIR_REASON_TABLE(X)                                                                  \
  X(direct, "the model was named directly")                                                   \
  X(no_flag, "the scenario has no flag")                                                      \
  X(no_row, "the tenant has no row on any flag of the scenario")                              \
  X(killed, "an operator switched the unit, provider or flag off")                            \
  X(pinned, "the conversation began on this unit")                                            \
  X(off, "the tenant's row is off")                                                           \
  X(not_started, "the tenant's row starts later")                                             \
  X(expired, "the tenant's row has expired")                                                  \
  X(excluded, "a segment excludes this request")                                              \
  X(segment, "a segment of the tenant's row matches")                                         \
  X(split_in, "the sticky key falls inside the percentage")                                   \
  X(split_out, "the sticky key falls outside the percentage")                                 \
  X(no_sticky_key, "none of the scenario's sticky keys was sent")                             \
  X(production, "the tenant's row is in production")                                          \
  X(pilot_limit, "the pilot's limit is used up")                                              \
  X(fallback, "an earlier hop of the chain failed")

enum class Reason : uint8_t {
#define X(name, sentence) name,
  WEIR_REASON_TABLE(X)
#undef X
};

std::string_view token(Reason reason);
std::string_view sentence(Reason reason);
std::string_view token(Arm arm);
std::string_view token(FlagState state);

// Values of declared attributes for one request; views must outlive the decide() call. An attribute that
// was not sent is absent; what is sent is checked against its declaration by parse_attribute().
struct AttributeValues {
  struct Value {
    bool present = false;
    bool boolean = false;
    double number = 0;
    std::string_view text;
  };
  std::array<Value, core::limits::kMaxAttributes> values;  // by AttributeIndex; a table declares at most that many
};

// Everything the decision depends on besides the table.
struct DecideInput {
  KeyIndex key{};
  TenantIndex tenant{};                   // the key's tenant, or the one it acts for
  std::string_view scenario_header;       // x-weir-scenario; empty = not sent
  std::string_view model;                 // body's "model", unescaped; empty = not sent
  std::string_view conversation;          // empty = none
  std::string_view user;                  // x-weir-user, else body "user"; empty = none
  const AttributeValues* attributes = nullptr;
  std::optional<uint64_t> pinned_unit;    // Unit::short_hash the conversation is pinned to
  int64_t wall_now_ns = 0;
};

struct Decision {
  TenantIndex tenant{};
  std::optional<ScenarioIndex> scenario;  // none: a model named directly
  std::optional<FlagIndex> flag;          // the flag that explains the outcome
  FlagState state = FlagState::off;       // the tenant's state on that flag
  Arm arm = Arm::stable;
  UnitIndex unit{};
  Reason reason = Reason::no_flag;
  bool pin = false;                       // the conversation should be pinned to `unit` from now on
};

// Finds the scenario (or direct model) a request asks for, without deciding the unit: the caller needs it
// to look up the conversation's pin. Errors: model_not_found.
struct ScenarioChoice {
  std::optional<ScenarioIndex> scenario;
  std::optional<ModelIndex> model;
};
core::Result<ScenarioChoice> choose_scenario(const Table& table, const DecideInput& input);

// Decides. `choice` comes from choose_scenario with the same table and input.
// Errors: killed (nothing that may answer is left).
core::Result<Decision> decide(const Table& table, const ScenarioChoice& choice, const DecideInput& input);

// The unit that answers instead of `unit` when a hop failed for `cause`: the first hop at or after
// `*next_hop` of the scenario's chain that answers to `cause` and is not killed; moves *next_hop past it.
// Null when the chain is exhausted.
const FallbackHop* next_fallback(const Table& table, ScenarioIndex scenario, FallbackCause cause, uint32_t* next_hop);

}  // namespace weir::routing
