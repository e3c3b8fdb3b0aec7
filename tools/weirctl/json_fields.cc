#include "tools/weirctl/json_fields.h"

#include <fmt/format.h>

#include "tools/weirctl/terminal_text.h"

namespace weir::tools {

using nlohmann::json;

std::string to_text(const json& value, int indent) {
  return value.dump(indent, ' ', false, json::error_handler_t::replace);
}

const json& member(const json& object, std::string_view name) {
  static const json null;
  if (!object.is_object()) return null;
  const auto found = object.find(name);
  return found == object.end() ? null : *found;
}

const json& list(const json& object, std::string_view name) {
  static const json empty = json::array();
  const json& found = member(object, name);
  return found.is_array() ? found : empty;
}

const json& mapping(const json& object, std::string_view name) {
  static const json empty = json::object();
  const json& found = member(object, name);
  return found.is_object() ? found : empty;
}

std::string text_of(const json& object, std::string_view name) {
  const json& found = member(object, name);
  return found.is_string() ? found.get<std::string>() : std::string();
}

std::optional<uint64_t> number(const json& object, std::string_view name) {
  const json& found = member(object, name);
  if (!found.is_number_unsigned()) return std::nullopt;
  return found.get<uint64_t>();
}

bool is_true(const json& object, std::string_view name) {
  const json& found = member(object, name);
  return found.is_boolean() && found.get<bool>();
}

std::string field(const json& object, std::string_view name) {
  const json& found = member(object, name);
  if (found.is_null()) return "-";
  return shown(found.is_string() ? found.get_ref<const std::string&>() : to_text(found));
}

std::string counted(uint64_t count, std::string_view one) {
  return fmt::format("{} {}{}", count, one, count == 1 ? "" : "s");
}

std::string counted(const json& object, std::string_view name, std::string_view one) {
  const auto count = number(object, name);
  return count ? counted(*count, one) : fmt::format("- {}s", one);
}

std::string joined(const json& items, std::string_view separator) {
  std::string text;
  if (items.is_array()) {
    for (const json& item : items) {
      if (!text.empty()) text += separator;
      text += item.is_object() ? field(item, "name")
                               : shown(item.is_string() ? item.get<std::string>() : to_text(item));
    }
  }
  return text.empty() ? "-" : text;
}

std::string when(std::string_view time) {
  constexpr size_t kToTheMinute = std::string_view("2026-12-01T09:00").size();
  if (time.size() <= kToTheMinute || time[10] != 'T' || !time.ends_with('Z')) return shown(time);
  return shown(fmt::format("{} {}Z", time.substr(0, 10), time.substr(11, 5)));
}

std::string when(const json& object, std::string_view name) {
  const json& found = member(object, name);
  return found.is_string() ? when(found.get_ref<const std::string&>()) : field(object, name);
}

}  // namespace weir::tools
