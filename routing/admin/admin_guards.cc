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

// At once, whatever the disk does: wrong answers are going out. The answer says when the log does not have it.
void AdminApi::purge_cache(const Ticket& ticket, const Call& call) {
  struct Label {
    ObjectKind kind;
    std::atomic<uint64_t> CacheLine::*member;
  };
  static constexpr Label kLabels[] = {{ObjectKind::tenant, &CacheLine::tenant},
                                      {ObjectKind::unit, &CacheLine::unit},
                                      {ObjectKind::scenario, &CacheLine::scenario}};
  const auto body = members_of(ticket, call, {"scope", "name", "reason"});
  if (!body) return;
  const auto text = [&](std::string_view member) {
    const auto found = body->find(member);
    return found != body->end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const std::string scope = text("scope"), name = text("name");
  const auto* label =
      std::ranges::find(kLabels, scope, [](const Label& row) { return to_string(row.kind); });
  if (label == std::end(kLabels))
    return refuse(ticket, "scope", "The scope must be tenant, unit or scenario.");
  if (name.empty()) return refuse(ticket, "name", "Which one? A scope needs the name of what it is about.");
  auto reason = reason_of(ticket, text("reason"));
  if (!reason) return;
  const uint64_t purged = control_.gateway().cache.purge(label->member, hash_name(name));
  Deed deed{.actor = call.caller.actor(),
            .action = "purge",
            .reason = *std::move(reason),
            .wall_ns = control_.loop().wall_now_ns()};
  control_.write(
      [kind = label->kind, name, purged, deed = std::move(deed)](Registry& registry) {
        return registry.log(kind, name, Json{{"purged", purged}}.dump(), deed);
      },
      [this, ticket, purged](const RegistryResult<void>& logged) {
        Json said{{"purged", purged}};
        if (!logged) said["logged"] = false;
        answer_json(ticket, said);
      });
}

}  // namespace weir::routing
