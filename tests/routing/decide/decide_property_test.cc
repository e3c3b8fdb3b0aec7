// decide() against a slow, obvious reading of DESIGN section 4 over random tables, and the laws of the split.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "routing/decide/decide.h"
#include "routing/decide/explain.h"
#include "routing/decide/segments.h"
#include "tests/routing/decide/table_builder.h"

namespace weir::routing {
namespace {

using core::ErrorCode;

// ---- the reference: words of the design, no packed rows, no streaming hash, no bit tricks ----

uint32_t slow_murmur(const std::string& text) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[i])); };
  const auto rotate = [](uint32_t x, int n) { return x << n | x >> (32 - n); };
  uint32_t hash = 0;
  size_t i = 0;
  for (; i + 4 <= text.size(); i += 4) {
    const uint32_t word = byte(i) | byte(i + 1) << 8 | byte(i + 2) << 16 | byte(i + 3) << 24;
    hash = rotate(hash ^ rotate(word * 0xcc9e2d51u, 15) * 0x1b873593u, 13) * 5 + 0xe6546b64u;
  }
  uint32_t tail = 0;
  for (size_t k = text.size(); k > i; k--) tail = tail << 8 | byte(k - 1);
  hash ^= rotate(tail * 0xcc9e2d51u, 15) * 0x1b873593u;
  hash ^= static_cast<uint32_t>(text.size());
  hash = (hash ^ hash >> 16) * 0x85ebca6bu;
  hash = (hash ^ hash >> 13) * 0xc2b2ae35u;
  return hash ^ hash >> 16;
}

bool slow_test(const TableBody&, const ConditionStep& step, const AttributeValues& values) {
  using Kind = ConditionStep::Kind;
  const auto* value = values.find(step.attribute);
  if (value == nullptr) return false;
  const std::string text(value->text());
  if (step.kind == Kind::equals) return text == step.operands.at(0);
  if (step.kind == Kind::is_true) return value->boolean;
  if (step.kind == Kind::greater) return value->number > step.number;
  throw std::logic_error("the generator makes no other steps");
}

bool slow_matches(const TableBody& body, SegmentIndex index, const AttributeValues& values) {
  using Kind = ConditionStep::Kind;
  std::vector<bool> stack;
  for (const ConditionStep& step : body[index].steps) {
    if (step.kind == Kind::negate) {
      stack.back() = !stack.back();
    } else if (step.kind == Kind::all || step.kind == Kind::any) {
      const std::vector<bool> top(stack.end() - step.count, stack.end());
      stack.resize(stack.size() - step.count);
      bool every = true;
      bool some = false;
      for (const bool result : top) every = every && result, some = some || result;
      stack.push_back(step.kind == Kind::all ? every : some);
    } else {
      stack.push_back(slow_test(body, step, values));
    }
  }
  return stack.at(0);
}

struct Expected {
  bool killed = false;
  std::optional<FlagIndex> flag;
  FlagState state = FlagState::off;
  Arm arm = Arm::stable;
  UnitIndex unit{};
  Reason reason = Reason::no_flag;
  bool pin = false;
  bool restart = false;
  std::optional<uint8_t> hop;
};

class Reference {
 public:
  Reference(const Table& table, const TenantSpec& tenant, ScenarioIndex scenario, const DecideInput& input)
      : table_(table),
        body_(*table.body),
        tenant_(tenant),
        scenario_(body_[scenario]),
        index_(scenario),
        input_(input) {}

  Expected decide() {
    Expected expected;
    if (table_.kills.any) {
      bool tenant_killed = false;
      for (const TenantIndex tenant : table_.kills.tenants) tenant_killed |= tenant == input_.tenant;
      if (table_.kills.global || tenant_killed || table_.kills.scenarios[static_cast<size_t>(index_)]) {
        return refused();
      }
    }
    expected.unit = scenario_.stable;
    if (!scenario_.flags.empty()) walk(expected);
    if (is_killed(expected.unit)) {
      expected.unit = scenario_.stable;
      expected.arm = Arm::stable;
      expected.reason = Reason::killed;
      if (is_killed(expected.unit) && !fall_back(expected)) return refused();
    }
    expected.restart = restart_ && *input_.pinned_unit != body_[expected.unit].short_hash;
    expected.pin = !input_.conversation.empty() && !scenario_.flags.empty() &&
                   (!input_.pinned_unit || *input_.pinned_unit != body_[expected.unit].short_hash);
    return expected;
  }

