#include "routing/table/acting.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "routing/table/compile_change.h"
#include "tests/routing/table/example.h"

namespace weir::routing {
namespace {

// One scenario, `chat`, of the standard unit `u`; `v` is cheaper, `w` dearer, `c` as dear as `u` and cached.
std::string table(std::string_view chat, std::string_view more, std::string_view flags = "") {
  return fmt::format(R"(
providers: {{ p: {{ base_url: "http://127.0.0.1:1/v1" }} }}
models:
  m: {{ provider: p, tier: standard, price: {{ input: 1, output: 2 }} }}
  cheap: {{ provider: p, tier: standard, price: {{ input: 1, output: 1 }} }}
  dear: {{ provider: p, tier: premium, price: {{ input: 0, output: 0 }} }}
units: {{ u: {{ model: m }}, v: {{ model: cheap }}, w: {{ model: dear }}, c: {{ model: m, cache_ttl: 1s }} }}
scenarios: {{ chat: {{ stable: u{} }} }}
flags: {{ {} }}
{}
)",
                     chat, flags, more);
}

std::string problems(const std::string& text) {
  const CompileResult result = compile_yaml(text);
  return result ? "" : print(result.error());
}

std::string global(std::string_view action) {
  return fmt::format("budgets: [ {{ window: 1h, usd: 1, on_exceed: {} }} ]", action);
}
std::string of_chat(std::string_view action) {
  return ", " + global(action);
}

TEST(Acting, NamesARuleWhoseActionCanDoNothingInItsScenario) {
  EXPECT_EQ(problems(table(of_chat("economy"), "")),
            "scenarios.chat.budgets[0].on_exceed: economy changes nothing: neither stable nor the chain has "
            "a unit that is "
            "cheaper than another that answers; put one into its fallback, or say another action\n");
  EXPECT_EQ(problems(table(of_chat("cached"), "")),
            "scenarios.chat.budgets[0].on_exceed: cached has nothing to answer with: neither stable nor a "
            "candidate has a "
            "cache_ttl; give it one, or say another action\n");
  EXPECT_EQ(problems(table(of_chat("static"), "")),
            "scenarios.chat.budgets[0].on_exceed: static has nothing to answer with: the fallback has no "
            "static hop; put "
            "one there, or say another action\n");
  EXPECT_EQ(problems(table(of_chat("reject"), global("kill"))), "");
}

TEST(Acting, EconomyNeedsACheaperUnitThanOneThatMayBeDecided) {
  EXPECT_EQ(problems(table(", fallback: [ { unit: v } ]" + of_chat("economy"), "")), "");
  EXPECT_NE(problems(table(", fallback: [ { unit: w } ]" + of_chat("economy"), "")), "");
  EXPECT_NE(problems(table(", fallback: [ { unit: c } ]" + of_chat("economy"), "")), "") << "as dear";
  EXPECT_EQ(problems(table(of_chat("economy"), "", "f: { scenario: chat, candidate: { unit: w } }")), "")
      << "stable is cheaper than the candidate";
  EXPECT_EQ(problems(table(of_chat("economy"), "", "f: { scenario: chat, candidate: { model: dear } }")), "");
  EXPECT_NE(problems(table(of_chat("economy"), "", "f: { scenario: chat, candidate: { unit: v } }")), "")
      << "whom a candidate is for, its flag says";
}

TEST(Acting, CachedNeedsAUnitThatKeepsItsAnswers) {
  const auto cached = [](std::string_view chat, std::string_view flags = "") {
    return problems(table(std::string(chat) + of_chat("cached"), "", flags));
  };
  EXPECT_EQ(cached("", "f: { scenario: chat, candidate: { unit: c } }"), "");
  EXPECT_NE(cached(", fallback: [ { unit: c } ]"), "") << "what a hop has said is not looked for";
  EXPECT_EQ(problems(replaced(table(of_chat("cached"), ""), "stable: u", "stable: c")), "");
}

TEST(Acting, WhatIsOfNoScenarioNeedsItInAnyOfThem) {
  const std::string tenants =
      "tenants: { t: { limits: { rpm: 1, on_exceed: static }, user_limits: { rpm: 1, on_exceed: cached }, "
      "budgets: [ { window: 1h, usd: 1 }, { window: 1h, usd: 1, on_exceed: economy } ], "
      "user_budgets: [ { window: 1h, usd: 1, on_exceed: static } ] } }\n"
      "keys: [ { id: k, tenant: t, hash: \"" +
      std::string(kKeyHash) + "\", limits: { rpm: 1, on_exceed: economy } } ]\n";
  const std::string none =
      problems(table("", tenants + "limits: { rpm: 1, on_exceed: economy }\n" + global("cached")));
  for (const std::string_view path :
       {"\nbudgets[0].on_exceed: cached has nothing to answer with: no stable unit and no candidate has a "
        "cache_ttl; give",
        "limits.on_exceed: economy changes nothing: no scenario has a cheaper unit to go to; put one into "
        "its fallback",
        "\ntenants.t.limits.on_exceed: static has nothing to answer with: no scenario's fallback has a "
        "static hop; put",
        "\ntenants.t.user_limits.on_exceed: cached", "\ntenants.t.budgets[1].on_exceed: economy",
        "\ntenants.t.user_budgets[0].on_exceed: static", "\nkeys[0].limits.on_exceed: economy"}) {
    EXPECT_NE(none.find(path), std::string::npos) << path << "\n" << none;
  }
  const std::string elsewhere =
      replaced(table("", tenants), "scenarios: { ",
               "scenarios: { other: { stable: c, fallback: [ { unit: v }, { static: \"Later.\" } ] }, ");
  EXPECT_EQ(problems(elsewhere), "");
}

// A tenant that comes later is held to the same, and what tenants were held to is a part of the basis.
TEST(Acting, IsAskedOfTenantsThatChangeAndIsPartOfTheBasis) {
  const auto compiled = must_compile(table("", "tenants: { t: {} }"));
  const ObjectChange change{.kind = ObjectKind::tenant,
                            .name = "t",
                            .before = std::nullopt,
                            .after = R"({"limits":{"rpm":1,"on_exceed":"static"}})"};
  const auto changed = change_tenants(*compiled, *compiled.tenants, std::span(&change, 1));
  ASSERT_FALSE(changed.has_value());
  EXPECT_TRUE(
      print(changed.error()).starts_with("tenants.t.limits.on_exceed: static has nothing to answer with"))
      << print(changed.error());
  const auto with = must_compile(table(", fallback: [ { static: \"Later.\" } ]", "tenants: { t: {} }"));
  EXPECT_TRUE(change_tenants(*with, *with.tenants, std::span(&change, 1)).has_value());
  EXPECT_NE(with->basis, compiled->basis);
}

}  // namespace
}  // namespace weir::routing
