#include "routing/table/problem.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ranges>
#include <utility>

#include "core/display_text.h"

namespace weir::routing {
namespace {

constexpr size_t kMaxQuotedBytes = 80;
// Longer names are not compared: the distance costs the product of both lengths.
constexpr size_t kMaxComparedBytes = 64;

bool is_plain_member(std::string_view member) {
  return !member.empty() && std::ranges::all_of(member, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

// Edits (insert, delete, replace, swap of neighbours) that turn one text into the other.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::array<std::array<size_t, kMaxComparedBytes + 1>, 3> rows;
  for (size_t column = 0; column <= b.size(); column++) rows[0][column] = column;
  for (size_t row = 1; row <= a.size(); row++) {
    auto& now = rows[row % 3];
    const auto& before = rows[(row + 2) % 3];
    const auto& before_that = rows[(row + 1) % 3];
    now[0] = row;
    for (size_t column = 1; column <= b.size(); column++) {
      const size_t replaced = before[column - 1] + (a[row - 1] == b[column - 1] ? 0 : 1);
      now[column] = std::min({before[column] + 1, now[column - 1] + 1, replaced});
      if (row > 1 && column > 1 && a[row - 1] == b[column - 2] && a[row - 2] == b[column - 1]) {
        now[column] = std::min(now[column], before_that[column - 2] + 1);
      }
    }
  }
  return rows[a.size() % 3][b.size()];
}

}  // namespace

std::string to_string(const Problem& problem) {
  if (problem.line != 0) {
    return fmt::format("line {}, column {}: {}", problem.line, problem.column, problem.message);
  }
  return problem.path.empty() ? problem.message : problem.path + ": " + problem.message;
}

std::string Path::text() const {
  std::vector<const Path*> chain;
  for (const Path* at = this; at->parent_ != nullptr; at = at->parent_) chain.push_back(at);
  std::string text;
  for (const Path* at : chain | std::views::reverse) {
    if (at->element_ != kNoElement) {
      text += fmt::format("[{}]", at->element_);
    } else if (!is_plain_member(at->member_)) {
      text += fmt::format("[{}]", quote(at->member_));
    } else {
      if (!text.empty()) text += '.';
      text += at->member_;
    }
  }
  return text;
}

void Problems::add(const Path& path, std::string message) {
  if (count_ >= core::limits::kMaxTableProblems) {
    count_++;
    return;
  }
  add(Problem{.path = path.text(), .message = std::move(message)});
}

void Problems::add(Problem problem) {
  if (count_++ < core::limits::kMaxTableProblems) problems_.push_back(std::move(problem));
}

std::vector<Problem> Problems::take() {
  if (count_ > problems_.size()) {
    problems_.push_back(
        {.path = "", .message = fmt::format("and {} more problems", count_ - problems_.size())});
  }
  count_ = 0;
  return std::exchange(problems_, {});
}

std::string quote(std::string_view text) {
  std::string quoted = "\"";
  const bool shortened = text.size() > kMaxQuotedBytes;
  if (shortened) {
    text = text.substr(0, kMaxQuotedBytes);
    // Not in the middle of a UTF-8 sequence: drop its continuation bytes and the lead they belong to.
    while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xc0) == 0x80) text.remove_suffix(1);
    if (!text.empty() && static_cast<unsigned char>(text.back()) >= 0xc0) text.remove_suffix(1);
  }
  std::string escaped;
  for (const char c : text) {
    if (c == '"' || c == '\\') escaped += '\\';
    escaped += c;
  }
  quoted += core::displayable(escaped);
  quoted += shortened ? "…\"" : "\"";
  return quoted;
}

std::string_view nearest(std::string_view wanted, std::span<const std::string_view> candidates) {
  if (wanted.empty() || wanted.size() > kMaxComparedBytes) return {};
  std::string_view best;
  size_t best_distance = std::max<size_t>(1, wanted.size() / 3) + 1;
  for (const std::string_view candidate : candidates) {
    if (candidate.empty() || candidate.size() > kMaxComparedBytes) continue;
    const size_t difference = candidate.size() > wanted.size() ? candidate.size() - wanted.size()
                                                               : wanted.size() - candidate.size();
    if (difference >= best_distance) continue;
    const size_t distance = edit_distance(wanted, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view wanted, std::span<const std::string_view> candidates) {
  const std::string_view best = nearest(wanted, candidates);
  return best.empty() ? std::string() : fmt::format("; did you mean {}?", quote(best));
}

std::string list_names(std::span<const std::string_view> names) {
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace weir::routing
