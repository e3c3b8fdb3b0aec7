// An incident from the operator's side: weir and weirctl as they are shipped, nothing between them but the
// admin socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/integration/gateway_fixture.h"
#include "tools/exit_codes.h"

namespace weir::tests::weirctl_test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;
using weir::testing::RunResult;

std::string table(uint16_t provider) {
  return R"({"providers":{"p":{"dialect":"openai","base_url":"http://127.0.0.1:)" + std::to_string(provider) +
         R"(/v1"}},
    "models":{"m-old":{"provider":"p","tier":"economy","price":{"input":1,"output":2}},
              "m-new":{"provider":"p","tier":"standard","price":{"input":3,"output":6}}},
    "units":{"old":{"model":"m-old"},"new":{"model":"m-new"}},
    "scenarios":{"chat":{"stable":"old","sticky_by":["user"]}},
    "flags":{"launch":{"scenario":"chat","candidate":{"unit":"new"},"owner":"u-1"}},
    "tenants":{"t-1":{"name":"Tenant One"},"t-2":{}},
    "keys":[{"id":"k","tenant":"t-1","scenario":"chat","hash":")" +
         key_hash() + R"("}]})";
}

class WeirctlAtWork : public ::testing::Test {
 protected:
  RunResult weirctl(std::vector<std::string> arguments) {
    return weir::testing::run(
        WEIRCTL_BINARY, {.arguments = std::move(arguments),
                         .environment = {{"WEIR_ADMIN_SOCKET", gateway.admin_socket()}, {"COLUMNS", "80"}}});
  }
  // What a command prints; it must end well.
  std::string say(std::vector<std::string> arguments) {
    const RunResult result = weirctl(arguments);
    EXPECT_EQ(result.exit_code, tools::kExitOk) << arguments[0] << ": " << result.errors << result.output;
    return result.output;
  }
  json ask(std::vector<std::string> arguments) {
    arguments.emplace_back("--json");
    return json::parse(say(std::move(arguments)), nullptr, false);
  }
  // The unit that answers a request now.
  std::string unit() {
    BlockingClient client(gateway.port());
    EXPECT_TRUE(client.send(chat_request("x-weir-user: u-7\r\n")));
    return std::string(client.receive().header("x-weir-unit"));
  }
  void launch() {
    say({"flag", "set", "launch", "t-1", "--state", "pilot", "--percent", "100", "--owner", "u-1", "--review",
         "2099-01-01", "--reason", "the launch begins"});
  }

  EchoProvider provider;
  Gateway gateway{table(provider.port())};
};

TEST_F(WeirctlAtWork, AnswersWhoHasAFlagAndRollsOneTenantBack) {
  ASSERT_EQ(unit(), "old");
  launch();
  EXPECT_EQ(unit(), "new");

  const std::string page = say({"flag", "launch"});
  EXPECT_THAT(page, HasSubstr("WHO HAS IT: 0 tenants in production, 1 in pilot; off for 0\n"));
  EXPECT_THAT(page, HasSubstr("t-1     pilot  on   100 %  u-1    the launch begins\n"));
  EXPECT_THAT(page, HasSubstr("  weirctl rollback tenant TENANT --flag launch --reason '...'\n"));
  const json view = ask({"flag", "launch"});
  EXPECT_EQ(view["rows"][0]["tenant"], "t-1");
  EXPECT_EQ(view["rows"][0]["body"]["previous"], "old");
  EXPECT_EQ(view["changes"][0]["reason"], "the launch begins");

  EXPECT_THAT(say({"rollback", "tenant", "t-1", "--flag", "launch", "--dry-run"}),
              HasSubstr("~ tenant t-1\n"));
  EXPECT_EQ(unit(), "new") << "a dry run changes nothing";
  EXPECT_THAT(say({"rollback", "tenant", "t-1", "--flag", "launch", "--reason", "incident 311"}),
              HasSubstr("1 object changed"));
  EXPECT_EQ(unit(), "old");
  EXPECT_THAT(say({"audit", "--tenant", "t-1"}), HasSubstr("incident 311"));
  EXPECT_THAT(say({"audit", "verify"}), HasSubstr("the log is sound"));
}

