// Request heads that must be refused, and why. Gathered from what smuggling research uses to set two parsers
// apart (RFC 9112 sections 2.2, 3, 5, 6, 11.2; PortSwigger's work on HTTP desync; the HTTP Garden; published
// advisories), put in our own words. Every case is parsed whole, byte by byte and at every split.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/net/http/head_fixture.h"

namespace weir::net {
namespace {

using core::ErrorCode;
using namespace std::string_literals;  // for cases that hold NUL

struct BadRequest {
  std::string text;
  ErrorCode code;
};

std::string line(std::string_view request_line) {
  return std::string(request_line) + "\r\nHost: gateway\r\n\r\n";
}

const std::vector<BadRequest>& corpus() {
  static const std::vector<BadRequest> cases = {
      // ---- request line: separators -------------------------------------------------------------------
      {line("GET"), ErrorCode::bad_request_line},
      {line("GET /"), ErrorCode::bad_request_line},  // HTTP/0.9
      {line("GET/ HTTP/1.1"), ErrorCode::bad_method},
      {line("GET /HTTP/1.1"), ErrorCode::bad_request_line},
      {line("GET  / HTTP/1.1"), ErrorCode::bad_request_line},
      {line("GET /  HTTP/1.1"), ErrorCode::bad_request_line},
      {line("GET / HTTP/1.1 "), ErrorCode::bad_request_line},
      {line(" GET / HTTP/1.1"), ErrorCode::bad_method},
      {line("GET\t/ HTTP/1.1"), ErrorCode::bad_method},
      {line("GET /\tHTTP/1.1"), ErrorCode::bad_request_line},
      {line("GET\t/\tHTTP/1.1"), ErrorCode::bad_request_line},
      {line("GET / HTTP/1.1\t"), ErrorCode::bad_version},
      {line("GET /a b HTTP/1.1"), ErrorCode::bad_request_line},
      {line("GET / HTTP/1.1 GET / HTTP/1.1"), ErrorCode::bad_request_line},
      {"\r\n" + line("GET / HTTP/1.1"), ErrorCode::bad_request_line},  // empty line before the start line
      {"\r\n\r\n" + line("GET / HTTP/1.1"), ErrorCode::bad_request_line},
      {"\n" + line("GET / HTTP/1.1"), ErrorCode::bare_line_break},
      {"GET / HTTP/1.1\nHost: gateway\n\n", ErrorCode::bare_line_break},
      {"GET / HTTP/1.1\rHost: gateway\r\r", ErrorCode::bare_line_break},
      {"GET / HTTP/1.1\r\r\nHost: gateway\r\n\r\n", ErrorCode::bare_line_break},
      {"GET /\r/ HTTP/1.1\r\nHost: gateway\r\n\r\n", ErrorCode::bare_line_break},
      {"GET /\n/ HTTP/1.1\r\nHost: gateway\r\n\r\n", ErrorCode::bare_line_break},
      // ---- method ---------------------------------------------------------------------------------------
      {line("G(T / HTTP/1.1"), ErrorCode::bad_method},
      {line("G\"T / HTTP/1.1"), ErrorCode::bad_method},
      {line("GET: / HTTP/1.1"), ErrorCode::bad_method},
      {line("\x80GET / HTTP/1.1"), ErrorCode::bad_method},
      {line("ABCDEFGHIJKLMNOPQRSTU / HTTP/1.1"), ErrorCode::bad_method},  // 21 characters
      {line("GE\x01T / HTTP/1.1"), ErrorCode::bad_method},
      {line("GE\0T / HTTP/1.1"s), ErrorCode::bad_method},
      {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"s, ErrorCode::bad_method},  // TLS on the plain port
      // ---- target ---------------------------------------------------------------------------------------
      {line("GET * HTTP/1.1"), ErrorCode::bad_target},
      {line("OPTIONS * HTTP/1.1"), ErrorCode::bad_target},
      {line("GET http://other/ HTTP/1.1"), ErrorCode::bad_target},
      {line("GET https://other@gateway/ HTTP/1.1"), ErrorCode::bad_target},
      {line("CONNECT other:443 HTTP/1.1"), ErrorCode::bad_target},
      {line("GET ?x=1 HTTP/1.1"), ErrorCode::bad_target},
      {line("GET v1/models HTTP/1.1"), ErrorCode::bad_target},
      {line("GET \\v1 HTTP/1.1"), ErrorCode::bad_target},
      {line("GET /v1#part HTTP/1.1"), ErrorCode::bad_target},
      {line("GET /v1/m\xc3\xb6 HTTP/1.1"), ErrorCode::bad_target},
      {line("GET /\x7f HTTP/1.1"), ErrorCode::bad_target},
      {line("GET /\x0b HTTP/1.1"), ErrorCode::bad_target},
      {line("GET /\0 HTTP/1.1"s), ErrorCode::bad_target},
      {line("GET /a\tb HTTP/1.1"), ErrorCode::bad_target},
      // ---- version --------------------------------------------------------------------------------------
      {line("GET / HTTP/1.0"), ErrorCode::bad_version},
      {line("GET / HTTP/0.9"), ErrorCode::bad_version},
      {line("GET / HTTP/1.2"), ErrorCode::bad_version},
      {line("GET / HTTP/2"), ErrorCode::bad_version},
      {line("GET / HTTP/2.0"), ErrorCode::bad_version},
      {line("PRI * HTTP/2.0"), ErrorCode::bad_version},
      {line("GET / HTTP/1.10"), ErrorCode::bad_version},
      {line("GET / HTTP/01.1"), ErrorCode::bad_version},
      {line("GET / HTTP/1,1"), ErrorCode::bad_version},
      {line("GET / http/1.1"), ErrorCode::bad_version},
      {line("GET / HTTPS/1.1"), ErrorCode::bad_version},
      {line("GET / xHTTP/1.1"), ErrorCode::bad_version},
      {line("GET / HTTP/1.1x"), ErrorCode::bad_version},
      {line("GET / HTTP/1.1\x01"), ErrorCode::bad_version},
      {line("GET / "), ErrorCode::bad_version},
      // ---- lines and folding ----------------------------------------------------------------------------
      {"GET / HTTP/1.1\r\n Host: gateway\r\n\r\n", ErrorCode::folded_header},
      {"GET / HTTP/1.1\r\n\tHost: gateway\r\n\r\n", ErrorCode::folded_header},
      {"GET / HTTP/1.1\r\n \r\nHost: gateway\r\n\r\n", ErrorCode::folded_header},
      {request_with("A: b\r\n c\r\n"), ErrorCode::folded_header},
      {request_with("A: b\r\n\tc\r\n"), ErrorCode::folded_header},
      {request_with("Transfer-Encoding:\r\n chunked\r\n"), ErrorCode::folded_header},
      {request_with("Content-Length: 5\r\n 0\r\n"), ErrorCode::folded_header},
      {request_with("A: b\nTransfer-Encoding: chunked\r\n"), ErrorCode::bare_line_break},
      {request_with("A: b\rTransfer-Encoding: chunked\r\n"), ErrorCode::bare_line_break},
      {request_with("A: b\r\r\n"), ErrorCode::bare_line_break},
      {request_with("A: b\n\r\n"), ErrorCode::bare_line_break},
      {request_with("A\n: b\r\n"), ErrorCode::bare_line_break},
      {request_with("\rA: b\r\n"), ErrorCode::bare_line_break},
      {"GET / HTTP/1.1\r\nHost: gateway\r\n\n", ErrorCode::bare_line_break},
      {"GET / HTTP/1.1\r\nHost: gateway\r\n\rX", ErrorCode::bare_line_break},
      {"GET / HTTP/1.1\r\nHost: gateway\n\r\n", ErrorCode::bare_line_break},
      // ---- names ----------------------------------------------------------------------------------------
      {request_with("Content-Length : 5\r\n"), ErrorCode::bad_header_name},
      {request_with("Content-Length\t: 5\r\n"), ErrorCode::bad_header_name},
      {request_with("Transfer-Encoding : chunked\r\n"), ErrorCode::bad_header_name},
      {request_with("Transfer Encoding: chunked\r\n"), ErrorCode::bad_header_name},
      {request_with(": value\r\n"), ErrorCode::bad_header_name},
      {request_with(":\r\n"), ErrorCode::bad_header_name},
      {request_with("NoColon\r\n"), ErrorCode::bad_header_name},
      {request_with("AVeryLongNameWithoutAnyColonAtAllInIt\r\n"), ErrorCode::bad_header_name},
      {request_with("A(b): c\r\n"), ErrorCode::bad_header_name},
      {request_with("A/b: c\r\n"), ErrorCode::bad_header_name},
      {request_with("A@b: c\r\n"), ErrorCode::bad_header_name},
      {request_with("[A]: c\r\n"), ErrorCode::bad_header_name},
      {request_with("{A}: c\r\n"), ErrorCode::bad_header_name},
      {request_with("\"A\": c\r\n"), ErrorCode::bad_header_name},
      {request_with("A,b: c\r\n"), ErrorCode::bad_header_name},
      {request_with("A;b: c\r\n"), ErrorCode::bad_header_name},
      {request_with("A=b: c\r\n"), ErrorCode::bad_header_name},
      {request_with("A\\b: c\r\n"), ErrorCode::bad_header_name},
      {request_with("Na\xc3\xafve: c\r\n"), ErrorCode::bad_header_name},
      {request_with("\x7fName: c\r\n"), ErrorCode::bad_header_name},
      {request_with("Transfer-Encoding\x0b: chunked\r\n"), ErrorCode::bad_header_name},
      {request_with("Content\0-Length: 5\r\n"s), ErrorCode::bad_header_name},
      {request_with("\0A: b\r\n"s), ErrorCode::bad_header_name},
      {"GET / HTTP/1.1\r\nGET / HTTP/1.1\r\nHost: gateway\r\n\r\n", ErrorCode::bad_header_name},
      // ---- values ---------------------------------------------------------------------------------------
      {request_with("A: b\0c\r\n"s), ErrorCode::bad_header_value},
      {request_with("A: b\x01\r\n"), ErrorCode::bad_header_value},
      {request_with("A: \x08\r\n"), ErrorCode::bad_header_value},
      {request_with("A: b\x0b"
                    "c\r\n"),
       ErrorCode::bad_header_value},
      {request_with("A: b\x0c"
                    "c\r\n"),
       ErrorCode::bad_header_value},
      {request_with("A: b\x1f\r\n"), ErrorCode::bad_header_value},
      {request_with("A: b\x7f\r\n"), ErrorCode::bad_header_value},
      {request_with("Transfer-Encoding: chunked\0\r\n"s), ErrorCode::bad_header_value},
      {request_with("Transfer-Encoding: \x0b"
                    "chunked\r\n"),
       ErrorCode::bad_header_value},
      {request_with("Transfer-Encoding: chunked\xc2\xa0\r\n"), ErrorCode::bad_header_value},
      {request_with("Transfer-Encoding: \xef\xbb\xbf"
                    "chunked\r\n"),
       ErrorCode::bad_header_value},
      {request_with("Content-Length: \xef\xbc\x95\r\n"), ErrorCode::bad_header_value},  // full-width digit
      {request_with("Authorization: Bearer \xff\r\n"), ErrorCode::bad_header_value},
      {request_with("x-weir-scenario: caf\xc3\xa9\r\n"), ErrorCode::bad_header_value},
      {request_with("x-weir-attr-plan: \x80\r\n"), ErrorCode::bad_header_value},
      // ---- Host -----------------------------------------------------------------------------------------
      {"GET / HTTP/1.1\r\n\r\n", ErrorCode::missing_host},
      {"GET / HTTP/1.1\r\nHosts: gateway\r\n\r\n", ErrorCode::missing_host},
      {"GET / HTTP/1.1\r\nX-Host: gateway\r\n\r\n", ErrorCode::missing_host},
      {request_with("Host: gateway\r\n"), ErrorCode::duplicate_host},
      {request_with("Host: other\r\n"), ErrorCode::duplicate_host},
      {request_with("hOsT: gateway\r\n"), ErrorCode::duplicate_host},
      {request_with("A: b\r\nHost:\r\n"), ErrorCode::duplicate_host},
      {"GET / HTTP/1.1\r\nHost:\r\n\r\n", ErrorCode::bad_host},
      {"GET / HTTP/1.1\r\nHost: \t \r\n\r\n", ErrorCode::bad_host},
      {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", ErrorCode::bad_host},
      {"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", ErrorCode::bad_host},
      {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", ErrorCode::bad_host},
      {"GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", ErrorCode::bad_host},
      {"GET / HTTP/1.1\r\nHost: a#b\r\n\r\n", ErrorCode::bad_host},
      {"GET / HTTP/1.1\r\nHost: user@gateway\r\n\r\n", ErrorCode::bad_host},
      {"GET / HTTP/1.1\r\nHost: http://gateway\r\n\r\n", ErrorCode::bad_host},
      {"GET / HTTP/1.1\r\nHost: gateway:\r\n\r\n", ErrorCode::bad_host},
      {"GET / HTTP/1.1\r\nHost: gateway:http\r\n\r\n", ErrorCode::bad_host},
      {"GET / HTTP/1.1\r\nHost: gateway:80:81\r\n\r\n", ErrorCode::bad_host},
      {"GET / HTTP/1.1\r\nHost: gateway:65536\r\n\r\n", ErrorCode::bad_host},
      {"GET / HTTP/1.1\r\nHost: gateway:000080\r\n\r\n", ErrorCode::bad_host},
      {"GET / HTTP/1.1\r\nHost: gateway:-1\r\n\r\n", ErrorCode::bad_host},
      {"GET / HTTP/1.1\r\nHost: :80\r\n\r\n", ErrorCode::bad_host},
      {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", ErrorCode::bad_host},
      {"GET / HTTP/1.1\r\nHost: []\r\n\r\n", ErrorCode::bad_host},
      {"GET / HTTP/1.1\r\nHost: [1.2.3.4]\r\n\r\n", ErrorCode::bad_host},
      {"GET / HTTP/1.1\r\nHost: [::g]\r\n\r\n", ErrorCode::bad_host},
      {"GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", ErrorCode::bad_host},
      {"GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", ErrorCode::bad_host},
      {"GET / HTTP/1.1\r\nHost: a%00b\r\n\r\n", ErrorCode::bad_host},
      // ---- Content-Length -------------------------------------------------------------------------------
      {request_with("Content-Length:\r\n"), ErrorCode::bad_content_length},
      {request_with("Content-Length: +5\r\n"), ErrorCode::bad_content_length},
      {request_with("Content-Length: -5\r\n"), ErrorCode::bad_content_length},
      {request_with("Content-Length: -0\r\n"), ErrorCode::bad_content_length},
      {request_with("Content-Length: 0x5\r\n"), ErrorCode::bad_content_length},
      {request_with("Content-Length: 5e0\r\n"), ErrorCode::bad_content_length},
      {request_with("Content-Length: 5.0\r\n"), ErrorCode::bad_content_length},
      {request_with("Content-Length: 1_0\r\n"), ErrorCode::bad_content_length},
      {request_with("Content-Length: 5 0\r\n"), ErrorCode::bad_content_length},
      {request_with("Content-Length: 5\t0\r\n"), ErrorCode::bad_content_length},
      {request_with("Content-Length: 5,\r\n"), ErrorCode::bad_content_length},
      {request_with("Content-Length: 5, 5\r\n"), ErrorCode::bad_content_length},
      {request_with("Content-Length: 5,0\r\n"), ErrorCode::bad_content_length},
      {request_with("Content-Length: ,5\r\n"), ErrorCode::bad_content_length},
      {request_with("Content-Length: 5;a=b\r\n"), ErrorCode::bad_content_length},
      {request_with("Content-Length: \"5\"\r\n"), ErrorCode::bad_content_length},
      {request_with("Content-Length: five\r\n"), ErrorCode::bad_content_length},
      {request_with("Content-Length: 5\r\nContent-Length: 5\r\n"), ErrorCode::bad_content_length},
      {request_with("Content-Length: 5\r\nContent-Length: 0\r\n"), ErrorCode::bad_content_length},
      {request_with("Content-Length: 5\r\ncontent-length: 6\r\n"), ErrorCode::bad_content_length},
      {request_with("Content-Length: 18446744073709551617\r\n"), ErrorCode::bad_content_length},  // 2^64 + 1
      {request_with("Content-Length: 00000000000000000005\r\n"), ErrorCode::bad_content_length},  // 20 digits
      // ---- Transfer-Encoding ----------------------------------------------------------------------------
      {request_with("Transfer-Encoding:\r\n"), ErrorCode::bad_transfer_encoding},
      {request_with("Transfer-Encoding: xchunked\r\n"), ErrorCode::bad_transfer_encoding},
      {request_with("Transfer-Encoding: chunkedx\r\n"), ErrorCode::bad_transfer_encoding},
      {request_with("Transfer-Encoding: chunk\r\n"), ErrorCode::bad_transfer_encoding},
      {request_with("Transfer-Encoding: chunked,\r\n"), ErrorCode::bad_transfer_encoding},
      {request_with("Transfer-Encoding: ,chunked\r\n"), ErrorCode::bad_transfer_encoding},
      {request_with("Transfer-Encoding: chunked, chunked\r\n"), ErrorCode::bad_transfer_encoding},
      {request_with("Transfer-Encoding: gzip, chunked\r\n"), ErrorCode::bad_transfer_encoding},
      {request_with("Transfer-Encoding: chunked, gzip\r\n"), ErrorCode::bad_transfer_encoding},
      {request_with("Transfer-Encoding: identity\r\n"), ErrorCode::bad_transfer_encoding},
      {request_with("Transfer-Encoding: identity, chunked\r\n"), ErrorCode::bad_transfer_encoding},
      {request_with("Transfer-Encoding: chunked;q=1\r\n"), ErrorCode::bad_transfer_encoding},
      {request_with("Transfer-Encoding: \"chunked\"\r\n"), ErrorCode::bad_transfer_encoding},
      {request_with("Transfer-Encoding: chun ked\r\n"), ErrorCode::bad_transfer_encoding},
      {request_with("Transfer-Encoding: : chunked\r\n"), ErrorCode::bad_transfer_encoding},
      {request_with("Transfer-Encoding: cow\r\n"), ErrorCode::bad_transfer_encoding},
      {request_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
       ErrorCode::bad_transfer_encoding},
      {request_with("Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n"),
       ErrorCode::bad_transfer_encoding},
      {request_with("Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n"),
       ErrorCode::bad_transfer_encoding},
      // ---- both -----------------------------------------------------------------------------------------
      {request_with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), ErrorCode::conflicting_framing},
      {request_with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), ErrorCode::conflicting_framing},
      {request_with("Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n"), ErrorCode::conflicting_framing},
      {request_with("Transfer-Encoding:\r\nContent-Length: 0\r\n"), ErrorCode::conflicting_framing},
      {request_with("Transfer-Encoding: identity\r\nContent-Length: 5\r\n"), ErrorCode::conflicting_framing},
      {request_with("Content-Length: 5\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
       ErrorCode::conflicting_framing},
      // ---- Connection -----------------------------------------------------------------------------------
      {request_with("Connection:\r\n"), ErrorCode::bad_connection_header},
      {request_with("Connection: ,\r\n"), ErrorCode::bad_connection_header},
      {request_with("Connection: close,\r\n"), ErrorCode::bad_connection_header},
      {request_with("Connection: , close\r\n"), ErrorCode::bad_connection_header},
      {request_with("Connection: keep alive\r\n"), ErrorCode::bad_connection_header},
      {request_with("Connection: close;x\r\n"), ErrorCode::bad_connection_header},
      {request_with("Connection: \"close\"\r\n"), ErrorCode::bad_connection_header},
      {request_with("Connection: content-length\r\n"), ErrorCode::bad_connection_header},
      {request_with("Connection: keep-alive, Content-Length\r\n"), ErrorCode::bad_connection_header},
      {request_with("Connection: close, transfer-encoding\r\n"), ErrorCode::bad_connection_header},
      {request_with("Connection: host\r\n"), ErrorCode::bad_connection_header},
      {request_with("Connection: Authorization\r\n"), ErrorCode::bad_connection_header},
      {request_with("Connection: x-weir-tenant\r\n"), ErrorCode::bad_connection_header},
      {request_with("Connection: x-weir-attr-plan\r\n"), ErrorCode::bad_connection_header},
      {request_with("Connection: cookie\r\n"), ErrorCode::bad_connection_header},
      {request_with("Connection: close\r\nConnection: expect\r\n"), ErrorCode::bad_connection_header},
      // ---- Expect ---------------------------------------------------------------------------------------
      {request_with("Expect:\r\n"), ErrorCode::bad_expectation},
      {request_with("Expect: 100\r\n"), ErrorCode::bad_expectation},
      {request_with("Expect: 200-ok\r\n"), ErrorCode::bad_expectation},
      {request_with("Expect: 100-continue, x\r\n"), ErrorCode::bad_expectation},
      {request_with("Expect: y 100-continue\r\n"), ErrorCode::bad_expectation},
      {request_with("Expect: 100-continue\r\nExpect: 100-continue\r\n"), ErrorCode::bad_expectation},
      // ---- Content-Encoding -----------------------------------------------------------------------------
      {request_with("Content-Encoding: gzip\r\n"), ErrorCode::unsupported_content_encoding},
      {request_with("Content-Encoding:\r\n"), ErrorCode::unsupported_content_encoding},
      {request_with("Content-Encoding: identity, gzip\r\n"), ErrorCode::unsupported_content_encoding},
      {request_with("Content-Encoding: identity\r\nContent-Encoding: br\r\n"),
       ErrorCode::unsupported_content_encoding},
      // ---- bodies where none belongs --------------------------------------------------------------------
      {request_with("Content-Length: 5\r\n", "GET"), ErrorCode::unexpected_body},
      {request_with("Content-Length: 5\r\n", "HEAD"), ErrorCode::unexpected_body},
      {request_with("Transfer-Encoding: chunked\r\n", "GET"), ErrorCode::unexpected_body},
      {request_with("Transfer-Encoding: chunked\r\n", "HEAD"), ErrorCode::unexpected_body},
  };
  return cases;
}

TEST(RequestCorpus, RefusesEveryBadHeadForItsReason) {
  for (const BadRequest& bad : corpus())
    EXPECT_EQ(parse_request(bad.text), verdict_of(bad.code)) << ::testing::PrintToString(bad.text);
}

TEST(RequestCorpus, IsLargeAndWithoutRepetition) {
  std::set<std::string> texts;
  for (const BadRequest& bad : corpus()) texts.insert(bad.text);
  EXPECT_EQ(texts.size(), corpus().size());
  EXPECT_GE(texts.size(), 120u);
}

// A refused head stays refused whatever follows it: nothing after the fault can repair it.
TEST(RequestCorpus, IsRefusedJustTheSameWithABodyBehind) {
  for (const BadRequest& bad : corpus()) {
    const std::string text = bad.text + "0\r\n\r\nGET /admin HTTP/1.1\r\nHost: gateway\r\n\r\n";
    EXPECT_EQ(parse_at(RequestHeadParser(), text, {text.size()}), verdict_of(bad.code))
        << ::testing::PrintToString(bad.text);
  }
}

// The same faults in front of a provider's fields: one code, whatever they are.
TEST(RequestCorpus, FaultsOfFieldsAreRefusedInResponsesToo) {
  for (const BadRequest& bad : corpus()) {
    switch (bad.code) {
      case ErrorCode::bare_line_break:
      case ErrorCode::folded_header:
      case ErrorCode::bad_header_name:
      case ErrorCode::bad_header_value:
      case ErrorCode::bad_content_length:
      case ErrorCode::bad_transfer_encoding:
      case ErrorCode::conflicting_framing:
      case ErrorCode::bad_connection_header:
        break;
      default:
        continue;
    }
    const size_t first_line = bad.text.find(" HTTP/1.1\r\n");
    if (first_line > bad.text.find_first_of("\r\n")) continue;  // the fault is in the request line
    const std::string text = "HTTP/1.1 200 OK\r\n" + bad.text.substr(first_line + 11);
    EXPECT_EQ(parse_response(text), verdict_of(ErrorCode::upstream_malformed))
        << ::testing::PrintToString(text);
  }
}

}  // namespace
}  // namespace weir::net
