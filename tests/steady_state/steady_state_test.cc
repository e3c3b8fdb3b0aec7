// What an exchange may cost once everything is warm: no heap allocation, no copy of a body, and less than one
// entry into the kernel. Client, gateway shard and provider each have a loop on this one thread, on the real
// ring; what is counted is what happens inside the gateway's turns.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "tests/steady_state/cost_counters.h"
#include "tests/support/loopback_gateway.h"

namespace weir::tests {
namespace {

struct Cost {  // per exchange
  double allocations = 0;
  double copied_bytes = 0;
  double kernel_entries = 0;
  double operations = 0;
  uint64_t largest_copy = 0;
};

// Runs `exchanges` of them after as many to warm up.
Cost measure(const char* name, LoopbackOptions options, uint64_t exchanges) {
  LoopbackGateway gateway(std::move(options));
  const auto counted_turn = [](core::Loop& loop) {
    costs.counting = true;
    loop.turn(0);
    costs.counting = false;
  };
  EXPECT_TRUE(gateway.run(exchanges, counted_turn));
  costs = {};
  const core::IoStats before = gateway.loop().io().stats();
  const uint64_t first = gateway.exchanges();
  const uint64_t records = gateway.records();
  EXPECT_TRUE(gateway.run(exchanges, counted_turn));
  const core::IoStats& after = gateway.loop().io().stats();
  const auto done = static_cast<double>(gateway.exchanges() - first);
  EXPECT_GE(gateway.records() - records + 64,
            gateway.exchanges() - first);  // the last ones settle in the next turn
  EXPECT_FALSE(gateway.failed());
  const auto each = [&](uint64_t count) { return static_cast<double>(count) / done; };
  const Cost cost{.allocations = each(costs.allocations),
                  .copied_bytes = each(costs.copied_bytes),
                  .kernel_entries = each(after.enters - before.enters),
                  .operations = each(after.submitted - before.submitted),
                  .largest_copy = costs.largest_copy};
  std::printf(
      "%s: %.0f exchanges; each %.4f allocations, %.0f bytes copied (at most %llu at once), %.3f kernel "
      "entries, "
      "%.2f operations\n",
      name, done, cost.allocations, cost.copied_bytes, static_cast<unsigned long long>(cost.largest_copy),
      cost.kernel_entries, cost.operations);
  return cost;
}

TEST(SteadyState, AnExchangeAllocatesNothingCopiesNoBodyAndSharesItsKernelEntries) {
  const Cost cost = measure(
      "1 KB", {.request_body = loopback_request(1024, false), .answer_pieces = loopback_answer()}, 20'000);
  EXPECT_EQ(cost.allocations, 0);
  EXPECT_LE(cost.kernel_entries, 0.6);
  EXPECT_LE(cost.operations, 2.5);    // two sends; receives stay armed
  EXPECT_LT(cost.copied_bytes, 800);  // heads and the record; neither the request's body nor the answer's
}

TEST(SteadyState, ALargeBodyIsCopiedAtMostOnce) {
  const Cost cost = measure(
      "32 KB", {.request_body = loopback_request(32 * 1024, false), .answer_pieces = loopback_answer()},
      5'000);
  EXPECT_LT(cost.allocations,
            0.01);  // receive memory grows and shrinks at times: 64 bodies fill all it begins with
  EXPECT_LE(cost.copied_bytes, 34'000);  // joined when it comes in two receives
}

TEST(SteadyState, AStreamAllocatesNothingAndCopiesNoFrame) {
  constexpr int kFrames = 20;
  const Cost cost = measure(
      "stream of 20",
      {.request_body = loopback_request(1024, true), .answer_pieces = loopback_stream(kFrames)}, 5'000);
  // Half of them are a candidate's: what comes before the first token is held back, since stable may have to
  // answer in its place. The blocks for that come from a pool, which grows when more are held than ever before.
  EXPECT_LT(cost.allocations, 0.01);
  EXPECT_LE(cost.operations, kFrames + 6);  // a send per frame, and the exchange's own
  EXPECT_LT(cost.copied_bytes, 1300);       // a head and one event; none of the other 4 KB
}

}  // namespace
}  // namespace weir::tests
