// Where money goes in whole exchanges: what economy may answer with, what is charged when nobody has counted,
// and what operators switch off or raise in the middle of a window (tests/sim/guards_fixture.h).
#include <gtest/gtest.h>

#include "tests/sim/guards_fixture.h"

namespace weir::sim {
namespace {

using routing::Kill;
using routing::KillScope;
using routing::Record;

class Money : public GuardsInAnExchange {
 protected:
  static std::string row(const std::string& state) {
    return "flags: { f: { state: " + state +
           ", owner: o, reason: r, review: 2030-01-01, previous: best } }, ";
  }
  std::vector<Record> records() {
    std::vector<Record> all;
    gateway_->records[0]->drain([&](const Record& record) { all.push_back(record); });
    return all;
  }
  int64_t spent() { return tenant_budget().spent; }
  static std::string events(int count) {
    std::string body;
    for (int i = 0; i < count; ++i) {
      body += "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello\"}}]}\n\n";
    }
    body += "data: [DONE]\n\n";
    return "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
  }

  const std::string flag_ = "flags: { f: { scenario: chat, candidate: { unit: mini } } }\n";
  const std::string economy_ = "budgets: [ { window: 1h, usd: 1.5, on_exceed: economy } ]";
};

// ---- economy ----

// However cheap a candidate is, its flag says who gets it.
TEST_F(Money, AnExhaustedEconomyBudgetReleasesNoCandidate) {
  provider_.answer_with = [] { return answer(1000); };
  publish("", economy_, flag_);
  expect_ok(ask());
  for (const std::string& rows : {std::string(), row("off")}) {
    publish("", rows + economy_, flag_);
    const GuardClient& client = ask("x-weir-user: u\r\n");
    expect(client, "x-weir-reason: economy\r\n");
    expect(client, "x-weir-unit: best\r\n");
    expect(client, "x-weir-arm: stable\r\n");
  }
  kills_.add({.scope = KillScope::flag, .name = "f", .reason = "incident"});
  publish("", row("production") + economy_, flag_);
  expect(ask("x-weir-user: u\r\n"), "x-weir-unit: best\r\n");
  kills_.remove(KillScope::flag, "f");
  publish("", row("production") + economy_, flag_);
  const GuardClient& released = ask("x-weir-user: u\r\n");
  expect(released, "x-weir-unit: mini\r\n");  // what this tenant gets anyway
  expect(released, "x-weir-arm: candidate\r\n");
}

TEST_F(Money, EconomyPassesOverAKilledHop) {
  provider_.answer_with = [] { return answer(1000); };
  kills_.add({.scope = KillScope::unit, .name = "mini", .reason = "incident"});
  publish(", fallback: [ { unit: mini } ]", economy_);
  expect_ok(ask());
  const GuardClient& second = ask();
  expect_ok(second);
  expect(second, "x-weir-unit: best\r\n");
  expect(second, "x-weir-reason: economy\r\n");
}

// Past the limit nobody answers who costs more than the economy unit, and that one is not asked twice.
TEST_F(Money, WhenTheEconomyUnitFailsNobodyDearerIsAsked) {
  unit_ = mini_ = ", retries: 0";
  publish(", fallback: [ { unit: mini }, { unit: best }, { static: \"Later.\" } ]",
          "user_limits: { rph: 1, on_exceed: economy }");
  expect(ask("x-weir-user: u\r\n"), "x-weir-unit: best\r\n");
  provider_.answer_with = [&] {
    return provider_.last_body.contains("\"cheap\"") ? response("500 Oops", "{}") : answer(1);
  };
  expect(ask("x-weir-user: u\r\n"), "Later.");
  EXPECT_EQ(provider_.requests, 2) << "best, and mini once";
}

TEST_F(Money, ADearerHopMustFitIntoABudgetWhoseActionIsEconomy) {
  unit_ = mini_ = ", retries: 0";
  publish(", fallback: [ { unit: best }, { static: \"Later.\" } ]",
          row("production") + "budgets: [ { window: 1h, usd: 0.5, on_exceed: economy } ]", flag_);
  provider_.answer_with = [&] {
    return provider_.last_body.contains("\"cheap\"") ? response("500 Oops", "{}") : answer(1000);
  };
  expect(ask("x-weir-user: u\r\n"), "Later.");
  EXPECT_EQ(provider_.requests, 1);
}

// Stable is killed, so a hop was decided on: economy looks among the hops.
TEST_F(Money, EconomyOfAHopThatWasDecidedOn) {
  mini_ = " }\n  other: { model: dear, params: { max_tokens: 1000 }";
  provider_.answer_with = [] { return answer(1000); };
  kills_.add({.scope = KillScope::unit, .name = "best", .reason = "incident"});
  publish(", fallback: [ { unit: other }, { unit: mini } ]", economy_);
  expect(ask(), "x-weir-unit: other\r\n");
  const GuardClient& second = ask();
  expect_ok(second);
  expect(second, "x-weir-unit: mini\r\n");
  expect(second, "x-weir-reason: economy\r\n");
}

// A text costs nothing, whatever was spent.
TEST_F(Money, AStaticTextThatWasDecidedOnIsGivenPastALimit) {
  kills_.add({.scope = KillScope::unit, .name = "best", .reason = "incident"});
  for (const char* action : {"economy", "cached", "static"}) {
    publish(", fallback: [ { static: \"Later.\" } ]", "limits: { rpm: 1, on_exceed: " + std::string(action) + " }");
    for (int i = 0; i < 2; ++i) expect(ask(), "Later.");
  }
}

TEST_F(Money, AGlobalKillBudgetStopsEverybody) {
  publish("", "", "budgets: [ { window: 1d, usd: 1, on_exceed: kill } ]\n");
  provider_.answer_with = [] { return answer(1000); };
  expect_ok(ask());
  expect(ask(), "\"param\":\"global.budget\"");
  expect(ask("", R"(,"max_tokens":1)"), "\"param\":\"global.budget\"");
}

// ---- usage that nobody reported ----

TEST_F(Money, APlainAnswerWithoutUsageIsEstimatedByItsBytes) {
  input_price_ = "1000";
  publish("", "budgets: [ { window: 1h, usd: 10 } ]");
  const std::string body =
      R"({"choices":[{"index":0,"message":{"content":")" + std::string(400, 'a') + "\"}}]}";
  provider_.answer_with = [&] { return response("200 OK", body); };
  expect_ok(ask());
  const auto made = records();
  ASSERT_EQ(made.size(), 1u);
  EXPECT_TRUE(made[0].usage_estimated);
  EXPECT_EQ(made[0].input_tokens, kExpectedInput);
  EXPECT_EQ(made[0].output_tokens, static_cast<int64_t>(body.size() / 4));
  EXPECT_EQ(spent(), made[0].cost_nano_usd);
  EXPECT_EQ(spent(), (kExpectedInput + static_cast<int64_t>(body.size() / 4)) * kUsd / 1000);
}

TEST_F(Money, AnEstimateIsNeverAboveWhatWasReserved) {
  input_price_ = "1000";
  unit_ = ", retries: 0";
  publish("", "budgets: [ { window: 1h, usd: 100 } ]");
  provider_.answer_with = [] { return response("200 OK", "\"" + std::string(100'000, 'a') + "\""); };
  expect_ok(ask());
  EXPECT_EQ(spent(), kUsd + kExpectedInput * kUsd / 1000) << "a thousand tokens of output were allowed";
  const int64_t before = spent();
  provider_.answer_with = [] { return events(2000); };
  expect_ok(ask("", R"(,"stream":true)"));
  EXPECT_EQ(spent() - before, kUsd + kExpectedInput * kUsd / 1000);
}

TEST_F(Money, APictureIsEstimatedAsOneAndNotByItsBytes) {
  input_price_ = "1000";
  publish("", "budgets: [ { window: 1h, usd: 67 } ]");  // a picture counts 65,536 tokens at most
  GuardClient& client = connect();
  send_body(client,
            R"({"model":"chat","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":)"
            R"("data:image/png;base64,)" +
                std::string(1 << 20, 'A') + R"("}}]}]})");
  provider_.answer_with = [] { return events(3); };
  for (int i = 0; i < 20; ++i) settle();
  expect_ok(client);
  const auto made = records();
  ASSERT_EQ(made.size(), 1u);
  EXPECT_TRUE(made[0].usage_estimated);
  EXPECT_GE(made[0].input_tokens, 1024);
  EXPECT_LE(made[0].input_tokens, 1024 + 100);
  EXPECT_LT(spent(), 2 * kUsd);
}

