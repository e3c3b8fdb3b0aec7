// Replacing the running process (SIGUSR2): whoever connects, asks or listens to a stream meanwhile must not
// notice.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>

#include "core/limits.h"
#include "tests/integration/faults/steady_load.h"
#include "tools/weir/config.h"
#include "tools/weirctl/admin_client.h"

namespace weir::tests::handover_test {
namespace {

using weir::testing::Process;
using Milliseconds = Process::Milliseconds;
using namespace std::chrono_literals;

constexpr int kRestarts = 20;  // WEIR_RESTARTS asks for more

int restarts() {
  const char* wanted = std::getenv("WEIR_RESTARTS");
  int count = kRestarts;
  if (wanted != nullptr) std::from_chars(wanted, wanted + std::strlen(wanted), count);
  return count;
}

// `more`: further members of the provider.
std::string table(uint16_t provider, const std::string& more = "") {
  return R"({"providers":{"p":{"dialect":"openai","base_url":"http://127.0.0.1:)" + std::to_string(provider) +
         R"(/v1")" + more +
         R"(}},"models":{"m":{"provider":"p","tier":"economy","price":{"input":1,"output":2}}},
    "units":{"u":{"model":"m"}},"scenarios":{"chat":{"stable":"u"}},"tenants":{"t":{}},
    "keys":[{"id":"k","tenant":"t","hash":")" +
         key_hash() + R"("}]})";
}

// A process that is not our child: its end can be waited for, and it is not left behind.
class Watched {
 public:
  explicit Watched(int pid) : pid_(pid), descriptor_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) {}
  ~Watched() {
    send(SIGKILL);
    ends();
    ::close(descriptor_);
  }
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;
  int pid() const { return pid_; }
  bool ends(Milliseconds patience = 20s) {
    pollfd waited{descriptor_, POLLIN, 0};
    if (::poll(&waited, 1, static_cast<int>(patience.count())) <= 0) return false;
    siginfo_t ignored{};
    ::waitid(P_PIDFD, static_cast<id_t>(descriptor_), &ignored, WEXITED);  // ours by adoption, if at all
    return true;
  }
  void send(int signal) { ::syscall(SYS_pidfd_send_signal, descriptor_, signal, nullptr, 0); }

 private:
  const int pid_;
  const int descriptor_;
};

// A gateway in front of the mock provider, and all that follow it.
class Handover : public ::testing::Test {
 protected:
  Handover() {
    ::prctl(PR_SET_CHILD_SUBREAPER,
            1);  // successors become children of this process once their launcher is gone
    answer_with(20);
  }
  // How long its streams are, 5 ms a token.
  void answer_with(int tokens) {
    provider_ = Process::start(WEIR_MOCK_PROVIDER_BINARY,
                               {.arguments = {"--token-delay-ms", "5", "--tokens", std::to_string(tokens)}});
    const auto listening = provider_->wait_for_json("port");
    if (!listening) return;
    provider_port_ = (*listening)["port"];
    folder_.write("table.json", table(provider_port_));
  }

  ~Handover() override {
    if (first_ == nullptr) return;
    for (const char* event : {"system_call_refused", "sandbox_incomplete"}) {
      EXPECT_EQ(first_->errors().find(event), std::string::npos) << first_->errors();
    }
  }

