#include "routing/admin/admin_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/routing/admin/admin_fixture.h"

namespace weir::routing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr std::string_view kJsonType = "content-type: application/json\r\n";
constexpr std::string_view kYamlType = "content-type: application/yaml\r\n";

// {"error":{...}} with all four keys.
void expect_error(const Reply& reply, int status, const json& code) {
  EXPECT_EQ(reply.status, status) << reply.body;
  const json error = reply.json()["error"];
  ASSERT_TRUE(error.is_object()) << reply.body;
  for (const char* key : {"message", "type", "param", "code"}) EXPECT_TRUE(error.contains(key)) << key;
  EXPECT_EQ(error["code"], code);
}

TEST(AdminApi, StatusSaysWhatRuns) {
  AdminHost weir({.shards = 2});
  weir.gateway.ready = true;
  weir.gateway.metrics[0]->connections.set(3);
  weir.gateway.metrics[1]->connections.set(4);
  weir.gateway.metrics[1]->exchanges.set(2);
  const Reply reply = weir.get("/v1/status");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.header("content-type"), "application/json");
  const json status = reply.json();
  EXPECT_EQ(status["version"], "1.2.3");
  EXPECT_EQ(status["pid"], getpid());
  EXPECT_EQ(status["ready"], true);
  EXPECT_EQ(status["revision"], 1);
  EXPECT_EQ(status["shards"], 2);
  EXPECT_EQ(status["table"],
            (json{{"tenants", 2}, {"scenarios", 1}, {"flags", 1}, {"units", 4}, {"keys", 1}}));
  EXPECT_EQ(status["kills"], json::array());
  EXPECT_EQ(status["connections"], 7);
  EXPECT_EQ(status["exchanges"], 2);
  EXPECT_EQ(status["live_tables"], 1);
  EXPECT_TRUE(status["uptime_s"].is_number());
  EXPECT_THAT(status["published"].get<std::string>(), ::testing::EndsWith("Z"));
}

TEST(AdminApi, PutReplacesTheTable) {
  AdminHost weir;
  const Reply reply = weir.put_table(table_text(5, "large"));
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.json()["revision"], 2);
  EXPECT_EQ(reply.json()["changed"], 4);
  EXPECT_LE(reply.json()["durable_in_ms"].get<double>(), reply.json()["live_in_ms"].get<double>());
  EXPECT_LE(reply.json()["commit_ms"].get<double>(), reply.json()["durable_in_ms"].get<double>());
  EXPECT_EQ(reply.header("etag"), "\"2\"");
  EXPECT_EQ(weir.status()["revision"], 2);
  EXPECT_TRUE(weir.control.table().body->unit_names.find("large").has_value());
}

TEST(AdminApi, GetTableGivesTheDocumentBackAndPutTakesIt) {
  AdminHost weir;
  const Reply got = weir.get("/v1/table");
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.header("etag"), "\"1\"");
  EXPECT_EQ(got.json()["tenants"]["acme"]["flags"]["v2"]["percent"], 50);
  const Reply put = weir.put_table(got.body, kJsonType);
  EXPECT_EQ(put.status, 200) << put.body;
  EXPECT_EQ(weir.get("/v1/table").body, got.body);
}

TEST(AdminApi, ABadTableIsRefusedWithEveryReasonAndTheOldOneServes) {
  AdminHost weir;
  std::string text = table_text();
  text.replace(text.find("provider: local, tier: economy"), 15, "provider: lokal");
  text.replace(text.find("stable: mini"), 12, "stable: maxi");
  const Reply reply = weir.put_table(text);
  expect_error(reply, 422, "invalid_table");
  const json problems = reply.json()["problems"];
  ASSERT_THAT(problems, SizeIs(2));
  EXPECT_EQ(reply.json()["problem_count"], 2);
  EXPECT_EQ(problems[0]["path"], "models.m-1.provider");
  EXPECT_EQ(problems[1]["path"], "scenarios.chat.stable");
  EXPECT_THAT(problems[1]["message"].get<std::string>(), HasSubstr("maxi"));
  EXPECT_EQ(weir.status()["revision"], 1);
}

TEST(AdminApi, ASyntaxErrorComesWithItsLine) {
  AdminHost weir;
  const Reply reply = weir.put_table("providers: {\n  ]\n");
  expect_error(reply, 422, "invalid_table");
  EXPECT_EQ(reply.json()["problems"][0]["line"], 2);
}

