// Looking after launches: forgotten ones, all of them as a spreadsheet, and why a request gets its unit.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "routing/admin/admin_api.h"
#include "routing/decide/decide.h"
#include "routing/table/csv.h"
#include "routing/table/flag_rows.h"
#include "routing/table/launch_problems.h"

namespace weir::routing {
namespace {

constexpr std::string_view kCsvType = "text/csv; charset=utf-8";
constexpr uint32_t kSetterSearch =
    100;  // changes of a row's tenant and flag that are looked through for its setter

ObjectSource objects_of(const Registry& registry, uint64_t revision) {
  return {
      .find = [&registry, revision](ObjectKind kind, std::string_view name) -> std::optional<std::string> {
        return registry.read_object(revision, kind, name).value_or(std::nullopt);
      },
      .for_each = {}};
}

// When a row, or a flag, was changed last.
std::optional<int64_t> changed_at(const Registry& registry, std::string_view flag, std::string_view tenant) {
  const auto changes = registry.audit(
      {.flag = std::string(flag), .tenant = std::string(tenant), .limit = 1, .with_bodies = false});
  if (!changes || changes->empty()) return std::nullopt;
  return changes->front().wall_ns;
}

std::string problems_text(const LaunchFindings& findings) {
  std::string text = R"({"problems":[)";
  for (const LaunchFinding& finding : findings.listed) {
    if (&finding != &findings.listed.front()) text += ',';
    append_json(text, finding);
  }
  text += fmt::format(R"(],"count":{}}})", findings.count);
  return text;
}

// The tenant's row on the flag; null when there is none.
Json row_in(const std::optional<std::string>& tenant, const std::string& flag) {
  const Json body = body_view(tenant);
  if (!body.is_object() || !body.contains("flags") || !body["flags"].is_object()) return nullptr;
  const auto row = body["flags"].find(flag);
  return row == body["flags"].end() ? Json() : *row;
}

// The newest change of the row, as far as it is among the last ones of its tenant and flag.
RegistryResult<Json> setter_of(const Registry& registry, const std::string& tenant, const std::string& flag) {
  const auto changes = registry.audit({.flag = flag, .tenant = tenant, .limit = kSetterSearch});
  if (!changes) return std::unexpected(changes.error());
  for (const Change& change : *changes) {
    for (const ObjectChange& object : change.objects) {
      if (object.kind != ObjectKind::tenant || object.name != tenant) continue;
      if (row_in(object.before, flag) == row_in(object.after, flag)) continue;
      Json view = change_view(change);
      Json setter;
      for (const char* member : {"revision", "at", "actor", "action", "reason", "approved_by"}) {
        setter[member] = view[member];
      }
      return setter;
    }
  }
  return Json();
}

// What an on-call engineer can do about the decision, from the narrowest to the widest. The flag's ways lead
// to the stable unit: no help where that is what answers.
Json ways_off(const Json& decision) {
  Json ways = Json::array();
  const Json &flag = decision["flag"], &unit = decision["unit"], &tenant = decision["tenant"];
  const auto add = [&](std::string does, std::string call, Json body) {
    body["reason"] = "";
    ways.push_back({{"does", std::move(does)}, {"call", std::move(call)}, {"body", std::move(body)}});
  };
  const bool is_candidate = decision["arm"] == Json(token(Arm::candidate));
  if (flag.is_string() && is_candidate) {
    add("this tenant gets the stable unit",
        fmt::format("POST /v1/flags/{}/tenants/{}", flag.get<std::string>(), tenant.get<std::string>()),
        {{"state", "off"}});
    add("this tenant's row as it was before it was changed last", "POST /v1/rollback",
        {{"scope", "tenant"}, {"name", tenant}, {"flag", flag}, {"to", "previous"}});
    add("nobody gets the flag, at once", "POST /v1/kill", {{"scope", "flag"}, {"name", flag}});
  }
  if (unit.is_string()) {
    add(is_candidate ? "nobody gets the unit, at once"
                     : "nobody gets the unit, at once; where no fallback is left, requests are refused",
        "POST /v1/kill", {{"scope", "unit"}, {"name", unit}});
  }
  return ways;
}

}  // namespace

void AdminApi::list_problems(const Ticket& ticket, const Call& call) {
  const auto wanted = parse_launch_problems(call.target["problem"]);
  if (!wanted) return refuse(ticket, "problem", wanted.error());
  control_.read(
      [table = control_.table(), revision = control_.table_revision(), wanted = *wanted,
       wall_now_ns = control_.loop().wall_now_ns()](const Registry& registry) {
        const LaunchQuery query{.wall_now_ns = wall_now_ns,
                                .wanted = wanted,
                                .limit = core::limits::kMaxListedObjects,
                                .changed_at = [&registry](std::string_view flag, std::string_view tenant) {
                                  return changed_at(registry, flag, tenant);
                                }};
        return problems_text(find_launch_problems(table, objects_of(registry, revision), query));
      },
      [this, ticket](std::string text) { answer(ticket, {.body = std::move(text)}); });
}

void AdminApi::get_rows(const Ticket& ticket, const Call& call) {
  const std::string& name = call.names[0];
  const auto flag = control_.table().body->flag_names.find(name);
  if (!flag) {
    return refuse(ticket, Refusal{.kind = Refusal::Kind::unknown_name,
                                  .message = fmt::format("There is no flag {}.", quote(name)),
                                  .param = "flag"});
  }
  FlagRowsQuery query{.flag = FlagIndex{*flag}, .after = std::string(call.target["after"])};
  if (const std::string_view list = call.target["state"]; !list.empty()) {
    const auto states = parse_flag_states(list);
    if (!states) return refuse(ticket, "state", states.error());
    query.states = *states;
  }
  std::optional<uint64_t> limit;
  if (!number_of(ticket, call, "limit", &limit)) return;
  query.limit =
      std::min<uint64_t>(limit.value_or(core::limits::kMaxListedObjects), core::limits::kMaxListedObjects);
  control_.read(
      [table = control_.table(), revision = control_.table_revision(), query = std::move(query),
       name](const Registry& registry) {
        const FlagRows found = list_flag_rows(table, query);
        Json rows = Json::array();
        for (const std::string& tenant : found.tenants) {
          const auto body = registry.read_object(revision, ObjectKind::tenant, tenant);
          rows.push_back({{"tenant", tenant}, {"body", row_in(body.value_or(std::nullopt), name)}});
        }
        return Json{{"revision", revision},
                    {"flag", name},
                    {"counts",
                     {{"off", found.counts[0]}, {"pilot", found.counts[1]}, {"production", found.counts[2]}}},
                    {"rows", std::move(rows)},
                    {"next", found.more ? Json(found.tenants.back()) : Json()}};
      },
      [this, ticket](const Json& view) { answer_json(ticket, view); });
}

void AdminApi::get_export(const Ticket& ticket, const Call& call) {
  const std::string_view format = call.target["format"], what = call.target["what"];
  if (format != "csv") return refuse(ticket, "format", "The format must be csv; GET /v1/table is JSON.");
  if (!what.empty() && what != "rows" && what != "objects") {
    return refuse(ticket, "what", "It must be rows (the default) or objects.");
  }
  std::optional<uint64_t> revision;
  if (!number_of(ticket, call, "revision", &revision)) return;
  const bool objects = what == "objects";
  control_.read(
      [objects, revision = revision.value_or(control_.revision())](
          const Registry& registry) -> RegistryResult<std::string> {
        std::string text(objects ? ObjectCsv::header() : LaunchCsv::header());
        LaunchCsv rows;
        auto read = registry.read_objects(revision, [&](const ObjectView& object) {
          if (objects) return ObjectCsv::add(object, text);
          rows.add(object, text);
        });
        if (!read) return std::unexpected(std::move(read.error()));
        return text;
      },
      [this, ticket](const RegistryResult<std::string>& text) {
        if (!text) return refuse(ticket, text.error());
        answer(ticket, {.body = *text, .content_type = kCsvType});
      });
}

void AdminApi::get_explain(const Ticket& ticket, const Call& call) {
  auto view = explain_view(control_, call.target);
  if (!view) {
    const ExplainRefusal& refusal = view.error();
    return answer(ticket,
                  {.status = refusal.status,
                   .body = to_text(error_view(refusal.message, "invalid_request_error", refusal.param, ""))});
  }
  (*view)["turns_off"] = ways_off(*view);
  (*view)["set_by"] = nullptr;
  if (!(*view)["flag"].is_string()) return answer_json(ticket, *view);
  const auto tenant = (*view)["tenant"].get<std::string>();
  const auto flag = (*view)["flag"].get<std::string>();
  control_.read([tenant, flag](const Registry& registry) { return setter_of(registry, tenant, flag); },
                [this, ticket, view = *std::move(view)](RegistryResult<Json> setter) mutable {
                  if (!setter) return refuse(ticket, setter.error());
                  view["set_by"] = *std::move(setter);
                  answer_json(ticket, view);
                });
}

}  // namespace weir::routing
