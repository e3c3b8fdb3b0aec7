// What the real gateway does with requests that are malformed, ambiguous, too large, or not allowed: the exact
// answer, the end of the connection where one is due, and not a byte to the provider.
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/limits.h"
#include "tests/integration/gateway_fixture.h"

namespace weir::tests::protocol_test {
namespace {

using core::ErrorCode;
namespace limits = core::limits;

constexpr uint32_t kBodyBytes = 4096;  // limits.max_body_bytes of the gateway under test

std::string table(uint16_t provider) {
  return R"({"providers":{"p":{"dialect":"openai","base_url":"http://127.0.0.1:)" + std::to_string(provider) + R"(/v1"}},
    "models":{"m":{"provider":"p","tier":"economy","price":{"input":1,"output":2}}},
    "units":{"u":{"model":"m"}},
    "scenarios":{"chat":{"stable":"u"}},
    "attributes":{"plan":["free","pro"]},
    "tenants":{"t-1":{},"t-2":{}},
    "keys":[{"id":"k","tenant":"t-1","hash":")" + key_hash() + R"("}]})";
}

const std::string kRequestLine = "POST /v1/chat/completions HTTP/1.1\r\n";
const std::string kHost = "host: weir\r\n";
const std::string kKey = "authorization: Bearer " + std::string(kClientKey) + "\r\n";
const std::string kType = "content-type: application/json\r\n";
const std::string kGoodBody = R"({"model":"chat","messages":[{"role":"user","content":"hello"}]})";

std::string length(size_t size) { return "content-length: " + std::to_string(size) + "\r\n"; }
std::string chunk(std::string_view bytes) {
  char size[32];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  return size + std::string(bytes) + "\r\n";
}
// A good request but for what is given.
std::string with_body(const std::string& body) {
  return kRequestLine + kHost + kKey + kType + length(body.size()) + "\r\n" + body;
}
std::string with_headers(const std::string& headers) {
  return kRequestLine + kHost + kKey + kType + headers + length(kGoodBody.size()) + "\r\n" + kGoodBody;
}
std::string with_framing(const std::string& headers_and_body) {
  return kRequestLine + kHost + kKey + kType + headers_and_body;
}
std::string with_host(const std::string& hosts) {
  return kRequestLine + hosts + kKey + kType + length(kGoodBody.size()) + "\r\n" + kGoodBody;
}
std::string with_credentials(const std::string& headers) {
  return kRequestLine + kHost + kType + headers + length(kGoodBody.size()) + "\r\n" + kGoodBody;
}
std::string with_line(const std::string& line) {
  return line + "\r\n" + kHost + kKey + kType + length(kGoodBody.size()) + "\r\n" + kGoodBody;
}

struct Refusal {
  const char* what;
  std::string request;
  int status;
  ErrorCode error;
  const char* param = nullptr;
};

class Protocol : public ::testing::Test {
 protected:
  explicit Protocol(const std::string& more_limits = "")
      : gateway_(table(provider_.port()),
                 "limits: { max_body_bytes: " + std::to_string(kBodyBytes) + more_limits + " }\n") {}
  void SetUp() override { ASSERT_NE(gateway_.port(), 0); }

