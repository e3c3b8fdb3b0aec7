// What happened in one run of the control plane's swarm: who asked for what, and what they were told.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "routing/admin/change.h"
#include "routing/admin/rollback.h"
#include "routing/table/kills.h"
#include "tests/sim/control_swarm_config.h"
#include "tests/sim/control_swarm_table.h"
#include "tests/sim/swarm_journal.h"

namespace weir::sim {

// Something that somebody asked for. Its mark is the reason that it gives, so it is found again in the log.
struct Ask {
  uint64_t id = 0;
  What what = What::row;
  uint32_t life = 0;
  bool dry_run = false;
  std::optional<uint64_t> if_match = {};
  routing::Caller caller = {};
  routing::ObjectKind kind = routing::ObjectKind::tenant;  // of the object
  std::string name = {};                                   // of the object, or of what is killed
  std::string flag = {};                                   // of a row
  Json body = {};                                          // of the object, the row, the patch, the table
  routing::KillScope scope = routing::KillScope::global;
  routing::Rollback rollback = {};
  uint64_t proposal = 0;  // to be approved, withdrawn or put in the place of

  uint32_t began_round = 0, answered_round = 0;
  uint32_t answers = 0;
  bool lost = false;   // its process ended first
  bool ghost = false;  // refused, and the disk refused to undo it: it may come back (registry.h, invariant 2)
  std::optional<routing::ChangeResult> result = {};

  std::string mark() const { return "c" + std::to_string(id); }
  bool flips() const { return what == What::kill || what == What::unkill; }
  bool made() const { return result && *result && (*result)->kind == routing::ChangeOutcome::Kind::made; }
  bool proposed() const {
    return result && *result && (*result)->kind == routing::ChangeOutcome::Kind::proposed;
  }
  // Refused, but in effect and in the registry.
  bool slow_shards() const {
    return result && !*result && result->error().kind == routing::Refusal::Kind::slow_shards;
  }
  bool refused_by_registry() const;
  std::string to_string() const;
};

struct ControlJournal {
  Findings findings;
  std::deque<Ask> asked;  // [id]; addresses stay
  uint32_t life = 0, round = 0;
};

}  // namespace weir::sim
