// The one code path of decide() and explain(); included by their two sources only.
//
// Trace is NoTrace or a type with `void step(std::string_view rule, bool matched, detail)`, where `detail` is
// called only by tracers that write and returns a std::string.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/assert.h"
#include "core/error.h"
#include "routing/decide/bucket.h"
#include "routing/decide/decide.h"
#include "routing/decide/row_index.h"
#include "routing/decide/segments.h"
#include "routing/table/table.h"

namespace weir::routing {

inline const AttributeValues kNothingSent{};

// Compiles to nothing.
struct NoTrace {
  template <typename Detail>
  void step(std::string_view, bool, Detail&&) {}
};

inline bool is_tenant_killed(const Kills& kills, TenantIndex tenant) {
  return std::binary_search(kills.tenants.begin(), kills.tenants.end(), tenant);
}

// The first hop at or after `first` for which `answers` holds and whose unit is not killed.
template <typename Answers>
std::optional<uint8_t> find_hop(const Table& table, const Scenario& scenario, uint32_t first,
                                Answers&& answers) {
  for (uint32_t at = first; at < scenario.fallback.size(); at++) {
    const FallbackHop& hop = scenario.fallback[at];
    if (!answers(hop)) continue;
    if (hop.kind == FallbackHop::Kind::unit && is_unit_killed(table, hop.unit)) continue;
    return static_cast<uint8_t>(at);
  }
  return std::nullopt;
}

struct StickyChoice {
  std::optional<StickyKey> kind;  // none: no sticky key was sent
  std::string_view key;
};

inline StickyChoice choose_sticky(const Table& table, const Scenario& scenario, const DecideInput& input) {
  for (const StickyKey kind : scenario.sticky_by) {
    if (kind == StickyKey::conversation && !input.conversation.empty()) return {kind, input.conversation};
    if (kind == StickyKey::user && !input.user.empty()) return {kind, input.user};
    if (kind == StickyKey::tenant) return {kind, table[input.tenant].id()};
  }
  return {};
}

// Walks one scenario's flags for one request.
template <typename Trace>
class FlagWalk {
 public:
  FlagWalk(const Table& table, ScenarioIndex scenario, const DecideInput& input, Trace& trace)
      : table_(table),
        body_(*table.body),
        scenario_(body_[scenario]),
        input_(input),
        trace_(trace),
        rows_(find_rows(body_, table[input.tenant], scenario)) {}

  // Sets flag, state, arm, unit, reason, combination, limited.
  void run(Decision& decision) {
    if (input_.pinned_unit && follow_pin(decision)) return;
    decision.restart = restart_;
    const StickyChoice sticky = choose_sticky(table_, scenario_, input_);
    const PackedRow* told = nullptr;  // the row that explains the outcome
    Reason reason = Reason::no_row;
    uint32_t combination = 0;
    uint32_t limited = 0;
    uint32_t timed = 0;
    uint32_t rows = 0;
    // Rows are sorted by bit, as flags are. Outcomes are as good as random from one row to the next, so they
    // are gathered without branching on them: a wrong guess costs as much as a murmur.
    for (const PackedRow& row : rows_.rows) {
      if (row.present == 0) continue;
      rows++;
      const FlagIndex flag = scenario_.flags[row.bit];
      const Outcome outcome = judge(flag, row, sticky);
      trace_.step("flag", outcome.applies, [&] {
        return fmt::format("flag {}: {} ({})", body_[flag].name, token(outcome.reason),
                           sentence(outcome.reason));
      });
      const uint32_t applies = outcome.applies;
      const bool tells = (applies & (combination == 0)) | (told == nullptr);
      told = tells ? &row : told;
      reason = tells ? outcome.reason : reason;
      combination |= applies << row.bit;
      const uint32_t pilots = applies & (state_of(row) == FlagState::pilot);
      limited |= (pilots & row.limited) << row.bit;
      timed |= (pilots & row.timed) << row.bit;
    }
    if (rows < scenario_.flags.size()) {
      trace_.step("flag", false, [&] { return flags_without_row(); });
    }
    decision.reason = reason;
    decision.combination = static_cast<uint8_t>(combination);
    decision.limited = static_cast<uint8_t>(limited);
    decision.unit = scenario_.combinations[combination];
    decision.arm = combination == 0 ? Arm::stable : Arm::candidate;
    if (told != nullptr) {
      decision.flag = scenario_.flags[told->bit];
      decision.state = state_of(*told);
    }
    if (timed != 0) end_pilot(timed, decision);
  }

