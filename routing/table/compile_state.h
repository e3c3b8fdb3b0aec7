// What the parts of compile() share. Internal to routing/table/.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/strong.h"
#include "routing/table/compile.h"
#include "routing/table/name_index.h"
#include "routing/table/reader.h"
#include "routing/table/table.h"
#include "routing/table/tenant_builder.h"

namespace weir::routing {

// The declared names of one kind.
struct Names {
  static constexpr size_t kMaxSuggested = 1000;  // comparing a typing error with more names takes too long

  std::string_view kind;  // "unit"
  const NameIndex* index;
  std::vector<std::string_view> list;  // for suggestions; the first kMaxSuggested + 1
  uint32_t end = UINT32_MAX;           // from this number on they are not declared, but derived

  std::optional<uint32_t> find(std::string_view name) const {
    const auto found = index->find(name);
    return found && *found < end ? found : std::nullopt;
  }
};

// Names while they are declared.
struct NewNames : Names {
  NewNames(std::string_view names_kind, NameIndex* target) : Names{names_kind, target, {}}, to(target) {}
  NameIndex* to;
};

struct PromptTemplate {
  struct Part {
    std::string literal;
    PromptVariable variable = PromptVariable::none;
    uint8_t attribute = 0;  // AttributeIndex
  };
  std::string name;
  std::string_view system;
  PromptMode mode = PromptMode::replace;
  std::vector<Part> parts;
};

struct Param {
  std::string key;
  std::string json;  // canonical; empty in a layer: the key is removed
};

inline constexpr Timeouts kDefaultTimeouts{.connect_ns = 2 * core::kNsPerSecond,
                                           .header_ns = 60 * core::kNsPerSecond,
                                           .first_token_ns = 60 * core::kNsPerSecond,
                                           .idle_ns = 30 * core::kNsPerSecond,
                                           .total_ns = 120 * core::kNsPerSecond};

// A unit before it is built.
struct UnitSpec {
  std::string name;
  ModelIndex model{};
  std::optional<uint32_t> prompt;                 // in CompileState::prompts
  std::vector<Param> params;                      // sorted by key
  std::optional<std::vector<std::string>> tools;  // sorted
  Timeouts timeouts{};
  uint32_t retries = 0;
  uint64_t cache_ttl_ns = 0;
  AnswerCheck answer = AnswerCheck::any;
};

// What a flag puts in the place of stable: a whole unit, or a layer over what is there.
struct Candidate {
  std::optional<uint32_t> unit;
  std::optional<ModelIndex> model;
  std::optional<uint32_t> prompt;
  std::vector<Param> params;
};

struct CompileState {
  CompileState(const CompileOptions& compile_options, TableBody& table_body)
      : options(compile_options), body(table_body) {}

  const CompileOptions& options;
  TableBody& body;
  Problems problems;

  std::vector<PromptTemplate> prompts;
  std::vector<UnitSpec> units;        // declared ones; the same indices as in body.units
  std::vector<Candidate> candidates;  // by FlagIndex
  NameIndex prompt_index, unit_index;

