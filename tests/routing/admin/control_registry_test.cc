// The control thread over a registry that outlives it, and over disks that fail.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/routing/admin/admin_fixture.h"
#include "tests/support/simulated_disk.h"

namespace weir::routing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr uint64_t kForever = 1'000'000;

struct ControlRegistry : ::testing::Test {
  AdminSetup setup(std::string table = table_text()) {
    return {.registry = folder.file("registry.db"), .table = std::move(table)};
  }
  static Reply set_percent(AdminHost& weir, int percent) {
    return weir.post("/v1/flags/v2/tenants/acme", {{"percent", percent}, {"reason", "r"}});
  }
  static json percent(AdminHost& weir) {
    return weir.get("/v1/table").json()["tenants"]["acme"]["flags"]["v2"]["percent"];
  }

  testing::TemporaryFolder folder;
};

TEST_F(ControlRegistry, AStartServesTheLastAcknowledgedRevisionWithItsKills) {
  {
    AdminHost weir(setup());
    EXPECT_EQ(set_percent(weir, 60).json()["revision"], 2);
    EXPECT_EQ(weir.post("/v1/kill", {{"scope", "unit"}, {"name", "big"}, {"reason", "incident 311"}}).status,
              200);
    EXPECT_EQ(weir.status()["registry"], folder.file("registry.db"));
  }
  // The file may say something else by now, or be no table any more.
  AdminHost weir(setup("no table"));
  EXPECT_EQ(weir.control.table().revision, 3u);
  EXPECT_EQ(weir.control.table_revision(), 2u);
  EXPECT_EQ(percent(weir), 60);
  EXPECT_TRUE(weir.control.table().kills.any);
  EXPECT_EQ(weir.status()["kills"][0]["reason"], "incident 311");
  EXPECT_EQ(set_percent(weir, 61).json()["revision"], 4);
}

// The first whole unit of several flags wins; which is first must not depend on who wrote the table down
// last.
TEST_F(ControlRegistry, SeveralFlagsOfAScenarioMeanTheSameAfterAStart) {
  std::string table = table_text();
  const auto insert = [&](std::string_view before, std::string_view text) {
    table.insert(table.find(before), text);
  };
  insert("v2: { scenario: chat", "z1: { scenario: chat, candidate: { unit: huge }, owner: u-1 }, ");
  insert("big: { model: m-2 }", "huge: { model: m-2, params: { seed: 1 } }, ");
  insert("v2: { state: pilot",
         "z1: { state: production, owner: u-1, reason: r, review: 2200-01-01, previous: mini }, ");
  const auto unit = [](AdminHost& weir) {
    return weir.get("/v1/explain?tenant=acme&scenario=chat&attr.plan=pro").json()["unit"];
  };
  AdminSetup given = setup(table);
  {
    AdminHost weir(given);
    EXPECT_EQ(unit(weir), "big") << "v2 comes before z1, though it was declared later";
  }
  AdminHost weir(given);
  EXPECT_EQ(unit(weir), "big");
}

TEST_F(ControlRegistry, AStartThatFindsNoTableImportsNothing) {
  auto loop = tests::make_loop();
  Worker worker;
  net::AddressBook addresses;
  AccessLog log(nullptr);
  const auto registry = AdminHost::open_registry(folder.file("registry.db"));
  Gateway gateway({.shards = 0, .key_hash_secret = "secret"}, addresses, {});
  ControlThread control(*loop, {gateway, addresses, log, worker, *registry}, {});
  const auto started = control.start(
      []() -> std::expected<ControlThread::TableText, std::string> { return std::unexpected("gone"); });
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().problems.at(0).message, "gone");
  EXPECT_EQ(registry->registry().revision(), 0u);
}

TEST_F(ControlRegistry, ASecondProcessIsTurnedAway) {
  AdminHost weir(setup());
  const auto second = RegistryThreads::open({.path = folder.file("registry.db")});
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr(folder.file("registry.db")));
}

