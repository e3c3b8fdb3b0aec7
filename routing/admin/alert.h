// What somebody should be told about: a budget or limit whose action has begun to apply, a request that did not
// fit into a budget (a flag's for copies too), a breaker that opened, a client that loops, a node that has begun
// to turn requests away, a limit that fills up soon after a table was activated (`warn_at`). Read from records
// (routing/exchange/record.h) as they are drained, so that the data path does nothing for it.
//
//   {"id","time","type":"budget|breaker|runaway|overload|limit","severity":"page|warn","tenant","key","scenario",
//    "model","flag","limit","state":"open|exceeded|filling|closed","window","on_exceed",
//    "budgets":[{"window","usd","spent_usd","reserved_usd","on_exceed","open"}],"open_ms"}
//
//   open      the action of a rule applies to whoever comes under it
//   exceeded  this request did not fit; what is smaller may
//   filling   `warn_at` percent are used
//   closed    what was told to be open is not any more (open_rule.h)
//
// Members that do not apply are left out. Never in it: prompts, answers, users, credentials.
//
// Records come by the thousand when something is wrong, and nearly all of them say what has been told: causes
// are cheap, and the body is made of those that are told.
//
// Pure. Thread: the control loop's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "routing/exchange/record.h"
#include "routing/guard/guard_time.h"

namespace weir::routing {

enum class AlertType : uint8_t { breaker, overload, copies, filling, runaway, limit, budget };

struct AlertCause {
  AlertType type = AlertType::breaker;
  bool pages = false;  // somebody should get up: everybody is stopped
  // Two causes with the same key are about the same thing: the same rule of the same holder, by their names,
  // in the same state.
  std::string key = {};
};

// Nothing for most records; costs a look at a few fields then.
std::vector<AlertCause> alert_causes(const Record& record);
// JSON of one of them.
std::string alert_body(const AlertCause& cause, const Record& record, const GuardTime& now);

}  // namespace weir::routing
