// All timeouts of one shard: millions of schedules per second, nearly none of which ever fires.
//
// The obvious ways fail here. A heap costs O(log n) per change, and a kernel timer per request costs a
// system call. The well-known answer is a hierarchical timing wheel (Varghese & Lauck, SOSP 1987, scheme
// 7): lists of timers in slots, 64 slots to a level, each level's slots 64 times as wide as the one below.
//
//     level 0   ▏▏▏▏▏▏▏▏ ...  64 slots of 1 ms          a timer sits at the level of the highest base-64
//     level 1   ▎ ▎ ▎ ▎  ...  64 slots of 64 ms         digit in which its deadline differs from now, in
//     level 2   ▌   ▌    ...  64 slots of 4.1 s         the slot of that digit. When a wide slot's start
//      ...                                              is reached, its timers move down a level or fire.
//     level 7                 64 slots of 139 years
//
// Eight levels hold every deadline that 64 bits of nanoseconds can express, so there is no "too far" case.
//
// Placing by the highest differing digit (rather than by distance) has a useful consequence: every occupied
// slot of a level starts before every occupied slot of the levels above, and within a level the digits are
// in order. The next slot to look at is found with two bit scans.
//
// Pushing a deadline further out, which an idle timeout does on every event, is one comparison and one
// store: the timer stays in its slot and is put in its true place when that slot comes up.
//
// Invariants
//  1. Never early: a timer fires in the first advance(now) with now >= its deadline rounded up to 1 ms.
//  2. Timers fire in the order of their deadline ticks.
//  3. A timer's slot starts no later than its deadline, and after the wheel's present tick.
//  4. An armed timer is on exactly one list; a slot's bit is set exactly while its list is not empty.
//  5. A timer is disarmed before its callback runs, and not touched after: the callback may re-arm it, or
//     destroy it with its owner, and may schedule, cancel and destroy any other timer.
//
// Thread: one shard. Allocates nothing. Callbacks never run inside schedule() or cancel().
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/assert.h"
#include "core/strong.h"

namespace weir::core {

class TimerWheel;

// One timeout, embedded in what it times out. Neither copied nor moved: the wheel holds its address.
class Timer {
 public:
  using Callback = void (*)(Timer&);

  // `owner` is handed back to the callback through owner<T>(); the timer does not own it.
  Timer(Callback on_expire, void* owner) : on_expire_(on_expire), owner_(owner) {}
  ~Timer() { cancel(); }

  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  bool armed() const { return wheel_ != nullptr; }

  // When it fires: the deadline given, rounded up to 1 ms. Armed timers only.
  uint64_t deadline_ns() const {
    WEIR_ASSERT(armed());
    return milliseconds(deadline_tick_);
  }

  // Disarms it if it is armed.
  void cancel();

  template <typename Owner>
  Owner& owner() const {
    return *static_cast<Owner*>(owner_);
  }

 private:
  friend class TimerWheel;

  Timer* next_ = nullptr;  // circular while armed
  Timer* previous_ = nullptr;
  TimerWheel* wheel_ = nullptr;  // nullptr = not armed
  uint64_t deadline_tick_ = 0;
  uint64_t slot_tick_ = 0;  // when its slot comes up: no later than deadline_tick_
  uint16_t list_ = 0;       // which list of the wheel it is on
  Callback on_expire_;
  void* owner_;
};

class TimerWheel {
 public:
  explicit TimerWheel(uint64_t now_ns) : now_tick_(now_ns / kNsPerMs) {}

  // Disarms what is still armed; nothing fires.
  ~TimerWheel();

  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // Arms the timer for a deadline, whether or not it is armed already; kNoDeadline disarms it. A deadline
  // that has passed fires in the next advance(). O(1); when it only moves an armed timer's deadline later,
  // one store.
  void schedule(Timer& timer, uint64_t deadline_ns) {
    const uint64_t tick = deadline_ns / kNsPerMs + (deadline_ns % kNsPerMs != 0);
    if (timer.wheel_ == this && tick >= timer.slot_tick_ && deadline_ns != kNoDeadline) [[likely]] {
      timer.deadline_tick_ = tick;
      return;
    }
    reschedule(timer, tick, deadline_ns == kNoDeadline);
  }

  // Disarms the timer if it is armed. O(1).
  void cancel(Timer& timer) {
    if (timer.wheel_ == nullptr) return;
    WEIR_ASSERT(timer.wheel_ == this);
    unlink(timer);
    timer.wheel_ = nullptr;
    --armed_;
  }

  // Runs the callbacks of all timers due at `now_ns` and answers how many. A timer that a callback re-arms
  // for a deadline no later than the one just fired waits for the next call, so that this one ends. A clock
  // that stands still or steps back is legal. Not to be called from a callback.
  size_t advance(uint64_t now_ns);

  // When advance() must be called next: the start of the earliest occupied slot, hence never after the
  // earliest deadline, and equal to it once that is near (unless it was moved later in place).
  // kNoDeadline when nothing is armed. A few instructions.
  uint64_t next_deadline_ns() const {
    if (lists_[kDueList] != nullptr) return milliseconds(now_tick_);
    if (occupied_levels_ == 0) return kNoDeadline;
    return milliseconds(next_slot().tick);
  }

  size_t armed() const { return armed_; }

 private:
  static constexpr unsigned kSlotBits = 6;
  static constexpr unsigned kSlots = 1u << kSlotBits;
  static constexpr unsigned kLevels = 8;                  // 48 bits of milliseconds; 2^64 ns are 45
  static constexpr unsigned kDueList = kLevels * kSlots;  // deadline had passed when scheduled
  static constexpr unsigned kFiringList = kDueList + 1;   // the due list while advance() works on it
  static constexpr unsigned kLists = kFiringList + 1;

  struct NextSlot {
    unsigned list;
    uint64_t tick;  // its start
  };

  NextSlot next_slot() const;
  void reschedule(Timer& timer, uint64_t tick, bool never);
  void place(Timer& timer);
  void append(Timer& timer, unsigned list);
  void unlink(Timer& timer);
  size_t drain(unsigned list);

  uint64_t now_tick_;
  size_t armed_ = 0;
  uint32_t occupied_levels_ = 0;  // bit = level with a non-empty slot
  bool advancing_ = false;
  uint64_t occupied_[kLevels] = {};  // bit = non-empty slot
  Timer* lists_[kLists] = {};        // first of each circular list; its previous_ is the last
};

static_assert(sizeof(Timer) == 64, "one cache line");

inline void Timer::cancel() {
  if (wheel_ != nullptr) wheel_->cancel(*this);
}

}  // namespace weir::core
