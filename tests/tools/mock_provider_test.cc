#include <gmock/gmock.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "tests/net/net_fixture.h"
#include "tools/mock-provider/fixed_answers.h"
#include "tools/mock-provider/provider.h"
#include "tools/mock-provider/text.h"

namespace weir::tools {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;
using tests::Peer;
using tests::SeenResponse;

// A server for one of the two handlers, and a client of it.
class MockServer {
 public:
  MockServer(core::Loop& turned, net::RequestHandler& handler) : server(turned, handler, 100), loop_(turned) {
    const int listener = core::listen_tcp(*core::SocketAddress::parse("127.0.0.1:0")).value();
    port = core::bound_address(listener).port();
    server.listen(listener);
  }
  ~MockServer() {
    server.begin_drain();
    server.close_all();
    EXPECT_TRUE(tests::run_until(loop_, [&] { return server.closed(); }));
  }

  net::HttpServer server;
  uint16_t port = 0;

 private:
  core::Loop& loop_;
};

std::string request(std::string_view method, std::string_view path, std::string_view body = {},
                    std::string_view fields = {}) {
  std::string text =
      std::string(method) + " " + std::string(path) + " HTTP/1.1\r\nhost: mock\r\n" + std::string(fields);
  if (method == "POST")
    text += "content-type: application/json\r\ncontent-length: " + std::to_string(body.size()) + "\r\n";
  return text + "\r\n" + std::string(body);
}

// The data lines of a stream, in order.
std::vector<std::string> events_of(std::string_view body) {
  std::vector<std::string> events;
  for (size_t at = body.find("data: "); at != std::string_view::npos; at = body.find("\ndata: ", at)) {
    at = body.find("data: ", at) + 6;
    events.emplace_back(body.substr(at, body.find('\n', at) - at));
  }
  return events;
}

class MockProviderTest : public ::testing::Test {
 protected:
  MockProviderTest() { start({.name = "alpha", .models = {"m-1", "m-2"}}); }

  void start(ProviderOptions options) {
    mock.reset();
    provider = std::make_unique<Provider>(*loop, std::move(options));
    mock = std::make_unique<MockServer>(*loop, *provider);
    provider->watch(mock->server);
  }
  SeenResponse exchange(std::string_view text) {
    Peer client = Peer::connect(mock->port);
    client.write(*loop, text);
    return tests::next_response(*loop, client);
  }
  SeenResponse chat(json body, std::string_view fields = {}) {
    if (!body.contains("model")) body["model"] = "m-1";
    return exchange(request("POST", "/v1/chat/completions", body.dump(), fields));
  }
  json chat_json(const json& body = json::object()) { return json::parse(chat(body).body); }
  void fault(const json& what) {
    ASSERT_EQ(exchange(request("POST", "/mock/faults", what.dump())).status, 201);
  }
  json journal() { return json::parse(exchange(request("GET", "/mock/journal")).body); }

  // All that arrives until the connection ends, and whether it ended cleanly.
  std::pair<std::string, bool> until_end(const json& body) {
    Peer client = Peer::connect(mock->port);
    json whole = body;
    whole["model"] = "m-1";
    client.write(*loop, request("POST", "/v1/chat/completions", whole.dump()));
    const bool clean = tests::ends_cleanly(*loop, client);
    return {client.received(), clean};
  }
  static std::string body_of(const std::string& response) {
    return response.substr(response.find("\r\n\r\n") + 4);
  }

