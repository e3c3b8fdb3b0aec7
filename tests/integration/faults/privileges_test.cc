// What the real process has given up once it serves, and what it says where the system gives it too little.
#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

#include "tests/integration/gateway_fixture.h"

namespace weir::tests::privileges_test {
namespace {

std::string table() {
  return R"({"providers":{"p":{"dialect":"openai","base_url":"http://127.0.0.1:1/v1","api_key":"env:MOCK_KEY"}},
    "models":{"m":{"provider":"p","tier":"economy","price":{"input":1,"output":2}}},"units":{"u":{"model":"m"}},
    "scenarios":{"chat":{"stable":"u"}},"tenants":{"t":{}},"keys":[{"id":"k","tenant":"t","hash":")" +
         key_hash() + R"("}]})";
}

std::string file_of(int pid, const std::string& name) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Read by root, who may; to others the process is closed anyway.
TEST(Privileges, NoSecretIsInTheEnvironmentOfTheProcess) {
  Gateway gateway(table());
  const std::string environment = file_of(gateway.process().pid(), "environ");
  EXPECT_EQ(environment.find(kKeySecret), std::string::npos);
  EXPECT_EQ(environment.find("KEY_SECRET"), std::string::npos);
  EXPECT_EQ(environment.find("sk-provider"), std::string::npos);
  if (::geteuid() == 0) {
    EXPECT_NE(environment.find("PATH="), std::string::npos) << "it was not read";
  }
}

TEST(Privileges, AreGoneInAllThreads) {
  Gateway gateway(table());
  const int pid = gateway.process().pid();
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  DIR* folder = ::opendir(tasks.c_str());
  ASSERT_NE(folder, nullptr);
  int threads = 0;
  while (const dirent* entry = ::readdir(folder)) {
    if (entry->d_name[0] == '.') continue;
    const std::string status = file_of(pid, std::string("task/") + entry->d_name + "/status");
    EXPECT_NE(status.find("NoNewPrivs:\t1"), std::string::npos) << status;
    if (!kSanitized) {  // their runtimes make other system calls
      EXPECT_NE(status.find("Seccomp:\t2"), std::string::npos) << status;
    }
    ++threads;
  }
  ::closedir(folder);
  EXPECT_GT(threads, 3);
}

TEST(Privileges, LeaveNoCore) {
  Gateway gateway(table(), "", GatewayHow{.ulimit = "-S -c hard"});
  const std::string limits = file_of(gateway.process().pid(), "limits");
  const std::string_view core = between(limits, "Max core file size", "\n");
  EXPECT_EQ(core.find_first_not_of(" 0bytes"), std::string_view::npos) << limits;
  EXPECT_NE(core.find("0 "), std::string_view::npos) << limits;
}

int child_of(int pid) {
  int child = 0;
  std::ifstream("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children") >> child;
  return child;
}

// Of weir and of its launcher, which keeps its environment: closed to others of the same user.
TEST(Privileges, CloseTheProcessesToTheirOwnUser) {
  const bool root = ::geteuid() == 0;
  constexpr uid_t kNobody = 65534;
  weir::testing::TemporaryFolder folder;
  folder.write("table.json", table());
  folder.write("weir.yaml",
               "listen: \"127.0.0.1:0\"\nshards: 1\ntable: table.json\nkey_hash_secret: \"${KEY_SECRET}\"\n"
               "registry: registry.db\nadmin: { socket: admin.sock }\naccess_log: none\n");
  if (root) {
    for (const std::string& path : {folder.path(), folder.file("table.json"), folder.file("weir.yaml")})
      ASSERT_EQ(::chown(path.c_str(), kNobody, kNobody), 0);
  }
  // The program is opened by root: nobody may not reach the folder that it is in.
  const std::string as_nobody = root ? "exec setpriv --reuid=65534 --regid=65534 --clear-groups " : "exec ";
  const auto process = weir::testing::Process::start(
      "/bin/bash", {.arguments = {"-c",
                                  "exec 9<\"$0\"; ulimit -l unlimited 2>/dev/null; " + as_nobody +
                                      R"(/proc/self/fd/9 serve --config "$1")",
                                  WEIR_BINARY, folder.file("weir.yaml")},
                    .environment = {{"KEY_SECRET", std::string(kKeySecret)}, {"MOCK_KEY", "sk-provider"}}});
  ASSERT_TRUE(process->wait_for_json("listen").has_value()) << process->errors();
  const int launcher = child_of(process->pid());
  ASSERT_NE(launcher, 0);
  const auto read = [&](const std::string& pid, const std::string& what) {
    return weir::testing::run("/bin/bash", {.arguments = {"-c", as_nobody + "cat /proc/" + pid + "/" + what},
                                            .environment = {{"KEY_SECRET", std::string(kKeySecret)}}});
  };
  EXPECT_NE(read("self", "environ").output.find(kKeySecret), std::string::npos) << "it can be read at all";
  for (const int pid : {process->pid(), launcher}) {
    for (const char* what : {"environ", "maps", "mem"}) {
      const auto result = read(std::to_string(pid), what);
      EXPECT_NE(result.exit_code, 0) << what;
      EXPECT_EQ(result.output, "") << what;
      EXPECT_NE(result.errors.find("Permission denied"), std::string::npos) << what << result.errors;
    }
  }
  EXPECT_EQ(process->stop(), 0) << process->errors();
}

