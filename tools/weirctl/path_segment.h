// A name as one segment of a path: percent-encoded as RFC 3986 section 2.1 has it, so that no name means
// another path. Pure.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace weir::tools {

inline std::string path_segment(std::string_view name) {
  constexpr std::string_view kPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~@+";
  std::string encoded;
  for (const char c : name) {
    if (kPlain.find(c) != std::string_view::npos) {
      encoded += c;
    } else {
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

}  // namespace weir::tools
