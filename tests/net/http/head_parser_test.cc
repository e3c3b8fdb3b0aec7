#include "net/http/head_parser.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "core/limits.h"
#include "tests/net/http/head_fixture.h"

namespace weir::net {
namespace {

using core::ErrorCode;
using core::limits::kMaxHeadBytes;
using core::limits::kMaxHeaders;
using core::limits::kMaxTargetBytes;

// Whole only, for texts too long to try every way.
Verdict request_at_once(std::string_view text) {
  return parse_at(RequestHeadParser(), text, {text.size()});
}
Verdict response_at_once(std::string_view text) {
  return parse_at(ResponseHeadParser(), text, {text.size()});
}

// In pieces of `step` bytes.
template <class Parser>
Verdict in_steps(const Parser& parser, std::string_view text, size_t step) {
  std::vector<size_t> ends;
  for (size_t end = step; end < text.size(); end += step) ends.push_back(end);
  ends.push_back(text.size());
  return parse_at(parser, text, ends);
}

// ---- requests ---------------------------------------------------------------------------------------

TEST(RequestHeadParser, ReadsTheSmallestRequest) {
  EXPECT_EQ(parse_request("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "done 27 GET / none keep [Host=a]");
}

TEST(RequestHeadParser, ReadsAnSdkRequest) {
  EXPECT_EQ(parse_request("POST /v1/chat/completions?api-version=1 HTTP/1.1\r\n"
                          "host: gateway.internal:8080\r\n"
                          "connection: keep-alive\r\n"
                          "content-length: 1024\r\n"
                          "content-type: application/json\r\n"
                          "x-stainless-runtime-version: v22.14.0\r\n"
                          "authorization: Bearer sk-0123456789\r\n"
                          "\r\n"),
            "done 235 POST /v1/chat/completions?api-version=1 length 1024 keep [host=gateway.internal:8080]"
            " [connection=keep-alive] [content-length=1024] [content-type=application/json]"
            " [x-stainless-runtime-version=v22.14.0] [authorization=Bearer sk-0123456789]");
}

TEST(RequestHeadParser, KnowsTheMethods) {
  const std::pair<std::string_view, Method> methods[] = {
      {"GET", Method::get},         {"POST", Method::post},      {"PUT", Method::put},
      {"PATCH", Method::patch},     {"DELETE", Method::delete_}, {"HEAD", Method::head},
      {"OPTIONS", Method::options}, {"get", Method::other},      {"POSTS", Method::other},
      {"TRACE", Method::other},     {"M-SEARCH", Method::other}, {"ABCDEFGHIJKLMNOPQRST", Method::other},
  };
  for (const auto& [name, method] : methods) {
    const std::string text = request_with("", name);
    RequestHeadParser parser;
    const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
    ASSERT_EQ(parser.parse({bytes, text.size()}), ParseStatus::done) << name;
    EXPECT_EQ(parser.head().method, method) << name;
    EXPECT_EQ(parser.head().method_text.view(bytes), name);
    EXPECT_EQ(method_name(method), method == Method::other ? "" : name);
  }
  EXPECT_EQ(method_name(Method::other), "");
}

TEST(RequestHeadParser, TrimsWhiteSpaceAroundValuesOnly) {
  EXPECT_EQ(
      parse_request(
          request_with("A:b\r\nB: \t c\r\nC: d \t\r\nD:   e  f \t g   \r\nE:\r\nF: \r\nG:\t\t\r\n")),
      "done 107 POST /v1/chat/completions none keep [Host=gateway] [A=b] [B=c] [C=d] [D=e  f \t g] [E=] "
      "[F=] [G=]");
}

TEST(RequestHeadParser, TakesEveryTokenCharacterInNames) {
  EXPECT_EQ(
      parse_request(
          request_with("!#$%&'*+-.^_`|~: b\r\nx_under_score: c\r\nA.long_name.with|odd~characters: d\r\n")),
      "done 127 POST /v1/chat/completions none keep [Host=gateway] [!#$%&'*+-.^_`|~=b] [x_under_score=c]"
      " [A.long_name.with|odd~characters=d]");
}

TEST(RequestHeadParser, TakesTextBeyondAsciiWhereItSteersNothing) {
  EXPECT_EQ(parse_request(request_with("User-Agent: caf\xc3\xa9\r\nX-Name: \xff\x80\r\nA: b\r\n")),
            "done 90 POST /v1/chat/completions none keep [Host=gateway] [User-Agent=caf\xc3\xa9] "
            "[X-Name=\xff\x80] [A=b]");
  // The line before must not be held against the next.
  EXPECT_EQ(
      parse_request(request_with("X-Name: \xc3\xa9\r\nContent-Length: 5\r\n")),
      "done 84 POST /v1/chat/completions length 5 keep [Host=gateway] [X-Name=\xc3\xa9] [Content-Length=5]");
}

TEST(RequestHeadParser, TakesEveryFormOfHost) {
  for (const std::string host :
       {"a", "gateway.internal", "gateway:8080", "1.2.3.4", "1.2.3.4:80", "[::1]", "[::1]:443",
        "[fe80::1.2.3.4]", "under_score.example", "xn--bcher-kva.example", "a:0", "a:65535",
        "a-name-that-is-much-longer-than-sixteen-bytes.example.org:65535"})
    EXPECT_TRUE(parse_request("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n").starts_with("done")) << host;
}

TEST(RequestHeadParser, ReadsFraming) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "none keep"},
      {"Content-Length: 0\r\n", "length 0 keep"},
      {"CONTENT-LENGTH:5\r\n", "length 5 keep"},
      {"Content-Length: 0005\r\n", "length 5 keep"},
      {"Content-Length: 9999999999999999999\r\n", "length 9999999999999999999 keep"},
      {"Transfer-Encoding: chunked\r\n", "chunked keep"},
      {"transfer-encoding: Chunked\r\n", "chunked keep"},
      {"Transfer-Encoding:   chunked  \r\n", "chunked keep"},
      {"X-Transfer-Encoding: cow\r\nTransfer_Encoding: cow\r\n", "none keep"},
  };
  for (const auto& [lines, expected] : cases)
    EXPECT_NE(parse_request(request_with(lines)).find(" " + expected), std::string::npos) << lines;
}

TEST(RequestHeadParser, ReadsConnection) {
  const std::pair<std::string, std::string> cases[] = {
      {"", " keep"},
      {"Connection: keep-alive\r\n", " keep"},
      {"Connection: Keep-Alive\r\n", " keep"},
      {"Connection: close\r\n", " close"},
      {"Connection: CLOSE\r\n", " close"},
      {"Connection: keep-alive, close\r\n", " close"},
      {"Connection: close , keep-alive\r\n", " close"},
      {"Connection: keep-alive\r\nA: b\r\nConnection: close\r\n", " close"},
      {"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n", " keep"},
      {"Connection: TE\r\nTE: trailers\r\n", " keep"},
      {"Proxy-Connection: close\r\n", " keep"},
      {"Keep-Alive: timeout=5\r\n", " keep"},
  };
  for (const auto& [lines, expected] : cases)
    EXPECT_TRUE(parse_request(request_with(lines)).find(" none" + expected + " ") != std::string::npos)
        << lines;
}

TEST(RequestHeadParser, ReadsExpectOnlyBeforeABody) {
  EXPECT_NE(parse_request(request_with("Content-Length: 5\r\nExpect: 100-continue\r\n")).find(" expect "),
            std::string::npos);
  EXPECT_NE(
      parse_request(request_with("Transfer-Encoding: chunked\r\nExpect: 100-Continue\r\n")).find(" expect "),
      std::string::npos);
  EXPECT_EQ(parse_request(request_with("Content-Length: 0\r\nExpect: 100-continue\r\n")).find(" expect "),
            std::string::npos);
  EXPECT_EQ(parse_request(request_with("Expect: 100-continue\r\n")).find(" expect "), std::string::npos);
}

TEST(RequestHeadParser, AcceptsIdentityAndEmptyBodiesWhereTheyMeanNothing) {
  EXPECT_TRUE(parse_request(request_with("Content-Encoding: identity\r\n")).starts_with("done"));
  EXPECT_TRUE(parse_request(request_with("Content-Length: 0\r\n", "GET")).starts_with("done"));
  EXPECT_TRUE(parse_request(request_with("Content-Length: 0\r\n", "HEAD")).starts_with("done"));
  EXPECT_TRUE(parse_request(request_with("Content-Length: 5\r\n", "DELETE")).starts_with("done"));
}

TEST(RequestHeadParser, LeavesWhatFollowsTheHeadAlone) {
  const std::string head = request_with("Content-Length: 5\r\n");
  const std::string alone = parse_request(head);
  EXPECT_EQ(parse_request(head + "hello"), alone);
  EXPECT_EQ(parse_request(head + std::string(200, '\0')), alone);
  EXPECT_EQ(parse_request(head + "\r\n\r\n\x01\n"), alone);
}

TEST(RequestHeadParser, AsksForMoreUntilTheEmptyLine) {
  const std::string head = request_with("A: b\r\n");
  for (size_t size = 0; size < head.size(); ++size)
    EXPECT_EQ(parse_at(RequestHeadParser(), head, {size}), "need_more") << size;
}

TEST(RequestHeadParser, FindsFieldsByIdAndCountsThem) {
  const std::string text = request_with("X-Weir-Attr-Plan: pro\r\nX-Other: x\r\nx-weir-attr-region: eu\r\n");
  const auto* base = reinterpret_cast<const uint8_t*>(text.data());
  RequestHeadParser parser;
  ASSERT_EQ(parser.parse({base, text.size()}), ParseStatus::done);
  const FieldTable& fields = parser.head().fields;
  EXPECT_EQ(fields.size(), 4u);
  EXPECT_EQ(fields.value(HeaderId::host, base), "gateway");
  EXPECT_EQ(fields.count(HeaderId::weir_attribute), 2u);
  EXPECT_EQ(fields.find(HeaderId::weir_attribute)->name(base), "X-Weir-Attr-Plan");
  EXPECT_EQ(fields.find(HeaderId::other)->value(base), "x");
  EXPECT_EQ(fields.find(HeaderId::authorization), nullptr);
  EXPECT_EQ(fields.value(HeaderId::authorization, base), "");
  EXPECT_EQ(fields.count(HeaderId::authorization), 0u);
}

TEST(RequestHeadParser, StartsAfreshAfterReset) {
  const std::string first =
      request_with("Content-Length: 5\r\nConnection: close\r\nExpect: 100-continue\r\n");
  const std::string second = "GET /healthz HTTP/1.1\r\nHost: b\r\n\r\n";
  RequestHeadParser parser;
  ASSERT_EQ(parser.parse({reinterpret_cast<const uint8_t*>(first.data()), first.size()}), ParseStatus::done);
  parser.reset();
  EXPECT_EQ(parse_at(parser, second, {10, second.size()}), "done 34 GET /healthz none keep [Host=b]");
  parser.reset();
  EXPECT_FALSE(parser.parse({reinterpret_cast<const uint8_t*>("\n"), 1}).has_value());
  parser.reset();
  EXPECT_EQ(parse_at(parser, second, {second.size()}), "done 34 GET /healthz none keep [Host=b]");
}

TEST(RequestHeadParser, NamesTheFieldAtFault) {
  const std::string text = request_with("Content-Length: x\r\n");
  RequestHeadParser parser;
  const auto status = parser.parse({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  ASSERT_FALSE(status.has_value());
  EXPECT_STREQ(status.error().param, "content-length");
}

// ---- limits -----------------------------------------------------------------------------------------

std::string request_of_size(size_t size) {
  std::string text = request_with("A: \r\n");
  text.insert(text.size() - 4, size - text.size(), 'x');
  return text;
}

TEST(RequestHeadParser, TakesAHeadOfMaxHeadBytesAndNoMore) {
  const std::string largest = request_of_size(kMaxHeadBytes);
  EXPECT_TRUE(request_at_once(largest).starts_with("done " + std::to_string(kMaxHeadBytes)));
  EXPECT_TRUE(request_at_once(largest + "body").starts_with("done"));
  EXPECT_TRUE(in_steps(RequestHeadParser(), largest, 1000).starts_with("done"));
  EXPECT_EQ(request_at_once(largest.substr(0, kMaxHeadBytes - 1)), "need_more");

  const std::string larger = request_of_size(kMaxHeadBytes + 1);
  EXPECT_EQ(request_at_once(larger), "head_too_large");
  EXPECT_EQ(request_at_once(larger + "body"), "head_too_large");
  EXPECT_EQ(in_steps(RequestHeadParser(), larger, 1000), "head_too_large");
  EXPECT_EQ(request_at_once(larger.substr(0, kMaxHeadBytes)), "head_too_large");
}

TEST(RequestHeadParser, TakesMaxHeadersFieldsAndNoMore) {
  std::string lines;
  for (unsigned i = 1; i < kMaxHeaders; ++i) lines += "A: b\r\n";
  EXPECT_TRUE(request_at_once(request_with(lines)).starts_with("done"));
  EXPECT_EQ(request_at_once(request_with(lines + "A: b\r\n")), "too_many_headers");
  EXPECT_EQ(in_steps(RequestHeadParser(), request_with(lines + "A: b\r\n"), 7), "too_many_headers");
}

TEST(RequestHeadParser, TakesATargetOfMaxTargetBytesAndNoMore) {
  const auto with_target = [](size_t size) {
    return "GET /" + std::string(size - 1, 'x') + " HTTP/1.1\r\nHost: a\r\n\r\n";
  };
  EXPECT_TRUE(request_at_once(with_target(kMaxTargetBytes)).starts_with("done"));
  for (const size_t size : {size_t{kMaxTargetBytes} + 1, size_t{kMaxTargetBytes} + 18,
                            size_t{2 * kMaxTargetBytes}, size_t{2 * kMaxHeadBytes}}) {
    EXPECT_EQ(request_at_once(with_target(size)), "target_too_long") << size;
    EXPECT_EQ(in_steps(RequestHeadParser(), with_target(size), 100), "target_too_long") << size;
  }
  // Refused as soon as no valid line can come of it, not when the head is full.
  EXPECT_EQ(request_at_once("GET /" + std::string(kMaxTargetBytes + 40, 'x')), "target_too_long");
}

TEST(RequestHeadParser, TakesAMethodOfMaxMethodBytesAndNoMore) {
  EXPECT_TRUE(request_at_once(request_with("", std::string(kMaxMethodBytes, 'M'))).starts_with("done"));
  EXPECT_EQ(request_at_once(request_with("", std::string(kMaxMethodBytes + 1, 'M'))), "bad_method");
  EXPECT_EQ(request_at_once(std::string(3 * kMaxTargetBytes, 'M')), "bad_method");
}

// ---- responses --------------------------------------------------------------------------------------

TEST(ResponseHeadParser, ReadsAResponse) {
  EXPECT_EQ(parse_response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Request-Id: a\r\n\r\nhello"),
            "done 55 200 length 5 keep [Content-Length=5] [X-Request-Id=a]");
  EXPECT_EQ(parse_response(response_with("transfer-encoding: chunked\r\n")),
            "done 47 200 chunked keep [transfer-encoding=chunked]");
}

TEST(ResponseHeadParser, TakesAnyReasonPhrase) {
  EXPECT_TRUE(
      parse_response("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n").starts_with("done 36 200 length 0"));
  EXPECT_TRUE(
      parse_response("HTTP/1.1 429 Too  Many\tRequests\r\nContent-Length: 0\r\n\r\n").starts_with("done"));
  EXPECT_TRUE(parse_response("HTTP/1.1 529 \xc3\x9c"
                             "berlast\r\nContent-Length: 0\r\n\r\n")
                  .starts_with("done"));
}

TEST(ResponseHeadParser, RefusesEveryOtherStatusLine) {
  for (const std::string status_line : {"HTTP/1.0 200 OK",
                                        "HTTP/2 200",
                                        "HTTP/1.2 200 OK",
                                        "http/1.1 200 OK",
                                        "HTTP/1.1 200",
                                        "HTTP/1.1  200 OK",
                                        "HTTP/1.1 20 OK",
                                        "HTTP/1.1 2000 OK",
                                        "HTTP/1.1 2x0 OK",
                                        "HTTP/1.1 099 OK",
                                        "HTTP/1.1 600 OK",
                                        "HTTP/1.1 999 OK",
                                        "HTTP/1.1 -20 OK",
                                        "HTTP/1.1 101 Switching Protocols",
                                        "HTTP/1.1\t200\tOK",
                                        "HTTP/1.1 200\tOK",
                                        " HTTP/1.1 200 OK",
                                        "",
                                        "HTTP/1.1",
                                        "ICY 200 OK",
                                        "HTTP/1.1 200 O\x01K",
                                        "HTTP/1.1 200 \x7f",
                                        "HTTP/1.1 200 OK\n",
                                        "HTTP/1.1 200 OK\r"})
    EXPECT_EQ(parse_response(status_line + "\r\nContent-Length: 0\r\n\r\n"), "upstream_malformed")
        << status_line;
}

TEST(ResponseHeadParser, FindsTheBodyByItsRules) {
  const struct {
    std::string status;
    std::string lines;
    Method method;
    std::string expected;
  } cases[] = {
      {"200 OK", "", Method::post, "until_close close"},
      {"200 OK", "Connection: keep-alive\r\n", Method::post, "until_close close"},
      {"200 OK", "Content-Length: 7\r\n", Method::post, "length 7 keep"},
      {"200 OK", "Content-Length: 7\r\nConnection: close\r\n", Method::post, "length 7 close"},
      {"200 OK", "Content-Length: 0\r\n", Method::post, "length 0 keep"},
      {"200 OK", "Transfer-Encoding: CHUNKED\r\n", Method::post, "chunked keep"},
      {"500 Oh", "Content-Length: 7\r\n", Method::get, "length 7 keep"},
      {"200 OK", "Content-Length: 7\r\n", Method::head, "none keep"},
      {"200 OK", "Transfer-Encoding: chunked\r\n", Method::head, "none keep"},
      {"200 OK", "", Method::head, "none keep"},
      {"304 Not Modified", "Content-Length: 7\r\n", Method::get, "none keep"},
      {"304 Not Modified", "", Method::get, "none keep"},
      {"204 No Content", "", Method::post, "none keep"},
      {"204 No Content", "Content-Length: 0\r\n", Method::post, "none keep"},
      {"100 Continue", "", Method::post, "none keep"},
      {"103 Early Hints", "Link: </a>\r\n", Method::post, "none keep"},
  };
  for (const auto& [status, lines, method, expected] : cases)
    EXPECT_NE(parse_response(response_with(lines, status), method).find(" " + expected), std::string::npos)
        << status << " " << lines;
}

TEST(ResponseHeadParser, RefusesABodyWhereNoneMayBe) {
  for (const std::string status : {"100 Continue", "103 Early Hints", "204 No Content"})
    for (const std::string lines : {"Content-Length: 7\r\n", "Transfer-Encoding: chunked\r\n"})
      EXPECT_EQ(parse_response(response_with(lines, status)), "upstream_malformed") << status << " " << lines;
}

TEST(ResponseHeadParser, ReadsAFinalHeadBehindAnInterimOne) {
  const std::string interim = "HTTP/1.1 100 Continue\r\n\r\n";
  const std::string text = interim + "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
  const auto* base = reinterpret_cast<const uint8_t*>(text.data());
  ResponseHeadParser parser;
  ASSERT_EQ(parser.parse({base, text.size()}), ParseStatus::done);
  EXPECT_TRUE(parser.head().interim());
  EXPECT_EQ(parser.head_size(), interim.size());
  parser.reset(Method::post);
  ASSERT_EQ(parser.parse({base + interim.size(), text.size() - interim.size()}), ParseStatus::done);
  EXPECT_FALSE(parser.head().interim());
  EXPECT_EQ(parser.head().framing, (Framing{BodyKind::content_length, 5}));
}

TEST(ResponseHeadParser, HoldsToMaxHeadBytesAndMaxHeaders) {
  std::string lines = "Content-Length: 0\r\n";
  for (unsigned i = 1; i < kMaxHeaders; ++i) lines += "A: b\r\n";
  EXPECT_TRUE(response_at_once(response_with(lines)).starts_with("done"));
  EXPECT_EQ(response_at_once(response_with(lines + "A: b\r\n")), "upstream_head_too_large");

  const size_t frame = response_with("A: \r\n").size();
  const auto of_size = [&](size_t size) {
    return response_with("A: " + std::string(size - frame, 'x') + "\r\n");
  };
  EXPECT_TRUE(response_at_once(of_size(kMaxHeadBytes)).starts_with("done"));
  EXPECT_EQ(response_at_once(of_size(kMaxHeadBytes + 1)), "upstream_head_too_large");
  EXPECT_EQ(response_at_once("HTTP/1.1 200 " + std::string(kMaxHeadBytes, 'x')), "upstream_head_too_large");
}

}  // namespace
}  // namespace weir::net
