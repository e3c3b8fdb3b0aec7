// Whether a gateway of one shard goes on answering while something bad is done to it: one patient client that
// asks again and again, and for each answer looks how long the shard's thread was busy meanwhile.
//
// CPU time, not time: what else this machine does has no part in it. A shard that blocks instead shows as an
// answer that takes seconds.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "tests/integration/gateway_fixture.h"
#include "tests/support/sanitized.h"

namespace weir::tests {

// Nanoseconds that a thread, or all threads, of a process have run. The kernel's own count (schedstat).
inline uint64_t busy_ns(int pid, std::string_view thread_name = "") {
  uint64_t sum = 0;
  std::error_code ignored;
  for (const auto& task :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task", ignored)) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    uint64_t ns = 0;
    std::ifstream(task.path() / "schedstat") >> ns;
    if (thread_name.empty() || name == thread_name) sum += ns;
  }
  return sum;
}

// Bytes of memory a process has (VmRSS), and the most it ever had since reset_peak() (VmHWM).
inline uint64_t memory_bytes(int pid, std::string_view field = "VmRSS:") {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field)) return std::stoull(line.substr(field.size())) * 1024;
  }
  return 0;
}
inline void reset_peak(int pid) {
  std::ofstream("/proc/" + std::to_string(pid) + "/clear_refs") << "5";
}

class ShardProbe {
 public:
  static constexpr uint64_t kMostBusyNs = kSanitized ? 2'000'000'000 : 50'000'000;

  explicit ShardProbe(Gateway& gateway) : port_(gateway.port()), pid_(gateway.process().pid()) {
    thread_ = std::thread([this] { run(); });
  }
  // Nothing has held the shard up.
  ~ShardProbe() {
    if (!thread_.joinable()) return;
    EXPECT_LT(stop(), kMostBusyNs) << "the shard was stalled";
  }
  ShardProbe(const ShardProbe&) = delete;
  ShardProbe& operator=(const ShardProbe&) = delete;

  // The most that the shard was busy between a question and its answer; what that means is the caller's to say.
  uint64_t stop() {
    stopping_ = true;
    thread_.join();
    EXPECT_GT(answers_, 0u);
    EXPECT_EQ(failures_, 0u) << "the probe was not answered";
    EXPECT_LT(longest_, std::chrono::seconds(kSanitized ? 15 : 5)) << "the shard blocked";
    return most_busy_ns_;
  }

 private:
  void run() {
    auto client = std::make_unique<BlockingClient>(port_);
    while (!stopping_) {
      const uint64_t before_ns = busy_ns(pid_, "shard 0");
      const auto begun = std::chrono::steady_clock::now();
      client->send("GET /healthz HTTP/1.1\r\nhost: weir\r\n\r\n");
      const Answer answer = client->receive();
      if (answer.status != 200) {
        ++failures_;
        return;
      }
      longest_ = std::max(longest_, std::chrono::steady_clock::now() - begun);
      most_busy_ns_ = std::max(most_busy_ns_, busy_ns(pid_, "shard 0") - before_ns);
      ++answers_;
      // A gateway that is behind keeps no connection.
      if (answer.header("connection") == "close") client = std::make_unique<BlockingClient>(port_);
    }
  }

  const uint16_t port_;
  const int pid_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
  // The thread's, then stop()'s.
  uint64_t answers_ = 0, failures_ = 0, most_busy_ns_ = 0;
  std::chrono::steady_clock::duration longest_{};
};

}  // namespace weir::tests
