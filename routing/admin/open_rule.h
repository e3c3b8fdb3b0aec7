// A budget or limit of which somebody was told that its action applies: looked at until it applies no longer, for
// then they should hear that, too.
//
// Named as a table names it, so it is found in whatever table serves by then. Users' rules are not looked at:
// whose they are is not known here.
//
// Pure. Thread: the control loop's.
#pragma once

#include <optional>
#include <string>

#include "routing/admin/alert.h"
#include "routing/guard/admission.h"
#include "routing/guard/guard_time.h"
#include "routing/table/table.h"

namespace weir::routing {

struct OpenRule {
  GuardScope scope = GuardScope::global;
  LimitKind kind = LimitKind::budget;
  std::string holder = {};
  uint64_t window_ns = 0;  // of a budget
  BudgetAction action = BudgetAction::reject;
};

// Nothing: the cause is no rule that closes again.
std::optional<OpenRule> open_rule_of(const AlertCause& cause, const Record& record);
// Its action applies. False also when the table has no such rule any more.
bool is_open(const OpenRule& rule, const Table& table, const GuardTime& now);
// JSON of an alert, in the shape of alert.h with the state "closed".
std::string closed_body(const OpenRule& rule, const GuardTime& now);

}  // namespace weir::routing
