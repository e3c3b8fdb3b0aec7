// What the tests of decide() share.
#pragma once

#include <gtest/gtest.h>

#include "routing/decide/decide.h"
#include "tests/routing/decide/table_builder.h"

namespace weir::routing {

inline constexpr uint32_t kEverybody = 100'000;

// One tenant, one key, one scenario with one flag; `stable` and `candidate` name the two units.
class Decide : public ::testing::Test {
 protected:
  Decide() {
    stable = build.unit("stable");
    chat = build.scenario("chat", stable);
    flag = build.flag("v2", chat);
    candidate = build.at(chat).combinations[1];
    tenant = build.tenant("bank");
    key = build.key(tenant);
    staff = build.attribute("staff", AttributeKind::boolean);
    internal = build.segment("internal", {number_step(ConditionStep::Kind::is_true, staff)});
    input.key = key;
    input.tenant = tenant;
    input.scenario_header = "chat";
    input.user = "u-1";
    input.wall_now_ns = 1'000'000;
  }

  TenantFlag& row(FlagState state, uint32_t milli_percent = 0) {
    return build.row(tenant, flag, state, milli_percent);
  }

  core::Result<Decision> run(const Table& table) const {
    const core::Result<ScenarioChoice> choice = choose_scenario(table, input);
    if (!choice) return std::unexpected(choice.error());
    return decide(table, *choice, input);
  }
  Decision run() {
    const core::Result<Decision> decision = run(build.build());
    EXPECT_TRUE(decision.has_value());
    return decision.value_or(Decision{});
  }
  uint64_t hash(UnitIndex unit) { return build.body()[unit].short_hash; }
  void be_staff() {
    values.set(staff, {.data = "true", .size = 4, .number = 0, .boolean = true});
    input.attributes = &values;
  }

  void expect(const Decision& decision, Arm arm, UnitIndex unit, Reason reason) {
    EXPECT_EQ(token(decision.arm), token(arm));
    EXPECT_EQ(build.body()[decision.unit].name, build.body()[unit].name);
    EXPECT_EQ(token(decision.reason), token(reason));
  }

  TableBuilder build;
  UnitIndex stable{};
  UnitIndex candidate{};
  ScenarioIndex chat{};
  FlagIndex flag{};
  TenantIndex tenant{};
  KeyIndex key{};
  AttributeIndex staff{};
  SegmentIndex internal{};
  AttributeValues values;
  DecideInput input;
};

}  // namespace weir::routing
