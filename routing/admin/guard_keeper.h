// Keeps what guards have counted (routing/guard/guard_state.h) in a file: read when the first table is there,
// written once a second while it changes, and when the process ends. A process that is killed loses at most
// the last second of what was settled; what was reserved counts as spent.
//
// Writing happens on a thread of its own: a slow disk delays the next file and nothing else. Gathering what is written
// takes at most a tenth of that thread's time: hundreds of thousands of users make files rarer than one a second. A file
// that cannot be written is said once in a while.
//
// When a process is replaced, the old one goes on counting until it has drained, while the new one counts from the last
// state. What the old one counts after that state goes into a file of its own, once, when it ends:
//
//   old process                        files                               new process
//   hand_over(): state + "late N awaited" ─▶ state ─────────────────────▶ restore()
//   serves on, drains, counts                                              serves, writes states: "late N awaited"
//   ends: what it has counted since ──▶ state.late-N ────────────────────▶ take_late(): adds it, in its memory
//                                       state: the sums + "late N added" ◀─ the next state
//                                       state.late-N is removed        ◀─ after that
//                                       state without N                ◀─ the next
//
//   or: the new one cannot start: take_back(): the old one adds what that one has counted, for it may have served for
//   some seconds, and writes states as before
//
// Between hand_over() and its end the old process writes nothing, though it takes all traffic until the new one is ready:
// if it is killed in that time, while the new one starts or while it drains, what it has counted since is missing.
//
// Exactly once: the sums and what they are made of are in one file, which takes the place of the last in one step. A
// process that ends before the state that says "added" has neither, and its successor finds both the file and "awaited";
// one that ends after it leaves "added", and the file is removed unread. A process that ends without having written
// its file is waited for in vain for kAwaitNs; a file that is there is added however old it is. N is the time of the
// handover: a process may wait for several, and hands on to its own successor those that it still waits for.
// Nobody takes a file while a predecessor may still take the state back (take_late() comes after that).
//
// Thread: the control loop's.
#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/loop.h"
#include "routing/admin/worker.h"
#include "routing/exchange/gateway.h"
#include "routing/guard/guard_state.h"
#include "routing/guard/guard_time.h"

namespace weir::routing {

class GuardKeeper {
 public:
  static constexpr uint64_t kPeriodMs = 1000;
  static constexpr uint64_t kRestPerWork = 9;  // times what the last text took none is begun after it

  GuardKeeper(core::Loop& loop, Gateway& gateway, std::string path);
  // Writes once more; after hand_over() what has been counted since.
  ~GuardKeeper();
  GuardKeeper(const GuardKeeper&) = delete;
  GuardKeeper& operator=(const GuardKeeper&) = delete;

  // How many rules found their state; 0 if there is no file yet. After the first table was published, before
  // shards serve it. The error is one sentence: the file is there and cannot be read. It is then left as it is.
  std::expected<size_t, std::string> restore();
  // Begins to write.
  void start();
  // From now on what predecessors have counted at last is added: none of them takes anything back.
  void take_late() { takes_late_ = true; }
  // A successor is about to start: writes the state that it goes on from, and no other. False: it cannot be written, so
  // that none may start; this process writes as before.
  bool hand_over();
  // It did not, or not for long: adds what it has counted, and writes as before. When the other one has ended; nothing
  // if nothing was handed over.
  void take_back();

  uint64_t writes() const { return writes_.load(std::memory_order_relaxed); }

 private:
  static constexpr uint64_t kAwaitNs = uint64_t{2} * 86'400 * 1'000'000'000;  // draining takes a day at most

  struct Late : LateMark {
    bool unreadable = false;  // said, and left
  };
  struct Handed {
    GuardTime then;
    std::string state;  // as it was written
  };

  const GuardTime& now();
  std::string late_path(uint64_t id) const;
  bool write(const Table& table, const GuardTime& now);
  void write_late();
  void add_successors();
  void go_on(const GuardTime& then);
  void add_late(const Table& table, const GuardTime& now);
  void write_in_background();
  Table counted() const;
  static void on_tick(core::Timer& timer);

  core::Loop& loop_;
  Gateway& gateway_;
  const std::string path_;
  CalendarReader calendar_;
  core::Timer tick_;
  bool keeps_ = true;                 // false: the file is not ours to replace
  bool takes_late_ = false;
  std::optional<Handed> handed_;  // since hand_over()
  // By the worker while there is one:
  std::string written_;  // what the file holds
  std::vector<Late> late_;
  std::atomic<uint64_t> rests_until_ns_{0};  // by the worker: the next file not before
  std::atomic<bool> writing_{false};  // release by the worker when it is done with a file
  std::atomic<uint64_t> writes_{0};
  std::unique_ptr<Worker> worker_;  // last: it uses the others
};

}  // namespace weir::routing
