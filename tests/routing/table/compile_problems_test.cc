// Tables that must be refused: each row changes the example of DESIGN section 4 in one place and says where
// the problem is reported and how.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "routing/table/yaml.h"
#include "tests/routing/table/example.h"

namespace weir::routing {
namespace {

struct BadTable {
  const char* where;    // JSON pointer into the example
  const char* value;    // what stands there instead, as JSON; "" removes the member
  const char* path;     // of the problem
  const char* message;  // part of it
};

std::string shown(const BadTable& row) {
  return fmt::format("{} = {}", row.where, row.value);
}

nlohmann::json example_json() {
  return nlohmann::json::parse(*yaml_to_json(example()));
}

std::vector<Problem> problems_of(const BadTable& row) {
  nlohmann::json table = example_json();
  const nlohmann::json::json_pointer pointer(row.where);
  if (*row.value == '\0') {
    table.at(pointer.parent_pointer()).erase(pointer.back());
  } else {
    table[pointer] = nlohmann::json::parse(row.value);
  }
  CompileResult result = compile_json(table.dump());
  return result ? std::vector<Problem>() : std::move(result.error());
}

// Each yields exactly one problem.
constexpr BadTable kBadTables[] = {
    // the table itself
    {"", "[]", "", "must be a mapping, not a list"},
    {"/unit", "{}", "unit", "unknown field; did you mean \"units\"?"},
    {"/frobnicate", "{}", "frobnicate", "unknown field; known here: $schema, attributes"},
    {"/$schema", "1", "[\"$schema\"]", "must be a string, not a number"},
    {"/budgets", "{}", "budgets", "must be a list, not a mapping"},
    {"/budgets", "[{\"window\":\"1d\"}]", "budgets[0]", "\"usd\" is missing"},
    // providers
    {"/providers/openai", "\"https://a.example\"", "providers.openai", "must be a mapping, not a string"},
    {"/providers/openai", "null", "providers.openai", "is empty; give it a mapping or leave it out"},
    {"/providers/openai/dialect", "\"openia\"", "providers.openai.dialect", "did you mean \"openai\"?"},
    {"/providers/openai/base_url", "", "providers.openai", "\"base_url\" is missing"},
    {"/providers/openai/base_url", "\"api.openai.com\"", "providers.openai.base_url",
     "must begin with https://"},
    {"/providers/openai/base_url", "\"https://u:p@a.example\"", "providers.openai.base_url", "use api_key"},
    {"/providers/openai/base_url", "\"https://a.example/?v=1\"", "providers.openai.base_url",
     "must not have a query"},
    {"/providers/openai/base_url", "\"https://a.example/#x\"", "providers.openai.base_url",
     "must not have a fragment"},
    {"/providers/openai/base_url", "\"http://a.example:99999\"", "providers.openai.base_url",
     "a port from 1 to 65535"},
    {"/providers/openai/base_url", "\"http://169.254.169.254\"", "providers.openai.base_url",
     "allow_link_local: true"},
    {"/providers/openai/base_url", "\"http://[fe80::1]\"", "providers.openai.base_url",
     "link-local or metadata"},
    {"/providers/openai/base_url", "\"http://[fd00:ec2::254]\"", "providers.openai.base_url",
     "link-local or metadata"},
    {"/providers/openai/base_url", "\"http://metadata.google.internal\"", "providers.openai.base_url",
     "metadata"},
    {"/providers/openai/api_key", "\"sk-secret\"", "providers.openai.api_key",
     "env:NAME, ${NAME} or file:/path"},
    {"/providers/openai/api_key", "\"env:\"", "providers.openai.api_key", "env:NAME"},
    {"/providers/openai/api_key", "\"env:1A\"", "providers.openai.api_key", "env:NAME"},
    {"/providers/openai/api_key", "\"${A-B}\"", "providers.openai.api_key", "env:NAME"},
    {"/providers/openai/api_key", "\"file:relative\"", "providers.openai.api_key", "env:NAME"},
    {"/providers/openai/api_key", "\"env:MISSING\"", "providers.openai.api_key",
     "variable MISSING is not set"},
    {"/providers/openai/api_key", "\"env:EMPTY\"", "providers.openai.api_key",
     "variable EMPTY is empty or holds"},
    {"/providers/openai/api_key", "\"env:BLANKS\"", "providers.openai.api_key", "holds blanks"},
    {"/providers/openai/api_key", "\"env:LONG\"", "providers.openai.api_key",
     "a credential may have at most"},
    {"/providers/openai/ca_file", "\"ca.pem\"", "providers.openai.ca_file", "must be an absolute path"},
    {"/providers/openai/allow_link_local", "\"yes\"", "providers.openai.allow_link_local",
     "must be true or false"},
    {"/providers/open ai", "{\"base_url\":\"http://a.example\"}", "providers[\"open ai\"]", "is not a name"},
    // models
    {"/models/m", "{\"provider\":\"openai\"}", "models.m", "\"price\" is missing"},
    {"/models/m", "{\"price\":{\"input\":1,\"output\":1}}", "models.m",
     "must have exactly one of provider and providers"},
    {"/models/gpt-4.1-2025-04-14/provider", "\"opneai\"", "models[\"gpt-4.1-2025-04-14\"].provider",
     "unknown provider \"opneai\"; did you mean \"openai\"?"},
    {"/models/gpt-4.1-2025-04-14/tier", "\"cheap\"", "models[\"gpt-4.1-2025-04-14\"].tier",
     "one of economy, standard, premium"},
    {"/models/gpt-4.1-2025-04-14/price/output", "", "models[\"gpt-4.1-2025-04-14\"].price",
     "\"output\" is missing"},
    {"/models/gpt-4.1-2025-04-14/price/output", "\"8\"", "models[\"gpt-4.1-2025-04-14\"].price.output",
     "must be a number, not a string"},
    {"/models/gpt-4.1-2025-04-14/price/output", "-1", "models[\"gpt-4.1-2025-04-14\"].price.output",
     "from 0 to"},
    {"/models/gpt-4.1-2025-04-14/price/output", "0.0000000001", "models[\"gpt-4.1-2025-04-14\"].price.output",
     "at most 9 decimals"},
    {"/models/gpt-4.1-2025-04-14/provider_model", "\"a b\"", "models[\"gpt-4.1-2025-04-14\"].provider_model",
     "must be ASCII without blanks"},
    {"/models/gpt-4.1-2025-04-14/provider_model", "\"gpt-latest\"",
     "models[\"gpt-4.1-2025-04-14\"].provider_model", "floating alias"},
    {"/models/gpt-latest", "{\"provider\":\"openai\",\"price\":{\"input\":1,\"output\":1}}",
     "models.gpt-latest", "floating alias"},
    {"/models/latest", "{\"provider\":\"openai\",\"price\":{\"input\":1,\"output\":1}}", "models.latest",
     "floating alias"},
    {"/models/Llama:LATEST", "{\"provider\":\"openai\",\"price\":{\"input\":1,\"output\":1}}",
     "models[\"Llama:LATEST\"]", "floating alias"},
    // prompts
    {"/prompts/hello", "{\"system\":\"x\"}", "prompts.hello", "has no version: name a prompt as name@1.0.0"},
    {"/prompts/hello@1.0", "{\"system\":\"x\"}", "prompts[\"hello@1.0\"]", "has no version"},
    {"/prompts/hello@1.0.01", "{\"system\":\"x\"}", "prompts[\"hello@1.0.01\"]", "has no version"},
    {"/prompts/hello@1.0.0-", "{\"system\":\"x\"}", "prompts[\"hello@1.0.0-\"]", "has no version"},
    {"/prompts/@1.0.0", "{\"system\":\"x\"}", "prompts[\"@1.0.0\"]", "has no version"},
    {"/prompts/support@2.1.0/system", "", "prompts[\"support@2.1.0\"]", "\"system\" is missing"},
    {"/prompts/support@2.1.0/system", "\"\"", "prompts[\"support@2.1.0\"].system", "is empty"},
    {"/prompts/support@2.1.0/system", "\"{{tenant.nme}}\"", "prompts[\"support@2.1.0\"].system",
     "unknown variable \"tenant.nme\"; one of tenant.id, tenant.name, scenario, user, model, date, "
     "attributes.<name>; did you mean"},
    {"/prompts/support@2.1.0/system", "\"{{attributes.reigon}}\"", "prompts[\"support@2.1.0\"].system",
     "undeclared attribute \"reigon\"; declare it under attributes; did you mean \"region\"?"},
    {"/prompts/support@2.1.0/system", "\"{{attributes.}}\"", "prompts[\"support@2.1.0\"].system",
     "undeclared attribute \"\"; declare it under attributes"},
    {"/prompts/support@2.1.0/system", "\"{{}}\"", "prompts[\"support@2.1.0\"].system",
     "unknown variable \"\""},
    {"/prompts/support@2.1.0/system", "\"a {{tenant.name\"", "prompts[\"support@2.1.0\"].system",
     "has {{ without }}"},
    {"/prompts/support@2.1.0/mode", "\"append\"", "prompts[\"support@2.1.0\"].mode",
     "one of replace, prepend, if_absent"},
    // units
    {"/units/u", "{}", "units.u", "\"model\" is missing"},
    {"/units/direct", "{\"model\":\"gpt-4.1-2025-04-14\"}", "units.direct", "is reserved"},
    {"/units/support-41/model", "\"gpt-4.1-2025-04-15\"", "units.support-41.model",
     "unknown model \"gpt-4.1-2025-04-15\"; did you mean \"gpt-4.1-2025-04-14\"?"},
    {"/units/support-41/model", "41", "units.support-41.model",
     "must be a string, not a number; put it in quotes"},
    {"/units/support-41/prompt", "\"support@9.9.9\"", "units.support-41.prompt", "unknown prompt"},
    {"/units/support-41/params", "[]", "units.support-41.params", "must be a mapping"},
    {"/units/support-41/params/temperature", "null", "units.support-41.params.temperature", "is empty"},
    {"/units/support-41/params/max_tokens", "0", "units.support-41.params.max_tokens",
     "must be a whole number from 1"},
    {"/units/support-41/params/max_tokens", "1.5", "units.support-41.params.max_tokens",
     "must be a whole number"},
    {"/units/support-41/params/max_tokens", "\"many\"", "units.support-41.params.max_tokens",
     "must be a number"},
    {"/units/support-41/params/max_completion_tokens", "5", "units.support-41.params",
     "sets two of max_tokens,"},
    {"/units/support-41/params/Temperature", "0", "units.support-41.params.Temperature", "write temperature"},
    {"/units/support-41/params", "{\"top_k\":1,\"Top_K\":1}", "units.support-41.params.top_k",
     "appears twice"},
    {"/units/support-41/params/best_of", "0", "units.support-41.params.best_of",
     "must be a whole number from 1"},
    {"/units/support-41/params/model", "\"x\"", "units.support-41.params.model", "is not for params"},
    {"/units/support-41/params/messages", "[]", "units.support-41.params.messages", "is not for params"},
    {"/units/support-41/params/stream", "true", "units.support-41.params.stream", "is not for params"},
    {"/units/support-41/params/stream_options", "{}", "units.support-41.params.stream_options",
     "is not for params"},
    {"/units/support-41/params/tools", "[]", "units.support-41.params.tools", "is not for params"},
    {"/units/support-41/params/input", "\"x\"", "units.support-41.params.input", "is not for params"},
    {"/units/support-41/params/prompt", "\"x\"", "units.support-41.params.prompt", "is not for params"},
    {"/units/support-41/params/instructions", "\"x\"", "units.support-41.params.instructions",
     "is not for params"},
    {"/units/support-41/params/n", "2", "units.support-41.params.n", "is not for params"},
    {"/units/support-41/params/a b", "2", "units.support-41.params[\"a b\"]", "is not a name"},
    {"/units/support-41/tools", "\"search\"", "units.support-41.tools", "must be a list"},
    {"/units/support-41/tools", "[\"search\",\"search\"]", "units.support-41.tools", "holds a tool twice"},
    {"/units/support-41/tools", "[\"se arch\"]", "units.support-41.tools[0]", "is not a name"},
    {"/units/support-41/timeouts/total", "60", "units.support-41.timeouts.total", "a duration with its unit"},
    {"/units/support-41/timeouts/total", "\"60 s\"", "units.support-41.timeouts.total", "is not a duration"},
    {"/units/support-41/timeouts/total", "\"0s\"", "units.support-41.timeouts.total", "from 1ms to 1d"},
    {"/units/support-41/timeouts/total", "\"2d\"", "units.support-41.timeouts.total", "2d is out of range"},
    {"/units/support-41/timeouts/first_token", "\"2m\"", "units.support-41.timeouts.first_token",
     "is longer than total"},
    {"/units/support-41/timeouts/idle", "\"61s\"", "units.support-41.timeouts.idle", "is longer than total"},
    {"/units/support-41/timeouts/header", "\"4s\"", "units.support-41.timeouts.header",
     "is longer than first_token"},
    {"/units/support-41/timeouts/read", "\"4s\"", "units.support-41.timeouts.read", "unknown field"},
    {"/units/support-41/retries", "-1", "units.support-41.retries", "from 0 to 5"},
    {"/units/support-41/retries", "true", "units.support-41.retries", "must be a number, not a boolean"},
    {"/units/support-41/cache_ttl", "\"31d\"", "units.support-41.cache_ttl",
     "31d is out of range: from 0s to 30d"},
    {"/units/support-41/temperature", "1", "units.support-41.temperature", "unknown field"},
    // attributes
    {"/attributes/tier", "\"text\"", "attributes.tier", "one of string, boolean, number"},
    {"/attributes/tier", "[]", "attributes.tier", "has no values"},
    {"/attributes/tier", "[\"a\",\"a\"]", "attributes.tier", "holds \"a\" twice"},
    {"/attributes/tier", "[1]", "attributes.tier[0]", "must be a string, not a number; put it in quotes"},
    {"/attributes/tier", "[\"jo@example.com\"]", "attributes.tier[0]", "e-mail address or phone number"},
    {"/attributes/Tier", "\"string\"", "attributes.Tier", "must be lower-case letters"},
    {"/attributes/not", "\"string\"", "attributes.not", "is a word of segments"},
    // segments
    {"/segments/internal", "{}", "segments.internal", "would hold for everybody"},
    {"/segments/internal", "true", "segments.internal", "must be a mapping"},
    {"/segments/internal", "{\"staf\":true}", "segments.internal.staf",
     "undeclared attribute; declare it under attributes; did"},
    {"/segments/internal/staff", "\"yes\"", "segments.internal.staff", "must be true or false"},
    {"/segments/internal/staff", "[true]", "segments.internal.staff",
     "a list of values is for text attributes"},
    {"/segments/internal/staff", "{\"eq\":1}", "segments.internal.staff.eq", "must be true or false"},
    {"/segments/internal/region", "{}", "segments.internal.region", "has no comparison"},
    {"/segments/internal/region", "{\"contains\":\"a\"}", "segments.internal.region.contains",
     "unknown field"},
    {"/segments/internal/region", "{\"lt\":1}", "segments.internal.region.lt", "compares numbers"},
    {"/segments/internal/region", "{\"starts_with\":\"\"}", "segments.internal.region.starts_with",
     "is empty"},
    {"/segments/internal/region", "[]", "segments.internal.region", "would hold for nobody"},
    {"/segments/internal/region", "\"jo@example.com\"", "segments.internal.region",
     "e-mail address or phone number"},
    {"/segments/internal/region", "\"+49 151 1234567\"", "segments.internal.region",
     "e-mail address or phone number"},
    {"/segments/internal/region", "\"tel:+491511234567\"", "segments.internal.region", "phone number"},
    {"/segments/internal/region", "\"Jo <jo@example.com>, Berlin\"", "segments.internal.region",
     "e-mail address"},
    {"/segments/internal/region", "{\"ends_with\":\"jo@example.com\"}", "segments.internal.region.ends_with",
     "e-mail address"},
    {"/segments/internal/region", "[\"0151-1234567\"]", "segments.internal.region[0]",
     "e-mail address or phone"},
    {"/segments/internal/plan", "\"por\"", "segments.internal.plan",
     "\"por\" is not a value of plan; one of free, pro, enterprise; did you mean \"pro\"?"},
    {"/segments/internal/plan", "[\"pro\",\"gold\"]", "segments.internal.plan[1]", "is not a value of plan"},
    {"/segments/internal/plan", "{\"starts_with\":\"p\"}", "segments.internal.plan.starts_with",
     "is not a string"},
    {"/segments/internal/all", "[]", "segments.internal.all", "is an empty list"},
    {"/segments/internal/any", "{\"plan\":\"pro\"}", "segments.internal.any", "must be a list"},
    {"/segments/internal/not", "[{\"plan\":\"pro\"}]", "segments.internal.not", "must be a mapping"},
    // scenarios
    {"/scenarios/support-chat/stable", "", "scenarios.support-chat", "\"stable\" is missing"},
    {"/scenarios/support-chat/stable", "\"support-mni\"", "scenarios.support-chat.stable",
     "unknown unit \"support-mni\"; did you mean \"support-mini\"?"},
    {"/scenarios/gpt-4.1-2025-04-14", "{\"stable\":\"support-41\"}", "scenarios[\"gpt-4.1-2025-04-14\"]",
     "is a model's name too"},
    {"/scenarios/support-chat/sticky_by", "[\"session\"]", "scenarios.support-chat.sticky_by[0]",
     "one of conversation, user, tenant"},
    {"/scenarios/support-chat/sticky_by", "[\"user\",\"user\"]", "scenarios.support-chat.sticky_by[1]",
     "twice"},
    {"/scenarios/support-chat/fallback/0", "{}", "scenarios.support-chat.fallback[0]",
     "exactly one of unit, cached"},
    {"/scenarios/support-chat/fallback/0/cached", "true", "scenarios.support-chat.fallback[0]",
     "exactly one of"},
    {"/scenarios/support-chat/fallback/0/unit", "\"nobody\"", "scenarios.support-chat.fallback[0].unit",
     "unknown unit"},
    {"/scenarios/support-chat/fallback/0/on", "[]", "scenarios.support-chat.fallback[0].on",
     "names no cause"},
    {"/scenarios/support-chat/fallback/0/on", "[\"4xx\"]", "scenarios.support-chat.fallback[0].on[0]",
     "one of timeout"},
    {"/scenarios/support-chat/fallback/0/on", "[\"timeout\",\"timeout\"]",
     "scenarios.support-chat.fallback[0].on[1]", "stands in the list twice"},
    {"/scenarios/support-chat/fallback/0/on", "[429,\"429\"]", "scenarios.support-chat.fallback[0].on[1]",
     "twice"},
    {"/scenarios/support-chat/fallback/1/on", "[\"timeout\"]", "scenarios.support-chat.fallback[1].on",
     "is for units"},
    {"/scenarios/support-chat/fallback/1/cached", "false", "scenarios.support-chat.fallback[1].cached",
     "must be true"},
    {"/scenarios/support-chat/fallback/2/static", "\"\"", "scenarios.support-chat.fallback[2].static",
     "a text of 1 to"},
    {"/scenarios/support-chat/fallback/3", "{\"unit\":\"support-41\"}", "scenarios.support-chat.fallback[3]",
     "comes after a static hop"},
    {"/scenarios/support-chat/fallback/2", "{\"unit\":\"support-mini\"}",
     "scenarios.support-chat.fallback[2]", "is the same as hop [0], which leads in a circle"},
    {"/scenarios/support-chat/fallback/2", "{\"cached\":true}", "scenarios.support-chat.fallback[2]",
     "is the same as hop [1]"},
    {"/scenarios/support-chat/budgets", "[{\"usd\":1,\"window\":\"0s\"}]",
     "scenarios.support-chat.budgets[0].window", "from 1s to 366d"},
    // flags
    {"/flags/support-v2/scenario", "\"support\"", "flags.support-v2.scenario",
     "unknown scenario \"support\""},
    {"/flags/support-v2/candidate", "", "flags.support-v2", "\"candidate\" is missing"},
    {"/flags/support-v2/candidate", "{}", "flags.support-v2.candidate", "must be either a unit, or a layer"},
    {"/flags/support-v2/candidate/params", "{\"seed\":1}", "flags.support-v2.candidate",
     "must be either a unit"},
    {"/flags/support-v2/candidate", "{\"params\":{}}", "flags.support-v2.candidate.params",
     "would change nothing"},
    {"/flags/support-v2/candidate", "{\"params\":{\"n\":2}}", "flags.support-v2.candidate.params.n",
     "not for params"},
    {"/flags/support-v2/candidate", "{\"unit\":\"support-42\"}", "flags.support-v2.candidate.unit",
     "unknown unit"},
    {"/flags/support-v2/candidate", "{\"model\":\"x\"}", "flags.support-v2.candidate.model", "unknown model"},
    {"/flags/support-v2/exclude", "[\"interna\"]", "flags.support-v2.exclude[0]",
     "did you mean \"internal\"?"},
    {"/flags/support-v2/exclude", "[\"internal\",\"internal\"]", "flags.support-v2.exclude",
     "holds a segment twice"},
    {"/flags/support-v2/shadow/percent", "101", "flags.support-v2.shadow.percent", "from 0 to 100"},
    {"/flags/support-v2/shadow/budget_usd", "", "flags.support-v2.shadow", "\"budget_usd\" is missing"},
    {"/flags/support-v2/salt", "\"a b\"", "flags.support-v2.salt", "is not a name"},
    {"/flags/support-v2/owner", "4021", "flags.support-v2.owner", "put it in quotes"},
    {"/flags/support-v2/owner", "\"u-1, u-2\"", "flags.support-v2.owner", "is not one person: write one id"},
    {"/flags/support-v2/approvals", "[]", "flags.support-v2.approvals", "must be a mapping"},
    {"/flags/support-v2/approvals", "{\"for\":[\"widen\"]}", "flags.support-v2.approvals",
     "\"by\" is missing: roles that approve"},
    {"/flags/support-v2/approvals", "{\"by\":[\"admin\"]}", "flags.support-v2.approvals",
     "\"for\" is missing"},
    {"/flags/support-v2/approvals", "{\"by\":[\"admin\"],\"for\":[]}", "flags.support-v2.approvals.for",
     "names no change"},
    {"/flags/support-v2/approvals", "{\"by\":[],\"for\":[\"widen\"]}", "flags.support-v2.approvals.by",
     "lists 0 roles; from 1 to 8"},
    {"/flags/support-v2/approvals", "{\"by\":[\"viewer\"],\"for\":[\"widen\"]}",
     "flags.support-v2.approvals.by[0]", "one of operator, approver, admin"},
    {"/flags/support-v2/approvals", "{\"by\":[\"admin\"],\"for\":[\"widen\",\"widen\"]}",
     "flags.support-v2.approvals.for[1]", "stands in the list twice"},
    {"/scenarios/support-chat/approvals", "{\"by\":[\"admin\"],\"for\":[\"rollback\"]}",
     "scenarios.support-chat.approvals.for[0]", "one of production, widen, prompt"},
    {"/prompt_source", "\"ftp\"", "prompt_source", "one of api, git"},
    // tenants
    {"/tenants/bank-17/name", "\"two\\nlines\"", "tenants.bank-17.name",
     "holds a control character, line break or invisible character: \"two\\x0alines\""},
    {"/tenants/bank-17/name", "\"Bank \\u202e71\"", "tenants.bank-17.name",
     "\"Bank \\u202e71\"; use one line"},
    {"/tenants/bank<17>", "{}", "tenants[\"bank<17>\"]", "is not a name"},
    {"/tenants/b\xc3\xa4nk", "{}", "tenants[\"b\xc3\xa4nk\"]", "is not a name"},
    {"/tenants/bank\u202e", "{}", "tenants[\"bank\\u202e\"]", "\"bank\\u202e\" is not a name"},
    {"/tenants/bank-17/models", "[\"gpt-5\"]", "tenants.bank-17.models[0]", "unknown model"},
    {"/tenants/bank-17/limits/rpm", "0", "tenants.bank-17.limits.rpm", "must be a whole number from 1"},
    {"/tenants/bank-17/limits/rpx", "1", "tenants.bank-17.limits.rpx", "unknown field; did you mean"},
    {"/tenants/bank-17/limits/tpm", "1e13", "tenants.bank-17.limits.tpm", "must be a whole number"},
    {"/tenants/bank-17/budgets/0/on_exceed", "\"stop\"", "tenants.bank-17.budgets[0].on_exceed",
     "one of economy, cached, static, reject, kill"},
    {"/tenants/bank-17/user_limits", "[]", "tenants.bank-17.user_limits", "must be a mapping"},
    {"/tenants/bank-17/flags/support-v3", "{\"state\":\"off\"}", "tenants.bank-17.flags.support-v3",
     "unknown flag; did you mean \"support-v2\"?"},
    {"/tenants/bank-17/flags/support-v2/state", "", "tenants.bank-17.flags.support-v2",
     "\"state\" is missing"},
    {"/tenants/bank-17/flags/support-v2/state", "\"pilott\"", "tenants.bank-17.flags.support-v2.state",
     "one of off, pilot, production; did you mean \"pilot\"?"},
    {"/tenants/bank-17/flags/support-v2/state", "false", "tenants.bank-17.flags.support-v2.state",
     "must be one of off, pilot, production, not a boolean"},
    {"/tenants/bank-17/flags/support-v2/state", "\"production\"", "tenants.bank-17.flags.support-v2.percent",
     "production is everybody of the tenant"},
    {"/tenants/bank-17/flags/support-v2/percent", "100.001", "tenants.bank-17.flags.support-v2.percent",
     "from 0 to 100 in steps of 0.001"},
    {"/tenants/bank-17/flags/support-v2/percent", "-1", "tenants.bank-17.flags.support-v2.percent",
     "from 0 to 100"},
    {"/tenants/bank-17/flags/support-v2/percent", "0.0001", "tenants.bank-17.flags.support-v2.percent",
     "0.001"},
    {"/tenants/bank-17/flags/support-v2/percent", "\"5%\"", "tenants.bank-17.flags.support-v2.percent",
     "must be a number, not a string"},
    {"/tenants/bank-17/flags/support-v2/segments", "[\"vip\"]",
     "tenants.bank-17.flags.support-v2.segments[0]", "unknown segment \"vip\""},
    {"/tenants/bank-17/flags/support-v2/start", "\"tomorrow\"", "tenants.bank-17.flags.support-v2.start",
     "is not a time: write it as 2026-12-01T09:00:00Z"},
    {"/tenants/bank-17/flags/support-v2/start", "\"2027-01-15\"", "tenants.bank-17.flags.support-v2.expires",
     "must be later than start"},
    {"/tenants/bank-17/flags/support-v2/review", "\"2026-12-32\"", "tenants.bank-17.flags.support-v2.review",
     "is not a time"},
    {"/tenants/bank-17/flags/support-v2/on_expiry", "\"stop\"", "tenants.bank-17.flags.support-v2.on_expiry",
     "one of off, freeze, alert"},
    {"/tenants/bank-17/flags/support-v2/on_rollback", "\"now\"",
     "tenants.bank-17.flags.support-v2.on_rollback", "one of switch_next_turn, finish, restart"},
    {"/tenants/bank-17/flags/support-v2/previous", "\"none\"", "tenants.bank-17.flags.support-v2.previous",
     "unknown unit \"none\", to which this row must be able to return: keep it, or name another"},
    {"/tenants/bank-17/flags/support-v2/previous", "\"support-41\"",
     "tenants.bank-17.flags.support-v2.previous", "is the flag's own candidate"},
    {"/tenants/bank-17/flags/support-v2/previous", "", "tenants.bank-17.flags.support-v2",
     "\"previous\" is missing: the unit to return to"},
    {"/tenants/bank-17/flags/support-v2/owner", "", "tenants.bank-17.flags.support-v2",
     "\"owner\" is missing: the one person"},
    {"/tenants/bank-17/flags/support-v2/owner", "\"Ann and Bob\"", "tenants.bank-17.flags.support-v2.owner",
     "is not one person"},
    {"/tenants/bank-17/flags/support-v2/owner", "[\"u-1\"]", "tenants.bank-17.flags.support-v2.owner",
     "must be a string, not a list"},
    {"/tenants/bank-17/flags/support-v2/reason", "", "tenants.bank-17.flags.support-v2",
     "\"reason\" is missing: why"},
    {"/tenants/bank-17/flags/support-v2/review", "", "tenants.bank-17.flags.support-v2",
     "\"review\" is missing: when somebody looks at it again"},
    {"/tenants/bank-17/flags/support-v2/limits/until", "\"2026-12-01\"",
     "tenants.bank-17.flags.support-v2.limits.until", "must be later than start"},
    {"/tenants/bank-17/flags/support-v2/limits/until", "\"soon\"",
     "tenants.bank-17.flags.support-v2.limits.until", "is not a time"},
    {"/tenants/bank-17/flags/support-v2/limits/rpn", "5", "tenants.bank-17.flags.support-v2.limits.rpn",
     "unknown field; did you mean \"rpm\"?"},
    {"/tenants/bank-17/flags/support-v2/limits/tpm", "0", "tenants.bank-17.flags.support-v2.limits.tpm",
     "must be a whole number from 1 to 1000000000000"},
    {"/tenants/bank-17/flags/support-v2/limits/concurrency", "1e13",
     "tenants.bank-17.flags.support-v2.limits.concurrency", "must be a whole number from 1 to 1000000000000"},
    {"/tenants/bank-17/flags/support-v2/reason", "\"\"", "tenants.bank-17.flags.support-v2.reason",
     "is empty"},
    {"/tenants/bank-17/flags/support-v2/approver", "[]", "tenants.bank-17.flags.support-v2.approver",
     "must be a string, not a list"},
    // keys
    {"/keys", "{}", "keys", "must be a list, not a mapping"},
    {"/keys/0", "\"k\"", "keys[0]", "must be a mapping"},
    {"/keys/0/id", "", "keys[0]", "\"id\" is missing"},
    {"/keys/0/id", "\"a key\"", "keys[0].id", "is not a name"},
    {"/keys/0/tenant", "\"bank-18\"", "keys[0].tenant",
     "unknown tenant \"bank-18\"; did you mean \"bank-17\"?"},
    {"/keys/0/hash", "\"sk-live-0123\"", "keys[0].hash", "must be hmac-sha256: and 64 hexadecimal digits"},
    {"/keys/0/hash", "\"sha256:00\"", "keys[0].hash", "must be hmac-sha256:"},
    {"/keys/0/scenario", "\"chat\"", "keys[0].scenario", "unknown scenario"},
    {"/keys/0/act_as", "[\"*\"]", "keys[0].act_as[0]", "a key cannot act for every tenant"},
    {"/keys/0/act_as", "[\"bank-17\",\"bank-17\"]", "keys[0].act_as", "holds a tenant twice"},
    {"/keys/0/limits/concurrency", "\"many\"", "keys[0].limits.concurrency", "must be a number"},
    {"/keys/1",
     "{\"id\":\"bank-17-app\",\"tenant\":\"bank-17\",\"hash\":\"hmac-sha256:"
     "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\"}",
     "keys[1].id", "is the id of an earlier key"},
    {"/keys/1",
     "{\"id\":\"other\",\"tenant\":\"bank-17\",\"hash\":\"hmac-sha256:"
     "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F\"}",
     "keys[1].hash", "is the hash of an earlier key"},
};

TEST(BadTables, AreRefusedWithTheirPlaceAndWhatWouldBeRight) {
  for (const BadTable& row : kBadTables) {
    const std::vector<Problem> problems = problems_of(row);
    EXPECT_EQ(problems.size(), 1u) << shown(row) << "\n" << print(problems);
    if (problems.size() != 1) continue;
    EXPECT_EQ(problems[0].path, row.path) << shown(row);
    EXPECT_NE(problems[0].message.find(row.message), std::string::npos)
        << shown(row) << "\n  " << problems[0].message << "\n  lacks " << row.message;
  }
}

TEST(BadTables, AreMoreThanAHundred) {
  EXPECT_GE(std::size(kBadTables), 100u);
}

TEST(Problems, ComeAllAtOnce) {
  nlohmann::json table = example_json();
  size_t changed = 0;
  std::set<std::string> places;
  // Leaves that do not disturb each other.
  for (const BadTable& row : kBadTables) {
    const std::string where = row.where;
    const bool is_leaf = *row.value != '\0' && where.find("/percent") != std::string::npos;
    if (!is_leaf || !places.insert(where).second) continue;
    table[nlohmann::json::json_pointer(where)] = nlohmann::json::parse(row.value);
    changed++;
  }
  table["units"]["support-41"]["retries"] = 99;
  table["tenants"]["bank-17"]["flags"]["support-v2"]["reviewer"] = "x";
  table["keys"][0]["hash"] = "?";
  table["providers"]["openai"]["base_url"] = "?";
  const CompileResult result = compile_json(table.dump());
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().size(), changed + 4) << print(result.error());
}

TEST(Problems, NameEverythingARowOfALaunchLacks) {
  nlohmann::json table = example_json();
  table["tenants"]["bank-17"]["flags"]["support-v2"] = {{"state", "off"}};
  const CompileResult result = compile_json(table.dump());
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(
      print(result.error()),
      "tenants.bank-17.flags.support-v2: \"owner\" is missing: the one person who answers for it, such as "
      "u-4021\n"
      "tenants.bank-17.flags.support-v2: \"previous\" is missing: the unit to return to, mostly the "
      "scenario's "
      "stable one\n"
      "tenants.bank-17.flags.support-v2: \"reason\" is missing: why the tenant is in this state, in a "
      "sentence\n"
      "tenants.bank-17.flags.support-v2: \"review\" is missing: when somebody looks at it again, such as "
      "2026-12-08\n");
}

TEST(Problems, AreBoundedByKMaxTableProblems) {
  std::string json = "{\"units\":{";
  for (uint32_t i = 0; i < core::limits::kMaxTableProblems + 5; i++) json += fmt::format("\"u{}\":1,", i);
  json.back() = '}';
  const CompileResult result = compile_json(json + "}");
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().size(), core::limits::kMaxTableProblems + 1);
  EXPECT_EQ(result.error().back().message, "and 5 more problems");
}

