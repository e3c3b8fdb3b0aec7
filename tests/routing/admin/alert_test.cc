#include "routing/admin/alert.h"

#include <gtest/gtest.h>

#include <future>
#include <nlohmann/json.hpp>
#include <set>
#include <stop_token>
#include <thread>

#include "routing/admin/alert_queue.h"
#include "routing/admin/alert_sender.h"
#include "routing/guard/admission.h"
#include "tests/net/net_fixture.h"
#include "tests/routing/guard/guard_fixture.h"

namespace weir::routing {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr int64_t kUsd = 1'000'000'000;

struct World {
  World() {
    const tests::GuardedTable compiled = tests::guarded_table();
    table.body = compiled.body;
    table.tenants = compiled.tenants;
    table.guards = compiled.bind(std::make_shared<GuardArena>(64));
    record.table = &table;
    record.tenant = record.key = record.scenario = 0;
    record.wall_ns = now.wall_ns;
  }
  nlohmann::json alert() const {
    const auto made = alert_of(record, now);
    return made ? nlohmann::json::parse(made->body) : nlohmann::json();
  }
  Table table;
  Record record;
  GuardTime now = CalendarReader().at(1'000'000'000'000, {.offset_ns = 1'796'125'400'000'000'000, .epoch = 1});
};

TEST(Alert, IsNotMadeOfOrdinaryRecords) {
  World world;
  EXPECT_TRUE(world.alert().is_null());
  world.record.limit = limit_token(GuardScope::tenant, LimitKind::rpm);
  EXPECT_TRUE(world.alert().is_null()) << "a rate limit is everyday life";
  world.record.table = nullptr;
  EXPECT_TRUE(world.alert().is_null());
}

TEST(Alert, NamesABudgetWithItsNumbers) {
  World world;
  const BudgetGuard& budget = world.table.guards->global()->budgets[0];
  reserve(*budget.line, budget.spec, 1'000'000 * kUsd, world.now);
  reserve(*budget.line, budget.spec, kUsd, world.now);
  world.record.limit = limit_token(GuardScope::global, LimitKind::budget);
  const nlohmann::json alert = world.alert();
  EXPECT_EQ(alert["type"], "budget");
  EXPECT_EQ(alert["severity"], "page") << "everybody is stopped";
  EXPECT_EQ(alert["limit"], "global.budget");
  EXPECT_EQ(alert["tenant"], "t1");
  EXPECT_EQ(alert["budgets"][0]["usd"], 1e6);
  EXPECT_EQ(alert["budgets"][0]["reserved_usd"], 1e6);
  EXPECT_EQ(alert["budgets"][0]["on_exceed"], "kill");
  EXPECT_EQ(alert["budgets"][0]["open"], true);
  world.record.limit = limit_token(GuardScope::tenant, LimitKind::budget);
  EXPECT_EQ(world.alert()["severity"], "warn");
  EXPECT_EQ(world.alert()["budgets"].size(), 2u);
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

TEST(AlertSender, DeliversOnceWhatManyRecordsSay) {
  World world;
  world.record.limit = limit_token(GuardScope::tenant, LimitKind::budget);
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
  world.record.limit = limit_token(GuardScope::tenant, LimitKind::budget);
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
