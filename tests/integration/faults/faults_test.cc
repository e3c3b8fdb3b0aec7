// The real process among bad neighbours: providers that break off anywhere, clients that trickle, stall or
// never read, and a system that has no descriptors or disk left (memory: memory_test.cc). What must hold: every
// request ends in an answer, an error or a visible cut; others do not notice; afterwards all is as before.
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/io_uring.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "core/limits.h"
#include "tests/integration/faults/broken_answers.h"
#include "tests/integration/faults/shard_probe.h"
#include "tests/integration/lying_provider.h"

namespace weir::tests::faults_test {
namespace {

using core::ErrorCode;
using Peer = LyingProvider::Peer;
namespace limits = core::limits;

const GatewayHow kOneShard{.shards = 1};

// ---- providers -------------------------------------------------------------------------------------------

enum class Break : uint8_t { truncate, half_close, reset, stall };

void break_off(Peer& peer, const std::string& answer, size_t at, Break how) {
  peer.send(std::string_view(answer).substr(0, at));
  if (how == Break::reset) peer.reset_at_end();
  if (how == Break::half_close) peer.end_own_side();
  if (how == Break::half_close || how == Break::stall) peer.wait_for_end();
}

class BrokenProvider : public ::testing::TestWithParam<Break> {};

TEST_P(BrokenProvider, NeverMakesAPlainAnswerLookWhole) {
  std::atomic<size_t> at{0};
  std::atomic<bool> good{false};
  LyingProvider provider([&](Peer& peer) {
    if (peer.receive().empty()) return;
    if (good) return void(peer.send(kGood));
    break_off(peer, kPlain, at, GetParam());
  });
  Gateway gateway(table(provider.port(), GetParam() == Break::stall ? "1s" : "20s"), "", kOneShard);
  ShardProbe probe(gateway);
  const size_t step = GetParam() == Break::stall ? 29 : 5;
  for (at = 0; at < kPlain.size(); at += step) {
    SCOPED_TRACE(at);
    keep_in_use(gateway, good);
    BlockingClient client(gateway.port());
    client.send(chat_request("connection: close\r\n"));
    const std::string bytes = client.receive_to_end();
    if (!bytes.starts_with("HTTP/1.1 200")) {
      EXPECT_TRUE(bytes.starts_with("HTTP/1.1 502") || bytes.starts_with("HTTP/1.1 504")) << bytes;
      continue;
    }
    // The head was through when it broke: fewer bytes than it promises.
    EXPECT_LT(bytes.size() - bytes.find("\r\n\r\n") - 4, kBody.size()) << bytes;
  }
}

TEST_P(BrokenProvider, NeverMakesAStreamLookWhole) {
  std::atomic<size_t> at{0};
  std::atomic<bool> good{false};
  LyingProvider provider([&](Peer& peer) {
    if (peer.receive().empty()) return;
    if (good) return void(peer.send(kGood));
    break_off(peer, kStream, at, GetParam());
  });
  Gateway gateway(table(provider.port(), GetParam() == Break::stall ? "1s" : "20s"), "", kOneShard);
  ShardProbe probe(gateway);
  const size_t done = kStream.find("data: [DONE]\n\n") + std::string("data: [DONE]\n\n").size();
  const size_t step = GetParam() == Break::stall ? 31 : 5;
  for (at = 0; at < kStream.size(); at += step) {
    SCOPED_TRACE(at);
    keep_in_use(gateway, good);
    BlockingClient client(gateway.port());
    client.send(kStreamRequest);
    const std::string bytes = client.receive_to_end();
    if (at < done) {
      EXPECT_EQ(bytes.find("data: [DONE]"), std::string::npos) << bytes;
    }
    EXPECT_FALSE(at < done && bytes.starts_with("HTTP/1.1 200") && bytes.ends_with("0\r\n\r\n")) << bytes;
  }
}

std::string name_of(const ::testing::TestParamInfo<Break>& how) {
  constexpr std::array kNames = {"Truncating", "HalfClosing", "Resetting", "Stalling"};
  return kNames[static_cast<size_t>(how.param)];
}
INSTANTIATE_TEST_SUITE_P(Faults, BrokenProvider,
                         ::testing::Values(Break::truncate, Break::half_close, Break::reset, Break::stall),
                         name_of);

TEST(Faults, AnAnswerThatTricklesArrivesWhole) {
  LyingProvider provider([](Peer& peer) {
    while (!peer.receive().empty()) {
      for (const char byte : kStream) peer.send({&byte, 1});
    }
  });
  Gateway gateway(table(provider.port()), "", kOneShard);
  ShardProbe probe(gateway);
  BlockingClient client(gateway.port());
  for (int round = 0; round < 20; ++round) {
    client.send(chat_request("", "chat", R"(,"stream":true)"));
    const std::string bytes = client.receive_until("0\r\n\r\n");
    EXPECT_NE(bytes.find("data: [DONE]"), std::string::npos) << bytes;
  }
}

// ---- clients ---------------------------------------------------------------------------------------------

TEST(Faults, SlowHeadsAndBodiesAreGivenUpAndHoldUpNobody) {
  EchoProvider provider;
  Gateway gateway(table(provider.port()), "limits: { head_timeout: 500ms, body_stall_timeout: 500ms }\n",
                  kOneShard);
  ShardProbe probe(gateway);
  const std::string request = chat_request();
  const size_t body_begin = request.find("\r\n\r\n") + 4;
  std::vector<std::unique_ptr<BlockingClient>> clients;
  for (int i = 0; i < 400; ++i) {
    clients.push_back(std::make_unique<BlockingClient>(gateway.port()));
    clients.back()->send(std::string_view(request).substr(0, i % 2 == 0 ? body_begin - 20 : body_begin + 5));
  }
  for (size_t i = 0; i < clients.size(); ++i) {
    const Answer answer = clients[i]->receive();
    EXPECT_EQ(answer.status, 408) << i << answer.head;
    EXPECT_TRUE(clients[i]->ends());
  }
  EXPECT_EQ(provider.requests(), 0u);
}

TEST(Faults, ManyClientsThatDoNotReadCostLittleAndAreLeft) {
  const std::string piece(64 * 1024, 'x');
  LyingProvider provider([&](Peer& peer) {
    if (peer.receive().empty()) return;
    peer.send("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000000000\r\n\r\n");
    while (peer.send(piece)) continue;
  });
  Gateway gateway(table(provider.port()), "limits: { write_stall_timeout: 1s }\n", kOneShard);
  ShardProbe probe(gateway);
  const int pid = gateway.process().pid();
  const uint64_t before = memory_bytes(pid);
  constexpr int kClients = 50;
  std::vector<std::unique_ptr<BlockingClient>> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<BlockingClient>(gateway.port()));
    clients.back()->send(chat_request());
    EXPECT_TRUE(clients.back()->readable());
  }
  // The last one to be given up is; a read then finds the end.
  for (auto& client : clients) {
    EXPECT_FALSE(client->receive_to_end().empty());
  }
  if (kSanitized) return;
  EXPECT_LT(memory_bytes(pid) - std::min(before, memory_bytes(pid)),
            uint64_t{kClients} * 3 * limits::kMaxQueuedSendBytes + (32u << 20));
}

