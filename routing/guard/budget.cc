#include "routing/guard/budget.h"

#include <algorithm>

#include "routing/table/scalars.h"

namespace weir::routing {
namespace {

constexpr int64_t kDayNs = static_cast<int64_t>(kNsPerDay);
constexpr int64_t kMondayOffsetNs = 3 * kDayNs;  // 1970-01-01 was a Thursday

// What a rule holds for a request of this worst case; the same at reserve and settle.
int64_t amount(const BudgetSpec& spec, int64_t worst) {
  const int64_t bounded = std::max<int64_t>(worst, 0);
  return spec.soft() ? std::min(bounded, kMaxSoftReserve) : bounded;
}

int64_t part_of(int64_t limit, int64_t permille) {
  return limit / 1000 * permille + limit % 1000 * permille / 1000;
}

// Makes the line's window that of `number`: invariants 4 and 5.
void enter(BudgetLine& line, uint64_t number) {
  uint64_t seen = line.window.load(std::memory_order_acquire);
  if (seen == 2 * number || (seen & 1) != 0) return;
  if (number > seen / 2) {
    if (!line.window.compare_exchange_strong(seen, seen | 1, std::memory_order_acq_rel)) return;
    line.base.store(line.spent.load(std::memory_order_acquire), std::memory_order_release);
    line.window.store(2 * number, std::memory_order_release);
  } else if (number + 1 < seen / 2) {
    // The calendar was set back. One window back may be a shard whose clock lags at the boundary: that one
    // counts in the new window.
    line.window.compare_exchange_strong(seen, 2 * number, std::memory_order_acq_rel);
  }
}

// Adds `more` if the sum stays within the limit.
bool add_if_fits(BudgetLine& line, const BudgetSpec& spec, int64_t more) {
  if (more > spec.limit) return false;
  int64_t committed = line.committed.load(std::memory_order_relaxed);
  do {
    const int64_t base = line.base.load(std::memory_order_acquire);
    if (committed - base > spec.limit - more) return false;
  } while (!line.committed.compare_exchange_weak(committed, committed + more, std::memory_order_acq_rel,
                                                 std::memory_order_relaxed));
  return true;
}

int64_t committed_now(const BudgetLine& line) {
  const int64_t base = line.base.load(std::memory_order_acquire);
  return line.committed.load(std::memory_order_relaxed) - base;
}

// Whether the rule's action applies to every request; `mark` is what the line says.
bool is_open(const BudgetLine& line, const BudgetSpec& spec, OpenMark mark, uint64_t number) {
  if (spec.action == BudgetAction::reject || !mark.is_of(number, spec.action)) return false;
  const bool may_recover = spec.action != BudgetAction::kill || mark.is_below(spec.limit);
  return !may_recover || committed_now(line) > part_of(spec.limit, kRecoverPermille);
}

}  // namespace

WindowAt window_at(uint64_t window_ns, const GuardTime& now) {
  if (window_ns == 0) return {.number = now.month, .end_wall_ns = now.month_end_ns};
  const auto length = static_cast<int64_t>(window_ns);
  const int64_t offset = length == 7 * kDayNs ? kMondayOffsetNs : 0;
  const int64_t number = (std::max<int64_t>(now.wall_ns, 0) + offset) / length;
  return {.number = static_cast<uint64_t>(number), .end_wall_ns = (number + 1) * length - offset};
}

void BudgetLine::clear() {
  for (auto* money : {&committed, &spent, &base}) money->store(0, std::memory_order_relaxed);
  for (auto* word : {&window, &opened, &trips, &refused}) word->store(0, std::memory_order_relaxed);
}

Fit reserve(BudgetLine& line, const BudgetSpec& spec, int64_t worst, const GuardTime& now) {
  const uint64_t number = window_at(spec.window_ns, now).number;
  enter(line, number);
  const int64_t more = amount(spec, worst);
  uint64_t mark = line.opened.load(std::memory_order_relaxed);
  if (mark != 0) {
    if (is_open(line, spec, OpenMark(mark), number)) {
      line.refused.fetch_add(1, std::memory_order_relaxed);
      if (spec.soft()) line.committed.fetch_add(more, std::memory_order_acq_rel);
      return Fit::acts;
    }
    // One that another action opened stays, in case that one comes back.
    if (OpenMark(mark).is_of(number, spec.action)) {
      line.opened.compare_exchange_strong(mark, 0, std::memory_order_relaxed);
    }
  }
  if (add_if_fits(line, spec, more)) return Fit::fits;

  line.refused.fetch_add(1, std::memory_order_relaxed);
  bool opened = false;
  if (spec.action != BudgetAction::reject && committed_now(line) >= part_of(spec.limit, kTripPermille)) {
    mark = line.opened.load(std::memory_order_relaxed);
    opened =
        !OpenMark(mark).is_of(number, spec.action) &&
        line.opened.compare_exchange_strong(mark, OpenMark(number, spec).bits(), std::memory_order_relaxed);
    if (opened) line.trips.fetch_add(1, std::memory_order_relaxed);
  }
  if (spec.soft()) line.committed.fetch_add(more, std::memory_order_acq_rel);
  return opened ? Fit::opened : Fit::acts;
}

bool change(BudgetLine& line, const BudgetSpec& spec, int64_t before, int64_t worst, const GuardTime& now) {
  const int64_t more = amount(spec, worst) - amount(spec, before);
  if (more == 0) return true;
  if (more < 0 || spec.soft()) {
    line.committed.fetch_add(more, std::memory_order_acq_rel);
    return true;
  }
  enter(line, window_at(spec.window_ns, now).number);
  return add_if_fits(line, spec, more);
}

void settle(BudgetLine& line, const BudgetSpec& spec, int64_t worst, int64_t actual) {
  actual = std::clamp<int64_t>(actual, 0, kMaxCost);
  if (actual != 0) line.spent.fetch_add(actual, std::memory_order_acq_rel);
  line.committed.fetch_add(actual - amount(spec, worst), std::memory_order_acq_rel);
}

BudgetView view(const BudgetLine& line, const BudgetSpec& spec, const GuardTime& now) {
  const WindowAt at = window_at(spec.window_ns, now);
  const bool current = line.window.load(std::memory_order_acquire) / 2 >= at.number;
  const int64_t spent = line.spent.load(std::memory_order_acquire);
  return {.spent = current ? spent - line.base.load(std::memory_order_acquire) : 0,
          .reserved = std::max<int64_t>(line.committed.load(std::memory_order_acquire) - spent, 0),
          .open = is_open(line, spec, OpenMark(line.opened.load(std::memory_order_relaxed)), at.number),
          .end_wall_ns = at.end_wall_ns};
}

BudgetState snapshot(const BudgetLine& line) {
  const uint64_t window = line.window.load(std::memory_order_acquire);
  const int64_t base = line.base.load(std::memory_order_acquire);
  const int64_t spent = line.spent.load(std::memory_order_acquire);
  const int64_t committed = line.committed.load(std::memory_order_acquire);
  const uint64_t opened = line.opened.load(std::memory_order_relaxed);
  return {.window = window / 2,
          .spent = std::max<int64_t>(spent - base, 0),
          .reserved = std::max<int64_t>(committed - spent, 0),
          .opened = OpenMark(opened).is_of(window / 2) ? opened : 0};
}

void restore(BudgetLine& line, const BudgetState& state) {
  const int64_t counted =
      std::min(std::max<int64_t>(state.spent, 0) + std::max<int64_t>(state.reserved, 0), kMaxBudget);
  line.committed.store(counted, std::memory_order_relaxed);
  line.spent.store(counted, std::memory_order_relaxed);
  line.base.store(0, std::memory_order_relaxed);
  line.opened.store(OpenMark(state.opened).is_of(state.window) ? state.opened : 0, std::memory_order_relaxed);
  line.window.store(2 * state.window, std::memory_order_release);
}

}  // namespace weir::routing
