#include "routing/table/kills.h"

#include <algorithm>
#include <array>

namespace weir::routing {
namespace {

constexpr auto kScopes =
    std::to_array<std::string_view>({"global", "provider", "unit", "scenario", "flag", "tenant"});

void mark(std::vector<bool>& killed, const NameIndex& names, std::string_view name) {
  if (const auto index = names.find(name)) killed[*index] = true;
}

}  // namespace

std::string_view to_string(KillScope scope) {
  return kScopes[static_cast<size_t>(scope)];
}

std::optional<KillScope> parse_kill_scope(std::string_view text) {
  const auto found = std::ranges::find(kScopes, text);
  if (found == kScopes.end()) return std::nullopt;
  return static_cast<KillScope>(found - kScopes.begin());
}

bool KillList::add(Kill kill) {
  if (kill.name.empty() != (kill.scope == KillScope::global)) return false;
  const auto same = [&](const Kill& there) { return there.scope == kill.scope && there.name == kill.name; };
  if (std::ranges::any_of(kills_, same)) return false;
  kills_.push_back(std::move(kill));
  return true;
}

bool KillList::remove(KillScope scope, std::string_view name) {
  return std::erase_if(kills_, [&](const Kill& kill) { return kill.scope == scope && kill.name == name; }) !=
         0;
}

Kills KillList::resolve(const TableBody& body, const TenantTable& tenants) const {
  Kills resolved;
  if (kills_.empty()) return resolved;
  resolved.any = true;
  resolved.providers.resize(body.providers.size());
  resolved.units.resize(body.units.size());
  resolved.scenarios.resize(body.scenarios.size());
  resolved.flags.resize(body.flags.size());
  for (const Kill& kill : kills_) {
    switch (kill.scope) {
      case KillScope::global:
        resolved.global = true;
        break;
      case KillScope::provider:
        mark(resolved.providers, body.provider_names, kill.name);
        break;
      case KillScope::unit:
        mark(resolved.units, body.unit_names, kill.name);
        break;
      case KillScope::scenario:
        mark(resolved.scenarios, body.scenario_names, kill.name);
        break;
      case KillScope::flag:
        mark(resolved.flags, body.flag_names, kill.name);
        break;
      case KillScope::tenant:
        if (const auto tenant = tenants.find(kill.name)) resolved.tenants.push_back(*tenant);
        break;
    }
  }
  for (size_t i = 0; i < body.units.size(); i++) {
    if (resolved.units[static_cast<size_t>(body.units[i].base)]) resolved.units[i] = true;
  }
  std::ranges::sort(resolved.tenants);
  return resolved;
}

}  // namespace weir::routing
