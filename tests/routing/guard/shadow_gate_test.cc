#include "routing/guard/shadow_gate.h"

#include <gtest/gtest.h>

namespace weir::routing::shadow_gate_test {
namespace {

using G = ShadowGate;

constexpr uint64_t kNow = 1'000'000'000'000;
constexpr uint64_t kSecond = 1'000'000'000;

TEST(ShadowGate, AdmitsAtMostItsConnectionsPerSecond) {
  ShadowGate gate;
  uint64_t opened = 0;
  constexpr uint64_t kSeconds = 10;
  for (uint64_t now = kNow; now < kNow + kSeconds * kSecond; now += 100'000) {
    if (!gate.admits(now)) continue;
    gate.charge_connection(now);
    ++opened;
  }
  const uint64_t most = G::kConnectionsPerSecond * kSeconds;
  EXPECT_GE(opened, most);
  EXPECT_LE(opened, most + G::kConnectionsPerSecond * G::kBurstNs / kSecond + 1);
}

TEST(ShadowGate, BytesThatCameAreADebtThatIsWorkedOff) {
  ShadowGate gate;
  EXPECT_TRUE(gate.admits(kNow));
  gate.charge_bytes(2 * G::kBytesPerSecond, kNow);
  EXPECT_FALSE(gate.admits(kNow));
  EXPECT_FALSE(gate.admits(kNow + 2 * kSecond - G::kBurstNs - 1));
  EXPECT_TRUE(gate.admits(kNow + 2 * kSecond - G::kBurstNs));
  gate.charge_bytes(UINT64_MAX, kNow);
  EXPECT_FALSE(gate.admits(kNow + 100 * kSecond)) << "nothing wraps";
}

TEST(ShadowGate, ReusedConnectionsAndSmallAnswersAreFree) {
  ShadowGate gate;
  for (int i = 0; i < 10'000; ++i) {
    EXPECT_TRUE(gate.admits(kNow));
    gate.charge_bytes(100, kNow);
  }
}

}  // namespace
}  // namespace weir::routing::shadow_gate_test
