// Limits, budgets, breakers and the cache in whole exchanges (tests/sim/guards_fixture.h).
#include <gtest/gtest.h>

#include "tests/sim/guards_fixture.h"

namespace weir::sim {
namespace {

TEST_F(GuardsInAnExchange, ARateLimitAdmitsExactlyItsNumberAndSaysWhenToComeBack) {
  publish("", "limits: { rpm: 3 }");
  for (int i = 0; i < 3; ++i) {
    const GuardClient& client = ask();
    expect_ok(client);
    expect(client, "x-ratelimit-limit-requests: 3\r\n");
    expect(client, "x-ratelimit-remaining-requests: " + std::to_string(2 - i) + "\r\n");
  }
  const GuardClient& refused = ask();
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
  const GuardClient& refused = ask();
  expect_error(refused, ErrorCode::rate_limited);
  expect(refused, "\"param\":\"tenant.tpm\"");
  expect(refused, "x-ratelimit-limit-tokens: 1000\r\n");
}

TEST_F(GuardsInAnExchange, ARequestThatNeverFitsIsNotInvitedToTryAgain) {
  publish("", "limits: { tpm: 100 }");
  const GuardClient& refused = ask();  // 256 tokens of output are expected
  expect_error(refused, ErrorCode::request_over_limit);
  expect(refused, "x-should-retry: false\r\n");
  EXPECT_EQ(provider_.requests, 0);
}

TEST_F(GuardsInAnExchange, PlacesAreFreedWhenClientsLeave) {
  publish("", "limits: { concurrency: 1 }, budgets: [ { window: 1h, usd: 10 } ]");
  provider_.answer_with = [] { return std::string(); };
  GuardClient& first = ask();
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
  GuardClient& first = ask();
  GuardClient& second = ask();
  EXPECT_EQ(tenant_budget().reserved, 2 * kUsd);
  const GuardClient& refused = ask();
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

TEST_F(GuardsInAnExchange, WhatAProviderDoesNotCountIsEstimatedAndMarkedSo) {
  publish("", "budgets: [ { window: 1h, usd: 10 } ]");
  const std::string event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello\"}}]}\n\n";
  provider_.answer_with = [&] {
    const std::string body = event + event + event + "data: [DONE]\n\n";
    return "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
  };
  expect_ok(ask("", R"(,"stream":true)"));
  int records = 0;
  gateway_->records[0]->drain([&](const routing::Record& record) {
    ++records;
    EXPECT_TRUE(record.usage_estimated);
    EXPECT_FALSE(record.usage_reported);
    EXPECT_EQ(record.output_tokens, 3) << "an event bears a token";
    EXPECT_EQ(record.cost_nano_usd, 3 * kUsd / 1000);
  });
  EXPECT_EQ(records, 1);
  EXPECT_EQ(tenant_budget().spent, 3 * kUsd / 1000);
  EXPECT_EQ(tenant_budget().reserved, 0);
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
  const GuardClient& second = ask();
  expect_ok(second);
  expect(second, "x-weir-unit: mini\r\n");
  expect(second, "x-weir-reason: economy\r\n");
  EXPECT_NE(provider_.last_body.find("\"cheap\""), std::string::npos);
  EXPECT_EQ(tenant_budget().spent, kUsd + kUsd / 10);
}

// "More than 100 requests per user and hour: the economy unit. The scenario's hour exceeded: the cache. The
// daily cap: nobody." Each is a line of table.
TEST_F(GuardsInAnExchange, FourLinesOfTableSayWhatAnswersWhenMuchIsUsed) {
  unit_ = ", cache_ttl: 10m";
  publish(", budgets: [ { window: 1h, usd: 120, on_exceed: cached } ]",
          "user_limits: { rph: 100, on_exceed: economy }",
          "budgets: [ { window: 1d, usd: 125, on_exceed: kill } ]\n");
  provider_.answer_with = [] { return answer(1000); };
  int asked = 0;  // no two are the same
  const auto ask_as = [&](const std::string& user) -> const GuardClient& {
    return ask("x-weir-user: " + user + "\r\n", ",\"seed\":" + std::to_string(++asked));
  };
  for (int i = 0; i < 100; ++i) expect(ask_as("anna"), "x-weir-unit: best\r\n");  // 1 USD each
  const GuardClient& economy = ask_as("anna");
  expect(economy, "x-weir-reason: economy\r\n");
  expect(economy, "x-weir-unit: best\r\n");  // here there is no cheaper one that the scenario may use
  for (int i = 0; i < 19; ++i) expect(ask_as("bert"), "x-weir-unit: best\r\n");
  expect_error(ask_as("bert"), ErrorCode::budget_exceeded);  // 120 USD are gone, and this was never answered
  const GuardClient& again = ask("x-weir-user: bert\r\n", ",\"seed\":1");
  expect_ok(again);
  expect(again, "x-weir-cache: hit\r\n");
  pass(3'600'000);  // another hour, the same day
  for (int i = 0; i < 5; ++i) expect(ask_as("carl"), "x-weir-unit: best\r\n");
  expect(ask_as("carl"), "\"param\":\"global.budget\"");
  expect(ask_as("dora"), "\"param\":\"global.budget\"");
  EXPECT_EQ(plan().global()->budgets[0].line->trips.load(), 1u) << "which is what pages somebody";
}

TEST_F(GuardsInAnExchange, PastAUsersSoftLimitTheCheapestUnitAnswersThem) {
  publish(", fallback: [ { unit: mini } ]", "user_limits: { rph: 3, on_exceed: economy }");
  for (int i = 0; i < 3; ++i) expect(ask("x-weir-user: anna\r\n"), "x-weir-unit: best\r\n");
  const GuardClient& fourth = ask("x-weir-user: anna\r\n");
  expect_ok(fourth);
  expect(fourth, "x-weir-unit: mini\r\n");
  expect(fourth, "x-weir-reason: economy\r\n");
  expect(ask("x-weir-user: bert\r\n"), "x-weir-unit: best\r\n");
}

TEST_F(GuardsInAnExchange, PastASoftLimitWithNothingToAnswerItIsTheLimitThatRefuses) {
  publish("", "limits: { rpm: 1, on_exceed: static }");
  expect_ok(ask());
  const GuardClient& second = ask();
  expect_error(second, ErrorCode::rate_limited);
  expect(second, "\"param\":\"tenant.rpm\"");
}

TEST_F(GuardsInAnExchange, AnExhaustedStaticBudgetAnswersTheFixedText) {
  publish(", fallback: [ { static: \"Please call us.\" } ]",
          "budgets: [ { window: 1h, usd: 1, on_exceed: static } ]");
  provider_.answer_with = [] { return answer(1000); };
  expect_ok(ask());
  const GuardClient& second = ask();
  expect_ok(second);
  expect(second, "Please call us.");
  EXPECT_EQ(provider_.requests, 1);
  EXPECT_EQ(tenant_budget().spent, kUsd);
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
  const GuardClient& third = ask("x-weir-user: u\r\n");
  expect(third, "x-weir-unit: best\r\n");
  expect(third, "x-weir-reason: pilot_limit\r\n");
}

// A pilot of everybody on `mini`, past whose limits `best` answers.
std::string piloted(const std::string& limits) {
  return "flags: { f: { state: pilot, percent: 100, owner: o, reason: r, review: 2030-01-01, previous: best, "
         "limits: { " +
         limits + " } } }";
}
const std::string kPilotFlag = "flags: { f: { scenario: chat, candidate: { unit: mini } } }\n";

TEST_F(GuardsInAnExchange, PastAPilotsTokensThePreviousUnitAnswers) {
  publish("", piloted("tpm: 1000"), kPilotFlag);
  provider_.answer_with = [] { return answer(900); };
  expect(ask("x-weir-user: u\r\n"), "x-weir-unit: mini\r\n");
  const GuardClient& past = ask("x-weir-user: u\r\n");  // 256 tokens and more are expected
  expect(past, "x-weir-unit: best\r\n");
  expect(past, "x-weir-reason: pilot_limit\r\n");
  std::string limits;
  gateway_->records[0]->drain(
      [&](const routing::Record& record) { limits += record.limit == nullptr ? "-" : record.limit; });
  EXPECT_EQ(limits, "-pilot.tpm");
  const auto pilot = static_cast<size_t>(routing::GuardScope::pilot);
  EXPECT_EQ(shard_->metrics().limited[pilot][static_cast<size_t>(routing::LimitKind::tpm)].value(), 1u);
  pass(60'000);
  provider_.answer_with = [] { return answer(1); };
  for (int i = 0; i < 3; ++i) expect(ask("x-weir-user: u\r\n"), "x-weir-unit: mini\r\n");
}

TEST_F(GuardsInAnExchange, OfTheRequestsPastAPilotsConcurrencyThePreviousUnitAnswers) {
  publish("", piloted("concurrency: 1"), kPilotFlag);
  provider_.answer_with = [] { return std::string(); };
  GuardClient& first = ask("x-weir-user: u\r\n");
  provider_.answer_with = [] { return answer(1); };
  expect(ask("x-weir-user: v\r\n"), "x-weir-reason: pilot_limit\r\n");
  first.connection.close();
  settle();
  for (int i = 0; i < 2; ++i) expect(ask("x-weir-user: v\r\n"), "x-weir-unit: mini\r\n");
}

TEST_F(GuardsInAnExchange, WhateverEndsARequestItsPlaceInThePilotIsFree) {
  publish(
      ", fallback: [ { static: \"Later.\" } ]",
      "limits: { rpm: 9 }, budgets: [ { window: 1h, usd: 2 } ], " + piloted("concurrency: 1, tpm: 100000"),
      kPilotFlag);
  const std::string user = "x-weir-user: u\r\n", conversation = user + "x-weir-conversation: c\r\n";
  const auto& line = *plan().pilot(routing::TenantIndex{0}, routing::FlagIndex{0})->line;
  const auto nothing_is_held = [&](const char* after) { EXPECT_EQ(line.in_flight.load(), 0u) << after; };
  expect(ask(conversation), "x-weir-unit: mini\r\n");
  nothing_is_held("an answer");
  provider_.answer_with = [] { return response("500 Oops", "{}"); };
  expect(ask(conversation), "Later.");
  nothing_is_held("a fallback");
  const uint64_t tokens = line.rates[static_cast<size_t>(routing::RateKind::tokens)].load();
  expect(ask(user, ",\"n\":50"), "\"param\":\"tenant.budget\"");
  nothing_is_held("a budget that refuses");
  for (int i = 0; i < 7; ++i) ask(user);
  expect(ask(user), "\"param\":\"tenant.rpm\"");
  nothing_is_held("a rate that refuses");
  EXPECT_GE(line.rates[static_cast<size_t>(routing::RateKind::tokens)].load(), tokens);
  pass(60'000);
  provider_.answer_with = [] { return std::string(); };
  ask(conversation);
  ask(conversation);
  EXPECT_EQ(line.in_flight.load(), 2u) << "a conversation goes on past the limit";
  pass(130'000);
  nothing_is_held("a timeout");
}

TEST_F(GuardsInAnExchange, LimitsThatARowKeepsFromItsPilotDoNotBindItInProduction) {
  publish("",
          "flags: { f: { state: pilot, percent: 100, owner: o, reason: r, review: 2030-01-01, previous: best, "
          "limits: { total_requests: 10 } }, g: { state: production, owner: o, reason: r, review: 2030-01-01, "
          "previous: best, limits: { total_requests: 1 } } }",
          "flags: { f: { scenario: chat, candidate: { unit: mini } }, "
          "g: { scenario: chat, candidate: { params: { temperature: 0.5 } } } }\n");
  for (int i = 0; i < 3; ++i) {
    const GuardClient& client = ask("x-weir-user: u\r\n");
    expect(client, "HTTP/1.1 200");
    EXPECT_EQ(client.heard.find("pilot_limit"), std::string::npos) << client.heard;
  }
  EXPECT_EQ(plan().pilot(routing::TenantIndex{0}, routing::FlagIndex{1})->line->total.load(), 0u);
}

TEST_F(GuardsInAnExchange, AConversationThatHasBegunCountsForThePilotAndIsNotBoundByIt) {
  publish(
      "",
      "flags: { f: { state: pilot, percent: 100, owner: o, reason: r, review: 2030-01-01, previous: best, "
      "limits: { total_requests: 3 } } }",
      "flags: { f: { scenario: chat, candidate: { unit: mini } } }\n");
  const std::string user = "x-weir-user: u\r\n", conversation = user + "x-weir-conversation: c\r\n";
  for (int i = 0; i < 5; ++i) expect(ask(conversation), "x-weir-unit: mini\r\n");
  EXPECT_EQ(plan().pilot(routing::TenantIndex{0}, routing::FlagIndex{0})->line->total.load(), 5u);
  expect(ask(user), "x-weir-reason: pilot_limit\r\n");
}

// Retries of a client that is refused anyway use up nothing.
TEST_F(GuardsInAnExchange, APilotsPlaceGoesBackWhenAnotherLimitRefuses) {
  publish("",
          "limits: { rpm: 1 }, flags: { f: { state: pilot, percent: 100, owner: o, reason: r, review: "
          "2030-01-01, "
          "previous: best, limits: { rpm: 2, total_requests: 2 } } }",
          "flags: { f: { scenario: chat, candidate: { unit: mini } } }\n");
  const std::string user = "x-weir-user: u\r\n", conversation = user + "x-weir-conversation: c\r\n";
  expect(ask(user), "x-weir-unit: mini\r\n");
  for (int i = 0; i < 5; ++i) expect(ask(conversation), "\"param\":\"tenant.rpm\"");
  pass(60'000);
  expect(ask(user), "x-weir-unit: mini\r\n");
  for (int i = 0; i < 5; ++i) expect(ask(user), "\"param\":\"tenant.rpm\"");
  pass(60'000);
  const GuardClient& last = ask(conversation);
  expect(last, "x-weir-unit: best\r\n");  // nor did the conversation begin when it was refused
  expect(last, "x-weir-reason: pilot_limit\r\n");
}

TEST_F(GuardsInAnExchange, APilotsPlaceGoesBackWhenABudgetRefusesOrAnotherUnitAnswers) {
  publish(
      ", fallback: [ { unit: mini } ]",
      "user_limits: { rph: 1, on_exceed: economy }, budgets: [ { window: 1h, usd: 4 } ], "
      "flags: { f: { state: pilot, percent: 100, owner: o, reason: r, review: 2030-01-01, previous: mini, "
      "limits: { total_requests: 2 } } }",
      "flags: { f: { scenario: chat, candidate: { params: { temperature: 0.5 } } } }\n");
  const auto ask_as = [&](const std::string& user, const std::string& members = "") -> const GuardClient& {
    return ask("x-weir-user: " + user + "\r\n", members);
  };
  expect(ask_as("anna"), "x-weir-arm: candidate\r\n");
  for (int i = 0; i < 3; ++i) expect(ask_as("anna"), "x-weir-reason: economy\r\n");
  for (int i = 0; i < 3; ++i) expect(ask_as("bert", ",\"n\":9"), "\"param\":\"tenant.budget\"");
  expect(ask_as("carl"), "x-weir-arm: candidate\r\n");
  expect(ask_as("dora"), "x-weir-reason: pilot_limit\r\n");
}

TEST_F(GuardsInAnExchange, WhereNoUserIsNamedTheKeyIsOne) {
  keys_ = ", { id: l, tenant: t, scenario: chat, hash: \"" + routing::hash_key("secret", "sk-other") + "\" }";
  publish("", "user_limits: { rpm: 1 }");
  expect_ok(ask());
  expect(ask(), "\"param\":\"user.rpm\"");
  expect_ok(ask("x-weir-user: k\r\n"));  // somebody else
  bearer_ = "sk-other";
  expect_ok(ask());
  expect(ask(), "\"param\":\"user.rpm\"");
}

TEST_F(GuardsInAnExchange, AFailingProviderIsLeftAloneProbedAndTakenBack) {
  publish(", fallback: [ { static: \"Later.\" } ]", "");
  provider_.answer_with = [] { return response("500 Oops", "{}"); };
  for (uint64_t i = 0; i < routing::BreakerRules::kConsecutive; ++i) expect(ask(), "Later.");
  const int asked = provider_.requests;
  const GuardClient& kept_away = ask();
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
  pass(2'000);
  const GuardClient& kept_away = ask();
  expect_error(kept_away, ErrorCode::provider_limited);
  expect(kept_away, "HTTP/1.1 429");
  expect(kept_away, "retry-after: 5\r\n");
  EXPECT_EQ(kept_away.heard.find("x-should-retry"), std::string::npos);
  EXPECT_EQ(provider_.requests, 1);
  pass(5'000);
  provider_.answer_with = [] { return answer(1); };
  expect_ok(ask());
}

TEST_F(GuardsInAnExchange, A429MaySayItWithADate) {
  publish("", "");
  const auto limited_until = [&](int64_t wall_ns) {
    const time_t seconds = wall_ns / 1'000'000'000;
    tm parts{};
    char date[64];
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&seconds, &parts));
    provider_.answer_with = [field = "retry-after: " + std::string(date) + "\r\n"] {
      return response("429 Too Many Requests", "{}", field);
    };
  };
  limited_until(world_.wall_ns + 8'000'000'000);
  expect(ask(), "HTTP/1.1 429");
  pass(2'000);
  expect_error(ask(), ErrorCode::provider_limited);
  EXPECT_EQ(provider_.requests, 1);
  pass(6'000);
  limited_until(world_.wall_ns + 1'000'000'000'000'000);
  expect(ask(), "HTTP/1.1 429");
  EXPECT_EQ(provider_.requests, 2);
  pass(routing::BreakerRules::kMaxLimitedNs / 1'000'000 - 1'000);
  expect_error(ask(), ErrorCode::provider_limited);
  pass(1'000);
  limited_until(world_.wall_ns - 1'000'000'000'000'000);
  expect(ask(), "HTTP/1.1 429");
  EXPECT_EQ(provider_.requests, 3);
  expect_error(ask(), ErrorCode::breaker_open);  // a date that is over says nothing: a failure like any other
}

TEST_F(GuardsInAnExchange, ARetryWaitsALittle) {
  unit_ = ", retries: 1";
  publish("", "");
  int answers = 0;
  provider_.answer_with = [&] {
    return ++answers == 1 ? response("503 Busy", "{}", "retry-after-ms: 500\r\n") : answer(1);
  };
  GuardClient& client = ask();
  EXPECT_EQ(provider_.requests, 1);
  EXPECT_EQ(client.heard, "");
  pass(499);
  EXPECT_EQ(provider_.requests, 1);
  pass(40);  // on top of it, what keeps all from coming back at once
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
  const GuardClient& again = ask("x-weir-user: bert\r\n", R"(,"metadata":{"a":"b"})");
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
  const GuardClient& again = ask("", R"(,"stream":true)");
  expect(again, "x-weir-cache: hit\r\n");
  expect(again, "content-type: text/event-stream\r\n");
  expect(again, event + "data: [DONE]\n\n");
  EXPECT_EQ(again.heard.find("usage"), std::string::npos);
  EXPECT_EQ(provider_.requests, 1);
  expect(ask(), "x-weir-cache: miss\r\n");  // not asked for as a stream: another request
}

TEST_F(GuardsInAnExchange, AnAnswerIsNeverGivenToAnotherTenantOrForAnotherUnit) {
  unit_ = ", cache_ttl: 60s";
  tenants_ = ", s: {}";
  keys_ = ", { id: l, tenant: s, scenario: chat, hash: \"" + routing::hash_key("secret", "sk-other") + "\" }";
  const std::string flag = "flags: { f: { scenario: chat, candidate: { params: { temperature: 0.5 } } } }\n";
  publish("", "", flag);
  expect(ask(), "x-weir-cache: miss\r\n");
  bearer_ = "sk-other";
  expect(ask(), "x-weir-cache: miss\r\n");
  expect(ask(), "x-weir-cache: hit\r\n");
  bearer_ = "sk-sim";
  publish("", "flags: { f: { state: production, owner: o, reason: r, review: 2030-01-01, previous: best } }",
          flag);
  expect(ask("x-weir-user: u\r\n"), "x-weir-cache: miss\r\n");  // the candidate, which has said nothing yet
  EXPECT_EQ(provider_.requests, 3);
  using routing::CacheLine;
  EXPECT_EQ(gateway_->cache.purge(&CacheLine::tenant, routing::hash_name("s")), 1u);
  bearer_ = "sk-other";
  expect(ask(), "x-weir-cache: miss\r\n");
}

TEST_F(GuardsInAnExchange, AnAnswerIsKeptForTheDayOnWhichItWasAskedFor) {
  unit_ = ", cache_ttl: 60s, prompt: p@1.0.0";
  publish("", "", "prompts: { p@1.0.0: { system: \"It is {{date}}.\" } }\n");
  const auto answer_with = provider_.answer_with;
  provider_.answer_with = [&] {  // it takes until the next day
    world_.wall_ns += 86'400'000'000'000;
    return answer_with();
  };
  expect(ask(), "x-weir-cache: miss\r\n");
  provider_.answer_with = answer_with;
  expect(ask(), "x-weir-cache: miss\r\n");
  expect(ask(), "x-weir-cache: hit\r\n");
  EXPECT_EQ(provider_.requests, 2);
}

TEST_F(GuardsInAnExchange, AnAnswerThatWasAskedForBeforeAPurgeIsNotKeptAfterIt) {
  unit_ = ", cache_ttl: 60s";
  publish("", "");
  const auto answer_with = provider_.answer_with;
  provider_.answer_with = [&] {  // the request is here, nothing of the answer is there
    gateway_->cache.purge(&routing::CacheLine::tenant, routing::hash_name("t"));
    return answer_with();
  };
  expect(ask(), "x-weir-cache: miss\r\n");
  EXPECT_EQ(shard_->metrics().cache_stores.value(), 0u) << "nor is it counted as kept";
  provider_.answer_with = answer_with;
  expect(ask(), "x-weir-cache: miss\r\n");
  EXPECT_EQ(shard_->metrics().cache_stores.value(), 1u);
  expect(ask(), "x-weir-cache: hit\r\n");
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
  publish(
      ", fallback: [ { cached: true }, { static: \"Later.\" } ]",
      "flags: { f: { state: pilot, percent: 100, owner: o, reason: r, review: 2030-01-01, previous: best } }",
      "flags: { f: { scenario: chat, candidate: { unit: mini } } }\n");
  expect(ask(), "x-weir-unit: best\r\n");  // no user: stable, which keeps its answers
  provider_.answer_with = [] { return response("500 Oops", "{}"); };
  const GuardClient& known = ask("x-weir-user: u\r\n");  // the candidate, which does not
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
