// What clients of the real gateway see when a provider lies, stalls, breaks off or cannot be reached: an error
// that says so, or a stream whose end is visibly none; and never a byte of one answer in another.
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/limits.h"
#include "tests/integration/gateway_fixture.h"
#include "tests/integration/lying_provider.h"

namespace weir::tests::upstream_test {
namespace {

using core::ErrorCode;
using Peer = LyingProvider::Peer;
using std::chrono::milliseconds;
namespace limits = core::limits;

const std::string kSecret = "organisation-of-the-operator";
const std::string kGoodBody = R"({"object":"chat.completion","choices":[],"good":true})";
const std::string kEndOfChunks = "0\r\n\r\n";

std::string answer(const std::string& head, const std::string& body) {
  return "HTTP/1.1 " + head + "\r\ncontent-type: application/json\r\ncontent-length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}
std::string good_answer() { return answer("200 OK", kGoodBody); }
std::string chunk(std::string_view bytes) {
  char size[32];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  return size + std::string(bytes) + "\r\n";
}
std::string stream_head() {
  return "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
}
std::string event(const std::string& word) {
  return R"(data: {"choices":[{"index":0,"delta":{"content":")" + word + "\"}}]}\n\n";
}
std::string chat(const std::string& scenario) { return chat_request("", scenario); }
std::string stream(const std::string& scenario) {
  const std::string body =
      R"({"model":")" + scenario + R"(","stream":true,"messages":[{"role":"user","content":"hello"}]})";
  return "POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer " + std::string(kClientKey) +
         "\r\ncontent-type: application/json\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

// Scenarios named after the clock that runs out first.
std::string table(const std::string& base_url) {
  std::string units, scenarios;
  const auto add = [&](const std::string& name, const std::string& timeouts, const std::string& fallback = "") {
    units += (units.empty() ? "" : ",") + ("\"" + name + R"(":{"model":"m","retries":0,"timeouts":{)" + timeouts + "}}");
    scenarios += (scenarios.empty() ? "" : ",") + ("\"" + name + R"(":{"stable":")" + name + "\"" + fallback + "}");
  };
  add("patient", R"("total":"60s")");
  add("connect", R"("connect":"100ms")");
  add("header", R"("header":"100ms")");
  add("first", R"("first_token":"100ms")");
  add("idle", R"("idle":"100ms")");
  add("total", R"("total":"300ms")");
  add("caught", R"("first_token":"100ms")", R"(,"fallback":[{"static":"one moment"}])");
  return R"({"providers":{"p":{"dialect":"openai","base_url":")" + base_url + R"("}},
    "models":{"m":{"provider":"p","tier":"economy","price":{"input":1,"output":2}}},
    "units":{)" + units + R"(},"scenarios":{)" + scenarios + R"(},
    "tenants":{"t-1":{}},
    "keys":[{"id":"k","tenant":"t-1","hash":")" + key_hash() + R"("}]})";
}
std::string at(uint16_t port) { return "http://127.0.0.1:" + std::to_string(port) + "/v1"; }

void expect_error(const Answer& answer, int status, ErrorCode error) {
  const core::ErrorInfo& info = core::describe(error);
  EXPECT_EQ(answer.status, status) << answer.head << answer.body;
  EXPECT_EQ(info.status, status);
  EXPECT_EQ(answer.header("x-should-retry"), "false");
  EXPECT_EQ(answer.header("x-weir-unit").empty(), false);
  const auto body = nlohmann::json::parse(answer.body, nullptr, false);
  const nlohmann::json expected = {
      {"message", info.sentence}, {"type", info.type}, {"param", nullptr}, {"code", info.code}};
  EXPECT_EQ(body, (nlohmann::json{{"error", expected}})) << answer.body;
  EXPECT_EQ((answer.head + answer.body).find(kSecret), std::string::npos) << "the provider's words got through";
}
// A stream that broke: what came whole, one error event, and no end.
void expect_broken_stream(const std::string& bytes, const std::string& last_word, ErrorCode error) {
  EXPECT_TRUE(bytes.starts_with("HTTP/1.1 200")) << bytes;
  EXPECT_EQ(bytes.find("[DONE]"), std::string::npos) << bytes;
  EXPECT_FALSE(bytes.ends_with(kEndOfChunks)) << "an ending that looks clean";
  const size_t error_at = bytes.find("data: {\"error\":");
  ASSERT_NE(error_at, std::string::npos) << bytes;
  EXPECT_NE(bytes.find(core::describe(error).sentence, error_at), std::string::npos) << bytes.substr(error_at);
  if (!last_word.empty()) {
    EXPECT_LT(bytes.find(last_word), error_at) << bytes;
  }
}

// A script that lies in the first request of all and serves every other one honestly.
LyingProvider::Script lie_once(std::function<void(Peer&)> lie) {
  auto lied = std::make_shared<std::atomic<bool>>(false);
  return [lie = std::move(lie), lied](Peer& peer) {
    while (!peer.receive().empty()) {
      if (!lied->exchange(true)) {
        lie(peer);
        return;
      }
      if (!peer.send(good_answer())) return;
    }
  };
}
// Sends `bytes` and leaves it to the gateway to end the connection.
std::function<void(Peer&)> say(std::string bytes) {
  return [bytes = std::move(bytes)](Peer& peer) {
    peer.send(bytes);
    EXPECT_TRUE(peer.wait_for_end()) << "the gateway kept the connection";
  };
}
// Sends `bytes` and ends the connection.
std::function<void(Peer&)> say_and_end(std::string bytes) {
  return [bytes = std::move(bytes)](Peer& peer) { peer.send(bytes); };
}

struct Lie {
  const char* what;
  std::function<void(Peer&)> tell;
  int status;
  ErrorCode error;
};

class Upstream : public ::testing::Test {
 protected:
  // The client's connection goes on, the provider's does not: the next answer comes over another one.
  void expect_good_answer_elsewhere(BlockingClient& client, const LyingProvider& provider) {
    ASSERT_TRUE(client.send(chat("patient")));
    const Answer next = client.receive();
    EXPECT_EQ(next.status, 200) << next.head << next.body;
    EXPECT_EQ(next.body, kGoodBody);
    EXPECT_EQ(provider.served(), (std::vector<int>{1, 2})) << "the connection was used again";
  }
  void expect_errors(const std::vector<Lie>& lies) {
    for (const Lie& lie : lies) {
      SCOPED_TRACE(lie.what);
      LyingProvider provider(lie_once(lie.tell));
      Gateway gateway(table(at(provider.port())));
      ASSERT_NE(gateway.port(), 0);
      BlockingClient client(gateway.port());
      client.send(chat("patient"));
      expect_error(client.receive(), lie.status, lie.error);
      expect_good_answer_elsewhere(client, provider);
    }
  }
  // What a client receives until the gateway ends its connection.
  std::string whole_conversation(const LyingProvider::Script& script, const std::string& request) {
    LyingProvider provider(script);
    Gateway gateway(table(at(provider.port())));
    BlockingClient client(gateway.port());
    client.send(request);
    std::string bytes = client.receive_to_end();
    EXPECT_FALSE(client.broken()) << "the connection did not end";
    return bytes;
  }
};

TEST_F(Upstream, AnAnswerThatIsNotHttpBecomesAnError) {
  const std::string body = "content-length: 2\r\n\r\n{}";
  expect_errors({
      {"no HTTP", say("hello\r\n\r\n"), 502, ErrorCode::upstream_malformed},
      {"HTTP/1.0", say("HTTP/1.0 200 OK\r\n" + body), 502, ErrorCode::upstream_malformed},
      {"HTTP/2", say("HTTP/2 200 OK\r\n" + body), 502, ErrorCode::upstream_malformed},
      {"a status of two digits", say("HTTP/1.1 20 OK\r\n" + body), 502, ErrorCode::upstream_malformed},
      {"switching protocols", say("HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\n"), 502,
       ErrorCode::upstream_malformed},
      {"LF alone", say("HTTP/1.1 200 OK\ncontent-length: 2\n\n{}"), 502, ErrorCode::upstream_malformed},
      {"a space before the colon", say("HTTP/1.1 200 OK\r\nx-a : b\r\n" + body), 502, ErrorCode::upstream_malformed},
      {"a folded line", say("HTTP/1.1 200 OK\r\nx-a: b\r\n c\r\n" + body), 502, ErrorCode::upstream_malformed},
      {"two lengths", say("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n" + body), 502, ErrorCode::upstream_malformed},
      {"length and coding", say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n" + body), 502,
       ErrorCode::upstream_malformed},
      {"another coding", say("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n"), 502,
       ErrorCode::upstream_malformed},
      {"no content, but a length", say("HTTP/1.1 204 No Content\r\n" + body), 502, ErrorCode::upstream_malformed},
  });
}

TEST_F(Upstream, AHeadThatIsTooLargeBecomesAnError) {
  std::string many = "HTTP/1.1 200 OK\r\n";
  for (uint32_t count = 0; count <= limits::kMaxHeaders; ++count) many += "x-" + std::to_string(count) + ": 1\r\n";
  expect_errors({
      {"bytes", say("HTTP/1.1 200 OK\r\nx-a: " + std::string(limits::kMaxHeadBytes, 'a')), 502,
       ErrorCode::upstream_head_too_large},
      {"a field that would be passed on",
       say("HTTP/1.1 200 OK\r\nretry-after: " + std::string(5000, '1') + "\r\ncontent-length: 2\r\n\r\n{}"), 502,
       ErrorCode::upstream_head_too_large},
      {"fields", say(many + "content-length: 2\r\n\r\n{}"), 502, ErrorCode::upstream_head_too_large},
  });
}

TEST_F(Upstream, AConnectionThatEndsWithoutAnAnswerBecomesAnError) {
  expect_errors({
      {"no byte", say_and_end(""), 502, ErrorCode::upstream_closed},
      {"part of a head", say_and_end("HTTP/1.1 200 OK\r\ncontent-le"), 502, ErrorCode::upstream_closed},
      {"an interim answer", say_and_end("HTTP/1.1 103 Early Hints\r\n\r\n"), 502, ErrorCode::upstream_closed},
      {"reset", [](Peer& peer) { peer.reset_at_end(); }, 502, ErrorCode::upstream_reset},
  });
}

// What a provider says about weir's credential, or where it would send it, is no business of a client.
TEST_F(Upstream, AnswersAboutTheCredentialStayHere) {
  for (const char* head : {"401 Unauthorized", "403 Forbidden", "301 Moved\r\nlocation: http://evil.example/",
                           "302 Found\r\nlocation: http://evil.example/", "304 Not Modified", "307 Go\r\nlocation: /x"}) {
    SCOPED_TRACE(head);
    LyingProvider provider(lie_once(say(answer(head, "{\"error\":\"" + kSecret + "\"}"))));
    Gateway gateway(table(at(provider.port())));
    BlockingClient client(gateway.port());
    client.send(chat("patient"));
    const Answer answer = client.receive();
    expect_error(answer, 502, ErrorCode::upstream_status);
    EXPECT_EQ(answer.header("location"), "");
    expect_good_answer_elsewhere(client, provider);
  }
}

TEST_F(Upstream, OtherErrorsOfTheProviderPassThrough) {
  for (const auto& [head, retry] : {std::pair{"400 Bad Request", ""}, std::pair{"404 Not Found", ""},
                                    std::pair{"429 Too Many Requests\r\nretry-after: 7", ""},
                                    std::pair{"500 Oops", "false"}, std::pair{"503 Busy", "false"}}) {
    SCOPED_TRACE(head);
    const std::string body = R"({"error":{"message":"its own words","type":"t","param":null,"code":null}})";
    LyingProvider provider([&, sent = answer(head, body)](Peer& peer) {
      while (!peer.receive().empty() && peer.send(sent)) continue;
    });
    Gateway gateway(table(at(provider.port())));
    BlockingClient client(gateway.port());
    client.send(chat("patient"));
    const Answer answer = client.receive();
    EXPECT_EQ(answer.status, std::stoi(head));
    EXPECT_EQ(answer.body, body);
    EXPECT_EQ(answer.header("x-should-retry"), retry);
    EXPECT_EQ(answer.header("retry-after"), answer.status == 429 ? "7" : "");
  }
}

TEST_F(Upstream, SkipsInterimAnswers) {
  LyingProvider provider(
      lie_once([](Peer& peer) { peer.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nx-a: b\r\n\r\n" + good_answer()); }));
  Gateway gateway(table(at(provider.port())));
  BlockingClient client(gateway.port());
  client.send(chat("patient"));
  const Answer answer = client.receive();
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, kGoodBody);
}

TEST_F(Upstream, AnAnswerMayEndWithItsConnection) {
  const std::string bytes = whole_conversation(
      lie_once(say_and_end("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n" + kGoodBody)),
      chat_request("connection: close\r\n", "patient"));
  EXPECT_NE(bytes.find(kGoodBody), std::string::npos) << bytes;
  EXPECT_TRUE(bytes.ends_with("\r\n" + kEndOfChunks)) << bytes;
}

TEST_F(Upstream, ALengthThatIsNotReachedShows) {
  for (const bool resets : {false, true}) {
    const std::string bytes = whole_conversation(
        lie_once([&](Peer& peer) {
          peer.send("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"part\":");
          if (resets) peer.reset_at_end();
        }),
        chat("patient"));
    if (resets && bytes.starts_with("HTTP/1.1 502")) continue;  // the reset was faster than the bytes
    EXPECT_TRUE(bytes.starts_with("HTTP/1.1 200")) << bytes;
    EXPECT_NE(bytes.find("content-length: 100\r\n"), std::string::npos) << bytes;
    EXPECT_TRUE(bytes.ends_with("\r\n\r\n{\"part\":")) << bytes;
  }
}

TEST_F(Upstream, ABadChunkShows) {
  const std::string head =
      "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n" + chunk("{\"part\":");
  for (const auto& tail : {say("zz\r\n"), say("3\r\nabcd\r\n"), say("5\n12345\r\n"), say("10000000000000005\r\n"),
                           say("0\r\nbad trailer\r\n\r\n"), say_and_end("5\r\n1"), say_and_end("")}) {
    const std::string bytes = whole_conversation(lie_once([&](Peer& peer) {
                                                   peer.send(head);
                                                   tail(peer);
                                                 }),
                                                 chat("patient"));
    EXPECT_TRUE(bytes.starts_with("HTTP/1.1 200")) << bytes;
    EXPECT_FALSE(bytes.ends_with(kEndOfChunks)) << bytes;
  }
}

// Legal, of no use to anybody, and not passed on.
TEST_F(Upstream, TrailersOfAnAnswerStayHere) {
  LyingProvider provider(lie_once([](Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n" +
              chunk(kGoodBody) + "0\r\nx-trailer: " + kSecret + "\r\n\r\n");
    peer.receive();
  }));
  Gateway gateway(table(at(provider.port())));
  BlockingClient client(gateway.port());
  client.send(chat("patient"));
  const std::string bytes = client.receive_until("\r\n" + kEndOfChunks);
  EXPECT_NE(bytes.find(kGoodBody), std::string::npos) << bytes;
  EXPECT_EQ(bytes.find(kSecret), std::string::npos) << bytes;
}

TEST_F(Upstream, BytesBehindAnAnswerStayHereAndEndTheConnection) {
  for (const std::string& more : {std::string("x"), std::string("\r\n"), good_answer(),
                                  answer("200 OK", "{\"stolen\":\"" + kSecret + "\"}")}) {
    LyingProvider provider(lie_once(say(good_answer() + more)));
    Gateway gateway(table(at(provider.port())));
    BlockingClient client(gateway.port());
    client.send(chat("patient"));
    const Answer first = client.receive();
    EXPECT_EQ(first.status, 200);
    EXPECT_EQ(first.body, kGoodBody);
    expect_good_answer_elsewhere(client, provider);
  }
}

TEST_F(Upstream, BytesThatNobodyAskedForEndAnIdleConnection) {
  std::promise<void> received, ended;
  LyingProvider provider(lie_once([&](Peer& peer) {
    peer.send(good_answer());
    received.get_future().wait();
    peer.send(answer("200 OK", "{\"stolen\":\"" + kSecret + "\"}"));
    EXPECT_TRUE(peer.wait_for_end());
    ended.set_value();
  }));
  Gateway gateway(table(at(provider.port())));
  BlockingClient client(gateway.port());
  client.send(chat("patient"));
  EXPECT_EQ(client.receive().status, 200);
  received.set_value();
  ended.get_future().wait();
  expect_good_answer_elsewhere(client, provider);
}

TEST_F(Upstream, AConnectionThatDiedWhileItWaitedCostsNothing) {
  LyingProvider provider([](Peer& peer) {
    if (peer.receive().empty() || !peer.send(good_answer())) return;
    if (peer.number == 1) return (void)peer.receive();  // read, and not answered
    while (!peer.receive().empty() && peer.send(good_answer())) continue;
  });
  Gateway gateway(table(at(provider.port())));
  BlockingClient client(gateway.port());
  for (int i = 0; i < 3; ++i) {
    client.send(chat("patient"));
    EXPECT_EQ(client.receive().body, kGoodBody);
  }
  EXPECT_EQ(provider.served(), (std::vector<int>{1, 1, 2, 2})) << "one request was sent a second time, by itself";
}

TEST_F(Upstream, ARequestIsRepeatedOnceAndNoMore) {
  LyingProvider provider([](Peer& peer) {
    if (peer.receive().empty()) return;
    if (peer.number == 1 && peer.send(good_answer())) peer.receive();
  });
  Gateway gateway(table(at(provider.port())));
  BlockingClient client(gateway.port());
  client.send(chat("patient"));
  EXPECT_EQ(client.receive().status, 200);
  client.send(chat("patient"));
  expect_error(client.receive(), 502, ErrorCode::upstream_closed);
  EXPECT_EQ(provider.served(), (std::vector<int>{1, 1, 2}));
}

TEST_F(Upstream, AStreamThatBreaksOffSaysSo) {
  const std::string begin = stream_head() + chunk(event("first-word"));
  const std::string half = event("half-word").substr(0, 30);
  struct Break {
    const char* what;
    std::function<void(Peer&)> tell;
    ErrorCode error;
    const char* last_word = "first-word";
  };
  const std::vector<Break> breaks = {
      {"ends", say_and_end(begin), ErrorCode::upstream_truncated},
      {"ends in an event", say_and_end(begin + chunk(half)), ErrorCode::upstream_truncated},
      {"ends in a chunk", say_and_end(begin + "100\r\n" + half), ErrorCode::upstream_truncated},
      {"a clean end without [DONE]", [&](Peer& peer) { peer.send(begin + kEndOfChunks); },
       ErrorCode::upstream_truncated},
      {"a clean end in an event", [&](Peer& peer) { peer.send(begin + chunk("data: [DONE]\n") + kEndOfChunks); },
       ErrorCode::upstream_truncated},
      // What was received together with bytes that are no HTTP is not trusted either.
      {"a bad chunk", say(begin + "zz\r\n"), ErrorCode::upstream_malformed, ""},
      {"an event that is too large", say(begin + chunk("data: " + std::string(limits::kMaxSseEventBytes, 'a'))),
       ErrorCode::upstream_frame_too_large},
  };
  for (const Break& broken : breaks) {
    SCOPED_TRACE(broken.what);
    const std::string bytes = whole_conversation(lie_once(broken.tell), stream("patient"));
    expect_broken_stream(bytes, broken.last_word, broken.error);
    EXPECT_EQ(bytes.find("half-word"), std::string::npos) << "half an event got through";
  }
}

TEST_F(Upstream, AStreamThatIsResetSaysSo) {
  std::promise<void> relayed;
  LyingProvider provider(lie_once([&](Peer& peer) {
    peer.send(stream_head() + chunk(event("first-word")));
    relayed.get_future().wait();
    peer.reset_at_end();
  }));
  Gateway gateway(table(at(provider.port())));
  BlockingClient client(gateway.port());
  client.send(stream("patient"));
  std::string bytes = client.receive_until("first-word");
  relayed.set_value();
  bytes += client.receive_to_end();
  expect_broken_stream(bytes, "first-word", ErrorCode::upstream_reset);
}

TEST_F(Upstream, AGoodStreamEndsWell) {
  LyingProvider provider(lie_once([](Peer& peer) {
    peer.send(stream_head() + chunk(event("first-word")) + chunk("data: [DONE]\n\n") + kEndOfChunks);
    peer.send(peer.receive().empty() ? "" : good_answer());  // the same connection goes on
  }));
  Gateway gateway(table(at(provider.port())));
  BlockingClient client(gateway.port());
  client.send(stream("patient"));
  const std::string bytes = client.receive_until("\r\n" + kEndOfChunks);
  EXPECT_NE(bytes.find("data: [DONE]\n\n"), std::string::npos);
  EXPECT_EQ(bytes.find("\"error\""), std::string::npos);
  client.send(chat("patient"));
  EXPECT_EQ(client.receive().body, kGoodBody);
  EXPECT_EQ(provider.served(), (std::vector<int>{1, 1}));
}

// ---- clocks: lower bounds only ----

class UpstreamClocks : public Upstream {
 protected:
  // Sends the request, and tells how long the answer took at least.
  Answer ask(const Gateway& gateway, const std::string& request, milliseconds* took) {
    BlockingClient client(gateway.port());
    const auto begin = std::chrono::steady_clock::now();
    client.send(request);
    Answer answer = client.receive();
    *took = std::chrono::ceil<milliseconds>(std::chrono::steady_clock::now() - begin);
    return answer;
  }
  // Reads the request, says `bytes`, and then nothing until the gateway gives up.
  LyingProvider::Script stall(std::string bytes = "") {
    return [bytes = std::move(bytes)](Peer& peer) {
      if (peer.receive().empty()) return;
      peer.send(bytes);
      EXPECT_TRUE(peer.wait_for_end());
    };
  }
};

TEST_F(UpstreamClocks, EachHasItsError) {
  struct Clock {
    const char* scenario;
    const char* bytes;
    ErrorCode error;
    milliseconds at_least;
  };
  for (const Clock& clock : {Clock{"header", "", ErrorCode::header_timeout, milliseconds(100)},
                             Clock{"header", "HTTP/1.1 200 OK\r\n", ErrorCode::header_timeout, milliseconds(100)},
                             Clock{"header", "HTTP/1.1 100 Continue\r\n\r\n", ErrorCode::header_timeout, milliseconds(100)},
                             Clock{"first", "", ErrorCode::first_token_timeout, milliseconds(100)},
                             Clock{"total", "", ErrorCode::total_timeout, milliseconds(300)}}) {
    SCOPED_TRACE(clock.scenario);
    LyingProvider provider(stall(clock.bytes));
    Gateway gateway(table(at(provider.port())));
    milliseconds took;
    expect_error(ask(gateway, chat(clock.scenario), &took), 504, clock.error);
    EXPECT_GE(took, clock.at_least);
  }
}

TEST_F(UpstreamClocks, RunInStreamsToo) {
  const std::string role = chunk("data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n");
  expect_broken_stream(whole_conversation(stall(stream_head() + role), stream("first")), "",
                       ErrorCode::first_token_timeout);
  expect_broken_stream(whole_conversation(stall(stream_head() + chunk(event("first-word"))), stream("idle")),
                       "first-word", ErrorCode::idle_timeout);
  const auto never_ends = [](Peer& peer) {
    if (peer.receive().empty()) return;
    peer.send(stream_head());
    while (!peer.ended_within(milliseconds(20)) && peer.send(chunk(event("first-word")))) continue;
  };
  expect_broken_stream(whole_conversation(never_ends, stream("total")), "first-word", ErrorCode::total_timeout);
}

TEST_F(UpstreamClocks, APlainAnswerThatStallsIsCutOff) {
  const std::string bytes = whole_conversation(
      stall("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"part\":"), chat("idle"));
  EXPECT_TRUE(bytes.starts_with("HTTP/1.1 200") && bytes.ends_with("{\"part\":")) << bytes;
}

TEST_F(UpstreamClocks, AMissedFirstTokenFallsBackWhileNothingWasSent) {
  const std::string role = chunk("data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n");
  LyingProvider provider(stall(stream_head() + role));
  Gateway gateway(table(at(provider.port())));
  milliseconds took;
  const Answer answer = ask(gateway, stream("caught"), &took);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.header("x-weir-arm"), "fallback");
  EXPECT_EQ(answer.header("x-weir-fallback"), "1; first_token_timeout");
  EXPECT_NE(answer.body.find("one moment"), std::string::npos);
  EXPECT_TRUE(answer.body.ends_with("data: [DONE]\n\n")) << answer.body;
}

TEST_F(UpstreamClocks, AStreamOfNothingIsNotHeldForEver) {
  const std::string nothing = ": " + std::string(1000, '.') + "\n\n";
  const std::string bytes = whole_conversation(
      [&](Peer& peer) {
        if (peer.receive().empty() || !peer.send(stream_head())) return;
        for (size_t sent = 0; sent <= limits::kMaxQueuedSendBytes; sent += nothing.size()) peer.send(chunk(nothing));
        EXPECT_TRUE(peer.wait_for_end());
      },
      stream("caught"));
  expect_broken_stream(bytes, nothing, ErrorCode::first_token_timeout);
}

TEST_F(UpstreamClocks, AStaticTextIsNoAnswerToEmbeddings) {
  LyingProvider provider(stall());
  Gateway gateway(table(at(provider.port())));
  const std::string body = R"({"model":"caught","input":"hello"})";
  milliseconds took;
  const Answer answer = ask(gateway,
                            "POST /v1/embeddings HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer " +
                                std::string(kClientKey) + "\r\ncontent-type: application/json\r\ncontent-length: " +
                                std::to_string(body.size()) + "\r\n\r\n" + body,
                            &took);
  expect_error(answer, 504, ErrorCode::first_token_timeout);
}

// ---- providers that cannot be reached ----

TEST_F(Upstream, APortThatNobodyListensOnBecomesAnError) {
  uint16_t port;
  { port = LyingProvider([](Peer&) {}).port(); }
  Gateway gateway(table(at(port)));
  BlockingClient client(gateway.port());
  client.send(chat("patient"));
  expect_error(client.receive(), 502, ErrorCode::connect_failed);
}

TEST_F(Upstream, ANameThatDoesNotResolveBecomesAnError) {
  Gateway gateway(table("http://nobody.invalid/v1"));
  BlockingClient client(gateway.port());
  client.send(chat("patient"));
  expect_error(client.receive(), 502, ErrorCode::name_not_resolved);
}

TEST_F(Upstream, AProviderThatDoesNotSpeakTlsBecomesAnError) {
  LyingProvider provider([](Peer& peer) { peer.send("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"); });
  Gateway gateway(table("https://127.0.0.1:" + std::to_string(provider.port()) + "/v1"));
  BlockingClient client(gateway.port());
  client.send(chat("patient"));
  expect_error(client.receive(), 502, ErrorCode::upstream_tls_failed);
}

// Connections that nobody accepts fill the backlog; the kernel then drops what comes.
TEST_F(UpstreamClocks, AConnectionThatIsNotAcceptedTimesOut) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listener, 0), 0);
  ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  std::vector<int> waiting;
  for (int i = 0; i < 4; ++i) {
    waiting.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    ::connect(waiting.back(), reinterpret_cast<sockaddr*>(&address), size);
  }
  Gateway gateway(table(at(ntohs(address.sin_port))));
  milliseconds took;
  expect_error(ask(gateway, chat("connect"), &took), 504, ErrorCode::connect_timeout);
  EXPECT_GE(took, milliseconds(100));
  for (const int descriptor : waiting) ::close(descriptor);
  ::close(listener);
}

}  // namespace
}  // namespace weir::tests::upstream_test
