// Budgets that cannot be overspent by concurrency: the worst case of a request is reserved before it goes to
// a provider, and replaced by its actual cost when it is settled. Integer nano-USD.
//
//   committed  ──────────────┬─────────────┐       = spent + reserved, since ever
//   spent      ──────────────┤  reserved   │       = sum of settled costs, since ever
//   base       ──┬───────────┤             │       = spent when the window began
//                └ this window's spend     │
//                └───────── ≤ limit ───────┘
//
// Two sums that only a window's start is subtracted from, instead of one that is set to zero: no moment
// exists in which a window has been reset and a reservation of the old one not. A cost counts in the window
// in which it is settled, a reservation in each window in which it stands.
//
// Invariants
//   1. reserve() succeeds only by a CAS of `committed` to a value with committed - base <= limit. `base` only
//      rises, so an old one read is the stricter one.
//   2. The costs settled in a window sum up to at most `limit`, as long as no actual cost is above its worst
//      case and nothing was forced. (What is above is counted: it shows as spend.)
//   3. committed >= spent. When nothing is under way they are equal, to the nano-USD.
//   4. A window is begun by whoever first sees it, and only by one: it marks `window` as beginning, sets
//      `base` to `spent`, and takes the mark away with the new number. Nobody waits for it: until then the
//      others go by the old base, which is the safe side. Who adds or takes off what another process has counted
//      (add_spend()) marks it as well, so that no window begins in between.
//   5. A window never moves back for somebody who carries an older time: who lags counts in the line's window.
//      When the calendar itself was set back (another epoch, see guard_time.h) the window of now has a smaller
//      number: it is taken over with the base it has, so that spend is not forgotten and the next boundary is
//      met.
//
// Ordering: E's reserve ▶ E's settle adds to spent (release) ▶ the roller reads spent (acquire), writes base
// (release) ▶ L reads base (acquire) ▶ L's CAS. Therefore L's CAS comes after E's in the order of
// `committed`: L's sum holds whatever its base has subtracted. All else is relaxed: counters for people.
//
// What happens when a reservation does not fit is the rule's action, a breaker with hysteresis:
//
//            does not fit, and kTripPermille of the limit committed
//   closed ────────────────────────────────────────────────────────▶ open: the action for every request
//      ▲                                                                │
//      └── window ends; or committed is at most kRecoverPermille of the limit (for kill: of a raised limit)
//
// A breaker is its action's: when a table changes the action, the new one decides anew on the same spend.
//
// A single request too large for what is left is dealt with alone: it does not open anything. `reject` has no
// state: what fits goes. The soft actions (economy, cached, static) reserve all the same, beyond the limit:
// they change what answers, another rule bounds the money. A dearer unit in the decided one's place must fit under
// them too, but for the economy unit where the action is economy.
//
// Thread: any.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <optional>

#include "core/cache_line.h"
#include "routing/guard/guard_time.h"
#include "routing/table/table.h"

namespace weir::routing {

// It changes what answers, instead of refusing.
constexpr bool is_soft(BudgetAction action) {
  return action != BudgetAction::reject && action != BudgetAction::kill;
}

// As Budget in routing/table/table.h.
struct BudgetSpec {
  uint64_t window_ns = 0;  // 0: a calendar month
  int64_t limit = 0;
  BudgetAction action = BudgetAction::reject;

  bool soft() const { return is_soft(action); }
};

// The number of the window that `now` lies in, and when it ends. Windows are aligned to UTC: minutes, hours
// and days as the calendar has them, weeks from Monday, months from the first; other lengths from 1970 on.
struct WindowAt {
  uint64_t number = 0;
  int64_t end_wall_ns = 0;
};
WindowAt window_at(uint64_t window_ns, const GuardTime& now);
// The other way round: how long that window is, as BudgetSpec::window_ns. Nothing: there is none.
std::optional<uint64_t> window_length(const WindowAt& at);

// The state of one rule. All zero = unused.
struct alignas(core::kCacheLineBytes) BudgetLine {
  std::atomic<int64_t> committed;
  std::atomic<int64_t> spent;
  std::atomic<int64_t> base;
  std::atomic<uint64_t> window;      // epoch << 48 | number << 2 | kOpen | kBeginning
  std::atomic<int64_t> end_wall_ns;  // of that window
  std::atomic<uint64_t> opened_as;   // what the breaker opened as: see OpenMark
  std::atomic<uint32_t> trips;       // how often it opened
  std::atomic<uint32_t> refused;     // how often it did not fit
  std::atomic<uint64_t> in_flight;  // users: see user_lines.h. Others: what alerts have seen of the two above

  static constexpr uint64_t kBeginning = 1;  // the next one
  static constexpr uint64_t kOpen = 2;       // the breaker is, until this window ends

  // Whether `word`, read from `window`, is of now. The end may be the next window's already, which somebody is
  // beginning: then by the old base.
  bool is_within(uint64_t word, const GuardTime& now) const {
    return word >> 48 == now.epoch && now.wall_ns < end_wall_ns.load(std::memory_order_relaxed);
  }
  // Nothing is counted: as good as all zero.
  bool idle(const GuardTime& now) const;
  void clear();
};
static_assert(sizeof(BudgetLine) == core::kCacheLineBytes);

// With which action and limit a breaker opened, in one word. The limit is kept as a float's leading bits, which
// are ordered like the numbers: a raise by less than a millionth is none.
class OpenMark {
 public:
  explicit OpenMark(const BudgetSpec& spec)
      : bits_(limit_bits(spec.limit) << 3 | static_cast<uint64_t>(spec.action)) {}
  explicit OpenMark(uint64_t bits) : bits_(bits) {}
  uint64_t bits() const { return bits_; }

