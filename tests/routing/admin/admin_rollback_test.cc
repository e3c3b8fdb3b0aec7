#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/timestamp.h"
#include "routing/admin/rollback.h"
#include "tests/routing/admin/admin_fixture.h"

namespace weir::routing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

struct AdminRollback : ::testing::Test {
  json body(const std::string& path) { return weir.get("/v1/" + path).json(); }
  json percent(const std::string& tenant = "acme", const std::string& flag = "v2") {
    return body("tenants/" + tenant)["flags"][flag]["percent"];
  }
  void set_row(const std::string& tenant, const json& members) {
    json all = members;
    all["reason"] = "r";
    const Reply reply = weir.post("/v1/flags/v2/tenants/" + tenant, all);
    ASSERT_EQ(reply.status, 200) << reply.body;
  }
  Reply roll_back(json request) {
    request["reason"] = "incident 311";
    return weir.post("/v1/rollback", request);
  }
  // The revision it went back to.
  json restored(json request) {
    const Reply reply = roll_back(std::move(request));
    EXPECT_EQ(reply.status, 200) << reply.body;
    return reply.json()["restored_revision"];
  }
  std::string code_of(const Reply& reply) {
    const json code = reply.json()["error"]["code"];
    return code.is_string() ? code.get<std::string>() : reply.body;
  }

  AdminHost weir;
};

TEST_F(AdminRollback, OfOneTenantLeavesTheOthersAlone) {
  set_row("solo", {{"state", "pilot"}, {"percent", 1}, {"owner", "u-1"}, {"review", "2200-01-01"}});  // 2
  set_row("acme", {{"percent", 60}});                                                                 // 3
  set_row("solo", {{"percent", 2}});                                                                  // 4
  EXPECT_EQ(restored({{"scope", "tenant"}, {"name", "acme"}, {"to", "previous"}}), 2);
  EXPECT_EQ(percent(), 50);
  EXPECT_EQ(percent("solo"), 2);
  EXPECT_EQ(weir.status()["revision"], 5);
}

// Previous of previous goes further back, not forth again.
TEST_F(AdminRollback, ASecondOneGoesFurtherBack) {
  for (const int step : {60, 70, 80}) set_row("acme", {{"percent", step}});
  const json previous{{"scope", "tenant"}, {"name", "acme"}, {"to", "previous"}};
  EXPECT_EQ(restored(previous), 3);
  EXPECT_EQ(percent(), 70);
  EXPECT_EQ(restored(previous), 2);
  EXPECT_EQ(percent(), 60);
  EXPECT_EQ(restored(previous), 1);
  EXPECT_EQ(percent(), 50);
  EXPECT_EQ(code_of(roll_back(previous)), "nothing_to_roll_back");
  set_row("acme", {{"percent", 90}});
  EXPECT_EQ(restored(previous), 7);
  EXPECT_EQ(percent(), 50);
}

TEST_F(AdminRollback, OfARowTakesARowAwayThatWasNotThere) {
  set_row("solo", {{"state", "pilot"}, {"percent", 1}, {"owner", "u-1"}, {"review", "2200-01-01"}});
  EXPECT_EQ(weir.patch("/v1/tenants/solo?reason=r", {{"name", "Other"}}).status, 200);
  EXPECT_EQ(restored({{"scope", "tenant"}, {"name", "solo"}, {"flag", "v2"}, {"to", "previous"}}), 1);
  EXPECT_TRUE(percent("solo").is_null());
  EXPECT_EQ(body("tenants/solo")["name"], "Other") << "only the row was meant";
}

TEST_F(AdminRollback, OfAFlagTakesAllItsRowsBack) {
  set_row("acme", {{"percent", 60}});
  ASSERT_EQ(weir.patch("/v1/flags/v2?reason=r", {{"owner", "u-7"}}).status, 200);
  ASSERT_EQ(weir.patch("/v1/tenants/acme?reason=r", {{"name", "Acme Inc."}}).status, 200);
  EXPECT_EQ(restored({{"scope", "flag"}, {"name", "v2"}, {"to", 1}}), 1);
  EXPECT_EQ(percent(), 50);
  EXPECT_EQ(body("flags/v2")["owner"], "u-1");
  EXPECT_EQ(body("tenants/acme")["name"], "Acme Inc.");
}

