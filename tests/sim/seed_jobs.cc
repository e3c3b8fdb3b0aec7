#include "tests/sim/seed_jobs.h"

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
#include <string_view>
#include <utility>

namespace weir::sim {
namespace {

constexpr uint32_t kMaxJobs = 64;
constexpr int kProgressMs = 1000, kFirstProgressMs = 20;
constexpr uint64_t kFirstMs = 3000, kSayEveryMs = 10'000;
constexpr uint64_t kHangSeconds = 120;  // of one seed; the usual one takes milliseconds

// What a job tells the parent, in front of what it gathers.
struct alignas(64) Progress {
  std::atomic<uint64_t> current, done;
};

struct Job {
  Progress* progress;
  void* gathered;
  pid_t child;
  uint64_t seed = 0, since_ms = 0;
};

uint64_t now_ms() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

[[noreturn]] void work(const SeedArguments& arguments, uint64_t first, const Job& job,
                       const std::function<bool(uint64_t, void*)>& run_one) {
  for (uint64_t seed = first; seed < arguments.first + arguments.seeds; seed += arguments.jobs) {
    job.progress->current = seed;
    if (!run_one(seed, job.gathered)) _exit(1);
    ++job.progress->done;
  }
  job.progress->current = UINT64_MAX;
  _exit(0);
}

// Whether it is still running; `failed`: the seed at which it ended.
bool look_after(Job& job, std::optional<uint64_t>& failed) {
  const uint64_t seed = job.progress->current;
  int status = 0;
  if (waitpid(job.child, &status, WNOHANG) == job.child) {
    job.child = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return false;
    failed = job.progress->current;
    if (WIFSIGNALED(status)) fmt::print(stderr, "finding: killed by signal {}\n", WTERMSIG(status));
    return false;
  }
  if (job.seed != seed) {
    job.seed = seed;
    job.since_ms = now_ms();
  }
  if (now_ms() - job.since_ms > kHangSeconds * 1000) {
    fmt::print(stderr, "finding: hangs\n");
    failed = seed;
  }
  return true;
}

}  // namespace

SeedJobs run_seeds(const SeedArguments& arguments, size_t bytes,
                   const std::function<bool(uint64_t, void*)>& run_one) {
  SeedJobs result;
  const size_t stride =
      sizeof(Progress) + (bytes + alignof(Progress) - 1) / alignof(Progress) * alignof(Progress);
  void* memory =
      mmap(nullptr, stride * arguments.jobs, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int alive[2];
  if (memory == MAP_FAILED || pipe(alive) != 0) {
    fmt::print(stderr, "no memory or no pipe for the jobs\n");
    _exit(2);
  }
  const uint64_t began_ms = now_ms();
  std::vector<Job> jobs;
  for (uint32_t i = 0; i < arguments.jobs; ++i) {
    char* const at = static_cast<char*>(memory) + stride * i;
    Job job{.progress = reinterpret_cast<Progress*>(at), .gathered = at + sizeof(Progress), .child = fork()};
    if (job.child == 0) {
      close(alive[0]);
      work(arguments, arguments.first + i, job, run_one);
    }
    job.since_ms = began_ms;
    jobs.push_back(job);
  }
  close(alive[1]);
  const auto done = [&] {
    uint64_t sum = 0;
    for (const Job& job : jobs) sum += job.progress->done;
    return sum;
  };
  size_t running = jobs.size();
  for (uint64_t told_ms = began_ms; running > 0 && !result.failed;) {
    pollfd end{alive[0], POLLIN, 0};  // the end of the last child
    poll(&end, 1, running == jobs.size() && now_ms() - began_ms < kFirstMs ? kFirstProgressMs : kProgressMs);
    for (Job& job : jobs) {
      if (job.child > 0 && !result.failed && !look_after(job, result.failed)) --running;
    }
    if (now_ms() - told_ms <= kSayEveryMs) continue;
    told_ms = now_ms();
    fmt::print("{} of {} seeds\n", done(), arguments.seeds);
    static_cast<void>(fflush(stdout));
  }
  for (const Job& job : jobs) {
    result.gathered.push_back(job.gathered);
    if (job.child <= 0) continue;
    kill(job.child, SIGKILL);
    waitpid(job.child, nullptr, 0);
  }
  close(alive[0]);
  result.done = done();
  result.real_s = static_cast<double>(std::max<uint64_t>(now_ms() - began_ms, 1)) / 1000;
  return result;
}

std::optional<SeedArguments> parse_seed_arguments(int count, char** words, const char* program) {
  SeedArguments arguments;
  bool understood = count % 2 == 1;
  for (int i = 1; i + 1 < count && understood; i += 2) {
    const std::string_view name = words[i], text = words[i + 1];
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    understood = error == std::errc{} && end == text.data() + text.size();
    if (name == "--seed") {
      arguments.seed = value;
    } else if (name == "--seeds") {
      arguments.seeds = value;
    } else if (name == "--first") {
      arguments.first = value;
    } else if (name == "--jobs" && value >= 1 && value <= kMaxJobs) {
      arguments.jobs = static_cast<uint32_t>(value);
    } else if (name == "--transitions" && value <= 100) {
      arguments.transitions = static_cast<uint32_t>(value);
    } else {
      understood = false;
    }
  }
  if (understood && (arguments.seed || arguments.seeds != 0)) return arguments;
  fmt::print(stderr, "usage: {} --seed N | --seeds N [--first M] [--jobs J] [--transitions P]\n", program);
  return std::nullopt;
}

}  // namespace weir::sim
