#include "core/display_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace weir::core {
namespace {

// Most texts are: printable ASCII from front to end.
bool is_plain(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; });
}

}  // namespace

Character first_character(std::string_view text) {
  const auto byte = [&](size_t at) { return static_cast<uint8_t>(text[at]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  const size_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < bytes) return {};
  char32_t code = lead & (0x7fu >> bytes);
  for (size_t at = 1; at < bytes; at++) {
    if ((byte(at) & 0xc0) != 0x80) return {};
    code = code << 6 | (byte(at) & 0x3fu);
  }
  constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kSmallest[bytes] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return {};
  return {code, bytes, true};
}

bool is_hidden(char32_t code) {
  struct Range {
    char32_t first, last;
  };
  static constexpr Range kHidden[] = {
      {0x0000, 0x001f},    // C0 controls
      {0x007f, 0x009f},    // delete, C1 controls (0x9b starts a terminal sequence)
      {0x00ad, 0x00ad},    // soft hyphen
      {0x061c, 0x061c},    // Arabic letter mark
      {0x180e, 0x180e},    // Mongolian vowel separator
      {0x200b, 0x200b},    // zero-width space
      {0x200e, 0x200f},    // left-to-right and right-to-left marks
      {0x2028, 0x202e},    // line and paragraph separators, bidi embeddings and overrides
      {0x2060, 0x206f},    // word joiner, invisible operators, bidi isolates
      {0xfeff, 0xfeff},    // byte order mark
      {0xfff9, 0xfffb},    // interlinear annotation
      {0xe0000, 0xe007f},  // tags
  };
  return std::ranges::any_of(kHidden,
                             [&](const Range& range) { return code >= range.first && code <= range.last; });
}

bool is_displayable_text(std::string_view text) {
  if (is_plain(text)) return true;
  for (size_t at = 0; at < text.size();) {
    const Character character = first_character(text.substr(at));
    if (!character.valid || is_hidden(character.code)) return false;
    at += character.bytes;
  }
  return true;
}

std::string displayable(std::string_view text) {
  if (is_plain(text)) return std::string(text);
  std::string shown;
  for (size_t at = 0; at < text.size();) {
    const Character character = first_character(text.substr(at));
    if (!character.valid) {
      shown += fmt::format("\\x{:02x}", static_cast<unsigned>(static_cast<uint8_t>(text[at])));
    } else if (!is_hidden(character.code)) {
      shown += text.substr(at, character.bytes);
    } else if (character.code < 0x100) {
      shown += fmt::format("\\x{:02x}", static_cast<uint32_t>(character.code));
    } else if (character.code < 0x10000) {
      shown += fmt::format("\\u{:04x}", static_cast<uint32_t>(character.code));
    } else {
      shown += fmt::format("\\U{:08x}", static_cast<uint32_t>(character.code));
    }
    at += character.bytes;
  }
  return shown;
}

}  // namespace weir::core
