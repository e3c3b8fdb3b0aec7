#include "routing/admin/guard_keeper.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/routing/admin/admin_fixture.h"

namespace weir::routing::guard_keeper_test {
namespace {

constexpr int64_t kUsd = 1'000'000'000;

std::string budgeted_text() {
  return table_text() + "budgets: [ { window: month, usd: 100 } ]\n";
}

const BudgetGuard& budget_of(AdminHost& host) {
  return host.control.table().guards->global()->budgets[0];
}
GuardTime time_of(AdminHost& host) {
  return CalendarReader().at(host.loop->now_ns(), host.gateway.calendar.point());
}
BudgetView view_of(AdminHost& host) {
  return view(*budget_of(host).line, budget_of(host).spec, time_of(host));
}

TEST(GuardKeeper, SpendOutlivesTheProcessAndReservationsCountAsSpent) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("guards.state");
  {
    AdminHost host({.table = budgeted_text()});
    GuardKeeper keeper(*host.loop, host.gateway, path);
    EXPECT_EQ(keeper.restore(), 0u) << "there is no file yet";
    reserve(*budget_of(host).line, budget_of(host).spec, 5 * kUsd, time_of(host));
    settle(*budget_of(host).line, budget_of(host).spec, 5 * kUsd, 3 * kUsd);
    reserve(*budget_of(host).line, budget_of(host).spec, 4 * kUsd, time_of(host));
  }
  AdminHost host({.table = budgeted_text()});
  GuardKeeper keeper(*host.loop, host.gateway, path);
  EXPECT_EQ(keeper.restore(), 1u);
  EXPECT_EQ(view_of(host).spent, 7 * kUsd);
}

TEST(GuardKeeper, WritesWithinItsPeriodWhatHasChanged) {
  const testing::TemporaryFolder folder;
  AdminHost host({.table = budgeted_text()});
  GuardKeeper keeper(*host.loop, host.gateway, folder.file("guards.state"));
  keeper.start();
  reserve(*budget_of(host).line, budget_of(host).spec, 5 * kUsd, time_of(host));
  ASSERT_TRUE(tests::run_until(*host.loop, [&] { return keeper.writes() == 1; }));
  const auto text = core::read_file(folder.file("guards.state"), 1 << 20);
  ASSERT_TRUE(text.has_value());
  EXPECT_NE(text->find("budget global - 0 0 "), std::string::npos) << *text;
  EXPECT_NE(text->find(" 0 5000000000 0\n"), std::string::npos) << *text;
}

TEST(GuardKeeper, AFileThatCannotBeReadIsAnError) {
  const testing::TemporaryFolder folder;
  AdminHost host({.table = budgeted_text()});
  GuardKeeper keeper(*host.loop, host.gateway, folder.file(""));
  EXPECT_FALSE(keeper.restore().has_value()) << "a folder is no file";
}

TEST(GuardKeeper, AFileThatCannotBeReadIsLeftAsItIs) {
  const testing::TemporaryFolder folder;
  const std::string state = "weir-guards 1\nwhat another version has counted\n";
  const std::string path = folder.write("guards.state", state);
  {
    AdminHost host({.table = budgeted_text()});
    reserve(*budget_of(host).line, budget_of(host).spec, 5 * kUsd, time_of(host));
    GuardKeeper keeper(*host.loop, host.gateway, path);
    const auto restored = keeper.restore();
    ASSERT_FALSE(restored.has_value());
    EXPECT_NE(restored.error().find("move it away"), std::string::npos) << restored.error();
  }
  EXPECT_EQ(core::read_file(path, 1 << 20).value_or(""), state);
}

TEST(AdminApi, ShowsLimitsBudgetsAndBreakers) {
  AdminHost host({.table = budgeted_text() + "limits: { rpm: 600 }\n"});
  reserve(*budget_of(host).line, budget_of(host).spec, 5 * kUsd, time_of(host));
  EXPECT_EQ(host.get("/v1/budgets").json()["budgets"][0]["reserved_usd"], 5.0);
  EXPECT_EQ(host.get("/v1/limits").json()["limits"][0]["rate"], 600);
  EXPECT_EQ(host.get("/v1/limits?tenant=acme").json()["limits"].size(), 0u);
  EXPECT_EQ(host.get("/v1/breakers").json()["breakers"].size(), 2u);
  EXPECT_EQ(host.get("/v1/limits?sort=used").json()["limits"].size(), 1u);
  EXPECT_EQ(host.get("/v1/limits?sort=name").status, 400);
  EXPECT_EQ(host.get("/v1/limits?user=anna").status, 400) << "whose?";
  EXPECT_EQ(host.get("/v1/budgets?tenant=acme&user=anna").status, 200);
}

TEST(AdminApi, PurgesTheCache) {
  AdminHost host;
  AnswerCache& cache = host.gateway.cache;
  AnswerCache::Draft draft;
  cache.begin(draft);
  cache.append(draft, std::array<uint8_t, 3>{1, 2, 3}, 1);
  cache.store(draft, {.low = 1, .high = 2}, {.tenant = hash_name("acme")}, UINT64_MAX / 2,
              host.loop->now_ns());
  const auto purge = [&](const char* scope, const char* name, const char* reason) {
    return host.post("/v1/cache:purge", {{"scope", scope}, {"name", name}, {"reason", reason}});
  };
  EXPECT_EQ(host.post("/v1/cache:purge", {{"scope", "tenant"}, {"name", "acme"}}).status, 400) << "no reason";
  EXPECT_EQ(purge("tenant", "solo", "a test").json()["purged"], 0);
  EXPECT_EQ(purge("tenant", "acme", "wrong answers").json(), nlohmann::json({{"purged", 1}}));
  AnswerCache::Hit hit;
  cache.look_up({.low = 1, .high = 2}, host.loop->now_ns(), hit);
  EXPECT_FALSE(hit);
  const auto changes = host.get("/v1/audit?tenant=acme&limit=1").json()["changes"];
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0]["action"], "purge");
  EXPECT_EQ(changes[0]["target"], "tenant acme");
  EXPECT_EQ(changes[0]["reason"], "wrong answers");
  EXPECT_EQ(changes[0]["detail"]["purged"], 1);
  EXPECT_TRUE(host.get("/v1/audit:verify").json()["ok"].get<bool>());
  EXPECT_EQ(purge("model", "x", "a test").status, 400);
  EXPECT_EQ(host.post("/v1/cache:purge", {{"scope", "unit"}, {"reason", "a test"}}).status, 400);
  EXPECT_EQ(host.post("/v1/cache:purge", nlohmann::json::array()).status, 400);
}

}  // namespace
}  // namespace weir::routing::guard_keeper_test
