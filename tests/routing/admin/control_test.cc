#include "routing/admin/control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/routing/admin/admin_fixture.h"
#include "tests/support/simulated_disk.h"
#include "tests/support/test_certificates.h"

namespace weir::routing {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::SizeIs;

std::vector<json> read_lines(const std::string& path) {
  std::ifstream file(path);
  std::vector<json> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(json::parse(line));
  return lines;
}

// A host with one shard and an access log, and a record as its shard would hand it over.
struct ControlTest : ::testing::Test {
  Record record(const Table& table) {
    Record made;
    made.table = &table;
    made.tenant = static_cast<uint32_t>(*table.tenants->find("acme"));
    made.status = 200;
    return made;
  }
  // The next version of the table, which no shard has taken up yet.
  void publish_another(AdminHost& weir) {
    const uint64_t before = weir.control.revision();
    weir.control.kill({.caller = {}, .scope = KillScope::unit, .name = "big", .reason = "a test"},
                      [](const auto&) {});
    // A kill publishes at once, and again when it is durable.
    EXPECT_TRUE(tests::run_until(*weir.loop, [&] { return weir.control.revision() > before; }));
  }
  std::vector<json> lines() { return read_lines(log_path); }

  weir::testing::TemporaryFolder folder;
  const std::string log_path = folder.file("access.jsonl");
};

TEST_F(ControlTest, WritesTheRecordsOfAllShards) {
  AdminHost weir({.shards = 2, .access_log = log_path});
  weir.gateway.records[0]->try_push(record(weir.readers[0]->current()));
  weir.gateway.records[1]->try_push(record(weir.readers[1]->current()));
  ASSERT_TRUE(tests::run_until(*weir.loop, [&] { return lines().size() == 2; }));
  EXPECT_EQ(lines()[0]["tenant"], "acme");
  EXPECT_EQ(weir.control.records_drained(), 2u);
  EXPECT_EQ(weir.log.lines_written(), 2u);
}

TEST_F(ControlTest, KeepsUpWithAFullQueue) {
  AdminHost weir({.shards = 1, .access_log = log_path});
  constexpr uint64_t kRecords = core::limits::kRecordQueueLength * 3;
  uint64_t pushed = 0;
  while (pushed < kRecords) {
    while (pushed < kRecords && weir.gateway.records[0]->try_push(record(weir.readers[0]->current())))
      ++pushed;
    weir.loop->turn(core::milliseconds(1));
  }
  ASSERT_TRUE(tests::run_until(*weir.loop, [&] { return weir.log.lines_written() == kRecords; }));
  EXPECT_THAT(lines(), SizeIs(kRecords));
}

// A record points into its table: it must be written before the table is freed.
TEST_F(ControlTest, WritesARecordBeforeItsTableIsFreed) {
  AdminHost weir({.shards = 1, .access_log = log_path});
  {
    auto pin = weir.readers[0]->pin();
    publish_another(weir);
    weir.refresh_shards();
    weir.gateway.records[0]->try_push(record(*pin));
  }
  ASSERT_TRUE(tests::run_until(*weir.loop, [&] { return weir.gateway.tables.live_versions() == 1; }));
  ASSERT_TRUE(tests::run_until(*weir.loop, [&] { return lines().size() == 1; }));
  EXPECT_EQ(lines()[0]["revision"], 1);
  EXPECT_EQ(lines()[0]["tenant"], "acme");
}

TEST_F(ControlTest, KeepsATableThatAnExchangeUses) {
  AdminHost weir({.shards = 1});
  auto pin = weir.readers[0]->pin();
  publish_another(weir);
  weir.refresh_shards();
  tests::run_for(*weir.loop, std::chrono::milliseconds(120));
  EXPECT_EQ(weir.gateway.tables.live_versions(), 2u);
  EXPECT_EQ(pin->revision, 1u);
  pin.reset();
  EXPECT_TRUE(tests::run_until(*weir.loop, [&] { return weir.gateway.tables.live_versions() == 1; }));
}

TEST_F(ControlTest, GoesOnWithAnotherFileAfterRotation) {
  AdminHost weir({.shards = 1, .access_log = log_path});
  weir.gateway.records[0]->try_push(record(weir.readers[0]->current()));
  ASSERT_EQ(::rename(log_path.c_str(), folder.file("rotated").c_str()), 0);
  weir.control.reopen_access_log();
  weir.gateway.records[0]->try_push(record(weir.readers[0]->current()));
  weir.gateway.records[0]->try_push(record(weir.readers[0]->current()));
  weir.control.flush();
  EXPECT_THAT(read_lines(folder.file("rotated")), SizeIs(1));
  EXPECT_THAT(lines(), SizeIs(2));
}

TEST_F(ControlTest, FlushesWhenItEnds) {
  {
    AdminHost weir({.shards = 1, .access_log = log_path});
    weir.gateway.records[0]->try_push(record(weir.readers[0]->current()));
  }
  EXPECT_THAT(lines(), SizeIs(1));
}

// ---- names and trust of providers ------------------------------------------------------------------------

std::string with_provider(std::string_view provider) {
  std::string text = table_text();
  constexpr std::string_view kOld = R"({ dialect: openai, base_url: "http://127.0.0.1:1/v1" })";
  return text.replace(text.find(kOld), kOld.size(), provider);
}

size_t address_count(AdminHost& weir, const std::string& host, uint16_t port) {
  core::SocketAddress room[4];
  return weir.addresses.addresses(host, port, room, 4);
}

TEST_F(ControlTest, AChangeIsAnsweredOnceItsNamesAreKnown) {
  AdminHost weir(
      {.resolve = [](const std::string& host,
                     uint16_t port) -> std::expected<std::vector<core::SocketAddress>, std::string> {
        if (host != "api.test") return std::unexpected("no " + host);
        return std::vector{*core::SocketAddress::parse("10.0.0.1:" + std::to_string(port))};
      }});
  const Reply reply =
      weir.put_table(with_provider(R"({ dialect: openai, base_url: "http://api.test:81/v1" })"));
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(address_count(weir, "api.test", 81), 1u);

  // Forgotten when no table names it any more.
  ASSERT_EQ(weir.put_table(table_text()).status, 200);
  EXPECT_TRUE(tests::run_until(*weir.loop, [&] { return address_count(weir, "api.test", 81) == 0; }));

  // A name that does not resolve is no problem of the table; the status says so.
  ASSERT_EQ(weir.put_table(with_provider(R"({ dialect: openai, base_url: "http://gone.test/v1" })")).status,
            200);
  EXPECT_EQ(weir.status()["unresolved"], json::parse(R"([{"host":"gone.test","reason":"no gone.test"}])"));
}

TEST_F(ControlTest, ASlowDiskDoesNotForgetTheNamesOfAChange) {
  testing::SimulatedDisk disk(7);
  AdminHost weir({.registry = "registry.db",
                  .registry_vfs = disk.name(),
                  .resolve = [](const std::string&, uint16_t port) {
                    return std::expected<std::vector<core::SocketAddress>, std::string>(
                        std::vector{*core::SocketAddress::parse("10.0.0.1:" + std::to_string(port))});
                  }});
  auto stalled = disk.stall();
  AdminClient client(*weir.loop, weir.socket_path());
  client.send(AdminHost::request("PUT", "/v1/table?reason=a%20test",
                                 with_provider(R"({ dialect: openai, base_url: "http://api.test:81/v1" })"),
                                 "content-type: application/yaml\r\n"));
  ASSERT_TRUE(tests::run_until(*weir.loop, [&] { return address_count(weir, "api.test", 81) == 1; }));
  tests::run_for(*weir.loop, std::chrono::milliseconds(120));  // the table before it is tended meanwhile
  EXPECT_EQ(address_count(weir, "api.test", 81), 1u);
  stalled.unlock();
  const Reply reply = client.read();
  EXPECT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(address_count(weir, "api.test", 81), 1u);
}

TEST_F(ControlTest, EachTlsProviderHasItsTrust) {
  tests::TestAuthority authority;
  AdminHost weir;
  const std::string text =
      with_provider(R"({ dialect: openai, base_url: "https://127.0.0.1:1/v1", ca_file: ")" +
                    authority.root_path() + "\" }");
  ASSERT_EQ(weir.put_table(text).status, 200);
  const auto first = weir.control.table().trust.at(0);
  ASSERT_NE(first, nullptr);
  // The next table shares it, so that shards keep their connections; until the file is to be read again.
  ASSERT_EQ(weir.put_table(text).status, 200);
  EXPECT_EQ(weir.control.table().trust.at(0), first);
  const Table* const before = &weir.control.table();
  weir.control.reload_trust();
  ASSERT_TRUE(tests::run_until(*weir.loop, [&] { return &weir.control.table() != before; }));
  EXPECT_NE(weir.control.table().trust.at(0), first);
  EXPECT_EQ(weir.control.table().revision, 2u) << "the table is the same";
  // Plain HTTP needs none.
  ASSERT_EQ(weir.put_table(table_text()).status, 200);
  EXPECT_EQ(weir.control.table().trust.at(0), nullptr);
}

TEST_F(ControlTest, TrustThatCannotBeReadIsAProblemOfTheTable) {
  AdminHost weir;
  const Reply reply = weir.put_table(with_provider(
      R"({ dialect: openai, base_url: "https://127.0.0.1:1/v1", ca_file: "/nowhere/ca.pem" })"));
  EXPECT_EQ(reply.status, 422) << reply.body;
  EXPECT_EQ(reply.json()["problems"][0]["path"], "providers.local.ca_file");
  EXPECT_EQ(weir.status()["revision"], 1);
}

TEST_F(ControlTest, TrustThatHasBecomeUnreadableLeavesTheOldInService) {
  tests::TestAuthority authority;
  const std::string copy = folder.write("ca.pem", *core::read_file(authority.root_path(), 1 << 20));
  AdminHost weir;
  ASSERT_EQ(
      weir.put_table(with_provider(R"({ dialect: openai, base_url: "https://127.0.0.1:1/v1", ca_file: ")" +
                                   copy + "\" }"))
          .status,
      200);
  const auto first = weir.control.table().trust.at(0);
  folder.write("ca.pem", "no certificate");
  weir.control.reload_trust();
  EXPECT_EQ(weir.post("/v1/kill", {{"scope", "unit"}, {"name", "big"}, {"reason", "a test"}}).status, 200);
  tests::run_for(*weir.loop, std::chrono::milliseconds(50));
  EXPECT_EQ(weir.control.table().trust.at(0), first);
}

// A kill does not wait behind a table that takes long to load.
TEST_F(ControlTest, AKillOvertakesATableThatIsBeingLoaded) {
  std::mutex mutex;
  std::condition_variable changed;
  bool held = true;
  AdminHost weir({.resolve = [&](const std::string& host,
                                 uint16_t) -> std::expected<std::vector<core::SocketAddress>, std::string> {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return !held; });
    return std::unexpected("no " + host);
  }});
  AdminClient client(*weir.loop, weir.socket_path());
  client.send(AdminHost::request("PUT", "/v1/table?reason=a%20test",
                                 with_provider(R"({ dialect: openai, base_url: "http://slow.test/v1" })"),
                                 "content-type: application/yaml\r\n"));
  EXPECT_EQ(
      weir.post("/v1/kill", {{"scope", "unit"}, {"name", "big"}, {"reason", "a test"}}).json()["revision"],
      2);
  EXPECT_FALSE(client.poll().has_value());
  {
    const std::lock_guard guard(mutex);
    held = false;
  }
  changed.notify_all();
  EXPECT_EQ(client.read().json()["revision"], 3);
  EXPECT_TRUE(weir.control.table().kills.any);  // of its own body
}

TEST_F(ControlTest, StartReportsTheProblemsOfTheFirstTable) {
  auto loop = tests::make_loop();
  Worker worker;
  net::AddressBook addresses;
  AccessLog log(nullptr);
  const auto registry = AdminHost::open_registry(":memory:");
  Gateway gateway({.shards = 0, .key_hash_secret = "secret"}, addresses, {});
  ControlThread control(*loop, {gateway, addresses, log, worker, *registry}, {});
  const auto started = control.start([]() -> std::expected<ControlThread::TableText, std::string> {
    return ControlThread::TableText{R"({"unit":{},"key":[]})", TableFormat::json};
  });
  ASSERT_FALSE(started.has_value());
  EXPECT_THAT(started.error().problems, SizeIs(2));
  EXPECT_EQ(registry->registry().revision(), 0u) << "nothing was imported";
}

// ---- access log ------------------------------------------------------------------------------------------

TEST(AccessLog, CountsNothingWithoutAFile) {
  AccessLog log(nullptr);
  log.add(Record{});
  log.flush(0);
  EXPECT_EQ(log.lines_written() + log.lines_lost(), 0u);
}

TEST(AccessLog, CountsTheLinesThatAFullDiskLost) {
  AccessLog log(std::move(*core::AppendFile::open("/dev/full")));
  log.add(Record{});
  log.add(Record{});
  log.flush(0);
  EXPECT_EQ(log.lines_lost(), 2u);
  EXPECT_EQ(log.lines_written(), 0u);
  EXPECT_FALSE(log.pending());
}

// A reader that stops reading costs lines above kMaxAccessLogBytes, never time; what it gets is whole.
TEST(AccessLog, KeepsUpToMaxAccessLogBytesForASlowReader) {
  weir::testing::TemporaryFolder folder;
  const std::string path = folder.file("pipe");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  AccessLog log(std::move(*core::AppendFile::open(path)));
  std::string line;
  append_json(Record{}, line);
  const uint64_t fits = core::limits::kMaxAccessLogBytes / line.size();
  const uint64_t offered = fits * 2;
  for (uint64_t i = 0; i < offered; ++i) log.add(Record{});
  log.flush(0);
  EXPECT_GT(log.lines_lost(), 0u);
  EXPECT_GE(offered - log.lines_lost(), fits);

  std::string got;
  char room[65536];
  while (log.pending()) {
    for (ssize_t count = 0; (count = ::read(reader, room, sizeof room)) > 0;)
      got.append(room, static_cast<size_t>(count));
    log.flush(0);
  }
  for (ssize_t count = 0; (count = ::read(reader, room, sizeof room)) > 0;)
    got.append(room, static_cast<size_t>(count));
  ::close(reader);
  EXPECT_EQ(log.lines_written() + log.lines_lost(), offered);
  ASSERT_EQ(got.size(), log.lines_written() * line.size());
  for (size_t at = 0; at < got.size(); at += line.size()) ASSERT_EQ(got.compare(at, line.size(), line), 0);
}

// ---- worker
// ------------------------------------------------------------------------------------------------

TEST(Worker, RunsJobsInOrderAndFinishesThemWhenItEnds) {
  std::vector<int> ran;
  {
    Worker worker;
    for (int i = 0; i < 5; ++i) worker.run([&ran, i] { ran.push_back(i); });
  }
  EXPECT_THAT(ran, ElementsAre(0, 1, 2, 3, 4));
}

}  // namespace
}  // namespace weir::routing
