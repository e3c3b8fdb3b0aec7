// A provider's base URL, taken apart once. Stricter than RFC 3986: http or https, a host, maybe a port, maybe
// a plain path; no user, query, fragment or percent-encoding. Pure; any thread.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace weir::routing {

struct BaseUrl {
  bool tls = false;
  std::string host;  // lower case, without brackets
  uint16_t port = 0;
  std::string host_header;  // with brackets where needed, and the port unless it is the scheme's own
  std::string path_prefix;  // "" or "/v1": never ends in a slash
};

// The parts, or a sentence about what is wrong and what would be right.
std::expected<BaseUrl, std::string> parse_base_url(std::string_view text);

// Does `host` (a name or an address without brackets) lead to the link-local range or to a cloud's metadata
// service? A gateway that can be pointed there hands out the machine's credentials.
bool is_link_local(std::string_view host);

}  // namespace weir::routing
