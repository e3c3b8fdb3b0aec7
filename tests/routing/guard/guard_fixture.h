// A table with every kind of limit and budget, for the tests of guards.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "routing/guard/guard_plan.h"
#include "routing/table/compile.h"

namespace weir::tests {

struct GuardedTable {
  std::shared_ptr<const routing::TableBody> body = std::make_shared<routing::TableBody>();
  std::shared_ptr<const routing::TenantTable> tenants = std::make_shared<routing::TenantTable>();

  std::shared_ptr<const routing::GuardPlan> bind(const std::shared_ptr<routing::GuardArena>& arena,
                                        const routing::GuardPlan* base = nullptr) const {
    return routing::GuardPlan::bind(*body, *tenants, arena, base);
  }
};

inline GuardedTable compiled(const std::string& yaml) {
  auto table = routing::compile_text(yaml, routing::TableFormat::yaml, {});
  if (!table) {
    for (const auto& problem : table.error()) ADD_FAILURE() << problem.path << ": " << problem.message;
    return {};
  }
  return {std::move(table->body), std::move(table->tenants)};
}

inline std::string guarded_text(const std::string& global, const std::string& scenario,
                                const std::string& tenant, const std::string& key,
                                std::string_view pilot = "") {
  const std::string hash(64, 'a'), other(64, 'b');
  return R"(
providers: { p: { dialect: openai, base_url: "http://127.0.0.1:1/v1" } }
models:
  small: { provider: p, tier: economy, price: { input: 0.1, output: 0.4 } }
  large: { provider: p, tier: standard, price: { input: 2, output: 8 }, max_output_tokens: 1000 }
units:
  big: { model: large }
  mini: { model: small, params: { max_tokens: 100 } }
  away: { model: large, cache_ttl: 1s }
scenarios:
  chat: { stable: big, fallback: [ { unit: mini } ])" +
         scenario + R"( }
  elsewhere: { stable: away, fallback: [ { unit: mini }, { static: "So every action can act somewhere." } ] }
flags:
  f: { scenario: chat, candidate: { params: { temperature: 0.5 } } }
tenants:
  t1: { flags: { f: { state: pilot, percent: 100, owner: o, reason: r, review: 2030-01-01, previous: big,
                      limits: { rpm: 2, total_requests: 3)" +
         std::string(pilot) + R"( } } })" + tenant + R"( }
  t2: {}
keys:
  - { id: k1, tenant: t1, scenario: chat, hash: "hmac-sha256:)" +
         hash + "\"" + key + R"( }
  - { id: k2, tenant: t2, scenario: chat, hash: "hmac-sha256:)" +
         other + R"(" }
)" + global;
}

inline GuardedTable guarded_table() {
  return compiled(
      guarded_text("limits: { rps: 100000 }\nbudgets: [ { window: 1d, usd: 1000000, on_exceed: kill } ]\n",
                   ", budgets: [ { window: 1h, usd: 500000 } ]",
                   ", limits: { rpm: 6000, tpm: 100000000, concurrency: 200 }, budgets: [ { window: 1h, usd: "
                   "400000, on_exceed: economy }, "
                   "{ window: month, usd: 400000 } ], user_limits: { rpm: 1000, rpd: 1000000 }, "
                   "user_budgets: [ { window: 1d, usd: 1000 } ]",
                   ", limits: { rps: 5000, rpm: 300000 }, budgets: [ { window: 1m, usd: 300000 } ]"));
}

inline GuardedTable unguarded_table() {
  return compiled(R"(
providers: { p: { dialect: openai, base_url: "http://127.0.0.1:1/v1" } }
models: { m: { provider: p, price: { input: 1, output: 1 } } }
units: { u: { model: m } }
scenarios: { chat: { stable: u } }
)");
}

}  // namespace weir::tests