TEST(AdminApi, ValidateSaysTheSameAndChangesNothing) {
  AdminHost weir;
  const Reply good = weir.call("POST", "/v1/table:validate", table_text(7), kYamlType);
  EXPECT_EQ(good.status, 200) << good.body;
  EXPECT_EQ(good.json(), (json{{"valid", true}}));
  const Reply bad = weir.call("POST", "/v1/table:validate", R"({"unit":{}})", kJsonType);
  expect_error(bad, 422, "invalid_table");
  EXPECT_FALSE(bad.json()["problems"].empty());
  EXPECT_EQ(weir.status()["revision"], 1);
}

TEST(AdminApi, AChangeIsAnsweredOnlyWhenEveryShardUsesIt) {
  AdminHost weir({.shards = 2});
  AdminClient client(*weir.loop, weir.socket_path());
  client.send(AdminHost::request("PUT", "/v1/table?reason=r", table_text(5), kYamlType));
  ASSERT_TRUE(tests::run_until(*weir.loop, [&] { return weir.control.table().revision == 2; }));
  weir.readers[0]->refresh();
  tests::run_for(*weir.loop, std::chrono::milliseconds(20));
  EXPECT_FALSE(client.poll().has_value());
  weir.readers[1]->refresh();
  EXPECT_EQ(client.read().json()["revision"], 2);
}

TEST(AdminApi, SaysWhenAShardDoesNotTakeAChangeUp) {
  AdminHost weir({.shards = 1, .control = {.compile = {}, .everyone_timeout_ms = 10}});
  const Reply reply = weir.put_table(table_text(5));
  expect_error(reply, 504, "not_everywhere");
  EXPECT_THAT(reply.body, HasSubstr("Revision 2 is published"));
  EXPECT_EQ(weir.status()["revision"], 2);
}

TEST(AdminApi, IfMatchRefusesALostUpdate) {
  AdminHost weir;
  const auto put = [&](std::string_view tag) {
    return weir.put_table(table_text(5), std::string(kYamlType) + "if-match: " + std::string(tag) + "\r\n");
  };
  EXPECT_EQ(put("\"1\"").status, 200);
  expect_error(put("\"1\""), 409, "lost_update");
  EXPECT_EQ(weir.status()["revision"], 2);
  EXPECT_EQ(put("2").status, 200);
  EXPECT_EQ(put("*").status, 200);
  for (const char* bad : {"\"\"", "abc", "\"1\", \"2\"", "-1", "W/\"4\""})
    expect_error(put(bad), 400, json());
  EXPECT_EQ(weir.status()["revision"], 2) << "the same table once more is no change";
}

// Two changes on the same revision, sent together: one wins, and the loser is told.
TEST(AdminApi, OfTwoChangesOnOneRevisionOneIsLost) {
  AdminHost weir;
  AdminClient first(*weir.loop, weir.socket_path()), second(*weir.loop, weir.socket_path());
  const std::string fields = std::string(kYamlType) + "if-match: \"1\"\r\n";
  first.send(AdminHost::request("PUT", "/v1/table?reason=r", table_text(5), fields));
  second.send(AdminHost::request("PUT", "/v1/table?reason=r", table_text(6), fields));
  const int a = first.read().status, b = second.read().status;
  EXPECT_EQ(std::minmax(a, b), std::minmax(200, 409));
  EXPECT_EQ(weir.status()["revision"], 2);
}

TEST(AdminApi, KillsAndTakesAKillBack) {
  AdminHost weir;
  const Reply killed =
      weir.post("/v1/kill", {{"scope", "unit"}, {"name", "big"}, {"reason", "incident 311"}});
  EXPECT_EQ(killed.status, 200) << killed.body;
  EXPECT_EQ(killed.json()["revision"], 2);
  const json kills = weir.status()["kills"];
  ASSERT_THAT(kills, SizeIs(1));
  EXPECT_EQ(kills[0]["scope"], "unit");
  EXPECT_EQ(kills[0]["name"], "big");
  EXPECT_EQ(kills[0]["reason"], "incident 311");
  EXPECT_TRUE(weir.control.table().kills.any);

  // Once more is as good as done.
  EXPECT_EQ(
      weir.post("/v1/kill", {{"scope", "unit"}, {"name", "big"}, {"reason", "again"}}).json()["revision"], 2);

  const Reply back = weir.post("/v1/unkill", {{"scope", "unit"}, {"name", "big"}, {"reason", "mended"}});
  EXPECT_EQ(back.json()["revision"], 3);
  EXPECT_FALSE(weir.control.table().kills.any);
  EXPECT_EQ(weir.status()["kills"], json::array());
}