  // The error as the SDKs read it: four keys, and the words of the error table.
  void expect_error(const Answer& answer, int status, ErrorCode error, const char* param) {
    const core::ErrorInfo& info = core::describe(error);
    EXPECT_EQ(answer.status, status) << answer.head << answer.body;
    EXPECT_EQ(info.status, status);
    EXPECT_EQ(answer.header("content-type"), "application/json");
    EXPECT_EQ(answer.header("x-request-id").size(), 32u);
    const auto body = nlohmann::json::parse(answer.body, nullptr, false);
    ASSERT_TRUE(body.is_object() && body.size() == 1 && body.contains("error")) << answer.body;
    const auto text = [](std::string_view value) { return value.empty() ? nlohmann::json() : nlohmann::json(value); };
    const nlohmann::json expected = {{"message", info.sentence},
                                     {"type", info.type},
                                     {"param", text(param == nullptr ? "" : param)},
                                     {"code", text(info.code)}};
    EXPECT_EQ(body["error"], expected);
    if (status >= 500 || status == 408) {
      EXPECT_EQ(answer.header("x-should-retry"), "false");
    }
  }
  // Each on a connection of its own that ends with the answer, although a good request follows.
  void expect_refused_and_closed(const std::vector<Refusal>& refusals) {
    for (const Refusal& refusal : refusals) {
      SCOPED_TRACE(refusal.what);
      BlockingClient client(gateway_.port());
      client.send(refusal.request + chat_request());
      const Answer answer = client.receive();
      expect_error(answer, refusal.status, refusal.error, refusal.param);
      EXPECT_EQ(answer.header("connection"), "close");
      EXPECT_TRUE(client.ends()) << "what came behind was read";
    }
    expect_nothing_got_through();
  }
  // All on one connection, which goes on.
  void expect_refused(const std::vector<Refusal>& refusals) {
    BlockingClient client(gateway_.port());
    for (const Refusal& refusal : refusals) {
      SCOPED_TRACE(refusal.what);
      ASSERT_TRUE(client.send(refusal.request));
      const Answer answer = client.receive();
      expect_error(answer, refusal.status, refusal.error, refusal.param);
      EXPECT_EQ(answer.header("connection"), "");
    }
    expect_nothing_got_through();
  }
  // What reached the provider would have reached it before this.
  void expect_nothing_got_through() {
    BlockingClient client(gateway_.port());
    client.send(chat_request());
    EXPECT_EQ(client.receive().status, 200);
    EXPECT_EQ(provider_.requests(), 1u) << "a refused request reached the provider";
  }

  EchoProvider provider_;
  Gateway gateway_;
};

TEST_F(Protocol, RefusesMalformedHeads) {
  expect_refused_and_closed({
      {"LF alone after the request line", "POST /v1/chat/completions HTTP/1.1\n" + kHost + "\r\n", 400,
       ErrorCode::bare_line_break},
      {"LF alone after a field", kRequestLine + "host: weir\n" + kKey + "\r\n", 400, ErrorCode::bare_line_break},
      {"CR alone in a value", with_headers("x-a: b\rx-c: d\r\n"), 400, ErrorCode::bare_line_break},
      {"folded line", with_headers("x-a: b\r\n c\r\n"), 400, ErrorCode::folded_header},
      {"space before the colon", with_headers("x-a : b\r\n"), 400, ErrorCode::bad_header_name},
      {"no colon", with_headers("x-a\r\n"), 400, ErrorCode::bad_header_name},
      {"no name", with_headers(": b\r\n"), 400, ErrorCode::bad_header_name},
      {"NUL in a value", with_headers(std::string("x-a: b\0c\r\n", 10)), 400, ErrorCode::bad_header_value},
      {"text in a field that decides", with_headers("x-weir-user: \xc3\xa9\r\n"), 400, ErrorCode::bad_header_value},
      {"empty request line", "\r\n", 400, ErrorCode::bad_request_line},
      {"no version", with_line("POST /v1/chat/completions"), 400, ErrorCode::bad_request_line},
      {"two spaces", with_line("POST  /v1/chat/completions HTTP/1.1"), 400, ErrorCode::bad_request_line},
      {"method of other characters", with_line("P@ST /v1/chat/completions HTTP/1.1"), 400, ErrorCode::bad_method},
      {"absolute target", with_line("POST http://evil.example/v1/chat/completions HTTP/1.1"), 400,
       ErrorCode::bad_target},
      {"asterisk", with_line("OPTIONS * HTTP/1.1"), 400, ErrorCode::bad_target},
      {"TLS hello", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) + "\r\n", 400,
       ErrorCode::bad_method},
      {"HTTP/1.0", with_line("POST /v1/chat/completions HTTP/1.0"), 505, ErrorCode::bad_version},
      {"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, ErrorCode::bad_version},
      {"lower case version", with_line("POST /v1/chat/completions http/1.1"), 505, ErrorCode::bad_version},
      {"no host", with_host(""), 400, ErrorCode::missing_host, "host"},
      {"two hosts", with_host(kHost + kHost), 400, ErrorCode::duplicate_host, "host"},
      {"a host that is none", with_host("host: a/b\r\n"), 400, ErrorCode::bad_host, "host"},
      {"an empty host", with_host("host:\r\n"), 400, ErrorCode::bad_host, "host"},
      {"connection names the framing", with_headers("connection: close, content-length\r\n"), 400,
       ErrorCode::bad_connection_header, "connection"},
  });
}

