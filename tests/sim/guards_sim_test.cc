// Limits, budgets and breakers in whole exchanges: client, shard and provider on the simulated kernel and
// clock, with the production code between them.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "net/connection.h"
#include "net/http_server.h"
#include "routing/decide/identify.h"
#include "routing/exchange/exchange.h"
#include "routing/exchange/gateway.h"
#include "routing/exchange/shard.h"
#include "routing/table/compile.h"
#include "tests/sim/sim_world.h"

namespace weir::sim {
namespace {

using core::ErrorCode;

constexpr int64_t kUsd = 1'000'000'000;

std::string response(std::string_view status, std::string_view body, std::string_view fields = "") {
  return "HTTP/1.1 " + std::string(status) + "\r\ncontent-type: application/json\r\n" + std::string(fields) +
         "content-length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}
// So many tokens of output at 1 USD per 1,000 of them.
std::string answer(int tokens) {
  return response(
      "200 OK",
      R"({"choices":[{"index":0,"message":{"content":"hello"}}],"usage":{"prompt_tokens":0,"completion_tokens":)" +
          std::to_string(tokens) + R"(,"total_tokens":)" + std::to_string(tokens) + "}}");
}

class Provider final : public net::RequestHandler {
 public:
  explicit Provider(core::Loop& loop) : server(loop, *this, 256), loop_(loop) {}
  core::Result<void> on_head(net::ServerSession&, const net::RequestHead&, const uint8_t*) override {
    return {};
  }
  void on_request(net::ServerSession& session, const net::Request& request) override {
    ++requests;
    last_body.assign(request.body.begin(), request.body.end());
    const std::string text = answer_with();
    if (text.empty()) return;  // stays silent
    session.send(loop_.buffers().copy_of({reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
    session.end_response();
  }
  void on_refused(net::ServerSession& session, core::Error) override { session.abort(); }
  void on_client_gone(net::ServerSession&, core::Error) override {}

  int requests = 0;
  std::string last_body;
  std::function<std::string()> answer_with = [] { return answer(100); };
  net::HttpServer server;

 private:
  core::Loop& loop_;
};

class Client final : public net::ConnectionHandler {
 public:
  explicit Client(core::Loop& loop) : connection(loop, *this, net::Leg::downstream), loop_(loop) {}
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

class FixedAddress final : public net::AddressSource {
 public:
  size_t addresses(const std::string& host, uint16_t port, core::SocketAddress* out, size_t) override {
    *out = *core::SocketAddress::parse(host + ":" + std::to_string(port));
    return 1;
  }
};

class GuardsInAnExchange : public ::testing::Test {
 protected:
  GuardsInAnExchange() {
    provider_listener_ = *core::listen_tcp(*core::SocketAddress::parse("127.0.0.1:0"));
    provider_.server.settings().idle_timeout_ms = 100'000'000;
    provider_.server.listen(provider_listener_);
    routing::GatewayOptions options;
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

  // Output costs 1 USD per 1,000 tokens on `dear`, a tenth on `cheap`; input nothing.
  void publish(const std::string& scenario, const std::string& tenant, const std::string& more = "") {
    const std::string port = std::to_string(core::bound_address(provider_listener_).port());
    auto body = routing::compile_text("providers: { p: { dialect: openai, base_url: \"http://127.0.0.1:" +
                                          port + R"(/v1" } }
models:
  dear: { provider: p, tier: premium, price: { input: 0, output: 1000 } }
  cheap: { provider: p, tier: economy, price: { input: 0, output: 100 } }
units:
  best: { model: dear, params: { max_tokens: 1000 } )" +
                                          unit_ + R"( }
  mini: { model: cheap, params: { max_tokens: 1000 } }
scenarios: { chat: { stable: best)" + scenario +
                                          R"( } }
tenants: { t: { )" + tenant + R"( } }
keys: [ { id: k, tenant: t, scenario: chat, hash: ")" +
                                          routing::hash_key("secret", "sk-sim") + "\" } ]\n" + more,
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
    gateway_->tables.publish(std::move(table));
    settle();
  }
  Client& ask(std::string_view fields = "", std::string_view members = "") {
    clients_.push_back(std::make_unique<Client>(*loop_));
    Client& client = *clients_.back();
    client.connection.connect(address_);
    settle();
    const std::string body =
        R"({"model":"chat","messages":[{"role":"user","content":"x"}])" + std::string(members) + "}";
    client.say(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer sk-sim\r\n"
        "content-type: application/json\r\n" +
        std::string(fields) + "content-length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    settle();
    return client;
  }
  static void expect(const Client& client, std::string_view part) {
    EXPECT_NE(client.heard.find(part), std::string::npos) << "no " << part << " in\n" << client.heard;
  }
  static void expect_error(const Client& client, ErrorCode code) {
    expect(client, "HTTP/1.1 " + std::to_string(core::describe(code).status));
    expect(client, core::describe(code).sentence);
  }
  static void expect_ok(const Client& client) {
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
  FixedAddress addresses_;
  Provider provider_{*loop_};
  int provider_listener_ = -1;
  std::unique_ptr<routing::Gateway> gateway_;
  std::unique_ptr<routing::Shard> shard_;
  core::SocketAddress address_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::string unit_;
  uint64_t revision_ = 0;
};

TEST_F(GuardsInAnExchange, ARateLimitAdmitsExactlyItsNumberAndSaysWhenToComeBack) {
  publish("", "limits: { rpm: 3 }");
  for (int i = 0; i < 3; ++i) {
    const Client& client = ask();
    expect_ok(client);
    expect(client, "x-ratelimit-limit-requests: 3\r\n");
    expect(client, "x-ratelimit-remaining-requests: " + std::to_string(2 - i) + "\r\n");
  }
  const Client& refused = ask();
  expect_error(refused, ErrorCode::rate_limited);
  expect(refused, "\"code\":\"rate_limit_exceeded\"");
  expect(refused, "\"param\":\"tenant.rpm\"");
  expect(refused, "retry-after: 20\r\n");
  expect(refused, "retry-after-ms: 20000\r\n");
  expect(refused, "x-ratelimit-remaining-requests: 0\r\n");
  expect(refused, "x-ratelimit-reset-requests: 1m0s\r\n");
  EXPECT_EQ(refused.heard.find("x-should-retry"), std::string::npos);
  EXPECT_EQ(provider_.requests, 3);
  pass(20'000);
  expect_ok(ask());
}

TEST_F(GuardsInAnExchange, ALimitSurvivesATableSwap) {
  publish("", "limits: { rpm: 2 }");
  expect_ok(ask());
  publish("", "limits: { rpm: 2 }, name: Other");
  expect_ok(ask());
  expect_error(ask(), ErrorCode::rate_limited);
}

TEST_F(GuardsInAnExchange, EachUserHasLimitsOfTheirOwn) {
  publish("", "user_limits: { rpm: 1 }");
  expect_ok(ask("x-weir-user: anna\r\n"));
  expect(ask("x-weir-user: anna\r\n"), "\"param\":\"user.rpm\"");
  expect_ok(ask("x-weir-user: bert\r\n"));
}

TEST_F(GuardsInAnExchange, TokensAreChargedAsTheyWereUsed) {
  publish("", "limits: { tpm: 1000 }");
  provider_.answer_with = [] { return answer(900); };
  expect_ok(ask());
  const Client& refused = ask();
  expect_error(refused, ErrorCode::rate_limited);
  expect(refused, "\"param\":\"tenant.tpm\"");
  expect(refused, "x-ratelimit-limit-tokens: 1000\r\n");
}

TEST_F(GuardsInAnExchange, ARequestThatNeverFitsIsNotInvitedToTryAgain) {
  publish("", "limits: { tpm: 100 }");
  const Client& refused = ask();  // 256 tokens of output are expected
  expect_error(refused, ErrorCode::request_over_limit);
  expect(refused, "x-should-retry: false\r\n");
  EXPECT_EQ(provider_.requests, 0);
}

TEST_F(GuardsInAnExchange, PlacesAreFreedWhenClientsLeave) {
  publish("", "limits: { concurrency: 1 }, budgets: [ { window: 1h, usd: 10 } ]");
  provider_.answer_with = [] { return std::string(); };
  Client& first = ask();
  EXPECT_EQ(tenant_budget().reserved, kUsd);
  expect(ask(), "\"param\":\"tenant.concurrency\"");
  first.connection.close();
  settle();
  EXPECT_EQ(tenant_budget().reserved, 0);
  provider_.answer_with = [] { return answer(1); };
  expect_ok(ask());
}

TEST_F(GuardsInAnExchange, ABudgetReservesTheWorstCaseAndSpendsTheActualCost) {
  publish("", "budgets: [ { window: 1h, usd: 2 } ]");
  std::function<std::string()> silent = [] { return std::string(); };
  std::swap(provider_.answer_with, silent);
  Client& first = ask();
  Client& second = ask();
  EXPECT_EQ(tenant_budget().reserved, 2 * kUsd);
  const Client& refused = ask();
  expect_error(refused, ErrorCode::budget_exceeded);
  expect(refused, "\"code\":\"insufficient_quota\"");
  expect(refused, "\"param\":\"tenant.budget\"");
  expect(refused, "x-should-retry: false\r\n");
  EXPECT_EQ(provider_.requests, 2);
  first.connection.close();
  second.connection.close();
  settle();
  std::swap(provider_.answer_with, silent);
  for (int i = 1; i <= 10; ++i) {  // 0.1 USD each
    expect_ok(ask());
    EXPECT_EQ(tenant_budget().spent, i * kUsd / 10);
  }
  expect_ok(ask());
  expect_error(ask(), ErrorCode::budget_exceeded);  // 1.1 spent, 1.0 more would not fit
  pass(3'600'000);
  expect_ok(ask());
  EXPECT_EQ(tenant_budget().spent, kUsd / 10) << "another hour";
}

TEST_F(GuardsInAnExchange, ManyChoicesAndHugeBoundsCountInTheWorstCase) {
  publish("", "budgets: [ { window: 1h, usd: 9 } ]");
  expect_ok(ask("", R"(,"n":9)"));
  expect_error(ask("", R"(,"n":10)"), ErrorCode::budget_exceeded);
  expect_error(ask("", R"(,"n":2147483647)"), ErrorCode::budget_exceeded);
}

TEST_F(GuardsInAnExchange, AnExhaustedEconomyBudgetLeadsToTheCheapestUnit) {
  publish(", fallback: [ { unit: mini } ]", "budgets: [ { window: 1h, usd: 1.5, on_exceed: economy } ]");
  provider_.answer_with = [] { return answer(1000); };
  expect(ask(), "x-weir-unit: best\r\n");
  const Client& second = ask();
  expect_ok(second);
  expect(second, "x-weir-unit: mini\r\n");
  expect(second, "x-weir-reason: economy\r\n");
  EXPECT_NE(provider_.last_body.find("\"cheap\""), std::string::npos);
  EXPECT_EQ(tenant_budget().spent, kUsd + kUsd / 10);
}

TEST_F(GuardsInAnExchange, AnExhaustedStaticBudgetAnswersTheFixedText) {
  publish(", fallback: [ { static: \"Please call us.\" } ]",
          "budgets: [ { window: 1h, usd: 1, on_exceed: static } ]");
  provider_.answer_with = [] { return answer(1000); };
  expect_ok(ask());
  const Client& second = ask();
  expect_ok(second);
  expect(second, "Please call us.");
  EXPECT_EQ(provider_.requests, 1);
  EXPECT_EQ(tenant_budget().spent, kUsd);
}

TEST_F(GuardsInAnExchange, AGlobalKillBudgetStopsEverybody) {
  publish("", "", "budgets: [ { window: 1d, usd: 1, on_exceed: kill } ]\n");
  provider_.answer_with = [] { return answer(1000); };
  expect_ok(ask());
  expect(ask(), "\"param\":\"global.budget\"");
  expect(ask("", R"(,"max_tokens":1)"), "\"param\":\"global.budget\"");
}

TEST_F(GuardsInAnExchange, AHopThatDoesNotFitIntoTheBudgetIsPassedOver) {
  publish(", fallback: [ { unit: mini }, { static: \"Later.\" } ]", "budgets: [ { window: 1h, usd: 1 } ]");
  provider_.answer_with = [] { return response("500 Oops", "{}"); };
  expect(ask(), "Later.");
  EXPECT_EQ(provider_.requests, 2) << "the cheaper hop fits in place of the first";
}

TEST_F(GuardsInAnExchange, PastAPilotsLimitThePreviousUnitAnswers) {
  const std::string port = std::to_string(core::bound_address(provider_listener_).port());
  publish("",
          "flags: { f: { state: pilot, percent: 100, owner: o, reason: r, review: 2030-01-01, previous: "
          "best, limits: { total_requests: 2 } } }",
          "flags: { f: { scenario: chat, candidate: { unit: mini } } }\n");
  for (int i = 0; i < 2; ++i) expect(ask("x-weir-user: u\r\n"), "x-weir-unit: mini\r\n");
  const Client& third = ask("x-weir-user: u\r\n");
  expect(third, "x-weir-unit: best\r\n");
  expect(third, "x-weir-reason: pilot_limit\r\n");
}

TEST_F(GuardsInAnExchange, AFailingProviderIsLeftAloneProbedAndTakenBack) {
  publish(", fallback: [ { static: \"Later.\" } ]", "");
  provider_.answer_with = [] { return response("500 Oops", "{}"); };
  for (uint64_t i = 0; i < routing::BreakerRules::kConsecutive; ++i) expect(ask(), "Later.");
  const int asked = provider_.requests;
  const Client& kept_away = ask();
  expect(kept_away, "Later.");
  expect(kept_away,
         std::string("x-weir-fallback: 1; ") + std::string(core::describe(ErrorCode::breaker_open).token));
  EXPECT_EQ(provider_.requests, asked);
  pass(1'100);
  provider_.answer_with = [] { return answer(1); };
  expect(ask(), "hello");  // the probe
  pass(11'000);
  for (int i = 0; i < 20; ++i) expect(ask(), "hello");
}

TEST_F(GuardsInAnExchange, A429SaysHowLongTheProviderIsLeftAlone) {
  publish("", "");
  provider_.answer_with = [] { return response("429 Too Many Requests", "{}", "retry-after: 7\r\n"); };
  expect(ask(), "HTTP/1.1 429");
  const Client& kept_away = ask();
  expect_error(kept_away, ErrorCode::breaker_open);
  expect(kept_away, "retry-after: 7\r\n");
  EXPECT_EQ(provider_.requests, 1);
  pass(7'000);
  provider_.answer_with = [] { return answer(1); };
  expect_ok(ask());
}

TEST_F(GuardsInAnExchange, ARetryWaitsALittle) {
  unit_ = ", retries: 1";
  publish("", "");
  int answers = 0;
  provider_.answer_with = [&] {
    return ++answers == 1 ? response("503 Busy", "{}", "retry-after-ms: 500\r\n") : answer(1);
  };
  Client& client = ask();
  EXPECT_EQ(provider_.requests, 1);
  EXPECT_EQ(client.heard, "");
  pass(499);
  EXPECT_EQ(provider_.requests, 1);
  pass(5);
  expect_ok(client);
}

TEST_F(GuardsInAnExchange, RetriesAreAShareOfTheTraffic) {
  unit_ = ", retries: 5";
  publish("", "");
  provider_.answer_with = [] { return response("500 Oops", "{}"); };
  for (int i = 0; i < 5; ++i) {
    ask();
    pass(1000);
    pass(1000);
    pass(10'000);
    pass(1000);
    pass(1000);
    pass(1000);
  }
  EXPECT_LE(provider_.requests, 5 + static_cast<int>(routing::RetryBudget::kStock) + 1);
}

TEST_F(GuardsInAnExchange, AnAnswerIsGivenAgainToTheSameRequestUntilItsTime) {
  unit_ = ", cache_ttl: 60s";
  publish("", "budgets: [ { window: 1h, usd: 10 } ], limits: { rpm: 4 }");
  expect(ask("x-weir-user: anna\r\n"), "x-weir-cache: miss\r\n");
  const Client& again = ask("x-weir-user: bert\r\n", R"(,"metadata":{"a":"b"})");
  expect(again, "x-weir-cache: hit\r\n");
  expect(again, "hello");
  expect(again, "x-weir-unit: best\r\n");
  EXPECT_EQ(provider_.requests, 1);
  EXPECT_EQ(tenant_budget().spent, kUsd / 10) << "a hit costs nothing";
  expect(ask("", R"(,"temperature":1)"), "x-weir-cache: miss\r\n");
  expect_ok(ask());
  expect_error(ask(), ErrorCode::rate_limited);  // hits count as requests
  pass(60'000);
  expect(ask(), "x-weir-cache: miss\r\n");
}

TEST_F(GuardsInAnExchange, AStreamIsGivenAgainAsAStream) {
  unit_ = ", cache_ttl: 60s";
  publish("", "");
  const std::string event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello\"}}]}\n\n";
  const std::string usage =
      "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\n";
  const std::string body = event + usage + "data: [DONE]\n\n";
  provider_.answer_with = [&] {
    return "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
  };
  expect(ask("", R"(,"stream":true)"), "data: [DONE]");
  const Client& again = ask("", R"(,"stream":true)");
  expect(again, "x-weir-cache: hit\r\n");
  expect(again, "content-type: text/event-stream\r\n");
  expect(again, event + "data: [DONE]\n\n");
  EXPECT_EQ(again.heard.find("usage"), std::string::npos);
  EXPECT_EQ(provider_.requests, 1);
  expect(ask(), "x-weir-cache: miss\r\n");  // not asked for as a stream: another request
}

TEST_F(GuardsInAnExchange, AnAnswerThatFailedIsNotKept) {
  unit_ = ", cache_ttl: 60s";
  publish("", "");
  provider_.answer_with = [] { return response("400 Bad Request", "{\"error\":1}"); };
  expect(ask(), "HTTP/1.1 400");
  provider_.answer_with = [] { return answer(1); };
  expect(ask(), "x-weir-cache: miss\r\n");
}

TEST_F(GuardsInAnExchange, ACachedHopAnswersWhenTheProviderFails) {
  unit_ = ", cache_ttl: 60s";
  publish(", fallback: [ { cached: true }, { static: \"Later.\" } ]",
          "flags: { f: { state: pilot, percent: 100, owner: o, reason: r, review: 2030-01-01, previous: best } }",
          "flags: { f: { scenario: chat, candidate: { unit: mini } } }\n");
  expect(ask(), "x-weir-unit: best\r\n");  // no user: stable, which keeps its answers
  provider_.answer_with = [] { return response("500 Oops", "{}"); };
  const Client& known = ask("x-weir-user: u\r\n");  // the candidate, which does not
  expect(known, "hello");
  expect(known, "x-weir-cache: hit\r\n");
  expect(known, "x-weir-unit: best\r\n");
  expect(known, "x-weir-arm: fallback\r\n");
  expect(ask("x-weir-user: u\r\n", R"(,"seed":1)"), "Later.");
}

TEST_F(GuardsInAnExchange, AnExhaustedCachedBudgetAnswersOnlyFromTheCache) {
  unit_ = ", cache_ttl: 60s";
  publish("", "budgets: [ { window: 1h, usd: 1, on_exceed: cached } ]");
  provider_.answer_with = [] { return answer(1000); };
  expect_ok(ask());
  expect(ask(), "x-weir-cache: hit\r\n");
  expect_error(ask("", R"(,"seed":1)"), ErrorCode::budget_exceeded);
  EXPECT_EQ(provider_.requests, 1);
}

}  // namespace
}  // namespace weir::sim
