// What token limits are charged on admission, of keys as of pilots: how much a request is expected to use where
// a unit answers it.
//
// Pure. Thread: any.
#pragma once

#include <cstdint>

#include "routing/guard/guard_plan.h"
#include "routing/guard/token_estimator.h"
#include "routing/inspect/inspect.h"
#include "routing/inspect/rewrite.h"
#include "routing/table/table.h"

namespace weir::routing {

// `table` has guards.
inline uint64_t expected_tokens(const Table& table, UnitIndex index, const Inspection& inspection) {
  const Unit& unit = (*table.body)[index];
  const EstimateLine& line = table.guards->estimate(unit.model);
  uint64_t tokens = expected_input_tokens(
      line, uint64_t{inspection.input_bytes} + prompt_bytes(unit.rewrite, {}), inspection.media_bytes);
  if (inspection.endpoint != Endpoint::embeddings) {
    const OutputBound bound = output_bound(inspection, unit.rewrite);
    tokens += expected_output_tokens(line, bound.tokens_per_choice, bound.choices);
  }
  return tokens;
}

}  // namespace weir::routing
