// The log of changes: who, when, what, why.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "routing/admin/admin_api.h"
#include "routing/table/scalars.h"

namespace weir::routing {

void AdminApi::get_audit(const Ticket& ticket, const Call& call) {
  AuditQuery query{.name = std::string(call.target["name"]),
                   .flag = std::string(call.target["flag"]),
                   .tenant = std::string(call.target["tenant"])};
  if (const std::string_view kind = call.target["kind"]; !kind.empty()) {
    query.kind = parse_object_kind(kind);
    if (!query.kind) return refuse(ticket, "kind", "There is no such kind of objects.");
  }
  if (query.kind.has_value() == query.name.empty()) {
    return refuse(ticket, query.kind ? "name" : "kind", "Give kind and name together.");
  }
  if (const std::string_view since = call.target["since"]; !since.empty()) {
    query.since_wall_ns = parse_timestamp_ns(since);
    if (!query.since_wall_ns) {
      return refuse(ticket, "since", "Write a time as 2026-12-01T09:00Z or 2026-12-01.");
    }
  }
  std::optional<uint64_t> limit;
  if (!number_of(ticket, call, "before", &query.before_sequence) || !number_of(ticket, call, "limit", &limit))
    return;
  if (limit) query.limit = static_cast<uint32_t>(std::min<uint64_t>(*limit, core::limits::kMaxAuditRows));
  query.with_bodies = call.target["bodies"] != "false";
  const uint32_t page = query.limit;
  control_.read([query = std::move(query)](const Registry& registry) { return registry.audit(query); },
                [this, ticket, page](const RegistryResult<std::vector<Change>>& changes) {
                  if (!changes) return refuse(ticket, changes.error());
                  Json list = Json::array();
                  for (const Change& change : *changes) list.push_back(change_view(change));
                  const bool more = changes->size() == page && changes->back().sequence > 1;
                  answer_json(ticket, Json{{"changes", std::move(list)},
                                           {"next", more ? Json(changes->back().sequence) : Json()}});
                });
}

void AdminApi::verify_audit(const Ticket& ticket, const Call&) {
  control_.read([](const Registry& registry) { return registry.verify({}); },
                [this, ticket](const RegistryResult<Verification>& found) {
                  if (!found) return refuse(ticket, found.error());
                  answer_json(ticket, Json{{"ok", found->faults.empty()},
                                           {"changes", found->changes},
                                           {"objects", found->objects},
                                           {"faults", found->faults}});
                });
}

void AdminApi::get_change(const Ticket& ticket, const Call& call) {
  const std::string& text = call.names[0];
  uint64_t revision = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), revision);
  if (error != std::errc{} || stop != text.data() + text.size()) {
    return refuse(ticket, "revision", fmt::format("{} is no revision.", quote(text)));
  }
  control_.read([revision](const Registry& registry) { return registry.change_of(revision); },
                [this, ticket](const RegistryResult<std::optional<Change>>& change) {
                  if (!change) return refuse(ticket, change.error());
                  if (!*change) return refuse(ticket, Refusal{.kind = Refusal::Kind::unknown_revision});
                  answer_json(ticket, change_view(**change));
                });
}

}  // namespace weir::routing
