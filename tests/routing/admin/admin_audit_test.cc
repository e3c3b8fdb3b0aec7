// The log of changes, and what is read out of the registry: diffs, labels, forgotten launches, spreadsheets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/routing/admin/admin_fixture.h"

namespace weir::routing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

struct AdminAudit : ::testing::Test {
  void SetUp() override {
    set_row(60, "first");                                                                            // 2
    ASSERT_EQ(weir.put("/v1/tenants/other?reason=a%20new%20customer", json::object()).status, 200);  // 3
    ASSERT_EQ(weir.post("/v1/kill", {{"scope", "flag"}, {"name", "v2"}, {"reason", "incident"}}).status,
              200);         // 4
    set_row(70, "second");  // 5
  }
  void set_row(int percent, const std::string& reason) {
    ASSERT_EQ(weir.post("/v1/flags/v2/tenants/acme", {{"percent", percent}, {"reason", reason}}).status, 200);
  }
  json changes(const std::string& query) { return weir.get("/v1/audit" + query).json()["changes"]; }

  AdminHost weir;
};

TEST_F(AdminAudit, SaysWhoWhenWhatAndWhy) {
  const json all = changes("");
  ASSERT_THAT(all, SizeIs(5));
  const json& newest = all[0];
  EXPECT_EQ(newest["revision"], 5);
  EXPECT_EQ(newest["actor"]["role"], "admin");
  EXPECT_EQ(newest["action"], "row");
  EXPECT_EQ(newest["target"], "tenant acme on flag v2");
  EXPECT_EQ(newest["reason"], "second");
  EXPECT_EQ(newest["based_on"], 3) << "the newest table; the kill left it as it was";
  EXPECT_EQ(newest["objects"][0]["before"]["flags"]["v2"]["percent"], 60);
  EXPECT_EQ(newest["objects"][0]["after"]["flags"]["v2"]["percent"], 70);
  EXPECT_THAT(newest["hash"].get<std::string>(), SizeIs(64));
  EXPECT_EQ(all[1]["killed"][0]["name"], "v2");
  EXPECT_EQ(all[4]["action"], "import");
  EXPECT_EQ(all[4]["target"], "table.yaml");
  EXPECT_EQ(weir.get("/v1/changes/5").json(), newest);
  EXPECT_EQ(weir.get("/v1/changes/99").json()["error"]["code"], "unknown_revision");
}

TEST_F(AdminAudit, IsSearchedByTenantFlagKindAndTime) {
  EXPECT_THAT(changes("?tenant=acme"), SizeIs(3));
  EXPECT_THAT(changes("?tenant=other"), SizeIs(1));
  EXPECT_THAT(changes("?flag=v2"), SizeIs(4)) << "two rows, the kill, the import";
  EXPECT_THAT(changes("?kind=unit&name=big"), SizeIs(1));
  EXPECT_THAT(changes("?since=2200-01-01"), SizeIs(0));
  EXPECT_THAT(changes("?since=2020-01-01"), SizeIs(5));
  EXPECT_TRUE(changes("?bodies=false")[0]["objects"].empty());
  const auto param_of = [&](const std::string& query) {
    return weir.get("/v1/audit" + query).json()["error"]["param"];
  };
  EXPECT_EQ(param_of("?kind=people&name=x"), "kind");
  EXPECT_EQ(param_of("?kind=unit"), "name");
  EXPECT_EQ(param_of("?name=x"), "kind");
  EXPECT_EQ(param_of("?since=yesterday"), "since");
  EXPECT_EQ(param_of("?tenent=acme"), "tenent");
}

TEST_F(AdminAudit, ComesInPages) {
  const json first = weir.get("/v1/audit?limit=2").json();
  ASSERT_THAT(first["changes"], SizeIs(2));
  const json second = weir.get("/v1/audit?limit=10&before=" + first["next"].dump()).json();
  EXPECT_THAT(second["changes"], SizeIs(3));
  EXPECT_TRUE(second["next"].is_null());
}

TEST_F(AdminAudit, VerifiesItself) {
  const json verified = weir.get("/v1/audit:verify").json();
  EXPECT_EQ(verified["ok"], true);
  EXPECT_EQ(verified["changes"], 5);
  EXPECT_TRUE(verified["faults"].empty());
}

