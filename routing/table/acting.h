// Which actions of limits and budgets can do what they say (BudgetAction): one that cannot would stand in a table as if
// it bounded something.
//
//   economy   needs a unit of stable and the chain that is cheaper than one that may be decided; else what was decided
//             goes on answering, past every limit
//   cached    needs a `cache_ttl` on stable or on a candidate; else nothing is ever there to answer with
//   static    needs a `static` hop; else there is no text
//
// A scenario's budgets need it in that scenario. The limits and budgets of everything, tenants, keys and users apply to
// whichever scenario is asked for: they need it in any of them.
#pragma once

#include <cstdint>
#include <optional>

#include "routing/table/problem.h"
#include "routing/table/tenant_spec.h"

namespace weir::routing {

struct CompileState;

// A bit for each action.
using Actions = uint8_t;
constexpr Actions bit_of(BudgetAction action) {
  return static_cast<Actions>(1u << static_cast<unsigned>(action));
}
inline constexpr Actions kAllActions = 0xff;

// Fills TableBody::acting, and reports scenarios' budgets whose action cannot act. After flags are read, on a state
// without problems.
void find_acting(CompileState& state);

// Reports an action that can act in no scenario. `acting`: those that can; `path`: of on_exceed.
void check_acts(Problems& problems, const Path& path, BudgetAction action, Actions acting);

}  // namespace weir::routing
