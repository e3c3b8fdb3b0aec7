#include "routing/guard/breaker.h"

#include <algorithm>

namespace weir::routing {
namespace {

using R = BreakerRules;

constexpr auto kRelaxed = std::memory_order_relaxed;

constexpr uint64_t pack(BreakerState state, uint64_t time_ns) {
  return time_ns << 2 | static_cast<uint64_t>(state);
}
constexpr BreakerState state_of(uint64_t word) {
  return static_cast<BreakerState>(word & 3);
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

// From `from` to open; false: somebody else changed it.
bool open(BreakerLine& line, uint64_t from, uint64_t until_ns) {
  if (!line.state.compare_exchange_strong(from, pack(BreakerState::open, until_ns), kRelaxed)) return false;
  line.opened.fetch_add(1, kRelaxed);
  line.consecutive.store(0, kRelaxed);
  line.window.store(0, kRelaxed);
  return true;
}

uint64_t next_open_ns(BreakerLine& line) {
  const uint64_t times = std::min<uint64_t>(line.backoff.fetch_add(1, kRelaxed), 10);
  return std::min(R::kOpenNs << times, R::kMaxOpenNs);
}

}  // namespace

std::string_view token(BreakerState state) {
  static constexpr std::string_view kTokens[] = {"closed", "open", "half_open"};
  return kTokens[static_cast<unsigned>(state)];
}

Pass ask(BreakerLine& line, uint64_t now_ns, uint32_t dice) {
  uint64_t word = line.state.load(kRelaxed);
  const uint64_t time_ns = time_of(word);
  if (state_of(word) == BreakerState::closed) {
    if (time_ns == 0 || now_ns >= time_ns + R::kSlowStartNs) return Pass::yes;
    const uint64_t share = 100 + 900 * (now_ns - std::min(now_ns, time_ns)) / R::kSlowStartNs;
    if (dice % 1000 < share) return Pass::yes;
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
    return state_of(word) == BreakerState::half_open && open(line, word, now_ns + next_open_ns(line));
  }
  if (state_of(word) != BreakerState::closed) return false;
  const Window window = count(line, true, now_ns);
  const bool in_a_row = line.consecutive.fetch_add(1, kRelaxed) + 1 >= R::kConsecutive;
  const bool share =
      window.attempts >= R::kLeast && window.failures * 1000 >= window.attempts * R::kSharePermille;
  return (in_a_row || share) && open(line, word, now_ns + next_open_ns(line));
}

bool limited(BreakerLine& line, Pass pass, uint64_t retry_after_ns, uint64_t now_ns) {
  if (retry_after_ns == 0) return failed(line, pass, now_ns);
  const uint64_t word = line.state.load(kRelaxed);
  const auto expected = pass == Pass::probe ? BreakerState::half_open : BreakerState::closed;
  return state_of(word) == expected && open(line, word, now_ns + std::min(retry_after_ns, R::kMaxLimitedNs));
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
          .consecutive = line.consecutive.load(kRelaxed),
          .opened = line.opened.load(kRelaxed),
          .kept_away = line.kept_away.load(kRelaxed)};
}

}  // namespace weir::routing
