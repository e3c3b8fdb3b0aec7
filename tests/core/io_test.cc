#include "core/io.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <liburing.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "core/socket.h"
#include "tests/support/emulated.h"

namespace weir::core {
namespace {

// This many entries that bring something are refused, as by a kernel without memory for requests.
thread_local int refused_entries = 0;

}  // namespace
}  // namespace weir::core

// In the place of liburing's: the same, but for the refusals.
extern "C" int io_uring_enter2(unsigned ring, unsigned to_submit, unsigned min_complete, unsigned flags,
                               sigset_t* argument, size_t size) {
  if (to_submit > 0 && weir::core::refused_entries > 0) {
    --weir::core::refused_entries;
    return -EAGAIN;
  }
  const long result = ::syscall(__NR_io_uring_enter, ring, to_submit, min_complete, flags, argument, size);
  return result < 0 ? -errno : static_cast<int>(result);
}
extern "C" int io_uring_enter(unsigned ring, unsigned to_submit, unsigned min_complete, unsigned flags,
                              sigset_t* signals) {
  return io_uring_enter2(ring, to_submit, min_complete, flags, signals, _NSIG / 8);
}

namespace weir::core {
namespace {

constexpr uint64_t kMs = 1'000'000;

// An operation that notes its completions.
struct Watched {
  Watched() : operation(this, on_completion) {}
  static void on_completion(void* self_pointer, Completion& completion) {
    auto& self = *static_cast<Watched*>(self_pointer);
    self.results.push_back(completion.result);
    self.received += completion.data.text();
    if (self.keep) self.kept.push_back(std::move(completion.data));
  }
  int32_t last() const { return results.empty() ? INT32_MIN : results.back(); }
  bool done() const { return !results.empty() && !operation.armed(); }

  Operation operation;
  std::vector<int32_t> results;
  std::string received;
  bool keep = false;
  std::vector<Slice> kept;
};

std::string numbered(size_t size) {
  std::string text;
  for (uint32_t i = 0; text.size() < size; ++i) text += std::to_string(i * 2654435761u) + ",";
  text.resize(size);
  return text;
}

enum class Ring { newest, linux_6_1, linux_6_0, polled };  // polled: looked at before the loop sleeps
constexpr const char* kRingNames[] = {"Newest", "Linux61", "Linux60", "Polled"};

class IoTest : public ::testing::TestWithParam<Ring> {
 protected:
  void TearDown() override {
    for (const int descriptor : open_) ::close(descriptor);
  }

  Io& make(IoOptions options = {}) {
    if (GetParam() == Ring::linux_6_1) options.kernel = KernelLevel::linux_6_1;
    if (GetParam() == Ring::linux_6_0) options.kernel = KernelLevel::linux_6_0;
    if (GetParam() == Ring::polled) options.busy_poll_ns = 50'000;
    io_ = tests::ring_or_skip(Io::create(options, pool_));
    return *io_;
  }

  template <typename Condition>
  bool run_until(Condition done) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!done()) {
      if (std::chrono::steady_clock::now() > give_up) return false;
      io_->submit_and_wait(kMs);
      io_->dispatch();
    }
    return true;
  }
  void settle(int turns = 20) {
    run_until([&] { return turns-- == 0; });
  }
  void cancel(Watched& watched) {
    if (watched.operation.armed()) io_->cancel(watched.operation);
    EXPECT_TRUE(run_until([&] { return !watched.operation.armed(); }));
  }