TEST_F(Protocol, RefusesHeadsThatAreTooLarge) {
  std::string many = kRequestLine + kHost + kKey + kType;
  for (uint32_t count = 3; count < limits::kMaxHeaders; ++count) many += "x-" + std::to_string(count) + ": 1\r\n";
  expect_refused_and_closed({
      {"target", with_line("POST /" + std::string(limits::kMaxTargetBytes, 'a') + " HTTP/1.1"), 414,
       ErrorCode::target_too_long},
      {"head", with_headers("x-a: " + std::string(limits::kMaxHeadBytes, 'a') + "\r\n"), 431,
       ErrorCode::head_too_large},
      {"fields", many + length(kGoodBody.size()) + "\r\n" + kGoodBody, 431, ErrorCode::too_many_headers},
  });
}

TEST_F(Protocol, TakesHeadsUpToTheirLimits) {
  std::string many = kRequestLine + kHost + kKey + kType;
  for (uint32_t count = 4; count < limits::kMaxHeaders; ++count) many += "x-" + std::to_string(count) + ": 1\r\n";
  const std::string around = with_headers("x-a: \r\n");
  const size_t room = limits::kMaxHeadBytes - (around.size() - kGoodBody.size());
  BlockingClient client(gateway_.port());
  for (const std::string& request : {many + length(kGoodBody.size()) + "\r\n" + kGoodBody,
                                     with_headers("x-a: " + std::string(room, 'a') + "\r\n")}) {
    ASSERT_TRUE(client.send(request));
    EXPECT_EQ(client.receive().status, 200);
  }
}

