#include "routing/guard/guard_state.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <unordered_map>
#include <vector>

#include "routing/guard/guard_plan.h"
#include "routing/table/properties.h"

namespace weir::routing {
namespace {

constexpr std::string_view kHeader = "weir-guards 1\n";
constexpr std::string_view kNobody = "-";  // the name of what has none; not a name by itself in any table

std::string_view name_of(const Table& table, const ScopeGuard& guard) {
  switch (guard.scope) {
    case GuardScope::scenario:
      return table.body->scenarios[guard.owner].name;
    case GuardScope::tenant:
      return table[TenantIndex{guard.owner}].id();
    case GuardScope::key:
      return table[KeyIndex{guard.owner}].id();
    default:
      return kNobody;
  }
}

// Calls visit(rule's name as text, line) for every rule that keeps its state in the arena.
template <typename Visit>
void each_rule(const Table& table, Visit&& visit) {
  if (table.guards == nullptr) return;
  for (const ScopeGuard& guard : table.guards->scopes()) {
    const auto budgets = guard.budgets;
    for (size_t i = 0; i < budgets.size(); ++i) {
      if (budgets[i].line == nullptr) continue;
      const BudgetSpec& spec = budgets[i].spec;
      size_t same = 0;
      for (size_t j = 0; j < i; ++j) {
        same += budgets[j].spec.window_ns == spec.window_ns && budgets[j].spec.action == spec.action;
      }
      visit(fmt::format("{} {} {} {} {}", token(guard.scope), name_of(table, guard), spec.window_ns,
                        kBudgetActions[static_cast<size_t>(spec.action)], same),
            *budgets[i].line);
    }
  }
}

// The last `count` words of a line, apart from what is before them.
std::optional<std::vector<std::string_view>> last_words(std::string_view& line, size_t count) {
  std::vector<std::string_view> words(count);
  for (size_t i = count; i-- > 0;) {
    const size_t blank = line.rfind(' ');
    if (blank == std::string_view::npos) return std::nullopt;
    words[i] = line.substr(blank + 1);
    line = line.substr(0, blank);
  }
  return words;
}

template <typename Number>
bool read(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() && value >= 0;
}

}  // namespace

std::string save_budgets(const Table& table) {
  std::string text(kHeader);
  each_rule(table, [&](const std::string& rule, const BudgetLine& line) {
    const BudgetState state = snapshot(line);
    if (state == BudgetState{.window = state.window}) return;
    text += fmt::format("{} {} {} {} {}\n", rule, state.window, state.spent, state.reserved,
                        state.open ? "open" : "closed");
  });
  return text;
}

size_t restore_budgets(const Table& table, std::string_view text) {
  if (!text.starts_with(kHeader)) return 0;
  text.remove_prefix(kHeader.size());
  std::unordered_map<std::string_view, BudgetState> states;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) break;  // torn: the writer did not come to its end
    std::string_view rule = text.substr(0, end);
    text.remove_prefix(end + 1);
    const auto words = last_words(rule, 4);
    BudgetState state;
    if (!words || !read((*words)[0], state.window) || !read((*words)[1], state.spent) ||
        !read((*words)[2], state.reserved)) {
      continue;
    }
    state.open = (*words)[3] == "open";
    states[rule] = state;
  }
  size_t found = 0;
  each_rule(table, [&](const std::string& rule, BudgetLine& line) {
    const auto state = states.find(rule);
    if (state == states.end() || line.committed.load(std::memory_order_relaxed) != 0) return;
    restore(line, state->second);
    ++found;
  });
  return found;
}

}  // namespace weir::routing
