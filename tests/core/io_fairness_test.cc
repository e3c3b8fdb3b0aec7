// One socket with little to bring among some with much: the kernel receives up to 32 times from a socket before it
// looks at the next one. What bounds a turn is the memory that is given to it, of which nothing comes back before the
// turn's end; who was left without goes before who was served.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "core/loop.h"
#include "core/socket.h"
#include "tests/support/emulated.h"

namespace weir::core {
namespace {

constexpr int kFatClients = 4;
constexpr int kRounds = 100;
// As many as there are fat ones, if each takes all memory once; one to find it gone, and one to be served.
constexpr int kMaxTurns = kFatClients + 2;

// A connection that is received from all the time, as net::Connection does.
class Receiving {
 public:
  explicit Receiving(Loop& loop) : loop_(loop), operation_(this, on_completion), starved_(on_memory, this) {
    const int listener = *listen_tcp(*SocketAddress::parse("127.0.0.1:0"));
    const SocketAddress address = bound_address(listener);
    client_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::connect(client_, address.get(), address.size()), 0);
    socket_ = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ::close(listener);
    const int size = 4 << 20;
    ::setsockopt(client_, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    arm();
  }
  ~Receiving() {
    ended_ = true;
    if (operation_.armed()) loop_.io().cancel(operation_);
    for (int turns = 0; operation_.armed() && turns < 1000; ++turns) loop_.turn(1'000'000);
    ::close(client_);
    ::close(socket_);
  }
  Receiving(const Receiving&) = delete;
  Receiving& operator=(const Receiving&) = delete;
  // As much as the kernel takes.
  void fill(const std::string& text) const {
    while (::send(client_, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0) continue;
  }
  void write_one() const { EXPECT_EQ(::send(client_, "x", 1, MSG_NOSIGNAL), 1); }
  uint64_t received() const { return received_; }

 private:
  void arm() {
    if (ended_) return;
    before_ = received_;
    loop_.io().receive(operation_, socket_);
  }
  static void on_memory(TurnTask& task) { task.owner<Receiving>().arm(); }
  static void on_completion(void* pointer, Completion& completion) {
    auto& self = *static_cast<Receiving*>(pointer);
    self.received_ += completion.data.size();
    if (completion.result == -ENOBUFS) self.loop_.when_buffers_return(self.starved_, self.received_ != self.before_);
    else if (!completion.more && completion.result > 0) self.arm();
  }
  Loop& loop_;
  Operation operation_;
  TurnTask starved_;
  int socket_ = -1, client_ = -1;
  uint64_t received_ = 0, before_ = 0;
  bool ended_ = false;
};

class IoFairness : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Rings, IoFairness, ::testing::Bool(),
                         [](const auto& suite) { return suite.param ? "Incremental" : "Whole"; });

TEST_P(IoFairness, WhoBringsLittleWaitsAFewTurnsAtMostForThoseWhoBringMuch) {
  IoOptions options;
  if (!GetParam()) options.kernel = KernelLevel::linux_6_1;
  const auto made = tests::ring_or_skip(Loop::create(options));
  Loop& loop = *made;
  const std::string text(1 << 20, 'y');
  std::vector<std::unique_ptr<Receiving>> fat;
  for (int i = 0; i < kFatClients; ++i) fat.push_back(std::make_unique<Receiving>(loop));
  Receiving quiet(loop);
  int most_turns = 0;
  for (uint64_t round = 0; round < kRounds; ++round) {
    quiet.write_one();
    int turns = 0;
    for (; quiet.received() == round && turns < 100; ++turns) {
      for (const auto& each : fat) each->fill(text);
      loop.turn(1'000'000);
    }
    ASSERT_EQ(quiet.received(), round + 1);
    most_turns = std::max(most_turns, turns);
  }
  EXPECT_LE(most_turns, kMaxTurns);
  EXPECT_GT(loop.io().stats().no_buffers, 0u) << "the test did not test it";
}

}  // namespace
}  // namespace weir::core
