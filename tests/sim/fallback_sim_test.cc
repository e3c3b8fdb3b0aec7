// Chains in whole exchanges: which unit answers when another one fails, how long that may take, and what
// never happens once the client has heard the first byte.
#include <gtest/gtest.h>

#include "tests/sim/guards_fixture.h"

namespace weir::sim {
namespace {

class Fallback : public GuardsInAnExchange {
 protected:
  // Everybody gets the candidate: `mini`, on the cheap model; `best` is stable, on the dear one.
  void publish_candidate(const std::string& scenario = "", const std::string& tenant = "") {
    publish(scenario,
            (tenant.empty() ? "" : tenant + ", ") +
                "flags: { f: { state: pilot, percent: 100, owner: o, reason: r, review: 2030-01-01, "
                "previous: best } }",
            "flags: { f: { scenario: chat, candidate: { unit: mini } } }\n");
  }
  GuardClient& ask_user(std::string_view members = "") { return ask("x-weir-user: u\r\n", members); }

  // What each unit is answered with, told apart by the model it asks for. Empty: silence.
  void answers(const std::string& stable, const std::string& candidate) {
    provider_.answer_with = [this, stable, candidate] {
      return provider_.last_body.find("\"dear\"") != std::string::npos ? stable : candidate;
    };
  }
  static std::string said(std::string_view text) {
    return response("200 OK", R"({"choices":[{"index":0,"message":{"content":")" + std::string(text) +
                                  R"("}}],"usage":{"prompt_tokens":0,"completion_tokens":100}})");
  }
  static std::string stream_head() {
    return "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
  }
  static std::string event(std::string_view data) {
    const std::string text = "data: " + std::string(data) + "\n\n";
    char size[16];
    std::snprintf(size, sizeof size, "%zx\r\n", text.size());
    return size + text + "\r\n";
  }
  static std::string delta(std::string_view content) {
    return event(R"({"choices":[{"index":0,"delta":{"content":")" + std::string(content) + R"("}}]})");
  }
  static std::string streamed(std::string_view content) {
    return stream_head() + delta(content) + event("[DONE]") + "0\r\n\r\n";
  }
  routing::BreakerView health(uint32_t model) {
    return view(plan().breaker(routing::ModelIndex{model}), shard_->loop().now_ns());
  }
  // How often `unit` as that arm was left for another hop.
  uint64_t left_behind(std::string_view unit, std::string_view arm) {
    const routing::ShardMetrics& metrics = shard_->metrics();
    uint64_t count = 0;
    for (uint32_t i = 0; i < metrics.series_count(); ++i) {
      const routing::MetricSeries& series = metrics.series(i);
      if (series.labels.unit == unit && series.labels.arm == arm) count += series.fallbacks.value();
    }
    return count;
  }
  static constexpr uint32_t kDear = 0, kCheap = 1;
};

TEST_F(Fallback, ACandidateThatMissesItsFirstTokenIsAnsweredByStableInTheSameRequest) {
  mini_ = ", timeouts: { first_token: 3s, total: 60s }, retries: 2";
  publish_candidate();
  provider_.stays_open = true;
  const std::string role = event(R"({"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]})");
  answers(streamed("from stable"), stream_head() + role);
  GuardClient& client = ask_user(R"(,"stream":true)");
  pass(2'900);
  EXPECT_EQ(client.heard, "");
  pass(200);
  expect(client, "from stable");
  expect(client, "data: [DONE]");
  expect(client, "x-weir-unit: best\r\n");
  expect(client, "x-weir-arm: fallback\r\n");
  expect(client, "x-weir-fallback: 1; first_token_timeout\r\n");
  EXPECT_EQ(client.heard.find("\"role\""), std::string::npos) << "nothing of the candidate's was sent";
  EXPECT_EQ(provider_.requests, 2) << "and it was not given the time again";
  EXPECT_EQ(provider_.left, 1) << "its attempt was cancelled";
  EXPECT_EQ(health(kCheap).consecutive, 1u) << "it counts against the candidate";
  EXPECT_EQ(health(kDear).consecutive, 0u);
  EXPECT_EQ(left_behind("mini", "candidate"), 1u);
  EXPECT_EQ(left_behind("best", "stable"), 0u);
}

