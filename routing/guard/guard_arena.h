// The memory in which limits, budgets, estimates and breakers keep their state: a fixed number of cache lines
// for all shards, found by name when a table is bound, and by pointer from then on.
//
//   table r7 ──bind──▶ plan r7 ──▶ ┌ line "tenant/bank-17/limits" ┐ ◀── plan r8 ◀──bind── table r8
//                                  └ ............................ ┘
//
// Two tables that name the same thing mean the same line, so what has been counted survives a table swap;
// changing the numbers of a limit changes the plan, not the state.
//
// Invariants
//   1. A line stays where it is as long as the arena; a name keeps its line as long as a plan holds it.
//   2. A line that no plan holds is kept all the same, until every line has been given out. Then it may be
//      cleared and given to another name: a tenant that leaves the table and comes back has lost nothing
//      unless memory ran out meanwhile.
//   3. Pages are touched as lines are given out.
//
// Thread: find() on one thread at a time (whoever binds tables); a Lease may be dropped by any thread; the
// lines' contents are atomics for everybody.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "core/cache_line.h"
#include "core/siphash.h"
#include "core/zeroed_memory.h"

namespace weir::routing {

// What a line is; part of its name.
enum class LineKind : uint8_t { limits, budget, estimate, breaker, user_trips };

class GuardArena {
 public:
  explicit GuardArena(uint32_t max_lines);
  GuardArena(const GuardArena&) = delete;
  GuardArena& operator=(const GuardArena&) = delete;

  // The line of (kind, scope, name, detail), held until release(); nullopt when all lines are held.
  std::optional<uint32_t> find(LineKind kind, uint8_t scope, std::string_view name, uint64_t detail);
  void release(uint32_t line) { held_[line].fetch_sub(1, std::memory_order_release); }

  template <typename Line>
  Line& at(uint32_t line) {
    static_assert(sizeof(Line) == core::kCacheLineBytes && alignof(Line) == core::kCacheLineBytes);
    return static_cast<Line*>(memory_.data())[line];
  }

  uint32_t used() const { return used_; }
  uint32_t max_lines() const { return max_lines_; }

 private:
  struct Bucket {
    core::Hash128 key;
    uint32_t line_plus_one = 0;
  };
  Bucket& bucket_of(core::Hash128 key);
  void take_back();
  void rebuild(size_t buckets);

  const uint32_t max_lines_;
  core::ZeroedMemory memory_;
  core::ZeroedMemory counts_memory_;
  std::atomic<uint32_t>* const held_;  // by line: plans that hold it. Release: after the plan's last use;
                                       // find() acquires before it clears the line.
  std::vector<core::Hash128> keys_;    // by line
  std::vector<Bucket> buckets_;        // open addressing, a power of two, at most half full
  uint32_t used_ = 0;
  std::vector<uint32_t> free_;  // taken back, ascending, not given out again yet
};

// The lines that one plan holds.
class GuardLeases {
 public:
  explicit GuardLeases(std::shared_ptr<GuardArena> arena) : arena_(std::move(arena)) {}
  ~GuardLeases() {
    for (const uint32_t line : lines_) arena_->release(line);
  }
  GuardLeases(const GuardLeases&) = delete;
  GuardLeases& operator=(const GuardLeases&) = delete;

  // Null when the arena is full.
  template <typename Line>
  Line* find(LineKind kind, uint8_t scope, std::string_view name, uint64_t detail = 0) {
    const auto line = arena_->find(kind, scope, name, detail);
    if (!line) return nullptr;
    lines_.push_back(*line);
    return &arena_->at<Line>(*line);
  }

 private:
  const std::shared_ptr<GuardArena> arena_;  // plans may die after everything else
  std::vector<uint32_t> lines_;
};

}  // namespace weir::routing
