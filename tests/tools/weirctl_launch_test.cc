// weirctl as on-call and launch owners use it: the real binary at 80 columns, a stand-in for the admin
// socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_admin.h"
#include "tests/support/process.h"
#include "tools/exit_codes.h"
#include "tools/weirctl/terminal_text.h"

namespace weir::tools {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using weir::testing::FakeAdmin;
using weir::testing::RunResult;
using weir::testing::TemporaryFolder;

const std::string kDone =
    R"({"revision":43,"changed":1,"durable_in_ms":0.8,"live_in_ms":1.2,"commit_ms":0.5})";
const std::string kDryRun =
    R"({"dry_run":true,"revision":42,"count":1,"approvals":["approver"],"changes":[{"kind":"tenant","name":"shop-4",)"
    R"("before":{"flags":{"support-v2":{"percent":5}}},"after":{"flags":{"support-v2":{"percent":25}}}}]})";

class WeirctlLaunch : public ::testing::Test {
 protected:
  WeirctlLaunch() {
    admin.answer("GET", "/v1/status", 200, R"({"revision":42,"kills":[]})");
    admin.answer("GET", "/v1/flags/support-v2", 200,
                 R"({"scenario":"support-chat","candidate":{"unit":"support-41"},"owner":"u-4021",)"
                 R"("approvals":{"for":["production"],"by":["approver","admin"]}})");
    admin.answer("GET", "/v1/scenarios/support-chat", 200, R"({"stable":"support-mini"})");
    admin.answer("GET", "/v1/units/support-41", 200, R"({"model":"m-41"})");
    admin.answer("GET", "/v1/models/m-41", 200, R"({"provider":"openai"})");
    admin.answer(
        "GET", "/v1/flags/support-v2/tenants", 200,
        R"({"revision":42,"flag":"support-v2","counts":{"off":1,"pilot":2,"production":1},"next":null,"rows":[)"
        R"({"tenant":"bank-17","body":{"state":"production","owner":"u-1","reason":"pilot passed, review 1182",)"
        R"("review":"2099-01-15","previous":"support-mini"}},)"
        R"({"tenant":"old-1","body":{"state":"pilot","percent":50,"owner":"u-2","reason":"r","expires":"2020-01-01"}},)"
        R"({"tenant":"shop-4","body":{"state":"pilot","percent":5,"segments":["internal"],"owner":"u-4021",)"
        R"("reason":"first 5 percent","expires":"2099-01-15T09:00Z","on_expiry":"freeze"}}]})");
    admin.answer(
        "GET", "/v1/tenants/shop-4", 200,
        R"({"name":"Shop Four","flags":{"support-v2":{"state":"pilot","percent":5,"segments":["internal"],)"
        R"("owner":"u-4021","reason":"first 5 percent","review":"2099-01-08","previous":"support-mini"}}})");
    admin.answer(
        "GET", "/v1/audit", 200,
        R"({"next":null,"changes":[{"revision":42,"sequence":57,"at":"2026-12-01T09:00:00.123Z",)"
        R"("actor":{"name":"alice","role":"operator"},"action":"row","target":"tenant shop-4 on flag support-v2",)"
        R"("reason":"5 % as agreed in the launch review","approved_by":[],"objects":[],"killed":[],"unkilled":[]}]})");
  }

  RunResult weirctl(std::vector<std::string> arguments, std::string input = "") {
    return weir::testing::run(WEIRCTL_BINARY,
                              {.arguments = std::move(arguments),
                               .environment = {{"WEIR_ADMIN_SOCKET", admin.socket_path()}, {"COLUMNS", "80"}},
                               .input = std::move(input)});
  }
  void kill(const std::string& scope, const std::string& name) {
    const json kill{
        {"scope", scope}, {"name", name}, {"reason", "incident 311"}, {"since", "2026-12-01T10:00:00.000Z"}};
    admin.answer("GET", "/v1/status", 200, json{{"revision", 42}, {"kills", {kill}}}.dump());
  }
  FakeAdmin::Request last() { return admin.requests().back(); }
  FakeAdmin::Request last_to(const std::string& target) {
    FakeAdmin::Request found;
    for (const auto& request : admin.requests()) {
      if (request.target == target) found = request;
    }
    return found;
  }

