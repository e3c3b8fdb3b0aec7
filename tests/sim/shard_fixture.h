// One shard of the gateway on the simulated kernel, a provider behind it, and clients that are no more than
// ears.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/connection.h"
#include "net/http_server.h"
#include "routing/decide/identify.h"
#include "routing/exchange/gateway.h"
#include "routing/exchange/shard.h"
#include "routing/table/compile.h"
#include "tests/sim/sim_world.h"

namespace weir::sim {

// One end of a connection that only listens.
class Ear final : public net::ConnectionHandler {
 public:
  explicit Ear(core::Loop& loop, net::Leg leg = net::Leg::downstream)
      : connection(loop, *this, leg), loop_(loop) {}
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
  core::Result<void> on_head(net::ServerSession&, const net::RequestHead&, const uint8_t*) override {
    return {};
  }
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

class ShardOnSim : public ::testing::Test {
 protected:
  static constexpr uint64_t kMarginMs = 100;
  static constexpr int kTurnsToSettle = 50;

  ShardOnSim() {
    provider_.server.settings().idle_timeout_ms = 10 * core::limits::kIdleTimeoutMs;
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
  ~ShardOnSim() override {
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

  // What `units`, `scenarios`, ... say, behind a provider "p" with model "m", and a key "sk-sim" of tenant
  // "t". Each table has the next revision.
  void publish(const std::string& members) {
    const std::string port = std::to_string(core::bound_address(provider_listener_).port());
    auto body = routing::compile_text(
        R"({"providers":{"p":{"dialect":"openai","base_url":"http://127.0.0.1:)" + port + R"(/v1"}},
        "models":{"m":{"provider":"p","tier":"economy","price":{"input":1,"output":2}}},
        "keys":[{"id":"k","tenant":"t","hash":")" +
            routing::hash_key("secret", "sk-sim") + "\"}]," + members + "}",
        routing::TableFormat::json, {});
    ASSERT_TRUE(body.has_value()) << routing::to_string(body.error().front());
    auto table = std::make_unique<routing::Table>();
    table->revision = ++revision_;
    table->body = std::move(body->body);
    table->tenants = std::move(body->tenants);
    table->published_wall_ns = world_.wall_ns;
    gateway_->tables.publish(std::move(table));
    settle();
  }
  void publish_table() {
    publish(R"("units":{"u":{"model":"m"}},"scenarios":{"chat":{"stable":"u"}},"tenants":{"t":{}})");
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
  uint64_t revision_ = 0;
  std::unique_ptr<core::Loop> loop_ = *core::Loop::create();
  FixedAddress addresses_;
  Provider provider_{*loop_};
  int provider_listener_ = -1;
  std::unique_ptr<routing::Gateway> gateway_;
  std::unique_ptr<routing::Shard> shard_;
  core::SocketAddress address_;
  std::vector<std::unique_ptr<Ear>> ears_;
};

}  // namespace weir::sim
