// Where the data path leaves that a limit's action has begun, for whoever alerts people (routing/admin/alert_scan.h):
// bits in words that it has in its hands anyway. They stay until they are looked at, so that no trip is lost however
// short it was. Of budgets and breakers the counters of their lines say it.
//
// A bit is set once between two looks: what is there already costs a relaxed load.
//
// Thread: marks any; looks one at a time.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "core/cache_line.h"

namespace weir::routing {

// In LimitLine::total, a bit per LimitKind; those below kBegun are the line's own.
namespace limit_mark {
inline constexpr unsigned kBegun = 8;     // its action applies to whoever comes
inline constexpr unsigned kPast = 16;     // a request asked for more than it admits at once
inline constexpr unsigned kFilling = 24;  // `warn_at` percent are used
inline constexpr unsigned kWatched = 32;  // whoever looks has seen that it applies, and waits for its end
inline constexpr uint64_t kAll = ~uint64_t{0} << kBegun;

constexpr uint64_t bit(unsigned mark, unsigned kind) {
  return uint64_t{1} << (mark + kind);
}
}  // namespace limit_mark

inline void leave_mark(std::atomic<uint64_t>& word, uint64_t bits) {
  if ((word.load(std::memory_order_relaxed) & bits) != bits) word.fetch_or(bits, std::memory_order_relaxed);
}

// Which rules of one tenant's users have acted, and on whom. Its users have no lines that stay, so they are named by
// the tags of those they have (user_lines.h): the first kUsers since the last look, of the others only the rules.
//
// A place is given to another user once nothing was noted in it from one look to the next. A note that is late by
// a whole period may name that user besides the right one; none is lost.
class alignas(core::kCacheLineBytes) UserTrips {
 public:
  static constexpr unsigned kUsers = 3;

  // A rule in a word: of limits by limit_mark and kind, of budgets by their number.
  static constexpr uint64_t of_limit(unsigned mark, unsigned kind) {
    return uint64_t{1} << (mark - 8 + kind);
  }
  static constexpr uint64_t of_budget(unsigned rule, bool open) {
    return uint64_t{1} << (32 + 2 * rule + (open ? 1 : 0));
  }

  // `user` is not 0.
  void note(uint64_t user, uint64_t rules) {
    for (Place& place : places_) {
      uint64_t seen = place.user.load(std::memory_order_relaxed);
      if (seen == 0 && place.user.compare_exchange_strong(seen, user)) seen = user;
      if (seen != user) continue;
      if ((place.rules.load(std::memory_order_relaxed) & rules) == rules) return;
      // Either take() sees the rules, or this sees that the place is somebody else's.
      place.rules.fetch_or(rules);
      if (place.user.load() == user) return;
    }
    leave_mark(others_, rules);
  }

  bool any() const {
    uint64_t all = others_.load(std::memory_order_relaxed);
    for (const Place& place : places_) all |= place.user.load(std::memory_order_relaxed);
    return all != 0;
  }
  // Calls use(user, rules) for each user since the last time; user 0: others. What it answers false to stays noted.
  template <typename Use>
  void take(Use&& use) {
    const auto tell = [&](std::atomic<uint64_t>& rules, uint64_t user) {
      const uint64_t seen = rules.exchange(0);
      if (seen != 0 && !use(user, seen)) rules.fetch_or(seen);
      return seen != 0;
    };
    for (Place& place : places_) {
      const uint64_t user = place.user.load();
      if (user == 0 || tell(place.rules, user)) continue;
      place.user.store(0);
      tell(place.rules, user);
    }
    tell(others_, 0);
  }

 private:
  struct Place {
    std::atomic<uint64_t> user;
    std::atomic<uint64_t> rules;
  };
  std::array<Place, kUsers> places_;
  std::atomic<uint64_t> others_;
};
static_assert(sizeof(UserTrips) == core::kCacheLineBytes);

}  // namespace weir::routing
