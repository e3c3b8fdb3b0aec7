#include "routing/guard/admission.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <random>
#include <thread>

#include "tests/routing/guard/guard_fixture.h"

namespace weir::routing {
namespace {

using Kind = Verdict::Kind;

constexpr int64_t kUsd = 1'000'000'000;
constexpr core::SipKey kSecret{.low = 1, .high = 2};

GuardTime time_at(uint64_t now_ns) {
  return CalendarReader().at(now_ns, {.offset_ns = 1'790'000'000'000'000'000, .epoch = 1});
}
const GuardTime kNow = time_at(1'000'000'000'000);

struct World {
  explicit World(tests::GuardedTable guarded) : table(std::move(guarded)), plan(table.bind(arena)) {}

  AdmitRequest request(uint64_t tokens = 10, int64_t worst = 1, std::string_view user = "u") const {
    return {.plan = plan.get(),
            .tenant = TenantIndex{0},
            .key = KeyIndex{0},
            .scenario = ScenarioIndex{0},
            .user_tag = users.tag_of("t1", user, {}),
            .tokens = tokens,
            .worst_nano_usd = worst};
  }

  std::shared_ptr<GuardArena> arena = std::make_shared<GuardArena>(64);
  UserGuards users{1 << 20, kSecret};
  tests::GuardedTable table;
  std::shared_ptr<const GuardPlan> plan;
};

World world_of(const std::string& tenant) {
  return World(tests::compiled(tests::guarded_text("", "", tenant, "")));
}

TEST(Admission, NamesTheLimitThatRefusesAndWhenToComeBack) {
  World world(tests::compiled(tests::guarded_text("", "", ", limits: { rpm: 2 }", "")));
  std::array<GuardHold, 3> holds;
  EXPECT_EQ(holds[0].admit(world.request(), world.users, kNow).kind, Kind::admitted);
  EXPECT_EQ(holds[1].admit(world.request(), world.users, kNow).kind, Kind::admitted);
  const Verdict refused = holds[2].admit(world.request(), world.users, kNow);
  EXPECT_EQ(refused.kind, Kind::refused);
  EXPECT_STREQ(limit_token(refused.scope, refused.limit), "tenant.rpm");
  EXPECT_EQ(refused.retry_after_ns, 30'000'000'000u);
  EXPECT_FALSE(holds[2].holds());
  for (GuardHold& hold : holds) hold.settle(0, 0, world.users, kNow);
}

TEST(Admission, ARefusalLeavesTheOtherLimitsAsTheyWere) {
  World world(tests::compiled(tests::guarded_text(
      "limits: { rpm: 100 }\n", "", ", limits: { tpm: 50, concurrency: 7 }", ", limits: { rpm: 1 }")));
  GuardHold first, second;
  EXPECT_EQ(first.admit(world.request(10), world.users, kNow).kind, Kind::admitted);
  const auto words = [&] {
    std::vector<uint64_t> all;
    for (const ScopeGuard& guard : world.plan->scopes()) {
      if (guard.line == nullptr) continue;
      for (const auto& rate : guard.line->rates) all.push_back(rate.load());
      all.push_back(guard.line->in_flight.load());
    }
    return all;
  };
  const auto before = words();
  const Verdict refused = second.admit(world.request(10), world.users, kNow);
  EXPECT_STREQ(limit_token(refused.scope, refused.limit), "key.rpm");
  EXPECT_EQ(words(), before);
  first.settle(10, 0, world.users, kNow);
}

// A fixed text needs none.
TEST(Admission, ARequestOfNoTokensIsAdmittedWhateverIsOwed) {
  World world = world_of(", limits: { tpm: 100 }");
  GuardHold hold;
  ASSERT_EQ(hold.admit(world.request(10), world.users, kNow).kind, Kind::admitted);
  hold.settle(1000, 0, world.users, kNow);
  EXPECT_EQ(hold.admit(world.request(1), world.users, kNow).kind, Kind::refused);
  EXPECT_EQ(hold.admit(world.request(0), world.users, kNow).kind, Kind::admitted);
  hold.settle(0, 0, world.users, kNow);
}

// A clock that others move on, and what happens on another shard while it is read.
struct TestClock {
  static inline uint64_t now_ns = 0;
  static inline std::function<void()> meanwhile;

  static uint64_t read() {
    if (meanwhile) std::exchange(meanwhile, nullptr)();
    return now_ns;
  }
  static GuardTime at(uint64_t now_ns) {
    GuardTime time = time_at(now_ns);
    time.clock = read;
    return time;
  }
};

// Another shard is admitted by what time has refilled, while this one refuses and gives back by an older time.
TEST(Admission, ARefusalGivesBackOnlyWhatTimeHasNotRefilled) {
  World world(
      tests::compiled(tests::guarded_text("", "", ", limits: { rps: 1 }, user_limits: { rpd: 1 }", "")));
  const uint64_t later_ns = kNow.now_ns + 1'000'000'000;
  GuardHold hold, other;
  ASSERT_EQ(hold.admit(world.request(1, 1, "anna"), world.users, time_at(kNow.now_ns - 1'000'000'000)).kind,
            Kind::admitted);
  hold.settle(1, 0, world.users, kNow);
  TestClock::now_ns = later_ns;
  bool asked = false;
  TestClock::meanwhile = [&] {
    asked = true;
    EXPECT_EQ(other.admit(world.request(1, 1, "bert"), world.users, time_at(later_ns)).kind, Kind::admitted);
    other.settle(1, 0, world.users, time_at(later_ns));
  };
  const Verdict refused = hold.admit(world.request(1, 1, "anna"), world.users, TestClock::at(kNow.now_ns));
  EXPECT_STREQ(limit_token(refused.scope, refused.limit), "user.rpd");
  EXPECT_TRUE(asked);
  EXPECT_EQ(hold.admit(world.request(1, 1, "carl"), world.users, time_at(later_ns)).kind, Kind::refused)
      << "the second one in the same second";
}

TEST(Admission, TokensThatWereNotUsedGoBackByTheClock) {
  World world = world_of(", limits: { tpm: 60 }");
  const uint64_t later_ns = kNow.now_ns + 60'000'000'000;
  TestClock::now_ns = kNow.now_ns;
  GuardHold hold, other;
  ASSERT_EQ(hold.admit(world.request(60), world.users, TestClock::at(kNow.now_ns)).kind, Kind::admitted);
  TestClock::now_ns = later_ns;
  ASSERT_EQ(other.admit(world.request(60), world.users, time_at(later_ns)).kind, Kind::admitted);
  hold.settle(0, 0, world.users, TestClock::at(kNow.now_ns));
  EXPECT_EQ(hold.admit(world.request(1), world.users, time_at(later_ns)).kind, Kind::refused);
  other.settle(60, 0, world.users, time_at(later_ns));
}

// Four shards whose times lag by up to a turn. While there is room three of four requests are refused by their user's
// limit, after the tenant's was charged.
TEST(Admission, ShardsAdmitExactlyTheLimitThoughMostOfWhatTheyChargeGoesBack) {
  constexpr int kShards = 4, kClients = 1000;
  for (const uint64_t limit : {1u, 7u, 500u}) {
    World world(tests::compiled(tests::guarded_text(
        "", "", ", limits: { rpd: " + std::to_string(limit) + " }, user_limits: { rpd: 1 }", "")));
    static std::atomic<uint64_t> clock_ns;
    clock_ns = kNow.now_ns;
    std::atomic<uint64_t> admitted{0};
    std::vector<std::thread> shards;
    for (int shard = 0; shard < kShards; ++shard) {
      shards.emplace_back([&] {
        GuardTime now = kNow;
        now.clock = [] { return clock_ns.load(); };
        GuardHold hold;
        for (int i = 0; i < kClients; ++i) {
          if (i % 16 == 0) now.now_ns = clock_ns.fetch_add(1000);
          const Verdict verdict = hold.admit(world.request(1, 1, "u" + std::to_string(i)), world.users, now);
          admitted += verdict.kind == Kind::admitted;
          hold.settle(1, 0, world.users, now);
        }
      });
    }
    for (std::thread& shard : shards) shard.join();
    EXPECT_EQ(admitted.load(), limit);
  }
}

TEST(Admission, AsksForMoreTokensThanALimitEverAdmits) {
  World world = world_of(", limits: { tpm: 50 }");
  GuardHold hold;
  EXPECT_EQ(hold.admit(world.request(51), world.users, kNow).kind, Kind::never);
  EXPECT_EQ(hold.admit(world.request(50), world.users, kNow).kind, Kind::admitted);
  hold.settle(10, 0, world.users, kNow);
  EXPECT_EQ(hold.admit(world.request(41), world.users, kNow).kind, Kind::refused) << "10 of the 50 were used";
  EXPECT_EQ(hold.admit(world.request(40), world.users, kNow).kind, Kind::admitted);
  hold.settle(40, 0, world.users, kNow);
}

TEST(Admission, CountsRequestsAtTheSameTime) {
  World world = world_of(", limits: { concurrency: 2 }, user_limits: { concurrency: 1 }");
  GuardHold a, b, c;
  EXPECT_EQ(a.admit(world.request(1, 1, "anna"), world.users, kNow).kind, Kind::admitted);
  const Verdict twice = b.admit(world.request(1, 1, "anna"), world.users, kNow);
  EXPECT_STREQ(limit_token(twice.scope, twice.limit), "user.concurrency");
  EXPECT_EQ(b.admit(world.request(1, 1, "bert"), world.users, kNow).kind, Kind::admitted);
  const Verdict third = c.admit(world.request(1, 1, "carl"), world.users, kNow);
  EXPECT_STREQ(limit_token(third.scope, third.limit), "tenant.concurrency");
  a.settle(1, 0, world.users, kNow);
  EXPECT_EQ(c.admit(world.request(1, 1, "carl"), world.users, kNow).kind, Kind::admitted);
  b.settle(1, 0, world.users, kNow);
  c.settle(1, 0, world.users, kNow);
}

TEST(Admission, TellsUsersOfDifferentTenantsApart) {
  World world(tests::compiled(R"(
providers: { p: { dialect: openai, base_url: "http://127.0.0.1:1/v1" } }
models: { m: { provider: p, price: { input: 1, output: 1 } } }
units: { u: { model: m } }
scenarios: { chat: { stable: u } }
tenants: { t1: { user_limits: { rpm: 1 } }, t2: { user_limits: { rpm: 1 } } }
keys: [ { id: k, tenant: t1, hash: "hmac-sha256:)" +
                              std::string(64, 'a') + R"(" } ]
)"));
  GuardHold hold;
  AdmitRequest request = world.request();
  EXPECT_EQ(hold.admit(request, world.users, kNow).kind, Kind::admitted);
  hold.settle(1, 0, world.users, kNow);
  EXPECT_EQ(hold.admit(request, world.users, kNow).kind, Kind::refused);
  request.tenant = TenantIndex{1};
  request.user_tag = world.users.tag_of("t2", "u", {});
  EXPECT_EQ(hold.admit(request, world.users, kNow).kind, Kind::admitted);
  hold.settle(1, 0, world.users, kNow);
  for (const char* key : {"k", "l", "u"}) {
    request.user_tag = world.users.tag_of("t2", "", key);
    EXPECT_EQ(hold.admit(request, world.users, kNow).kind, Kind::admitted) << "who names nobody is the key's";
    hold.settle(1, 0, world.users, kNow);
    EXPECT_EQ(hold.admit(request, world.users, kNow).kind, Kind::refused) << key;
  }
}

// Hours and months have numbers that say nothing about each other.
TEST(Admission, AnHourThatIsOverGoesBeforeAMonthThatIsNot) {
  World world = world_of(", user_budgets: [ { window: 1h, usd: 5 }, { window: month, usd: 5 } ]");
  UserGuards users{2 * 9 * core::kCacheLineBytes, kSecret};  // one set: four users' two lines
  const auto spends = [&](const std::string& user, int64_t cost, const GuardTime& now) {
    GuardHold hold;
    const Verdict verdict = hold.admit(world.request(1, cost, user), users, now);
    hold.settle(1, cost, users, now);
    return verdict.kind == Kind::admitted;
  };
  for (const char* user : {"anna", "bert", "carl", "dora"}) EXPECT_TRUE(spends(user, 4 * kUsd, kNow)) << user;
  EXPECT_FALSE(spends("anna", 2 * kUsd, kNow));
  const GuardTime later = time_at(kNow.now_ns + 3'600'000'000'000);
  ASSERT_LT(later.wall_ns + 3'600'000'000'000, kNow.month_end_ns);
  for (const char* user : {"emil", "fina"}) EXPECT_TRUE(spends(user, 4 * kUsd, later)) << user;
  EXPECT_EQ(users.budgets.evictions(), 0u);
  const GuardTime last = time_at(later.now_ns + 3'600'000'000'000);
  for (const char* user : {"anna", "bert", "carl", "dora", "emil", "fina"}) {
    EXPECT_FALSE(spends(user, 2 * kUsd, last)) << "the month of " << user;
  }
  EXPECT_EQ(users.budgets.evictions(), 0u);
}

TEST(Admission, WhatAUserHasSpentStaysWithItsWindowWhenATableAddsOthers) {
  const World before = world_of(", user_budgets: [ { window: 1d, usd: 5 } ]");
  const World after = world_of(", user_budgets: [ { window: 1h, usd: 100 }, { window: 1d, usd: 5 } ]");
  UserGuards users{1 << 20, kSecret};
  const auto spends = [&](const World& world, int64_t cost) {
    GuardHold hold;
    const Verdict verdict = hold.admit(world.request(1, cost), users, kNow);
    hold.settle(1, cost, users, kNow);
    return verdict.kind == Kind::admitted;
  };
  EXPECT_TRUE(spends(before, 4 * kUsd));
  EXPECT_FALSE(spends(after, 2 * kUsd)) << "the day was forgotten";
  EXPECT_TRUE(spends(after, kUsd));
}

TEST(Admission, AUserWhoseLineIsGivenAwayIsCounted) {
  World world = world_of(", user_budgets: [ { window: 1d, usd: 5 }, { window: month, usd: 5 } ]");
  UserGuards users{2 * 9 * core::kCacheLineBytes, kSecret};
  for (int i = 0; i < 6; ++i) {
    GuardHold hold;
    EXPECT_EQ(hold.admit(world.request(1, kUsd, "u" + std::to_string(i)), users, kNow).kind, Kind::admitted);
    hold.settle(1, kUsd, users, kNow);
  }
  EXPECT_EQ(users.budgets.evictions(), 4u) << "12 lines in 8 places";
}

TEST(Admission, OfSeveralBudgetsTheStrongestActionAnswers) {
  World world = world_of(
      ", budgets: [ { window: 1h, usd: 1, on_exceed: economy }, { window: 1h, usd: 2, on_exceed: cached }, "
      "{ window: 1d, usd: 3 } ]");
  GuardHold hold;
  const auto verdict_for = [&](int64_t worst) {
    const Verdict verdict = hold.admit(world.request(1, worst), world.users, kNow);
    hold.settle(1, 0, world.users, kNow);
    return verdict;
  };
  EXPECT_EQ(verdict_for(kUsd).kind, Kind::admitted);
  EXPECT_EQ(verdict_for(kUsd + 1).action, BudgetAction::economy);
  EXPECT_EQ(verdict_for(2 * kUsd + 1).action, BudgetAction::cached);
  const Verdict rejected = verdict_for(3 * kUsd + 1);
  EXPECT_EQ(rejected.kind, Kind::acts);
  EXPECT_EQ(rejected.action, BudgetAction::reject);
  EXPECT_STREQ(limit_token(rejected.scope, rejected.limit), "tenant.budget");
  for (const BudgetGuard& budget : world.plan->of(TenantIndex{0})->budgets) {
    EXPECT_EQ(view(*budget.line, budget.spec, kNow).reserved, 0);
  }
}

TEST(Admission, PastALimitWithASoftActionTheActionAnswersUntilAFifthIsFreeAgain) {
  World world = world_of(", user_limits: { rph: 100, on_exceed: economy }");
  GuardHold hold;
  const auto verdict_at = [&](uint64_t seconds) {
    const Verdict verdict =
        hold.admit(world.request(), world.users, time_at(1'000'000'000'000 + seconds * 1'000'000'000));
    EXPECT_TRUE(hold.holds()) << "a soft action goes on";
    hold.settle(1, 0, world.users, kNow);
    return verdict;
  };
  for (int i = 0; i < 100; ++i) EXPECT_EQ(verdict_at(0).kind, Kind::admitted);
  const Verdict over = verdict_at(0);
  EXPECT_EQ(over.kind, Kind::acts);
  EXPECT_EQ(over.action, BudgetAction::economy);
  EXPECT_STREQ(limit_token(over.scope, over.limit), "user.rph");
  EXPECT_EQ(over.retry_after_ns, 36'000'000'000u);
  EXPECT_EQ(verdict_at(40).kind, Kind::acts) << "one has become free, not a fifth";
  const Verdict waits = verdict_at(700);
  EXPECT_EQ(waits.kind, Kind::acts);
  EXPECT_EQ(waits.retry_after_ns, 20'000'000'000u);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(verdict_at(720).kind, Kind::admitted) << i;
  EXPECT_EQ(verdict_at(720).kind, Kind::acts);
}

TEST(Admission, ASoftLimitTakesNothingFromTheOthersThatSayNo) {
  World world = world_of(", limits: { rpm: 1, tpm: 30, on_exceed: static }, user_limits: { rpm: 2 }");
  GuardHold hold;
  const auto ask = [&] {
    const Verdict verdict = hold.admit(world.request(10), world.users, kNow);
    hold.settle(10, 0, world.users, kNow);
    return verdict;
  };
  EXPECT_EQ(ask().kind, Kind::admitted);
  EXPECT_EQ(ask().action, BudgetAction::static_text);
  EXPECT_STREQ(limit_token(GuardScope::user, ask().limit), "user.rpm") << "a hard limit refuses all the same";
  EXPECT_FALSE(hold.holds());
  const LimitLine& line = *world.plan->of(TenantIndex{0})->line;
  const RateSpec& tokens = world.plan->of(TenantIndex{0})->limits.rates[4];
  EXPECT_EQ(view(line.rates[4], tokens, kNow.now_ns).remaining, 10u) << "what the refused one took is back";
}

TEST(Admission, WarnsOfALimitThatFillsUp) {
  World world = world_of(", limits: { rpm: 10, warn_at: 80 }");
  GuardHold hold;
  const auto warning = [&] {
    EXPECT_EQ(hold.admit(world.request(), world.users, kNow).kind, Kind::admitted);
    const char* warned = hold.warns(kNow);
    hold.settle(1, 0, world.users, kNow);
    return warned;
  };
  for (int i = 0; i < 7; ++i) EXPECT_EQ(warning(), nullptr) << i;
  EXPECT_STREQ(warning(), "tenant.rpm");
}

TEST(Admission, AHopThatCostsMoreMustFit) {
  World world = world_of(", budgets: [ { window: 1h, usd: 5 }, { window: 1d, usd: 10 } ]");
  GuardHold hold;
  EXPECT_EQ(hold.admit(world.request(1, 2 * kUsd), world.users, kNow).kind, Kind::admitted);
  EXPECT_FALSE(hold.change_worst(6 * kUsd, GuardHold::Asks::unit, kNow));
  EXPECT_EQ(hold.worst_nano_usd(), 2 * kUsd);
  EXPECT_TRUE(hold.change_worst(5 * kUsd, GuardHold::Asks::unit, kNow));
  hold.settle(1, 4 * kUsd, world.users, kNow);
  for (const BudgetGuard& budget : world.plan->of(TenantIndex{0})->budgets) {
    EXPECT_EQ(view(*budget.line, budget.spec, kNow).spent, 4 * kUsd);
    EXPECT_EQ(view(*budget.line, budget.spec, kNow).reserved, 0);
  }
}

TEST(Admission, SaysWhatRemainsOfTheTightestLimit) {
  World world(tests::compiled(tests::guarded_text(
      "limits: { rpm: 100 }\n", "", ", limits: { rpm: 10, tpm: 1000 }", ", limits: { rpd: 5 }")));
  GuardHold hold;
  hold.admit(world.request(400), world.users, kNow);
  RateFacts requests, tokens;
  hold.rate_facts(kNow, requests, tokens);
  EXPECT_EQ(requests.limit, 5u);
  EXPECT_EQ(requests.remaining, 4u);
  EXPECT_EQ(tokens.limit, 1000u);
  EXPECT_EQ(tokens.remaining, 600u);
  EXPECT_EQ(tokens.reset_ns, 24'000'000'000u);
  hold.settle(1, 0, world.users, kNow);
}

TEST(Admission, ConcurrentRequestsGetExactlyTheWorstCasesThatFit) {
  World world = world_of(", budgets: [ { window: 1d, usd: 10 } ]");
  std::atomic<int> admitted{0};
  std::vector<std::thread> shards;
  for (int shard = 0; shard < 4; ++shard) {
    shards.emplace_back([&] {
      std::vector<std::unique_ptr<GuardHold>> holds;
      for (int i = 0; i < 250; ++i) {
        holds.push_back(std::make_unique<GuardHold>());
        admitted += holds.back()->admit(world.request(1, kUsd), world.users, kNow).kind == Kind::admitted;
      }
      for (auto& hold : holds) hold->settle(1, kUsd, world.users, kNow);
    });
  }
  for (std::thread& shard : shards) shard.join();
  const BudgetGuard& budget = world.plan->of(TenantIndex{0})->budgets[0];
  EXPECT_LE(view(*budget.line, budget.spec, kNow).spent, 10 * kUsd);
  EXPECT_EQ(admitted.load(), 10);
}

// A million exchanges on two shards: refused, failed, retried on another unit, disconnected, cheap and dear.
// In the end nothing is reserved or counted as open anywhere, and every budget has spent what the records
// say.
TEST(Admission, ReservationsReturnToNothingAndSpendIsTheSumOfRecords) {
  World world(tests::guarded_table());
  constexpr int kShards = 2, kExchanges = 500'000;
  struct Records {
    int64_t tenant = 0;
    std::map<std::string, int64_t> users;
    uint64_t admitted = 0;
  };
  std::vector<Records> records(kShards);
  std::vector<std::thread> shards;
  for (int shard = 0; shard < kShards; ++shard) {
    shards.emplace_back([&, shard] {
      std::mt19937_64 random(static_cast<uint64_t>(shard) + 11);
      Records& mine = records[static_cast<size_t>(shard)];
      struct Open {
        GuardHold hold;
        std::string user;
      };
      std::vector<std::unique_ptr<Open>> open, pool;
      uint64_t now_ns = kNow.now_ns;
      GuardTime now = kNow;
      const auto end_one = [&] {
        std::swap(open[random() % open.size()], open.back());
        Open& one = *open.back();
        if (random() % 8 == 0) {
          const auto asks = random() % 2 == 0 ? GuardHold::Asks::unit : GuardHold::Asks::economy_unit;
          one.hold.change_worst(static_cast<int64_t>(random() % 2'000'000), asks, now);
        }
        const int64_t worst = one.hold.worst_nano_usd();
        const int64_t cost =
            random() % 4 == 0 ? 0 : static_cast<int64_t>(random() % static_cast<uint64_t>(worst + 1));
        one.hold.settle(random() % 2000, cost, world.users, now);
        mine.tenant += cost;
        mine.users[one.user] += cost;
        pool.push_back(std::move(open.back()));
        open.pop_back();
      };
      for (int i = 0; i < kExchanges; ++i) {
        now_ns += random() % 100'000'000;
        now.now_ns = now_ns;
        now.wall_ns = kNow.wall_ns + static_cast<int64_t>(now_ns - kNow.now_ns);
        if (pool.empty()) pool.push_back(std::make_unique<Open>());
        Open& one = *pool.back();
        one.user = "u" + std::to_string(random() % 50);
        const Verdict verdict = one.hold.admit(
            world.request(random() % 1000, static_cast<int64_t>(random() % 1'000'000), one.user), world.users,
            now);
        mine.admitted += verdict.kind == Kind::admitted;
        if (one.hold.holds()) {
          open.push_back(std::move(pool.back()));
          pool.pop_back();
        }
        while (open.size() > random() % 100) end_one();
      }
      while (!open.empty()) end_one();
    });
  }
  for (std::thread& shard : shards) shard.join();
  EXPECT_GT(records[0].admitted + records[1].admitted, 500'000u);
  const int64_t total = records[0].tenant + records[1].tenant;
  for (const ScopeGuard& guard : world.plan->scopes()) {
    if (guard.line != nullptr && guard.scope != GuardScope::pilot) {
      EXPECT_EQ(guard.line->in_flight.load(), 0u);
    }
    if (guard.scope == GuardScope::user) continue;
    for (const BudgetGuard& budget : guard.budgets) {
      EXPECT_EQ(budget.line->committed.load(), budget.line->spent.load()) << token(guard.scope);
      EXPECT_EQ(budget.line->spent.load(), total) << token(guard.scope);
    }
  }
}

}  // namespace
}  // namespace weir::routing
