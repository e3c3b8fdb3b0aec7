// Sockets: making, binding, asking. Part of the seam: core/system/socket.cc is the kernel's,
// tests/sim/sim_socket.cc the simulated one. All calls return at once; what takes time goes through Io.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <cstring>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::core {

// An IPv4, IPv6 or unix-domain address. Value type.
class SocketAddress {
 public:
  SocketAddress() { std::memset(&storage_, 0, sizeof storage_); }
  // "127.0.0.1:8080", "[::1]:8080", "[::]:0". The error says what is wrong.
  static std::expected<SocketAddress, std::string> parse(std::string_view text);
  static std::expected<SocketAddress, std::string> unix_path(std::string_view path);
  static SocketAddress from(const sockaddr* address, socklen_t size);

  const sockaddr* get() const { return &storage_.any; }
  socklen_t size() const { return size_; }
  int family() const { return storage_.any.sa_family; }
  uint16_t port() const;
  void set_port(uint16_t port);
  std::string to_string() const;
  friend bool operator==(const SocketAddress& a, const SocketAddress& b);

 private:
  union {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
    sockaddr_un local;
  } storage_;
  socklen_t size_ = 0;
};

// A listening TCP socket, with TCP_NODELAY (accepted sockets inherit it) and SO_REUSEPORT, so that every
// shard has its own. The error is one line that says what to do.
std::expected<int, std::string> listen_tcp(const SocketAddress& address);
// Whether listen_tcp() would be alone there. It would not complain itself: with SO_REUSEPORT, a second
// process of the same user takes half of the connections. The error is one line that says what to do.
std::expected<void, std::string> check_free_tcp(const SocketAddress& address);
// A listening unix-domain socket; a stale socket file that nobody listens on is replaced, a live one is an
// error. `mode` as for chmod.
std::expected<int, std::string> listen_unix(const std::string& path, unsigned mode);
void remove_unix_socket(const std::string& path);

// Who connected, as the kernel saw it at that moment.
struct PeerCredentials {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> groups;  // supplementary ones
};
// The other end of a unix-domain connection; none for any other socket.
std::optional<PeerCredentials> peer_credentials(int socket);

// The address a socket is bound to (port 0 resolved).
SocketAddress bound_address(int socket);
// An unconnected TCP socket with TCP_NODELAY and keep-alive; negative: -errno.
int open_tcp_socket(int family);
// Closes at once; for descriptors that never got to an Io.
void close_socket(int socket);

}  // namespace weir::core
