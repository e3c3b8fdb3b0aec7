// Webhook alerts and paired records of a real process: what is delivered and written, and that nobody who
// asks waits for it.
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/gateway_fixture.h"
#include "tests/integration/lying_provider.h"

namespace weir::tests::alerts_test {
namespace {

using Peer = LyingProvider::Peer;
using std::chrono::steady_clock;

constexpr std::string_view kSecret = kKeySecret;

// Each answer costs 0.000007 USD, each request may cost 0.0002 and more.
std::string table(uint16_t provider, const std::string& tenant, const std::string& flags = "",
                  uint16_t candidate = 0) {
  const auto at = [](uint16_t port) { return "http://127.0.0.1:" + std::to_string(port) + "/v1"; };
  return R"({"providers":{"p":{"dialect":"openai","base_url":")" + at(provider) +
         R"("},"q":{"dialect":"openai","base_url":")" + at(candidate != 0 ? candidate : provider) + R"("}},
    "models":{"m":{"provider":"p","tier":"economy","price":{"input":1,"output":2}},
              "n":{"provider":"q","tier":"economy","price":{"input":1,"output":2}}},
    "units":{"u":{"model":"m","params":{"max_tokens":100}},"v":{"model":"n","params":{"max_tokens":100}}},
    "scenarios":{"chat":{"stable":"u"}},"flags":{)" +
         flags + R"(},"tenants":{"t":{)" + tenant + R"(}},
    "keys":[{"id":"k","tenant":"t","scenario":"chat","hash":")" +
         key_hash() + R"("}]})";
}
std::string webhook(uint16_t port) {
  return "alerts: { url: \"http://127.0.0.1:" + std::to_string(port) + "/hook\", secret: \"${KEY_SECRET}\" }\n";
}
bool comes_true(const std::function<bool()>& condition) {
  const auto deadline = steady_clock::now() + weir::testing::Process::kPatience;
  while (!condition()) {
    if (steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}
std::string hmac_hex(std::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  HMAC(EVP_sha256(), kSecret.data(), static_cast<int>(kSecret.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest, &size);
  std::string hex;
  for (unsigned i = 0; i < size; ++i) {
    constexpr char kDigits[] = "0123456789abcdef";
    hex += {kDigits[digest[i] >> 4], kDigits[digest[i] & 15]};
  }
  return hex;
}

TEST(Alerts, AWebhookHearsOfABudgetOnceSignedAndAgainWhenItFailed) {
  EchoProvider provider;
  std::mutex mutex;
  std::vector<std::string> heard;
  LyingProvider target([&](Peer& peer) {
    const std::string request = peer.receive();
    const std::lock_guard lock(mutex);
    heard.push_back(request);
    const bool first = heard.size() == 1;
    peer.send(first ? "HTTP/1.1 503 Later\r\ncontent-length: 0\r\n\r\n" : "HTTP/1.1 204 Taken\r\n\r\n");
  });
  Gateway gateway(table(provider.port(), R"("budgets":[{"window":"1h","usd":0.0001}])"),
                  webhook(target.port()));
  ASSERT_NE(gateway.port(), 0);
  BlockingClient client(gateway.port());
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(client.send(chat_request()));
    ASSERT_EQ(client.receive().status, 429);
  }
  ASSERT_TRUE(comes_true([&] {
    const std::lock_guard lock(mutex);
    return heard.size() == 2;
  }));
  gateway.process().signal(SIGTERM);
  gateway.process().wait();
  ASSERT_EQ(heard.size(), 2u) << "once for all fifty, and once more because it had failed";
  std::vector<std::string> bodies;
  for (const std::string& request : heard) {
    const std::string body = request.substr(request.find("\r\n\r\n") + 4);
    bodies.push_back(body);
    EXPECT_TRUE(request.starts_with("POST /hook HTTP/1.1\r\n"));
    const std::string time(between(request, "x-weir-signature: t=", ","));
    EXPECT_EQ(between(request, ",v1=", "\r\n"), hmac_hex(time + "." + body));
    EXPECT_EQ(request.find(kSecret), std::string::npos);
  }
  EXPECT_EQ(bodies[0], bodies[1]);
  EXPECT_EQ(between(heard[0], "x-weir-alert: ", "\r\n"), between(heard[1], "x-weir-alert: ", "\r\n"));
  const auto alert = nlohmann::json::parse(bodies[0]);
  EXPECT_EQ(alert["type"], "budget");
  EXPECT_EQ(alert["limit"], "tenant.budget");
  EXPECT_EQ(alert["tenant"], "t");
}

TEST(Alerts, NobodyWaitsForATargetThatHangs) {
  EchoProvider provider;
  LyingProvider target([](Peer& peer) {
    peer.receive();
    peer.wait_for_end();
  });
  Gateway gateway(table(provider.port(), R"("budgets":[{"window":"1h","usd":0.0005}])"),
                  webhook(target.port()));
  ASSERT_NE(gateway.port(), 0);
  BlockingClient client(gateway.port());
  const auto refused = [&] {
    client.send(chat_request());
    return client.receive().status == 429;
  };
  ASSERT_TRUE(comes_true(refused));
  ASSERT_TRUE(comes_true([&] { return !target.served().empty(); }));
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(client.send(chat_request()));
    ASSERT_NE(client.receive().status, 0);
  }
  const auto began = steady_clock::now();
  gateway.process().signal(SIGTERM);
  gateway.process().wait();
  EXPECT_LT(steady_clock::now() - began, std::chrono::seconds(8)) << "its own patience is ten seconds";
}

TEST(ShadowOfAProcess, WritesAPairForEveryRequestAndTheClientSeesNothingOfIt) {
  EchoProvider provider;
  LyingProvider candidate([](Peer& peer) {
    const std::string body = R"({"model":"n","choices":[{"message":{"content":"Write to eve@example.com"}}],)"
                             R"("usage":{"prompt_tokens":3,"completion_tokens":7,"total_tokens":10}})";
    while (!peer.receive().empty()) {
      peer.send("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " +
                std::to_string(body.size()) + "\r\n\r\n" + body);
    }
  });
  Gateway gateway(
      table(provider.port(), "",
            R"("f":{"scenario":"chat","candidate":{"unit":"v"},"shadow":{"percent":100,"budget_usd":1}})",
            candidate.port()),
      "shadow: { log: shadow.jsonl }\n");
  ASSERT_NE(gateway.port(), 0);
  BlockingClient client(gateway.port());
  constexpr int kRequests = 5;
  std::vector<std::string> ids;
  for (int i = 0; i < kRequests; ++i) {
    ASSERT_TRUE(client.send(chat_request()));
    const Answer answer = client.receive();
    ASSERT_EQ(answer.status, 200);
    EXPECT_EQ(answer.header("x-weir-unit"), "u");
    EXPECT_EQ(answer.body.find("eve"), std::string::npos);
    ids.emplace_back(answer.header("x-request-id"));
  }
  std::vector<nlohmann::json> pairs;
  ASSERT_TRUE(comes_true([&] {
    pairs.clear();
    std::ifstream file(gateway.folder_file("shadow.jsonl"));
    for (std::string line; std::getline(file, line);)
      pairs.push_back(nlohmann::json::parse(line, nullptr, false));
    return pairs.size() == kRequests;
  }));
  for (const nlohmann::json& pair : pairs) {
    EXPECT_NE(std::ranges::find(ids, pair["request_id"].get<std::string>()), ids.end());
    EXPECT_EQ(pair["flag"], "f");
    EXPECT_EQ(pair["primary"]["unit"], "u");
    EXPECT_EQ(pair["primary"]["output_tokens"], 2);
    EXPECT_EQ(pair["shadow"]["unit"], "v");
    EXPECT_EQ(pair["shadow"]["output_tokens"], 7);
    EXPECT_EQ(pair["shadow"]["cost_usd"], 0.000017);
    const std::string text = pair["shadow"]["text"];
    EXPECT_TRUE(text.starts_with("Write to ")) << text;
    EXPECT_EQ(text.find("eve@"), std::string::npos);
  }
  EXPECT_EQ(gateway.access_log().find("eve"), std::string::npos);
}

}  // namespace
}  // namespace weir::tests::alerts_test
