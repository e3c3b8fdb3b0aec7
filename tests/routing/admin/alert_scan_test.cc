#include "routing/admin/alert_scan.h"

#include <gtest/gtest.h>

#include <set>

#include "routing/admin/guard_views.h"
#include "routing/guard/breaker.h"
#include "tests/routing/admin/alert_fixture.h"
#include "tests/routing/guard/guard_fixture.h"

namespace weir::routing::alert_scan_test {
namespace {

using nlohmann::json;
using tests::states_of;

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kHour = 3600 * kSecond;
constexpr int64_t kUsd = 1'000'000'000;
constexpr std::string_view kEconomyThenKill =
    "budgets: [ { window: 1h, usd: 1, on_exceed: economy }, { window: 1d, usd: 2, on_exceed: kill } ]\n";

struct World {
  explicit World(const tests::GuardedTable& compiled = tests::guarded_table()) { use(compiled); }
  World(const std::string& global, const std::string& scenario, const std::string& tenant,
        const std::string& key)
      : World(tests::compiled(tests::guarded_text(global, scenario, tenant, key))) {}

  void use(const tests::GuardedTable& compiled) {
    table.body = compiled.body;
    table.tenants = compiled.tenants;
    table.guards = compiled.bind(arena, table.guards.get());
  }
  GuardTime time() {
    return CalendarReader().at(now_ns, {.offset_ns = 1'796'125'400'000'000'000, .epoch = 1});
  }
  // A request that is over at once, and costs what it may.
  Verdict ask(int64_t worst = 0, std::string_view user = "", uint64_t tokens = 1,
              uint64_t spent_percent = 100) {
    GuardHold hold;
    const AdmitRequest request{.plan = table.guards.get(),
                               .tenant = TenantIndex{0},
                               .key = KeyIndex{0},
                               .scenario = ScenarioIndex{0},
                               .user_tag = users.tag_of("t1", user, "k1"),
                               .tokens = tokens,
                               .worst_nano_usd = worst};
    const Verdict verdict = hold.admit(request, users, time());
    hold.warns(time());
    hold.settle(tokens, worst / 100 * static_cast<int64_t>(spent_percent), users, time());
    return verdict;
  }
  std::vector<json> look() {
    while (!scan.look(table, turned_away, time())) ++slices;
    return tests::take_all(queue);
  }
  std::string states() { return states_of(look()); }

