#include "core/resolver.h"

#include <netdb.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace weir::core {

std::expected<std::vector<SocketAddress>, std::string> resolve_host(const std::string& host, uint16_t port) {
  addrinfo wanted{};
  wanted.ai_family = AF_UNSPEC;
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_ADDRCONFIG;  // no IPv6 addresses on a machine that has none
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), nullptr, &wanted, &found);
  if (error != 0) {
    const char* reason = error == EAI_SYSTEM ? std::strerror(errno) : ::gai_strerror(error);
    return std::unexpected(host + " cannot be resolved: " + reason);
  }
  std::vector<SocketAddress> addresses;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    if (at->ai_family != AF_INET && at->ai_family != AF_INET6) continue;
    SocketAddress address = SocketAddress::from(at->ai_addr, at->ai_addrlen);
    address.set_port(port);
    if (std::ranges::find(addresses, address) == addresses.end()) addresses.push_back(address);
  }
  ::freeaddrinfo(found);
  if (addresses.empty()) return std::unexpected(host + " cannot be resolved: it has no IPv4 or IPv6 address");
  return addresses;
}

}  // namespace weir::core
