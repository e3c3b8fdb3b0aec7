#include "core/json_text.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>

namespace weir::core {
namespace {

std::string json_of(std::string_view text, size_t max_bytes = SIZE_MAX) {
  std::array<char, 4096> room;
  JsonText out(room);
  out.string(text, max_bytes);
  EXPECT_FALSE(out.overflowed());
  return std::string(out.view());
}

TEST(JsonText, WritesPlainTextAsItIs) {
  EXPECT_EQ(json_of(""), R"("")");
  EXPECT_EQ(json_of("hello, weir"), R"("hello, weir")");
  EXPECT_EQ(json_of("Köln, 東京, 🙂"), R"("Köln, 東京, 🙂")");
}

TEST(JsonText, EscapesWhatJsonDemands) {
  EXPECT_EQ(json_of("a\"b\\c/d"), R"("a\"b\\c/d")");
  EXPECT_EQ(json_of("\n\r\t\b\x01\x1f"), R"("\n\r\t\u0008\u0001\u001f")");
  EXPECT_EQ(json_of(std::string_view("\0", 1)), R"("\u0000")");
}

TEST(JsonText, EscapesWhatATerminalWouldActUpon) {
  EXPECT_EQ(json_of("\x1b[2J\x7f"), R"("\u001b[2J\u007f")");
  EXPECT_EQ(json_of("\u0085\u009b"), R"("\u0085\u009b")");
  EXPECT_EQ(json_of("\u00a0"), "\"\u00a0\"") << "the first after the controls";
}

TEST(JsonText, EscapesAtEveryPlaceInAWord) {
  for (int c = 0; c < 256; ++c) {
    for (size_t at = 0; at < 20; ++at) {
      const std::string before(at, 'x');
      const std::string after(19 - at, '~');
      const std::string alone = json_of(std::string(1, static_cast<char>(c)));
      const std::string inner = alone.substr(1, alone.size() - 2);
      ASSERT_EQ(json_of(before + static_cast<char>(c) + after), "\"" + before + inner + after + "\"") << c;
    }
  }
}

TEST(JsonText, EscapesWhatHidesOrTurnsText) {
  EXPECT_EQ(json_of("a\u202eb\u2066c\u2069"), R"("a\u202eb\u2066c\u2069")");
  EXPECT_EQ(json_of("\u200b\u200f\u061c\u00ad\ufeff"), R"("\u200b\u200f\u061c\u00ad\ufeff")");
  EXPECT_EQ(json_of("\u2028\u2029"), R"("\u2028\u2029")");
  EXPECT_EQ(json_of("\U000e0041"), R"("\udb40\udc41")");
}

TEST(JsonText, ReplacesWhatIsNotUtf8) {
  EXPECT_EQ(json_of("a\x80z"), R"("a\ufffdz")");
  EXPECT_EQ(json_of("\xc0\xaf"), R"("\ufffd\ufffd")") << "overlong";
  EXPECT_EQ(json_of("\xe0\x80\xaf"), R"("\ufffd\ufffd\ufffd")") << "overlong";
  EXPECT_EQ(json_of("\xed\xa0\x80"), R"("\ufffd\ufffd\ufffd")") << "surrogate";
  EXPECT_EQ(json_of("\xf4\x90\x80\x80"), R"("\ufffd\ufffd\ufffd\ufffd")") << "past the last";
  EXPECT_EQ(json_of("\xf5\xff"), R"("\ufffd\ufffd")");
  EXPECT_EQ(json_of("\xe2\x82"), R"("\ufffd\ufffd")") << "cut off";
  EXPECT_EQ(json_of("\xc3\"x"), R"("\ufffd\"x")") << "a quote is not swallowed";
}

TEST(JsonText, CutsLongTextBetweenCharacters) {
  EXPECT_EQ(json_of("abcdef", 6), R"("abcdef")");
  EXPECT_EQ(json_of("abcdef", 3), "\"abc\u2026\"");
  EXPECT_EQ(json_of("ab🙂", 3), "\"ab\u2026\"");
  EXPECT_EQ(json_of("ab🙂", 5), "\"ab\u2026\"");
  EXPECT_EQ(json_of("ab🙂", 6), "\"ab🙂\"");
  EXPECT_EQ(json_of("🙂", 0), "\"\u2026\"");
}

TEST(JsonText, NoticesWhatDoesNotFitAndRewinds) {
  std::array<char, 16> room;
  JsonText out(room);
  out.raw("[1,");
  const size_t mark = out.size();
  out.string("far too long for this");
  EXPECT_TRUE(out.overflowed());
  out.rewind(mark);
  EXPECT_FALSE(out.overflowed());
  out.number(-7);
  out.raw(",");
  out.boolean(true);
  out.raw("]");
  EXPECT_EQ(out.view(), "[1,-7,true]");
  out.number(uint64_t{1234567});
  EXPECT_TRUE(out.overflowed());
}

TEST(JsonText, NeverWritesPastItsRoom) {
  const std::string text = "a\"\n\u202e\U000e0041\xff🙂";
  for (size_t size = 0; size < 60; ++size) {
    const auto room = std::make_unique<char[]>(size);
    JsonText out({room.get(), size});
    out.string(text);
    EXPECT_LE(out.size(), size);
  }
}

}  // namespace
}  // namespace weir::core
