#include "routing/table/canonical_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "routing/table/scalars.h"

namespace weir::routing {
namespace {

struct Member {
  std::string_view key;
  simdjson::dom::element value;
};

// Order by UTF-16 code units (RFC 8785 section 3.2.3). That is the order of the UTF-8 bytes, but for the
// characters past U+FFFF: their surrogates sort before U+E000, whose UTF-8 lead byte is 0xEE.
bool before(const Member& a, const Member& b) {
  const auto [left, right] = std::ranges::mismatch(a.key, b.key);
  if (left == a.key.end() || right == b.key.end()) return left == a.key.end() && right != b.key.end();
  const auto x = static_cast<unsigned char>(*left);
  const auto y = static_cast<unsigned char>(*right);
  if (x >= 0xf0 && (y == 0xee || y == 0xef)) return true;
  if (y >= 0xf0 && (x == 0xee || x == 0xef)) return false;
  return x < y;
}

void append_object(std::string& out, simdjson::dom::object object) {
  std::vector<Member> members;
  for (const auto [key, value] : object) members.push_back({key, value});
  if (!std::ranges::is_sorted(members, before)) std::ranges::sort(members, before);
  out += '{';
  bool first = true;
  for (const Member& member : members) {
    if (!first) out += ',';
    first = false;
    append_json_string(out, member.key);
    out += ':';
    append_canonical(out, member.value);
  }
  out += '}';
}

// Digits alone are an integer to JSON readers, ours among them, and one past 64 bits is refused.
void append_double(std::string& out, double value) {
  const size_t begin = out.size();
  append_number(out, value);
  const bool is_wide = value >= 0x1p64 || value <= -0x1p63;
  if (is_wide && out.find('e', begin) == std::string::npos) out += ".0";
}

}  // namespace

// Recursion is bounded by limits::kMaxJsonDepth, which the parser enforced.
void append_canonical(std::string& out, simdjson::dom::element element) {
  using Type = simdjson::dom::element_type;
  switch (element.type()) {
    case Type::ARRAY: {
      out += '[';
      bool first = true;
      const simdjson::dom::array array = element.get_array().value_unsafe();
      for (const simdjson::dom::element item : array) {
        if (!first) out += ',';
        first = false;
        append_canonical(out, item);
      }
      out += ']';
      return;
    }
    case Type::OBJECT:
      return append_object(out, element.get_object().value_unsafe());
    case Type::STRING:
      return append_json_string(out, element.get_string().value_unsafe());
    case Type::INT64:
      out += std::to_string(element.get_int64().value_unsafe());
      return;
    case Type::UINT64:
      out += std::to_string(element.get_uint64().value_unsafe());
      return;
    case Type::DOUBLE:
      return append_double(out, element.get_double().value_unsafe());
    case Type::BOOL:
      out += element.get_bool().value_unsafe() ? "true" : "false";
      return;
    case Type::NULL_VALUE:
      out += "null";
      return;
  }
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  append_json_string_body(out, text);
  out += '"';
}

void append_json_string_body(std::string& out, std::string_view text) {
  size_t copied = 0;
  for (size_t at = 0; at < text.size(); at++) {
    const auto c = static_cast<unsigned char>(text[at]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out.append(text, copied, at - copied);
    copied = at + 1;
    switch (c) {
      case '\b':
        out += "\\b";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\r':
        out += "\\r";
        break;
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      default:
        out += fmt::format("\\u{:04x}", c);
    }
  }
  out.append(text, copied);
}

}  // namespace weir::routing
