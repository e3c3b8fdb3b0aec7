// The health of one (provider, model), seen by all shards: who fails is left alone for a while, asked again
// with one request at a time, and taken back slowly.
//
//            kConsecutive failures in a row, or kSharePermille of at least kLeast
//            attempts in kWindowNs, or a 429 that says when to come back
//   closed ─────────────────────────────────────────────────────────────────▶ open
//      ▲ slow start: from 10 % to everybody                                     │ its time is over
//      │ over kSlowStartNs                                                      ▼
//      └───────────────────── the probe succeeded ───────────────────────── half_open: one probe
//                                                    the probe failed ─▶ open, twice as long (to kMaxOpenNs)
//
// A slow start leads requests elsewhere: where there is nowhere else to go, nobody is refused for it.
//
// Invariants
//   1. While open nobody is let through; while half_open one at a time: the step to half_open is a CAS, and
//      its winner is the probe. A probe that never reports is overdue after kProbePatienceNs, then another
//      may go.
//   2. Each attempt that was let through reports once, when it is over: succeeded(), failed(), limited() or
//      cancelled(). A probe reports its first token as its success, and then its end as others do.
//   3. Attempts that began before it opened change nothing while it is open, but for a 429 that says to come back later
//      than that. One that comes during a probe opens it again, and the probe counts no more.
//   4. Copies for candidates (routing/exchange/shadow_call.h) are no attempts: of them only a 429 counts, and an answer
//      to one that was sent once the time was over, which is as good as a probe's.
//
// Ordering: relaxed; each word stands for itself, and a count lost or late by an attempt does not matter.
//
// Thread: any. `dice` is any random number.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "core/cache_line.h"

namespace weir::routing {

enum class BreakerState : uint8_t { closed, open, half_open };
std::string_view token(BreakerState state);

enum class Pass : uint8_t { yes, probe, no };

// All zero = closed, nothing known.
struct alignas(core::kCacheLineBytes) BreakerLine {
  // time in ns << 2 | BreakerState, or 3: open because of a 429. closed: since when; others: until when
  std::atomic<uint64_t> state;
  std::atomic<uint64_t> consecutive;  // failures in a row
  std::atomic<uint64_t> window;       // number << 40 | attempts << 20 | failures
  std::atomic<uint64_t> backoff;      // how often it opened in a row
  std::atomic<uint64_t> opened;       // ever: for people
  std::atomic<uint64_t> kept_away;    // attempts not let through: for people
  std::atomic<uint64_t> seen;         // how often of `opened` alerts have seen
  std::atomic<uint64_t> unused;
};
static_assert(sizeof(BreakerLine) == core::kCacheLineBytes);

struct BreakerRules {
  static constexpr uint64_t kConsecutive = 10;
  static constexpr uint64_t kSharePermille = 500;
  static constexpr uint64_t kLeast = 40;
  static constexpr uint64_t kWindowNs = 10'000'000'000;
  static constexpr uint64_t kOpenNs = 1'000'000'000;
  static constexpr uint64_t kMaxOpenNs = 30'000'000'000;
  static constexpr uint64_t kMaxLimitedNs = 3'600'000'000'000;  // a longer retry-after is not believed
  static constexpr uint64_t kSlowStartNs = 10'000'000'000;
  static constexpr uint64_t kProbePatienceNs = 30'000'000'000;
};

// The share of attempts, in thousandths, that should be led here at this moment: 0 while open or while a
// probe is under way, a tenth when a probe may go, from there on to 1000 during a slow start.
uint32_t share_permille(const BreakerLine& line, uint64_t now_ns);

// The `dice` of a caller that has no other place to go to, or has weighed share_permille() itself.
inline constexpr uint32_t kNoSlowStart = 0;

// May an attempt go?
Pass ask(BreakerLine& line, uint64_t now_ns, uint32_t dice);
void succeeded(BreakerLine& line, Pass pass, uint64_t now_ns);
// True: with this it opened.
bool failed(BreakerLine& line, Pass pass, uint64_t now_ns);
// The provider said 429 and when to come back (0: it did not say, which is a failure like any other). Who is open
// already stays so for as long as the later one of both said.
bool limited(BreakerLine& line, Pass pass, uint64_t retry_after_ns, uint64_t now_ns);
// A copy was answered that began at `began_ns`.
void copy_succeeded(BreakerLine& line, uint64_t began_ns, uint64_t now_ns);
// Ended for reasons of its own: tells nothing about the provider.
void cancelled(BreakerLine& line, Pass pass, uint64_t now_ns);

struct BreakerView {
  BreakerState state = BreakerState::closed;
  uint64_t left_ns = 0;  // open: until a probe may go
  bool limited = false;  // open because the provider said 429
  uint64_t consecutive = 0, opened = 0, kept_away = 0;
};
BreakerView view(const BreakerLine& line, uint64_t now_ns);

}  // namespace weir::routing