TEST_F(AdminAudit, TellsWhatDiffersBetweenRevisions) {
  const json diff = weir.get("/v1/diff?from=1").json();
  EXPECT_EQ(diff["to"], 5);
  EXPECT_EQ(diff["count"], 2);
  EXPECT_EQ(diff["changes"][0]["name"], "acme");
  EXPECT_EQ(diff["changes"][0]["before"]["flags"]["v2"]["percent"], 50);
  EXPECT_EQ(diff["changes"][1]["after"], json::object());
  EXPECT_EQ(weir.get("/v1/diff?from=3&to=4").json()["count"], 0) << "a kill changes no object";
  EXPECT_EQ(weir.get("/v1/diff").json()["error"]["param"], "from");
  EXPECT_EQ(weir.get("/v1/diff?from=x").json()["error"]["param"], "from");
  EXPECT_EQ(weir.get("/v1/diff?from=99").status, 404);
}

TEST_F(AdminAudit, OldTablesAreStillThere) {
  EXPECT_EQ(weir.get("/v1/table?revision=1").json()["tenants"]["acme"]["flags"]["v2"]["percent"], 50);
  EXPECT_EQ(weir.get("/v1/table").json()["tenants"]["acme"]["flags"]["v2"]["percent"], 70);
  EXPECT_EQ(weir.get("/v1/table?revision=99").status, 404);
}

TEST_F(AdminAudit, LabelsNameRevisionsAndAreLogged) {
  EXPECT_EQ(
      weir.post("/v1/labels/known_good", {{"revision", 3}, {"reason", "a quiet week"}}).json()["revision"],
      3);
  EXPECT_EQ(weir.get("/v1/labels/known_good").json()["revision"], 3);
  EXPECT_EQ(weir.get("/v1/labels/other").json()["error"]["code"], "unknown_label");
  EXPECT_EQ(weir.post("/v1/labels/known_good", {{"revision", 99}, {"reason", "r"}}).status, 404);
  EXPECT_EQ(changes("?limit=1")[0]["action"], "label");
  EXPECT_EQ(weir.status()["revision"], 5);
}

TEST_F(AdminAudit, ExplainSaysWhoSetItAndWhatTurnsItOff) {
  ASSERT_EQ(weir.post("/v1/unkill", {{"scope", "flag"}, {"name", "v2"}, {"reason", "mended"}}).status, 200);
  const json explained = weir.get("/v1/explain?tenant=acme&scenario=chat&attr.plan=pro").json();
  EXPECT_EQ(explained["unit"], "big");
  EXPECT_EQ(explained["set_by"]["revision"], 5);
  EXPECT_EQ(explained["set_by"]["reason"], "second");
  ASSERT_FALSE(explained["turns_off"].empty());
  // What it says can be done as it says.
  for (json way : explained["turns_off"]) {
    way["body"]["reason"] = "trying it";
    const std::string call = way["call"];
    const Reply reply = weir.post(call.substr(call.find('/')), way["body"]);
    EXPECT_EQ(reply.status, 200) << call << " " << way["body"] << " " << reply.body;
  }
}

TEST_F(AdminAudit, ExplainDoesNotTurnOffAFlagThatIsOff) {
  const json explained = weir.get("/v1/explain?tenant=acme&scenario=chat&attr.plan=pro").json();
  ASSERT_EQ(explained["unit"], "mini");
  ASSERT_EQ(explained["reason"], "killed");
  ASSERT_EQ(explained["turns_off"].size(), 1u) << explained;
  EXPECT_EQ(explained["turns_off"][0]["body"]["scope"], "unit");
}

TEST_F(AdminAudit, ListsForgottenLaunches) {
  ASSERT_EQ(weir.put("/v1/units/spare?reason=r", {{"model", "m-1"}}).status, 200);
  const json found = weir.get("/v1/flags?problem=unused_unit").json();
  EXPECT_EQ(found["count"], 1) << found;
  EXPECT_EQ(found["problems"][0]["problem"], "unused_unit");
  EXPECT_EQ(found["problems"][0]["name"], "spare");
  EXPECT_GE(weir.get("/v1/flags?problem=all").json()["count"], 1);
  EXPECT_EQ(weir.get("/v1/flags?problem=ugly").json()["error"]["param"], "problem");
}

TEST_F(AdminAudit, ExportsRowsAndObjectsForSpreadsheets) {
  const Reply rows = weir.get("/v1/export?format=csv");
  EXPECT_EQ(rows.header("content-type"), "text/csv; charset=utf-8");
  EXPECT_THAT(rows.body, StartsWith("flag,scenario,candidate,tenant,state,percent"));
  EXPECT_THAT(rows.body, HasSubstr("v2,chat,big,acme,pilot,70"));
  EXPECT_THAT(weir.get("/v1/export?format=csv&revision=1").body, HasSubstr("acme,pilot,50"));
  EXPECT_THAT(weir.get("/v1/export?format=csv&what=objects").body, HasSubstr("unit,big,"));
  EXPECT_EQ(weir.get("/v1/export?format=xlsx").json()["error"]["param"], "format");
}

}  // namespace
}  // namespace weir::routing
