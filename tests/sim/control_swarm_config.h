// What one seed of the control plane's swarm means. Most features are off in most seeds, as in swarm_config.h.
#pragma once

#include <cstdint>
#include <string>

#include "tests/sim/swarm_config.h"

namespace weir::sim {

// What somebody may ask for; one weight each.
enum class What : uint8_t {
  row,      // a tenant's row on a flag
  put,      // a whole object
  patch,    // members of one
  remove,   // an object, for good
  replace,  // the whole table
  kill,
  unkill,
  rollback,
  approve,
  withdraw,
  label,
  read,
  trust,  // trust anchors are read again
  validate,
};
inline constexpr size_t kWhats = 14;
const char* to_string(What what);

struct ControlConfig {
  explicit ControlConfig(uint64_t seed);
  std::string to_string() const;

  uint64_t seed;
  uint32_t shards = 1, asks = 10;
  uint32_t weights[kWhats] = {};
  // Per round.
  double ask = 0.1;
  double job[3] = {1, 1, 1};  // compile, write, read: a job runs
  double stall = 0;           // a worker stands still for a while
  double turn = 1;            // the control loop turns
  double refresh = 1;         // a shard takes the newest table
  double sleep = 0;           // a shard stands still, up to 8 s
  double pin = 0;             // an exchange begins that keeps its table
  double full = 0, fail = 0;  // the disk begins to refuse
  double cut = 0;             // at one of the next operations power goes, or the process is killed
  double dark = 0;            // power goes while nothing is being written
  double kill = 0, stop = 0;  // the process is killed; is stopped in order
  double pause = 0, wall_jump = 0;
  // Per ask.
  double if_match = 0, old_match = 0, dry_run = 0, burst = 0;
  bool images = false;     // small tables get a tenant image too
  bool approvals = false;  // flags that want them
};

}  // namespace weir::sim
