#include "routing/table/compile.h"

#include "routing/decide/row_index.h"
#include "routing/table/compile_state.h"
#include "routing/table/scalars.h"

namespace weir::routing {

namespace {

// Everything that an index, rank, bit or default of a tenant or key stands for, and that its checks look at.
std::string describe_basis(const TableBody& body) {
  std::string text;
  const auto list = [&](std::string_view kind, const auto& items, size_t count) {
    text.append(kind);
    for (size_t i = 0; i < count; i++) text.append(" ").append(items[i].name);
    text += '\n';
  };
  list("models", body.models, body.models.size());
  list("units", body.units, body.declared_units);
  list("segments", body.segments, body.segments.size());
  list("scenarios", body.scenarios, body.scenarios.size());
  list("flags", body.flags, body.flags.size());
  for (const Flag& flag : body.flags) {
    text += fmt::format("{} {} {} ", static_cast<uint32_t>(flag.scenario), flag.bit,
                        flag.candidate_unit ? static_cast<int64_t>(*flag.candidate_unit) : -1);
  }
  text += fmt::format("{} ", body.acting);
  // A row's previous unit is stored only where it differs from it.
  for (const Scenario& scenario : body.scenarios)
    text += fmt::format("{} ", static_cast<uint32_t>(scenario.stable));
  return text;
}

}  // namespace

namespace {

Runaway read_runaway(Problems& problems, const Path& path, Element element) {
  const Object<RunawayProperty> object(problems, path, element);
  const auto count = [&](RunawayProperty property) {
    return object.count(property, 1, kMaxLimit).value_or(0);
  };
  return {.same_request_rpm = count(RunawayProperty::same_request_rpm),
          .same_conversation_rpm = count(RunawayProperty::same_conversation_rpm),
          .full_length_rpm = count(RunawayProperty::full_length_rpm)};
}

}  // namespace

CompileResult compile(Document document, const CompileOptions& options) {
  auto body = std::make_unique<TableBody>();
  std::unique_ptr<TenantTable> tenants;
  CompileState state(options, *body);
  const Path nowhere;
  const Root root(state.problems, nowhere, document.root());
  if (root.valid()) {
    root.string(RootProperty::schema);
    read_providers(state, root);
    read_models(state, root);
    read_attributes(state, root);
    read_prompts(state, root);
    read_units(state, root);
    read_segments(state, root);
    read_scenarios(state, root);
    read_flags(state, root);
    if (state.problems.empty()) {
      find_acting(state);
    } else {
      body->acting = kAllActions;  // what is not known is not complained about
    }
    if (root.has(RootProperty::limits)) {
      body->limits = read_limits(state.problems, root.at(RootProperty::limits), root[RootProperty::limits],
                                 body->acting);
    }
    if (root.has(RootProperty::budgets)) {
      body->budgets = read_budgets(state.problems, root.at(RootProperty::budgets),
                                   root[RootProperty::budgets], body->acting);
    }
    if (root.has(RootProperty::runaway)) {
      body->runaway =
          read_runaway(state.problems, root.at(RootProperty::runaway), root[RootProperty::runaway]);
    }
    if (const auto source = root.choice(RootProperty::prompt_source, kPromptSources)) {
      body->prompt_source = static_cast<PromptSource>(*source);
    }
    body->declared_units = static_cast<uint32_t>(state.units.size());
    if (state.problems.empty()) rank_flags(*body);
    TenantTableBuilder builder(*body);
    read_tenants(state, root, builder);
    if (state.problems.empty()) {
      build_units(state);
      index_flags(*body);
      body->basis = sha256(describe_basis(*body));
      tenants = builder.take();
    }
  }
  if (!state.problems.empty()) return std::unexpected(state.problems.take());
  if (options.keep_source) body->source_json = document.take_json();
  return CompiledTable{std::move(body), std::move(tenants)};
}

CompileResult compile_text(std::string text, TableFormat format, const CompileOptions& options) {
  auto document = Document::parse(std::move(text), format);
  if (!document) return std::unexpected(std::move(document.error()));
  return compile(*std::move(document), options);
}

void declare_name(CompileState& state, const Path& path, std::string_view name, uint32_t value,
                  NewNames& names) {
  check_name(state.problems, path, name);
  if (name.size() > UINT16_MAX) return;
  if (!names.to->insert(name, value)) return state.problems.add(path, "appears twice; keep one");
  if (names.list.size() <= Names::kMaxSuggested) names.list.push_back(name);
}

void check_section_size(CompileState& state, const Root& root, RootProperty section, size_t count,
                        size_t limit) {
  if (count <= limit) return;
  state.problems.add(root.at(section), fmt::format("declares {}; at most {} are accepted", count, limit));
}

std::optional<uint32_t> read_reference(Problems& problems, const Path& path, Element element,
                                       const Names& names) {
  return read_reference_because(problems, path, element, names, "");
}

std::optional<uint32_t> read_reference_because(Problems& problems, const Path& path, Element element,
                                               const Names& names, std::string_view why) {
  const auto name = read_string(problems, path, element);
  if (!name) return std::nullopt;
  const auto index = names.find(*name);
  if (!index) report_unknown(problems, path, names.kind, *name, names.list, why);
  return index;
}

void report_unknown(Problems& problems, const Path& path, std::string_view kind, std::string_view name,
                    std::span<const std::string_view> known, std::string_view why) {
  std::string hint;
  if (known.empty()) {
    hint = fmt::format("; the table declares no {}", kind);
  } else if (known.size() <= Names::kMaxSuggested) {
    hint = did_you_mean(name, known);
  }
  problems.add(path, fmt::format("unknown {} {}{}{}", kind, quote(name), why, hint));
}

std::optional<std::string_view> read_person(Problems& problems, const Path& path, Element element) {
  const auto name = read_string(problems, path, element);
  if (!name) return std::nullopt;
  if (is_name(*name)) return name;
  problems.add(
      path, fmt::format("{} is not one person: write one id such as u-4021, of letters, digits and . _ @ : - "
                        "only, at most {} bytes",
                        quote(*name), core::limits::kMaxNameBytes));
  return std::nullopt;
}

Approvals read_approvals(Problems& problems, const Path& path, Element element) {
  using enum ApprovalsProperty;
  Approvals approvals;
  const Object<ApprovalsProperty> object(problems, path, element);
  size_t count = 0;
  object.for_each(causes, [&](const Path& at, Element item) {
    count++;
    const auto cause = read_choice(problems, at, item, kApprovalCauses);
    if (!cause) return;
    const auto bit = static_cast<uint8_t>(1u << *cause);
    if ((approvals.causes & bit) != 0) problems.add(at, "stands in the list twice; keep one");
    approvals.causes |= bit;
  });
  if (object.has(causes) && object[causes].is_array() && count == 0)
    problems.add(object.at(causes), "names no change; list some, or leave approvals out");
  count = 0;
  object.for_each(by, [&](const Path& at, Element item) {
    count++;
    if (const auto role = read_choice(problems, at, item, kApprovalRoles))
      approvals.by.push_back(static_cast<ApprovalRole>(*role));
  });
  if (object.has(by) && object[by].is_array() && (count == 0 || count > core::limits::kMaxApprovals)) {
    problems.add(object.at(by), fmt::format("lists {} roles; from 1 to {} are accepted", count,
                                            core::limits::kMaxApprovals));
  }
  return approvals;
}

Limits read_limits(Problems& problems, const Path& path, Element element, Actions acting) {
  const Object<LimitsProperty> object(problems, path, element);
  const auto count = [&](LimitsProperty property) {
    return object.count(property, 1, kMaxLimit).value_or(0);
  };
  const auto action = object.choice(LimitsProperty::on_exceed, kLimitActions);
  if (action)
    check_acts(problems, object.at(LimitsProperty::on_exceed), static_cast<BudgetAction>(*action), acting);
  return {.rps = count(LimitsProperty::rps),
          .rpm = count(LimitsProperty::rpm),
          .rph = count(LimitsProperty::rph),
          .rpd = count(LimitsProperty::rpd),
          .tpm = count(LimitsProperty::tpm),
          .concurrency = count(LimitsProperty::concurrency),
          .on_exceed = action ? static_cast<BudgetAction>(*action) : BudgetAction::reject,
          .warn_percent = static_cast<uint8_t>(object.count(LimitsProperty::warn_at, 1, 100).value_or(0))};
}

std::optional<uint64_t> read_window(Problems& problems, const Path& path, Element element) {
  std::string_view text;
  if (element.get_string().get(text) == simdjson::SUCCESS && text == "month") return 0;
  return read_duration_ns(problems, path, element, core::kNsPerSecond, 366 * kNsPerDay);
}

std::vector<Budget> read_budgets(Problems& problems, const Path& path, Element element, Actions acting) {
  std::vector<Budget> budgets;
  const auto array = read_array(problems, path, element);
  if (!array) return budgets;
  size_t position = 0;
  for (const Element item : *array) {
    const Path at(path, position++);
    const Object<BudgetProperty> object(problems, at, item);
    Budget& budget = budgets.emplace_back();
    budget.window_ns = object.read(BudgetProperty::window, read_window).value_or(0);
    budget.limit_nano_usd = object.nano_usd(BudgetProperty::usd).value_or(0);
    if (const auto action = object.choice(BudgetProperty::on_exceed, kBudgetActions)) {
      budget.on_exceed = static_cast<BudgetAction>(*action);
      check_acts(problems, object.at(BudgetProperty::on_exceed), budget.on_exceed, acting);
    }
  }
  if (budgets.size() > core::limits::kMaxBudgets) {
    problems.add(path, fmt::format("has {} budgets; at most {} are accepted", budgets.size(),
                                   core::limits::kMaxBudgets));
  }
  return budgets;
}

}  // namespace weir::routing
