// The small texts inside weir.yaml: references to the environment and to files. Pure but for file:
// references.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "tools/weir/config.h"

namespace weir::tools {

// Replaces every ${NAME} by the variable's value. The error names the variable that is missing, or says
// what is malformed. Nothing that came from a variable is expanded again.
std::expected<std::string, std::string> expand_variables(std::string_view text,
                                                         const Environment& environment);

// The variable's value. The error is one sentence.
std::expected<std::string, std::string> read_variable(std::string_view name, const Environment& environment);

inline constexpr uint64_t kMaxConfigBytes = 1024 * 1024;  // of weir.yaml, and of a file a secret is in

// Resolves a secret written as ${NAME}, env:NAME or file:PATH (relative to `folder`; one line break at the
// end of the file does not count). Anything else is refused, and is never repeated in the error: it may be
// the secret itself.
std::expected<std::string, std::string> resolve_secret(std::string_view reference, const std::string& folder,
                                                       const Environment& environment);

// `path` itself when absolute, else `folder`/`path`.
std::string resolve_path(const std::string& folder, const std::string& path);

}  // namespace weir::tools