  NewNames provider_names{"provider", &body.provider_names};
  NewNames model_names{"model", &body.model_names};
  NewNames prompt_names{"prompt", &prompt_index};
  NewNames unit_names{"unit", &unit_index};
  NewNames attribute_names{"attribute", &body.attribute_names};
  NewNames segment_names{"segment", &body.segment_names};
  NewNames scenario_names{"scenario", &body.scenario_names};
  NewNames flag_names{"flag", &body.flag_names};
};

// What tenants and keys are read with: in a compile what came before them, in a change of some of them a body
// that is there.
struct TenantReading {
  Problems& problems;
  const TableBody& body;
  const Names& model_names;
  const Names& unit_names;
  const Names& segment_names;
  const Names& scenario_names;
  const Names& flag_names;
  std::vector<std::string_view> tenant_list = {};  // for suggestions; as Names::list
  std::function<std::optional<TenantIndex>(std::string_view id)> find_tenant = {};
};

using Root = Object<RootProperty>;

// The kinds, each in the file read_<kind>.cc.
void read_providers(CompileState& state, const Root& root);
void read_models(CompileState& state, const Root& root);
void read_prompts(CompileState& state, const Root& root);
void read_units(CompileState& state, const Root& root);
void read_attributes(CompileState& state, const Root& root);
void read_segments(CompileState& state, const Root& root);
void read_scenarios(CompileState& state, const Root& root);
void read_flags(CompileState& state, const Root& root);
void read_tenants(CompileState& state, const Root& root, TenantTableBuilder& tenants);

// One tenant or key; `spec` as made. The path of a key holds its position or a checked id, never what could
// be a key pasted by mistake.
void read_tenant(TenantReading& state, const Path& path, Element element, TenantSpec& spec);
void read_key(TenantReading& state, const Path& path, Element element, KeySpec& spec);

// Builds body.units from the specifications: declared, combinations, direct; and their indices. Only on a
// state without problems.
void build_units(CompileState& state);

Digest sha256(std::string_view text);

// ---- shared by the kinds ----

// Adds a name to its kind. Reports a name that is none or that is there already.
void declare_name(CompileState& state, const Path& path, std::string_view name, uint32_t value,
                  NewNames& names);

// "unknown unit "x"", with what it may have been meant to be.
void report_unknown(Problems& problems, const Path& path, std::string_view kind, std::string_view name,
                    std::span<const std::string_view> known, std::string_view why = "");

// Index of what a string refers to.
std::optional<uint32_t> read_reference(Problems& problems, const Path& path, Element element,
                                       const Names& names);
// The same; the message goes on with `why` the name must be known.
std::optional<uint32_t> read_reference_because(Problems& problems, const Path& path, Element element,
                                               const Names& names, std::string_view why);

// One person: a name, so that nobody hides a list in it.
std::optional<std::string_view> read_person(Problems& problems, const Path& path, Element element);

// A list of references without repetition, sorted by index.
template <typename Index, typename State, typename Property>
std::vector<Index> read_references(State& state, const Object<Property>& object, Property property,
                                   const Names& names);

// In a layer null removes what stable sets.
enum class ParamsUse : uint8_t { unit, layer };
std::vector<Param> read_params(CompileState& state, const Path& path, Element element, ParamsUse use);
// max_tokens, max_completion_tokens and max_output_tokens say the same, and the endpoint decides under which
// name it is sent: does setting `param` mean that `key` must not be set?
bool excludes(const Param& param, std::string_view key);

Approvals read_approvals(Problems& problems, const Path& path, Element element);
// `acting`: the actions that can (routing/table/acting.h).
Limits read_limits(Problems& problems, const Path& path, Element element, Actions acting);
// Of a budget: a duration, or "month", which is 0.
std::optional<uint64_t> read_window(Problems& problems, const Path& path, Element element);
std::vector<Budget> read_budgets(Problems& problems, const Path& path, Element element, Actions acting);

// Largest value of a rate or count.
inline constexpr uint64_t kMaxLimit = 1'000'000'000'000;

// Reports a section with more items than accepted.
void check_section_size(CompileState& state, const Root& root, RootProperty section, size_t count,
                        size_t limit);

// Walks a section that maps names to objects: appends an item for each, declares its name, then calls
// each(path, element, item, index). Items keep their address afterwards.
template <typename Item, typename Each>
void read_section(CompileState& state, const Root& root, RootProperty section, NewNames& names,
                  std::vector<Item>& items, Each each) {
  if (!root.has(section) || root[section].is_null()) return;
  const Path path = root.at(section);
  const auto object = read_object(state.problems, path, root[section]);
  if (!object) return;
  size_t count = 0;
  for (auto at = object->begin(); at != object->end(); ++at) count++;
  items.reserve(count);
  names.to->reserve(count);
  for (const auto [key, element] : *object) {
    const Path at(path, key);
    const auto index = static_cast<uint32_t>(items.size());
    Item& item = items.emplace_back();
    item.name = key;
    declare_name(state, at, item.name, index, names);
    each(at, element, item, index);
  }
}

template <typename Index, typename State, typename Property>
std::vector<Index> read_references(State& state, const Object<Property>& object, Property property,
                                   const Names& names) {
  std::vector<Index> indices;
  object.for_each(property, [&](const Path& path, Element element) {
    const auto index = read_reference(state.problems, path, element, names);
    if (index) indices.push_back(static_cast<Index>(*index));
  });
  std::ranges::sort(indices);
  if (std::ranges::adjacent_find(indices) != indices.end()) {
    state.problems.add(object.at(property), fmt::format("holds a {} twice; keep one", names.kind));
  }
  return indices;
}

}  // namespace weir::routing
