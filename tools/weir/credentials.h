// How a flag table's references to credentials are followed on this machine. Control thread only.
#pragma once

#include "routing/table/compile.h"
#include "tools/weir/config.h"

namespace weir::tools {

enum class Credentials : uint8_t {
  resolve,  // read every provider's credential; one that cannot be had is a problem
  ignore,   // for checks away from a node: providers get no authorization
};

routing::CompileOptions compile_options(Credentials credentials, const Environment& environment);

}  // namespace weir::tools
