#include "routing/admin/admin_views.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>

#include "core/timestamp.h"
#include "routing/decide/explain.h"
#include "routing/decide/segments.h"

namespace weir::routing {
namespace {

constexpr std::string_view kAttributePrefix = "attr.";

// The key whose defaults apply: the one named, else the one of the tenant whose id sorts first. None when
// there is none.
std::optional<KeyIndex> find_key(const TenantTable& tenants, std::string_view id,
                                 std::optional<TenantIndex> tenant) {
  if (!id.empty()) return tenants.find_key(id);
  return tenant ? tenants[*tenant].first_key() : std::nullopt;
}

std::unexpected<ExplainRefusal> refuse(int status, std::string message, std::string param) {
  return std::unexpected(ExplainRefusal{status, std::move(message), std::move(param)});
}

std::expected<DecideInput, ExplainRefusal> explain_input(const Table& table, const Target& target,
                                                         AttributeValues& attributes) {
  const TableBody& body = *table.body;
  const TenantTable& tenants = *table.tenants;
  DecideInput input;
  std::optional<TenantIndex> tenant;
  const std::string_view tenant_id = target["tenant"], key_id = target["key"];
  if (tenant_id.empty() && key_id.empty())
    return refuse(400, "Name the tenant whose request is to be explained.", "tenant");
  if (!tenant_id.empty()) {
    tenant = tenants.find(tenant_id);
    if (!tenant) return refuse(404, "The table holds no such tenant.", "tenant");
  }
  input.scenario_header = target["scenario"];
  input.model = target["model"];
  input.conversation = target["conversation"];
  input.user = target["user"];
  if (const auto key = find_key(tenants, key_id, tenant)) {
    input.key = *key;
  } else if (!key_id.empty()) {
    return refuse(404, "The table holds no such key.", "key");
  } else if (tenants.key_end() == 0 || input.scenario_header.empty()) {
    // With a scenario named, no default of a key is ever looked at.
    return refuse(400, "The tenant has no key, so no default scenario; name the scenario.", "scenario");
  }
  const Key key = table[input.key];
  input.tenant = tenant.value_or(key.tenant());
  if (!key_id.empty() && !key.may_act_for(input.tenant)) {
    return refuse(403, std::string(core::describe(core::ErrorCode::tenant_not_allowed).sentence), "tenant");
  }
  for (const auto& [name, value] : target.parameters()) {
    if (!name.starts_with(kAttributePrefix)) continue;
    const auto parsed =
        parse_attribute(body, std::string_view(name).substr(kAttributePrefix.size()), value, attributes);
    if (!parsed) return refuse(400, std::string(core::describe(parsed.error().code).sentence), name);
  }
  input.attributes = &attributes;
  return input;
}

}  // namespace

Json text_or_null(std::string_view text) {
  return text.empty() ? Json() : Json(text);
}

std::string to_text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json error_view(std::string_view message, std::string_view type, std::string_view param,
                std::string_view code) {
  return {
      {"error",
       {{"message", message}, {"type", type}, {"param", text_or_null(param)}, {"code", text_or_null(code)}}}};
}

Json error_view(core::Error error) {
  const core::ErrorInfo& info = core::describe(error.code);
  return error_view(info.sentence, info.type, error.param == nullptr ? "" : error.param, info.code);
}

Json problems_view(std::span<const Problem> problems) {
  Json view = error_view(fmt::format("The table has {} problem{}; nothing has changed.", problems.size(),
                                     problems.size() == 1 ? "" : "s"),
                         "invalid_request_error", "", "invalid_table");
  Json list = Json::array();
  for (const Problem& problem : problems) {
    Json item{{"path", problem.path}, {"message", problem.message}};
    if (problem.line != 0) {
      item["line"] = problem.line;
      item["column"] = problem.column;
    }
    list.push_back(std::move(item));
  }
  view["problems"] = std::move(list);
  view["problem_count"] = problems.size();
  return view;
}

Json status_view(const ControlThread& control, const Process& process, const Caller& caller) {
  const Gateway& gateway = control.gateway();
  const Table& table = control.table();
  const TableBody& body = *table.body;
  int64_t connections = 0, exchanges = 0;
  for (const auto& metrics : gateway.metrics) {
    connections += metrics->connections.value();
    exchanges += metrics->exchanges.value();
  }
  Json kills = Json::array();
  for (const Kill& kill : control.kills()) {
    Json view = kill_view(kill);
    if (!control.is_durable(kill.scope, kill.name)) view["durable"] = false;
    kills.push_back(std::move(view));
  }
  Json unresolved = Json::array();
  for (const auto& failure : control.addresses().failures()) {
    unresolved.push_back({{"host", failure.host}, {"reason", failure.reason}});
  }
  return {{"version", process.version},
          {"pid", getpid()},
          {"uptime_s", process.uptime_s},
          {"ready", gateway.ready.load(std::memory_order_relaxed)},
          {"draining", gateway.draining.load(std::memory_order_relaxed)},
          {"upgrading", process.upgrading},
          {"upgrade_failure", text_or_null(process.upgrade_failure)},
          {"revision", table.revision},
          {"table_revision", control.table_revision()},
          {"published", time_text(table.published_wall_ns)},
          {"shards", gateway.options.shards},
          {"table",
           {{"tenants", table.tenants->tenant_count()},
            {"scenarios", body.scenarios.size()},
            {"flags", body.flags.size()},
            {"units", body.units.size()},
            {"keys", table.tenants->key_count()}}},
          {"kills", std::move(kills)},
          {"unresolved", std::move(unresolved)},
          {"connections", connections},
          {"exchanges", exchanges},
          {"live_tables", gateway.tables.live_versions()},
          {"registry", text_or_null(control.registry_path())},
          {"caller", actor_view(caller.actor())}};
}

std::expected<Json, ExplainRefusal> explain_view(ControlThread& control, const Target& target) {
  const Table& table = control.table();
  const TableBody& body = *table.body;
  AttributeValues attributes;
  auto given = explain_input(table, target, attributes);
  if (!given) return std::unexpected(std::move(given.error()));
  DecideInput& input = *given;
  input.wall_now_ns = control.loop().wall_now_ns();
  // As the data plane does: the conversation's pin is part of what decides.
  const auto choice = choose_scenario(table, input);
  if (choice && choice->scenario && !input.conversation.empty()) {
    PinTable& pins = control.gateway().pins;
    const uint64_t key = pins.key(table[input.tenant].id(), body[*choice->scenario].name, input.conversation);
    input.pinned_unit = pins.lookup(key, control.loop().now_ns());
  }

  const Explanation explanation = explain(table, input);
  Json steps = Json::array();
  for (const ExplainStep& step : explanation.steps) {
    steps.push_back({{"rule", step.rule}, {"matched", step.matched}, {"detail", step.detail}});
  }
  Json view{{"tenant", table[input.tenant].id()}, {"revision", explanation.revision}};
  const bool has_scenario = choice && choice->scenario;
  view["scenario"] = has_scenario ? Json(body[*choice->scenario].name) : Json();
  if (explanation.decision) {
    const Decision& decision = *explanation.decision;
    const Unit& unit = body[decision.unit];
    view["unit"] = unit.name;
    view["unit_hash"] = unit.hash_hex;
    view["arm"] = token(decision.arm);
    view["flag"] = decision.flag ? Json(body[*decision.flag].name) : Json();
    view["state"] = decision.flag ? Json(token(decision.state)) : Json();
    view["reason"] = token(decision.reason);
    view["because"] = sentence(decision.reason);
    view["error"] = nullptr;
  } else {
    for (const char* field : {"unit", "unit_hash", "arm", "flag", "state", "reason", "because"})
      view[field] = nullptr;
    const core::Error error = explanation.decision.error();
    view["error"] = error_view(error)["error"];
    view["error"]["status"] = core::describe(error.code).status;
  }
  view["steps"] = std::move(steps);
  return view;
}

void append_control_metrics(const ControlThread& control, const Process& process, std::string& out) {
  const Gateway& gateway = control.gateway();
  const auto add = [&](std::string_view name, std::string_view type, std::string_view help, auto value) {
    fmt::format_to(std::back_inserter(out), "# HELP {0} {1}\n# TYPE {0} {2}\n{0} {3}\n", name, help, type,
                   value);
  };
  fmt::format_to(std::back_inserter(out),
                 "# HELP weir_info What runs.\n# TYPE weir_info gauge\nweir_info{{version=\"{}\"}} 1\n",
                 process.version);
  add("weir_uptime_seconds", "gauge", "Since the process started.", process.uptime_s);
  add("weir_ready", "gauge", "1 while /readyz says so.",
      gateway.ready.load(std::memory_order_relaxed) ? 1 : 0);
  add("weir_table_revision", "gauge", "Revision of the table that serves.", control.table().revision);
  add("weir_tables_live", "gauge",
      "Tables in memory: the one that serves, and those that exchanges began on.",
      gateway.tables.live_versions());
  add("weir_kills", "gauge", "Kills in effect.", control.kills().size());
  add("weir_pins_evicted_total", "counter", "Conversation pins given up before their time.",
      gateway.pins.evictions());
  add("weir_records_total", "counter", "Records taken in by the control thread.", control.records_drained());
  add("weir_access_log_lines_total", "counter", "Lines written to the access log.",
      control.access_log().lines_written());
  add("weir_access_log_lost_total", "counter", "Lines that the access log could not take.",
      control.access_log().lines_lost());
  add("weir_unresolved_hosts", "gauge", "Provider names whose last look-up failed.",
      control.addresses().failures().size());
}

}  // namespace weir::routing
