#include "routing/guard/guard_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <unordered_map>

#include "routing/guard/guard_plan.h"

namespace weir::routing {
namespace {

constexpr std::string_view kFileHeader = "weir-guards 2\n";
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

// Visits every rule whose state the arena keeps: budget(name, line), rate(name, spec, word), total(name, word),
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
      visitor.budget(name, *guard.budgets[i].line);
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
  std::string text = std::string(kFileHeader);

  template <typename Name>
  void budget(const Name& rule, const BudgetLine& line) {
    const BudgetState state = snapshot(line);
    if (state == BudgetState{.window = state.window}) return;
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

// Takes the last word of a line off it.
std::string_view take_word(std::string_view& line) {
  const size_t blank = line.rfind(' ');
  if (blank == std::string_view::npos) return {};
  const std::string_view word = line.substr(blank + 1);
  line = line.substr(0, blank);
  return word;
}

template <typename Number>
bool read(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() && value >= 0;
}

struct StateReader {
  const GuardTime& now;
  std::unordered_map<std::string_view, BudgetState> budgets = {};
  std::unordered_map<std::string_view, uint64_t> numbers = {};  // of rates and totals
  size_t found = 0;

  void take(std::string_view line) {
    if (!line.starts_with("budget ")) {
      uint64_t number = 0;
      if (read(take_word(line), number)) numbers[line] = number;
      return;
    }
    BudgetState state;
    const bool good = read(take_word(line), state.opened) && read(take_word(line), state.reserved) && read(take_word(line), state.spent) &&
                      read(take_word(line), state.window);
    if (good) budgets[line] = state;
  }

  template <typename Name>
  void budget(const Name& rule, BudgetLine& line) {
    const auto state = budgets.find(rule());
    if (state == budgets.end() || line.committed.load(std::memory_order_relaxed) != 0) return;
    restore(line, state->second);
    ++found;
  }
  template <typename Name>
  void rate(const Name& rule, const RateSpec& spec, std::atomic<uint64_t>& word) {
    const auto until = numbers.find(rule());
    if (until == numbers.end() || word.load(std::memory_order_relaxed) != 0) return;
    const auto left_ns = static_cast<int64_t>(std::min<uint64_t>(until->second, INT64_MAX)) - now.wall_ns;
    if (left_ns <= 0) return;
    // Not more than all of it, whatever the clock was then.
    const uint64_t ticks = std::min(static_cast<uint64_t>(left_ns), spec.burst() / kTicksPerNs) * kTicksPerNs;
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

}  // namespace

std::string save_guards(const Table& table, const GuardTime& now) {
  Writer writer{now};
  each_rule(table, writer);
  return std::move(writer.text);
}

std::optional<size_t> restore_guards(const Table& table, std::string_view text, const GuardTime& now) {
  if (text.empty()) return 0;
  if (!text.starts_with(kFileHeader)) return std::nullopt;
  text.remove_prefix(kFileHeader.size());
  StateReader reader{now};
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) break;  // torn: the writer did not come to its end
    reader.take(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  each_rule(table, reader);
  return reader.found;
}

}  // namespace weir::routing
