#include "routing/decide/shadow.h"

#include <algorithm>
#include <bit>

#include "routing/decide/bucket.h"
#include "routing/decide/decide_steps.h"

namespace weir::routing {
namespace {

// Another cut of the keys than the split's, or the copies would be of those who get the candidate anyway.
uint32_t sticky_bucket(const Table& table, const Scenario& scenario, const Flag& flag,
                       const DecideInput& input) {
  const StickyChoice sticky = choose_sticky(table, scenario, input);
  if (!sticky.kind) return kBuckets;
  core::Murmur3 cut = flag.split;
  cut.update("shadow:");
  return bucket_of(cut, sticky.key);
}

}  // namespace

std::optional<ShadowChoice> choose_shadow(const Table& table, const DecideInput& input,
                                          const Decision& decision, uint32_t dice) {
  if (!decision.scenario || decision.hop) return std::nullopt;
  const TableBody& body = *table.body;
  const Scenario& scenario = body[*decision.scenario];
  for (uint32_t left = scenario.shadowed & ~uint32_t{decision.combination}; left != 0; left &= left - 1) {
    const auto bit = static_cast<uint32_t>(std::countr_zero(left));
    const FlagIndex flag = scenario.flags[bit];
    const uint32_t drawn = body[flag].shadow_sticky ? sticky_bucket(table, scenario, body[flag], input)
                                                    : project(dice, kBuckets);
    if (drawn >= body[flag].shadow_milli_percent) {
      // Independent shares: the next flag looks at other bits.
      dice = dice * 2'654'435'769u + 0x9e3779b9u;
      continue;
    }
    if (table.kills.any && is_set(table.kills.flags, flag)) continue;
    const AttributeValues& attributes = input.attributes != nullptr ? *input.attributes : kNothingSent;
    const bool excluded = std::ranges::any_of(
        body[flag].exclude, [&](SegmentIndex segment) { return matches(body[segment], attributes); });
    if (excluded) continue;
    const UnitIndex unit = scenario.combinations[decision.combination | 1u << bit];
    if (unit == decision.unit || is_unit_killed(table, unit)) continue;
    return ShadowChoice{flag, unit};
  }
  return std::nullopt;
}

}  // namespace weir::routing
