// What is accepted and takes long to look at, from clients and from providers: the others of its shard do not wait for
// it. What is refused: NoRequestHoldsUpTheOthersOfItsShard in faults_test.cc.
#include <algorithm>
#include <functional>

#include "core/limits.h"
#include "tests/integration/faults/shard_probe.h"
#include "tests/integration/lying_provider.h"

namespace weir::tests::stalls_test {
namespace {

using Peer = LyingProvider::Peer;
namespace limits = core::limits;

constexpr int kAttempts = 5;

// A unit for which everything is done: its prompt is put into each request, its answers are checked and kept.
std::string table(uint16_t provider) {
  return R"({"providers":{"p":{"dialect":"openai","base_url":"http://127.0.0.1:)" + std::to_string(provider) +
         R"(/v1"}},"models":{"m":{"provider":"p","tier":"economy","price":{"input":1,"output":2}}},
    "prompts":{"brief@1.0.0":{"system":"Be brief with {{user}}."}},
    "units":{"u":{"model":"m","prompt":"brief@1.0.0","cache_ttl":"1h","answer":"json","retries":0}},
    "scenarios":{"chat":{"stable":"u"}},"tenants":{"t":{}},
    "keys":[{"id":"k","tenant":"t","hash":")" +
         key_hash() + R"("}]})";
}

// The most that the shard was busy between two answers to somebody else while `ask` was answered. The same work each
// time: who shares the core can only make it longer.
void expect_no_stall(Gateway& gateway, const std::string& what, const std::function<void(int attempt)>& ask) {
  SCOPED_TRACE(what);
  uint64_t busy_ns = ShardProbe::kMostBusyNs;
  for (int attempt = 0; attempt < kAttempts && busy_ns >= ShardProbe::kMostBusyNs; ++attempt) {
    ShardProbe probe(gateway);
    ask(attempt);
    busy_ns = probe.stop();
  }
  ::testing::Test::RecordProperty("microseconds " + what, static_cast<int>(busy_ns / 1000));
  EXPECT_LT(busy_ns, ShardProbe::kMostBusyNs) << "the shard was stalled";
}

struct Costly {
  const char* what;
  std::string members;  // of the body, besides model and messages
  std::string messages;
};

std::string repeated(std::string_view piece, size_t count) {
  std::string text(piece);
  text.reserve(piece.size() * count);
  while (text.size() < piece.size() * count)
    text.append(text, 0, std::min(text.size(), piece.size() * count - text.size()));
  return text;
}

// Each as large as a body may be, or with as many tokens.
std::vector<Costly> costly_requests() {
  constexpr size_t kSize = limits::kMaxBodyBytes - 4096;
  constexpr size_t kCached = limits::kMaxCacheRequestBytes - 4096;
  constexpr size_t kScalars = limits::kMaxJsonTokens / 2 - 64;  // a comma each
  const std::string one = R"({"role":"user","content":"hello"})";
  const std::string message = R"({"role":"user","content":"a"},)";
  const size_t tokens_of_message = 14;
  return {
      {"a long text", "", R"({"role":"user","content":")" + std::string(kSize, 'x') + "\"}"},
      {"a long text of Unicode escapes", "",
       R"({"role":"user","content":")" + repeated("\\ud83d\\ude00", kSize / 12) + "\"}"},
      {"millions of values", R"(,"x":[)" + repeated("0,", kScalars) + "0]", one},
      {"blanks between millions of values", R"(,"x":[)" + repeated(" 0 ,    ", kScalars) + "0]", one},
      {"as many messages as there may be", "",
       repeated(message, limits::kMaxJsonTokens / tokens_of_message / 2) + one},
      {"as many Unicode escapes as the cache looks at", "",
       R"({"role":"user","content":")" + repeated("\\ud83d\\ude00", kCached / 12) + "\"}"},
      {"as many blanks between values as the cache looks at",
       R"(,"x":[)" + repeated("0 , ", kCached / 4) + "0]", one},
  };
}

std::string request(const Costly& costly, int attempt) {
  const std::string body = R"({"model":"chat","seed":)" + std::to_string(attempt) + R"(,"messages":[)" +
                           costly.messages + "]" + costly.members + "}";
  return "POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer " +
         std::string(kClientKey) +
         "\r\ncontent-type: application/json\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n" +
         body;
}

