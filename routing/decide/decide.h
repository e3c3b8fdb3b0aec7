// The decision (DESIGN section 4): which unit answers a request. Pure: a table, a request's facts and
// the wall clock come in; a Decision comes out. No allocation, no clock, no randomness.
//
//   scenario:  x-weir-scenario | model naming a scenario | the key's scenario | model named directly | 404
//   unit, first match wins:
//     kill -> pin -> tenant's row (off, before start, past expiry) -> exclude -> segments -> split -> stable
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/assert.h"
#include "core/error.h"
#include "core/limits.h"
#include "routing/table/table.h"

namespace weir::routing {

enum class Arm : uint8_t { stable, candidate, shadow, fallback };

// Why this unit. Log token and x-weir-reason value = the enumerator's name.
#define WEIR_REASON_TABLE(X)                                            \
  X(direct, "the model was named directly")                             \
  X(no_flag, "the scenario has no flag")                                \
  X(no_row, "the tenant has no row on any flag of the scenario")        \
  X(killed, "an operator switched the unit, provider or flag off")      \
  X(pinned, "the conversation began on this unit")                      \
  X(off, "the tenant's row is off")                                     \
  X(not_started, "the tenant's row starts later")                       \
  X(expired, "the tenant's row has expired")                            \
  X(excluded, "a segment excludes this request")                        \
  X(segment, "a segment of the tenant's row matches")                   \
  X(split_in, "the sticky key falls inside the percentage")             \
  X(split_out, "the sticky key falls outside the percentage")           \
  X(no_sticky_key, "none of the scenario's sticky keys was sent")       \
  X(production, "the tenant's row is in production")                    \
  X(pilot_limit, "a limit of the pilot is used up or its time is over") \
  X(economy, "a budget is used up: the cheapest unit answers")          \
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
std::string_view token(StickyKey key);

// Values of declared attributes for one request; views must outlive the decide() call. An attribute that
// was not sent is absent; what is sent is checked against its declaration by parse_attribute()
// (routing/decide/segments.h). Cheap to make: only what was sent is ever written.
class AttributeValues {
 public:
  struct Value {
    const char* data;
    size_t size;
    double number;
    bool boolean;
    std::string_view text() const { return {data, size}; }
  };

  AttributeValues() {}  // not defaulted: `{}` would write all of values_

  void clear() { present_ = 0; }
  bool empty() const { return present_ == 0; }
  uint32_t present() const { return present_; }  // bit i: attribute i was sent

  // Null when the attribute was not sent.
  const Value* find(AttributeIndex attribute) const {
    const auto at = static_cast<uint32_t>(attribute);
    return at < core::limits::kMaxAttributes && (present_ >> at & 1) != 0 ? &values_[at] : nullptr;
  }

  void set(AttributeIndex attribute, const Value& value) {
    const auto at = static_cast<uint32_t>(attribute);
    WEIR_ASSERT(at < core::limits::kMaxAttributes);
    values_[at] = value;
    present_ |= uint32_t{1} << at;
  }

