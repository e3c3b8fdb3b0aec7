// JSON text in one form only (RFC 8785): members sorted, no blanks, numbers as ECMAScript prints them, except
// that 64-bit integers keep all their digits, and whole numbers past 64 bits that have no exponent end with ".0":
// so the text can be read again, and is its own canonical form. Equal documents have equal texts, which is what
// hashes need. Pure; any thread.
#pragma once

#include <simdjson.h>

#include <string>
#include <string_view>

namespace weir::routing {

void append_canonical(std::string& out, simdjson::dom::element element);

inline std::string canonical_json(simdjson::dom::element element) {
  std::string out;
  append_canonical(out, element);
  return out;
}

// Appends `text` as a JSON string with its quotes; the second without them.
void append_json_string(std::string& out, std::string_view text);
void append_json_string_body(std::string& out, std::string_view text);

}  // namespace weir::routing
