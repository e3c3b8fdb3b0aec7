// Prompts and units.
#include "routing/inspect/field_name.h"
#include "routing/table/canonical_json.h"
#include "routing/table/compile_state.h"
#include "routing/table/scalars.h"

namespace weir::routing {
namespace {

// The number at the front of `text`, without leading zeros; takes it off.
bool take_version_number(std::string_view& text) {
  const size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
  if (end == 0 || (end > 1 && text[0] == '0')) return false;
  text.remove_prefix(end);
  return true;
}

// name@MAJOR.MINOR.PATCH[-prerelease], see semver.org; '+' is not for names.
bool is_versioned_name(std::string_view name) {
  const size_t at = name.rfind('@');
  if (at == std::string_view::npos || at == 0) return false;
  std::string_view version = name.substr(at + 1);
  for (int part = 0; part < 3; part++) {
    if (part > 0) {
      if (!version.starts_with('.')) return false;
      version.remove_prefix(1);
    }
    if (!take_version_number(version)) return false;
  }
  return version.empty() || (version.starts_with('-') && version.size() > 1);
}

struct VariableName {
  std::string_view name;
  PromptVariable variable;
};
constexpr auto kVariables = std::to_array<VariableName>({{"tenant.id", PromptVariable::tenant_id},
                                                         {"tenant.name", PromptVariable::tenant_name},
                                                         {"scenario", PromptVariable::scenario},
                                                         {"user", PromptVariable::user},
                                                         {"model", PromptVariable::model},
                                                         {"date", PromptVariable::date}});

constexpr std::string_view kAttributePrefix = "attributes.";
static_assert(core::limits::kMaxAttributes <= UINT8_MAX);

std::string_view trim(std::string_view text) {
  const size_t begin = std::min(text.find_first_not_of(' '), text.size());
  return text.substr(begin, text.find_last_not_of(' ') + 1 - begin);
}

// Splits the text at {{variable}}; {{"{{"}} stands for two literal braces.
void read_template(CompileState& state, const Path& path, PromptTemplate& prompt) {
  std::string_view rest = prompt.system;
  PromptTemplate::Part part;
  while (true) {
    const size_t open = rest.find("{{");
    part.literal += rest.substr(0, open);
    if (open == std::string_view::npos) break;
    rest.remove_prefix(open + 2);
    const bool is_escape = rest.starts_with("\"{{\"}}");
    const size_t close = is_escape ? 4 : rest.find("}}");
    if (close == std::string_view::npos) {
      return state.problems.add(path, "has {{ without }}; write {{\"{{\"}} for two literal braces");
    }
    const std::string_view name = trim(rest.substr(0, close));
    rest.remove_prefix(close + 2);
    if (is_escape) {
      part.literal += "{{";
      continue;
    }
    if (name.starts_with(kAttributePrefix)) {
      const std::string_view attribute = name.substr(kAttributePrefix.size());
      const auto index = state.body.attribute_names.find(attribute);
      if (!index) {
        state.problems.add(path, fmt::format("undeclared attribute {}; declare it under attributes{}", quote(attribute),
                                             did_you_mean(attribute, state.attribute_names.list)));
        continue;
      }
      part.variable = PromptVariable::attribute;
      part.attribute = static_cast<uint8_t>(*index);  // kMaxAttributes are accepted
      prompt.parts.push_back(std::exchange(part, {}));
      continue;
    }
    const auto found = std::ranges::find(kVariables, name, &VariableName::name);
    if (found == kVariables.end()) {
      std::vector<std::string_view> names;
      for (const VariableName& known : kVariables) names.push_back(known.name);
      names.push_back("attributes.<name>");
      state.problems.add(path, fmt::format("unknown variable {}; one of {}{}", quote(name), list_names(names),
                                           did_you_mean(name, names)));
      continue;
    }
    part.variable = found->variable;
    prompt.parts.push_back(std::exchange(part, {}));
  }
  if (!part.literal.empty()) prompt.parts.push_back(std::move(part));
}

void read_prompt(CompileState& state, const Path& path, Element element, PromptTemplate& prompt) {
  using enum PromptProperty;
  if (!is_versioned_name(prompt.name)) {
    state.problems.add(path,
                       fmt::format("{} has no version: name a prompt as name@1.0.0", quote(prompt.name)));
  }
  const Object<PromptProperty> object(state.problems, path, element);
  if (const auto choice = object.choice(mode, kPromptModes)) prompt.mode = static_cast<PromptMode>(*choice);
  const auto text = object.string(PromptProperty::system);
  if (!text) return;
  const Path text_path = object.at(PromptProperty::system);
  prompt.system = *text;
  if (text->empty())
    return state.problems.add(text_path, "is empty; a unit without a prompt leaves `prompt` out");
  if (text->size() > core::limits::kMaxPromptBytes) {
    return state.problems.add(text_path, fmt::format("is {} bytes long; at most {} are accepted",
                                                     text->size(), core::limits::kMaxPromptBytes));
  }
  read_template(state, text_path, prompt);
}

Timeouts read_timeouts(CompileState& state, const Object<UnitProperty>& unit) {
  using enum TimeoutsProperty;
  Timeouts timeouts = kDefaultTimeouts;
  if (!unit.has(UnitProperty::timeouts)) return timeouts;
  const Path path = unit.at(UnitProperty::timeouts);
  const Object<TimeoutsProperty> object(state.problems, path, unit[UnitProperty::timeouts]);
  const auto read = [&](TimeoutsProperty property) {
    return object.duration_ns(property, core::kNsPerMs, kNsPerDay);
  };
  timeouts.total_ns = read(total).value_or(timeouts.total_ns);
  // A default gives way to a shorter total; what somebody wrote must fit.
  const auto part = [&](TimeoutsProperty property, uint64_t fallback_ns) {
    const auto ns = read(property);
    if (!ns) return std::min(fallback_ns, timeouts.total_ns);
    if (*ns > timeouts.total_ns) {
      state.problems.add(object.at(property), fmt::format("is longer than total ({})",
                                                          object.has(total) ? "given" : "120s by default"));
    }
    return *ns;
  };
  timeouts.connect_ns = part(connect, timeouts.connect_ns);
  timeouts.header_ns = part(header, timeouts.header_ns);
  timeouts.first_token_ns = part(first_token, timeouts.first_token_ns);
  timeouts.idle_ns = part(idle, timeouts.idle_ns);
  if (object.has(header) && object.has(first_token) && timeouts.header_ns > timeouts.first_token_ns) {
    state.problems.add(object.at(header), "is longer than first_token, so it would never be reached");
  }
  return timeouts;
}

std::vector<std::string> read_tools(CompileState& state, const Object<UnitProperty>& object) {
  std::vector<std::string> tools;
  object.for_each(UnitProperty::tools, [&](const Path& path, Element element) {
    const auto name = read_string(state.problems, path, element);
    if (!name) return;
    check_name(state.problems, path, *name);
    tools.emplace_back(*name);
  });
  std::ranges::sort(tools);
  const Path path = object.at(UnitProperty::tools);
  if (std::ranges::adjacent_find(tools) != tools.end())
    state.problems.add(path, "holds a tool twice; keep one");
  if (tools.size() > core::limits::kMaxTools) {
    state.problems.add(
        path, fmt::format("has {} tools; at most {} are accepted", tools.size(), core::limits::kMaxTools));
  }
  return tools;
}

void read_unit(CompileState& state, const Path& path, Element element, UnitSpec& unit) {
  using enum UnitProperty;
  if (unit.name == "direct") state.problems.add(path, "\"direct\" is reserved for models named directly");
  const Object<UnitProperty> object(state.problems, path, element);
  if (const auto index = object.read(model, read_reference, state.model_names)) {
    unit.model = static_cast<ModelIndex>(*index);
  }
  unit.prompt = object.read(prompt, read_reference, state.prompt_names);
  if (object.has(params)) {
    unit.params = read_params(state, object.at(params), object[params], ParamsUse::unit);
  }
  if (object.has(tools)) unit.tools = read_tools(state, object);
  unit.timeouts = read_timeouts(state, object);
  unit.retries = static_cast<uint32_t>(object.count(retries, 0, core::limits::kMaxRetries).value_or(0));
  unit.cache_ttl_ns = object.duration_ns(cache_ttl, 0, 30 * kNsPerDay).value_or(0);
  if (const auto check = object.choice(answer, kAnswerChecks)) unit.answer = static_cast<AnswerCheck>(*check);
}

// The bound on output that weir reserves money for, under its three names.
bool is_token_bound(std::string_view key) {
  return key == "max_tokens" || key == "max_completion_tokens" || key == "max_output_tokens";
}

// Reports params that contradict each other.
void check_params(CompileState& state, const Path& path, const std::vector<Param>& params) {
  for (size_t i = 0; i < params.size(); i++) {
    for (size_t j = 0; j < i; j++) {
      // Some servers read keys without regard to case.
      if (same_key(params[j].key, params[i].key)) {
        state.problems.add(Path(path, params[i].key), "appears twice; keep one");
      } else if (excludes(params[i], params[j].key) && !params[j].json.empty()) {
        state.problems.add(path, "sets two of max_tokens, max_completion_tokens and max_output_tokens; keep one");
      }
    }
  }
}

}  // namespace

bool excludes(const Param& param, std::string_view key) {
  return !param.json.empty() && is_token_bound(param.key) && is_token_bound(key) && param.key != key;
}

std::vector<Param> read_params(CompileState& state, const Path& path, Element element, ParamsUse use) {
  std::vector<Param> params;
  const auto object = read_object(state.problems, path, element);
  if (!object) return params;
  for (const auto [key, value] : *object) {
    const Path at(path, key);
    check_name(state.problems, at, key);
    if (!is_name(key)) continue;
    const FieldName field = folded_field_name(key, key_hash(key));
    if (field != FieldName::other && key != to_string(field)) {
      state.problems.add(at, fmt::format("differs from {} only in case, which some servers ignore; write {}",
                                         to_string(field), to_string(field)));
      continue;
    }
    if (field == FieldName::n || is_reserved_param(key)) {
      state.problems.add(at,
                         "is not for params: it belongs to the client's request or is governed by the unit");
      continue;
    }
    if (value.is_null()) {
      if (use == ParamsUse::layer) {
        params.push_back({std::string(key), ""});
      } else {
        state.problems.add(at, "is empty; give it a value or leave it out");
      }
      continue;
    }
    if (is_token_bound(key) || field == FieldName::best_of) {
      read_count(state.problems, at, value, 1, core::limits::kMaxCount);
    }
    check_duplicates(state.problems, at, value);
    params.push_back({std::string(key), canonical_json(value)});
  }
  if (params.size() > core::limits::kMaxTopLevelFields) {
    state.problems.add(path, fmt::format("has {} params; at most {} are accepted", params.size(),
                                         core::limits::kMaxTopLevelFields));
    return {};
  }
  std::ranges::sort(params, {}, &Param::key);
  check_params(state, path, params);
  return params;
}

void read_prompts(CompileState& state, const Root& root) {
  read_section(state, root, RootProperty::prompts, state.prompt_names, state.prompts,
               [&](const Path& path, Element element, PromptTemplate& prompt, uint32_t) {
                 read_prompt(state, path, element, prompt);
               });
}

void read_units(CompileState& state, const Root& root) {
  read_section(state, root, RootProperty::units, state.unit_names, state.units,
               [&](const Path& path, Element element, UnitSpec& unit, uint32_t) {
                 read_unit(state, path, element, unit);
               });
}

}  // namespace weir::routing