// Once it was sent the provider has read it, whatever comes of it.
TEST_F(Money, InputIsPaidForOnceTheRequestWasSent) {
  input_price_ = "1000";
  unit_ = ", prompt: p@1.0.0";
  publish("", "budgets: [ { window: 1h, usd: 100 } ]",
          "prompts: { p@1.0.0: { system: \"" + std::string(400, 'p') + "\" } }\n");
  provider_.answer_with = [] { return std::string(); };
  const int64_t input = ((kMostInput + 400) / 4 + 1) * kUsd / 1000;
  GuardClient& late = ask();
  pass(61'000);
  expect_error(late, ErrorCode::header_timeout);
  EXPECT_EQ(spent(), input);
  ask().connection.close();
  settle();
  EXPECT_EQ(spent(), 2 * input) << "who left before the head";
  auto made = records();
  ASSERT_EQ(made.size(), 2u);
  for (const Record& record : made) {
    EXPECT_TRUE(record.usage_estimated);
    EXPECT_EQ(record.output_tokens, 0);
    EXPECT_EQ(record.cost_nano_usd, input);
  }
  provider_.answer_with = [] { return response("500 Oops", "{}"); };
  expect(ask(), "HTTP/1.1 500");
  EXPECT_EQ(spent(), 2 * input) << "a provider that failed does not charge";
  made = records();
  ASSERT_EQ(made.size(), 1u);
  EXPECT_FALSE(made[0].usage_estimated);
}

TEST_F(Money, ARequestThatWasNeverSentCostsNothing) {
  input_price_ = "1000";
  providers_ = R"(, q: { dialect: openai, base_url: "http://127.0.0.1:9/v1" })";
  dear_ = "provider: q";
  publish("", "budgets: [ { window: 1h, usd: 100 } ]");
  expect(ask(), "HTTP/1.1 50");
  EXPECT_EQ(spent(), 0);
}

TEST_F(Money, AConnectionThatHadEndedTookNoRequest) {
  input_price_ = "1000";
  publish("", "budgets: [ { window: 1h, usd: 100 } ]");
  expect_ok(ask());
  EXPECT_EQ(spent(), kUsd / 10);
  provider_.answer_with = [&] {
    provider_.cut_at = provider_.requests == 2 ? 0 : SIZE_MAX;
    return answer(100);
  };
  expect_ok(ask());
  EXPECT_EQ(provider_.requests, 3);
  EXPECT_EQ(spent(), 2 * kUsd / 10);
}

TEST_F(Money, AProviderThatEndsAtWorkHadTheRequestAndIsNotAskedAgainForNothing) {
  input_price_ = "1000";
  publish("", "budgets: [ { window: 1h, usd: 100 } ]");
  expect_ok(ask());
  const auto before = spent();
  provider_.answer_with = [] { return std::string(); };
  GuardClient& client = ask();
  pass(20'000);
  provider_.server.close_all();
  settle();
  expect(client, "HTTP/1.1 502");
  EXPECT_EQ(provider_.requests, 2);
  EXPECT_EQ(spent() - before, kExpectedInput * kUsd / 1000);
}

// What a failed attempt has cost is in the record and the metrics whoever answers in the end.
TEST_F(Money, AnAttemptThatTimedOutIsPaidForWhoeverAnswers) {
  input_price_ = "1000";
  publish(", fallback: [ { static: \"Later.\" } ]", "budgets: [ { window: 1h, usd: 100 } ]");
  provider_.answer_with = [] { return std::string(); };
  GuardClient& client = ask();
  pass(61'000);
  expect(client, "Later.");
  EXPECT_EQ(spent(), kExpectedInput * kUsd / 1000);
  const auto made = records();
  ASSERT_EQ(made.size(), 1u);
  EXPECT_EQ(made[0].cost_nano_usd, spent());
  std::string metrics;
  const routing::ShardMetrics* shard = &shard_->metrics();
  routing::append_prometheus(std::span(&shard, 1), metrics);
  const size_t family = metrics.find("\nweir_cost_usd_total{");
  ASSERT_NE(family, std::string::npos) << metrics;
  EXPECT_NE(metrics.substr(family, 300).find("} 0.008"), std::string::npos) << metrics.substr(family, 300);
}

// ---- kills ----

// What was switched off is not said again from memory.
TEST_F(Money, AKilledUnitsAnswersAreNotGivenFromTheCache) {
  unit_ = ", cache_ttl: 60s";
  const std::string chain = ", fallback: [ { unit: mini }, { cached: true } ]";
  publish(chain, "");
  expect(ask(), "x-weir-unit: best\r\n");
  kills_.add({.scope = KillScope::unit, .name = "best", .reason = "incident"});
  publish(chain, "");
  provider_.answer_with = [] { return response("500 Oops", "{}"); };
  const GuardClient& client = ask();
  expect(client, "HTTP/1.1 500");
  EXPECT_EQ(client.heard.find("hello"), std::string::npos);
  publish(chain, "budgets: [ { window: 1h, usd: 0.01, on_exceed: cached } ]");
  expect_error(ask(), ErrorCode::budget_exceeded);
}

// On call raises a limit and everybody is served again.
TEST_F(Money, ARaisedLimitEndsAKill) {
  provider_.answer_with = [] { return answer(1000); };
  const auto limit = [](const std::string& usd) {
    return "budgets: [ { window: 1d, usd: " + usd + ", on_exceed: kill } ]\n";
  };
  publish("", "", limit("1"));
  expect_ok(ask());
  expect_error(ask(), ErrorCode::budget_exceeded);
  publish("", "", limit("2.1"));
  expect_ok(ask());
}

TEST_F(Money, AChangedActionKeepsWhatWasSpent) {
  provider_.answer_with = [] { return answer(1000); };
  publish("", economy_);
  expect_ok(ask());
  publish("", "budgets: [ { window: 1h, usd: 1.5, on_exceed: reject } ]");
  EXPECT_EQ(spent(), kUsd);
  expect_error(ask(), ErrorCode::budget_exceeded);
}

// ---- content that is held elsewhere ----

TEST_F(Money, WhatIsHeldElsewhereReservesTheContextWindow) {
  input_price_ = "1000";
  dear_ = "provider: p, max_input_tokens: 2000";
  publish("", "budgets: [ { window: 1h, usd: 3 } ]");
  provider_.answer_with = [] { return std::string(); };
  const auto reserves = [&](const std::string& body, std::string_view endpoint) {
    GuardClient& client = connect();
    send_body(client, body, "", endpoint);
    settle();
    const int64_t reserved = tenant_budget().reserved;
    client.connection.close();
    settle();
    pass(3'600'000);
    return reserved;
  };
  const std::string plain = R"({"model":"chat","input":"x")";
  EXPECT_EQ(reserves(plain + "}", "responses"), kUsd + 3 * kUsd / 1000);
  EXPECT_EQ(reserves(plain + R"(,"previous_response_id":"r"})", "responses"), 3 * kUsd);
  EXPECT_EQ(reserves(R"({"model":"chat","messages":[{"role":"user","content":[{"type":"image_url",)"
                     R"("image_url":{"url":"https://example.com/a.png"}}]}]})",
                     "chat/completions"),
            3 * kUsd);
}

}  // namespace
}  // namespace weir::sim
