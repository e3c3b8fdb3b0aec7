#include "routing/table/approvals.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "routing/table/canonical_json.h"
#include "routing/table/problem.h"
#include "routing/table/reader.h"
#include "routing/table/scalars.h"

namespace weir::routing {
namespace {

using simdjson::SUCCESS;
using NameSet = std::set<std::string, std::less<>>;

// A body and its tree; no tree when there is no such object.
class Body {
 public:
  explicit Body(std::optional<std::string> text) {
    if (!text) return;
    parser_ = std::make_unique<simdjson::dom::parser>();
    Element root;
    if (parser_->parse(*text).get(root) == SUCCESS) root_ = root;
  }

  explicit operator bool() const { return root_.has_value(); }
  std::optional<Element> at(std::string_view member) const {
    return root_ ? member_of(*root_, member) : std::nullopt;
  }

  static std::optional<Element> member_of(Element object, std::string_view member) {
    Element found;
    if (object[member].get(found) != SUCCESS || found.is_null()) return std::nullopt;
    return found;
  }

 private:
  std::unique_ptr<simdjson::dom::parser> parser_;
  std::optional<Element> root_;
};

std::string text_of(const std::optional<Element>& element) {
  std::string_view text;
  return element && element->get_string().get(text) == SUCCESS ? std::string(text) : std::string();
}

std::string json_of(const std::optional<Element>& element) {
  return element ? canonical_json(*element) : std::string();
}

NameSet names_in(const std::optional<Element>& list) {
  NameSet names;
  simdjson::dom::array array;
  if (!list || list->get_array().get(array) != SUCCESS) return names;
  for (const Element item : array) {
    std::string_view name;
    if (item.get_string().get(name) == SUCCESS) names.emplace(name);
  }
  return names;
}

// The first that `larger` has and `smaller` lacks.
std::string first_missing(const NameSet& smaller, const NameSet& larger) {
  for (const std::string& name : larger) {
    if (!smaller.contains(name)) return name;
  }
  return {};
}

// What `approvals` in the body of a flag or scenario ask for.
struct Rule {
  NameSet causes;
  std::vector<std::string> by;
  std::string json;  // canonical; empty = none
};

Rule rule_in(const Body& body) {
  Rule rule;
  const auto approvals = body.at("approvals");
  if (!approvals) return rule;
  rule.json = canonical_json(*approvals);
  rule.causes = names_in(Body::member_of(*approvals, "for"));
  simdjson::dom::array roles;
  if ((*approvals)["by"].get_array().get(roles) != SUCCESS) return rule;
  for (const Element role : roles) {
    std::string_view name;
    if (role.get_string().get(name) == SUCCESS) rule.by.emplace_back(name);
  }
  return rule;
}

// Makes `roles` a list that holds both lists in their order; what only `more` has comes as late as that
// allows.
void merge_roles(std::vector<std::string>& roles, const std::vector<std::string>& more) {
  auto from = roles.begin();
  for (auto role = more.begin(); role != more.end(); ++role) {
    const auto found = std::find(from, roles.end(), *role);
    if (found != roles.end()) {
      from = found + 1;
    } else {
      from = roles.insert(std::find_first_of(from, roles.end(), role, more.end()), *role) + 1;
    }
  }
}

constexpr auto kPilotLimits = std::to_array<const char*>({"rpm", "tpm", "concurrency", "total_requests"});

// What a row admits. Numbers that cannot be read count as none; compile() refuses them.
struct Exposure {
  std::string state = "off";  // of a row that is not there, too
  uint32_t milli_percent = 0;
  NameSet segments;
  std::array<uint64_t, kPilotLimits.size()> limits;  // UINT64_MAX: none
  int64_t until_ns = INT64_MAX;
};

Exposure exposure_of(const std::optional<Element>& row) {
  Exposure exposure;
  exposure.limits.fill(UINT64_MAX);
  if (!row) return exposure;
  exposure.state = text_of(Body::member_of(*row, "state"));
  double percent = 0;
  if ((*row)["percent"].get_double().get(percent) == SUCCESS)
    exposure.milli_percent = static_cast<uint32_t>(std::clamp(percent, 0.0, 100.0) * 1000 + 0.5);
  exposure.segments = names_in(Body::member_of(*row, "segments"));
  const auto limits = Body::member_of(*row, "limits");
  if (!limits) return exposure;
  for (size_t i = 0; i < kPilotLimits.size(); i++) {
    uint64_t count = 0;
    if ((*limits)[kPilotLimits[i]].get_uint64().get(count) == SUCCESS) exposure.limits[i] = count;
  }
  if (const auto until = parse_timestamp_ns(text_of(Body::member_of(*limits, "until"))))
    exposure.until_ns = *until;
  return exposure;
}

// "percent 5 -> 25" if the pilot `after` may reach more requests than `before`; empty if not.
std::string widening(const Exposure& before, const Exposure& after) {
  if (after.state != "pilot" || before.state == "production") return {};
  const bool was_pilot = before.state == "pilot";
  const uint32_t percent_before = was_pilot ? before.milli_percent : 0;
  if (after.milli_percent > percent_before)
    return fmt::format("percent {:g} -> {:g}", percent_before / 1000.0, after.milli_percent / 1000.0);
  const std::string segment = first_missing(was_pilot ? before.segments : NameSet(), after.segments);
  if (!segment.empty()) return fmt::format("segment {} joins", segment);
  if (!was_pilot) return {};
  for (size_t i = 0; i < kPilotLimits.size(); i++) {
    if (after.limits[i] > before.limits[i]) return fmt::format("limits.{} is looser", kPilotLimits[i]);
  }
  if (after.until_ns > before.until_ns) return "limits.until is later";
  return {};
}

enum class When { before, after };

class Judge {
 public:
  Judge(std::span<const ObjectChange> changes, const ObjectSource& source)
      : changes_(changes), source_(source) {
    for (const ObjectChange& change : changes) changed_.emplace(std::pair(change.kind, change.name), &change);
  }

