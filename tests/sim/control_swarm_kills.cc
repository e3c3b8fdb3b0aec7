#include <algorithm>

#include "tests/sim/control_swarm_checks.h"

namespace weir::sim {

using namespace routing;  // NOLINT: a test

void KillHistory::began(const Ask& ask) {
  flips_[{ask.scope, ask.name}].push_back({ask.id, ask.what == What::kill});
}

void KillHistory::answered(const Ask& ask) {
  std::vector<Flip>& flips = flips_.at({ask.scope, ask.name});
  const auto flip = std::ranges::find(flips, ask.id, &Flip::id);
  if (ask.made() || ask.slow_shards()) {
    flip->state = Flip::State::done;
  } else if (ask.result->error().kind == Refusal::Kind::not_durable ||
             ask.result->error().kind == Refusal::Kind::not_durable_full) {
    flip->state = Flip::State::done_in_memory;
  } else {
    flip->state = Flip::State::refused;
  }
}

void KillHistory::forget(bool ghosts, bool all_unknown) {
  for (auto& [key, flips] : flips_) {
    const auto not_kept = [](const Flip& flip) {
      return flip.state == Flip::State::done_in_memory || flip.state == Flip::State::refused;
    };
    if (all_unknown || (ghosts && std::ranges::any_of(flips, not_kept))) {
      flips = {{.id = 0, .kill = true, .state = Flip::State::lost},
               {.id = 0, .kill = false, .state = Flip::State::lost}};
      continue;
    }
    std::erase_if(flips, not_kept);
    for (Flip& flip : flips) {
      if (flip.state == Flip::State::asked) flip.state = Flip::State::lost;
    }
  }
}

void KillHistory::adopt(const std::vector<Kill>& kills) {
  for (auto& [key, flips] : flips_) {
    if (of(key) != Standing::unknown) continue;
    const bool killed = std::ranges::any_of(
        kills, [&](const Kill& kill) { return kill.scope == key.first && kill.name == key.second; });
    flips = {{.id = UINT64_MAX, .kill = killed, .state = Flip::State::done}};
  }
}

KillHistory::Standing KillHistory::of(const Key& key) const {
  const auto found = flips_.find(key);
  if (found == flips_.end()) return Standing::free;
  Standing standing = Standing::free;
  for (const Flip& flip : found->second) {
    if (flip.state == Flip::State::refused) continue;
    const Standing after = flip.kill ? Standing::killed : Standing::free;
    const bool done = flip.state == Flip::State::done || flip.state == Flip::State::done_in_memory;
    standing = done || standing == after ? after : Standing::unknown;
  }
  return standing;
}

bool KillHistory::durable(const Key& key) const {
  if (of(key) != Standing::killed) return false;
  const std::vector<Flip>& flips = flips_.at(key);
  const auto last = std::find_if(flips.rbegin(), flips.rend(), [](const Flip& flip) {
    return flip.state == Flip::State::done || flip.state == Flip::State::done_in_memory;
  });
  return last != flips.rend() && last->kill && last->state == Flip::State::done;
}

std::vector<KillHistory::Key> KillHistory::keys() const {
  std::vector<Key> keys;
  for (const auto& [key, flips] : flips_) keys.push_back(key);
  return keys;
}

}  // namespace weir::sim
