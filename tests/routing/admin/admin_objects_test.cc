// Single objects, tenants' rows, and what becomes of changes that do not fit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/routing/admin/admin_fixture.h"

namespace weir::routing {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

std::string code_of(const Reply& reply) {
  const json code = reply.json()["error"]["code"];
  return code.is_string() ? code.get<std::string>() : "";
}
json param_of(const Reply& reply) {
  return reply.json()["error"]["param"];
}

struct AdminObjects : ::testing::Test {
  json row(const std::string& tenant = "acme") {
    return weir.get("/v1/tenants/" + tenant).json()["flags"]["v2"];
  }
  Reply set_row(const json& members, const std::string& target = "/v1/flags/v2/tenants/acme") {
    return weir.post(target, members);
  }
  uint64_t revision() { return weir.status()["revision"].get<uint64_t>(); }

  AdminHost weir;
};

TEST_F(AdminObjects, AreReadOneByOneAndAsLists) {
  const Reply unit = weir.get("/v1/units/big");
  EXPECT_EQ(unit.status, 200);
  EXPECT_EQ(unit.body, R"({"model":"m-2"})");
  EXPECT_EQ(unit.header("etag"), "\"1\"");
  EXPECT_EQ(code_of(weir.get("/v1/units/bog")), "unknown_name");

  const json page = weir.get("/v1/tenants?limit=1").json();
  EXPECT_EQ(page["kind"], "tenant");
  ASSERT_THAT(page["objects"], SizeIs(1));
  EXPECT_EQ(page["objects"][0]["name"], "acme");
  EXPECT_EQ(page["next"], "acme");
  const json rest = weir.get("/v1/tenants?after=acme").json();
  ASSERT_THAT(rest["objects"], SizeIs(1));
  EXPECT_EQ(rest["objects"][0]["name"], "solo");
  EXPECT_TRUE(rest["next"].is_null());
}

TEST_F(AdminObjects, AListEndsAtMaxListedObjects) {
  json table = weir.get("/v1/table").json();
  for (uint32_t i = 0; i < core::limits::kMaxListedObjects; ++i)
    table["tenants"]["t-" + std::to_string(i)] = json::object();
  ASSERT_EQ(weir.put("/v1/table?reason=r", table).status, 200);
  const json page = weir.get("/v1/tenants").json();
  EXPECT_THAT(page["objects"], SizeIs(core::limits::kMaxListedObjects));
  const json rest = weir.get("/v1/tenants?after=" + page["next"].get<std::string>()).json();
  EXPECT_THAT(rest["objects"], SizeIs(2));
}

TEST_F(AdminObjects, ArePutPatchedAndDeleted) {
  const Reply put = weir.put("/v1/tenants/new?reason=a%20pilot", {{"name", "New"}});
  ASSERT_EQ(put.status, 200) << put.body;
  EXPECT_EQ(put.json()["revision"], 2);
  EXPECT_EQ(put.json()["changed"], 1);
  EXPECT_TRUE(weir.control.table().tenants->find("new").has_value());
  EXPECT_EQ(weir.control.table().revision, 2u);

  EXPECT_EQ(weir.patch("/v1/tenants/new?reason=r", {{"name", "Newer"}}).json()["revision"], 3);
  EXPECT_EQ(weir.get("/v1/tenants/new").json()["name"], "Newer");
  EXPECT_EQ(weir.get("/v1/tenants/new?revision=2").json()["name"], "New");
  EXPECT_EQ(weir.put("/v1/tenants/new?reason=r", {{"name", "Newer"}}).json()["changed"], 0)
      << "it was so already";
  EXPECT_EQ(revision(), 3u);

  EXPECT_EQ(weir.del("/v1/tenants/new?reason=r").json()["revision"], 4);
  EXPECT_FALSE(weir.control.table().tenants->find("new").has_value());
  EXPECT_EQ(code_of(weir.del("/v1/tenants/new?reason=r")), "unknown_name");
  EXPECT_EQ(code_of(weir.patch("/v1/tenants/new?reason=r", json::object())), "unknown_name");
}

TEST_F(AdminObjects, ATenantChangesWithoutCompilingTheTable) {
  const TableBody* const body = weir.control.table().body.get();
  EXPECT_EQ(weir.put("/v1/tenants/new?reason=r", {{"name", "New"}}).status, 200);
  EXPECT_EQ(set_row({{"percent", 60}, {"reason", "r"}}).status, 200);
  EXPECT_EQ(weir.control.table().body.get(), body);
  EXPECT_EQ(weir.patch("/v1/flags/v2?reason=r", {{"owner", "u-9"}}).status, 200);
  EXPECT_NE(weir.control.table().body.get(), body);
}

TEST_F(AdminObjects, AKeysIdIsItsName) {
  const json key{
      {"tenant", "solo"}, {"hash", std::string(kAcmeKeyHash.substr(0, 74)) + "ff"}, {"scenario", "chat"}};
  const Reply put = weir.put("/v1/keys/solo-app?reason=r", key);
  ASSERT_EQ(put.status, 200) << put.body;
  EXPECT_EQ(weir.get("/v1/keys/solo-app").json()["id"], "solo-app");
  json other = key;
  other["id"] = "else";
  const Reply refused = weir.put("/v1/keys/solo-app?reason=r", other);
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(param_of(refused), "id");
}

TEST_F(AdminObjects, EveryChangeSaysWhy) {
  const json tenant{{"name", "New"}};
  for (const Reply& reply :
       {weir.put("/v1/tenants/new", tenant), weir.put("/v1/tenants/new?reason=", tenant),
        weir.patch("/v1/tenants/acme", tenant), weir.del("/v1/tenants/solo"), set_row({{"percent", 60}}),
        weir.call("PUT", "/v1/table", table_text(5), "content-type: application/yaml\r\n"),
        weir.post("/v1/kill", {{"scope", "global"}}),
        weir.post("/v1/rollback", {{"scope", "all"}, {"to", "previous"}}),
        weir.post("/v1/labels/known_good", json::object())}) {
    EXPECT_EQ(reply.status, 400) << reply.body;
    EXPECT_EQ(param_of(reply), "reason") << reply.body;
  }
  EXPECT_EQ(param_of(weir.put("/v1/tenants/new?reason=%E2%80%AE", tenant)), "reason") << "bidi control";
  EXPECT_EQ(revision(), 1u);
}

TEST_F(AdminObjects, UnknownParametersAndNamesAreRefused) {
  EXPECT_EQ(param_of(weir.put("/v1/tenants/new?reason=r&dryrun=true", json::object())), "dryrun");
  EXPECT_EQ(param_of(weir.put("/v1/tenants/new?reason=r&dry_run=yes", json::object())), "dry_run");
  const Reply markup = weir.put("/v1/tenants/%3Cb%3E?reason=r", json::object());
  EXPECT_EQ(markup.status, 400);
  EXPECT_EQ(param_of(markup), "name");
  EXPECT_EQ(weir.put("/v1/tenants/%E2%80%AEx?reason=r", json::object()).status, 400);
  EXPECT_EQ(weir.put("/v1/people/x?reason=r", json::object()).status, 404);
  EXPECT_EQ(revision(), 1u);
}

TEST_F(AdminObjects, AChangeThatWouldMakeProblemsIsRefusedWithAllOfThem) {
  const Reply reply =
      weir.put("/v1/scenarios/chat?reason=r", {{"stable", "maxi"}, {"stikky_by", json::array()}});
  EXPECT_EQ(reply.status, 422);
  EXPECT_EQ(code_of(reply), "invalid_table");
  EXPECT_EQ(reply.json()["problem_count"], 2) << reply.body;
  EXPECT_EQ(weir.del("/v1/units/mini?reason=r").status, 422)
      << "the row's previous and the scenario's stable unit";
  EXPECT_EQ(
      weir.put("/v1/providers/p?reason=r", {{"dialect", "openai"}, {"base_url", "http://169.254.169.254/v1"}})
          .status,
      422);
  EXPECT_EQ(weir.put("/v1/providers/p?reason=r", {{"dialect", "openai"}, {"base_url", "file:///etc/passwd"}})
                .status,
            422);
  EXPECT_EQ(weir.call("PUT", "/v1/tenants/new?reason=r", R"({"name":"a","name":"b"})",
                      "content-type: application/json\r\n")
                .status,
            400);
  EXPECT_EQ(revision(), 1u);
}

TEST_F(AdminObjects, UnitsAndPromptsNeverChange) {
  const Reply put = weir.put("/v1/units/big?reason=r", {{"model", "m-1"}});
  EXPECT_EQ(put.status, 409);
  EXPECT_EQ(code_of(put), "conflict_immutable");
  EXPECT_EQ(param_of(put), "unit big");
  EXPECT_EQ(code_of(weir.patch("/v1/units/big?reason=r", {{"retries", 1}})), "conflict_immutable");
  EXPECT_EQ(weir.put("/v1/units/big?reason=r", {{"model", "m-2"}}).json()["changed"], 0);
  // The whole table goes by the same rule.
  std::string text = table_text();
  text.replace(text.find("big: { model: m-2 }"), 19, "big: { model: m-1 }");
  EXPECT_EQ(code_of(weir.put_table(text)), "conflict_immutable");
  EXPECT_EQ(revision(), 1u);
}

TEST_F(AdminObjects, IfMatchHoldsForOneObjectToo) {
  const auto put = [&](std::string_view tag) {
    return weir.put("/v1/tenants/new?reason=r", {{"name", std::string(tag)}},
                    "if-match: \"" + std::string(tag) + "\"\r\n");
  };
  EXPECT_EQ(put("1").status, 200);
  const Reply stale = put("1");
  EXPECT_EQ(stale.status, 409);
  EXPECT_EQ(code_of(stale), "lost_update");
  EXPECT_EQ(stale.json()["revision"], 2);
  // A kill makes a revision and leaves the table as it is.
  EXPECT_EQ(weir.post("/v1/kill", {{"scope", "unit"}, {"name", "big"}, {"reason", "r"}}).json()["revision"],
            3);
  EXPECT_EQ(put("2").status, 200);
  EXPECT_EQ(put("9").status, 409) << "a revision that is yet to come";
}

// ---- rows
// -------------------------------------------------------------------------------------------------------

TEST_F(AdminObjects, ARowIsChangedMemberByMember) {
  const Reply reply = set_row({{"percent", 75}, {"reason", "looks good"}});
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(row()["percent"], 75);
  EXPECT_EQ(row()["reason"], "looks good");
  EXPECT_EQ(row()["owner"], "u-1");
  EXPECT_EQ(weir.get("/v1/explain?tenant=acme&scenario=chat").json()["revision"], 2);

  EXPECT_EQ(set_row({{"state", "production"}, {"reason", "r"}}).status, 200);
  EXPECT_FALSE(row().contains("percent")) << "production is everybody";
  EXPECT_EQ(set_row({{"segments", nullptr}, {"reason", "r"}}).status, 200);
  EXPECT_FALSE(row().contains("segments"));
}

TEST_F(AdminObjects, ARowBeginsWithThePreviousUnitItWillReturnTo) {
  const json members{
      {"state", "pilot"}, {"percent", 5}, {"owner", "u-1"}, {"review", "2200-01-01"}, {"reason", "r"}};
  ASSERT_EQ(set_row(members, "/v1/flags/v2/tenants/solo").status, 200);
  EXPECT_EQ(row("solo")["previous"], "mini");
}

TEST_F(AdminObjects, ARowThatDoesNotFitIsRefused) {
  EXPECT_EQ(set_row({{"percent", 75}, {"reason", "r"}}, "/v1/flags/none/tenants/acme").status, 404);
  EXPECT_EQ(set_row({{"percent", 75}, {"reason", "r"}}, "/v1/flags/v2/tenants/none").status, 404);
  const Reply unknown = set_row({{"percents", 75}, {"reason", "r"}});
  EXPECT_EQ(unknown.status, 422);
  EXPECT_THAT(unknown.body, HasSubstr("percent"));
  EXPECT_EQ(set_row({{"percent", 101}, {"reason", "r"}}).status, 422);
  EXPECT_EQ(set_row({{"state", "pilot"}, {"reason", "r"}}, "/v1/flags/v2/tenants/solo").status, 422)
      << "a row without owner and review";
  EXPECT_EQ(revision(), 1u);
}

// ---- dry runs
// ---------------------------------------------------------------------------------------------------

TEST_F(AdminObjects, ADryRunShowsWhatWouldChangeAndChangesNothing) {
  const Reply reply = weir.post("/v1/flags/v2/tenants/acme?dry_run=true", {{"percent", 75}, {"reason", "r"}});
  ASSERT_EQ(reply.status, 200) << reply.body;
  const json would = reply.json();
  EXPECT_EQ(would["dry_run"], true);
  EXPECT_EQ(would["count"], 1);
  EXPECT_EQ(would["changes"][0]["kind"], "tenant");
  EXPECT_EQ(would["changes"][0]["name"], "acme");
  EXPECT_EQ(would["changes"][0]["before"]["flags"]["v2"]["percent"], 50);
  EXPECT_EQ(would["changes"][0]["after"]["flags"]["v2"]["percent"], 75);
  EXPECT_EQ(weir.put_table(table_text(5)).json()["changed"], 1);
  const Reply table = weir.call("PUT", "/v1/table?reason=r&dry_run=true", table_text(6),
                                "content-type: application/yaml\r\n");
  EXPECT_EQ(table.json()["count"], 1) << table.body;
  EXPECT_EQ(revision(), 2u);
}

// ---- one after the other
// ------------------------------------------------------------------------------------------

TEST_F(AdminObjects, OfTwoWritersOnOneBaseOneIsToldOfTheOther) {
  AdminClient first(*weir.loop, weir.socket_path()), second(*weir.loop, weir.socket_path());
  const std::string fields = "content-type: application/json\r\nif-match: \"1\"\r\n";
  first.send(AdminHost::request("PUT", "/v1/tenants/a?reason=r", "{}", fields));
  second.send(AdminHost::request("PUT", "/v1/tenants/b?reason=r", "{}", fields));
  const int a = first.read().status, b = second.read().status;
  EXPECT_EQ(std::minmax(a, b), std::minmax(200, 409));
  EXPECT_EQ(revision(), 2u);
}

TEST_F(AdminObjects, WithoutABaseEachChangeIsWorkedOutFromTheOneBefore) {
  AdminClient client(*weir.loop, weir.socket_path());
  std::string batch;
  for (const char* member : {"rpm", "tpm", "concurrency"}) {
    batch += AdminHost::request("PATCH", "/v1/tenants/acme?reason=r", json{{"limits", {{member, 7}}}}.dump(),
                                "content-type: application/json\r\n");
  }
  client.send(batch);
  std::vector<int> revisions;
  for (int i = 0; i < 3; ++i) revisions.push_back(client.read().json()["revision"].get<int>());
  EXPECT_THAT(revisions, ElementsAre(2, 3, 4));
  EXPECT_THAT(weir.get("/v1/tenants/acme").json()["limits"], SizeIs(3));
}

TEST_F(AdminObjects, NoMoreThanMaxQueuedChangesWait) {
  int refused = 0, made = 0;
  const auto request = [&](uint32_t i) {
    return ChangeRequest{.caller = {.name = "a", .role = Role::admin},
                         .action = "put",
                         .target = "t",
                         .reason = "r",
                         .plan = [i](const Newest&) -> std::expected<Plan, Refusal> {
                           return Plan{.changes = {{.kind = ObjectKind::tenant,
                                                    .name = "q",
                                                    .after = "{\"name\":\"" + std::to_string(i) + "\"}"}}};
                         }};
  };
  for (uint32_t i = 0; i <= core::limits::kMaxQueuedChanges; ++i) {
    weir.control.change(request(i), [&](const ChangeResult& result) {
      if (result) return (void)++made;
      EXPECT_EQ(result.error().kind, Refusal::Kind::queue_full);
      ++refused;
    });
  }
  EXPECT_EQ(refused, 1);
  EXPECT_TRUE(tests::run_until(*weir.loop,
                               [&] { return made == static_cast<int>(core::limits::kMaxQueuedChanges); }));
  EXPECT_EQ(weir.control.revision(), 1 + core::limits::kMaxQueuedChanges);
}

}  // namespace
}  // namespace weir::routing
