// Rate limits that are exact: one atomic word per limit, shared by all shards, no lock.
//
// The word is the "theoretical arrival time" of GCRA (ITU-T I.371, annex A; the leaky bucket as a meter): the
// moment at which everything admitted so far would have been used up at the limit's rate.
//
//        now                 word                      now + K × interval
//   ──────┼───────────────────┼───────────────┄┄┄┄┄┄┄┄┄┄┄┄┼──────▶ time
//         └── already used ───┘── one more: + interval ──▶│ not beyond this, else refused
//
// So an unused limit of K admits exactly K at once, and from then on one per interval. Refused is told to
// come back at the very moment when it would fit.
//
// Words of one holder (a tenant, a key, a user ...) share a cache line: a request asks all of them, so it
// takes the line once instead of once per limit.
//
// Invariants
//   1. Of any number of concurrent take() at one `now` exactly as many succeed as fit: each success is one
//      CAS on the only word, and it rechecks what it was computed from.
//   2. A word of 0 is an unused limit, and so is any word that lies in the past. Forgetting such a word loses
//      nothing.
//   3. Whoever is refused is so by the clock, and whoever gives back returns all that the clock says is unpaid. So
//      of a limit of K exactly K are admitted, however far behind each shard's time is. (What is going to be
//      given back counts until then.)
//   4. Since any moment at which the limit was unused and nothing under way, never more has been admitted and kept
//      than K and what the rate has refilled since: nobody returns more than he was charged.
//   5. Rounding is on the slow side: an interval is rounded up to 1/32 ns.
//
// Giving back. Time pays off what was charged in the order of charging, and a charge that left the word at
// `mark` is the last thing paid before `mark`. Those who came later may have been admitted because of that, so
// what is paid stays, as if that part had happened; the rest never has:
//
//        now          mark - cost            mark         word
//   ──────┼────────────────┼───────────────────┼────────────┼──▶ time     all is unpaid: the word moves by cost
//                          └──── this charge ──┘── later ───┘
//                                   now       mark         word
//   ──────────────────────────┼──────┼──────────┼────────────┼──▶ time     it moves by mark - now
//                             └ paid ┴─ unpaid ─┘── later ───┘
//
// Shards read their clocks once a turn, and `now` must be no earlier than the one that anybody was admitted by.
// So give_back() reads the clock after the word and writes only if the word is still the same. Admitting reads
// no clock: who asks for the past finds less free, and reads it only before it is refused.
//
// What remains: a mark does not move when somebody who was charged before it gives back. Where both give back, the
// earlier one first, and the limit has run empty and been charged by others in between, the second one returns
// too much: at most what the first one did, and at most what time has refilled since the second was charged. By so
// much more than K may be admitted at that instant, though never beyond invariant 4. For a request that another
// guard refuses that is the time of its admit(), so nothing that anybody could count; for tokens settled below
// their estimate it may be as long as the answer took.
//
// Ordering: relaxed, but for a look at the clock, which comes behind an acquire. A word publishes nothing but
// itself; a CAS needs only the word's own modification order.
//
// Time is monotonic, so a jump of the wall clock neither opens nor shuts a limit. Words and clocks are templates
// so that a test can enumerate every interleaving of the very same code.
//
// Limits: rates up to 32 per ns; a machine up for 18 years. Thread: any.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

#include "core/cache_line.h"

namespace weir::routing {

inline constexpr uint64_t kTicksPerNs = 32;

// `limit` units per period. limit 0 = no limit.
struct RateSpec {
  uint64_t limit = 0;
  uint64_t interval = 0;  // ticks per unit

  bool any() const { return limit != 0; }
  uint64_t burst() const { return limit * interval; }

  friend bool operator==(const RateSpec&, const RateSpec&) = default;
};

constexpr RateSpec rate_spec(uint64_t limit, uint64_t period_ns) {
  return limit == 0 ? RateSpec{} : RateSpec{limit, (period_ns * kTicksPerNs + limit - 1) / limit};
}

// What was charged to a word, for give_back().
struct Charge {
  uint64_t cost_ticks = 0;
  uint64_t mark = 0;  // the word right after

