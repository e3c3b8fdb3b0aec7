// YAML to JSON text, so that one document model and one validator serve both.
//
// The dialect is YAML with the core schema of YAML 1.2: a plain scalar is null, true, false or a number if it
// looks like one, otherwise text; so 2026-12-01T09:00Z, 1h, off and 1.2.3 are text, and every quoted scalar
// is. Anchors and aliases work as long as what they copy stays within limits::kMaxYamlAliasBytes. Refused:
// tags, merge keys, several documents in one file, keys that are not scalars, control characters.
//
// The one place that calls yaml-cpp; its exceptions end here. Control thread only.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "routing/table/problem.h"

namespace weir::routing {

// `text` must be valid UTF-8. The result keeps duplicate members; a reader reports them with their path.
std::expected<std::string, Problem> yaml_to_json(std::string_view text);

}  // namespace weir::routing
