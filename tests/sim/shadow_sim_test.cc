// Shadow mode in whole exchanges: what the client gets is the same whatever the copy does.
#include <gtest/gtest.h>

#include "core/limits.h"
#include "tests/sim/guards_fixture.h"

namespace weir::sim {
namespace {

struct Pair {
  uint16_t primary_status, shadow_status;
  std::string primary, shadow;
  std::string shadow_error;
  int64_t shadow_cost;
  bool truncated;
};

class Shadow : public GuardsInAnExchange {
 protected:
  Shadow() : GuardsInAnExchange(shadowing()) {}
  static routing::GatewayOptions shadowing() {
    routing::GatewayOptions options;
    options.shadow = true;
    return options;
  }

  // A flag that nobody gets, copied to `mini`.
  void publish_shadow(const std::string& shadow = "percent: 100, budget_usd: 100",
                      const std::string& tenant = "") {
    publish("", tenant,
            "flags: { f: { scenario: chat, candidate: { unit: mini }, shadow: { " + shadow + " } } }\n");
    provider_.answer_with = [this] { return is_copy() ? copy_ : answer(100); };
  }
  bool is_copy() const { return provider_.last_body.find("\"cheap\"") != std::string::npos; }
  std::vector<Pair> pairs() {
    std::vector<Pair> all;
    gateway_->shadows[0]->drain([&](const routing::ShadowPair& pair) {
      all.push_back({pair.primary.status, pair.shadow.status, std::string(pair.primary.body()),
                     std::string(pair.shadow.body()),
                     std::string(pair.shadow.error ? core::describe(*pair.shadow.error).token : ""),
                     pair.shadow.cost_nano_usd, pair.shadow.truncated});
    });
    return all;
  }
  routing::BudgetView shadow_budget() {
    const routing::BudgetGuard& budget = plan().shadow(routing::FlagIndex{0})->budgets[0];
    return view(*budget.line, budget.spec, shard_->guard_time());
  }
  // What a client hears, but for what differs each time.
  static std::string without_id(const GuardClient& client) {
    std::string text = client.heard;
    const size_t id = text.find("x-request-id: ");
    return id == std::string::npos ? text : text.erase(id, 14 + 32);
  }

