#include "tools/weirctl/terminal_text.h"

#include <gtest/gtest.h>

namespace weir::tools {
namespace {

using Lines = std::vector<std::string>;

TEST(DisplayWidth, CountsColumnsNotBytes) {
  EXPECT_EQ(display_width(""), 0u);
  EXPECT_EQ(display_width("abc"), 3u);
  EXPECT_EQ(display_width("é…"), 2u);
  EXPECT_EQ(display_width("銀行"), 4u) << "East Asian characters are wide";
  EXPECT_EQ(display_width("e\u0301"), 1u) << "a combining accent takes no column";
}

TEST(Wrap, BreaksAtBlanksAndInsideWordsThatAreTooLong) {
  EXPECT_EQ(wrap("one two three", 0), (Lines{"one two three"}));
  EXPECT_EQ(wrap("one two three", 7), (Lines{"one two", "three"}));
  EXPECT_EQ(wrap("one two three", 8), (Lines{"one two", "three"}));
  EXPECT_EQ(wrap("abcdefgh", 3), (Lines{"abc", "def", "gh"}));
  EXPECT_EQ(wrap("銀行銀行", 3), (Lines{"銀", "行", "銀", "行"}));
  EXPECT_EQ(wrap("", 5), (Lines{""}));
  EXPECT_EQ(wrap("銀", 1), (Lines{"銀"})) << "at least one character a line";
}

TEST(Wrapped, HangsWhatFollowsTheFirstLine) {
  EXPECT_EQ(wrapped("killed   unit a since then", 15, 9), "killed   unit a\n         since\n         then\n");
  EXPECT_EQ(wrapped("short", 80, 9), "short\n");
}

TEST(ShellWord, IsReadBackByAShellAsItWas) {
  EXPECT_EQ(shell_word("support-v2"), "support-v2");
  EXPECT_EQ(shell_word("support@2.1.0"), "support@2.1.0");
  EXPECT_EQ(shell_word(""), "''");
  EXPECT_EQ(shell_word("two words"), "'two words'");
  EXPECT_EQ(shell_word("$(reboot)"), "'$(reboot)'");
  EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
}

TEST(Shown, KeepsTextFromSteeringTheTerminal) {
  EXPECT_EQ(shown("plain é"), "plain é");
  EXPECT_EQ(shown("a\x1b[2Jb\n"), "a\\x1b[2Jb\\x0a");
  EXPECT_EQ(shown("\u202egnp.exe"), "\\u202egnp.exe");
}

const std::vector<Column> kColumns = {
    {"NAME"}, {"N", Align::right}, {"WHY", Align::left, Fit::prose}, {"NEVER"}};

TEST(RenderTable, AlignsColumnsAndLeavesOutThoseThatSayNothing) {
  EXPECT_EQ(render_table(kColumns, {{"é", "1", "because", "-"}, {"abcdef", "100"}}, 0),
            "NAME      N  WHY\né         1  because\nabcdef  100\n");
  EXPECT_EQ(render_table({{"A"}, {"B"}}, {}, 80), "A  B\n");
}

TEST(RenderTable, BreaksProseBeforeNames) {
  EXPECT_EQ(render_table(kColumns, {{"support-v2", "1", "the security review has passed"}}, 36),
            "NAME        N  WHY\n"
            "support-v2  1  the security review\n"
            "               has passed\n");
  EXPECT_EQ(render_table(kColumns, {{"support-v2-of-the-bank", "1", "the security review has passed"}}, 34),
            "NAME            N  WHY\n"
            "support-v2-of-  1  the security\n"
            "the-bank           review has\n"
            "                   passed\n");
}

TEST(RenderTable, PutsANoteBeneathItsRowWhenThereIsLittleRoom) {
  const std::vector<Column> columns = {{"NAME"}, {"WHY", Align::left, Fit::note}};
  const std::vector<std::vector<std::string>> rows = {{"support-v2", "the security review has passed"},
                                                      {"b", "-"}};
  EXPECT_EQ(render_table(columns, rows, 50),
            "NAME        WHY\nsupport-v2  the security review has passed\nb           -\n");
  EXPECT_EQ(render_table(columns, rows, 30),
            "NAME\nsupport-v2\n    the security review has\n    passed\nb\n");
}

TEST(RenderTable, NeverIsWiderThanTheTerminal) {
  const std::vector<std::vector<std::string>> rows = {
      {std::string(64, 'n'), "123456", "a reason of some length that somebody wrote", std::string(64, 'x')},
      {"銀行銀行銀行銀行銀行銀行", "1", "短い", "y"}};
  for (size_t width = 30; width < 200; ++width) {
    const std::string text = render_table(kColumns, rows, width);
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = text.find('\n', begin);
      EXPECT_LE(display_width(text.substr(begin, end - begin)), width) << text;
      begin = end + 1;
    }
  }
}

}  // namespace
}  // namespace weir::tools
