// The launcher with successors that do as they are told: this binary again, in its one disabled case.
#include "tools/weir/successor.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "tests/support/process.h"

namespace weir::tools {
namespace {

constexpr const char* kFolder = "WEIR_TEST_SUCCESSOR";

// Ends with the code in the file of that name, which may be a pipe: then it waits for it.
TEST(SuccessorProcess, DISABLED_EndsWithTheCodeItIsGiven) {
  const char* folder = std::getenv(kFolder);
  if (folder == nullptr) GTEST_SKIP() << "for the launcher alone";
  std::ofstream(std::string(folder) + "/pid") << ::getpid() << std::endl;
  int code = 0;
  std::ifstream(std::string(folder) + "/code") >> code;
  ::_exit(code);
}

class LauncherTest : public ::testing::Test {
 protected:
  LauncherTest() {
    ::setenv(kFolder, folder_.path().c_str(), 1);
    // The one case is all that a successor is to run, whichever share of the tests this process has.
    for (const char* share : {"GTEST_TOTAL_SHARDS", "GTEST_SHARD_INDEX", "GTEST_SHARD_STATUS_FILE"}) ::unsetenv(share);
    // It is inherited: being cancelled does not end them.
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &term, &before_);
  }
  ~LauncherTest() override {
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    ::unsetenv(kFolder);
  }
  void start(LauncherPatience patience) { launcher_ = Launcher::fork_now(arguments_, patience); }
  std::string failure() {
    std::promise<Launcher::Started> started;
    launcher_->start(sockets_, [&](Launcher::Started result) { started.set_value(std::move(result)); });
    const Launcher::Started result = started.get_future().get();
    return result ? "none" : result.error();
  }

  weir::testing::TemporaryFolder folder_;
  const std::string filter_ = "--gtest_filter=SuccessorProcess.*";
  char* arguments_[5] = {const_cast<char*>("tools_tests"), const_cast<char*>(filter_.c_str()),
                         const_cast<char*>("--gtest_also_run_disabled_tests"),
                         const_cast<char*>("--gtest_brief=1"), nullptr};
  sigset_t before_{};
  SocketsToPass sockets_;
  std::unique_ptr<Launcher> launcher_;
};

TEST_F(LauncherTest, SaysHowASuccessorEnded) {
  start({.ready_ms = 20'000, .exit_ms = 20'000});
  folder_.write("code", "5");
  EXPECT_EQ(failure(), "it ended with exit code 5");
  folder_.write("code", "6");
  EXPECT_EQ(failure(), "it ended with exit code 6");
}

// One that was cancelled may drain for long; how it ends at last is not what became of the next.
TEST_F(LauncherTest, DoesNotTakeTheEndOfAnEarlierSuccessorForThatOfThisOne) {
  start({.ready_ms = 1000, .exit_ms = 1000});
  const std::string code = folder_.file("code");
  ASSERT_EQ(::mkfifo(code.c_str(), 0600), 0);
  ASSERT_EQ(failure(), "it was not ready within 1 s");
  {
    std::ofstream first(code);  // opens when the successor has done so
    ASSERT_EQ(::unlink(code.c_str()), 0);
    folder_.write("code", "5");
    first << "3\n";
  }
  int pid = 0;
  std::ifstream(folder_.file("pid")) >> pid;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (::kill(pid, 0) == 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_EQ(failure(), "it ended with exit code 5");
}

}  // namespace
}  // namespace weir::tools