TEST_F(Protocol, RefusesAmbiguousFraming) {
  const std::string chunked = "transfer-encoding: chunked\r\n";
  expect_refused_and_closed({
      {"length and coding", with_framing(length(5) + chunked + "\r\n0\r\n\r\n"), 400, ErrorCode::conflicting_framing,
       "transfer-encoding"},
      {"coding and length", with_framing(chunked + length(5) + "\r\n0\r\n\r\n"), 400, ErrorCode::conflicting_framing,
       "transfer-encoding"},
      {"two lengths", with_framing(length(5) + length(6) + "\r\nhello"), 400, ErrorCode::bad_content_length,
       "content-length"},
      {"the same length twice", with_framing(length(5) + length(5) + "\r\nhello"), 400, ErrorCode::bad_content_length,
       "content-length"},
      {"a list of lengths", with_framing("content-length: 5, 5\r\n\r\nhello"), 400, ErrorCode::bad_content_length,
       "content-length"},
      {"a sign", with_framing("content-length: +5\r\n\r\nhello"), 400, ErrorCode::bad_content_length, "content-length"},
      {"hexadecimal", with_framing("content-length: 0x5\r\n\r\nhello"), 400, ErrorCode::bad_content_length,
       "content-length"},
      {"more than 64 bits", with_framing("content-length: 18446744073709551621\r\n\r\nhello"), 400,
       ErrorCode::bad_content_length, "content-length"},
      {"another coding", with_framing("transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 400,
       ErrorCode::bad_transfer_encoding, "transfer-encoding"},
      {"the coding twice", with_framing(chunked + chunked + "\r\n0\r\n\r\n"), 400, ErrorCode::bad_transfer_encoding,
       "transfer-encoding"},
      {"identity", with_framing("transfer-encoding: identity\r\n\r\nhello"), 400, ErrorCode::bad_transfer_encoding,
       "transfer-encoding"},
      {"a size that is no number", with_framing(chunked + "\r\nxyz\r\n"), 400, ErrorCode::bad_chunk},
      {"a size of 65 bits", with_framing(chunked + "\r\n10000000000000005\r\nhello\r\n"), 400, ErrorCode::bad_chunk},
      {"a size line without end",
       with_framing(chunked + "\r\n5;" + std::string(limits::kMaxChunkLineBytes, 'a') + "\r\nhello\r\n"), 400,
       ErrorCode::bad_chunk},
      {"LF alone after a size", with_framing(chunked + "\r\n5\nhello\r\n0\r\n\r\n"), 400, ErrorCode::bad_chunk},
      {"a chunk longer than its size", with_framing(chunked + "\r\n4\r\nhello\r\n0\r\n\r\n"), 400,
       ErrorCode::bad_chunk},
      {"trailers", with_framing(chunked + "\r\n" + chunk(kGoodBody) + "0\r\nx-a: b\r\n\r\n"), 400,
       ErrorCode::trailers_refused},
      {"no body", with_framing("\r\n"), 411, ErrorCode::length_required},
      {"GET with a body",
       "GET /v1/models HTTP/1.1\r\n" + kHost + kKey + length(5) + "\r\nhello", 400, ErrorCode::unexpected_body},
      {"GET with a chunked body",
       "GET /v1/models HTTP/1.1\r\n" + kHost + kKey + chunked + "\r\n0\r\n\r\n", 400, ErrorCode::unexpected_body},
  });
}

TEST_F(Protocol, RefusesBodiesItDoesNotTake) {
  expect_refused_and_closed({
      {"too long", with_body(kGoodBody + std::string(kBodyBytes + 1 - kGoodBody.size(), ' ')), 413,
       ErrorCode::body_too_large},
      {"longer than it says anybody may send", with_framing("content-length: 9999999999999999999\r\n\r\n"), 413,
       ErrorCode::body_too_large},
      {"too long in chunks",
       with_framing("transfer-encoding: chunked\r\n\r\n" + chunk(std::string(kBodyBytes, ' ')) + chunk("{}") +
                    "0\r\n\r\n"),
       413, ErrorCode::body_too_large},
      {"text", kRequestLine + kHost + kKey + "content-type: text/plain\r\n" + length(2) + "\r\n{}", 415,
       ErrorCode::unsupported_media_type, "content-type"},
      {"no type", kRequestLine + kHost + kKey + length(2) + "\r\n{}", 415, ErrorCode::unsupported_media_type,
       "content-type"},
      {"two types", with_headers(kType), 415, ErrorCode::unsupported_media_type, "content-type"},
      {"another character set",
       kRequestLine + kHost + kKey + "content-type: application/json; charset=utf-16\r\n" + length(2) + "\r\n{}", 415,
       ErrorCode::unsupported_media_type, "content-type"},
      {"gzip", with_headers("content-encoding: gzip\r\n"), 415, ErrorCode::unsupported_content_encoding,
       "content-encoding"},
      {"identity and gzip", with_headers("content-encoding: identity\r\ncontent-encoding: gzip\r\n"), 415,
       ErrorCode::unsupported_content_encoding, "content-encoding"},
      {"another expectation", with_headers("expect: the-unexpected\r\n"), 417, ErrorCode::bad_expectation, "expect"},
  });
}

TEST_F(Protocol, RefusesPathsAndMethods) {
  expect_refused_and_closed({
      {"unknown", with_line("POST /v1/nothing HTTP/1.1"), 404, ErrorCode::not_found},
      {"trailing slash", with_line("POST /v1/chat/completions/ HTTP/1.1"), 404, ErrorCode::not_found},
      {"dot segments", with_line("POST /v1/x/../chat/completions HTTP/1.1"), 404, ErrorCode::not_found},
      {"percent", with_line("POST /v1/chat%2Fcompletions HTTP/1.1"), 404, ErrorCode::not_found},
      {"query", with_line("POST /v1/chat/completions?a=b HTTP/1.1"), 404, ErrorCode::not_found},
      {"PUT", with_line("PUT /v1/chat/completions HTTP/1.1"), 405, ErrorCode::method_not_allowed},
      {"lower case", with_line("post /v1/chat/completions HTTP/1.1"), 405, ErrorCode::method_not_allowed},
      {"GET", "GET /v1/chat/completions HTTP/1.1\r\n" + kHost + kKey + "\r\n", 405, ErrorCode::method_not_allowed},
      {"OPTIONS", "OPTIONS /v1/models HTTP/1.1\r\n" + kHost + kKey + "\r\n", 405, ErrorCode::method_not_allowed},
      {"POST to the models", with_line("POST /v1/models HTTP/1.1"), 405, ErrorCode::method_not_allowed},
  });
}

TEST_F(Protocol, NamesTheMethodThatIsAllowed) {
  for (const auto& [line, allowed] : {std::pair{"PUT /v1/embeddings HTTP/1.1", "POST"},
                                      std::pair{"POST /v1/models HTTP/1.1", "GET"},
                                      std::pair{"DELETE /healthz HTTP/1.1", "GET"}}) {
    BlockingClient client(gateway_.port());
    client.send(with_line(line));
    EXPECT_EQ(client.receive().header("allow"), allowed) << line;
  }
}

// RFC 9110 section 9.3.2: an answer to HEAD has no content, whatever its fields say.
TEST_F(Protocol, AnswersHeadWithoutABody) {
  for (const char* path : {"/v1/models", "/v1/chat/completions", "/nothing"}) {
    BlockingClient client(gateway_.port());
    client.send("HEAD " + std::string(path) + " HTTP/1.1\r\n" + kHost + kKey + "\r\n");
    const std::string answer = client.receive_to_end();
    EXPECT_TRUE(answer.starts_with(std::string_view(path) == "/nothing" ? "HTTP/1.1 404" : "HTTP/1.1 405")) << answer;
    EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << answer;
  }
}

TEST_F(Protocol, RefusesCredentials) {
  expect_refused_and_closed({
      {"none", with_credentials(""), 401, ErrorCode::missing_key, "authorization"},
      {"two", with_credentials(kKey + kKey), 400, ErrorCode::duplicate_authorization, "authorization"},
      {"no scheme", with_credentials("authorization: " + std::string(kClientKey) + "\r\n"), 401,
       ErrorCode::malformed_authorization, "authorization"},
      {"another scheme", with_credentials("authorization: Basic dTpw\r\n"), 401, ErrorCode::malformed_authorization,
       "authorization"},
      {"no key", with_credentials("authorization: Bearer\r\n"), 401, ErrorCode::malformed_authorization,
       "authorization"},
      {"unknown", with_credentials("authorization: Bearer sk-nobody\r\n"), 401, ErrorCode::unknown_key,
       "authorization"},
      {"one letter more", with_credentials("authorization: Bearer " + std::string(kClientKey) + "x\r\n"), 401,
       ErrorCode::unknown_key, "authorization"},
  });
}

TEST_F(Protocol, RefusesBodiesThatAreNotPlainJson) {
  std::string deep = R"({"model":"chat","messages":[],"extra":)";
  for (uint32_t depth = 0; depth < limits::kMaxJsonDepth; ++depth) deep += '[';
  for (uint32_t depth = 0; depth < limits::kMaxJsonDepth; ++depth) deep += ']';
  deep += '}';
  const std::string messages = R"("messages":[{"role":"user","content":"x"}])";
  expect_refused({
      {"not JSON", with_body("hello"), 400, ErrorCode::body_not_json},
      {"cut off", with_body(kGoodBody.substr(0, kGoodBody.size() - 1)), 400, ErrorCode::body_not_json},
      {"something behind it", with_body(kGoodBody + "{}"), 400, ErrorCode::body_not_json},
      {"trailing comma", with_body(R"({"model":"chat",)" + messages + ",}"), 400, ErrorCode::body_not_json},
      {"a bad number behind what is read", with_body(R"({"model":"chat",)" + messages + R"(,"seed":01})"), 400,
       ErrorCode::body_not_json},
      {"an array", with_body("[]"), 400, ErrorCode::body_not_object},
      {"byte order mark", with_body("\xef\xbb\xbf" + kGoodBody), 400, ErrorCode::body_has_bom},
      {"not UTF-8", with_body(R"({"model":"chat","messages":[{"role":"user","content":")" "\xff" R"("}]})"), 400,
       ErrorCode::body_not_utf8},
      {"too deep", with_body(deep), 400, ErrorCode::body_too_deep},
      {"a field twice", with_body(R"({"model":"chat","model":"m",)" + messages + "}"), 400,
       ErrorCode::duplicate_field, "model"},
      {"a field twice, once escaped", with_body(R"({"model":"chat","mod\u0065l":"m",)" + messages + "}"), 400,
       ErrorCode::duplicate_field, "model"},
      {"a field in another case", with_body(R"({"Model":"chat",)" + messages + "}"), 400,
       ErrorCode::ambiguous_field, "model"},
      {"a model that is a number", with_body(R"({"model":5,)" + messages + "}"), 400, ErrorCode::bad_field_type,
       "model"},
      {"stream that is text", with_body(R"({"model":"chat","stream":"yes",)" + messages + "}"), 400,
       ErrorCode::bad_field_type, "stream"},
      {"messages that are text", with_body(R"({"model":"chat","messages":"hello"})"), 400, ErrorCode::bad_field_type,
       "messages"},
      {"no messages", with_body(R"({"model":"chat"})"), 400, ErrorCode::missing_field, "messages"},
      {"a long model",
       with_body(R"({"model":")" + std::string(limits::kMaxModelBytes + 1, 'm') + R"(",)" + messages + "}"), 400,
       ErrorCode::field_too_long, "model"},
      {"a tier of another price", with_body(R"({"model":"chat","service_tier":"priority",)" + messages + "}"), 400,
       ErrorCode::field_not_accepted, "service_tier"},
  });
}

TEST_F(Protocol, RefusesWhatTheKeyMayNotUse) {
  std::string attributes;
  for (uint32_t count = 0; count <= limits::kMaxAttributes; ++count) {
    attributes += "x-weir-attr-a" + std::to_string(count) + ": 1\r\n";
  }
  expect_refused({
      {"unknown model", chat_request("", "gpt-nobody"), 404, ErrorCode::model_not_found, "model"},
      {"unknown scenario", with_headers("x-weir-scenario: nothing\r\n"), 404, ErrorCode::model_not_found,
       "x-weir-scenario"},
      {"another tenant", with_headers("x-weir-tenant: t-2\r\n"), 403, ErrorCode::tenant_not_allowed, "x-weir-tenant"},
      {"a tenant that is none", with_headers("x-weir-tenant: t-9\r\n"), 403, ErrorCode::tenant_not_allowed,
       "x-weir-tenant"},
      {"two users", with_headers("x-weir-user: a\r\nX-Weir-User: b\r\n"), 400, ErrorCode::duplicate_control_header,
       "x-weir-user"},
      {"two scenarios", with_headers("x-weir-scenario: chat\r\nx-weir-scenario: chat\r\n"), 400,
       ErrorCode::duplicate_control_header, "x-weir-scenario"},
      {"an empty conversation", with_headers("x-weir-conversation:\r\n"), 400, ErrorCode::bad_control_header,
       "x-weir-conversation"},
      {"a long user", with_headers("x-weir-user: " + std::string(limits::kMaxIdentifierBytes + 1, 'u') + "\r\n"), 400,
       ErrorCode::bad_control_header, "x-weir-user"},
      {"undeclared attribute", with_headers("x-weir-attr-colour: red\r\n"), 400, ErrorCode::bad_control_header,
       "x-weir-attr-*"},
      {"a value that was not declared", with_headers("x-weir-attr-plan: gold\r\n"), 400,
       ErrorCode::bad_control_header, "x-weir-attr-*"},
      {"an attribute twice", with_headers("x-weir-attr-plan: pro\r\nx-weir-attr-plan: free\r\n"), 400,
       ErrorCode::duplicate_control_header, "x-weir-attr-*"},
  });
}

TEST_F(Protocol, AnswersAPipelineUpToTheFirstBadRequest) {
  BlockingClient client(gateway_.port());
  client.send(chat_request() + chat_request() + with_line("BAD") + chat_request());
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(client.receive().status, 200);
  expect_error(client.receive(), 400, ErrorCode::bad_request_line, nullptr);
  EXPECT_TRUE(client.ends());
  EXPECT_EQ(provider_.requests(), 2u);
}

TEST_F(Protocol, AnswersALongPipelineInOrder) {
  constexpr int kRequests = 1000;
  std::string requests;
  for (int i = 0; i < kRequests; ++i) requests += chat_request();
  ASSERT_GT(requests.size(), 128u * 1024);  // more than is kept while an answer is owed
  BlockingClient client(gateway_.port());
  ASSERT_TRUE(client.send(requests));
  for (int i = 0; i < kRequests; ++i) ASSERT_EQ(client.receive().status, 200) << i;
  EXPECT_EQ(provider_.requests(), static_cast<uint64_t>(kRequests));
}

TEST_F(Protocol, ReusesAConnectionAndClosesItWhenAsked) {
  BlockingClient client(gateway_.port());
  for (int i = 0; i < 10; ++i) {
    client.send(chat_request());
    const Answer answer = client.receive();
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.header("connection"), "");
  }
  client.send(chat_request("connection: close\r\n") + chat_request());
  EXPECT_EQ(client.receive().header("connection"), "close");
  EXPECT_TRUE(client.ends());
  EXPECT_EQ(provider_.requests(), 11u);
}

