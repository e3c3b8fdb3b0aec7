// Receive memory that nobody has been given is the kernel's or the next burst's: reading it is reported.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <vector>

#include "core/io.h"
#include "core/poison.h"
#include "core/socket.h"
#include "tests/support/emulated.h"

#ifdef WEIR_POISONING
namespace weir::core::io_poison_test {
namespace {

// Keeps every slice that is received on one connection.
class IoPoison : public ::testing::TestWithParam<bool> {
 protected:
  void make(IoOptions options) {
    if (!GetParam()) options.kernel = KernelLevel::linux_6_1;
    io_ = tests::ring_or_skip(Io::create(options, pool_));
    const int listener = listen_tcp(*SocketAddress::parse("127.0.0.1:0")).value();
    const SocketAddress address = bound_address(listener);
    client_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(::connect(client_, address.get(), address.size()), 0);
    server_ = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ASSERT_GE(server_, 0);
    ::close(listener);
    io_->receive(receive_, server_);
  }
  void TearDown() override {
    if (io_ == nullptr) return;
    kept_.clear();
    if (receive_.armed()) io_->cancel(receive_);
    EXPECT_TRUE(run_until([&] { return !receive_.armed(); }));
    ::close(client_);
    ::close(server_);
  }
  template <typename Condition>
  bool run_until(Condition done) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!done()) {
      if (std::chrono::steady_clock::now() > give_up) return false;
      io_->submit_and_wait(1'000'000);
      io_->dispatch();
    }
    return true;
  }
  bool deliver(const std::string& text) {
    const size_t before = received_;
    EXPECT_EQ(::send(client_, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
    return run_until([&] {
      if (!receive_.armed()) io_->receive(receive_, server_);  // it found no buffer
      return received_ == before + text.size();
    });
  }

  BufferPool pool_;
  std::unique_ptr<Io> io_;
  std::vector<Slice> kept_;

 private:
  static void on_received(void* self_pointer, Completion& completion) {
    auto& self = *static_cast<IoPoison*>(self_pointer);
    self.received_ += completion.data.size();
    if (!completion.data.empty()) self.kept_.push_back(std::move(completion.data));
  }
  Operation receive_{this, on_received};
  size_t received_ = 0;
  int client_ = -1, server_ = -1;
};

INSTANTIATE_TEST_SUITE_P(Rings, IoPoison, ::testing::Bool(),
                         [](const auto& incremental) { return incremental.param ? "Incremental" : "Whole"; });

TEST_P(IoPoison, IsOnTheBytesThatTheKernelOwns) {
  make({});
  ASSERT_TRUE(deliver("hello"));
  const uint8_t* const data = kept_[0].data();
  EXPECT_FALSE(__asan_address_is_poisoned(data + 4 + BufferPool::kPadding));
  EXPECT_TRUE(__asan_address_is_poisoned(data + 5 + BufferPool::kPadding + 8));
  kept_.clear();
  // An incremental block is given back as a whole.
  EXPECT_EQ(__asan_address_is_poisoned(data), !GetParam());
}

TEST_P(IoPoison, IsOnTheBlocksThatAreKeptForTheNextBurst) {
  make({.incremental_block_bytes = 4096,
        .incremental_blocks = 2,
        .whole_block_bytes = 4096,
        .whole_blocks = 2});
  for (int i = 0; i < 16; ++i) ASSERT_TRUE(deliver(std::string(4096, 'x')));
  std::vector<const uint8_t*> begins;
  for (const Slice& slice : kept_) begins.push_back(slice.data());
  kept_.clear();
  ASSERT_GT(io_->stats().spare_bytes, 0u);
  for (const uint8_t* begin : begins) EXPECT_TRUE(__asan_address_is_poisoned(begin));
}

}  // namespace
}  // namespace weir::core::io_poison_test
#endif
