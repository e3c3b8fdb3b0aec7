#include "routing/admin/guard_keeper.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "tests/routing/admin/admin_fixture.h"

namespace weir::routing::guard_keeper_test {
namespace {

constexpr int64_t kUsd = 1'000'000'000;
constexpr uint64_t kDay = 86'400'000'000'000;

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

TEST(GuardKeeper, UsersAreKnownAgainByTheSecretAlone) {
  net::AddressBook addresses;
  const auto key_of = [&](const std::string& secret, uint64_t seed) {
    return Gateway({.shards = 0, .key_hash_secret = secret, .process_seed = seed}, addresses, {}).users.key;
  };
  const core::SipKey key = key_of("secret", 7);
  EXPECT_EQ(key.low, key_of("secret", 8).low) << "of another process";
  EXPECT_EQ(key.high, key_of("secret", 8).high);
  EXPECT_NE(key.low, key_of("secret2", 7).low);
  EXPECT_NE(key.high, key_of("secret2", 7).high);
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

// Processes that follow each other, one state file. Each is what a keeper sees of it.
struct Succession {
  struct Process {
    explicit Process(const std::string& path)
        : host({.table = budgeted_text()}),
          keeper(std::make_unique<GuardKeeper>(*host.loop, host.gateway, path)) {
      EXPECT_TRUE(keeper->restore().has_value());
    }
    void reserve_usd(int64_t worst) {
      reserve(*budget_of(host).line, budget_of(host).spec, worst * kUsd, time_of(host));
    }
    void settle_usd(int64_t worst, int64_t actual) {
      settle(*budget_of(host).line, budget_of(host).spec, worst * kUsd, actual * kUsd);
    }
    void spend_usd(int64_t usd) {
      reserve_usd(usd);
      settle_usd(usd, usd);
    }
    int64_t spent_usd() { return view_of(host).spent / kUsd; }
    void serve() {
      keeper->start();
      keeper->take_late();
    }
    // Until so many files more have been written.
    void write(uint64_t more) {
      const uint64_t until = keeper->writes() + more;
      ASSERT_TRUE(tests::run_until(*host.loop, [&] { return keeper->writes() >= until; }));
    }

    AdminHost host;
    std::unique_ptr<GuardKeeper> keeper;
  };

  std::unique_ptr<Process> process() const { return std::make_unique<Process>(path); }
  std::string state() const { return core::read_file(path, 1 << 20).value_or(""); }
  // The file of what was counted late; empty: there is none.
  std::string late() const {
    for (const auto& entry : std::filesystem::directory_iterator(folder.file(""))) {
      if (entry.path().string().starts_with(path + ".late-")) return entry.path();
    }
    return {};
  }

  const testing::TemporaryFolder folder;
  const std::string path = folder.file("guards.state");
};

TEST(GuardKeeper, WhatAPredecessorSpendsWhileItDrainsIsAddedOnce) {
  const Succession all;
  auto before = all.process();
  before->spend_usd(3);
  before->reserve_usd(40);
  before->keeper->hand_over();
  auto after = all.process();
  EXPECT_EQ(after->spent_usd(), 43) << "what is under way, at its worst";
  after->serve();
  after->spend_usd(1);
  before->settle_usd(40, 2);
  before->spend_usd(4);
  EXPECT_EQ(all.late(), "");
  before->keeper.reset();
  EXPECT_NE(all.late(), "");
  ASSERT_TRUE(tests::run_until(*after->host.loop, [&] { return after->spent_usd() == 10; }))
      << after->spent_usd();
  ASSERT_TRUE(tests::run_until(*after->host.loop, [&] { return all.late().empty(); }));
  after->spend_usd(1);
  after->write(1);
  EXPECT_EQ(after->spent_usd(), 11);
  EXPECT_EQ(all.state().find("late "), std::string::npos) << all.state();
}

TEST(GuardKeeper, WhatIsLateIsAddedOnceThoughTheSuccessorIsStartedAnew) {
  const Succession all;
  auto before = all.process();
  before->reserve_usd(40);
  before->keeper->hand_over();
  auto killed = all.process();  // before it has seen the file
  killed->serve();
  before->settle_usd(40, 2);
  before->keeper.reset();
  const std::string state = all.state(), late = core::read_file(all.late(), 1 << 20).value_or("");
  ASSERT_NE(state.find(" awaited\n"), std::string::npos) << state;
  {
    auto after = all.process();
    EXPECT_EQ(after->spent_usd(), 40);
    after->serve();
    after->write(1);
    EXPECT_EQ(after->spent_usd(), 2);
  }
  // One that was killed after it had added it, and before there was a state: as if it had not been.
  const std::string late_path =
      all.folder.file("guards.state.late-" + state.substr(state.find("late ") + 5,
                                                          state.find(" awaited") - state.find("late ") - 5));
  std::ofstream(all.path) << state;
  std::ofstream(late_path) << late;
  {
    auto after = all.process();
    after->serve();
    after->write(1);
    EXPECT_EQ(after->spent_usd(), 2);
  }
  // One that was killed after that state, and before the file was removed.
  std::string added = state;
  added.replace(added.find("awaited"), 7, "added");
  std::ofstream(all.path) << added;
  std::ofstream(late_path) << late;
  {
    auto after = all.process();
    after->serve();
    after->write(1);
    EXPECT_EQ(after->spent_usd(), 40) << "as that state says";
    EXPECT_EQ(all.late(), "");
  }
}

TEST(GuardKeeper, AProcessHandsOnWhatItStillWaitsFor) {
  const Succession all;
  auto first = all.process();
  first->reserve_usd(10);
  first->keeper->hand_over();
  auto second = all.process();
  second->serve();
  second->reserve_usd(20);
  second->keeper->hand_over();
  auto third = all.process();
  EXPECT_EQ(third->spent_usd(), 30);
  third->serve();
  second->settle_usd(20, 2);
  second->keeper.reset();
  ASSERT_TRUE(tests::run_until(*third->host.loop, [&] { return third->spent_usd() == 12; }));
  first->settle_usd(10, 1);
  first->keeper.reset();
  ASSERT_TRUE(tests::run_until(*third->host.loop, [&] { return third->spent_usd() == 3; }));
}

TEST(GuardKeeper, OneThatTakesBackWritesAsBefore) {
  const Succession all;
  auto only = all.process();
  only->serve();
  only->reserve_usd(10);
  only->keeper->hand_over();
  all.process().reset();  // it could not start, and has written what it was given
  only->settle_usd(10, 1);
  only->keeper->take_back();
  only->write(1);
  only.reset();
  EXPECT_EQ(all.late(), "");
  auto next = all.process();
  EXPECT_EQ(next->spent_usd(), 1);
  EXPECT_EQ(all.state().find("late "), std::string::npos) << all.state();
}

TEST(GuardKeeper, OneThatTakesBackAddsWhatItsSuccessorHasSpent) {
  const Succession all;
  auto only = all.process();
  only->serve();
  only->spend_usd(3);
  only->reserve_usd(10);
  only->keeper->hand_over();
  {
    auto successor = all.process();
    successor->keeper->start();  // it has clients, and does not come to say that it is ready
    successor->spend_usd(20);
    successor->reserve_usd(5);
  }
  only->spend_usd(1);
  only->keeper->take_back();
  only->settle_usd(10, 2);
  EXPECT_EQ(only->spent_usd(), 3 + 25 + 1 + 2) << "what was under way there at its worst";
  only->write(1);
  only.reset();
  EXPECT_EQ(all.process()->spent_usd(), 31);
  EXPECT_EQ(all.late(), "");
}

TEST(GuardKeeper, HandsNothingOverThatCannotBeWritten) {
  const testing::TemporaryFolder folder;
  const std::string home = folder.file("home"), path = home + "/guards.state";
  std::filesystem::create_directory(home);
  Succession::Process only(path);
  only.serve();
  only.spend_usd(3);
  only.write(1);
  std::filesystem::remove_all(home);
  EXPECT_FALSE(only.keeper->hand_over());
  only.keeper->take_back();
  std::filesystem::create_directory(home);
  only.write(1);
  only.spend_usd(4);
  only.keeper.reset();
  EXPECT_EQ(Succession::Process(path).spent_usd(), 7);
  const std::string state = core::read_file(path, 1 << 20).value_or("");
  EXPECT_EQ(state.find("late "), std::string::npos) << state;
}

// Whoever starts after days finds what was counted at last.
TEST(GuardKeeper, ALateFileIsAddedHoweverOldItIs) {
  const Succession all;
  auto before = all.process();
  before->reserve_usd(10);
  EXPECT_TRUE(before->keeper->hand_over());
  before->settle_usd(10, 1);
  before->keeper.reset();
  const std::string late = all.late();
  ASSERT_NE(late, "");
  const std::string id = late.substr(late.rfind('-') + 1), old = std::to_string(std::stoull(id) - 3 * kDay);
  std::string state = all.state();
  state.replace(state.find(id), id.size(), old);
  std::ofstream(all.path) << state << "late " << std::stoull(old) - 1 << " awaited\n";
  std::filesystem::rename(late, all.path + ".late-" + old);
  auto after = all.process();
  after->serve();
  after->write(1);
  EXPECT_EQ(after->spent_usd(), 1);
  EXPECT_EQ(all.late(), "");
  after->spend_usd(1);
  after->write(1);
  EXPECT_EQ(all.state().find("late "), std::string::npos) << "nor is it waited for one that never comes";
}

TEST(GuardKeeper, ALateFileThatCannotBeReadIsLeft) {
  const Succession all;
  auto before = all.process();
  before->reserve_usd(10);
  before->keeper->hand_over();
  before->settle_usd(10, 1);
  before->keeper.reset();
  const std::string late = all.late();
  ASSERT_NE(late, "");
  std::ofstream(late) << "something else\n";
  auto after = all.process();
  after->serve();
  after->write(1);
  after->spend_usd(1);
  after->write(1);
  EXPECT_EQ(after->spent_usd(), 11);
  EXPECT_EQ(core::read_file(late, 1 << 20).value_or(""), "something else\n");
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
