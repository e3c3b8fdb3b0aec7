// Calls on single objects, and the everyday change: a tenant's row on a flag.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "routing/admin/admin_api.h"
#include "routing/admin/edits.h"

namespace weir::routing {
namespace {

std::string target_of(ObjectKind kind, std::string_view name) {
  return fmt::format("{} {}", to_string(kind), name);
}

struct Page {
  std::vector<std::pair<std::string, std::string>> objects;  // name, body
  bool more = false;
};

RegistryResult<Page> read_page(const Registry& registry, uint64_t revision, ObjectKind kind,
                               const std::string& after, size_t limit) {
  Page page;
  auto read = registry.read_objects(revision, [&](const ObjectView& object) {
    if (object.kind != kind || page.more || (!after.empty() && object.name <= after)) return;
    if (page.objects.size() == limit) {
      page.more = true;
      return;
    }
    page.objects.emplace_back(object.name, object.body);
  });
  if (!read) return std::unexpected(std::move(read.error()));
  return page;
}

}  // namespace

void AdminApi::list_objects(const Ticket& ticket, const Call& call) {
  if (!call.target["problem"].empty()) return list_problems(ticket, call);
  std::optional<uint64_t> limit;
  if (!number_of(ticket, call, "limit", &limit)) return;
  const uint64_t revision = control_.revision();
  const ObjectKind kind = *call.kind;
  control_.read([revision, kind, after = std::string(call.target["after"]),
                 size = std::min<uint64_t>(limit.value_or(core::limits::kMaxListedObjects),
                                           core::limits::kMaxListedObjects)](
                    const Registry& registry) { return read_page(registry, revision, kind, after, size); },
                [this, ticket, revision, kind](const RegistryResult<Page>& page) {
                  if (!page) return refuse(ticket, page.error());
                  Json objects = Json::array();
                  for (const auto& [name, body] : page->objects) {
                    objects.push_back({{"name", name}, {"body", body_view(body)}});
                  }
                  answer_json(ticket, Json{{"revision", revision},
                                           {"kind", to_string(kind)},
                                           {"objects", std::move(objects)},
                                           {"next", page->more ? Json(page->objects.back().first) : Json()}});
                });
}

void AdminApi::get_object(const Ticket& ticket, const Call& call) {
  std::optional<uint64_t> revision;
  if (!number_of(ticket, call, "revision", &revision)) return;
  const uint64_t wanted = revision.value_or(control_.revision());
  control_.read([wanted, kind = *call.kind, name = call.names[0]](
                    const Registry& registry) { return registry.read_object(wanted, kind, name); },
                [this, ticket, wanted, target = target_of(*call.kind, call.names[0])](
                    const RegistryResult<std::optional<std::string>>& body) {
                  if (!body) return refuse(ticket, body.error());
                  if (!*body) {
                    return refuse(ticket, Refusal{.kind = Refusal::Kind::unknown_name,
                                                  .message = fmt::format("There is no {}.", target),
                                                  .param = "name"});
                  }
                  answer(ticket, {.body = **body, .etag = fmt::format("\"{}\"", wanted)});
                });
}

template <typename MakePlan>
void AdminApi::change_object(const Ticket& ticket, const Call& call, const char* action, MakePlan plan) {
  auto reason = reason_of(ticket, call.target["reason"]);
  if (!reason) return;
  auto request =
      change_request(ticket, call, action, target_of(*call.kind, call.names[0]), *std::move(reason));
  if (!request) return;
  request->plan = std::move(plan);
  control_.change(*std::move(request), answer_change(ticket));
}

void AdminApi::put_object(const Ticket& ticket, const Call& call) {
  change_object(ticket, call, "put",
                [kind = *call.kind, name = call.names[0], body = call.body](const Newest& newest) {
                  return plan_put(newest, kind, name, body);
                });
}

void AdminApi::patch_object(const Ticket& ticket, const Call& call) {
  change_object(ticket, call, "patch",
                [kind = *call.kind, name = call.names[0], patch = call.body](const Newest& newest) {
                  return plan_patch(newest, kind, name, patch);
                });
}

void AdminApi::delete_object(const Ticket& ticket, const Call& call) {
  change_object(ticket, call, "delete", [kind = *call.kind, name = call.names[0]](const Newest& newest) {
    return plan_delete(newest, kind, name);
  });
}

// The reason of the change is the row's: a row says why it is as it is.
void AdminApi::set_row(const Ticket& ticket, const Call& call) {
  const Json body = Json::parse(call.body, nullptr, /*allow_exceptions=*/false);
  if (!body.is_object()) return refuse(ticket, "", "The body must be a JSON object: the row's members.");
  const auto given = body.find("reason");
  auto reason = reason_of(ticket, given != body.end() && given->is_string() ? given->get<std::string>() : "");
  if (!reason) return;
  const std::string &flag = call.names[0], &tenant = call.names[1];
  auto request = change_request(ticket, call, "row", fmt::format("tenant {} on flag {}", tenant, flag),
                                *std::move(reason));
  if (!request) return;
  request->plan = [flag, tenant, change = call.body](const Newest& newest) {
    return plan_row(newest, flag, tenant, change);
  };
  control_.change(*std::move(request), answer_change(ticket));
}

}  // namespace weir::routing
