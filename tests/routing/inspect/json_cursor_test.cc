#include "routing/inspect/json_cursor.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include "tests/routing/inspect/json_reference.h"
#include "tests/support/sanitized.h"

namespace weir::routing {
namespace {

using core::ErrorCode;
using core::limits::kMaxJsonDepth;
using core::limits::kMaxJsonTokens;

bool accepts(std::string_view text) {
  const PaddedDocument document(text);
  JsonCursor cursor(document.bytes());
  return cursor.skip_value() && cursor.finish();
}

ErrorCode refusal(std::string_view text) {
  const PaddedDocument document(text);
  JsonCursor cursor(document.bytes());
  EXPECT_FALSE(cursor.skip_value() && cursor.finish()) << text;
  return cursor.error();
}

// Runs every case with each kernel this processor has.
class JsonCursorTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!use_json_kernel(GetParam())) GTEST_SKIP() << "this processor has no " << GetParam();
  }
  void TearDown() override {
    for (const std::string& kernel : json_kernels()) use_json_kernel(kernel);
  }
};
INSTANTIATE_TEST_SUITE_P(Kernels, JsonCursorTest, ::testing::ValuesIn(json_kernels()),
                         [](const auto& kernel) { return kernel.param; });

TEST_P(JsonCursorTest, AcceptsWhatRfc8259Allows) {
  for (const char* text : {"{}",
                           "[]",
                           " { } ",
                           "[1,2]",
                           R"({"a":1})",
                           R"({"a":[{"b":null}],"c":"d"})",
                           "0",
                           "-0",
                           "1.5e+10",
                           "1E5",
                           "123456789012345678901234567890",
                           "1e999",
                           "true",
                           "null",
                           "\"\"",
                           R"("\u0041\n\"\\\/\b\f\r\t")",
                           R"("\ud83d\ude00")",
                           "\"\x7f\"",
                           "\"\xc3\xa9\"",
                           " \t\r\n[ \t\r\n1 \t\r\n, \t\r\n2 \t\r\n] \t\r\n"}) {
    EXPECT_TRUE(accepts(text)) << text;
  }
}

TEST_P(JsonCursorTest, RefusesEverythingElse) {
  for (const char* text : {"",
                           " ",
                           "{",
                           "}",
                           "[",
                           "]",
                           "[1,]",
                           "[,1]",
                           "[1 2]",
                           "{,}",
                           R"({"a"})",
                           R"({"a":})",
                           R"({"a":1,})",
                           R"({"a" 1})",
                           R"({a:1})",
                           R"({'a':1})",
                           R"({1:1})",
                           "[1]]",
                           "[1][",
                           "{}{}",
                           "[1}",
                           R"({"a":1])",
                           "01",
                           "-",
                           "+1",
                           "1.",
                           ".5",
                           "1e",
                           "1e+",
                           "0x1",
                           "1_0",
                           "12a",
                           "truee",
                           "tru",
                           "True",
                           "nul",
                           "NaN",
                           "Infinity",
                           "-Infinity",
                           "\"",
                           "\"a",
                           "\"\n\"",
                           "\"\t\"",
                           "\"\x01\"",
                           R"("\x")",
                           R"("\u12")",
                           R"("\u12g4")",
                           R"("\)",
                           R"("a\")",
                           R"("\ud800")",
                           R"("\ud800\u0041")",
                           R"("\udc00")",
                           R"("\ud83dx\ude00")",
                           R"("\ud83d\ud83d\ude00")",
                           "// a\n1",
                           "/**/1",
                           "\"a\"b",
                           "b\"a\"",
                           "\"a\"\"b\"",
                           "[1\"a\"]",
                           "[\"a\"1]",
                           "\\",
                           "\\\"",
                           R"({\"a":1})",
                           "[1\x0c]",
                           "[\x0c]",
                           "[1,\x1a 2]",
                           "{\"a\"\x1a 1}",
                           "\xff",
                           "[\xc3\xa9]",
                           "nulltrue",
                           "[true false]",
                           "1,2",
                           "\"a\":1"}) {
    EXPECT_EQ(refusal(text), ErrorCode::body_not_json) << text;
  }
}

