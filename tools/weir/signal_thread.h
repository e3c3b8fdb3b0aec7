// Signals as calls on a loop: one thread waits for them with sigwait(3), so that no code of ours ever runs
// inside a signal handler.
//
// Make it before any other thread: the signals are blocked from then on in the calling thread and in all that
// it starts. SIGPIPE and SIGXFSZ are ignored as well: a peer that is gone and a file that may not grow are
// errors of the write.
#pragma once

#include <functional>
#include <thread>

namespace weir::tools {

class SignalThread {
 public:
  // `on_signal` is called on this object's thread with SIGTERM, SIGINT, SIGHUP or SIGUSR2.
  explicit SignalThread(std::function<void(int signal)> on_signal);
  ~SignalThread();
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;

 private:
  std::thread thread_;
};

}  // namespace weir::tools
