// A model at several providers: who is asked, and who is left alone.
#include <gtest/gtest.h>

#include "tests/sim/guards_fixture.h"

namespace weir::sim {
namespace {

class Hosts : public GuardsInAnExchange {
 protected:
  explicit Hosts(const routing::GatewayOptions& options = {}) : GuardsInAnExchange(options) {
    second_listener_ = *core::listen_tcp(*core::SocketAddress::parse("127.0.0.1:0"));
    second_.server.settings().idle_timeout_ms = 100'000'000;
    second_.server.listen(second_listener_);
    providers_ = R"(, q: { dialect: openai, base_url: "http://127.0.0.1:)" +
                 std::to_string(core::bound_address(second_listener_).port()) + "/v1\" }";
    dear_ = "providers: { p: 3, q: 1 }";
  }
  ~Hosts() override {
    second_.server.begin_drain();
    second_.server.close_all();
    settle();
    EXPECT_TRUE(second_.server.closed());
  }
  // A client and its answer are forgotten, so that thousands may ask.
  void ask_many(int count) {
    for (int i = 0; i < count; ++i) {
      ask();
      if (clients_.size() >= 50) forget_clients();
    }
  }
  void forget_clients() {
    for (auto& client : clients_) client->connection.close();
    settle();
    clients_.clear();
  }

  void kill_first_provider() {
    auto table = std::make_unique<routing::Table>();
    const routing::Table& now = shard_->table();
    table->revision = ++revision_;
    table->body = now.body;
    table->tenants = now.tenants;
    table->guards = now.guards;
    table->kills = routing::Kills{.any = true,
                                  .providers = {true, false},
                                  .units = std::vector<bool>(now.body->units.size()),
                                  .scenarios = {false},
                                  .flags = std::vector<bool>(now.body->flags.size()),
                                  .tenants = {}};
    gateway_->tables.publish(std::move(table));
    settle();
  }

  GuardProvider second_{*loop_};
  int second_listener_ = -1;
};

TEST_F(Hosts, SharesFollowTheWeights) {
  publish("", "");
  ask_many(400);
  EXPECT_EQ(provider_.requests + second_.requests, 400);
  EXPECT_GT(second_.requests, 20);
  EXPECT_GT(provider_.requests, 2 * second_.requests);
}

TEST_F(Hosts, ARetryGoesToTheOtherOne) {
  unit_ = ", retries: 1";
  publish("", "");
  provider_.answer_with = [] { return response("500 Oops", "{}"); };
  for (int i = 0; i < 8; ++i) {
    GuardClient& client = ask();
    pass(1000);
    expect_ok(client);
  }
  EXPECT_EQ(second_.requests, 8);
}

TEST_F(Hosts, OneWhoseBreakerIsOpenIsNotAsked) {
  publish("", "");
  provider_.answer_with = [] { return response("429 Wait", "{}", "retry-after: 60\r\n"); };
  ask_many(30);
  const int refused = provider_.requests;
  EXPECT_GT(refused, 0);
  EXPECT_LT(refused, 5) << "a 429 says for how long";
  EXPECT_EQ(second_.requests, 30) << "who was refused went on to the other one";
  for (const auto& client : clients_) expect_ok(*client);
}

TEST_F(Hosts, OneThatWasLeftAloneIsProbedAndTakenBackSlowly) {
  publish("", "");
  provider_.answer_with = [] { return response("429 Wait", "{}", "retry-after: 5\r\n"); };
  ask_many(30);
  ASSERT_GT(provider_.requests, 0);
  provider_.answer_with = [] { return answer(1); };
  provider_.requests = second_.requests = 0;
  pass(6'000);
  ask_many(100);  // in the first moments of its slow start
  const int early = provider_.requests;
  EXPECT_GT(early, 0) << "nobody asked whether it is back";
  EXPECT_LT(early, 50) << "it would have three quarters";
  for (const auto& client : clients_) expect_ok(*client);
  pass(11'000);
  provider_.requests = second_.requests = 0;
  ask_many(100);
  EXPECT_GT(provider_.requests, 60);
}

TEST_F(Hosts, NobodyPaysForAProbeThatFails) {
  publish("", "");
  provider_.answer_with = [] { return response("429 Wait", "{}", "retry-after: 5\r\n"); };
  ask_many(30);
  ASSERT_GT(provider_.requests, 0);
  provider_.answer_with = [] { return response("500 Oops", "{}"); };
  provider_.requests = 0;
  for (int round = 0; round < 20; ++round) {
    pass(31'000);
    for (int i = 0; i < 10; ++i) expect_ok(ask());
    forget_clients();
  }
  EXPECT_GT(provider_.requests, 10) << "it was probed all the while";
}

TEST_F(Hosts, OneThatCannotBeReachedCostsNobodyAnything) {
  publish("", "");
  provider_.server.begin_drain();  // its port is closed
  settle();
  ask_many(60);
  for (const auto& client : clients_) expect_ok(*client);
  EXPECT_EQ(second_.requests, 60);
}

TEST_F(Hosts, WhenAllHaveSaid429TheSoonestIsQuoted) {
  publish("", "");
  provider_.answer_with = [] { return response("429 Wait", "{}", "retry-after: 60\r\n"); };
  second_.answer_with = [] { return response("429 Wait", "{}", "retry-after: 9\r\n"); };
  ask_many(30);
  const GuardClient& client = ask();
  expect_error(client, ErrorCode::provider_limited);
  expect(client, "retry-after: 9\r\n");
}

TEST_F(Hosts, AKilledProviderIsLeftOutAndTheOtherAnswers) {
  publish("", "");
  kill_first_provider();
  for (int i = 0; i < 10; ++i) expect_ok(ask());
  EXPECT_EQ(provider_.requests, 0);
  EXPECT_EQ(second_.requests, 10);
}

// Of a candidate, to whom copies go.
class CandidatesHosts : public Hosts {
 protected:
  CandidatesHosts() : Hosts(shadowing()) { cheap_ = dear_; }
  static routing::GatewayOptions shadowing() {
    routing::GatewayOptions options;
    options.shadow = true;
    return options;
  }
  void publish_shadow() {
    publish("", "",
            "flags: { f: { scenario: chat, candidate: { unit: mini }, shadow: { percent: 100, budget_usd: "
            "100000 } } }\n");
  }
  void ask_and_drain(int count) {
    for (int i = 0; i < count; ++i) {
      ask_many(1);
      gateway_->shadows[0]->drain([](const routing::ShadowPair&) {});
    }
  }
};

TEST_F(CandidatesHosts, SharesFollowTheWeights) {
  dear_ = "provider: p";
  publish_shadow();
  ask_and_drain(400);
  EXPECT_EQ(provider_.requests + second_.requests, 800);
  EXPECT_GT(second_.requests, 40);
  EXPECT_LT(second_.requests, 200);
}

TEST_F(CandidatesHosts, AKilledProviderIsLeftOut) {
  publish_shadow();
  kill_first_provider();
  ask_and_drain(10);
  EXPECT_EQ(provider_.requests, 0);
  EXPECT_EQ(second_.requests, 20) << "ten requests and their copies";
}

}  // namespace
}  // namespace weir::sim
