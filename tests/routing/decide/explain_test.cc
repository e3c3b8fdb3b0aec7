// That explain() decides as decide() does is shown by decide_property_test.cc; here is what people read.
#include "routing/decide/explain.h"

#include <gtest/gtest.h>

#include "tests/routing/decide/table_builder.h"

namespace weir::routing {
namespace {

using core::ErrorCode;

class Explain : public ::testing::Test {
 protected:
  Explain() {
    const UnitIndex stable = build.unit("mini");
    chat = build.scenario("chat", stable);
    flag = build.flag("v2", chat, "salt-1");
    tenant = build.tenant("bank");
    build.key(tenant);
    input.scenario_header = "chat";
    input.user = "u-1";
  }

  static std::string text(const Explanation& explanation) {
    std::string all;
    for (const ExplainStep& step : explanation.steps) {
      all += step.rule + (step.matched ? " yes: " : " no: ") + step.detail + "\n";
    }
    return all;
  }

  TableBuilder build;
  ScenarioIndex chat{};
  FlagIndex flag{};
  TenantIndex tenant{};
  DecideInput input;
};

TEST_F(Explain, ShowsTheBucketTheThresholdTheSaltAndTheKeyKind) {
  build.row(tenant, flag, FlagState::pilot, 5'000);
  const Explanation explanation = explain(build.build(), input);
  EXPECT_EQ(explanation.revision, 7u);
  const uint32_t bucket = static_cast<uint32_t>(uint64_t{core::murmur3_32("salt-1:u-1")} * 100'000 >> 32);
  EXPECT_EQ(text(explanation),
            "scenario yes: scenario chat, from x-weir-scenario\n"
            "split no: murmur3-32 of salt 'salt-1', ':' and the user key falls into bucket " +
                std::to_string(bucket) +
                " of 100000; in if below 5000\n"
                "flag no: flag v2: split_out (the sticky key falls outside the percentage)\n"
                "combination no: combination 0b0 is unit mini\n");
}

TEST_F(Explain, ShowsKillsSegmentsDatesAndPins) {
  const AttributeIndex staff = build.attribute("staff", AttributeKind::boolean);
  const SegmentIndex internal = build.segment("internal", {number_step(ConditionStep::Kind::is_true, staff)});
  build.at(flag).exclude = {internal};
  const FlagIndex later = build.flag("later", chat);
  build.flag("unused", chat);
  TenantFlag& row = build.row(tenant, flag, FlagState::production);
  row.expires_ns = 10;
  row.on_expiry = ExpiryAction::alert;
  build.row(tenant, later, FlagState::production).start_ns = 100;
  input.wall_now_ns = 50;
  input.conversation = "c-1";
  input.pinned_unit = 1;
  Table table = build.build();
  kill_unit(table, build.at(chat).combinations[1]);
  EXPECT_EQ(text(explain(table, input)),
            "scenario yes: scenario chat, from x-weir-scenario\n"
            "kill no: neither all, nor the scenario, nor the tenant is switched off\n"
            "pin no: the conversation began on unit 0000000000000001, which this scenario no longer has\n"
            "expiry no: now 50 ns is at or past the expiry at 10 ns; on expiry the row goes on\n"
            "exclude no: segment internal does not match\n"
            "flag yes: flag v2: production (the tenant's row is in production)\n"
            "start yes: now 50 ns is before the start at 100 ns\n"
            "flag no: flag later: not_started (the tenant's row starts later)\n"
            "flag no: the tenant has no row on unused\n"
            "combination yes: combination 0b1 is unit chat/1\n"
            "kill yes: unit chat/1 or its provider is switched off\n");
}

TEST_F(Explain, SaysWhyARequestIsRefused) {
  input.scenario_header = "nothing";
  const Explanation lost = explain(build.build(), input);
  ASSERT_FALSE(lost.decision.has_value());
  EXPECT_EQ(lost.decision.error().code, ErrorCode::model_not_found);
  EXPECT_EQ(text(lost), "scenario no: x-weir-scenario names no scenario\n");

  input.scenario_header = "chat";
  Table table = build.build();
  table.kills.any = table.kills.global = true;
  const Explanation killed = explain(table, input);
  ASSERT_FALSE(killed.decision.has_value());
  EXPECT_EQ(killed.decision.error().code, ErrorCode::killed);
  EXPECT_EQ(killed.steps.back().detail, "everything is switched off");
}

}  // namespace
}  // namespace weir::routing
