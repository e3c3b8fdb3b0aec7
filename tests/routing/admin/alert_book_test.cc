#include "routing/admin/alert_book.h"

#include <gtest/gtest.h>

#include "core/limits.h"
#include "tests/routing/admin/alert_fixture.h"

namespace weir::routing::alert_book_test {
namespace {

using core::limits::kMaxAlerts;
using core::limits::kMaxAlertThings;
using nlohmann::json;

constexpr uint64_t kSecond = 1'000'000'000;

struct World {
  AlertThing thing(const std::string& name, bool pages = false) {
    return {.key = name, .about = {{"type", "budget"}, {"tenant", name}}, .pages = pages};
  }
  AlertBook::Json numbers() { return {{"n", n}}; }
  bool rule(uint64_t opened, bool open) {
    return book.rule(
        thing("t"), opened, open, [this] { return numbers(); }, now);
  }
  bool event(AlertBook::Event event = {.state = "exceeded"}) {
    return book.event(
        thing("t"), event, [this] { return numbers(); }, now);
  }
  bool user(uint64_t id) { return event({.state = "open", .whom = AlertBook::Whom::user, .user = id}); }
  std::vector<json> told() { return tests::take_all(queue); }
  std::string states() { return tests::states_of(told()); }
  void pass(uint64_t ns, bool whole = true) {
    now.now_ns += ns;
    book.end_pass(whole, now);
  }
  void fill_queue() {
    while (queue.has_room(/*pages=*/false)) queue.add(R"({"x":1})");
  }

  AlertQueue queue{1};
  AlertBook book{queue};
  GuardTime now{.now_ns = 1000 * kSecond};
  int n = 0;
};

TEST(AlertBook, TellsOfARulesOpeningAndClosing) {
  World world;
  EXPECT_TRUE(world.rule(0, false));
  EXPECT_EQ(world.states(), "");
  world.n = 5;
  world.rule(1, true);
  const auto told = world.told();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0]["tenant"], "t");
  EXPECT_EQ(told[0]["state"], "open");
  EXPECT_EQ(told[0]["severity"], "warn");
  EXPECT_EQ(told[0]["suppressed"], 0);
  EXPECT_EQ(told[0]["n"], 5);
  world.rule(0, true);
  EXPECT_EQ(world.states(), "");
  world.n = 2;
  world.rule(0, false);
  const auto closed = world.told();
  ASSERT_EQ(closed.size(), 1u);
  EXPECT_EQ(closed[0]["state"], "closed");
  EXPECT_EQ(closed[0]["n"], 2);
}

TEST(AlertBook, TellsOfATripThatWasOverBeforeTheLook) {
  World world;
  world.rule(1, false);
  EXPECT_EQ(world.states(), "open closed");
}

TEST(AlertBook, TellsOfARuleThatWasOpenBeforeTheProcess) {
  World world;
  world.rule(0, true);
  EXPECT_EQ(world.states(), "open");
}

TEST(AlertBook, ARuleThatFlapsIsToldOnceInAWhileAndItsClosingAlways) {
  World world;
  world.rule(1, true);
  world.rule(0, false);
  EXPECT_EQ(world.states(), "open closed");
  for (int i = 0; i < 3; ++i) {
    world.now.now_ns += 60 * kSecond;
    world.rule(1, true);
    world.rule(0, false);
  }
  world.rule(1, true);
  world.pass(0);
  EXPECT_EQ(world.states(), "") << "quiet";
  world.now.now_ns = 1000 * kSecond + AlertBook::kQuietNs;
  world.rule(0, true);
  const auto told = world.told();
  ASSERT_EQ(tests::states_of(told), "open") << "what was last told is true again";
  EXPECT_EQ(told[0]["suppressed"], 3);
  world.rule(0, false);
  EXPECT_EQ(world.states(), "closed") << "though one was told a moment ago";
}

