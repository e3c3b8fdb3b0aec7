#include "tools/weir/config_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "core/file.h"

namespace weir::tools {
namespace {

bool is_variable_name(std::string_view name) {
  auto letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'; };
  auto digit = [](char c) { return c >= '0' && c <= '9'; };
  return !name.empty() && letter(name.front()) &&
         std::all_of(name.begin(), name.end(), [&](char c) { return letter(c) || digit(c); });
}

}  // namespace

std::expected<std::string, std::string> read_variable(std::string_view name, const Environment& environment) {
  std::optional<std::string> value = environment(name);
  if (!value) return std::unexpected(fmt::format("the environment variable {} is not set", name));
  return *std::move(value);
}

std::expected<std::string, std::string> expand_variables(std::string_view text,
                                                         const Environment& environment) {
  std::string expanded;
  while (true) {
    size_t start = text.find("${");
    expanded += text.substr(0, start);
    if (start == std::string_view::npos) return expanded;
    text.remove_prefix(start + 2);
    size_t end = text.find('}');
    if (end == std::string_view::npos) return std::unexpected("a ${ is not closed by }");
    std::string_view name = text.substr(0, end);
    if (!is_variable_name(name)) {
      return std::unexpected(fmt::format("'${{{}}}' does not name an environment variable", name));
    }
    auto value = read_variable(name, environment);
    if (!value) return value;
    expanded += *value;
    text.remove_prefix(end + 1);
  }
}

std::expected<std::string, std::string> resolve_secret(std::string_view reference, const std::string& folder,
                                                       const Environment& environment) {
  if (reference.starts_with("file:")) {
    auto path = expand_variables(reference.substr(5), environment);
    if (!path) return path;
    if (path->empty()) return std::unexpected("file: must be followed by a path");
    auto text = core::read_file(resolve_path(folder, *path), kMaxConfigBytes);
    if (text && text->ends_with('\n')) text->pop_back();
    if (text && text->ends_with('\r')) text->pop_back();
    return text;
  }
  std::string_view name;
  if (reference.starts_with("env:")) name = reference.substr(4);
  if (reference.starts_with("${") && reference.ends_with('}'))
    name = reference.substr(2, reference.size() - 3);
  if (!is_variable_name(name)) {
    return std::unexpected(
        "a secret is not written here in plain text; refer to it as ${NAME}, env:NAME or file:/path");
  }
  return read_variable(name, environment);
}

std::string resolve_path(const std::string& folder, const std::string& path) {
  if (path.starts_with('/') || folder.empty()) return path;
  return folder + "/" + path;
}

}  // namespace weir::tools
