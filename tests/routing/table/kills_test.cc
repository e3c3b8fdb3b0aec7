#include "routing/table/kills.h"

#include <gtest/gtest.h>

#include "tests/routing/table/example.h"

namespace weir::routing {
namespace {

std::vector<std::string> killed_units(const TableBody& body, const Kills& kills) {
  std::vector<std::string> names;
  for (size_t i = 0; i < kills.units.size(); i++) {
    if (kills.units[i]) names.push_back(body.units[i].name);
  }
  return names;
}

TEST(KillList, ResolvesToNothingWhenEmpty) {
  const auto body = must_compile(example());
  const Kills kills = KillList().resolve(*body, *body.tenants);
  EXPECT_FALSE(kills.any);
  EXPECT_TRUE(kills.units.empty());
}

TEST(KillList, ResolvesEveryScope) {
  const auto body = must_compile(replaced(example(), "tenants:\n", "tenants:\n  a: {}\n"));
  KillList list;
  EXPECT_TRUE(
      list.add({.scope = KillScope::tenant, .name = "bank-17", .reason = "fraud", .since_wall_ns = 5}));
  EXPECT_TRUE(list.add({.scope = KillScope::tenant, .name = "a", .reason = ""}));
  EXPECT_TRUE(list.add({.scope = KillScope::provider, .name = "openai", .reason = ""}));
  EXPECT_TRUE(list.add({.scope = KillScope::unit, .name = "support-41", .reason = ""}));
  EXPECT_TRUE(list.add({.scope = KillScope::scenario, .name = "support-chat", .reason = ""}));
  EXPECT_TRUE(list.add({.scope = KillScope::flag, .name = "support-v2", .reason = ""}));
  Kills kills = list.resolve(*body, *body.tenants);
  EXPECT_TRUE(kills.any);
  EXPECT_FALSE(kills.global);
  EXPECT_EQ(kills.tenants, (std::vector{TenantIndex{0}, TenantIndex{1}}));
  EXPECT_EQ(kills.providers, std::vector<bool>{true});
  EXPECT_EQ(killed_units(*body, kills), std::vector<std::string>{"support-41"});
  EXPECT_EQ(kills.scenarios, std::vector<bool>{true});
  EXPECT_EQ(kills.flags, std::vector<bool>{true});
  EXPECT_TRUE(list.add({.scope = KillScope::global, .name = "", .reason = "incident 7"}));
  EXPECT_TRUE(list.resolve(*body, *body.tenants).global);
}

TEST(KillList, KillsWhatIsLayeredOverAUnit) {
  const auto body = must_compile(replaced(
      example(), "flags:\n  support-v2:\n",
      "flags:\n  cool: { scenario: support-chat, candidate: { params: { seed: 1 } } }\n  support-v2:\n"));
  KillList list;
  list.add({.scope = KillScope::unit, .name = "support-41", .reason = ""});
  EXPECT_EQ(killed_units(*body, list.resolve(*body, *body.tenants)),
            (std::vector<std::string>{"support-41", "support-41+cool"}));
  KillList derived;
  derived.add({.scope = KillScope::unit, .name = "support-41+cool", .reason = ""});
  EXPECT_EQ(killed_units(*body, derived.resolve(*body, *body.tenants)),
            std::vector<std::string>{"support-41+cool"});
}

TEST(KillList, KeepsNamesThatTheTableDoesNotHold) {
  const auto without = must_compile(example());
  const auto with = must_compile(replaced(example(), "tenants:\n", "tenants:\n  a: {}\n"));
  KillList list;
  list.add({.scope = KillScope::tenant, .name = "a", .reason = ""});
  EXPECT_TRUE(list.resolve(*without, *without.tenants).tenants.empty());
  EXPECT_EQ(list.resolve(*with, *with.tenants).tenants, std::vector{TenantIndex{0}});
}

TEST(KillList, HoldsEachKillOnce) {
  KillList list;
  EXPECT_TRUE(list.add({.scope = KillScope::unit, .name = "u", .reason = "first"}));
  EXPECT_FALSE(list.add({.scope = KillScope::unit, .name = "u", .reason = "second"}));
  EXPECT_TRUE(list.add({.scope = KillScope::flag, .name = "u", .reason = ""}));
  ASSERT_EQ(list.kills().size(), 2u);
  EXPECT_EQ(list.kills()[0].reason, "first");
  EXPECT_TRUE(list.remove(KillScope::unit, "u"));
  EXPECT_FALSE(list.remove(KillScope::unit, "u"));
  EXPECT_EQ(list.kills().size(), 1u);
}

TEST(KillList, WantsANameExceptForGlobal) {
  KillList list;
  EXPECT_FALSE(list.add({.scope = KillScope::unit, .name = "", .reason = ""}));
  EXPECT_FALSE(list.add({.scope = KillScope::global, .name = "x", .reason = ""}));
}

TEST(KillScope, IsReadBackFromItsText) {
  for (const KillScope scope : {KillScope::global, KillScope::provider, KillScope::unit, KillScope::scenario,
                                KillScope::flag, KillScope::tenant}) {
    EXPECT_EQ(parse_kill_scope(to_string(scope)), scope);
  }
  EXPECT_EQ(parse_kill_scope("model"), std::nullopt);
}

}  // namespace
}  // namespace weir::routing
