// The schema and the validator tell people the same.
#include "routing/table/table_schema.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "core/limits.h"
#include "routing/table/properties.h"

namespace weir::routing {
namespace {

using nlohmann::json;

const json& schema() {
  static const json parsed = json::parse(table_schema());
  return parsed;
}

const json& kind_schema(std::string_view kind) {
  return kind == "table" ? schema() : schema()["$defs"].at(std::string(kind));
}

TEST(TableSchema, HasExactlyThePropertiesTheValidatorReads) {
  for (const ObjectShape& shape : kObjectShapes) {
    std::set<std::string> known, required;
    for (const PropertyRow& row : shape.properties) {
      known.emplace(row.name);
      if (row.presence == Presence::required) required.emplace(row.name);
    }
    std::set<std::string> in_schema, required_in_schema;
    const json& definition = kind_schema(shape.name);
    for (const auto& [name, value] : definition["properties"].items()) {
      in_schema.insert(name);
      EXPECT_TRUE(value.contains("description") || value.contains("$ref")) << shape.name << "." << name;
    }
    for (const json& name : definition.value("required", json::array())) required_in_schema.insert(name);
    EXPECT_EQ(known, in_schema) << shape.name;
    EXPECT_EQ(required, required_in_schema) << shape.name;
    EXPECT_EQ(definition["additionalProperties"], false) << shape.name;
  }
}

TEST(TableSchema, HasNoObjectTheValidatorDoesNotKnow) {
  std::set<std::string> known;
  for (const ObjectShape& shape : kObjectShapes) known.emplace(shape.name);
  for (const auto& [name, definition] : schema()["$defs"].items()) {
    if (name == "condition") continue;  // its members are attributes
    EXPECT_EQ(definition.contains("properties"), known.contains(name)) << name;
  }
}

template <size_t count>
void expect_values(std::string_view kind, const char* property,
                   const std::array<std::string_view, count>& values) {
  json in_schema = kind_schema(kind)["properties"][property];
  if (in_schema.contains("items")) in_schema = in_schema["items"];
  std::set<std::string> listed;
  for (const json& value : in_schema.at("enum")) {
    if (value.is_string()) listed.insert(value);
  }
  EXPECT_EQ(listed, std::set<std::string>(values.begin(), values.end())) << kind << "." << property;
}

TEST(TableSchema, ListsTheSameValues) {
  expect_values("provider", "dialect", kDialects);
  expect_values("model", "tier", kTiers);
  expect_values("prompt", "mode", kPromptModes);
  expect_values("hop", "on", kFallbackCauses);
  expect_values("table", "prompt_source", kPromptSources);
  expect_values("approvals", "for", kApprovalCauses);
  expect_values("approvals", "by", kApprovalRoles);
  expect_values("scenario", "sticky_by", kStickyKeys);
  expect_values("tenant_flag", "state", kFlagStates);
  expect_values("tenant_flag", "on_expiry", kExpiryActions);
  expect_values("tenant_flag", "on_rollback", kRollbackActions);
  expect_values("budget", "on_exceed", kBudgetActions);
  expect_values("unit", "answer", kAnswerChecks);
  expect_values("scenario", "priority", kPriorities);
}

TEST(TableSchema, NamesTheSameLimits) {
  namespace limits = core::limits;
  const json& defs = schema()["$defs"];
  EXPECT_EQ(defs["name"]["pattern"], "^[A-Za-z0-9._@:-]{1," + std::to_string(limits::kMaxNameBytes) + "}$");
  EXPECT_EQ(defs["person"]["pattern"], defs["name"]["pattern"]);
  EXPECT_EQ(defs["budgets"]["maxItems"], limits::kMaxBudgets);
  EXPECT_EQ(defs["approvals"]["properties"]["by"]["maxItems"], limits::kMaxApprovals);
  EXPECT_EQ(defs["scenario"]["properties"]["fallback"]["maxItems"], limits::kMaxFallbackHops);
  EXPECT_EQ(defs["model"]["properties"]["providers"]["maxProperties"], limits::kMaxModelHosts);
  EXPECT_EQ(defs["unit"]["properties"]["retries"]["maximum"], limits::kMaxRetries);
  EXPECT_EQ(defs["unit"]["properties"]["tools"]["maxItems"], limits::kMaxTools);
  EXPECT_EQ(defs["params"]["maxProperties"], limits::kMaxTopLevelFields);
  EXPECT_EQ(defs["prompt"]["properties"]["system"]["maxLength"], limits::kMaxPromptBytes);
  EXPECT_EQ(defs["hop"]["properties"]["static"]["maxLength"], limits::kMaxTextBytes);
  EXPECT_EQ(schema()["properties"]["attributes"]["maxProperties"], limits::kMaxAttributes);
}

TEST(Properties, AreSortedWithinTheirKind) {
  for (const ObjectShape& shape : kObjectShapes) {
    EXPECT_LE(shape.properties.size(), 32u) << "one bit each";
    for (size_t i = 1; i < shape.properties.size(); i++) {
      EXPECT_LT(shape.properties[i - 1].name, shape.properties[i].name) << shape.name;
    }
  }
}

}  // namespace
}  // namespace weir::routing
