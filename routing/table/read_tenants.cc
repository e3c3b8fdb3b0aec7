// Tenants with their rows on flags, and keys. There may be a million of each: nothing here costs more per
// tenant than reading it.
#include "routing/table/canonical_json.h"
#include "routing/table/compile_state.h"

namespace weir::routing {
namespace {

void read_pilot_limits(Problems& problems, const Path& path, Element element, TenantFlag& row) {
  const Object<PilotLimitsProperty> object(problems, path, element);
  const auto count = [&](PilotLimitsProperty property) {
    return object.count(property, 1, kMaxLimit).value_or(0);
  };
  row.limits = {.rpm = count(PilotLimitsProperty::rpm),
                .tpm = count(PilotLimitsProperty::tpm),
                .concurrency = count(PilotLimitsProperty::concurrency),
                .total_requests = count(PilotLimitsProperty::total_requests)};
  row.until_ns = object.timestamp_ns(PilotLimitsProperty::until).value_or(row.until_ns);
  if (row.until_ns <= row.start_ns)
    problems.add(object.at(PilotLimitsProperty::until), "must be later than start");
}

// The unit a row returns to.
void read_previous(TenantReading& state, const Path& path, Element element, TenantFlag& row) {
  const auto index =
      read_reference_because(state.problems, path, element, state.unit_names,
                             ", to which this row must be able to return: keep it, or name another");
  if (!index) return;
  if (state.body[row.flag].candidate_unit == static_cast<UnitIndex>(*index)) {
    state.problems.add(path,
                       "is the flag's own candidate, so a rollback would change nothing; name the unit that "
                       "answered before");
  }
  row.previous = static_cast<UnitIndex>(*index);
}

// A tenant's standing on a flag. Owner, approver and reason are for people: they are checked here and stay in
// the document.
TenantFlag read_row(TenantReading& state, const Path& path, Element element, FlagIndex flag) {
  using P = TenantFlagProperty;
  TenantFlag row;
  row.flag = flag;
  const Object<TenantFlagProperty> object(state.problems, path, element);
  if (!object.valid()) return row;
  if (const auto choice = object.choice(P::state, kFlagStates)) {
    row.state = static_cast<FlagState>(*choice);
  }
  row.milli_percent = object.milli_percent(P::percent).value_or(0);
  if (row.state == FlagState::production && object.has(P::percent) && row.milli_percent != 100'000) {
    state.problems.add(object.at(P::percent), "is for state pilot; production is everybody of the tenant");
  }
  row.segments = read_references<SegmentIndex>(state, object, P::segments, state.segment_names);
  row.start_ns = object.timestamp_ns(P::start).value_or(row.start_ns);
  row.expires_ns = object.timestamp_ns(P::expires).value_or(row.expires_ns);
  if (row.start_ns >= row.expires_ns) state.problems.add(object.at(P::expires), "must be later than start");
  row.review_ns = object.timestamp_ns(P::review).value_or(row.review_ns);
  if (const auto choice = object.choice(P::on_expiry, kExpiryActions)) {
    row.on_expiry = static_cast<ExpiryAction>(*choice);
    if (!object.has(P::expires)) state.problems.add(object.at(P::on_expiry), "needs expires");
  }
  if (const auto choice = object.choice(P::on_rollback, kRollbackActions)) {
    row.on_rollback = static_cast<OnRollback>(*choice);
  }
  if (object.has(P::previous)) read_previous(state, object.at(P::previous), object[P::previous], row);
  if (object.has(P::limits)) read_pilot_limits(state.problems, object.at(P::limits), object[P::limits], row);
  object.read(P::owner, read_person);
  object.read(P::approver, read_person);
  object.text(P::reason);
  return row;
}

void read_rows(TenantReading& state, const Path& path, Element element, TenantSpec& tenant) {
  const auto object = read_object(state.problems, path, element);
  if (!object) return;
  tenant.flags.reserve(object->size());
  for (const auto [name, value] : *object) {
    const Path at(path, name);
    const auto index = state.body.flag_names.find(name);
    if (!index) {
      state.problems.add(at, "unknown flag" + (state.flag_names.list.size() <= Names::kMaxSuggested
                                                   ? did_you_mean(name, state.flag_names.list)
                                                   : std::string()));
      continue;
    }
    tenant.flags.push_back(read_row(state, at, value, static_cast<FlagIndex>(*index)));
  }
  if (!std::ranges::is_sorted(tenant.flags, {}, &TenantFlag::flag)) {
    std::ranges::sort(tenant.flags, {}, &TenantFlag::flag);
  }
  const auto twice = std::ranges::adjacent_find(tenant.flags, {}, &TenantFlag::flag);
  if (twice != tenant.flags.end())
    state.problems.add(Path(path, state.body[twice->flag].name), "appears twice; keep one");
}

// Value of a hexadecimal digit; 16 for any other character.
constexpr auto kHexDigits = [] {
  std::array<uint8_t, 256> values;
  values.fill(16);
  for (uint8_t i = 0; i < 10; i++) values['0' + i] = i;
  for (uint8_t i = 0; i < 6; i++) values['a' + i] = values['A' + i] = static_cast<uint8_t>(10 + i);
  return values;
}();

// "hmac-sha256:" and 64 hexadecimal digits.
std::optional<Digest> parse_key_hash(std::string_view text) {
  constexpr std::string_view kScheme = "hmac-sha256:";
  if (!text.starts_with(kScheme)) return std::nullopt;
  text.remove_prefix(kScheme.size());
  Digest digest;
  if (text.size() != digest.size() * 2) return std::nullopt;
  for (size_t i = 0; i < digest.size(); i++) {
    const uint8_t high = kHexDigits[static_cast<unsigned char>(text[i * 2])];
    const uint8_t low = kHexDigits[static_cast<unsigned char>(text[i * 2 + 1])];
    if (high == 16 || low == 16) return std::nullopt;
    digest[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return digest;
}

std::optional<TenantIndex> read_tenant_reference(TenantReading& state, const Path& path, Element element) {
  const auto id = read_string(state.problems, path, element);
  if (!id) return std::nullopt;
  const auto found = state.find_tenant(*id);
  if (!found) report_unknown(state.problems, path, "tenant", *id, state.tenant_list);
  return found;
}

void read_act_as(TenantReading& state, const Object<KeyProperty>& object, KeySpec& key) {
  object.for_each(KeyProperty::act_as, [&](const Path& at, Element name) {
    std::string_view text;
    if (name.get_string().get(text) == simdjson::SUCCESS && text == "*") {
      return state.problems.add(at, "a key cannot act for every tenant; list the tenants");
    }
    const auto tenant = read_tenant_reference(state, at, name);
    if (tenant) key.act_as.push_back(*tenant);
  });
  std::ranges::sort(key.act_as);
  if (std::ranges::adjacent_find(key.act_as) != key.act_as.end()) {
    state.problems.add(object.at(KeyProperty::act_as), "holds a tenant twice; keep one");
  }
}

// Limits and budgets of a tenant or key, as they are said.
template <typename Property>
class LimitReader {
 public:
  LimitReader(TenantReading& state, const Object<Property>& object) : state_(state), object_(object) {}
  Limits limits(Property property) const { return object_.read(property, read_limits, state_.body.acting); }
  std::vector<Budget> budgets(Property property) const {
    return object_.read(property, read_budgets, state_.body.acting);
  }

 private:
  TenantReading& state_;
  const Object<Property>& object_;
};

bool is_there(const Root& root, RootProperty section) {
  return root.has(section) && !root[section].is_null();
}

void read_tenant_section(CompileState& state, TenantReading& reading, const Root& root,
                         TenantTableBuilder& tenants) {
  if (!is_there(root, RootProperty::tenants)) return;
  const Path path = root.at(RootProperty::tenants);
  const auto object = read_object(state.problems, path, root[RootProperty::tenants]);
  if (!object) return;
  tenants.reserve_tenants(object->size());
  TenantSpec spec;
  for (const auto [id, element] : *object) {
    const Path at(path, id);
    check_name(state.problems, at, id);
    spec.clear();
    read_tenant(reading, at, element, spec);
    // A table with a problem is only read on to find the others: flags may have no rank, lists be too long.
    if (!state.problems.empty()) spec.clear();
    spec.id = id;
    tenants.add(spec);
    if (reading.tenant_list.size() <= Names::kMaxSuggested) reading.tenant_list.push_back(id);
  }
}

void read_key_section(CompileState& state, TenantReading& reading, const Root& root,
                      TenantTableBuilder& tenants) {
  if (!is_there(root, RootProperty::keys)) return;
  const Path path = root.at(RootProperty::keys);
  const auto array = read_array(state.problems, path, root[RootProperty::keys]);
  if (!array) return;
  tenants.reserve_keys(array->size());
  KeySpec spec;
  uint32_t position = 0;
  for (const Element element : *array) {
    spec.clear();
    read_key(reading, Path(path, position++), element, spec);
    if (!state.problems.empty())
      spec.budgets.clear();  // too many, perhaps; it is only read on for other problems
    tenants.add(spec);
  }
  const auto [ids, hashes] = tenants.end_keys();
  for (const KeyIndex key : ids) {
    state.problems.add(Path(Path(path, static_cast<uint32_t>(key)), "id"),
                       fmt::format("{} is the id of an earlier key; ids are unique", quote(tenants.id(key))));
  }
  for (const KeyIndex key : hashes) {
    state.problems.add(Path(Path(path, static_cast<uint32_t>(key)), "hash"),
                       "is the hash of an earlier key; a key belongs to one tenant");
  }
}

}  // namespace

void read_tenant(TenantReading& state, const Path& path, Element element, TenantSpec& tenant) {
  using enum TenantProperty;
  const Object<TenantProperty> object(state.problems, path, element);
  tenant.display_name = object.text(name).value_or(std::string_view());
  if (object.has(flags)) read_rows(state, object.at(flags), object[flags], tenant);
  if (object.has(models))
    tenant.models = read_references<ModelIndex>(state, object, models, state.model_names);
  const LimitReader read(state, object);
  tenant.limits = read.limits(limits);
  tenant.budgets = read.budgets(budgets);
  tenant.user_limits = read.limits(user_limits);
  tenant.user_budgets = read.budgets(user_budgets);
}

void read_key(TenantReading& state, const Path& path, Element element, KeySpec& key) {
  using enum KeyProperty;
  const Object<KeyProperty> object(state.problems, path, element);
  if (const auto text = object.string(id)) {
    key.id = *text;
    check_name(state.problems, object.at(id), key.id);
  }
  if (object.has(tenant)) {
    if (const auto found = read_tenant_reference(state, object.at(tenant), object[tenant])) {
      key.tenant = *found;
    }
  }
  if (const auto text = object.string(hash)) {
    const auto digest = parse_key_hash(*text);
    if (digest) {
      key.hash = *digest;
    } else {
      state.problems.add(object.at(hash), "must be hmac-sha256: and 64 hexadecimal digits");
    }
  }
  if (const auto scenario_index = object.read(scenario, read_reference, state.scenario_names)) {
    key.scenario = static_cast<ScenarioIndex>(*scenario_index);
  }
  if (object.has(act_as)) read_act_as(state, object, key);
  const LimitReader read(state, object);
  key.limits = read.limits(limits);
  key.budgets = read.budgets(budgets);
}

void read_tenants(CompileState& state, const Root& root, TenantTableBuilder& tenants) {
  TenantReading reading{.problems = state.problems,
                        .body = state.body,
                        .model_names = state.model_names,
                        .unit_names = state.unit_names,
                        .segment_names = state.segment_names,
                        .scenario_names = state.scenario_names,
                        .flag_names = state.flag_names};
  read_tenant_section(state, reading, root, tenants);
  for (const TenantIndex repeated : tenants.end_tenants()) {
    const Path path = root.at(RootProperty::tenants);
    state.problems.add(Path(path, tenants.id(repeated)), "appears twice; keep one");
  }
  reading.find_tenant = [&](std::string_view id) { return tenants.find(id); };
  read_key_section(state, reading, root, tenants);
}

}  // namespace weir::routing