  FlagStanding standing(const Decision* decision, FlagIndex index) {
    FlagStanding standing;
    const uint8_t bit = body_[index].bit;
    const PackedRow* row = row_of(bit);
    if (row != nullptr) {
      standing.has_row = true;
      standing.state = state_of(*row);
      standing.milli_percent = row->milli_percent;
    }
    if (decision == nullptr) {
      standing.reason = Reason::killed;
      return standing;
    }
    standing.applies = (decision->combination >> bit & 1) != 0;
    if (decision->reason == Reason::pinned) {
      standing.reason = Reason::pinned;
    } else if (row != nullptr) {
      const Outcome outcome = judge(index, *row, choose_sticky(table_, scenario_, input_));
      // Where it would apply and does not, a pilot has ended, or the unit is killed.
      const bool ended = decision->reason == Reason::pilot_limit;
      standing.reason = !outcome.applies || standing.applies ? outcome.reason
                        : ended                              ? Reason::pilot_limit
                                                             : Reason::killed;
    }
    return standing;
  }

 private:
  struct Outcome {
    bool applies;
    Reason reason;
  };

  bool is_flag_killed(FlagIndex flag) const { return table_.kills.any && is_set(table_.kills.flags, flag); }

  static FlagState state_of(const PackedRow& row) { return FlagState{static_cast<uint8_t>(row.state)}; }
  const RowTerms& terms_of(const PackedRow& row) const { return rows_.terms(row); }

  // Why the row does not run at this moment; none if it does.
  std::optional<Reason> stopped(const PackedRow& row) {
    if (state_of(row) == FlagState::off) return Reason::off;
    const RowTerms& terms = terms_of(row);
    if (input_.wall_now_ns < terms.start_ns) {
      trace_.step("start", true, [&] {
        return fmt::format("now {} ns is before the start at {} ns", input_.wall_now_ns, terms.start_ns);
      });
      return Reason::not_started;
    }
    if (input_.wall_now_ns >= terms.expires_ns) {
      const bool ends = terms.on_expiry == ExpiryAction::off;
      trace_.step("expiry", ends, [&] {
        return fmt::format("now {} ns is at or past the expiry at {} ns; on expiry the row {}",
                           input_.wall_now_ns, terms.expires_ns, ends ? "ends" : "goes on");
      });
      if (ends) return Reason::expired;
    }
    return std::nullopt;
  }

  // One flag on which the tenant has a row. Reason::killed .. Reason::production.
  Outcome judge(FlagIndex index, const PackedRow& row, const StickyChoice& sticky) {
    const Flag& flag = body_[index];
    if (is_flag_killed(index)) return {false, Reason::killed};
    if (const std::optional<Reason> reason = stopped(row)) return {false, *reason};
    if (matches_any(flag.exclude, "exclude")) return {false, Reason::excluded};
    if (state_of(row) == FlagState::production) return {true, Reason::production};
    if (matches_any(terms_of(row).segments(), "segment")) return {true, Reason::segment};
    if (!sticky.kind) {
      trace_.step("sticky_key", false, [&] { return std::string(sentence(Reason::no_sticky_key)); });
      return {false, Reason::no_sticky_key};
    }
    const uint32_t bucket = bucket_of(flag.split, sticky.key);
    const bool inside = bucket < row.milli_percent;
    trace_.step("split", inside, [&] {
      return fmt::format(
          "murmur3-32 of salt '{}', ':' and the {} key falls into bucket {} of {}; in if below {}", flag.salt,
          token(*sticky.kind), bucket, kBuckets, row.milli_percent);
    });
    return {inside, inside ? Reason::split_in : Reason::split_out};
  }

