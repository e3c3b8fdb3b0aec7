#include "routing/guard/breaker.h"

#include <algorithm>

namespace weir::routing {
namespace {

using R = BreakerRules;

constexpr auto kRelaxed = std::memory_order_relaxed;

constexpr uint64_t pack(BreakerState state, uint64_t time_ns) {
  return time_ns << 2 | static_cast<uint64_t>(state);
}
// Open because of a 429.
constexpr uint64_t kLimited = 3;
constexpr BreakerState state_of(uint64_t word) {
  return (word & 3) == kLimited ? BreakerState::open : static_cast<BreakerState>(word & 3);
}
constexpr uint64_t time_of(uint64_t word) {
  return word >> 2;
}

struct Window {
  static constexpr uint64_t kMost = (1 << 20) - 1;
  uint64_t number, attempts, failures;

  static Window of(uint64_t word) { return {word >> 40, word >> 20 & kMost, word & kMost}; }
  uint64_t word() const { return number << 40 | attempts << 20 | failures; }
};

// Counts an attempt; the window after it.
Window count(BreakerLine& line, bool failure, uint64_t now_ns) {
  uint64_t seen = line.window.load(kRelaxed);
  while (true) {
    Window window = Window::of(seen);
    const uint64_t number = now_ns / R::kWindowNs & 0xffffff;
    if (window.number != number) window = {number, 0, 0};
    if (window.attempts == Window::kMost) window = {number, window.attempts / 2, window.failures / 2};
    ++window.attempts;
    window.failures += failure;
    if (line.window.compare_exchange_weak(seen, window.word(), kRelaxed)) return window;
  }
}

// From `from` to `to`, which is open; false: somebody else changed it.
bool open(BreakerLine& line, uint64_t from, uint64_t to) {
  if (!line.state.compare_exchange_strong(from, to, kRelaxed)) return false;
  line.opened.fetch_add(1, kRelaxed);
  line.consecutive.store(0, kRelaxed);
  line.window.store(0, kRelaxed);
  return true;
}

// Opens for twice as long as the time before.
bool open_longer(BreakerLine& line, uint64_t from, uint64_t now_ns) {
  const uint64_t times = std::min<uint64_t>(line.backoff.load(kRelaxed), 10);
  if (!open(line, from, pack(BreakerState::open, now_ns + std::min(R::kOpenNs << times, R::kMaxOpenNs)))) return false;
  line.backoff.fetch_add(1, kRelaxed);
  return true;
}

// Of a closed one: a tenth at the beginning of its slow start, in the end everybody.
uint32_t slow_start_permille(uint64_t since_ns, uint64_t now_ns) {
  if (since_ns == 0 || now_ns >= since_ns + R::kSlowStartNs) return 1000;
  return static_cast<uint32_t>(100 + 900 * (now_ns - std::min(now_ns, since_ns)) / R::kSlowStartNs);
}

}  // namespace

std::string_view token(BreakerState state) {
  static constexpr std::string_view kTokens[] = {"closed", "open", "half_open"};
  return kTokens[static_cast<unsigned>(state)];
}

uint32_t share_permille(const BreakerLine& line, uint64_t now_ns) {
  const uint64_t word = line.state.load(kRelaxed);
  if (state_of(word) == BreakerState::closed) return slow_start_permille(time_of(word), now_ns);
  return now_ns >= time_of(word) ? 100 : 0;
}

Pass ask(BreakerLine& line, uint64_t now_ns, uint32_t dice) {
  uint64_t word = line.state.load(kRelaxed);
  const uint64_t time_ns = time_of(word);
  if (state_of(word) == BreakerState::closed) {
    if (dice % 1000 < slow_start_permille(time_ns, now_ns)) return Pass::yes;
  } else if (now_ns >= time_ns &&
             line.state.compare_exchange_strong(
                 word, pack(BreakerState::half_open, now_ns + R::kProbePatienceNs), kRelaxed)) {
    return Pass::probe;
  }
  line.kept_away.fetch_add(1, kRelaxed);
  return Pass::no;
}

void succeeded(BreakerLine& line, Pass pass, uint64_t now_ns) {
  uint64_t word = line.state.load(kRelaxed);
  if (pass == Pass::probe) {
    if (state_of(word) == BreakerState::half_open) {
      line.state.compare_exchange_strong(word, pack(BreakerState::closed, now_ns), kRelaxed);
    }
    return;
  }
  if (state_of(word) != BreakerState::closed) return;
  if (line.consecutive.load(kRelaxed) != 0) line.consecutive.store(0, kRelaxed);
  if (line.backoff.load(kRelaxed) != 0 && now_ns >= time_of(word) + R::kSlowStartNs)
    line.backoff.store(0, kRelaxed);
  count(line, false, now_ns);
}

bool failed(BreakerLine& line, Pass pass, uint64_t now_ns) {
  const uint64_t word = line.state.load(kRelaxed);
  if (pass == Pass::probe) {
    return state_of(word) == BreakerState::half_open && open_longer(line, word, now_ns);
  }
  if (state_of(word) != BreakerState::closed) return false;
  const Window window = count(line, true, now_ns);
  const bool in_a_row = line.consecutive.fetch_add(1, kRelaxed) + 1 >= R::kConsecutive;
  const bool share =
      window.attempts >= R::kLeast && window.failures * 1000 >= window.attempts * R::kSharePermille;
  return (in_a_row || share) && open_longer(line, word, now_ns);
}

bool limited(BreakerLine& line, Pass pass, uint64_t retry_after_ns, uint64_t now_ns) {
  if (retry_after_ns == 0) return failed(line, pass, now_ns);
  const uint64_t until_ns = now_ns + std::min(retry_after_ns, R::kMaxLimitedNs);
  const uint64_t until = until_ns << 2 | kLimited;
  uint64_t word = line.state.load(kRelaxed);
  while (true) {
    if (state_of(word) != BreakerState::open) {
      if (open(line, word, until)) return true;
      word = line.state.load(kRelaxed);
    } else if (time_of(word) >= until_ns || line.state.compare_exchange_weak(word, until, kRelaxed)) {
      return false;
    }
  }
}

void copy_succeeded(BreakerLine& line, uint64_t began_ns, uint64_t now_ns) {
  uint64_t word = line.state.load(kRelaxed);
  if (state_of(word) == BreakerState::open && began_ns >= time_of(word))
    line.state.compare_exchange_strong(word, pack(BreakerState::closed, now_ns), kRelaxed);
}

void cancelled(BreakerLine& line, Pass pass, uint64_t now_ns) {
  if (pass != Pass::probe) return;
  uint64_t word = line.state.load(kRelaxed);
  // Open, and its time is over: the next one is the probe.
  if (state_of(word) == BreakerState::half_open) {
    line.state.compare_exchange_strong(word, pack(BreakerState::open, now_ns), kRelaxed);
  }
}

BreakerView view(const BreakerLine& line, uint64_t now_ns) {
  const uint64_t word = line.state.load(kRelaxed);
  const BreakerState state = state_of(word);
  return {.state = state,
          .left_ns = state == BreakerState::open ? time_of(word) - std::min(time_of(word), now_ns) : 0,
          .limited = (word & 3) == kLimited,
          .consecutive = line.consecutive.load(kRelaxed),
          .opened = line.opened.load(kRelaxed),
          .kept_away = line.kept_away.load(kRelaxed)};
}

}  // namespace weir::routing
