// The turn of one thread: a shard's, or the control thread's. Owns the ring, the buffers, the timers and
// the cached time. A turn:
//
//      submit and wait ─▶ read the clocks ─▶ turn hook ─▶ handlers ─▶ timers ─▶ posted work ─┐
//      ▲                                                                                     │
//      └──────────────── starved receives, if memory came back ◀─ end-of-turn tasks ◀────────┘
//
// Handlers, timers and tasks run to completion, never nested. What they want to do "later in this turn"
// (flush a connection's queue, free an object) they put on the end-of-turn list.
//
// Thread: create(), turn() and all accessors on one thread; wake() and post() from any.
#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "core/clock.h"
#include "core/io.h"
#include "core/timer_wheel.h"

namespace weir::core {

// Something to be done once at the end of the turn. Embedded in its owner; neither copied nor moved.
class TurnTask {
 public:
  using Callback = void (*)(TurnTask&);
  TurnTask(Callback run, void* owner) : run_(run), owner_(owner) {}
  ~TurnTask() { unlink(); }
  TurnTask(const TurnTask&) = delete;
  TurnTask& operator=(const TurnTask&) = delete;
  bool queued() const { return previous_ != nullptr; }
  template <typename Owner>
  Owner& owner() const {
    return *static_cast<Owner*>(owner_);
  }
  void unlink();

 private:
  friend class TurnTaskList;
  TurnTask* next_ = nullptr;
  TurnTask* previous_ = nullptr;
  Callback run_;
  void* owner_;
};

// Circular list with a sentinel; a task is on at most one list.
class TurnTaskList {
 public:
  TurnTaskList() : sentinel_(nullptr, nullptr) { sentinel_.next_ = sentinel_.previous_ = &sentinel_; }
  ~TurnTaskList();
  void add(TurnTask& task);          // no effect when it is queued already
  bool empty() const { return sentinel_.next_ == &sentinel_; }
  // Those of `from` behind its own, in their order.
  void take_all(TurnTaskList& from);
  // Runs those queued when called, in order; what they add waits for the next call.
  void run_all();
  // Runs the first one; there must be one.
  void run_next();

 private:
  TurnTask sentinel_;
};

class Loop {
 public:
  static std::expected<std::unique_ptr<Loop>, std::string> create(const IoOptions& options = {});
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // One turn; waits at most `max_wait_ns` for something to happen.
  void turn(uint64_t max_wait_ns = UINT64_MAX);

  uint64_t now_ns() const { return now_ns_; }            // monotonic, as of this turn
  int64_t wall_now_ns() const { return wall_now_ns_; }
  Io& io() { return *io_; }
  BufferPool& buffers() { return buffers_; }
  TimerWheel& timers() { return timers_; }
  uint64_t turns() const { return turns_; }
  uint64_t last_turn_ns() const { return last_turn_ns_; }  // what the last turn took, waiting not counted

  // Runs `task` at the end of this turn (or the next, when added by an end-of-turn task).
  void at_end_of_turn(TurnTask& task) { end_of_turn_.add(task); }
  // Runs `task` once receive memory has come back (after a receive ended with -ENOBUFS); behind all who got nothing,
  // if that receive was `served` some before: otherwise one that brings much would take all of it, every time.
  void when_buffers_return(TurnTask& task, bool served) { (served ? served_ : starved_).add(task); }
  // Runs `task` if receive memory runs short while it is queued: its owner holds bytes of receive blocks and then
  // copies them out. One long request must not keep the block that a thousand short ones came in.
  void when_receive_memory_is_short(TurnTask& task) { holders_.add(task); }
  // Whether that is to be done for `bytes` of one block now: not while it saves no memory and there is some left.
  bool worth_copying_out(uint64_t bytes) const {
    return io_->receive_memory_scarce() || bytes < IoOptions{}.incremental_block_bytes / 2;
  }
  // Called in every turn before handlers run: shards take the newest table here.
  void on_turn(void (*hook)(void*), void* context) {
    turn_hook_ = hook;
    turn_hook_context_ = context;
  }

  void wake() { io_->wake(); }
  // Runs `work` on this loop's thread. Control plane only: takes a lock and allocates.
  void post(std::function<void()> work);

 private:
  Loop();
  void run_posted();
  static void on_trim(Timer& timer);

  BufferPool buffers_;
  uint64_t now_ns_;
  int64_t wall_now_ns_;
  TimerWheel timers_;
  std::unique_ptr<Io> io_;
  TurnTaskList end_of_turn_;
  TurnTaskList starved_;
  TurnTaskList served_;            // go behind starved_ when memory comes back
  TurnTask starved_end_{[](TurnTask&) {}, nullptr};  // in starved_, behind those who are still to be told of memory
  TurnTaskList holders_;
  Timer trim_;                     // armed while there may be receive memory that nobody needs
  uint64_t turns_ = 0;
  uint64_t last_turn_ns_ = 0;
  void (*turn_hook_)(void*) = nullptr;
  void* turn_hook_context_ = nullptr;
  std::atomic<bool> has_posted_{false};   // relaxed look, then the lock
  std::mutex posted_lock_;
  std::vector<std::function<void()>> posted_;
};

}  // namespace weir::core