  std::unique_ptr<core::Loop> loop = tests::make_loop();
  std::unique_ptr<Provider> provider;
  std::unique_ptr<MockServer> mock;
};

TEST_F(MockProviderTest, AnswersAChatWithItsNameAndTheModel) {
  const json body = {{"model", "m-9"}, {"messages", {{{"role", "user"}, {"content", "Hello"}}}}};
  const json answer = chat_json(body);
  EXPECT_EQ(answer["model"], "m-9");
  EXPECT_EQ(answer["object"], "chat.completion");
  EXPECT_EQ(answer["system_fingerprint"], "alpha");
  EXPECT_EQ(answer["choices"][0]["message"]["content"], "This is alpha answering with m-9.");
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(answer["usage"]["prompt_tokens"], (body.dump().size() + 3) / 4);
  EXPECT_EQ(answer["usage"]["completion_tokens"], 6);
  EXPECT_EQ(answer["usage"]["total_tokens"], (body.dump().size() + 3) / 4 + 6);
}

TEST_F(MockProviderTest, AnswersWithAsManyTokensAsItIsTold) {
  start({.name = "alpha", .tokens = 20});
  EXPECT_EQ(chat_json()["usage"]["completion_tokens"], 20);
  const json cut = chat_json({{"max_tokens", 4}});
  EXPECT_EQ(cut["usage"]["completion_tokens"], 4);
  EXPECT_EQ(cut["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(cut["choices"][0]["message"]["content"], "This is alpha answering");
  EXPECT_EQ(chat_json({{"max_completion_tokens", 3}})["usage"]["completion_tokens"], 3);
}

TEST_F(MockProviderTest, AnswersWithSeveralChoices) {
  const json answer = chat_json({{"n", 3}});
  EXPECT_EQ(answer["choices"].size(), 3u);
  EXPECT_EQ(answer["choices"][2]["index"], 2);
  EXPECT_EQ(answer["usage"]["completion_tokens"], 18);
}

TEST_F(MockProviderTest, StreamsAChatAndSaysNothingOfUsageUnasked) {
  const SeenResponse response = chat({{"stream", true}});
  EXPECT_TRUE(response.has("content-type: text/event-stream; charset=utf-8"));
  const auto events = events_of(response.body);
  ASSERT_EQ(events.size(), 9u);
  EXPECT_EQ(events.back(), "[DONE]");
  std::string text;
  for (size_t i = 0; i + 1 < events.size(); ++i) {
    const json chunk = json::parse(events[i]);
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    EXPECT_FALSE(chunk.contains("usage"));
    text += chunk["choices"][0]["delta"].value("content", "");
  }
  EXPECT_EQ(text, "This is alpha answering with m-1.");
  EXPECT_EQ(json::parse(events[0])["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(json::parse(events[7])["choices"][0]["finish_reason"], "stop");
}

TEST_F(MockProviderTest, StreamsUsageInAChunkOfItsOwnWhenAsked) {
  const auto events = events_of(chat({{"stream", true}, {"stream_options", {{"include_usage", true}}}}).body);
  ASSERT_EQ(events.size(), 10u);
  for (size_t i = 0; i < 8; ++i) EXPECT_TRUE(json::parse(events[i]).at("usage").is_null()) << events[i];
  const json last = json::parse(events[8]);
  EXPECT_EQ(last["choices"], json::array());
  EXPECT_EQ(last["usage"]["completion_tokens"], 6);
}

TEST_F(MockProviderTest, CallsTheToolTheUserNames) {
  const json body = {{"messages", {{{"role", "user"}, {"content", "Please call search now"}}}},
                     {"tools", {{{"type", "function"}, {"function", {{"name", "search"}}}}}}};
  const json choice = chat_json(body)["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_TRUE(choice["message"]["content"].is_null());
  const json call = choice["message"]["tool_calls"][0];
  EXPECT_EQ(call["function"]["name"], "search");
  EXPECT_EQ(json::parse(call["function"]["arguments"].get<std::string>())["text"], "Please call search now");

  json streamed = body;
  streamed["stream"] = true;
  std::string name, arguments;
  for (const std::string& event : events_of(chat(streamed).body)) {
    if (event == "[DONE]") continue;
    const json delta = json::parse(event)["choices"][0]["delta"];
    if (!delta.contains("tool_calls")) continue;
    name += delta["tool_calls"][0]["function"].value("name", "");
    arguments += delta["tool_calls"][0]["function"].value("arguments", "");
  }
  EXPECT_EQ(name, "search");
  EXPECT_EQ(arguments, call["function"]["arguments"].get<std::string>());
}

TEST_F(MockProviderTest, ReadsTheTextOfPartsAndOfTheLastUserMessage) {
  const json body = {
      {"messages",
       {{{"role", "user"}, {"content", "call search"}},
        {{"role", "user"},
         {"content", {{{"type", "text"}, {"text", "call "}}, {{"type", "text"}, {"text", "other"}}}}},
        {{"role", "assistant"}, {"content", "call search"}}}},
      {"tools",
       {{{"type", "function"}, {"function", {{"name", "search"}}}},
        {{"type", "function"}, {"function", {{"name", "other"}}}}}}};
  EXPECT_EQ(chat_json(body)["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "other");
}

TEST_F(MockProviderTest, AnswersCompletions) {
  const json answer =
      json::parse(exchange(request("POST", "/v1/completions", R"({"model":"m","prompt":"x"})")).body);
  EXPECT_EQ(answer["object"], "text_completion");
  EXPECT_EQ(answer["choices"][0]["text"], "This is alpha answering with m.");
  const auto events = events_of(
      exchange(request("POST", "/v1/completions", R"({"model":"m","prompt":"x","stream":true})")).body);
  EXPECT_EQ(events.size(), 8u);
  EXPECT_EQ(json::parse(events[1])["choices"][0]["text"], " is");
}

TEST_F(MockProviderTest, EmbedsTheSameTextInTheSameVector) {
  const auto embed = [&](const json& body) {
    return json::parse(exchange(request("POST", "/v1/embeddings", body.dump())).body)["data"];
  };
  const json floats = embed({{"model", "e"}, {"input", {"one", "two", "one"}}, {"dimensions", 4}});
  ASSERT_EQ(floats.size(), 3u);
  EXPECT_EQ(floats[0]["embedding"].size(), 4u);
  EXPECT_EQ(floats[0]["embedding"], floats[2]["embedding"]);
  EXPECT_NE(floats[0]["embedding"], floats[1]["embedding"]);
  const json encoded =
      embed({{"model", "e"}, {"input", "one"}, {"dimensions", 4}, {"encoding_format", "base64"}});
  std::string bytes;
  for (const auto& value : floats[0]["embedding"]) {
    const float number = value.get<float>();
    bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
  }
  EXPECT_EQ(encoded[0]["embedding"], base64(bytes));
  EXPECT_EQ(embed({{"model", "e"}, {"input", {1, 2, 3}}}).size(), 1u);
  EXPECT_EQ(embed({{"model", "e"}, {"input", {{1, 2}, {3}}}}).size(), 2u);
}

TEST_F(MockProviderTest, AnswersResponses) {
  const json body = {{"model", "m"}, {"input", "x"}, {"previous_response_id", "resp_1"}};
  const json answer = json::parse(exchange(request("POST", "/v1/responses", body.dump())).body);
  EXPECT_EQ(answer["status"], "completed");
  EXPECT_EQ(answer["previous_response_id"], "resp_1");
  EXPECT_EQ(answer["output"][0]["content"][0]["text"], "This is alpha answering with m.");
  EXPECT_EQ(answer["usage"]["output_tokens"], 6);

  json streamed = body;
  streamed["stream"] = true;
  const SeenResponse response = exchange(request("POST", "/v1/responses", streamed.dump()));
  const auto events = events_of(response.body);
  std::string text;
  for (size_t i = 0; i < events.size(); ++i) {
    const json event = json::parse(events[i]);
    EXPECT_EQ(event["sequence_number"], i);
    EXPECT_THAT(response.body, HasSubstr("event: " + event["type"].get<std::string>() + "\ndata: "));
    if (event["type"] == "response.output_text.delta") text += event["delta"].get<std::string>();
  }
  EXPECT_EQ(json::parse(events.front())["type"], "response.created");
  EXPECT_EQ(json::parse(events.back())["type"], "response.completed");
  EXPECT_EQ(text, "This is alpha answering with m.");
  EXPECT_EQ(json::parse(events.back())["response"]["usage"]["output_tokens"], 6);
}

TEST_F(MockProviderTest, ListsItsModels) {
  const json answer = json::parse(exchange(request("GET", "/v1/models")).body);
  ASSERT_EQ(answer["data"].size(), 2u);
  EXPECT_EQ(answer["data"][1]["id"], "m-2");
}

TEST_F(MockProviderTest, RefusesWhatItCannotAnswer) {
  EXPECT_EQ(exchange(request("POST", "/v1/chat/completions", R"({"messages":[]})")).status, 400);
  EXPECT_EQ(exchange(request("POST", "/v1/chat/completions", R"({"model":)")).status, 400);
  EXPECT_EQ(exchange(request("POST", "/v1/chat/completions", R"([1])")).status, 400);
  EXPECT_EQ(exchange(request("GET", "/v1/chat/completions")).status, 404);
  EXPECT_EQ(exchange(request("GET", "/v1/nothing")).status, 404);
  EXPECT_EQ(exchange("GET / HTTP/1.0\r\n\r\n").status, 505);
}

TEST_F(MockProviderTest, KeepsAJournalWithoutCredentials) {
  chat({{"model", "m-1"}, {"user", "u"}},
       "authorization: Bearer sk-secret\r\nx-api-key: other-secret\r\nx-plain: seen\r\n");
  const json entries = journal();
  ASSERT_EQ(entries.size(), 1u);
  const json& entry = entries[0];
  EXPECT_EQ(entry["method"], "POST");
  EXPECT_EQ(entry["target"], "/v1/chat/completions");
  EXPECT_EQ(json::parse(entry["body"].get<std::string>())["user"], "u");
  EXPECT_EQ(entry["status"], 200);
  EXPECT_TRUE(entry["complete"]);
  EXPECT_FALSE(entry["aborted"]);
  EXPECT_EQ(entry["connection"], 1);
  const std::string headers = entry["headers"].dump();
  EXPECT_THAT(headers, Not(HasSubstr("secret")));
  EXPECT_THAT(headers, HasSubstr("Bearer sha256:" + short_digest("sk-secret")));
  EXPECT_THAT(headers, HasSubstr(R"(["x-plain","seen"])"));
  exchange(request("DELETE", "/mock/journal"));
  EXPECT_EQ(journal().size(), 0u);
}

TEST_F(MockProviderTest, JournalKeepsTheLastKMaxEntries) {
  Peer client = Peer::connect(mock->port);
  const std::string one = request("POST", "/v1/embeddings", R"({"model":"e","input":"x"})");
  for (size_t i = 0; i < Journal::kMaxEntries + 5; ++i) {
    client.write(*loop, one);
    ASSERT_EQ(tests::next_response(*loop, client).status, 200);
  }
  const json entries = journal();
  EXPECT_EQ(entries.size(), Journal::kMaxEntries);
  EXPECT_EQ(entries[0]["id"], 6);
}

TEST_F(MockProviderTest, NotesAClientThatLeaves) {
  fault({{"token_delay_ms", 1000}});
  Peer client = Peer::connect(mock->port);
  client.write(*loop, request("POST", "/v1/chat/completions", R"({"model":"m","stream":true})"));
  ASSERT_TRUE(tests::run_until(*loop, [&] { return client.read_some() > 0; }));
  client.close();
  json entries;
  for (int tries = 0; tries < 100 && !(entries = journal())[0]["aborted"]; ++tries) {
  }
  EXPECT_TRUE(entries[0]["aborted"]);
  EXPECT_FALSE(entries[0]["complete"]);
  EXPECT_EQ(json::parse(exchange(request("GET", "/mock/stats")).body)["aborted"], 1);
}

TEST_F(MockProviderTest, AppliesAFaultAsOftenAsItIsTold) {
  fault({{"status", 503}, {"count", 2}});
  EXPECT_EQ(chat({}).status, 503);
  EXPECT_EQ(chat({}).status, 503);
  EXPECT_EQ(chat({}).status, 200);
  fault({{"status", 500}});
  for (int i = 0; i < 5; ++i) EXPECT_EQ(chat({}).status, 500);
  exchange(request("DELETE", "/mock/faults"));
  EXPECT_EQ(chat({}).status, 200);
}

TEST_F(MockProviderTest, AppliesAFaultToWhatItMatches) {
  fault({{"status", 500}, {"match", {{"model", "bad"}}}});
  fault({{"status", 503}, {"match", {{"path", "/v1/embeddings"}}}});
  EXPECT_EQ(chat({{"model", "good"}}).status, 200);
  EXPECT_EQ(chat({{"model", "bad"}}).status, 500);
  EXPECT_EQ(exchange(request("POST", "/v1/embeddings", R"({"model":"good","input":"x"})")).status, 503);
}

TEST_F(MockProviderTest, RefusesAFaultItDoesNotKnow) {
  for (const char* text :
       {R"({"stauts":500})", R"({"status":"500"})", R"({"status":1000})", R"([])", "{", R"({"count":0})",
        R"({"match":{"user":"x"}})", R"({"usage":"odd"})", R"({"no_done":1})"}) {
    EXPECT_EQ(exchange(request("POST", "/mock/faults", text)).status, 400) << text;
  }
}

TEST_F(MockProviderTest, AnswersRateLimitsAsProvidersDo) {
  fault({{"status", 429},
         {"retry_after", 7},
         {"headers", {{"x-ratelimit-remaining-requests", "0"}}},
         {"count", 1}});
  const SeenResponse response = chat({});
  EXPECT_EQ(response.status, 429);
  EXPECT_TRUE(response.has("retry-after: 7"));
  EXPECT_TRUE(response.has("x-ratelimit-remaining-requests: 0"));
  EXPECT_EQ(json::parse(response.body)["error"]["code"], "rate_limit_exceeded");
  fault({{"status", 429},
         {"error_code", "insufficient_quota"},
         {"error_type", "insufficient_quota"},
         {"count", 1}});
  EXPECT_EQ(json::parse(chat({}).body)["error"]["code"], "insufficient_quota");
}

TEST_F(MockProviderTest, CutsAnAnswerWhereItIsTold) {
  fault({{"truncate_at", 100}, {"count", 1}});
  auto [plain, plain_clean] = until_end({});
  EXPECT_TRUE(plain_clean);
  EXPECT_EQ(body_of(plain).size(), 100u);
  EXPECT_FALSE(tests::first_response(plain));

  fault({{"truncate_at", 500}, {"count", 1}});
  auto [stream, stream_clean] = until_end({{"stream", true}});
  EXPECT_TRUE(stream_clean);
  EXPECT_FALSE(tests::first_response(stream));
  EXPECT_THAT(stream, Not(HasSubstr("[DONE]")));
  EXPECT_EQ(journal()[1]["answered_bytes"], 500);
  EXPECT_FALSE(journal()[1]["complete"]);
}

TEST_F(MockProviderTest, ResetsWhereItIsTold) {
  fault({{"reset_at", 100}, {"count", 1}});
  const auto [received, clean] = until_end({});
  EXPECT_FALSE(clean);
  EXPECT_LE(body_of(received).size(), 100u);
}

TEST_F(MockProviderTest, StallsWhereItIsTold) {
  fault({{"stall_at", 50}, {"count", 1}});
  Peer client = Peer::connect(mock->port);
  client.write(*loop, request("POST", "/v1/chat/completions", R"({"model":"m"})"));
  tests::run_for(*loop, std::chrono::milliseconds(20));
  client.read_some();
  EXPECT_EQ(body_of(client.received()).size(), 50u);
  EXPECT_FALSE(client.gone());
}

TEST_F(MockProviderTest, LiesAboutItsLength) {
  fault({{"content_length_delta", 50}, {"count", 1}});
  const auto [more, more_clean] = until_end({});
  EXPECT_TRUE(more_clean);
  EXPECT_FALSE(tests::first_response(more));
  fault({{"content_length_delta", -50}, {"count", 1}});
  const auto [less, less_clean] = until_end({});
  const auto seen = tests::first_response(less);
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->size + 50, less.size());
}

TEST_F(MockProviderTest, SpeaksBadHttpWhenTold) {
  fault({{"bad_head", true}, {"count", 1}});
  EXPECT_THAT(until_end({}).first, HasSubstr("200 OK\ncontent"));
  fault({{"bad_chunk", true}, {"count", 1}});
  EXPECT_THAT(until_end({{"stream", true}}).first, HasSubstr("\r\nzz\r\n"));
  fault({{"extra_bytes", 5}, {"count", 1}});
  Peer client = Peer::connect(mock->port);
  client.write(*loop, request("POST", "/v1/chat/completions", R"({"model":"m"})"));
  EXPECT_EQ(tests::next_response(*loop, client).status, 200);
  ASSERT_TRUE(
      tests::run_until(*loop, [&] { return client.read_some() > 0 || client.received().size() == 5; }));
  EXPECT_EQ(client.received(), "xxxxx");
}

TEST_F(MockProviderTest, LeavesOutTheEndMark) {
  fault({{"no_done", true}, {"count", 1}});
  const auto events = events_of(chat({{"stream", true}}).body);
  EXPECT_EQ(events.size(), 8u);
  EXPECT_NE(events.back(), "[DONE]");
}

TEST_F(MockProviderTest, SplitsABodyAnywhere) {
  const std::string whole = chat({{"stream", true}, {"stream_options", {{"include_usage", true}}}}).body;
  for (const int size : {1, 7, 100}) {
    fault({{"chunk_bytes", size}, {"count", 1}});
    const SeenResponse response = chat({{"stream", true}, {"stream_options", {{"include_usage", true}}}});
    EXPECT_NEAR(static_cast<double>(response.body.size()), static_cast<double>(whole.size()), 20);
    EXPECT_EQ(events_of(response.body).size(), 10u);
  }
  fault({{"chunk_bytes", 3}, {"count", 1}});
  EXPECT_EQ(chat_json()["model"], "m-1");
}

TEST_F(MockProviderTest, SaysWhatUsageItIsTold) {
  fault(
      {{"tokens", {{"prompt", 1000}, {"completion", 20}, {"cached", 900}, {"reasoning", 10}}}, {"count", 1}});
  const json usage = chat_json()["usage"];
  EXPECT_EQ(usage["prompt_tokens"], 1000);
  EXPECT_EQ(usage["total_tokens"], 1020);
  EXPECT_EQ(usage["prompt_tokens_details"]["cached_tokens"], 900);
  EXPECT_EQ(usage["completion_tokens_details"]["reasoning_tokens"], 10);
  fault({{"usage", "string"}, {"count", 1}});
  EXPECT_EQ(chat_json()["usage"]["completion_tokens"], "6");
  fault({{"usage", "none"}, {"count", 1}});
  EXPECT_FALSE(chat_json().contains("usage"));
  fault({{"usage", "early"}, {"count", 1}});
  const auto events = events_of(chat({{"stream", true}, {"stream_options", {{"include_usage", true}}}}).body);
  ASSERT_EQ(events.size(), 9u);
  const json last = json::parse(events[7]);
  EXPECT_EQ(last["choices"].size(), 1u);
  EXPECT_EQ(last["usage"]["completion_tokens"], 6);
}

TEST_F(MockProviderTest, TakesItsTime) {
  const auto time = [&](const json& what, const json& body) {
    fault(what);
    const uint64_t begin_ns = core::monotonic_now_ns();
    EXPECT_EQ(chat(body).status, 200);
    return (core::monotonic_now_ns() - begin_ns) / core::kNsPerMs;
  };
  EXPECT_GE(time({{"delay_ms", 10}, {"head_delay_ms", 10}, {"count", 1}}, {}), 20u);
  EXPECT_GE(time({{"first_token_delay_ms", 20}, {"count", 1}}, {}), 20u);
  EXPECT_GE(time({{"first_token_delay_ms", 20}, {"count", 1}}, {{"stream", true}}), 20u);
  EXPECT_GE(time({{"token_delay_ms", 5}, {"count", 1}}, {{"stream", true}}), 25u);
}

// The head and the role come before the first token: a gateway that measures time to the first byte would be
// wrong.
TEST_F(MockProviderTest, SendsTheRoleBeforeItWaitsForTheFirstToken) {
  fault({{"first_token_delay_ms", 60'000}, {"count", 1}});
  Peer client = Peer::connect(mock->port);
  client.write(*loop, request("POST", "/v1/chat/completions", R"({"model":"m","stream":true})"));
  ASSERT_TRUE(tests::run_until(*loop, [&] { return client.read_some() > 0; }));
  EXPECT_THAT(client.received(), HasSubstr(R"("role":"assistant")"));
  EXPECT_THAT(client.received(), Not(HasSubstr("This")));
}

TEST_F(MockProviderTest, SendsALongAnswerToASlowReader) {
  start({.name = "alpha", .tokens = 30'000});
  Peer client = Peer::connect(mock->port, 64 * 1024);
  client.write(*loop, request("POST", "/v1/chat/completions", R"({"model":"m","stream":true})"));
  ASSERT_TRUE(tests::run_until(*loop, [&] {
    client.read_some(20'000);
    return client.received().ends_with("0\r\n\r\n");
  }));
  EXPECT_LE(loop->buffers().allocated_bytes(), 8u << 20);
}

class FixedAnswersTest : public ::testing::Test {
 protected:
  void start(const FixedOptions& options) {
    answers = std::make_unique<FixedAnswers>(*loop, options);
    mock = std::make_unique<MockServer>(*loop, *answers);
  }
  SeenResponse post(Peer& client, std::string_view body) {
    client.write(*loop, request("POST", "/v1/chat/completions", body));
    return tests::next_response(*loop, client);
  }

  std::unique_ptr<core::Loop> loop = tests::make_loop();
  std::unique_ptr<FixedAnswers> answers;
  std::unique_ptr<MockServer> mock;
};

TEST_F(FixedAnswersTest, AnswersWithSixHundredBytesOfChat) {
  start({});
  Peer client = Peer::connect(mock->port);
  for (int i = 0; i < 3; ++i) {
    const SeenResponse response = post(client, R"({"model":"m","stream":false})");
    EXPECT_EQ(response.body.size(), FixedAnswers::kBodyBytes);
    EXPECT_EQ(json::parse(response.body)["usage"]["total_tokens"], 310);
  }
}

TEST_F(FixedAnswersTest, StreamsEqualFramesAndUsageAtTheEnd) {
  start({.name = "fixed", .frames = 50, .frame_interval_us = 0});
  Peer client = Peer::connect(mock->port);
  for (int i = 0; i < 2; ++i) {
    const SeenResponse response = post(client, R"({"model":"m","stream" : true})");
    const auto events = events_of(response.body);
    ASSERT_EQ(events.size(), 53u);
    EXPECT_EQ(events[0].size() + 8, FixedAnswers::kFrameBytes);
    EXPECT_EQ(json::parse(events[51])["usage"]["total_tokens"], 310);
    EXPECT_EQ(events[52], "[DONE]");
  }
}

TEST_F(FixedAnswersTest, KeepsItsInterval) {
  start({.name = "fixed", .frames = 20, .frame_interval_us = 500});
  std::vector<Peer> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(Peer::connect(mock->port));
  const uint64_t begin_ns = core::monotonic_now_ns();
  for (Peer& client : clients)
    client.write_some(request("POST", "/v1/chat/completions", R"({"stream":true})"));
  for (Peer& client : clients) EXPECT_EQ(events_of(tests::next_response(*loop, client).body).size(), 23u);
  EXPECT_GE(core::monotonic_now_ns() - begin_ns, 20u * 500'000u);
}

TEST_F(FixedAnswersTest, ForgetsAStreamWhoseReaderLeft) {
  start({.name = "fixed", .frames = 1000, .frame_interval_us = 1000});
  {
    Peer client = Peer::connect(mock->port);
    client.write(*loop, request("POST", "/v1/chat/completions", R"({"stream":true})"));
    ASSERT_TRUE(tests::run_until(*loop, [&] { return client.read_some() > 0; }));
  }
  ASSERT_TRUE(tests::run_until(*loop, [&] { return mock->server.connections() == 0; }));
  EXPECT_EQ(answers->wait_ns(), UINT64_MAX);
}

}  // namespace
}  // namespace weir::tools
