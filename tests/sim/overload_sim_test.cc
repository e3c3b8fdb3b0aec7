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

TEST_F(Overload, ConnectionsEndWithTheirAnswersFirst) {
  publish("", "");
  fill(kMost * 6 / 10);
  provider_.answer_with = [] { return answer(1); };
  const GuardClient& client = ask();
  expect_ok(client);
  expect(client, "connection: close\r\n");
  empty();
  pass(1000);
  EXPECT_EQ(ask().heard.find("connection: close"), std::string::npos);
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

TEST_F(Overload, EverythingElseIsRefusedLast) {
  publish("", "");
  fill(kMost * 85 / 100);
  provider_.answer_with = [] { return answer(1); };
  expect_ok(ask());
  fill(kMost * 97 / 100);
  provider_.answer_with = [] { return answer(1); };
  expect_error(ask(), ErrorCode::overloaded);
}

}  // namespace
}  // namespace weir::sim
