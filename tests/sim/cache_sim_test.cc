// Which requests are the same to the cache, in whole exchanges (tests/sim/guards_fixture.h).
#include <gtest/gtest.h>

#include "core/limits.h"
#include "tests/sim/guards_fixture.h"

namespace weir::sim {
namespace {

class Cached : public GuardsInAnExchange {
 protected:
  Cached() {
    unit_ = ", cache_ttl: 60s";
    publish("", "");
  }
  std::vector<routing::Record> records() {
    std::vector<routing::Record> all;
    gateway_->records[0]->drain([&](routing::Record& record) { all.push_back(record); });
    return all;
  }
  // "hit" or "miss".
  std::string ask_with(const std::string& body) {
    GuardClient& client = connect();
    send_body(client, body);
    settle();
    expect_ok(client);
    return client.heard.find("x-weir-cache: hit\r\n") != std::string::npos ? "hit" : "miss";
  }
};

TEST_F(Cached, BlanksBetweenTokensMakeNoOtherRequest) {
  const std::string compact =
      R"({"model":"chat","messages":[{"role":"user","content":"a b, \"c\" : d"}],"stop":["x","y"],"seed":12})";
  EXPECT_EQ(ask_with(compact), "miss");
  EXPECT_EQ(ask_with(compact), "hit");
  EXPECT_EQ(
      ask_with(
          "{\"model\": \"chat\", \"messages\": [{\"role\": \"user\", \"content\": \"a b, \\\"c\\\" : d\"}],"
          " \"stop\": [\"x\", \"y\"], \"seed\": 12}"),
      "hit");
  EXPECT_EQ(ask_with("\r\n{\"model\":\"chat\",\t\"messages\" :\n  [\n    { \"role\":\"user\" , "
                     "\"content\":\"a b, \\\"c\\\" : d\" }\n  ],\n\"stop\":[ \"x\",\"y\" ],\"seed\":12\n}\n"),
            "hit");
  EXPECT_EQ(provider_.requests, 1);
}

TEST_F(Cached, WhatATokenHoldsDoes) {
  const auto body = [](const std::string& content, const std::string& stop, const std::string& seed) {
    return R"({"model":"chat","messages":[{"role":"user","content":")" + content + R"("}],"stop":)" + stop +
           R"(,"seed":)" + seed + "}";
  };
  EXPECT_EQ(ask_with(body("a b", R"(["x","y"])", "12")), "miss");
  EXPECT_EQ(ask_with(body("a  b", R"(["x","y"])", "12")), "miss");
  EXPECT_EQ(ask_with(body("ab", R"(["x","y"])", "12")), "miss");
  EXPECT_EQ(ask_with(body("a b", R"(["xy"])", "12")), "miss");
  EXPECT_EQ(ask_with(body("a b", R"(["x,y"])", "12")), "miss");
  EXPECT_EQ(ask_with(body("a b", R"(["x","y"])", "1")), "miss");
  EXPECT_EQ(ask_with(body("a b", R"(["x","y"])", "\"12\"")), "miss");
  EXPECT_EQ(provider_.requests, 7);
}

TEST_F(Cached, MembersOfTheRequestMayComeInAnyOrderThoseWithinThemMayNot) {
  EXPECT_EQ(ask_with(R"({"model":"chat","messages":[{"role":"user","content":"a"}],"seed":1})"), "miss");
  EXPECT_EQ(ask_with(R"({"seed": 1, "messages":[{"role":"user","content":"a"}],"model":"chat"})"), "hit");
  EXPECT_EQ(ask_with(R"({"model":"chat","messages":[{"content":"a","role":"user"}],"seed":1})"), "miss");
}

// Past a budget that says `cached`, of a request that was decided for the candidate.
TEST_F(Cached, WhatStableAnswersForACandidatePastABudgetIsAFallback) {
  const std::string flag = "flags: { f: { scenario: chat, candidate: { unit: mini } } }\n";
  publish("", "", flag);
  expect_ok(ask());  // stable's answer is kept
  records();
  const std::string row =
      "flags: { f: { state: production, owner: o, approver: a, reason: r, review: 2030-01-01, previous: best } }";
  publish("", row + ", budgets: [ { window: 1h, usd: 0.000001, on_exceed: cached } ]", flag);
  const GuardClient& client = ask();
  expect_ok(client);
  expect(client, "x-weir-unit: best\r\n");
  expect(client, "x-weir-cache: hit\r\n");
  expect(client, "x-weir-arm: fallback\r\n");
  expect(client, "x-weir-reason: fallback\r\n");
  expect(client, "x-weir-fallback: 1; budget_exceeded\r\n");
  const auto made = records();
  ASSERT_EQ(made.size(), 1u);
  EXPECT_EQ(made[0].arm, routing::Arm::fallback);
  EXPECT_EQ(made[0].decided_arm, routing::Arm::candidate);
  EXPECT_EQ(made[0].first_failure, ErrorCode::budget_exceeded);
  EXPECT_NE(made[0].unit, made[0].decided_unit);
  EXPECT_EQ(made[0].cost_nano_usd, 0);
}

TEST_F(Cached, ARequestPastKMaxCacheRequestBytesIsNotLookedAt) {
  const auto ask_for = [&](size_t bytes) {
    std::string body = R"({"model":"chat","messages":[{"role":"user","content":"a"}],"metadata":{"a":""}})";
    body.insert(body.size() - 3, std::string(bytes - body.size(), 'x'));
    GuardClient& client = connect();
    send_body(client, body);
    for (int i = 0; i < 100 && client.heard.empty(); ++i) settle();
    expect_ok(client);
    const size_t at = client.heard.find("x-weir-cache: ") + std::string_view("x-weir-cache: ").size();
    return client.heard.substr(at, client.heard.find("\r\n", at) - at);
  };
  constexpr size_t kMost = core::limits::kMaxCacheRequestBytes;
  EXPECT_EQ(ask_for(kMost), "miss");
  EXPECT_EQ(ask_for(kMost), "hit");
  EXPECT_EQ(ask_for(kMost + 1), "too_large");
  EXPECT_EQ(ask_for(kMost + 1), "too_large") << "nor is its answer kept";
  EXPECT_EQ(provider_.requests, 3);
  EXPECT_EQ(shard_->metrics().cache_too_large.value(), 2u);
}

}  // namespace
}  // namespace weir::sim
