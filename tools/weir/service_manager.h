// What systemd wants to be told (sd_notify(3)): ready, reloading, stopping, and which process is the main
// one. Without systemd nothing happens; a service manager that does not listen is no reason to fail.
//
// Thread: the one that made it.
#pragma once

#include <string>
#include <string_view>

namespace weir::tools {

class ServiceManager {
 public:
  // Remembers $NOTIFY_SOCKET.
  ServiceManager();

  // This process serves from now on, whichever did before.
  void ready() const;
  // Ended by ready().
  void reloading() const;
  void stopping() const;

 private:
  void notify(std::string_view state) const;

  std::string path_;  // of the socket; empty = nobody asks
};

}  // namespace weir::tools