TEST_F(ControlRegistry, AFullDiskRefusesChangesAndServingGoesOn) {
  testing::SimulatedDisk disk(7);
  AdminHost weir({.registry = "registry.db", .registry_vfs = disk.name()});
  disk.fail_at(disk.operations() + 1, kForever, SQLITE_FULL);
  const Reply full = set_percent(weir, 60);
  EXPECT_EQ(full.status, 507) << full.body;
  EXPECT_EQ(full.json()["error"]["code"], "registry_full");
  EXPECT_EQ(weir.put_table(table_text(5)).status, 507);
  EXPECT_EQ(weir.post("/v1/labels/known_good", {{"reason", "r"}}).status, 507);
  EXPECT_EQ(weir.post("/v1/unkill", {{"scope", "global"}, {"reason", "r"}}).status, 404);
  EXPECT_EQ(weir.control.table().revision, 1u);
  EXPECT_EQ(percent(weir), 50);

  disk.fail_at(0, 0, SQLITE_OK);
  EXPECT_EQ(set_percent(weir, 60).json()["revision"], 2);
  EXPECT_EQ(percent(weir), 60);
}

TEST_F(ControlRegistry, AKillTakesEffectThoughItCannotBeKept) {
  testing::SimulatedDisk disk(7);
  AdminHost weir({.registry = "registry.db", .registry_vfs = disk.name()});
  const json unit{{"scope", "unit"}, {"name", "big"}, {"reason", "incident 311"}};
  disk.fail_at(disk.operations() + 1, kForever, SQLITE_FULL);
  const Reply full = weir.post("/v1/kill", unit);
  EXPECT_EQ(full.status, 507) << full.body;
  EXPECT_EQ(full.json()["error"]["code"], "not_durable");
  EXPECT_THAT(full.body, HasSubstr("in effect"));
  EXPECT_TRUE(weir.control.table().kills.any);
  EXPECT_EQ(weir.status()["kills"][0]["durable"], false);

  disk.fail_at(disk.operations() + 1, kForever, SQLITE_IOERR);
  EXPECT_EQ(weir.post("/v1/kill", {{"scope", "flag"}, {"name", "v2"}, {"reason", "r"}}).status, 503);
  EXPECT_THAT(weir.status()["kills"], SizeIs(2));
  EXPECT_EQ(set_percent(weir, 60).status, 503);

  // Repeated once there is room, it is kept.
  disk.fail_at(0, 0, SQLITE_OK);
  EXPECT_EQ(weir.post("/v1/kill", unit).status, 200);
  EXPECT_FALSE(weir.status()["kills"][0].contains("durable"));
  // One that was never kept is taken back all the same.
  EXPECT_EQ(weir.post("/v1/unkill", {{"scope", "flag"}, {"name", "v2"}, {"reason", "r"}}).status, 200);
  EXPECT_THAT(weir.status()["kills"], SizeIs(1));
}

TEST_F(ControlRegistry, AKillThatTheRegistryHasIsNotLiftedWithoutIt) {
  testing::SimulatedDisk disk(7);
  AdminHost weir({.registry = "registry.db", .registry_vfs = disk.name()});
  ASSERT_EQ(weir.post("/v1/kill", {{"scope", "unit"}, {"name", "big"}, {"reason", "r"}}).status, 200);
  // Killed again while an unkill is written, and neither can be kept: the first kill still is.
  disk.fail_at(disk.operations() + 1, kForever, SQLITE_FULL);
  const ControlThread::Flip flip{
      .caller = {.name = "alice"}, .scope = KillScope::unit, .name = "big", .reason = "r"};
  std::vector<Refusal::Kind> refused;
  const auto done = [&](const ChangeResult& result) {
    if (!result) refused.push_back(result.error().kind);
  };
  weir.control.unkill(flip, done);
  weir.control.kill(flip, done);
  ASSERT_TRUE(tests::run_until(*weir.loop, [&] { return refused.size() == 2; }));
  EXPECT_EQ(refused[0], Refusal::Kind::registry_full);
  EXPECT_TRUE(weir.control.is_durable(KillScope::unit, "big"));
  EXPECT_EQ(weir.post("/v1/unkill", {{"scope", "unit"}, {"name", "big"}, {"reason", "r"}}).status, 507);
  EXPECT_THAT(weir.control.kills(), SizeIs(1)) << "a restart would bring it back";
}

TEST_F(ControlRegistry, WhatIsNoRegistryIsNeverWrittenTo) {
  const std::string path = folder.write("registry.db", std::string(8192, 'x'));
  const auto opened = RegistryThreads::open({.path = path});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, RegistryError::Kind::corrupt);
  EXPECT_THAT(opened.error().message, HasSubstr(path));
}

}  // namespace
}  // namespace weir::routing