  NeededApprovals judge() {
    for (const ObjectChange& change : changes_) {
      if (change.before && change.before == change.after) continue;
      if (change.kind == ObjectKind::tenant) judge_tenant(change);
      if (change.kind == ObjectKind::flag) judge_flag(change);
      if (change.kind == ObjectKind::scenario) judge_scenario(change);
      if (change.kind == ObjectKind::segment && change.after &&
          body(ObjectKind::segment, change.name, When::before)) {
        segments_.insert(change.name);
      }
    }
    if (!segments_.empty() && source_.for_each) judge_segments();
    return std::move(needed_);
  }

 private:
  // The rules that govern a flag: its scenario's and its own.
  struct FlagRules {
    std::string scenario;
    std::vector<Rule> rules;
  };

  Body body(ObjectKind kind, const std::string& name, When when) const {
    const auto found = changed_.find(std::pair(kind, name));
    if (found != changed_.end()) {
      if (when == When::after) return Body(found->second->after);
      if (found->second->before) return Body(found->second->before);
    }
    return Body(source_.find ? source_.find(kind, name) : std::nullopt);
  }

  // The rule from before the change; of what is new, its own.
  Rule rule_of(ObjectKind kind, const std::string& name) const {
    const Body before = body(kind, name, When::before);
    return before ? rule_in(before) : rule_in(body(kind, name, When::after));
  }

  const FlagRules& rules_of(const std::string& flag) {
    const auto known = flag_rules_.find(flag);
    if (known != flag_rules_.end()) return known->second;
    FlagRules found;
    NameSet scenarios;
    for (const When when : {When::before, When::after}) {
      const std::string scenario = text_of(body(ObjectKind::flag, flag, when).at("scenario"));
      if (scenario.empty()) continue;
      found.scenario = scenario;
      scenarios.insert(scenario);
    }
    for (const std::string& scenario : scenarios)
      found.rules.push_back(rule_of(ObjectKind::scenario, scenario));
    found.rules.push_back(rule_of(ObjectKind::flag, flag));
    std::erase_if(found.rules, [](const Rule& rule) { return rule.json.empty(); });
    return flag_rules_.emplace(flag, std::move(found)).first->second;
  }