  // `ulimit`: as in GatewayHow.
  void start(const std::string& more_config = "", const std::string& ulimit = "") {
    write_config(more_config);
    const std::string command = (ulimit.empty() ? "" : "ulimit " + ulimit + "; ") + R"(exec "$0" "$@")";
    first_ = Process::start("/bin/bash", {.arguments = {"-c", command, WEIR_BINARY, "serve", "--config",
                                                        folder_.file("weir.yaml")},
                                          .environment = {{"KEY_SECRET", std::string(kKeySecret)}}});
    ASSERT_TRUE(wait_until_ready()) << first_->errors();
  }
  void write_config(const std::string& more_config) {
    folder_.write(
        "weir.yaml",
        "listen: \"127.0.0.1:0\"\nshards: 2\ntable: table.json\nkey_hash_secret: \"${KEY_SECRET}\"\n"
        "registry: registry.db\nadmin: { socket: admin.sock }\naccess_log: " +
            access_log_ + "\n" + more_config);
  }
  // The next process that says it is ready.
  bool wait_until_ready() {
    const auto ready = first_->wait_for_json("listen", 60s, static_cast<int>(processes_.size()) + 1);
    if (!ready) return false;
    const std::string address = (*ready)["listen"][0];
    port_ = static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
    processes_.push_back(std::make_unique<Watched>((*ready)["pid"].get<int>()));
    return true;
  }
  Watched& current() { return *processes_.back(); }
  // Begins to replace the process with one that stays where it reads its provider's credential, ports and registry
  // being the next steps, until go_on().
  std::unique_ptr<Watched> start_held_successor() {
    const std::string key = folder_.file("provider.key");
    std::filesystem::remove(key);
    EXPECT_EQ(::mkfifo(key.c_str(), 0600), 0);
    current().send(SIGUSR2);
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while ((held_ = ::open(key.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0) {  // until somebody reads it
      if (std::chrono::steady_clock::now() >= deadline) return nullptr;
      std::this_thread::yield();
    }
    const int pid = child_of(child_of(current().pid()));
    return pid == 0 ? nullptr : std::make_unique<Watched>(pid);
  }
  void go_on() {
    EXPECT_EQ(::write(held_, "sk-provider", 11), 11);
    forget_held_successor();
  }
  void forget_held_successor() {
    ::close(std::exchange(held_, -1));
    std::filesystem::remove(folder_.file("provider.key"));
    folder_.write("provider.key", "sk-provider");
  }
  void start_with_a_credential_in_a_file(const std::string& ulimit = "") {
    const std::string key = folder_.write("provider.key", "sk-provider");
    folder_.write("table.json", table(provider_port_, R"(,"api_key":"file:)" + key + "\""));
    start("", ulimit);
  }
  // 0 = it has none.
  static int child_of(int pid) {
    const std::string process = "/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children";
    std::ifstream file(process);
    int child = 0;
    file >> child;
    return child;
  }
  int answer_of_admin() const {
    const int descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = folder_.file("admin.sock");
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    std::string bytes;
    if (::connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
      const std::string_view request = "GET /healthz HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n";
      [[maybe_unused]] const ssize_t sent = ::send(descriptor, request.data(), request.size(), MSG_NOSIGNAL);
      char piece[4096];
      for (ssize_t size; (size = ::recv(descriptor, piece, sizeof piece, 0)) > 0;)
        bytes.append(piece, static_cast<size_t>(size));
    }
    ::close(descriptor);
    return bytes.starts_with("HTTP/1.1 ") ? std::stoi(bytes.substr(9, 3)) : 0;
  }
  // The access log and those it was rotated to.
  std::set<std::string> logged_requests(uint64_t* lines) const {
    std::set<std::string> ids;
    *lines = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      if (!entry.path().filename().string().starts_with("access.jsonl")) continue;
      std::ifstream file(entry.path());
      for (std::string line; std::getline(file, line);) {
        const auto record = nlohmann::json::parse(line, nullptr, false);
        EXPECT_TRUE(record.is_object()) << "a broken line: " << line;
        if (!record.is_object()) continue;
        ++*lines;
        ids.insert(record.value("request_id", ""));
      }
    }
    return ids;
  }

  weir::testing::TemporaryFolder folder_;
  std::unique_ptr<Process> provider_, first_;
  std::vector<std::unique_ptr<Watched>> processes_;
  std::string access_log_ = "access.jsonl";
  uint16_t port_ = 0, provider_port_ = 0;
  int held_ = -1;
};

TEST_F(Handover, RefusesAndCutsNothingUnderLoad) {
  ASSERT_NO_FATAL_FAILURE(start());
  const uint16_t port = port_;
  SteadyLoad load(port, {});
  for (int restart = 0; restart < restarts(); ++restart) {
    current().send(SIGUSR2);
    ASSERT_TRUE(wait_until_ready()) << first_->errors();
    ASSERT_EQ(port_, port);
    // Each process has to do with clients of its own before it is replaced.
    load.wait_for(20);
  }
  const LoadResult result = load.stop();
  EXPECT_EQ(result.refused, 0u) << result.first_problem;
  EXPECT_EQ(result.cut, 0u) << result.first_problem;
  EXPECT_EQ(result.wrong, 0u) << result.first_problem;
  EXPECT_GT(result.answers, 0u);
  EXPECT_GT(result.streams, 0u);
  RecordProperty("restarts", static_cast<int>(processes_.size()) - 1);
  RecordProperty("answers", static_cast<int>(result.answers));
  RecordProperty("streams", static_cast<int>(result.streams));
  for (size_t i = 0; i + 1 < processes_.size(); ++i) {
    EXPECT_TRUE(processes_[i]->ends()) << "process " << i << " stays";
  }
  EXPECT_EQ(answer_of_admin(), 200);
  current().send(SIGTERM);
  EXPECT_TRUE(current().ends());
  EXPECT_FALSE(std::filesystem::exists(folder_.file("admin.sock")));
  uint64_t lines = 0;
  EXPECT_EQ(logged_requests(&lines).size(), lines) << "requests that were logged twice";
  // Fewer than a shard's queue holds: none of them was dropped because the control thread got no CPU.
  const uint64_t asked = result.answers + result.streams;
  EXPECT_LE(lines, asked);
  if (asked < core::limits::kRecordQueueLength) {
    EXPECT_EQ(lines, asked);
  }
}

