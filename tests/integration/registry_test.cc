// Changes that last: the real binary, its registry on a disk, and ends that nobody planned.
#include "routing/registry/registry.h"

#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "tests/integration/gateway_fixture.h"
#include "tools/weirctl/admin_client.h"

namespace weir::tests::registry_test {
namespace {

using nlohmann::json;

constexpr int kTenants = 1'000;

std::string name_of(int tenant) {
  return "t-" + std::to_string(tenant);
}

std::string many_tenants(uint16_t provider) {
  json act_as = json::array();
  json tenants;
  for (int i = 0; i < kTenants; ++i) {
    tenants[name_of(i)] = json::object();
    if (i > 0) act_as.push_back(name_of(i));
  }
  const json table = {
      {"providers",
       {{"p",
         {{"dialect", "openai"}, {"base_url", "http://127.0.0.1:" + std::to_string(provider) + "/v1"}}}}},
      {"models",
       {{"m-old", {{"provider", "p"}, {"tier", "economy"}, {"price", {{"input", 1}, {"output", 2}}}}},
        {"m-new", {{"provider", "p"}, {"tier", "economy"}, {"price", {{"input", 1}, {"output", 2}}}}}}},
      {"units", {{"old", {{"model", "m-old"}}}, {"new", {{"model", "m-new"}}}}},
      {"scenarios", {{"chat", {{"stable", "old"}}}}},
      {"flags", {{"launch", {{"scenario", "chat"}, {"candidate", {{"unit", "new"}}}}}}},
      {"tenants", tenants},
      {"keys", json::array({{{"id", "k"},
                             {"tenant", "t-0"},
                             {"act_as", act_as},
                             {"scenario", "chat"},
                             {"hash", key_hash()}}})}};
  return table.dump();
}

// The revision that a tenant's state was acknowledged with; 0 when it was not.
uint64_t set_state(tools::AdminClient& client, int tenant, const std::string& state) {
  const json row{{"state", state}, {"owner", "u"}, {"review", "2200-01-01"}, {"reason", "test"}};
  const auto answer = client.call(
      {.method = "POST", .path = "/v1/flags/launch/tenants/" + name_of(tenant), .body = row.dump()});
  if (!answer) return 0;
  EXPECT_EQ(answer->status, 200) << answer->body;
  return json::parse(answer->body, nullptr, false).value("revision", 0u);
}

std::string unit_of(BlockingClient& client, int tenant) {
  EXPECT_TRUE(client.send(chat_request("x-weir-tenant: " + name_of(tenant) + "\r\n")));
  const Answer answer = client.receive();
  EXPECT_EQ(answer.status, 200) << answer.head << answer.body;
  return std::string(answer.header("x-weir-unit"));
}

size_t resident_bytes(int pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/statm");
  size_t all = 0, resident = 0;
  file >> all >> resident;
  return resident * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

TEST(Registry, AThousandTenantsChangeOneByOneUnderLoadAndNoRequestFails) {
  EchoProvider provider;
  Gateway gateway(many_tenants(provider.port()));
  ASSERT_NE(gateway.port(), 0);
  tools::AdminClient admin(gateway.admin_socket());

  std::atomic<bool> stop{false};
  std::atomic<uint64_t> answered{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&, i] {
      BlockingClient client(gateway.port());
      for (int tenant = i; !stop; tenant = (tenant + 4) % kTenants) {
        const std::string unit = unit_of(client, tenant);
        if (unit != "old" && unit != "new") return (void)(ADD_FAILURE() << "answered by " << unit);
        ++answered;
      }
    });
  }
  const auto change_all = [&](const char* state) {
    BlockingClient client(gateway.port());
    for (int tenant = 0; tenant < kTenants && !::testing::Test::HasFailure(); ++tenant) {
      ASSERT_NE(set_state(admin, tenant, state), 0u);
      // Acknowledged means that every shard uses it.
      if (tenant % 50 == 0) {
        EXPECT_EQ(unit_of(client, tenant), state == std::string_view("production") ? "new" : "old");
      }
    }
  };
  change_all("production");
  change_all("off");
  const size_t before = resident_bytes(gateway.process().pid());
  change_all("production");
  change_all("off");
  const size_t after = resident_bytes(gateway.process().pid());
  stop = true;
  for (auto& client : clients) client.join();
  RecordProperty("answered", std::to_string(answered));
  RecordProperty("grown_bytes", std::to_string(static_cast<int64_t>(after) - static_cast<int64_t>(before)));
  EXPECT_GT(answered, 1000u);
  EXPECT_LT(after, before + 16 * 1024 * 1024) << "2,000 changes more leave nothing behind";
  std::printf("answered %llu, resident before %zu KiB, after %zu KiB\n",
              static_cast<unsigned long long>(answered.load()), before / 1024, after / 1024);
}

// As many crashes as ten seconds hold; WEIR_CRASH_ROUNDS=500 for a long look.
TEST(Registry, ACrashLosesNoAcknowledgedChange) {
  using Clock = std::chrono::steady_clock;
  const char* const rounds_given = std::getenv("WEIR_CRASH_ROUNDS");
  const int rounds = rounds_given == nullptr ? 500 : std::atoi(rounds_given);
  const auto end =
      Clock::now() + (rounds_given == nullptr ? std::chrono::seconds(10) : std::chrono::hours(1));
  std::mt19937_64 random(5);
  std::chrono::milliseconds slowest_start{0};
  int crash = 0;
  EchoProvider provider;
  Gateway gateway(many_tenants(provider.port()));
  ASSERT_EQ(gateway.revision(), 1u);
  std::filesystem::remove(gateway.folder_file("table.json"));  // not needed any more

  std::vector<std::string> acknowledged(kTenants, "old");
  uint64_t newest = 1;
  for (; crash < rounds && (crash < 3 || Clock::now() < end); ++crash) {
    // The storm goes on until the process dies under it.
    std::atomic<int> made{0};
    std::atomic<bool> ended{false};
    std::thread storm([&] {
      tools::AdminClient admin(gateway.admin_socket());
      for (int i = 0;; ++i) {
        const int tenant = (crash * 37 + i) % kTenants;
        const bool on = (crash + i / kTenants) % 2 == 0;
        const uint64_t revision = set_state(admin, tenant, on ? "production" : "off");
        if (revision == 0) {
          acknowledged[static_cast<size_t>(tenant)] = "either";  // asked for, not acknowledged
          ended = true;
          return;
        }
        newest = revision;
        acknowledged[static_cast<size_t>(tenant)] = on ? "new" : "old";
        ++made;
      }
    });
    const int enough = static_cast<int>(random() % 60);
    while (made < enough && !ended) std::this_thread::yield();
    gateway.process().signal(SIGKILL);
    storm.join();
    const auto began = Clock::now();
    gateway.crash_and_restart();
    slowest_start =
        std::max(slowest_start, std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began));
    ASSERT_GE(gateway.revision(), newest);
    ASSERT_LE(gateway.revision(), newest + 1);
    newest = gateway.revision();
    BlockingClient client(gateway.port());
    for (int tenant = 0; tenant < kTenants; tenant += 1) {
      std::string& known = acknowledged[static_cast<size_t>(tenant)];
      const std::string unit = unit_of(client, tenant);
      if (known == "either") known = unit;
      ASSERT_EQ(unit, known) << "tenant " << tenant << " after crash " << crash;
    }
  }
  tools::AdminClient admin(gateway.admin_socket());
  const auto verified = admin.call({.path = "/v1/audit:verify"});
  ASSERT_TRUE(verified);
  EXPECT_EQ(json::parse(verified->body, nullptr, false)["ok"], true) << verified->body;
  std::printf("%d crashes, revision %llu, slowest start %lld ms\n", crash,
              static_cast<unsigned long long>(newest), static_cast<long long>(slowest_start.count()));
}