  bool matches_any(std::span<const SegmentIndex> segments, std::string_view rule) {
    const AttributeValues& values = input_.attributes == nullptr ? kNothingSent : *input_.attributes;
    for (const SegmentIndex segment : segments) {
      const bool match = matches(body_[segment], values);
      trace_.step(rule, match, [&] {
        return fmt::format("segment {} {}", body_[segment].name, match ? "matches" : "does not match");
      });
      if (match) return true;
    }
    return false;
  }

  // True when the conversation stays on the unit it began on. Two combinations may be the same unit: the
  // first that may still run counts. Else it is rolled back, if it was here at all: restart_ says how.
  bool follow_pin(Decision& decision) {
    const std::vector<uint64_t>& hashes = scenario_.combination_hashes;
    WEIR_ASSERT(hashes.size() == scenario_.combinations.size());
    bool known = false;
    for (size_t mask = 0; mask < hashes.size(); mask++) {
      if (hashes[mask] != *input_.pinned_unit) continue;
      const bool first = !std::exchange(known, true);
      const std::optional<Lost> lost = rolled_back_in(static_cast<uint8_t>(mask));
      if (lost) {
        // Of several ways to have come to this unit, one that asks for no restart is enough.
        restart_ = (restart_ || first) && lost->restart && !is_unit_killed(table_, scenario_.combinations[mask]);
        trace_.step("pin", false, [&] {
          return fmt::format("the conversation began on unit {}, but flag {} was killed or rolled back{}",
                             body_[scenario_.combinations[mask]].name, body_[lost->flag].name,
                             restart_ ? " and asks for a restart" : "");
        });
        continue;
      }
      keep(static_cast<uint8_t>(mask), decision);
      trace_.step("pin", true, [&] {
        return fmt::format("the conversation began on unit {} and keeps it", body_[decision.unit].name);
      });
      return true;
    }
    if (!known) {
      trace_.step("pin", false, [&] {
        return fmt::format("the conversation began on unit {:016x}, which this scenario no longer has",
                           *input_.pinned_unit);
      });
    }
    return false;
  }

  // The first of the pilots `timed` (a bit for each flag) whose time is over hands over to its previous unit,
  // as past_pilot_limit() does.
  void end_pilot(uint32_t timed, Decision& decision) {
    for (uint32_t left = timed; left != 0; left &= left - 1) {
      const PackedRow* row = row_of(static_cast<uint8_t>(std::countr_zero(left)));
      WEIR_ASSERT(row != nullptr);
      const int64_t until_ns = terms_of(*row).until_ns;
      const bool over = input_.wall_now_ns >= until_ns;
      const FlagIndex flag = scenario_.flags[row->bit];
      trace_.step("until", over, [&] {
        return fmt::format("now {} ns is {} the end of the pilot of flag {} at {} ns", input_.wall_now_ns,
                           over ? "at or past" : "before", body_[flag].name, until_ns);
      });
      if (!over) continue;
      const std::optional<TenantRow> whole = find_row(body_, table_[input_.tenant], flag);
      WEIR_ASSERT(whole.has_value());
      decision.flag = flag;
      decision.state = FlagState::pilot;
      decision.arm = Arm::stable;
      decision.unit = whole->previous;
      decision.reason = Reason::pilot_limit;
      decision.combination = 0;
      decision.limited = 0;
      return;
    }
  }

  const PackedRow* first_row() const {
    for (const PackedRow& row : rows_.rows) {
      if (row.present != 0) return &row;
    }
    return nullptr;
  }

  const PackedRow* row_of(uint8_t bit) const {
    for (const PackedRow& row : rows_.rows) {
      if (row.present != 0 && row.bit == bit) return &row;
    }
    return nullptr;
  }

  std::string flags_without_row() const {
    std::string text = "the tenant has no row on";
    for (const FlagIndex flag : scenario_.flags) {
      if (row_of(body_[flag].bit) == nullptr) text.append(" ").append(body_[flag].name);
    }
    return text;
  }

  struct Lost {
    FlagIndex flag;
    bool restart;
  };