TEST_F(Fallback, SoIsOneThatIsSilentOnAPlainRequest) {
  mini_ = ", timeouts: { first_token: 3s, total: 60s }";
  publish_candidate();
  answers(said("from stable"), "");
  GuardClient& client = ask_user();
  pass(3'100);
  expect(client, "from stable");
  EXPECT_EQ(provider_.left, 1);
}

TEST_F(Fallback, ACandidateThatFailsInAnotherWayIsAnsweredByStableToo) {
  mini_ = ", answer: nonempty";
  publish_candidate();
  const struct {
    std::string candidate;
    const char* why;
  } cases[] = {{response("500 Oops", "{}"), "upstream_status"},
               {response("429 Wait", "{}"), "upstream_status"},
               {said(""), "answer_invalid"},
               {"garbage\r\n\r\n", "upstream_malformed"}};
  for (const auto& [candidate, why] : cases) {
    answers(said("from stable"), candidate);
    const GuardClient& client = ask_user();
    expect(client, "from stable");
    expect(client, std::string("x-weir-fallback: 1; ") + why);
  }
  EXPECT_EQ(left_behind("mini", "candidate"), 4u);
}

TEST_F(Fallback, ARefusalIsTheCandidatesAnswer) {
  publish_candidate();
  answers(said("from stable"),
          response("200 OK", R"({"choices":[{"message":{"content":null,"refusal":"I would rather not"}}]})"));
  expect(ask_user(), "rather not");
  EXPECT_EQ(provider_.requests, 1);
}

TEST_F(Fallback, AfterStableComesTheChainButNotStableAgain) {
  publish_candidate(", fallback: [ { unit: best }, { static: \"Later.\" } ]");
  answers(response("500 Oops", "{}"), response("500 Oops", "{}"));
  const GuardClient& client = ask_user();
  expect(client, "Later.");
  expect(client, "x-weir-fallback: 2; upstream_status\r\n");
  EXPECT_EQ(provider_.requests, 2);
}

TEST_F(Fallback, OnceTheClientHasHeardAByteNobodyElseAnswers) {
  publish_candidate(", fallback: [ { static: \"Later.\" } ]");
  provider_.stays_open = true;
  answers(streamed("from stable"), stream_head() + delta("One"));
  GuardClient& client = ask_user(R"(,"stream":true)");
  expect(client, "One");
  pass(31'000);  // its idle clock
  EXPECT_EQ(provider_.requests, 1);
  expect(client, "\"error\"");
  EXPECT_EQ(client.heard.find("[DONE]"), std::string::npos);
  EXPECT_EQ(client.heard.find("Later."), std::string::npos);
  EXPECT_FALSE(client.heard.ends_with("0\r\n\r\n"));
}

TEST_F(Fallback, AProviderThatCutsItsAnswersIsLeftAloneThoughTheyBegin) {
  for (const bool stream : {true, false}) {
    publish("", "");
    answers(stream ? streamed("One") : said("One"), "");
    provider_.cut_at = stream ? (stream_head() + delta("One")).size() : said("One").size() - 3;
    for (uint64_t i = 0; i < routing::BreakerRules::kConsecutive; ++i) {
      EXPECT_EQ(health(kDear).consecutive, i);
      expect(ask("", stream ? R"(,"stream":true)" : ""), "One");
    }
    EXPECT_EQ(health(kDear).state, routing::BreakerState::open);
    expect_error(ask(), ErrorCode::breaker_open);
    // The first token of a probe is enough to be asked by all again; what comes after counts as ever.
    pass(2'100);
    answers(stream_head() + delta("One"), "");
    provider_.cut_at = SIZE_MAX;
    provider_.stays_open = true;
    expect(ask("", R"(,"stream":true)"), "One");
    EXPECT_EQ(health(kDear).state, routing::BreakerState::closed);
    pass(29'000);
    pass(2'000);  // its idle clock
    expect(*clients_.back(), "\"error\"");
    EXPECT_EQ(health(kDear).consecutive, 1u);
    provider_.stays_open = false;
    answers(said("Two"), "");
    expect(ask(), "Two");
    EXPECT_EQ(health(kDear).consecutive, 0u);
  }
}

TEST_F(Fallback, WhatEndsAnAnswerOnOurSideSaysNothingAgainstItsProvider) {
  unit_ = ", timeouts: { total: 10s }";
  publish("", "");
  answers(response("500 Oops", "{}"), "");
  for (int i = 0; i < 3; ++i) ask();
  EXPECT_EQ(health(kDear).consecutive, 3u);
  answers(stream_head() + delta("One"), "");
  provider_.stays_open = true;
  GuardClient& leaves = ask("", R"(,"stream":true)");
  EXPECT_EQ(health(kDear).consecutive, 3u);
  leaves.connection.close();
  settle();
  EXPECT_EQ(health(kDear).consecutive, 0u);
  GuardClient& slow = ask("", R"(,"stream":true)");
  pass(10'100);
  expect(slow, "\"error\"");
  EXPECT_EQ(health(kDear).consecutive, 0u) << "slow, not broken";
}

TEST_F(Fallback, AnEventWithoutAnEndIsAFailureLikeAnyOther) {
  publish_candidate();
  const std::string endless = event(std::string(core::limits::kMaxSseEventBytes + 1000, 'x'));
  const auto ask_for_stream = [&]() -> const GuardClient& {
    const GuardClient& client = ask_user(R"(,"stream":true)");
    for (int i = 0; i < 10; ++i) settle();
    return client;
  };
  answers(streamed("from stable"), stream_head() + endless);
  const GuardClient& held = ask_for_stream();
  expect(held, "from stable");
  expect(held, "data: [DONE]");
  expect(held, "x-weir-fallback: 1; upstream_frame_too_large\r\n");
  EXPECT_EQ(health(kCheap).consecutive, 1u);
  answers(streamed("from stable"), stream_head() + delta("One") + endless);
  const GuardClient& begun = ask_for_stream();
  expect(begun, "One");
  expect(begun, "\"error\"");
  EXPECT_EQ(health(kCheap).consecutive, 2u);
}

TEST_F(Fallback, AnErrorInAStreamThatWasLeftIsNotTheAnswers) {
  unit_ = ", cache_ttl: 60s";
  publish_candidate();
  answers(streamed("from stable"),
          stream_head() + event(R"({"error":{"message":"overloaded","type":"server_error"}})") + "0\r\n\r\n");
  expect(ask_user(R"(,"stream":true)"), "from stable");
  int records = 0;
  gateway_->records[0]->drain([&](const routing::Record& record) {
    ++records;
    EXPECT_FALSE(record.error.has_value());
    EXPECT_TRUE(record.first_failure.has_value());
  });
  EXPECT_EQ(records, 1);
  expect(ask("", R"(,"stream":true)"), "x-weir-cache: hit\r\n");
}

TEST_F(Fallback, EachHopHasItsOwnClocksInsideTheTotal) {
  unit_ = ", timeouts: { header: 2s, total: 30s }";
  mini_ = ", timeouts: { header: 4s, total: 5s }, retries: 1";
  publish(", fallback: [ { unit: mini }, { static: \"Later.\" } ]", "");
  answers("", "");
  GuardClient& client = ask();
  pass(2'050);
  EXPECT_EQ(provider_.requests, 2);
  pass(4'020);
  pass(40);
  EXPECT_EQ(provider_.requests, 3);
  pass(800);
  EXPECT_EQ(client.heard, "");
  pass(200);  // the hop's total
  expect(client, "Later.");
}

TEST_F(Fallback, WhenTheTotalIsOverWhatIsAtHandStillAnswers) {
  unit_ = ", timeouts: { total: 10s }";
  publish(", fallback: [ { unit: mini }, { static: \"Later.\" } ]", "");
  answers("", said("too late"));
  GuardClient& client = ask("", R"(,"stream":true)");
  pass(10'100);
  expect(client, "Later.");
  expect(client, "data: [DONE]");
  expect(client, "x-weir-fallback: 1; total_timeout\r\n");
  EXPECT_EQ(provider_.requests, 1);
}

TEST_F(Fallback, ARetryThatWouldComeTooLateIsNotWaitedFor) {
  unit_ = ", retries: 3, timeouts: { total: 1s }";
  publish(", fallback: [ { static: \"Later.\" } ]", "");
  answers(response("503 Busy", "{}", "retry-after-ms: 1500\r\n"), "");
  expect(ask(), "Later.");
  EXPECT_EQ(provider_.requests, 1);
}

TEST_F(Fallback, A429IsForHopsThatSaySoWhoeverSaysIt) {
  publish(", fallback: [ { unit: mini, on: [429] } ]", "");
  answers(response("429 Wait", "{}", "retry-after: 30\r\n"), said("from mini"));
  expect(ask(), "x-weir-fallback: 1; upstream_status\r\n");
  const GuardClient& client = ask();
  expect(client, "from mini");
  expect(client, "x-weir-fallback: 1; provider_limited\r\n");
  EXPECT_EQ(client.heard.find("retry-after"), std::string::npos);
}

// The worst case that is reserved must be that of the unit which is asked, not of the hop that would be next.
TEST_F(Fallback, LookingForAHopChangesNothingWhileARetryIsWaitedFor) {
  unit_ = ", retries: 1";
  publish(", fallback: [ { unit: mini } ]", "budgets: [ { window: 1h, usd: 10 } ]");
  answers(response("500 Oops", "{}"), said("from mini"));
  ask();
  EXPECT_EQ(provider_.requests, 1);
  EXPECT_EQ(tenant_budget().reserved, kUsd);
  pass(1'000);
  expect(*clients_.back(), "from mini");
}

TEST_F(Fallback, AProviderThatIsBackIsNotDeniedToThoseWhoHaveNoOther) {
  publish("", "");
  answers(response("429 Wait", "{}", "retry-after: 5\r\n"), "");
  ask();
  answers(said("back"), "");
  pass(6'000);
  for (int i = 0; i < 50; ++i) expect(ask(), "back");
}

TEST_F(Fallback, AProviderThatIsBackGetsTrafficSlowlyWhereAnotherUnitAnswers) {
  publish(", fallback: [ { unit: mini } ]", "");
  answers(response("429 Wait", "{}", "retry-after: 5\r\n"), said("from mini"));
  ask();
  answers(said("from best"), said("from mini"));
  pass(6'000);
  int back = 0;
  for (int i = 0; i < 50; ++i) back += ask().heard.find("from best") != std::string::npos;
  EXPECT_GT(back, 0);
  EXPECT_LT(back, 25);
}

}  // namespace
}  // namespace weir::sim
