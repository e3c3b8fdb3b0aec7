// A whole gateway shard on the simulated kernel with a raw client before it and a provider behind it, for the
// targets that are about connections. The same input gives the same run.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/connection.h"
#include "net/http_server.h"
#include "routing/exchange/gateway.h"
#include "routing/exchange/shard.h"
#include "routing/table/compile.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/sim/sim_world.h"

namespace weir::fuzz {

inline core::Slice slice_of(core::Loop& loop, std::string_view text) {
  return loop.buffers().copy_of({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

// Answers every request with the same bytes, whatever they are; then the connection goes on or ends.
class ScriptedProvider final : public net::RequestHandler {
 public:
  explicit ScriptedProvider(core::Loop& loop) : loop_(loop), server(loop, *this, 64) {}

  core::Result<void> on_head(net::ServerSession&, const net::RequestHead&, const uint8_t*) override {
    return {};
  }
  void on_request(net::ServerSession& session, const net::Request& request) override {
    ++requests;
    const std::string_view body(reinterpret_cast<const char*>(request.body.data()), request.body.size());
    EXPECT_NE(body.find("\"m-1\""), std::string_view::npos) << "not the unit's model: " << body;
    seen.push_back({.method = std::string(request.head.method_text.view(request.base)),
                    .target = std::string(request.head.target.view(request.base)),
                    .body = std::string(body)});
    const std::string_view rest(answer);
    for (size_t at = 0; at < rest.size(); at += piece) session.send(slice_of(loop_, rest.substr(at, piece)));
    if (ends_connection) return session.abort();
    session.end_response();
  }
  void on_refused(net::ServerSession& session, core::Error error) override {
    ADD_FAILURE() << "the provider got a bad request: " << core::describe(error.code).token;
    session.abort();
  }
  void on_client_gone(net::ServerSession&, core::Error) override {}

  std::string answer;
  size_t piece = SIZE_MAX / 2;
  bool ends_connection = false;
  int requests = 0;
  struct Seen {
    std::string method, target, body;
  };
  std::vector<Seen> seen;

 private:
  core::Loop& loop_;

 public:
  net::HttpServer server;
};

class RawClient final : public net::ConnectionHandler {
 public:
  explicit RawClient(core::Loop& loop) : loop_(loop), connection_(loop, *this, net::Leg::upstream) {}

  void connect(const core::SocketAddress& gateway) { connection_.connect(gateway); }
  void send(std::string_view bytes) {
    if (open_ && !bytes.empty()) connection_.send(slice_of(loop_, bytes));
  }
  void close() { connection_.close(); }
  bool closed() const { return connection_.state() == net::Connection::State::closed; }
  bool open() const { return open_; }

  void on_open() override { open_ = true; }
  void on_received(core::Slice data) override { received += data.text(); }
  void on_end() override {
    open_ = false;
    connection_.close();
  }
  void on_failed(core::Error) override { open_ = false; }
  void on_closed() override { open_ = false; }

  std::string received;

 private:
  core::Loop& loop_;
  bool open_ = false;
  net::Connection connection_;
};

// Takes hosts for addresses.
class LiteralAddresses final : public net::AddressSource {
 public:
  size_t addresses(const std::string& host, uint16_t port, core::SocketAddress* out, size_t) override {
    *out = *core::SocketAddress::parse(host + ":" + std::to_string(port));
    return 1;
  }
};

class FuzzGateway final {
 public:
  static constexpr std::string_view kSecret = "secret";
  static constexpr std::string_view kToken = "sk-sim";

  explicit FuzzGateway(const sim::Faults& faults = {})
      : world_(1, faults),
        gateway_loop_(*core::Loop::create()),
        provider_loop_(*core::Loop::create()),
        client_loop_(*core::Loop::create()),
        provider(*provider_loop_),
        client(*client_loop_) {
    const int provider_listener = *core::listen_tcp(*core::SocketAddress::parse("127.0.0.1:0"));
    provider.server.listen(provider_listener);
    routing::GatewayOptions options;
    options.key_hash_secret = kSecret;
    options.process_seed = 1;
    options.pin_memory_bytes = 4096;
    gateway_ = std::make_unique<routing::Gateway>(options, addresses_, [] {});
    auto table = std::make_unique<routing::Table>();
    table->revision = 1;
    routing::CompiledTable compiled = compile(core::bound_address(provider_listener).port());
    table->body = std::move(compiled.body);
    table->tenants = std::move(compiled.tenants);
    gateway_->tables.publish(std::move(table));
    shard_ = std::make_unique<routing::Shard>(*gateway_loop_, *gateway_, 0);
    const int listener = *core::listen_tcp(*core::SocketAddress::parse("127.0.0.1:0"));
    shard_->listen(listener);
    client.connect(core::bound_address(listener));
    for (int i = 0; i < 100 && !client.open(); ++i) turn();
    EXPECT_TRUE(client.open());
  }

  void turn(uint64_t ns = 50'000) {
    client_loop_->turn(0);
    gateway_loop_->turn(0);
    provider_loop_->turn(0);
    world_.advance(ns);
  }
  void turns(int count) {
    for (int i = 0; i < count; ++i) turn();
  }
  // Many turns, with every clock of the gateway running out on the way.
  void wait_out() {
    for (int i = 0; i < 80; ++i) turn(10'000'000'000);
  }

  // Ends everything; what is left behind is a failure.
  void end() {
    client.close();
    shard_->begin_drain();
    bool closing = false;
    for (int i = 0; i < 5'000; ++i) {
      turn();
      if (i == 500) gateway_loop_->post([this] { shard_->close_all(); });
      if (!shard_->closed()) continue;
      if (!std::exchange(closing, true)) provider.server.begin_drain();
      if (i > 1000) provider.server.close_all();
      if (provider.server.closed() && client.closed()) break;
    }
    EXPECT_TRUE(shard_->closed());
    EXPECT_TRUE(provider.server.closed());
    turn();
    gateway_->records[0]->drain([this](const routing::Record& record) {
      ++records;
      attempts += record.attempts;
      std::string line;
      routing::append_json(record, line);
      EXPECT_EQ(line.find(kToken), std::string::npos) << "a key in a record";
    });
    EXPECT_LE(provider.requests, attempts) << "a refused request reached the provider";
    shard_.reset();
    gateway_->tables.reclaim();
    EXPECT_EQ(gateway_->tables.live_versions(), 1u) << "an exchange kept its table";
  }

 private:
  static routing::CompiledTable compile(uint16_t port) {
    const std::string text = R"({"providers":{"p":{"dialect":"openai","base_url":"http://127.0.0.1:)" +
                             std::to_string(port) + R"(/v1"}},
        "models":{"m-1":{"provider":"p","price":{"input":1,"cached_input":0.5,"output":2}}},
        "units":{"u-1":{"model":"m-1","params":{"temperature":0.5},
                        "timeouts":{"connect":"2s","first_token":"3s","idle":"3s","total":"20s"}}},
        "scenarios":{"chat":{"stable":"u-1"}},"tenants":{"t-1":{}},
        "keys":[{"id":"k-1","tenant":"t-1","scenario":"chat","hash":")" +
                             routing::hash_key(kSecret, kToken) + R"("}]})";
    auto body = routing::compile_text(text, routing::TableFormat::json, {});
    EXPECT_TRUE(body.has_value());
    return *std::move(body);
  }

  sim::World world_;
  LiteralAddresses addresses_;
  std::unique_ptr<core::Loop> gateway_loop_, provider_loop_, client_loop_;
  std::unique_ptr<routing::Gateway> gateway_;
  std::unique_ptr<routing::Shard> shard_;

 public:
  ScriptedProvider provider;
  RawClient client;
  int records = 0;
  int attempts = 0;
};

}  // namespace weir::fuzz
