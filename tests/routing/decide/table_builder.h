// Small tables for the tests of routing/decide, made by hand instead of by the compiler: each test states the
// rows it is about and nothing else.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "routing/decide/decide.h"
#include "routing/decide/row_index.h"
#include "routing/table/table.h"
#include "routing/table/tenant_builder.h"

namespace weir::routing {

class TableBuilder {
 public:
  TableBuilder() { model("model", "provider"); }

  AttributeIndex attribute(std::string_view name, AttributeKind kind, std::vector<std::string> values = {}) {
    body_->attributes.push_back({std::string(name), kind, std::move(values)});
    return AttributeIndex{last(body_->attributes)};
  }

  SegmentIndex segment(std::string_view name, std::vector<ConditionStep> steps) {
    body_->segments.push_back({std::string(name), std::move(steps)});
    return SegmentIndex{last(body_->segments)};
  }

  ModelIndex model(std::string_view name, std::string_view provider) {
    body_->providers.emplace_back().name = provider;
    Model& model = body_->models.emplace_back();
    model.name = name;
    model.provider = ProviderIndex{last(body_->providers)};
    const ModelIndex index{last(body_->models)};
    body_->direct_units.push_back(unit(std::string(name) + "-direct", index));
    return index;
  }

  UnitIndex unit(std::string_view name, ModelIndex model = {}) {
    Unit& unit = body_->units.emplace_back();
    unit.name = name;
    unit.model = model;
    unit.short_hash = hash_name(name) | 1;
    return UnitIndex{last(body_->units)};
  }

  ScenarioIndex scenario(std::string_view name, UnitIndex stable,
                         std::vector<StickyKey> sticky_by = {StickyKey::conversation, StickyKey::user}) {
    Scenario& scenario = body_->scenarios.emplace_back();
    scenario.name = name;
    scenario.stable = stable;
    scenario.sticky_by = std::move(sticky_by);
    scenario.combinations = {stable};
    return ScenarioIndex{last(body_->scenarios)};
  }

  // Doubles the scenario's combinations; the new ones are units named after the scenario and their number.
  FlagIndex flag(std::string_view name, ScenarioIndex in, std::string_view salt = "") {
    Flag& flag = body_->flags.emplace_back();
    flag.name = name;
    flag.salt = salt.empty() ? name : salt;
    flag.scenario = in;
    Scenario& scenario = at(in);
    flag.bit = static_cast<uint8_t>(scenario.flags.size());
    const FlagIndex index{last(body_->flags)};
    scenario.flags.push_back(index);
    for (size_t mask = scenario.combinations.size(); mask < size_t{1} << scenario.flags.size(); mask++) {
      scenario.combinations.push_back(unit(scenario.name + "/" + std::to_string(mask)));
    }
    return index;
  }

  TenantIndex tenant(std::string_view id) {
    tenants_.emplace_back().id = id;
    return TenantIndex{last(tenants_)};
  }

  // Rows of a tenant are given in the order of their flags.
  TenantFlag& row(TenantIndex tenant, FlagIndex flag, FlagState state, uint32_t milli_percent = 0) {
    TenantFlag& row = at(tenant).flags.emplace_back();
    row.flag = flag;
    row.state = state;
    row.milli_percent = milli_percent;
    row.previous = at(at(flag).scenario).stable;
    return row;
  }

  KeyIndex key(TenantIndex tenant, std::optional<ScenarioIndex> scenario = std::nullopt, Digest hash = {}) {
    KeySpec& key = keys_.emplace_back();
    key.id = "key-" + std::to_string(keys_.size());
    key.tenant = tenant;
    key.scenario = scenario;
    key.hash = hash;
    return KeyIndex{last(keys_)};
  }

  Scenario& at(ScenarioIndex index) { return body_->scenarios[static_cast<uint32_t>(index)]; }
  Flag& at(FlagIndex index) { return body_->flags[static_cast<uint32_t>(index)]; }
  TenantSpec& at(TenantIndex index) { return tenants_[static_cast<uint32_t>(index)]; }
  KeySpec& at(KeyIndex index) { return keys_[static_cast<uint32_t>(index)]; }
  TableBody& body() { return *body_; }

  // May be called again after further changes to rows.
  Table build() {
    TableBody& body = *body_;
    fill(body.scenario_names, body.scenarios);
    fill(body.model_names, body.models);
    fill(body.attribute_names, body.attributes);
    rank_flags(body);
    index_flags(body);
    TenantTableBuilder tenants(body);
    if (tenants_.empty()) tenant("tenant");  // the one that keys belong to
    for (const TenantSpec& tenant : tenants_) tenants.add(tenant);
    tenants.end_tenants();
    for (const KeySpec& key : keys_) tenants.add(key);
    tenants.end_keys();
    Table table;
    table.revision = 7;
    table.body = body_;
    table.tenants = tenants.take();
    table.kills.providers.resize(body.providers.size());
    table.kills.units.resize(body.units.size());
    table.kills.scenarios.resize(body.scenarios.size());
    table.kills.flags.resize(body.flags.size());
    return table;
  }

 private:
  template <typename T>
  static uint32_t last(const std::vector<T>& values) {
    return static_cast<uint32_t>(values.size() - 1);
  }

  template <typename T>
  static void fill(NameIndex& index, const std::vector<T>& objects) {
    index = {};
    for (uint32_t i = 0; i < objects.size(); i++) index.insert(objects[i].name, i);
  }

  std::vector<TenantSpec> tenants_;
  std::vector<KeySpec> keys_;
  std::shared_ptr<TableBody> body_ = std::make_shared<TableBody>();
};

// ---- condition steps ----

inline ConditionStep text_step(ConditionStep::Kind kind, AttributeIndex attribute,
                               std::vector<std::string> operands) {
  return {.kind = kind, .attribute = attribute, .count = 0, .number = 0, .operands = std::move(operands)};
}
inline ConditionStep number_step(ConditionStep::Kind kind, AttributeIndex attribute, double number = 0) {
  return {.kind = kind, .attribute = attribute, .count = 0, .number = number, .operands = {}};
}
inline ConditionStep join(ConditionStep::Kind kind, uint32_t count = 1) {
  return {.kind = kind, .attribute = {}, .count = count, .number = 0, .operands = {}};
}

// ---- kills ----

template <typename Index>
void kill(std::vector<bool>& scope, Table& table, Index index) {
  table.kills.any = true;
  scope[static_cast<size_t>(index)] = true;
}
inline void kill_unit(Table& table, UnitIndex unit) {
  kill(table.kills.units, table, unit);
}

}  // namespace weir::routing
