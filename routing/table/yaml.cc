#include "routing/table/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <spanstream>
#include <utility>

#include "core/ascii.h"
#include "core/limits.h"
#include "routing/table/canonical_json.h"

namespace weir::routing {
namespace {

size_t count_digits(std::string_view text) {
  return static_cast<size_t>(std::ranges::find_if_not(text, core::is_digit) - text.begin());
}

// [-+]?[0-9]+ without its sign's plus and without leading zeros; empty if it is something else.
std::string decimal_integer(std::string_view text) {
  std::string number;
  if (text.starts_with('-')) number = "-";
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  if (text.empty() || count_digits(text) != text.size()) return {};
  text.remove_prefix(std::min(text.find_first_not_of('0'), text.size() - 1));
  return number.append(text);
}

// 0o17 and 0x1F.
std::optional<uint64_t> based_integer(std::string_view text) {
  const int base = text.starts_with("0o") ? 8 : text.starts_with("0x") ? 16 : 0;
  if (base == 0 || text.size() == 2) return std::nullopt;
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data() + 2, end, value, base);
  return error == std::errc() && at == end ? std::optional(value) : std::nullopt;
}

// [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? as JSON writes it; empty if it is something else.
std::string decimal_fraction(std::string_view text) {
  std::string number;
  if (text.starts_with('-')) number = "-";
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  std::string_view whole = text.substr(0, count_digits(text));
  text.remove_prefix(whole.size());
  std::string_view fraction;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    fraction = text.substr(0, count_digits(text));
    text.remove_prefix(fraction.size());
  }
  if (whole.empty() && fraction.empty()) return {};
  whole.remove_prefix(std::min(whole.find_first_not_of('0'), whole.size()));
  number.append(whole.empty() ? "0" : whole);
  if (!fraction.empty()) number.append(".").append(fraction);
  if (text.empty()) return number;
  if (text[0] != 'e' && text[0] != 'E') return {};
  const std::string_view exponent = text.substr(1);
  const std::string_view digits =
      exponent.starts_with('-') || exponent.starts_with('+') ? exponent.substr(1) : exponent;
  if (digits.empty() || count_digits(digits) != digits.size()) return {};
  return number.append("e").append(exponent);
}

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::ranges::find(words, text) != words.end();
}

bool is_not_finite(std::string_view text) {
  if (is_one_of(text, {".nan", ".NaN", ".NAN"})) return true;
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  return is_one_of(text, {".inf", ".Inf", ".INF"});
}

template <typename Number>
bool fits(const std::string& number) {
  Number value{};
  return std::from_chars(number.data(), number.data() + number.size(), value).ec == std::errc();
}

// Writes JSON while the parser reports what it sees. Only the first problem counts; after it nothing is
// written any more.
class JsonBuilder : public YAML::EventHandler {
 public:
  std::expected<std::string, Problem> take() {
    if (problem_) return std::unexpected(*std::move(problem_));
    return std::move(json_);
  }

