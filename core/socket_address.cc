#include <arpa/inet.h>

#include <charconv>
#include <cstddef>
#include <cstring>

#include "core/socket.h"

namespace weir::core {

std::expected<SocketAddress, std::string> SocketAddress::parse(std::string_view text) {
  const auto bad = [&](const char* why) {
    return std::unexpected("'" + std::string(text) + "' is not an address: " + why);
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad("write host:port, for example 127.0.0.1:8080 or [::]:8080");
  const std::string_view port_text = text.substr(colon + 1);
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (port_text.empty() || error != std::errc{} || end != port_text.data() + port_text.size()) {
    return bad("the port must be 0 to 65535");
  }
  std::string host(text.substr(0, colon));
  SocketAddress address;
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    address.storage_.v6.sin6_family = AF_INET6;
    address.storage_.v6.sin6_port = htons(port);
    if (inet_pton(AF_INET6, host.c_str(), &address.storage_.v6.sin6_addr) != 1) return bad("the host is not an IPv6 address");
    address.size_ = sizeof(sockaddr_in6);
  } else {
    address.storage_.v4.sin_family = AF_INET;
    address.storage_.v4.sin_port = htons(port);
    if (inet_pton(AF_INET, host.c_str(), &address.storage_.v4.sin_addr) != 1) {
      return bad("the host must be an IPv4 address, or an IPv6 address in brackets");
    }
    address.size_ = sizeof(sockaddr_in);
  }
  return address;
}

std::expected<SocketAddress, std::string> SocketAddress::unix_path(std::string_view path) {
  SocketAddress address;
  if (path.empty() || path.size() >= sizeof address.storage_.local.sun_path) {
    return std::unexpected("'" + std::string(path) + "' cannot be a socket path: it must have 1 to " +
                           std::to_string(sizeof address.storage_.local.sun_path - 1) + " bytes");
  }
  address.storage_.local.sun_family = AF_UNIX;
  std::memcpy(address.storage_.local.sun_path, path.data(), path.size());
  address.size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return address;
}

SocketAddress SocketAddress::from(const sockaddr* source, socklen_t size) {
  SocketAddress address;
  if (size > sizeof address.storage_) size = sizeof address.storage_;
  std::memcpy(&address.storage_, source, size);
  address.size_ = size;
  return address;
}

uint16_t SocketAddress::port() const {
  if (family() == AF_INET) return ntohs(storage_.v4.sin_port);
  if (family() == AF_INET6) return ntohs(storage_.v6.sin6_port);
  return 0;
}

void SocketAddress::set_port(uint16_t port) {
  if (family() == AF_INET) storage_.v4.sin_port = htons(port);
  if (family() == AF_INET6) storage_.v6.sin6_port = htons(port);
}

std::string SocketAddress::to_string() const {
  char text[INET6_ADDRSTRLEN] = {};
  switch (family()) {
    case AF_INET:
      inet_ntop(AF_INET, &storage_.v4.sin_addr, text, sizeof text);
      return std::string(text) + ":" + std::to_string(port());
    case AF_INET6:
      inet_ntop(AF_INET6, &storage_.v6.sin6_addr, text, sizeof text);
      return "[" + std::string(text) + "]:" + std::to_string(port());
    case AF_UNIX:
      return std::string(storage_.local.sun_path);
    default:
      return "?";
  }
}

bool operator==(const SocketAddress& a, const SocketAddress& b) {
  return a.size_ == b.size_ && std::memcmp(&a.storage_, &b.storage_, a.size_) == 0;
}

}  // namespace weir::core
