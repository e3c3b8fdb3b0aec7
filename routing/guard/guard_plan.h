// The guards of one table: every limit and budget that its objects declare, with the memory that keeps their
// state. Built when a table is bound, immutable from then on, read by every shard without locks.
//
//   TableBody, TenantTable ── limits, budgets ──▶ GuardPlan ── pointers ──▶ lines of the GuardArena (shared
//   by
//                                                                          all plans)
//
// What a block of tenants or keys declares is a part of the plan. A plan for a table of which some blocks
// were changed (change_tenants()) shares the parts of all others with the plan before, so it costs little
// more than they do.
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
#include <span>
#include <string>
#include <vector>

#include "routing/guard/breaker.h"
#include "routing/guard/budget.h"
#include "routing/guard/guard_arena.h"
#include "routing/guard/rate_limiter.h"
#include "routing/guard/token_estimator.h"
#include "routing/guard/trip_marks.h"
#include "routing/table/table.h"

namespace weir::routing {

// Whom a guard is about; in the order in which they are asked.
enum class GuardScope : uint8_t { global, scenario, tenant, key, user, pilot, shadow };
inline constexpr unsigned kGuardScopes = 7;
std::string_view token(GuardScope scope);

struct BudgetGuard {
  BudgetSpec spec;
  BudgetLine* line = nullptr;  // null for users
};

// What one holder declares.
struct ScopeGuard {
  GuardScope scope = GuardScope::global;
  uint32_t owner = 0;  // index of the tenant, key, scenario or flag it belongs to
  FlagIndex flag{};    // of a pilot
  LimitSpecs limits;
  uint8_t rate_kinds = 0;                         // a bit per RateKind that `limits` has
  BudgetAction on_exceed = BudgetAction::reject;  // of the limits
  uint8_t warn_percent = 0;                       // as Limits::warn_percent
  LimitLine* line = nullptr;  // null: no limits, or a user's
  UserTrips* trips = nullptr;  // of users: where it is noted on whom a rule acts
  std::span<const BudgetGuard> budgets;
};

class GuardPlan {
 public:
  // `tenants` belongs to `body`. `base`: a plan of the same arena, to share with; null: none. Null: the arena
  // is full.
  static std::shared_ptr<const GuardPlan> bind(const TableBody& body, const TenantTable& tenants,
                                               std::shared_ptr<GuardArena> arena,
                                               const GuardPlan* base = nullptr);

  GuardPlan(const GuardPlan&) = delete;
  GuardPlan& operator=(const GuardPlan&) = delete;

  // Null where nothing is declared.
  const ScopeGuard* global() const { return body_->at(global_); }
  const ScopeGuard* of(ScenarioIndex index) const {
    return body_->at(scenarios_[static_cast<uint32_t>(index)]);
  }
  const ScopeGuard* of(TenantIndex index) const { return find(tenants_, static_cast<uint32_t>(index)); }
  const ScopeGuard* of(KeyIndex index) const { return find(keys_, static_cast<uint32_t>(index)); }
  const ScopeGuard* user_of(TenantIndex index) const {
    const auto at = static_cast<uint32_t>(index);
    const TenantPart* part = tenants_[at / kPerBlock].get();
    return part == nullptr ? nullptr : part->at(part->users[at % kPerBlock]);
  }
  const ScopeGuard* pilot(TenantIndex tenant, FlagIndex flag) const;
  // The budget of a flag's copies: one.
  const ScopeGuard* shadow(FlagIndex index) const {
    return body_->at(shadows_[static_cast<uint32_t>(index)]);
  }
  EstimateLine& estimate(ModelIndex index) const { return *models_[static_cast<uint32_t>(index)].estimate; }
  // Of the model at one of its providers (Model::hosts).
  BreakerLine& breaker(ModelIndex index, uint32_t host = 0) const {
    return *models_[static_cast<uint32_t>(index)].breakers[host];
  }
  // No limit and no budget that a request counts under is declared.
  bool empty() const { return empty_; }

  // All of them, for people and tests.
  std::vector<ScopeGuard> scopes() const;
  // The same piece by piece: those of the table's body, of each block of tenants, of each of keys.
  size_t pieces() const { return 1 + tenants_.size() + keys_.size(); }
  std::span<const ScopeGuard> piece(size_t at) const;

 private:
  static constexpr uint32_t kPerBlock = TenantTable::kPerBlock;

  explicit GuardPlan(const TenantTable& tenants)
      : basis_(tenants.basis()), tenant_blocks_(tenants.parts().tenants), key_blocks_(tenants.parts().keys) {}

  // Scopes that come and go together.
  struct Part {
    explicit Part(std::shared_ptr<GuardArena> arena) : leases(std::move(arena)) {}
    const ScopeGuard* at(uint32_t index_plus_one) const {
      return index_plus_one == 0 ? nullptr : &scopes[index_plus_one - 1];
    }

    GuardLeases leases;
    std::vector<ScopeGuard> scopes;
    std::vector<BudgetGuard> budgets;
  };
  struct Builder;

  struct Pilot {
    TenantIndex tenant;
    FlagIndex flag;
    uint32_t index_plus_one;
  };

  struct ModelLines {
    EstimateLine* estimate;
    std::vector<BreakerLine*> breakers;  // by host
  };

  // Of one block. Numbers are index + 1 into the part's scopes; 0 = none.
  struct TenantPart : Part {
    using Part::Part;
    std::vector<uint32_t> own, users;  // by the tenant's place in the block
    std::vector<Pilot> pilots;         // sorted by tenant, flag
  };
  struct KeyPart : Part {
    using Part::Part;
    std::vector<uint32_t> own;
  };

  template <typename BlockPart>
  static const ScopeGuard* find(const std::vector<std::shared_ptr<const BlockPart>>& parts, uint32_t at) {
    const BlockPart* part = parts[at / kPerBlock].get();
    return part == nullptr ? nullptr : part->at(part->own[at % kPerBlock]);
  }

  // What base's parts are of: they are good for the same blocks of a table with the same basis.
  const Digest basis_;
  const BlockList<TenantBlock> tenant_blocks_;
  const BlockList<KeyBlock> key_blocks_;

  std::shared_ptr<const Part> body_;  // global, scenarios, models
  uint32_t global_ = 0;
  std::vector<uint32_t> scenarios_;
  std::vector<uint32_t> shadows_;                           // by FlagIndex
  std::vector<std::shared_ptr<const TenantPart>> tenants_;  // by block; null: it declares nothing
  std::vector<std::shared_ptr<const KeyPart>> keys_;
  bool empty_ = true;
  std::vector<ModelLines> models_;
};

// What the budget action `economy` answers with in place of the decided unit: of what may answer this request
// (that unit, stable, the units of the chain, none of them killed) the cheapest of the lowest tier. Candidates
// of flags are not among them: whom they are for, decide() has said.
UnitIndex economy_unit(const Table& table, ScenarioIndex scenario, UnitIndex decided);
// By the same measure.
bool is_dearer(const Table& table, UnitIndex unit, UnitIndex than);

}  // namespace weir::routing
