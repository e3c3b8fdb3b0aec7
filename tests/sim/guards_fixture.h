// Limits, budgets and breakers in whole exchanges: client, shard and provider on the simulated kernel and
// clock, with the production code between them. What the tests of guards share.
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
#include "routing/exchange/exchange.h"
#include "routing/exchange/gateway.h"
#include "routing/exchange/shard.h"
#include "routing/table/compile.h"
#include "routing/table/kills.h"
#include "tests/sim/sim_world.h"

namespace weir::sim {

using core::ErrorCode;

inline constexpr int64_t kUsd = 1'000'000'000;
// What a client says unless told otherwise: a token per byte at most, one for four of them as an estimate.
inline constexpr std::string_view kMessages = R"([{"role":"user","content":"x"}])";
inline constexpr auto kMostInput = static_cast<int64_t>(kMessages.size());
inline constexpr int64_t kExpectedInput = kMostInput / 4 + 1;

inline std::string response(std::string_view status, std::string_view body, std::string_view fields = "") {
  return "HTTP/1.1 " + std::string(status) + "\r\ncontent-type: application/json\r\n" + std::string(fields) +
         "content-length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}
// So many tokens of output at 1 USD per 1,000 of them.
inline std::string answer(int tokens) {
  return response(
      "200 OK",
      R"({"choices":[{"index":0,"message":{"content":"hello"}}],"usage":{"prompt_tokens":0,"completion_tokens":)" +
          std::to_string(tokens) + R"(,"total_tokens":)" + std::to_string(tokens) + "}}");
}

class GuardProvider final : public net::RequestHandler {
 public:
  explicit GuardProvider(core::Loop& loop) : server(loop, *this, 2048), loop_(loop) {}
  core::Result<void> on_head(net::ServerSession&, const net::RequestHead&, const uint8_t*) override {
    return {};
  }
  void on_request(net::ServerSession& session, const net::Request& request) override {
    ++requests;
    last_body.assign(request.body.begin(), request.body.end());
    std::string text = answer_with();
    if (text.empty()) return;  // stays silent
    const bool cuts = cut_at < text.size();
    if (cuts) text.resize(cut_at);
    session.send(loop_.buffers().copy_of({reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
    if (cuts) return session.cut();
    if (!stays_open) session.end_response();
  }
  void on_refused(net::ServerSession& session, core::Error) override { session.abort(); }
  void on_client_gone(net::ServerSession&, core::Error) override { ++left; }

  int requests = 0;
  int left = 0;              // requests whose client went away
  size_t cut_at = SIZE_MAX;  // the connection ends after so many bytes of the answer
  bool stays_open = false;   // the answer goes on and on
  std::string last_body;
  std::function<std::string()> answer_with = [] { return answer(100); };
  net::HttpServer server;

 private:
  core::Loop& loop_;
};

class GuardClient final : public net::ConnectionHandler {
 public:
  explicit GuardClient(core::Loop& loop) : connection(loop, *this, net::Leg::downstream), loop_(loop) {}
  void say(std::string_view text) {
    connection.send(loop_.buffers().copy_of({reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
  }
  void on_received(core::Slice data) override { heard += data.text(); }
  void on_end() override { connection.close(); }
  void on_failed(core::Error) override {}
  void on_closed() override {}

  net::Connection connection;
  std::string heard;

 private:
  core::Loop& loop_;
};

class GuardAddress final : public net::AddressSource {
 public:
  size_t addresses(const std::string& host, uint16_t port, core::SocketAddress* out, size_t) override {
    *out = *core::SocketAddress::parse(host + ":" + std::to_string(port));
    return 1;
  }
};

class GuardsInAnExchange : public ::testing::Test {
 protected:
  explicit GuardsInAnExchange(routing::GatewayOptions options = {}) {
    provider_listener_ = *core::listen_tcp(*core::SocketAddress::parse("127.0.0.1:0"));
    provider_.server.settings().idle_timeout_ms = 100'000'000;
    provider_.server.listen(provider_listener_);
    options.key_hash_secret = "secret";
    options.idle_timeout_ms = 100'000'000;
    gateway_ = std::make_unique<routing::Gateway>(options, addresses_, [] {});
    shard_ = std::make_unique<routing::Shard>(*loop_, *gateway_, 0);
    const int listener = *core::listen_tcp(*core::SocketAddress::parse("127.0.0.1:0"));
    address_ = core::bound_address(listener);
    shard_->listen(listener);
  }
  ~GuardsInAnExchange() override {
    for (auto& client : clients_) client->connection.close();
    shard_->begin_drain();
    shard_->close_all();
    settle();
    shard_->closed();  // the first look ends idle connections to providers
    settle();
    EXPECT_TRUE(shard_->closed());
    expect_nothing_reserved();
    provider_.server.begin_drain();
    provider_.server.close_all();
    settle();
    clients_.clear();
    shard_.reset();
  }

  // Nobody asks for the scenario `elsewhere`: with it every action of limits and budgets can act somewhere.
  // Output costs 1 USD per 1,000 tokens on `dear`, a tenth on `cheap`; input what input_price_ says.
  void publish(const std::string& scenario, const std::string& tenant, const std::string& more = "") {
    const std::string port = std::to_string(core::bound_address(provider_listener_).port());
    auto body = routing::compile_text("providers: { p: { dialect: openai, base_url: \"http://127.0.0.1:" +
                                          port + R"(/v1" })" + providers_ + R"( }
models:
  dear: { )" + dear_ + R"(, tier: premium, price: { input: )" +
                                          input_price_ + R"(, output: 1000 } }
  cheap: { )" + cheap_ + R"(, tier: economy, price: { input: )" +
                                          input_price_ + R"(, output: 100 } }
units:
  best: { model: dear, params: { max_tokens: 1000 } )" +
                                          unit_ + R"( }
  mini: { model: cheap, params: { max_tokens: 1000 } )" +
                                          mini_ + R"( }
  away: { model: dear, cache_ttl: 1s }
scenarios: { chat: { stable: best)" + scenario +
                                          R"( },
             elsewhere: { stable: away, fallback: [ { unit: mini }, { static: "Elsewhere." } ] } }
tenants: { t: { )" + tenant + R"( })" + tenants_ +
                                          R"( }
keys: [ { id: k, tenant: t, scenario: chat, hash: ")" +
                                          routing::hash_key("secret", "sk-sim") + "\" }" + keys_ + " ]\n" +
                                          more,
                                      routing::TableFormat::yaml, {});
    if (!body) {
      for (const auto& problem : body.error()) ADD_FAILURE() << problem.path << ": " << problem.message;
      return;
    }
    auto table = std::make_unique<routing::Table>();
    table->revision = ++revision_;
    table->guards = routing::GuardPlan::bind(*body->body, *body->tenants, gateway_->arena);
    table->body = std::move(body->body);
    table->tenants = std::move(body->tenants);
    table->kills = kills_.resolve(*table->body, *table->tenants);
    gateway_->tables.publish(std::move(table));
    settle();
  }
  GuardClient& connect() {
    clients_.push_back(std::make_unique<GuardClient>(*loop_));
    clients_.back()->connection.connect(address_);
    settle();
    return *clients_.back();
  }
  void send_request(GuardClient& client, std::string_view fields = "", std::string_view members = "") {
    send_body(client, R"({"model":"chat","messages":)" + std::string(kMessages) + std::string(members) + "}",
              fields);
  }
  void send_body(GuardClient& client, const std::string& body, std::string_view fields = "",
                 std::string_view endpoint = "chat/completions") {
    client.say("POST /v1/" + std::string(endpoint) +
               " HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer " + bearer_ +
               "\r\ncontent-type: application/json\r\n" + std::string(fields) +
               "content-length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  GuardClient& ask(std::string_view fields = "", std::string_view members = "") {
    GuardClient& client = connect();
    send_request(client, fields, members);
    settle();
    return client;
  }
  static void expect(const GuardClient& client, std::string_view part) {
    EXPECT_NE(client.heard.find(part), std::string::npos) << "no " << part << " in\n" << client.heard;
  }
  static void expect_error(const GuardClient& client, ErrorCode code) {
    expect(client, "HTTP/1.1 " + std::to_string(core::describe(code).status));
    expect(client, core::describe(code).sentence);
  }
  static void expect_ok(const GuardClient& client) {
    EXPECT_TRUE(client.heard.starts_with("HTTP/1.1 200")) << client.heard;
  }

  const routing::GuardPlan& plan() { return *shard_->table().guards; }
  routing::BudgetView tenant_budget() {
    const routing::BudgetGuard& budget = plan().of(routing::TenantIndex{0})->budgets[0];
    return view(*budget.line, budget.spec, shard_->guard_time());
  }
  void expect_nothing_reserved() {
    if (!shard_->has_table()) return;
    for (const routing::ScopeGuard& guard : plan().scopes()) {
      if (guard.line != nullptr) {
        EXPECT_EQ(guard.line->in_flight.load(), 0u) << token(guard.scope);
      }
      if (guard.scope == routing::GuardScope::user) continue;
      for (const routing::BudgetGuard& budget : guard.budgets) {
        EXPECT_EQ(budget.line->committed.load(), budget.line->spent.load()) << token(guard.scope);
      }
    }
  }
  void settle() {
    for (int i = 0; i < 60; ++i) {
      loop_->turn(0);
      world_.advance(1000);
    }
  }
  void pass(uint64_t ms) {
    world_.advance(ms * 1'000'000);
    settle();
  }

  World world_{1};
  std::unique_ptr<core::Loop> loop_ = *core::Loop::create();
  GuardAddress addresses_;
  GuardProvider provider_{*loop_};
  int provider_listener_ = -1;
  std::unique_ptr<routing::Gateway> gateway_;
  std::unique_ptr<routing::Shard> shard_;
  core::SocketAddress address_;
  std::vector<std::unique_ptr<GuardClient>> clients_;
  std::string unit_, mini_;           // more of `best` and `mini`
  std::string providers_;             // beside p
  std::string tenants_;               // beside t
  std::string keys_;                  // beside k
  std::string bearer_ = "sk-sim";
  std::string dear_ = "provider: p";  // who serves it
  std::string cheap_ = "provider: p";
  std::string input_price_ = "0";     // USD per million tokens, of both
  routing::KillList kills_;           // of the tables published from now on
  uint64_t revision_ = 0;
};

}  // namespace weir::sim
