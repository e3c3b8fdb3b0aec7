#include "routing/guard/guard_state.h"

#include <fmt/compile.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>
#include <optional>
#include <unordered_map>
#include <utility>

#include "routing/guard/guard_plan.h"

namespace weir::routing {
namespace {

constexpr std::string_view kFileHeader = "weir-guards 2\n", kLateHeader = "weir-guards-late 1\n";
constexpr std::string_view kLate = "late ", kAwaited = "awaited", kAdded = "added";
constexpr std::string_view kUserBudget = "budget user ", kUserRate = "rate user ";
constexpr std::string_view kNobody = "-";  // the name of what has none; not a name by itself in any table
constexpr std::pair<RateKind, std::string_view> kLongRates[] = {{RateKind::hour, "hour"},
                                                                {RateKind::day, "day"}};

std::string name_of(const Table& table, const ScopeGuard& guard) {
  switch (guard.scope) {
    case GuardScope::scenario:
      return table.body->scenarios[guard.owner].name;
    case GuardScope::tenant:
      return std::string(table[TenantIndex{guard.owner}].id());
    case GuardScope::pilot:  // '/' is in no name
      return fmt::format("{}/{}", table[TenantIndex{guard.owner}].id(), (*table.body)[guard.flag].name);
    case GuardScope::key:
      return std::string(table[KeyIndex{guard.owner}].id());
    case GuardScope::shadow:
      return table.body->flags[guard.owner].name;
    case GuardScope::global:
    case GuardScope::user:
      break;
  }
  return std::string(kNobody);
}

// Visits every rule whose state the arena keeps: budget(name, spec, line), rate(name, spec, word), total(name, word),
// where name() is its text. Most rules have counted nothing and need none.
template <typename Visitor>
void each_rule(const Table& table, Visitor&& visitor) {
  if (table.guards == nullptr) return;
  for (const ScopeGuard& guard : table.guards->scopes()) {
    if (guard.scope == GuardScope::user) continue;
    const auto holder = [&] { return fmt::format("{} {}", token(guard.scope), name_of(table, guard)); };
    for (size_t i = 0; i < guard.budgets.size(); ++i) {
      const auto name = [&] {
        const BudgetSpec& spec = guard.budgets[i].spec;
        const auto same = std::count_if(
            guard.budgets.begin(), guard.budgets.begin() + static_cast<ptrdiff_t>(i),
            [&](const BudgetGuard& other) { return other.spec.window_ns == spec.window_ns; });
        return fmt::format("budget {} {} {}", holder(), spec.window_ns, same);
      };
      visitor.budget(name, guard.budgets[i].spec, *guard.budgets[i].line);
    }
    if (guard.line == nullptr) continue;
    for (const auto& rate : kLongRates) {
      const auto at = static_cast<size_t>(rate.first);
      const auto name = [&] { return fmt::format("rate {} {}", holder(), rate.second); };
      if (guard.limits.rates[at].any()) visitor.rate(name, guard.limits.rates[at], guard.line->rates[at]);
    }
    if (guard.limits.total != 0) visitor.total([&] { return "total " + holder(); }, guard.line->total);
  }
}

// When a rate is unused again is written in whole seconds, rounded up: what has not changed reads the same a
// second later, though the two clocks drift.
int64_t whole_seconds(int64_t wall_ns) {
  constexpr int64_t kSecond = 1'000'000'000;
  return (wall_ns + kSecond - 1) / kSecond * kSecond;
}

struct Writer {
  const GuardTime& now;
  const SavedRules which;
  std::string text = std::string(kFileHeader);

