#include "routing/admin/alert.h"

#include <gtest/gtest.h>

#include <future>
#include <nlohmann/json.hpp>
#include <set>
#include <stop_token>
#include <thread>

#include "routing/admin/alert_queue.h"
#include "routing/admin/alert_sender.h"
#include "routing/admin/open_rule.h"
#include "routing/guard/admission.h"
#include "tests/net/net_fixture.h"
#include "tests/routing/guard/guard_fixture.h"

namespace weir::routing {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr int64_t kUsd = 1'000'000'000;

struct World {
  explicit World(const tests::GuardedTable& compiled = tests::guarded_table()) {
    table.body = compiled.body;
    table.tenants = compiled.tenants;
    table.guards = compiled.bind(arena);
    record.table = &table;
    record.tenant = record.key = record.scenario = 0;
    record.wall_ns = now.wall_ns;
  }
  // A limit has decided about a request.
  void decided_by(GuardScope scope, LimitKind kind, uint8_t rule = 0, bool open = true) {
    record.limit = limit_token(scope, kind);
    record.limit_rule = rule;
    record.limit_open = open;
  }
  nlohmann::json alert() const {
    const auto causes = alert_causes(record);
    return causes.empty() ? nlohmann::json() : nlohmann::json::parse(alert_body(causes[0], record, now));
  }
  std::string key() const {
    const auto causes = alert_causes(record);
    return causes.empty() ? std::string() : causes[0].key;
  }
  std::shared_ptr<GuardArena> arena = std::make_shared<GuardArena>(64);
  Table table;
  Record record;
  GuardTime now = CalendarReader().at(1'000'000'000'000, {.offset_ns = 1'796'125'400'000'000'000, .epoch = 1});
};

TEST(Alert, IsNotMadeOfOrdinaryRecords) {
  World world;
  EXPECT_TRUE(world.alert().is_null());
  world.decided_by(GuardScope::tenant, LimitKind::rpm);
  EXPECT_TRUE(world.alert().is_null()) << "a rate limit is everyday life";
  world.record.table = nullptr;
  EXPECT_TRUE(world.alert().is_null());
}

TEST(Alert, NamesABudgetWithItsNumbers) {
  World world;
  const BudgetGuard& budget = world.table.guards->global()->budgets[0];
  reserve(*budget.line, budget.spec, 1'000'000 * kUsd, world.now);
  reserve(*budget.line, budget.spec, kUsd, world.now);
  world.decided_by(GuardScope::global, LimitKind::budget);
  const nlohmann::json alert = world.alert();
  EXPECT_EQ(alert["type"], "budget");
  EXPECT_EQ(alert["severity"], "page") << "everybody is stopped";
  EXPECT_EQ(alert["limit"], "global.budget");
  EXPECT_EQ(alert["state"], "open");
  EXPECT_EQ(alert["window"], "1d");
  EXPECT_EQ(alert["on_exceed"], "kill");
  EXPECT_EQ(alert["tenant"], "t1");
  EXPECT_EQ(alert["budgets"][0]["usd"], 1e6);
  EXPECT_EQ(alert["budgets"][0]["reserved_usd"], 1e6);
  EXPECT_EQ(alert["budgets"][0]["on_exceed"], "kill");
  EXPECT_EQ(alert["budgets"][0]["open"], true);
  world.decided_by(GuardScope::tenant, LimitKind::budget, 1);
  EXPECT_EQ(world.alert()["severity"], "warn");
  EXPECT_EQ(world.alert()["window"], "month");
  EXPECT_EQ(world.alert()["budgets"].size(), 2u);
}

constexpr std::string_view kEconomyThenKill =
    "budgets: [ { window: 1h, usd: 1, on_exceed: economy }, { window: 1d, usd: 2, on_exceed: kill } ]\n";

TEST(Alert, EachRuleAndEachStateOfABudgetIsAThingOfItsOwn) {
  World world(tests::compiled(tests::guarded_text(std::string(kEconomyThenKill), "", "", "")));
  std::set<std::string> keys;
  for (const uint8_t rule : {0, 1}) {
    for (const bool open : {false, true}) {
      world.decided_by(GuardScope::global, LimitKind::budget, rule, open);
      keys.insert(world.key());
      EXPECT_EQ(world.alert()["severity"], rule == 1 && open ? "page" : "warn");
      EXPECT_EQ(world.alert()["state"], open ? "open" : "exceeded");
    }
  }
  EXPECT_EQ(keys.size(), 4u);
}

// Indices mean something else in the next table.
TEST(Alert, HoldersAreToldApartByTheirNames) {
  const std::string text = tests::guarded_text("", "", ", budgets: [ { window: 1h, usd: 1 } ]", "");
  World before(tests::compiled(text));
  before.decided_by(GuardScope::tenant, LimitKind::budget);
  std::string renamed = text;
  for (size_t at = 0; (at = renamed.find("t1", at)) != std::string::npos;) renamed.replace(at, 2, "s9");
  World after(tests::compiled(renamed));
  after.decided_by(GuardScope::tenant, LimitKind::budget);
  EXPECT_EQ(after.table.guards->of(TenantIndex{0})->owner, before.table.guards->of(TenantIndex{0})->owner);
  EXPECT_NE(after.key(), before.key()) << "another tenant";
  World again(tests::compiled(text));
  again.decided_by(GuardScope::tenant, LimitKind::budget);
  EXPECT_EQ(again.key(), before.key());
}

TEST(Alert, NamesALimitWhoseActionChangesWhatAnswers) {
  World world(tests::compiled(tests::guarded_text(
      "", "", ", limits: { rpm: 5, on_exceed: cached }, user_limits: { rph: 100, on_exceed: economy }",
      ", limits: { rpm: 3 }")));
  world.decided_by(GuardScope::tenant, LimitKind::rpm);
  const nlohmann::json alert = world.alert();
  EXPECT_EQ(alert["type"], "limit");
  EXPECT_EQ(alert["severity"], "warn");
  EXPECT_EQ(alert["limit"], "tenant.rpm");
  EXPECT_EQ(alert["on_exceed"], "cached");
  EXPECT_EQ(alert["state"], "open");
  world.decided_by(GuardScope::user, LimitKind::rph);
  EXPECT_EQ(world.alert()["limit"], "user.rph");
  EXPECT_EQ(world.alert()["on_exceed"], "economy");
  world.decided_by(GuardScope::key, LimitKind::rpm);
  EXPECT_TRUE(world.alert().is_null());
}

TEST(Alert, ALimitThatFillsUpIsItsHoldersAndHidesNoTrip) {
  World world;
  world.record.warned = limit_token(GuardScope::global, LimitKind::rps);
  world.decided_by(GuardScope::tenant, LimitKind::budget);
  const auto causes = alert_causes(world.record);
  ASSERT_EQ(causes.size(), 2u);
  EXPECT_EQ(causes[1].type, AlertType::budget);
  const nlohmann::json alert = world.alert();
  EXPECT_EQ(alert["type"], "limit");
  EXPECT_EQ(alert["state"], "filling");
  EXPECT_EQ(alert["limit"], "global.rps");
  const std::string of_one_tenant = world.key();
  world.record.tenant = world.record.key = 1;
  EXPECT_EQ(world.key(), of_one_tenant) << "everybody's limit is one thing";
  world.record.warned = limit_token(GuardScope::tenant, LimitKind::rpm);
  const std::string of_another = world.key();
  world.record.tenant = 0;
  EXPECT_NE(world.key(), of_another);
}

TEST(Alert, NamesABreakerAndAClientThatLoops) {
  World world;
  world.record.opened_breaker = 0;
  limited(world.table.guards->breaker(ModelIndex{0}), Pass::yes, 5 * kSecond, world.now.now_ns);
  EXPECT_EQ(world.alert()["type"], "breaker");
  EXPECT_EQ(world.alert()["model"], "small");
  EXPECT_EQ(world.alert()["open_ms"], 5000);
  world.record.opened_breaker = Record::kNone;
  world.record.limit = "runaway.same_request";
  EXPECT_EQ(world.alert()["type"], "runaway");
  EXPECT_EQ(world.alert()["key"], "k1");
}

TEST(Alert, NamesANodeThatTurnsRequestsAway) {
  World world;
  world.record.error = core::ErrorCode::overloaded;
  EXPECT_EQ(world.alert()["type"], "overload");
  EXPECT_EQ(world.alert()["severity"], "page");
}

Alert alert(const std::string& key) {
  return {.key = key, .body = "{\"a\":1}"};
}

TEST(AlertQueue, TellsEachThingOnceInAWhile) {
  AlertQueue queue;
  EXPECT_TRUE(queue.add(alert("x"), 1, 0));
  EXPECT_FALSE(queue.add(alert("x"), 2, 5 * kSecond));
  EXPECT_TRUE(queue.add(alert("y"), 3, 5 * kSecond));
  EXPECT_EQ(queue.next(5 * kSecond)->body, R"({"id":"0000000000000001","suppressed":0,"a":1})");
  queue.delivered();
  EXPECT_EQ(queue.next(5 * kSecond)->id, 3u);
  queue.delivered();
  EXPECT_TRUE(queue.add(alert("x"), 4, AlertQueue::kQuietNs));
  EXPECT_EQ(queue.next(AlertQueue::kQuietNs)->body, R"({"id":"0000000000000004","suppressed":1,"a":1})");
}

TEST(AlertQueue, TriesAgainAfterLongerAndLongerPauses) {
  AlertQueue queue;
  queue.add(alert("x"), 1, 0);
  uint64_t now = 0;
  std::set<uint64_t> pauses;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(queue.next(now).has_value());
    EXPECT_FALSE(queue.next(now).has_value()) << "it is on its way";
    queue.failed(now);
    EXPECT_FALSE(queue.next(queue.due_ns() - 1).has_value());
    pauses.insert(queue.due_ns() - now);
    now = queue.due_ns();
  }
  EXPECT_EQ(*pauses.begin(), AlertQueue::kFirstPauseNs);
  EXPECT_EQ(*pauses.rbegin(), AlertQueue::kLongestPauseNs);
  ASSERT_TRUE(queue.next(now).has_value());
  queue.delivered();
  EXPECT_EQ(queue.due_ns(), UINT64_MAX);
}