  // Why a flag applies or not, taken by itself.
  Reason own_reason(FlagIndex flag) const { return row(flag) == nullptr ? Reason::no_row : judge(flag); }

 private:
  static Expected refused() {
    Expected expected;
    expected.killed = true;
    return expected;
  }

  bool is_killed(UnitIndex unit) const {
    if (!table_.kills.any) return false;
    const ProviderIndex provider = body_[body_[unit].model].provider;
    return table_.kills.units[static_cast<size_t>(unit)] ||
           table_.kills.providers[static_cast<size_t>(provider)];
  }

  bool fall_back(Expected& expected) const {
    for (size_t i = 0; i < scenario_.fallback.size(); i++) {
      const FallbackHop& hop = scenario_.fallback[i];
      if (hop.kind == FallbackHop::Kind::cached) continue;
      if (hop.kind == FallbackHop::Kind::unit && is_killed(hop.unit)) continue;
      if (hop.kind == FallbackHop::Kind::unit) expected.unit = hop.unit;
      expected.arm = Arm::fallback;
      expected.hop = static_cast<uint8_t>(i);
      return true;
    }
    return false;
  }

  const TenantFlag* row(FlagIndex flag) const {
    for (const TenantFlag& row : tenant_.flags) {
      if (row.flag == flag) return &row;
    }
    return nullptr;
  }

  bool flag_killed(FlagIndex flag) const {
    return table_.kills.any && table_.kills.flags[static_cast<size_t>(flag)];
  }

  // no_flag stands for "runs".
  Reason standing(const TenantFlag& row) const {
    if (row.state == FlagState::off) return Reason::off;
    if (input_.wall_now_ns < row.start_ns) return Reason::not_started;
    if (input_.wall_now_ns >= row.expires_ns && row.on_expiry == ExpiryAction::off) return Reason::expired;
    return Reason::no_flag;
  }

  bool any_matches(const std::vector<SegmentIndex>& segments) const {
    const AttributeValues nothing;
    for (const SegmentIndex segment : segments) {
      if (slow_matches(body_, segment, input_.attributes != nullptr ? *input_.attributes : nothing))
        return true;
    }
    return false;
  }

  Reason judge(FlagIndex index) const {
    const TenantFlag& own = *row(index);
    if (flag_killed(index)) return Reason::killed;
    if (const Reason reason = standing(own); reason != Reason::no_flag) return reason;
    if (any_matches(body_[index].exclude)) return Reason::excluded;
    if (own.state == FlagState::production) return Reason::production;
    if (any_matches(own.segments)) return Reason::segment;
    std::optional<std::string> sticky;
    for (const StickyKey kind : scenario_.sticky_by) {
      const std::string value(kind == StickyKey::conversation ? input_.conversation
                              : kind == StickyKey::user       ? input_.user
                                                              : std::string_view(tenant_.id));
      if (!sticky && !value.empty()) sticky = value;
    }
    if (!sticky) return Reason::no_sticky_key;
    const uint64_t hash = slow_murmur(body_[index].salt + ":" + *sticky);
    return hash * 100'000 / 4'294'967'296 < own.milli_percent ? Reason::split_in : Reason::split_out;
  }

  // Every flag of the combination that was rolled back; a killed one, or a killed unit, forbids a restart.
  bool asks_for_restart(size_t mask) const {
    bool restart = false;
    for (size_t bit = 0; bit < scenario_.flags.size(); bit++) {
      if ((mask >> bit & 1) == 0) continue;
      if (flag_killed(scenario_.flags[bit])) return false;
      const TenantFlag* own = row(scenario_.flags[bit]);
      restart |=
          own != nullptr && own->on_rollback == OnRollback::restart && standing(*own) != Reason::no_flag;
    }
    return restart && !is_killed(scenario_.combinations[mask]);
  }

