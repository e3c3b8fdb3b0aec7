// One seed of the swarm: a gateway with its shards, providers, clients and operators on the simulated kernel,
// run to its end in one thread and checked.
//
//   seed ─▶ SwarmConfig ─▶ round: clients act ─ loops turn ─ providers act ─ operators act ─ time passes
//                          ...
//                          drain ─ close ─ checks (swarm_checks.h)
//
// The same seed gives the same run, to the last byte: SwarmResult::trace is the proof.
//
// Drawn from the seed      how large everything is; which faults there are, and how strong (sim_world.h); what
//                          clients, providers and operators do (swarm_config.h): reads and writes cut short,
//                          completions in another order, resets, stalls, lost multishot and buffers,
//                          pipelining, half-closes, slow readers, hostile requests, garbage and truncated
//                          answers, retries and fallbacks, models at several providers, table swaps that change
//                          limits too, kills, limits (of tokens too) and budgets at their edges, cached answers and
//                          purges, copies to candidates, connections passed on, jumps of the calendar, drains in
//                          the middle
// Not simulated            TLS, name resolution, the real ring. The control thread, the registry and its disk have
//                          a swarm of their own (control_swarm.h); here tables are published without them
//
// Run it       tools/sim --seeds N; a fixed set is in tools/test (swarm_test.cc)
// Extend it    a habit in swarm_config.h, what acts it out in swarm_client.cc or swarm_provider.cc, and what must
//              then hold in swarm_checks.cc, swarm_limits.cc, swarm_cache.cc, swarm_shadow.cc. A new bug class: a
//              row of weir_mutant() in swarm.cmake.
#pragma once

#include <cstdint>
#include <string>

namespace weir::sim {

struct SwarmResult {
  std::string finding;  // empty: nothing is wrong
  uint64_t trace = 0;   // hash of every event in order
  uint64_t events = 0;
  uint64_t simulated_ns = 0;
  uint64_t longest_turn_ns = 0;  // processor time of one turn of one shard
  uint32_t requests = 0, whole = 0, errors = 0, cut = 0, lost = 0;
  uint32_t tables = 0, attempts = 0, copies = 0, cached = 0;
};

// After a finding the world is left as it is: no other run may follow in this process.
SwarmResult run_swarm(uint64_t seed);

}  // namespace weir::sim