  uint64_t units(const RateSpec& spec) const { return spec.any() ? cost_ticks / spec.interval : 0; }
};

// Two words, so that it is returned in registers.
struct RateOutcome {
  enum class Kind : uint8_t { admitted, refused, never };  // never: more than the limit admits at once
  Kind kind = Kind::admitted;
  uint64_t value = 0;

  explicit operator bool() const { return kind == Kind::admitted; }
  // Admitted: the word right after, and what was charged.
  uint64_t mark() const { return value; }
  Charge charge(const RateSpec& spec, uint64_t units) const {
    return {.cost_ticks = units * spec.interval, .mark = value};
  }
  // Refused: when it would fit if nobody else came. 0 = never.
  uint64_t retry_after_ns() const { return value; }
};

// Takes `units` if they fit.
template <typename Word>
RateOutcome take(Word& word, const RateSpec& spec, uint64_t units, uint64_t now_ns) {
  if (units > spec.limit) return {.kind = RateOutcome::Kind::never};
  const uint64_t now = now_ns * kTicksPerNs;
  const uint64_t cost = units * spec.interval;
  const uint64_t end = now + spec.burst();
  uint64_t seen = word.load(std::memory_order_relaxed);
  while (true) {
    const uint64_t next = std::max(seen, now) + cost;
    if (next > end) {
      return {.kind = RateOutcome::Kind::refused, .value = (next - end + kTicksPerNs - 1) / kTicksPerNs};
    }
    if (word.compare_exchange_weak(seen, next, std::memory_order_relaxed)) return {.value = next};
  }
}

// Takes `units` if they fit now, or by a clock (a call that gives ns) that is ahead of it: it is read only before they
// are refused, and after what they are refused for was charged.
template <typename Word, typename Clock>
RateOutcome take(Word& word, const RateSpec& spec, uint64_t units, uint64_t now_ns, const Clock& clock) {
  while (true) {
    RateOutcome outcome = take(word, spec, units, now_ns);
    if (outcome.kind != RateOutcome::Kind::refused) return outcome;
    const uint64_t fits_ns = now_ns + outcome.value;
    now_ns = std::max(clock(), now_ns);
    if (now_ns >= fits_ns) continue;
    outcome.value = fits_ns - now_ns;
    return outcome;
  }
}

// Returns at most `ticks` of a charge: what the clock (a call that gives ns, no earlier than any time that the word
// has been charged by) says is unpaid. It is not read where all was paid at `now_ns`. Once for each charge. What of it
// went back, in ticks.
template <typename Word, typename Clock>
uint64_t give_back(Word& word, const Charge& charge, uint64_t ticks, uint64_t now_ns, const Clock& clock) {
  ticks = std::min(ticks, charge.cost_ticks);
  if (ticks == 0 || charge.mark <= now_ns * kTicksPerNs) return 0;
  uint64_t seen = word.load(std::memory_order_acquire);
  while (true) {
    const uint64_t now = clock() * kTicksPerNs;
    const uint64_t end = std::min(charge.mark, seen);
    if (end <= now) return 0;
    const uint64_t unpaid = std::min(ticks, end - now);
    if (word.compare_exchange_weak(seen, seen - unpaid, std::memory_order_acquire)) return unpaid;
  }
}

// Charges `units` whether they fit or not: what was used beyond the estimate. Up to a debt of kMaxDebt full
// limits in all, so that absurd reports cannot shut a limit for good.
inline constexpr uint64_t kMaxDebt = 16;
template <typename Word>
Charge charge(Word& word, const RateSpec& spec, uint64_t units, uint64_t now_ns) {
  const uint64_t now = now_ns * kTicksPerNs;
  const uint64_t cost = std::min(units, spec.limit * kMaxDebt) * spec.interval;
  const uint64_t most = now + kMaxDebt * spec.burst();
  uint64_t seen = word.load(std::memory_order_relaxed);
  uint64_t charged = 0;
  do {
    charged = std::max(seen, std::min(std::max(seen, now) + cost, most));
  } while (!word.compare_exchange_weak(seen, charged, std::memory_order_relaxed));
  return {.cost_ticks = charged - std::max(seen, now), .mark = charged};
}

// For people and x-ratelimit-*: how many more would be admitted now, and when the limit is unused again.
struct RateView {
  uint64_t remaining = 0;
  uint64_t reset_ns = 0;
};
template <typename Word>
RateView view(const Word& word, const RateSpec& spec, uint64_t now_ns) {
  const uint64_t now = now_ns * kTicksPerNs;
  const uint64_t seen = std::max(word.load(std::memory_order_relaxed), now);
  const uint64_t end = now + spec.burst();
  return {.remaining = seen >= end ? 0 : (end - seen) / spec.interval,
          .reset_ns = (seen - now + kTicksPerNs - 1) / kTicksPerNs};
}

// How many must be free again before a soft action ends that the limit has begun: a fifth.
constexpr uint64_t to_recover(const RateSpec& spec) {
  return std::max<uint64_t>(spec.limit / 5, 1);
}

// Adds one to a counter that may not pass `limit`; false: it stands there already. Never decremented by time:
// a concurrency limit counts down with release(), a total does not.
template <typename Word>
bool count_one(Word& word, uint64_t limit) {
  uint64_t seen = word.load(std::memory_order_relaxed);
  do {
    if (seen >= limit) return false;
  } while (!word.compare_exchange_weak(seen, seen + 1, std::memory_order_relaxed));
  return true;
}
template <typename Word>
void release_one(Word& word) {
  word.fetch_sub(1, std::memory_order_relaxed);
}

// The rates that a holder may have. Order of LimitLine::rates.
enum class RateKind : uint8_t { second, minute, hour, day, tokens };
inline constexpr unsigned kRateKinds = 5;
inline constexpr std::array<uint64_t, kRateKinds> kRatePeriodsNs = {
    1'000'000'000, 60'000'000'000, 3'600'000'000'000, 86'400'000'000'000, 60'000'000'000};

// All limits of one holder as numbers; 0 = none.
struct LimitSpecs {
  std::array<RateSpec, kRateKinds> rates;
  uint64_t concurrency = 0;
  uint64_t total = 0;  // requests ever

  bool any() const {
    return concurrency != 0 || total != 0 ||
           std::any_of(rates.begin(), rates.end(), [](const RateSpec& rate) { return rate.any(); });
  }
};

// Their state, one line. All zero = unused.
struct alignas(core::kCacheLineBytes) LimitLine {
  std::array<std::atomic<uint64_t>, kRateKinds> rates;
  std::atomic<uint64_t> in_flight;
  // Of a pilot: its requests ever. Of others: a bit per RateKind, set while that limit's action applies; above them
  // what people are told of (trip_marks.h).
  std::atomic<uint64_t> total;
  std::atomic<uint64_t> refused;  // how often one of them said no: for people

  // Nothing is being counted: as good as all zero.
  bool idle(uint64_t now_ns) const {
    return std::all_of(rates.begin(), rates.end(), [&](const std::atomic<uint64_t>& rate) {
      return rate.load(std::memory_order_relaxed) <= now_ns * kTicksPerNs;
    });
  }
  // When the last of its rates is unused again, in ticks: what an eviction would forget.
  uint64_t busy_until() const {
    uint64_t latest = 0;
    for (const std::atomic<uint64_t>& rate : rates)
      latest = std::max(latest, rate.load(std::memory_order_relaxed));
    return latest;
  }
  void clear() {
    for (std::atomic<uint64_t>& rate : rates) rate.store(0, std::memory_order_relaxed);
    total.store(0, std::memory_order_relaxed);
    refused.store(0, std::memory_order_relaxed);
  }
};
static_assert(sizeof(LimitLine) == core::kCacheLineBytes);

}  // namespace weir::routing