TEST_F(AdminRollback, OfAScenarioTakesItsFlagsBackToo) {
  set_row("acme", {{"percent", 60}});
  ASSERT_EQ(weir.patch("/v1/scenarios/chat?reason=r", {{"sticky_by", {"user"}}}).status, 200);
  EXPECT_EQ(restored({{"scope", "scenario"}, {"name", "chat"}, {"to", 1}}), 1);
  EXPECT_EQ(body("scenarios/chat")["sticky_by"], (json{"conversation", "user"}));
  EXPECT_EQ(percent(), 50);
}

TEST_F(AdminRollback, OfEverythingBringsBackWhatWasDeletedAndKeepsWhatIsNew) {
  ASSERT_EQ(weir.put_table(table_text(5, "large")).status, 200);
  ASSERT_EQ(weir.put("/v1/tenants/new?reason=r", json::object()).status, 200);
  EXPECT_EQ(restored({{"scope", "all"}, {"to", 1}}), 1);
  EXPECT_EQ(body("units/big"), (json{{"model", "m-2"}}));
  EXPECT_EQ(body("flags/v2")["candidate"]["unit"], "big");
  EXPECT_EQ(percent(), 50);
  EXPECT_EQ(weir.get("/v1/tenants/new").status, 200) << "nothing is deleted";
}

TEST_F(AdminRollback, AUnitThatOldSettingsNameComesBack) {
  ASSERT_EQ(weir.put_table(table_text(5, "large")).status, 200);
  ASSERT_EQ(weir.get("/v1/units/big").status, 404);
  EXPECT_EQ(restored({{"scope", "flag"}, {"name", "v2"}, {"to", "previous"}}), 1);
  EXPECT_EQ(body("flags/v2")["candidate"]["unit"], "big");
  EXPECT_EQ(body("units/big"), (json{{"model", "m-2"}}));
}

TEST_F(AdminRollback, ARevokedKeyDoesNotComeBack) {
  ASSERT_EQ(weir.del("/v1/keys/acme-app?reason=leaked").status, 200);
  set_row("acme", {{"percent", 60}});
  EXPECT_EQ(restored({{"scope", "all"}, {"to", 1}}), 1);
  EXPECT_EQ(percent(), 50);
  EXPECT_EQ(weir.get("/v1/keys/acme-app").status, 404);
}

TEST_F(AdminRollback, GoesToALabelAndToATime) {
  EXPECT_EQ(weir.post("/v1/labels/known_good", {{"reason", "a quiet week"}}).json()["revision"], 1);
  const std::string then(core::timestamp(weir.loop->wall_now_ns()).view());
  tests::run_for(*weir.loop, std::chrono::milliseconds(5));
  set_row("acme", {{"percent", 60}});
  EXPECT_EQ(restored({{"scope", "tenant"}, {"name", "acme"}, {"to", "known_good"}}), 1);
  EXPECT_EQ(percent(), 50);
  set_row("acme", {{"percent", 61}});
  EXPECT_EQ(restored({{"scope", "tenant"}, {"name", "acme"}, {"to", then}}), 1) << then;
  EXPECT_EQ(percent(), 50);
  EXPECT_EQ(code_of(roll_back({{"scope", "all"}, {"to", "unknown-label"}})), "unknown_label");
  EXPECT_EQ(code_of(roll_back({{"scope", "all"}, {"to", "1999-01-01"}})), "unknown_revision");
  EXPECT_EQ(code_of(roll_back({{"scope", "all"}, {"to", 99}})), "unknown_revision");
}

