// Names to addresses. Part of the seam: core/system/resolver.cc asks the system's resolver.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "core/socket.h"

namespace weir::core {

// The addresses of a host name, in the order in which they should be tried (RFC 6724), with `port`; at least
// one. Blocks for as long as the name servers take: never call it on a loop's thread. The error is one
// sentence.
std::expected<std::vector<SocketAddress>, std::string> resolve_host(const std::string& host, uint16_t port);

}  // namespace weir::core