  std::shared_ptr<GuardArena> arena = std::make_shared<GuardArena>(20'000);
  UserGuards users{1 << 20, core::SipKey{.low = 1, .high = 2}};
  Table table;
  AlertQueue queue{1};
  AlertBook book{queue};
  AlertScan scan{book, users};
  uint64_t now_ns = 1000 * kSecond;
  uint64_t turned_away = 0;
  int slices = 0;
};

TEST(AlertScan, TellsNothingOfOrdinaryRequests) {
  World world;
  world.ask(kUsd);
  EXPECT_EQ(world.states(), "");
  World refused("", "", ", limits: { rpm: 1 }, user_limits: { rpm: 1 }", "");
  for (int i = 0; i < 5; ++i) refused.ask(0, "anna");
  EXPECT_EQ(refused.states(), "") << "that a rate refuses is everyday life";
}

TEST(AlertScan, TellsOfABudgetWithItsNumbersWhenItOpensAndWhenItCloses) {
  World world(std::string(kEconomyThenKill), "", "", "");
  for (int i = 0; i < 3; ++i) world.ask(kUsd / 2);
  auto told = world.look();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0]["type"], "budget");
  EXPECT_EQ(told[0]["severity"], "warn");
  EXPECT_EQ(told[0]["limit"], "global.budget");
  EXPECT_EQ(told[0]["state"], "open");
  EXPECT_EQ(told[0]["window"], "1h");
  EXPECT_EQ(told[0]["on_exceed"], "economy");
  EXPECT_EQ(told[0]["budgets"][0]["usd"], 1);
  EXPECT_EQ(told[0]["budgets"][0]["spent_usd"], 1.5);
  EXPECT_EQ(told[0]["budgets"][0]["open"], true);
  EXPECT_EQ(told[0]["budgets"][1]["open"], false);
  EXPECT_FALSE(told[0].contains("tenant")) << "it is everybody's";
  EXPECT_EQ(world.states(), "") << "once";
  world.now_ns += kHour;
  told = world.look();
  ASSERT_EQ(states_of(told), "closed");
  EXPECT_EQ(told[0]["window"], "1h");
  EXPECT_EQ(told[0]["budgets"][0]["spent_usd"], 0);
}

// The record of a request names one limit.
TEST(AlertScan, OfSeveralRulesThatTripByOneRequestEachIsTold) {
  World world(std::string(kEconomyThenKill), "", ", budgets: [ { window: 1h, usd: 0.9, on_exceed: cached } ]",
              "");
  for (int i = 0; i < 5; ++i) world.ask(kUsd * 19 / 20);
  const auto told = world.look();
  std::set<std::string> rules;
  for (const json& alert : told) {
    EXPECT_EQ(alert["state"], "open");
    EXPECT_EQ(alert["severity"], alert["on_exceed"] == "kill" ? "page" : "warn");
    rules.insert(alert["limit"].get<std::string>() + " " + alert["on_exceed"].get<std::string>());
  }
  EXPECT_EQ(rules,
            (std::set<std::string>{"global.budget economy", "global.budget kill", "tenant.budget cached"}));
}

TEST(AlertScan, ARejectingBudgetOpensWhenLittleIsLeftAndClosesWithItsWindow) {
  World world("", "", ", budgets: [ { window: 1h, usd: 1 } ]", "");
  world.ask(2 * kUsd);
  auto told = world.look();
  ASSERT_EQ(states_of(told), "exceeded") << "one was too large";
  EXPECT_EQ(told[0]["tenant"], "t1");
  EXPECT_EQ(told[0]["budgets"][0]["spent_usd"], 0);
  world.ask(kUsd * 95 / 100);
  EXPECT_EQ(world.states(), "") << "nobody was refused";
  world.ask(kUsd / 10);
  EXPECT_EQ(world.states(), "open");
  world.ask(kUsd / 10);
  EXPECT_EQ(world.states(), "");
  world.now_ns += kHour;
  EXPECT_EQ(world.states(), "closed");
}

TEST(AlertScan, ATripIsToldThoughItIsOverByTheTimeOfTheLook) {
  World world(
      "", "",
      ", limits: { rps: 2, on_exceed: cached }, budgets: [ { window: 1h, usd: 1, on_exceed: economy } ]", "");
  for (int i = 0; i < 3; ++i) world.ask(kUsd / 2);
  world.now_ns += 2 * kHour;
  world.ask(1);
  EXPECT_EQ(world.states(), "open closed open closed");
}

TEST(AlertScan, WhatAnotherProcessHasOpenedIsToldHere) {
  World before(std::string(kEconomyThenKill), "", "", ""), after(std::string(kEconomyThenKill), "", "", "");
  for (int i = 0; i < 3; ++i) before.ask(kUsd / 2);
  restore(*after.table.guards->global()->budgets[0].line,
          snapshot(*before.table.guards->global()->budgets[0].line));
  EXPECT_EQ(after.states(), "open");
}

TEST(AlertScan, TellsOfALimitWhoseActionChangesWhatAnswers) {
  World world("", "", ", limits: { rpm: 5, on_exceed: cached }", ", limits: { rpm: 3 }");
  for (int i = 0; i < 3; ++i) world.ask();
  world.now_ns += 5 * kSecond;
  EXPECT_EQ(world.states(), "");
  World told_of("", "", ", limits: { rpm: 5, on_exceed: cached }", "");
  for (int i = 0; i < 6; ++i) told_of.ask();
  const auto told = told_of.look();
  ASSERT_EQ(states_of(told), "open");
  EXPECT_EQ(told[0]["type"], "limit");
  EXPECT_EQ(told[0]["limit"], "tenant.rpm");
  EXPECT_EQ(told[0]["tenant"], "t1");
  EXPECT_EQ(told[0]["on_exceed"], "cached");
  EXPECT_EQ(told[0]["allows"], 5);
  EXPECT_EQ(told[0]["remaining"], 0);
  EXPECT_EQ(told_of.states(), "");
  told_of.now_ns += 60 * kSecond;
  EXPECT_EQ(told_of.states(), "closed") << "without a request";
}

TEST(AlertScan, TellsOfARequestWithMoreTokensThanALimitAdmitsAndOfPlacesThatAreTaken) {
  World world("", "", ", limits: { tpm: 10, concurrency: 1, on_exceed: economy }", "");
  world.ask(0, "", 11);
  EXPECT_EQ(world.states(), "exceeded");
  GuardHold first;
  const AdmitRequest request{.plan = world.table.guards.get(), .scenario = ScenarioIndex{0}};
  first.admit(request, world.users, world.time());
  EXPECT_EQ(world.states(), "") << "taken, but nobody asked for more";
  world.ask(0, "", 0);
  const auto told = world.look();
  ASSERT_EQ(states_of(told), "open");
  EXPECT_EQ(told[0]["limit"], "tenant.concurrency");
  EXPECT_EQ(told[0]["in_flight"], 1);
  first.settle(0, 0, world.users, world.time());
  EXPECT_EQ(world.states(), "closed");
}

TEST(AlertScan, ALimitThatFillsUpIsItsHoldersAndHidesNoOther) {
  World world("limits: { rpm: 10, warn_at: 50 }\n", "", ", limits: { rph: 10, warn_at: 50 }", "");
  for (int i = 0; i < 5; ++i) world.ask();
  const auto told = world.look();
  ASSERT_EQ(states_of(told), "filling filling");
  EXPECT_EQ(told[0]["limit"], "global.rpm");
  EXPECT_EQ(told[1]["limit"], "tenant.rph");
  EXPECT_EQ(told[1]["remaining"], 5);
}

TEST(AlertScan, ABudgetOfUsersTellsWhoseWithItsNumbersAndHowMany) {
  World world("", "",
              ", user_budgets: [ { window: 1d, usd: 1 }, { window: 1h, usd: 3, on_exceed: economy } ]", "");
  const auto use_up = [&](std::string_view user) {
    world.ask(kUsd, user);
    world.ask(kUsd / 10, user);
  };
  use_up("anna");
  auto told = world.look();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0]["type"], "budget");
  EXPECT_EQ(told[0]["severity"], "warn");
  EXPECT_EQ(told[0]["limit"], "user.budget");
  EXPECT_EQ(told[0]["tenant"], "t1");
  EXPECT_EQ(told[0]["window"], "1d");
  EXPECT_EQ(told[0]["on_exceed"], "reject");
  EXPECT_EQ(told[0]["state"], "open");
  EXPECT_EQ(told[0]["users"], 1);
  EXPECT_EQ(told[0]["budgets"][0]["usd"], 1);
  EXPECT_EQ(told[0]["budgets"][0]["spent_usd"], 1);
  const std::string anna = told[0]["user"];
  const ScopeGuard& guard = *world.table.guards->user_of(TenantIndex{0});
  EXPECT_EQ(anna, user_hash(UserLook(guard, "t1", "anna", world.users).tag()));
  EXPECT_EQ(told[0].dump().find("\"anna\""), std::string::npos);

  use_up("berta");
  use_up("carla");
  use_up("anna");
  EXPECT_EQ(world.states(), "");
  world.now_ns += AlertBook::kQuietNs;
  told = world.look();
  ASSERT_EQ(told.size(), 1u) << "what was suppressed is told when the quiet time is over";
  EXPECT_EQ(told[0]["users"], 2);
  EXPECT_NE(told[0]["user"], anna);
}

