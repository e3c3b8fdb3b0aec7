// sim_control: runs seeds of the control plane's swarm (control_swarm.h); arguments as in seed_jobs.h.
#include <fmt/format.h>

#include <optional>

#include "tests/sim/control_swarm.h"
#include "tests/sim/control_swarm_config.h"
#include "tests/sim/seed_jobs.h"

namespace weir::sim {
namespace {

struct Gathered {
  uint64_t asked, made, proposed, refused, unanswered, lives, power_cuts, revisions, events, simulated_ns;
};

void add(Gathered& sum, const ControlSwarmResult& result) {
  sum.asked += result.asked;
  sum.made += result.made;
  sum.proposed += result.proposed;
  sum.refused += result.refused;
  sum.unanswered += result.unanswered;
  sum.lives += result.lives;
  sum.power_cuts += result.power_cuts;
  sum.revisions += result.revisions;
  sum.events += result.events;
  sum.simulated_ns += result.simulated_ns;
}

void add(Gathered& sum, const Gathered& other) {
  sum.asked += other.asked;
  sum.made += other.made;
  sum.proposed += other.proposed;
  sum.refused += other.refused;
  sum.unanswered += other.unanswered;
  sum.lives += other.lives;
  sum.power_cuts += other.power_cuts;
  sum.revisions += other.revisions;
  sum.events += other.events;
  sum.simulated_ns += other.simulated_ns;
}

std::string in_words(const Gathered& sum) {
  return fmt::format(
      "{} changes asked for ({} made, {} proposed, {} refused, {} never answered), {} revisions, {} lives, "
      "{} power "
      "cuts, {} events; simulated {:.0f} s",
      sum.asked, sum.made, sum.proposed, sum.refused, sum.unanswered, sum.revisions, sum.lives,
      sum.power_cuts, sum.events, static_cast<double>(sum.simulated_ns) / 1e9);
}

int run_single(uint64_t seed) {
  fmt::print("{}\n", ControlConfig(seed).to_string());
  const ControlSwarmResult result = run_control_swarm(seed);
  Gathered sum{};
  add(sum, result);
  fmt::print("{}", result.history);
  fmt::print("trace {:016x}, {}\n", result.trace, in_words(sum));
  if (result.finding.empty()) return 0;
  fmt::print(stderr, "finding: {}\nreplay: sim_control --seed {}\n", result.finding, seed);
  return 1;
}

int run_many(const SeedArguments& arguments) {
  const SeedJobs jobs = run_seeds(arguments, sizeof(Gathered), [](uint64_t seed, void* gathered) {
    const ControlSwarmResult result = run_control_swarm(seed);
    add(*static_cast<Gathered*>(gathered), result);
    if (!result.finding.empty()) fmt::print(stderr, "finding: {}\n", result.finding);
    return result.finding.empty();
  });
  Gathered sum{};
  for (const void* gathered : jobs.gathered) add(sum, *static_cast<const Gathered*>(gathered));
  fmt::print("{} seeds in {:.1f} s: {}\n", jobs.done, jobs.real_s, in_words(sum));
  if (!jobs.failed) return 0;
  static_cast<void>(fflush(stdout));
  fmt::print(stderr, "replay: sim_control --seed {}\n", *jobs.failed);
  return 1;
}

}  // namespace
}  // namespace weir::sim

int main(int count, char** words) {
  const auto arguments = weir::sim::parse_seed_arguments(count, words, "sim_control");
  if (!arguments) return 2;
  return arguments->seed ? weir::sim::run_single(*arguments->seed) : weir::sim::run_many(*arguments);
}