// As when a container's runtime or systemd collects what it prints.
TEST_F(Handover, BreaksNoLineOfALogOnAPipeThatBothProcessesWriteTo) {
  access_log_ = "stdout";
  ASSERT_NO_FATAL_FAILURE(start());
  SteadyLoad load(port_, {.keep_alive = 4, .fresh = 2, .streams = 2});
  for (int restart = 0; restart < 3; ++restart) {
    load.wait_for(200);
    current().send(SIGUSR2);
    ASSERT_TRUE(wait_until_ready()) << first_->errors();
  }
  const LoadResult result = load.stop();
  for (size_t i = 0; i + 1 < processes_.size(); ++i) EXPECT_TRUE(processes_[i]->ends());
  current().send(SIGTERM);
  ASSERT_TRUE(current().ends());
  first_->wait();
  std::istringstream output(first_->output());
  uint64_t requests = 0;
  for (std::string line; std::getline(output, line);) {
    const auto record = nlohmann::json::parse(line, nullptr, false);
    ASSERT_TRUE(record.is_object()) << "a broken line: " << line;
    requests += record.contains("request_id");
  }
  const uint64_t asked = result.answers + result.streams;
  EXPECT_LE(requests, asked);
  if (asked < core::limits::kRecordQueueLength) {
    EXPECT_EQ(requests, asked);
  }
}

TEST_F(Handover, FinishesAStreamThatBeganBeforeIt) {
  answer_with(200);
  ASSERT_NO_FATAL_FAILURE(start());
  BlockingClient client(port_);
  client.send(chat_request("", "chat", R"(,"stream":true)"));
  client.receive_until("data: ");
  current().send(SIGUSR2);
  ASSERT_TRUE(wait_until_ready()) << first_->errors();
  EXPECT_NE(client.receive_until("data: [DONE]").find("data: [DONE]"), std::string::npos);
}

