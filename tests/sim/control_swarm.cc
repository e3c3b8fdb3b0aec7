#include "tests/sim/control_swarm.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "core/log.h"
#include "tests/sim/control_swarm_checks.h"
#include "tests/sim/control_swarm_writers.h"
#include "tests/sim/sim_workers.h"
#include "tests/sim/sim_world.h"

namespace weir::sim {

using namespace routing;  // NOLINT: a test

namespace {

constexpr uint32_t kMaxRounds = 20'000;
constexpr uint64_t kMaxRoundNs = 4'000'000;
constexpr uint64_t kLongPauseNs = 8'000'000'000;          // longer than a change waits for shards
constexpr uint64_t kSettleNs = 20'000'000'000;            // all is answered by then, once nothing is wrong
constexpr uint32_t kMaxFailures = 40, kMaxCutAfter = 60;  // operations of the disk
constexpr const char* kImage = "registry.db-tenants";

class Run {
 public:
  explicit Run(uint64_t seed);
  ControlSwarmResult run();
  bool failed() const { return journal_.findings.any(); }

 private:
  enum class End : uint8_t { power_cut, killed, stopped };
  void round();
  void let_workers_run();
  void let_shards_run();
  void break_disk();
  void let_time_pass();
  void end_life(End end);
  End end_amid();
  void begin_life();
  void settle();
  void answered(const Ask& ask);
  ControlSwarmResult result() const;

