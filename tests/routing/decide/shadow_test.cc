#include "routing/decide/shadow.h"

#include <gtest/gtest.h>

#include <string>

#include "routing/decide/bucket.h"
#include "routing/decide/segments.h"
#include "routing/table/compile.h"

namespace weir::routing {
namespace {

struct World {
  explicit World(const std::string& f = "percent: 25, budget_usd: 1", const std::string& g = "",
                 const std::string& kills = "") {
    const std::string shadow_g = g.empty() ? "" : ", shadow: { " + g + " }";
    auto compiled = compile_text(R"(
providers: { p: { dialect: openai, base_url: "http://127.0.0.1:1/v1" } }
models: { m: { provider: p, price: { input: 1, output: 1 } } }
units: { u: { model: m } }
attributes: { staff: boolean }
segments: { internal: { staff: true } }
scenarios: { chat: { stable: u } }
flags:
  f: { scenario: chat, candidate: { params: { temperature: 0.5 } }, exclude: [internal], shadow: { )" +
                                     f + R"( } }
  g: { scenario: chat, candidate: { params: { top_p: 0.5 } })" +
                                     shadow_g + R"( }
tenants: { t: {} }
)" + kills,
                                 TableFormat::yaml, {});
    if (!compiled) {
      ADD_FAILURE() << to_string(compiled.error().front());
      return;
    }
    table.body = std::move(compiled->body);
    table.tenants = std::move(compiled->tenants);
    decision.scenario = ScenarioIndex{0};
    decision.unit = table.body->scenarios[0].stable;
    input.attributes = &attributes;
  }
  std::optional<ShadowChoice> choose(uint32_t dice) const {
    return choose_shadow(table, input, decision, dice);
  }
  std::string unit_of(const ShadowChoice& choice) const { return (*table.body)[choice.unit].name; }

  Table table;
  AttributeValues attributes;
  DecideInput input;
  Decision decision;
};

// Of 2^32 throws the lowest part.
constexpr uint32_t dice_at(double share) {
  return static_cast<uint32_t>(share * 4294967295.0);
}

TEST(Shadow, TakesItsShareOfRequests) {
  World world;
  EXPECT_TRUE(world.choose(0));
  EXPECT_TRUE(world.choose(dice_at(0.2499)));
  EXPECT_FALSE(world.choose(dice_at(0.2501)));
  EXPECT_FALSE(world.choose(UINT32_MAX));
  EXPECT_TRUE(World("percent: 100, budget_usd: 1").choose(UINT32_MAX));
  EXPECT_EQ(world.unit_of(*world.choose(0)), "u+f");
}

TEST(Shadow, IsTheCombinationThatWouldAnswer) {
  World world;
  world.decision.combination = 2;  // g applies already
  world.decision.unit = world.table.body->scenarios[0].combinations[2];
  EXPECT_EQ(world.unit_of(*world.choose(0)), "u+f+g");
  world.decision.combination = 1;  // f answers: nothing to compare
  EXPECT_FALSE(world.choose(0));
}

TEST(Shadow, LeavesExcludedRequestsKilledFlagsAndChainsAlone) {
  World world;
  world.decision.hop = 0;
  EXPECT_FALSE(world.choose(0));
  world.decision.hop.reset();
  ASSERT_TRUE(parse_attribute(*world.table.body, "staff", "true", world.attributes).has_value());
  EXPECT_FALSE(world.choose(0));
  world.attributes.clear();
  Kills& kills = world.table.kills;
  kills.any = true;
  kills.flags.assign(2, false);
  kills.units.assign(world.table.body->units.size(), false);
  kills.providers.assign(1, false);
  EXPECT_TRUE(world.choose(0));
  kills.flags[0] = true;
  EXPECT_FALSE(world.choose(0));
  kills.flags[0] = false;
  kills.providers[0] = true;
  EXPECT_FALSE(world.choose(0));
}

TEST(Shadow, AStickyShareIsOfKeysAndWhoseHaveNoneAreNotCopied) {
  World world("percent: 30, budget_usd: 1, sticky: true");
  EXPECT_FALSE(world.choose(0)) << "no key, never random";
  const Flag& flag = world.table.body->flags[0];
  int copied = 0, copied_in_split = 0, in_split = 0;
  constexpr int kUsers = 4'000;
  for (int i = 0; i < kUsers; ++i) {
    const std::string user = "user-" + std::to_string(i);
    world.input.user = user;
    const bool chosen = world.choose(0).has_value();
    EXPECT_EQ(world.choose(UINT32_MAX).has_value(), chosen) << "the same every time";
    const bool split = bucket_of(flag.split, user) < 30'000;
    copied += chosen;
    in_split += split;
    copied_in_split += chosen && split;
  }
  EXPECT_NEAR(copied, kUsers * 0.3, 120);
  EXPECT_NEAR(copied_in_split, in_split * 0.3, 80) << "independent of the split";
}

TEST(Shadow, SeveralFlagsHaveIndependentShares) {
  const World world("percent: 50, budget_usd: 1", "percent: 50, budget_usd: 1");
  int f = 0, g = 0, none = 0;
  uint64_t state = 1;
  for (int i = 0; i < 10'000; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const auto choice = world.choose(static_cast<uint32_t>(state >> 32));
    ++(!choice ? none : choice->flag == FlagIndex{0} ? f : g);
  }
  EXPECT_NEAR(f, 5000, 200);
  EXPECT_NEAR(g, 2500, 200);
  EXPECT_NEAR(none, 2500, 200);
}

}  // namespace
}  // namespace weir::routing
