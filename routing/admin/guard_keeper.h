// Keeps what guards have counted (routing/guard/guard_state.h) in a file: read when the first table is there,
// written once a second while it changes, and when the process ends. A process that is killed loses at most
// the last second of what was settled; what was reserved counts as spent.
//
// Writing happens on a thread of its own: a slow disk delays the next file and nothing else. A file that
// cannot be written is said once in a while.
//
// Thread: the control loop's.
#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>

#include "core/loop.h"
#include "routing/admin/worker.h"
#include "routing/exchange/gateway.h"
#include "routing/guard/guard_time.h"

namespace weir::routing {

class GuardKeeper {
 public:
  static constexpr uint64_t kPeriodMs = 1000;

  GuardKeeper(core::Loop& loop, Gateway& gateway, std::string path);
  // Writes once more.
  ~GuardKeeper();
  GuardKeeper(const GuardKeeper&) = delete;
  GuardKeeper& operator=(const GuardKeeper&) = delete;

  // How many rules found their state; 0 if there is no file yet. After the first table was published, before
  // shards serve it. The error is one sentence: the file is there and cannot be read. It is then left as it is.
  std::expected<size_t, std::string> restore();
  // Begins to write.
  void start();

  uint64_t writes() const { return writes_.load(std::memory_order_relaxed); }

 private:
  void write_in_background();
  Table counted() const;
  static void on_tick(core::Timer& timer);

  core::Loop& loop_;
  Gateway& gateway_;
  const std::string path_;
  CalendarReader calendar_;
  core::Timer tick_;
  bool keeps_ = true;                 // false: the file is not ours to replace
  std::string written_;               // by the worker: what the file holds
  std::atomic<bool> writing_{false};  // release by the worker when it is done with a file
  std::atomic<uint64_t> writes_{0};
  std::unique_ptr<Worker> worker_;  // last: it uses the others
};

}  // namespace weir::routing
