// The JSON Schema of a table (table.schema.json, the one source), for editors and `weir check --schema`.
//
// It says what is structural: properties, types, patterns, ranges. References, clashes and the like are
// compile()'s alone, so what the schema refuses, compile() refuses too, and not the other way round.
#pragma once

#include <string_view>

namespace weir::routing {

std::string_view table_schema();

}  // namespace weir::routing
