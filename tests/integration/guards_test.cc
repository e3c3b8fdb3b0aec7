// Limits and budgets of a real process: exact over its shards, and not forgotten when it is killed.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/gateway_fixture.h"
#include "tools/weirctl/admin_client.h"

namespace weir::tests::guards_test {
namespace {

// The echo provider reports 3 tokens in, 2 out: 0.000007 USD.
std::string guarded_table(uint16_t provider, const std::string& more) {
  return R"({"providers":{"p":{"dialect":"openai","base_url":"http://127.0.0.1:)" + std::to_string(provider) +
         R"(/v1"}},
    "models":{"m":{"provider":"p","tier":"economy","price":{"input":1,"output":2}}},
    "units":{"u":{"model":"m","params":{"max_tokens":100}}},
    "scenarios":{"chat":{"stable":"u"}},"tenants":{"t":{)" +
         more + R"(}},
    "keys":[{"id":"k","tenant":"t","scenario":"chat","hash":")" +
         key_hash() + R"("}]})";
}

nlohmann::json admin(const std::string& socket, const std::string& path) {
  tools::AdminClient client(socket);
  const auto answer = client.call({.method = "GET", .path = path});
  return answer ? nlohmann::json::parse(answer->body, nullptr, false) : nlohmann::json();
}

TEST(GuardsOfAProcess, ALimitIsExactOverAllShards) {
  constexpr int kClients = 40, kRequests = 25, kLimit = 137;
  EchoProvider provider;
  for (int run = 0; run < 3; ++run) {
    Gateway gateway(guarded_table(provider.port(), R"("limits":{"rpd":137})"));
    ASSERT_NE(gateway.port(), 0);
    const uint64_t before = provider.requests();
    std::atomic<int> admitted{0}, refused{0};
    std::vector<std::thread> clients;
    for (int i = 0; i < kClients; ++i) {
      clients.emplace_back([&] {
        BlockingClient client(gateway.port());
        std::string batch;
        for (int request = 0; request < kRequests; ++request) batch += chat_request();
        client.send(batch);
        for (int request = 0; request < kRequests; ++request) {
          const Answer answer = client.receive();
          admitted += answer.status == 200;
          refused += answer.status == 429 && !answer.header("retry-after-ms").empty();
        }
      });
    }
    for (std::thread& client : clients) client.join();
    EXPECT_EQ(admitted, kLimit);
    EXPECT_EQ(refused, kClients * kRequests - kLimit);
    EXPECT_EQ(provider.requests() - before, static_cast<uint64_t>(kLimit));
  }
}

// So many connections at once, one request each: whoever comes first, each limit admits its number.
TEST(GuardsOfAProcess, OfAThousandClientsAtOnceExactlyTheLimitIsAdmittedWhateverTheShards) {
  constexpr int kClients = 1000, kLimit = 391;
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = std::min<rlim_t>(files.rlim_max, 4096);
  ::setrlimit(RLIMIT_NOFILE, &files);
  EchoProvider provider;
  for (const int shards : {1, 2, 4, 8}) {
    Gateway gateway(guarded_table(provider.port(), R"("limits":{"rpd":391})"), "", "", shards);
    ASSERT_NE(gateway.port(), 0);
    std::vector<std::unique_ptr<BlockingClient>> clients;
    for (int i = 0; i < kClients; ++i) clients.push_back(std::make_unique<BlockingClient>(gateway.port()));
    const uint64_t before = provider.requests();
    constexpr int kSenders = 4;
    std::vector<std::thread> senders;
    for (int sender = 0; sender < kSenders; ++sender) {
      senders.emplace_back([&, sender] {
        for (int i = sender; i < kClients; i += kSenders)
          clients[static_cast<size_t>(i)]->send(chat_request());
      });
    }
    for (std::thread& sender : senders) sender.join();
    // On a machine that is busy with others a shard may shed some (503): they took no place, and ask again.
    int admitted = 0, refused = 0, lost = 0;
    constexpr int kRounds = 100;
    for (int round = 0; round < kRounds && !clients.empty(); ++round) {
      std::vector<std::unique_ptr<BlockingClient>> shed;
      for (auto& client : clients) {
        const int status = client->receive().status;
        admitted += status == 200;
        refused += status == 429;
        lost += status != 200 && status != 429 && status != 503;
        if (status != 503) continue;
        shed.push_back(std::make_unique<BlockingClient>(gateway.port()));
        shed.back()->send(chat_request());
      }
      clients = std::move(shed);
    }
    EXPECT_EQ(admitted, kLimit) << shards << " shards";
    EXPECT_EQ(refused, kClients - kLimit) << shards << " shards";
    EXPECT_EQ(lost, 0) << shards << " shards";
    EXPECT_EQ(provider.requests() - before, static_cast<uint64_t>(kLimit)) << shards << " shards";
  }
}

TEST(GuardsOfAProcess, SpendSurvivesAKill) {
  EchoProvider provider;
  const std::string table =
      guarded_table(provider.port(),
                    R"("budgets":[{"window":"month","usd":1}],"user_budgets":[{"window":"month","usd":1}],)"
                    R"("user_limits":{"rpd":4})");
  Gateway gateway(table, "guard_state: guards.state\n");
  ASSERT_NE(gateway.port(), 0);
  const auto ask = [&](BlockingClient& client, const std::string& user) {
    EXPECT_TRUE(client.send(chat_request("", "chat", R"(,"user":")" + user + R"(")")));
    return client.receive().status;
  };
  BlockingClient client(gateway.port());
  for (int i = 0; i < 10; ++i) ASSERT_EQ(ask(client, i < 4 ? "anna" : "u" + std::to_string(i)), 200);
  ASSERT_EQ(ask(client, "anna"), 429);
  const double spent = admin(gateway.admin_socket(), "/v1/budgets")["budgets"][0]["spent_usd"];
  EXPECT_DOUBLE_EQ(spent, 0.00007);
  const std::string file = gateway.folder_file("guards.state");
  const auto written = [&] {
    std::ifstream stream(file);
    const std::string text(std::istreambuf_iterator<char>(stream), {});
    return text.find(" 70000 0 0\n") != std::string::npos && text.find(" 28000 0 0\n") != std::string::npos;
  };
  const auto deadline = std::chrono::steady_clock::now() + weir::testing::Process::kPatience;
  while (!written() && std::chrono::steady_clock::now() < deadline)
    admin(gateway.admin_socket(), "/v1/status");
  ASSERT_TRUE(written());
  gateway.crash_and_restart();
  ASSERT_NE(gateway.port(), 0);
  EXPECT_DOUBLE_EQ(admin(gateway.admin_socket(), "/v1/budgets")["budgets"][0]["spent_usd"], spent);
  const auto of_user = admin(gateway.admin_socket(), "/v1/budgets?tenant=t&user=anna")["budgets"];
  ASSERT_EQ(of_user.size(), 1u) << of_user;
  EXPECT_DOUBLE_EQ(of_user[0]["spent_usd"], 0.000028);
  BlockingClient again(gateway.port());
  EXPECT_EQ(ask(again, "anna"), 429);
  EXPECT_EQ(ask(again, "carl"), 200);
}

}  // namespace
}  // namespace weir::tests::guards_test
