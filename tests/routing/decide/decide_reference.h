// decide() once more, slow and obvious: the words of DESIGN section 4, with no packed rows, no streaming hash and
// no bit tricks. It reads tenants as they were written (TenantSpec), not as the table packs them.
//
// It knows the conditions equals, is_true and greater, and no pilot's limits: those are the guards' matter.
#pragma once

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "routing/decide/decide.h"
#include "routing/table/tenant_spec.h"

namespace weir::routing {

inline uint32_t slow_murmur(const std::string& text) {
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

inline bool slow_test(const TableBody&, const ConditionStep& step, const AttributeValues& values) {
  using Kind = ConditionStep::Kind;
  const auto* value = values.find(step.attribute);
  if (value == nullptr) return false;
  const std::string text(value->text());
  if (step.kind == Kind::equals) return text == step.operands.at(0);
  if (step.kind == Kind::is_true) return value->boolean;
  if (step.kind == Kind::greater) return value->number > step.number;
  throw std::logic_error("the generator makes no other steps");
}

inline bool slow_matches(const TableBody& body, SegmentIndex index, const AttributeValues& values) {
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
    if (table_.kills.units[static_cast<size_t>(unit)]) return true;
    const Model& model = body_[body_[unit].model];
    bool somebody_is_left = false;
    for (size_t i = 0; i < std::max<size_t>(model.hosts.size(), 1); i++) {
      const auto provider = static_cast<size_t>(model.provider_at(i));
      somebody_is_left = somebody_is_left || !table_.kills.providers[provider];
    }
    return !somebody_is_left;
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

}  // namespace weir::routing
