// A table, tenants, kills and requests drawn by choices, and decide() compared with the reference evaluator
// on them. Fails with gtest's ASSERT_*; stop at HasFatalFailure().
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "routing/decide/decide.h"
#include "routing/decide/explain.h"
#include "routing/decide/segments.h"
#include "tests/routing/decide/decide_reference.h"
#include "tests/routing/decide/table_builder.h"

namespace weir::routing {

class DecideWorld {
 public:
  using Choose = std::function<unsigned(unsigned bound)>;  // a number below `bound`
  explicit DecideWorld(Choose choose) : choose_(std::move(choose)) {
    staff_ = build_.attribute("staff", AttributeKind::boolean);
    region_ = build_.attribute("region", AttributeKind::string);
    age_ = build_.attribute("age", AttributeKind::number);
    const ModelIndex other = build_.model("other", "other-provider");
    for (unsigned i = 0; i < 5; i++)
      segments_.push_back(build_.segment("s" + std::to_string(i), condition()));
    const unsigned scenarios = 1 + below(4);
    for (unsigned s = 0; s < scenarios; s++) {
      const std::string name = "scenario" + std::to_string(s);
      const ScenarioIndex scenario = build_.scenario(name, build_.unit(name + "-stable"), sticky());
      const unsigned hops = below(3);
      for (unsigned h = 0; h < hops; h++) {
        FallbackHop hop;
        hop.kind = static_cast<FallbackHop::Kind>(below(3));
        if (hop.kind == FallbackHop::Kind::unit)
          hop.unit = build_.unit(name + "-hop" + std::to_string(h), other);
        build_.at(scenario).fallback.push_back(hop);
      }
      scenarios_.push_back(scenario);
    }
    // Flags of different scenarios are declared in turns, as people do.
    const unsigned flags = below(4 * scenarios);
    for (unsigned f = 0; f < flags; f++) {
      const ScenarioIndex scenario = scenarios_[below(scenarios)];
      if (build_.at(scenario).flags.size() == 6) continue;
      const FlagIndex flag = build_.flag("flag" + std::to_string(f), scenario);
      if (one_in(4)) build_.at(flag).exclude = pick_segments();
      if (one_in(6)) {  // a layer that changes nothing: two combinations are the same unit
        Scenario& changed = build_.at(scenario);
        changed.combinations.back() = changed.combinations.front();
      }
      flags_.push_back(flag);
    }
    for (unsigned t = 0; t < 6; t++) add_tenant("tenant" + std::to_string(t));
    table_ = build_.build();
  }

  // Asks `count` requests under random kills.
  void check(unsigned count) {
    table_.kills = no_kills();
    if (one_in(2)) kill_something();
    for (unsigned i = 0; i < count; i++) ask();
  }

 private:
  unsigned below(unsigned bound) { return choose_(bound); }
  bool one_in(unsigned n) { return below(n) == 0; }
  int64_t moment() { return static_cast<int64_t>(below(8)); }

  std::vector<ConditionStep> condition() {
    using Kind = ConditionStep::Kind;
    std::vector<ConditionStep> steps;
    const unsigned tests = 1 + below(3);
    for (unsigned i = 0; i < tests; i++) {
      switch (below(3)) {
        case 0:
          steps.push_back(number_step(Kind::is_true, staff_));
          break;
        case 1:
          steps.push_back(text_step(Kind::equals, region_, {"eu"}));
          break;
        default:
          steps.push_back(number_step(Kind::greater, age_, 30));
          break;
      }
      if (one_in(3)) steps.push_back(join(Kind::negate));
    }
    if (tests > 1) steps.push_back(join(one_in(2) ? Kind::all : Kind::any, tests));
    return steps;
  }

  std::vector<StickyKey> sticky() {
    std::vector<StickyKey> keys;
    for (const StickyKey key : {StickyKey::conversation, StickyKey::user, StickyKey::tenant}) {
      if (one_in(2)) keys.push_back(key);
    }
    return keys;
  }

  std::vector<SegmentIndex> pick_segments() {
    std::vector<SegmentIndex> picked;
    for (const SegmentIndex segment : segments_) {
      if (one_in(3)) picked.push_back(segment);
    }
    return picked;
  }

  void add_tenant(const std::string& id) {
    const TenantIndex tenant = build_.tenant(id);
    build_.key(tenant);
    const unsigned density = 1 + below(3);  // 1: rows on all flags
    for (const FlagIndex flag : flags_) {
      if (!one_in(density)) continue;
      static constexpr uint32_t kPercents[] = {0, 1, 5'000, 50'000, 99'999, 100'000};
      TenantFlag& row = build_.row(tenant, flag, static_cast<FlagState>(below(3)), kPercents[below(6)]);
      if (one_in(2)) row.segments = pick_segments();
      if (one_in(4)) row.start_ns = moment();
      if (one_in(4)) row.expires_ns = moment();
      row.on_expiry = static_cast<ExpiryAction>(below(3));
      row.on_rollback = static_cast<OnRollback>(below(3));
    }
  }

  Kills no_kills() const {
    Kills kills = table_.kills;
    kills.any = kills.global = false;
    kills.tenants.clear();
    for (auto* bits : {&kills.providers, &kills.units, &kills.scenarios, &kills.flags}) {
      bits->assign(bits->size(), false);
    }
    return kills;
  }