std::string plain(const std::string& body) {
  return "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

TEST(Stalls, NoRequestThatIsAcceptedHoldsUpTheOthersOfItsShard) {
  LyingProvider provider([](Peer& peer) {
    while (!peer.receive().empty())
      peer.send(plain(R"({"object":"chat.completion","choices":[{"message":{"content":"{}"}}]})"));
  });
  Gateway gateway(table(provider.port()), "", GatewayHow{.shards = 1});
  ASSERT_NE(gateway.port(), 0);
  for (const Costly& costly : costly_requests()) {
    expect_no_stall(gateway, costly.what, [&](int attempt) {
      const std::string bytes = request(costly, attempt);
      const bool cached = bytes.size() - bytes.find("\r\n\r\n") - 4 <= limits::kMaxCacheRequestBytes;
      const std::vector<const char*> looks = cached ? std::vector{"miss", "hit"} : std::vector{"too_large"};
      for (const char* said : looks) {
        BlockingClient client(gateway.port());
        client.send(bytes);
        const Answer answer = client.receive();
        EXPECT_EQ(answer.status, 200) << answer.head << answer.body;
        EXPECT_EQ(answer.header("x-weir-cache"), said);
      }
    });
  }
}

TEST(Stalls, NoAnswerOfAProviderHoldsUpTheOthersOfItsShard) {
  const std::string usage = R"("usage":{"prompt_tokens":1,"completion_tokens":1})";
  const auto events = [](const std::string& all) {
    char size[16];
    std::snprintf(size, sizeof size, "%zx\r\n", all.size());
    return "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n" +
           (size + all) + "\r\n0\r\n\r\n";
  };
  constexpr size_t kEvent = limits::kMaxSseEventBytes - 1024;
  constexpr size_t kAll = 8u << 20;  // several turns of a shard
  const std::string done = "data: [DONE]\n\n";
  struct Case {
    const char* what;
    bool stream;
    std::string answer;
  };
  const std::vector<Case> cases = {
      {"an event as large as one may be", true,
       events(R"(data: {"choices":[{"index":0,"delta":{"content":")" + std::string(kEvent, 'x') +
              "\"}}]}\n\n" + done)},
      {"an event of values", true,
       events("data: {\"x\":[" + repeated("0,", kEvent / 2) + "0]," + usage + "}\n\n" + done)},
      {"many large events", true,
       events(repeated("data: {\"x\":[" + repeated("[],", kEvent / 3) + "0]}\n\n", 8) + done)},
      {"an event in pieces of a line each", true, events(repeated("data: 0\n", kEvent / 8) + "\n" + done)},
      {"a great many events", true, events(repeated("data: {}\n\n", kAll / 10) + done)},
      {"a great many line ends", true, events(repeated("\n", kAll) + done)},
      {"a long answer", false,
       plain(R"({"choices":[{"message":{"content":")" + std::string(kAll, 'x') + "\"}}]," + usage + "}")},
      {"an answer of values", false, plain("{\"x\":[" + repeated("0,", kAll / 2) + "0]," + usage + "}")},
      {"an answer that is checked", false,
       plain(R"({"choices":[{"message":{"content":"{}"}}],"x":[)" +
             repeated("0,", limits::kMaxCheckedAnswerBytes / 2 - 64) + "0]," + usage + "}")},
      {"an answer of escapes", false, plain("{\"x\":\"" + repeated("\\\"", kAll / 2) + "\"," + usage + "}")},
  };
  std::atomic<const std::string*> answer{nullptr};
  LyingProvider provider([&](Peer& peer) {
    while (!peer.receive().empty()) peer.send(*answer);
  });
  Gateway gateway(table(provider.port()), "", GatewayHow{.shards = 1});
  ASSERT_NE(gateway.port(), 0);
  for (const Case& one : cases) {
    answer = &one.answer;
    expect_no_stall(gateway, one.what, [&](int attempt) {
      BlockingClient client(gateway.port());
      const std::string seed = ",\"seed\":" + std::to_string(attempt) + ",\"x\":\"" + one.what + "\"";
      client.send(
          chat_request("connection: close\r\n", "chat", seed + (one.stream ? ",\"stream\":true" : "")));
      const std::string bytes = client.receive_to_end();
      EXPECT_TRUE(bytes.starts_with("HTTP/1.1 200")) << bytes.substr(0, 400);
      EXPECT_GE(bytes.size(), one.answer.size() * 9 / 10);
    });
  }
}

}  // namespace
}  // namespace weir::tests::stalls_test
