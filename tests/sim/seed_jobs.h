// Many seeds in several processes, until the first finding: what the programs of the swarms have in common.
//
//   PROGRAM --seed N                             one seed, and what it was like
//   PROGRAM --seeds N [--first M] [--jobs J]     many; stops at the first finding, whose line replays it
//
// Each job is a process of its own, so that a crash, a hang or a sanitizer's report is a finding like any other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace weir::sim {

struct SeedArguments {
  std::optional<uint64_t> seed;
  uint64_t seeds = 0, first = 1;
  uint32_t jobs = 1;
  uint32_t transitions = 0;  // sim_swarm: fails too below this percentage of a machine's legal transitions
};
// None: they are not understood, which has been said.
std::optional<SeedArguments> parse_seed_arguments(int count, char** words, const char* program);

struct SeedJobs {
  std::vector<void*> gathered;  // one of each job
  uint64_t done = 0;            // seeds
  double real_s = 0;
  std::optional<uint64_t> failed;  // a seed with a finding
};
// `run_one` answers false after it has told a finding. What it gathers is `bytes` large, zero at first, and shared
// with the parent: plain numbers.
SeedJobs run_seeds(const SeedArguments& arguments, size_t bytes,
                   const std::function<bool(uint64_t seed, void* gathered)>& run_one);

}  // namespace weir::sim
