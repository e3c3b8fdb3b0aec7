// What a shard gives up, and in which order, when it has too much to do.
#include <gtest/gtest.h>

#include "tests/sim/guards_fixture.h"

namespace weir::sim {
namespace {

class Overload : public GuardsInAnExchange {
 protected:
  static constexpr int kMost = 100;
  Overload() : GuardsInAnExchange(options()) {}
  static routing::GatewayOptions options() {
    routing::GatewayOptions made;
    made.max_exchanges_per_shard = kMost;
    made.shadow = true;
    return made;
  }
  // So many requests wait for the provider.
  void fill(int count) {
    provider_.answer_with = [] { return std::string(); };
    while (static_cast<int>(shard_->exchanges().live()) < count) ask();
  }
  void empty() {
    for (auto& client : clients_) client->connection.close();
    settle();
    provider_.answer_with = [] { return answer(1); };
  }
};

TEST_F(Overload, SomeConnectionsEndWithTheirAnswersFirst) {
  publish("", "");
  const auto closing = [&] {
    int count = 0;
    for (int i = 0; i < 64; ++i) {
      const GuardClient& client = ask();
      expect_ok(client);
      count += client.heard.find("connection: close") != std::string::npos;
    }
    return count;
  };
  fill(kMost * 6 / 10);
  provider_.answer_with = [] { return answer(1); };
  const int closed = closing();
  EXPECT_GT(closed, 0);
  EXPECT_LT(closed, 32);
  empty();
  pass(1000);
  EXPECT_EQ(closing(), 0);
}

TEST_F(Overload, ThenCopiesAreDropped) {
  publish("", "",
          "flags: { f: { scenario: chat, candidate: { unit: mini }, shadow: { percent: 100, budget_usd: 1000 "
          "} } }\n");
  provider_.answer_with = [] { return answer(1); };
  ask();
  const uint64_t copies = shard_->metrics().shadow_started.value();
  EXPECT_EQ(copies, 1u);
  fill(kMost * 7 / 10);
  EXPECT_LT(shard_->metrics().shadow_started.value(), copies + kMost * 7 / 10);
  EXPECT_GT(shard_->metrics().shadow_dropped.value(), 0u);
}

TEST_F(Overload, ThenWhatMayWaitIsRefusedWithAMomentToComeBack) {
  publish(", priority: low", "");
  fill(kMost * 85 / 100);
  provider_.answer_with = [] { return answer(1); };
  const GuardClient& refused = ask();
  expect_error(refused, ErrorCode::overloaded);
  expect(refused, "retry-after: 2\r\n");
  EXPECT_EQ(refused.heard.find("x-should-retry"), std::string::npos);
  empty();
  pass(1000);  // a rung every 200 ms
  for (int i = 0; i < 5; ++i) pass(200);
  expect_ok(ask());
}

TEST_F(Overload, WhatIsRefusedTakesNothingOfAPilot) {
  publish(", priority: low",
          "flags: { f: { state: pilot, percent: 100, owner: a@b.example, reason: r, review: 2031-01-01, previous: best, "
          "limits: { total_requests: " + std::to_string(kMost * 85 / 100 + 1) + " } } }",
          "flags: { f: { scenario: chat, candidate: { unit: mini } } }\n");
  provider_.answer_with = [] { return std::string(); };
  for (int i = 0; i < kMost * 85 / 100; ++i) ask("x-weir-user: u\r\n");
  provider_.answer_with = [] { return answer(1); };
  expect_error(ask("x-weir-user: u\r\n"), ErrorCode::overloaded);
  empty();
  for (int i = 0; i < 10; ++i) pass(200);
  expect(ask("x-weir-user: u\r\n"), "x-weir-unit: mini\r\n");  // the last that the pilot may have
  expect(ask("x-weir-user: u\r\n"), "x-weir-unit: best\r\n");
}

TEST_F(Overload, WhoIsToldToComeBackIsNoClientThatLoops) {
  publish(", priority: low", "", "runaway: { same_conversation_rpm: 1 }\n");
  fill(kMost * 85 / 100);
  const std::string conversation = "x-weir-conversation: c\r\n";
  for (int i = 0; i < 3; ++i) expect_error(ask(conversation), ErrorCode::overloaded);
  empty();
  for (int i = 0; i < 10; ++i) pass(200);
  expect_ok(ask(conversation));
  expect_error(ask(conversation), ErrorCode::repeated_request);
}

TEST_F(Overload, EverythingElseIsRefusedLast) {
  publish("", "");
  GuardClient& connected = connect();
  fill(kMost * 85 / 100);
  provider_.answer_with = [] { return answer(1); };
  expect_ok(ask());
  fill(kMost * 97 / 100);
  provider_.answer_with = [] { return answer(1); };
  send_request(connected);
  settle();
  expect_error(connected, ErrorCode::overloaded);
  const uint64_t accepted = shard_->metrics().accepted.value();
  GuardClient& waiting = ask();
  EXPECT_EQ(waiting.heard, "");
  EXPECT_EQ(shard_->metrics().accepted.value(), accepted) << "nobody is let in";
  for (auto& client : clients_) {
    if (client.get() != &waiting) client->connection.close();
  }
  settle();
  for (int i = 0; i < 5; ++i) pass(200);  // it comes down, and whoever has waited is answered
  expect_ok(waiting);
}

}  // namespace
}  // namespace weir::sim
