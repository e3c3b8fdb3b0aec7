#include "core/socket.h"

#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace weir::core {
namespace {

constexpr int kBacklog = 4096;

std::string bind_error(const std::string& address, int error) {
  switch (error) {
    case EADDRINUSE:
      return address + " is in use: stop the process that listens there, or choose another address";
    case EACCES:
    case EPERM:
      return address +
             " may not be bound: choose a port above 1023 or grant CAP_NET_BIND_SERVICE; for a path, check "
             "the directory's permissions";
    case EADDRNOTAVAIL:
      return address + " is not an address of this machine";
    default:
      return address + " could not be bound: " + std::strerror(error);
  }
}

void set_option(int socket, int level, int name, int value) {
  ::setsockopt(socket, level, name, &value, sizeof value);
}

}  // namespace

std::expected<int, std::string> listen_tcp(const SocketAddress& address) {
  const int socket = ::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket < 0)
    return std::unexpected("no socket for " + address.to_string() + ": " + std::strerror(errno));
  set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1);
  set_option(socket, SOL_SOCKET, SO_REUSEPORT, 1);
  set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  if (address.family() == AF_INET6) set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  if (::bind(socket, address.get(), address.size()) != 0 || ::listen(socket, kBacklog) != 0) {
    const int error = errno;
    ::close(socket);
    return std::unexpected(bind_error(address.to_string(), error));
  }
  return socket;
}

std::expected<void, std::string> check_free_tcp(const SocketAddress& address) {
  const int socket = ::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket < 0)
    return std::unexpected("no socket for " + address.to_string() + ": " + std::strerror(errno));
  set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1);  // past connections do not count, listeners do
  if (address.family() == AF_INET6) set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  const int error = ::bind(socket, address.get(), address.size()) == 0 ? 0 : errno;
  ::close(socket);
  if (error != 0) return std::unexpected(bind_error(address.to_string(), error));
  return {};
}

std::expected<int, std::string> listen_unix(const std::string& path, unsigned mode) {
  auto address = SocketAddress::unix_path(path);
  if (!address) return std::unexpected(address.error());
  const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket < 0) return std::unexpected("no socket for " + path + ": " + std::strerror(errno));
  int result = ::bind(socket, address->get(), address->size());
  if (result != 0 && errno == EADDRINUSE) {
    struct stat status{};
    if (::lstat(path.c_str(), &status) == 0 && !S_ISSOCK(status.st_mode)) {
      ::close(socket);
      return std::unexpected(path + " exists and is not a socket: remove it or choose another path");
    }
    const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const bool live = ::connect(probe, address->get(), address->size()) == 0 || errno == EAGAIN;
    ::close(probe);
    if (live) {
      ::close(socket);
      return std::unexpected(path + " is taken by a running process: stop it or choose another path");
    }
    ::unlink(path.c_str());
    result = ::bind(socket, address->get(), address->size());
  }
  if (result != 0 || ::chmod(path.c_str(), mode) != 0 || ::listen(socket, 128) != 0) {
    const int error = errno;
    ::close(socket);
    return std::unexpected(bind_error(path, error));
  }
  return socket;
}

void remove_unix_socket(const std::string& path) {
  ::unlink(path.c_str());
}

std::optional<PeerCredentials> peer_credentials(int socket) {
  ucred kernel{};
  socklen_t size = sizeof kernel;
  // A TCP socket answers too, with nobody's credentials: the family settles it.
  if (bound_address(socket).family() != AF_UNIX) return std::nullopt;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &kernel, &size) != 0) return std::nullopt;
  PeerCredentials peer{.uid = kernel.uid, .gid = kernel.gid, .groups = {}};
  std::vector<gid_t> groups(64);
  size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
  int result = ::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
  if (result != 0 && errno == ERANGE) {  // `size` says now how much room they need
    groups.resize(size / sizeof(gid_t));
    result = ::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
  }
  if (result == 0)
    peer.groups.assign(groups.begin(), groups.begin() + size / static_cast<socklen_t>(sizeof(gid_t)));
  return peer;
}

SocketAddress bound_address(int socket) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&storage), &size);
  return SocketAddress::from(reinterpret_cast<sockaddr*>(&storage), size);
}

int open_tcp_socket(int family) {
  const int socket = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket < 0) return -errno;
  set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
  return socket;
}

void close_socket(int socket) {
  ::close(socket);
}

}  // namespace weir::core
