// Scenarios with their fallback chains, and flags with their candidates.
#include "routing/table/compile_state.h"

namespace weir::routing {
namespace {

constexpr uint8_t cause_bit(size_t position) {
  return static_cast<uint8_t>(1u << position);
}

// What a unit hop answers to when it does not say: everything that says nothing about the request itself.
constexpr uint8_t kDefaultCauses =
    static_cast<uint8_t>(FallbackCause::timeout) | static_cast<uint8_t>(FallbackCause::server_error) |
    static_cast<uint8_t>(FallbackCause::rate_limited) | static_cast<uint8_t>(FallbackCause::connect);
constexpr uint8_t kAllCauses = (1u << kFallbackCauses.size()) - 1;
static_assert(cause_bit(5) == static_cast<uint8_t>(FallbackCause::refusal));

// Position in kFallbackCauses. In YAML a bare 429 is a number.
std::optional<size_t> read_cause(CompileState& state, const Path& path, Element element) {
  int64_t status = 0;
  if (element.get_int64().get(status) != simdjson::SUCCESS) {
    return read_choice(state.problems, path, element, kFallbackCauses);
  }
  const auto found = std::ranges::find(kFallbackCauses, std::to_string(status));
  if (found != kFallbackCauses.end()) return static_cast<size_t>(found - kFallbackCauses.begin());
  state.problems.add(path, fmt::format("must be one of {}, not {}", list_names(kFallbackCauses), status));
  return std::nullopt;
}

FallbackHop read_hop(CompileState& state, const Path& path, Element element) {
  using enum HopProperty;
  FallbackHop hop;
  const Object<HopProperty> object(state.problems, path, element);
  if (!object.valid()) return hop;
  if (object.has(unit) + object.has(cached) + object.has(static_text) != 1) {
    state.problems.add(path, "must have exactly one of unit, cached and static");
    return hop;
  }
  if (const auto index = object.read(unit, read_reference, state.unit_names)) {
    hop.unit = static_cast<UnitIndex>(*index);
  }
  hop.on = object.has(unit) ? kDefaultCauses : kAllCauses;
  if (object.has(on)) {
    if (!object.has(unit))
      state.problems.add(object.at(on), "is for units; cached and static answer to every cause");
    hop.on = 0;
    size_t listed = 0;
    object.for_each(on, [&](const Path& at, Element cause) {
      listed++;
      const auto position = read_cause(state, at, cause);
      if (!position) return;
      if ((hop.on & cause_bit(*position)) != 0) state.problems.add(at, "stands in the list twice; keep one");
      hop.on |= cause_bit(*position);
    });
    if (listed == 0 && object[on].is_array())
      state.problems.add(object.at(on), "names no cause, so the hop would never be taken");
  }
  if (object.has(cached)) {
    hop.kind = FallbackHop::Kind::cached;
    if (!object.boolean(cached).value_or(true))
      state.problems.add(object.at(cached), "must be true; or leave the hop out");
  }
  if (object.has(static_text)) {
    hop.kind = FallbackHop::Kind::static_text;
    if (const auto text = object.string(static_text)) {
      hop.text = *text;
      if (text->empty() || text->size() > core::limits::kMaxTextBytes) {
        state.problems.add(object.at(static_text),
                           fmt::format("must be a text of 1 to {} bytes", core::limits::kMaxTextBytes));
      }
    }
  }
  return hop;
}

// A chain is walked once from its front, so it cannot loop; a hop that stands in it twice would be tried
// again right after it failed.
void check_chain(CompileState& state, const Path& path, const std::vector<FallbackHop>& chain) {
  using Kind = FallbackHop::Kind;
  if (chain.size() > core::limits::kMaxFallbackHops) {
    return state.problems.add(path, fmt::format("has {} hops; at most {} are accepted", chain.size(),
                                                core::limits::kMaxFallbackHops));
  }
  for (size_t i = 0; i < chain.size(); i++) {
    if (i > 0 && chain[i - 1].kind == Kind::static_text) {
      state.problems.add(Path(path, i), "comes after a static hop, which always answers; put static last");
    }
    for (size_t j = 0; j < i; j++) {
      const bool same =
          chain[i].kind == chain[j].kind && (chain[i].kind != Kind::unit || chain[i].unit == chain[j].unit);
      if (same) {
        state.problems.add(Path(path, i),
                           fmt::format("is the same as hop [{}], which leads in a circle; keep one", j));
      }
    }
  }
}

void read_scenario(CompileState& state, const Path& path, Element element, Scenario& scenario) {
  using enum ScenarioProperty;
  if (state.body.model_names.find(scenario.name)) {
    state.problems.add(path,
                       "is a model's name too, so a client that names it would be ambiguous; rename one");
  }
  const Object<ScenarioProperty> object(state.problems, path, element);
  if (const auto index = object.read(stable, read_reference, state.unit_names)) {
    scenario.stable = static_cast<UnitIndex>(*index);
  }
  const size_t before = state.problems.count();
  object.for_each(
      fallback, [&](const Path& at, Element hop) { scenario.fallback.push_back(read_hop(state, at, hop)); });
  if (object.has(fallback) && state.problems.count() == before) {
    check_chain(state, object.at(fallback), scenario.fallback);
  }
  object.for_each(sticky_by, [&](const Path& at, Element key) {
    const auto choice = read_choice(state.problems, at, key, kStickyKeys);
    if (!choice) return;
    const auto sticky = static_cast<StickyKey>(*choice);
    if (std::ranges::find(scenario.sticky_by, sticky) != scenario.sticky_by.end()) {
      return state.problems.add(at, "stands in the list twice; keep one");
    }
    scenario.sticky_by.push_back(sticky);
  });
  if (!object.has(sticky_by)) scenario.sticky_by = {StickyKey::conversation, StickyKey::user};
  if (object.has(budgets))
    scenario.budgets = read_budgets(state.problems, object.at(budgets), object[budgets], kAllActions);
  if (const auto choice = object.choice(priority, kPriorities))
    scenario.priority = static_cast<Priority>(*choice);
  if (object.has(approvals)) {
    scenario.approvals = read_approvals(state.problems, object.at(approvals), object[approvals]);
  }
}

Candidate read_candidate(CompileState& state, const Path& path, Element element) {
  using enum CandidateProperty;
  Candidate candidate;
  const Object<CandidateProperty> object(state.problems, path, element);
  if (!object.valid()) return candidate;
  const bool is_layer = object.has(model) || object.has(prompt) || object.has(params);
  if (object.has(unit) == is_layer) {
    state.problems.add(path,
                       "must be either a unit, or a layer over stable made of model, prompt and params");
  }
  candidate.unit = object.read(unit, read_reference, state.unit_names);
  if (const auto index = object.read(model, read_reference, state.model_names)) {
    candidate.model = static_cast<ModelIndex>(*index);
  }
  candidate.prompt = object.read(prompt, read_reference, state.prompt_names);
  if (object.has(params)) {
    candidate.params = read_params(state, object.at(params), object[params], ParamsUse::layer);
    if (object[params].is_object() && object[params].get_object().value_unsafe().size() == 0) {
      state.problems.add(object.at(params), "is empty, so the layer would change nothing");
    }
  }
  return candidate;
}

void read_flag(CompileState& state, const Path& path, Element element, Flag& flag, uint32_t index) {
  using enum FlagProperty;
  const Object<FlagProperty> object(state.problems, path, element);
  flag.salt = flag.name;
  if (const auto text = object.text(salt)) {
    check_name(state.problems, object.at(salt), *text);
    flag.salt = *text;
  }
  if (const auto name = object.read(owner, read_person)) flag.owner = *name;
  if (object.has(approvals))
    flag.approvals = read_approvals(state.problems, object.at(approvals), object[approvals]);
  state.candidates.emplace_back();
  if (object.has(candidate)) {
    state.candidates.back() = read_candidate(state, object.at(candidate), object[candidate]);
    if (const auto unit = state.candidates.back().unit) flag.candidate_unit = static_cast<UnitIndex>(*unit);
  }
  flag.exclude = read_references<SegmentIndex>(state, object, exclude, state.segment_names);
  if (object.has(shadow)) {
    const Path at = object.at(shadow);
    const Object<ShadowProperty> shadowing(state.problems, at, object[shadow]);
    flag.shadow_milli_percent = shadowing.milli_percent(ShadowProperty::percent).value_or(0);
    flag.shadow_sticky = shadowing.boolean(ShadowProperty::sticky).value_or(false);
    flag.shadow_budget_nano_usd = shadowing.nano_usd(ShadowProperty::budget_usd).value_or(0);
    flag.shadow_window_ns = shadowing.read(ShadowProperty::window, read_window).value_or(kNoWindow);
  }
  const auto found = object.read(scenario, read_reference, state.scenario_names);
  if (!found) return;
  flag.scenario = static_cast<ScenarioIndex>(*found);
  std::vector<FlagIndex>& flags = state.body.scenarios[*found].flags;
  flag.bit = static_cast<uint8_t>(std::min<size_t>(flags.size(), UINT8_MAX));
  if (flag.shadow_milli_percent != 0 && flag.bit < 32)
    state.body.scenarios[*found].shadowed |= 1u << flag.bit;
  flags.push_back(static_cast<FlagIndex>(index));
}

}  // namespace

void read_scenarios(CompileState& state, const Root& root) {
  read_section(state, root, RootProperty::scenarios, state.scenario_names, state.body.scenarios,
               [&](const Path& path, Element element, Scenario& scenario, uint32_t) {
                 read_scenario(state, path, element, scenario);
               });
}

void read_flags(CompileState& state, const Root& root) {
  read_section(state, root, RootProperty::flags, state.flag_names, state.body.flags,
               [&](const Path& path, Element element, Flag& flag, uint32_t index) {
                 read_flag(state, path, element, flag, index);
               });
  check_section_size(state, root, RootProperty::flags, state.body.flags.size(), core::limits::kMaxFlags);
  const Path scenarios = root.at(RootProperty::scenarios);
  for (const Scenario& scenario : state.body.scenarios) {
    if (scenario.flags.size() < 32 && (1u << scenario.flags.size()) <= core::limits::kMaxUnitCombinations)
      continue;
    state.problems.add(Path(scenarios, scenario.name),
                       fmt::format("has {} flags, whose combinations are more than the {} units accepted per "
                                   "scenario; retire a flag",
                                   scenario.flags.size(), core::limits::kMaxUnitCombinations));
  }
}

}  // namespace weir::routing