  void kill_something() {
    Kills& kills = table_.kills;
    kills.any = true;
    kills.global = one_in(40);
    if (one_in(6)) kills.tenants = {TenantIndex{1}, TenantIndex{4}};
    for (auto* bits : {&kills.providers, &kills.units, &kills.scenarios, &kills.flags}) {
      if (bits->empty() || one_in(2)) continue;
      for (unsigned n = 1 + below(3); n > 0; n--) (*bits)[below(static_cast<unsigned>(bits->size()))] = true;
    }
  }

  void ask() {
    const ScenarioIndex scenario = scenarios_[below(static_cast<unsigned>(scenarios_.size()))];
    const std::string conversation = one_in(2) ? "" : "c" + std::to_string(below(1000));
    const std::string user = one_in(3) ? "" : "u" + std::to_string(below(100'000));
    AttributeValues values;
    if (one_in(2)) values.set(staff_, {.data = "", .size = 0, .number = 0, .boolean = one_in(2)});
    if (one_in(2))
      values.set(region_, {.data = "eu", .size = one_in(2) ? 2u : 1u, .number = 0, .boolean = false});
    if (one_in(2)) values.set(age_, {.data = "", .size = 0, .number = 20.0 + below(30), .boolean = false});

    DecideInput input;
    const unsigned tenant = below(6);
    input.key = KeyIndex{tenant};
    input.tenant = TenantIndex{tenant};
    input.scenario_header = build_.at(scenario).name;
    input.conversation = conversation;
    input.user = user;
    input.attributes = one_in(8) ? nullptr : &values;
    input.wall_now_ns = moment();
    if (!conversation.empty() && one_in(2)) {
      const std::vector<UnitIndex>& units = build_.at(scenario).combinations;
      input.pinned_unit =
          one_in(8) ? 12345 : build_.body()[units[below(static_cast<unsigned>(units.size()))]].short_hash;
    }
    compare(scenario, input);
  }

  void compare(ScenarioIndex scenario, const DecideInput& input) {
    const auto choice = choose_scenario(table_, input);
    ASSERT_TRUE(choice.has_value());
    ASSERT_EQ(choice->scenario, scenario);
    Reference reference(table_, build_.at(input.tenant), scenario, input);
    const Expected expected = reference.decide();
    const auto decision = decide(table_, *choice, input);
    const Explanation explanation =
        one_in(16) ? explain(table_, input) : Explanation{7, {{"", true, ""}}, decision};
    for (const auto* outcome : {&decision, &explanation.decision}) {
      ASSERT_EQ(outcome->has_value(), !expected.killed);
      if (!*outcome) {
        ASSERT_EQ(outcome->error().code, core::ErrorCode::killed);
        continue;
      }
      const Decision& actual = **outcome;
      ASSERT_EQ(token(actual.reason), token(expected.reason));
      ASSERT_EQ(actual.unit, expected.unit);
      ASSERT_EQ(token(actual.arm), token(expected.arm));
      ASSERT_EQ(actual.flag, expected.flag);
      ASSERT_EQ(actual.state, expected.state);
      ASSERT_EQ(actual.pin, expected.pin);
      ASSERT_EQ(actual.restart, expected.restart);
      ASSERT_EQ(actual.hop, expected.hop);
      ASSERT_EQ(actual.scenario, scenario);
      ASSERT_EQ(actual.tenant, input.tenant);
    }
    ASSERT_FALSE(explanation.steps.empty());
    compare_standings(reference, scenario, input, decision);
  }

  // What is said of each flag by itself.
  void compare_standings(const Reference& reference, ScenarioIndex scenario, const DecideInput& input,
                         const core::Result<Decision>& decision) {
    const Scenario& row = build_.at(scenario);
    for (size_t bit = 0; bit < row.flags.size(); bit++) {
      const FlagStanding standing =
          flag_standing(table_, input, decision ? &*decision : nullptr, row.flags[bit]);
      const Reason own = reference.own_reason(row.flags[bit]);
      ASSERT_EQ(standing.has_row, own != Reason::no_row);
      if (!decision) {
        ASSERT_FALSE(standing.applies);
        ASSERT_EQ(token(standing.reason), token(Reason::killed));
        continue;
      }
      ASSERT_EQ(standing.applies, (decision->combination >> bit & 1) != 0);
      const bool in = own == Reason::production || own == Reason::segment || own == Reason::split_in;
      const Reason expected = decision->reason == Reason::pinned        ? Reason::pinned
                              : !in || standing.applies                 ? own
                              : decision->reason == Reason::pilot_limit ? Reason::pilot_limit
                                                                        : Reason::killed;
      ASSERT_EQ(token(standing.reason), token(expected));
    }
  }

  Choose choose_;
  TableBuilder build_;
  AttributeIndex staff_{};
  AttributeIndex region_{};
  AttributeIndex age_{};
  std::vector<SegmentIndex> segments_;
  std::vector<ScenarioIndex> scenarios_;
  std::vector<FlagIndex> flags_;
  Table table_;
};

}  // namespace weir::routing
