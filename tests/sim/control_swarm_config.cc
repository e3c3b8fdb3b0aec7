#include "tests/sim/control_swarm_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace weir::sim {
namespace {

constexpr const char* kWhatNames[] = {"row",   "put",    "patch",    "remove",  "replace",
                                      "kill",  "unkill", "rollback", "approve", "withdraw",
                                      "label", "read",   "trust",    "validate"};
static_assert(std::size(kWhatNames) == kWhats);

}  // namespace

const char* to_string(What what) {
  return kWhatNames[static_cast<size_t>(what)];
}

ControlConfig::ControlConfig(uint64_t of) : seed(of) {
  Dice dice(seed, 1);
  shards = static_cast<uint32_t>(dice.between(1, 3));
  asks = static_cast<uint32_t>(dice.one_in(5) ? dice.between(40, 120) : dice.between(3, 40));
  for (uint32_t& weight : weights) weight = dice.one_in(3) ? 0 : static_cast<uint32_t>(dice.between(1, 6));
  if (std::ranges::all_of(weights, [](uint32_t weight) { return weight == 0; })) weights[0] = 1;
  approvals = dice.one_in(2);
  if (!approvals)
    weights[static_cast<size_t>(What::approve)] = weights[static_cast<size_t>(What::withdraw)] = 0;
  ask = dice.one_in(3) ? 0.5 : 0.05 + dice.strength(1, 0.3);
  for (double& each : job) each = dice.one_in(3) ? 1 : 0.1 + dice.strength(1, 0.9);
  stall = dice.strength(0.4, 0.05);
  turn = dice.one_in(2) ? 1 : 0.3;
  refresh = dice.one_in(2) ? 1 : 0.05 + dice.strength(1, 0.9);
  sleep = dice.strength(0.3, 0.02);
  pin = dice.strength(0.4, 0.2);
  full = dice.strength(0.35, 0.05);
  fail = dice.strength(0.35, 0.05);
  cut = dice.strength(0.5, 0.05);
  kill = dice.strength(0.3, 0.03);
  stop = dice.strength(0.3, 0.03);
  pause = dice.strength(0.4, 0.1);
  wall_jump = dice.strength(0.3, 0.05);
  if_match = dice.strength(0.6, 1);
  old_match = dice.strength(0.5, 0.6);
  dry_run = dice.strength(0.3, 0.3);
  burst = dice.strength(0.5, 0.6);
  images = dice.one_in(2);
  dark = dice.strength(0.3, 0.1);
  if (dice.one_in(8)) {  // kills that cannot be written
    weights[static_cast<size_t>(What::kill)] = weights[static_cast<size_t>(What::unkill)] = 10;
    fail = 0.2;
  }
}

std::string ControlConfig::to_string() const {
  std::string text = fmt::format(
      "shards {} asks {}{}{}; per round: ask {:.2f} jobs {:.2f} {:.2f} {:.2f} stall {:.3f} turn {:.2f} "
      "refresh {:.2f} "
      "sleep {:.3f} pin {:.2f} full {:.3f} fail {:.3f} cut {:.3f} kill {:.3f} stop {:.3f} dark {:.3f} pause "
      "{:.2f} "
      "wall_jump "
      "{:.2f}; per ask: if_match {:.2f} old_match {:.2f} dry_run {:.2f} burst {:.2f}; weights",
      shards, asks, images ? " images" : "", approvals ? " approvals" : "", ask, job[0], job[1], job[2],
      stall, turn, refresh, sleep, pin, full, fail, cut, kill, stop, dark, pause, wall_jump, if_match,
      old_match, dry_run, burst);
  for (size_t i = 0; i < kWhats; ++i) text += fmt::format(" {} {}", kWhatNames[i], weights[i]);
  return text;
}

}  // namespace weir::sim
