// The clocks of core/limits.h at their real length: minutes pass in no time. Each test waits until just before
// the clock runs out, and then until just after.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "net/connection.h"
#include "net/http_server.h"
#include "routing/decide/identify.h"
#include "routing/exchange/gateway.h"
#include "routing/exchange/shard.h"
#include "routing/table/compile.h"
#include "tests/sim/sim_world.h"

namespace weir::sim {
namespace {

namespace limits = core::limits;

constexpr uint64_t kMarginMs = 100;
constexpr int kTurnsToSettle = 50;

// One end of a connection that only listens.
class Ear final : public net::ConnectionHandler {
 public:
  explicit Ear(core::Loop& loop, net::Leg leg = net::Leg::downstream) : connection(loop, *this, leg), loop_(loop) {}
  void say(std::string_view text) {
    connection.send(loop_.buffers().copy_of({reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
  }
  bool closed() const { return connection.state() == net::Connection::State::closed; }

  void on_received(core::Slice data) override { heard += data.text(); }
  void on_end() override {
    ended = true;
    connection.close();
  }
  void on_failed(core::Error error) override { failure = core::describe(error.code).token; }
  void on_closed() override {}

  net::Connection connection;
  std::string heard;
  std::string failure;
  bool ended = false;

 private:
  core::Loop& loop_;
};

class Provider final : public net::RequestHandler {
 public:
  explicit Provider(core::Loop& loop) : server(loop, *this, 8), loop_(loop) {}
  core::Result<void> on_head(net::ServerSession&, const net::RequestHead&, const uint8_t*) override { return {}; }
  void on_request(net::ServerSession& session, const net::Request&) override {
    constexpr std::string_view kAnswer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    session.send(loop_.buffers().copy_of({reinterpret_cast<const uint8_t*>(kAnswer.data()), kAnswer.size()}));
    session.end_response();
  }
  void on_refused(net::ServerSession& session, core::Error) override { session.abort(); }
  void on_client_gone(net::ServerSession&, core::Error) override {}

  net::HttpServer server;

 private:
  core::Loop& loop_;
};

class FixedAddress final : public net::AddressSource {
 public:
  size_t addresses(const std::string& host, uint16_t port, core::SocketAddress* out, size_t) override {
    *out = *core::SocketAddress::parse(host + ":" + std::to_string(port));
    return 1;
  }
};

constexpr std::string_view kHead =
    "POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer sk-sim\r\n"
    "content-type: application/json\r\n";
const std::string kBody = R"({"model":"chat","messages":[{"role":"user","content":"x"}]})";

class SimulatedClocks : public ::testing::Test {
 protected:
  SimulatedClocks() {
    provider_.server.settings().idle_timeout_ms = 10 * limits::kIdleTimeoutMs;
    provider_listener_ = *core::listen_tcp(*core::SocketAddress::parse("127.0.0.1:0"));
    provider_.server.listen(provider_listener_);
    routing::GatewayOptions options;
    options.key_hash_secret = "secret";
    gateway_ = std::make_unique<routing::Gateway>(options, addresses_, [] {});
    shard_ = std::make_unique<routing::Shard>(*loop_, *gateway_, 0);
    const int listener = *core::listen_tcp(*core::SocketAddress::parse("127.0.0.1:0"));
    address_ = core::bound_address(listener);
    shard_->listen(listener);
  }
  ~SimulatedClocks() override {
    for (auto& ear : ears_) ear->connection.close();
    shard_->begin_drain();
    shard_->close_all();
    settle();
    EXPECT_TRUE(shard_->closed());
    provider_.server.begin_drain();
    provider_.server.close_all();
    settle();
    EXPECT_TRUE(provider_.server.closed());
    ears_.clear();
    shard_.reset();
  }

  void publish_table() {
    const std::string port = std::to_string(core::bound_address(provider_listener_).port());
    auto body = routing::compile_text(
        R"({"providers":{"p":{"dialect":"openai","base_url":"http://127.0.0.1:)" + port + R"(/v1"}},
        "models":{"m":{"provider":"p","tier":"economy","price":{"input":1,"output":2}}},
        "units":{"u":{"model":"m"}},"scenarios":{"chat":{"stable":"u"}},"tenants":{"t":{}},
        "keys":[{"id":"k","tenant":"t","hash":")" + routing::hash_key("secret", "sk-sim") + R"("}]})",
        routing::TableFormat::json, {});
    ASSERT_TRUE(body.has_value());
    auto table = std::make_unique<routing::Table>();
    table->revision = 1;
    table->body = std::move(*body);
    gateway_->tables.publish(std::move(table));
    settle();
  }
  Ear& connect() {
    ears_.push_back(std::make_unique<Ear>(*loop_));
    ears_.back()->connection.connect(address_);
    settle();
    return *ears_.back();
  }
  void settle() {
    for (int i = 0; i < kTurnsToSettle; ++i) {
      loop_->turn(0);
      world_.advance(1000);
    }
  }
  void pass(uint64_t ms) {
    world_.advance(ms * 1'000'000);
    settle();
  }
  // `over` becomes true when `clock_ms` have passed from now on, and not before.
  void expect_after(uint64_t clock_ms, const std::function<bool()>& over) {
    pass(clock_ms - kMarginMs);
    EXPECT_FALSE(over()) << "too early";
    pass(2 * kMarginMs);
    EXPECT_TRUE(over()) << "too late";
  }

  World world_{1};
  std::unique_ptr<core::Loop> loop_ = *core::Loop::create();
  FixedAddress addresses_;
  Provider provider_{*loop_};
  int provider_listener_ = -1;
  std::unique_ptr<routing::Gateway> gateway_;
  std::unique_ptr<routing::Shard> shard_;
  core::SocketAddress address_;
  std::vector<std::unique_ptr<Ear>> ears_;
};

TEST_F(SimulatedClocks, AHeadMustComeWithinKHeadTimeoutMs) {
  Ear& client = connect();
  client.say("POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\n");
  settle();
  pass(limits::kHeadTimeoutMs / 2);
  client.say("x-later: 1\r\n");  // does not buy time
  settle();
  expect_after(limits::kHeadTimeoutMs - limits::kHeadTimeoutMs / 2,
               [&] { return client.heard.starts_with("HTTP/1.1 408") && client.ended; });
}

TEST_F(SimulatedClocks, AConnectionMustSaySomethingWithinKHeadTimeoutMs) {
  Ear& client = connect();
  expect_after(limits::kHeadTimeoutMs, [&] { return client.ended; });
  EXPECT_EQ(client.heard, "");
}

TEST_F(SimulatedClocks, ABodyMayNotStallForKBodyStallTimeoutMs) {
  publish_table();
  Ear& client = connect();
  client.say(std::string(kHead) + "content-length: " + std::to_string(kBody.size()) + "\r\n\r\n{");
  settle();
  pass(limits::kBodyStallTimeoutMs / 2);
  client.say("\"");  // a slow body is no stalled one
  settle();
  expect_after(limits::kBodyStallTimeoutMs,
               [&] { return client.heard.starts_with("HTTP/1.1 408") && client.ended; });
}

TEST_F(SimulatedClocks, ABodyThatTricklesMustComeAtKMinBodyBytesPerSecondOnAverage) {
  publish_table();
  const std::string head = std::string(kHead) + "content-length: 10000000\r\n\r\n";
  Ear& trickling = connect();
  Ear& steady = connect();
  trickling.say(head);
  steady.say(head);
  settle();
  // A byte a second never stalls; it buys a thousandth of a second.
  constexpr uint64_t kStepMs = 1000;
  for (uint64_t ms = 0; ms + kStepMs < limits::kBodyGraceMs; ms += kStepMs) {
    pass(kStepMs);
    EXPECT_EQ(trickling.heard, "") << ms;
    trickling.say("{");
    steady.say(std::string(limits::kMinBodyBytesPerSecond, ' '));
    settle();
  }
  pass(2 * kStepMs);
  EXPECT_TRUE(trickling.heard.starts_with("HTTP/1.1 408")) << trickling.heard;
  EXPECT_NE(trickling.heard.find(core::describe(core::ErrorCode::body_timeout).sentence), std::string::npos);
  EXPECT_TRUE(trickling.ended);
  // One that is just fast enough goes on for as long as it takes, and may still pause.
  for (int minute = 0; minute < 10; ++minute) {
    for (int step = 0; step < 60; ++step) {
      steady.say(std::string(limits::kMinBodyBytesPerSecond * kStepMs / 1000, ' '));
      settle();
      pass(kStepMs);
    }
    ASSERT_EQ(steady.heard, "") << minute;
  }
  expect_after(limits::kBodyStallTimeoutMs - kStepMs, [&] { return steady.heard.starts_with("HTTP/1.1 408"); });
}

TEST_F(SimulatedClocks, AConnectionMayIdleForKIdleTimeoutMs) {
  Ear& client = connect();
  client.say("GET /healthz HTTP/1.1\r\nhost: weir\r\n\r\n");
  settle();
  ASSERT_TRUE(client.heard.starts_with("HTTP/1.1 200"));
  client.heard.clear();
  expect_after(limits::kIdleTimeoutMs, [&] { return client.ended; });
  EXPECT_EQ(client.heard, "");
}

TEST_F(SimulatedClocks, AClientMayNotStopReadingForKWriteStallTimeoutMs) {
  world_.faults.socket_buffer_bytes = 64;  // less than the answer
  Ear& client = connect();
  client.connection.pause_receiving();
  client.say("GET /healthz HTTP/1.1\r\nhost: weir\r\n\r\n");
  settle();
  expect_after(limits::kWriteStallTimeoutMs, [&] { return gateway_->metrics[0]->connections.value() == 0; });
}

TEST_F(SimulatedClocks, AProviderMustAcceptWithinKUpstreamConnectMs) {
  ears_.push_back(std::make_unique<Ear>(*loop_, net::Leg::upstream));
  Ear& upstream = *ears_.back();
  world_.faults.slow_connect = 1;
  upstream.connection.connect(core::bound_address(provider_listener_));
  settle();
  expect_after(limits::kUpstreamConnectMs, [&] { return upstream.failure == "connect_timeout" && upstream.closed(); });
}

TEST_F(SimulatedClocks, AnIdleConnectionToAProviderIsKeptForKUpstreamIdleMs) {
  publish_table();
  Ear& client = connect();
  client.say(std::string(kHead) + "content-length: " + std::to_string(kBody.size()) + "\r\n\r\n" + kBody);
  settle();
  ASSERT_TRUE(client.heard.starts_with("HTTP/1.1 200")) << client.heard;
  ASSERT_EQ(provider_.server.connections(), 1u);
  // Looked at once in a while, not to the millisecond.
  pass(limits::kUpstreamIdleMs - kMarginMs);
  EXPECT_EQ(provider_.server.connections(), 1u);
  pass(limits::kUpstreamIdleMs);
  EXPECT_EQ(provider_.server.connections(), 0u);
}

TEST_F(SimulatedClocks, WithoutATableTheAnswerIsNotReady) {
  Ear& client = connect();
  client.say(std::string(kHead) + "content-length: " + std::to_string(kBody.size()) + "\r\n\r\n" + kBody);
  settle();
  EXPECT_TRUE(client.heard.starts_with("HTTP/1.1 503")) << client.heard;
  EXPECT_NE(client.heard.find(core::describe(core::ErrorCode::not_ready).sentence), std::string::npos);
  EXPECT_TRUE(client.ended);
}

}  // namespace
}  // namespace weir::sim