TEST_F(Protocol, TakesARequestByteByByte) {
  BlockingClient client(gateway_.port());
  for (const char byte : chat_request()) ASSERT_TRUE(client.send({&byte, 1}));
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(provider_.requests(), 1u);
}

TEST_F(Protocol, TakesChunkedBodies) {
  BlockingClient client(gateway_.port());
  std::string chunks;
  for (const char byte : kGoodBody) chunks += chunk({&byte, 1});
  client.send(with_framing("transfer-encoding: chunked\r\n\r\n" + chunks + "0\r\n\r\n") +
              with_framing("Transfer-Encoding: CHUNKED\r\n\r\n" + chunk(kGoodBody) + "0\r\n\r\n"));
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(provider_.requests(), 2u);
}

TEST_F(Protocol, InvitesABodyThatWaits) {
  BlockingClient client(gateway_.port());
  client.send(with_framing(length(kGoodBody.size()) + "expect: 100-continue\r\n\r\n"));
  EXPECT_EQ(client.receive().status, 100);
  client.send(kGoodBody);
  EXPECT_EQ(client.receive().status, 200);
}

TEST_F(Protocol, DoesNotInviteABodyThatItWouldRefuse) {
  expect_refused_and_closed({
      {"unknown key",
       kRequestLine + kHost + kType + "authorization: Bearer sk-nobody\r\nexpect: 100-continue\r\n" + length(9) + "\r\n",
       401, ErrorCode::unknown_key, "authorization"},
      {"too long", with_framing(length(kBodyBytes + 1) + "expect: 100-continue\r\n\r\n"), 413,
       ErrorCode::body_too_large},
  });
}

