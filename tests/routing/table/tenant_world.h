// Random tenants and keys over a fixed table, as JSON objects that can be changed one by one, and what a
// compiled table says of them in words, so that two tables with different indices can be compared.
#pragma once

#include <fmt/format.h>

#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "routing/decide/row_index.h"
#include "routing/table/compile_change.h"
#include "routing/table/objects.h"
#include "tests/routing/table/example.h"

namespace weir::routing {

// All but tenants and keys; the document goes on after it.
inline constexpr std::string_view kWorldHead = R"({
  "providers":{"p":{"base_url":"http://127.0.0.1:1/v1"}},
  "models":{"m-1":{"provider":"p","price":{"input":1,"output":2}},"m-2":{"provider":"p","price":{"input":2,"output":2}}},
  "units":{"stable":{"model":"m-1"},"big":{"model":"m-2"},"old":{"model":"m-1","params":{"seed":1}}},
  "attributes":{"staff":"boolean","region":"string"},
  "segments":{"internal":{"staff":true},"eu":{"region":{"starts_with":"eu-"}}},
  "scenarios":{"chat":{"stable":"stable"},"search":{"stable":"old","sticky_by":["user","tenant"]},"idle":{"stable":"old"}},
  "flags":{
    "f-0":{"scenario":"search","candidate":{"unit":"big"}},
    "f-1":{"scenario":"chat","candidate":{"unit":"big"},"exclude":["eu"]},
    "f-2":{"scenario":"chat","candidate":{"params":{"temperature":0.5}}},
    "f-3":{"scenario":"search","candidate":{"params":{"seed":7}}},
    "f-4":{"scenario":"idle","candidate":{"model":"m-2"}}})";

class TenantWorld {
 public:
  explicit TenantWorld(uint64_t seed) : random_(seed) {}

  std::map<std::string, std::string> tenants, keys;  // id -> body

  std::string document() const {
    std::string text(kWorldHead);
    text += R"(,"tenants":{)";
    for (const auto& [id, body] : tenants)
      text += fmt::format("{}\"{}\":{}", text.back() == '{' ? "" : ",", id, body);
    text += R"(},"keys":[)";
    for (const auto& [id, body] : keys) text += (text.back() == '[' ? "" : ",") + body;
    return text + "]}";
  }

  uint64_t below(uint64_t bound) { return random_() % bound; }
  bool one_in(uint64_t n) { return below(n) == 0; }

