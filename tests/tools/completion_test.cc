#include "tools/weirctl/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_admin.h"
#include "tests/support/process.h"
#include "tools/weirctl/command_line.h"
#include "tools/weirctl/terminal_text.h"

namespace weir::tools::completion_test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::Not;

using Words = std::vector<std::string>;

// Names that begin with the last word; asked for flags, it has "flags-1" and "flags-2".
Words complete(Words words) {
  const CommandLine line;
  Words found;
  for (const Candidate& candidate :
       complete_words(line.app(), words, [](const std::string& kind, const std::string& prefix) {
         Words names;
         for (const char* end : {"-1", "-2"}) {
           if ((kind + end).starts_with(prefix)) names.push_back(kind + end);
         }
         return names;
       })) {
    found.push_back(candidate.word);
  }
  return found;
}

TEST(Completion, OffersCommandsAndThoseWithin) {
  EXPECT_THAT(complete({"ro"}), ElementsAre("rollback"));
  EXPECT_THAT(complete({""}), IsSupersetOf({"status", "flag", "kill", "completion"}));
  EXPECT_THAT(complete({"flag", "s"}), ElementsAre("set"));
  EXPECT_THAT(complete({"nonsense", "x"}), IsEmpty());
  EXPECT_THAT(complete({}), IsEmpty());
}

TEST(Completion, OffersNamesFromWeir) {
  EXPECT_THAT(complete({"flag", ""}), ElementsAre("set", "flags-1", "flags-2"));
  EXPECT_THAT(complete({"flag", "set", ""}), ElementsAre("flags-1", "flags-2"));
  EXPECT_THAT(complete({"flag", "set", "f", "tenants-2"}), ElementsAre("tenants-2"));
  EXPECT_THAT(complete({"tenant", ""}), ElementsAre("tenants-1", "tenants-2"));
  EXPECT_THAT(complete({"kill", "unit", ""}), ElementsAre("units-1", "units-2"));
  EXPECT_THAT(complete({"purge", ""}), ElementsAre("tenant", "scenario", "unit"));
  EXPECT_THAT(complete({"rollback", "scenario", ""}), ElementsAre("scenarios-1", "scenarios-2"));
  EXPECT_THAT(complete({"get", "prompts", ""}), ElementsAre("prompts-1", "prompts-2"));
  EXPECT_THAT(complete({"explain", "--tenant", "x", "--scenario", ""}),
              ElementsAre("scenarios-1", "scenarios-2"));
}

TEST(Completion, OffersOptionsAndTheirValues) {
  EXPECT_THAT(complete({"apply", "--dr"}), ElementsAre("--dry-run"));
  EXPECT_THAT(complete({"apply", "--"}), IsSupersetOf({"--reason", "--json", "--socket"}));
  EXPECT_THAT(complete({"flag", "set", "--state", "p"}), ElementsAre("pilot", "production"));
  EXPECT_THAT(complete({"kill", "--reason", "tenant", "u"}), ElementsAre("unit"));
  EXPECT_THAT(complete({"apply", "-f", ""}), ElementsAre(":files"));
  EXPECT_THAT(complete({"problems", "no_"}), ElementsAre("no_owner", "no_previous"));
  EXPECT_THAT(complete({"completion", ""}), ElementsAre("bash", "zsh"));
}

TEST(Completion, NamesWhatWeirHas) {
  weir::testing::FakeAdmin admin;
  admin.answer("GET", "/v1/flags", 200, R"({"objects":[{"name":"support-v2"},{"name":"support-v3"}]})");
  admin.answer("GET", "/v1/flags/support", 200, "{}");
  AdminClient client(admin.socket_path());
  EXPECT_THAT(names_at(client, "flags", "support"), ElementsAre("support", "support-v2", "support-v3"));
  EXPECT_THAT(names_at(client, "units", "x"), IsEmpty());
  AdminClient nobody("/nowhere.sock");
  EXPECT_THAT(names_at(nobody, "flags", ""), IsEmpty());
}

TEST(Completion, WorksInBash) {
  weir::testing::FakeAdmin admin;
  admin.answer(
      "GET", "/v1/flags", 200,
      R"json({"objects":[{"name":"support-v2"},{"name":"support$(id)"},{"name":"support\u001b[2J"}]})json");
  const std::string script =
      "source <(\"$1\" completion bash)\n"
      "COMP_WORDS=(\"$1\" kill flag sup); COMP_CWORD=3; _weirctl; echo \"${COMPREPLY[@]}\"\n"
      "COMP_WORDS=(\"$1\" ''); COMP_CWORD=1; _weirctl; echo \"${COMPREPLY[0]}\"\n";
  const auto result =
      weir::testing::run("/bin/bash", {.arguments = {"-c", script, "bash", WEIRCTL_BINARY},
                                       .environment = {{"WEIR_ADMIN_SOCKET", admin.socket_path()}}});
  EXPECT_EQ(result.output, "support-v2 support\\$\\(id\\)\nstatus\n")
      << "a name is no command: " << result.errors;
}

// Every command's help, of those within too.
void expect_help(const CLI::App& app, const std::string& path) {
  const std::string help = app.help();
  for (size_t begin = 0; begin < help.size();) {
    const size_t end = std::min(help.find('\n', begin), help.size());
    EXPECT_LE(display_width(help.substr(begin, end - begin)), 80u) << path << ":\n" << help;
    begin = end + 1;
  }
  if (app.get_parent() != nullptr) {
    const size_t examples = help.find("Examples:\n  ");
    ASSERT_NE(examples, std::string::npos) << path << " teaches nothing";
    EXPECT_NE(help.find("weirctl ", examples), std::string::npos) << path << " shows no use";
    EXPECT_FALSE(app.get_description().empty());
  }
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; }))
    expect_help(*sub, path + " " + sub->get_name());
}

TEST(Help, TeachesEveryCommandWithExamplesInEightyColumns) {
  const CommandLine line;
  expect_help(line.app(), "weirctl");
}

}  // namespace
}  // namespace weir::tools::completion_test
