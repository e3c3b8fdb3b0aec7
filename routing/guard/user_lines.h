// Lines of state for users, who are not declared and of whom there may be any number: a fixed-size,
// set-associative table, shared by all shards, without locks.
//
//   set ─▶ tags[8]   (one cache line)          tag = keyed hash of (tenant, user, what); 0 = free
//          lines[8]  (one cache line each)     line.in_flight: exchanges that use it; kLocked while it
//          changes hands
//
// An entry is held from acquire() to release(), and never given away meanwhile. When a set is full an entry
// that is idle goes (nothing is forgotten by that: an idle line is as good as a fresh one), else the one that
// would be idle soonest.
//
// Error bound: a user whose entry is given away while it was being counted begins anew, so each eviction
// counted by evictions() lets one user have at most one full limit (or budget window) more than it should.
// With n users active within a period, in random sets of 8 ways, that happens to fewer than 1 % of them while
// n is below half of capacity() (tests/routing/guard/user_lines_test.cc measures it). Tags are keyed hashes:
// nobody can aim at a set. When all 8 entries of a set are held at the same moment, acquire() answers null,
// and the caller refuses: a limit that cannot be counted is not open.
//
// Invariants
//   1. A line is used only between acquire() and release() of the same tag: in_flight is raised first, and
//      the tag is looked at again after that. Who changes the tag has made in_flight kLocked from exactly 0
//      before.
//   2. No two entries have the same tag: who inserts writes its tag, then looks at the others of the set; if
//      it is there already it gives way and looks again. With both steps sequentially consistent, of two that
//      insert the same tag at once at least one sees the other. (Dekker: a store, then a load of what the
//      other stores.)
//
// Ordering: the inserter clears the line and then releases in_flight, which acquire() acquires by raising it; the tag,
// written before, says only where to look.
//
// Thread: any.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "core/assert.h"
#include "core/cache_line.h"
#include "core/zeroed_memory.h"

namespace weir::routing {

// `Line` is a cache line of atomics with in_flight and clear(). Zero = fresh.
template <typename Line>
class UserLines {
 public:
  static constexpr uint32_t kWays = 8;
  static constexpr uint64_t kLocked = uint64_t{1} << 62;

  explicit UserLines(size_t memory_bytes)
      : set_mask_(std::bit_floor(std::max<size_t>(memory_bytes / sizeof(Set), 1)) - 1),
        memory_((set_mask_ + 1) * sizeof(Set)),
        sets_(static_cast<Set*>(memory_.data())) {
    WEIR_ASSERT(sets_ != nullptr);
  }
  UserLines(const UserLines&) = delete;
  UserLines& operator=(const UserLines&) = delete;

  // The line of this tag (not 0), fresh or as it was; null if it cannot be had. `busy_until(line)` says how
  // long a line is worth keeping: 0 = idle, else the larger the longer. `others`: how many had it before.
  template <typename BusyUntil>
  Line* acquire(uint64_t tag, BusyUntil&& busy_until, uint64_t* others = nullptr) {
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      if (Line* found = find(tag, others)) return found;
      Line* made = lock_new(tag, busy_until);
      if (made == nullptr) continue;
      made->clear();
      // From locked to held by this caller, in one step; what others added in the meantime stays balanced.
      made->in_flight.fetch_sub(kLocked - 1, std::memory_order_release);
      if (others != nullptr) *others = 0;
      return made;
    }
    return nullptr;
  }
  // Begins to fetch what acquire(tag) looks at first: the tags of its set, and the way that is filled first.
  void prefetch(uint64_t tag) const {
    const Set& set = sets_[tag & set_mask_];
    __builtin_prefetch(&set.tags);
    __builtin_prefetch(&set.lines[0], /*for writing=*/1);
  }
  // The same, only if it is there.
  Line* find(uint64_t tag, uint64_t* others = nullptr) {
    Set& set = sets_[tag & set_mask_];
    for (uint32_t way = 0; way < kWays; ++way) {
      if (set.tags[way].load(std::memory_order_acquire) != tag) continue;
      Line& line = set.lines[way];
      const uint64_t before = line.in_flight.fetch_add(1, std::memory_order_acq_rel);
      if (before < kLocked && set.tags[way].load(std::memory_order_acquire) == tag) {
        if (others != nullptr) *others = before;
        return &line;
      }
      line.in_flight.fetch_sub(1, std::memory_order_release);
      return nullptr;
    }
    return nullptr;
  }
  void release(Line& line) { line.in_flight.fetch_sub(1, std::memory_order_release); }

