// A decision with every step that led to it, for people (GET /v1/explain). It runs the very code that
// decide() runs, with a tracer that writes instead of one that compiles to nothing, so the two cannot
// disagree. Allocates; control thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "routing/decide/decide.h"

namespace weir::routing {

struct ExplainStep {
  std::string rule;  // scenario, kill, pin, flag, start, expiry, exclude, production, segment, sticky_key,
                     // split, combination, fallback
  bool matched;        // the rule settled something: read `detail`
  std::string detail;  // a sentence with the numbers: bucket, threshold, salt, dates in ns
};

struct Explanation {
  uint64_t revision;
  std::vector<ExplainStep> steps;  // in the order in which they were looked at
  core::Result<Decision> decision;
};

Explanation explain(const Table& table, const DecideInput& input);

}  // namespace weir::routing
