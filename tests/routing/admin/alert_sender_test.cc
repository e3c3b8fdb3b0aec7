#include "routing/admin/alert_sender.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "tests/net/net_fixture.h"
#include "tests/routing/guard/guard_fixture.h"

namespace weir::routing::alert_sender_test {
namespace {

constexpr int64_t kUsd = 1'000'000'000;

struct World {
  World() {
    const auto compiled = tests::compiled(
        tests::guarded_text("budgets: [ { window: 1d, usd: 1, on_exceed: economy } ]\n", "", "", ""));
    table.body = compiled.body;
    table.tenants = compiled.tenants;
    table.guards = compiled.bind(arena);
  }
  AlertSources sources() {
    return {.calendar = calendar, .users = users, .table = [this]() -> const Table& { return table; }};
  }
  void trip() {
    const GuardTime now = CalendarReader().at(loop->now_ns(), calendar.point());
    const BudgetGuard& budget = table.guards->global()->budgets[0];
    for (int i = 0; i < 2; ++i) reserve(*budget.line, budget.spec, kUsd, now);
  }
  Record looping() {
    Record record;
    record.table = &table;
    record.tenant = record.key = 0;
    record.limit = "runaway.same_request";
    return record;
  }

  std::unique_ptr<core::Loop> loop = weir::tests::make_loop();
  Calendar calendar{loop->now_ns(), loop->wall_now_ns()};
  std::shared_ptr<GuardArena> arena = std::make_shared<GuardArena>(64);
  UserGuards users{1 << 20, core::SipKey{.low = 1, .high = 2}};
  Table table;
};

// Computed with printf '1700000000.{}' | openssl dgst -sha256 -hmac secret
TEST(AlertSender, SignsTimeAndBody) {
  EXPECT_EQ(sign_webhook("secret", 1'700'000'000, "{}"),
            "t=1700000000,v1="
            "b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163");
  EXPECT_NE(sign_webhook("secret", 1'700'000'000, "{}"), sign_webhook("other", 1'700'000'000, "{}"));
  EXPECT_NE(sign_webhook("secret", 1'700'000'000, "{}"), sign_webhook("secret", 1'700'000'001, "{}"));
}

// No record says it.
TEST(AlertSender, DeliversOnceWhatALookFindsAndAgainIfItWasNotTaken) {
  World world;
  world.trip();
  std::atomic<int> calls{0};
  std::string first, last;
  AlertSender sender(
      *world.loop, world.sources(), "secret", 7, [&](const WebhookRequest& request, const std::stop_token&) {
        (calls == 0 ? first : last) = request.id + request.body;
        EXPECT_EQ(request.signature,
                  sign_webhook("secret", std::stoll(request.signature.substr(2)), request.body));
        return ++calls > 1;  // the first try fails
      });
  ASSERT_TRUE(weir::tests::run_until(*world.loop, [&] { return sender.delivered() == 1; }));
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(sender.failures(), 1u);
  EXPECT_EQ(first, last);
  EXPECT_NE(first.find("\"state\":\"open\""), std::string::npos) << first;
  EXPECT_EQ(sender.queue().waiting(), 0u);
}

TEST(AlertSender, LooksAgainAndAgain) {
  World world;
  std::vector<std::string> bodies;
  AlertSender sender(*world.loop, world.sources(), "secret", 7,
                     [&](const WebhookRequest& request, const std::stop_token&) {
                       bodies.push_back(request.body);
                       return true;
                     });
  world.trip();
  ASSERT_TRUE(weir::tests::run_until(*world.loop, [&] { return sender.delivered() == 1; }));
  world.table.guards = tests::unguarded_table().bind(world.arena);
  world.table.body = tests::unguarded_table().body;
  world.table.tenants = tests::unguarded_table().tenants;
  ASSERT_TRUE(weir::tests::run_until(*world.loop, [&] { return sender.delivered() == 2; }));
  EXPECT_NE(bodies[1].find("\"state\":\"closed\""), std::string::npos) << bodies[1];
}

TEST(AlertSender, TellsOfAClientThatLoopsByItsRecords) {
  World world;
  std::vector<std::string> bodies;
  AlertSender sender(*world.loop, world.sources(), "secret", 7,
                     [&](const WebhookRequest& request, const std::stop_token&) {
                       bodies.push_back(request.body);
                       return true;
                     });
  sender.see(Record{});
  for (int i = 0; i < 100; ++i) sender.see(world.looping());
  ASSERT_TRUE(weir::tests::run_until(*world.loop, [&] { return sender.delivered() == 1; }));
  EXPECT_EQ(sender.queue().waiting(), 0u);
  EXPECT_NE(bodies[0].find(R"("type":"runaway","tenant":"t1","key":"k1","limit":"runaway.same_request")"),
            std::string::npos)
      << bodies[0];
}

TEST(AlertSender, ATargetThatHangsDelaysNeitherTheLoopNorTheEnd) {
  World world;
  std::promise<void> hanging;
  std::atomic<bool> stopped{false};
  {
    AlertSender sender(*world.loop, world.sources(), "secret", 7,
                       [&](const WebhookRequest&, const std::stop_token& stop) {
                         hanging.set_value();
                         while (!stop.stop_requested()) std::this_thread::yield();
                         stopped = true;
                         return false;
                       });
    sender.see(world.looping());
    hanging.get_future().wait();
    for (int i = 0; i < 1000; ++i) sender.see(world.looping());
    EXPECT_EQ(sender.queue().waiting(), 1u);
  }
  EXPECT_TRUE(stopped);
}

}  // namespace
}  // namespace weir::routing::alert_sender_test
