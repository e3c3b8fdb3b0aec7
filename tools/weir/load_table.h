// The flag table from its file, for `weir serve` and `weir check`. Control thread only.
#pragma once

#include <string>

#include "routing/table/compile.h"
#include "tools/weir/config.h"

namespace weir::tools {

enum class Credentials : uint8_t {
  resolve,  // read every provider's credential; one that cannot be had is a problem
  ignore,   // for checks away from a node: providers get no authorization
};

// How the table's env: and file: references are followed.
routing::CompileOptions compile_options(Credentials credentials, const Environment& environment);

// Reads, checks and compiles `file`; JSON or YAML by its extension, else by its first character. A file that
// cannot be read is a problem with an empty path.
routing::CompileResult load_table(const std::string& file, const routing::CompileOptions& options);

}  // namespace weir::tools