TEST_F(AdminRollback, KeepsTheNoteAndTheEvidence) {
  set_row("acme", {{"percent", 60}});
  EXPECT_EQ(restored({{"scope", "tenant"},
                      {"name", "acme"},
                      {"to", "previous"},
                      {"note", "answers in French"},
                      {"evidence", {{"errors", 17}}}}),
            1);
  const json change = weir.get("/v1/changes/3").json();
  EXPECT_EQ(change["action"], "rollback");
  EXPECT_EQ(change["reason"], "incident 311");
  EXPECT_EQ(change["detail"]["note"], "answers in French");
  EXPECT_EQ(change["detail"]["evidence"]["errors"], 17);
  EXPECT_EQ(change["detail"]["restored_revision"], 1);
  EXPECT_EQ(change["objects"][0]["before"]["flags"]["v2"]["percent"], 60);
  EXPECT_EQ(change["objects"][0]["after"]["flags"]["v2"]["percent"], 50);
  const Reply large = roll_back({{"scope", "tenant"},
                                 {"name", "acme"},
                                 {"to", 2},
                                 {"evidence", {{"log", std::string(core::limits::kMaxEvidenceBytes, 'x')}}}});
  EXPECT_EQ(large.status, 400);
  EXPECT_EQ(large.json()["error"]["param"], "evidence");
}

TEST_F(AdminRollback, LiftsNoKill) {
  set_row("acme", {{"percent", 60}});
  ASSERT_EQ(weir.post("/v1/kill", {{"scope", "unit"}, {"name", "big"}, {"reason", "r"}}).status, 200);
  EXPECT_EQ(restored({{"scope", "all"}, {"to", 1}}), 1);
  EXPECT_TRUE(weir.control.table().kills.any);
}

TEST_F(AdminRollback, ADryRunShowsWhatItWouldDo) {
  set_row("acme", {{"percent", 60}});
  const Reply reply = weir.post("/v1/rollback?dry_run=true",
                                {{"scope", "tenant"}, {"name", "acme"}, {"to", "previous"}, {"reason", "r"}});
  EXPECT_EQ(reply.json()["restored_revision"], 1) << reply.body;
  EXPECT_EQ(reply.json()["changes"][0]["after"]["flags"]["v2"]["percent"], 50);
  EXPECT_EQ(percent(), 60);
}

TEST_F(AdminRollback, RefusesWhatIsMalformed) {
  const auto param_of = [&](json request) {
    const Reply reply = roll_back(std::move(request));
    EXPECT_EQ(reply.status, 400) << reply.body;
    return reply.json()["error"]["param"];
  };
  EXPECT_EQ(param_of({{"scope", "planet"}, {"to", "previous"}}), "scope");
  EXPECT_EQ(param_of({{"scope", "tenant"}, {"to", "previous"}}), "name");
  EXPECT_EQ(param_of({{"scope", "all"}, {"name", "acme"}, {"to", "previous"}}), "name");
  EXPECT_EQ(param_of({{"scope", "flag"}, {"name", "v2"}, {"flag", "v2"}, {"to", "previous"}}), "flag");
  EXPECT_EQ(param_of({{"scope", "all"}}), "to");
  EXPECT_EQ(param_of({{"scope", "all"}, {"to", 0}}), "to");
  EXPECT_EQ(param_of({{"scope", "all"}, {"to", "no name!"}}), "to");
  EXPECT_EQ(param_of({{"scope", "all"}, {"to", "previous"}, {"evidence", "text"}}), "evidence");
  EXPECT_EQ(param_of({{"scope", "all"}, {"to", "previous"}, {"note", "\xe2\x80\xae"}}), "note");
  EXPECT_EQ(param_of({{"scope", "all"}, {"to", "previous"}, {"why", "x"}}), "why");
  EXPECT_THAT(code_of(roll_back({{"scope", "tenant"}, {"name", "nobody"}, {"to", "previous"}})),
              "unknown_name");
}

}  // namespace
}  // namespace weir::routing
