#include "tests/sim/control_swarm_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "routing/decide/row_index.h"

namespace weir::sim {

using namespace routing;  // NOLINT: a test

Json random_provider(Dice& dice) {
  // Link-local: only a book that was told of the host answers with its address.
  return {{"dialect", "openai"},
          {"base_url", fmt::format("http://169.254.1.{}:8080/v1", dice.between(1, 6))},
          {"allow_link_local", true}};
}

Json random_unit(Dice& dice) {
  return {{"model", fmt::format("m{}", dice.below(kSwarmModels))}, {"retries", dice.below(3)}};
}

Json random_scenario(Dice& dice) {
  return {{"stable", dice.one_in(3) ? "u1" : "u0"}, {"sticky_by", {"conversation", "user"}}};
}

Json random_flag(Dice& dice, uint32_t flag, bool approvals) {
  Json body{{"scenario", fmt::format("s{}", flag % kSwarmScenarios)},
            {"candidate", {{"unit", dice.one_in(2) ? "u1" : "u2"}}},
            {"owner", fmt::format("u-{}", dice.below(4))}};
  if (dice.one_in(4)) body["exclude"] = {"paying"};
  if (approvals && flag < 2) {
    body["approvals"] = {{"for", {"production", "widen"}},
                         {"by", flag == 0 ? Json{"operator"} : Json{"operator", "approver"}}};
  }
  return body;
}

Json random_row(Dice& dice, const std::string& reason) {
  Json row{
      {"state", "pilot"}, {"percent", dice.between(1, 99)}, {"owner", "u-1"},         {"approver", "u-2"},
      {"reason", reason}, {"review", "2200-01-01"},         {"expires", "2200-01-15"}};
  if (dice.one_in(5)) {
    row["state"] = "off";
    row.erase("percent");
  } else if (dice.one_in(2)) {
    row["segments"] = {"paying"};
  }
  return row;
}

Json random_tenant(Dice& dice, const std::string& mark) {
  Json flags = Json::object();
  for (uint32_t flag = 0; flag < kSwarmFlags; ++flag) {
    if (!dice.one_in(3)) continue;
    Json row = random_row(dice, "whole");
    row["previous"] = "u0";
    flags[fmt::format("f{}", flag)] = std::move(row);
  }
  Json tenant{{"name", mark}};
  if (!flags.empty()) tenant["flags"] = std::move(flags);
  if (dice.one_in(3)) tenant["limits"] = {{"rpm", dice.between(1, 900)}};
  return tenant;
}

Json key_body(const std::string& id, uint64_t number, const std::string& tenant) {
  return {{"id", id},
          {"tenant", tenant},
          {"hash", fmt::format("hmac-sha256:{:064x}", number + 1)},
          {"scenario", "s0"}};
}

Json random_table(Dice& dice, bool approvals, const std::string& mark) {
  Json table;
  for (uint32_t i = 0; i < kSwarmProviders; ++i)
    table["providers"][fmt::format("p{}", i)] = random_provider(dice);
  for (uint32_t i = 0; i < kSwarmModels; ++i) {
    table["models"][fmt::format("m{}", i)] = {
        {"provider", fmt::format("p{}", i % kSwarmProviders)},
        {"tier", "economy"},
        {"price", {{"input", 1}, {"cached_input", 0.5}, {"output", i + 2}}}};
    // Units never change.
    table["units"][fmt::format("u{}", i)] = {{"model", fmt::format("m{}", i)}};
  }
  table["attributes"] = {{"plan", {"free", "pro"}}};
  table["segments"] = {{"paying", {{"plan", "pro"}}}};
  for (uint32_t i = 0; i < kSwarmScenarios; ++i)
    table["scenarios"][fmt::format("s{}", i)] = random_scenario(dice);
  for (uint32_t i = 0; i < kSwarmFlags; ++i)
    table["flags"][fmt::format("f{}", i)] = random_flag(dice, i, approvals);
  const uint64_t tenants = dice.between(1, kSwarmTenants);
  for (uint64_t i = 0; i < tenants; ++i) {
    const std::string id = fmt::format("t{}", i);
    table["tenants"][id] = random_tenant(dice, mark);
    if (dice.one_in(2)) table["keys"].push_back(key_body(fmt::format("k{}", i), i, id));
  }
  return table;
}

namespace {

using Text = std::string;

template <typename... Values>
void say(Text& text, fmt::format_string<Values...> format, Values&&... values) {
  fmt::format_to(std::back_inserter(text), format, std::forward<Values>(values)...);
}

void say_limits(Text& text, const Limits& limits) {
  say(text, " limits {} {} {} {} {} {}", limits.rps, limits.rpm, limits.rph, limits.rpd, limits.tpm,
      limits.concurrency);
}

void say_approvals(Text& text, const Approvals& approvals) {
  say(text, " approvals {}", approvals.causes);
  for (const ApprovalRole role : approvals.by) say(text, " {}", static_cast<int>(role));
}

Text tenant_in_words(const TableBody& body, const TenantTable& tenants, const Tenant& tenant) {
  Text text;
  say(text, "tenant {} {}", tenant.id(), tenant.display_name());
  say_limits(text, tenant.limits());
  for (const Flag& flag : body.flags) {
    const auto row = find_row(body, tenant, FlagIndex{*body.flag_names.find(flag.name)});
    if (!row) continue;
    say(text, " row {} {} {} {} {} {}", flag.name, static_cast<int>(row->state), row->milli_percent,
        row->expires_ns, row->review_ns, body[row->previous].name);
    for (const SegmentIndex segment : row->segments) say(text, " {}", body[segment].name);
  }
  say(text, " keys {}", tenant.links().key_count);
  if (const auto key = tenant.first_key()) say(text, " {}", tenants[*key].id());
  return text;
}

}  // namespace

std::string describe(const TableBody& body, const TenantTable& tenants) {
  Text text;
  for (const Provider& provider : body.providers)
    say(text, "provider {} {}\n", provider.name, provider.base_url);
  for (const Model& model : body.models)
    say(text, "model {} {} {}\n", model.name, body[model.provider].name, static_cast<int>(model.tier));
  for (const Unit& unit : body.units) say(text, "unit {} {} {}\n", unit.name, unit.hash_hex, unit.retries);
  for (const Segment& segment : body.segments)
    say(text, "segment {} {}\n", segment.name, segment.steps.size());
  for (const Scenario& scenario : body.scenarios) {
    say(text, "scenario {} {}", scenario.name, body[scenario.stable].name);
    for (const UnitIndex unit : scenario.combinations) say(text, " {}", body[unit].name);
    say_approvals(text, scenario.approvals);
    text += '\n';
  }
  for (const Flag& flag : body.flags) {
    say(text, "flag {} {} {} {} {}", flag.name, flag.salt, body[flag.scenario].name, flag.bit, flag.owner);
    for (const SegmentIndex segment : flag.exclude) say(text, " {}", body[segment].name);
    say_approvals(text, flag.approvals);
    text += '\n';
  }
  std::vector<Text> lines;  // the order of tenants and keys does not matter
  for (uint32_t i = 0; i < tenants.tenant_end(); ++i) {
    const Tenant tenant = tenants[TenantIndex{i}];
    if (tenant.exists()) lines.push_back(tenant_in_words(body, tenants, tenant));
  }
  for (uint32_t i = 0; i < tenants.key_end(); ++i) {
    const Key key = tenants[KeyIndex{i}];
    if (!key.exists()) continue;
    Text& line = lines.emplace_back();
    say(line, "key {} {} {:02x}{:02x}{:02x}", key.id(), tenants[key.tenant()].id(), key.hash()[0],
        key.hash()[30], key.hash()[31]);
    if (key.scenario()) say(line, " {}", body[*key.scenario()].name);
  }
  std::ranges::sort(lines);
  for (const Text& line : lines) text += line + '\n';
  return text;
}

}  // namespace weir::sim