  // Keeps the touch if one of `rules` wants an approval for it.
  void add(Touch touch, std::span<const Rule> rules) {
    bool counts = false;
    for (const Rule& rule : rules) {
      if (touch.kind != TouchKind::rules && !rule.causes.contains(to_string(touch.kind))) continue;
      counts = true;
      merge_roles(needed_.roles, rule.by);
    }
    if (counts && needed_.touches.size() < kMaxTouches) needed_.touches.push_back(std::move(touch));
  }

  void add_to_flag(TouchKind kind, const std::string& flag, std::string tenant, std::string detail) {
    const FlagRules& rules = rules_of(flag);
    add({kind, flag, rules.scenario, std::move(tenant), std::move(detail)}, rules.rules);
  }

  void judge_tenant(const ObjectChange& change) {
    const Body before = body(ObjectKind::tenant, change.name, When::before);
    const Body after(change.after);
    const auto rows = after.at("flags");
    simdjson::dom::object object;
    if (!rows || rows->get_object().get(object) != SUCCESS) return;
    const auto rows_before = before.at("flags");
    for (const auto [name, row] : object) {
      const std::string flag(name);
      if (rules_of(flag).rules.empty()) continue;
      const Exposure was = exposure_of(rows_before ? Body::member_of(*rows_before, name) : std::nullopt);
      const Exposure is = exposure_of(row);
      if (is.state == "production" && was.state != "production") {
        add_to_flag(TouchKind::production, flag, change.name,
                    fmt::format("state {} -> production", was.state));
      }
      const std::string wider = widening(was, is);
      if (!wider.empty()) add_to_flag(TouchKind::widen, flag, change.name, wider);
    }
  }

  void judge_flag(const ObjectChange& change) {
    const std::string& flag = change.name;
    const Body before = body(ObjectKind::flag, flag, When::before);
    const Body after(change.after);
    judge_rule(ObjectKind::flag, flag, before, after);
    if (!after || rules_of(flag).rules.empty()) return;
    const std::string scenario = text_of(after.at("scenario"));
    NameSet prompts;
    if (scenario == text_of(before.at("scenario"))) prompts = prompts_of_flag(before, When::before);
    prompts.merge(prompts_of_scenario(body(ObjectKind::scenario, scenario, When::before), When::before));
    const std::string prompt = first_missing(prompts, prompts_of_flag(after, When::after));
    if (!prompt.empty())
      add_to_flag(TouchKind::prompt, flag, "", fmt::format("prompt {} comes into use", prompt));
    if (!before) return;
    for (const std::string_view member : {"candidate", "scenario"}) {
      if (json_of(before.at(member)) == json_of(after.at(member))) continue;
      add_to_flag(TouchKind::production, flag, "",
                  fmt::format("{} {} -> {}", member, json_of(before.at(member)), json_of(after.at(member))));
    }
    const std::string freed = first_missing(names_in(after.at("exclude")), names_in(before.at("exclude")));
    if (!freed.empty())
      add_to_flag(TouchKind::widen, flag, "", fmt::format("segment {} is excluded no more", freed));
  }

  void judge_scenario(const ObjectChange& change) {
    const std::string& scenario = change.name;
    const Body before = body(ObjectKind::scenario, scenario, When::before);
    const Body after(change.after);
    judge_rule(ObjectKind::scenario, scenario, before, after);
    if (!after) return;
    const Rule rule = rule_of(ObjectKind::scenario, scenario);
    if (rule.json.empty()) return;
    const std::string prompt =
        first_missing(prompts_of_scenario(before, When::before), prompts_of_scenario(after, When::after));
    if (!prompt.empty())
      add({TouchKind::prompt, "", scenario, "", fmt::format("prompt {} comes into use", prompt)}, {&rule, 1});
    const std::string stable = text_of(after.at("stable"));
    const std::string stable_before = text_of(before.at("stable"));
    if (before && stable != stable_before)
      add({TouchKind::production, "", scenario, "", fmt::format("stable {} -> {}", stable_before, stable)},
          {&rule, 1});
  }

