// The two times that guards go by, and the calendar's defence against a clock that jumps.
//
// Rates use the monotonic clock. Budgets are about days and months, so they need the wall clock; but a wall
// clock that is set a day ahead for a moment would begin a new day for every budget, and one set back would
// keep a spent one shut. So the calendar runs on the monotonic clock from a point where the two met, and
// takes a new point only when the wall clock has disagreed steadily for kAdoptAfterNs: then it was meant.
// Small corrections (NTP slews) are followed at once.
//
//   control thread                                       everybody
//   wall clock ─▶ CalendarClock ─▶ Calendar (one word) ─▶ CalendarReader ─▶ GuardTime
//
// There is one calendar, so a jump that is believed is believed by all at once. Who has read it just before
// still carries the older time for a while: epochs tell that from a calendar that was set back.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

namespace weir::routing {

// The monotonic clock as it is now, not as of a turn. Where one thread does all, or in a test: as it was.
struct FreshClock {
  uint64_t now_ns = 0;
  uint64_t (*read)() = nullptr;

  uint64_t operator()() const { return read == nullptr ? now_ns : std::max(read(), now_ns); }
};

struct GuardTime {
  uint64_t now_ns = 0;       // monotonic, as of this turn
  int64_t wall_ns = 0;       // the calendar's
  uint64_t month = 0;        // since 1970-01
  int64_t month_end_ns = 0;  // wall
  uint16_t epoch = 0;        // as CalendarPoint::epoch
  uint64_t (*clock)() = nullptr;  // that `now_ns` was read from, for the few who must not lag

  FreshClock fresh() const { return {.now_ns = now_ns, .read = clock}; }
};

// Where the calendar stands.
struct CalendarPoint {
  int64_t offset_ns = 0;  // to be added to the monotonic clock
  // Within one epoch an earlier time is an older one; when the calendar is set back another one begins. From 1
  // on; they wrap. 0: none yet.
  uint16_t epoch = 0;
};

// Decides where the calendar stands. Pure; one thread.
class CalendarClock {
 public:
  static constexpr int64_t kFollowNs = 2'000'000'000;        // a difference that is followed at once
  static constexpr uint64_t kAdoptAfterNs = 60'000'000'000;  // a larger one that is believed

  CalendarPoint look(uint64_t now_ns, int64_t wall_now_ns) {
    const int64_t offset_ns = wall_now_ns - static_cast<int64_t>(now_ns);
    const int64_t jump_ns = offset_ns - point_.offset_ns;
    const bool first = point_.epoch == 0;
    if (first || (jump_ns >= -kFollowNs && jump_ns <= kFollowNs)) {
      move(offset_ns);
    } else if (disagrees_since_ns_ == 0 || offset_ns - disagreed_ > kFollowNs ||
               disagreed_ - offset_ns > kFollowNs) {
      disagrees_since_ns_ = now_ns;
      disagreed_ = offset_ns;
    } else if (now_ns - disagrees_since_ns_ >= kAdoptAfterNs) {
      move(offset_ns);
    }
    return point_;
  }

 private:
  static constexpr uint16_t next_epoch(uint16_t epoch) {
    return epoch == UINT16_MAX ? 1 : static_cast<uint16_t>(epoch + 1);
  }
  void move(int64_t offset_ns) {
    const bool back = point_.epoch != 0 && offset_ns < highest_ - kFollowNs;
    if (point_.epoch == 0 || back) point_.epoch = next_epoch(point_.epoch);
    highest_ = back ? offset_ns : std::max(highest_, offset_ns);
    point_.offset_ns = offset_ns;
    disagrees_since_ns_ = 0;
  }

  CalendarPoint point_;
  int64_t highest_ = INT64_MIN;  // offset of the epoch
  int64_t disagreed_ = 0;
  uint64_t disagrees_since_ns_ = 0;  // 0 = it agrees
};

// The calendar of a process. Thread: tick() one; point() any.
class Calendar {
 public:
  Calendar(uint64_t now_ns, int64_t wall_now_ns) { tick(now_ns, wall_now_ns); }

  void tick(uint64_t now_ns, int64_t wall_now_ns) {
    const CalendarPoint point = clock_.look(now_ns, wall_now_ns);
    const uint64_t word = (static_cast<uint64_t>(point.offset_ns) & ~kEpochBits) | point.epoch;
    if (word != word_.load(std::memory_order_relaxed)) word_.store(word, std::memory_order_relaxed);
  }
  CalendarPoint point() const {
    const uint64_t word = word_.load(std::memory_order_relaxed);
    return {.offset_ns = static_cast<int64_t>(word & ~kEpochBits),
            .epoch = static_cast<uint16_t>(word & kEpochBits)};
  }

 private:
  // In place of the offset's last bits: a calendar may be 66 us late.
  static constexpr uint64_t kEpochBits = 0xffff;

  CalendarClock clock_;
  std::atomic<uint64_t> word_{0};  // relaxed: it stands for itself
};

// Knows the months. One thread each.
class CalendarReader {
 public:
  CalendarReader() = default;
  // What its now_ns are read from, where other threads use the same guards.
  explicit CalendarReader(uint64_t (*clock)()) { time_.clock = clock; }

  const GuardTime& at(uint64_t now_ns, CalendarPoint point) {
    time_.now_ns = now_ns;
    time_.wall_ns = static_cast<int64_t>(now_ns) + point.offset_ns;
    time_.epoch = point.epoch;
    if (time_.wall_ns >= time_.month_end_ns || time_.wall_ns < month_begin_ns_) find_month();
    return time_;
  }

 private:
  void find_month() {
    using std::chrono::days, std::chrono::months, std::chrono::nanoseconds, std::chrono::sys_days,
        std::chrono::sys_time, std::chrono::year_month, std::chrono::year_month_day;
    const auto day = floor<days>(sys_time<nanoseconds>(nanoseconds(time_.wall_ns)));
    const year_month_day date(day);
    const year_month month = date.year() / date.month();
    time_.month = static_cast<uint64_t>((static_cast<int>(date.year()) - 1970) * 12) +
                  static_cast<unsigned>(date.month()) - 1;
    month_begin_ns_ = nanoseconds(sys_days(month / 1).time_since_epoch()).count();
    time_.month_end_ns = nanoseconds(sys_days((month + months(1)) / 1).time_since_epoch()).count();
  }

  GuardTime time_;
  int64_t month_begin_ns_ = 0;
};

}  // namespace weir::routing