TEST(Faults, TenThousandIdleConnectionsAreCheapAndStillServed) {
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = files.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  constexpr size_t count = 10'000;
  if (files.rlim_max < count + 500)
    GTEST_SKIP() << "at most " << files.rlim_max << " descriptors (ulimit -Hn)";
  EchoProvider provider;
  Gateway gateway(table(provider.port()), "limits: { head_timeout: 1m }\n", kOneShard);
  ShardProbe probe(gateway);
  const int pid = gateway.process().pid();
  BlockingClient first(gateway.port());
  first.send(chat_request());
  ASSERT_EQ(first.receive().status, 200);
  const uint64_t before = memory_bytes(pid);
  std::vector<std::unique_ptr<BlockingClient>> clients;
  for (size_t i = 0; i < count; ++i) clients.push_back(std::make_unique<BlockingClient>(gateway.port()));
  for (size_t i = 0; i < count; i += count / 20) {
    clients[i]->send(chat_request());
    EXPECT_EQ(clients[i]->receive().status, 200) << i;
  }
  clients.back()->send(chat_request());
  EXPECT_EQ(clients.back()->receive().status, 200);  // accepted in order: so are all before it
  const uint64_t each = (memory_bytes(pid) - before) / count;
  ::testing::Test::RecordProperty("connections", static_cast<int>(count));
  ::testing::Test::RecordProperty("bytes_each", static_cast<int>(each));
  if (!kSanitized) {
    EXPECT_LE(each, 8u * 1024);
  }
}

