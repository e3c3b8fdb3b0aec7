// sim_swarm: runs seeds of the swarm.
//
//   sim_swarm --seed N                             one seed, and what it was like
//   sim_swarm --seeds N [--first M] [--jobs J]     many; stops at the first finding, whose line replays it
//             [--transitions P]                    fails too if less than P percent of the legal transitions of the
//                                                  state machines were taken, or one that is not legal
//
// Each job is a process of its own, so that a crash, a hang or a sanitizer's report is a finding like any
// other.
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "tests/sim/swarm.h"
#include "tests/sim/swarm_config.h"
#include "tests/sim/swarm_watch.h"

namespace weir::sim {
namespace {

constexpr uint32_t kMaxJobs = 64;
constexpr int kProgressMs = 1000;
constexpr uint64_t kHangSeconds = 120;  // of one seed; the usual one takes milliseconds

struct Arguments {
  std::optional<uint64_t> seed;
  uint64_t seeds = 0, first = 1;
  uint32_t jobs = 1;
  uint32_t transitions = 0;  // percent
};

// What jobs tell the parent: shared memory.
struct Job {
  std::atomic<uint64_t> current, done;
  std::atomic<bool> finding;
  uint64_t requests, whole, errors, cut, lost, attempts, tables, events, simulated_ns, longest_turn_ns,
      longest_turn_seed;
  TransitionCounts transitions;
};

uint64_t now_ms() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

// False: a finding, which has been told.
bool run_one(uint64_t seed, Job& job) {
  const SwarmResult result = run_swarm(seed);
  job.requests += result.requests;
  job.whole += result.whole;
  job.errors += result.errors;
  job.cut += result.cut;
  job.lost += result.lost;
  job.attempts += result.attempts;
  job.tables += result.tables;
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
  static Job job{};
  transition_counts = &job.transitions;
  const SwarmConfig config(seed);
  fmt::print("{}\n", config.to_string());
  const SwarmResult result = run_swarm(seed);
  fmt::print(
      "trace {:016x}, {} events, {} requests: {} whole, {} errors, {} cut, {} lost; {} attempts, {} tables, "
      "{:.1f} s\n",
      result.trace, result.events, result.requests, result.whole, result.errors, result.cut, result.lost,
      result.attempts, result.tables, static_cast<double>(result.simulated_ns) / 1e9);
  if (result.finding.empty()) return 0;
  fmt::print(stderr, "finding: {}\nreplay: sim_swarm --seed {}\n", result.finding, seed);
  return 1;
}

// False: less than `percent` of the legal ones of some machine were taken, or one that is not legal.
bool report_transitions(const std::vector<Job*>& jobs, uint32_t percent) {
  std::set<Transition> taken;
  for (const Job* job : jobs) {
    for (Transition& transition : taken_transitions(job->transitions)) taken.insert(std::move(transition));
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

int run_many(const Arguments& arguments) {
  void* memory =
      mmap(nullptr, sizeof(Job) * arguments.jobs, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 2;
  auto* const first_job = static_cast<Job*>(memory);
  std::vector<Job*> jobs;
  std::vector<pid_t> children;
  int alive[2];
  if (pipe(alive) != 0) return 2;
  const uint64_t began_ms = now_ms();
  for (uint32_t i = 0; i < arguments.jobs; ++i) {
    jobs.push_back(first_job + i);
    const pid_t child = fork();
    if (child == 0) {
      close(alive[0]);
      Job& job = *jobs[i];
      transition_counts = &job.transitions;
      for (uint64_t seed = arguments.first + i; seed < arguments.first + arguments.seeds;
           seed += arguments.jobs) {
        job.current = seed;
        if (!run_one(seed, job)) {
          job.finding = true;
          _exit(1);
        }
        ++job.done;
      }
      job.current = UINT64_MAX;
      _exit(0);
    }
    children.push_back(child);
  }
  close(alive[1]);
  const auto sum = [&](auto member) {
    uint64_t total = 0;
    for (const Job* job : jobs) total += job->*member;
    return total;
  };
  std::optional<uint64_t> failed;
  std::vector<std::pair<uint64_t, uint64_t>> last(jobs.size());  // seed and since when
  size_t running = jobs.size();
  for (uint64_t told_ms = began_ms; running > 0 && !failed;) {
    pollfd end{alive[0], POLLIN, 0};
    poll(&end, 1, running == jobs.size() && now_ms() - began_ms < 3000 ? 20 : kProgressMs);
    for (size_t i = 0; i < jobs.size() && !failed; ++i) {
      int status = 0;
      if (children[i] > 0 && waitpid(children[i], &status, WNOHANG) == children[i]) {
        children[i] = 0;
        --running;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
          failed = jobs[i]->current;
          if (WIFSIGNALED(status)) fmt::print(stderr, "finding: killed by signal {}\n", WTERMSIG(status));
        }
      }
      const uint64_t seed = jobs[i]->current;
      if (last[i].first != seed) last[i] = {seed, now_ms()};
      if (children[i] > 0 && now_ms() - last[i].second > kHangSeconds * 1000) {
        fmt::print(stderr, "finding: hangs\n");
        failed = seed;
      }
    }
    if (now_ms() - told_ms > 10'000) {
      told_ms = now_ms();
      fmt::print("{} of {} seeds\n", sum(&Job::done), arguments.seeds);
      static_cast<void>(fflush(stdout));
    }
  }
  for (const pid_t child : children) {
    if (child <= 0) continue;
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  const double real_s = static_cast<double>(now_ms() - began_ms) / 1000;
  const double simulated_s = static_cast<double>(sum(&Job::simulated_ns)) / 1e9;
  uint64_t longest = 0, longest_seed = 0;
  for (const Job* job : jobs) {
    if (job->longest_turn_ns <= longest) continue;
    longest = job->longest_turn_ns;
    longest_seed = job->longest_turn_seed;
  }
  fmt::print(
      "{} seeds in {:.1f} s: {} requests ({} whole, {} errors, {} cut, {} lost), {} attempts, {} tables, {} "
      "events\n",
      sum(&Job::done), real_s, sum(&Job::requests), sum(&Job::whole), sum(&Job::errors), sum(&Job::cut),
      sum(&Job::lost), sum(&Job::attempts), sum(&Job::tables), sum(&Job::events));
  fmt::print(
      "simulated {:.0f} s, {:.0f} times as fast as real; the longest turn of a shard took {:.2f} ms (seed "
      "{})\n",
      simulated_s, simulated_s / std::max(real_s, 0.001), static_cast<double>(longest) / 1e6, longest_seed);
  if (!failed) {
    if (report_transitions(jobs, arguments.transitions) || arguments.transitions == 0) return 0;
    fmt::print(stderr, "finding: transitions are missing, or not legal\n");
    return 1;
  }
  static_cast<void>(fflush(stdout));
  fmt::print(stderr, "replay: sim_swarm --seed {}\n", *failed);
  return 1;
}

std::optional<Arguments> parse(int count, char** words) {
  Arguments arguments;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string_view name = words[i], text = words[i + 1];
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    if (name == "--seed")
      arguments.seed = value;
    else if (name == "--seeds")
      arguments.seeds = value;
    else if (name == "--first")
      arguments.first = value;
    else if (name == "--jobs" && value >= 1 && value <= kMaxJobs)
      arguments.jobs = static_cast<uint32_t>(value);
    else if (name == "--transitions" && value <= 100)
      arguments.transitions = static_cast<uint32_t>(value);
    else
      return std::nullopt;
  }
  if (count % 2 == 0 || (!arguments.seed && arguments.seeds == 0)) return std::nullopt;
  return arguments;
}

}  // namespace
}  // namespace weir::sim

int main(int count, char** words) {
  const auto arguments = weir::sim::parse(count, words);
  if (!arguments) {
    fmt::print(stderr, "usage: sim_swarm --seed N | --seeds N [--first M] [--jobs J] [--transitions P]\n");
    return 2;
  }
  return arguments->seed ? weir::sim::run_single(*arguments->seed) : weir::sim::run_many(*arguments);
}
