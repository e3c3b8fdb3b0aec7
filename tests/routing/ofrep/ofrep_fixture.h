// A table for the tests of routing/ofrep: one scenario with two flags, one without any.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "routing/inspect/json_cursor.h"
#include "routing/ofrep/evaluation.h"
#include "tests/routing/table/example.h"

namespace weir::routing {

inline constexpr std::string_view kOfrepTable = R"yaml(
providers: { p: { dialect: openai, base_url: "http://127.0.0.1:9/v1" } }
models:
  m-old: { provider: p, tier: economy, price: { input: 1, output: 2 } }
  m-new: { provider: p, tier: standard, price: { input: 3, output: 6 } }
prompts: { greet@1.0.0: { system: "Hello" } }
units:
  old: { model: m-old, params: { temperature: 0.2, logit_bias: { "5": 1 } }, timeouts: { connect: 300ms } }
  new: { model: m-new, prompt: greet@1.0.0, params: { seed: 7, stop: "\"end\"" }, tools: [ search, find ] }
attributes: { plan: [ free, pro ], region: string, staff: boolean, age: number, conversation: string }
segments:
  internal: { staff: true }
  adult-pro-eu: { all: [ { plan: pro }, { region: { starts_with: "eu-" } }, { age: { ge: 18 } } ] }
scenarios:
  chat: { stable: old, sticky_by: [ conversation, user ] }
  plain: { stable: old }
  last.resort: { stable: old, fallback: [ { static: "Later." } ] }
flags:
  launch: { scenario: chat, candidate: { unit: new } }
  warmer: { scenario: chat, candidate: { params: { temperature: 0.9 } } }
  launch.params: { scenario: plain, candidate: { unit: new } }
  "odd:name": { scenario: plain, candidate: { params: { seed: 8 } } }
tenants:
  a:
    flags:
      launch: { state: pilot, percent: 12.305, segments: [ internal ], limits: { total_requests: 2 }, owner: u, reason: r, review: 2030-01-01, previous: old }
      warmer: { state: off, owner: u, reason: r, review: 2030-01-01, previous: old }
  b:
    flags:
      launch: { state: production, owner: u, reason: r, review: 2030-01-01, previous: old }
      "odd:name": { state: production, owner: u, reason: r, review: 2030-01-01, previous: old }
  c: { flags: {} }
keys:
  - { id: k, tenant: a, scenario: plain, act_as: [ b, c ], hash: "hmac-sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" }
)yaml";

// A document in memory of its own, with the padding that JSON readers want.
class PaddedText {
 public:
  explicit PaddedText(std::string_view text)
      : bytes_(text.size() + JsonCursor::kPadding, '?'), size_(text.size()) {
    std::memcpy(bytes_.data(), text.data(), text.size());
  }
  std::span<const uint8_t> bytes() const { return {bytes_.data(), size_}; }

 private:
  std::vector<uint8_t> bytes_;
  size_t size_;
};

class Ofrep : public ::testing::Test {
 protected:
  Ofrep() {
    table.revision = 7;
    Compiled compiled = must_compile(kOfrepTable);
    table.body = std::move(compiled.body);
    table.tenants = std::move(compiled.tenants);
    table.kills.providers.resize(table.body->providers.size());
    table.kills.units.resize(table.body->units.size());
    table.kills.scenarios.resize(table.body->scenarios.size());
    table.kills.flags.resize(table.body->flags.size());
  }

  const TableBody& body() const { return *table.body; }
  TenantIndex tenant(std::string_view id) const { return table.tenants->find(id).value(); }
  FlagIndex flag(std::string_view name) const { return FlagIndex{*body().flag_names.find(name)}; }
  ScenarioIndex scenario(std::string_view name) const {
    return ScenarioIndex{*body().scenario_names.find(name)};
  }
  UnitIndex unit(std::string_view name) const { return UnitIndex{*body().unit_names.find(name)}; }

  EvaluationInput input(std::string_view of) const {
    return {.table = table,
            .key = KeyIndex{0},
            .tenant = tenant(of),
            .context = context,
            .pins = pins,
            .now_ns = 1,
            .wall_now_ns = 1'700'000'000'000'000'000};
  }

  Table table;
  EvaluationContext context;
  PinTable pins{{.memory_bytes = 1 << 16, .ttl_ns = 1'000'000, .secret = {.low = 1, .high = 2}}};
};

}  // namespace weir::routing
