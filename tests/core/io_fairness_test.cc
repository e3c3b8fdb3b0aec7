// One socket with much to bring against one with little: the kernel receives up to 32 times from a socket before it
// looks at the next one. What bounds a turn is the memory that is given to it, of which nothing comes back before the
// turn's end.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "core/io.h"
#include "core/socket.h"

namespace weir::core {
namespace {

constexpr int kFatClients = 4;
constexpr int kRounds = 100;
// As many as there are fat ones, if each takes all memory once, and one more.
constexpr int kMaxTurns = kFatClients + 1;

// A connection that is received from all the time.
class Receiving {
 public:
  Receiving(Io& io) : io_(io), operation_(this, on_completion) {
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
    if (operation_.armed()) io_.cancel(operation_);
    while (operation_.armed()) {
      io_.submit_and_wait(1'000'000);
      io_.dispatch();
    }
    ::close(client_);
    ::close(socket_);
  }
  Receiving(const Receiving&) = delete;
  Receiving& operator=(const Receiving&) = delete;
  void arm() {
    if (!operation_.armed()) io_.receive(operation_, socket_);
  }
  // As much as the kernel takes.
  void fill(const std::string& text) const {
    while (::send(client_, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0) continue;
  }
  void write_one() const { EXPECT_EQ(::send(client_, "x", 1, MSG_NOSIGNAL), 1); }
  uint64_t received() const { return received_; }

 private:
  static void on_completion(void* pointer, Completion& completion) {
    static_cast<Receiving*>(pointer)->received_ += completion.data.size();
  }
  Io& io_;
  Operation operation_;
  int socket_ = -1, client_ = -1;
  uint64_t received_ = 0;
};

class IoFairness : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Rings, IoFairness, testing::Bool(),
                         [](const auto& suite) { return suite.param ? "Incremental" : "Whole"; });

TEST_P(IoFairness, WhoBringsLittleWaitsAFewTurnsAtMostForThoseWhoBringMuch) {
  BufferPool pool;
  IoOptions options;
  options.allow_incremental = GetParam();
  auto io = *Io::create(options, pool);
  const std::string text(1 << 20, 'y');
  std::vector<std::unique_ptr<Receiving>> fat;
  for (int i = 0; i < kFatClients; ++i) fat.push_back(std::make_unique<Receiving>(*io));
  Receiving quiet(*io);
  uint64_t most_of_one = 0;
  int most_turns = 0;
  for (uint64_t round = 0; round < kRounds; ++round) {
    quiet.write_one();
    int turns = 0;
    for (; quiet.received() == round && turns < 1000; ++turns) {
      std::vector<uint64_t> before;
      for (const auto& each : fat) {
        each->fill(text);
        before.push_back(each->received());
      }
      io->submit_and_wait(1'000'000);
      io->dispatch();
      for (size_t i = 0; i < fat.size(); ++i)
        most_of_one = std::max(most_of_one, fat[i]->received() - before[i]);
      if (!io->take_buffers_returned()) continue;
      for (const auto& each : fat) each->arm();
      quiet.arm();
    }
    most_turns = std::max(most_turns, turns);
  }
  RecordProperty("turns", most_turns);
  RecordProperty("bytes", static_cast<int>(most_of_one));
  EXPECT_LE(most_turns, kMaxTurns);
  EXPECT_GT(most_of_one, 0u);
  EXPECT_LE(most_of_one, uint64_t{options.incremental_block_bytes} * options.incremental_blocks);
}

}  // namespace
}  // namespace weir::core
