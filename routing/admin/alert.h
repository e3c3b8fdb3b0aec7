// What somebody should be told about: a budget or limit whose action has begun to apply, a request that did not
// fit into a budget (a flag's for copies too), a breaker that opened, a client that loops, a node that has begun
// to turn requests away, a limit that fills up soon after a table was activated (`warn_at`).
//
//   {"id","suppressed","type":"budget|breaker|runaway|overload|limit","severity":"page|warn","time","tenant","key",
//    "scenario","model","provider","flag","limit","window","on_exceed","state":"open|exceeded|filling|closed",
//    "users","more_users","user","budgets":[{"window","usd","spent_usd","reserved_usd","on_exceed","open"}],
//    "allows","remaining"|"in_flight","open_ms","limited","requests"}
//
//   open      the action of a rule applies to whoever comes under it; of a breaker: it is open
//   exceeded  a request did not fit; what is smaller may
//   filling   `warn_at` percent are used
//   closed    what was told to be open is not any more
//
//   suppressed  how often it was so before, since it was last told
//   users       of a rule of users: on how many more of them it acts; `user` is the hash of one, whose numbers these are.
//               `more_users`: and on others, who are not counted
//   limited     a breaker is open because the provider said 429
//   requests    that were turned away
//
// Numbers are of the moment at which it was seen. Members that do not apply are left out. Never in it: prompts, answers,
// users' names, credentials.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace weir::routing {

// What an alert is about.
struct AlertThing {
  // Of the same rule of the same holder, by their names, always the same; indices mean something else in the next table.
  std::string key;
  nlohmann::ordered_json about;  // the members that name it, `type` first
  bool pages = false;            // somebody should get up: everybody is stopped
};

}  // namespace weir::routing
