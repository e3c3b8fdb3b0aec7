// A wall clock that jumps while two shards serve, one of them rarely: budgets forget nothing, and neither open
// early nor stay shut.
#include <gtest/gtest.h>

#include "tests/sim/guards_fixture.h"

namespace weir::sim {
namespace {

constexpr uint64_t kSecondMs = 1000, kMinuteMs = 60 * kSecondMs, kHourMs = 60 * kMinuteMs;
constexpr int64_t kHourNs = 3'600'000'000'000;

class TwoShards : public GuardsInAnExchange {
 protected:
  TwoShards() : GuardsInAnExchange({.shards = 2}) {
    // Ten minutes into an hour.
    world_.wall_ns -= world_.wall_ns % kHourNs - kHourNs / 6;
    tick();
    second_ = std::make_unique<routing::Shard>(*second_loop_, *gateway_, 1);
    const int listener = *core::listen_tcp(*core::SocketAddress::parse("127.0.0.1:0"));
    second_address_ = core::bound_address(listener);
    second_->listen(listener);
    // A request costs 1 USD; a fourth one in the hour does not fit.
    publish("", "budgets: [ { window: 1h, usd: 3 } ]");
    provider_.answer_with = [] { return answer(1000); };
    turn_both();
  }
  ~TwoShards() override {
    for (auto& client : clients_) client->connection.close();
    second_->begin_drain();
    second_->close_all();
    turn_both();
    second_->closed();
    turn_both();
    EXPECT_TRUE(second_->closed());
    second_.reset();
  }

  void tick() { gateway_->calendar.tick(world_.monotonic_ns, world_.wall_ns); }
  void turn_both() {
    for (int i = 0; i < 120; ++i) {
      loop_->turn(0);
      second_loop_->turn(0);
      world_.advance(1000);
      tick();
    }
  }
  // As the control thread sees it go by.
  void wait(uint64_t ms) {
    for (; ms >= kSecondMs; ms -= kSecondMs) {
      world_.advance(kSecondMs * 1'000'000);
      tick();
    }
    turn_both();
  }
  // Whether it is answered.
  bool first() { return asks(address_); }
  bool second() { return asks(second_address_); }
  bool asks(const core::SocketAddress& address) {
    clients_.push_back(std::make_unique<GuardClient>(*loop_));
    GuardClient& client = *clients_.back();
    client.connection.connect(address);
    turn_both();
    send_request(client);
    turn_both();
    EXPECT_TRUE(client.heard.starts_with("HTTP/1.1 200") || client.heard.starts_with("HTTP/1.1 429"))
        << client.heard;
    return client.heard.starts_with("HTTP/1.1 200");
  }

  std::unique_ptr<core::Loop> second_loop_ = *core::Loop::create();
  std::unique_ptr<routing::Shard> second_;
  core::SocketAddress second_address_;
};

TEST_F(TwoShards, AJumpAheadThatLastsIsBelievedByAllAtOnce) {
  EXPECT_TRUE(first());
  EXPECT_TRUE(second());
  world_.wall_ns += 5 * kHourNs;
  EXPECT_TRUE(first());
  wait(30 * kSecondMs);
  EXPECT_FALSE(first()) << "not yet another hour";
  wait(31 * kSecondMs);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(first()) << "it was meant";
  for (int i = 0; i < 4; ++i) {
    EXPECT_FALSE(second()) << "nor does a shard that was idle bring back what is spent";
    EXPECT_FALSE(first());
  }
  EXPECT_EQ(tenant_budget().spent, 3 * kUsd);
  wait(50 * kMinuteMs);
  EXPECT_TRUE(second()) << "the next hour";
}

TEST_F(TwoShards, AJumpBackThatLastsForgetsNothingAndShutsNothing) {
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(i == 1 ? second() : first());
  world_.wall_ns -= 5 * kHourNs;
  EXPECT_FALSE(first());
  wait(61 * kSecondMs);
  for (int i = 0; i < 4; ++i) {
    EXPECT_FALSE(first());
    EXPECT_FALSE(second());
  }
  EXPECT_EQ(tenant_budget().spent, 3 * kUsd);
  wait(50 * kMinuteMs);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(i == 1 ? first() : second()) << "the next hour";
  EXPECT_FALSE(first());
  EXPECT_FALSE(second());
}

TEST_F(TwoShards, AJumpThatDoesNotLastChangesNothing) {
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(first());
  for (const int64_t jump : {100 * kHourNs, -100 * kHourNs}) {
    world_.wall_ns += jump;
    wait(50 * kSecondMs);
    EXPECT_FALSE(first());
    EXPECT_FALSE(second());
    world_.wall_ns -= jump;
    wait(50 * kSecondMs);
    EXPECT_FALSE(first());
    EXPECT_FALSE(second());
  }
  wait(kHourMs - 12 * kMinuteMs);
  EXPECT_TRUE(second());
}

}  // namespace
}  // namespace weir::sim