// ---- the system ------------------------------------------------------------------------------------------

TEST(Faults, WithoutDescriptorsItWaitsWithoutSpinningAndRecovers) {
  EchoProvider provider;
  Gateway gateway(table(provider.port()), "", {.shards = 1, .ulimit = "-n 96"});
  ASSERT_NE(gateway.port(), 0);
  const int pid = gateway.process().pid();
  BlockingClient served(gateway.port());
  served.send(chat_request());
  ASSERT_EQ(served.receive().status, 200);
  std::vector<std::unique_ptr<BlockingClient>> clients;
  for (int i = 0; i < 200; ++i) clients.push_back(std::make_unique<BlockingClient>(gateway.port()));
  ASSERT_TRUE(gateway.process().wait_for_errors("accept_failed"));
  BlockingClient waiting(gateway.port());
  waiting.send(chat_request());
  const uint64_t before_ns = busy_ns(pid);
  EXPECT_FALSE(waiting.readable());  // for half a second
  EXPECT_LT(busy_ns(pid) - before_ns, kSanitized ? 400'000'000u : 100'000'000u) << "it spins";
  // Who has a connection is served as ever; its provider's connection is open.
  served.send(chat_request());
  EXPECT_EQ(served.receive().status, 200);
  clients.clear();
  EXPECT_EQ(waiting.receive().status, 200);
}

TEST(Faults, WithoutADescriptorForTheProvidersConnectionItSaysSoAndRecovers) {
  LyingProvider provider([](Peer& peer) {  // a connection for each request
    if (!peer.receive().empty()) peer.send(kGood);
  });
  Gateway gateway(table(provider.port()), "", {.shards = 1, .ulimit = "-n 96"});
  ASSERT_NE(gateway.port(), 0);
  BlockingClient client(gateway.port());  // accepted before there are none
  client.send("GET /healthz HTTP/1.1\r\nhost: weir\r\n\r\n");
  ASSERT_EQ(client.receive().status, 200);
  std::vector<std::unique_ptr<BlockingClient>> clients;
  for (int i = 0; i < 200; ++i) clients.push_back(std::make_unique<BlockingClient>(gateway.port()));
  ASSERT_TRUE(gateway.process().wait_for_errors("accept_failed"));
  // One that something else let go of may be left, until somebody is accepted with it.
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  Answer answer;
  do {
    client.send(chat_request());
    answer = client.receive();
  } while (answer.status == 200 && std::chrono::steady_clock::now() < patience);
  EXPECT_EQ(answer.status, core::describe(ErrorCode::connect_failed).status) << answer.body;
  EXPECT_NE(answer.body.find("upstream_unreachable"), std::string::npos) << answer.body;
  // The last to be accepted: all others have been, and their ends are seen.
  BlockingClient last(gateway.port());
  clients.clear();
  last.send("GET /healthz HTTP/1.1\r\nhost: weir\r\n\r\n");
  ASSERT_EQ(last.receive().status, 200);
  client.send(chat_request());
  EXPECT_EQ(client.receive().status, 200);
}

TEST(Faults, AFullDiskCostsLinesOfTheLogAndNothingElse) {
  EchoProvider provider;
  Gateway gateway(table(provider.port()), "", {.shards = 1, .access_log = "/dev/full"});
  ASSERT_NE(gateway.port(), 0);
  ShardProbe probe(gateway);
  BlockingClient client(gateway.port());
  for (int i = 0; i < 500; ++i) {
    client.send(chat_request());
    ASSERT_EQ(client.receive().status, 200);
  }
  EXPECT_TRUE(gateway.process().wait_for_errors("access_log_failed"));
}

