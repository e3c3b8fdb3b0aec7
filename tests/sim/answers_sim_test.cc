// Answers that are looked at before the client gets them, and clients that loop, in whole exchanges.
#include <gtest/gtest.h>

#include "core/limits.h"
#include "tests/sim/guards_fixture.h"

namespace weir::sim {
namespace {

class Answers : public GuardsInAnExchange {
 protected:
  // What the provider answers to each unit, told apart by the model it is asked for.
  void answers(const std::string& best, const std::string& mini) {
    provider_.answer_with = [this, best, mini] {
      return provider_.last_body.find("\"dear\"") != std::string::npos ? best : mini;
    };
  }
  static std::string said(std::string_view message, int tokens = 100) {
    return response("200 OK", R"({"choices":[{"index":0,"message":)" + std::string(message) +
                                  R"(}],"usage":{"prompt_tokens":0,"completion_tokens":)" +
                                  std::to_string(tokens) + "}}");
  }
  static std::string streamed(std::string_view delta) {
    const std::string body = R"(data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]})"
                             "\n\ndata: {\"choices\":[{\"index\":0,\"delta\":" +
                             std::string(delta) + "}]}\n\ndata: [DONE]\n\n";
    return "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  const std::string kRefusal = R"({"content":null,"refusal":"I would rather not"})";
  const std::string kMini = R"({"content":"mini"})";
};

TEST_F(Answers, ARefusalIsAnsweredByAHopThatSaysSo) {
  publish(", fallback: [ { unit: mini, on: [refusal] } ]", "budgets: [ { window: 1h, usd: 10 } ]");
  answers(said(kRefusal, 50), said(kMini, 100));
  const GuardClient& client = ask();
  expect_ok(client);
  expect(client, "\"mini\"");
  expect(client, "x-weir-unit: mini\r\n");
  expect(client, "x-weir-fallback: 1; answer_refused\r\n");
  EXPECT_EQ(client.heard.find("rather not"), std::string::npos);
  // 50 tokens of the dear unit and 100 of the cheap one.
  EXPECT_EQ(tenant_budget().spent, kUsd / 20 + kUsd / 100);
  EXPECT_EQ(tenant_budget().reserved, 0);
}

TEST_F(Answers, WithoutSuchAHopTheRefusalIsTheAnswer) {
  publish(", fallback: [ { unit: mini }, { static: \"Later.\" } ]", "");
  answers(said(kRefusal), said(kMini));
  expect(ask(), "rather not");
  EXPECT_EQ(provider_.requests, 1);
}

TEST_F(Answers, OfTwoUnitsThatRefuseTheLastOneIsHeard) {
  publish(", fallback: [ { unit: mini, on: [refusal] } ]", "");
  answers(said(kRefusal), said(R"({"content":null,"refusal":"Nor would I"})"));
  const GuardClient& client = ask();
  expect_ok(client);
  expect(client, "Nor would I");
}

TEST_F(Answers, AStreamThatBeginsWithARefusalIsAnsweredByAnotherUnit) {
  publish(", fallback: [ { unit: mini, on: [refusal] } ]", "");
  answers(streamed(R"({"refusal":"I would rather not"})"), streamed(R"({"content":"mini"})"));
  const GuardClient& client = ask("", R"(,"stream":true)");
  expect(client, "\"mini\"");
  expect(client, "x-weir-fallback: 1; answer_refused\r\n");
  expect(client, "data: [DONE]");
  EXPECT_EQ(client.heard.find("rather not"), std::string::npos);
}

TEST_F(Answers, AStreamedRefusalThatNobodyAnswersGoesThroughWhole) {
  publish(", fallback: [ { unit: mini, on: [refusal] } ]", "");
  answers(streamed(R"({"refusal":"I would rather not"})"), streamed(R"({"refusal":"Nor would I"})"));
  const GuardClient& client = ask("", R"(,"stream":true)");
  expect(client, "Nor would I");
  expect(client, "data: [DONE]");
}

TEST_F(Answers, AnAnswerThatIsNotWhatItsUnitDeclaresIsInvalid) {
  unit_ = ", answer: json";
  publish(", fallback: [ { unit: mini, on: [invalid] } ]", "");
  answers(said(R"({"content":"Sure! {}"})"), said(kMini));
  const GuardClient& client = ask();
  expect_ok(client);
  expect(client, "\"mini\"");
  expect(client, "x-weir-fallback: 1; answer_invalid\r\n");
  answers(said(R"({"content":"{\"a\":1}"})"), said(kMini));
  expect(ask(), "x-weir-unit: best\r\n");
}

TEST_F(Answers, AnInvalidAnswerThatNobodyAnswersIsAnError) {
  unit_ = ", answer: nonempty";
  publish("", "budgets: [ { window: 1h, usd: 10 } ]");
  answers(said(R"({"content":""})", 100), "");
  const GuardClient& client = ask();
  expect_error(client, ErrorCode::answer_invalid);
  EXPECT_EQ(client.heard.find("choices"), std::string::npos);
  EXPECT_EQ(tenant_budget().spent, kUsd / 10) << "it was paid for all the same";
}

TEST_F(Answers, AChunkedAnswerIsCheckedAndGivenWhole) {
  unit_ = ", answer: nonempty";
  publish("", "");
  provider_.answer_with = [] {
    return std::string(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        "10\r\n{\"choices\":[{\"me\r\n19\r\nssage\":{\"content\":\"a\"}}]}\r\n0\r\n\r\n");
  };
  const GuardClient& client = ask();
  expect_ok(client);
  expect(client, R"({"choices":[{"message":{"content":"a"}}]})");
  EXPECT_TRUE(client.heard.ends_with("\r\n0\r\n\r\n"));
}

TEST_F(Answers, AnAnswerPastKMaxCheckedAnswerBytesGoesOutUnchecked) {
  unit_ = ", answer: json";
  publish("", "");
  const std::string text = std::string(core::limits::kMaxCheckedAnswerBytes, 'x');
  answers(said(R"({"content":")" + text + R"("})"), "");
  GuardClient& client = ask();
  for (int i = 0; i < 20; ++i) settle();
  expect_ok(client);
  EXPECT_GT(client.heard.size(), text.size());
}

TEST_F(Answers, ARetryIsPaidForBesideTheAttemptBeforeIt) {
  unit_ = ", retries: 1, answer: nonempty";
  publish("", "budgets: [ { window: 1h, usd: 1.5 } ]");
  int calls = 0;
  provider_.answer_with = [&] { return ++calls == 1 ? said(R"({"content":""})", 400) : answer(100); };
  GuardClient& client = ask();
  pass(1000);
  expect_ok(client);
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(tenant_budget().spent, kUsd / 2);
  // 1.0 more would fit, but not beside 0.6 that the first attempt costs.
  calls = 0;
  provider_.answer_with = [&] { return ++calls == 1 ? said(R"({"content":""})", 600) : answer(100); };
  GuardClient& second = ask();
  pass(1000);
  expect_error(second, ErrorCode::answer_invalid);
  EXPECT_EQ(calls, 1);
}

TEST_F(Answers, TheSameRequestAgainAndAgainIsRefused) {
  publish("", "", "runaway: { same_request_rpm: 3 }\n");
  for (int i = 0; i < 3; ++i) expect_ok(ask());
  const GuardClient& refused = ask();
  expect_error(refused, ErrorCode::repeated_request);
  expect(refused, "\"param\":\"runaway.same_request\"");
  expect(refused, "retry-after: 20\r\n");
  expect_ok(ask("", R"(,"seed":1)"));
  pass(20'000);
  expect_ok(ask());
}

TEST_F(Answers, AConversationThatRunsAwayIsRefused) {
  publish("", "", "runaway: { same_conversation_rpm: 2 }\n");
  for (int i = 0; i < 2; ++i)
    expect_ok(ask("x-weir-conversation: c1\r\n", R"(,"seed":)" + std::to_string(i)));
  expect(ask("x-weir-conversation: c1\r\n", R"(,"seed":9)"), "\"param\":\"runaway.same_conversation\"");
  expect_ok(ask("x-weir-conversation: c2\r\n"));
}

TEST_F(Answers, AUserWhoseAnswersAreAlwaysOfFullLengthIsRefused) {
  publish("", "", "runaway: { full_length_rpm: 2 }\n");
  provider_.answer_with = [] { return answer(1000); };  // max_tokens of the unit
  for (int i = 0; i < 2; ++i) expect_ok(ask("x-weir-user: anna\r\n"));
  expect(ask("x-weir-user: anna\r\n"), "\"param\":\"runaway.full_length\"");
  provider_.answer_with = [] { return answer(999); };
  for (int i = 0; i < 5; ++i) expect_ok(ask("x-weir-user: bert\r\n"));
}

}  // namespace
}  // namespace weir::sim
