// From specifications to units: prompts and params as the rewriter wants them, the canonical form and its
// hash, and the units nobody wrote: every combination of a scenario's flags, and the plain unit of each
// model.
//
//   combination = base + layers in the order of the flags
//   base        = the first flag that applies with a whole unit, else stable
//   name        = base's name, then "+flag" for each layer; "direct+model" for plain units
//
// '+' is in no declared name, and "direct" is reserved, so derived names are unique by themselves.
#include <openssl/evp.h>

#include "core/assert.h"
#include "routing/table/canonical_json.h"
#include "routing/table/compile_state.h"

namespace weir::routing {

Digest sha256(std::string_view text) {
  Digest digest;
  unsigned size = 0;
  const int done = EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr);
  WEIR_ASSERT(done == 1 && size == digest.size());
  return digest;
}

namespace {

std::string to_hex(const Digest& digest) {
  std::string text;
  for (const uint8_t byte : digest) text += fmt::format("{:02x}", byte);
  return text;
}

// What makes a unit this unit, as RFC 8785 text. Changing this form changes every hash: pins and caches of
// running nodes would forget their units.
std::string canonical_form(const CompileState& state, const UnitSpec& spec) {
  const Model& model = state.body[spec.model];
  const Provider& provider = state.body[model.provider];
  std::string out = fmt::format(R"({{"cache_ttl_ns":{},"model":{{"base_url":)", spec.cache_ttl_ns);
  append_json_string(out, fmt::format("{}://{}{}", provider.tls ? "https" : "http", provider.host_header,
                                      provider.path_prefix));
  out += R"(,"dialect":)";
  append_json_string(out, kDialects[static_cast<size_t>(provider.dialect)]);
  out += R"(,"name":)";
  append_json_string(out, model.provider_model);
  out += R"(},"params":{)";
  for (const Param& param : spec.params) {
    if (&param != spec.params.data()) out += ',';
    append_json_string(out, param.key);
    out.append(":").append(param.json);
  }
  out += R"(},"prompt":)";
  if (spec.prompt) {
    const PromptTemplate& prompt = state.prompts[*spec.prompt];
    out += R"({"mode":)";
    append_json_string(out, kPromptModes[static_cast<size_t>(prompt.mode)]);
    out += R"(,"system":)";
    append_json_string(out, prompt.system);
    out += '}';
  } else {
    out += "null";
  }
  const Timeouts& timeouts = spec.timeouts;
  out += fmt::format(
      R"(,"timeouts":{{"connect_ns":{},"first_token_ns":{},"header_ns":{},"idle_ns":{},"total_ns":{}}},"tools":)",
      timeouts.connect_ns, timeouts.first_token_ns, timeouts.header_ns, timeouts.idle_ns, timeouts.total_ns);
  if (spec.tools) {
    out += '[';
    for (const std::string& tool : *spec.tools) {
      if (&tool != spec.tools->data()) out += ',';
      append_json_string(out, tool);
    }
    out += ']';
  } else {
    out += "null";
  }
  return out + '}';
}

// A text that lives as long as the unit.
std::string_view keep(UnitStorage& storage, std::string text) {
  storage.texts.push_back(std::make_unique<const std::string>(std::move(text)));
  return *storage.texts.back();
}

std::string json_string(std::string_view text) {
  std::string json;
  append_json_string(json, text);
  return json;
}

void build_rewrite(const CompileState& state, const UnitSpec& spec, Unit& unit) {
  UnitStorage& storage = unit.storage;
  unit.rewrite.model_json = keep(storage, json_string(state.body[spec.model].provider_model));
  for (const Param& param : spec.params) {
    const std::string_view key = keep(storage, param.key);
    const std::string_view key_json = keep(storage, json_string(param.key));
    storage.params.push_back(make_param(key, key_json, keep(storage, param.json)));
  }
  unit.rewrite.params = storage.params;
  if (spec.prompt) {
    const PromptTemplate& prompt = state.prompts[*spec.prompt];
    for (const PromptTemplate::Part& part : prompt.parts) {
      std::string literal;
      append_json_string_body(literal, part.literal);
      storage.prompt.push_back({.literal_json = keep(storage, std::move(literal)),
                                .variable = part.variable,
                                .attribute = part.attribute});
    }
    unit.rewrite.prompt = storage.prompt;
    unit.rewrite.prompt_mode = prompt.mode;
  }
  if (spec.tools) {
    for (const std::string& tool : *spec.tools) storage.tools.push_back(keep(storage, tool));
    unit.rewrite.filter_tools = true;
    unit.rewrite.tools = storage.tools;
  }
}

UnitIndex build_unit(CompileState& state, const UnitSpec& spec, std::optional<UnitIndex> base) {
  const auto index = static_cast<UnitIndex>(state.body.units.size());
  Unit unit;
  unit.name = spec.name;
  unit.base = base.value_or(index);
  unit.hash = sha256(canonical_form(state, spec));
  unit.hash_hex = to_hex(unit.hash);
  for (size_t i = 0; i < 8; i++) unit.short_hash = unit.short_hash << 8 | unit.hash[i];
  unit.model = spec.model;
  if (spec.prompt) unit.prompt = state.prompts[*spec.prompt].name;
  unit.timeouts = spec.timeouts;
  unit.retries = spec.retries;
  unit.cache_ttl_ns = spec.cache_ttl_ns;
  unit.answer = spec.answer;
  build_rewrite(state, spec, unit);
  state.body.units.push_back(std::move(unit));
  return index;
}

void apply_layer(UnitSpec& spec, const Candidate& layer) {
  if (layer.model) spec.model = *layer.model;
  if (layer.prompt) spec.prompt = layer.prompt;
  for (const Param& param : layer.params) {
    std::erase_if(spec.params, [&](const Param& there) {
      return same_key(there.key, param.key) || excludes(param, there.key);
    });
    if (!param.json.empty()) spec.params.push_back(param);
  }
  std::ranges::sort(spec.params, {}, &Param::key);
}

// The unit of one combination; built unless an earlier combination of the scenario is the same.
UnitIndex build_combination(CompileState& state, const Scenario& scenario, uint32_t applied,
                            std::vector<std::pair<std::string, UnitIndex>>& built) {
  UnitIndex base = scenario.stable;
  bool has_whole_unit = false;
  std::string name;
  std::vector<const Candidate*> layers;
  for (size_t bit = 0; bit < scenario.flags.size(); bit++) {
    if ((applied >> bit & 1) == 0) continue;
    const Candidate& candidate = state.candidates[static_cast<size_t>(scenario.flags[bit])];
    if (!candidate.unit) {
      layers.push_back(&candidate);
      name += '+' + state.body[scenario.flags[bit]].name;
    } else if (!has_whole_unit) {
      base = static_cast<UnitIndex>(*candidate.unit);
      has_whole_unit = true;
    }
  }
  if (layers.empty()) return base;
  UnitSpec spec = state.units[static_cast<size_t>(base)];
  spec.name += name;
  const auto found = std::ranges::find(built, spec.name, &std::pair<std::string, UnitIndex>::first);
  if (found != built.end()) return found->second;
  for (const Candidate* layer : layers) apply_layer(spec, *layer);
  const UnitIndex unit = build_unit(state, spec, base);
  built.emplace_back(spec.name, unit);
  return unit;
}

}  // namespace

