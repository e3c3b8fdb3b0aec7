#include "routing/guard/guard_plan.h"

#include <algorithm>
#include <tuple>

namespace weir::routing {

std::string_view token(GuardScope scope) {
  static constexpr std::string_view kTokens[] = {"global", "scenario", "tenant", "key", "user", "pilot"};
  return kTokens[static_cast<unsigned>(scope)];
}

// Collects while `full` is false; what it has made is of no use once the arena was full.
struct GuardPlan::Builder {
  GuardPlan& plan;
  bool full = false;

  template <typename Line>
  Line* line(LineKind kind, GuardScope scope, std::string_view name, uint64_t detail) {
    Line* found = plan.leases_.find<Line>(kind, static_cast<uint8_t>(scope), name, detail);
    full |= found == nullptr;
    return found;
  }

  static LimitSpecs specs(const Limits& limits) {
    LimitSpecs made;
    const std::array<uint64_t, kRateKinds> values = {limits.rps, limits.rpm, limits.rph, limits.rpd,
                                                     limits.tpm};
    for (unsigned kind = 0; kind < kRateKinds; ++kind)
      made.rates[kind] = rate_spec(values[kind], kRatePeriodsNs[kind]);
    made.concurrency = limits.concurrency;
    return made;
  }

  // Index + 1 of the new scope; 0 when it declares nothing.
  uint32_t add(GuardScope scope, uint32_t owner, std::string_view name, const LimitSpecs& limits,
               const std::vector<Budget>& budgets) {
    if (!limits.any() && budgets.empty()) return 0;
    ScopeGuard& guard = plan.scopes_.emplace_back();
    guard = {.scope = scope, .owner = owner, .limits = limits};
    const bool declared = scope != GuardScope::user;
    if (declared && limits.any()) guard.line = line<LimitLine>(LineKind::limits, scope, name, 0);
    guard.first_budget = static_cast<uint32_t>(plan.budgets_.size());
    guard.budget_count = static_cast<uint32_t>(budgets.size());
    for (size_t i = 0; i < budgets.size(); ++i) {
      const Budget& budget = budgets[i];
      BudgetGuard made;
      made.spec = {.window_ns = budget.window_ns,
                   .limit = std::min(budget.limit_nano_usd, kMaxBudget),
                   .action = budget.on_exceed};
      // What a rule has counted goes with its window and action, not with its amount or its place in the
      // list; two rules of the same window and action are told apart by their order.
      uint64_t same = 0;
      for (size_t j = 0; j < i; ++j) {
        same += budgets[j].window_ns == budget.window_ns && budgets[j].on_exceed == budget.on_exceed;
      }
      const uint64_t detail = budget.window_ns << 8 ^ static_cast<uint64_t>(budget.on_exceed) << 4 ^ same;
      if (declared) made.line = line<BudgetLine>(LineKind::budget, scope, name, detail);
      plan.budgets_.push_back(made);
    }
    return static_cast<uint32_t>(plan.scopes_.size());
  }
};

namespace {

// Lowest tier first, then the price of as much input as output.
auto expense(const TableBody& body, UnitIndex unit) {
  const Model& model = body[body[unit].model];
  return std::tuple(model.tier, model.price.input + model.price.output);
}

UnitIndex cheapest(const TableBody& body, const Scenario& scenario) {
  UnitIndex best = scenario.stable;
  const auto consider = [&](UnitIndex unit) {
    if (expense(body, unit) < expense(body, best)) best = unit;
  };
  for (const UnitIndex unit : scenario.combinations) consider(unit);
  for (const FallbackHop& hop : scenario.fallback) {
    if (hop.kind == FallbackHop::Kind::unit) consider(hop.unit);
  }
  return best;
}

}  // namespace

std::shared_ptr<const GuardPlan> GuardPlan::bind(const TableBody& body, std::shared_ptr<GuardArena> arena) {
  std::shared_ptr<GuardPlan> plan(new GuardPlan(std::move(arena)));
  Builder builder{*plan};
  plan->global_ = builder.add(GuardScope::global, 0, "", Builder::specs(body.limits), body.budgets);
  for (uint32_t i = 0; i < body.scenarios.size(); ++i) {
    const Scenario& scenario = body.scenarios[i];
    plan->scenarios_.push_back(builder.add(GuardScope::scenario, i, scenario.name, {}, scenario.budgets));
    plan->economy_.push_back(cheapest(body, scenario));
  }
  plan->tenants_.reserve(body.tenants.size());
  plan->users_.reserve(body.tenants.size());
  for (uint32_t i = 0; i < body.tenants.size(); ++i) {
    const Tenant& tenant = body.tenants[i];
    plan->tenants_.push_back(
        builder.add(GuardScope::tenant, i, tenant.id, Builder::specs(tenant.limits), tenant.budgets));
    plan->users_.push_back(
        builder.add(GuardScope::user, i, tenant.id, Builder::specs(tenant.user_limits), tenant.user_budgets));
    for (const TenantFlag& row : tenant.flags) {
      if (row.limit_rpm == 0 && row.limit_total_requests == 0) continue;
      LimitSpecs limits = Builder::specs({.rpm = row.limit_rpm});
      limits.total = row.limit_total_requests;
      // '/' is in no name.
      const std::string name = tenant.id + "/" + body[row.flag].name;
      plan->pilots_.push_back(
          {TenantIndex{i}, row.flag, builder.add(GuardScope::pilot, i, name, limits, {})});
    }
  }
  plan->keys_.reserve(body.keys.size());
  for (uint32_t i = 0; i < body.keys.size(); ++i) {
    const Key& key = body.keys[i];
    plan->keys_.push_back(builder.add(GuardScope::key, i, key.id, Builder::specs(key.limits), key.budgets));
  }
  for (const Model& model : body.models) {
    // A model that moves to another provider is another one, as far as health goes. '/' is in no name.
    const std::string name = body[model.provider].name + "/" + model.name;
    plan->models_.push_back({builder.line<EstimateLine>(LineKind::estimate, GuardScope::global, name, 0),
                             builder.line<BreakerLine>(LineKind::breaker, GuardScope::global, name, 0)});
  }
  if (builder.full) return nullptr;
  return plan;
}

const ScopeGuard* GuardPlan::pilot(TenantIndex tenant, FlagIndex flag) const {
  const auto found =
      std::lower_bound(pilots_.begin(), pilots_.end(), std::pair(tenant, flag),
                       [](const Pilot& pilot, const std::pair<TenantIndex, FlagIndex>& wanted) {
                         return std::pair(pilot.tenant, pilot.flag) < wanted;
                       });
  if (found == pilots_.end() || found->tenant != tenant || found->flag != flag) return nullptr;
  return at(found->index_plus_one);
}

}  // namespace weir::routing
