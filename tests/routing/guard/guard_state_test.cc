#include "routing/guard/guard_state.h"

#include <gtest/gtest.h>

#include "routing/guard/admission.h"
#include "tests/routing/guard/guard_fixture.h"

namespace weir::routing::guard_state_test {
namespace {

constexpr int64_t kUsd = 1'000'000'000;
constexpr int64_t kDayNs = 86'400'000'000'000;
constexpr core::SipKey kSecret{.low = 1, .high = 2};

struct World {
  explicit World(core::SipKey secret = kSecret, size_t user_bytes = 1 << 20) : users(user_bytes, secret) {
    const tests::GuardedTable compiled = tests::guarded_table();
    table.body = compiled.body;
    table.tenants = compiled.tenants;
    table.guards = compiled.bind(std::make_shared<GuardArena>(64));
  }
  Table table;
  UserGuards users;
  GuardTime now = CalendarReader().at(1'000'000'000'000, {.offset_ns = 1'796'125'400'000'000'000, .epoch = 1});

  void pass(int64_t ns) {
    now = CalendarReader().at(now.now_ns + static_cast<uint64_t>(ns),
                              {.offset_ns = now.wall_ns - static_cast<int64_t>(now.now_ns), .epoch = 1});
  }

  const BudgetGuard& budget(size_t index) const { return table.guards->of(TenantIndex{0})->budgets[index]; }
  BudgetView view_of(size_t index) const { return view(*budget(index).line, budget(index).spec, now); }
  void spend(size_t index, int64_t worst, int64_t actual) const {
    reserve(*budget(index).line, budget(index).spec, worst, now);
    settle(*budget(index).line, budget(index).spec, worst, actual);
  }
};

TEST(GuardState, SurvivesAProcessWithReservationsAsSpend) {
  World before;
  before.spend(0, 5 * kUsd, 3 * kUsd);
  before.spend(1, 7 * kUsd, 7 * kUsd);
  reserve(*before.budget(0).line, before.budget(0).spec, 2 * kUsd, before.now);
  const std::string text = save_guards(before.table, before.users, before.now);

  World after;
  EXPECT_EQ(restore_guards(after.table, after.users, text, after.now), 2u);
  EXPECT_EQ(after.view_of(0).spent, 5 * kUsd);
  EXPECT_EQ(after.view_of(0).reserved, 0);
  EXPECT_EQ(after.view_of(1).spent, 7 * kUsd);
}

TEST(GuardState, ReadsTheSameASecondLaterThoughClocksDrift) {
  UserGuards nobody(1 << 16, kSecret);
  const tests::GuardedTable compiled =
      tests::compiled(tests::guarded_text("", "", ", limits: { rpd: 1000 }", ""));
  Table table;
  table.body = compiled.body;
  table.tenants = compiled.tenants;
  table.guards = compiled.bind(std::make_shared<GuardArena>(64));
  const ScopeGuard& tenant = *table.guards->of(TenantIndex{0});
  GuardTime now = World().now;
  now.wall_ns += 300'000'000;
  constexpr auto kDay = static_cast<size_t>(RateKind::day);
  take(tenant.line->rates[kDay], tenant.limits.rates[kDay], 600, now.now_ns);
  const std::string text = save_guards(table, nobody, now);
  EXPECT_NE(text.find("rate tenant t1 day "), std::string::npos) << text;
  for (const int64_t drift_ns : {100'000, -100'000}) {
    now.now_ns += 1'000'000'000;
    now.wall_ns += 1'000'000'000 + drift_ns;
    EXPECT_EQ(save_guards(table, nobody, now), text);
  }
}

TEST(GuardState, AChangedActionFindsWhatWasSpentBeforeTheProcessEnded) {
  UserGuards nobody(1 << 16, kSecret);
  const auto make = [](const std::string& action) {
    const auto compiled = tests::compiled(tests::guarded_text(
        "", "", ", budgets: [ { window: 1h, usd: 10, on_exceed: " + action + " } ]", ""));
    Table table;
    table.body = compiled.body;
    table.tenants = compiled.tenants;
    table.guards = compiled.bind(std::make_shared<GuardArena>(64));
    return table;
  };
  const GuardTime now = World().now;
  const auto budget = [](const Table& table) { return table.guards->of(TenantIndex{0})->budgets[0]; };
  const Table before = make("kill"), same = make("kill"), after = make("reject");
  reserve(*budget(before).line, budget(before).spec, 10 * kUsd, now);
  EXPECT_EQ(reserve(*budget(before).line, budget(before).spec, 1, now), Fit::open);
  settle(*budget(before).line, budget(before).spec, 10 * kUsd, kUsd);
  const std::string text = save_guards(before, nobody, now);
  EXPECT_EQ(restore_guards(same, nobody, text, now), 1u);
  EXPECT_EQ(reserve(*budget(same).line, budget(same).spec, 1, now), Fit::open) << "still killed";
  EXPECT_EQ(restore_guards(after, nobody, text, now), 1u);
  EXPECT_EQ(view(*budget(after).line, budget(after).spec, now).spent, kUsd);
  EXPECT_EQ(reserve(*budget(after).line, budget(after).spec, 1, now), Fit::fits);
}

TEST(GuardState, DoesNotOverwriteWhatHasBeenCounted) {
  World world;
  world.spend(0, 5 * kUsd, 3 * kUsd);
  const std::string text = save_guards(world.table, world.users, world.now);
  world.spend(0, 5 * kUsd, 4 * kUsd);
  EXPECT_EQ(restore_guards(world.table, world.users, text, world.now), 0u);
  EXPECT_EQ(world.view_of(0).spent, 7 * kUsd);
}

// Every prefix, as a crash while writing would leave it, and bytes that mean nothing.
TEST(GuardState, ReadsWhateverStandsInTheFile) {
  World before;
  before.spend(0, 5 * kUsd, 3 * kUsd);
  before.spend(1, 7 * kUsd, 7 * kUsd);
  const std::string text = save_guards(before.table, before.users, before.now);
  for (size_t size = 0; size <= text.size(); ++size) {
    World after;
    const size_t found =
        restore_guards(after.table, after.users, text.substr(0, size), after.now).value_or(0);
    EXPECT_LE(found, 2u);
    EXPECT_TRUE(after.view_of(0).spent == 0 || after.view_of(0).spent == 3 * kUsd);
    EXPECT_TRUE(after.view_of(1).spent == 0 || after.view_of(1).spent == 7 * kUsd);
  }
  World after;
  for (const std::string line :
       {"budget tenant t1 0 0 1 -5 0 0\n", "budget tenant t1\n", "\n", "budget tenant t1 0 0 x 1 1 7\n",
        "budget tenant t1 0 0 1 1 1 open\n", "budget tenant gone 0 0 1 5 0 0\n",
        "budget a b c d e f g h i j\n", "total pilot t1/f -1\n", "rate\n", "budget\n", " \n"}) {
    EXPECT_EQ(restore_guards(after.table, after.users, "weir-guards 2\n" + line, after.now), 0u) << line;
  }
}

TEST(GuardState, RatesOfDaysAndTotalsOfPilotsSurviveToo) {
  UserGuards nobody(1 << 16, kSecret);
  const tests::GuardedTable compiled =
      tests::compiled(tests::guarded_text("", "", ", limits: { rpm: 100, rpd: 1000 }", ""));
  const auto make = [&] {
    Table table;
    table.body = compiled.body;
    table.tenants = compiled.tenants;
    table.guards = compiled.bind(std::make_shared<GuardArena>(64));
    return table;
  };
  const GuardTime now = World().now;
  const auto day_of = [](const Table& table) -> std::pair<LimitLine*, RateSpec> {
    const ScopeGuard& tenant = *table.guards->of(TenantIndex{0});
    return {tenant.line, tenant.limits.rates[static_cast<size_t>(RateKind::day)]};
  };
  constexpr auto kDay = static_cast<size_t>(RateKind::day);

  const Table before = make();
  const auto [line, spec] = day_of(before);
  take(line->rates[kDay], spec, 600, now.now_ns);
  const ScopeGuard& pilot = *before.guards->pilot(TenantIndex{0}, FlagIndex{0});
  PilotPlaces places;
  for (int i = 0; i < 2; ++i) places.take(pilot, 0, now);
  const std::string text = save_guards(before, nobody, now);

  // The machine was started anew: another monotonic clock, an hour later on the wall.
  GuardTime later = now;
  later.now_ns = 5'000'000'000;
  later.wall_ns += 3'600'000'000'000;
  const Table after = make();
  EXPECT_EQ(restore_guards(after, nobody, text, later), 2u);
  const auto [restored, same] = day_of(after);
  EXPECT_NEAR(static_cast<double>(view(restored->rates[kDay], same, later.now_ns).remaining),
              400 + 1000 / 24.0, 1.5);
  EXPECT_EQ(after.guards->pilot(TenantIndex{0}, FlagIndex{0})->line->total.load(), 2u);

  // Whatever a clock said when it was written, no limit is shut for longer than its period.
  GuardTime wrong = now;
  wrong.wall_ns -= 400LL * 24 * 3'600'000'000'000;
  const Table shut = make();
  restore_guards(shut, nobody, text, wrong);
  const auto [shut_line, shut_spec] = day_of(shut);
  EXPECT_LE(view(shut_line->rates[kDay], shut_spec, wrong.now_ns).reset_ns, 24 * 3'600'000'000'000u);
}

// A user of the tenant with user_limits and user_budgets: what it is still admitted for.
struct User {
  World& world;
  std::string name;