TEST(Privileges, KeepATableFromFilesThatTheConfigurationDoesNotName) {
  if (::syscall(SYS_landlock_create_ruleset, nullptr, 0, 1) < 1) GTEST_SKIP() << "no Landlock";
  weir::testing::TemporaryFolder folder, outside;
  const std::string secret = outside.write("secret", "sk-of-somebody-else\n");
  std::string text = table();
  text.replace(text.find("env:MOCK_KEY"), std::string_view("env:MOCK_KEY").size(), "file:" + secret);
  folder.write("table.json", text);
  const auto serve = [&](const std::string& readable) {
    const std::string config = folder.write(
        "weir.yaml",
        "listen: \"127.0.0.1:0\"\nshards: 1\ntable: table.json\nkey_hash_secret: \"${KEY_SECRET}\"\n"
        "registry: registry.db\nadmin: { socket: admin.sock }\naccess_log: none\n" +
            readable);
    return weir::testing::Process::start(WEIR_BINARY,
                                         {.arguments = {"serve", "--config", config},
                                          .environment = {{"KEY_SECRET", std::string(kKeySecret)}}});
  };
  const auto refused = serve("");
  EXPECT_EQ(refused->wait(), 2) << refused->output();
  EXPECT_NE(refused->errors().find(secret), std::string::npos) << refused->errors();
  EXPECT_EQ(refused->errors().find("sk-of-somebody-else"), std::string::npos);
  const auto allowed = serve("readable: [ " + outside.path() + " ]\n");
  EXPECT_TRUE(allowed->wait_for_json("listen").has_value()) << allowed->errors();
}

// As a container's default profile does: the call fails with EPERM.
void forbid_io_uring() {
  std::array<sock_filter, 4> program{{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                                      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
                                      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                                      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)}};
  const sock_fprog filter{program.size(), program.data()};
  ASSERT_EQ(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  ASSERT_EQ(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

TEST(Privileges, WithoutIoUringItSaysWhatToAllow) {
  weir::testing::TemporaryFolder folder;
  folder.write("table.json", table());
  const std::string config = folder.write(
      "weir.yaml",
      "listen: \"127.0.0.1:0\"\nshards: 2\ntable: table.json\nkey_hash_secret: "
      "\"${KEY_SECRET}\"\nregistry: registry.db\nadmin: { socket: admin.sock }\naccess_log: none\n");
  weir::testing::RunResult result;
  // The filter holds for one thread and the processes that it starts.
  std::thread([&] {
    forbid_io_uring();
    result = weir::testing::run(
        WEIR_BINARY, {.arguments = {"serve", "--config", config},
                      .environment = {{"KEY_SECRET", std::string(kKeySecret)}, {"MOCK_KEY", "sk-provider"}}});
  }).join();
  EXPECT_EQ(result.exit_code, 1);
  const std::string needed =
      "weir: io_uring is not permitted: set the sysctl kernel.io_uring_disabled=0, and in a container allow "
      "io_uring_setup, io_uring_enter and io_uring_register in its seccomp profile\n";
  const size_t said = result.errors.find(needed);
  EXPECT_NE(said, std::string::npos) << result.errors;
  EXPECT_EQ(result.errors.find(needed, said + 1), std::string::npos) << "said once for all shards";
}

}  // namespace
}  // namespace weir::tests::privileges_test