  // Both ends of a TCP connection; the first is for the ring.
  std::pair<int, int> connected() {
    const int listener = listen_tcp(*SocketAddress::parse("127.0.0.1:0")).value();
    const SocketAddress address = bound_address(listener);
    const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::connect(client, address.get(), address.size()), 0);
    const int server = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    EXPECT_GE(server, 0);
    ::close(listener);
    ::fcntl(client, F_SETFL, O_NONBLOCK);
    open_.push_back(server);
    open_.push_back(client);
    return {server, client};
  }
  static void write(int descriptor, std::string_view text) {
    EXPECT_EQ(::send(descriptor, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  // Feeds `text` while the ring takes it.
  bool pump(int descriptor, std::string_view text) {
    return run_until([&] {
      const ssize_t sent = ::send(descriptor, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent > 0) text.remove_prefix(static_cast<size_t>(sent));
      return text.empty();
    });
  }

  BufferPool pool_;
  std::unique_ptr<Io> io_;
  std::vector<int> open_;
};

INSTANTIATE_TEST_SUITE_P(Rings, IoTest,
                         ::testing::Values(Ring::newest, Ring::linux_6_1, Ring::linux_6_0, Ring::polled),
                         [](const auto& suite) {
                           return kRingNames[static_cast<int>(suite.param)];
                         });

TEST_P(IoTest, AcceptsReceivesAndSendsOnConnectionsOfItsOwn) {
  Io& io = make();
  const int listener = listen_tcp(*SocketAddress::parse("127.0.0.1:0")).value();
  const SocketAddress address = bound_address(listener);
  Watched accepted, connecting;
  io.accept(accepted.operation, listener);
  const int client = open_tcp_socket(AF_INET);
  io.connect(connecting.operation, client, address.get(), address.size());
  ASSERT_TRUE(run_until([&] { return connecting.done() && !accepted.results.empty(); }));
  EXPECT_EQ(connecting.last(), 0);
  const int server = accepted.last();
  ASSERT_GE(server, 0);
  EXPECT_TRUE(accepted.operation.armed()) << "accept is multishot";

  Watched received, sent;
  io.receive(received.operation, server);
  const std::string text = "across the ring";
  const iovec piece{const_cast<char*>(text.data()), text.size()};
  io.send(sent.operation, client, {&piece, 1});
  ASSERT_TRUE(run_until([&] { return sent.done() && received.received == text; }));
  EXPECT_EQ(sent.last(), static_cast<int32_t>(text.size()));

  io.shutdown_write(client);
  ASSERT_TRUE(run_until([&] { return received.done(); }));
  EXPECT_EQ(received.last(), 0);
  cancel(accepted);
  for (const int descriptor : {listener, client, server}) io.close(descriptor);
  settle(2);
  EXPECT_EQ(::fcntl(client, F_GETFD), -1) << "closed through the ring";
}

TEST_P(IoTest, KeepsTheOrderOfManySmallReceives) {
  Io& io = make();
  const auto [server, client] = connected();
  Watched received;
  received.keep = true;  // so that nothing is overwritten unseen
  io.receive(received.operation, server);
  const std::string text = numbered(20'000);
  for (size_t at = 0; at < text.size(); at += 100) {
    write(client, std::string_view(text).substr(at, 100));
    io.submit_and_wait(0);
    io.dispatch();
  }
  ASSERT_TRUE(run_until([&] { return received.received.size() == text.size(); }));
  EXPECT_EQ(received.received, text);
  std::string kept;
  for (const Slice& slice : received.kept) kept += slice.text();
  EXPECT_EQ(kept, text) << "a slice was overwritten while it was held";
  cancel(received);
  received.kept.clear();
}

TEST_P(IoTest, KeepsTheBytesOfManySocketsApart) {
  Io& io = make();
  constexpr size_t kSockets = 50;
  std::vector<std::unique_ptr<Watched>> received;
  std::vector<int> clients;
  std::vector<std::string> expected(kSockets);
  for (size_t i = 0; i < kSockets; ++i) {
    const auto [server, client] = connected();
    clients.push_back(client);
    received.push_back(std::make_unique<Watched>());
    io.receive(received.back()->operation, server);
  }
  for (int round = 0; round < 30; ++round) {
    for (size_t i = 0; i < kSockets; ++i) {
      const std::string text = numbered(1 + (i * 37 + static_cast<size_t>(round) * 101) % 3000);
      expected[i] += text;
      write(clients[i], text);
    }
    io.submit_and_wait(0);
    io.dispatch();
  }
  for (size_t i = 0; i < kSockets; ++i) {
    ASSERT_TRUE(run_until([&] { return received[i]->received.size() == expected[i].size(); })) << i;
    EXPECT_EQ(received[i]->received, expected[i]);
    cancel(*received[i]);
  }
}

TEST_P(IoTest, EndsAReceiveWithTheError) {
  Io& io = make();
  const auto [server, client] = connected();
  Watched received;
  io.receive(received.operation, server);
  const linger hard{1, 0};
  ::setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  ::close(client);
  open_.pop_back();
  ASSERT_TRUE(run_until([&] { return received.done(); }));
  EXPECT_EQ(received.last(), -ECONNRESET);
}

TEST_P(IoTest, ReportsARefusedConnection) {
  Io& io = make();
  const int listener = listen_tcp(*SocketAddress::parse("127.0.0.1:0")).value();
  const SocketAddress address = bound_address(listener);
  ::close(listener);
  Watched connecting;
  const int client = open_tcp_socket(AF_INET);
  open_.push_back(client);
  io.connect(connecting.operation, client, address.get(), address.size());
  ASSERT_TRUE(run_until([&] { return connecting.done(); }));
  EXPECT_EQ(connecting.last(), -ECONNREFUSED);
}

TEST_P(IoTest, CancelsEachKindOfOperation) {
  Io& io = make();
  const int listener = listen_tcp(*SocketAddress::parse("127.0.0.1:0")).value();
  open_.push_back(listener);
  const auto [server, client] = connected();
  Watched accepted, received, sent;
  io.accept(accepted.operation, listener);
  io.receive(received.operation, server);
  const std::string more_than_the_kernel_takes(32u << 20, 'x');
  const iovec piece{const_cast<char*>(more_than_the_kernel_takes.data()), more_than_the_kernel_takes.size()};
  io.send(sent.operation, server, {&piece, 1});
  settle(3);
  ASSERT_TRUE(accepted.operation.armed() && received.operation.armed() && sent.operation.armed());
  cancel(accepted);
  cancel(received);
  cancel(sent);
  EXPECT_EQ(accepted.last(), -ECANCELED);
  EXPECT_EQ(received.last(), -ECANCELED);
  EXPECT_TRUE(sent.last() == -ECANCELED || sent.last() > 0) << sent.last();
}

TEST_P(IoTest, AllowsACancelThatComesTooLate) {
  Io& io = make();
  const auto [server, client] = connected();
  Watched received;
  io.receive(received.operation, server);
  settle(2);
  ::shutdown(client, SHUT_WR);
  io.cancel(received.operation);  // the end arrives in the same turn
  ASSERT_TRUE(run_until([&] { return received.done(); }));
  EXPECT_TRUE(received.last() == 0 || received.last() == -ECANCELED);
  settle(2);
  EXPECT_EQ(received.results.size(), 1u);
}

TEST_P(IoTest, SendsManyPiecesInOrder) {
  Io& io = make();
  const auto [server, client] = connected();
  const std::string text = numbered(64 * 1024);
  std::vector<iovec> pieces;
  for (size_t i = 0; i < 16; ++i) pieces.push_back({const_cast<char*>(text.data()) + i * 4096, 4096});
  Watched sent, received;
  io.send(sent.operation, server, pieces);
  pieces.assign(16, iovec{});  // the array need not outlive the call
  io.receive(received.operation, client);
  ASSERT_TRUE(run_until([&] { return sent.done() && received.received.size() == text.size(); }));
  EXPECT_EQ(sent.last(), static_cast<int32_t>(text.size()));
  EXPECT_EQ(received.received, text);
  cancel(received);
}

TEST_P(IoTest, SendsManyPiecesToAPeerThatReadsLate) {
  Io& io = make();
  const auto [server, client] = connected();
  const int little = 16 * 1024;
  ::setsockopt(server, SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
  const std::string text = numbered(4 << 20);
  const size_t size = text.size() / 16;
  std::vector<iovec> pieces;
  for (size_t i = 0; i < 16; ++i) pieces.push_back({const_cast<char*>(text.data()) + i * size, size});
  Watched sent, received;
  io.send(sent.operation, server, pieces);
  settle();
  EXPECT_TRUE(sent.operation.armed()) << "it does not fit";
  io.receive(received.operation, client);
  ASSERT_TRUE(run_until([&] { return sent.done() && received.received.size() == static_cast<size_t>(sent.last()); }));
  EXPECT_GT(sent.last(), 0);
  EXPECT_EQ(received.received, text.substr(0, received.received.size()));
  cancel(received);
}

TEST_P(IoTest, TakesMoreOperationsInATurnThanItsQueueHolds) {
  Io& io = make({.submission_entries = 8, .completion_entries = 16});
  constexpr size_t kSockets = 100;
  std::vector<std::unique_ptr<Watched>> sent, received;
  const std::string front = "front,", back = "back";
  for (size_t i = 0; i < kSockets; ++i) {
    const auto [server, client] = connected();
    sent.push_back(std::make_unique<Watched>());
    received.push_back(std::make_unique<Watched>());
    const iovec pieces[2] = {{const_cast<char*>(front.data()), front.size()},
                             {const_cast<char*>(back.data()), back.size()}};
    io.send(sent.back()->operation, server, pieces);
    io.receive(received.back()->operation, client);
  }
  for (size_t i = 0; i < kSockets; ++i) {
    ASSERT_TRUE(run_until([&] {
      // More at once than there are whole blocks: the owner's part.
      if (!received[i]->operation.armed()) io.receive(received[i]->operation, open_[2 * i + 1]);
      return sent[i]->done() && received[i]->received == "front,back";
    })) << i;
  }
  for (auto& watched : received) cancel(*watched);
}

TEST_P(IoTest, LosesNothingWhileTheKernelTakesNothing) {
  Io& io = make({.submission_entries = 8});
  struct Sender {
    int socket = -1, peer = -1;
    std::string texts[3];
    iovec pieces[3];
    Watched sent;
  };
  std::deque<Sender> senders(40);
  for (size_t i = 0; i < senders.size(); ++i) {
    std::tie(senders[i].socket, senders[i].peer) = connected();
    for (size_t piece = 0; piece < 3; ++piece) {
      std::string& text = senders[i].texts[piece];
      text = std::to_string(i) + "/" + std::to_string(piece) + ";";
      senders[i].pieces[piece] = {text.data(), text.size()};
    }
  }
  Watched never;
  const int idle = connected().first;

  refused_entries = 5;
  io.send(senders[0].sent.operation, senders[0].socket, senders[0].pieces);
  io.submit_and_wait(0);  // refused: that send is still in the queue when others come behind it
  io.dispatch();
  EXPECT_EQ(refused_entries, 4);
  io.receive(never.operation, idle);
  io.cancel(never.operation);  // must not overtake it
  for (size_t i = 1; i < senders.size(); ++i)
    io.send(senders[i].sent.operation, senders[i].socket, senders[i].pieces);
  ASSERT_TRUE(run_until([&] {
    return !never.operation.armed() &&
           std::ranges::all_of(senders, [](Sender& sender) { return sender.sent.done(); });
  }));
  EXPECT_EQ(refused_entries, 0);
  EXPECT_EQ(never.last(), -ECANCELED);
  for (Sender& sender : senders) {
    const std::string whole = sender.texts[0] + sender.texts[1] + sender.texts[2];
    EXPECT_EQ(sender.sent.last(), static_cast<int32_t>(whole.size()));
    char bytes[64];
    const ssize_t count = ::recv(sender.peer, bytes, sizeof bytes, MSG_DONTWAIT);
    EXPECT_EQ(std::string(bytes, count > 0 ? static_cast<size_t>(count) : 0), whole);
  }
  // And then it is as before: one entry into the kernel a turn, or two of who looks before it sleeps.
  const uint64_t enters = io.stats().enters;
  settle(3);
  EXPECT_EQ(io.stats().enters, enters + (GetParam() == Ring::polled ? 6 : 3));
}

TEST_P(IoTest, LosesNothingWhenItsCompletionQueueOverflows) {
  Io& io = make({.submission_entries = 8, .completion_entries = 16});
  constexpr size_t kSockets = 64;
  std::vector<std::unique_ptr<Watched>> received;
  std::vector<int> clients;
  for (size_t i = 0; i < kSockets; ++i) {
    const auto [server, client] = connected();
    clients.push_back(client);
    received.push_back(std::make_unique<Watched>());
    io.receive(received.back()->operation, server);
  }
  settle(2);
  std::vector<std::string> expected(kSockets);
  for (int round = 0; round < 20; ++round) {
    for (size_t i = 0; i < kSockets; ++i) {
      const std::string text = numbered(100 + i + static_cast<size_t>(round));
      expected[i] += text;
      write(clients[i], text);
    }
    for (int waits = 0; waits < 3; ++waits) io.submit_and_wait(0);  // nobody looks at what completes
    io.dispatch();
  }
  for (size_t i = 0; i < kSockets; ++i) {
    ASSERT_TRUE(run_until([&] {
      // The owner's part: a receive that ended is armed again.
      for (size_t j = 0; j < kSockets; ++j) {
        if (!received[j]->operation.armed()) io.receive(received[j]->operation, open_[2 * j]);
      }
      return received[i]->received.size() == expected[i].size();
    })) << i;
    EXPECT_EQ(received[i]->received, expected[i]);
  }
  for (auto& watched : received) cancel(*watched);
}

// Receive memory of blocks of a page.
IoOptions pages(uint32_t at_start, uint64_t most_bytes) {
  IoOptions options;
  options.incremental_block_bytes = options.whole_block_bytes = 4096;
  options.incremental_blocks = options.whole_blocks = at_start;
  options.max_receive_bytes = most_bytes;
  return options;
}

TEST_P(IoTest, EndsAReceiveWithoutBuffersAndLosesNothing) {
  // Room for two blocks, and both are held.
  Io& io = make(pages(2, 8192));
  const auto [server, client] = connected();
  Watched received;
  received.keep = true;
  io.receive(received.operation, server);
  const std::string text = numbered(100'000);
  write(client, text);
  ASSERT_TRUE(run_until([&] { return received.done(); }));
  EXPECT_EQ(received.last(), -ENOBUFS);
  EXPECT_EQ(received.received.size(), 8192u);
  EXPECT_GE(io.stats().no_buffers, 1u);
  io.take_buffers_returned();
  settle(3);
  EXPECT_FALSE(io.take_buffers_returned()) << "nothing has come back yet";

  const auto give_back = [&] {
    std::string kept;
    for (const Slice& slice : received.kept) kept += slice.text();
    EXPECT_EQ(kept, received.received.substr(received.received.size() - kept.size()));
    received.kept.clear();
  };
  ASSERT_TRUE(run_until([&] {
    if (!received.operation.armed()) {
      give_back();
      EXPECT_TRUE(io.take_buffers_returned());
      io.receive(received.operation, server);
    }
    return received.received.size() == text.size();
  }));
  EXPECT_EQ(received.received, text);
  cancel(received);
  received.kept.clear();
}

// The memory came back before the receive could say that it had none.
TEST_P(IoTest, SaysThatBuffersAreBackAlsoWhenTheWantIsSeenLate) {
  Io& io = make(pages(1, 4096));
  const auto [server, client] = connected();
  Watched received;
  received.keep = true;
  io.receive(received.operation, server);
  write(client, numbered(10'000));
  ASSERT_TRUE(run_until([&] { return received.received.size() == 4096 && received.done(); }));
  io.take_buffers_returned();
  const auto [other_server, other_client] = connected();
  Watched other;
  io.receive(other.operation, other_server);
  write(other_client, "late");
  io.submit_and_wait(kMs);  // completes without a buffer, and nobody has looked yet
  received.kept.clear();
  ASSERT_TRUE(io.take_buffers_returned());
  io.dispatch();
  ASSERT_EQ(other.last(), -ENOBUFS);
  EXPECT_TRUE(io.take_buffers_returned());
}

TEST_P(IoTest, GrowsItsReceiveMemoryAndShrinksItAgain) {
  Io& io = make(pages(2, 1u << 20));
  const auto [server, client] = connected();
  Watched received;
  received.keep = true;
  io.receive(received.operation, server);
  const std::string text = numbered(200'000);
  std::string_view rest = text;
  ASSERT_TRUE(run_until([&] {
    const ssize_t sent = ::send(client, rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) rest.remove_prefix(static_cast<size_t>(sent));
    if (!received.operation.armed()) io.receive(received.operation, server);
    return received.received.size() == text.size();
  }));
  EXPECT_EQ(received.received, text);
  EXPECT_GE(io.stats().receive_bytes, 200'000u);
  EXPECT_LE(io.stats().receive_bytes, 1u << 20);
  cancel(received);
  received.kept.clear();
  EXPECT_LE(io.stats().receive_bytes, 3u * 4096);
  const uint64_t spare = io.stats().spare_bytes;
  EXPECT_GE(spare, 150'000u);
  EXPECT_TRUE(io.trim_receive_memory()) << "it was needed a moment ago";
  EXPECT_FALSE(io.trim_receive_memory());
  EXPECT_EQ(io.stats().spare_bytes, 0u);
}

TEST_P(IoTest, KeepsTheReceiveMemoryThatBurstsComeBackFor) {
  Io& io = make(pages(2, 1u << 20));
  const auto [server, client] = connected();
  const std::string text = numbered(40'000);
  Watched received;
  received.keep = true;
  uint64_t spare = 0;
  for (size_t burst = 1; burst <= 5; ++burst) {
    ASSERT_EQ(::send(client, text.data(), text.size(), MSG_NOSIGNAL), 40'000);
    ASSERT_TRUE(run_until([&] {
      if (!received.operation.armed()) io.receive(received.operation, server);
      return received.received.size() == burst * text.size();
    }));
    received.kept.clear();
    EXPECT_TRUE(burst <= 2 || io.stats().spare_bytes == spare) << burst;
    spare = io.stats().spare_bytes;
    EXPECT_GT(spare, 0u);
    io.trim_receive_memory();
  }
  cancel(received);
}

TEST_P(IoTest, WakesFromAnotherThread) {
  Io& io = make();
  io.submit_and_wait(0);
  for (int i = 0; i < 100; ++i) {
    std::thread other([&] { io.wake(); });
    io.submit_and_wait(UINT64_MAX);  // would wait for ever
    io.dispatch();
    other.join();
  }
}

TEST_P(IoTest, RemembersAWakeUpThatCameBeforeTheWait) {
  Io& io = make();
  io.wake();
  io.submit_and_wait(UINT64_MAX);
  io.dispatch();
}

TEST_P(IoTest, EntersTheKernelOncePerTurn) {
  Io& io = make();
  const auto [server, client] = connected();
  Watched received, sent;
  io.receive(received.operation, server);
  io.submit_and_wait(0);
  io.dispatch();
  const uint64_t before = io.stats().enters;
  const std::string text = "x";
  const iovec piece{const_cast<char*>(text.data()), 1};
  io.send(sent.operation, server, {&piece, 1});
  write(client, "y");
  io.submit_and_wait(kMs);
  io.dispatch();
  EXPECT_EQ(io.stats().enters - before, 1u);
  EXPECT_TRUE(sent.done());
  cancel(received);
}

TEST_P(IoTest, ClosesWhatItWasToldToCloseLast) {
  const auto [server, client] = connected();
  make().close(server);
  io_.reset();
  open_.front() = -1;
  char byte;
  EXPECT_EQ(::recv(client, &byte, 1, 0), 0);
}

}  // namespace
}  // namespace weir::core
