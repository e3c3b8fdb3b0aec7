// Writes Prometheus' text format 0.0.4, family by family.
//
// Any thread; a writer belongs to one.
#pragma once

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir::routing {

class MetricsText {
 public:
  enum class Type : uint8_t { counter, gauge, histogram };

  explicit MetricsText(std::string& out) : out_(out) {}

  // All samples of it follow. `name` stays valid until the next family.
  void family(std::string_view name, Type type, std::string_view help) {
    static constexpr std::string_view kTypes[] = {"counter", "gauge", "histogram"};
    name_ = name;
    out_.append("# HELP ").append(name).append(" ").append(help);
    out_.append("\n# TYPE ").append(name).append(" ").append(kTypes[static_cast<size_t>(type)]).append("\n");
  }

  // `labels` is what metric_label() made of them, with commas, without braces; may be empty.
  template <typename Value>
  void sample(std::string_view suffix, std::string_view labels, std::string_view more, Value value) {
    out_.append(name_).append(suffix);
    if (!labels.empty() || !more.empty()) {
      out_.append("{").append(labels);
      if (!labels.empty() && !more.empty()) out_.append(",");
      out_.append(more).append("}");
    }
    out_.append(" ").append(text_of(value)).append("\n");
  }

  template <typename Value>
  static std::string text_of(Value value) {
    char room[32];
    const auto [end, error] = std::to_chars(room, room + sizeof room, value);
    return {room, end};
  }

 private:
  std::string& out_;
  std::string_view name_;
};

// name="value" with what the format wants escaped: backslash, quote, line feed.
inline std::string metric_label(std::string_view name, std::string_view value) {
  std::string text(name);
  text += "=\"";
  for (const char c : value) {
    if (c == '\n') {
      text += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') text += '\\';
    text += c;
  }
  text += '"';
  return text;
}

}  // namespace weir::routing
