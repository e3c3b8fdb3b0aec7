// The target of an admin request: path and query, decoded (RFC 3986 section 3.4, names and values separated
// as in the forms of the web, except that '+' is a plus). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::routing {

// "%2e" is '.'. None when an escape is malformed or stands for a control character.
std::optional<std::string> percent_decode(std::string_view text);

class Target {
 public:
  using Parameters = std::vector<std::pair<std::string, std::string>>;

  // None when an escape is malformed or a parameter appears twice. The path is not decoded: ours have no
  // escapes.
  static std::optional<Target> parse(std::string_view target);

  const std::string& path() const { return path_; }
  const Parameters& parameters() const { return parameters_; }
  // Empty when it was not sent.
  std::string_view operator[](std::string_view name) const;

 private:
  std::string path_;
  Parameters parameters_;
};

}  // namespace weir::routing
