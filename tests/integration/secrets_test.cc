// Secrets planted wherever a request and its answer have room for them: none is ever written down.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "tests/integration/gateway_fixture.h"
#include "tests/integration/lying_provider.h"
#include "tools/weirctl/admin_client.h"

namespace weir::tests::secrets_test {
namespace {

const std::string kMail = "anna.planted@example.org";
const std::string kCard = "4111 1111 1111 1111";
const std::string kIban = "DE89 3704 0044 0532 0130 00";
const std::string kPhone = "+49 30 90182000";
const std::string kToken = "sk-proj-plantedplantedplanted0123";
const std::string kWord = "Bluebird";  // the operator's own

std::string with_length(const std::string& status, const std::string& fields, const std::string& body) {
  return "HTTP/1.1 " + status + "\r\n" + fields + "content-length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

std::string event(const std::string& text) {
  return R"(data: {"choices":[{"index":0,"delta":{"content":")" + text + "\"}}]}\n\n";
}

// Says all of them, in the body and in a field; in a stream cut in the middle; or in an error.
void say_secrets(LyingProvider::Peer& peer) {
  const std::string all = kMail + ", " + kCard + ", " + kIban + ", " + kPhone + ", " + kToken + ", " + kWord;
  const std::string field = "x-said: " + all + "\r\n";
  while (true) {
    const std::string request = peer.receive();
    if (request.empty()) return;
    std::string answer;
    if (request.find("\"stream\":true") != std::string::npos) {
      std::string events;
      for (size_t at = 0; at < all.size(); at += 7) events += event(all.substr(at, 7));
      answer =
          with_length("200 OK", "content-type: text/event-stream\r\n" + field, events + "data: [DONE]\n\n");
    } else if (request.find("please fail") != std::string::npos) {
      answer = with_length("500 Oops", "content-type: application/json\r\n" + field,
                           R"({"error":{"message":")" + all + R"(","code":")" + kToken + "\"}}");
    } else {
      answer = with_length("200 OK", "content-type: application/json\r\n" + field,
                           R"({"model":"m","choices":[{"message":{"content":")" + all +
                               R"("}}],"usage":{"prompt_tokens":3,"completion_tokens":2}})");
    }
    if (!peer.send(answer)) return;
  }
}

