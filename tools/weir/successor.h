// Starting the process that takes this one's place, without refusing or cutting a connection (SIGUSR2).
//
//   this process                         launcher (its child)             successor
//   ────────────                         ────────────────────             ─────────
//   lets go of the admin API and the
//   registry; goes on serving
//   start(): listening sockets ────────▶ fork, exec ────────────────────▶ reads configuration and table,
//                                                                         takes the registry's lock,
//                                                                         serves the same sockets beside us
//   done ◀──────────────────────────────────────────────────────────────── ready
//   drains: stops accepting, finishes what it has, ends
//
//   or: done ◀── "it ended with exit code 2" ◀── waits for it            (said why on stderr)
//   takes the admin API and the registry back; nothing else has happened
//
// Why the sockets themselves: each shard has a listener of its own (SO_REUSEPORT), and connections that
// nobody has accepted yet belong to one of them. Closing it resets them; a second set of listeners beside it
// does not help.
//
// Why a launcher: it was forked before this process gave up its privileges (sandbox.h) and wiped its
// environment, so the successor begins with all that this one began with, and nothing piles up from one to
// the next. It holds no connection, reads nothing that a peer sends, and starts one thing only: this binary's
// path with our arguments.
//
// The order, and why: one process at a time writes the registry and answers the admin API. What clients ask
// of the admin socket meanwhile waits in its queue for the successor (or for us, if that fails). Requests of
// the data plane need neither, so they never wait.
//
// Thread: one; the callback comes on another one.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace weir::tools {

// Listening sockets that will be somebody else's: copies of the descriptors, closed with this.
class SocketsToPass {
 public:
  struct Socket {
    std::string name;
    int descriptor;
  };
  SocketsToPass() = default;
  ~SocketsToPass() { close(); }
  SocketsToPass(const SocketsToPass&) = delete;
  SocketsToPass& operator=(const SocketsToPass&) = delete;

  // Copies `descriptor`. False: no descriptor left.
  bool add(std::string_view name, int descriptor);
  // A socket that only we have open is closed with it: nobody waits in its queue for ever.
  void close();
  const std::vector<Socket>& list() const { return sockets_; }
  // The caller's to close; -1 = no descriptor left.
  static int copy(const Socket& socket);

 private:
  std::vector<Socket> sockets_;
};

struct LauncherPatience {
  int ready_ms = 120'000;  // for a successor to serve: a million tenants on a slow disk
  int exit_ms = 10'000;    // for one that does not to say how it ended
};

class Launcher {
 public:
  // Forks the launcher, which will run this binary again with `arguments`. To be called first: before any
  // thread, secret or sandbox. Null: the system has no process to give; errno says why.
  static std::unique_ptr<Launcher> fork_now(char** arguments, LauncherPatience patience = {});
  // The launcher ends. Waits for a start() that is under way; cancel() it first.
  ~Launcher();
  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;

  using Started = std::expected<int, std::string>;  // the successor's process id, or why there is none

  // Starts a successor with `sockets` and calls `done` once, on another thread. One at a time. `sockets` stay
  // as they are until then.
  void start(const SocketsToPass& sockets, std::function<void(Started)> done);
  // Ends (SIGTERM) what start() has begun; `done` is called soon.
  void cancel();

 private:
  Launcher(int channel, LauncherPatience patience) : channel_(channel), patience_(patience) {}
  Started run(const SocketsToPass& sockets);
  Started wait_for(int ready);
  std::string wait_for_exit();

  int channel_;
  const LauncherPatience patience_;
  int cancelled_ = -1;  // eventfd
  uint32_t starts_ = 0;
  std::mutex order_;  // of what start() and cancel() say to the launcher
  bool is_cancelled_ = false;
  std::thread waiting_;
};

// The other side, for the process that was started by a launcher.
class Predecessor {
 public:
  // Reads the variable and takes it out of the environment; without one nobody waits for us.
  Predecessor();
  ~Predecessor();
  Predecessor(const Predecessor&) = delete;
  Predecessor& operator=(const Predecessor&) = delete;

  bool waits() const { return ready_ >= 0; }
  // "I serve": it drains from now on. False: it does not wait any more, so that two would go on serving.
  bool tell_ready();

 private:
  int ready_ = -1;
};

}  // namespace weir::tools