TEST(AlertBook, ATripThatWasSuppressedIsToldLateThoughNothingHappensAnyMore) {
  World world;
  world.rule(1, false);
  world.told();
  world.now.now_ns += kSecond;
  world.rule(1, false);
  world.pass(0);
  EXPECT_EQ(world.states(), "");
  world.pass(AlertBook::kQuietNs);
  EXPECT_EQ(world.states(), "open closed");
  world.pass(AlertBook::kQuietNs);
  EXPECT_EQ(world.states(), "");
  EXPECT_EQ(world.book.things(), 0u) << "forgotten";
}

TEST(AlertBook, AFullQueueDelaysAndDropsNothing) {
  World world;
  world.fill_queue();
  EXPECT_TRUE(world.rule(1, true));
  EXPECT_TRUE(world.event());
  world.told();
  world.rule(0, false);
  EXPECT_EQ(world.states(), "open closed");
  world.pass(0);
  EXPECT_EQ(world.states(), "exceeded");
  world.fill_queue();
  EXPECT_TRUE(world.book.rule(
      world.thing("p", true), 1, true, [] { return AlertBook::Json::object(); }, world.now));
  EXPECT_EQ(world.queue.waiting(), kMaxAlerts + 1) << "there is room for a page";
}

TEST(AlertBook, ARuleThatIsGoneIsClosed) {
  World world;
  world.rule(1, true);
  world.pass(kSecond);
  EXPECT_EQ(world.states(), "open");
  world.pass(kSecond, /*whole=*/false);
  EXPECT_EQ(world.states(), "") << "it may not have been come to";
  world.pass(kSecond);
  EXPECT_EQ(world.states(), "closed");
}

TEST(AlertBook, TellsOfEventsOnceInAWhile) {
  World world;
  for (int i = 0; i < 3; ++i) world.event();
  auto told = world.told();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0]["state"], "exceeded");
  EXPECT_EQ(told[0]["suppressed"], 0);
  world.pass(AlertBook::kQuietNs);
  told = world.told();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0]["suppressed"], 1) << "two, one of which is told";
  world.pass(AlertBook::kQuietNs);
  EXPECT_EQ(world.told().size(), 0u);
}

TEST(AlertBook, OfUsersEachIsToldOfOnceAndCounted) {
  World world;
  world.user(1);
  auto told = world.told();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0]["users"], 1);
  for (int i = 0; i < 100; ++i) {
    world.user(1);
    world.user(2);
    world.user(3);
  }
  world.pass(AlertBook::kQuietNs - 1);
  EXPECT_EQ(world.told().size(), 0u);
  for (const uint64_t id : {1, 2, 3}) world.user(id);
  world.pass(1);
  told = world.told();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0]["users"], 2) << "the others";
  EXPECT_FALSE(told[0].contains("more_users"));
  world.event({.state = "open", .whom = AlertBook::Whom::others});
  world.pass(AlertBook::kQuietNs);
  told = world.told();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0]["more_users"], true);
  world.pass(AlertBook::kQuietNs);
  world.user(1);
  EXPECT_EQ(world.told().size(), 1u) << "after a while again";
}

TEST(AlertBook, RemembersKMaxAlertThingsAndAsManyPages) {
  World world;
  const auto add = [&](uint64_t i, bool pages) {
    world.told();
    return world.book.event(
        world.thing(std::to_string(i), pages), {}, [] { return AlertBook::Json::object(); }, world.now);
  };
  for (uint64_t i = 0; i < kMaxAlertThings; ++i) ASSERT_TRUE(add(i, false));
  EXPECT_FALSE(add(kMaxAlertThings, false));
  EXPECT_TRUE(add(0, false)) << "a known one";
  EXPECT_TRUE(add(kMaxAlertThings, true));
  world.pass(2 * AlertBook::kQuietNs);
  world.told();
  world.pass(2 * AlertBook::kQuietNs);
  EXPECT_EQ(world.book.things(), 0u);
  EXPECT_TRUE(add(kMaxAlertThings, false));
}

}  // namespace
}  // namespace weir::routing::alert_book_test
