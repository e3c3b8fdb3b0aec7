// Decisions of a run against the reference evaluator's, from what the client sent, the table named, and the
// moment the record names. Pins are followed in the order in which the client's requests were decided.
#include <fmt/format.h>

#include "routing/guard/guard_plan.h"
#include "tests/routing/decide/decide_reference.h"
#include "tests/sim/swarm_checks.h"

namespace weir::sim {
namespace {

using core::ErrorCode;
using routing::Arm;
using routing::Reason;
using routing::Record;

bool decided_then_refused(const Record& record) {
  return record.error == ErrorCode::too_many_exchanges || record.error == ErrorCode::conversation_restarted;
}

}  // namespace

bool SwarmChecks::has_begun(const Settled& settled) const {
  const Record& record = settled.record;
  if (record.error == ErrorCode::too_many_exchanges) return false;
  if (!is_limited(record)) return true;
  if (record.attempts == 0) return false;
  // A limit that lets somebody ask chooses the economy unit, which may be the one that was decided.
  const auto scenario = static_cast<routing::ScenarioIndex>(record.scenario);
  const auto decided = static_cast<routing::UnitIndex>(record.decided_unit);
  return routing::economy_unit(tables_.at(settled.revision).table, scenario, decided) == decided;
}

void SwarmChecks::check_decisions(const SwarmClient& client) {
  std::map<std::string, uint64_t> pins;  // by scenario and conversation
  for (const Asked& asked : client.asked()) {
    const Settled* settled = record_of(asked);
    if (asked.hostile || settled == nullptr || settled->revision == 0) continue;
    const Record& record = settled->record;
    const bool decided = record.decided_unit != Record::kNone;
    if (!decided && record.error != ErrorCode::killed && !decided_then_refused(record)) continue;
    const PublishedTable& published = tables_.at(settled->revision);
    const routing::Table& table = published.table;
    const routing::TableBody& body = *table.body;
    const auto tenant = static_cast<routing::TenantIndex>(record.tenant);
    check(published.tenants[record.tenant].id == fmt::format("t{}", asked.tenant), asked,
          "another tenant was charged");

    if (asked.scenario.empty()) {  // a model named directly
      if (!decided) continue;
      check(record.reason == Reason::direct || record.reason == Reason::fallback, asked,
            "a direct model was decided otherwise");
      const auto model = body.model_names.find(asked.model);
      check(model && static_cast<uint32_t>(body.direct_units[*model]) == record.decided_unit, asked,
            "another model answers");
      continue;
    }
    const auto scenario = static_cast<routing::ScenarioIndex>(*body.scenario_names.find(asked.scenario));
    routing::AttributeValues values;
    const auto attribute = [&](const char* name) {
      return static_cast<routing::AttributeIndex>(*body.attribute_names.find(name));
    };
    if (asked.staff)
      values.set(attribute("staff"), {.data = "", .size = 0, .number = 0, .boolean = *asked.staff});
    if (!asked.region.empty()) {
      values.set(attribute("region"),
                 {.data = asked.region.data(), .size = asked.region.size(), .number = 0, .boolean = false});
    }
    routing::DecideInput input;
    input.tenant = tenant;
    input.conversation = asked.conversation;
    input.user = asked.user;
    input.attributes = &values;
    input.wall_now_ns = record.wall_ns;
    const std::string pin_name = asked.scenario + " " + asked.conversation;
    const auto pinned = pins.find(pin_name);
    if (pinned != pins.end()) input.pinned_unit = pinned->second;
    routing::Reference reference(table, published.tenants[record.tenant], scenario, input);
    const routing::Expected expected = reference.decide();

    if (expected.killed) {
      check(record.error == ErrorCode::killed, asked, "a kill was not obeyed");
      continue;
    }
    if (record.error == ErrorCode::killed && !decided) {
      // Past a pilot's limit the previous unit is asked for, which may be killed.
      check(config_.pilot_limits && table.kills.any && expected.arm == Arm::candidate, asked,
            "refused though nothing is killed");
      continue;
    }
    const auto flag_row = [&](uint32_t flag) -> const routing::TenantFlag* {
      for (const routing::TenantFlag& row : published.tenants[record.tenant].flags) {
        if (static_cast<uint32_t>(row.flag) == flag) return &row;
      }
      return nullptr;
    };
    // Past a pilot's limit its previous unit answers: the guards' matter, here only that it may.
    const uint64_t hash = decided ? body.units[record.decided_unit].short_hash : 0;
    const bool candidate = expected.arm == Arm::candidate;
    const bool past_limit = record.reason == Reason::pilot_limit || record.reason == Reason::killed;
    const bool limited = decided && candidate && config_.pilot_limits &&
                         (past_limit || record.decided_unit != static_cast<uint32_t>(expected.unit));
    if (limited) {
      const routing::TenantFlag* row = record.flag == Record::kNone ? nullptr : flag_row(record.flag);
      check(row != nullptr && row->limits.any(), asked, "a unit answers that was not decided");
      check(table.kills.any || row == nullptr || record.decided_unit == static_cast<uint32_t>(row->previous),
            asked, "past a pilot's limit another unit than the previous one answers");
      if (!asked.conversation.empty() && has_begun(*settled)) pins[pin_name] = hash;
      continue;
    }
    if (expected.pin && has_begun(*settled)) pins[pin_name] = body[expected.unit].short_hash;
    if (!decided) {
      check(record.error != ErrorCode::conversation_restarted || expected.restart || config_.pilot_limits,
            asked, "a conversation was restarted for nothing");
      if (config_.pilot_limits) return;  // which unit it was pinned to is not known
      continue;
    }
    check(!expected.restart, asked, "a conversation that was rolled back goes on");
    check(record.decided_unit == static_cast<uint32_t>(expected.unit), asked,
          fmt::format("the reference decides {} ({})", body[expected.unit].name,
                      routing::token(expected.reason)));
    const auto flag = record.flag == Record::kNone
                          ? std::nullopt
                          : std::optional(static_cast<routing::FlagIndex>(record.flag));
    check(flag == expected.flag && (!flag || record.state == expected.state), asked,
          "the reference names another flag or state");
    const Answer& answer = asked.answer;
    if (record.reason == Reason::economy) {
      check(record.decided_unit == static_cast<uint32_t>(expected.unit), asked,
            "economy of another decision");
      continue;
    }
    if (record.reason == Reason::fallback) {
      check(answer.arm == "fallback" || answer.status == 0 || !answer.whole, asked,
            "a fallback that does not say so");
      check(!answer.fallback.empty(), asked, "a fallback that does not say why");
      continue;
    }
    check(answer.reason == routing::token(expected.reason) && answer.arm == routing::token(expected.arm),
          asked,
          fmt::format("the reference says {} {}", routing::token(expected.arm),
                      routing::token(expected.reason)));
    const std::string flag_name = expected.flag ? body[*expected.flag].name : "";
    check(answer.flag == flag_name, asked, "the answer names another flag");
    check(answer.unit.empty() || answer.unit == body[expected.unit].name, asked,
          "the answer names another unit");
    check(answer.revision == settled->revision, asked, "the answer names another table");
  }
}

}  // namespace weir::sim
