// Open conversations: which unit they keep, and what makes them leave it.
#include "tests/routing/decide/decide_fixture.h"

namespace weir::routing {
namespace {

TEST_F(Decide, PinsAConversationOnceUntilItsUnitChanges) {
  row(FlagState::production);
  EXPECT_FALSE(run().pin);
  input.conversation = "c-1";
  EXPECT_TRUE(run().pin);
  input.pinned_unit = hash(candidate);
  EXPECT_FALSE(run().pin);
}

TEST_F(Decide, KeepsAPinnedConversationThroughRampsUpAndDown) {
  TenantFlag& flag_row = row(FlagState::pilot, 0);
  input.conversation = "c-1";
  input.pinned_unit = hash(candidate);
  expect(run(), Arm::candidate, candidate, Reason::pinned);
  flag_row.state = FlagState::production;
  input.pinned_unit = hash(stable);
  const Decision decision = run();
  expect(decision, Arm::stable, stable, Reason::pinned);
  EXPECT_EQ(decision.flag, flag);
  EXPECT_EQ(decision.state, FlagState::production);
}

TEST_F(Decide, KeepsAPinWhoseUserIsExcludedLater) {
  row(FlagState::production);
  build.at(flag).exclude = {internal};
  be_staff();
  input.conversation = "c-1";
  input.pinned_unit = hash(candidate);
  expect(run(), Arm::candidate, candidate, Reason::pinned);
}

TEST_F(Decide, IgnoresAPinToAUnitThatTheScenarioNoLongerHas) {
  row(FlagState::pilot, 0);
  input.conversation = "c-1";
  input.pinned_unit = hash(build.unit("from-another-time"));
  const Decision decision = run();
  expect(decision, Arm::stable, stable, Reason::split_out);
  EXPECT_TRUE(decision.pin);
}

TEST_F(Decide, LeavesAPinAtTheNextTurnAfterARollback) {
  input.conversation = "c-1";
  input.pinned_unit = hash(candidate);
  expect(run(), Arm::stable, stable, Reason::no_row);  // the row was deleted
  TenantFlag& flag_row = row(FlagState::off);
  for (const OnRollback action : {OnRollback::switch_next_turn, OnRollback::restart}) {
    flag_row.on_rollback = action;
    flag_row.state = FlagState::off;
    expect(run(), Arm::stable, stable, Reason::off);
    flag_row.state = FlagState::production;
    flag_row.expires_ns = 5;
    expect(run(), Arm::stable, stable, Reason::expired);
    flag_row.expires_ns = INT64_MAX;
    flag_row.start_ns = INT64_MAX;
    expect(run(), Arm::stable, stable, Reason::not_started);
    flag_row.start_ns = INT64_MIN;
  }
}

TEST_F(Decide, AsksForARestartIfTheRowSaysSoAndTheUnitChanges) {
  TenantFlag& flag_row = row(FlagState::off);
  flag_row.on_rollback = OnRollback::restart;
  input.conversation = "c-1";
  EXPECT_FALSE(run().restart) << "it has not begun";
  input.pinned_unit = hash(stable);
  EXPECT_FALSE(run().restart) << "it keeps its unit";
  input.pinned_unit = hash(candidate);
  const Decision decision = run();
  EXPECT_TRUE(decision.restart);
  EXPECT_TRUE(decision.pin);
  expect(decision, Arm::stable, stable, Reason::off);
  flag_row.on_rollback = OnRollback::switch_next_turn;
  EXPECT_FALSE(run().restart);
  flag_row.on_rollback = OnRollback::restart;
  flag_row.state = FlagState::production;
  EXPECT_FALSE(run().restart) << "nothing was rolled back";
}

TEST_F(Decide, AKillSwitchesWhateverTheRowSaysOfRollbacks) {
  TenantFlag& flag_row = row(FlagState::off);
  flag_row.on_rollback = OnRollback::restart;
  input.conversation = "c-1";
  input.pinned_unit = hash(candidate);
  Table table = build.build();
  kill(table.kills.flags, table, flag);
  EXPECT_FALSE(run(table)->restart);
  EXPECT_EQ(run(table)->unit, stable);
  table = build.build();
  kill_unit(table, candidate);
  EXPECT_FALSE(run(table)->restart);
  EXPECT_EQ(run(table)->unit, stable);
}

TEST_F(Decide, TellsOfEachFlagHowItStands) {
  const FlagIndex second = build.flag("second", chat);
  const FlagIndex third = build.flag("third", chat);
  row(FlagState::pilot, kEverybody);
  build.row(tenant, second, FlagState::off, 7);
  const Table table = build.build();
  const auto choice = choose_scenario(table, input);
  const Decision decision = *decide(table, *choice, input);
  EXPECT_EQ(decision.reason, Reason::split_in);

  const FlagStanding first_stands = flag_standing(table, input, &decision, flag);
  EXPECT_TRUE(first_stands.applies);
  EXPECT_EQ(first_stands.reason, Reason::split_in);
  EXPECT_EQ(first_stands.milli_percent, kEverybody);
  const FlagStanding second_stands = flag_standing(table, input, &decision, second);
  EXPECT_FALSE(second_stands.applies);
  EXPECT_EQ(second_stands.reason, Reason::off);
  EXPECT_EQ(second_stands.milli_percent, 7u);
  EXPECT_FALSE(flag_standing(table, input, &decision, third).has_row);
  EXPECT_EQ(flag_standing(table, input, &decision, third).reason, Reason::no_row);
  EXPECT_EQ(flag_standing(table, input, nullptr, flag).reason, Reason::killed);
  EXPECT_FALSE(flag_standing(table, input, nullptr, flag).applies);
}

TEST_F(Decide, LetsOpenConversationsFinishIfTheRowSaysSo) {
  TenantFlag& flag_row = row(FlagState::off);
  flag_row.on_rollback = OnRollback::finish;
  input.conversation = "c-1";
  input.pinned_unit = hash(candidate);
  expect(run(), Arm::candidate, candidate, Reason::pinned);
  flag_row.state = FlagState::production;
  flag_row.expires_ns = 5;
  expect(run(), Arm::candidate, candidate, Reason::pinned);
}

TEST_F(Decide, NeverLetsAPinWinOverAKilledFlag) {
  row(FlagState::production).on_rollback = OnRollback::finish;
  input.conversation = "c-1";
  input.pinned_unit = hash(candidate);
  Table table = build.build();
  kill(table.kills.flags, table, flag);
  const Decision decision = *run(table);
  expect(decision, Arm::stable, stable, Reason::killed);
  EXPECT_TRUE(decision.pin);
}

TEST_F(Decide, FindsThePinAmongCombinationsThatAreTheSameUnit) {
  const FlagIndex second = build.flag("second", chat);
  Scenario& scenario = build.at(chat);
  scenario.combinations[0b10] = scenario.combinations[0b01];
  row(FlagState::off);
  build.row(tenant, second, FlagState::pilot, 0);
  input.conversation = "c-1";
  input.pinned_unit = hash(candidate);
  const Decision decision = run();
  expect(decision, Arm::candidate, candidate, Reason::pinned);
  EXPECT_EQ(decision.combination, 0b10);
  EXPECT_EQ(decision.flag, second);
}

}  // namespace
}  // namespace weir::routing
