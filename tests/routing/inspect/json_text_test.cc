#include "routing/inspect/json_text.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include "tests/routing/inspect/json_reference.h"

namespace weir::routing {
namespace {

std::string rendered(std::string_view text) {
  std::array<uint8_t, 4096> room;
  ScratchWriter out(room);
  render_json_string(text, out);
  EXPECT_FALSE(out.overflowed());
  return std::string(out.text(0, out.size()));
}

std::string unescaped(std::string_view inside) {
  std::array<uint8_t, 4096> room;
  ScratchWriter out(room);
  unescape_json_string(inside, out);
  EXPECT_FALSE(out.overflowed());
  return std::string(out.text(0, out.size()));
}

TEST(JsonText, EscapesOnlyWhatMustBe) {
  EXPECT_EQ(rendered(""), "\"\"");
  EXPECT_EQ(rendered("plain é 漢 😀 / \x7f"), "\"plain é 漢 😀 / \x7f\"");
  EXPECT_EQ(rendered("a\"b\\c"), R"("a\"b\\c")");
  EXPECT_EQ(rendered("\n\r\t"), R"("\n\r\t")");
  EXPECT_EQ(rendered(std::string_view("\0\x01\x1f", 3)), R"("\u0000\u0001\u001f")");
}

TEST(JsonText, UnescapesEveryEscape) {
  EXPECT_EQ(unescaped(R"(\"\\\/\b\f\n\r\t)"), "\"\\/\b\f\n\r\t");
  EXPECT_EQ(unescaped(R"(\u0041\u00e9\u00E9\u6f22\ud83d\ude00)"), "Aéé漢😀");
  EXPECT_EQ(unescaped(R"(x\u0000y)"), std::string_view("x\0y", 3));
  EXPECT_EQ(unescaped(R"(\uffff)"), "\xef\xbf\xbf");
  EXPECT_EQ(unescaped(R"(\udbff\udfff)"), "\xf4\x8f\xbf\xbf");
}

TEST(JsonText, ReadsBackWhatItWrites) {
  for (int byte = 0; byte < 0x80; ++byte) {
    const std::string text = {'a', static_cast<char>(byte), 'b'};
    const std::string json = rendered(text);
    EXPECT_EQ(unescaped(std::string_view(json).substr(1, json.size() - 2)), text);
  }
}

TEST(JsonText, UnescapesAsSimdjsonDoes) {
  JsonMaker make(7);
  simdjson::dom::parser parser;
  for (int i = 0; i < 20'000; ++i) {
    const std::string inside = make.inside();
    const std::string_view expected = parser.parse('"' + inside + '"').get_string();
    ASSERT_EQ(unescaped(inside), expected) << inside;
  }
}

TEST(ScratchWriter, RemembersThatItRanOut) {
  std::array<uint8_t, 4> room;
  ScratchWriter out(room);
  out.append("abc");
  EXPECT_EQ(out.room(), 1u);
  out.append("de");
  EXPECT_TRUE(out.overflowed());
  out.append('f');
  EXPECT_EQ(out.text(0, out.size()), "abc");
  EXPECT_EQ(out.room(), 0u);
  out.clear();
  out.append("wxyz");
  EXPECT_FALSE(out.overflowed());
  EXPECT_EQ(out.text(1, 3), "xy");
}

}  // namespace
}  // namespace weir::routing
