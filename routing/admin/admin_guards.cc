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
  return calendar_.at(control_.loop().now_ns(), control_.gateway().calendar.point());
}

void AdminApi::get_limits(const Ticket& ticket, const Call& call) {
  answer_json(ticket, limits_view(control_.table(), {.tenant = call.target["tenant"]}, guard_time()));
}

void AdminApi::get_budgets(const Ticket& ticket, const Call& call) {
  answer_json(ticket, budgets_view(control_.table(), {.tenant = call.target["tenant"]}, guard_time()));
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
