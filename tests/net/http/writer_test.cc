#include "net/http/writer.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/net/http/head_fixture.h"

namespace weir::net {
namespace {

using namespace std::string_literals;

struct Sheet {
  std::array<char, 4096> buffer;
  HeadWriter writer{buffer};
};

TEST(HeadWriter, WritesARequestHead) {
  Sheet sheet;
  sheet.writer.request_line(Method::post, "/v1/chat/completions");
  sheet.writer.field("host", "api.example.com");
  sheet.writer.field("content-length", uint64_t{1024});
  sheet.writer.end();
  EXPECT_EQ(sheet.writer.text(),
            "POST /v1/chat/completions HTTP/1.1\r\nhost: api.example.com\r\ncontent-length: 1024\r\n\r\n");
  EXPECT_EQ(sheet.writer.size(), sheet.writer.text().size());
  EXPECT_FALSE(sheet.writer.overflowed());
}

TEST(HeadWriter, WritesAResponseHead) {
  Sheet sheet;
  sheet.writer.status_line(429);
  sheet.writer.field("retry-after-ms", uint64_t{18446744073709551615u});
  sheet.writer.field("x-empty", "");
  sheet.writer.end();
  EXPECT_EQ(sheet.writer.text(),
            "HTTP/1.1 429 Too Many Requests\r\nretry-after-ms: 18446744073709551615\r\nx-empty: \r\n\r\n");
}

TEST(HeadWriter, WritesNumbersOfEveryLength) {
  uint64_t power = 1;
  for (int digits = 1; digits <= 20; ++digits, power *= 10) {
    for (const uint64_t value : {power - 1, power, power + 1, power / 10 * 37}) {
      Sheet sheet;
      sheet.writer.field("x-number", value);
      EXPECT_EQ(sheet.writer.text(), "x-number: " + std::to_string(value) + "\r\n");
    }
  }
}

TEST(HeadWriter, WritesAStatusWithoutAPhrase) {
  Sheet sheet;
  sheet.writer.status_line(529);
  EXPECT_EQ(sheet.writer.text(), "HTTP/1.1 529 \r\n");
}

TEST(HeadWriter, KnowsAPhraseForEveryStatusOfTheErrorTable) {
  for (unsigned code = 0; code < core::kErrorCodeCount; ++code)
    if (const int status = core::describe(core::ErrorCode{static_cast<uint8_t>(code)}).status; status != 0) {
      EXPECT_NE(reason_phrase(status), "") << status;
    }
}

TEST(HeadWriter, LetsNoValueBreakOut) {
  const std::pair<std::string, std::string> values[] = {
      {"a\r\nSet-Cookie: b", "aSet-Cookie: b"},
      {"a\r\n\r\n<html>", "a<html>"},
      {"\n", ""},
      {"a\0b\x01\x1f\x7f"s, "ab"},
      {"tab\tstays", "tab\tstays"},
      {"caf\xc3\xa9 stays", "caf\xc3\xa9 stays"},
      {"a line that is longer than sixteen bytes, with its end\r\n",
       "a line that is longer than sixteen bytes, with its end"},
  };
  for (const auto& [value, expected] : values) {
    Sheet sheet;
    sheet.writer.field("a", value);
    sheet.writer.parsed_field("B", value);
    EXPECT_EQ(sheet.writer.text(), "a: " + expected + "\r\nB: " + expected + "\r\n");
  }
}

TEST(HeadWriter, LetsNoTargetBreakOut) {
  Sheet sheet;
  sheet.writer.request_line(Method::get, "/a b\r\nHost: x\r\n#\x7f\xff\tc");
  EXPECT_EQ(sheet.writer.text(), "GET /abHost:xc HTTP/1.1\r\n");
}

TEST(HeadWriter, LeavesOutParsedFieldsWhoseNameIsNoToken) {
  for (const std::string& name : {""s, "a b"s, "a:"s, "a\r\nb"s, "a\0"s, "\xc3\xa9"s, "(a)"s}) {
    Sheet sheet;
    sheet.writer.parsed_field(name, "value");
    EXPECT_EQ(sheet.writer.text(), "");
    EXPECT_FALSE(sheet.writer.overflowed());
  }
}

TEST(HeadWriter, OverflowsInsteadOfWritingOutside) {
  const auto write = [](HeadWriter& writer) {
    writer.status_line(200);
    writer.field("content-length", uint64_t{12});
    writer.field("a", "b");
    writer.parsed_field("C", "d");
    writer.request_line(Method::get, "/");
    writer.end();
  };
  Sheet whole;
  write(whole.writer);
  for (size_t size = 0; size <= whole.writer.size(); ++size) {
    std::vector<char> buffer(size);
    HeadWriter writer(buffer);
    write(writer);
    EXPECT_EQ(writer.overflowed(), size < whole.writer.size());
    EXPECT_TRUE(whole.writer.text().starts_with(writer.text()));
  }
}

TEST(HeadWriter, RendersChunkHeaders) {
  const std::pair<uint64_t, std::string_view> sizes[] = {
      {1, "1\r\n"}, {200, "c8\r\n"}, {65536, "10000\r\n"}, {UINT64_MAX, "ffffffffffffffff\r\n"}};
  for (const auto& [size, expected] : sizes) {
    char out[kMaxChunkHeaderBytes];
    EXPECT_EQ(std::string_view(out, render_chunk_header(size, out)), expected);
  }
}

// Whatever is written, the parser reads back what was meant: no more fields, no fewer, no other values.
TEST(HeadWriter, IsReadBackByTheParser) {
  std::mt19937 random(4711);  // a fixed seed: the same cases every time
  const auto some = [&](size_t max) { return std::uniform_int_distribution<size_t>(0, max)(random); };
  const auto text = [&](std::string_view alphabet, size_t min, size_t max) {
    std::string result;
    for (size_t size = min + some(max - min); result.size() < size;)
      result += alphabet[some(alphabet.size() - 1)];
    return result;
  };
  const std::string names = "abcXYZ019-_.!~";
  const std::string values = "abc XYZ,;:=\"/\t\r\n\x01\x7f(){}"s + '\0';
  for (int round = 0; round < 2000; ++round) {
    Sheet sheet;
    const bool request = some(1) == 0;
    const std::string target = "/" + text("abc/?=&%20", 0, 40);
    std::string expected;
    if (request) {
      sheet.writer.request_line(Method::post, target);
      sheet.writer.field("host", "gateway");
      expected = "POST " + target + " length 7 keep [host=gateway]";
    } else {
      sheet.writer.status_line(200);
      expected = "200 length 7 keep";
    }
    sheet.writer.field("content-length", uint64_t{7});
    expected += " [content-length=7]";
    for (size_t fields = some(20); fields != 0; --fields) {
      const std::string name = "n" + text(names, 0, 30);
      const std::string value = text(values, 0, 60);
      sheet.writer.parsed_field(name, value);
      std::string kept;
      for (const char c : value)
        if (c == '\t' || (c >= ' ' && c != '\x7f')) kept += c;
      const size_t begin = kept.find_first_not_of(" \t");
      const size_t end = kept.find_last_not_of(" \t");
      expected +=
          " [" + name + "=" + (begin == std::string::npos ? "" : kept.substr(begin, end - begin + 1)) + "]";
    }
    sheet.writer.end();
    ASSERT_FALSE(sheet.writer.overflowed());
    const std::string_view head = sheet.writer.text();
    expected = "done " + std::to_string(head.size()) + " " + expected;
    const std::vector<size_t> ends = {some(head.size()), head.size()};
    EXPECT_EQ(
        request ? parse_at(RequestHeadParser(), head, ends) : parse_at(ResponseHeadParser(), head, ends),
        expected);
  }
}

}  // namespace
}  // namespace weir::net
