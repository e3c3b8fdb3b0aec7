#include "tools/weirctl/prometheus.h"

#include <cstdlib>
#include <optional>

namespace weir::tools {
namespace {

// Takes everything up to `stop` off the front of `text`, and `stop` itself; nothing when it is not there.
std::optional<std::string_view> take_until(std::string_view* text, char stop) {
  size_t end = text->find(stop);
  if (end == std::string_view::npos) return std::nullopt;
  std::string_view taken = text->substr(0, end);
  text->remove_prefix(end + 1);
  return taken;
}

// Reads a label's value behind its opening quote; \\, \" and \n are the only escapes.
std::optional<std::string> take_quoted(std::string_view* text) {
  std::string value;
  while (!text->empty()) {
    char c = text->front();
    text->remove_prefix(1);
    if (c == '"') return value;
    if (c == '\\' && !text->empty()) {
      c = text->front() == 'n' ? '\n' : text->front();
      text->remove_prefix(1);
    }
    value += c;
  }
  return std::nullopt;
}

std::optional<Sample> parse_line(std::string_view line) {
  Sample sample;
  const size_t name_end = line.find_first_of("{ ");
  if (line.empty() || line.front() == '#' || name_end == std::string_view::npos) return std::nullopt;
  sample.name = line.substr(0, name_end);
  line.remove_prefix(name_end);
  if (line.front() == '{') {
    line.remove_prefix(1);
    while (!line.empty() && line.front() != '}') {
      auto label = take_until(&line, '=');
      if (!label || line.empty() || line.front() != '"') return std::nullopt;
      line.remove_prefix(1);
      auto value = take_quoted(&line);
      if (!value) return std::nullopt;
      sample.labels.emplace(*label, std::move(*value));
      if (!line.empty() && line.front() == ',') line.remove_prefix(1);
    }
    if (line.empty()) return std::nullopt;
    line.remove_prefix(1);
  }
  const std::string number(line);
  char* end = nullptr;
  sample.value = std::strtod(number.c_str(), &end);
  if (end == number.c_str()) return std::nullopt;
  return sample;
}

}  // namespace

std::vector<Sample> parse_prometheus(std::string_view text) {
  std::vector<Sample> samples;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (auto sample = parse_line(text.substr(0, end))) samples.push_back(std::move(*sample));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return samples;
}

}  // namespace weir::tools
