#include "core/display_text.h"

#include <gtest/gtest.h>

namespace weir::core {
namespace {

TEST(DisplayableText, IsWhatShowsAsItself) {
  for (const std::string_view text :
       {"", "plain", "Müller & Söhne", "<b>markup is for its page to escape</b>", "日本語",
        "\u200dمی\u200cخواهم", "👩\u200d🔧", "عربي", "tab? no: spaces  only"}) {
    EXPECT_TRUE(is_displayable_text(text)) << text;
    EXPECT_EQ(displayable(text), text);
  }
}

TEST(DisplayableText, HoldsNoControlBidiOrInvisibleCharacter) {
  struct Row {
    std::string_view text, shown;
  };
  for (const Row& row : {
           Row{"a\nb", "a\\x0ab"},
           Row{std::string_view("a\0b", 3), "a\\x00b"},
           Row{"\x1b[2J", "\\x1b[2J"},
           Row{"\x7f", "\\x7f"},
           Row{"\u009b31m", "\\x9b31m"},
           Row{"soft\u00adhyphen", "soft\\xadhyphen"},
           Row{"\u061c", "\\u061c"},
           Row{"pay\u200bpal", "pay\\u200bpal"},
           Row{"\u200e\u200f", "\\u200e\\u200f"},
           Row{"one\u2028two\u2029", "one\\u2028two\\u2029"},
           Row{"txt.\u202eexe", "txt.\\u202eexe"},
           Row{"\u202a\u202b\u202c\u202d", "\\u202a\\u202b\\u202c\\u202d"},
           Row{"\u2066\u2067\u2068\u2069", "\\u2066\\u2067\\u2068\\u2069"},
           Row{"\ufeffmark", "\\ufeffmark"},
           Row{"\U000e0041tag", "\\U000e0041tag"},
       }) {
    EXPECT_FALSE(is_displayable_text(row.text)) << row.shown;
    EXPECT_EQ(displayable(row.text), row.shown);
  }
}

TEST(DisplayableText, IsUtf8) {
  struct Row {
    std::string_view text, shown;
  };
  for (const Row& row : {
           Row{"\xff", "\\xff"},
           Row{"a\xc3", "a\\xc3"},
           Row{"\xc0\xaf", "\\xc0\\xaf"},                    // overlong
           Row{"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},           // overlong
           Row{"\xed\xa0\x80", "\\xed\\xa0\\x80"},           // a surrogate
           Row{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},  // past U+10FFFF
           Row{"\xc3\xa9\x80", "é\\x80"},
       }) {
    EXPECT_FALSE(is_displayable_text(row.text)) << row.shown;
    EXPECT_EQ(displayable(row.text), row.shown);
  }
}

TEST(DisplayableText, StaysAsItIsOnceEscaped) {
  std::string all;
  for (int byte = 0; byte < 256; byte++) all += static_cast<char>(byte);
  all += "\u202e\u2066";
  const std::string shown = displayable(all);
  EXPECT_TRUE(is_displayable_text(shown));
  EXPECT_EQ(displayable(shown), shown);
}

}  // namespace
}  // namespace weir::core
