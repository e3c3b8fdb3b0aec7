// Tables the tests of routing/table/ share.
#pragma once

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <string_view>

#include "routing/table/compile.h"

namespace weir::routing {

// The example of DESIGN section 4, word for word.
inline constexpr std::string_view kDesignExample = R"yaml(
providers:
  openai: { dialect: openai, base_url: "https://api.openai.com/v1", api_key: "env:OPENAI_API_KEY" }
models:                       # prices in USD per million tokens; floating aliases such as *-latest are refused
  gpt-4o-mini-2024-07-18: { provider: openai, tier: economy,  price: { input: 0.15, cached_input: 0.075, output: 0.60 } }
  gpt-4.1-2025-04-14:     { provider: openai, tier: standard, price: { input: 2.00, cached_input: 0.50,  output: 8.00 } }
prompts:
  support@2.1.0: { system: "You are the support assistant of {{tenant.name}}." }
  support@2.2.0: { system: "…", mode: replace }   # or prepend, if_absent: what happens to a system message the client sent
units:
  support-mini: { model: gpt-4o-mini-2024-07-18, prompt: support@2.1.0, params: { temperature: 0.2, max_tokens: 800 },
                  timeouts: { connect: 2s, first_token: 3s, idle: 30s, total: 60s }, retries: 1, cache_ttl: 0s }
  support-41:   { model: gpt-4.1-2025-04-14, prompt: support@2.2.0, params: { temperature: 0.2, max_tokens: 1500 },
                  tools: [search, summarize], timeouts: { first_token: 3s, total: 60s } }
attributes: { plan: [free, pro, enterprise], region: string, staff: boolean }   # undeclared ones are refused
segments:
  internal: { staff: true }
  eu-pro:   { all: [ { plan: pro }, { region: { starts_with: "eu-" } } ] }
scenarios:
  support-chat:
    stable: support-mini
    fallback: [ { unit: support-mini, on: [timeout, 5xx, 429, connect] }, { cached: true }, { static: "A colleague will reply shortly." } ]
    sticky_by: [conversation, user]
flags:
  support-v2:
    scenario: support-chat
    candidate: { unit: support-41 }            # or a layer over stable: { model: … } | { prompt: … } | { params: … }
    exclude: [ ]                                # segments that never get it
    shadow: { percent: 5, budget_usd: 10 }
    owner: u-4021
tenants:
  bank-17:
    name: "Bank Seventeen"
    flags:
      support-v2: { state: pilot, percent: 5, segments: [internal], start: 2026-12-01T09:00Z, review: 2026-12-08,
                    expires: 2027-01-15, owner: u-4021, approver: u-1187, reason: "security review 1182 passed",
                    previous: support-mini, limits: { rpm: 600, total_requests: 50000 } }
    limits:  { rpm: 6000, tpm: 2000000, concurrency: 200 }
    budgets: [ { window: 1h, usd: 50, on_exceed: economy }, { window: 1d, usd: 600, on_exceed: reject } ]
keys:
  - { id: bank-17-app, tenant: bank-17, hash: "hmac-sha256:…", scenario: support-chat, limits: { rpm: 3000 } }
)yaml";

// What every row must say besides its state, on the example's flag.
inline constexpr std::string_view kLaunch =
    R"(owner: u-4021, reason: "a test", review: 2027-01-01, previous: support-mini)";

inline constexpr std::string_view kKeyHash =
    "hmac-sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

// `text` with the first `from` replaced by `to`, which must be there.
inline std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string result(text);
  const size_t at = result.find(from);
  if (at == std::string::npos) {
    ADD_FAILURE() << "not in the table: " << from;
    return result;
  }
  return result.replace(at, from.size(), to);
}

// The example with a real hash in the place of its ellipsis.
inline std::string example() {
  return replaced(kDesignExample, "hmac-sha256:…", kKeyHash);
}

inline CompileOptions test_options() {
  return {.resolve_secret = [](const SecretReference& reference) -> std::expected<std::string, std::string> {
    if (reference.name == "OPENAI_API_KEY") return "sk-test";
    if (reference.name == "/run/secrets/openai") return "sk-file\n";
    if (reference.name == "BLANKS") return "two words";
    if (reference.name == "LONG") return std::string(core::limits::kMaxCredentialBytes + 1, 'k');
    if (reference.name == "EMPTY") return "";
    return std::unexpected("variable " + reference.name + " is not set");
  }};
}

inline CompileResult compile_yaml(std::string_view text) {
  return compile_text(std::string(text), TableFormat::yaml, test_options());
}

inline CompileResult compile_json(std::string_view text) {
  return compile_text(std::string(text), TableFormat::json, test_options());
}

inline std::string print(const std::vector<Problem>& problems) {
  std::string text;
  for (const Problem& problem : problems) text += to_string(problem) + "\n";
  return text;
}

// A compiled table, which reads as its body.
struct Compiled : CompiledTable {
  TableBody& operator*() const { return *body; }
  TableBody* operator->() const { return body.get(); }
  Tenant operator[](TenantIndex i) const { return (*tenants)[i]; }
  Key operator[](KeyIndex i) const { return (*tenants)[i]; }
};

// The table; ends the test when it has problems.
inline Compiled must_compile(std::string_view yaml) {
  CompileResult result = compile_yaml(yaml);
  if (!result) throw std::runtime_error(print(result.error()));
  return {std::move(*result)};
}

}  // namespace weir::routing
