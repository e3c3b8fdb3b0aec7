// weirctl from the outside: the real binary against a stand-in for the admin socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_admin.h"
#include "tests/support/process.h"
#include "tools/exit_codes.h"

namespace weir::tools {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using weir::testing::FakeAdmin;
using weir::testing::RunResult;
using weir::testing::TemporaryFolder;

const std::string kStatus =
    R"({"version":"0.1.0","pid":7,"uptime_s":3723,"ready":true,"revision":42,"published":"2026-12-01T09:00:00Z","shards":2,)"
    R"("table":{"tenants":2,"scenarios":1,"flags":1,"units":2,"keys":2},)"
    R"("kills":[{"scope":"unit","name":"support-41","reason":"incident 311","since":"2026-12-01T10:00:00Z"}],)"
    R"("connections":12,"exchanges":1,"live_tables":1})";

const std::string kProblems =
    R"({"error":{"message":"The table was refused.","type":"invalid_request_error","param":null,"code":"invalid_table"},)"
    R"("problems":[{"path":"units.a.model","message":"there is no model 'x'"},{"path":"","message":"too large"}],"problem_count":5})";

class Weirctl : public ::testing::Test {
 protected:
  RunResult weirctl(std::vector<std::string> arguments, std::string input = "") {
    return weir::testing::run(WEIRCTL_BINARY, {.arguments = std::move(arguments),
                                               .environment = {{"WEIR_ADMIN_SOCKET", admin.socket_path()}},
                                               .input = std::move(input)});
  }