TEST(Registry, AKillOutlivesACrash) {
  EchoProvider provider;
  Gateway gateway(many_tenants(provider.port()));
  {
    tools::AdminClient admin(gateway.admin_socket());
    const auto killed = admin.call(
        {.method = "POST", .path = "/v1/kill", .body = R"({"scope":"tenant","name":"t-7","reason":"r"})"});
    ASSERT_TRUE(killed && killed->ok());
  }
  gateway.crash_and_restart();
  BlockingClient client(gateway.port());
  ASSERT_TRUE(client.send(chat_request("x-weir-tenant: t-7\r\n")));
  EXPECT_EQ(client.receive().status, 429);
  EXPECT_EQ(unit_of(client, 8), "old");
}

TEST(Registry, ADamagedOrNewerFileIsNamedAndLeftAsItIs) {
  weir::testing::TemporaryFolder folder;
  const auto bytes_of = [](const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  folder.write("table.json", many_tenants(1));
  const std::string damaged = folder.write("damaged.db", std::string(8192, 'x'));
  const std::string newer = folder.file("newer.db");
  ASSERT_TRUE(routing::Registry::open({.path = newer}).has_value());
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(newer.c_str(), &database), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(database, "PRAGMA user_version=99", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(database);

  for (const std::string& registry : {damaged, newer}) {
    const std::string before = bytes_of(registry);
    const std::string config =
        folder.write("weir.yaml",
                     "listen: \"127.0.0.1:0\"\ntable: table.json\nkey_hash_secret: \"${KEY_SECRET}\"\n"
                     "registry: " +
                         registry + "\nadmin: { socket: admin.sock }\naccess_log: none\n");
    const auto served =
        weir::testing::run(WEIR_BINARY, {.arguments = {"serve", "--config", config},
                                         .environment = {{"KEY_SECRET", std::string(kKeySecret)}}});
    EXPECT_EQ(served.exit_code, 2);
    EXPECT_NE(served.errors.find(registry), std::string::npos) << served.errors;
    EXPECT_EQ(bytes_of(registry), before);
    const bool says_newer = served.errors.find("newer weir") != std::string::npos;
    EXPECT_EQ(says_newer, registry == newer) << served.errors;
  }
}

}  // namespace
}  // namespace weir::tests::registry_test
