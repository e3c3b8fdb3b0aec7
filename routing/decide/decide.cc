#include "routing/decide/decide.h"

#include <utility>

#include "routing/decide/decide_steps.h"

namespace weir::routing {

std::string_view token(Reason reason) {
  static constexpr std::string_view kTokens[] = {
#define X(name, sentence) #name,
      WEIR_REASON_TABLE(X)
#undef X
  };
  return kTokens[std::to_underlying(reason)];
}

std::string_view sentence(Reason reason) {
  static constexpr std::string_view kSentences[] = {
#define X(name, sentence) sentence,
      WEIR_REASON_TABLE(X)
#undef X
  };
  return kSentences[std::to_underlying(reason)];
}

std::string_view token(Arm arm) {
  static constexpr std::string_view kTokens[] = {"stable", "candidate", "shadow", "fallback"};
  return kTokens[std::to_underlying(arm)];
}

std::string_view token(FlagState state) {
  static constexpr std::string_view kTokens[] = {"off", "pilot", "production"};
  return kTokens[std::to_underlying(state)];
}

std::string_view token(StickyKey key) {
  static constexpr std::string_view kTokens[] = {"conversation", "user", "tenant"};
  return kTokens[std::to_underlying(key)];
}

core::Result<ScenarioChoice> choose_scenario(const Table& table, const DecideInput& input) {
  NoTrace trace;
  return choose_scenario_steps(table, input, trace);
}

core::Result<Decision> decide(const Table& table, const ScenarioChoice& choice, const DecideInput& input) {
  NoTrace trace;
  return decide_steps(table, choice, input, trace);
}

FlagStanding flag_standing(const Table& table, const DecideInput& input, const Decision* decision,
                           FlagIndex flag) {
  NoTrace trace;
  return FlagWalk<NoTrace>(table, (*table.body)[flag].scenario, input, trace).standing(decision, flag);
}

core::Result<Decision> past_pilot_limit(const Table& table, const DecideInput& input,
                                        const Decision& decision, FlagIndex flag) {
  const TableBody& body = *table.body;
  const std::optional<TenantRow> row = find_row(body, table[decision.tenant], flag);
  WEIR_ASSERT(row.has_value() && decision.scenario.has_value());
  const Scenario& scenario = body[*decision.scenario];

  Decision previous;
  previous.tenant = decision.tenant;
  previous.scenario = decision.scenario;
  previous.flag = flag;
  previous.state = row->state;
  previous.unit = row->previous;
  previous.reason = Reason::pilot_limit;
  previous.restart = decision.restart;
  NoTrace trace;
  if (const auto left = leave_killed_unit(table, scenario, previous, trace); !left) {
    return std::unexpected(left.error());
  }
  settle_pin(body, scenario, input, previous);
  return previous;
}

const FallbackHop* next_fallback(const Table& table, ScenarioIndex scenario, FallbackCause cause,
                                 uint32_t* next_hop) {
  const Scenario& chain = (*table.body)[scenario];
  const auto hop = find_hop(table, chain, *next_hop, [&](const FallbackHop& candidate) {
    return candidate.kind != FallbackHop::Kind::unit || (candidate.on & std::to_underlying(cause)) != 0;
  });
  *next_hop = hop ? *hop + 1u : static_cast<uint32_t>(chain.fallback.size());
  return hop ? &chain.fallback[*hop] : nullptr;
}

}  // namespace weir::routing