  std::string random_tenant() {
    std::string body = "{";
    const auto member = [&](std::string_view name, const std::string& value) {
      body += fmt::format("{}\"{}\":{}", body.size() == 1 ? "" : ",", name, value);
    };
    if (one_in(2)) member("name", fmt::format(R"("Bank \"{}\"")", below(1000)));
    std::string rows = "{";
    for (unsigned f = 0; f < 5; f++) {
      if (!one_in(3)) continue;
      rows += fmt::format("{}\"f-{}\":{}", rows.size() == 1 ? "" : ",", f, random_row());
    }
    if (!one_in(5)) member("flags", rows + "}");
    if (one_in(4)) member("models", one_in(2) ? R"(["m-2"])" : R"(["m-2","m-1"])");
    if (one_in(4)) member("limits", fmt::format(R"({{"rpm":{},"concurrency":3}})", 1 + below(99)));
    if (one_in(6))
      member("budgets", fmt::format(R"([{{"window":"1h","usd":{}}},{{"window":"1d","usd":9}}])", below(9)));
    if (one_in(6)) member("user_limits", R"({"tpm":77})");
    if (one_in(6)) member("user_budgets", R"([{"window":"1d","usd":0.25,"on_exceed":"economy"}])");
    return body + "}";
  }

  // `tenant` may not exist.
  std::string random_key(const std::string& id, const std::string& tenant, uint64_t hash) {
    std::string body =
        fmt::format(R"({{"id":"{}","tenant":"{}","hash":"hmac-sha256:{:064x}")", id, tenant, hash);
    if (one_in(2)) body += one_in(2) ? R"(,"scenario":"chat")" : R"(,"scenario":"search")";
    if (one_in(4) && !tenants.empty()) body += fmt::format(R"(,"act_as":["{}"])", any(tenants));
    if (one_in(5)) body += R"(,"limits":{"rpm":60})";
    if (one_in(5)) body += R"(,"budgets":[{"window":"1h","usd":1}])";
    return body + "}";
  }

  const std::string& any(const std::map<std::string, std::string>& objects) {
    return std::next(objects.begin(), static_cast<ptrdiff_t>(below(objects.size())))->first;
  }

 private:
  std::string random_row() {
    static constexpr std::array kStates = {"off", "pilot", "pilot", "pilot", "production"};
    const std::string state = kStates[below(kStates.size())];
    std::string row =
        fmt::format(R"({{"state":"{}","owner":"u-1","reason":"r","review":"2027-01-0{}","previous":"{}")",
                    state, 1 + below(3), one_in(3) ? "old" : "stable");
    if (state == "pilot") row += fmt::format(R"(,"percent":{})", below(101));
    if (one_in(3)) row += one_in(2) ? R"(,"segments":["internal"])" : R"(,"segments":["eu","internal"])";
    if (one_in(3)) row += fmt::format(R"(,"start":"2026-0{}-01")", 1 + below(6));
    if (one_in(3)) row += R"(,"expires":"2027-06-01","on_expiry":"alert")";
    if (one_in(4)) row += R"(,"on_rollback":"finish")";
    if (one_in(4)) row += fmt::format(R"(,"limits":{{"rpm":{},"until":"2027-05-01"}})", 1 + below(9));
    else if (one_in(4))
      row += fmt::format(R"(,"limits":{{"tpm":{},"concurrency":{}}})", 1 + below(9), 1 + below(9));
    return row + "}";
  }

  std::mt19937_64 random_;
};

inline std::string describe(const Limits& limits) {
  return fmt::format("{}/{}/{}/{}/{}/{}", limits.rps, limits.rpm, limits.rph, limits.rpd, limits.tpm,
                     limits.concurrency);
}

inline std::string describe(std::span<const Budget> budgets) {
  std::string text;
  for (const Budget& budget : budgets) {
    text += fmt::format("[{} {} {}]", budget.window_ns, budget.limit_nano_usd,
                        static_cast<int>(budget.on_exceed));
  }
  return text;
}

inline std::string describe(const TableBody& body, const TenantRow& row) {
  std::string text =
      fmt::format(" {}:{} {} {}..{} until {} review {} {} {} previous {} limits {} {} {} {}",
                  body[row.flag].name, static_cast<int>(row.state), row.milli_percent, row.start_ns,
                  row.expires_ns, row.until_ns, row.review_ns, static_cast<int>(row.on_expiry),
                  static_cast<int>(row.on_rollback), body[row.previous].name, row.limits.rpm, row.limits.tpm,
                  row.limits.concurrency, row.limits.total_requests);
  for (const SegmentIndex segment : row.segments) text += " " + body[segment].name;
  return text;
}

// All that a table says of its tenants and keys, by id.
inline std::map<std::string, std::string> describe(const TableBody& body, const TenantTable& table) {
  std::map<std::string, std::string> said;
  uint32_t tenants = 0, keys = 0;
  for (uint32_t i = 0; i < table.tenant_end(); i++) {
    const Tenant tenant = table[TenantIndex{i}];
    if (!tenant.exists()) continue;
    tenants++;
    EXPECT_EQ(table.find(tenant.id()), TenantIndex{i});
    std::string text =
        fmt::format("{} {} | {} {} {} {} | {} keys, {} act for it, first {} |", tenant.display_name(),
                    tenant.display_name_json(), describe(tenant.limits()), describe(tenant.budgets()),
                    describe(tenant.user_limits()), describe(tenant.user_budgets()), tenant.links().key_count,
                    tenant.links().acted_for, tenant.first_key() ? table[*tenant.first_key()].id() : "none");
    for (const ModelIndex model : tenant.models()) text += " " + body[model].name;
    for (uint32_t f = 0; f < body.flags.size(); f++) {
      if (const auto row = find_row(body, tenant, FlagIndex{f})) text += describe(body, *row);
    }
    said["tenant " + std::string(tenant.id())] = text;
  }
  for (uint32_t i = 0; i < table.key_end(); i++) {
    const Key key = table[KeyIndex{i}];
    if (!key.exists()) continue;
    keys++;
    EXPECT_EQ(table.find_key(key.id()), KeyIndex{i});
    EXPECT_EQ(table.find_key(key.hash()), KeyIndex{i});
    std::string text = fmt::format("{} {} {} {}", table[key.tenant()].id(),
                                   key.scenario() ? body[*key.scenario()].name : "none",
                                   describe(key.limits()), describe(key.budgets()));
    std::vector<std::string> others;
    for (const TenantIndex other : key.act_as()) others.emplace_back(table[other].id());
    std::ranges::sort(others);
    for (const std::string& other : others) text += " " + other;
    said["key " + std::string(key.id())] = text;
  }
  EXPECT_EQ(table.tenant_count(), tenants);
  EXPECT_EQ(table.key_count(), keys);
  return said;
}

inline ObjectChange put(ObjectKind kind, std::string name, std::string body) {
  return {.kind = kind, .name = std::move(name), .before = std::nullopt, .after = std::move(body)};
}
inline ObjectChange removal(ObjectKind kind, std::string name) {
  return {.kind = kind, .name = std::move(name), .before = std::nullopt, .after = std::nullopt};
}

}  // namespace weir::routing
