// From a flag's name and a context to the answer of the OpenFeature Remote Evaluation Protocol 0.3
// (open-feature/protocol, service/openapi.yaml), by the decision that the router would take: kills, pins,
// rows and their pilots' limits included. What only happens once a request is made (a budget that is used up,
// a breaker, a fallback) is not foreseen.
//
//   {"key":"support-v2","value":{"name":"support-41",…},"reason":"SPLIT","variant":"support-41",
//    "metadata":{"tenant":"bank-17","scenario":"support-chat","flag":"support-v2","state":"pilot",
//                "weirReason":"split_in","arm":"candidate","revision":7}}
//
//   value      see flag_key.h; the object holds name, hash (SHA-256), model, prompt, params, tools, timeouts
//   (in
//              milliseconds) and arm. Never null: what a unit does not have is left out, or not found.
//   variant    the unit's name
//   metadata   flat. flag and state (off without a row) are those asked for; of a scenario, those of the flag
//   that
//              explains its decision, if any. weirReason is the flag's own, which need not be the one that
//              explains the scenario's decision. arm is missing where an operator's kill would have the
//              request refused.
//
// Reasons (OpenFeature specification, types, resolution reasons) from weir's:
//
//   STATIC            production, no_flag
//   TARGETING_MATCH   segment, excluded, pinned
//   SPLIT             split_in, split_out
//   DISABLED          off, not_started, expired, killed
//   DEFAULT           no_row, no_sticky_key, pilot_limit
//
// Invariants
//   1. Nothing is changed by asking: no pin is written or kept alive, no pilot's limit is used up.
//   2. What is rendered depends on the input alone, so an answer that did not fit can be rendered again.
//
// Pure; no allocation; any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/error.h"
#include "routing/decide/decide.h"
#include "routing/guard/pin_table.h"
#include "routing/inspect/json_text.h"
#include "routing/ofrep/evaluation_context.h"
#include "routing/ofrep/flag_key.h"

namespace weir::routing {

struct EvaluationInput {
  const Table& table;
  KeyIndex key{};
  TenantIndex tenant{};  // the key's, or the one it acts for
  const EvaluationContext& context;
  const PinTable& pins;
  uint64_t now_ns = 0;
  int64_t wall_now_ns = 0;
};

// The OpenFeature reason for one of weir's.
std::string_view openfeature_reason(Reason reason);

// Appends the answer to one flag. Errors, with nothing appended: flag_not_found (the unit has no such thing),
// killed (the request would be refused), no_unit_answers (a static text would).
core::Result<void> render_evaluation(const EvaluationInput& input, const FlagKey& flag, std::string_view key,
                                     ScratchWriter& out);

// Appends the answer to all flags on which the tenant has a row, their scenarios, and the key's own scenario,
// each with all its views; failures stand beside successes. `events_target` is where changes are told.
void render_all_evaluations(const EvaluationInput& input, std::string_view events_target, ScratchWriter& out);

}  // namespace weir::routing
