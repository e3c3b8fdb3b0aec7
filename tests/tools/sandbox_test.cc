// Each case gives something up for good, so each runs in a process of its own: EXPECT_EXIT forks.
#include "tools/weir/sandbox.h"

#include <gtest/gtest.h>
#include <netdb.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <thread>

#include "tests/support/process.h"
#include "tests/support/sanitized.h"
#include "tools/weir/environment.h"

namespace weir::tools::sandbox_test {
namespace {

using ::testing::ExitedWithCode;

constexpr int kHeld = 42;  // not what a crash or a failing library would say

// Ends the process: with kHeld if `held`.
[[noreturn]] void end(bool held) {
  ::_exit(held ? kHeld : 1);
}

bool refused(long result) {
  return result == -1 && errno == EPERM;
}

void in_sandbox(const std::function<bool()>& check) {
  if (!give_up_privileges().empty() || !restrict_system_calls().empty()) end(false);
  end(check());
}

class Sandbox : public ::testing::Test {
 protected:
  void SetUp() override {
    if (tests::kSanitized) GTEST_SKIP() << "sanitizers need other system calls";
  }
};

TEST_F(Sandbox, StartsNoPrograms) {
  EXPECT_EXIT(in_sandbox([] { return refused(::execl("/bin/true", "true", nullptr)); }),
              ExitedWithCode(kHeld), "system_call_refused\",\"number\":" + std::to_string(SYS_execve));
}

TEST_F(Sandbox, StartsNoProcesses) {
  EXPECT_EXIT(in_sandbox([] { return refused(::fork()); }), ExitedWithCode(kHeld), "system_call_refused");
  EXPECT_EXIT(in_sandbox([] { return refused(::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)); }),
              ExitedWithCode(kHeld), "system_call_refused");
}

TEST_F(Sandbox, StartsThreads) {
  EXPECT_EXIT(in_sandbox([] {
                int number = 0;
                std::thread([&number] { number = 7; }).join();
                return number == 7;
              }),
              ExitedWithCode(kHeld), "^$");
}

TEST_F(Sandbox, LooksNamesUp) {
  EXPECT_EXIT(in_sandbox([] {
                addrinfo* found = nullptr;
                const bool ok = ::getaddrinfo("localhost", nullptr, nullptr, &found) == 0;
                ::getaddrinfo("no.such.name.invalid", nullptr, nullptr, &found);
                return ok;
              }),
              ExitedWithCode(kHeld), "^$");
}

TEST_F(Sandbox, RefusesWhatAGatewayHasNoUseFor) {
  const std::vector<std::function<long()>> calls = {
      [] { return ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); },
      [] { return ::syscall(SYS_io_uring_setup, 8, nullptr); },
      [] { return ::socket(AF_PACKET, SOCK_RAW, 0); },
      [] { return ::syscall(SYS_mount, "none", "/mnt", "tmpfs", 0, nullptr); },
      [] { return ::syscall(SYS_bpf, 0, nullptr, 0); },
      [] { return ::syscall(SYS_setuid, 0); },
      [] { return ::syscall(SYS_kill, ::getpid(), 0); },
      [] { return ::syscall(SYS_process_vm_readv, ::getpid(), nullptr, 0, nullptr, 0, 0); },
      [] { return ::ioctl(STDIN_FILENO, TIOCSTI, "x"); },
      [] { return ::syscall(SYS_tgkill, ::getppid(), ::getppid(), 0); },
      [] { return ::syscall(SYS_prlimit64, ::getppid(), RLIMIT_NOFILE, nullptr, nullptr); },
      [] { return ::syscall(SYS_sched_setaffinity, ::getppid(), 0, nullptr); },
  };
  for (size_t i = 0; i < calls.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_EXIT(in_sandbox([&] { return refused(calls[i]()); }), ExitedWithCode(kHeld),
                "system_call_refused");
  }
}

TEST_F(Sandbox, LeavesWhatConcernsThisProcessAlone) {
  EXPECT_EXIT(in_sandbox([] {
                int ends[2];
                int waiting = -1;
                rlimit limit{};
                return ::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 &&
                       ::ioctl(ends[0], FIONREAD, &waiting) == 0 && ::isatty(ends[0]) == 0 &&
                       errno == ENOTTY && ::syscall(SYS_tgkill, ::getpid(), ::gettid(), 0) == 0 &&
                       ::getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
                       ::prlimit(::getpid(), RLIMIT_NOFILE, nullptr, &limit) == 0;
              }),
              ExitedWithCode(kHeld), "^$");
}

TEST_F(Sandbox, SaysOnceForEachCallThatItWasRefused) {
  EXPECT_EXIT(in_sandbox([] { return refused(::fork()) && refused(::fork()) && refused(::fork()); }),
              ExitedWithCode(kHeld), "^[^\n]*system_call_refused[^\n]*\n$");
}

// All threads, those that run already included.
TEST_F(Sandbox, HoldsForThreadsThatWereThereBefore) {
  EXPECT_EXIT(
      {
        std::atomic<int> state{0};
        bool held = false;
        std::thread other([&] {
          state = 1;
          state.notify_all();
          state.wait(1);
          held = refused(::fork());
        });
        state.wait(0);
        const bool given_up = give_up_privileges().empty() && restrict_system_calls().empty();
        state = 2;
        state.notify_all();
        other.join();
        end(given_up && held);
      },
      ExitedWithCode(kHeld), "");
}