  std::string copy_ = response("200 OK", R"({"choices":[{"message":{"content":"copy"}}],"usage":)"
                                         R"({"prompt_tokens":0,"completion_tokens":50,"total_tokens":50}})");
};

TEST_F(Shadow, ACopyGoesToTheCandidateAndBothAnswersFormAPair) {
  publish_shadow("percent: 100, budget_usd: 100", "budgets: [ { window: 1h, usd: 10 } ]");
  const GuardClient& client = ask();
  expect_ok(client);
  expect(client, "x-weir-unit: best\r\n");
  expect(client, "hello");
  EXPECT_EQ(client.heard.find("copy"), std::string::npos);
  EXPECT_EQ(provider_.requests, 2);
  const auto made = pairs();
  ASSERT_EQ(made.size(), 1u);
  EXPECT_NE(made[0].primary.find("hello"), std::string::npos);
  EXPECT_NE(made[0].shadow.find("copy"), std::string::npos);
  EXPECT_EQ(made[0].shadow_cost, kUsd / 200);
  EXPECT_EQ(shadow_budget().spent, kUsd / 200);
  EXPECT_EQ(shadow_budget().reserved, 0);
  EXPECT_EQ(tenant_budget().spent, kUsd / 10) << "the tenant pays for its own answer only";
}

TEST_F(Shadow, AStreamIsCopiedAsAStream) {
  publish_shadow();
  const std::string body =
      "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\ndata: "
      "{\"choices\":[],\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":7}}\n\ndata: [DONE]\n\n";
  provider_.answer_with = [&] {
    return "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
  };
  expect(ask("", R"(,"stream":true)"), "data: [DONE]");
  const auto made = pairs();
  ASSERT_EQ(made.size(), 1u);
  EXPECT_NE(made[0].primary.find("Hi"), std::string::npos);
  EXPECT_NE(made[0].shadow.find("Hi"), std::string::npos);
  EXPECT_EQ(shadow_budget().spent, 7 * kUsd / 10'000);
}

// Dead, silent, slow, failing, lying, endless: the client hears the same bytes at the same time.
TEST_F(Shadow, WhateverTheCandidateDoesTheClientHearsTheSame) {
  publish("", "", "flags: { f: { scenario: chat, candidate: { unit: mini } } }\n");
  const std::string plain = without_id(ask());
  publish_shadow();
  const std::string revision = "x-weir-revision: 1", other = "x-weir-revision: 2";
  const std::string endless = "HTTP/1.1 200 OK\r\ncontent-length: 999999\r\n\r\n" + std::string(200'000, 'x');
  for (const std::string& copy :
       {copy_, std::string(), response("500 Oops", "{}"), std::string("garbage\r\n\r\n"),
        response("302 Found", "", "location: http://evil.test/\r\n"), endless,
        std::string("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello")}) {
    copy_ = copy;
    std::string heard = without_id(ask());
    heard.replace(heard.find(other), other.size(), revision);
    EXPECT_EQ(heard, plain) << copy.substr(0, 60);
  }
  pass(130'000);  // the clocks of those that never ended
  EXPECT_EQ(pairs().size(), 7u);
  EXPECT_EQ(shadow_budget().reserved, 0);
  EXPECT_EQ(shard_->shadow_calls().live(), 0u);
  EXPECT_EQ(view(plan().breaker(routing::ModelIndex{1}), shard_->loop().now_ns()).consecutive, 0u)
      << "copies say nothing about health";
}

TEST_F(Shadow, ACandidateThatSays429IsLeftAloneForAsLongAsItSays) {
  publish_shadow();
  const std::string answers = std::exchange(copy_, response("429 Wait", "{}", "retry-after: 100\r\n"));
  const auto candidate = [&] {
    return view(plan().breaker(routing::ModelIndex{1}), shard_->loop().now_ns());
  };
  ask();
  EXPECT_EQ(provider_.requests, 2);
  EXPECT_EQ(candidate().state, routing::BreakerState::open);
  EXPECT_TRUE(candidate().limited);
  EXPECT_EQ(shard_->metrics().breakers_opened.value(), 1u);
  for (int i = 0; i < 5; ++i) ask();
  EXPECT_EQ(provider_.requests, 7) << "no copy";
  copy_ = answers;
  pass(100'000);
  ask();
  EXPECT_EQ(provider_.requests, 9);
  EXPECT_EQ(candidate().state, routing::BreakerState::closed) << "nobody else would close it";
}

TEST_F(Shadow, ShareAndBudgetBoundTheCopies) {
  publish_shadow("percent: 20, budget_usd: 100");
  for (int i = 0; i < 200; ++i) ask();
  const auto copies = static_cast<int>(pairs().size());
  EXPECT_GT(copies, 15);
  EXPECT_LT(copies, 75);
  EXPECT_EQ(provider_.requests, 200 + copies);
  publish_shadow("percent: 100, budget_usd: 0.25");  // 0.1 at worst, 0.005 each; so much is spent already
  provider_.requests = 0;
  for (int i = 0; i < 100; ++i) ask();
  EXPECT_LE(shadow_budget().spent, kUsd / 4);
  EXPECT_LT(provider_.requests, 200);
  EXPECT_GT(shard_->metrics().shadow_over_budget.value(), 0u);
}

TEST_F(Shadow, ABudgetWithAWindowIsThereAgainInTheNext) {
  publish_shadow("percent: 100, budget_usd: 0.25, window: 1h");  // 0.1 at worst
  for (int i = 0; i < 100; ++i) ask();
  EXPECT_GT(shard_->metrics().shadow_over_budget.value(), 0u);
  const auto before = static_cast<int>(pairs().size());
  pass(3'600'000);
  EXPECT_EQ(shadow_budget().spent, 0);
  provider_.requests = 0;
  expect_ok(ask());
  EXPECT_EQ(provider_.requests, 2);
  EXPECT_EQ(shadow_budget().spent, kUsd / 200);
  publish_shadow("percent: 100, budget_usd: 0.25");
  EXPECT_EQ(shadow_budget().spent, 0) << "another rule: of the flag's whole life";
  for (int i = 0; i < 100; ++i) ask();
  pass(3'600'000);
  provider_.requests = 0;
  expect_ok(ask());
  EXPECT_EQ(provider_.requests, 1);
  EXPECT_GT(before, 1);
}

TEST_F(Shadow, NoMoreThanKMaxShadowCallsAtATime) {
  publish_shadow();
  copy_.clear();  // the candidate is silent
  for (uint32_t i = 0; i < core::limits::kMaxShadowCalls + 10; ++i) expect_ok(ask());
  EXPECT_EQ(shard_->shadow_calls().live(), core::limits::kMaxShadowCalls);
  EXPECT_EQ(shard_->metrics().shadow_dropped.value(), 10u);
  pass(130'000);
  EXPECT_EQ(shard_->shadow_calls().live(), 0u);
  const auto made = pairs();
  EXPECT_EQ(made.size(), core::limits::kMaxShadowCalls);
  EXPECT_EQ(made[0].shadow_error, "total_timeout");
}

TEST_F(Shadow, ARequestPastKMaxShadowRequestBytesIsNotCopied) {
  publish_shadow();
  const std::string large =
      R"(,"metadata":{"a":")" + std::string(core::limits::kMaxShadowRequestBytes, 'x') + "\"}";
  GuardClient& client = ask("", large);
  for (int i = 0; i < 10; ++i) settle();
  expect_ok(client);
  EXPECT_EQ(provider_.requests, 1);
  EXPECT_EQ(shard_->metrics().shadow_dropped.value(), 1u);
  EXPECT_EQ(shadow_budget().reserved, 0);
}

TEST_F(Shadow, ACopysAnswerIsReadUpToKMaxShadowAnswerBytes) {
  publish_shadow();
  copy_ = "HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n" +
          std::string(core::limits::kMaxShadowAnswerBytes + 100'000, 'x');
  provider_.stays_open = true;
  expect_ok(ask());
  for (int i = 0; i < 20 && shard_->shadow_calls().live() > 0; ++i) settle();
  EXPECT_EQ(shard_->shadow_calls().live(), 0u);
  EXPECT_EQ(provider_.left, 1) << "it was cancelled";
  const auto made = pairs();
  ASSERT_EQ(made.size(), 1u);
  EXPECT_TRUE(made[0].truncated);
  EXPECT_GT(made[0].shadow_cost, 0) << "what came is paid for";
}

TEST_F(Shadow, ACandidateThatEndsEachConnectionIsAskedNowAndThen) {
  publish_shadow("percent: 100, budget_usd: 100000");
  copy_ = response("200 OK", "{}", "connection: close\r\n");
  for (int i = 0; i < 300; ++i) {
    expect_ok(ask());
    clients_.back()->connection.close();
    pairs();
  }
  // In the moment that the test takes no more than a burst of connections.
  const uint64_t burst =
      routing::ShadowGate::kConnectionsPerSecond * routing::ShadowGate::kBurstNs / 1'000'000'000;
  EXPECT_LE(shard_->metrics().shadow_started.value(), burst + 10);
  EXPECT_GE(shard_->metrics().shadow_dropped.value(), 300 - burst - 10);
  pass(1000);
  const uint64_t before = shard_->metrics().shadow_started.value();
  expect_ok(ask());
  EXPECT_EQ(shard_->metrics().shadow_started.value(), before + 1);
}

TEST_F(Shadow, WhatDoesNotFitIntoTheBudgetIsNotEvenRendered) {
  publish_shadow("percent: 100, budget_usd: 0.05");  // 0.1 at worst
  const std::string large =
      R"(,"metadata":{"a":")" + std::string(core::limits::kMaxShadowRequestBytes, 'x') + "\"}";
  GuardClient& client = ask("", large);
  for (int i = 0; i < 10; ++i) settle();
  expect_ok(client);
  EXPECT_EQ(shard_->metrics().shadow_over_budget.value(), 1u);
  EXPECT_EQ(shard_->metrics().shadow_dropped.value(), 0u) << "that it is too large was not found out";
}

// As answers are: by what was sent and what came, and never above what was reserved.
TEST_F(Shadow, ACopyWithoutUsageIsEstimated) {
  input_price_ = "1000";
  publish_shadow();
  copy_ = response("200 OK", std::string(400, 'x'));
  ask();
  const int64_t input = kExpectedInput * kUsd / 1000;
  EXPECT_EQ(shadow_budget().spent, input + 100 * kUsd / 10'000);
  copy_ = response("200 OK", std::string(100'000, 'x'));
  int64_t before = shadow_budget().spent;
  ask();
  EXPECT_EQ(shadow_budget().spent - before, input + kUsd / 10) << "what it may produce at most";
  copy_.clear();
  before = shadow_budget().spent;
  ask();
  pass(130'000);
  EXPECT_EQ(shadow_budget().spent - before, input) << "it was read";
  copy_ = response("500 Oops", "{}");
  before = shadow_budget().spent;
  ask();
  EXPECT_EQ(shadow_budget().spent, before);
  EXPECT_EQ(shadow_budget().reserved, 0);
}

TEST_F(Shadow, AClientThatLeavesDoesNotEndTheCopy) {
  publish_shadow();
  provider_.answer_with = [this] { return is_copy() ? copy_ : std::string(); };
  ask().connection.close();
  settle();
  const auto made = pairs();
  ASSERT_EQ(made.size(), 1u);
  EXPECT_EQ(made[0].primary_status, 0);
  EXPECT_EQ(made[0].shadow_status, 200);
}

TEST_F(GuardsInAnExchange, WithoutAShadowLogNoCopyIsMade) {
  publish("", "",
          "flags: { f: { scenario: chat, candidate: { unit: mini }, shadow: { percent: 100, budget_usd: 1 } "
          "} }\n");
  expect_ok(ask());
  EXPECT_EQ(provider_.requests, 1);
}

}  // namespace
}  // namespace weir::sim