TEST_P(JsonCursorTest, RefusesNul) {
  EXPECT_EQ(refusal(std::string_view("{}\0", 3)), ErrorCode::body_not_json);
  EXPECT_EQ(refusal(std::string_view("\"a\0b\"", 5)), ErrorCode::body_not_json);
  EXPECT_EQ(refusal(std::string_view("[1,\0]", 5)), ErrorCode::body_not_json);
}

TEST_P(JsonCursorTest, NamesAByteOrderMark) {
  EXPECT_EQ(refusal("\xef\xbb\xbf{}"), ErrorCode::body_has_bom);
}

TEST_P(JsonCursorTest, RefusesWhatIsNotUtf8) {
  for (const char* text : {"\"\xff\"", "\"\xc0\xaf\"", "\"\xe0\x80\xaf\"", "\"\xed\xa0\x80\"",
                           "\"\xf5\x80\x80\x80\"", "\"\xc3\"", "\"\x80\"",
                           R"({"a":"b","c)"
                           "\xe2\x82"
                           R"(":1})"}) {
    EXPECT_EQ(refusal(text), ErrorCode::body_not_utf8) << text;
  }
}

TEST_P(JsonCursorTest, GoesAsDeepAsKMaxJsonDepth) {
  for (const auto& [open, close, inner] :
       {std::tuple("[", "]", ""), std::tuple("{\"a\":", "}", "1"), std::tuple("[ ", " ]", "[]")}) {
    const auto nested = [&](uint32_t depth) {
      std::string text;
      for (uint32_t i = 0; i < depth; ++i) text += open;
      text += inner;
      for (uint32_t i = 0; i < depth; ++i) text += close;
      return text;
    };
    const uint32_t own = std::string_view(inner) == "[]" ? 1 : 0;
    EXPECT_TRUE(accepts(nested(kMaxJsonDepth - own))) << open;
    EXPECT_EQ(refusal(nested(kMaxJsonDepth - own + 1)), ErrorCode::body_too_deep) << open;
    EXPECT_EQ(refusal(nested(5000)), ErrorCode::body_too_deep) << open;
  }
}

TEST_P(JsonCursorTest, RefusesMoreTokensThanKMaxJsonTokens) {
  // Two brackets; each number is followed by a comma, but for the last.
  const auto numbers = [](uint32_t count) {
    std::string text = "[0";
    for (uint32_t i = 1; i < count; ++i) text += ",0";
    return text + "]";
  };
  const uint32_t most = (kMaxJsonTokens - 2) / 2;
  EXPECT_TRUE(accepts(numbers(most)));
  EXPECT_EQ(refusal(numbers(most + 1)), ErrorCode::body_too_complex);
}

TEST_P(JsonCursorTest, JudgesARunOfBackslashesByItsLengthAtEveryOffset) {
  for (uint32_t lead = 0; lead < 140; ++lead) {
    for (uint32_t run = 0; run < 6; ++run) {
      const std::string text = '"' + std::string(lead, 'x') + std::string(run, '\\') + '"';
      EXPECT_EQ(accepts(text), run % 2 == 0) << lead << ' ' << run;
      EXPECT_EQ(accepts(text + '"'), run % 2 == 1) << lead << ' ' << run;
    }
  }
}

TEST_P(JsonCursorTest, ChecksEscapesAtEveryOffset) {
  for (uint32_t lead = 0; lead < 140; ++lead) {
    const std::string before = '"' + std::string(lead, 'x');
    EXPECT_TRUE(accepts(before + "\\n\"")) << lead;
    EXPECT_TRUE(accepts(before + "\\u00e9\"")) << lead;
    EXPECT_TRUE(accepts(before + "\\ud83d\\ude00\"")) << lead;
    EXPECT_TRUE(accepts(before + "\\ud83d\\ude00\\ud83d\\ude00\"")) << lead;
    for (const char* bad : {"\\x\"", "\\u00g9\"", "\\ud83d\\n\"", "\\ude00\"", "\\ud83d\"",
                            "\\ud83d\\u0041\"", "\\ud83d\\ude00\\ude00\"", "\x1f\"", "\n\""}) {
      EXPECT_FALSE(accepts(before + bad)) << lead << bad;
    }
  }
}