  void walk(Expected& expected) {
    size_t left = 0, restarts = 0;
    for (size_t mask = 0; input_.pinned_unit && mask < scenario_.combinations.size(); mask++) {
      if (body_[scenario_.combinations[mask]].short_hash != *input_.pinned_unit) continue;
      bool allowed = true;
      for (size_t bit = 0; bit < scenario_.flags.size(); bit++) {
        if ((mask >> bit & 1) == 0) continue;
        const TenantFlag* own = row(scenario_.flags[bit]);
        if (own == nullptr || flag_killed(scenario_.flags[bit]) ||
            (standing(*own) != Reason::no_flag && own->on_rollback != OnRollback::finish)) {
          allowed = false;
        }
      }
      if (!allowed) {
        left++;
        restarts += asks_for_restart(mask) ? 1 : 0;
        continue;
      }
      expected.unit = scenario_.combinations[mask];
      expected.arm = mask == 0 ? Arm::stable : Arm::candidate;
      expected.reason = Reason::pinned;
      for (size_t bit = scenario_.flags.size(); bit-- > 0;) {
        const TenantFlag* own = row(scenario_.flags[bit]);
        if (mask == 0 ? own != nullptr : (mask >> bit & 1) != 0) {
          expected.flag = scenario_.flags[bit];
          expected.state = own->state;
        }
      }
      return;
    }
    restart_ = left > 0 && restarts == left;
    size_t mask = 0;
    expected.reason = Reason::no_row;
    for (size_t bit = scenario_.flags.size(); bit-- > 0;) {  // the first flag has the last word
      const FlagIndex flag = scenario_.flags[bit];
      if (row(flag) == nullptr) continue;
      const Reason reason = judge(flag);
      const bool in = reason == Reason::production || reason == Reason::segment || reason == Reason::split_in;
      if (in || mask == 0) {
        expected.flag = flag;
        expected.state = row(flag)->state;
        expected.reason = reason;
      }
      if (in) mask |= size_t{1} << bit;
    }
    expected.unit = scenario_.combinations[mask];
    expected.arm = mask == 0 ? Arm::stable : Arm::candidate;
  }

  const Table& table_;
  const TableBody& body_;
  const TenantSpec& tenant_;  // as it was written
  const Scenario& scenario_;
  const ScenarioIndex index_;
  const DecideInput& input_;
  bool restart_ = false;
};

// ---- random tables and requests ----

class World {
 public:
  explicit World(uint64_t seed) : random_(seed) {
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
  unsigned below(unsigned bound) { return static_cast<unsigned>(random_() % bound); }
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
        ASSERT_EQ(outcome->error().code, ErrorCode::killed);
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

  std::mt19937_64 random_;
  TableBuilder build_;
  AttributeIndex staff_{};
  AttributeIndex region_{};
  AttributeIndex age_{};
  std::vector<SegmentIndex> segments_;
  std::vector<ScenarioIndex> scenarios_;
  std::vector<FlagIndex> flags_;
  Table table_;
};

TEST(DecideProperty, AgreesWithTheReferenceOnRandomTables) {
  for (uint64_t seed = 1; seed <= 250; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(seed);
    for (int kills = 0; kills < 8; kills++) world.check(125);
    if (HasFatalFailure()) return;
  }
}

// ---- the laws of the split ----

class Split : public ::testing::Test {
 protected:
  Split() {
    scenario = build.scenario("chat", build.unit("stable"));
    const FlagIndex flag = build.flag("v2", scenario);
    tenant = build.tenant("bank");
    build.key(tenant);
    row = &build.row(tenant, flag, FlagState::pilot);
  }

  // Who of u0 .. u<count-1> gets the candidate at this percentage.
  std::vector<bool> candidates(uint32_t milli_percent, unsigned count) {
    row->milli_percent = milli_percent;
    const Table table = build.build();
    std::vector<bool> in(count);
    for (unsigned i = 0; i < count; i++) {
      const std::string user = "u" + std::to_string(i);
      DecideInput input;
      input.user = user;
      in[i] = decide(table, {.scenario = scenario, .model = std::nullopt}, input)->arm == Arm::candidate;
    }
    return in;
  }

  TableBuilder build;
  ScenarioIndex scenario{};
  TenantIndex tenant{};
  TenantFlag* row = nullptr;
};

TEST_F(Split, OnlyAddsPeopleWhenThePercentageRises) {
  std::vector<bool> before(20'000, false);
  for (const uint32_t milli_percent : {1u, 5'000u, 25'000u, 50'000u, 99'999u, 100'000u}) {
    const std::vector<bool> now = candidates(milli_percent, 20'000);
    for (size_t i = 0; i < now.size(); i++) ASSERT_TRUE(now[i] || !before[i]) << "u" << i << " moved back";
    before = now;
  }
  EXPECT_EQ(std::count(before.begin(), before.end(), true), 20'000);
}

TEST_F(Split, GivesFivePercentToFivePercent) {
  const std::vector<bool> in = candidates(5'000, 100'000);
  // The standard deviation is 0.07 points; 0.3 are more than four of them.
  EXPECT_NEAR(static_cast<double>(std::count(in.begin(), in.end(), true)) / 1000, 5.0, 0.3);
}

}  // namespace
}  // namespace weir::routing