  // The line of this tag for the caller alone, with whatever is in it; null if somebody holds it, or it
  // cannot be had.
  template <typename BusyUntil>
  Line* lock(uint64_t tag, BusyUntil&& busy_until) {
    Set& set = sets_[tag & set_mask_];
    for (uint32_t way = 0; way < kWays; ++way) {
      if (set.tags[way].load(std::memory_order_acquire) != tag) continue;
      if (!try_lock(set.lines[way])) return nullptr;
      if (set.tags[way].load(std::memory_order_acquire) == tag) return &set.lines[way];
      unlock(set.lines[way]);
      return nullptr;
    }
    return lock_new(tag, busy_until);
  }
  void unlock(Line& line) { line.in_flight.fetch_sub(kLocked, std::memory_order_release); }

  // By place, from 0 to capacity() - 1: for walks.
  Line& at(size_t index) { return sets_[index / kWays].lines[index % kWays]; }
  Line* try_lock_at(size_t index) { return try_lock(at(index)) ? &at(index) : nullptr; }

  // Calls use(tag, seen) for every entry, with what read(line) made of it by acquire loads. They go on being used
  // meanwhile, and are not held: one that is changing hands is left out.
  template <typename Read, typename Use>
  void each(Read&& read, Use&& use) const {
    if (!touched_.load(std::memory_order_relaxed)) return;  // no page is asked for
    for (size_t at = 0; at <= set_mask_; ++at) {
      const Set& set = sets_[at];
      for (uint32_t way = 0; way < kWays; ++way) {
        const uint64_t tag = set.tags[way].load(std::memory_order_acquire);
        const Line& line = set.lines[way];
        if (tag == 0 || line.in_flight.load(std::memory_order_acquire) >= kLocked) continue;
        const auto seen = read(line);
        if (line.in_flight.load(std::memory_order_acquire) >= kLocked) continue;
        if (set.tags[way].load(std::memory_order_relaxed) == tag) use(tag, seen);
      }
    }
  }

  size_t capacity() const { return (set_mask_ + 1) * kWays; }
  // Entries given away while they were being counted.
  uint64_t evictions() const { return evictions_.load(std::memory_order_relaxed); }

 private:
  static constexpr int kAttempts = 8;

  struct alignas(core::kCacheLineBytes) Set {
    std::array<std::atomic<uint64_t>, kWays> tags;
    std::array<Line, kWays> lines;
  };
  static_assert(sizeof(Set) == (1 + kWays) * core::kCacheLineBytes);

  static bool try_lock(Line& line) {
    uint64_t none = 0;
    return line.in_flight.compare_exchange_strong(none, kLocked, std::memory_order_acq_rel);
  }

  // A line for a tag that is not there, locked, with the old contents; null: somebody was faster, or all are
  // held.
  template <typename BusyUntil>
  Line* lock_new(uint64_t tag, BusyUntil&& busy_until) {
    Set& set = sets_[tag & set_mask_];
    constexpr uint64_t kFree = 0, kIdle = 1;
    // What is lost with this way; above kIdle the later the more.
    const auto loss = [&](uint32_t way) {
      if (set.tags[way].load(std::memory_order_relaxed) == 0) return kFree;
      return std::min(busy_until(set.lines[way]), UINT64_MAX - kIdle) + kIdle;
    };
    uint32_t chosen = kWays;
    uint64_t least = UINT64_MAX;
    for (uint32_t way = 0; way < kWays; ++way) {
      if (set.tags[way].load(std::memory_order_relaxed) == tag) return nullptr;
      if (set.lines[way].in_flight.load(std::memory_order_relaxed) != 0) continue;
      if (const uint64_t here = loss(way); here < least) {
        least = here;
        chosen = way;
      }
    }
    if (chosen == kWays || !try_lock(set.lines[chosen])) return nullptr;
    Line& line = set.lines[chosen];
    if (loss(chosen) > least) {  // it was taken and left again meanwhile: look again
      unlock(line);
      return nullptr;
    }
    if (!touched_.load(std::memory_order_relaxed)) touched_.store(true, std::memory_order_relaxed);
    set.tags[chosen].store(tag, std::memory_order_seq_cst);
    if (least > kIdle) evictions_.fetch_add(1, std::memory_order_relaxed);
    for (uint32_t way = 0; way < kWays; ++way) {
      if (way == chosen || set.tags[way].load(std::memory_order_seq_cst) != tag) continue;
      // It is there: give way. The entry stays free: its old tag may have been inserted elsewhere by now.
      set.tags[chosen].store(0, std::memory_order_release);
      unlock(line);
      return nullptr;
    }
    return &line;
  }

  const size_t set_mask_;
  core::ZeroedMemory memory_;
  Set* const sets_;
  std::atomic<bool> touched_{false};  // there has been an entry
  std::atomic<uint64_t> evictions_{0};
};

}  // namespace weir::routing