  bool has_problem() const { return problem_.has_value(); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ > 0) fail(mark, "a second YAML document begins here; a table is one document");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (!begin_value(mark, Kind::other)) return;
    const size_t begin = json_.size();
    json_ += "null";
    end_value(begin, anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (!begin_value(mark, Kind::other)) return;
    if (anchor >= anchors_.size() || anchors_[anchor].end == 0)
      return fail(mark, "an alias inside its own anchor");
    const auto [begin, end] = anchors_[anchor];
    alias_bytes_ += end - begin;
    if (alias_bytes_ > core::limits::kMaxYamlAliasBytes) {
      return fail(mark, fmt::format("aliases copy more than {} bytes", core::limits::kMaxYamlAliasBytes));
    }
    const size_t copy = json_.size();
    json_.append(json_, begin, end - begin);
    end_value(copy, 0);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    const bool plain = tag == "?";
    if (!plain && tag != "!") return fail_tag(mark);
    if (!begin_value(mark, Kind::scalar)) return;
    const size_t begin = json_.size();
    if (is_key()) {
      if (plain && value == "<<") return fail(mark, "merge keys (<<) are not accepted; write the fields out");
      append_json_string(json_, value);
    } else if (!plain) {
      append_json_string(json_, value);
    } else {
      append_plain(mark, value);
    }
    end_value(begin, anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    begin_collection(mark, tag, anchor, '[');
  }
  void OnSequenceEnd() override { end_collection(']'); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    begin_collection(mark, tag, anchor, '{');
  }
  void OnMapEnd() override { end_collection('}'); }

 private:
  enum class Kind { scalar, other };

  // An open collection.
  struct Level {
    char open;
    YAML::anchor_t anchor;
    size_t begin;       // of its '[' or '{' in json_
    size_t values = 0;  // keys count as values
  };

  struct Anchor {
    size_t begin = 0;
    size_t end = 0;  // 0: not complete yet
  };

  bool is_key() const {
    return !levels_.empty() && levels_.back().open == '{' && levels_.back().values % 2 == 0;
  }

  // Writes what stands between two values. False after a problem.
  bool begin_value(const YAML::Mark& mark, Kind kind) {
    if (problem_) return false;
    if (is_key() && kind != Kind::scalar) {
      fail(mark, "a key must be a plain or quoted name");
      return false;
    }
    if (levels_.empty() || levels_.back().values == 0) return true;
    const Level& level = levels_.back();
    json_ += level.open == '{' && level.values % 2 == 1 ? ':' : ',';
    return true;
  }

  void end_value(size_t begin, YAML::anchor_t anchor) {
    if (problem_) return;
    if (anchor != 0) {
      if (anchors_.size() <= anchor) anchors_.resize(anchor + 1);
      anchors_[anchor] = {begin, json_.size()};
    }
    if (!levels_.empty()) levels_.back().values++;
  }

  void begin_collection(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, char open) {
    if (tag != "?") return fail_tag(mark);
    if (!begin_value(mark, Kind::other)) return;
    levels_.push_back({.open = open, .anchor = anchor, .begin = json_.size()});
    json_ += open;
  }

  void end_collection(char close) {
    if (problem_) return;
    json_ += close;
    const Level level = levels_.back();
    levels_.pop_back();
    end_value(level.begin, level.anchor);
  }

  void append_plain(const YAML::Mark& mark, const std::string& value) {
    if (is_one_of(value, {"true", "True", "TRUE"})) {
      json_ += "true";
    } else if (is_one_of(value, {"false", "False", "FALSE"})) {
      json_ += "false";
    } else if (is_not_finite(value)) {
      fail(mark, fmt::format("{} is not a number a table can hold; quote it if it is text", quote(value)));
    } else if (const std::string integer = decimal_integer(value); !integer.empty()) {
      append_number_text<int64_t, uint64_t>(mark, value, integer);
    } else if (const auto based = based_integer(value)) {
      json_ += std::to_string(*based);
    } else if (const std::string fraction = decimal_fraction(value); !fraction.empty()) {
      append_number_text<double, double>(mark, value, fraction);
    } else {
      append_json_string(json_, value);
    }
  }

  template <typename First, typename Second>
  void append_number_text(const YAML::Mark& mark, const std::string& value, const std::string& number) {
    if (!fits<First>(number) && !fits<Second>(number)) {
      return fail(mark, fmt::format("the number {} is out of range; quote it if it is text", quote(value)));
    }
    json_ += number;
  }

  void fail_tag(const YAML::Mark& mark) { fail(mark, "YAML tags (!...) are not accepted"); }

  void fail(const YAML::Mark& mark, std::string message) {
    if (problem_) return;
    problem_ = {.path = "",
                .message = std::move(message),
                .line = static_cast<uint32_t>(mark.line + 1),
                .column = static_cast<uint32_t>(mark.column + 1)};
  }

  std::string json_;
  std::vector<Level> levels_;
  std::vector<Anchor> anchors_;  // by YAML::anchor_t
  size_t alias_bytes_ = 0;
  unsigned documents_ = 0;
  std::optional<Problem> problem_;
};

// YAML has no place for them, and yaml-cpp takes U+0004 for the end of the text.
std::optional<Problem> find_control_character(std::string_view text) {
  Problem problem{.path = "", .message = "", .line = 1, .column = 1};
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t' && c != '\n' && c != '\r') || byte == 0x7f) {
      problem.message = fmt::format("control character U+{:04X} in the text", byte);
      return problem;
    }
    if (c == '\n') {
      problem.line++;
      problem.column = 1;
    } else if ((byte & 0xc0) != 0x80) {
      problem.column++;
    }
  }
  return std::nullopt;
}

}  // namespace

std::expected<std::string, Problem> yaml_to_json(std::string_view text) {
  if (auto problem = find_control_character(text)) return std::unexpected(*std::move(problem));
  JsonBuilder builder;
  try {
    std::ispanstream stream{std::span<const char>(text)};
    YAML::Parser parser(stream);
    // Stray punctuation (",x]") makes yaml-cpp 0.7 report empty documents for ever without moving on: the second
    // one is a problem, and a problem is the end.
    while (!builder.has_problem() && parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    Problem problem{.path = "", .message = fmt::format("not valid YAML: {}", error.msg)};
    if (!error.mark.is_null()) {
      problem.line = static_cast<uint32_t>(error.mark.line + 1);
      problem.column = static_cast<uint32_t>(error.mark.column + 1);
    }
    return std::unexpected(std::move(problem));
  } catch (const std::exception& error) {
    return std::unexpected(Problem{.path = "", .message = fmt::format("not valid YAML: {}", error.what())});
  }
  return builder.take();
}

}  // namespace weir::routing