TEST(AlertQueue, HoldsKMaxAlertsAndDropsTheOldest) {
  using core::limits::kMaxAlerts;
  AlertQueue queue;
  for (uint64_t i = 0; i < kMaxAlerts; ++i) EXPECT_TRUE(queue.add(alert(std::to_string(i)), i, 0));
  ASSERT_EQ(queue.next(0)->id, 0u);
  queue.add(alert("one more"), kMaxAlerts, 0);
  EXPECT_EQ(queue.waiting(), kMaxAlerts);
  EXPECT_EQ(queue.dropped(), 1u);
  queue.delivered();  // the one that was dropped while it was on its way
  EXPECT_EQ(queue.next(0)->id, 1u);
  queue.delivered();
  // Whoever makes up keys does not make up memory.
  for (uint64_t i = 0; i < 100 * kMaxAlerts; ++i) queue.add(alert("z" + std::to_string(i)), i, 0);
  EXPECT_EQ(queue.waiting(), kMaxAlerts);
}

// Computed with printf '1700000000.{}' | openssl dgst -sha256 -hmac secret
TEST(AlertSender, SignsTimeAndBody) {
  EXPECT_EQ(sign_webhook("secret", 1'700'000'000, "{}"),
            "t=1700000000,v1="
            "b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163");
  EXPECT_NE(sign_webhook("secret", 1'700'000'000, "{}"), sign_webhook("other", 1'700'000'000, "{}"));
  EXPECT_NE(sign_webhook("secret", 1'700'000'000, "{}"), sign_webhook("secret", 1'700'000'001, "{}"));
}

TEST(AlertQueue, AFloodOfOtherThingsSwallowsNoPage) {
  using core::limits::kMaxAlerts;
  AlertQueue queue;
  for (uint64_t i = 0; i < 100 * kMaxAlerts; ++i) queue.add(alert("tenant " + std::to_string(i)), i, 0);
  EXPECT_FALSE(queue.wants("one more tenant", false, 0));
  EXPECT_TRUE(queue.add({.key = "everybody", .body = "{\"p\":1}", .pages = true}, 1, 0));
  for (uint64_t i = 0; i < kMaxAlerts; ++i)
    queue.add(alert("later " + std::to_string(i)), i, AlertQueue::kQuietNs);
  bool told = false;
  for (uint64_t i = 0; i < kMaxAlerts && !told; ++i) {
    const auto delivery = queue.next(AlertQueue::kQuietNs);
    ASSERT_TRUE(delivery.has_value());
    told = delivery->body.ends_with("\"p\":1}");
    queue.delivered();
  }
  EXPECT_TRUE(told);
}

TEST(AlertQueue, SaysBeforeABodyIsMadeWhetherItIsWanted) {
  AlertQueue queue;
  EXPECT_TRUE(queue.wants("x", false, 0));
  queue.add(alert("x"), 1, 0);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(queue.wants("x", false, kSecond));
  queue.next(kSecond);
  queue.delivered();
  EXPECT_TRUE(queue.add(alert("x"), 2, AlertQueue::kQuietNs));
  EXPECT_EQ(queue.next(AlertQueue::kQuietNs)->body, R"({"id":"0000000000000002","suppressed":3,"a":1})");
}

TEST(AlertSender, PagesForAKillThoughALesserRuleHasJustBeenTold) {
  World world(tests::compiled(tests::guarded_text(std::string(kEconomyThenKill), "", "", "")));
  const auto loop = weir::tests::make_loop();
  std::vector<std::string> bodies;
  const Calendar calendar(loop->now_ns(), loop->wall_now_ns());
  AlertSender sender(*loop, calendar, "secret", 7, [&](const WebhookRequest& request, const std::stop_token&) {
    bodies.push_back(request.body);
    return true;
  });
  for (const bool open : {false, true, true}) {
    for (const uint8_t rule : {0, 1}) {
      world.decided_by(GuardScope::global, LimitKind::budget, rule, open);
      sender.see(world.record);
    }
  }
  ASSERT_TRUE(weir::tests::run_until(*loop, [&] { return sender.delivered() == 4; }));
  EXPECT_EQ(
      std::ranges::count_if(bodies, [](const std::string& body) { return body.find("page") != body.npos; }),
      1);
}

TEST(OpenRule, IsFoundInTheNextTableAndClosesWithItsBreaker) {
  World world(tests::compiled(tests::guarded_text(std::string(kEconomyThenKill), "", "", "")));
  const BudgetGuard& budget = world.table.guards->global()->budgets[0];
  reserve(*budget.line, budget.spec, kUsd, world.now);
  reserve(*budget.line, budget.spec, kUsd, world.now);
  world.decided_by(GuardScope::global, LimitKind::budget);
  const auto rule = open_rule_of(alert_causes(world.record).at(0), world.record);
  ASSERT_TRUE(rule.has_value());
  EXPECT_TRUE(is_open(*rule, world.table, world.now));
  const auto body = nlohmann::json::parse(closed_body(*rule, world.now));
  EXPECT_EQ(body["state"], "closed");
  EXPECT_EQ(body["limit"], "global.budget");
  EXPECT_EQ(body["window"], "1h");
  GuardTime later = world.now;
  later.wall_ns += 3'600'000'000'000;
  EXPECT_FALSE(is_open(*rule, world.table, later)) << "the next hour";
  const World without;
  EXPECT_FALSE(is_open(*rule, without.table, world.now)) << "the rule is gone";
  world.decided_by(GuardScope::global, LimitKind::budget, 0, false);
  EXPECT_FALSE(open_rule_of(alert_causes(world.record).at(0), world.record).has_value());
}

TEST(OpenRule, OfALimitClosesWhenRequestsPassAgain) {
  World world(tests::compiled(tests::guarded_text("", "", ", limits: { rpm: 5, on_exceed: cached }", "")));
  UserGuards users(1 << 16, {.low = 1, .high = 2});
  const AdmitRequest request{
      .plan = world.table.guards.get(), .scenario = ScenarioIndex{0}, .tenant_id = "t1", .user = ""};
  const auto ask = [&](const GuardTime& now) {
    GuardHold hold;
    const Verdict verdict = hold.admit(request, users, now);
    hold.settle(0, 0, users, now);
    return verdict;
  };
  for (int i = 0; i < 5; ++i) EXPECT_EQ(ask(world.now).kind, Verdict::Kind::admitted);
  EXPECT_TRUE(ask(world.now).open);
  world.decided_by(GuardScope::tenant, LimitKind::rpm);
  const auto rule = open_rule_of(alert_causes(world.record).at(0), world.record);
  ASSERT_TRUE(rule.has_value());
  EXPECT_EQ(rule->holder, "t1");
  EXPECT_TRUE(is_open(*rule, world.table, world.now));
  GuardTime later = world.now;
  later.now_ns += 60 * kSecond;
  EXPECT_EQ(ask(later).kind, Verdict::Kind::admitted);
  EXPECT_FALSE(is_open(*rule, world.table, later));
}

TEST(AlertSender, TellsWhenWhatWasOpenIsClosedAgain) {
  World world(tests::compiled(tests::guarded_text(std::string(kEconomyThenKill), "", "", "")));
  world.decided_by(GuardScope::global, LimitKind::budget);  // and by now it has closed again
  const auto loop = weir::tests::make_loop();
  std::vector<std::string> bodies;
  const Calendar calendar(loop->now_ns(), loop->wall_now_ns());
  AlertSender sender(
      *loop, calendar, "secret", 7,
      [&](const WebhookRequest& request, const std::stop_token&) {
        bodies.push_back(request.body);
        return true;
      },
      [&]() -> const Table& { return world.table; });
  sender.see(world.record);
  ASSERT_TRUE(weir::tests::run_until(*loop, [&] { return sender.delivered() == 2; }));
  EXPECT_NE(bodies[0].find("\"state\":\"open\""), std::string::npos) << bodies[0];
  EXPECT_NE(bodies[1].find("\"state\":\"closed\""), std::string::npos) << bodies[1];
}

TEST(AlertSender, DeliversOnceWhatManyRecordsSay) {
  World world;
  world.decided_by(GuardScope::tenant, LimitKind::budget);
  const auto loop = weir::tests::make_loop();
  const Calendar calendar(loop->now_ns(), loop->wall_now_ns());
  std::atomic<int> calls{0};
  std::string first, last;
  AlertSender sender(*loop, calendar, "secret", 7, [&](const WebhookRequest& request, const std::stop_token&) {
    (calls == 0 ? first : last) = request.id + request.body;
    EXPECT_EQ(request.signature,
              sign_webhook("secret", std::stoll(request.signature.substr(2)), request.body));
    return ++calls > 1;  // the first try fails
  });
  for (int i = 0; i < 100; ++i) sender.see(world.record);
  ASSERT_TRUE(weir::tests::run_until(*loop, [&] { return sender.delivered() == 1; }));
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(sender.failures(), 1u);
  EXPECT_EQ(first, last);
  EXPECT_EQ(sender.queue().waiting(), 0u);
}

TEST(AlertSender, ATargetThatHangsDelaysNeitherRecordsNorTheEnd) {
  World world;
  world.decided_by(GuardScope::tenant, LimitKind::budget);
  const auto loop = weir::tests::make_loop();
  const Calendar calendar(loop->now_ns(), loop->wall_now_ns());
  std::promise<void> hanging;
  std::atomic<bool> stopped{false};
  {
    AlertSender sender(*loop, calendar, "secret", 7, [&](const WebhookRequest&, const std::stop_token& stop) {
      hanging.set_value();
      while (!stop.stop_requested()) std::this_thread::yield();
      stopped = true;
      return false;
    });
    sender.see(world.record);
    hanging.get_future().wait();
    for (int i = 0; i < 1000; ++i) sender.see(world.record);
    EXPECT_EQ(sender.queue().waiting(), 1u);
  }
  EXPECT_TRUE(stopped);
}

}  // namespace
}  // namespace weir::routing
