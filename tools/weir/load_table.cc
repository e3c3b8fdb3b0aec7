#include "tools/weir/load_table.h"

#include "tools/weir/config_values.h"

namespace weir::tools {

routing::CompileOptions compile_options(Credentials credentials, const Environment& environment) {
  if (credentials == Credentials::ignore) return {.resolve_secret = nullptr};
  return {.resolve_secret = [environment](const routing::SecretReference& reference) {
    const bool is_file = reference.kind == routing::SecretReference::Kind::file;
    return is_file ? read_file(reference.name) : read_variable(reference.name, environment);
  }};
}

routing::CompileResult load_table(const std::string& file, const routing::CompileOptions& options) {
  auto text = read_file(file);
  if (!text) return std::unexpected(std::vector<routing::Problem>{{.path = "", .message = text.error()}});
  const routing::TableFormat format = routing::detect_format(file, *text);
  return routing::compile_text(*std::move(text), format, options);
}

}  // namespace weir::tools
