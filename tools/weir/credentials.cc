#include "tools/weir/credentials.h"

#include "core/file.h"
#include "tools/weir/config_values.h"

namespace weir::tools {

routing::CompileOptions compile_options(Credentials credentials, const Environment& environment) {
  if (credentials == Credentials::ignore) return {.resolve_secret = nullptr};
  return {.resolve_secret = [environment](const routing::SecretReference& reference) {
    const bool is_file = reference.kind == routing::SecretReference::Kind::file;
    return is_file ? core::read_file(reference.name, kMaxConfigBytes)
                   : read_variable(reference.name, environment);
  }};
}

}  // namespace weir::tools
