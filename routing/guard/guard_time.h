// The two times that guards go by, and the calendar's defence against a clock that jumps.
//
// Rates use the monotonic clock. Budgets are about days and months, so they need the wall clock; but a wall
// clock that is set a day ahead for a moment would begin a new day for every budget, and one set back would
// keep a spent one shut. So the calendar runs on the monotonic clock from a point where the two met, and
// takes a new point only when the wall clock has disagreed steadily for kAdoptAfterNs: then it was meant.
// Small corrections (NTP slews) are followed at once.
//
// CalendarClock: one per shard, its thread.
#pragma once

#include <chrono>
#include <cstdint>

namespace weir::routing {

struct GuardTime {
  uint64_t now_ns = 0;       // monotonic
  int64_t wall_ns = 0;       // the calendar's
  uint64_t month = 0;        // since 1970-01
  int64_t month_end_ns = 0;  // wall
};

class CalendarClock {
 public:
  static constexpr int64_t kFollowNs = 2'000'000'000;        // a difference that is followed at once
  static constexpr uint64_t kAdoptAfterNs = 60'000'000'000;  // a larger one that is believed

  const GuardTime& at(uint64_t now_ns, int64_t wall_now_ns) {
    if (time_.month_end_ns == 0) offset_ns_ = wall_now_ns - static_cast<int64_t>(now_ns);
    const int64_t offset_ns = wall_now_ns - static_cast<int64_t>(now_ns);
    const int64_t jump_ns = offset_ns - offset_ns_;
    if (jump_ns >= -kFollowNs && jump_ns <= kFollowNs) {
      offset_ns_ = offset_ns;
      disagrees_since_ns_ = 0;
    } else if (disagrees_since_ns_ == 0 || offset_ns - disagreed_ > kFollowNs ||
               disagreed_ - offset_ns > kFollowNs) {
      disagrees_since_ns_ = now_ns;
      disagreed_ = offset_ns;
    } else if (now_ns - disagrees_since_ns_ >= kAdoptAfterNs) {
      offset_ns_ = offset_ns;
      disagrees_since_ns_ = 0;
    }
    time_.now_ns = now_ns;
    time_.wall_ns = static_cast<int64_t>(now_ns) + offset_ns_;
    if (time_.wall_ns >= time_.month_end_ns || time_.wall_ns < month_begin_ns_) find_month();
    return time_;
  }

 private:
  void find_month() {
    using std::chrono::days, std::chrono::months, std::chrono::nanoseconds, std::chrono::sys_days, std::chrono::sys_time,
        std::chrono::year_month, std::chrono::year_month_day;
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
  int64_t offset_ns_ = 0;
  int64_t disagreed_ = 0;
  uint64_t disagrees_since_ns_ = 0;  // 0 = it agrees
};

}  // namespace weir::routing