TEST(AlertScan, OfManyUsersAtOnceTheFirstAreCountedAndTheOthersMentioned) {
  World world("", "", ", user_limits: { rpm: 1, on_exceed: economy }", "");
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 20; ++i) world.ask(0, "user" + std::to_string(i));
  }
  const auto told = world.look();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0]["limit"], "user.rpm");
  EXPECT_EQ(told[0]["allows"], 1);
  world.now_ns += AlertBook::kQuietNs;
  const auto later = world.look();
  ASSERT_EQ(later.size(), 1u);
  EXPECT_EQ(told[0]["users"].get<unsigned>() + later[0]["users"].get<unsigned>(), UserTrips::kUsers);
  EXPECT_EQ(later[0]["more_users"], true);
}

TEST(AlertScan, TellsOfABreakerWhenItOpensAndWhenItCloses) {
  World world;
  BreakerLine& line = world.table.guards->breaker(ModelIndex{0});
  limited(line, Pass::yes, 5 * kSecond, world.now_ns);
  auto told = world.look();
  ASSERT_EQ(states_of(told), "open");
  EXPECT_EQ(told[0]["type"], "breaker");
  EXPECT_EQ(told[0]["model"], "small");
  EXPECT_EQ(told[0]["provider"], "p");
  EXPECT_EQ(told[0]["open_ms"], 5000);
  EXPECT_EQ(told[0]["limited"], true);
  world.now_ns += 6 * kSecond;
  ASSERT_EQ(ask(line, world.now_ns, 0), Pass::probe);
  EXPECT_EQ(world.states(), "") << "it is being asked";
  succeeded(line, Pass::probe, world.now_ns);
  told = world.look();
  ASSERT_EQ(states_of(told), "closed");
  EXPECT_EQ(told[0]["model"], "small");
}

TEST(AlertScan, NamesEveryKindOfHolder) {
  const std::string budget = "budgets: [ { window: 1h, usd: 1, on_exceed: economy } ]";
  World world("", ", " + budget, "", ", " + budget);
  for (int i = 0; i < 3; ++i) world.ask(kUsd / 2);
  const auto told = world.look();
  ASSERT_EQ(states_of(told), "open open");
  EXPECT_EQ(told[0]["limit"], "scenario.budget");
  EXPECT_EQ(told[0]["scenario"], "chat");
  EXPECT_FALSE(told[0].contains("tenant"));
  EXPECT_EQ(told[1]["limit"], "key.budget");
  EXPECT_EQ(told[1]["key"], "k1");
  EXPECT_EQ(told[1]["tenant"], "t1");

  std::string text = tests::guarded_text("", "", "", "");
  text.replace(text.find("candidate:"), 0, "shadow: { percent: 5, budget_usd: 1 }, ");
  World copies(tests::compiled(text));
  const BudgetGuard& shadow = copies.table.guards->shadow(FlagIndex{0})->budgets[0];
  reserve(*shadow.line, shadow.spec, kUsd, copies.time());
  reserve(*shadow.line, shadow.spec, kUsd, copies.time());
  const auto copied = copies.look();
  ASSERT_EQ(states_of(copied), "open");
  EXPECT_EQ(copied[0]["limit"], "shadow.budget");
  EXPECT_EQ(copied[0]["flag"], "f");
  EXPECT_EQ(copied[0]["scenario"], "chat");
}

