// decide() against a slow, obvious reading of DESIGN section 4 over random tables, and the laws of the split.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "tests/routing/decide/decide_world.h"

namespace weir::routing {
namespace {

TEST(DecideProperty, AgreesWithTheReferenceOnRandomTables) {
  for (uint64_t seed = 1; seed <= 250; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    DecideWorld world([&](unsigned bound) { return static_cast<unsigned>(random() % bound); });
    for (int kills = 0; kills < 8; kills++) world.check(125);
    if (HasFatalFailure()) return;
  }
}

// ---- the laws of the split ----

class Split : public ::testing::Test {
 protected:
  Split() {
    scenario = build.scenario("chat", build.unit("stable"));
    const FlagIndex flag = build.flag("v2", scenario);
    tenant = build.tenant("bank");
    build.key(tenant);
    row = &build.row(tenant, flag, FlagState::pilot);
  }

  // Who of u0 .. u<count-1> gets the candidate at this percentage.
  std::vector<bool> candidates(uint32_t milli_percent, unsigned count) {
    row->milli_percent = milli_percent;
    const Table table = build.build();
    std::vector<bool> in(count);
    for (unsigned i = 0; i < count; i++) {
      const std::string user = "u" + std::to_string(i);
      DecideInput input;
      input.user = user;
      in[i] = decide(table, {.scenario = scenario, .model = std::nullopt}, input)->arm == Arm::candidate;
    }
    return in;
  }

  TableBuilder build;
  ScenarioIndex scenario{};
  TenantIndex tenant{};
  TenantFlag* row = nullptr;
};

TEST_F(Split, OnlyAddsPeopleWhenThePercentageRises) {
  std::vector<bool> before(20'000, false);
  for (const uint32_t milli_percent : {1u, 5'000u, 25'000u, 50'000u, 99'999u, 100'000u}) {
    const std::vector<bool> now = candidates(milli_percent, 20'000);
    for (size_t i = 0; i < now.size(); i++) ASSERT_TRUE(now[i] || !before[i]) << "u" << i << " moved back";
    before = now;
  }
  EXPECT_EQ(std::count(before.begin(), before.end(), true), 20'000);
}

TEST_F(Split, GivesFivePercentToFivePercent) {
  const std::vector<bool> in = candidates(5'000, 100'000);
  // The standard deviation is 0.07 points; 0.3 are more than four of them.
  EXPECT_NEAR(static_cast<double>(std::count(in.begin(), in.end(), true)) / 1000, 5.0, 0.3);
}

}  // namespace
}  // namespace weir::routing
