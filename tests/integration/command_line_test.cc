// weir's command line from the outside: exit codes, what goes to stdout and what to stderr.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "routing/decide/identify.h"
#include "tests/support/process.h"
#include "tools/exit_codes.h"

namespace weir::tools::command_line_test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;
using weir::testing::RunResult;
using weir::testing::TemporaryFolder;

const std::string kSecret = "0123456789abcdef0123456789abcdef";
const std::string kTable = R"(
providers: { mock: { dialect: openai, base_url: "http://127.0.0.1:1/v1", api_key: "env:MOCK_KEY" } }
models: { m-1: { provider: mock, tier: economy, price: { input: 1, output: 1 } } }
units: { u: { model: m-1 } }
scenarios: { s: { stable: u } }
tenants: { t: { name: T } }
)";

class CommandLine : public ::testing::Test {
 protected:
  RunResult weir(std::vector<std::string> arguments, std::string input = "") {
    return weir::testing::run(WEIR_BINARY, {.arguments = std::move(arguments),
                                            .environment = {{"SECRET", kSecret}, {"MOCK_KEY", "sk-provider"}},
                                            .input = std::move(input)});
  }
  std::string write_config(const std::string& more = "") {
    return folder.write("weir.yaml", "table: table.yaml\nkey_hash_secret: ${SECRET}\n" + more);
  }

  TemporaryFolder folder;
};

TEST_F(CommandLine, ChecksAConfigurationWithItsTable) {
  const std::string table = folder.write("table.yaml", kTable), config = write_config();
  RunResult result = weir({"check", "--config", config});
  EXPECT_EQ(result.exit_code, kExitOk) << result.errors;
  EXPECT_EQ(result.output, config + ": ok\n" + table + ": ok\n");
}

TEST_F(CommandLine, ReportsProblemsOfConfigurationAndTableAsPathAndMessage) {
  const std::string config = write_config("listen: nowhere\ncolour: blue\n");
  RunResult result = weir({"check", "--config", config});
  EXPECT_EQ(result.exit_code, kExitBadInput);
  EXPECT_THAT(result.errors, StartsWith(config + ": 2 problems\n"));
  EXPECT_THAT(result.errors, HasSubstr("\nlisten: "));
  EXPECT_THAT(result.errors, HasSubstr("\ncolour: unknown field"));

  const std::string table =
      folder.write("bad.yaml", kTable + "flags: { f: { scenario: nope, candidate: { unit: u } } }\n");
  result = weir({"check", "--table", table});
  EXPECT_EQ(result.exit_code, kExitBadInput);
  EXPECT_THAT(result.errors, StartsWith(table + ": 1 problem\nflags.f.scenario: "));
}

TEST_F(CommandLine, WantsCredentialsOnANodeOnly) {
  const std::string table = folder.write("table.yaml", kTable + "\n");
  const std::string config = write_config();
  const weir::testing::ProcessOptions options{.arguments = {"check", "--config", config},
                                              .environment = {{"SECRET", kSecret}}};
  RunResult with_credentials = weir::testing::run(WEIR_BINARY, options);
  EXPECT_EQ(with_credentials.exit_code, kExitBadInput);
  EXPECT_THAT(with_credentials.errors, HasSubstr("providers.mock.api_key: "));
  EXPECT_EQ(weir::testing::run(WEIR_BINARY, {.arguments = {"check", "--table", table}}).exit_code, kExitOk);
}

TEST_F(CommandLine, StartsNothingOnABadConfiguration) {
  RunResult result = weir({"serve", "--config", write_config("shards: 0\n")});
  EXPECT_EQ(result.exit_code, kExitBadInput);
  EXPECT_THAT(result.output, IsEmpty());
  EXPECT_THAT(result.errors, HasSubstr("shards: must be a whole number from 1 to 128"));
  EXPECT_EQ(weir({"serve", "--config", folder.file("none.yaml")}).exit_code, kExitBadInput);
}

TEST_F(CommandLine, HashesAKeyFromStdin) {
  RunResult result = weir({"hash-key", "--config", write_config()}, "weir-abc\n");
  EXPECT_EQ(result.exit_code, kExitOk) << result.errors;
  EXPECT_EQ(result.output, routing::hash_key(kSecret, "weir-abc") + "\n");
  EXPECT_EQ(weir({"hash-key", "--config", write_config()}, "weir-abc\r\n").output, result.output);
  EXPECT_EQ(weir({"hash-key", "--config", write_config()}, "weir-abc").output, result.output);
}

TEST_F(CommandLine, RefusesAKeyThatNoHeaderCanCarryWithoutRepeatingIt) {
  for (const std::string& key :
       {std::string(), std::string("two words"), std::string("sch\xc3\xb6n"), std::string(513, 'k')}) {
    RunResult result = weir({"hash-key", "--config", write_config()}, key + "\n");
    EXPECT_EQ(result.exit_code, kExitBadInput);
    EXPECT_THAT(result.output, IsEmpty());
    if (!key.empty()) {
      EXPECT_THAT(result.errors, Not(HasSubstr(key)));
    }
  }
}

TEST_F(CommandLine, GeneratesAKeyWithItsHash) {
  RunResult result = weir({"hash-key", "--config", write_config(), "--generate"});
  EXPECT_THAT(result.output, MatchesRegex("key:  weir-[0-9a-f]{48}\nhash: hmac-sha256:[0-9a-f]{64}\n"));
  const std::string key = result.output.substr(6, 53);
  EXPECT_THAT(result.output, HasSubstr(routing::hash_key(kSecret, key)));
  EXPECT_NE(weir({"hash-key", "--config", write_config(), "--generate"}).output, result.output);
}

TEST_F(CommandLine, PrintsASchemaThatIsJson) {
  RunResult result = weir({"check", "--schema"});
  EXPECT_EQ(result.exit_code, kExitOk);
  auto schema = nlohmann::json::parse(result.output, nullptr, false);
  EXPECT_TRUE(schema.is_object() && schema.contains("$schema"));
}

TEST_F(CommandLine, ExplainsItselfAndRefusesNonsense) {
  EXPECT_EQ(weir({"--help"}).exit_code, kExitOk);
  EXPECT_THAT(weir({"--help"}).output, HasSubstr("Exit codes:"));
  EXPECT_THAT(weir({"version"}).output, MatchesRegex("weir [0-9.]+\ncompiler  .*"));
  for (std::vector<std::string> arguments : {std::vector<std::string>{},
                                             {"frobnicate"},
                                             {"check"},
                                             {"serve"},
                                             {"hash-key"},
                                             {"check", "--schema", "--table", "t"}}) {
    EXPECT_EQ(weir(arguments).exit_code, kExitBadInput);
  }
}

}  // namespace
}  // namespace weir::tools::command_line_test