void build_units(CompileState& state) {
  TableBody& body = state.body;
  for (const UnitSpec& spec : state.units) build_unit(state, spec, std::nullopt);
  for (Scenario& scenario : body.scenarios) {
    std::vector<std::pair<std::string, UnitIndex>> built;
    for (uint32_t applied = 0; applied < 1u << scenario.flags.size(); applied++) {
      scenario.combinations.push_back(build_combination(state, scenario, applied, built));
    }
  }
  UnitSpec direct;
  direct.timeouts = kDefaultTimeouts;
  for (size_t i = 0; i < body.models.size(); i++) {
    direct.name = "direct+" + body.models[i].name;
    direct.model = static_cast<ModelIndex>(i);
    body.direct_units.push_back(build_unit(state, direct, std::nullopt));
  }
  body.unit_names.reserve(body.units.size());
  body.unit_hashes.reserve(body.units.size());
  for (size_t i = 0; i < body.units.size(); i++) {
    const bool is_new = body.unit_names.insert(body.units[i].name, static_cast<uint32_t>(i));
    WEIR_ASSERT(is_new);
    // Of two units with the same canonical form either will do: they are the same unit.
    body.unit_hashes.insert(body.units[i].short_hash, static_cast<uint32_t>(i));
  }
}

}  // namespace weir::routing