std::string planted_request(const std::string& prompt, const std::string& members = "") {
  const std::string body = R"({"model":"chat","user":")" + kMail + R"(","metadata":{"note":")" + kIban +
                           R"("},"messages":[{"role":"user","content":")" + prompt + ", " + kMail + ", " +
                           kCard + ", " + kIban + ", " + kPhone + ", " + kToken + ", " + kWord + "\"}]" +
                           members + "}";
  return "POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer " +
         std::string(kClientKey) + "\r\ncontent-type: application/json\r\nx-weir-conversation: " + kMail +
         "\r\nx-note: " + kToken + "\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

size_t lines_in(const std::string& text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

// What operators see: nothing of it may hold a credential, also when somebody writes one where none belongs.
std::string ask_as_operator(tools::AdminClient& admin) {
  std::string said;
  const auto call = [&](const tools::AdminRequest& request, int status) {
    const auto answer = admin.call(request);
    ASSERT_TRUE(answer.has_value()) << request.path;
    EXPECT_EQ(answer->status, status) << request.path << answer->body;
    said += answer->body;
  };
  const std::pair<std::string, std::string> reason{"reason", "a test"};
  call({.method = "PUT",
        .path = "/v1/providers/q",
        .query = {reason},
        .body = R"({"dialect":"openai","base_url":"http://127.0.0.1:1/v1","api_key":")" + kToken + "\"}"},
       422);
  call({.method = "PUT",
        .path = "/v1/keys/l",
        .query = {reason},
        .body = R"({"tenant":"t","scenario":"chat","hash":")" + std::string(kClientKey) + "\"}"},
       422);
  call({.method = "PUT",
        .path = "/v1/providers/q",
        .query = {reason},
        .body = R"({"dialect":"openai","base_url":"http://127.0.0.1:1/v1","api_key":"env:MOCK_KEY"})"},
       200);
  call({.method = "POST",
        .path = "/v1/cache:purge",
        .body = R"({"scope":"tenant","name":"t","reason":"a test"})"},
       200);
  for (const char* path : {"/v1/status", "/v1/table", "/v1/limits", "/v1/budgets", "/v1/breakers",
                           "/v1/audit", "/v1/changes/2", "/v1/proposals", "/v1/flags", "/metrics"}) {
    call({.path = path}, 200);
  }
  EXPECT_NE(said.find("\"purge\""), std::string::npos) << "the log is there";
  return said;
}

TEST(Secrets, PlantedAnywhereAreInNoLogRecordMetricOrAdminAnswer) {
  LyingProvider provider(say_secrets);
  std::mutex mutex;
  std::string heard;  // by the webhook
  LyingProvider target([&](LyingProvider::Peer& peer) {
    const std::string request = peer.receive();
    const std::lock_guard lock(mutex);
    heard += request;
    peer.send("HTTP/1.1 204 Taken\r\n\r\n");
  });
  const auto alerts_heard = [&] {
    const std::lock_guard lock(mutex);
    return heard;
  };
  const std::string table =
      R"({"providers":{"p":{"dialect":"openai","api_key":"env:MOCK_KEY","base_url":"http://127.0.0.1:)" +
      std::to_string(provider.port()) + R"(/v1"}},
    "models":{"m":{"provider":"p","price":{"input":1,"output":2}}},
    "units":{"u":{"model":"m","params":{"max_tokens":100},"cache_ttl":"1m"},
             "v":{"model":"m","params":{"max_tokens":99}}},
    "scenarios":{"chat":{"stable":"u"}},
    "flags":{"f":{"scenario":"chat","candidate":{"unit":"v"},"shadow":{"percent":100,"budget_usd":10}}},
    "tenants":{"t":{"limits":{"rpm":600},"budgets":[{"window":"1h","usd":10}],
                    "user_limits":{"rph":100},"user_budgets":[{"window":"1d","usd":1}]}},
    "keys":[{"id":"k","tenant":"t","scenario":"chat","budgets":[{"window":"1h","usd":0.02}],"hash":")" +
      key_hash() + R"("}]})";
  Gateway gateway(table, "guard_state: guards.state\nshadow: { log: shadow.jsonl, mask: [" + kWord +
                             "] }\nalerts: { url: \"http://127.0.0.1:" + std::to_string(target.port()) +
                             "/hook\", secret: \"${KEY_SECRET}\" }\n");
  ASSERT_NE(gateway.port(), 0);

  BlockingClient client(gateway.port());
  const auto ask = [&](const std::string& prompt, const std::string& members = "") {
    client.send(planted_request(prompt, members));
    return client.receive();
  };
  EXPECT_EQ(ask("say it").status, 200);
  EXPECT_EQ(ask("say it").header("x-weir-cache"), "hit");
  EXPECT_EQ(ask("stream it", R"(,"stream":true)").status, 200);
  EXPECT_EQ(ask("please fail").status, 500);
  EXPECT_EQ(ask("say it", R"(,"max_tokens":-1)").status, 400);
  EXPECT_EQ(ask("say it", R"(,"seed":")" + kToken + '"').status, 200);
  EXPECT_EQ(ask("much of it", R"(,"n":128)").status, 429) << "it costs more than the key may spend";
  BlockingClient stranger(gateway.port());
  stranger.send("POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer " + kToken +
                "\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}");
  EXPECT_EQ(stranger.receive().status, 401);

  // Whatever the admin API says.
  tools::AdminClient admin(gateway.admin_socket());
  std::string said = ask_as_operator(admin);
  // Pairs are written as they are finished: one for each request that went out.
  const std::string pairs = gateway.folder_file("shadow.jsonl");
  const auto deadline = std::chrono::steady_clock::now() + weir::testing::Process::kPatience;
  while ((lines_in(text_of(pairs)) < 4 || alerts_heard().empty()) &&
         std::chrono::steady_clock::now() < deadline) {
    admin.call({.path = "/v1/status"});
  }
  gateway.process().stop();
  EXPECT_GE(lines_in(text_of(pairs)), 4u);
  EXPECT_NE(text_of(pairs).find("[email], [card], [iban], [phone], [key], [custom]"), std::string::npos)
      << "the answers are there, but for what must not be";
  EXPECT_GE(lines_in(gateway.access_log()), 7u);
  EXPECT_FALSE(text_of(gateway.folder_file("guards.state")).empty());
  EXPECT_NE(alerts_heard().find("key.budget"), std::string::npos) << alerts_heard();
  const std::string registry =
      text_of(gateway.folder_file("registry.db")) + text_of(gateway.folder_file("registry.db-wal"));
  EXPECT_FALSE(registry.empty());

  said += alerts_heard() + registry;
  said += gateway.access_log() + text_of(pairs) + text_of(gateway.folder_file("guards.state")) +
          gateway.process().output() + gateway.process().errors();
  std::string compact;  // a card number is one in any grouping
  std::copy_if(said.begin(), said.end(), std::back_inserter(compact), [](char c) { return c != ' '; });
  for (const std::string& secret : {kMail, kCard, kIban, kPhone, kToken, kWord, std::string(kClientKey),
                                    std::string("sk-provider"), std::string(kKeySecret)}) {
    std::string squeezed = secret;
    std::erase(squeezed, ' ');
    EXPECT_EQ(said.find(secret), std::string::npos) << secret;
    EXPECT_EQ(compact.find(squeezed), std::string::npos) << secret;
  }
}

}  // namespace
}  // namespace weir::tests::secrets_test
