// The swarm (swarm.h) on a fixed set of seeds. Many more: build/release/bin/sim_swarm --seeds 100000 --jobs 2
#include "tests/sim/swarm.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/sim/swarm_watch.h"
#include "tests/support/emulated.h"
#include "tests/support/sanitized.h"

namespace weir::sim {
namespace {

constexpr uint64_t kSeeds = tests::kSanitized || tests::kEmulated ? 150 : 1'600;
constexpr uint64_t kReplayed = 60;

class Swarm : public ::testing::Test {
 protected:
  Swarm() { transition_counts = &counts; }
  ~Swarm() override { transition_counts = nullptr; }

  static SwarmResult run(uint64_t seed) {
    SwarmResult result = run_swarm(seed);
    EXPECT_EQ(result.finding, "") << "replay: sim_swarm --seed " << seed;
    return result;
  }

  TransitionCounts counts{};
};

TEST_F(Swarm, TheSameSeedGivesTheSameRunToTheLastByte) {
  std::set<uint64_t> traces;
  for (uint64_t seed = 1; seed <= kReplayed && !HasFailure(); ++seed) {
    const SwarmResult first = run(seed);
    const SwarmResult second = run(seed);
    EXPECT_EQ(first.trace, second.trace) << seed;
    EXPECT_EQ(first.events, second.events) << seed;
    traces.insert(first.trace);
  }
  EXPECT_EQ(traces.size(), kReplayed) << "two seeds are one run";
}

TEST_F(Swarm, FindsNothingWrongAndTakesNoTransitionThatIsNotLegal) {
  SwarmResult sum;
  for (uint64_t seed = 1; seed <= kSeeds && !HasFailure(); ++seed) {
    const SwarmResult result = run(seed);
    sum.whole += result.whole;
    sum.errors += result.errors;
    sum.cut += result.cut;
    sum.lost += result.lost;
  }
  // Something of everything happened.
  EXPECT_GT(sum.whole, sum.errors / 2);
  EXPECT_GT(sum.errors, 0u);
  EXPECT_GT(sum.cut, 0u);
  EXPECT_GT(sum.lost, 0u);
  std::set<Transition> legal;
  for (Transition& transition : legal_transitions()) legal.insert(std::move(transition));
  for (const Transition& taken : taken_transitions(counts)) {
    EXPECT_TRUE(legal.contains(taken))
        << taken.machine << ": " << taken.from << " -- " << taken.event << " -> " << taken.to;
  }
}

}  // namespace
}  // namespace weir::sim
