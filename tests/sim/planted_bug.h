// The bugs that swarm.cmake plants into copies of weir's sources: all of the gateway's into one program, sim_planted, all
// of the control plane's into another, sim_control_planted. Each is on in a process whose environment names it:
// WEIR_PLANTED_BUG=missed_cancel sim_planted --seeds 10000
#pragma once

#include <string_view>

namespace weir::sim {

extern const std::string_view planted_bug;  // empty: none

inline bool is_planted(std::string_view name) {
  return planted_bug == name;
}

}  // namespace weir::sim
