// The clocks of core/limits.h at their real length: minutes pass in no time. Each test waits until just before
// the clock runs out, and then until just after.
#include <string>
#include <string_view>

#include "tests/sim/shard_fixture.h"

namespace weir::sim {
namespace {

namespace limits = core::limits;

constexpr std::string_view kHead =
    "POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer sk-sim\r\n"
    "content-type: application/json\r\n";
const std::string kBody = R"({"model":"chat","messages":[{"role":"user","content":"x"}]})";

class SimulatedClocks : public ShardOnSim {};

TEST_F(SimulatedClocks, AHeadMustComeWithinKHeadTimeoutMs) {
  Ear& client = connect();
  client.say("POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\n");
  settle();
  pass(limits::kHeadTimeoutMs / 2);
  client.say("x-later: 1\r\n");  // does not buy time
  settle();
  expect_after(limits::kHeadTimeoutMs - limits::kHeadTimeoutMs / 2,
               [&] { return client.heard.starts_with("HTTP/1.1 408") && client.ended; });
}

TEST_F(SimulatedClocks, AConnectionMustSaySomethingWithinKHeadTimeoutMs) {
  Ear& client = connect();
  expect_after(limits::kHeadTimeoutMs, [&] { return client.ended; });
  EXPECT_EQ(client.heard, "");
}

TEST_F(SimulatedClocks, ABodyMayNotStallForKBodyStallTimeoutMs) {
  publish_table();
  Ear& client = connect();
  client.say(std::string(kHead) + "content-length: " + std::to_string(kBody.size()) + "\r\n\r\n{");
  settle();
  pass(limits::kBodyStallTimeoutMs / 2);
  client.say("\"");  // a slow body is no stalled one
  settle();
  expect_after(limits::kBodyStallTimeoutMs,
               [&] { return client.heard.starts_with("HTTP/1.1 408") && client.ended; });
}

TEST_F(SimulatedClocks, ABodyThatTricklesMustComeAtKMinBodyBytesPerSecondOnAverage) {
  publish_table();
  const std::string head = std::string(kHead) + "content-length: 10000000\r\n\r\n";
  Ear& trickling = connect();
  Ear& steady = connect();
  trickling.say(head);
  steady.say(head);
  settle();
  // A byte a second never stalls; it buys a thousandth of a second.
  constexpr uint64_t kStepMs = 1000;
  for (uint64_t ms = 0; ms + kStepMs < limits::kBodyGraceMs; ms += kStepMs) {
    pass(kStepMs);
    EXPECT_EQ(trickling.heard, "") << ms;
    trickling.say("{");
    steady.say(std::string(limits::kMinBodyBytesPerSecond, ' '));
    settle();
  }
  pass(2 * kStepMs);
  EXPECT_TRUE(trickling.heard.starts_with("HTTP/1.1 408")) << trickling.heard;
  EXPECT_NE(trickling.heard.find(core::describe(core::ErrorCode::body_timeout).sentence), std::string::npos);
  EXPECT_TRUE(trickling.ended);
  // One that is just fast enough goes on for as long as it takes, and may still pause.
  for (int minute = 0; minute < 10; ++minute) {
    for (int step = 0; step < 60; ++step) {
      steady.say(std::string(limits::kMinBodyBytesPerSecond * kStepMs / 1000, ' '));
      settle();
      pass(kStepMs);
    }
    ASSERT_EQ(steady.heard, "") << minute;
  }
  expect_after(limits::kBodyStallTimeoutMs - kStepMs, [&] { return steady.heard.starts_with("HTTP/1.1 408"); });
}

TEST_F(SimulatedClocks, AConnectionMayIdleForKIdleTimeoutMs) {
  Ear& client = connect();
  client.say("GET /healthz HTTP/1.1\r\nhost: weir\r\n\r\n");
  settle();
  ASSERT_TRUE(client.heard.starts_with("HTTP/1.1 200"));
  client.heard.clear();
  expect_after(limits::kIdleTimeoutMs, [&] { return client.ended; });
  EXPECT_EQ(client.heard, "");
}

TEST_F(SimulatedClocks, AClientMayNotStopReadingForKWriteStallTimeoutMs) {
  world_.faults.socket_buffer_bytes = 64;  // less than the answer
  Ear& client = connect();
  client.connection.pause_receiving();
  client.say("GET /healthz HTTP/1.1\r\nhost: weir\r\n\r\n");
  settle();
  expect_after(limits::kWriteStallTimeoutMs, [&] { return gateway_->metrics[0]->connections.value() == 0; });
}

TEST_F(SimulatedClocks, AProviderMustAcceptWithinKUpstreamConnectMs) {
  ears_.push_back(std::make_unique<Ear>(*loop_, net::Leg::upstream));
  Ear& upstream = *ears_.back();
  world_.faults.slow_connect = 1;
  upstream.connection.connect(core::bound_address(provider_listener_));
  settle();
  expect_after(limits::kUpstreamConnectMs, [&] { return upstream.failure == "connect_timeout" && upstream.closed(); });
}

TEST_F(SimulatedClocks, AnIdleConnectionToAProviderIsKeptForKUpstreamIdleMs) {
  publish_table();
  Ear& client = connect();
  client.say(std::string(kHead) + "content-length: " + std::to_string(kBody.size()) + "\r\n\r\n" + kBody);
  settle();
  ASSERT_TRUE(client.heard.starts_with("HTTP/1.1 200")) << client.heard;
  ASSERT_EQ(provider_.server.connections(), 1u);
  // Looked at once in a while, not to the millisecond.
  pass(limits::kUpstreamIdleMs - kMarginMs);
  EXPECT_EQ(provider_.server.connections(), 1u);
  pass(limits::kUpstreamIdleMs);
  EXPECT_EQ(provider_.server.connections(), 0u);
}

TEST_F(SimulatedClocks, WithoutATableTheAnswerIsNotReady) {
  Ear& client = connect();
  client.say(std::string(kHead) + "content-length: " + std::to_string(kBody.size()) + "\r\n\r\n" + kBody);
  settle();
  EXPECT_TRUE(client.heard.starts_with("HTTP/1.1 503")) << client.heard;
  EXPECT_NE(client.heard.find(core::describe(core::ErrorCode::not_ready).sentence), std::string::npos);
  EXPECT_TRUE(client.ended);
}

}  // namespace
}  // namespace weir::sim
