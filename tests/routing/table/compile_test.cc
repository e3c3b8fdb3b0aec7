#include "routing/table/compile.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "core/strong.h"
#include "routing/decide/row_index.h"
#include "tests/routing/table/example.h"

namespace weir::routing {
namespace {

const Unit& unit_named(const TableBody& body, std::string_view name) {
  const auto index = body.unit_names.find(name);
  if (!index) throw std::runtime_error(fmt::format("no unit {}", name));
  return body.units[*index];
}

std::string params_of(const Unit& unit) {
  std::string text;
  for (const ParamRewrite& param : unit.rewrite.params) {
    if (!text.empty()) text += ',';
    text.append(param.key_json).append(":").append(param.value_json);
  }
  return text;
}

// ---- the example ----

TEST(Compile, ShadowsMayHaveAWindowForTheirBudget) {
  EXPECT_EQ(must_compile(example())->flags[0].shadow_window_ns, kNoWindow);
  const auto with = [](std::string_view window) {
    return compile_yaml(
        replaced(example(), "budget_usd: 10", "budget_usd: 10, window: " + std::string(window)));
  };
  EXPECT_EQ(with("month")->body->flags[0].shadow_window_ns, 0u);
  EXPECT_EQ(with("7d")->body->flags[0].shadow_window_ns, 7 * 24 * 3600 * core::kNsPerSecond);
  EXPECT_EQ(print(with("1ms").error()),
            "flags.support-v2.shadow.window: 1ms is out of range: from 1s to 366d\n");
}

TEST(Compile, APilotMayHaveAnyOfItsLimits) {
  const auto table = must_compile(
      replaced(example(), "total_requests: 50000 }", "tpm: 90000, concurrency: 7, until: 2026-12-24 }"));
  EXPECT_EQ(find_row(*table, table[TenantIndex{0}], FlagIndex{0})->limits,
            (PilotLimits{.rpm = 600, .tpm = 90'000, .concurrency = 7}));
}

TEST(DesignExample, LoadsAsWrittenButForTheEllipsisInItsKeyHash) {
  const CompileResult result = compile_yaml(kDesignExample);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(print(result.error()), "keys[0].hash: must be hmac-sha256: and 64 hexadecimal digits\n");
  must_compile(example());
}

TEST(DesignExample, BecomesProvidersAndModels) {
  const auto body = must_compile(example());
  ASSERT_EQ(body->providers.size(), 1u);
  const Provider& openai = body->providers[0];
  EXPECT_EQ(openai.name, "openai");
  EXPECT_TRUE(openai.tls);
  EXPECT_EQ(openai.host, "api.openai.com");
  EXPECT_EQ(openai.port, 443);
  EXPECT_EQ(openai.path_prefix, "/v1");
  EXPECT_EQ(openai.authorization.reveal(), "Bearer sk-test");
  ASSERT_EQ(body->models.size(), 2u);
  EXPECT_EQ(body->models[0].tier, Tier::economy);
  EXPECT_EQ(body->models[0].price.input, 150'000'000);
  EXPECT_EQ(body->models[0].price.cached_input, 75'000'000);
  EXPECT_EQ(body->models[0].price.output, 600'000'000);
  EXPECT_EQ(body->models[1].provider_model, "gpt-4.1-2025-04-14");
}

TEST(DesignExample, BecomesUnits) {
  const auto body = must_compile(example());
  const Unit& mini = unit_named(*body, "support-mini");
  EXPECT_EQ(mini.rewrite.model_json, "\"gpt-4o-mini-2024-07-18\"");
  EXPECT_EQ(params_of(mini), R"("max_tokens":800,"temperature":0.2)");
  ASSERT_EQ(mini.rewrite.prompt.size(), 2u);
  EXPECT_EQ(mini.rewrite.prompt[0].literal_json, "You are the support assistant of ");
  EXPECT_EQ(mini.rewrite.prompt[0].variable, PromptVariable::tenant_name);
  EXPECT_EQ(mini.rewrite.prompt[1].literal_json, ".");
  EXPECT_EQ(mini.rewrite.prompt[1].variable, PromptVariable::none);
  EXPECT_FALSE(mini.rewrite.filter_tools);
  EXPECT_EQ(mini.timeouts.connect_ns, 2 * core::kNsPerSecond);
  EXPECT_EQ(mini.timeouts.first_token_ns, 3 * core::kNsPerSecond);
  EXPECT_EQ(mini.timeouts.header_ns, 60 * core::kNsPerSecond);
  EXPECT_EQ(mini.timeouts.total_ns, 60 * core::kNsPerSecond);
  EXPECT_EQ(mini.retries, 1u);
  const Unit& larger = unit_named(*body, "support-41");
  EXPECT_TRUE(larger.rewrite.filter_tools);
  ASSERT_EQ(larger.rewrite.tools.size(), 2u);
  EXPECT_EQ(larger.rewrite.tools[1], "summarize");
  EXPECT_EQ(larger.rewrite.prompt_mode, PromptMode::replace);
}

TEST(DesignExample, BecomesAScenarioWithItsFlag) {
  const auto body = must_compile(example());
  ASSERT_EQ(body->scenarios.size(), 1u);
  const Scenario& scenario = body->scenarios[0];
  ASSERT_EQ(scenario.fallback.size(), 3u);
  EXPECT_EQ(scenario.fallback[0].on, 1 | 2 | 4 | 8);
  EXPECT_EQ(scenario.fallback[1].kind, FallbackHop::Kind::cached);
  EXPECT_EQ(scenario.fallback[2].kind, FallbackHop::Kind::static_text);
  EXPECT_EQ(scenario.fallback[2].text, "A colleague will reply shortly.");
  EXPECT_EQ(scenario.sticky_by, (std::vector{StickyKey::conversation, StickyKey::user}));
  ASSERT_EQ(scenario.combinations.size(), 2u);
  EXPECT_EQ((*body)[scenario.combinations[0]].name, "support-mini");
  EXPECT_EQ((*body)[scenario.combinations[1]].name, "support-41");
  ASSERT_EQ(body->flags.size(), 1u);
  EXPECT_EQ(body->flags[0].salt, "support-v2");
  EXPECT_EQ(body->flags[0].shadow_milli_percent, 5'000u);
  EXPECT_EQ(body->flags[0].shadow_budget_nano_usd, 10'000'000'000);
  EXPECT_EQ(body->flags[0].owner, "u-4021");
}

TEST(DesignExample, BecomesATenantAndItsKey) {
  const auto body = must_compile(example());
  ASSERT_EQ(body.tenants->tenant_count(), 1u);
  const Tenant bank = body[TenantIndex{0}];
  EXPECT_EQ(bank.id(), "bank-17");
  EXPECT_EQ(bank.display_name(), "Bank Seventeen");
  const TenantRow row = find_row(*body, bank, FlagIndex{0}).value();
  EXPECT_EQ(row.state, FlagState::pilot);
  EXPECT_EQ(row.milli_percent, 5'000u);
  EXPECT_THAT(row.segments, ::testing::ElementsAre(SegmentIndex{0}));
  EXPECT_EQ(row.start_ns, 1'796'115'600'000'000'000);
  EXPECT_EQ(row.expires_ns, 1'799'971'200'000'000'000);
  EXPECT_EQ(row.on_expiry, ExpiryAction::off);
  EXPECT_EQ((*body)[row.previous].name, "support-mini");
  EXPECT_EQ(row.limits.rpm, 600u);
  EXPECT_EQ(row.limits.total_requests, 50'000u);
  EXPECT_EQ(row.until_ns, INT64_MAX);
  EXPECT_EQ(row.review_ns, 1'796'688'000'000'000'000);
  EXPECT_EQ(bank.limits().tpm, 2'000'000u);
  ASSERT_EQ(bank.budgets().size(), 2u);
  EXPECT_EQ(bank.budgets()[0].window_ns, 3600 * core::kNsPerSecond);
  EXPECT_EQ(bank.budgets()[0].limit_nano_usd, 50'000'000'000);
  EXPECT_EQ(bank.budgets()[0].on_exceed, BudgetAction::economy);
  EXPECT_EQ(bank.budgets()[1].on_exceed, BudgetAction::reject);

  ASSERT_EQ(body.tenants->key_count(), 1u);
  const Key key = body[KeyIndex{0}];
  EXPECT_EQ(key.id(), "bank-17-app");
  EXPECT_EQ(key.tenant(), TenantIndex{0});
  EXPECT_EQ(key.scenario(), ScenarioIndex{0});
  EXPECT_EQ(key.limits().rpm, 3'000u);
  EXPECT_EQ(bank.first_key(), KeyIndex{0});
  Digest digest;
  for (uint8_t i = 0; i < 32; i++) digest[i] = i;
  EXPECT_EQ(body.tenants->find_key(digest), KeyIndex{0});
  EXPECT_EQ(body.tenants->find_key("bank-17-app"), KeyIndex{0});
  EXPECT_EQ(body.tenants->find_key("bank-17"), std::nullopt);
}

TEST(DesignExample, KeepsTheDocumentWithReferencesInPlaceOfSecrets) {
  const auto body = must_compile(example());
  EXPECT_NE(body->source_json.find("\"env:OPENAI_API_KEY\""), std::string::npos);
  EXPECT_EQ(body->source_json.find("sk-test"), std::string::npos);
  // What is kept compiles to the same again.
  const CompileResult again = compile_json(body->source_json);
  ASSERT_TRUE(again.has_value()) << print(again.error());
  EXPECT_EQ(again->body->units[0].hash_hex, body->units[0].hash_hex);
  EXPECT_EQ(again->body->source_json, body->source_json);
}

TEST(Compile, TakesAnEmptyTable) {
  EXPECT_TRUE(compile_json("{}").has_value());
  EXPECT_TRUE(compile_yaml("tenants:\nkeys:\n").has_value());
}

TEST(Compile, ReadsNoCredentialWithoutAResolver) {
  const CompileResult result = compile_text(example(), TableFormat::yaml, {});
  ASSERT_TRUE(result.has_value());
  EXPECT_TRUE(result->body->providers[0].authorization.empty());
}

TEST(Compile, ReadsACredentialFromAFileAndWithoutTheBlanksAtItsEnd) {
  const auto body = must_compile(replaced(example(), "env:OPENAI_API_KEY", "file:/run/secrets/openai"));
  EXPECT_EQ(body->providers[0].authorization.reveal(), "Bearer sk-file");
  const auto braces = must_compile(replaced(example(), "env:OPENAI_API_KEY", "${OPENAI_API_KEY}"));
  EXPECT_EQ(braces->providers[0].authorization.reveal(), "Bearer sk-test");
}

TEST(Compile, PermitsALinkLocalProviderOnRequest) {
  const auto body = must_compile(replaced(example(), "\"https://api.openai.com/v1\"",
                                          "\"http://169.254.1.1:8080\", allow_link_local: true"));
  EXPECT_TRUE(body->providers[0].allow_link_local);
  EXPECT_EQ(body->providers[0].host_header, "169.254.1.1:8080");
}

// ---- units ----

// Changes of the canonical form change every hash, so pins and caches of running nodes would be lost.
TEST(UnitHash, StaysWhatItIs) {
  const auto body = must_compile(example());
  EXPECT_EQ(unit_named(*body, "support-mini").hash_hex,
            "0dd273c2515dd17479086a72db65ff817594dcf3fa58cc9a82f7e9a4337f858c");
  EXPECT_EQ(unit_named(*body, "support-41").hash_hex,
            "75366639c9710bd83f21402182b25738f9f16bc6350c0d69340e17fa6459163b");
  EXPECT_EQ(unit_named(*body, "direct+gpt-4.1-2025-04-14").hash_hex,
            "e88b9c7bed4d4cfe1fc78e257542da9aede6c096038033c2a5e7160dc70ffa6e");
}

TEST(UnitHash, BeginsTheShortHash) {
  const auto body = must_compile(example());
  const Unit& unit = unit_named(*body, "support-41");
  EXPECT_EQ(unit.hash_hex.substr(0, 16), fmt::format("{:016x}", unit.short_hash));
  EXPECT_EQ(body->unit_hashes.find(unit.short_hash), body->unit_names.find("support-41"));
}

TEST(UnitHash, IgnoresHowThingsAreWritten) {
  const std::string before = unit_named(*must_compile(example()), "support-mini").hash_hex;
  const auto hash_with = [&](std::string_view from, std::string_view to) {
    return unit_named(*must_compile(replaced(example(), from, to)), "support-mini").hash_hex;
  };
  EXPECT_EQ(hash_with("{ temperature: 0.2, max_tokens: 800 }", "{ max_tokens: 8e2, temperature: 0.20 }"),
            before);
  EXPECT_EQ(hash_with("connect: 2s, first_token: 3s", "first_token: 3000ms"), before);
  EXPECT_EQ(hash_with("https://api.openai.com/v1", "https://API.openai.com:443/v1/"), before);
  EXPECT_EQ(hash_with("input: 0.15", "input: 0.16"), before);
  EXPECT_EQ(hash_with("retries: 1", "retries: 2"), before);
}

TEST(UnitHash, ChangesWithEverythingThatIsPartOfTheUnit) {
  const std::string table =
      replaced(example(), "on_exceed: economy", "on_exceed: reject");  // whatever is cheap
  const std::string before = unit_named(*must_compile(table), "support-mini").hash_hex;
  const auto expect_change = [&](std::string_view from, std::string_view to) {
    EXPECT_NE(unit_named(*must_compile(replaced(table, from, to)), "support-mini").hash_hex, before) << to;
  };
  expect_change("temperature: 0.2", "temperature: 0.3");
  expect_change("temperature: 0.2", "top_p: 0.2");
  expect_change("https://api.openai.com/v1", "https://api.openai.com/v2");
  expect_change("https://api.openai.com/v1", "http://api.openai.com/v1");
  expect_change("You are the", "You are a");
  expect_change("{{tenant.name}}.\" }", "{{tenant.name}}.\", mode: prepend }");
  expect_change("connect: 2s", "connect: 3s");
  expect_change("cache_ttl: 0s", "cache_ttl: 1s");
  expect_change("cache_ttl: 0s", "tools: []");
  expect_change("tier: economy,", "tier: economy, provider_model: gpt-4o-mini,");
  expect_change("support-mini: { model: gpt-4o-mini-2024-07-18", "support-mini: { model: gpt-4.1-2025-04-14");
}

TEST(Units, TakeTheDefaultsOfAnythingLeftOut) {
  const auto body = must_compile(example());
  const Unit& direct = unit_named(*body, "direct+gpt-4o-mini-2024-07-18");
  EXPECT_EQ(body->direct_units[0], direct.base);
  EXPECT_EQ(direct.timeouts.connect_ns, 2 * core::kNsPerSecond);
  EXPECT_EQ(direct.timeouts.header_ns, 60 * core::kNsPerSecond);
  EXPECT_EQ(direct.timeouts.first_token_ns, 60 * core::kNsPerSecond);
  EXPECT_EQ(direct.timeouts.idle_ns, 30 * core::kNsPerSecond);
  EXPECT_EQ(direct.timeouts.total_ns, 120 * core::kNsPerSecond);
  EXPECT_TRUE(direct.rewrite.params.empty());
  EXPECT_TRUE(direct.rewrite.prompt.empty());
  EXPECT_FALSE(direct.rewrite.filter_tools);
  EXPECT_EQ(direct.retries, 0u);
}

TEST(Units, ShortenDefaultTimeoutsToTheTotal) {
  const auto body = must_compile(
      replaced(example(), "{ connect: 2s, first_token: 3s, idle: 30s, total: 60s }", "{ total: 1s }"));
  const Timeouts& timeouts = unit_named(*body, "support-mini").timeouts;
  EXPECT_EQ(timeouts.connect_ns, core::kNsPerSecond);
  EXPECT_EQ(timeouts.idle_ns, core::kNsPerSecond);
  EXPECT_EQ(timeouts.first_token_ns, core::kNsPerSecond);
}

TEST(Units, CarryPromptsWithVariablesAndEscapes) {
  const auto body = must_compile(
      replaced(example(), "\"You are the support assistant of {{tenant.name}}.\"",
               R"("{{ tenant.id }}{{scenario}}: \"{{user}}\"\n{{\"{{\"}}x}} {{model}} {{date}}")"));
  std::string text;
  for (const PromptPart& part : unit_named(*body, "support-mini").rewrite.prompt) {
    text.append(part.literal_json).append(fmt::format("<{}>", static_cast<int>(part.variable)));
  }
  EXPECT_EQ(text, R"(<1><3>: \"<4>\"\n{{x}} <5> <6>)");
}

TEST(Units, CarryPromptsThatMentionDeclaredAttributes) {
  const auto body = must_compile(replaced(example(), "{{tenant.name}}", "{{attributes.region}} on {{ attributes.plan }}"));
  const auto prompt = unit_named(*body, "support-mini").rewrite.prompt;
  ASSERT_EQ(prompt.size(), 3u);
  const auto mentioned = [&](const PromptPart& part) { return (*body)[AttributeIndex{part.attribute}].name; };
  EXPECT_EQ(prompt[0].variable, PromptVariable::attribute);
  EXPECT_EQ(mentioned(prompt[0]), "region");
  EXPECT_EQ(prompt[1].variable, PromptVariable::attribute);
  EXPECT_EQ(mentioned(prompt[1]), "plan");
}

TEST(Units, HoldParamsAsCanonicalJson) {
  const auto body = must_compile(
      replaced(example(), "temperature: 0.2, max_tokens: 800",
               "stop: [\"\\n\", 'é'], logit_bias: {'50256': -100, '1': 5}, seed: 1.0, store: false"));
  EXPECT_EQ(params_of(unit_named(*body, "support-mini")),
            R"("logit_bias":{"1":5,"50256":-100},"seed":1,"stop":["\n","é"],"store":false)");
}

// ---- combinations ----

// The example with more flags on its scenario.
std::string with_flags(std::string_view flags) {
  return replaced(example(), "flags:\n  support-v2:\n", "flags:\n" + std::string(flags) + "  support-v2:\n");
}

std::vector<std::string> combination_names(const TableBody& body) {
  std::vector<std::string> names;
  for (const UnitIndex unit : body.scenarios[0].combinations) names.push_back(body[unit].name);
  return names;
}

TEST(Combinations, LayerFlagsOverTheBaseInTheirOrder) {
  const auto body = must_compile(with_flags(
      "  cool: { scenario: support-chat, candidate: { params: { temperature: 0, top_p: 0.9 } } }\n"
      "  terse: { scenario: support-chat, candidate: { prompt: support@2.2.0, params: { top_p: 0.5 } } }\n"));
  EXPECT_EQ(combination_names(*body),
            (std::vector<std::string>{"support-mini", "support-mini+cool", "support-mini+terse",
                                      "support-mini+cool+terse", "support-41", "support-41+cool",
                                      "support-41+terse", "support-41+cool+terse"}));
  EXPECT_EQ(params_of(unit_named(*body, "support-mini+cool+terse")),
            R"("max_tokens":800,"temperature":0,"top_p":0.5)");
  EXPECT_EQ(params_of(unit_named(*body, "support-41+cool")),
            R"("max_tokens":1500,"temperature":0,"top_p":0.9)");
  EXPECT_EQ(unit_named(*body, "support-mini+terse").rewrite.prompt[0].literal_json, "…");
  EXPECT_EQ(unit_named(*body, "support-mini+terse").retries, 1u);
  EXPECT_EQ((*body)[unit_named(*body, "support-41+cool").base].name, "support-41");
  for (uint8_t bit = 0; bit < 3; bit++) EXPECT_EQ(body->flags[bit].bit, bit);
}

TEST(Combinations, TakeTheFirstWholeUnitAndIgnoreLaterOnes) {
  const auto body = must_compile(
      with_flags("  first: { scenario: support-chat, candidate: { unit: support-mini } }\n"
                 "  model: { scenario: support-chat, candidate: { model: gpt-4.1-2025-04-14 } }\n"));
  EXPECT_EQ(
      combination_names(*body),
      (std::vector<std::string>{"support-mini", "support-mini", "support-mini+model", "support-mini+model",
                                "support-41", "support-mini", "support-41+model", "support-mini+model"}));
  EXPECT_EQ(body->units.size(), 2u + 2u + 2u);  // declared, derived, direct: nothing twice
  EXPECT_EQ(unit_named(*body, "support-mini+model").rewrite.model_json, "\"gpt-4.1-2025-04-14\"");
}

TEST(Combinations, RemoveAParamThatALayerSetsToNull) {
  const auto body = must_compile(
      with_flags("  free: { scenario: support-chat, candidate: { params: { max_tokens: null } } }\n"));
  EXPECT_EQ(params_of(unit_named(*body, "support-mini+free")), R"("temperature":0.2)");
}

TEST(Combinations, NeverSetBothBoundsOnTokens) {
  const auto body = must_compile(with_flags(
      "  newer: { scenario: support-chat, candidate: { params: { max_completion_tokens: 900 } } }\n"));
  EXPECT_EQ(params_of(unit_named(*body, "support-mini+newer")),
            R"("max_completion_tokens":900,"temperature":0.2)");
}

TEST(Combinations, AreEqualUnitsWhenALayerChangesNothing) {
  const auto body = must_compile(
      with_flags("  same: { scenario: support-chat, candidate: { params: { temperature: 0.20 } } }\n"));
  const Unit& base = unit_named(*body, "support-mini");
  const Unit& derived = unit_named(*body, "support-mini+same");
  EXPECT_EQ(base.hash, derived.hash);
  EXPECT_EQ(body->unit_hashes.find(derived.short_hash), body->unit_names.find("support-mini"));
}

std::string flags_in_number(uint32_t count) {
  std::string flags;
  for (uint32_t i = 0; i < count; i++) {
    flags += fmt::format("  f{}: {{ scenario: support-chat, candidate: {{ params: {{ seed: {} }} }} }}\n", i,
                         i + 1);
  }
  return flags;
}

TEST(Combinations, AreAtMostKMaxUnitCombinationsPerScenario) {
  static_assert(core::limits::kMaxUnitCombinations == 64);
  const auto body = must_compile(with_flags(flags_in_number(5)));
  EXPECT_EQ(body->scenarios[0].combinations.size(), core::limits::kMaxUnitCombinations);
  const CompileResult result = compile_yaml(with_flags(flags_in_number(6)));
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(print(result.error()),
            "scenarios.support-chat: has 7 flags, whose combinations are more than the 64 units accepted per "
            "scenario; retire a flag\n");
}

TEST(Units, KeepTheirViewsWhenTheyAreMoved) {
  auto body = must_compile(with_flags(flags_in_number(5)));
  const TableBody moved = std::move(*body);
  for (const Unit& unit : moved.units) {
    EXPECT_TRUE(unit.rewrite.model_json.starts_with("\"gpt-4"));
    EXPECT_EQ(moved.units[*moved.unit_names.find(unit.name)].hash, unit.hash);
  }
}

// ---- tenants and keys ----

TEST(Tenants, SortTheirRowsByFlag) {
  const auto body = must_compile(
      replaced(with_flags("  zero: { scenario: support-chat, candidate: { params: { seed: 1 } } }\n"),
               "      support-v2: {",
               "      zero: { state: production, " + std::string(kLaunch) + " }\n      support-v2: {"));
  const TenantRow zero = find_row(*body, body[TenantIndex{0}], FlagIndex{0}).value();
  EXPECT_EQ(zero.state, FlagState::production);
  EXPECT_EQ((*body)[zero.previous].name, "support-mini");
  EXPECT_EQ(find_row(*body, body[TenantIndex{0}], FlagIndex{1})->state, FlagState::pilot);
}

TEST(Tenants, KeepARowThatIsOffWithItsPercentage) {
  const auto body =
      must_compile(replaced(example(), "state: pilot, percent: 5", "state: off, percent: 12.345"));
  const TenantRow row = find_row(*body, body[TenantIndex{0}], FlagIndex{0}).value();
  EXPECT_EQ(row.state, FlagState::off);
  EXPECT_EQ(row.milli_percent, 12'345u);
}

TEST(Tenants, MayEndTheirPilotAtATime) {
  const auto body = must_compile(
      replaced(example(), "total_requests: 50000 }", "until: 2026-12-24T18:00Z } , on_expiry: freeze"));
  const TenantRow row = find_row(*body, body[TenantIndex{0}], FlagIndex{0}).value();
  EXPECT_EQ(row.until_ns, 1'798'135'200'000'000'000);
  EXPECT_EQ(row.on_expiry, ExpiryAction::freeze);
}

TEST(Approvals, StandAtScenariosAndFlagsInTheirOrder) {
  const auto body = must_compile(
      replaced(replaced(example(), "    stable: support-mini\n",
                        "    stable: support-mini\n    approvals: { for: [prompt], by: [admin] }\n"),
               "    owner: u-4021\n",
               "    owner: u-4021\n    approvals: { for: [widen, production], by: [operator, approver] }\n"));
  EXPECT_EQ(body->scenarios[0].approvals.causes, static_cast<uint8_t>(ApprovalCause::prompt));
  EXPECT_EQ(body->scenarios[0].approvals.by, std::vector{ApprovalRole::admin});
  EXPECT_EQ(body->flags[0].approvals.causes,
            static_cast<uint8_t>(ApprovalCause::production) | static_cast<uint8_t>(ApprovalCause::widen));
  EXPECT_EQ(body->flags[0].approvals.by, (std::vector{ApprovalRole::operator_role, ApprovalRole::approver}));
}

TEST(Approvals, AreNeededForNothingByDefault) {
  const auto body = must_compile(example());
  EXPECT_EQ(body->scenarios[0].approvals.causes, 0);
  EXPECT_EQ(body->flags[0].approvals.causes, 0);
  EXPECT_EQ(body->prompt_source, PromptSource::api);
}

TEST(PromptSource, IsOfTheWholeTable) {
  EXPECT_EQ(must_compile("prompt_source: git\n" + example())->prompt_source, PromptSource::git);
}

TEST(Tenants, MayUseModelsDirectlyAndBoundTheirUsers) {
  const auto body =
      must_compile(replaced(example(), "    name: \"Bank Seventeen\"\n",
                            "    name: \"Bank \\\"17\\\"\"\n"
                            "    models: [gpt-4.1-2025-04-14, gpt-4o-mini-2024-07-18]\n"
                            "    user_limits: { rpm: 60 }\n"
                            "    user_budgets: [ { window: 1d, usd: 0.5, on_exceed: static } ]\n"));
  const Tenant bank = body[TenantIndex{0}];
  EXPECT_EQ(bank.display_name_json(), "Bank \\\"17\\\"");
  EXPECT_THAT(bank.models(), ::testing::ElementsAre(ModelIndex{0}, ModelIndex{1}));
  EXPECT_EQ(bank.user_limits().rpm, 60u);
  ASSERT_EQ(bank.user_budgets().size(), 1u);
  EXPECT_EQ(bank.user_budgets()[0].limit_nano_usd, 500'000'000);
  EXPECT_EQ(bank.user_budgets()[0].on_exceed, BudgetAction::static_text);
}

TEST(Keys, MayActForListedTenants) {
  const auto body =
      must_compile(replaced(replaced(example(), "tenants:\n", "tenants:\n  a: {}\n  b: {}\n"),
                            "scenario: support-chat, limits: { rpm: 3000 }", "act_as: [bank-17, a]"));
  const Key key = body[KeyIndex{0}];
  EXPECT_THAT(key.act_as(), ::testing::ElementsAre(TenantIndex{0}, TenantIndex{2}));
  EXPECT_TRUE(key.may_act_for(TenantIndex{0}));
  EXPECT_FALSE(key.may_act_for(TenantIndex{1}));
  EXPECT_EQ(key.scenario(), std::nullopt);
  EXPECT_EQ(body[key.tenant()].id(), "bank-17");
}

TEST(Indices, FindEveryNameOfTheBody) {
  const auto body = must_compile(with_flags(flags_in_number(3)));
  const auto expect_all = [](const auto& items, const NameIndex& index) {
    EXPECT_EQ(index.size(), items.size());
    for (uint32_t i = 0; i < items.size(); i++) EXPECT_EQ(index.find(items[i].name), i);
  };
  expect_all(body->providers, body->provider_names);
  expect_all(body->models, body->model_names);
  expect_all(body->units, body->unit_names);
  expect_all(body->attributes, body->attribute_names);
  expect_all(body->scenarios, body->scenario_names);
  expect_all(body->flags, body->flag_names);
  EXPECT_EQ(body.tenants->find("bank-17"), TenantIndex{0});
  EXPECT_EQ(body->direct_units.size(), body->models.size());
}

// A figure, not an assertion: how long many tenants take.
TEST(Compile, LoadsManyTenants) {
  constexpr uint32_t kTenants = 100'000;
  auto small = must_compile(example());
  std::string json = small->source_json;
  std::string tenants = "\"tenants\":{";
  std::string keys = "\"keys\":[";
  for (uint32_t i = 0; i < kTenants; i++) {
    tenants += fmt::format(
        R"("tenant-{0}":{{"flags":{{"support-v2":{{"owner":"u-1","percent":{1},"previous":"support-mini",)"
        R"("reason":"rollout","review":"2027-01-01","state":"pilot"}}}},)"
        R"("limits":{{"rpm":6000,"tpm":2000000}},"name":"Tenant {0}"}},)",
        i, i % 100);
    keys += fmt::format(R"({{"hash":"hmac-sha256:{0:064x}","id":"key-{0}","tenant":"tenant-{0}"}},)", i);
  }
  const size_t begin = json.find("\"tenants\":{");
  ASSERT_NE(begin, std::string::npos);
  tenants.back() = '}';
  keys.back() = ']';
  json = json.substr(0, begin) + tenants + "," + keys + "}";
  const auto start = std::chrono::steady_clock::now();
  const CompileResult result = compile_json(json);
  const auto took = std::chrono::steady_clock::now() - start;
  ASSERT_TRUE(result.has_value()) << print(result.error());
  EXPECT_EQ(result->tenants->tenant_count(), kTenants);
  EXPECT_EQ(result->tenants->find("tenant-99999"), TenantIndex{99'999});
  std::printf("%u tenants, %.1f MB of JSON: %.0f ms\n", kTenants, static_cast<double>(json.size()) / 1e6,
              std::chrono::duration<double, std::milli>(took).count());
}

}  // namespace
}  // namespace weir::routing