TEST_F(Handover, WhatAStreamCostsThatEndsAfterItIsInTheBudgetsOfTheNewProcess) {
  answer_with(200);
  std::string budgeted = table(provider_port_);
  const std::string tenants = R"("tenants":{"t":{}})";
  budgeted.replace(budgeted.find(tenants), tenants.size(),
                   R"("tenants":{"t":{"budgets":[{"window":"month","usd":9}],)"
                   R"("user_budgets":[{"window":"month","usd":9}]}})");
  folder_.write("table.json", budgeted);
  ASSERT_NO_FATAL_FAILURE(start("guard_state: guards.state\n"));
  const auto budget = [&](const std::string& scope, const std::string& filter = "") {
    tools::AdminClient client(folder_.file("admin.sock"));
    const auto answer = client.call({.method = "GET", .path = "/v1/budgets" + filter});
    const auto shown = answer ? nlohmann::json::parse(answer->body, nullptr, false) : nlohmann::json();
    const auto rows = shown.is_object() ? shown.value("budgets", nlohmann::json::array()) : nlohmann::json::array();
    for (const auto& row : rows)
      if (row["scope"] == scope) return std::pair<double, double>(row["spent_usd"], row["reserved_usd"]);
    return std::pair<double, double>(-1, -1);
  };
  const std::string request = chat_request("", "chat", R"(,"stream":true,"max_tokens":1000,"user":"anna")");
  BlockingClient client(port_);
  client.send(request);
  client.receive_until("data: ");
  current().send(SIGUSR2);
  ASSERT_TRUE(wait_until_ready()) << first_->errors();
  const auto [at_worst, nothing] = budget("tenant");
  EXPECT_EQ(nothing, 0);
  EXPECT_NE(client.receive_until("data: [DONE]").find("data: [DONE]"), std::string::npos);
  ASSERT_TRUE(processes_[0]->ends());
  ASSERT_TRUE(first_->wait_for_errors("\"late_guards_added\"")) << first_->errors();
  const double spent = budget("tenant").first;
  EXPECT_GT(spent, 0);
  EXPECT_LT(spent, at_worst);
  EXPECT_DOUBLE_EQ(budget("user", "?tenant=t&user=anna").first, spent);
  // It costs what the same costs without a handover.
  BlockingClient again(port_);
  again.send(request);
  again.receive_until("data: [DONE]");
  const auto deadline = std::chrono::steady_clock::now() + Process::kPatience;
  while (budget("tenant").second != 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_DOUBLE_EQ(budget("tenant").first, 2 * spent);
  EXPECT_DOUBLE_EQ(budget("user", "?tenant=t&user=anna").first, 2 * spent);
  const auto late_files = [&] {
    return std::ranges::count_if(std::filesystem::directory_iterator(folder_.path()), [](const auto& entry) {
      return entry.path().string().find(".late-") != std::string::npos;
    });
  };
  while (late_files() != 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_EQ(late_files(), 0);
}

// As when a service is stopped soon after: all its processes are told.
TEST_F(Handover, DrainsOnWhenItIsToldToEndAfterItWasReplaced) {
  answer_with(200);
  ASSERT_NO_FATAL_FAILURE(start());
  BlockingClient client(port_);
  client.send(chat_request("", "chat", R"(,"stream":true)"));
  client.receive_until("data: ");
  current().send(SIGUSR2);
  ASSERT_TRUE(wait_until_ready()) << first_->errors();
  ASSERT_TRUE(first_->wait_for_errors("\"handed_over\""));
  processes_[0]->send(SIGTERM);
  ASSERT_TRUE(first_->wait_for_errors("\"stopping\"")) << first_->errors();
  EXPECT_NE(client.receive_until("data: [DONE]").find("data: [DONE]"), std::string::npos);
  EXPECT_EQ(first_->errors().find("closing_open_exchanges"), std::string::npos) << first_->errors();
}

TEST_F(Handover, EndsAtOnceWhenItIsToldTwiceAfterItWasReplaced) {
  answer_with(100'000);
  ASSERT_NO_FATAL_FAILURE(start());
  BlockingClient client(port_);
  client.send(chat_request("", "chat", R"(,"stream":true)"));
  client.receive_until("data: ");
  current().send(SIGUSR2);
  ASSERT_TRUE(wait_until_ready()) << first_->errors();
  ASSERT_TRUE(first_->wait_for_errors("\"handed_over\""));
  processes_[0]->send(SIGTERM);
  ASSERT_TRUE(first_->wait_for_errors("\"stopping\"")) << first_->errors();
  processes_[0]->send(SIGTERM);
  EXPECT_TRUE(processes_[0]->ends());
  EXPECT_EQ(client.receive_to_end().find("data: [DONE]"), std::string::npos);
}

TEST_F(Handover, GoesOnWhenTheSuccessorCannotStart) {
  ASSERT_NO_FATAL_FAILURE(start());
  write_config("shards_: 3\n");
  current().send(SIGUSR2);
  ASSERT_TRUE(first_->wait_for_errors("handover_failed")) << first_->errors();
  EXPECT_NE(first_->errors().find("it ended with exit code 2"), std::string::npos) << first_->errors();
  EXPECT_NE(first_->errors().find("shards_"), std::string::npos) << "the successor says why";
  {
    BlockingClient client(port_);
    client.send(chat_request());
    EXPECT_EQ(client.receive().status, 200);
  }
  EXPECT_EQ(answer_of_admin(), 200);
  // What was wrong has been mended: the next attempt is a fresh one.
  write_config("");
  current().send(SIGUSR2);
  ASSERT_TRUE(wait_until_ready()) << first_->errors();
  EXPECT_TRUE(processes_[0]->ends());
  EXPECT_EQ(answer_of_admin(), 200);
}

// A successor would count anew what this one has counted.
TEST_F(Handover, GoesOnWhenWhatItHasCountedCannotBeWritten) {
  ASSERT_NO_FATAL_FAILURE(start("guard_state: guards.state\n"));
  const std::string state = folder_.file("guards.state");
  std::error_code ignored;
  while (!std::filesystem::is_directory(state)) {  // it may be written meanwhile
    std::filesystem::remove(state, ignored);
    std::filesystem::create_directories(state + "/in-the-way", ignored);
  }
  current().send(SIGUSR2);
  ASSERT_TRUE(first_->wait_for_errors("the guard state cannot be written")) << first_->errors();
  BlockingClient client(port_);
  client.send(chat_request());
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(answer_of_admin(), 200);
  std::filesystem::remove_all(state);
  current().send(SIGUSR2);
  ASSERT_TRUE(wait_until_ready()) << first_->errors();
  EXPECT_TRUE(processes_[0]->ends());
}

// However a successor ends before it serves, the predecessor has its admin socket back, path and all.
TEST_F(Handover, AnswersTheAdminApiAgainWhenAStartingSuccessorIsToldToEnd) {
  ASSERT_NO_FATAL_FAILURE(start_with_a_credential_in_a_file());
  const auto successor = start_held_successor();
  ASSERT_NE(successor, nullptr);
  successor->send(SIGTERM);
  go_on();
  ASSERT_TRUE(first_->wait_for_errors("handover_failed")) << first_->errors();
  EXPECT_NE(first_->errors().find("it ended with exit code 0"), std::string::npos) << first_->errors();
  EXPECT_EQ(answer_of_admin(), 200);
}

TEST_F(Handover, AnswersTheAdminApiAgainWhenAStartingSuccessorIsKilled) {
  ASSERT_NO_FATAL_FAILURE(start_with_a_credential_in_a_file());
  const auto successor = start_held_successor();
  ASSERT_NE(successor, nullptr);
  successor->send(SIGKILL);
  ASSERT_TRUE(first_->wait_for_errors("signal 9 ended it")) << first_->errors();
  forget_held_successor();
  EXPECT_EQ(answer_of_admin(), 200);
  current().send(SIGUSR2);
  ASSERT_TRUE(wait_until_ready()) << first_->errors();
  EXPECT_EQ(answer_of_admin(), 200);
}

TEST_F(Handover, TakesTheAdminApiBackAsSoonAsThereAreDescriptorsForIt) {
  ASSERT_NO_FATAL_FAILURE(start_with_a_credential_in_a_file("-n 96"));
  const auto successor = start_held_successor();
  ASSERT_NE(successor, nullptr);
  std::vector<std::unique_ptr<BlockingClient>> clients;
  for (int i = 0; i < 200; ++i) clients.push_back(std::make_unique<BlockingClient>(port_));
  ASSERT_TRUE(first_->wait_for_errors("accept_failed")) << first_->errors();
  successor->send(SIGKILL);
  ASSERT_TRUE(first_->wait_for_errors("_not_reopened")) << first_->errors();
  clients.clear();
  forget_held_successor();
  EXPECT_EQ(answer_of_admin(), 200);
}

TEST_F(Handover, GoesOnWithoutItsLauncher) {
  ASSERT_NO_FATAL_FAILURE(start());
  Watched launcher(child_of(current().pid()));
  launcher.send(SIGKILL);
  ASSERT_TRUE(launcher.ends());
  current().send(SIGUSR2);
  ASSERT_TRUE(first_->wait_for_errors("handover_failed")) << first_->errors();
  EXPECT_NE(first_->errors().find("the launcher is gone"), std::string::npos) << first_->errors();
  EXPECT_EQ(answer_of_admin(), 200);
  BlockingClient client(port_);
  client.send(chat_request());
  EXPECT_EQ(client.receive().status, 200);
}

// Whoever waits in the queues of its sockets is served by the one that was starting.
TEST_F(Handover, GoesOnWhenThePredecessorIsKilledMeanwhile) {
  ASSERT_NO_FATAL_FAILURE(start_with_a_credential_in_a_file());
  const uint16_t port = port_;
  const auto successor = start_held_successor();
  ASSERT_NE(successor, nullptr);
  current().send(SIGKILL);
  ASSERT_TRUE(current().ends());
  BlockingClient client(port);
  client.send(chat_request());
  go_on();
  ASSERT_TRUE(wait_until_ready()) << first_->errors();
  EXPECT_EQ(port_, port);
  EXPECT_TRUE(first_->wait_for_errors("predecessor_gone")) << first_->errors();
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(answer_of_admin(), 200);
  current().send(SIGTERM);
  EXPECT_TRUE(current().ends());
  EXPECT_FALSE(std::filesystem::exists(folder_.file("admin.sock")));
}

TEST_F(Handover, WeirctlWaitsForTheSuccessorOrSaysWhyThereIsNone) {
  ASSERT_NO_FATAL_FAILURE(start());
  const auto upgrade = [&] {
    return weir::testing::run(WEIRCTL_BINARY,
                              {.arguments = {"--socket", folder_.file("admin.sock"), "upgrade"}});
  };
  auto result = upgrade();
  EXPECT_EQ(result.exit_code, 0) << result.errors;
  ASSERT_TRUE(wait_until_ready()) << first_->errors();
  EXPECT_NE(result.output.find("process " + std::to_string(current().pid()) + " serves"), std::string::npos)
      << result.output;
  write_config("shards_: 3\n");
  result = upgrade();
  EXPECT_EQ(result.exit_code, 1) << result.output;
  EXPECT_NE(result.errors.find("it ended with exit code 2"), std::string::npos) << result.errors;
}

TEST_F(Handover, TakesOnAnotherNumberOfShards) {
  ASSERT_NO_FATAL_FAILURE(start());
  const uint16_t port = port_;
  SteadyLoad load(port, {.keep_alive = 1, .fresh = 2, .streams = 0});
  for (const int shards : {4, 1, 3}) {
    std::ofstream(folder_.file("weir.yaml"), std::ios::trunc)
        << "listen: \"127.0.0.1:0\"\nshards: " << shards
        << "\ntable: table.json\nkey_hash_secret: \"${KEY_SECRET}\"\nregistry: registry.db\nadmin: { socket: "
           "admin.sock "
           "}\naccess_log: none\n";
    current().send(SIGUSR2);
    ASSERT_TRUE(wait_until_ready()) << first_->errors();
    ASSERT_EQ(port_, port);
    load.wait_for(50);
  }
  const LoadResult result = load.stop();
  EXPECT_EQ(result.refused + result.cut + result.wrong, 0u) << result.first_problem;
}

TEST_F(Handover, DrainsOnSigtermWithoutCuttingWhatHasBegun) {
  answer_with(200);
  ASSERT_NO_FATAL_FAILURE(start());
  BlockingClient stream(port_), idle(port_), busy(port_);
  stream.send(chat_request("", "chat", R"(,"stream":true)"));
  stream.receive_until("data: ");
  idle.send(chat_request());
  EXPECT_EQ(idle.receive().status, 200);
  busy.send(chat_request());
  EXPECT_EQ(busy.receive().status, 200);
  current().send(SIGTERM);
  ASSERT_TRUE(first_->wait_for_errors("\"stopping\""));
  // Sent before the client could know: answered, and told that it was the last one.
  Answer last;
  while (last.header("connection") != "close") {
    busy.send(chat_request());
    last = busy.receive();
    ASSERT_EQ(last.status, 200) << last.head;
  }
  EXPECT_TRUE(busy.ends());
  EXPECT_TRUE(idle.ends());
  EXPECT_NE(stream.receive_until("data: [DONE]").find("data: [DONE]"), std::string::npos);
  EXPECT_EQ(first_->wait(20s), 0);
}

TEST_F(Handover, EndsAStreamThatOutlivesTheGracePeriodAsCut) {
  answer_with(4000);
  ASSERT_NO_FATAL_FAILURE(start("limits: { drain_timeout: 100ms }\n"));
  BlockingClient stream(port_);
  stream.send(chat_request("", "chat", R"(,"stream":true)"));
  stream.receive_until("data: ");
  current().send(SIGTERM);
  EXPECT_EQ(stream.receive_to_end().find("data: [DONE]"), std::string::npos);
  EXPECT_EQ(first_->wait(20s), 0);
}

TEST_F(Handover, LosesNoLineWhenTheLogIsRotated) {
  ASSERT_NO_FATAL_FAILURE(start());
  SteadyLoad load(port_, {.keep_alive = 3, .fresh = 1, .streams = 1});
  const std::string log = folder_.file("access.jsonl");
  for (int rotation = 0; rotation < 10; ++rotation) {
    load.wait_for(100);
    std::filesystem::rename(log, log + "." + std::to_string(rotation));
    current().send(SIGHUP);
    while (!std::filesystem::exists(log)) std::this_thread::yield();
  }
  const LoadResult result = load.stop();
  EXPECT_EQ(result.refused + result.cut + result.wrong, 0u) << result.first_problem;
  EXPECT_EQ(first_->stop(), 0);
  uint64_t lines = 0;
  EXPECT_EQ(logged_requests(&lines).size(), lines);
  EXPECT_EQ(lines, result.answers + result.streams);
}

}  // namespace
}  // namespace weir::tests::handover_test
