// One seed of the control plane's swarm: the control thread, the registry and its disk, with the shards' readers, on
// the simulated loop and clock, run to its end in one thread and checked. Its sister runs the shards (swarm.h).
//
//   seed ─▶ ControlConfig ─▶ round: somebody asks ─ workers take a step ─ the loop turns ─ shards refresh ─ time passes
//                            ...    └─ power cut, kill -9, stop ─▶ the next life, on what the disk has kept
//                            mend everything ─ all is answered ─ checks (control_swarm_checks.h)
//
// The same seed gives the same run: ControlSwarmResult::trace is the proof.
//
// Real              ControlThread, Gateway, RegistryThreads and Registry, SQLite, plans, compiler, address book, tenant
//                   images
// Simulated         clock, loop and files (sim_world.h), the registry's disk (tests/support/simulated_disk.h), workers
//                   (sim_workers.h); a shard is its SnapshotReader with pins
// Drawn             who asks for what: rows, objects, whole tables, kills and unkills, rollbacks, proposals and
//                   approvals, with If-Match, dry; how late each worker and each shard is; a disk that is full, fails,
//                   stalls; power cuts at any operation, kills, stops; lost and damaged tenant images
// Not simulated     the admin API's HTTP (tests/routing/admin), several processes at the same registry (handover)
//
// Run it       tools/sim --control --seeds N; a fixed set is in tools/test (control_swarm_test.cc)
// Extend it    an ask in control_swarm_writers.cc and what it must have done in control_swarm_checks.cc. A new bug
//              class: a row of weir_control_mutant() in swarm.cmake.
#pragma once

#include <cstdint>
#include <string>

namespace weir::sim {

struct ControlSwarmResult {
  std::string finding;  // empty: nothing is wrong
  std::string history;  // what was asked for and answered, a line each
  uint64_t trace = 0;   // hash of every event in order
  uint64_t events = 0;
  uint64_t simulated_ns = 0;
  uint32_t asked = 0, made = 0, proposed = 0, refused = 0, unanswered = 0;
  uint32_t lives = 0, power_cuts = 0;
  uint64_t revisions = 0;
};

// After a finding the world is left as it is: no other run may follow in this process.
ControlSwarmResult run_control_swarm(uint64_t seed);

}  // namespace weir::sim