 private:
  static_assert(core::limits::kMaxAttributes <= 32);
  uint32_t present_ = 0;  // bit i: values_[i] was sent
  // By AttributeIndex; a table declares at most that many.
  std::array<Value, core::limits::kMaxAttributes> values_;
};

// Everything the decision depends on besides the table.
struct DecideInput {
  KeyIndex key{};
  TenantIndex tenant{};              // the key's tenant, or the one it acts for
  std::string_view scenario_header;  // x-weir-scenario; empty = not sent
  std::string_view model;            // body's "model", unescaped; empty = not sent
  std::string_view conversation;     // empty = none
  std::string_view user;             // x-weir-user, else body "user"; empty = none
  const AttributeValues* attributes = nullptr;
  std::optional<uint64_t> pinned_unit;  // Unit::short_hash the conversation is pinned to
  int64_t wall_now_ns = 0;
};

struct Decision {
  TenantIndex tenant{};
  std::optional<ScenarioIndex> scenario;  // none: a model named directly
  std::optional<FlagIndex> flag;     // the flag that explains the outcome: the first that applies, else the
                                     // first on which the tenant has a row
  FlagState state = FlagState::off;  // the tenant's state on that flag
  Arm arm = Arm::stable;
  UnitIndex unit{};
  Reason reason = Reason::no_flag;
  uint8_t combination = 0;     // the flags that apply: `unit` is the scenario's combination of that number
  bool pin = false;            // the conversation should be pinned to `unit` from now on
  bool restart = false;        // what the conversation began on was rolled back, and its row says `restart`:
                               // pin it to `unit` and refuse this turn with conversation_restarted
  uint8_t limited = 0;         // those of them that are pilots with limits: ask them, and past_pilot_limit()
                               // when used up. A pinned conversation counts but is not bound by them.
  std::optional<uint8_t> hop;  // arm fallback: the hop of the scenario's chain that answers. If it is a
                               // static_text, the caller answers with it and `unit` is the stable unit,
                               // not to be called. Further fallbacks begin at *hop + 1.
};
static_assert(core::limits::kMaxUnitCombinations <= 256);  // Decision::combination

// Finds the scenario (or direct model) a request asks for, without deciding the unit: the caller needs it
// to look up the conversation's pin. Errors: model_not_found with the field at fault.
struct ScenarioChoice {
  std::optional<ScenarioIndex> scenario;
  std::optional<ModelIndex> model;
};
core::Result<ScenarioChoice> choose_scenario(const Table& table, const DecideInput& input);

// Decides. `choice` comes from choose_scenario with the same table and input.
//
// Per flag of the scenario, in declared order, the flag applies or not:
//   flag killed | no row | off | before start | at or past expires (ExpiryAction::off)   -> no
//   a segment of `exclude` matches                                                        -> no
//   production                                                                            -> yes
//   pilot: a segment of the row matches -> yes; sticky key in the percentage -> yes; else -> no
// and the flags that apply select one of the scenario's combinations. If one of them is a pilot whose `until`
// has come, its previous unit answers instead (reason pilot_limit).
//
// Pins: an open conversation keeps the unit it began on if that is one of the scenario's combinations,
// whatever percentages, segments and exclusions say now. It loses it when a flag of that combination is
// killed, or has been rolled back (no row, off, not started, expired) and its row does not say `finish`. It
// is then decided like a new one. If a row says `restart` and the outcome is another unit, that unit must not
// see what the other one said: this turn is refused, once, and the next one goes to the new unit. A kill, of
// the flag or of the unit, always switches.
//
// Kills: global, tenant and scenario refuse. A killed unit (or its provider) drops to the stable unit, a
// killed stable unit to the first hop of the chain that may answer (a `cached` hop may not: it would repeat
// what was killed), and if none is left the request is refused.
//
// Errors: killed.
core::Result<Decision> decide(const Table& table, const ScenarioChoice& choice, const DecideInput& input);

// How one flag of the scenario stands for a request, whether or not it is the one that explains the decision.
struct FlagStanding {
  bool applies = false;  // it is part of what answers
  bool has_row = false;
  FlagState state = FlagState::off;  // of the tenant's row
  uint32_t milli_percent = 0;        // of the tenant's row
  Reason reason = Reason::no_row;    // killed, pinned, pilot_limit, or a reason of the flag's own
};

// `decision` comes from decide() or past_pilot_limit() with the same table and input and is about the flag's
// scenario; null: it was refused (killed).
FlagStanding flag_standing(const Table& table, const DecideInput& input, const Decision* decision,
                           FlagIndex flag);

// What answers when the limits of a pilot are used up: the `previous` unit of the tenant's row on `flag`,
// under the same kills. `decision` has arm candidate and comes from decide() with the same table and input.
// Errors: killed.
core::Result<Decision> past_pilot_limit(const Table& table, const DecideInput& input,
                                        const Decision& decision, FlagIndex flag);

// The hop that answers when an attempt failed for `cause`: the first hop at or after `*next_hop` of the
// scenario's chain that answers to `cause` and is not killed; moves *next_hop past it. Null when the chain is
// exhausted.
const FallbackHop* next_fallback(const Table& table, ScenarioIndex scenario, FallbackCause cause,
                                 uint32_t* next_hop);

}  // namespace weir::routing
