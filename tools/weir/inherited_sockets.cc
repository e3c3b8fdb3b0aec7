#include "tools/weir/inherited_sockets.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/log.h"

namespace weir::tools {
namespace {

constexpr int kFirstDescriptor = 3;  // SD_LISTEN_FDS_START
constexpr int kMostDescriptors = 65'536;
// The ring of a process that was killed holds its listeners for some milliseconds longer than the process
// lives.
constexpr int kBindPatienceMs = 1'000;
constexpr int kBindRetryMs = 10;

// Less than 0 = not set, or no number.
int number_in(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return -1;
  int number = -1;
  const char* const end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, number);
  return error == std::errc{} && stop == end ? number : -1;
}

int option(int descriptor, int name) {
  int value = 0;
  socklen_t size = sizeof value;
  return ::getsockopt(descriptor, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

// What is wrong with a socket we were given; empty = nothing.
std::string problem_of(int descriptor) {
  const int domain = option(descriptor, SO_DOMAIN);
  if (domain < 0) return std::string("is no socket: ") + std::strerror(errno);
  if (domain != AF_INET && domain != AF_INET6 && domain != AF_UNIX)
    return "is neither a TCP nor a unix socket";
  if (option(descriptor, SO_TYPE) != SOCK_STREAM || option(descriptor, SO_ACCEPTCONN) != 1)
    return "is not listening for connections (ListenStream= with Accept=no)";
  return {};
}

bool is_tcp(const core::SocketAddress& address) {
  return address.family() != AF_UNIX;
}

std::expected<void, std::string> wait_until_free(const core::SocketAddress& address) {
  for (int waited_ms = 0;; waited_ms += kBindRetryMs) {
    auto is_free = core::check_free_tcp(address);
    if (is_free || waited_ms >= kBindPatienceMs) return is_free;
    ::poll(nullptr, 0, kBindRetryMs);
  }
}

}  // namespace

std::expected<InheritedSockets, std::string> InheritedSockets::take() {
  const int count = number_in("LISTEN_FDS");
  const bool ours = number_in("LISTEN_PID") == ::getpid();
  std::string names;
  if (const char* text = std::getenv("LISTEN_FDNAMES"); text != nullptr) names = text;
  for (const char* variable : {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}) ::unsetenv(variable);
  InheritedSockets taken;
  if (!ours || count <= 0) return taken;
  if (count > kMostDescriptors) return std::unexpected("LISTEN_FDS is " + std::to_string(count));

  std::string_view rest = names;
  for (int descriptor = kFirstDescriptor; descriptor < kFirstDescriptor + count; ++descriptor) {
    const size_t colon = rest.find(':');
    std::string name(rest.substr(0, colon));
    rest = colon == std::string_view::npos ? std::string_view() : rest.substr(colon + 1);
    if (const std::string problem = problem_of(descriptor); !problem.empty()) {
      return std::unexpected("socket activation: descriptor " + std::to_string(descriptor) + " (" + name +
                             ") " + problem);
    }
    ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    ::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) | O_NONBLOCK);
    core::SocketAddress address = core::bound_address(descriptor);
    const int on = 1;  // accepted sockets inherit it
    if (is_tcp(address)) ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    taken.sockets_.push_back({.name = std::move(name), .descriptor = descriptor, .address = address});
  }
  return taken;
}

InheritedSockets& InheritedSockets::operator=(InheritedSockets&& from) noexcept {
  close_rest();
  sockets_ = std::exchange(from.sockets_, {});
  return *this;
}

std::vector<int> InheritedSockets::take_tcp(core::SocketAddress address, std::string_view name) {
  std::vector<int> found;
  std::erase_if(sockets_, [&](const Socket& socket) {
    if (address.port() == 0) {
      core::SocketAddress any_port = socket.address;
      if (socket.name != name || !is_tcp(any_port)) return false;
      any_port.set_port(0);
      if (!(any_port == address)) return false;
      address = socket.address;  // and all others at this port
    } else if (!(socket.address == address)) {
      return false;
    }
    found.push_back(socket.descriptor);
    return true;
  });
  return found;
}

std::optional<InheritedSockets::Socket> InheritedSockets::take_unix(const std::string& path) {
  const auto wanted = core::SocketAddress::unix_path(path);
  std::optional<Socket> found;
  if (!wanted) return found;
  std::erase_if(sockets_, [&](Socket& socket) {
    if (found || is_tcp(socket.address) || !(socket.address == *wanted)) return false;
    found = std::move(socket);
    return true;
  });
  return found;
}

void InheritedSockets::close_rest() {
  for (const Socket& socket : sockets_) {
    core::log_warning("inherited_socket_closed", {{"address", socket.address.to_string()},
                                                  {"name", socket.name},
                                                  {"hint", "no address of the configuration is this one"}});
    core::close_socket(socket.descriptor);
  }
  sockets_.clear();
}

std::expected<std::vector<int>, std::string> listening_sockets(InheritedSockets& inherited,
                                                               const core::SocketAddress& address,
                                                               std::string_view name, size_t count) {
  std::vector<int> sockets = inherited.take_tcp(address, name);
  const auto fail = [&](std::string problem) {
    for (const int socket : sockets) core::close_socket(socket);
    return std::unexpected(std::move(problem));
  };
  const size_t given = sockets.size();
  if (given == 0) {
    if (auto is_free = wait_until_free(address); !is_free) return fail(std::move(is_free.error()));
  }
  core::SocketAddress resolved = address;
  while (sockets.size() < count) {
    if (given != 0) {
      const int shared = ::fcntl(sockets[sockets.size() - given], F_DUPFD_CLOEXEC, 0);
      if (shared < 0) return fail("no descriptor for " + address.to_string() + ": " + std::strerror(errno));
      sockets.push_back(shared);
      continue;
    }
    auto listener = core::listen_tcp(resolved);  // the first one settles which port it is
    if (!listener) return fail(std::move(listener.error()));
    resolved = core::bound_address(*listener);
    sockets.push_back(*listener);
  }
  return sockets;
}

}  // namespace weir::tools
