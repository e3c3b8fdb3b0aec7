// The control plane's swarm (control_swarm.h) on a fixed set of seeds. Many more: tools/sim --control --seeds 100000
#include "tests/sim/control_swarm.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/sim/control_swarm_checks.h"

namespace weir::sim {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kSeeds = 40;
#else
constexpr uint64_t kSeeds = 400;
#endif
constexpr uint64_t kReplayed = 30;

ControlSwarmResult run(uint64_t seed) {
  ControlSwarmResult result = run_control_swarm(seed);
  EXPECT_EQ(result.finding, "") << "replay: sim_control --seed " << seed;
  return result;
}

TEST(ControlSwarm, TheSameSeedGivesTheSameRun) {
  std::set<uint64_t> traces;
  for (uint64_t seed = 1; seed <= kReplayed && !::testing::Test::HasFailure(); ++seed) {
    const ControlSwarmResult first = run(seed);
    const ControlSwarmResult second = run(seed);
    EXPECT_EQ(first.trace, second.trace) << seed;
    EXPECT_EQ(first.events, second.events) << seed;
    traces.insert(first.trace);
  }
  EXPECT_EQ(traces.size(), kReplayed) << "two seeds are one run";
}

TEST(ControlSwarm, FindsNothingWrong) {
  ControlSwarmResult sum;
  for (uint64_t seed = 1; seed <= kSeeds && !::testing::Test::HasFailure(); ++seed) {
    const ControlSwarmResult result = run(seed);
    sum.made += result.made;
    sum.proposed += result.proposed;
    sum.refused += result.refused;
    sum.unanswered += result.unanswered;
    sum.power_cuts += result.power_cuts;
  }
  // Something of everything happened.
  EXPECT_GT(sum.made, sum.refused / 2);
  EXPECT_GT(sum.proposed, 0u);
  EXPECT_GT(sum.unanswered, 0u);
  EXPECT_GT(sum.power_cuts, kSeeds / 10);
}

// ---- what the checks go by ----------------------------------------------------------------------------------

Ask flip(uint64_t id, What what) {
  Ask ask;
  ask.id = id;
  ask.what = what;
  ask.scope = routing::KillScope::unit;
  ask.name = "u0";
  return ask;
}

Ask made(Ask ask) {
  ask.result = routing::ChangeOutcome{.revision = 2};
  return ask;
}

Ask refused(Ask ask, routing::Refusal::Kind why) {
  ask.result = std::unexpected(routing::Refusal{.kind = why});
  return ask;
}

TEST(ControlSwarm, AKillIsKnownToHoldFromItsAnswerUntilSomebodyAsksToLiftIt) {
  using Standing = KillHistory::Standing;
  const KillHistory::Key key{routing::KillScope::unit, "u0"};
  KillHistory history;
  EXPECT_EQ(history.of(key), Standing::free);
  history.began(flip(1, What::kill));
  EXPECT_EQ(history.of(key), Standing::unknown);
  history.answered(made(flip(1, What::kill)));
  EXPECT_TRUE(history.durable(key));
  history.began(flip(2, What::unkill));
  EXPECT_EQ(history.of(key), Standing::unknown);
  history.answered(refused(flip(2, What::unkill), routing::Refusal::Kind::registry_unavailable));
  EXPECT_EQ(history.of(key), Standing::killed);
  history.began(flip(3, What::unkill));
  history.answered(made(flip(3, What::unkill)));
  EXPECT_EQ(history.of(key), Standing::free);
}

TEST(ControlSwarm, ARestartForgetsAKillThatIsNotDurableAndTellsOfOneThatWasNotAnswered) {
  using Standing = KillHistory::Standing;
  const KillHistory::Key key{routing::KillScope::unit, "u0"};
  KillHistory history;
  history.began(flip(1, What::kill));
  history.answered(refused(flip(1, What::kill), routing::Refusal::Kind::not_durable));
  EXPECT_EQ(history.of(key), Standing::killed);
  EXPECT_FALSE(history.durable(key));
  history.forget(false, false);
  EXPECT_EQ(history.of(key), Standing::free);
  history.began(flip(2, What::kill));
  history.forget(false, false);
  EXPECT_EQ(history.of(key), Standing::unknown);
  history.adopt({{.scope = key.first, .name = key.second, .reason = {}}});
  EXPECT_EQ(history.of(key), Standing::killed);
}

}  // namespace
}  // namespace weir::sim
