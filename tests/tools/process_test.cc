#include "tests/support/process.h"

#include <gtest/gtest.h>
#include <signal.h>

namespace weir::testing {
namespace {

using namespace std::chrono_literals;

const std::string kShell = "/bin/sh";

TEST(Process, CollectsOutputErrorsAndTheExitCode) {
  RunResult result = run(kShell, {.arguments = {"-c", "echo out; echo err >&2; exit 3"}});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_EQ(result.output, "out\n");
  EXPECT_EQ(result.errors, "err\n");
}

TEST(Process, FeedsItsInputWholeEvenWhenLargerThanAPipe) {
  const std::string megabyte(1 << 20, 'x');
  RunResult result = run("/bin/cat", {.input = megabyte});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.output, megabyte);
}

TEST(Process, SurvivesAChildThatDoesNotReadItsInput) {
  RunResult result = run("/bin/true", {.input = std::string(1 << 20, 'x')});
  EXPECT_EQ(result.exit_code, 0);
}

TEST(Process, FindsTheJsonLineWithTheKey) {
  auto child = Process::start(
      kShell, {.arguments = {"-c", "echo '{\"a\":1}'; echo noise; echo '{\"port\":81}'; cat"}, .input = ""});
  auto line = child->wait_for_json("port");
  ASSERT_TRUE(line);
  EXPECT_EQ((*line)["port"], 81);
}

TEST(Process, StopsWaitingWhenTheChildEndsWithoutTheLine) {
  auto child = Process::start(kShell, {.arguments = {"-c", "echo nothing"}});
  EXPECT_FALSE(child->wait_for_json("port"));
  EXPECT_EQ(child->wait(), 0);
}

TEST(Process, SaysWhenAChildIsStillRunning) {
  auto child = Process::start("/bin/sleep", {.arguments = {"1000"}});
  EXPECT_FALSE(child->wait(1ms));
  EXPECT_EQ(child->stop(), 128 + SIGTERM);
}

TEST(Process, KillsAChildThatIgnoresTheRequestToEnd) {
  auto child = Process::start(kShell, {.arguments = {"-c", "trap '' TERM; echo ready; exec sleep 1000"}});
  ASSERT_TRUE(child->wait_for_output("ready"));
  EXPECT_EQ(child->stop(1ms), 128 + SIGKILL);
}

TEST(Process, GivesTheChildItsEnvironmentAndFolder) {
  TemporaryFolder folder;
  RunResult result = run(kShell, {.arguments = {"-c", "echo $COLOUR; pwd"},
                                  .environment = {{"COLOUR", "blue"}},
                                  .directory = folder.path()});
  EXPECT_EQ(result.output, "blue\n" + folder.path() + "\n");
}

TEST(Process, ReportsAProgramThatIsNotThere) {
  EXPECT_EQ(run("/nonexistent/program").exit_code, 127);
}

}  // namespace
}  // namespace weir::testing