TEST(AlertScan, ARuleThatLeavesTheTableIsClosed) {
  World world(std::string(kEconomyThenKill), "", "", "");
  for (int i = 0; i < 3; ++i) world.ask(kUsd / 2);
  EXPECT_EQ(world.states(), "open");
  std::string other(kEconomyThenKill);
  other.replace(other.find("economy"), 7, "cached");
  world.use(tests::compiled(tests::guarded_text(other, "", "", "")));
  EXPECT_EQ(world.states(), "closed") << "another action";
  world.use(tests::unguarded_table());
  EXPECT_EQ(world.states(), "");
}

// Indices mean something else in the next table.
TEST(AlertScan, HoldersAreToldApartByTheirNames) {
  const std::string text =
      tests::guarded_text("", "", ", budgets: [ { window: 1h, usd: 1, on_exceed: economy } ]", "");
  World world(tests::compiled(text));
  for (int i = 0; i < 3; ++i) world.ask(kUsd / 2);
  EXPECT_EQ(world.states(), "open");
  std::string renamed = text;
  for (size_t at = 0; (at = renamed.find("t1", at)) != std::string::npos;) renamed.replace(at, 2, "s9");
  world.use(tests::compiled(renamed));
  for (int i = 0; i < 3; ++i) world.ask(kUsd / 2);
  const auto told = world.look();
  ASSERT_EQ(states_of(told), "open closed");
  EXPECT_EQ(told[0]["tenant"], "s9");
  EXPECT_EQ(told[1]["tenant"], "t1");
}

TEST(AlertScan, NamesANodeThatTurnsRequestsAway) {
  World world;
  world.turned_away = 3;
  const auto told = world.look();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0]["type"], "overload");
  EXPECT_EQ(told[0]["severity"], "page");
  EXPECT_EQ(told[0]["requests"], 3);
  EXPECT_EQ(world.look().size(), 0u);
}

TEST(AlertScan, WhatFindsNoRoomIsToldByALaterLook) {
  World world(
      "", "",
      ", limits: { rpm: 2, on_exceed: cached }, budgets: [ { window: 1h, usd: 1, on_exceed: economy } ]", "");
  for (uint32_t i = 0; i < core::limits::kMaxAlertThings; ++i) {
    const AlertThing thing{.key = "x" + std::to_string(i), .about = {{"type", "x"}}};
    ASSERT_TRUE(world.book.event(
        thing, {}, [] { return AlertBook::Json::object(); }, world.time()));
    tests::take_all(world.queue);
  }
  for (int i = 0; i < 3; ++i) world.ask(kUsd / 2);
  EXPECT_EQ(world.states(), "") << "no room to remember them";
  world.now_ns += AlertBook::kQuietNs;
  EXPECT_EQ(world.states(), "");
  EXPECT_EQ(world.states(), "open open closed") << "a budget that is open, and a limit that has closed since";
}

TEST(AlertScan, ManyRulesAreLookedAtInSlices) {
  std::string text = tests::guarded_text("", "", "", "");
  std::string tenants = "tenants:\n";
  for (int i = 0; i < 9000; ++i) {
    tenants += "  x" + std::to_string(i) + ": { budgets: [ { window: 1h, usd: 1, on_exceed: economy } ] }\n";
  }
  text.replace(text.find("tenants:\n"), std::string_view("tenants:\n").size(), tenants);
  World world(tests::compiled(text));
  for (const char* name : {"x0", "x8999"}) {
    const BudgetGuard& budget = world.table.guards->of(*world.table.tenants->find(name))->budgets[0];
    for (int i = 0; i < 2; ++i) reserve(*budget.line, budget.spec, kUsd, world.time());
  }
  EXPECT_EQ(world.states(), "open open");
  EXPECT_GE(world.slices, 2);
  EXPECT_FALSE(world.scan.look(world.table, 0, world.time()));
  const auto plan = tests::compiled(text).bind(world.arena);
  world.table.guards = plan;
  EXPECT_EQ(world.states(), "") << "another table in the midst of a pass closes nothing";
}

}  // namespace
}  // namespace weir::routing::alert_scan_test
