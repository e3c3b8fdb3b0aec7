#include "tools/weir/service_manager.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "core/clock.h"
#include "core/strong.h"

namespace weir::tools {

ServiceManager::ServiceManager() {
  if (const char* path = std::getenv("NOTIFY_SOCKET"); path != nullptr) path_ = path;
}

void ServiceManager::ready() const {
  notify(fmt::format("MAINPID={}\nREADY=1", ::getpid()));
}

void ServiceManager::reloading() const {
  notify(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", core::monotonic_now_ns() / 1000));
}

void ServiceManager::stopping() const {
  notify("STOPPING=1");
}

void ServiceManager::notify(std::string_view state) const {
  sockaddr_un address{};
  if (path_.empty() || path_.size() >= sizeof address.sun_path) return;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path_.data(), path_.size());
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';  // an abstract name
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path_.size());
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket < 0) return;
  ::sendto(socket, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
           size);
  ::close(socket);
}

}  // namespace weir::tools
