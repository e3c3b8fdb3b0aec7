// Text the mock provider writes: JSON strings and digests.
#pragma once

#include <string>
#include <string_view>

namespace weir::tools {

// Appends `text` (valid UTF-8) as a JSON string, in quotes.
void append_json_string(std::string& out, std::string_view text);
std::string json_string(std::string_view text);

// The first 16 hex digits of SHA-256: enough to tell credentials apart, not enough to be one.
std::string short_digest(std::string_view secret);

std::string base64(std::string_view bytes);

}  // namespace weir::tools
