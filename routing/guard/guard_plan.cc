#include "routing/guard/guard_plan.h"

#include <algorithm>
#include <array>

#include "routing/decide/row_index.h"

namespace weir::routing {

std::string_view token(GuardScope scope) {
  static constexpr std::string_view kTokens[] = {"global", "scenario", "tenant", "key",
                                                 "user",   "pilot",    "shadow"};
  return kTokens[static_cast<unsigned>(scope)];
}

// Fills a part. What it has made is of no use once the arena was full.
struct GuardPlan::Builder {
  Part& part;
  bool full = false;

  template <typename Line>
  Line* line(LineKind kind, GuardScope scope, std::string_view name, uint64_t detail) {
    Line* found = part.leases.find<Line>(kind, static_cast<uint8_t>(scope), name, detail);
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

  uint32_t add(GuardScope scope, uint32_t owner, std::string_view name, const Limits& limits,
               std::span<const Budget> budgets) {
    const uint32_t number = add(scope, owner, name, specs(limits), budgets);
    if (number == 0) return 0;
    part.scopes.back().on_exceed = limits.on_exceed;
    part.scopes.back().warn_percent = limits.warn_percent;
    return number;
  }
  // Index + 1 of the new scope; 0 when it declares nothing.
  uint32_t add(GuardScope scope, uint32_t owner, std::string_view name, const LimitSpecs& limits,
               std::span<const Budget> budgets) {
    if (!limits.any() && budgets.empty()) return 0;
    ScopeGuard& guard = part.scopes.emplace_back();
    guard.scope = scope;
    guard.owner = owner;
    guard.limits = limits;
    for (unsigned kind = 0; kind < kRateKinds; ++kind) {
      if (limits.rates[kind].any()) guard.rate_kinds |= static_cast<uint8_t>(1u << kind);
    }
    const bool declared = scope != GuardScope::user;
    if (declared && limits.any()) guard.line = line<LimitLine>(LineKind::limits, scope, name, 0);
    if (!declared) guard.trips = line<UserTrips>(LineKind::user_trips, scope, name, 0);
    for (size_t i = 0; i < budgets.size(); ++i) {
      const Budget& budget = budgets[i];
      BudgetGuard made;
      made.spec = {.window_ns = budget.window_ns,
                   .limit = std::min(budget.limit_nano_usd, kMaxBudget),
                   .action = budget.on_exceed};
      // What a rule has counted goes with its window, whatever its amount and action; two rules of the same
      // window, which count the same, are told apart by their order.
      uint64_t same = 0;
      for (size_t j = 0; j < i; ++j) same += budgets[j].window_ns == budget.window_ns;
      const uint64_t detail = budget.window_ns << 8 ^ same;
      if (declared) made.line = line<BudgetLine>(LineKind::budget, scope, name, detail);
      part.budgets.push_back(made);
    }
    counts.push_back(budgets.size());
    return static_cast<uint32_t>(part.scopes.size());
  }

  // When all is added: budgets stay where they are from now on.
  void end() {
    const BudgetGuard* next = part.budgets.data();
    for (size_t i = 0; i < part.scopes.size(); ++i) {
      part.scopes[i].budgets = {next, counts[i]};
      next += counts[i];
    }
  }

  std::vector<size_t> counts = {};  // of budgets, by scope

  // What the tenants, or keys, of a block declare; null if nothing, or if the arena is full.
  static std::shared_ptr<const TenantPart> tenants(const TableBody& body, const TenantTable& table,
                                                   uint32_t block, const std::shared_ptr<GuardArena>& arena,
                                                   bool& full);
  static std::shared_ptr<const KeyPart> keys(const TenantTable& table, uint32_t block,
                                             const std::shared_ptr<GuardArena>& arena, bool& full);
};

namespace {

auto expense(const TableBody& body, UnitIndex unit) {
  return body[body[unit].model].expense();
}

}  // namespace

UnitIndex economy_unit(const Table& table, ScenarioIndex index, UnitIndex decided) {
  const TableBody& body = *table.body;
  UnitIndex best = decided;
  const auto consider = [&](UnitIndex unit) {
    if (expense(body, unit) < expense(body, best) && !is_unit_killed(table, unit)) best = unit;
  };
  consider(body[index].stable);
  for (const FallbackHop& hop : body[index].fallback) {
    if (hop.kind == FallbackHop::Kind::unit) consider(hop.unit);
  }
  return best;
}

bool is_dearer(const Table& table, UnitIndex unit, UnitIndex than) {
  return expense(*table.body, unit) > expense(*table.body, than);
}

std::shared_ptr<const GuardPlan::TenantPart> GuardPlan::Builder::tenants(
    const TableBody& body, const TenantTable& table, uint32_t block, const std::shared_ptr<GuardArena>& arena,
    bool& full) {
  const auto part = std::make_shared<TenantPart>(arena);
  Builder builder{*part};
  const uint32_t end = std::min(table.tenant_end(), (block + 1) * kPerBlock);
  for (uint32_t i = block * kPerBlock; i < end; ++i) {
    const Tenant tenant = table[TenantIndex{i}];
    part->own.push_back(builder.add(GuardScope::tenant, i, tenant.id(), tenant.limits(), tenant.budgets()));
    part->users.push_back(
        builder.add(GuardScope::user, i, tenant.id(), tenant.user_limits(), tenant.user_budgets()));
    if (tenant.row_limits().empty()) continue;
    const size_t first = part->pilots.size();
    for_each_flag(body, tenant, [&](FlagIndex flag) {
      const std::optional<TenantRow> row = find_row(body, tenant, flag);
      if (!row->limits.any()) return;
      LimitSpecs limits =
          specs({.rpm = row->limits.rpm, .tpm = row->limits.tpm, .concurrency = row->limits.concurrency});
      limits.total = row->limits.total_requests;
      // '/' is in no name.
      const std::string name = std::string(tenant.id()) + "/" + body[flag].name;
      part->pilots.push_back({TenantIndex{i}, flag, builder.add(GuardScope::pilot, i, name, limits, {})});
      part->scopes.back().flag = flag;
    });
    std::sort(part->pilots.begin() + static_cast<ptrdiff_t>(first), part->pilots.end(),
              [](const Pilot& a, const Pilot& b) { return a.flag < b.flag; });
  }
  builder.end();
  full |= builder.full;
  return part->scopes.empty() ? nullptr : part;
}

std::shared_ptr<const GuardPlan::KeyPart> GuardPlan::Builder::keys(const TenantTable& table, uint32_t block,
                                                                   const std::shared_ptr<GuardArena>& arena,
                                                                   bool& full) {
  const auto part = std::make_shared<KeyPart>(arena);
  Builder builder{*part};
  const uint32_t end = std::min(table.key_end(), (block + 1) * kPerBlock);
  for (uint32_t i = block * kPerBlock; i < end; ++i) {
    const Key key = table[KeyIndex{i}];
    part->own.push_back(builder.add(GuardScope::key, i, key.id(), key.limits(), key.budgets()));
  }
  builder.end();
  full |= builder.full;
  return part->scopes.empty() ? nullptr : part;
}

std::shared_ptr<const GuardPlan> GuardPlan::bind(const TableBody& body, const TenantTable& tenants,
                                                 std::shared_ptr<GuardArena> arena, const GuardPlan* base) {
  std::shared_ptr<GuardPlan> plan(new GuardPlan(tenants));
  const auto part = std::make_shared<Part>(arena);
  Builder builder{*part};
  plan->global_ = builder.add(GuardScope::global, 0, "", body.limits, body.budgets);
  for (uint32_t i = 0; i < body.scenarios.size(); ++i) {
    const Scenario& scenario = body.scenarios[i];
    plan->scenarios_.push_back(
        builder.add(GuardScope::scenario, i, scenario.name, LimitSpecs{}, scenario.budgets));
  }
  const size_t counted = part->scopes.size();
  for (uint32_t i = 0; i < body.flags.size(); ++i) {
    const Flag& flag = body.flags[i];
    const Budget budget{.window_ns = flag.shadow_window_ns, .limit_nano_usd = flag.shadow_budget_nano_usd};
    plan->shadows_.push_back(
        flag.shadow_milli_percent == 0
            ? 0
            : builder.add(GuardScope::shadow, i, flag.name, LimitSpecs{}, std::span(&budget, 1)));
  }
  for (const Model& model : body.models) {
    // A model that moves to another provider is another one, as far as health goes. '/' is in no name.
    const auto name_at = [&](ProviderIndex provider) { return body[provider].name + "/" + model.name; };
    ModelLines lines{
        builder.line<EstimateLine>(LineKind::estimate, GuardScope::global, name_at(model.provider), 0), {}};
    const auto add = [&](ProviderIndex provider) {
      lines.breakers.push_back(
          builder.line<BreakerLine>(LineKind::breaker, GuardScope::global, name_at(provider), 0));
    };
    for (const ModelHost& host : model.hosts) add(host.provider);
    if (model.hosts.empty()) add(model.provider);
    plan->models_.push_back(std::move(lines));
  }
  builder.end();
  plan->empty_ = counted == 0;
  plan->body_ = part;

  bool full = builder.full;
  if (base != nullptr && base->basis_ != plan->basis_) base = nullptr;
  // Calls make(block) for those that the base has not.
  const auto fill = [&](auto& parts, const auto& blocks, const auto* base_parts, const auto* base_blocks,
                        auto&& make) {
    parts.reserve(blocks.size());
    for (size_t i = 0; i < blocks.size() && !full; ++i) {
      const bool shared =
          base_blocks != nullptr && i < base_blocks->size() && base_blocks->block(i) == blocks.block(i);
      parts.push_back(shared ? (*base_parts)[i] : make(static_cast<uint32_t>(i)));
      plan->empty_ &= parts.back() == nullptr;
    }
  };
  fill(plan->tenants_, plan->tenant_blocks_, base == nullptr ? nullptr : &base->tenants_,
       base == nullptr ? nullptr : &base->tenant_blocks_,
       [&](uint32_t block) { return Builder::tenants(body, tenants, block, arena, full); });
  fill(plan->keys_, plan->key_blocks_, base == nullptr ? nullptr : &base->keys_,
       base == nullptr ? nullptr : &base->key_blocks_,
       [&](uint32_t block) { return Builder::keys(tenants, block, arena, full); });
  if (full) return nullptr;
  return plan;
}

std::vector<ScopeGuard> GuardPlan::scopes() const {
  std::vector<ScopeGuard> all;
  for (size_t at = 0; at < pieces(); ++at) {
    const std::span<const ScopeGuard> here = piece(at);
    all.insert(all.end(), here.begin(), here.end());
  }
  return all;
}

std::span<const ScopeGuard> GuardPlan::piece(size_t at) const {
  if (at == 0) return body_->scopes;
  const Part* part = nullptr;
  if (const size_t block = at - 1; block < tenants_.size()) {
    part = tenants_[block].get();
  } else {
    part = keys_[block - tenants_.size()].get();
  }
  return part == nullptr ? std::span<const ScopeGuard>() : part->scopes;
}

const ScopeGuard* GuardPlan::pilot(TenantIndex tenant, FlagIndex flag) const {
  const TenantPart* part = tenants_[static_cast<uint32_t>(tenant) / kPerBlock].get();
  if (part == nullptr) return nullptr;
  const auto found =
      std::lower_bound(part->pilots.begin(), part->pilots.end(), std::pair(tenant, flag),
                       [](const Pilot& pilot, const std::pair<TenantIndex, FlagIndex>& wanted) {
                         return std::pair(pilot.tenant, pilot.flag) < wanted;
                       });
  if (found == part->pilots.end() || found->tenant != tenant || found->flag != flag) return nullptr;
  return part->at(found->index_plus_one);
}

}  // namespace weir::routing
