#include "core/json_text.h"

#include <array>

#include "core/display_text.h"

namespace weir::core {
namespace {

bool plain(char c) {
  return c >= ' ' && c <= '~' && c != '"' && c != '\\';
}

// How many bytes at the start of a text can be copied as they stand. Eight at a time: exact "is any byte less
// than" and "is any byte zero" tests on a word (Warren, "Hacker's Delight", chapter 6).
size_t plain_prefix(std::string_view text) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  constexpr uint64_t kTops = kOnes * 0x80;
  const auto zero_in = [](uint64_t word) { return (word - kOnes) & ~word & kTops; };
  size_t run = 0;
  for (; text.size() - run >= 8; run += 8) {
    uint64_t word = 0;
    std::memcpy(&word, text.data() + run, 8);
    const uint64_t controls = (word - kOnes * ' ') & ~word & kTops;
    const uint64_t marks =
        zero_in(word ^ kOnes * '"') | zero_in(word ^ kOnes * '\\') | zero_in(word ^ kOnes * 0x7f);
    if (controls | marks | (word & kTops)) break;
  }
  while (run < text.size() && plain(text[run])) ++run;
  return run;
}

// "\uXXXX" of one UTF-16 code unit.
void put_unit(JsonText& out, uint32_t unit) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  const std::array<char, 6> text = {'\\',
                                    'u',
                                    kDigits[unit >> 12 & 15],
                                    kDigits[unit >> 8 & 15],
                                    kDigits[unit >> 4 & 15],
                                    kDigits[unit & 15]};
  out.raw({text.data(), text.size()});
}

void put_escaped(JsonText& out, char32_t c) {
  switch (c) {
    case '"':
      return out.raw("\\\"");
    case '\\':
      return out.raw("\\\\");
    case '\n':
      return out.raw("\\n");
    case '\r':
      return out.raw("\\r");
    case '\t':
      return out.raw("\\t");
    default:
      break;
  }
  if (c < 0x10000) return put_unit(out, c);
  put_unit(out, 0xd800 + ((c - 0x10000) >> 10));
  put_unit(out, 0xdc00 + ((c - 0x10000) & 0x3ff));
}

// The longest beginning of at most `max_bytes` that does not cut a character.
std::string_view beginning(std::string_view text, size_t max_bytes) {
  size_t length = max_bytes;
  for (int i = 0; i < 3 && length > 0 && (static_cast<uint8_t>(text[length]) & 0xc0) == 0x80; ++i) --length;
  return text.substr(0, length);
}

}  // namespace

void JsonText::string(std::string_view text, size_t max_bytes) {
  const bool cut = text.size() > max_bytes;
  if (cut) text = beginning(text, max_bytes);
  raw("\"");
  while (!text.empty() && !overflowed_) {
    const size_t run = plain_prefix(text);
    raw(text.substr(0, run));
    text.remove_prefix(run);
    if (text.empty()) break;
    const Character next = first_character(text);
    const bool acts = is_hidden(next.code) || is_joiner(next.code);
    if (!next.valid || next.code == '"' || next.code == '\\' || acts) {
      put_escaped(*this, next.code);
    } else {
      raw(text.substr(0, next.bytes));
    }
    text.remove_prefix(next.bytes);
  }
  raw(cut ? "\u2026\"" : "\"");
}

}  // namespace weir::core
