#include "routing/guard/runaway.h"

#include <gtest/gtest.h>

namespace weir::routing::runaway_test {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr RunawayRequest kRequest{
    .tenant_id = "t", .key_id = "k", .user = "anna", .conversation = "c1", .body = R"({"model":"m"})"};

struct World {
  UserGuards users{1 << 20, core::SipKey{.low = 1, .high = 2}};
  uint64_t now_ns = 1'000'000'000'000;
  RunawayVerdict ask(const Runaway& rules, const RunawayRequest& request = kRequest) {
    return check_runaway(users, rules, request, now_ns);
  }
};

TEST(Runaway, RefusesTheSameBodyPastItsRateAndSaysWhenToComeBack) {
  World world;
  const Runaway rules{.same_request_rpm = 3};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(world.ask(rules).rule, nullptr);
  const RunawayVerdict refused = world.ask(rules);
  EXPECT_STREQ(refused.rule, "runaway.same_request");
  EXPECT_EQ(refused.retry_after_ns, 20'000 * kMs);
  RunawayRequest other = kRequest;
  other.body = R"({"model":"n"})";
  EXPECT_EQ(world.ask(rules, other).rule, nullptr);
  other = kRequest;
  other.tenant_id = "u";
  EXPECT_EQ(world.ask(rules, other).rule, nullptr) << "another tenant's";
  other = kRequest;
  other.user = "bert";
  EXPECT_EQ(world.ask(rules, other).rule, nullptr) << "many users say hello";
  other.user = "";
  other.key_id = "anna";
  EXPECT_EQ(world.ask(rules, other).rule, nullptr) << "a key is no user";
  other.key_id = "k2";
  for (int i = 0; i < 3; ++i) EXPECT_EQ(world.ask(rules, other).rule, nullptr);
  EXPECT_STREQ(world.ask(rules, other).rule, "runaway.same_request") << "but stands for one";
  other = kRequest;
  other.conversation = "c2";
  EXPECT_EQ(world.ask(rules, other).rule, nullptr) << "and so do conversations begin";
  world.now_ns += refused.retry_after_ns;
  EXPECT_EQ(world.ask(rules).rule, nullptr);
}

TEST(Runaway, RefusesAConversationWithoutAnEnd) {
  World world;
  const Runaway rules{.same_conversation_rpm = 2};
  RunawayRequest request = kRequest;
  for (const char* body : {"1", "2"}) {
    request.body = body;
    EXPECT_EQ(world.ask(rules, request).rule, nullptr);
  }
  EXPECT_STREQ(world.ask(rules, request).rule, "runaway.same_conversation");
  request.conversation = "";
  EXPECT_EQ(world.ask(rules, request).rule, nullptr) << "no conversation, nothing to count";
}

TEST(Runaway, RefusesAUserWhoseAnswersAreAlwaysAsLongAsTheyMayBe) {
  World world;
  const Runaway rules{.full_length_rpm = 2};
  for (int i = 0; i < 2; ++i) {
    const RunawayVerdict verdict = world.ask(rules);
    EXPECT_EQ(verdict.rule, nullptr);
    ASSERT_NE(verdict.full_length_tag, 0u);
    count_full_length(world.users, verdict.full_length_tag, rules, world.now_ns);
  }
  const RunawayVerdict refused = world.ask(rules);
  EXPECT_STREQ(refused.rule, "runaway.full_length");
  EXPECT_EQ(refused.retry_after_ns, 30'000 * kMs);
  RunawayRequest bert = kRequest;
  bert.user = "bert";
  EXPECT_EQ(world.ask(rules, bert).rule, nullptr);
  world.now_ns += refused.retry_after_ns;
  EXPECT_EQ(world.ask(rules).rule, nullptr);
}

TEST(Runaway, WithoutRulesNothingIsCounted) {
  World world;
  for (int i = 0; i < 100; ++i) EXPECT_EQ(world.ask({}).rule, nullptr);
  EXPECT_EQ(world.ask({}).full_length_tag, 0u);
}

}  // namespace
}  // namespace weir::routing::runaway_test
