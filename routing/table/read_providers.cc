// Providers and models.
#include "routing/table/base_url.h"
#include "routing/table/compile_state.h"

namespace weir::routing {
namespace {

bool is_variable_name(std::string_view name) {
  return !name.empty() && !(name[0] >= '0' && name[0] <= '9') && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

std::optional<SecretReference> parse_secret_reference(std::string_view text) {
  using Kind = SecretReference::Kind;
  if (text.starts_with("file:/")) return SecretReference{Kind::file, std::string(text.substr(5))};
  std::string_view name;
  if (text.starts_with("env:")) {
    name = text.substr(4);
  } else if (text.starts_with("${") && text.ends_with("}")) {
    name = text.substr(2, text.size() - 3);
  }
  if (!is_variable_name(name)) return std::nullopt;
  return SecretReference{Kind::environment, std::string(name)};
}

// The value of the Authorization field. What the table or the resolver holds is never repeated in a message:
// it may be the credential.
Secret read_credential(CompileState& state, const Object<ProviderProperty>& object) {
  const auto text = object.text(ProviderProperty::api_key);
  if (!text) return {};
  const Path path = object.at(ProviderProperty::api_key);
  const auto reference = parse_secret_reference(*text);
  if (!reference) {
    state.problems.add(path,
                       "must say where the credential stands, as env:NAME, ${NAME} or file:/path; "
                       "the credential itself does not belong in the table");
    return {};
  }
  if (!state.options.resolve_secret) return {};
  auto value = state.options.resolve_secret(*reference);
  if (!value) {
    state.problems.add(path, value.error());
    return {};
  }
  value->erase(value->find_last_not_of(" \t\r\n") + 1);
  if (value->empty() || !std::ranges::all_of(*value, [](char c) { return c > 0x20 && c < 0x7f; })) {
    state.problems.add(
        path,
        fmt::format("{} {} is empty or holds blanks or control characters; it must be the "
                    "credential alone",
                    reference->kind == SecretReference::Kind::file ? "file" : "variable", reference->name));
    return {};
  }
  if (value->size() > core::limits::kMaxCredentialBytes) {
    state.problems.add(path, fmt::format("{} {} holds {} bytes; a credential may have at most {}",
                                         reference->kind == SecretReference::Kind::file ? "file" : "variable",
                                         reference->name, value->size(), core::limits::kMaxCredentialBytes));
    return {};
  }
  return Secret("Bearer " + *value);
}

void read_provider(CompileState& state, const Path& path, Element element, Provider& provider) {
  using enum ProviderProperty;
  const Object<ProviderProperty> object(state.problems, path, element);
  if (const auto choice = object.choice(dialect, kDialects)) provider.dialect = static_cast<Dialect>(*choice);
  provider.allow_link_local = object.boolean(allow_link_local).value_or(false);
  provider.authorization = read_credential(state, object);
  if (const auto file = object.text(ca_file)) {
    if (!file->starts_with('/')) state.problems.add(object.at(ca_file), "must be an absolute path");
    provider.ca_file = *file;
  }
  if (const auto text = object.text(base_url)) {
    auto url = parse_base_url(*text);
    if (!url) return state.problems.add(object.at(base_url), std::move(url.error()));
    if (!provider.allow_link_local && is_link_local(url->host)) {
      return state.problems.add(
          object.at(base_url),
          fmt::format("{} is a link-local or metadata address, which could hand out this "
                      "machine's credentials; allow_link_local: true permits it",
                      quote(url->host)));
    }
    provider.base_url = *text;
    provider.tls = url->tls;
    provider.host = std::move(url->host);
    provider.port = url->port;
    provider.host_header = std::move(url->host_header);
    provider.path_prefix = std::move(url->path_prefix);
  }
}

constexpr uint64_t kMaxWeight = 1000;

// "latest" and whatever ends in it after a separator: another model tomorrow under the same name.
bool is_floating_alias(std::string_view name) {
  constexpr std::string_view kLatest = "latest";
  if (name.size() < kLatest.size()) return false;
  const std::string_view end = name.substr(name.size() - kLatest.size());
  const bool ends_so = std::ranges::equal(
      end, kLatest, [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; });
  if (!ends_so || name.size() == kLatest.size()) return ends_so;
  return std::string_view("-_.:@/").find(name[name.size() - kLatest.size() - 1]) != std::string_view::npos;
}

void check_pinned(CompileState& state, const Path& path, std::string_view name) {
  if (!is_floating_alias(name)) return;
  state.problems.add(path, fmt::format("{} is a floating alias that changes without a release; name a pinned "
                                       "version such as gpt-4o-mini-2024-07-18",
                                       quote(name)));
}

Price read_price(Problems& problems, const Path& path, Element element) {
  const Object<PriceProperty> object(problems, path, element);
  Price price;
  price.input = object.nano_usd(PriceProperty::input).value_or(0);
  price.cached_input = object.nano_usd(PriceProperty::cached_input).value_or(price.input);
  price.output = object.nano_usd(PriceProperty::output).value_or(0);
  return price;
}

// providers: { east: 3, west: 1 }
void read_hosts(CompileState& state, const Path& path, Element element, Model& model) {
  const auto object = read_object(state.problems, path, element);
  if (!object) return;
  for (const auto [name, value] : *object) {
    const Path at(path, name);
    const auto index = state.provider_names.find(name);
    if (!index) {
      report_unknown(state.problems, at, "provider", name, state.provider_names.list, "");
      continue;
    }
    const auto weight = read_count(state.problems, at, value, 1, kMaxWeight);
    const auto provider = static_cast<ProviderIndex>(*index);
    const bool twice = std::ranges::find(model.hosts, provider, &ModelHost::provider) != model.hosts.end();
    if (twice) state.problems.add(at, "appears twice; keep one");
    model.hosts.push_back({.provider = provider, .weight = static_cast<uint32_t>(weight.value_or(1))});
  }
  if (model.hosts.empty() || model.hosts.size() > core::limits::kMaxModelHosts) {
    return state.problems.add(path, fmt::format("names {} providers; from 1 to {} are accepted",
                                                model.hosts.size(), core::limits::kMaxModelHosts));
  }
  model.provider = model.hosts.front().provider;
  if (model.hosts.size() == 1) model.hosts.clear();
}

void read_model(CompileState& state, const Path& path, Element element, Model& model) {
  using enum ModelProperty;
  check_pinned(state, path, model.name);
  const Object<ModelProperty> object(state.problems, path, element);
  if (object.valid() && object.has(provider) == object.has(providers)) {
    state.problems.add(path, "must have exactly one of provider and providers");
  }
  if (const auto index = object.read(provider, read_reference, state.provider_names)) {
    model.provider = static_cast<ProviderIndex>(*index);
  }
  if (object.has(providers)) read_hosts(state, object.at(providers), object[providers], model);
  if (const auto choice = object.choice(tier, kTiers)) model.tier = static_cast<Tier>(*choice);
  if (object.has(price)) model.price = read_price(state.problems, object.at(price), object[price]);
  model.max_output_tokens = static_cast<uint32_t>(
      object.count(max_output_tokens, 1, core::limits::kMaxCount).value_or(model.max_output_tokens));
  model.max_input_tokens = static_cast<uint32_t>(
      object.count(max_input_tokens, 1, core::limits::kMaxCount).value_or(model.max_input_tokens));
  model.provider_model = model.name;
  if (!object.has(provider_model)) return;
  const Path name_path = object.at(provider_model);
  const auto name =
      read_text(state.problems, name_path, object[provider_model], core::limits::kMaxModelBytes);
  if (!name) return;
  if (!std::ranges::all_of(*name, [](char c) { return c > 0x20 && c < 0x7f && c != '"' && c != '\\'; })) {
    state.problems.add(name_path, "must be ASCII without blanks, quotes and backslashes");
  }
  check_pinned(state, name_path, *name);
  model.provider_model = *name;
}

}  // namespace

void read_providers(CompileState& state, const Root& root) {
  read_section(state, root, RootProperty::providers, state.provider_names, state.body.providers,
               [&](const Path& path, Element element, Provider& provider, uint32_t) {
                 read_provider(state, path, element, provider);
               });
}

void read_models(CompileState& state, const Root& root) {
  read_section(state, root, RootProperty::models, state.model_names, state.body.models,
               [&](const Path& path, Element element, Model& model, uint32_t) {
                 read_model(state, path, element, model);
               });
}

}  // namespace weir::routing
