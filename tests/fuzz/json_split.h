// JSON taken apart by counting brackets: slow, and with nothing in common with the readers under test but the
// text. It keeps what a parsed document hides: the order of members, those that come twice, and where each
// stands. Only for text that is known to be valid (SlowJson).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace weir::fuzz {

inline std::string_view trimmed(std::string_view text, std::string_view blanks = " \t\r\n") {
  while (!text.empty() && blanks.contains(text.front())) text.remove_prefix(1);
  while (!text.empty() && blanks.contains(text.back())) text.remove_suffix(1);
  return text;
}

// What stands between the brackets, cut at `separator` wherever that is neither in a string nor deeper.
inline std::vector<std::string_view> slow_cut(std::string_view inside, char separator) {
  std::vector<std::string_view> parts;
  if (trimmed(inside).empty()) return parts;
  size_t begin = 0;
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < inside.size(); ++i) {
    const char byte = inside[i];
    if (in_string) {
      if (byte == '\\') ++i;
      in_string = byte != '"';
    } else if (byte == '"') {
      in_string = true;
    } else if (byte == '{' || byte == '[') {
      ++depth;
    } else if (byte == '}' || byte == ']') {
      --depth;
    } else if (byte == separator && depth == 0) {
      parts.push_back(trimmed(inside.substr(begin, i - begin)));
      begin = i + 1;
    }
  }
  parts.push_back(trimmed(inside.substr(begin)));
  return parts;
}

// The first byte tells the type: { [ " t f n, else a number. 0 for nothing.
inline char kind_of(std::string_view value) {
  return value.empty() ? '\0' : value.front();
}

// Elements of an array; none of anything else.
inline std::vector<std::string_view> slow_elements(std::string_view value) {
  if (kind_of(value) != '[') return {};
  return slow_cut(value.substr(1, value.size() - 2), ',');
}

struct SlowMember {
  std::string_view raw_key;  // between the quotes, as it stands
  std::string_view value;

  std::string key() const { return nlohmann::json::parse('"' + std::string(raw_key) + '"'); }
};

// Members of an object in their order; none of anything else.
inline std::vector<SlowMember> slow_members(std::string_view value) {
  std::vector<SlowMember> members;
  if (kind_of(value) != '{') return members;
  for (const std::string_view member : slow_cut(value.substr(1, value.size() - 2), ',')) {
    const std::string_view quoted = slow_cut(member, ':')[0];
    const auto colon = static_cast<size_t>(quoted.data() - member.data()) + quoted.size();
    members.push_back({.raw_key = quoted.substr(1, quoted.size() - 2),
                       .value = trimmed(member.substr(member.find(':', colon) + 1))});
  }
  return members;
}

// What stands between the quotes of a string.
inline std::string_view raw_inside(std::string_view string) {
  return string.substr(1, string.size() - 2);
}
// What a string says.
inline std::string slow_text(std::string_view string) {
  return nlohmann::json::parse(string);
}

// The same document for parsers that keep numbers in 64 bits: one that does not fit becomes another that no
// control field may hold either.
inline std::string with_small_numbers(std::string_view text) {
  std::string result;
  bool in_string = false;
  for (size_t i = 0; i < text.size();) {
    const char byte = text[i];
    if (!in_string && (byte == '-' || (byte >= '0' && byte <= '9'))) {
      const size_t end = std::min(text.find_first_not_of("+-.0123456789eE", i), text.size());
      const std::string number(text.substr(i, end - i));
      const bool is_whole = number.find_first_of(".eE") == std::string::npos;
      const bool fits = is_whole ? number.size() <= 18 : std::isfinite(std::strtod(number.c_str(), nullptr));
      result += fits ? number : "1.5";
      i = end;
      continue;
    }
    if (in_string && byte == '\\') result += text[i++];
    if (byte == '"') in_string = !in_string;
    result += text[i++];
  }
  return result;
}

}  // namespace weir::fuzz
