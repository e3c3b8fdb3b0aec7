// What is wrong with a table: where, and what would be right. A load collects all problems before it gives
// up, so a person mends a table in one go.
//
// A Path costs nothing until a problem is found: it is a chain on the reader's stack, rendered on demand.
//
//   tenants.bank-17.flags.support-v2.percent      prompts["support@2.1.0"].system      keys[3].hash
//
// Control thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/limits.h"

namespace weir::routing {

struct Problem {
  std::string path;     // empty: the whole table, or a syntax error
  std::string message;  // one sentence for people; never holds a credential
  uint32_t line = 0;    // syntax errors: from 1; 0 = not known
  uint32_t column = 0;
};

// "path: message" or "line 3, column 7: message".
std::string to_string(const Problem& problem);

// Where in the document; a chain of views that must not outlive its parents.
class Path {
 public:
  Path() = default;
  Path(const Path& parent, std::string_view member) : parent_(&parent), member_(member) {}
  Path(const Path& parent, size_t element) : parent_(&parent), element_(element) {}

  std::string text() const;

 private:
  static constexpr size_t kNoElement = SIZE_MAX;

  const Path* parent_ = nullptr;
  std::string_view member_;
  size_t element_ = kNoElement;
};

// Collects problems: the first limits::kMaxTableProblems as they are, the rest as a number.
class Problems {
 public:
  void add(const Path& path, std::string message);
  void add(Problem problem);

  bool empty() const { return count_ == 0; }
  size_t count() const { return count_; }

  // Ends the collection; "and N more problems" is the last one when some were only counted.
  std::vector<Problem> take();

 private:
  std::vector<Problem> problems_;
  size_t count_ = 0;
};

// `text` in quotes for a message: shortened when long, core::displayable().
std::string quote(std::string_view text);

// The candidate that `wanted` is probably a typing error of; empty when none is near.
std::string_view nearest(std::string_view wanted, std::span<const std::string_view> candidates);

// "; did you mean "x"?" or nothing.
std::string did_you_mean(std::string_view wanted, std::span<const std::string_view> candidates);

// "a, b, c".
std::string list_names(std::span<const std::string_view> names);

}  // namespace weir::routing
