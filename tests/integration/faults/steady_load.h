// Clients that never stop asking, and count what an operation on the gateway must not cause: a connection
// refused, a request without its whole answer, a stream without its end, an answer that is not the one asked
// for.
//
//   SteadyLoad load(port, {.keep_alive = 2, .fresh = 1, .streams = 2});
//   ... restart, rotate, reload ...
//   const LoadResult result = load.stop();      // ends what is under way first
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/gateway_fixture.h"

namespace weir::tests {

struct LoadOptions {
  int keep_alive = 2;  // clients that ask again on their connection until they are told to close it
  int fresh = 1;       // clients that open a connection for each request
  int streams = 2;     // clients that read event streams
};

struct LoadResult {
  uint64_t answers = 0, streams = 0;
  uint64_t refused = 0;  // connections
  uint64_t cut = 0;      // requests that got no whole answer
  uint64_t wrong = 0;    // anything but 200
  std::string first_problem = {};
};

class SteadyLoad {
 public:
  SteadyLoad(uint16_t port, const LoadOptions& options) : port_(port) {
    for (int i = 0; i < options.keep_alive; ++i)
      start([this](Counts& counts) { ask_again_and_again(counts); });
    for (int i = 0; i < options.fresh; ++i) start([this](Counts& counts) { ask_once_each(counts); });
    for (int i = 0; i < options.streams; ++i) start([this](Counts& counts) { read_streams(counts); });
  }
  ~SteadyLoad() { stop(); }

  // Of all clients so far.
  uint64_t done() const { return done_; }
  // Waits until so many more requests have been answered.
  void wait_for(uint64_t more) const {
    const uint64_t wanted = done_ + more;
    for (uint64_t done; (done = done_) < wanted;) done_.wait(done);
  }
  LoadResult stop() {
    stopping_ = true;
    LoadResult sum;
    for (auto& client : clients_) {
      if (client->thread.joinable()) client->thread.join();
      const LoadResult& of = client->counts;
      sum.answers += of.answers;
      sum.streams += of.streams;
      sum.refused += of.refused;
      sum.cut += of.cut;
      sum.wrong += of.wrong;
      if (sum.first_problem.empty()) sum.first_problem = of.first_problem;
    }
    return sum;
  }

 private:
  using Counts = LoadResult;
  struct Client {
    Counts counts;
    std::thread thread;
  };

  template <typename Work>
  void start(Work work) {
    clients_.push_back(std::make_unique<Client>());
    Client& client = *clients_.back();
    client.thread = std::thread([this, &client, work] {
      while (!stopping_) work(client.counts);
    });
  }

  static void note(uint64_t& count, Counts& counts, const std::string& what) {
    ++count;
    if (counts.first_problem.empty()) counts.first_problem = what;
  }

  void count() {
    ++done_;
    done_.notify_all();
  }

  // Null: refused, and counted.
  std::unique_ptr<BlockingClient> connect(Counts& counts) {
    auto client = std::make_unique<BlockingClient>(port_, BlockingClient::Refusal::expected);
    if (client->connected()) return client;
    note(counts.refused, counts, std::string("connect: ") + std::strerror(errno));
    return nullptr;
  }

  // Whether the connection may be used again.
  bool ask(BlockingClient& client, Counts& counts) {
    const bool sent = client.send(chat_request());
    const Answer answer = sent ? client.receive() : Answer{};
    if (answer.status == 0) {
      note(counts.cut, counts, sent ? "no whole answer" : "not sent");
      return false;
    }
    count();
    if (answer.status == 200) {
      ++counts.answers;
    } else {
      note(counts.wrong, counts, answer.head + answer.body);
    }
    return answer.header("connection") != "close";
  }

  void ask_again_and_again(Counts& counts) {
    const auto client = connect(counts);
    while (client != nullptr && !stopping_ && ask(*client, counts)) continue;
  }

  void ask_once_each(Counts& counts) {
    if (const auto client = connect(counts)) ask(*client, counts);
  }

  void read_streams(Counts& counts) {
    const auto client = connect(counts);
    if (client == nullptr) return;
    const bool sent = client->send(chat_request("connection: close\r\n", "chat", R"(,"stream":true)"));
    const std::string bytes = sent ? client->receive_to_end() : "";
    if (bytes.starts_with("HTTP/1.1 ") && !bytes.starts_with("HTTP/1.1 200")) {
      note(counts.wrong, counts, bytes);
    } else if (bytes.find("data: [DONE]") == std::string::npos || !bytes.ends_with("0\r\n\r\n")) {
      note(counts.cut, counts,
           "a stream ended with: " + bytes.substr(bytes.size() - std::min<size_t>(bytes.size(), 200)));
    } else {
      ++counts.streams;
      count();
    }
  }

  const uint16_t port_;
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> done_{0};
  std::vector<std::unique_ptr<Client>> clients_;
};

}  // namespace weir::tests