// A collector that is restarted: lines are lost meanwhile, requests are not.
TEST(Faults, ALogWhoseReaderIsGoneCostsLinesAndGoesOnWithTheNextReader) {
  EchoProvider provider;
  weir::testing::TemporaryFolder folder;
  const std::string path = folder.file("pipe");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  Gateway gateway(table(provider.port()), "", {.shards = 1, .access_log = path});
  ASSERT_NE(gateway.port(), 0);
  BlockingClient client(gateway.port());
  const auto ask = [&] {
    client.send(chat_request());
    return client.receive().status;
  };
  ::close(reader);
  EXPECT_EQ(ask(), 200);
  ASSERT_TRUE(gateway.process().wait_for_errors("access_log_failed"));
  EXPECT_NE(gateway.process().errors().find("Broken pipe"), std::string::npos);
  reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  EXPECT_EQ(ask(), 200);
  pollfd waited{reader, POLLIN, 0};
  EXPECT_GT(::poll(&waited, 1, 20'000), 0);
  char line[4096];
  const ssize_t size = ::read(reader, line, sizeof line);
  ASSERT_GT(size, 0);
  EXPECT_TRUE(
      nlohmann::json::parse(std::string(line, static_cast<size_t>(size)), nullptr, false).is_object());
  ::close(reader);
}

TEST(Faults, ALogThatMayNotGrowKeepsWholeLines) {
  EchoProvider provider;
  Gateway gateway(table(provider.port()), "", {.shards = 1, .ulimit = "-f 512"});
  ASSERT_NE(gateway.port(), 0);
  BlockingClient client(gateway.port());
  for (int i = 0; i < 1000; ++i) {
    client.send(chat_request());
    ASSERT_EQ(client.receive().status, 200);
  }
  EXPECT_TRUE(gateway.process().wait_for_errors("access_log_failed"));
  EXPECT_EQ(gateway.process().stop(), 0);
  const std::string log = gateway.access_log();
  EXPECT_FALSE(log.empty());
  EXPECT_TRUE(log.ends_with("}\n")) << log.substr(log.size() - std::min<size_t>(log.size(), 100));
}

TEST(Faults, AShadowLogThatIsRotatedLosesNoPair) {
  constexpr int kRequests = 30, kRotations = 3;
  EchoProvider provider;
  const std::string shadowed = R"({"providers":{"p":{"dialect":"openai","base_url":"http://127.0.0.1:)" +
                               std::to_string(provider.port()) +
                               R"(/v1"}},"models":{"m":{"provider":"p","price":{"input":1,"output":2}}},
    "units":{"u":{"model":"m","params":{"max_tokens":100}},"v":{"model":"m","params":{"max_tokens":99}}},
    "scenarios":{"chat":{"stable":"u"}},
    "flags":{"f":{"scenario":"chat","candidate":{"unit":"v"},"shadow":{"percent":100,"budget_usd":10}}},
    "tenants":{"t":{}},"keys":[{"id":"k","tenant":"t","scenario":"chat","hash":")" +
                               key_hash() + R"("}]})";
  Gateway gateway(shadowed, "shadow: { log: shadow.jsonl }\n", kOneShard);
  ASSERT_NE(gateway.port(), 0);
  const std::string log = gateway.folder_file("shadow.jsonl");
  std::multiset<std::string> written;
  const auto read = [&] {
    written.clear();
    for (int i = -1; i < kRotations; ++i) {
      std::ifstream file(i < 0 ? log : log + "." + std::to_string(i));
      for (std::string line; std::getline(file, line);) {
        const auto pair = nlohmann::json::parse(line, nullptr, false);
        if (pair.is_object()) written.insert(pair.value("request_id", ""));
      }
    }
    return written.size();
  };
  const auto until = [](const auto& condition) {
    const auto deadline = std::chrono::steady_clock::now() + weir::testing::Process::kPatience;
    while (!condition() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    return condition();
  };
  BlockingClient client(gateway.port());
  std::multiset<std::string> asked;
  for (int i = 0; i < kRequests; ++i) {
    client.send(chat_request());
    const Answer answer = client.receive();
    ASSERT_EQ(answer.status, 200);
    asked.emplace(answer.header("x-request-id"));
    if (i % (kRequests / kRotations) != kRequests / kRotations / 2) continue;
    // Its pair is on its way.
    std::filesystem::rename(log, log + "." + std::to_string(i / (kRequests / kRotations)));
    gateway.process().signal(SIGHUP);
    ASSERT_TRUE(until([&] { return std::filesystem::exists(log); }));
  }
  EXPECT_TRUE(until([&] { return read() == kRequests; }));
  EXPECT_EQ(written, asked);
  EXPECT_EQ(gateway.process().stop(), 0);
}

