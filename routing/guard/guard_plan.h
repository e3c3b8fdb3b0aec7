// The guards of one table: every limit and budget that its objects declare, with the memory that keeps their
// state. Built when a table is bound, immutable from then on, read by every shard without locks.
//
//   TableBody ── limits, budgets ──▶ GuardPlan ── pointers ──▶ lines of the GuardArena (shared by all plans)
//
// Looked up by index: a request touches one entry per scope that has any guard, and none for those that have
// not. Users are not declared: their plan is that of their tenant, their lines are found per request
// (user_lines.h).
//
// Thread: built on one thread, read by any.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "routing/guard/breaker.h"
#include "routing/guard/budget.h"
#include "routing/guard/guard_arena.h"
#include "routing/guard/rate_limiter.h"
#include "routing/guard/token_estimator.h"
#include "routing/table/table.h"

namespace weir::routing {

// Whom a guard is about; in the order in which they are asked.
enum class GuardScope : uint8_t { global, scenario, tenant, key, user, pilot };
inline constexpr unsigned kGuardScopes = 6;
std::string_view token(GuardScope scope);

struct BudgetGuard {
  BudgetSpec spec;
  BudgetLine* line = nullptr;  // null for users
};

// What one holder declares.
struct ScopeGuard {
  GuardScope scope = GuardScope::global;
  uint32_t owner = 0;  // index of the tenant, key or scenario it belongs to
  LimitSpecs limits;
  LimitLine* line = nullptr;  // null: no limits, or a user's
  uint32_t first_budget = 0;  // into GuardPlan::budgets()
  uint32_t budget_count = 0;
};

class GuardPlan {
 public:
  // Null: the arena is full.
  static std::shared_ptr<const GuardPlan> bind(const TableBody& body, std::shared_ptr<GuardArena> arena);

  GuardPlan(const GuardPlan&) = delete;
  GuardPlan& operator=(const GuardPlan&) = delete;

  // Null where nothing is declared.
  const ScopeGuard* global() const { return at(global_); }
  const ScopeGuard* of(ScenarioIndex index) const { return at(scenarios_[static_cast<uint32_t>(index)]); }
  const ScopeGuard* of(TenantIndex index) const { return at(tenants_[static_cast<uint32_t>(index)]); }
  const ScopeGuard* of(KeyIndex index) const { return at(keys_[static_cast<uint32_t>(index)]); }
  const ScopeGuard* user_of(TenantIndex index) const { return at(users_[static_cast<uint32_t>(index)]); }
  const ScopeGuard* pilot(TenantIndex tenant, FlagIndex flag) const;
  std::span<const BudgetGuard> budgets(const ScopeGuard& guard) const {
    return {budgets_.data() + guard.first_budget, guard.budget_count};
  }
  EstimateLine& estimate(ModelIndex index) const { return *models_[static_cast<uint32_t>(index)].estimate; }
  BreakerLine& breaker(ModelIndex index) const { return *models_[static_cast<uint32_t>(index)].breaker; }
  // No limit and no budget is declared.
  bool empty() const { return scopes_.empty(); }

  // What the budget action `economy` answers with: of the units that the scenario may use, the cheapest of
  // the lowest tier.
  UnitIndex economy_unit(ScenarioIndex index) const { return economy_[static_cast<uint32_t>(index)]; }

  const std::vector<ScopeGuard>& scopes() const { return scopes_; }

 private:
  explicit GuardPlan(std::shared_ptr<GuardArena> arena) : leases_(std::move(arena)) {}
  struct Builder;
  const ScopeGuard* at(uint32_t index_plus_one) const {
    return index_plus_one == 0 ? nullptr : &scopes_[index_plus_one - 1];
  }

  struct Pilot {
    TenantIndex tenant;
    FlagIndex flag;
    uint32_t index_plus_one;
  };

  struct ModelLines {
    EstimateLine* estimate;
    BreakerLine* breaker;
  };

  GuardLeases leases_;
  std::vector<ScopeGuard> scopes_;
  std::vector<BudgetGuard> budgets_;
  uint32_t global_ = 0;
  std::vector<uint32_t> scenarios_, tenants_, keys_, users_;  // index + 1 into scopes_; 0 = none
  std::vector<Pilot> pilots_;                                 // sorted by tenant, flag
  std::vector<UnitIndex> economy_;
  std::vector<ModelLines> models_;
};

}  // namespace weir::routing