  template <typename Name>
  void budget(const Name& rule, const BudgetSpec& spec, const BudgetLine& line) {
    BudgetState state = snapshot(line);
    carry_over(state, window_at(spec.window_ns, now));
    if (state == BudgetState{.window = which == SavedRules::all ? 0 : state.window}) return;
    text += fmt::format("{} {} {} {} {}\n", rule(), state.window, state.spent, state.reserved, state.opened);
  }
  template <typename Name>
  void rate(const Name& rule, const RateSpec& spec, const std::atomic<uint64_t>& word) {
    const RateView seen = view(word, spec, now.now_ns);
    if (seen.reset_ns != 0) {
      text += fmt::format("{} {}\n", rule(), whole_seconds(now.wall_ns + static_cast<int64_t>(seen.reset_ns)));
    }
  }
  template <typename Name>
  void total(const Name& rule, const std::atomic<uint64_t>& word) {
    if (const uint64_t count = word.load(std::memory_order_relaxed); count != 0) {
      text += fmt::format("{} {}\n", rule(), count);
    }
  }
};

// The window of now that is as long as this one: lines of users do not say how long theirs are.
std::optional<WindowAt> window_of_now(const WindowAt& at, const GuardTime& now) {
  const auto window_ns = window_length(at);
  if (!window_ns) return std::nullopt;
  return window_at(*window_ns, now);
}

// What of users is worth a line.
void save_users(const UserGuards& users, const GuardTime& now, SavedRules which, std::string& text) {
  struct SeenBudget {
    BudgetState state;
    int64_t end_wall_ns;
    bool idle;
  };
  const auto read_budget = [&](const BudgetLine& line) {
    SeenBudget seen{.state = snapshot(line),
                    .end_wall_ns = line.end_wall_ns.load(std::memory_order_acquire),
                    .idle = line.idle(now)};
    if (seen.state.reserved > 0 && seen.end_wall_ns <= now.wall_ns) {
      if (const auto next =
              window_of_now({.number = seen.state.window, .end_wall_ns = seen.end_wall_ns}, now)) {
        carry_over(seen.state, *next);
        seen.end_wall_ns = next->end_wall_ns;
        seen.idle = false;
      }
    }
    return seen;
  };
  users.budgets.each(read_budget, [&](uint64_t tag, const SeenBudget& seen) {
    if (which == SavedRules::all ? seen.state.window == 0 : seen.idle) return;
    fmt::format_to(std::back_inserter(text), FMT_COMPILE("{}{:016x} {} {} {} {} {}\n"), kUserBudget, tag,
                   seen.end_wall_ns, seen.state.window, seen.state.spent, seen.state.reserved,
                   seen.state.opened);
  });
  using Words = std::array<uint64_t, std::size(kLongRates)>;
  const auto read_rates = [](const LimitLine& line) {
    Words words;
    for (size_t i = 0; i < words.size(); ++i)
      words[i] = line.rates[static_cast<size_t>(kLongRates[i].first)].load(std::memory_order_acquire);
    return words;
  };
  users.limits.each(read_rates, [&](uint64_t tag, const Words& words) {
    for (size_t i = 0; i < words.size(); ++i) {
      if (words[i] <= now.now_ns * kTicksPerNs) continue;
      const uint64_t left_ns = (words[i] - now.now_ns * kTicksPerNs + kTicksPerNs - 1) / kTicksPerNs;
      fmt::format_to(std::back_inserter(text), FMT_COMPILE("{}{:016x} {} {}\n"), kUserRate, tag,
                     kLongRates[i].second, whole_seconds(now.wall_ns + static_cast<int64_t>(left_ns)));
    }
  });
}

// Takes the last word of a line off it.
std::string_view take_word(std::string_view& line) {
  const size_t blank = line.rfind(' ');
  if (blank == std::string_view::npos) return {};
  const std::string_view word = line.substr(blank + 1);
  line = line.substr(0, blank);
  return word;
}

template <typename Number>
bool read_any(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}
template <typename Number>
bool read(std::string_view text, Number& value) {
  return read_any(text, value) && value >= 0;
}
bool take_budget(std::string_view& line, BudgetState& state) {
  const bool whole = read(take_word(line), state.opened) && read(take_word(line), state.reserved) &&
                     read(take_word(line), state.spent) && read(take_word(line), state.window);
  if (!whole) return false;
  state.reserved = std::min(state.reserved, kMaxBudget);  // so that all sums stay within 63 bits
  state.spent = std::min(state.spent, kMaxBudget - state.reserved);
  return true;
}

// Calls take(line) for every line but the header. False: the header is another one.
template <typename Take>
bool each_line(std::string_view text, std::string_view header, Take&& take) {
  if (!text.starts_with(header)) return false;
  text.remove_prefix(header.size());
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) break;  // torn: the writer did not come to its end
    take(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  return true;
}

// A user's tag; 0: it is none.
uint64_t read_tag(std::string_view text) {
  uint64_t tag = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), tag, 16);
  return error == std::errc{} && end == text.data() + text.size() ? tag : 0;
}