TEST(Problems, NeverRepeatACredential) {
  for (const std::string_view value :
       {"sk-very-secret", "env:sk-very-secret", "${sk-very-secret}", "sk very secret"}) {
    const CompileResult result = compile_yaml(replaced(example(), "env:OPENAI_API_KEY", value));
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(print(result.error()).find("secret\""), std::string::npos);
    EXPECT_EQ(print(result.error()).find("sk"), std::string::npos) << print(result.error());
  }
  CompileOptions options;
  options.resolve_secret = [](const SecretReference&) { return std::string("sk very secret"); };
  const CompileResult result = compile_text(example(), TableFormat::yaml, options);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(print(result.error()).find("secret"), std::string::npos);
  const CompileResult key = compile_yaml(replaced(kDesignExample, "hmac-sha256:…", "sk-pasted-by-mistake"));
  ASSERT_FALSE(key.has_value());
  EXPECT_EQ(print(key.error()).find("pasted"), std::string::npos);
}

void expect_duplicate(std::string_view json, std::string_view path) {
  const CompileResult result = compile_json(json);
  ASSERT_FALSE(result.has_value()) << json;
  bool found = false;
  for (const Problem& problem : result.error()) {
    found = found || (problem.path == path && problem.message.starts_with("appears twice"));
  }
  EXPECT_TRUE(found) << path << "\n" << print(result.error());
}