TEST_F(Sandbox, LeavesNoCore) {
  EXPECT_EXIT(
      {
        give_up_privileges();
        rlimit limit{};
        ::getrlimit(RLIMIT_CORE, &limit);
        std::ifstream status("/proc/self/status");
        const std::string text(std::istreambuf_iterator<char>(status), {});
        end(limit.rlim_max == 0 && text.find("NoNewPrivs:\t1") != std::string::npos);
      },
      ExitedWithCode(kHeld), "");
}

TEST_F(Sandbox, ReachesOnlyTheFilesItNames) {
  if (const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, 1); version < 1)
    GTEST_SKIP() << "no Landlock";
  const weir::testing::TemporaryFolder folder;
  const auto made = [&](const std::string& name) {
    ::mkdir(folder.file(name).c_str(), 0700);
    folder.write(name + "/file", "text");
    return folder.file(name);
  };
  const std::string readable = made("readable"), writable = made("writable"), other = made("other");
  EXPECT_EXIT(
      {
        const bool restricted =
            give_up_privileges().empty() &&
            restrict_files({.read = {readable, folder.file("none")}, .write = {writable}}).empty();
        const auto reads = [](const std::string& path) { return std::ifstream(path).good(); };
        const auto writes = [](const std::string& path) { return std::ofstream(path, std::ios::app).good(); };
        end(restricted && reads(readable + "/file") && !writes(readable + "/file") &&
            !writes(readable + "/new") && reads(writable + "/file") && writes(writable + "/new") &&
            ::unlink((writable + "/new").c_str()) == 0 &&
            ::rename((writable + "/file").c_str(), (writable + "/older").c_str()) == 0 &&
            !reads(other + "/file") && !writes(other + "/file") && reads("/etc/passwd") &&
            ::execl("/bin/true", "true", nullptr) == -1);
      },
      ExitedWithCode(kHeld), "");
}

TEST(FilesOf, AreTheFoldersOfTheFilesThatAConfigurationNames) {
  ::unsetenv("SSL_CERT_FILE");
  ::unsetenv("SSL_CERT_DIR");
  Config config;
  config.file = "/conf/weir.yaml";
  config.table_path = "/tables/table.yaml";
  config.certificates = {{.certificate_chain_path = "/pki/chain.pem", .private_key_path = "/keys/key.pem"}};
  config.admin_certificates = {
      {.certificate_chain_path = "/admin-pki/chain.pem", .private_key_path = "/root.key"}};
  config.readable = {"/opt/pki", "/opt/one.file"};
  config.admin_socket = "/run/weir/admin.sock";
  config.registry_path = "/state/registry.db";
  using Paths = std::vector<std::string>;
  const Paths read = {"/opt/pki", "/opt/one.file", "/conf", "/tables", "/pki", "/keys", "/admin-pki", "/"};
  EXPECT_EQ(files_of(config).read, read);
  EXPECT_EQ(files_of(config).write, (Paths{"/run/weir", "/state"}));

  config.guard_state_path = "/guards/guards.state";
  config.shadow_log_path = "/shadows/shadow.jsonl";
  config.access_log_path = "/logs/access.jsonl";  // of no use while it goes to standard output
  EXPECT_EQ(files_of(config).write, (Paths{"/run/weir", "/state", "/guards", "/shadows"}));
  config.access_log = AccessLog::file;
  EXPECT_EQ(files_of(config).write, (Paths{"/run/weir", "/state", "/guards", "/shadows", "/logs"}));

  config.registry_path = ":memory:";
  config.guard_state_path = config.shadow_log_path = "";
  config.access_log = AccessLog::none;
  config.admin_socket = "admin.sock";
  EXPECT_EQ(files_of(config).write, Paths{"."}) << "where it was started";
  EXPECT_EQ(files_of(config).read, read) << "nothing that is written is merely read";
}

TEST(FilesOf, ArePlusWhatOpenSslIsToldOf) {
  ::setenv("SSL_CERT_FILE", "/certs/all.pem", 1);
  ::setenv("SSL_CERT_DIR", "/certs/each", 1);
  Config config;
  config.file = "/conf/weir.yaml";
  config.table_path = "/conf/table.yaml";
  EXPECT_EQ(files_of(config).read,
            (std::vector<std::string>{"/conf", "/conf", "/certs/all.pem", "/certs/each"}));
  ::unsetenv("SSL_CERT_FILE");
  ::unsetenv("SSL_CERT_DIR");
}

TEST(WipedEnvironment, AnswersFromACopyOnly) {
  EXPECT_EXIT(
      {
        ::setenv("WEIR_TEST_SECRET", "sk-secret", 1);
        ::setenv("TZ", "UTC", 1);
        const char* original = std::getenv("WEIR_TEST_SECRET");
        const Environment environment = process_environment();
        wipe_environment();
        end(environment("WEIR_TEST_SECRET") == "sk-secret" && std::getenv("WEIR_TEST_SECRET") == nullptr &&
            *original == '\0' && !environment("WEIR_TEST_OTHER") &&
            std::string_view(std::getenv("TZ")) == "UTC");
      },
      ExitedWithCode(kHeld), "");
}

}  // namespace
}  // namespace weir::tools::sandbox_test