// Calls use(line) with the user's line, as admission has it.
template <typename Use>
void with_limits(UserGuards& users, uint64_t tag, const GuardTime& now, Use&& use) {
  LimitLine* line = users.limits.acquire(
      tag, [&](const LimitLine& held) { return held.idle(now.now_ns) ? 0 : held.busy_until(); });
  if (line == nullptr) return;
  use(*line);
  users.limits.release(*line);
}
template <typename Use>
void with_budget(UserGuards& users, uint64_t tag, const GuardTime& now, Use&& use) {
  BudgetLine* line = users.budgets.acquire(tag, [&](const BudgetLine& held) {
    return held.idle(now) ? uint64_t{0}
                          : static_cast<uint64_t>(held.end_wall_ns.load(std::memory_order_relaxed));
  });
  if (line == nullptr) return;
  use(*line);
  users.budgets.release(*line);
}

// What is left of a rate that is unused again at `until`: not more than all of it, whatever the clock was then.
uint64_t ticks_left(uint64_t until, uint64_t most_ns, const GuardTime& now) {
  const auto left_ns = static_cast<int64_t>(std::min<uint64_t>(until, INT64_MAX)) - now.wall_ns;
  return left_ns <= 0 ? 0 : std::min(static_cast<uint64_t>(left_ns), most_ns) * kTicksPerNs;
}

// The number of a rate in LimitLine::rates.
std::optional<size_t> long_rate(std::string_view name) {
  for (const auto& rate : kLongRates) {
    if (rate.second == name) return static_cast<size_t>(rate.first);
  }
  return std::nullopt;
}

struct StateReader {
  UserGuards& users;
  const GuardTime& now;
  std::unordered_map<std::string_view, BudgetState> budgets = {};
  std::unordered_map<std::string_view, uint64_t> numbers = {};  // of rates and totals
  size_t found = 0;

  void take(std::string_view line) {
    if (!line.starts_with("budget ")) {
      uint64_t number = 0;
      if (!read(take_word(line), number)) return;
      if (line.starts_with(kUserRate)) return user_rate(line.substr(kUserRate.size()), number);
      numbers[line] = number;
      return;
    }
    BudgetState state;
    if (!take_budget(line, state)) return;
    if (line.starts_with(kUserBudget)) return user_budget(line.substr(kUserBudget.size()), state);
    budgets[line] = state;
  }

  void user_budget(std::string_view who, const BudgetState& state) {
    int64_t end_wall_ns = 0;
    if (!read(take_word(who), end_wall_ns) || end_wall_ns <= now.wall_ns) return;
    const uint64_t tag = read_tag(who);
    if (tag == 0) return;
    with_budget(users, tag, now, [&](BudgetLine& line) {
      if (line.committed.load(std::memory_order_relaxed) != 0) return;
      restore(line, state);
      line.end_wall_ns.store(end_wall_ns, std::memory_order_relaxed);
      ++found;
    });
  }
  void user_rate(std::string_view who, uint64_t until) {
    const auto at = long_rate(take_word(who));
    const uint64_t tag = read_tag(who);
    if (!at || tag == 0) return;
    // The rule is not known here; the full burst of any is its period.
    const uint64_t ticks = ticks_left(until, kRatePeriodsNs[*at], now);
    if (ticks == 0) return;
    with_limits(users, tag, now, [&](LimitLine& line) {
      if (line.rates[*at].load(std::memory_order_relaxed) != 0) return;
      line.rates[*at].store(now.now_ns * kTicksPerNs + ticks, std::memory_order_relaxed);
      ++found;
    });
  }

  template <typename Name>
  void budget(const Name& rule, const BudgetSpec&, BudgetLine& line) {
    const auto state = budgets.find(rule());
    if (state == budgets.end() || line.committed.load(std::memory_order_relaxed) != 0) return;
    restore(line, state->second);
    ++found;
  }
  template <typename Name>
  void rate(const Name& rule, const RateSpec& spec, std::atomic<uint64_t>& word) {
    const auto until = numbers.find(rule());
    if (until == numbers.end() || word.load(std::memory_order_relaxed) != 0) return;
    const uint64_t ticks = ticks_left(until->second, spec.burst() / kTicksPerNs, now);
    if (ticks == 0) return;
    word.store(now.now_ns * kTicksPerNs + ticks, std::memory_order_relaxed);
    ++found;
  }
  template <typename Name>
  void total(const Name& rule, std::atomic<uint64_t>& word) {
    const auto count = numbers.find(rule());
    if (count == numbers.end() || word.load(std::memory_order_relaxed) != 0) return;
    word.store(count->second, std::memory_order_relaxed);
    ++found;
  }
};

