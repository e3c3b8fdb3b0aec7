#include "core/json_text.h"

#include <array>

namespace weir::core {
namespace {

constexpr char32_t kReplacement = 0xfffd;

struct Decoded {
  char32_t character;
  unsigned bytes;  // how many of the input it stands for
  bool valid;
};

// The first character of a non-empty text (RFC 3629, table 3-7 of the Unicode Standard): no overlong forms,
// no surrogates, nothing past U+10FFFF.
Decoded decode(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  const unsigned bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (lead < 0xc2 || lead > 0xf4 || text.size() < bytes) return {kReplacement, 1, false};
  char32_t character = lead & (0x7fu >> bytes);
  for (unsigned i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {kReplacement, 1, false};
    character = character << 6 | (byte(i) & 0x3fu);
  }
  const bool surrogate = character >= 0xd800 && character <= 0xdfff;
  if (character < kSmallest[bytes] || character > 0x10ffff || surrogate) return {kReplacement, 1, false};
  return {character, bytes, true};
}

// Characters that a terminal or a line-based reader would act upon, or not show.
bool acts(char32_t c) {
  struct Range {
    char32_t first;
    char32_t last;
  };
  constexpr Range kActing[] = {
      {0x0000, 0x001f},    // C0 controls
      {0x007f, 0x009f},    // delete, C1 controls (0x9b starts a terminal sequence)
      {0x00ad, 0x00ad},    // soft hyphen
      {0x061c, 0x061c},    // Arabic letter mark
      {0x180e, 0x180e},    // Mongolian vowel separator
      {0x200b, 0x200f},    // zero width, left-to-right and right-to-left marks
      {0x2028, 0x202e},    // line and paragraph separators, bidirectional embeddings
      {0x2060, 0x206f},    // invisible operators, bidirectional isolates
      {0xfeff, 0xfeff},    // byte order mark
      {0xfff9, 0xfffb},    // interlinear annotation
      {0xe0000, 0xe007f},  // tags
  };
  for (const Range& range : kActing) {
    if (c >= range.first && c <= range.last) return true;
  }
  return false;
}

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
    const Decoded next = decode(text);
    if (!next.valid || next.character == '"' || next.character == '\\' || acts(next.character)) {
      put_escaped(*this, next.character);
    } else {
      raw(text.substr(0, next.bytes));
    }
    text.remove_prefix(next.bytes);
  }
  raw(cut ? "\u2026\"" : "\"");
}

}  // namespace weir::core