  bool spends(int64_t worst, int64_t cost) const {
    GuardHold hold;
    if (hold.admit(request(worst), world.users, world.now).kind != Verdict::Kind::admitted) return false;
    hold.settle(1, cost, world.users, world.now);
    return true;
  }
  AdmitRequest request(int64_t worst) const {
    return {.plan = world.table.guards.get(),
            .tenant = TenantIndex{0},
            .key = KeyIndex{0},
            .scenario = std::nullopt,
            .user_tag = world.users.tag_of("t1", name, {}),
            .tokens = 1,
            .worst_nano_usd = worst};
  }
  BudgetView money() const {
    const ScopeGuard& guard = *world.table.guards->user_of(TenantIndex{0});
    const UserLook look(guard, "t1", name, world.users);
    return look.budget(0) == nullptr ? BudgetView{} : view(*look.budget(0), guard.budgets[0].spec, world.now);
  }
  uint64_t requests_left(RateKind kind) const {
    const ScopeGuard& guard = *world.table.guards->user_of(TenantIndex{0});
    const UserLook look(guard, "t1", name, world.users);
    const RateSpec& spec = guard.limits.rates[static_cast<size_t>(kind)];
    if (look.limits() == nullptr) return spec.limit;
    return view(look.limits()->rates[static_cast<size_t>(kind)], spec, world.now.now_ns).remaining;
  }
};

TEST(GuardState, UsersSurviveAProcessWithReservationsAsSpend) {
  World before;
  const User anna{before, "anna"}, bert{before, "bert"};
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(anna.spends(300 * kUsd, 200 * kUsd));
  EXPECT_TRUE(bert.spends(kUsd, kUsd));
  GuardHold under_way;
  EXPECT_EQ(under_way.admit(anna.request(390 * kUsd), before.users, before.now).kind,
            Verdict::Kind::admitted);
  const uint64_t left = anna.requests_left(RateKind::day);
  const std::string text = save_guards(before.table, before.users, before.now);
  EXPECT_EQ(text.find("anna"), std::string::npos);
  under_way.settle(1, 0, before.users, before.now);

  World after;
  EXPECT_TRUE(restore_guards(after.table, after.users, text, after.now).has_value());
  const User again{after, "anna"};
  EXPECT_EQ(again.money().spent, 990 * kUsd);
  EXPECT_EQ(again.money().reserved, 0);
  EXPECT_LE(again.requests_left(RateKind::day), left);
  EXPECT_GE(again.requests_left(RateKind::day) + 1'000'000 / 86'400 + 1, left)
      << "more than a second is lost";
  EXPECT_EQ(again.requests_left(RateKind::minute), 1000u) << "minutes begin anew";
  EXPECT_FALSE(again.spends(11 * kUsd, 0));
  EXPECT_TRUE(again.spends(10 * kUsd, 10 * kUsd));
  EXPECT_EQ((User{after, "bert"}).money().spent, kUsd);
  EXPECT_EQ((User{after, "carl"}).money().spent, 0);

  // And another one, though nobody was seen meanwhile.
  const std::string same = save_guards(after.table, after.users, after.now);
  World third;
  restore_guards(third.table, third.users, same, third.now);
  EXPECT_EQ((User{third, "bert"}).money().spent, kUsd);
}

TEST(GuardState, UsersOfAnotherSecretAreNotFound) {
  World before;
  EXPECT_TRUE((User{before, "anna"}).spends(kUsd, kUsd));
  const std::string text = save_guards(before.table, before.users, before.now);
  World after({.low = 1, .high = 3});
  restore_guards(after.table, after.users, text, after.now);
  EXPECT_EQ((User{after, "anna"}).money().spent, 0);
}

TEST(GuardState, AUsersWindowThatIsOverIsNotWrittenAndNotRead) {
  World before, after;
  EXPECT_TRUE((User{before, "anna"}).spends(kUsd, kUsd));
  const std::string text = save_guards(before.table, before.users, before.now);
  ASSERT_NE(text.find("budget user "), std::string::npos) << text;
  before.pass(kDayNs);
  after.pass(kDayNs);
  EXPECT_EQ(save_guards(before.table, before.users, before.now).find(" user "), std::string::npos);
  restore_guards(after.table, after.users, text, after.now);
  EXPECT_EQ(save_guards(after.table, after.users, after.now).find(" user "), std::string::npos);
}

TEST(GuardState, WhatIsCountedAfterAStateCanBeAddedToWhoRestoredIt) {
  World before, after;
  const User anna{before, "anna"}, bert{before, "bert"};
  before.spend(0, 5 * kUsd, 3 * kUsd);
  EXPECT_TRUE(anna.spends(kUsd, kUsd));
  GuardHold of_anna, of_bert;
  EXPECT_TRUE(static_cast<bool>(of_anna.admit(anna.request(9 * kUsd), before.users, before.now).kind ==
                                Verdict::Kind::admitted));
  EXPECT_TRUE(of_bert.admit(bert.request(7 * kUsd), before.users, before.now).kind ==
              Verdict::Kind::admitted);
  PilotPlaces places;
  places.take(*before.table.guards->pilot(TenantIndex{0}, FlagIndex{0}), 0, before.now);
  const GuardTime then = before.now;
  const std::string state = save_guards(before.table, before.users, then);
  restore_guards(after.table, after.users, state, after.now);
  const User anna_there{after, "anna"}, bert_there{after, "bert"}, carl_there{after, "carl"};
  EXPECT_TRUE(anna_there.spends(kUsd, kUsd));

  before.now.now_ns += 20'000'000'000;
  before.now.wall_ns += 20'000'000'000;
  of_anna.settle(1, 2 * kUsd, before.users, before.now);
  of_bert.settle(1, 0, before.users, before.now);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE((User{before, "carl"}).spends(0, 0));
  EXPECT_TRUE((User{before, "carl"}).spends(4 * kUsd, 4 * kUsd));
  places.take(*before.table.guards->pilot(TenantIndex{0}, FlagIndex{0}), 0, before.now);
  before.spend(0, 5 * kUsd, kUsd);

  const std::string late =
      guards_since(state, save_guards(before.table, before.users, then, SavedRules::all), then, before.now);
  EXPECT_TRUE(add_guards(after.table, after.users, late, before.now).has_value());
  after.now = before.now;
  EXPECT_EQ(after.view_of(0).spent, before.view_of(0).spent + kUsd) << late;
  EXPECT_EQ(after.view_of(1).spent, before.view_of(1).spent + kUsd);
  EXPECT_EQ(anna_there.money().spent, 4 * kUsd);
  EXPECT_EQ(bert_there.money().spent, 0) << "its reservation was given back";
  EXPECT_EQ(carl_there.money().spent, 4 * kUsd);
  EXPECT_LE(carl_there.requests_left(RateKind::day), (User{before, "carl"}).requests_left(RateKind::day));
  EXPECT_EQ(after.table.guards->pilot(TenantIndex{0}, FlagIndex{0})->line->total.load(), 2u);
}

TEST(GuardState, WhatIsLateForAWindowThatIsOverIsNotAdded) {
  World before, after;
  GuardHold hold;
  EXPECT_EQ(hold.admit((User{before, "anna"}).request(9 * kUsd), before.users, before.now).kind,
            Verdict::Kind::admitted);
  const std::string state = save_guards(before.table, before.users, before.now);
  restore_guards(after.table, after.users, state, after.now);
  hold.settle(1, 5 * kUsd, before.users, before.now);
  const std::string late = guards_since(
      state, save_guards(before.table, before.users, before.now, SavedRules::all), before.now, before.now);
  after.pass(kDayNs);
  EXPECT_TRUE((User{after, "anna"}).spends(2 * kUsd, 2 * kUsd));
  EXPECT_TRUE(add_guards(after.table, after.users, late, after.now).has_value());
  EXPECT_EQ((User{after, "anna"}).money().spent, 2 * kUsd);
  EXPECT_EQ(after.view_of(0).spent, 2 * kUsd);
}

TEST(GuardState, WhatIsReservedWhenAWindowEndsSurvivesInTheNext) {
  World before;
  const User anna{before, "anna"}, bert{before, "bert"};
  EXPECT_TRUE(anna.spends(4 * kUsd, 4 * kUsd));
  EXPECT_TRUE(bert.spends(4 * kUsd, 4 * kUsd));
  GuardHold hold;
  ASSERT_EQ(hold.admit(anna.request(10 * kUsd), before.users, before.now).kind, Verdict::Kind::admitted);
  before.pass(kDayNs);  // and nobody asks
  const std::string text = save_guards(before.table, before.users, before.now);
  hold.settle(1, 0, before.users, before.now);
  World after;
  after.pass(kDayNs);
  EXPECT_TRUE(restore_guards(after.table, after.users, text, after.now).has_value());
  EXPECT_EQ((User{after, "anna"}).money().spent, 10 * kUsd) << text;
  EXPECT_EQ((User{after, "bert"}).money().spent, 0);
  EXPECT_EQ(after.view_of(0).spent, 10 * kUsd) << "of the hour";
  EXPECT_EQ(after.view_of(1).spent, 18 * kUsd) << "of the month";
}

TEST(GuardState, WhatIsSettledLateAfterAWindowEndedIsAddedToTheNext) {
  World before, after;
  const User anna{before, "anna"};
  EXPECT_TRUE((User{before, "carl"}).spends(kUsd, kUsd));
  before.pass(kDayNs);
  after.pass(kDayNs);
  EXPECT_TRUE(anna.spends(4 * kUsd, 4 * kUsd));
  GuardHold hold;
  ASSERT_EQ(hold.admit(anna.request(10 * kUsd), before.users, before.now).kind, Verdict::Kind::admitted);
  const GuardTime then = before.now;
  const std::string state = save_guards(before.table, before.users, then);
  restore_guards(after.table, after.users, state, after.now);
  before.pass(kDayNs);
  after.pass(kDayNs);
  hold.settle(1, 2 * kUsd, before.users, before.now);
  const std::string late =
      guards_since(state, save_guards(before.table, before.users, then, SavedRules::all), then, before.now);
  EXPECT_TRUE(add_guards(after.table, after.users, late, after.now).has_value());
  EXPECT_EQ((User{after, "anna"}).money().spent, 2 * kUsd) << late;
  EXPECT_EQ((User{after, "carl"}).money().spent, 0) << late;
  EXPECT_EQ(after.view_of(0).spent, 2 * kUsd) << "of the hour";
  EXPECT_EQ(after.view_of(1).spent, 7 * kUsd) << "of the month";
}

TEST(GuardState, WhatTheRestoredOneHasCountedIsNotTakenOffWhoSavedIt) {
  const BudgetState had{.window = 7, .spent = 10, .reserved = 3};
  const auto line = [](const BudgetState& state) {
    return "weir-guards 2\nbudget user 1f 1900000000000000000 " + std::to_string(state.window) + " " +
           std::to_string(state.spent) + " " + std::to_string(state.reserved) + " 0\n";
  };
  const auto since = [&](const BudgetState& has) {
    return guards_since(line(had), line(has), {}, {}, SavedBy::restored);
  };
  const std::string header = "weir-guards-late 1\n", user = "budget user 1f 1900000000000000000 ";
  EXPECT_EQ(since({.window = 7, .spent = 13}), header);
  EXPECT_EQ(since({.window = 7, .spent = 15, .reserved = 4}), header + user + "7 6\n");
  EXPECT_EQ(since({.window = 7, .spent = 2}), header) << "it had given way";
  EXPECT_EQ(since({.window = 8, .spent = 2}), header + user + "8 2\n");
  EXPECT_EQ(since({.window = 8, .spent = INT64_MAX, .reserved = INT64_MAX}),
            header + user + "8 " + std::to_string(kMaxBudget) + "\n");
}

TEST(GuardState, NothingIsTakenOffThatWasNotReserved) {
  const BudgetState had{.window = 7, .spent = 10, .reserved = 3}, has{.window = 7, .spent = 2, .reserved = 0};
  const auto line = [](const BudgetState& state) {
    return "weir-guards 2\nbudget user 1f 1900000000000000000 " + std::to_string(state.window) + " " +
           std::to_string(state.spent) + " " + std::to_string(state.reserved) + " 0\n";
  };
  EXPECT_EQ(guards_since(line(had), line(has), {}, {}),
            "weir-guards-late 1\nbudget user 1f 1900000000000000000 7 -3\n");
  EXPECT_EQ(guards_since(line(had), "weir-guards 2\n", {}, {}), "weir-guards-late 1\n") << "it gave way";
  World world;
  EXPECT_TRUE(add_guards(world.table, world.users, guards_since(line(had), line(has), {}, {}), world.now)
                  .has_value());
  BudgetLine* counted = world.users.budgets.find(0x1f);
  ASSERT_NE(counted, nullptr);
  EXPECT_EQ(counted->committed.load(), 0) << "there was nothing";
  world.users.budgets.release(*counted);
}

TEST(GuardState, ReadsWhateverIsCalledLate) {
  World world;
  EXPECT_FALSE(add_guards(world.table, world.users, "", world.now).has_value());
  EXPECT_FALSE(add_guards(world.table, world.users, "weir-guards 2\n", world.now).has_value());
  for (const std::string line :
       {"budget user 1f 1900000000000000000 7\n", "budget user 0 1900000000000000000 7 5\n",
        "budget tenant t1 7 5\n", "rate user 1f day -5\n", "rate user 1f minute 5\n", "total pilot x 5\n",
        "\n", "late\n"}) {
    EXPECT_EQ(add_guards(world.table, world.users, "weir-guards-late 1\n" + line, world.now), 0u) << line;
  }
  std::string state = save_guards(world.table, world.users, world.now);
  append_late_mark(state, {.id = 17});
  append_late_mark(state, {.id = 18, .added = true});
  EXPECT_EQ(late_marks(state + "late x awaited\nlate 19 gone\n"),
            (std::vector<LateMark>{{.id = 17}, {.id = 18, .added = true}}));
  EXPECT_EQ(restore_guards(world.table, world.users, state, world.now), 0u);
}

TEST(GuardState, UsersAreBoundedByTheirMemory) {
  World many, few(kSecret, size_t{2} * 9 * core::kCacheLineBytes);
  constexpr int kUsers = 100;
  for (int i = 0; i < kUsers; ++i) EXPECT_TRUE((User{many, "u" + std::to_string(i)}).spends(kUsd, kUsd));
  const auto users_of = [](const std::string& text, std::string_view kind) {
    size_t count = 0;
    for (size_t at = 0; (at = text.find(kind, at)) != std::string::npos; ++at) ++count;
    return count;
  };
  const std::string text = save_guards(many.table, many.users, many.now);
  EXPECT_EQ(users_of(text, "budget user "), static_cast<size_t>(kUsers));
  EXPECT_EQ(users_of(text, "rate user "), static_cast<size_t>(kUsers));
  restore_guards(few.table, few.users, text, few.now);
  const std::string less = save_guards(few.table, few.users, few.now);
  EXPECT_EQ(users_of(less, "budget user "), few.users.budgets.capacity());
  EXPECT_EQ(users_of(less, "rate user "), few.users.limits.capacity());
  EXPECT_EQ(few.users.budgets.evictions(), kUsers - few.users.budgets.capacity());
}

TEST(GuardState, ReadsWhateverStandsInTheFileOfUsers) {
  World before;
  EXPECT_TRUE((User{before, "anna"}).spends(3 * kUsd, 3 * kUsd));
  const std::string text = save_guards(before.table, before.users, before.now);
  for (size_t size = 0; size <= text.size(); ++size) {
    World after(kSecret, 1 << 12);
    restore_guards(after.table, after.users, text.substr(0, size), after.now);
    const int64_t spent = (User{after, "anna"}).money().spent;
    EXPECT_TRUE(spent == 0 || spent == 3 * kUsd) << spent;
  }
  World after;
  for (const std::string line :
       {"budget user 0 1900000000000000000 1 5 0 0\n", "budget user xyz 1900000000000000000 1 5 0 0\n",
        "budget user 1f 1 5 0 0\n", "budget user 1f 19 1 5 0 0\n",
        "budget user 1f 1900000000000000000 1 -5 0 0\n", "rate user 1f minute 1900000000000000000\n",
        "rate user -1 day 1900000000000000000\n", "rate user day 1900000000000000000\n",
        "rate user 1f day 5\n", "budget user 1ffffffffffffffff 1900000000000000000 1 5 0 0\n"}) {
    EXPECT_EQ(restore_guards(after.table, after.users, "weir-guards 2\n" + line, after.now), 0u) << line;
  }
  // No limit is shut for longer than its period, whatever the file says.
  EXPECT_EQ(restore_guards(after.table, after.users, "weir-guards 2\nrate user 1f day 1900000000000000000\n",
                           after.now),
            1u);
  LimitLine* line = after.users.limits.find(0x1f);
  ASSERT_NE(line, nullptr);
  EXPECT_EQ(line->busy_until(), (after.now.now_ns + 86'400'000'000'000) * kTicksPerNs);
  after.users.limits.release(*line);
}

}  // namespace
}  // namespace weir::routing::guard_state_test