// Charges `ticks` whether they fit or not, up to all of the limit.
void add_ticks(std::atomic<uint64_t>& word, uint64_t ticks, uint64_t most, uint64_t now_ns) {
  const uint64_t now = now_ns * kTicksPerNs;
  uint64_t seen = word.load(std::memory_order_relaxed), next = 0;
  do {
    next = std::max(seen, std::min(std::max(seen, now) + std::min(ticks, most), now + most));
  } while (!word.compare_exchange_weak(seen, next, std::memory_order_relaxed));
}

// As StateReader, of differences.
struct LateReader {
  struct Spend {
    uint64_t window = 0;
    int64_t nano_usd = 0;
  };
  UserGuards& users;
  const GuardTime& now;
  std::unordered_map<std::string_view, Spend> budgets = {};
  std::unordered_map<std::string_view, int64_t> numbers = {};
  size_t found = 0;

  void take(std::string_view line) {
    int64_t number = 0;
    if (!read_any(take_word(line), number)) return;
    if (line.starts_with(kUserRate)) return user_rate(line.substr(kUserRate.size()), number);
    if (!line.starts_with("budget ")) {
      numbers[line] = number;
      return;
    }
    uint64_t window = 0;
    if (!read(take_word(line), window)) return;
    if (line.starts_with(kUserBudget)) return user_budget(line.substr(kUserBudget.size()), window, number);
    budgets[line] = {.window = window, .nano_usd = number};
  }

  void user_budget(std::string_view who, uint64_t window, int64_t nano_usd) {
    int64_t end_wall_ns = 0;
    if (!read(take_word(who), end_wall_ns) || end_wall_ns <= now.wall_ns) return;
    const uint64_t tag = read_tag(who);
    if (tag == 0) return;
    with_budget(users, tag, now, [&](BudgetLine& line) {
      add_spend(line, {.number = window, .end_wall_ns = end_wall_ns}, nano_usd, now);
      ++found;
    });
  }
  void user_rate(std::string_view who, int64_t later_ns) {
    const auto at = long_rate(take_word(who));
    const uint64_t tag = read_tag(who);
    if (!at || tag == 0 || later_ns <= 0) return;
    const uint64_t most_ns = kRatePeriodsNs[*at];
    with_limits(users, tag, now, [&](LimitLine& line) {
      add_ticks(line.rates[*at], std::min(static_cast<uint64_t>(later_ns), most_ns) * kTicksPerNs,
                most_ns * kTicksPerNs, now.now_ns);
      ++found;
    });
  }

  template <typename Name>
  void budget(const Name& rule, const BudgetSpec& spec, BudgetLine& line) {
    const auto spend = budgets.find(rule());
    if (spend == budgets.end()) return;
    const WindowAt at = window_at(spec.window_ns, now);
    if (at.number != spend->second.window) return;  // it is over
    add_spend(line, at, spend->second.nano_usd, now);
    ++found;
  }
  template <typename Name>
  void rate(const Name& rule, const RateSpec& spec, std::atomic<uint64_t>& word) {
    const auto later = numbers.find(rule());
    if (later == numbers.end() || later->second <= 0) return;
    const auto ns = std::min(static_cast<uint64_t>(later->second), spec.burst() / kTicksPerNs);
    add_ticks(word, ns * kTicksPerNs, spec.burst(), now.now_ns);
    ++found;
  }
  template <typename Name>
  void total(const Name& rule, std::atomic<uint64_t>& word) {
    const auto more = numbers.find(rule());
    if (more == numbers.end()) return;
    uint64_t seen = word.load(std::memory_order_relaxed), next = 0;
    do {
      next = more->second >= 0 ? seen + static_cast<uint64_t>(more->second)
                               : seen - std::min(seen, uint64_t{0} - static_cast<uint64_t>(more->second));
    } while (!word.compare_exchange_weak(seen, next, std::memory_order_relaxed));
    ++found;
  }
};

