// One shard on a thread of its own, pinned to a CPU: from its loop's creation to its end.
//
//   ShardThread() ─▶ loop made ─▶ opened() says whether ─▶ serve(listeners) ─▶ drain() ─▶ [close_now()] ─▶
//   ended
//                                      └ not served: ends at once with the destructor
//
// The ring belongs to the thread that makes it, so the loop is made there, and start-up can learn of every
// problem before anything is served.
//
// Thread: all calls from the one that made it.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/loop.h"
#include "net/tls/tls_server_context.h"
#include "routing/exchange/gateway.h"

namespace weir::tools {

struct ShardListener {
  int descriptor = -1;                               // taken over
  const net::TlsServerContextHolder* tls = nullptr;  // null = plain
};

class ShardThread {
 public:
  // Starts the thread; `cpu` is none where pinning makes no sense.
  ShardThread(uint32_t index, std::optional<int> cpu, const core::IoOptions& options);
  // Waits for the thread's end, which serve()'s shard must have been told to come to.
  ~ShardThread();
  ShardThread(const ShardThread&) = delete;
  ShardThread& operator=(const ShardThread&) = delete;

  // Waits until the loop stands; the error is one line that says what to do.
  std::expected<void, std::string> opened();
  // Makes the shard and answers requests from now on. `on_end` is called on the shard's thread once it has
  // closed.
  void serve(routing::Gateway& gateway, std::vector<ShardListener> listeners, std::function<void()> on_end);

  void wake();                   // any thread, after opened()
  void drain(uint32_t idle_ms);  // lets exchanges under way end, and connections once they are idle so long
  void close_now();              // ends them

 private:
  struct Work {
    routing::Gateway* gateway = nullptr;  // null = there is nothing to serve
    std::vector<ShardListener> listeners;
    std::function<void()> on_end;
  };
  void run(std::optional<int> cpu);

  const uint32_t index_;
  const core::IoOptions options_;
  std::promise<std::expected<void, std::string>> opened_;
  std::promise<Work> work_;
  bool told_ = false;  // work_ has its value
  std::unique_ptr<core::Loop> loop_;
  // The shard thread's alone from here: where posted work finds the shard.
  struct Running;
  Running* running_ = nullptr;
  std::thread thread_;
};

}  // namespace weir::tools