TEST(AdminApi, KillsEverythingByTheGlobalScope) {
  AdminHost weir;
  EXPECT_EQ(weir.post("/v1/kill", {{"scope", "global"}, {"reason", "x"}}).status, 200);
  EXPECT_TRUE(weir.control.table().kills.global);
  EXPECT_TRUE(weir.status()["kills"][0]["name"].is_null());
  EXPECT_EQ(weir.post("/v1/kill:unkill", {{"scope", "global"}, {"name", nullptr}, {"reason", "x"}}).status,
            200);
  EXPECT_FALSE(weir.control.table().kills.any);
}

TEST(AdminApi, AKillOutlivesTheTable) {
  AdminHost weir;
  weir.post("/v1/kill", {{"scope", "unit"}, {"name", "big"}, {"reason", "x"}});
  EXPECT_EQ(weir.put_table(table_text(5, "large")).status, 200);
  EXPECT_EQ(weir.put_table(table_text(5, "big")).status, 200);
  const uint32_t big = *weir.control.table().body->unit_names.find("big");
  EXPECT_TRUE(weir.control.table().kills.units.at(big));
}

TEST(AdminApi, RefusesToKillWhatIsNotThere) {
  AdminHost weir;
  expect_error(weir.post("/v1/kill", {{"scope", "unit"}, {"name", "bog"}, {"reason", "x"}}), 404,
               "unknown_name");
  expect_error(weir.post("/v1/unkill", {{"scope", "unit"}, {"name", "big"}, {"reason", "x"}}), 404,
               "not_killed");
  EXPECT_EQ(weir.status()["revision"], 1);
}

TEST(AdminApi, RefusesKillsThatAreMalformed) {
  AdminHost weir;
  const auto param_of = [&](std::string_view body) {
    const Reply reply = weir.call("POST", "/v1/kill", body, kJsonType);
    expect_error(reply, 400, json());
    return reply.json()["error"]["param"];
  };
  EXPECT_EQ(param_of("{"), json());
  EXPECT_EQ(param_of("[]"), json());
  EXPECT_EQ(param_of(R"({"name":"big"})"), "scope");
  EXPECT_EQ(param_of(R"({"scope":"planet","name":"big"})"), "scope");
  EXPECT_EQ(param_of(R"({"scope":7,"name":"big"})"), "scope");
  EXPECT_EQ(param_of(R"({"scope":"unit"})"), "name");
  EXPECT_EQ(param_of(R"({"scope":"global","name":"big"})"), "name");
  EXPECT_EQ(param_of(R"({"scope":"unit","name":"big","tenent":"acme"})"), "tenent");
  EXPECT_EQ(
      param_of(
          json{{"scope", "global"}, {"reason", std::string(core::limits::kMaxTextBytes + 1, 'x')}}.dump()),
      "reason");
  EXPECT_EQ(param_of(R"({"scope":"unit","name":"big"})"), "reason");
  EXPECT_EQ(param_of(R"({"scope":"unit","name":"big","reason":""})"), "reason");
  EXPECT_EQ(param_of(R"({"scope":"unit","name":"big","reason":"\u202e"})"), "reason") << "bidi";
}

TEST(AdminApi, ExplainsADecisionRuleByRule) {
  AdminHost weir;
  const Reply reply = weir.get("/v1/explain?tenant=acme&scenario=chat&attr.plan=pro");
  EXPECT_EQ(reply.status, 200) << reply.body;
  const json explained = reply.json();
  EXPECT_EQ(explained["tenant"], "acme");
  EXPECT_EQ(explained["scenario"], "chat");
  EXPECT_EQ(explained["unit"], "big");
  EXPECT_EQ(explained["arm"], "candidate");
  EXPECT_EQ(explained["flag"], "v2");
  EXPECT_EQ(explained["state"], "pilot");
  EXPECT_EQ(explained["reason"], "segment");
  EXPECT_EQ(explained["revision"], 1);
  EXPECT_EQ(explained["error"], json());
  EXPECT_FALSE(explained["steps"].empty());
  for (const json& step : explained["steps"]) {
    EXPECT_TRUE(step["rule"].is_string() && step["matched"].is_boolean() && step["detail"].is_string());
  }
}