  FakeAdmin admin;
  TemporaryFolder folder;
};

TEST_F(Weirctl, ShowsTheStatusToPeople) {
  admin.answer("GET", "/v1/status", 200, kStatus);
  RunResult result = weirctl({"status"});
  EXPECT_EQ(result.exit_code, kExitOk) << result.errors;
  EXPECT_EQ(result.output,
            "weir 0.1.0  ready  revision 42  up 1h2m  2 shards  12 connections  1 exchange in flight\n"
            "pid      7\n"
            "table    published 2026-12-01 09:00Z: 2 tenants, 1 scenario, 1 flag, 2 units, 2 keys\n"
            "killed   unit support-41 since 2026-12-01 10:00Z: incident 311\n");
}

TEST_F(Weirctl, CountsTheTablesThatAreStillInUseBesideTheCurrentOne) {
  admin.answer("GET", "/v1/status", 200, R"({"live_tables":1})");
  EXPECT_THAT(weirctl({"status"}).output, Not(HasSubstr("older")));
  admin.answer("GET", "/v1/status", 200, R"({"live_tables":3})");
  EXPECT_THAT(weirctl({"status"}).output, HasSubstr("2 older tables serve exchanges that began on them"));
}

TEST_F(Weirctl, PrintsTheAnswerAsItCameWithJson) {
  admin.answer("GET", "/v1/status", 200, kStatus);
  EXPECT_EQ(weirctl({"status", "--json"}).output, kStatus + "\n");
  EXPECT_EQ(weirctl({"--json", "status"}).output, kStatus + "\n");
}

TEST_F(Weirctl, SaysThatWeirCannotBeReached) {
  RunResult result = weirctl({"--socket", folder.file("none.sock"), "status"});
  EXPECT_EQ(result.exit_code, kExitUnreachable);
  EXPECT_THAT(result.errors,
              StartsWith("cannot reach weir at " + folder.file("none.sock") + ": No such file or directory"));
  EXPECT_EQ(weirctl({"--socket", folder.file("none.sock"), "watch", "--once"}).exit_code, kExitUnreachable);
  EXPECT_EQ(weirctl({"--socket", "/" + std::string(200, 'x'), "status"}).exit_code, kExitUnreachable);
}

TEST_F(Weirctl, RefusesBadArgumentsWithoutCalling) {
  EXPECT_EQ(weirctl({}).exit_code, kExitBadInput);
  EXPECT_EQ(weirctl({"frobnicate"}).exit_code, kExitBadInput);
  EXPECT_EQ(weirctl({"kill", "planet", "earth", "--reason", "r"}).exit_code, kExitBadInput);
  EXPECT_EQ(weirctl({"kill", "unit", "support-41"}).exit_code, kExitBadInput) << "a reason is required";
  EXPECT_EQ(weirctl({"kill", "unit", "--reason", "r"}).exit_code, kExitBadInput) << "a name is required";
  EXPECT_EQ(weirctl({"kill", "global", "all", "--reason", "r"}).exit_code, kExitBadInput);
  EXPECT_EQ(weirctl({"explain", "--tenant", "t", "--attr", "plan"}).exit_code, kExitBadInput);
  EXPECT_EQ(weirctl({"apply", folder.file("none.yaml"), "--reason", "r"}).exit_code, kExitBadInput);
  EXPECT_EQ(weirctl({"apply", "-"}).exit_code, kExitBadInput) << "a reason is required";
  EXPECT_EQ(weirctl({"apply", "--reason", "r"}).exit_code, kExitBadInput) << "a file is required";
  EXPECT_EQ(weirctl({"validate", folder.path()}).exit_code, kExitBadInput);
  EXPECT_THAT(admin.requests(), IsEmpty());
}

TEST_F(Weirctl, AppliesATableOnTheRevisionThatServes) {
  admin.answer("GET", "/v1/status", 200, kStatus);
  admin.answer("PUT", "/v1/table", 200,
               R"({"revision":43,"changed":2,"durable_in_ms":0.84,"live_in_ms":1.25,"commit_ms":0.5})");
  RunResult result =
      weirctl({"apply", folder.write("table.yaml", "tenants: {}\n"), "--reason", "5 % → 25 %"});
  EXPECT_EQ(result.exit_code, kExitOk) << result.errors;
  EXPECT_EQ(
      result.output,
      "revision 43 answers on every shard: 2 objects changed; on disk after 0.8 ms, live after 1.2 ms\n");
  ASSERT_THAT(admin.requests(), SizeIs(2));
  FakeAdmin::Request put = admin.requests()[1];
  EXPECT_EQ(put.method, "PUT");
  EXPECT_EQ(put.target, "/v1/table?reason=5%20%25%20%E2%86%92%2025%20%25");
  EXPECT_EQ(put.body, "tenants: {}\n");
  EXPECT_EQ(put.headers["content-type"], "application/yaml");
  EXPECT_EQ(put.headers["if-match"], "\"42\"");
}

TEST_F(Weirctl, AppliesOnTheRevisionItWasToldWithoutAsking) {
  admin.answer(
      "PUT", "/v1/table", 409,
      R"({"error":{"message":"Revision 42 serves now, not 40.","type":"x","param":null,"code":"lost_update"},"revision":42})");
  RunResult result =
      weirctl({"apply", folder.write("table.json", "{}"), "--revision", "40", "--reason", "r"});
  EXPECT_EQ(result.exit_code, kExitConflict);
  EXPECT_EQ(result.errors, "Revision 42 serves now, not 40.\nwhat has changed:\n  weirctl diff 40 42\n");
  ASSERT_THAT(admin.requests(), SizeIs(1));
  EXPECT_EQ(admin.requests()[0].headers["if-match"], "\"40\"");
  EXPECT_EQ(admin.requests()[0].headers["content-type"], "application/json");
  EXPECT_EQ(admin.requests()[0].target, "/v1/table?reason=r");
}

TEST_F(Weirctl, PrintsEveryProblemOfARefusedTable) {
  admin.answer("POST", "/v1/table:validate", 422, kProblems);
  admin.answer("PUT", "/v1/table", 422, kProblems);
  for (std::vector<std::string> command :
       {std::vector<std::string>{"validate", "-"}, {"apply", "-", "--dry-run"}}) {
    RunResult result = weirctl(command, "  {\"units\": {}}");
    EXPECT_EQ(result.exit_code, kExitBadInput);
    EXPECT_EQ(result.errors,
              "The table was refused.\nunits.a.model: there is no model 'x'\ntoo large\nand 3 more\n");
  }
  EXPECT_EQ(admin.requests()[0].headers["content-type"], "application/json");
  EXPECT_EQ(admin.requests()[0].body, "  {\"units\": {}}");
}

TEST_F(Weirctl, SaysThatATableIsValid) {
  admin.answer("POST", "/v1/table:validate", 200, R"({"valid":true})");
  std::string file = folder.write("table.yaml", "units: {}");
  EXPECT_EQ(weirctl({"validate", file}).output, file + " is valid\n");
}

TEST_F(Weirctl, KillsAndUnkills) {
  admin.answer("POST", "/v1/kill", 200, R"({"revision":44,"live_in_ms":1.01})");
  admin.answer("POST", "/v1/unkill", 200, R"({"revision":45})");
  EXPECT_EQ(weirctl({"kill", "unit", "support-41", "--reason", "incident \"311\""}).output,
            "unit support-41 is switched off on every shard, after 1.0 ms; revision 44\n"
            "back on:\n  weirctl unkill unit support-41 --reason '...'\n");
  EXPECT_EQ(weirctl({"unkill", "global", "--reason", "over"}).output, "global is back; revision 45\n");
  ASSERT_THAT(admin.requests(), SizeIs(2));
  EXPECT_EQ(nlohmann::json::parse(admin.requests()[0].body),
            nlohmann::json({{"scope", "unit"}, {"name", "support-41"}, {"reason", "incident \"311\""}}));
  EXPECT_EQ(nlohmann::json::parse(admin.requests()[1].body),
            nlohmann::json({{"scope", "global"}, {"reason", "over"}}));
}

TEST_F(Weirctl, ExplainsADecisionRuleByRule) {
  admin.answer(
      "GET", "/v1/explain", 200,
      R"({"tenant":"bank-17","scenario":"support-chat","unit":"support-41","arm":"candidate","flag":"support-v2",)"
      R"("state":"pilot","reason":"split_in","revision":42,"steps":[)"
      R"({"rule":"kill","matched":false,"detail":"nothing is killed"},)"
      R"({"rule":"split","matched":true,"detail":"3.412 % < 5 %"}]})");
  RunResult result = weirctl({"explain", "--tenant", "bank-17", "--scenario", "support-chat", "--user", "a b",
                              "--attr", "plan=pro", "--attr", "region=eu=1"});
  EXPECT_EQ(result.exit_code, kExitOk) << result.errors;
  EXPECT_EQ(result.output,
            "support-chat for tenant bank-17 gets unit support-41\n"
            "arm candidate, flag support-v2, state pilot, reason split_in, revision 42\n"
            "\n"
            "RULE   MATCHED  DETAIL\n"
            "kill   no       nothing is killed\n"
            "split  yes      3.412 % < 5 %\n");
  EXPECT_EQ(admin.requests()[0].target,
            "/v1/explain?tenant=bank-17&scenario=support-chat&user=a%20b&attr.plan=pro&attr.region=eu%3D1");
}

TEST_F(Weirctl, ShowsWhatGuardsHaveCounted) {
  admin.answer("GET", "/v1/limits", 200,
               R"({"limits":[{"scope":"tenant","name":"bank-17","limit":"rpm","rate":600,"on_exceed":"cached","remaining":12,)"
               R"("reset_ms":5000,"refused":3}],"more":true})");
  admin.answer(
      "GET", "/v1/budgets", 200,
      R"({"budgets":[{"scope":"global","window":"1d","usd":2000.0,"on_exceed":"kill","spent_usd":12.5,)"
      R"("reserved_usd":0.25,"open":false,"trips":0,"refused":0,"ends_in_s":60}],"more":false})");
  admin.answer("GET", "/v1/breakers", 200,
               R"({"breakers":[{"model":"m","provider":"p","state":"open","open_ms":900,"limited":true,)"
               R"("consecutive_failures":10,"opened":1,"kept_away":7}]})");
  EXPECT_EQ(weirctl({"limits", "--tenant", "bank-17"}).output,
            "SCOPE   NAME     LIMIT  RATE  ON_EXCEED  LEFT  RESET_MS  REFUSED\n"
            "tenant  bank-17  rpm     600  cached       12      5000        3\n"
            "and more: ask for one with --tenant\n");
  EXPECT_EQ(admin.requests()[0].target, "/v1/limits?tenant=bank-17");
  weirctl({"limits", "--tenant", "bank-17", "--user", "u 7", "--closest"});
  EXPECT_EQ(admin.requests()[1].target, "/v1/limits?tenant=bank-17&user=u%207&sort=used");
  EXPECT_EQ(weirctl({"limits", "--user", "u-7"}).exit_code, kExitBadInput) << "whose?";
  EXPECT_EQ(weirctl({"budgets"}).output,
            "SCOPE   WINDOW     USD  SPENT  RESERVED  ON_EXCEED  OPEN   TRIPS  REFUSED  ENDS_IN_S\n"
            "global  1d      2000.0   12.5      0.25  kill       false      0        0         60\n");
  EXPECT_EQ(weirctl({"breakers"}).output,
            "MODEL  PROVIDER  STATE  OPEN_MS  SAID_429  FAILED_IN_A_ROW  OPENED  KEPT_AWAY\n"
            "m      p         open       900  true                   10       1          7\n");
}

TEST_F(Weirctl, PurgesTheCache) {
  admin.answer("POST", "/v1/cache:purge", 200, R"({"purged":17})");
  EXPECT_EQ(weirctl({"purge", "unit", "support-41", "--reason", "wrong"}).output, "17 answers are not given again\n");
  EXPECT_EQ(weirctl({"purge", "unit", "support-41"}).exit_code, kExitBadInput) << "a reason is missing";
  EXPECT_EQ(nlohmann::json::parse(admin.requests()[0].body),
            nlohmann::json({{"scope", "unit"}, {"name", "support-41"}, {"reason", "wrong"}}));
  EXPECT_EQ(weirctl({"purge", "key", "k"}).exit_code, kExitBadInput);
}

TEST_F(Weirctl, PassesAnUnknownPathOnAsBadInput) {
  RunResult result = weirctl({"explain", "--tenant", "nobody"});
  EXPECT_EQ(result.exit_code, kExitBadInput);
  EXPECT_EQ(result.errors, "There is no such path here.\n");
}

TEST_F(Weirctl, SurvivesAnAnswerThatIsNotJson) {
  admin.answer("GET", "/v1/status", 500, "<html>");
  RunResult result = weirctl({"status"});
  EXPECT_EQ(result.exit_code, kExitFailure);
  EXPECT_EQ(result.errors, "weir answered 500 without saying why\n");
  admin.answer("GET", "/v1/status", 200, "[1,2");
  EXPECT_EQ(weirctl({"status"}).exit_code, kExitOk);
}

TEST_F(Weirctl, KeepsControlCharactersOffTheTerminal) {
  admin.answer("GET", "/v1/status", 200, R"({"version":"0\u001b[2J"})");
  EXPECT_THAT(weirctl({"status"}).output, StartsWith("weir 0\\x1b[2J"));
}

TEST_F(Weirctl, SaysWhyAnUpgradeCameToNothing) {
  admin.answer("GET", "/v1/status", 200,
               R"({"pid":7,"upgrading":false,"upgrade_failure":"it ended with exit code 2"})");
  RunResult refused = weirctl({"upgrade"});
  EXPECT_EQ(refused.exit_code, kExitBadInput) << "404: a weir that is older";
  admin.answer("POST", "/v1/upgrade", 409, R"({"error":{"message":"No successor is started: why."}})");
  refused = weirctl({"upgrade"});
  EXPECT_EQ(refused.exit_code, kExitFailure);
  EXPECT_THAT(refused.errors, HasSubstr("No successor is started: why."));
  admin.answer("POST", "/v1/upgrade", 200, R"({"upgrading":true})");
  refused = weirctl({"upgrade"});
  EXPECT_EQ(refused.exit_code, kExitFailure);
  EXPECT_THAT(refused.errors, HasSubstr("it ended with exit code 2"));
}

TEST_F(Weirctl, PrintsTheTableAndTheMetrics) {
  admin.answer("GET", "/v1/table", 200, R"({"units":{}})");
  admin.answer("GET", "/metrics", 200, "# HELP x\nx 1\n");
  EXPECT_EQ(weirctl({"table"}).output, "{\n  \"units\": {}\n}\n");
  EXPECT_EQ(weirctl({"table", "--json"}).output, "{\"units\":{}}\n");
  EXPECT_EQ(weirctl({"metrics"}).output, "# HELP x\nx 1\n");
}

TEST_F(Weirctl, ShowsSharesOnceAndAgainUntilTheInputEnds) {
  admin.answer("GET", "/v1/status", 200, kStatus);
  admin.answer("GET", "/metrics", 200,
               "weir_exchanges_total{scenario=\"s\",unit=\"a\",arm=\"stable\",status=\"200\"} 95\n"
               "weir_exchanges_total{scenario=\"s\",unit=\"b\",arm=\"candidate\",status=\"200\"} 4\n"
               "weir_exchanges_total{scenario=\"s\",unit=\"b\",arm=\"candidate\",status=\"502\"} 1\n");
  RunResult once = weirctl({"watch", "--once"});
  EXPECT_EQ(once.exit_code, kExitOk) << once.errors;
  EXPECT_THAT(once.output, HasSubstr("KILLED unit support-41: incident 311\n"));
  EXPECT_THAT(once.output, HasSubstr("a     stable           95  95.0%    0.0%"));
  EXPECT_THAT(once.output, HasSubstr("b     candidate         5   5.0%   20.0%"));
  EXPECT_THAT(once.output, Not(HasSubstr("\x1b")));
  RunResult live = weirctl({"watch"}, "q");
  EXPECT_EQ(live.exit_code, kExitOk);
  EXPECT_THAT(live.output, HasSubstr("totals since the start"));
  EXPECT_EQ(nlohmann::json::parse(weirctl({"watch", "--once", "--json"}).output)["units"][1]["errors"], 0.2);
  EXPECT_EQ(weirctl({"top", "--once"}).output, once.output) << "the name it had";
}

}  // namespace
}  // namespace weir::tools
