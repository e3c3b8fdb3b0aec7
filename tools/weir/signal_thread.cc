#include "tools/weir/signal_thread.h"

#include <pthread.h>

#include <csignal>
#include <utility>

namespace weir::tools {
namespace {

const int kStop = SIGRTMIN;  // the destructor's

sigset_t signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR2, kStop}) sigaddset(&set, signal);
  return set;
}

}  // namespace

SignalThread::SignalThread(std::function<void(int signal)> on_signal) {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  const sigset_t set = signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  thread_ = std::thread([set, on_signal = std::move(on_signal)] {
    pthread_setname_np(pthread_self(), "signals");
    for (int signal = 0; sigwait(&set, &signal) == 0 && signal != kStop;) on_signal(signal);
  });
}

SignalThread::~SignalThread() {
  pthread_kill(thread_.native_handle(), kStop);
  thread_.join();
}

}  // namespace weir::tools
