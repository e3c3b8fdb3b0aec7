// The bounds of a whole process, lowered by its configuration so that a test reaches them; and those whose
// real size can be reached.
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/limits.h"
#include "routing/exchange/gateway.h"
#include "tests/integration/gateway_fixture.h"
#include "tests/integration/lying_provider.h"
#include "tools/weirctl/admin_client.h"
#include "tools/weir/config.h"

namespace weir::tests::limits_test {
namespace {

using core::ErrorCode;
using Peer = LyingProvider::Peer;
namespace limits = core::limits;

constexpr int kClients = 8;
constexpr int kShards = 2;  // of the gateway: each has the limit for itself
const std::string kAnswer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

std::string table(uint16_t provider) {
  return R"({"providers":{"p":{"dialect":"openai","base_url":"http://127.0.0.1:)" + std::to_string(provider) + R"(/v1"}},
    "models":{"m":{"provider":"p","tier":"economy","price":{"input":1,"output":2}}},
    "units":{"u":{"model":"m"}},"scenarios":{"chat":{"stable":"u"}},"tenants":{"t":{}},
    "keys":[{"id":"k","tenant":"t","hash":")" + key_hash() + R"("}]})";
}
std::string with(const std::string& override) { return "limits: { " + override + " }\n"; }

void expect_overloaded(const Answer& answer, ErrorCode error) {
  EXPECT_EQ(answer.status, 503) << answer.head;
  EXPECT_EQ(answer.header("x-should-retry"), "false");
  const auto body = nlohmann::json::parse(answer.body, nullptr, false);
  EXPECT_EQ(body["error"].value("message", ""), core::describe(error).sentence) << answer.body;
  EXPECT_EQ(body["error"].value("code", ""), "overloaded");
}

TEST(Limits, AreWhatAGatewayStartsWith) {
  const routing::GatewayOptions gateway;
  const tools::LimitOverrides config;
  EXPECT_EQ(gateway.max_body_bytes, limits::kMaxBodyBytes);
  EXPECT_EQ(gateway.max_connections_per_shard, limits::kMaxConnectionsPerShard);
  EXPECT_EQ(gateway.max_exchanges_per_shard, limits::kMaxExchangesPerShard);
  EXPECT_EQ(config.max_body_bytes, limits::kMaxBodyBytes);
  EXPECT_EQ(config.max_connections_per_shard, limits::kMaxConnectionsPerShard);
  EXPECT_EQ(config.max_exchanges_per_shard, limits::kMaxExchangesPerShard);
  EXPECT_EQ(config.head_timeout_ms, limits::kHeadTimeoutMs);
  EXPECT_EQ(config.body_stall_timeout_ms, limits::kBodyStallTimeoutMs);
  EXPECT_EQ(config.idle_timeout_ms, limits::kIdleTimeoutMs);
  EXPECT_EQ(config.write_stall_timeout_ms, limits::kWriteStallTimeoutMs);
  EXPECT_EQ(config.upstream_idle_ms, limits::kUpstreamIdleMs);
  EXPECT_EQ(config.drain_timeout_ms, limits::kDrainTimeoutMs);
}

// Whatever the kernel's hash says of them: eight long connections would often be five, two, one and none.
TEST(Limits, ShardsHaveEquallyManyOfAFewConnections) {
  EchoProvider provider;
  Gateway gateway(table(provider.port()), "", {.shards = 4});
  std::vector<std::unique_ptr<BlockingClient>> clients;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(std::make_unique<BlockingClient>(gateway.port()));
    clients.back()->send(chat_request());
    EXPECT_EQ(clients.back()->receive().status, 200);
  }
  const auto metrics = tools::AdminClient(gateway.admin_socket()).call({.path = "/metrics"});
  ASSERT_TRUE(metrics.has_value());
  for (int shard = 0; shard < 4; ++shard) {
    const std::string line = "weir_connections{shard=\"" + std::to_string(shard) + "\"} 2\n";
    EXPECT_NE(metrics->body.find(line), std::string::npos) << line;
  }
}