TEST_F(Protocol, IgnoresAClientThatLeavesInTheMiddle) {
  const std::string request = chat_request();
  for (size_t size = 0; size < request.size(); size += 7) {
    BlockingClient client(gateway_.port());
    client.send(std::string_view(request).substr(0, size));
  }
  expect_nothing_got_through();
}

class ImpatientProtocol : public Protocol {
 protected:
  ImpatientProtocol() : Protocol(", head_timeout: 100ms, body_stall_timeout: 100ms, idle_timeout: 100ms") {}
};

TEST_F(ImpatientProtocol, RefusesHeadsAndBodiesThatDoNotCome) {
  for (const auto& [bytes, error] : {std::pair{kRequestLine + kHost, ErrorCode::head_timeout},
                                     std::pair{with_framing(length(9) + "\r\n{"), ErrorCode::body_timeout}}) {
    BlockingClient client(gateway_.port());
    client.send(bytes);
    expect_error(client.receive(), 408, error, nullptr);
    EXPECT_TRUE(client.ends());
  }
  expect_nothing_got_through();
}

TEST_F(ImpatientProtocol, EndsIdleConnectionsWithoutAWord) {
  BlockingClient fresh(gateway_.port());
  BlockingClient used(gateway_.port());
  used.send(chat_request());
  EXPECT_EQ(used.receive().status, 200);
  EXPECT_TRUE(fresh.ends());
  EXPECT_TRUE(used.ends());
}

}  // namespace
}  // namespace weir::tests::protocol_test
