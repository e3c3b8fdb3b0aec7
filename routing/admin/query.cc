#include "routing/admin/query.h"

#include <algorithm>
#include <charconv>

namespace weir::routing {

std::optional<std::string> percent_decode(std::string_view text) {
  std::string decoded;
  while (!text.empty()) {
    if (text.front() != '%') {
      decoded += text.front();
      text.remove_prefix(1);
      continue;
    }
    if (text.size() < 3) return std::nullopt;
    uint8_t byte = 0;
    const char* const end = text.data() + 3;
    const auto [stop, error] = std::from_chars(text.data() + 1, end, byte, 16);
    if (error != std::errc{} || stop != end || byte < 0x20 || byte == 0x7f) return std::nullopt;
    decoded += static_cast<char>(byte);
    text.remove_prefix(3);
  }
  return decoded;
}

std::optional<Target> Target::parse(std::string_view target) {
  Target parsed;
  const size_t question = target.find('?');
  parsed.path_ = target.substr(0, question);
  std::string_view query =
      question == std::string_view::npos ? std::string_view() : target.substr(question + 1);
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view parameter = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (parameter.empty()) continue;
    const size_t equals = std::min(parameter.find('='), parameter.size());
    auto name = percent_decode(parameter.substr(0, equals));
    auto value = percent_decode(parameter.substr(std::min(equals + 1, parameter.size())));
    if (!name || !value || name->empty()) return std::nullopt;
    const auto same = [&](const auto& other) { return other.first == *name; };
    if (std::ranges::any_of(parsed.parameters_, same)) return std::nullopt;
    parsed.parameters_.emplace_back(*std::move(name), *std::move(value));
  }
  return parsed;
}

std::string_view Target::operator[](std::string_view name) const {
  const auto found = std::ranges::find(
      parameters_, name, [](const auto& parameter) { return std::string_view(parameter.first); });
  return found == parameters_.end() ? std::string_view() : std::string_view(found->second);
}

}  // namespace weir::routing