TEST_F(WeirctlAtWork, KillsAFlagAndExplainsIt) {
  launch();
  say({"kill", "flag", "launch", "--reason", "incident 311"});
  EXPECT_EQ(unit(), "old");
  EXPECT_THAT(say({"flag", "launch"}), HasSubstr("KILLED   flag launch since "));
  EXPECT_THAT(say({"tenant", "t-1"}), HasSubstr("KILLED"));
  EXPECT_THAT(say({"status"}), HasSubstr("killed   flag launch since "));
  say({"unkill", "flag", "launch", "--reason", "mended"});
  EXPECT_EQ(unit(), "new");
  const std::string why = say({"explain", "--tenant", "t-1", "--scenario", "chat", "--user", "u-7"});
  EXPECT_THAT(why, HasSubstr("chat for tenant t-1 gets unit new\n"));
  EXPECT_THAT(why, HasSubstr("the launch begins"));
  EXPECT_THAT(why, HasSubstr("  weirctl flag set launch t-1 --state off --reason '...'\n"));
}

TEST_F(WeirctlAtWork, AppliesAFolderAfterShowingWhatItWouldChange) {
  const json whole = ask({"table"});
  weir::testing::TemporaryFolder folder;
  for (const auto& [section, objects] : whole.items())
    folder.write(section + ".json", json{{section, objects}}.dump());
  EXPECT_THAT(say({"apply", "-f", folder.path(), "--dry-run", "--check"}), HasSubstr("no difference\n"));
  folder.write("tenants.json", R"({"tenants":{"t-1":{"name":"Tenant One"},"t-2":{"name":"Tenant Two"}}})");
  const RunResult would = weirctl({"apply", "-f", folder.path(), "--dry-run", "--check"});
  EXPECT_EQ(would.exit_code, tools::kExitFound);
  EXPECT_THAT(would.output, HasSubstr("~ tenant t-2\n    name: (none) -> \"Tenant Two\"\n"));
  const std::string before = std::to_string(ask({"status"})["revision"].get<uint64_t>());
  say({"apply", "-f", folder.path(), "--reason", "a name"});
  EXPECT_THAT(say({"diff", before}), HasSubstr("~ tenant t-2\n"));
  EXPECT_EQ(weirctl({"apply", "-f", folder.path(), "--reason", "again", "--revision", before}).exit_code,
            tools::kExitConflict);
  folder.write("tenants.json", R"({"tenants":{"t-1":{"colour":"blue"}}})");
  const RunResult refused = weirctl({"apply", "-f", folder.path(), "--reason", "r"});
  EXPECT_EQ(refused.exit_code, tools::kExitBadInput);
  EXPECT_THAT(refused.errors, HasSubstr(folder.file("tenants.json") + ": tenants.t-1.colour: "));
}

TEST_F(WeirctlAtWork, ReachesEveryReadingCall) {
  launch();
  for (const std::vector<std::string>& command : {std::vector<std::string>{"status"},
                                                  {"flags"},
                                                  {"flag", "launch"},
                                                  {"tenant", "t-1"},
                                                  {"explain", "--tenant", "t-1", "--scenario", "chat"},
                                                  {"problems"},
                                                  {"table"},
                                                  {"get", "units"},
                                                  {"get", "units", "new"},
                                                  {"audit", "--whole"},
                                                  {"audit", "verify"},
                                                  {"change", "2"},
                                                  {"diff", "1"},
                                                  {"proposals"},
                                                  {"watch", "--once"}}) {
    EXPECT_THAT(say(command), Not(::testing::IsEmpty()));
    EXPECT_FALSE(ask(command).is_discarded()) << command[0];
  }
  EXPECT_THAT(say({"export"}), HasSubstr("launch,chat,new,t-1,pilot,100,"));
  EXPECT_THAT(say({"metrics"}), HasSubstr("weir_exchanges_total"));
  say({"label", "known_good", "--reason", "a quiet week"});
  EXPECT_THAT(say({"label", "known_good"}), HasSubstr("known_good is revision "));
  EXPECT_EQ(weirctl({"get", "units", "none"}).exit_code, tools::kExitBadInput);
}

