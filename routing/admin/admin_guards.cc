// What guards have counted, and the cache: limits, budgets, breakers, purges.
#include <algorithm>
#include <atomic>
#include <string>
#include <utility>

#include "routing/admin/admin_api.h"
#include "routing/admin/guard_views.h"
#include "routing/exchange/gateway.h"

namespace weir::routing {

const GuardTime& AdminApi::guard_time() {
  return calendar_.at(control_.loop().now_ns(), control_.loop().wall_now_ns());
}

void AdminApi::show_guards(const Ticket& ticket, const Call& call, GuardsView* view) {
  const std::string_view sort = call.target["sort"];
  const GuardFilter filter{.tenant = call.target["tenant"],
                           .user = call.target["user"],
                           .users = &control_.gateway().users,
                           .closest_first = sort == "used"};
  if (!sort.empty() && !filter.closest_first) return refuse(ticket, "sort", "They can be sorted by: used.");
  if (!filter.user.empty() && filter.tenant.empty())
    return refuse(ticket, "tenant", "Whose user? Name the tenant, too.");
  answer_json(ticket, view(control_.table(), filter, guard_time()));
}

void AdminApi::get_limits(const Ticket& ticket, const Call& call) {
  show_guards(ticket, call, limits_view);
}

void AdminApi::get_budgets(const Ticket& ticket, const Call& call) {
  show_guards(ticket, call, budgets_view);
}

void AdminApi::get_breakers(const Ticket& ticket, const Call&) {
  answer_json(ticket, breakers_view(control_.table(), guard_time()));
}

void AdminApi::purge_cache(const Ticket& ticket, const Call& call) {
  static constexpr std::pair<std::string_view, std::atomic<uint64_t> CacheLine::*> kLabels[] = {
      {"tenant", &CacheLine::tenant}, {"unit", &CacheLine::unit}, {"scenario", &CacheLine::scenario}};
  const auto body = members_of(ticket, call, {"scope", "name"});
  if (!body) return;
  const auto text = [&](std::string_view member) {
    const auto found = body->find(member);
    return found != body->end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const std::string scope = text("scope"), name = text("name");
  const auto* label = std::ranges::find(kLabels, scope, [](const auto& row) { return row.first; });
  if (label == std::end(kLabels))
    return refuse(ticket, "scope", "The scope must be tenant, unit or scenario.");
  if (name.empty()) return refuse(ticket, "name", "Which one? A scope needs the name of what it is about.");
  answer_json(ticket, Json{{"purged", control_.gateway().cache.purge(label->second, hash_name(name))}});
}

}  // namespace weir::routing
