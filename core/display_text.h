// Text that people will see in terminals, logs and pages. A text may lie about itself: control characters
// move the cursor, bidi overrides show "exe.txt" for "txt.exe", invisible characters make two names look like
// one. A table refuses such texts; what comes from elsewhere (clients, providers, older registries) is shown
// escaped. Markup is no matter of the text: whoever makes a page of it escapes it there. Pure; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace weir::core {

// True for valid UTF-8 in which every character shows as itself: no control character or line break (C0, DEL,
// C1, U+2028, U+2029), no bidi control (Unicode TR36 section 2.5; the Bidi_Control property), no invisible
// filler (zero-width space, byte order mark, tags). Joiners (U+200C, U+200D) pass: Persian, Hindi and emoji
// are spelled with them.
bool is_displayable_text(std::string_view text);

// `text` with whatever is_displayable_text() objects to written as "\x1b", "\u202e" or "\U000e0041"; bytes
// that are no UTF-8 as "\xff". A displayable text comes back as it is.
std::string displayable(std::string_view text);

// ---- the parts, for other ways of escaping (core/json_text.h) ----

struct Character {
  char32_t code = 0xfffd;
  size_t bytes = 1;  // how many of the text it stands for
  bool valid = false;
};

// The first character of a text that is not empty (RFC 3629; table 3-7 of the Unicode Standard): no overlong
// forms, no surrogates, nothing past U+10FFFF. A byte that begins none is one invalid character.
Character first_character(std::string_view text);

// What a terminal or a line-based reader acts upon or does not show; joiners are not hidden.
bool is_hidden(char32_t code);
inline bool is_joiner(char32_t code) {
  return code == 0x200c || code == 0x200d;
}

}  // namespace weir::core
