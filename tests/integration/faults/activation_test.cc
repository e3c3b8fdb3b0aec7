// Sockets that somebody else holds (systemd's socket activation), from the first connection to the last process: the
// test is the service manager. What it may not see is a connection that is refused or left unanswered.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include "tests/integration/gateway_fixture.h"

namespace weir::tests::activation_test {
namespace {

using weir::testing::Process;

std::string table(uint16_t provider) {
  return R"({"providers":{"p":{"dialect":"openai","base_url":"http://127.0.0.1:)" + std::to_string(provider) +
         R"(/v1"}},"models":{"m":{"provider":"p","tier":"economy","price":{"input":1,"output":2}}},
    "units":{"u":{"model":"m"}},"scenarios":{"chat":{"stable":"u"}},"tenants":{"t":{}},
    "keys":[{"id":"k","tenant":"t","hash":")" +
         key_hash() + R"("}]})";
}

// Nothing that a process which ends would have to wait for.
const std::string kRequest = chat_request("connection: close\r\n");

class Activation : public ::testing::Test {
 protected:
  Activation() {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // a successor becomes our child once its launcher is gone
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 128), 0);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);

    notified_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un path{};
    path.sun_family = AF_UNIX;
    folder_.file("notify").copy(path.sun_path, sizeof path.sun_path - 1);
    EXPECT_EQ(::bind(notified_, reinterpret_cast<sockaddr*>(&path), sizeof path), 0);
    const timeval patience{kPatienceSeconds, 0};
    ::setsockopt(notified_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);

    folder_.write("table.json", table(provider_.port()));
    folder_.write("weir.yaml",
                  "listen: \"127.0.0.1:" + std::to_string(port_) +
                      "\"\nshards: 2\ntable: table.json\nkey_hash_secret: \"${KEY_SECRET}\"\n"
                      "registry: registry.db\nadmin: { socket: admin.sock }\naccess_log: none\n");
  }
  ~Activation() override {
    ::close(listener_);
    ::close(notified_);
  }

  // The listener is inherited as descriptor 3.
  std::unique_ptr<Process> start() {
    const std::string number = std::to_string(listener_);
    ::fcntl(listener_, F_SETFD, 0);
    auto process = Process::start(
        "/bin/bash", {.arguments = {"-c",
                                    "exec 3<&" + number + (listener_ == 3 ? "" : " " + number + "<&-") +
                                        R"(; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" serve --config "$1")",
                                    WEIR_BINARY, folder_.file("weir.yaml")},
                      .environment = {{"KEY_SECRET", std::string(kKeySecret)},
                                      {"NOTIFY_SOCKET", folder_.file("notify")}}});
    ::fcntl(listener_, F_SETFD, FD_CLOEXEC);
    return process;
  }
  // Reads what the service manager is told up to `line`; the last MAINPID that was said by then. Nothing: it does not
  // come.
  std::optional<int> told(std::string_view line) {
    char bytes[4096];
    for (ssize_t size; (size = ::recv(notified_, bytes, sizeof bytes, 0)) >= 0;) {
      const std::string message = "\n" + std::string(bytes, static_cast<size_t>(size)) + "\n";
      if (const auto pid = between(message, "\nMAINPID=", "\n"); !pid.empty())
        main_pid_ = std::stoi(std::string(pid));
      if (message.find("\n" + std::string(line) + "\n") != std::string::npos) return main_pid_;
    }
    return std::nullopt;
  }

  EchoProvider provider_;
  weir::testing::TemporaryFolder folder_;
  int listener_ = -1, notified_ = -1, main_pid_ = 0;
  uint16_t port_ = 0;
};

TEST_F(Activation, AnswersWhoWaitedBeforeItStartedAndBetweenTwoStarts) {
  for (int round = 0; round < 2; ++round) {
    SCOPED_TRACE(round);
    BlockingClient waiting(port_);
    waiting.send(kRequest);
    const auto process = start();
    ASSERT_EQ(told("READY=1"), process->pid()) << process->errors();
    EXPECT_EQ(waiting.receive().status, 200);
    process->signal(SIGTERM);
    ASSERT_TRUE(told("STOPPING=1"));
    // Comes while the process ends, which may or may not take it up: answered, or left for the next one.
    BlockingClient late(port_);
    late.send(kRequest);
    EXPECT_EQ(process->wait(), 0) << process->errors();
    const auto next = start();
    ASSERT_TRUE(told("READY=1")) << next->errors();
    EXPECT_EQ(late.receive().status, 200);
    EXPECT_EQ(next->stop(), 0) << next->errors();
    ASSERT_TRUE(told("STOPPING=1"));
    EXPECT_EQ(next->errors().find("inherited_socket_closed"), std::string::npos) << next->errors();
  }
}

TEST_F(Activation, TellsWhichProcessServesAfterAnUpgrade) {
  const auto first = start();
  ASSERT_EQ(told("READY=1"), first->pid()) << first->errors();
  BlockingClient kept(port_);
  kept.send(kRequest);
  EXPECT_EQ(kept.receive().status, 200);
  first->signal(SIGUSR2);
  ASSERT_TRUE(told("READY=1")) << first->errors();
  const int successor = main_pid_;
  EXPECT_NE(successor, first->pid());
  EXPECT_EQ(::kill(successor, 0), 0);
  EXPECT_EQ(first->wait(), 0) << first->errors();
  BlockingClient client(port_);
  client.send(kRequest);
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(::kill(successor, SIGTERM), 0);
  EXPECT_EQ(told("STOPPING=1"), successor);
  int status = -1;
  EXPECT_EQ(::waitpid(successor, &status, 0), successor);
  EXPECT_EQ(status, 0);
  // Nobody listens, but the socket is still there: who comes now waits for the next start.
  BlockingClient waiting(port_);
  waiting.send(kRequest);
  const auto next = start();
  EXPECT_EQ(told("READY=1"), next->pid()) << next->errors();
  EXPECT_EQ(waiting.receive().status, 200);
}

}  // namespace
}  // namespace weir::tests::activation_test
