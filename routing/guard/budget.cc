#include "routing/guard/budget.h"

#include <algorithm>
#include <chrono>

#include "routing/table/scalars.h"

namespace weir::routing {
namespace {

constexpr int64_t kDayNs = static_cast<int64_t>(kNsPerDay);
constexpr int64_t kMondayOffsetNs = 3 * kDayNs;  // 1970-01-01 was a Thursday

// BudgetLine::window. A window is a second at least: its number is far below this.
constexpr uint64_t kMaxNumber = (uint64_t{1} << 46) - 1;
constexpr uint64_t window_word(uint16_t epoch, uint64_t number) {
  return uint64_t{epoch} << 48 | std::min(number, kMaxNumber) << 2;
}
constexpr uint64_t number_of(uint64_t word) {
  return word >> 2 & kMaxNumber;
}

// How a window stands to that of somebody's now.
enum class Step : uint8_t { none, begin, back };
Step step_to(uint64_t word, uint16_t epoch, uint64_t number) {
  const auto of_line = static_cast<uint16_t>(word >> 48);
  const int newer = of_line == 0 ? 1 : static_cast<int16_t>(static_cast<uint16_t>(epoch - of_line));
  if (newer < 0) return Step::none;
  if (number > number_of(word)) return Step::begin;
  return newer > 0 ? Step::back : Step::none;
}

// Makes the line's window that of now, which is `at`: invariants 4 and 5. The line's `window`, which was `seen`, after
// that.
uint64_t enter(BudgetLine& line, uint64_t seen, const WindowAt& at, const GuardTime& now) {
  while (true) {
    const Step step = step_to(seen, now.epoch, at.number);
    if (step == Step::none || (seen & BudgetLine::kBeginning) != 0) return seen;
    if (!line.window.compare_exchange_weak(seen, seen | BudgetLine::kBeginning, std::memory_order_acq_rel))
      continue;
    uint64_t next = window_word(now.epoch, at.number);
    if (step == Step::begin) {
      line.base.store(line.spent.load(std::memory_order_acquire), std::memory_order_release);
    } else {
      next |= seen & BudgetLine::kOpen;
    }
    line.end_wall_ns.store(at.end_wall_ns, std::memory_order_relaxed);
    line.window.store(next, std::memory_order_release);
    return next;
  }
}
uint64_t enter(BudgetLine& line, const BudgetSpec& spec, const GuardTime& now) {
  const uint64_t seen = line.window.load(std::memory_order_acquire);
  return line.is_within(seen, now) ? seen : enter(line, seen, window_at(spec.window_ns, now), now);
}

int64_t committed_now(const BudgetLine& line) {
  const int64_t base = line.base.load(std::memory_order_acquire);
  return line.committed.load(std::memory_order_relaxed) - base;
}

// Whether the rule's action applies to every request; `window` is the line's.
bool is_open(const BudgetLine& line, const BudgetSpec& spec, uint64_t window) {
  const OpenMark mark(line.opened_as.load(std::memory_order_relaxed));
  if ((window & BudgetLine::kOpen) == 0 || !mark.is_of(spec.action)) return false;
  const bool may_recover = spec.action != BudgetAction::kill || mark.is_below(spec.limit);
  return !may_recover || committed_now(line) > part_of(spec.limit, kRecoverPermille);
}

// Opens the breaker for the rule's action. Not while another window begins, which would not keep it.
void trip(BudgetLine& line, const BudgetSpec& spec, uint64_t window) {
  if ((window & BudgetLine::kBeginning) != 0) return;
  const uint64_t mark = OpenMark(spec).bits();
  const bool other = line.opened_as.exchange(mark, std::memory_order_relaxed) != mark;
  const bool was_open = (window & BudgetLine::kOpen) != 0;
  if (was_open ? other
               : line.window.compare_exchange_strong(window, window | BudgetLine::kOpen,
                                                     std::memory_order_relaxed)) {
    line.trips.fetch_add(1, std::memory_order_relaxed);
  }
}

}  // namespace

WindowAt window_at(uint64_t window_ns, const GuardTime& now) {
  if (window_ns == 0) return {.number = now.month, .end_wall_ns = now.month_end_ns};
  const auto length = static_cast<int64_t>(window_ns);
  const int64_t offset = length == 7 * kDayNs ? kMondayOffsetNs : 0;
  const int64_t number = (std::max<int64_t>(now.wall_ns, 0) + offset) / length;
  return {.number = static_cast<uint64_t>(number), .end_wall_ns = (number + 1) * length - offset};
}

std::optional<uint64_t> window_length(const WindowAt& at) {
  using std::chrono::days, std::chrono::floor, std::chrono::nanoseconds, std::chrono::sys_days,
      std::chrono::sys_time, std::chrono::year_month_day;
  if (at.number > kMaxNumber || at.end_wall_ns <= 0 || at.end_wall_ns > INT64_MAX - kMondayOffsetNs)
    return std::nullopt;
  const auto day = floor<days>(sys_time<nanoseconds>(nanoseconds(at.end_wall_ns)));
  const year_month_day date(day);
  const int64_t month =
      int64_t{static_cast<int>(date.year()) - 1970} * 12 + static_cast<unsigned>(date.month()) - 1;
  const auto next = static_cast<int64_t>(at.number) + 1;
  if (month == next && static_cast<unsigned>(date.day()) == 1 && at.end_wall_ns % kDayNs == 0) return 0;
  for (const int64_t offset : {kMondayOffsetNs, int64_t{0}}) {
    const int64_t length = (at.end_wall_ns + offset) / next;
    const bool weekly = length == 7 * kDayNs;
    if (length * next == at.end_wall_ns + offset && weekly == (offset != 0))
      return static_cast<uint64_t>(length);
  }
  return std::nullopt;
}

bool BudgetLine::idle(const GuardTime& now) const {
  if (end_wall_ns.load(std::memory_order_relaxed) <= now.wall_ns) return true;
  return committed.load(std::memory_order_relaxed) == base.load(std::memory_order_relaxed) &&
         (window.load(std::memory_order_relaxed) & kOpen) == 0;
}

void BudgetLine::clear() {
  for (auto* money : {&committed, &spent, &base, &end_wall_ns}) money->store(0, std::memory_order_relaxed);
  for (auto* word : {&window, &opened_as}) word->store(0, std::memory_order_relaxed);
  for (auto* count : {&trips, &refused}) count->store(0, std::memory_order_relaxed);
}

Fit reserve_or_act(BudgetLine& line, const BudgetSpec& spec, int64_t worst, const GuardTime& now) {
  constexpr uint64_t kOpen = BudgetLine::kOpen;
  uint64_t window = enter(line, spec, now);
  const int64_t more = amount(spec, worst);
  const uint64_t mark = line.opened_as.load(std::memory_order_relaxed);
  if ((window & kOpen) != 0) {
    if (is_open(line, spec, window)) {
      line.refused.fetch_add(1, std::memory_order_relaxed);
      if (spec.soft()) line.committed.fetch_add(more, std::memory_order_acq_rel);
      return Fit::open;
    }
    // One that another action opened stays, in case that one comes back.
    if (OpenMark(mark).is_of(spec.action) &&
        line.window.compare_exchange_strong(window, window & ~kOpen, std::memory_order_relaxed)) {
      window &= ~kOpen;
    }
  }
  if (add_if_fits(line, spec, more)) return Fit::fits;

  line.refused.fetch_add(1, std::memory_order_relaxed);
  const bool open = committed_now(line) >= part_of(spec.limit, kTripPermille);
  if (open && spec.action != BudgetAction::reject) {
    trip(line, spec, window);
  }
  if (spec.soft()) line.committed.fetch_add(more, std::memory_order_acq_rel);
  return open ? Fit::open : Fit::acts;
}

bool change(BudgetLine& line, const BudgetSpec& spec, int64_t before, int64_t worst, bool forced,
            const GuardTime& now) {
  const int64_t more = amount(spec, worst) - amount(spec, before);
  if (more == 0) return true;
  if (more < 0 || forced) {
    line.committed.fetch_add(more, std::memory_order_acq_rel);
    return true;
  }
  enter(line, spec, now);
  return add_if_fits(line, spec, more);
}

BudgetView view(const BudgetLine& line, const BudgetSpec& spec, const GuardTime& now) {
  const WindowAt at = window_at(spec.window_ns, now);
  const uint64_t window = line.window.load(std::memory_order_acquire);
  const bool current = step_to(window, now.epoch, at.number) != Step::begin;
  const int64_t spent = line.spent.load(std::memory_order_acquire);
  return {.spent = current ? spent - line.base.load(std::memory_order_acquire) : 0,
          .reserved = std::max<int64_t>(line.committed.load(std::memory_order_acquire) - spent, 0),
          .open = current && is_open(line, spec, window),
          .end_wall_ns = at.end_wall_ns};
}

BudgetState snapshot(const BudgetLine& line) {
  const uint64_t window = line.window.load(std::memory_order_acquire);
  const int64_t base = line.base.load(std::memory_order_acquire);
  const int64_t spent = line.spent.load(std::memory_order_acquire);
  const int64_t committed = line.committed.load(std::memory_order_acquire);
  return {.window = number_of(window),
          .spent = std::max<int64_t>(spent - base, 0),
          .reserved = std::max<int64_t>(committed - spent, 0),
          .opened = (window & BudgetLine::kOpen) != 0 ? line.opened_as.load(std::memory_order_relaxed) : 0};
}

void carry_over(BudgetState& state, const WindowAt& at) {
  if (state.reserved > 0 && state.window < at.number)
    state = {.window = at.number, .reserved = state.reserved};
}

void restore(BudgetLine& line, const BudgetState& state) {
  const int64_t counted = std::min(std::clamp<int64_t>(state.spent, 0, kMaxBudget) +
                                       std::clamp<int64_t>(state.reserved, 0, kMaxBudget),
                                   kMaxBudget);
  line.committed.store(counted, std::memory_order_relaxed);
  line.spent.store(counted, std::memory_order_relaxed);
  line.base.store(0, std::memory_order_relaxed);
  line.opened_as.store(state.opened, std::memory_order_relaxed);
  line.window.store(window_word(0, state.window) | (state.opened != 0 ? BudgetLine::kOpen : 0),
                    std::memory_order_release);
}

void add_spend(BudgetLine& line, const WindowAt& at, int64_t nano_usd, const GuardTime& now) {
  uint64_t window = line.window.load(std::memory_order_acquire);
  if (!line.is_within(window, now)) window = enter(line, window, at, now);
  do {
    // For as long as somebody takes for three stores.
    while ((window & BudgetLine::kBeginning) != 0) window = line.window.load(std::memory_order_acquire);
    if (number_of(window) != std::min(at.number, kMaxNumber)) return;
    // No window begins before this one has it: what is taken off here would be missing there.
  } while (!line.window.compare_exchange_weak(window, window | BudgetLine::kBeginning,
                                              std::memory_order_acq_rel, std::memory_order_acquire));
  constexpr int64_t kMost = kMaxBudget / 4;  // with what restore() puts there it is within 63 bits
  if (nano_usd >= 0) {
    const int64_t more = std::min(nano_usd, kMost);
    line.committed.fetch_add(more, std::memory_order_acq_rel);
    line.spent.fetch_add(more, std::memory_order_acq_rel);
  } else {
    const int64_t there =
        line.spent.load(std::memory_order_acquire) - line.base.load(std::memory_order_acquire);
    const int64_t less = std::min(std::max(nano_usd, -there), int64_t{0});
    line.spent.fetch_add(less, std::memory_order_acq_rel);
    line.committed.fetch_add(less, std::memory_order_acq_rel);
  }
  line.window.store(window, std::memory_order_release);
}

}  // namespace weir::routing