  FakeAdmin admin;
  TemporaryFolder folder;
};

TEST_F(WeirctlLaunch, SaysWhoHasAFlagAndWhatTurnsItOff) {
  const RunResult result = weirctl({"flag", "support-v2"});
  EXPECT_EQ(result.exit_code, kExitOk) << result.errors;
  EXPECT_EQ(result.output,
            R"(flag support-v2 at revision 42
gives    support-41 in scenario support-chat, instead of support-mini
owner    u-4021
approval for production by approver, then admin

WHO HAS IT: 1 tenant in production, 2 in pilot; off for 1
TENANT   STATE       NOW      FOR             EXPIRES                     OWNER
bank-17  production  on       everybody       -                           u-1
    pilot passed, review 1182
old-1    pilot       expired  50 %            2020-01-01                  u-2
    r
shop-4   pilot       on       5 % + internal  2099-01-15 09:00Z (freeze)  u-4021
    first 5 percent

WHAT TURNS IT OFF (--dry-run shows what a rollback or set would do)
for one tenant, back to what it was before
  weirctl rollback tenant TENANT --flag support-v2 --reason '...'
for one tenant, off
  weirctl flag set support-v2 TENANT --state off --reason '...'
for everybody, at once, no approval needed
  weirctl kill flag support-v2 --reason '...'
its unit, wherever it is used
  weirctl kill unit support-41 --reason '...'

LAST CHANGES
REVISION  WHEN               WHO    WHAT                   WHY
      42  2026-12-01 09:00Z  alice  row tenant shop-4 on   5 % as agreed in the
                                    flag support-v2        launch review
)");
}

TEST_F(WeirctlLaunch, AsksForTheRowsThatAreWanted) {
  weirctl({"flag", "support-v2"});
  weirctl({"flag", "support-v2", "--states", "off", "--after", "m"});
  std::vector<std::string> targets;
  for (const auto& request : admin.requests()) {
    if (request.target.starts_with("/v1/flags/support-v2/tenants")) targets.push_back(request.target);
  }
  EXPECT_THAT(targets, ElementsAre("/v1/flags/support-v2/tenants?state=production%2Cpilot",
                                   "/v1/flags/support-v2/tenants?state=off&after=m"));
}

TEST_F(WeirctlLaunch, ShowsWhatAKillHasTurnedOff) {
  for (const auto& [scope, name] :
       {std::pair("flag", "support-v2"), {"unit", "support-41"}, {"provider", "openai"}}) {
    kill(scope, name);
    const std::string page = weirctl({"flag", "support-v2"}).output;
    EXPECT_THAT(page, HasSubstr(std::string("KILLED   ") + scope + " " + name +
                                " since 2026-12-01 10:00Z: incident"));
    EXPECT_THAT(page, HasSubstr("production  KILLED"));
    EXPECT_THAT(weirctl({"tenant", "shop-4"}).output, HasSubstr("KILLED"));
  }
  kill("tenant", "shop-4");
  const std::string page = weirctl({"flag", "support-v2"}).output;
  EXPECT_THAT(page, HasSubstr("production  on"));
  EXPECT_THAT(page, HasSubstr("pilot       KILLED"));
  EXPECT_THAT(weirctl({"tenant", "shop-4"}).output, HasSubstr("weirctl unkill tenant shop-4"));
  kill("flag", "another");
  EXPECT_THAT(weirctl({"flag", "support-v2"}).output, Not(HasSubstr("KILLED")));
}

TEST_F(WeirctlLaunch, SaysWhatATenantHasAndHowItGoesBack) {
  const RunResult result = weirctl({"tenant", "shop-4"});
  EXPECT_EQ(result.exit_code, kExitOk) << result.errors;
  EXPECT_THAT(result.output, StartsWith("tenant shop-4 (Shop Four) at revision 42\n\nFLAG "));
  EXPECT_THAT(result.output, HasSubstr(R"(
HOW IT GOES BACK (--dry-run shows what a rollback would do)
flag support-v2: as it was before its last change
  weirctl rollback tenant shop-4 --flag support-v2 --reason '...'
flag support-v2: off
  weirctl flag set support-v2 shop-4 --state off --reason '...'
the whole tenant: as it was before its last change; --to takes a revision or a
time
  weirctl rollback tenant shop-4 --reason '...'
)"));
  EXPECT_THAT(result.output, HasSubstr("LAST CHANGES\n"));
}

TEST_F(WeirctlLaunch, SpellsCommandsOutForAFewFlagsOnly) {
  json flags;
  for (const char* flag : {"a", "b", "c", "d"}) flags[flag] = {{"state", "pilot"}, {"percent", 5}};
  admin.answer("GET", "/v1/tenants/shop-4", 200, json{{"flags", flags}}.dump());
  const std::string page = weirctl({"tenant", "shop-4"}).output;
  EXPECT_THAT(page, HasSubstr("\n  weirctl rollback tenant shop-4 --flag FLAG --reason '...'\n"));
  EXPECT_THAT(page, Not(HasSubstr("--flag a ")));
}

TEST_F(WeirctlLaunch, GivesMachinesOneObjectForWhatTakesSeveralCalls) {
  const json flag = json::parse(weirctl({"flag", "support-v2", "--json"}).output);
  EXPECT_EQ(flag["counts"]["pilot"], 2);
  EXPECT_EQ(flag["rows"].size(), 3u);
  EXPECT_EQ(flag["stable"], "support-mini");
  EXPECT_EQ(flag["turns_off"][2]["command"], "weirctl kill flag support-v2 --reason '...'");
  const json tenant = json::parse(weirctl({"tenant", "shop-4", "--json"}).output);
  EXPECT_EQ(tenant["body"]["flags"]["support-v2"]["percent"], 5);
  EXPECT_EQ(tenant["changes"].size(), 1u);
}

TEST_F(WeirctlLaunch, SetsMembersOfARowAndLeavesTheOthers) {
  admin.answer("POST", "/v1/flags/support-v2/tenants/shop-4", 200, kDone);
  const RunResult result = weirctl({"flag",     "set",       "support-v2", "shop-4",     "--state",
                                    "pilot",    "--percent", "12.5",       "--segments", "internal,eu-pro",
                                    "--rpm",    "600",       "--tpm",      "90000",      "--concurrency",
                                    "7",        "--until",   "2027-01-01", "--unset",    "expires,approver",
                                    "--reason", "wider",     "--revision", "42"});
  EXPECT_EQ(result.exit_code, kExitOk) << result.errors;
  EXPECT_EQ(
      result.output,
      "revision 43 answers on every shard: 1 object changed; on disk after 0.8 ms, live\nafter 1.2 ms\n");
  EXPECT_EQ(json::parse(last().body),
            json::parse(R"({"state":"pilot","percent":12.5,"segments":["internal","eu-pro"],"expires":null,
                            "approver":null,"limits":{"rpm":600,"tpm":90000,"concurrency":7,"until":"2027-01-01"},"reason":"wider"})"));
  EXPECT_EQ(last().headers.at("if-match"), "\"42\"");
}

TEST_F(WeirctlLaunch, RefusesARowChangeThatSaysNothing) {
  EXPECT_EQ(weirctl({"flag", "set", "support-v2", "shop-4", "--reason", "r"}).exit_code, kExitBadInput);
  EXPECT_EQ(weirctl({"flag", "set", "support-v2", "shop-4", "--percent", "5"}).exit_code, kExitBadInput);
  EXPECT_EQ(weirctl({"flag", "set", "support-v2", "shop-4", "--percent", "500", "--reason", "r"}).exit_code,
            kExitBadInput);
  EXPECT_EQ(weirctl({"flag", "set", "support-v2", "--percent", "5", "--reason", "r"}).exit_code,
            kExitBadInput);
  EXPECT_EQ(weirctl({"flag"}).exit_code, kExitBadInput);
  EXPECT_THAT(admin.requests(), IsEmpty());
}

TEST_F(WeirctlLaunch, ShowsADryRunAsADifference) {
  admin.answer("POST", "/v1/flags/support-v2/tenants/shop-4", 200, kDryRun);
  const RunResult result = weirctl({"flag", "set", "support-v2", "shop-4", "--percent", "25", "--dry-run"});
  EXPECT_EQ(result.exit_code, kExitOk) << result.errors;
  EXPECT_EQ(result.output,
            "~ tenant shop-4\n"
            "    flags.support-v2.percent: 5 -> 25\n"
            "0 added, 0 removed, 1 changed\n"
            "needs approval by approver\n"
            "nothing has changed; revision 42 serves\n");
  EXPECT_THAT(last().target, HasSubstr("dry_run=true"));
}

TEST_F(WeirctlLaunch, AppliesAFolderAndNamesTheFileOfEveryProblem) {
  admin.answer("PUT", "/v1/table", 200, kDryRun);
  folder.write("units.yaml", "units: { a: { model: x } }\n");
  folder.write("tenants.yaml", "tenants: { t: {} }\n");
  RunResult result = weirctl({"apply", "-f", folder.path(), "--dry-run", "--check"});
  EXPECT_EQ(result.exit_code, kExitFound) << result.errors;
  EXPECT_THAT(result.output, HasSubstr("~ tenant shop-4\n"));
  EXPECT_EQ(json::parse(last().body), json::parse(R"({"units":{"a":{"model":"x"}},"tenants":{"t":{}}})"));

  admin.answer(
      "PUT", "/v1/table", 422,
      R"({"error":{"message":"The table has 1 problem.","type":"t","param":null,"code":"invalid_table"},)"
      R"("problems":[{"path":"units.a.model","message":"there is no model x"}],"problem_count":1})");
  result = weirctl({"apply", "-f", folder.path(), "--reason", "r"});
  EXPECT_EQ(result.exit_code, kExitBadInput);
  EXPECT_EQ(result.errors, "The table has 1 problem.\n" + folder.file("units.yaml") +
                               ": units.a.model: there is no model x\n");
  result = weirctl({"apply", "-f", folder.path(), "--reason", "r", "--json"});
  EXPECT_EQ(json::parse(result.output)["problems"][0]["file"], folder.file("units.yaml"));
}

TEST_F(WeirctlLaunch, SaysThatAChangeWaitsForApproval) {
  admin.answer("POST", "/v1/flags/support-v2/tenants/shop-4", 202,
               R"({"proposal":4,"waits_for":"approver","approvals":["approver","admin"]})");
  const RunResult result =
      weirctl({"flag", "set", "support-v2", "shop-4", "--state", "production", "--reason", "pilot passed"});
  EXPECT_EQ(result.exit_code, kExitProposed);
  EXPECT_EQ(result.output,
            "proposal 4 waits for approval by approver, then admin; nothing has changed yet\n"
            "  weirctl approve 4 --reason '...'\n");
}

TEST_F(WeirctlLaunch, RollsBackInOneStep) {
  admin.answer("POST", "/v1/rollback", 200,
               R"({"revision":44,"restored_revision":41,"changed":1,"durable_in_ms":0.8,"live_in_ms":1.2})");
  admin.answer(
      "GET", "/v1/audit", 200,
      R"({"changes":[{"action":"rollback","revision":44,"objects":[{"kind":"tenant","name":"shop-4",)"
      R"("before":{"percent":25},"after":{"percent":5}}]}]})");
  RunResult result = weirctl({"rollback", "tenant", "shop-4", "--reason", "incident 311"});
  EXPECT_EQ(result.exit_code, kExitOk) << result.errors;
  EXPECT_EQ(result.output,
            "revision 44 answers on every shard, as of revision 41: 1 object changed; on disk\n"
            "after 0.8 ms, live after 1.2 ms\n"
            "~ tenant shop-4\n"
            "    percent: 25 -> 5\n"
            "0 added, 0 removed, 1 changed\n"
            "to take it back:\n"
            "  weirctl rollback tenant shop-4 --to 43 --reason '...'\n");
  const auto rollback = [this] { return json::parse(last_to("/v1/rollback").body); };
  EXPECT_EQ(rollback(),
            json::parse(R"({"scope":"tenant","name":"shop-4","to":"previous","reason":"incident 311"})"));
  const std::string evidence = folder.write("evidence.json", R"({"errors":0.2})");
  result = weirctl(
      {"rollback", "all", "--to", "41", "--note", "by hand", "--evidence", evidence, "--reason", "r"});
  EXPECT_EQ(
      rollback(),
      json::parse(R"({"scope":"all","to":41,"reason":"r","note":"by hand","evidence":{"errors":0.2}})"));
  weirctl(
      {"rollback", "tenant", "shop-4", "--flag", "support-v2", "--to", "2026-12-01T09:00Z", "--reason", "r"});
  EXPECT_EQ(rollback()["to"], "2026-12-01T09:00Z");
  EXPECT_EQ(rollback()["flag"], "support-v2");
}

TEST_F(WeirctlLaunch, SaysWhatElseHelpsWhenNothingCanBeRolledBack) {
  admin.answer(
      "POST", "/v1/rollback", 404,
      R"({"error":{"message":"There is no earlier state.","type":"t","param":null,"code":"nothing_to_roll_back"}})");
  const RunResult result = weirctl({"rollback", "tenant", "shop-4", "--reason", "incident 311"});
  EXPECT_EQ(result.exit_code, kExitBadInput);
  EXPECT_EQ(result.errors,
            "There is no earlier state.\n"
            "to turn it off instead:\n"
            "  weirctl flag set FLAG TENANT --state off --reason '...'\n");
}

TEST_F(WeirctlLaunch, SaysWhatToLookAtWhenTheTableHasChangedSince) {
  admin.answer(
      "POST", "/v1/flags/support-v2/tenants/shop-4", 409,
      R"({"error":{"message":"It is 45 now.","type":"t","param":null,"code":"lost_update"},"revision":45})");
  const RunResult result = weirctl(
      {"flag", "set", "support-v2", "shop-4", "--percent", "25", "--revision", "42", "--reason", "wider"});
  EXPECT_EQ(result.exit_code, kExitConflict);
  EXPECT_EQ(result.errors, "It is 45 now.\nwhat has changed:\n  weirctl diff 42 45\n");
}

TEST_F(WeirctlLaunch, RefusesARollbackOfNobodyKnowsWhat) {
  EXPECT_EQ(weirctl({"rollback", "tenant", "--reason", "r"}).exit_code, kExitBadInput);
  EXPECT_EQ(weirctl({"rollback", "all", "x", "--reason", "r"}).exit_code, kExitBadInput);
  EXPECT_EQ(weirctl({"rollback", "unit", "x", "--reason", "r"}).exit_code, kExitBadInput);
  EXPECT_EQ(weirctl({"rollback", "tenant", "shop-4"}).exit_code, kExitBadInput) << "a reason is required";
  EXPECT_EQ(
      weirctl({"rollback", "tenant", "x", "--reason", "r", "--evidence", folder.write("e", "[]")}).exit_code,
      kExitBadInput);
  EXPECT_THAT(admin.requests(), IsEmpty());
}

TEST_F(WeirctlLaunch, ShowsTheLogAndOneChange) {
  const std::string log = weirctl({"audit", "--tenant", "shop-4", "--since", "2026-12-01"}).output;
  EXPECT_THAT(log, HasSubstr("      42  2026-12-01 09:00Z  alice  row tenant shop-4 on"));
  EXPECT_EQ(last().target, "/v1/audit?tenant=shop-4&since=2026-12-01&bodies=false");
  admin.answer(
      "GET", "/v1/changes/42", 200,
      R"({"revision":42,"sequence":57,"at":"2026-12-01T09:00:00.123Z","actor":{"name":"alice","role":)"
      R"("operator"},"action":"row","target":"tenant shop-4 on flag support-v2","reason":"wider","based_on":41,)"
      R"("approved_by":[{"name":"bob","role":"approver"}],"objects":[{"kind":"tenant","name":"shop-4",)"
      R"("before":{"a":5},"after":{"a":25}}],"object_count":1,"killed":[],"unkilled":[],"detail":null,)"
      R"("hash":"ab12"})");
  EXPECT_EQ(weirctl({"change", "42"}).output,
            "revision 42, based on 41\n"
            "what     row tenant shop-4 on flag support-v2\n"
            "why      wider\n"
            "who      alice (operator)\n"
            "when     2026-12-01T09:00:00.123Z\n"
            "approved bob\n"
            "hash     ab12\n"
            "~ tenant shop-4\n"
            "    a: 5 -> 25\n"
            "0 added, 0 removed, 1 changed\n");
}

TEST_F(WeirctlLaunch, SaysWhetherTheLogIsSound) {
  admin.answer("GET", "/v1/audit:verify", 200, R"({"ok":true,"changes":57,"objects":12,"faults":[]})");
  RunResult result = weirctl({"audit", "verify"});
  EXPECT_EQ(result.exit_code, kExitOk);
  EXPECT_EQ(result.output, "the log is sound: 57 changes and 12 objects\n");
  admin.answer("GET", "/v1/audit:verify", 200,
               R"({"ok":false,"changes":57,"objects":12,"faults":["change 9: x"]})");
  result = weirctl({"audit", "verify"});
  EXPECT_EQ(result.exit_code, kExitFound);
  EXPECT_EQ(result.output, "THE LOG HAS FAULTS: 57 changes and 12 objects\nchange 9: x\n");
}

TEST_F(WeirctlLaunch, ListsProblemsAndLetsScriptsAskForThem) {
  admin.answer(
      "GET", "/v1/flags", 200,
      R"({"count":3,"problems":[{"problem":"expired","kind":"flag","name":"support-v2","tenant":"old-1",)"
      R"("owner":"u-2","since":"2020-01-01T00:00:00.000Z","detail":"the row has expired"}]})");
  RunResult result = weirctl({"problems"});
  EXPECT_EQ(result.exit_code, kExitOk);
  EXPECT_THAT(result.output,
              HasSubstr("expired  support-v2    old-1   u-2    2020-01-01 00:00Z  the row has"));
  EXPECT_THAT(result.output, HasSubstr("and 2 more\n"));
  EXPECT_EQ(last().target, "/v1/flags?problem=all");
  EXPECT_EQ(weirctl({"problems", "expired,no_owner", "--check"}).exit_code, kExitFound);
  EXPECT_EQ(last().target, "/v1/flags?problem=expired%2Cno_owner");
  admin.answer("GET", "/v1/flags", 200, R"({"count":0,"problems":[]})");
  result = weirctl({"problems", "--check"});
  EXPECT_EQ(result.exit_code, kExitOk);
  EXPECT_EQ(result.output, "no problem\n");
}

TEST_F(WeirctlLaunch, ApprovesAndWithdraws) {
  const std::string open =
      R"({"id":4,"state":"open","author":{"name":"alice","role":"operator"},"at":"2026-12-01T09:00:00Z","based_on":42,)"
      R"("action":"row","target":"tenant shop-4 on flag support-v2","reason":"pilot passed","objects":[],)"
      R"("required":["approver","admin"],"approvals":[{"name":"bob","role":"approver"}],"waits_for":"admin"})";
  admin.answer("GET", "/v1/proposals/4", 200, open);
  admin.answer("GET", "/v1/proposals", 200, R"({"proposals":[)" + open + "]}");
  EXPECT_THAT(weirctl({"proposals"}).output,
              HasSubstr(" 4  open   admin      alice  2026-12-01 09:00Z  row tenant"));
  EXPECT_THAT(weirctl({"proposals", "4"}).output,
              HasSubstr("has      bob\nan admin (not alice) approves with\n"));
  admin.answer("POST", "/v1/proposals/4:approve", 200, open);
  EXPECT_EQ(weirctl({"approve", "4", "--reason", "ok"}).exit_code, kExitProposed) << "another has to";
  admin.answer("POST", "/v1/proposals/4:approve", 200, kDone);
  EXPECT_EQ(weirctl({"approve", "4", "--reason", "ok"}).exit_code, kExitOk);
  EXPECT_EQ(json::parse(last().body), json::parse(R"({"reason":"ok"})"));
  admin.answer(
      "POST", "/v1/proposals/4:approve", 409,
      R"({"error":{"message":"It is void.","type":"t","param":null,"code":"stale_proposal"},"revision":43})");
  EXPECT_EQ(weirctl({"approve", "4", "--reason", "ok"}).exit_code, kExitConflict);
  EXPECT_EQ(weirctl({"approve", "4"}).exit_code, kExitBadInput) << "a reason is required";
  admin.answer("POST", "/v1/proposals/4:withdraw", 200, R"({"id":4,"state":"withdrawn"})");
  EXPECT_EQ(weirctl({"withdraw", "4", "--reason", "no"}).exit_code, kExitOk);
}

TEST_F(WeirctlLaunch, TellsWhatDiffersAndReadsAndSetsLabels) {
  admin.answer("GET", "/v1/diff", 200,
               R"({"from":41,"to":42,"count":1,"changes":[)"
               R"({"kind":"segment","name":"beta","before":{"staff":true},"after":null}]})");
  EXPECT_EQ(weirctl({"diff", "41"}).output,
            "- segment beta {\"staff\":true}\n0 added, 1 removed, 0 changed\n");
  EXPECT_EQ(weirctl({"diff", "41", "42", "--check"}).exit_code, kExitFound);
  EXPECT_EQ(last().target, "/v1/diff?from=41&to=42");
  admin.answer("GET", "/v1/labels/known_good", 200, R"({"label":"known_good","revision":41})");
  admin.answer("POST", "/v1/labels/known_good", 200, R"({"label":"known_good","revision":42})");
  EXPECT_EQ(weirctl({"label", "known_good"}).output, "known_good is revision 41\n");
  EXPECT_EQ(weirctl({"label", "known_good", "--to", "42", "--reason", "quiet"}).output,
            "known_good is revision 42\n");
  EXPECT_EQ(json::parse(last().body), json::parse(R"({"reason":"quiet","revision":42})"));
}

TEST_F(WeirctlLaunch, EditsSingleObjects) {
  admin.answer("PUT", "/v1/units/support-42", 200, kDone);
  admin.answer("PATCH", "/v1/flags/support-v2", 200, kDone);
  admin.answer("DELETE", "/v1/flags/support-v2", 200, kDone);
  EXPECT_EQ(
      weirctl({"put", "units", "support-42", "-f", "-", "--reason", "next"}, R"({"model":"m"})").exit_code,
      kExitOk);
  EXPECT_EQ(last().body, R"({"model":"m"})");
  EXPECT_EQ(last().target, "/v1/units/support-42?reason=next");
  EXPECT_EQ(weirctl({"patch", "flags", "support-v2", R"({"owner":"u-7"})", "--reason", "r"}).exit_code,
            kExitOk);
  EXPECT_EQ(last().body, R"({"owner":"u-7"})");
  EXPECT_EQ(weirctl({"delete", "flags", "support-v2", "--reason", "r"}).exit_code, kExitOk);
  EXPECT_EQ(last().method, "DELETE");
  EXPECT_EQ(last().body, "");
  EXPECT_EQ(weirctl({"delete", "flags", "a/../b", "--reason", "r"}).exit_code, kExitBadInput);
  EXPECT_EQ(last().target, "/v1/flags/a%2F..%2Fb?reason=r") << "a name never is another path";
}

TEST_F(WeirctlLaunch, ExplainsWhoMadeItSoAndWhatTurnsItOff) {
  admin.answer(
      "GET", "/v1/explain", 200,
      R"({"tenant":"shop-4","scenario":"support-chat","unit":"support-41","arm":"candidate","flag":"support-v2",)"
      R"("state":"pilot","reason":"split_in","because":"the split","error":null,"revision":42,"steps":[],)"
      R"("set_by":{"revision":40,"at":"2026-12-01T09:00:00Z","actor":{"name":"alice","role":"operator"},"reason":"go"},)"
      R"("turns_off":[{"does":"this tenant gets the stable unit","call":"POST /v1/flags/support-v2/tenants/shop-4",)"
      R"("body":{"state":"off","reason":""}},{"does":"as it was","call":"POST /v1/rollback","body":{"scope":"tenant",)"
      R"("name":"shop-4","flag":"support-v2","to":"previous","reason":""}},{"does":"nobody","call":"POST /v1/kill",)"
      R"("body":{"scope":"flag","name":"support-v2","reason":""}}]})");
  const std::string page = weirctl({"explain", "--tenant", "shop-4"}).output;
  EXPECT_THAT(page, HasSubstr("set by   alice (operator) at 2026-12-01 09:00Z, revision 40: go\n"));
  EXPECT_THAT(page, HasSubstr("  weirctl flag set support-v2 shop-4 --state off --reason '...'\n"));
  EXPECT_THAT(page, HasSubstr("  weirctl rollback tenant shop-4 --flag support-v2 --reason '...'\n"));
  EXPECT_THAT(page, HasSubstr("  weirctl kill flag support-v2 --reason '...'\n"));
  admin.answer(
      "GET", "/v1/explain", 200,
      R"({"tenant":"shop-4","scenario":"s","error":{"status":429,"message":"The tenant is killed."}})");
  EXPECT_THAT(weirctl({"explain", "--tenant", "shop-4"}).output,
              HasSubstr("s for tenant shop-4 is refused: 429 The tenant is killed.\n"));
}

// Whatever names are: nothing that is no command to copy is wider than the terminal.
TEST_F(WeirctlLaunch, FitsTheTerminal) {
  const std::string name(64, 'x');
  admin.answer("GET", "/v1/flags", 200,
               json{{"objects",
                     {{{"name", name},
                       {"body", {{"scenario", name}, {"candidate", {{"unit", name}}}, {"owner", name}}}}}}}
                   .dump());
  for (const std::vector<std::string>& command : {std::vector<std::string>{"flags"},
                                                  {"flag", "support-v2"},
                                                  {"tenant", "shop-4"},
                                                  {"audit"},
                                                  {"status"}}) {
    const std::string page = weirctl(command).output;
    EXPECT_THAT(page, Not(IsEmpty()));
    for (size_t begin = 0; begin < page.size();) {
      const size_t end = page.find('\n', begin);
      const std::string line = page.substr(begin, end - begin);
      EXPECT_TRUE(line.starts_with("  weirctl ") || display_width(line) <= 80u) << page;
      begin = end + 1;
    }
  }
}

}  // namespace
}  // namespace weir::tools
