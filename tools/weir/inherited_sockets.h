// Listening sockets that were opened before this process began: by systemd (a socket unit) or by the weir
// whose place this one takes (successor.h). Both hand them over the same way, systemd's: descriptors from 3
// on, counted by LISTEN_FDS, meant for LISTEN_PID, named by LISTEN_FDNAMES (sd_listen_fds(3)).
//
// What waits in the queue of such a socket has been accepted by the kernel: whoever has it must serve it, or
// the clients hang. What no configured address asks for is closed, therefore.
//
// Rules
//   1. A socket belongs to the configured address that it is bound to; names do not matter then. Where the
//      configured port is 0, it belongs to the first address of its name.
//   2. Each socket is taken once; one that is no socket, or does not listen, is the starter's problem.
//
// Cold path: start-up, the main thread.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/socket.h"

namespace weir::tools {

// What sockets are called when weir itself hands them over.
inline constexpr std::string_view kPlainSocket = "http";
inline constexpr std::string_view kTlsSocket = "https";
inline constexpr std::string_view kAdminTcpSocket = "admin-tcp";
inline constexpr std::string_view kAdminSocket = "admin";
// The admin socket when its path is ours to remove; systemd removes its own.
inline constexpr std::string_view kOwnAdminSocket = "admin-own";

class InheritedSockets {
 public:
  struct Socket {
    std::string name;
    int descriptor;
    core::SocketAddress address;
  };

  // Reads the variables and takes them out of the environment. The error is one sentence.
  static std::expected<InheritedSockets, std::string> take();
  InheritedSockets() = default;
  explicit InheritedSockets(std::vector<Socket> sockets) : sockets_(std::move(sockets)) {}
  ~InheritedSockets() { close_rest(); }
  InheritedSockets(InheritedSockets&& from) noexcept : sockets_(std::move(from.sockets_)) {
    from.sockets_.clear();
  }
  InheritedSockets& operator=(InheritedSockets&& from) noexcept;

  bool empty() const { return sockets_.empty(); }
  // All that belong to `address`, which is the caller's to close; none = nobody has opened it yet.
  std::vector<int> take_tcp(core::SocketAddress address, std::string_view name);
  std::optional<Socket> take_unix(const std::string& path);
  // Closes what nobody wants and says so in the log.
  void close_rest();

 private:
  std::vector<Socket> sockets_;
};

// The sockets for one address: inherited ones, or opened now. `count` users get at least one each: user i
// accepts from every i-th. Inherited sockets that are fewer are shared, so that no connection waits in a
// queue which ends with this process while that of the service manager would have lived on.
std::expected<std::vector<int>, std::string> listening_sockets(InheritedSockets& inherited,
                                                               const core::SocketAddress& address,
                                                               std::string_view name, size_t count);

}  // namespace weir::tools