TEST(AdminApi, ExplainUsesTheKeysScenarioAndTheConversationsPin) {
  AdminHost weir;
  const uint32_t big = *weir.control.table().body->unit_names.find("big");
  EXPECT_EQ(weir.get("/v1/explain?tenant=acme&conversation=c%201").json()["scenario"], "chat");
  weir.gateway.pins.store(weir.gateway.pins.key("acme", "chat", "c 1"),
                          weir.control.table().body->units[big].short_hash, weir.loop->now_ns());
  const json explained = weir.get("/v1/explain?key=acme-app&conversation=c%201").json();
  EXPECT_EQ(explained["reason"], "pinned");
  EXPECT_EQ(explained["unit"], "big");
}

TEST(AdminApi, ExplainSaysWhatARefusedRequestWouldMeet) {
  AdminHost weir;
  weir.post("/v1/kill", {{"scope", "tenant"}, {"name", "acme"}, {"reason", "x"}});
  const json explained = weir.get("/v1/explain?tenant=acme&scenario=chat").json();
  EXPECT_EQ(explained["unit"], json());
  EXPECT_EQ(explained["error"]["code"], "insufficient_quota");
  EXPECT_EQ(explained["error"]["status"], 429);
  EXPECT_EQ(weir.get("/v1/explain?tenant=acme&scenario=none").json()["error"]["code"], "model_not_found");
}

TEST(AdminApi, ExplainNamesTheParameterAtFault) {
  AdminHost weir;
  const auto param_of = [&](std::string_view query, int status) {
    const Reply reply = weir.get("/v1/explain" + std::string(query));
    expect_error(reply, status, json());
    return reply.json()["error"]["param"];
  };
  EXPECT_EQ(param_of("", 400), "tenant");
  EXPECT_EQ(param_of("?tenant=nobody", 404), "tenant");
  EXPECT_EQ(param_of("?key=none", 404), "key");
  EXPECT_EQ(param_of("?tenant=solo", 400), "scenario");  // has no key
  EXPECT_EQ(param_of("?tenant=solo&key=acme-app", 403), "tenant");
  EXPECT_EQ(param_of("?tenant=acme&attr.plan=gold", 400), "attr.plan");
  EXPECT_EQ(param_of("?tenant=acme&tenant=solo", 400), json());
  EXPECT_EQ(param_of("?tenant=%zz", 400), json());
  EXPECT_EQ(weir.get("/v1/explain?tenant=solo&scenario=chat").json()["unit"], "mini");
}

