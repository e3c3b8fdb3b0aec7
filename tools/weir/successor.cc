#include "tools/weir/successor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/limits.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

namespace weir::tools {
namespace {

constexpr const char* kReadyVariable = "WEIR_READY_FD";
constexpr int kFirstPassed = 3;
constexpr size_t kMaxMessageBytes = 256;

// To the launcher: a socket's name with its descriptor; kStart and a number, with the descriptor on which the successor
// tells that it is ready; kCancel. From it: that number, a space, and how the successor ended, which may come after
// nobody waits for it any more: one that was cancelled drains first.
constexpr std::string_view kStart = "\x01";
constexpr std::string_view kCancel = "\x02";

struct Message {
  std::string text;  // empty = the other side is gone
  int descriptor = -1;
};

bool send_message(int channel, std::string_view text, int descriptor = -1) {
  iovec piece{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  if (descriptor >= 0) {
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* attached = CMSG_FIRSTHDR(&header);
    attached->cmsg_level = SOL_SOCKET;
    attached->cmsg_type = SCM_RIGHTS;
    attached->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(attached), &descriptor, sizeof descriptor);
  }
  ssize_t sent = 0;
  do sent = ::sendmsg(channel, &header, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(text.size());
}

Message receive_message(int channel) {
  std::array<char, kMaxMessageBytes> text;
  iovec piece{text.data(), text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t size = 0;
  do size = ::recvmsg(channel, &header, MSG_CMSG_CLOEXEC);
  while (size < 0 && errno == EINTR);
  Message message;
  if (size <= 0) return message;
  message.text.assign(text.data(), static_cast<size_t>(size));
  const cmsghdr* attached = CMSG_FIRSTHDR(&header);
  if (attached != nullptr && attached->cmsg_type == SCM_RIGHTS) {
    std::memcpy(&message.descriptor, CMSG_DATA(attached), sizeof message.descriptor);
  }
  return message;
}

// ---- the launcher's process: one thread, until the channel's other end is closed -------------------------

class LauncherProcess {
 public:
  LauncherProcess(int channel, char** arguments, std::string program, const sigset_t& signals)
      : channel_(channel), arguments_(arguments), program_(std::move(program)), signals_(signals) {}

  [[noreturn]] void run() {
    while (true) {
      std::array<pollfd, 2> waited{pollfd{channel_, POLLIN, 0}, pollfd{successor_, POLLIN, 0}};
      if (::poll(waited.data(), successor_ < 0 ? 1 : 2, -1) < 0 && errno != EINTR) ::_exit(1);
      if (successor_ >= 0 && waited[1].revents != 0) report_exit();
      if (waited[0].revents != 0) take_message();
    }
  }

 private:
  void take_message() {
    Message message = receive_message(channel_);
    if (message.text.empty()) ::_exit(0);
    if (message.text == kCancel) {
      if (successor_ >= 0) ::kill(pid_, SIGTERM);
    } else if (message.text.starts_with(kStart)) {
      number_ = message.text.substr(kStart.size());
      start(message.descriptor);
    } else if (message.descriptor >= 0) {
      if (!names_.empty()) names_ += ':';
      names_ += message.text;
      descriptors_.push_back(message.descriptor);
    }
  }

  void start(int ready) {
    pid_ = ::fork();
    if (pid_ == 0) become_successor(ready);
    const int error = errno;
    for (const int descriptor : descriptors_) ::close(descriptor);
    descriptors_.clear();
    names_.clear();
    ::close(ready);
    if (pid_ < 0) {
      send_message(channel_, fmt::format("{} no process for it: {}", number_, std::strerror(error)));
      return;
    }
    if (successor_ >= 0) ::close(successor_);
    successor_ = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
  }

  // The sockets become descriptors 3, 4, ...; they may be anywhere now, also in each other's place.
  [[noreturn]] void become_successor(int ready) {
    descriptors_.push_back(ready);
    const auto end = static_cast<int>(kFirstPassed + descriptors_.size());
    for (int& descriptor : descriptors_) {
      descriptor = ::fcntl(descriptor, F_DUPFD_CLOEXEC, end);
      if (descriptor < 0) fail("cannot pass the sockets on");
    }
    int place = kFirstPassed;
    for (const int descriptor : descriptors_) {
      if (::dup2(descriptor, place++) < 0) fail("cannot pass the sockets on");
    }
    ::setenv("LISTEN_FDS", std::to_string(descriptors_.size() - 1).c_str(), 1);
    ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
    ::setenv("LISTEN_FDNAMES", names_.c_str(), 1);
    ::setenv(kReadyVariable, std::to_string(end - 1).c_str(), 1);
    ::sigprocmask(SIG_SETMASK, &signals_, nullptr);
    ::execv(program_.c_str(), arguments_);
    fail(("cannot start " + program_).c_str());
  }

  [[noreturn]] static void fail(const char* what) {
    fmt::print(stderr, "weir: {}: {}\n", what, std::strerror(errno));
    std::fflush(stderr);
    ::_exit(127);
  }

  void report_exit() {
    siginfo_t how{};
    ::waitid(P_PID, static_cast<id_t>(pid_), &how, WEXITED);
    ::close(std::exchange(successor_, -1));
    send_message(channel_, how.si_code == CLD_EXITED
                               ? fmt::format("{} it ended with exit code {}", number_, how.si_status)
                               : fmt::format("{} signal {} ended it", number_, how.si_status));
  }

  const int channel_;
  char** const arguments_;
  const std::string program_;
  const sigset_t signals_;
  std::string number_;  // of the last start
  std::string names_;
  std::vector<int> descriptors_;
  int successor_ = -1;  // pidfd
  pid_t pid_ = -1;
};

}  // namespace

bool SocketsToPass::add(std::string_view name, int descriptor) {
  const int copy = ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return false;
  sockets_.push_back({std::string(name), copy});
  return true;
}

void SocketsToPass::close() {
  for (const Socket& socket : sockets_) ::close(socket.descriptor);
  sockets_.clear();
}

int SocketsToPass::copy(const Socket& socket) {
  return ::fcntl(socket.descriptor, F_DUPFD_CLOEXEC, 0);
}

std::unique_ptr<Launcher> Launcher::fork_now(char** arguments, LauncherPatience patience) {
  // Read now: after an upgrade of the package the path names the new binary, and the link the one that is
  // gone.
  std::array<char, PATH_MAX> program;
  const ssize_t size = ::readlink("/proc/self/exe", program.data(), program.size());
  std::array<int, 2> ends{};
  if (size <= 0 || ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return nullptr;
  sigset_t all, before;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::fork();
  if (pid == 0) {
    // Signals to the whole group (Ctrl-C, a service manager) are the gateway's business: its end is ours.
    ::prctl(PR_SET_NAME, "weir launcher");
    ::prctl(PR_SET_DUMPABLE, 0);  // its environment holds what the gateway's does not any more
    const int channel = ::dup2(ends[1], kFirstPassed);
    ::fcntl(channel, F_SETFD, FD_CLOEXEC);
    ::syscall(SYS_close_range, kFirstPassed + 1, ~0u, 0);
    LauncherProcess(channel, arguments, std::string(program.data(), static_cast<size_t>(size)), before).run();
  }
  const int error = errno;
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  ::close(ends[1]);
  if (pid < 0) {
    ::close(ends[0]);
    errno = error;
    return nullptr;
  }
  std::unique_ptr<Launcher> launcher(new Launcher(ends[0], patience));
  launcher->cancelled_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return launcher;
}

Launcher::~Launcher() {
  if (waiting_.joinable()) waiting_.join();
  ::close(channel_);
  ::close(cancelled_);
}

void Launcher::start(const SocketsToPass& sockets, std::function<void(Started)> done) {
  if (waiting_.joinable()) waiting_.join();
  waiting_ = std::thread([this, &sockets, done = std::move(done)] {
    pthread_setname_np(pthread_self(), "successor");
    done(run(sockets));
  });
}

void Launcher::cancel() {
  const std::scoped_lock lock(order_);
  is_cancelled_ = true;
  send_message(channel_, kCancel);
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(cancelled_, &one, sizeof one);
}

Launcher::Started Launcher::run(const SocketsToPass& sockets) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return std::unexpected(std::strerror(errno));
  std::unique_lock lock(order_);  // a cancel() that came before it would be of nothing
  if (is_cancelled_) {
    for (const int end : ends) ::close(end);
    return std::unexpected("cancelled");
  }
  ++starts_;
  bool sent = true;
  for (const SocketsToPass::Socket& socket : sockets.list())
    sent = sent && send_message(channel_, socket.name, socket.descriptor);
  sent = sent && send_message(channel_, std::string(kStart) + std::to_string(starts_), ends[1]);
  const int error = errno;
  lock.unlock();
  ::close(ends[1]);
  Started started = sent ? wait_for(ends[0])
                         : std::unexpected(std::string("the launcher is gone: ") + std::strerror(error));
  ::close(ends[0]);
  return started;
}

Launcher::Started Launcher::wait_for(int ready) {
  std::array<pollfd, 2> waited{pollfd{ready, POLLIN, 0}, pollfd{cancelled_, POLLIN, 0}};
  int events = 0;
  do events = ::poll(waited.data(), waited.size(), patience_.ready_ms);
  while (events < 0 && errno == EINTR);
  if (waited[1].revents != 0) return std::unexpected("cancelled");
  if (events == 0) {
    send_message(channel_, kCancel);
    wait_for_exit();
    return std::unexpected(fmt::format("it was not ready within {} s", patience_.ready_ms / 1000));
  }
  std::array<char, 16> text;
  const ssize_t size = ::read(ready, text.data(), text.size());
  int pid = 0;
  if (size > 0 && std::from_chars(text.data(), text.data() + size, pid).ec == std::errc{}) return pid;
  return std::unexpected(wait_for_exit());
}

std::string Launcher::wait_for_exit() {
  const std::string number = std::to_string(starts_) + " ";
  while (true) {
    pollfd waited{channel_, POLLIN, 0};
    if (::poll(&waited, 1, patience_.exit_ms) <= 0) return "it gave no sign";
    const Message message = receive_message(channel_);
    if (message.text.empty()) return "the launcher is gone";
    if (message.text.starts_with(number)) return message.text.substr(number.size());
  }
}

Predecessor::Predecessor() {
  const char* text = std::getenv(kReadyVariable);
  if (text == nullptr) return;
  const char* const end = text + std::strlen(text);
  if (std::from_chars(text, end, ready_).ptr != end || ::fcntl(ready_, F_SETFD, FD_CLOEXEC) != 0) ready_ = -1;
  ::unsetenv(kReadyVariable);
}

Predecessor::~Predecessor() {
  if (ready_ >= 0) ::close(ready_);
}

bool Predecessor::tell_ready() {
  const std::string pid = std::to_string(::getpid());
  const bool told = ::send(ready_, pid.data(), pid.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(pid.size());
  ::close(std::exchange(ready_, -1));
  return told;
}

}  // namespace weir::tools