// Whether rings count against the limit on locked memory differs from kernel to kernel (not from 5.12, again from about
// 6.14); never for whoever has CAP_IPC_LOCK.
bool makes_rings_without_locked_memory() {
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_MEMLOCK, &none);
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
    ::syscall(SYS_capget, &header, sets.data());
    sets[0].effective &= ~(1u << CAP_IPC_LOCK);
    ::syscall(SYS_capset, &header, sets.data());
    io_uring_params parameters{};
    ::_exit(::syscall(SYS_io_uring_setup, 1024, &parameters) >= 0 ? 0 : 1);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status == 0;
}

TEST(Faults, WithoutLockedMemoryItServesIfTheKernelLetsItAndElseSaysWhatItNeeds) {
  const bool serves = makes_rings_without_locked_memory();
  EchoProvider provider;
  weir::testing::TemporaryFolder folder;
  folder.write("table.json", table(provider.port()));
  const std::string config = folder.write(
      "weir.yaml",
      "listen: \"127.0.0.1:0\"\nshards: 2\ntable: table.json\nkey_hash_secret: \"${KEY_SECRET}\"\n"
      "registry: registry.db\nadmin: { socket: admin.sock }\naccess_log: none\n");
  const std::string drop = ::geteuid() == 0 ? "setpriv --bounding-set=-ipc_lock " : "";
  auto process = weir::testing::Process::start(
      "/bin/bash",
      {.arguments = {"-c", "ulimit -l 0; exec " + drop + R"("$0" serve --config "$1")", WEIR_BINARY, config},
       .environment = {{"KEY_SECRET", std::string(kKeySecret)}}});
  if (!serves) {
    EXPECT_EQ(process->wait(), 1);
    EXPECT_NE(process->errors().find("LimitMEMLOCK="), std::string::npos) << process->errors();
    return;
  }
  const auto ready = process->wait_for_json("listen");
  ASSERT_TRUE(ready.has_value()) << process->errors();
  const std::string address = (*ready)["listen"][0];
  BlockingClient client(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  client.send(chat_request("connection: close\r\n"));
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(process->stop(), 0);
}

TEST(Faults, WhoMayLockMemoryServesWithoutAnyLimit) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs CAP_IPC_LOCK";
  EchoProvider provider;
  Gateway gateway(table(provider.port()), "", GatewayHow{.ulimit = "-l 0"});
  ASSERT_NE(gateway.port(), 0);
  BlockingClient client(gateway.port());
  client.send(chat_request());
  EXPECT_EQ(client.receive().status, 200);
}

struct Costly {
  const char* what;
  std::string bytes;
};

// Requests of about `size` bytes that take long to look at, and all end in a refusal.
std::vector<Costly> costly_refusals(size_t size) {
  const auto request = [](std::string_view headers, const std::string& body) {
    return "POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\ncontent-type: "
           "application/json\r\nauthorization: Bearer " +
           std::string(kClientKey) + "\r\n" + std::string(headers) +
           "content-length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  };
  const auto repeated = [size](std::string_view piece) {
    std::string text;
    while (text.size() < size) text += piece;
    return text;
  };
  // As many tokens as are looked at, and then long strings.
  std::string scalars = "[";
  for (uint32_t i = 0; i < core::limits::kMaxJsonTokens / 2 - 32; ++i) scalars += "0,";
  return {
      {"not JSON", request("", std::string(size, 'x'))},
      {"JSON that is cut off",
       request("", R"({"model":"chat","messages":[],"padding":")" + std::string(size, 'x'))},
      {"JSON of nothing but structure", request("", R"({"model":"chat","x":[)" + repeated("0,") + "!]}")},
      {"as much structure as is accepted",
       request("", R"({"model":"chat","x":)" + scalars + '"' +
                       std::string(size - std::min(size, scalars.size()), 'x') + "\"!]}")},
      {"a string of escapes", request("", R"({"model":"chat","x":")" + repeated("\\n") + "\"!}")},
      {"a string of Unicode escapes",
       request("", R"({"model":"chat","x":")" + repeated("\\ud83d\\ude00") + "\"!}")},
      {"a string of long characters",
       request("", R"({"model":"chat","x":")" + repeated("\xf0\x9f\x98\x80") + "\"!}")},
      {"deep JSON", request("", R"({"model":"chat","x":)" + std::string(size, '['))},
      {"an unknown scenario", request("x-weir-scenario: none\r\n",
                                      R"({"model":"none","padding":")" + std::string(size, 'x') + "\"}")},
  };
}

