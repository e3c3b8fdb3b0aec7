#include "net/http/json_body.h"

#include <gtest/gtest.h>

#include <string>

#include "net/http/head_parser.h"
#include "tests/net/http/head_fixture.h"

namespace weir::net {
namespace {

std::string check(const std::string& lines) {
  const std::string text = request_with(lines);
  const auto* base = reinterpret_cast<const uint8_t*>(text.data());
  RequestHeadParser parser;
  EXPECT_EQ(parser.parse({base, text.size()}), ParseStatus::done);
  const auto result = require_json_body(parser.head(), base);
  return result ? "fine" : verdict_of(result.error().code);
}

TEST(JsonBody, IsTakenWithItsTypeAndLength) {
  for (const std::string type :
       {"application/json", "Application/JSON", "application/json; charset=utf-8",
        "application/json;charset=UTF-8", "application/json ; charset=\"utf-8\"", "application/json;"})
    EXPECT_EQ(check("Content-Length: 2\r\nContent-Type: " + type + "\r\n"), "fine") << type;
  EXPECT_EQ(check("Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n"), "fine");
}

TEST(JsonBody, NeedsALength) {
  EXPECT_EQ(check("Content-Type: application/json\r\n"), "length_required");
  EXPECT_EQ(check("Content-Length: 0\r\nContent-Type: application/json\r\n"), "length_required");
}

TEST(JsonBody, NeedsItsType) {
  EXPECT_EQ(check("Content-Length: 2\r\n"), "unsupported_media_type");
  for (const std::string type :
       {"", "text/plain", "application/jsonx", "application/json, text/plain",
        "application/json; charset=latin1", "application/json; a=b; charset=utf-8",
        "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json"})
    EXPECT_EQ(check("Content-Length: 2\r\nContent-Type: " + type + "\r\n"), "unsupported_media_type") << type;
  EXPECT_EQ(
      check("Content-Length: 2\r\nContent-Type: application/json\r\nContent-Type: application/json\r\n"),
      "unsupported_media_type");
}

}  // namespace
}  // namespace weir::net
