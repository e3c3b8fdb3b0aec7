// What the admin API answers about guards, as JSON: limits, budgets, breakers as they stand. Reads, changes
// nothing; what is counted moves on meanwhile.
//
// Thread: the control loop's.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "routing/guard/admission.h"
#include "routing/guard/budget.h"
#include "routing/guard/guard_time.h"
#include "routing/table/table.h"

namespace weir::routing {

// Which guards are shown: those of one tenant (its keys and pilots too), of one of its users, or with empty names
// all. At most kMaxRows each, `more` says that there were others.
struct GuardFilter {
  static constexpr size_t kMaxRows = 1000;
  std::string_view tenant = {};
  std::string_view user = {};   // of that tenant: what is counted of it
  UserGuards* users = nullptr;  // where that stands; set when `user` is
  bool closest_first = false;   // by what is used of them; those with nothing to see come last
};

// "1h", "month", "ever".
std::string window_name(uint64_t window_ns);
double usd(int64_t nano_usd);
// How a user is called where it must not be named, in alerts and with `user` below; the tag of UserLook.
std::string user_hash(uint64_t tag);
// A rule and its state, as members of the rows below.
nlohmann::ordered_json budget_rule_view(const BudgetSpec& spec);
nlohmann::ordered_json budget_state_view(const BudgetView& seen);

// {"limits":[{"scope","name","user_hash","limit","rate","on_exceed","remaining","reset_ms"|"in_flight","refused"}],"more"}
nlohmann::ordered_json limits_view(const Table& table, const GuardFilter& filter, const GuardTime& now);
// {"budgets":[{"scope","name","user_hash","window","usd","spent_usd","reserved_usd","on_exceed","open","trips","refused","ends_in_s"}],"more"}
nlohmann::ordered_json budgets_view(const Table& table, const GuardFilter& filter, const GuardTime& now);
// {"breakers":[{"model","provider","state","open_ms","limited","consecutive_failures","opened","kept_away"}]}
// `limited`: open because the provider said 429, for as long as it said.
nlohmann::ordered_json breakers_view(const Table& table, const GuardTime& now);

}  // namespace weir::routing
