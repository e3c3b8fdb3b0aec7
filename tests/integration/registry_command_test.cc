// `weir registry`: looking into a registry file while no weir runs on it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "routing/registry/registry.h"
#include "tests/support/process.h"
#include "tools/exit_codes.h"

namespace weir::tools::registry_command_test {
namespace {

using routing::ObjectKind;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using weir::testing::RunResult;

class RegistryCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    auto registry = routing::Registry::open({.path = file});
    ASSERT_TRUE(registry) << registry.error().message;
    routing::Commit change{
        .actor = {.name = "alice", .role = "operator"},
        .action = "put",
        .target = "tenant bank-17",
        .reason = "first \x1b[31m",
        .objects = {{.kind = ObjectKind::tenant, .name = "bank-17", .after = R"({"name":"A"})"}},
        .wall_ns = 1'000'000'000};
    ASSERT_TRUE((*registry)->commit(change));
    change.objects = {{.kind = ObjectKind::tenant, .name = "other", .after = R"({"name":"B"})"}};
    change.reason = "second";
    ASSERT_TRUE((*registry)->commit(change));
  }
  RunResult weir(const std::string& command, std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"registry", command, "--file", file};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return weir::testing::run(WEIR_BINARY, {.arguments = std::move(arguments)});
  }

  const testing::TemporaryFolder folder;
  const std::string file = folder.file("registry.db");
};

TEST_F(RegistryCommand, VerifiesASoundFile) {
  const RunResult result = weir("verify");
  EXPECT_EQ(result.exit_code, kExitOk) << result.errors;
  EXPECT_THAT(result.output, HasSubstr("revision 2, 2 changes and 2 objects checked, 0 faults"));
}

TEST_F(RegistryCommand, ShowsTheLogNewestFirstWithNothingThatMovesACursor) {
  RunResult result = weir("log");
  EXPECT_EQ(result.exit_code, kExitOk) << result.errors;
  EXPECT_EQ(result.output,
            "2  1970-01-01T00:00:01.000Z  alice (operator)  put  tenant bank-17  second\n"
            "1  1970-01-01T00:00:01.000Z  alice (operator)  put  tenant bank-17  first \\x1b[31m\n");
  result = weir("log", {"--tenant", "other"});
  EXPECT_THAT(result.output, StartsWith("2 "));
  EXPECT_THAT(result.output, Not(HasSubstr("first")));
}

TEST_F(RegistryCommand, ExportsTheTableOfARevision) {
  EXPECT_EQ(weir("export", {"--revision", "1"}).output, "{\"tenants\":{\"bank-17\":{\"name\":\"A\"}}}\n");
  EXPECT_THAT(weir("export").output, HasSubstr("other"));
  const RunResult result = weir("export", {"--revision", "3"});
  EXPECT_EQ(result.exit_code, kExitBadInput);
  EXPECT_EQ(result.errors, "there is no revision 3: the newest is 2\n");
}

TEST_F(RegistryCommand, LeavesAFileAloneThatAWeirHasOpen) {
  const auto open = routing::Registry::open({.path = file});
  ASSERT_TRUE(open);
  const RunResult result = weir("verify");
  EXPECT_EQ(result.exit_code, kExitFailure);
  EXPECT_THAT(result.errors, HasSubstr("only one weir at a time"));
}

TEST_F(RegistryCommand, MakesNoFileThatIsNotThere) {
  const RunResult result = weir::testing::run(
      WEIR_BINARY, {.arguments = {"registry", "verify", "--file", folder.file("none.db")}});
  EXPECT_EQ(result.exit_code, kExitBadInput);
  EXPECT_THAT(result.errors, StartsWith("there is no registry"));
}

}  // namespace
}  // namespace weir::tools::registry_command_test