TEST(DuplicateMembers, AreRefusedEverywhere) {
  expect_duplicate(R"({"units":{},"units":{}})", "units");
  expect_duplicate(R"({"tenants":{"a":{},"b":{},"a":{}}})", "tenants.a");
  expect_duplicate(R"({"tenants":{"a":{"name":"x","name":"x"}}})", "tenants.a.name");
  expect_duplicate(R"({"tenants":{"a":{"limits":{"rpm":1,"rpm":1}}}})", "tenants.a.limits.rpm");
  expect_duplicate(R"({"units":{"u":{"model":"m","params":{"seed":1,"seed":2}}}})", "units.u.params.seed");
  expect_duplicate(R"({"units":{"u":{"model":"m","params":{"x":[{"b":1,"a":1,"b":1}]}}}})",
                   "units.u.params.x[0].b");
  expect_duplicate(R"({"attributes":{"a":"string"},"segments":{"s":{"a":"x","a":"y"}}})", "segments.s.a");
  expect_duplicate(R"({"segments":{"s":{"all":[],"all":[]}}})", "segments.s.all");
  expect_duplicate(
      R"({"flags":{"f":{}},"tenants":{"a":{"flags":{"f":{"state":"off"},"f":{"state":"off"}}}}})",
      "tenants.a.flags.f");
}

}  // namespace
}  // namespace weir::routing
