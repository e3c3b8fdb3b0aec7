#include "net/http/json_body.h"

#include "net/http/head_rules.h"
#include "net/http/scan.h"

namespace weir::net {
namespace {

std::string_view without_space(std::string_view text) {
  while (!text.empty() && is_white_space(static_cast<uint8_t>(text.front()))) text.remove_prefix(1);
  while (!text.empty() && is_white_space(static_cast<uint8_t>(text.back()))) text.remove_suffix(1);
  return text;
}

// media-type of RFC 9110 section 8.3.1, as far as JSON has parameters in use.
bool is_json(std::string_view type) {
  const size_t semicolon = type.find(';');
  if (!equals_ignoring_case(without_space(type.substr(0, semicolon)), "application/json")) return false;
  if (semicolon == std::string_view::npos) return true;
  const std::string_view parameter = without_space(type.substr(semicolon + 1));
  return parameter.empty() || equals_ignoring_case(parameter, "charset=utf-8") ||
         equals_ignoring_case(parameter, "charset=\"utf-8\"");
}

}  // namespace

core::Result<void> require_json_body(const RequestHead& head, const uint8_t* base) {
  if (!head.framing.has_body()) return core::fail(core::ErrorCode::length_required);
  if (head.fields.count(HeaderId::content_type) != 1 ||
      !is_json(head.fields.value(HeaderId::content_type, base)))
    return core::fail(core::ErrorCode::unsupported_media_type, "content-type");
  return {};
}

}  // namespace weir::net