// Of the name of a budget's line: the same in the window of now, where the one with this number has ended since `then`.
struct Following {
  std::string name;
  uint64_t window;
};
std::optional<Following> following(std::string_view line, uint64_t window, const GuardTime& then,
                                   const GuardTime& now) {
  std::string_view rest = line;
  if (line.starts_with(kUserBudget)) {
    int64_t end_wall_ns = 0;
    if (!read(take_word(rest), end_wall_ns)) return std::nullopt;
    if (end_wall_ns <= then.wall_ns || end_wall_ns > now.wall_ns) return std::nullopt;
    const auto next = window_of_now({.number = window, .end_wall_ns = end_wall_ns}, now);
    if (!next || next->number <= window) return std::nullopt;
    return Following{.name = fmt::format("{} {}", rest, next->end_wall_ns), .window = next->number};
  }
  uint64_t window_ns = 0;
  take_word(rest);  // which of the same length
  if (!read(take_word(rest), window_ns)) return std::nullopt;
  const uint64_t number = window_at(window_ns, now).number;
  if (number <= window || window < window_at(window_ns, then).number) return std::nullopt;
  return Following{.name = std::string(line), .window = number};
}

}  // namespace

std::string save_guards(const Table& table, const UserGuards& users, const GuardTime& now, SavedRules which) {
  Writer writer{now, which};
  each_rule(table, writer);
  save_users(users, now, which, writer.text);
  return std::move(writer.text);
}

std::optional<size_t> restore_guards(const Table& table, UserGuards& users, std::string_view text,
                                     const GuardTime& now) {
  if (text.empty()) return 0;
  StateReader reader{users, now};
  if (!each_line(text, kFileHeader, [&](std::string_view line) { reader.take(line); })) return std::nullopt;
  each_rule(table, reader);
  return reader.found;
}

std::string guards_since(std::string_view before, std::string_view after, const GuardTime& then,
                         const GuardTime& now, SavedBy by) {
  std::unordered_map<std::string_view, BudgetState> budgets;
  std::unordered_map<std::string_view, uint64_t> numbers;
  each_line(before, kFileHeader, [&](std::string_view line) {
    BudgetState state;
    uint64_t number = 0;
    if (line.starts_with("budget ")) {
      if (!take_budget(line, state)) return;
      if (by == SavedBy::restored) state.spent += std::exchange(state.reserved, 0);
      budgets[line] = state;
    } else if (read(take_word(line), number)) {
      numbers[line] = number;
    }
  });
  std::string text(kLateHeader);
  each_line(after, kFileHeader, [&](std::string_view line) {
    if (line.starts_with("budget ")) {
      BudgetState state;
      if (!take_budget(line, state)) return;
      const auto entry = budgets.find(line);
      const BudgetState had =
          entry != budgets.end() && entry->second.window == state.window ? entry->second : BudgetState{};
      if (const auto next = following(line, state.window, then, now)) {
        const int64_t more = std::max<int64_t>(state.spent - had.spent, 0) + state.reserved;
        if (more != 0) text += fmt::format("{} {} {}\n", next->name, next->window, more);
        return;
      }
      // What was spent stays so: an entry that has less of it is another one's, begun anew.
      const int64_t more = std::max(state.spent + state.reserved - had.spent - had.reserved, -had.reserved);
      if (more != 0) text += fmt::format("{} {} {}\n", line, state.window, more);
      return;
    }
    uint64_t number = 0;
    if (!read(take_word(line), number)) return;
    const auto had = numbers.find(line);
    const auto none = line.starts_with("rate ") ? static_cast<uint64_t>(then.wall_ns) : 0;
    const auto more = static_cast<int64_t>(number - (had == numbers.end() ? none : had->second));
    if (more != 0) text += fmt::format("{} {}\n", line, more);
  });
  return text;
}

std::optional<size_t> add_guards(const Table& table, UserGuards& users, std::string_view late,
                                 const GuardTime& now) {
  LateReader reader{users, now};
  if (!each_line(late, kLateHeader, [&](std::string_view line) { reader.take(line); })) return std::nullopt;
  each_rule(table, reader);
  return reader.found;
}

bool is_guard_state(std::string_view text) {
  return text.starts_with(kFileHeader);
}

void append_late_mark(std::string& state, const LateMark& mark) {
  state += fmt::format("{}{} {}\n", kLate, mark.id, mark.added ? kAdded : kAwaited);
}

std::vector<LateMark> late_marks(std::string_view state) {
  std::vector<LateMark> marks;
  each_line(state, kFileHeader, [&](std::string_view line) {
    if (!line.starts_with(kLate)) return;
    const std::string_view stage = take_word(line);
    LateMark mark{.added = stage == kAdded};
    if ((mark.added || stage == kAwaited) && read(line.substr(kLate.size()), mark.id)) marks.push_back(mark);
  });
  return marks;
}

}  // namespace weir::routing