  const ControlConfig config_;
  World world_;
  Dice dice_;
  testing::SimulatedDisk disk_;
  ControlJournal journal_;
  ControlChecks checks_;
  ControlWriters writers_;
  const std::string first_table_;
  std::unique_ptr<ControlProcess> process_;
  uint64_t stalled_until_ns_[3] = {};
  uint64_t begun_ns_;
  uint64_t begin_again_ns_ = 0;
  uint32_t power_cuts_ = 0;
  bool ghosts_ = false;  // the disk refused a change and then its undoing
};

Run::Run(uint64_t seed)
    : config_(seed),
      world_(seed),
      dice_(seed, 2),
      disk_(seed),
      checks_(journal_),
      writers_(
          config_, journal_, [this](const Ask& ask) { checks_.began(ask); },
          [this](const Ask& ask) { answered(ask); }),
      first_table_([this] {
        Dice dice(config_.seed, 4);
        return random_table(dice, config_.approvals, "first").dump();
      }()),
      begun_ns_(world_.monotonic_ns) {
  sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, static_cast<int>(seed | 1), nullptr);
}

void Run::answered(const Ask& ask) {
  world_.note(ask.id << 32 ^
              (ask.result->has_value() ? (*ask.result)->revision << 8 ^ (*ask.result)->changed
                                       : static_cast<uint64_t>(ask.result->error().kind) << 4 ^ 1));
  checks_.answered(*process_, ask);
}

// ---- lives ------------------------------------------------------------------------------------------

void Run::begin_life() {
  process_ = std::make_unique<ControlProcess>(config_, disk_);
  std::string problem;
  const uint64_t failures = disk_.failures();
  const bool started = process_->start(first_table_, problem);
  if (!problem.empty()) {
    process_.reset();
    return journal_.findings.add("does not start: " + problem);
  }
  if (!disk_.has_power()) return end_life(end_amid());
  world_.note(started ? process_->control().revision() : 0);
  if (started) return checks_.started(*process_, disk_.failures() == failures);
  process_.reset();
  begin_again_ns_ = world_.monotonic_ns + 100'000'000;
  if (dice_.one_in(2)) disk_.fail_at(0, 0, SQLITE_OK);  // or who knows when
}

// Amid what is being written: the machine is gone, or the process alone, which leaves what no sync has made durable to
// its successor.
Run::End Run::end_amid() {
  return dice_.one_in(2) ? End::killed : End::power_cut;
}

// What the parts still do when they end is done without power where there is none: nobody hears of it.
void Run::end_life(End end) {
  world_.note(static_cast<uint64_t>(end));
  if (end != End::stopped) disk_.cut_power();
  const uint64_t failures = disk_.failures();
  process_.reset();
  if (end == End::stopped && disk_.failures() == failures) ghosts_ = false;
  checks_.ended(std::exchange(ghosts_, false));
  ++journal_.life;
  if (end == End::power_cut) {
    ++power_cuts_;
    disk_.restore_power();
    if (auto image = world_.files.find(kImage); image != world_.files.end() && dice_.one_in(3)) {
      if (dice_.one_in(2) || image->second.empty()) {
        world_.files.erase(image);
      } else {
        image->second[dice_.below(image->second.size())] ^= static_cast<char>(1 << dice_.below(8));
      }
    }
  }
  if (end == End::killed) disk_.restart_process();
  std::ranges::fill(stalled_until_ns_, 0);
  begin_again_ns_ = world_.monotonic_ns + dice_.below(1'000'000'000);
}

// ---- a round ----------------------------------------------------------------------------------------

void Run::let_workers_run() {
  for (size_t i = 0; i < SimWorkers::count() && process_ != nullptr; ++i) {
    if (dice_.chance(config_.stall)) stalled_until_ns_[i] = world_.monotonic_ns + dice_.below(kLongPauseNs);
    for (uint32_t jobs = 0; jobs < 4 && SimWorkers::has_job(i); ++jobs) {
      if (world_.monotonic_ns < stalled_until_ns_[i] || !dice_.chance(config_.job[i])) break;
      const std::string head = process_->threads().registry().head_hash();
      const uint64_t failures = disk_.failures();
      SimWorkers::run_one(i);
      world_.note(disk_.operations() << 2 ^ i);
      if (!disk_.has_power()) return end_life(end_amid());
      if (process_->threads().registry().head_hash() != head) {
        ghosts_ = false;
        checks_.durable();
      } else if (disk_.failures() > failures + 1) {
        ghosts_ = true;
      }
    }
  }
}

void Run::let_shards_run() {
  for (const auto& shard : process_->shards()) {
    if (dice_.chance(config_.sleep)) shard->sleeps_until_ns = world_.monotonic_ns + dice_.below(kLongPauseNs);
    if (world_.monotonic_ns < shard->sleeps_until_ns || !dice_.chance(config_.refresh)) continue;
    if (dice_.chance(config_.pin)) shard->pins.push_back(shard->reader.pin());
    if (!shard->pins.empty() && dice_.one_in(3))
      shard->pins.erase(shard->pins.begin() + static_cast<ptrdiff_t>(dice_.below(shard->pins.size())));
    const uint64_t before = shard->reader.current().revision;
    if (!shard->reader.refresh()) continue;
    world_.note(shard->reader.current().revision << 3 ^ 5);
    if (shard->reader.current().revision < before) journal_.findings.add("a revision was taken back");
    checks_.refreshed(*process_, *shard);
    process_->loop().wake();
  }
}

void Run::break_disk() {
  const uint64_t next = disk_.operations() + 1;
  if (dice_.chance(config_.full))
    disk_.fail_at(next + dice_.below(20), dice_.between(1, kMaxFailures), SQLITE_FULL);
  if (dice_.chance(config_.fail))
    disk_.fail_at(next + dice_.below(20), dice_.between(1, kMaxFailures), SQLITE_IOERR);
  if (dice_.chance(config_.cut)) disk_.cut_power_at(next + dice_.below(kMaxCutAfter));
}

void Run::let_time_pass() {
  world_.advance(dice_.chance(config_.pause) ? dice_.below(kLongPauseNs) : 1 + dice_.below(kMaxRoundNs));
  if (dice_.chance(config_.wall_jump))
    world_.wall_ns += static_cast<int64_t>(dice_.below(7'200'000'000'000)) - 3'600'000'000'000;
}

void Run::round() {
  ++journal_.round;
  if (process_ == nullptr) {
    if (world_.monotonic_ns >= begin_again_ns_) begin_life();
    return;
  }
  if (dice_.chance(config_.ask) && journal_.asked.size() < config_.asks) {
    do {
      writers_.ask(*process_);
    } while (dice_.chance(config_.burst) && journal_.asked.size() < config_.asks);
  }
  let_workers_run();
  if (process_ == nullptr) return;
  if (dice_.chance(config_.turn)) process_->loop().turn(0);
  let_shards_run();
  checks_.while_running(*process_);
  break_disk();
  if (dice_.chance(config_.kill)) return end_life(End::killed);
  if (dice_.chance(config_.stop)) return end_life(End::stopped);
  if (dice_.chance(config_.dark)) return end_life(End::power_cut);
}

// Nothing is wrong any more: everything ends well, and soon.
void Run::settle() {
  disk_.fail_at(0, 0, SQLITE_OK);
  disk_.cut_power_at(0);
  while (process_ == nullptr && !failed()) {
    begin_again_ns_ = 0;
    disk_.fail_at(0, 0, SQLITE_OK);
    begin_life();
  }
  const uint64_t end_ns = world_.monotonic_ns + kSettleNs;
  while (world_.monotonic_ns < end_ns && !failed()) {
    for (size_t i = 0; i < SimWorkers::count(); ++i) {
      while (SimWorkers::has_job(i)) SimWorkers::run_one(i);
    }
    process_->loop().turn(0);
    for (const auto& shard : process_->shards()) {
      shard->pins.clear();
      if (shard->reader.refresh()) checks_.refreshed(*process_, *shard);
    }
    checks_.while_running(*process_);
    const bool answered =
        std::ranges::none_of(journal_.asked, [](const Ask& ask) { return ask.answers == 0 && !ask.lost; });
    if (answered && process_->control().idle()) break;
    world_.advance(10'000'000);
  }
  if (failed()) return;
  // Versions are freed by a timer.
  for (int turns = 0; turns < 3; ++turns) {
    world_.advance(100'000'000);
    process_->loop().turn(0);
  }
}

ControlSwarmResult Run::run() {
  while (!failed() && journal_.round < kMaxRounds) {
    round();
    let_time_pass();
    const bool done = journal_.asked.size() >= config_.asks && dice_.one_in(30);
    if (done) break;
  }
  if (!failed()) settle();
  if (!failed()) checks_.at_the_end(*process_);
  return result();
}

ControlSwarmResult Run::result() const {
  ControlSwarmResult result;
  result.finding = journal_.findings.first();
  if (!result.finding.empty())
    result.finding +=
        fmt::format("\n  in round {}, life {}; {}", journal_.round, journal_.life, config_.to_string());
  for (const Ask& ask : journal_.asked) {
    result.history += fmt::format("life {} rounds {} to {}: {}\n", ask.life, ask.began_round,
                                  ask.answered_round, ask.to_string());
  }
  result.trace = world_.trace();
  result.events = world_.events();
  result.simulated_ns = world_.monotonic_ns - begun_ns_;
  result.lives = journal_.life + 1;
  result.power_cuts = power_cuts_;
  for (const Ask& ask : journal_.asked) {
    ++result.asked;
    if (!ask.result) ++result.unanswered;
    if (ask.made()) ++result.made;
    if (ask.proposed()) ++result.proposed;
    if (ask.result && !*ask.result) ++result.refused;
  }
  if (process_ != nullptr) result.revisions = process_->control().revision();
  return result;
}

}  // namespace

ControlSwarmResult run_control_swarm(uint64_t seed) {
  core::set_log_sink({[](std::string_view) { return true; }, core::wall_now_ns});
  auto run = std::make_unique<Run>(seed);
  ControlSwarmResult result = run->run();
  // What is wrong may keep the parts from ending: their own assertions would hide what was found.
  if (run->failed()) static_cast<void>(run.release());
  return result;
}

}  // namespace weir::sim
