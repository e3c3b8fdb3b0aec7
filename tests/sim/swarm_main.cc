// sim_swarm: runs seeds of the swarm (swarm.h); arguments as in seed_jobs.h.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "tests/sim/seed_jobs.h"
#include "tests/sim/swarm.h"
#include "tests/sim/swarm_config.h"
#include "tests/sim/swarm_watch.h"

namespace weir::sim {
namespace {

// By one job.
struct Gathered {
  uint64_t requests, whole, errors, cut, lost, attempts, tables, events, simulated_ns, longest_turn_ns,
      longest_turn_seed, copies, cached;
  TransitionCounts transitions;
};

// False: a finding, which has been told.
bool run_one(uint64_t seed, Gathered& job) {
  transition_counts = &job.transitions;
  const SwarmResult result = run_swarm(seed);
  job.requests += result.requests;
  job.whole += result.whole;
  job.errors += result.errors;
  job.cut += result.cut;
  job.lost += result.lost;
  job.attempts += result.attempts;
  job.tables += result.tables;
  job.copies += result.copies;
  job.cached += result.cached;
  job.events += result.events;
  job.simulated_ns += result.simulated_ns;
  if (result.longest_turn_ns > job.longest_turn_ns) {
    job.longest_turn_ns = result.longest_turn_ns;
    job.longest_turn_seed = seed;
  }
  if (result.finding.empty()) return true;
  fmt::print(stderr, "finding: {}\n", result.finding);
  return false;
}

int run_single(uint64_t seed) {
  static Gathered job{};
  transition_counts = &job.transitions;
  const SwarmConfig config(seed);
  fmt::print("{}\n", config.to_string());
  const SwarmResult result = run_swarm(seed);
  fmt::print(
      "trace {:016x}, {} events, {} requests: {} whole, {} errors, {} cut, {} lost; {} attempts, {} copies, "
      "{} from the cache, {} tables, {:.1f} s\n",
      result.trace, result.events, result.requests, result.whole, result.errors, result.cut, result.lost,
      result.attempts, result.copies, result.cached, result.tables,
      static_cast<double>(result.simulated_ns) / 1e9);
  if (result.finding.empty()) return 0;
  fmt::print(stderr, "finding: {}\nreplay: sim_swarm --seed {}\n", result.finding, seed);
  return 1;
}

// False: less than `percent` of the legal ones of some machine were taken, or one that is not legal.
bool report_transitions(const std::vector<void*>& jobs, uint32_t percent) {
  std::set<Transition> taken;
  for (const void* job : jobs) {
    for (Transition& transition : taken_transitions(static_cast<const Gathered*>(job)->transitions)) {
      taken.insert(std::move(transition));
    }
  }
  struct Reached {
    size_t legal = 0, taken = 0;
  };
  std::map<std::string, Reached> machines;
  for (const Transition& transition : legal_transitions()) {
    Reached& of = machines[transition.machine];
    ++of.legal;
    if (taken.erase(transition) > 0) {
      ++of.taken;
    } else {
      fmt::print("never reached: {}: {} -- {} -> {}\n", transition.machine, transition.from, transition.event,
                 transition.to);
    }
  }
  bool enough = taken.empty();
  for (const auto& [name, of] : machines) {
    fmt::print("transitions of {}: {} of {} legal ones reached\n", name, of.taken, of.legal);
    enough = enough && of.taken * 100 >= of.legal * percent;
  }
  for (const Transition& transition : taken) {
    fmt::print("not in the list: {}: {} -- {} -> {}\n", transition.machine, transition.from, transition.event,
               transition.to);
  }
  return enough;
}

int run_many(const SeedArguments& arguments) {
  const SeedJobs jobs = run_seeds(arguments, sizeof(Gathered), [](uint64_t seed, void* gathered) {
    return run_one(seed, *static_cast<Gathered*>(gathered));
  });
  const auto sum = [&](auto member) {
    uint64_t total = 0;
    for (const void* job : jobs.gathered) total += static_cast<const Gathered*>(job)->*member;
    return total;
  };
  const double simulated_s = static_cast<double>(sum(&Gathered::simulated_ns)) / 1e9;
  const auto* const longest = static_cast<const Gathered*>(*std::ranges::max_element(
      jobs.gathered, {}, [](const void* job) { return static_cast<const Gathered*>(job)->longest_turn_ns; }));
  fmt::print(
      "{} seeds in {:.1f} s: {} requests ({} whole, {} errors, {} cut, {} lost), {} attempts, {} copies, "
      "{} from the cache, {} tables, {} events\n",
      jobs.done, jobs.real_s, sum(&Gathered::requests), sum(&Gathered::whole), sum(&Gathered::errors),
      sum(&Gathered::cut), sum(&Gathered::lost), sum(&Gathered::attempts), sum(&Gathered::copies),
      sum(&Gathered::cached), sum(&Gathered::tables), sum(&Gathered::events));
  fmt::print(
      "simulated {:.0f} s, {:.0f} times as fast as real; the longest turn of a shard took {:.2f} ms (seed "
      "{})\n",
      simulated_s, simulated_s / jobs.real_s, static_cast<double>(longest->longest_turn_ns) / 1e6,
      longest->longest_turn_seed);
  if (!jobs.failed) {
    if (report_transitions(jobs.gathered, arguments.transitions) || arguments.transitions == 0) return 0;
    fmt::print(stderr, "finding: transitions are missing, or not legal\n");
    return 1;
  }
  static_cast<void>(fflush(stdout));
  fmt::print(stderr, "replay: sim_swarm --seed {}\n", *jobs.failed);
  return 1;
}

}  // namespace
}  // namespace weir::sim

int main(int count, char** words) {
  const auto arguments = weir::sim::parse_seed_arguments(count, words, "sim_swarm");
  if (!arguments) return 2;
  return arguments->seed ? weir::sim::run_single(*arguments->seed) : weir::sim::run_many(*arguments);
}