TEST(Faults, NoRequestHoldsUpTheOthersOfItsShard) {
  EchoProvider provider;
  Gateway gateway(table(provider.port()), "", kOneShard);
  for (const auto& [what, bytes] : costly_refusals(limits::kMaxBodyBytes - 1024)) {
    SCOPED_TRACE(what);
    // The same work each time: who shares the core can only make it longer.
    uint64_t busy_ns = ShardProbe::kMostBusyNs;
    for (int attempt = 0; attempt < 5 && busy_ns >= ShardProbe::kMostBusyNs; ++attempt) {
      ShardProbe probe(gateway);
      BlockingClient client(gateway.port());
      client.send(bytes);
      const int status = client.receive().status;
      EXPECT_TRUE(status >= 400 && status < 500) << status;
      busy_ns = probe.stop();
    }
    ::testing::Test::RecordProperty(std::string("microseconds ") + what, static_cast<int>(busy_ns / 1000));
    EXPECT_LT(busy_ns, ShardProbe::kMostBusyNs) << "the shard was stalled";
  }
}

// What it costs to refuse: the most memory that the process ever had, less what it had before.
TEST(Faults, ARefusedRequestCostsAtMostFourTimesItsSizeInMemory) {
  EchoProvider provider;
  const std::vector<Costly> cases = costly_refusals(16u << 20);
  for (const auto& [what, bytes] : cases) {
    SCOPED_TRACE(what);
    Gateway gateway(table(provider.port()), "", kOneShard);
    const int pid = gateway.process().pid();
    BlockingClient client(gateway.port());
    client.send(chat_request());
    ASSERT_EQ(client.receive().status, 200);
    const uint64_t before = memory_bytes(pid);
    reset_peak(pid);
    client.send(bytes);
    const Answer answer = client.receive();
    EXPECT_GE(answer.status, 400) << answer.head;
    EXPECT_LT(answer.status, 500) << answer.head;
    const uint64_t cost = memory_bytes(pid, "VmHWM:") - before;
    ::testing::Test::RecordProperty(std::string("permille ") + what,
                                    static_cast<int>(cost * 1000 / bytes.size()));
    if (kSanitized) continue;
    EXPECT_LE(cost, 4 * bytes.size() + 64 * 1024) << cost / 1024 << " KiB for " << bytes.size() / 1024;
  }
  EXPECT_EQ(provider.requests(), cases.size());
}

TEST(Faults, AnEndWithoutWarningLeavesNothingInTheWayOfTheNextStart) {
  EchoProvider provider;
  weir::testing::TemporaryFolder folder;
  folder.write("table.json", table(provider.port()));
  std::string listen = "127.0.0.1:0";
  for (int round = 0; round < 20; ++round) {
    SCOPED_TRACE(round);
    const std::string config = folder.write(
        "weir.yaml", "listen: \"" + listen +
                         "\"\nshards: 2\ntable: table.json\nkey_hash_secret: \"${KEY_SECRET}\"\n"
                         "registry: registry.db\nadmin: { socket: admin.sock }\naccess_log: access.jsonl\n");
    auto process = weir::testing::Process::start(WEIR_BINARY,
                                                 {.arguments = {"serve", "--config", config},
                                                  .environment = {{"KEY_SECRET", std::string(kKeySecret)}}});
    const auto ready = process->wait_for_json("listen");
    ASSERT_TRUE(ready.has_value()) << process->errors();
    listen = (*ready)["listen"][0];
    const auto port = static_cast<uint16_t>(std::stoi(listen.substr(listen.rfind(':') + 1)));
    std::vector<std::unique_ptr<BlockingClient>> clients;
    for (int i = 0; i < 10; ++i) {
      clients.push_back(std::make_unique<BlockingClient>(port));
      clients.back()->send(chat_request());
    }
    EXPECT_EQ(clients[0]->receive().status, 200);
    process->signal(SIGKILL);
    EXPECT_EQ(process->wait(), 137);
  }
}

}  // namespace
}  // namespace weir::tests::faults_test