  bool is_of(BudgetAction action) const { return bits_ != 0 && (bits_ & 7) == static_cast<uint64_t>(action); }
  bool is_below(int64_t limit) const { return bits_ >> 3 < limit_bits(limit); }

 private:
  static uint64_t limit_bits(int64_t limit) {
    return std::bit_cast<uint32_t>(static_cast<float>(limit)) >> 2;
  }

  uint64_t bits_;
};

inline constexpr int64_t kTripPermille = 900;
inline constexpr int64_t kRecoverPermille = 800;
constexpr int64_t part_of(int64_t limit, int64_t permille) {
  return limit / 1000 * permille + limit % 1000 * permille / 1000;
}
// Bounds that keep every sum within 63 bits whatever clients ask for and providers report, in nano-USD.
inline constexpr int64_t kMaxBudget = int64_t{1} << 62;        // 4.6 billion USD
inline constexpr int64_t kMaxSoftReserve = 1'000'000'000'000;  // 1,000 USD: of one request, under a soft rule
inline constexpr int64_t kMaxCost = 1'000'000'000'000'000;     // 1,000,000 USD: of one request

enum class Fit : uint8_t {
  fits,  // reserved
  acts,  // the rule's action applies. Reserved if it is soft, else not.
  open,  // the same, and not for this request alone: the breaker is open, or of `reject` hardly anything is left
};

// What a rule holds for a request of this worst case; the same at reserve and settle.
inline int64_t amount(const BudgetSpec& spec, int64_t worst) {
  const int64_t bounded = std::max<int64_t>(worst, 0);
  return spec.soft() ? std::min(bounded, kMaxSoftReserve) : bounded;
}
// Adds `more` to what is committed if the sum stays within the limit.
inline bool add_if_fits(BudgetLine& line, const BudgetSpec& spec, int64_t more) {
  if (more > spec.limit) return false;
  int64_t committed = line.committed.load(std::memory_order_relaxed);
  do {
    const int64_t base = line.base.load(std::memory_order_acquire);
    if (committed - base > spec.limit - more) return false;
  } while (!line.committed.compare_exchange_weak(committed, committed + more, std::memory_order_acq_rel,
                                                 std::memory_order_relaxed));
  return true;
}

// Reserves `worst`, or says that the rule's action applies.
Fit reserve_or_act(BudgetLine& line, const BudgetSpec& spec, int64_t worst, const GuardTime& now);
inline Fit reserve(BudgetLine& line, const BudgetSpec& spec, int64_t worst, const GuardTime& now) {
  // Nearly always: within the line's window, its breaker closed, and it fits.
  const uint64_t window = line.window.load(std::memory_order_acquire);
  if (line.is_within(window, now) && (window & BudgetLine::kOpen) == 0 &&
      add_if_fits(line, spec, amount(spec, worst))) {
    return Fit::fits;
  }
  return reserve_or_act(line, spec, worst, now);
}
// The same request may now cost `worst` instead of `before`: another unit answers. False: it does not fit,
// nothing has changed. Less always fits; `forced` is what the rule's own action leads to.
bool change(BudgetLine& line, const BudgetSpec& spec, int64_t before, int64_t worst, bool forced,
            const GuardTime& now);
// Replaces what was reserved by what it cost. 0 = nothing was bought.
inline void settle(BudgetLine& line, const BudgetSpec& spec, int64_t worst, int64_t actual) {
  actual = std::clamp<int64_t>(actual, 0, kMaxCost);
  if (actual != 0) line.spent.fetch_add(actual, std::memory_order_acq_rel);
  line.committed.fetch_add(actual - amount(spec, worst), std::memory_order_acq_rel);
}

struct BudgetView {
  int64_t spent = 0;  // in this window
  int64_t reserved = 0;
  bool open = false;
  int64_t end_wall_ns = 0;
};
BudgetView view(const BudgetLine& line, const BudgetSpec& spec, const GuardTime& now);

// What must outlive the process, taken at any time. Restoring counts what was reserved as spent: its outcome
// is not known, and that is the safe side.
struct BudgetState {
  uint64_t window = 0;
  int64_t spent = 0;
  int64_t reserved = 0;
  uint64_t opened = 0;  // OpenMark of this window; 0 = closed

  friend bool operator==(const BudgetState&, const BudgetState&) = default;
};
BudgetState snapshot(const BudgetLine& line);
// In a window that is over nothing counts any more but what is reserved: that stands in the one of now, `at`, too.
void carry_over(BudgetState& state, const WindowAt& at);
// Into an unused line, before traffic.
void restore(BudgetLine& line, const BudgetState& state);
// Adds what another process has counted in the window `at`, which is that of now, or takes it off: never more than
// there is. Nothing if the line is in another window.
void add_spend(BudgetLine& line, const WindowAt& at, int64_t nano_usd, const GuardTime& now);

}  // namespace weir::routing