TEST_P(JsonCursorTest, ReadsDocumentsOfManyBatches) {
  std::string text = "[";
  for (int i = 0; i < 20'000; ++i) text += std::to_string(i) + (i % 3 == 0 ? ",{\"k\":[]}," : ",");
  text += "0]";
  EXPECT_TRUE(accepts(text));
  text.back() = '}';
  EXPECT_FALSE(accepts(text));
  // Blanks that fill whole batches of blocks, before, inside and after.
  const std::string blanks(10'000, ' ');
  EXPECT_TRUE(accepts(blanks + "[" + blanks + "1" + blanks + "]" + blanks));
  EXPECT_FALSE(accepts(blanks + "[" + blanks + "1" + blanks + "]" + blanks + "x"));
  EXPECT_FALSE(accepts(blanks));
  // Batch borders at every token of a member.
  for (uint32_t lead = TokenIndex::kBatch - 80; lead < TokenIndex::kBatch + 8; ++lead) {
    std::string many = "[";
    for (uint32_t i = 0; i < lead / 2; ++i) many += "1,";
    if (lead % 2 == 1) many += "[],1,";
    many += R"({"a":"b","c":{"d":[true]},"e":1.5}])";
    EXPECT_TRUE(accepts(many)) << lead;
    EXPECT_FALSE(accepts(many + "]")) << lead;
    EXPECT_FALSE(accepts(std::string_view(many).substr(0, many.size() - 1))) << lead;
  }
}

TEST_P(JsonCursorTest, NeverTakesBytesBehindTheDocument) {
  const std::string text = R"({"a":["b",1,true,{"c":"\u0041"}],"d":12})";
  for (size_t size = 0; size < text.size(); ++size) {
    for (const std::string& after : {std::string("}"), std::string("]}"), std::string("\""), std::string("1"),
                                     text.substr(size) + " ", std::string("{\"a\":")}) {
      const PaddedDocument document(text.substr(0, size), after);
      JsonCursor cursor(document.bytes());
      EXPECT_FALSE(cursor.skip_value() && cursor.finish()) << size << after;
    }
  }
}

TEST_P(JsonCursorTest, AgreesWithASlowReaderOnMutatedDocuments) {
  JsonMaker make(20261120);
  simdjson::dom::parser dom;
  ASSERT_EQ(dom.allocate(1 << 20, kMaxJsonDepth), simdjson::SUCCESS);
  uint32_t accepted = 0;
  constexpr uint32_t kDocuments = tests::rounds(90'000);
  for (uint32_t i = 0; i < kDocuments; ++i) {
    std::string text = make.blanks() + make.value() + make.blanks();
    while (make.chance(60)) text = "{" + make.string() + ":" + make.value() + ",\"x\":" + text + "}";
    if (!make.chance(20)) make.mutate(text);
    const bool valid = SlowJson::valid(text, kMaxJsonDepth) && !text.starts_with("\xef\xbb\xbf");
    const bool taken = accepts(text);
    ASSERT_EQ(taken, valid) << text;
    accepted += taken ? 1 : 0;
    // simdjson's DOM parser as a second opinion, but for numbers that fit no double.
    simdjson::dom::element element;
    const simdjson::error_code error = dom.parse(text).get(element);
    if (error != simdjson::NUMBER_ERROR) {
      ASSERT_EQ(taken, error == simdjson::SUCCESS) << text << ' ' << error;
    }
  }
  EXPECT_GT(accepted, kDocuments / 10);
  EXPECT_LT(accepted, kDocuments * 9 / 10);
}

TEST_P(JsonCursorTest, WalksStepByStepToTheSameEnds) {
  const PaddedDocument document(R"( {"a" : [1, "b\n", {"c":null}] , "d":true,"e":-1.5e2 } )");
  JsonCursor cursor(document.bytes());
  ASSERT_EQ(cursor.type(), JsonType::object);
  EXPECT_EQ(cursor.value_begin(), 1u);
  ASSERT_TRUE(cursor.open_object());
  JsonString key;
  ASSERT_TRUE(cursor.next_member(key));
  EXPECT_EQ(key.inside(), "a");
  EXPECT_FALSE(key.escaped);
  EXPECT_EQ(cursor.type(), JsonType::array);
  ASSERT_TRUE(cursor.open_array());
  ASSERT_TRUE(cursor.next_element());
  std::string_view number;
  ASSERT_TRUE(cursor.read_number(number));
  EXPECT_EQ(number, "1");
  ASSERT_TRUE(cursor.next_element());
  const uint32_t begin = cursor.value_begin();
  JsonString string;
  ASSERT_TRUE(cursor.read_string(string));
  EXPECT_EQ(string.inside(), "b\\n");
  EXPECT_TRUE(string.escaped);
  EXPECT_EQ(document.text(begin, cursor.last_end()), "\"b\\n\"");
  ASSERT_TRUE(cursor.next_element());
  ASSERT_TRUE(cursor.skip_value());
  EXPECT_FALSE(cursor.next_element());
  ASSERT_TRUE(cursor.next_member(key));
  bool flag = false;
  ASSERT_TRUE(cursor.read_bool(flag));
  EXPECT_TRUE(flag);
  ASSERT_TRUE(cursor.next_member(key));
  EXPECT_EQ(cursor.type(), JsonType::number);
  ASSERT_TRUE(cursor.read_number(number));
  EXPECT_EQ(number, "-1.5e2");
  EXPECT_FALSE(cursor.next_member(key));
  EXPECT_FALSE(cursor.failed());
  EXPECT_EQ(document.text()[cursor.last_end() - 1], '}');
  EXPECT_TRUE(cursor.finish());
}

TEST(JsonCursor, StaysFailed) {
  const PaddedDocument document("{]");
  JsonCursor cursor(document.bytes());
  JsonString key;
  bool flag;
  std::string_view number;
  EXPECT_TRUE(cursor.open_object());
  EXPECT_FALSE(cursor.next_member(key));
  EXPECT_TRUE(cursor.failed());
  EXPECT_FALSE(cursor.skip_value());
  EXPECT_FALSE(cursor.next_element());
  EXPECT_FALSE(cursor.open_array());
  EXPECT_FALSE(cursor.read_string(key));
  EXPECT_FALSE(cursor.read_bool(flag));
  EXPECT_FALSE(cursor.read_null());
  EXPECT_FALSE(cursor.read_number(number));
  EXPECT_FALSE(cursor.type().has_value());
  EXPECT_FALSE(cursor.finish());
}

TEST(JsonCursor, CountsMediaUnderItsKeysOnly) {
  const std::string data = "data:image/png;base64," + std::string(1000, 'A');
  const auto media = [](const std::string& text) {
    const PaddedDocument document(text);
    JsonCursor cursor(document.bytes());
    EXPECT_TRUE(cursor.skip_value() && cursor.finish());
    return cursor.media_bytes();
  };
  EXPECT_EQ(media(R"({"image_url":{"url":")" + data + R"("}})"), data.size());
  EXPECT_EQ(media(R"([{"image_url":")" + data + R"("},{"file_data":")" + data + R"("}])"), 2 * data.size());
  EXPECT_EQ(media(R"({"IMAGE_URL":{"Url":")" + data + R"("}})"), data.size());
  EXPECT_EQ(media(R"({"image_url":{"u\u0072l":")" + data + R"("}})"), 0u);
  EXPECT_EQ(media(R"({"content":")" + data + R"("})"), 0u);
  EXPECT_EQ(media(R"({"url":")" + std::string(1000, 'A') + R"("})"), 0u);
  EXPECT_EQ(media(R"([")" + data + R"("])"), 0u);
}

}  // namespace
}  // namespace weir::routing