TEST(Limits, ConnectionsPastTheirLimitAreToldSo) {
  EchoProvider provider;
  Gateway gateway(table(provider.port()), with("max_connections_per_shard: 1"));
  ASSERT_NE(gateway.port(), 0);
  std::vector<std::unique_ptr<BlockingClient>> clients;
  int served = 0;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<BlockingClient>(gateway.port()));
    clients.back()->send(chat_request());
    const Answer answer = clients.back()->receive();
    if (answer.status == 200) {
      ++served;
      continue;
    }
    expect_overloaded(answer, ErrorCode::too_many_connections);
    EXPECT_EQ(answer.header("connection"), "close");
  }
  EXPECT_EQ(served, kShards) << "they share";
  EXPECT_EQ(provider.requests(), static_cast<uint64_t>(served));
}

TEST(Limits, RequestsPastTheirLimitAreToldSoAndTheConnectionGoesOn) {
  std::promise<void> go;
  LyingProvider provider([&, gone = go.get_future().share()](Peer& peer) {
    while (!peer.receive().empty()) {
      gone.wait();
      if (!peer.send(kAnswer)) return;
    }
  });
  Gateway gateway(table(provider.port()), with("max_exchanges_per_shard: 1"));
  ASSERT_NE(gateway.port(), 0);
  std::vector<std::unique_ptr<BlockingClient>> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<BlockingClient>(gateway.port()));
    clients.back()->send(chat_request());
  }
  // At most one request of each shard is with the provider; the rest is answered now.
  std::vector<BlockingClient*> owed;
  for (auto& client : clients) owed.push_back(client.get());
  for (int round = 0; round < 20 && owed.size() > kShards; ++round) {
    std::erase_if(owed, [](BlockingClient* client) {
      if (!client->readable()) return false;
      expect_overloaded(client->receive(), ErrorCode::too_many_exchanges);
      return true;
    });
  }
  EXPECT_LE(owed.size(), static_cast<size_t>(kShards));
  go.set_value();
  for (BlockingClient* client : owed) EXPECT_EQ(client->receive().status, 200);
  // And then there is room again, on the same connections.
  for (auto& client : clients) {
    client->send(chat_request());
    EXPECT_EQ(client->receive().status, 200);
  }
}

TEST(Limits, AClientThatStopsReadingStopsTheProviderAndIsLeft) {
  std::promise<bool> ended;
  LyingProvider provider([&](Peer& peer) {
    if (peer.receive().empty()) return;
    peer.send("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000000000\r\n\r\n");
    const std::string piece(limits::kMaxQueuedSendBytes, 'x');
    size_t sent = 0;
    while (sent < 1'000'000'000 && peer.send(piece)) sent += piece.size();
    ended.set_value(sent < 1'000'000'000);
  });
  Gateway gateway(table(provider.port()), with("write_stall_timeout: 100ms"));
  BlockingClient client(gateway.port());
  client.send(chat_request());
  EXPECT_TRUE(ended.get_future().get()) << "the provider was never stopped";
  EXPECT_EQ(gateway.process().stop(), 0);
  EXPECT_NE(gateway.access_log().find(R"("error":"client_stalled")"), std::string::npos) << gateway.access_log();
}

TEST(Limits, AnIdleConnectionToAProviderIsClosedAfterTheTimeConfigured) {
  std::promise<bool> ended;
  LyingProvider provider([&](Peer& peer) {
    peer.receive();
    peer.send(kAnswer);
    ended.set_value(peer.wait_for_end());
  });
  Gateway gateway(table(provider.port()), with("upstream_idle: 100ms"));
  BlockingClient client(gateway.port());
  client.send(chat_request());
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_TRUE(ended.get_future().get());
}

TEST(Limits, ATableFileLargerThanKMaxTableBytesIsNotRead) {
  weir::testing::TemporaryFolder folder;
  const std::string file = folder.write("table.json", "{}");
  ASSERT_EQ(::truncate(file.c_str(), off_t{limits::kMaxTableBytes} + 1), 0);  // takes no space
  const auto result = weir::testing::run(WEIR_BINARY, {.arguments = {"check", "--table", file}});
  EXPECT_EQ(result.exit_code, 2) << result.output << result.errors;
  EXPECT_NE((result.output + result.errors).find("larger than " + std::to_string(limits::kMaxTableBytes)),
            std::string::npos)
      << result.output << result.errors;
}

}  // namespace
}  // namespace weir::tests::limits_test