TEST_F(WeirctlAtWork, TellsScriptsHowItWentByItsExitCode) {
  launch();
  say({"patch", "flags", "launch", R"({"approvals":{"for":["production"],"by":["approver"]}})", "--reason",
       "two pairs of eyes"});
  const std::string before = std::to_string(ask({"status"})["revision"].get<uint64_t>());
  const std::vector<std::string> production{"flag",    "set",        "launch",   "t-1",
                                            "--state", "production", "--reason", "pilot passed"};
  const RunResult waits = weirctl(production);
  EXPECT_EQ(waits.exit_code, tools::kExitProposed) << waits.errors;
  EXPECT_THAT(waits.output, HasSubstr("proposal 1 waits for approval by approver"));
  EXPECT_EQ(std::to_string(ask({"status"})["revision"].get<uint64_t>()), before) << "nothing has changed yet";
  EXPECT_THAT(say({"proposals"}), HasSubstr("pilot passed"));
  const RunResult own = weirctl({"approve", "1", "--reason", "I think so too"});
  EXPECT_EQ(own.exit_code, tools::kExitFailure) << "nobody approves what they have proposed themselves";
  EXPECT_EQ(weirctl({"kill", "flag", "launch", "--reason", "a kill does not wait"}).exit_code,
            tools::kExitOk);
  EXPECT_EQ(weirctl({"unkill", "flag", "launch", "--reason", "mended"}).exit_code, tools::kExitOk);
  EXPECT_EQ(weirctl({"withdraw", "1", "--reason", "later"}).exit_code, tools::kExitOk);

  const RunResult nothing = weirctl({"rollback", "tenant", "t-2", "--reason", "r"});
  EXPECT_EQ(nothing.exit_code, tools::kExitBadInput);
  EXPECT_THAT(nothing.errors, HasSubstr("  weirctl flag set FLAG TENANT --state off --reason '...'\n"));
  EXPECT_EQ(weirctl({"diff", "1", "--check"}).exit_code, tools::kExitFound);
  EXPECT_EQ(weirctl({"problems", "expired", "--check"}).exit_code, tools::kExitOk);
  EXPECT_EQ(weirctl({"flag", "set", "launch", "t-1", "--percent", "5", "--revision", "1", "--reason", "r"})
                .exit_code,
            tools::kExitConflict);

  gateway.process().signal(SIGTERM);
  EXPECT_EQ(gateway.process().wait(), 0);
  EXPECT_EQ(weirctl({"status"}).exit_code, tools::kExitUnreachable);
}

TEST_F(WeirctlAtWork, NeverLetsANameSteerTheTerminal) {
  for (const char* name : {"a\x1b[31mred", "exe.\u202etxt", "<b>bold</b>", "zero\u200bwidth"}) {
    const RunResult unknown = weirctl({"flag", name});
    EXPECT_EQ(unknown.exit_code, tools::kExitBadInput);
    const RunResult killed = weirctl({"kill", "flag", name, "--reason", "r"});
    EXPECT_EQ(killed.exit_code, tools::kExitBadInput);
    const RunResult because = weirctl({"kill", "flag", "launch", "--reason", std::string("x") + name});
    for (const RunResult* result : {&unknown, &killed, &because}) {
      for (const char* raw : {"\x1b", "\u202e", "\u200b"})
        EXPECT_THAT(result->output + result->errors, Not(HasSubstr(raw)));
    }
  }
}

}  // namespace
}  // namespace weir::tests::weirctl_test