TEST(AdminApi, ServesMetricsAndHealth) {
  AdminHost weir({.shards = 1});
  const Reply metrics = weir.get("/metrics");
  EXPECT_EQ(metrics.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_THAT(metrics.body, HasSubstr("\nweir_requests_total{shard=\"0\"} 0\n"));
  EXPECT_THAT(metrics.body, HasSubstr("\nweir_table_revision 1\n"));
  EXPECT_THAT(metrics.body, HasSubstr("\nweir_info{version=\"1.2.3\"} 1\n"));
  EXPECT_EQ(weir.get("/healthz").status, 200);
}

TEST(AdminApi, WithoutALauncherRefusesToBeReplaced) {
  AdminHost weir;
  const Reply reply = weir.call("POST", "/v1/upgrade");
  EXPECT_EQ(reply.status, 409);
  EXPECT_EQ(reply.json()["error"]["code"], "upgrade_refused");
  EXPECT_EQ(weir.status()["upgrading"], false);
  EXPECT_EQ(weir.status()["upgrade_failure"], json());
}

TEST(AdminApi, RefusesWhatItDoesNotKnow) {
  AdminHost weir;
  expect_error(weir.get("/"), 404, json());
  expect_error(weir.get("/v1/status/"), 404, json());
  expect_error(weir.get("/v1/%73tatus"), 404, json());
  const Reply wrong_method = weir.call("DELETE", "/v1/table");
  expect_error(wrong_method, 405, json());
  EXPECT_EQ(wrong_method.header("allow"), "GET, PUT");
  EXPECT_EQ(weir.get("/v1/kill").header("allow"), "POST");
  expect_error(weir.call("PUT", "/v1/table?reason=r"), 411, json());
  expect_error(weir.call("PUT", "/v1/table?reason=r", "x", "content-type: text/plain\r\n"), 415, json());
  expect_error(weir.call("POST", "/v1/kill", "x", kYamlType), 415, json());
  expect_error(weir.call("GET", "/v1/status", "x"), 400, json());
  expect_error(
      weir.call("PUT", "/v1/table?reason=r", "x", std::string(kYamlType) + "content-encoding: gzip\r\n"), 415,
      json());
}

TEST(AdminApi, RefusesATableAboveMaxAdminBodyBytesBeforeReadingIt) {
  AdminHost weir;
  AdminClient client(*weir.loop, weir.socket_path());
  client.send("PUT /v1/table HTTP/1.1\r\nhost: weir\r\n" + std::string(kYamlType) +
              "content-length: " + std::to_string(core::limits::kMaxAdminBodyBytes + 1) + "\r\n\r\n");
  expect_error(client.read(), 413, json());
  EXPECT_TRUE(client.ended());
}

TEST(AdminApi, LetsATableInAndOutThatIsLargerThanAnyRequest) {
  AdminHost weir;
  constexpr size_t kTenants = 20'000;
  nlohmann::json table = weir.get("/v1/table").json();
  const std::string name(4'000, 'n');
  for (size_t i = 0; i < kTenants; ++i) table["tenants"]["t-" + std::to_string(i)] = {{"name", name}};
  const std::string text = table.dump();
  ASSERT_GT(text.size(), 2 * core::limits::kMaxBodyBytes);
  const Reply put = weir.call("PUT", "/v1/table?reason=r", text, kJsonType);
  ASSERT_EQ(put.status, 200) << put.body;
  const Reply got = weir.get("/v1/table");
  EXPECT_EQ(got.status, 200);
  EXPECT_GT(got.body.size(), kTenants * name.size());
  EXPECT_EQ(got.json()["tenants"].size(), kTenants + 2);
  // Its memory goes back: no block that is larger than a request's is kept.
  EXPECT_LT(weir.loop->buffers().allocated_bytes(), text.size() + core::limits::kMaxBodyBytes);
}

TEST(AdminApi, TellsConnectionsAboveMaxAdminConnections) {
  AdminHost weir;
  std::vector<std::unique_ptr<AdminClient>> clients;
  for (uint32_t i = 0; i < core::limits::kMaxAdminConnections; ++i) {
    clients.push_back(std::make_unique<AdminClient>(*weir.loop, weir.socket_path()));
    clients.back()->send(AdminHost::request("GET", "/healthz"));
    ASSERT_EQ(clients.back()->read().status, 200);
  }
  AdminClient one_more(*weir.loop, weir.socket_path());
  expect_error(one_more.read(), 503, "overloaded");
}

TEST(AdminApi, AnswersPipelinedRequestsInOrder) {
  AdminHost weir;
  AdminClient client(*weir.loop, weir.socket_path());
  client.send(AdminHost::request("PUT", "/v1/table?reason=r", table_text(5), kYamlType) +
              AdminHost::request("GET", "/v1/status") + AdminHost::request("GET", "/healthz"));
  EXPECT_EQ(client.read().json()["revision"], 2);
  EXPECT_THAT(client.read().body, StartsWith("{\"version\""));
  EXPECT_EQ(client.read().json()["status"], "ok");
}

TEST(AdminApi, AChangeIsMadeThoughItsClientHasGone) {
  AdminHost weir;
  {
    AdminClient client(*weir.loop, weir.socket_path());
    client.send(AdminHost::request("PUT", "/v1/table?reason=r", table_text(5), kYamlType));
    weir.loop->turn(0);
  }
  EXPECT_TRUE(tests::run_until(*weir.loop, [&] { return weir.control.table().revision == 2; }));
  EXPECT_EQ(weir.status()["revision"], 2);
}

TEST(AdminApi, ClosesWhileAnAnswerIsOwed) {
  AdminHost weir;
  AdminClient client(*weir.loop, weir.socket_path());
  client.send(AdminHost::request("PUT", "/v1/table?reason=r", table_text(5), kYamlType));
  weir.loop->turn(0);
}

}  // namespace
}  // namespace weir::routing