  // Why an open conversation has to leave the combination: a killed flag of it, which always switches, else
  // the first flag that was rolled back and does not let it finish.
  std::optional<Lost> rolled_back_in(uint8_t mask) {
    std::optional<Lost> lost;
    for (uint32_t left = mask; left != 0; left &= left - 1) {
      const auto bit = static_cast<uint8_t>(std::countr_zero(left));
      const FlagIndex flag = scenario_.flags[bit];
      if (is_flag_killed(flag)) return Lost{flag, false};
      const PackedRow* row = row_of(bit);
      const auto on_rollback =
          row == nullptr ? OnRollback::switch_next_turn : OnRollback{static_cast<uint8_t>(row->on_rollback)};
      if (row != nullptr && (on_rollback == OnRollback::finish || !stopped(*row))) continue;
      if (!lost) lost = Lost{flag, false};
      if (on_rollback == OnRollback::restart) lost->restart = true;
    }
    return lost;
  }

  void keep(uint8_t mask, Decision& decision) {
    decision.combination = mask;
    decision.unit = scenario_.combinations[mask];
    decision.arm = mask == 0 ? Arm::stable : Arm::candidate;
    decision.reason = Reason::pinned;
    decision.limited = 0;
    for (const PackedRow& row : rows_.rows) {
      const bool pilot = row.present != 0 && (mask >> row.bit & 1) != 0 && state_of(row) == FlagState::pilot;
      if (pilot && row.limited != 0) decision.limited |= static_cast<uint8_t>(1u << row.bit);
    }
    const PackedRow* row = mask != 0 ? row_of(static_cast<uint8_t>(std::countr_zero(mask))) : first_row();
    if (row == nullptr) return;
    decision.flag = scenario_.flags[row->bit];
    decision.state = state_of(*row);
  }