  // Whoever changes the rules of a flag or scenario needs what they ask for.
  void judge_rule(ObjectKind kind, const std::string& name, const Body& before, const Body& after) {
    const Rule was = rule_in(before);
    if (was.json.empty() || was.json == rule_in(after).json) return;
    const bool is_flag = kind == ObjectKind::flag;
    const std::string scenario = is_flag ? text_of(before.at("scenario")) : name;
    add({TouchKind::rules, is_flag ? name : "", scenario, "",
         after ? "approvals change" : "it is taken away"},
        {&was, 1});
  }

  // A segment that changes widens, or may, every pilot that admits by it and every flag that excludes by it.
  void judge_segments() {
    source_.for_each([&](const ObjectView& object) {
      if (object.kind != ObjectKind::flag && object.kind != ObjectKind::tenant) return;
      const bool named = std::ranges::any_of(segments_, [&](const std::string& segment) {
        return object.body.find('"' + segment + '"') != std::string_view::npos;
      });
      if (!named) return;  // most tenants of a million
      const Body body(std::string(object.body));
      if (object.kind == ObjectKind::flag) {
        judge_user(std::string(object.name), names_in(body.at("exclude")));
        return;
      }
      const auto rows = body.at("flags");
      simdjson::dom::object flags;
      if (!rows || rows->get_object().get(flags) != SUCCESS) return;
      for (const auto [flag, row] : flags) {
        const Exposure exposure = exposure_of(row);
        if (exposure.state == "pilot") judge_user(std::string(flag), exposure.segments);
      }
    });
  }

  void judge_user(const std::string& flag, const NameSet& used) {
    for (const std::string& segment : segments_) {
      if (!used.contains(segment) || !touched_by_segment_.emplace(flag, segment).second) continue;
      add_to_flag(TouchKind::widen, flag, "", fmt::format("segment {} changes", segment));
    }
  }

  void add_prompt_of(const std::optional<Element>& unit, When when, NameSet& prompts) const {
    if (!unit) return;
    const std::string prompt = text_of(body(ObjectKind::unit, text_of(unit), when).at("prompt"));
    if (!prompt.empty()) prompts.insert(prompt);
  }

  NameSet prompts_of_flag(const Body& flag, When when) const {
    NameSet prompts;
    const auto candidate = flag.at("candidate");
    if (!candidate) return prompts;
    const std::string layered = text_of(Body::member_of(*candidate, "prompt"));
    if (!layered.empty()) prompts.insert(layered);
    add_prompt_of(Body::member_of(*candidate, "unit"), when, prompts);
    return prompts;
  }

  NameSet prompts_of_scenario(const Body& scenario, When when) const {
    NameSet prompts;
    add_prompt_of(scenario.at("stable"), when, prompts);
    const auto chain = scenario.at("fallback");
    simdjson::dom::array hops;
    if (!chain || chain->get_array().get(hops) != SUCCESS) return prompts;
    for (const Element hop : hops) add_prompt_of(Body::member_of(hop, "unit"), when, prompts);
    return prompts;
  }

  std::span<const ObjectChange> changes_;
  const ObjectSource& source_;
  std::map<std::pair<ObjectKind, std::string>, const ObjectChange*> changed_;
  std::map<std::string, FlagRules, std::less<>> flag_rules_;
  NameSet segments_;  // that change
  std::set<std::pair<std::string, std::string>> touched_by_segment_;
  NeededApprovals needed_;
};

}  // namespace

std::string_view to_string(TouchKind kind) {
  constexpr std::string_view kTokens[] = {"production", "widen", "prompt", "rules"};
  return kTokens[std::to_underlying(kind)];
}

NeededApprovals needed_approvals(std::span<const ObjectChange> changes, const ObjectSource& before) {
  return Judge(changes, before).judge();
}

}  // namespace weir::routing
