// What somebody should be told about: a budget that is used up (a flag's for copies too), a breaker that
// opened, a client that loops, a node that has begun to turn requests away, a limit that fills up soon after a
// table was activated (`warn_at`). Read from records (routing/exchange/record.h) as they are drained, so that
// the data path does nothing for it.
//
//   {"id","time","type":"budget|breaker|runaway|overload|limit","severity":"page|warn","tenant","key","scenario",
//    "model","flag","limit","budgets":[{"window","usd","spent_usd","reserved_usd","on_exceed","open"}],"open_ms"}
//
// Members that do not apply are left out. Never in it: prompts, answers, users, credentials.
//
// Pure. Thread: the control loop's.
#pragma once

#include <optional>
#include <string>

#include "routing/exchange/record.h"
#include "routing/guard/guard_time.h"

namespace weir::routing {

struct Alert {
  std::string key;   // two alerts with the same key are about the same thing
  std::string body;  // JSON
};

// Nothing for most records; costs a look at three fields then.
std::optional<Alert> alert_of(const Record& record, const GuardTime& now);

}  // namespace weir::routing