  const Table& table_;
  const TableBody& body_;
  const Scenario& scenario_;
  const DecideInput& input_;
  Trace& trace_;
  const ScenarioRows rows_;
  bool restart_ = false;  // by follow_pin()
};

// Moves a decision away from a killed unit, if it chose one: to stable, then along the chain.
template <typename Trace>
core::Result<void> leave_killed_unit(const Table& table, const Scenario& scenario, Decision& decision,
                                     Trace& trace) {
  const TableBody& body = *table.body;
  if (!is_unit_killed(table, decision.unit)) return {};
  trace.step("kill", true, [&] {
    return fmt::format("unit {} or its provider is switched off", body[decision.unit].name);
  });
  decision.reason = Reason::killed;
  decision.arm = Arm::stable;
  decision.unit = scenario.stable;
  decision.combination = 0;
  decision.limited = 0;
  if (!is_unit_killed(table, scenario.stable)) return {};

  trace.step("kill", true, [&] {
    return fmt::format("stable unit {} or its provider is switched off", body[scenario.stable].name);
  });
  decision.hop = find_hop(table, scenario, 0, [](const FallbackHop& hop) {
    return hop.kind != FallbackHop::Kind::cached;  // it would repeat an answer of what was killed
  });
  if (!decision.hop) {
    trace.step("fallback", false, [&] { return std::string("no hop of the chain may answer"); });
    return core::fail(core::ErrorCode::killed);
  }
  const FallbackHop& hop = scenario.fallback[*decision.hop];
  decision.arm = Arm::fallback;
  if (hop.kind == FallbackHop::Kind::unit) decision.unit = hop.unit;
  trace.step("fallback", true, [&] {
    return hop.kind == FallbackHop::Kind::unit
               ? fmt::format("hop {} answers: unit {}", *decision.hop, body[hop.unit].name)
               : fmt::format("hop {} answers: a static text", *decision.hop);
  });
  return {};
}

// Pins the conversation to where it is now, unless it is there already.
inline void settle_pin(const TableBody& body, const Scenario& scenario, const DecideInput& input,
                       Decision& decision) {
  const bool moves = input.pinned_unit != body[decision.unit].short_hash;
  decision.pin = !input.conversation.empty() && !scenario.flags.empty() && moves;
  decision.restart = decision.restart && moves;
}

template <typename Trace>
core::Result<ScenarioChoice> choose_scenario_steps(const Table& table, const DecideInput& input,
                                                   Trace& trace) {
  const TableBody& body = *table.body;
  const auto found = [&](uint32_t index, std::string_view how) {
    const ScenarioIndex scenario{index};
    trace.step("scenario", true,
               [&] { return fmt::format("scenario {}, from {}", body[scenario].name, how); });
    return ScenarioChoice{.scenario = scenario, .model = std::nullopt};
  };
  if (!input.scenario_header.empty()) {
    if (const auto index = body.scenario_names.find(input.scenario_header))
      return found(*index, "x-weir-scenario");
    trace.step("scenario", false, [] { return std::string("x-weir-scenario names no scenario"); });
    return core::fail(core::ErrorCode::model_not_found, "x-weir-scenario");
  }
  if (!input.model.empty()) {
    if (const auto index = body.scenario_names.find(input.model)) return found(*index, "the model field");
  }
  if (const std::optional<ScenarioIndex> own = table[input.key].scenario()) {
    return found(static_cast<uint32_t>(*own), "the key");
  }
  if (!input.model.empty()) {
    if (const auto index = body.model_names.find(input.model)) {
      const ModelIndex model{*index};
      for (const ModelIndex allowed : table[input.tenant].models()) {
        if (allowed != model) continue;
        trace.step("scenario", true,
                   [&] { return fmt::format("model {}, named directly", body[model].name); });
        return ScenarioChoice{.scenario = std::nullopt, .model = model};
      }
    }
  }
  trace.step("scenario", false, [] {
    return std::string(
        "neither x-weir-scenario nor the model field nor the key leads to a scenario, and the model "
        "field names no model that the tenant may use directly");
  });
  return core::fail(core::ErrorCode::model_not_found, "model");
}

template <typename Trace>
core::Result<Decision> decide_steps(const Table& table, const ScenarioChoice& choice,
                                    const DecideInput& input, Trace& trace) {
  const TableBody& body = *table.body;
  const Kills& kills = table.kills;
  Decision decision;
  decision.tenant = input.tenant;
  decision.scenario = choice.scenario;

  if (kills.any) {
    const bool scenario_killed = choice.scenario && is_set(kills.scenarios, *choice.scenario);
    const bool refused = kills.global || scenario_killed || is_tenant_killed(kills, input.tenant);
    trace.step("kill", refused, [&] {
      return kills.global      ? std::string("everything is switched off")
             : scenario_killed ? fmt::format("scenario {} is switched off", body[*choice.scenario].name)
             : refused         ? fmt::format("tenant {} is switched off", table[input.tenant].id())
                               : std::string("neither all, nor the scenario, nor the tenant is switched off");
    });
    if (refused) return core::fail(core::ErrorCode::killed);
  }

  if (!choice.scenario) {
    WEIR_ASSERT(choice.model.has_value());
    decision.unit = body.direct_units[static_cast<size_t>(*choice.model)];
    decision.reason = Reason::direct;
    const bool killed = is_unit_killed(table, decision.unit);
    trace.step("kill", killed, [&] {
      return fmt::format("unit {} {} switched off", body[decision.unit].name,
                         killed ? "or its provider is" : "is not");
    });
    if (killed) return core::fail(core::ErrorCode::killed);
    return decision;
  }

  const Scenario& scenario = body[*choice.scenario];
  if (scenario.flags.empty()) {
    decision.unit = scenario.stable;
    decision.reason = Reason::no_flag;
    trace.step("flag", false, [] { return std::string(sentence(Reason::no_flag)); });
  } else {
    FlagWalk<Trace>(table, *choice.scenario, input, trace).run(decision);
  }
  trace.step("combination", decision.combination != 0, [&] {
    return fmt::format("combination {:#b} is unit {}", decision.combination, body[decision.unit].name);
  });
  if (kills.any) {
    if (const auto left = leave_killed_unit(table, scenario, decision, trace); !left) {
      return std::unexpected(left.error());
    }
  }
  settle_pin(body, scenario, input, decision);
  return decision;
}

}  // namespace weir::routing
