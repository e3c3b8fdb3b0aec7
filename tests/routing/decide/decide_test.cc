#include "routing/decide/decide.h"

#include <functional>
#include <string>
#include <vector>

#include "tests/routing/decide/decide_fixture.h"

namespace weir::routing {
namespace {

using core::ErrorCode;

// ---- which scenario ----

TEST_F(Decide, TakesTheScenarioOfTheHeaderBeforeAllElse) {
  const ScenarioIndex other = build.scenario("other", build.unit("other-stable"));
  build.at(KeyIndex{0}).scenario = other;
  input.model = "other";
  const Table table = build.build();
  EXPECT_EQ(choose_scenario(table, input)->scenario, chat);
  input.scenario_header = "";
  EXPECT_EQ(choose_scenario(table, input)->scenario, other);
}

TEST_F(Decide, RefusesAHeaderThatNamesNoScenarioEvenIfTheModelDoes) {
  input.scenario_header = "nothing";
  input.model = "chat";
  const auto choice = choose_scenario(build.build(), input);
  ASSERT_FALSE(choice.has_value());
  EXPECT_EQ(choice.error().code, ErrorCode::model_not_found);
  EXPECT_STREQ(choice.error().param, "x-weir-scenario");
}

TEST_F(Decide, TakesTheScenarioNamedByTheModelThenTheKeys) {
  const ScenarioIndex other = build.scenario("other", build.unit("other-stable"));
  build.at(KeyIndex{0}).scenario = other;
  input.scenario_header = "";
  input.model = "chat";
  EXPECT_EQ(choose_scenario(build.build(), input)->scenario, chat);
  input.model = "anything";
  EXPECT_EQ(choose_scenario(build.build(), input)->scenario, other);
}

TEST_F(Decide, AnswersDirectForAModelThatTheTenantMayUse) {
  build.at(tenant).models.push_back(ModelIndex{0});
  input.scenario_header = "";
  input.model = "model";
  const Decision decision = run();
  EXPECT_FALSE(decision.scenario.has_value());
  expect(decision, Arm::stable, build.body().direct_units[0], Reason::direct);
  EXPECT_FALSE(decision.pin);
}

TEST_F(Decide, DoesNotFindAModelThatTheTenantMayNotUse) {
  input.scenario_header = "";
  for (const std::string_view model : {"model", "unheard-of", ""}) {
    input.model = model;
    const auto choice = choose_scenario(build.build(), input);
    ASSERT_FALSE(choice.has_value());
    EXPECT_EQ(choice.error().code, ErrorCode::model_not_found);
    EXPECT_STREQ(choice.error().param, "model");
  }
}

// ---- one reason each ----

TEST_F(Decide, AnswersNoFlagForAScenarioWithoutFlags) {
  const UnitIndex plain = build.unit("plain");
  build.scenario("plain-chat", plain);
  input.scenario_header = "plain-chat";
  input.conversation = "c-1";
  const Decision decision = run();
  expect(decision, Arm::stable, plain, Reason::no_flag);
  EXPECT_FALSE(decision.pin);
}

TEST_F(Decide, AnswersNoRowForATenantWithoutRows) {
  const Decision decision = run();
  expect(decision, Arm::stable, stable, Reason::no_row);
  EXPECT_FALSE(decision.flag.has_value());
}

TEST_F(Decide, AnswersOffForARowThatIsOff) {
  row(FlagState::off, kEverybody);
  const Decision decision = run();
  expect(decision, Arm::stable, stable, Reason::off);
  EXPECT_EQ(decision.flag, flag);
}

TEST_F(Decide, StartsAtTheNanosecondOfTheStart) {
  row(FlagState::production).start_ns = 1'000'000;
  input.wall_now_ns = 999'999;
  expect(run(), Arm::stable, stable, Reason::not_started);
  input.wall_now_ns = 1'000'000;
  expect(run(), Arm::candidate, candidate, Reason::production);
}

TEST_F(Decide, EndsAtTheNanosecondOfTheExpiry) {
  TenantFlag& flag_row = row(FlagState::production);
  flag_row.expires_ns = 2'000'000;
  input.wall_now_ns = 1'999'999;
  expect(run(), Arm::candidate, candidate, Reason::production);
  input.wall_now_ns = 2'000'000;
  expect(run(), Arm::stable, stable, Reason::expired);
}

TEST_F(Decide, GoesOnPastTheExpiryWithFreezeAndAlert) {
  TenantFlag& flag_row = row(FlagState::production);
  flag_row.expires_ns = 10;
  for (const ExpiryAction action : {ExpiryAction::freeze, ExpiryAction::alert}) {
    flag_row.on_expiry = action;
    expect(run(), Arm::candidate, candidate, Reason::production);
  }
}

TEST_F(Decide, ExcludesEvenInProduction) {
  row(FlagState::production);
  build.at(flag).exclude = {internal};
  expect(run(), Arm::candidate, candidate, Reason::production);
  be_staff();
  expect(run(), Arm::stable, stable, Reason::excluded);
}

TEST_F(Decide, ExcludesBeforeASegmentAdmits) {
  row(FlagState::pilot, kEverybody).segments = {internal};
  build.at(flag).exclude = {internal};
  be_staff();
  expect(run(), Arm::stable, stable, Reason::excluded);
}

TEST_F(Decide, AdmitsASegmentOutsideThePercentage) {
  row(FlagState::pilot, 0).segments = {internal};
  expect(run(), Arm::stable, stable, Reason::split_out);
  be_staff();
  expect(run(), Arm::candidate, candidate, Reason::segment);
}

TEST_F(Decide, SplitsByTheStickyKey) {
  TenantFlag& flag_row = row(FlagState::pilot, kEverybody);
  expect(run(), Arm::candidate, candidate, Reason::split_in);
  flag_row.milli_percent = 0;
  expect(run(), Arm::stable, stable, Reason::split_out);
}

TEST_F(Decide, AnswersStableWithoutAStickyKeyEvenAtAHundredPercent) {
  row(FlagState::pilot, kEverybody);
  input.user = "";
  expect(run(), Arm::stable, stable, Reason::no_sticky_key);
}

TEST_F(Decide, FallsBackToTheTenantAsStickyKeyIfTheScenarioSaysSo) {
  row(FlagState::pilot, kEverybody);
  input.user = "";
  build.at(chat).sticky_by = {StickyKey::conversation, StickyKey::user, StickyKey::tenant};
  expect(run(), Arm::candidate, candidate, Reason::split_in);
}

TEST_F(Decide, AsksForLimitsOnlyOfAPilotThatHasThem) {
  TenantFlag& flag_row = row(FlagState::pilot, kEverybody);
  EXPECT_FALSE(run().limited);
  for (const PilotLimits limits : {PilotLimits{.rpm = 600}, PilotLimits{.tpm = 1},
                                   PilotLimits{.concurrency = 1}, PilotLimits{.total_requests = 1}}) {
    flag_row.limits = limits;
    EXPECT_TRUE(run().limited);
  }
  flag_row.state = FlagState::production;
  EXPECT_FALSE(run().limited);
  flag_row.state = FlagState::pilot;
  flag_row.milli_percent = 0;
  EXPECT_FALSE(run().limited);
}

TEST_F(Decide, AnswersThePreviousUnitPastThePilotsLimit) {
  const UnitIndex previous = build.unit("previous");
  row(FlagState::pilot, kEverybody).previous = previous;
  Table table = build.build();
  const Decision decision = *run(table);
  const Decision instead = *past_pilot_limit(table, input, decision, flag);
  expect(instead, Arm::stable, previous, Reason::pilot_limit);
  EXPECT_EQ(instead.flag, flag);
  EXPECT_EQ(instead.state, FlagState::pilot);

  kill_unit(table, previous);
  expect(*past_pilot_limit(table, input, decision, flag), Arm::stable, stable, Reason::killed);
  kill_unit(table, stable);
  EXPECT_EQ(past_pilot_limit(table, input, decision, flag).error().code, ErrorCode::killed);
}

TEST_F(Decide, EndsAPilotAtItsTimeWithThePreviousUnit) {
  const UnitIndex previous = build.unit("previous");
  TenantFlag& flag_row = row(FlagState::pilot, kEverybody);
  flag_row.previous = previous;
  flag_row.until_ns = 1'000;
  input.wall_now_ns = 999;
  expect(run(), Arm::candidate, candidate, Reason::split_in);
  input.wall_now_ns = 1'000;
  expect(run(), Arm::stable, previous, Reason::pilot_limit);
  EXPECT_EQ(run().flag, flag);
  EXPECT_EQ(run().state, FlagState::pilot);
  EXPECT_EQ(run().combination, 0);

  flag_row.milli_percent = 0;
  expect(run(), Arm::stable, stable, Reason::split_out);
  flag_row.state = FlagState::production;
  expect(run(), Arm::candidate, candidate, Reason::production);
}

TEST_F(Decide, EndsAPilotWithoutAskingItsOtherLimits) {
  TenantFlag& flag_row = row(FlagState::pilot, kEverybody);
  flag_row.limits.rpm = 5;
  flag_row.until_ns = 1'000;
  input.wall_now_ns = 999;
  EXPECT_TRUE(run().limited);
  input.wall_now_ns = 1'000;
  EXPECT_FALSE(run().limited);
}

TEST_F(Decide, LeavesAKilledPreviousUnitWhenAPilotEnds) {
  const UnitIndex previous = build.unit("previous");
  TenantFlag& flag_row = row(FlagState::pilot, kEverybody);
  flag_row.previous = previous;
  flag_row.until_ns = 1'000;
  input.wall_now_ns = 1'000;
  Table table = build.build();
  kill_unit(table, previous);
  expect(*run(table), Arm::stable, stable, Reason::killed);
}

// ---- several flags ----

TEST_F(Decide, EndsOnlyThePilotWhoseTimeIsOver) {
  const FlagIndex second = build.flag("second", chat);
  const UnitIndex previous = build.unit("previous");
  row(FlagState::production);
  TenantFlag& pilot = build.row(tenant, second, FlagState::pilot, kEverybody);
  pilot.previous = previous;
  pilot.until_ns = 1'000;
  input.wall_now_ns = 999;
  EXPECT_EQ(run().combination, 0b11);
  input.wall_now_ns = 1'000;
  expect(run(), Arm::stable, previous, Reason::pilot_limit);
  EXPECT_EQ(run().flag, second);
}

TEST_F(Decide, CombinesFlagsAndReportsTheFirstThatApplies) {
  const FlagIndex second = build.flag("second", chat);
  const FlagIndex third = build.flag("third", chat);
  row(FlagState::off);
  build.row(tenant, second, FlagState::production);
  build.row(tenant, third, FlagState::pilot, kEverybody);
  const Decision decision = run();
  expect(decision, Arm::candidate, build.at(chat).combinations[0b110], Reason::production);
  EXPECT_EQ(decision.combination, 0b110);
  EXPECT_EQ(decision.flag, second);
  EXPECT_EQ(decision.state, FlagState::production);
}

TEST_F(Decide, ReportsTheFirstFlagWithARowIfNoneApplies) {
  const FlagIndex second = build.flag("second", chat);
  const FlagIndex third = build.flag("third", chat);
  build.row(tenant, second, FlagState::pilot, 0);
  build.row(tenant, third, FlagState::off);
  const Decision decision = run();
  expect(decision, Arm::stable, stable, Reason::split_out);
  EXPECT_EQ(decision.flag, second);
  EXPECT_EQ(decision.state, FlagState::pilot);
}

TEST_F(Decide, HoldsAsManyCombinationsAsAllowed) {
  row(FlagState::production);
  for (unsigned flags = 1; (2u << flags) <= core::limits::kMaxUnitCombinations; flags++) {
    build.row(tenant, build.flag("more" + std::to_string(flags), chat), FlagState::production);
  }
  ASSERT_EQ(build.at(chat).combinations.size(), core::limits::kMaxUnitCombinations);
  EXPECT_EQ(run().unit, build.at(chat).combinations.back());
}

// ---- kills and fallbacks ----

// Every scope against every standing of the request: "arm unit reason" or the error.
TEST_F(Decide, ObeysKillsAsInThisTable) {
  const ModelIndex elsewhere = build.model("elsewhere", "elsewhere");
  const UnitIndex reserve = build.unit("reserve", elsewhere);
  build.at(chat).fallback = {{.kind = FallbackHop::Kind::cached, .unit = {}, .on = 0, .text = {}},
                             {.kind = FallbackHop::Kind::unit, .unit = reserve, .on = 1, .text = {}}};
  build.at(tenant).models = {ModelIndex{0}};
  row(FlagState::production).on_rollback = OnRollback::finish;

  struct Scope {
    const char* name;
    std::function<void(Table&)> apply;
  };
  const auto stable_unit = [&](Table& t) { kill_unit(t, stable); };
  const auto candidate_unit = [&](Table& t) { kill_unit(t, candidate); };
  const auto provider = [&](Table& t) { kill(t.kills.providers, t, ProviderIndex{0}); };
  const auto reserve_unit = [&](Table& t) { kill_unit(t, reserve); };
  const std::vector<Scope> scopes = {
      {"nothing", [](Table&) {}},
      {"global", [](Table& t) { t.kills.any = t.kills.global = true; }},
      {"tenant", [&](Table& t) { t.kills.any = true, t.kills.tenants = {tenant}; }},
      {"scenario", [&](Table& t) { kill(t.kills.scenarios, t, chat); }},
      {"flag", [&](Table& t) { kill(t.kills.flags, t, flag); }},
      {"candidate", candidate_unit},
      {"stable", stable_unit},
      {"both", [&](Table& t) { candidate_unit(t), stable_unit(t); }},
      {"provider", provider},
      {"all units", [&](Table& t) { provider(t), reserve_unit(t); }},
      {"direct unit", [&](Table& t) { kill_unit(t, build.body().direct_units[0]); }},
  };
  std::string outcome;
  for (const Scope& scope : scopes) {
    outcome += "\n" + std::string(scope.name) + ":";
    for (const std::string standing : {"fresh", "pinned stable", "pinned candidate", "direct"}) {
      DecideInput request = input;
      if (standing == "direct") {
        request.scenario_header = "";
        request.model = "model";
      }
      if (standing.starts_with("pinned")) {
        request.conversation = "c-1";
        request.pinned_unit = hash(standing == "pinned stable" ? stable : candidate);
      }
      Table table = build.build();
      scope.apply(table);
      const auto decision = decide(table, *choose_scenario(table, request), request);
      outcome += " | ";
      if (!decision) {
        outcome += core::describe(decision.error().code).token;
      } else {
        outcome.append(token(decision->arm)).append(" ").append(build.body()[decision->unit].name);
        outcome.append(" ").append(token(decision->reason));
      }
    }
  }
  // clang-format off
  EXPECT_EQ(outcome,
            // fresh                           | pinned stable            | pinned candidate             | direct
"\nnothing: | candidate chat/1 production | stable stable pinned | candidate chat/1 pinned | stable model-direct direct"
"\nglobal: | killed | killed | killed | killed"
"\ntenant: | killed | killed | killed | killed"
"\nscenario: | killed | killed | killed | stable model-direct direct"
"\nflag: | stable stable killed | stable stable pinned | stable stable killed | stable model-direct direct"
"\ncandidate: | stable stable killed | stable stable pinned | stable stable killed | stable model-direct direct"
"\nstable: | candidate chat/1 production | fallback reserve killed | candidate chat/1 pinned | stable model-direct direct"
"\nboth: | fallback reserve killed | fallback reserve killed | fallback reserve killed | stable model-direct direct"
"\nprovider: | fallback reserve killed | fallback reserve killed | fallback reserve killed | killed"
"\nall units: | killed | killed | killed | killed"
"\ndirect unit: | candidate chat/1 production | stable stable pinned | candidate chat/1 pinned | killed");
  // clang-format on
}

TEST_F(Decide, AnswersAStaticTextWhenEveryUnitIsKilled) {
  build.at(chat).fallback = {{.kind = FallbackHop::Kind::unit, .unit = stable, .on = 1, .text = {}},
                             {.kind = FallbackHop::Kind::cached, .unit = {}, .on = 0, .text = {}},
                             {.kind = FallbackHop::Kind::static_text, .unit = {}, .on = 0, .text = "later"}};
  Table table = build.build();
  kill_unit(table, stable);
  const Decision decision = *run(table);
  expect(decision, Arm::fallback, stable, Reason::killed);
  ASSERT_EQ(decision.hop, 2);
  EXPECT_EQ(table.body->scenarios[0].fallback[*decision.hop].text, "later");
}

TEST_F(Decide, WalksTheFallbackChainByCause) {
  const UnitIndex a = build.unit("a");
  const UnitIndex b = build.unit("b");
  const auto on = [](FallbackCause cause) { return static_cast<uint8_t>(cause); };
  build.at(chat).fallback = {
      {.kind = FallbackHop::Kind::unit, .unit = a, .on = on(FallbackCause::timeout), .text = {}},
      {.kind = FallbackHop::Kind::unit, .unit = b, .on = on(FallbackCause::connect), .text = {}},
      {.kind = FallbackHop::Kind::static_text, .unit = {}, .on = 0, .text = "later"}};
  Table table = build.build();
  const std::vector<FallbackHop>& chain = table.body->scenarios[0].fallback;

  uint32_t next = 0;
  EXPECT_EQ(next_fallback(table, chat, FallbackCause::timeout, &next), &chain[0]);
  EXPECT_EQ(next_fallback(table, chat, FallbackCause::timeout, &next), &chain[2]);
  EXPECT_EQ(next_fallback(table, chat, FallbackCause::timeout, &next), nullptr);
  EXPECT_EQ(next, chain.size());
  next = 0;
  EXPECT_EQ(next_fallback(table, chat, FallbackCause::connect, &next), &chain[1]);
  EXPECT_EQ(next, 2u);
  next = 0;
  kill_unit(table, b);
  EXPECT_EQ(next_fallback(table, chat, FallbackCause::connect, &next), &chain[2]);
}

TEST_F(Decide, ReachesTheLastHopOfTheLongestChain) {
  build.at(chat).fallback.resize(core::limits::kMaxFallbackHops);
  build.at(chat).fallback.back() = {
      .kind = FallbackHop::Kind::static_text, .unit = {}, .on = 0, .text = "later"};
  Table table = build.build();
  uint32_t next = 0;
  EXPECT_EQ(next_fallback(table, chat, FallbackCause::refusal, &next),
            &table.body->scenarios[0].fallback.back());
  EXPECT_EQ(next_fallback(table, chat, FallbackCause::refusal, &next), nullptr);
}

TEST(Tokens, AreTheWordsOfTheTable) {
  EXPECT_EQ(token(Reason::fallback), "fallback");
  EXPECT_EQ(sentence(Reason::fallback), "an earlier hop of the chain failed");
  EXPECT_EQ(token(Arm::shadow), "shadow");
  EXPECT_EQ(token(FlagState::production), "production");
  EXPECT_EQ(token(StickyKey::tenant), "tenant");
}

}  // namespace
}  // namespace weir::routing
