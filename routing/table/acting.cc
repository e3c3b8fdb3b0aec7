#include "routing/table/acting.h"

#include <algorithm>

#include "routing/table/compile_state.h"

namespace weir::routing {
namespace {

// Those of one scenario. Units are not built yet; of its combinations it is enough to look at those of one flag: they
// have every model and every cache_ttl that there is.
Actions acting_in(const CompileState& state, const Scenario& scenario) {
  const auto spec = [&](UnitIndex unit) -> const UnitSpec& { return state.units[static_cast<size_t>(unit)]; };
  const auto expense = [&](ModelIndex model) { return state.body[model].expense(); };
  Actions acting = bit_of(BudgetAction::reject) | bit_of(BudgetAction::kill);

  auto cheapest = expense(spec(scenario.stable).model);
  for (const FallbackHop& hop : scenario.fallback) {
    if (hop.kind == FallbackHop::Kind::static_text) acting |= bit_of(BudgetAction::static_text);
    if (hop.kind == FallbackHop::Kind::unit) cheapest = std::min(cheapest, expense(spec(hop.unit).model));
  }
  const auto decided = [&](ModelIndex model, uint64_t cache_ttl_ns) {
    if (expense(model) > cheapest) acting |= bit_of(BudgetAction::economy);
    if (cache_ttl_ns != 0) acting |= bit_of(BudgetAction::cached);
  };
  decided(spec(scenario.stable).model, spec(scenario.stable).cache_ttl_ns);
  for (const FlagIndex flag : scenario.flags) {
    const Candidate& candidate = state.candidates[static_cast<size_t>(flag)];
    const UnitSpec& base = spec(candidate.unit ? static_cast<UnitIndex>(*candidate.unit) : scenario.stable);
    decided(candidate.model.value_or(base.model), base.cache_ttl_ns);
  }
  return acting;
}

struct Advice {
  std::string_view what, here, anywhere, mend;
};
Advice advice_for(BudgetAction action) {
  switch (action) {
    case BudgetAction::economy:
      return {"economy changes nothing",
              "neither stable nor the chain has a unit that is cheaper than another that answers",
              "no scenario has a cheaper unit to go to", "put one into its fallback"};
    case BudgetAction::cached:
      return {"cached has nothing to answer with", "neither stable nor a candidate has a cache_ttl",
              "no stable unit and no candidate has a cache_ttl", "give it one"};
    default:
      return {"static has nothing to answer with", "the fallback has no static hop",
              "no scenario's fallback has a static hop", "put one there"};
  }
}

}  // namespace

void find_acting(CompileState& state) {
  TableBody& body = state.body;
  const Path root;
  const Path scenarios(root, "scenarios");
  for (const Scenario& scenario : body.scenarios) {
    const Actions acting = acting_in(state, scenario);
    body.acting |= acting;
    const Path at(scenarios, scenario.name), budgets(at, "budgets");
    for (size_t i = 0; i < scenario.budgets.size(); i++) {
      const BudgetAction action = scenario.budgets[i].on_exceed;
      if ((acting & bit_of(action)) != 0) continue;
      const Advice advice = advice_for(action);
      state.problems.add(
          Path(Path(budgets, i), "on_exceed"),
          fmt::format("{}: {}; {}, or say another action", advice.what, advice.here, advice.mend));
    }
  }
}

void check_acts(Problems& problems, const Path& path, BudgetAction action, Actions acting) {
  if ((acting & bit_of(action)) != 0) return;
  const Advice advice = advice_for(action);
  problems.add(path,
               fmt::format("{}: {}; {}, or say another action", advice.what, advice.anywhere, advice.mend));
}

}  // namespace weir::routing
