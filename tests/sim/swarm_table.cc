#include "tests/sim/swarm_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "core/timestamp.h"
#include "routing/decide/identify.h"
#include "routing/guard/guard_plan.h"
#include "routing/table/compile.h"

namespace weir::sim {
namespace {

constexpr int64_t kBeginWallNs = 1'700'000'000'000'000'000;
constexpr const char* kStates[] = {"off", "pilot", "production"};
constexpr const char* kRollbacks[] = {"switch_next_turn", "finish", "restart"};
constexpr const char* kActions[] = {"reject", "kill", "economy", "static", "cached"};
constexpr int64_t kNanoUsd = 1'000'000'000;

std::string json_list(const std::vector<std::string>& items) {
  std::string out = "[";
  for (const std::string& item : items) out += (out.size() > 1 ? ",\"" : "\"") + item + "\"";
  return out + "]";
}

std::string usd(int64_t nano) {
  return fmt::format("{}.{:09}", nano / kNanoUsd, nano % kNanoUsd);
}

std::string when(int64_t in_s) {
  return std::string(core::timestamp(kBeginWallNs + in_s * kNanoUsd).view());
}

}  // namespace

TableMaker::TableMaker(const SwarmConfig& config, std::vector<uint16_t> ports)
    : config_(config), ports_(std::move(ports)), dice_(config.seed, 1), more_dice_(config.seed, 4) {
  for (uint32_t tenant = 0; tenant < config.tenants; ++tenant) {
    TenantLimits& own = limits_.emplace_back();
    const auto small = [&](uint64_t most) { return static_cast<uint32_t>(dice_.between(1, most)); };
    if (config.rates && dice_.one_in(2)) own.rpm = small(12);
    if (config.rates && dice_.one_in(4)) own.key_rpm = small(12);
    if (config.concurrency && dice_.one_in(2)) own.concurrency = small(3);
    if (config.user_limits && dice_.one_in(2)) own.user_rpm = small(6);
    if (config.user_limits && dice_.one_in(2)) own.user_concurrency = small(2);
    // One answer costs at most 50 tokens at 0.001 USD and its input.
    if (config.budgets && dice_.one_in(2))
      own.budget_nano_usd = static_cast<int64_t>(dice_.between(60, 600)) * 1'000'000;
    own.on_exceed = kActions[dice_.below(5)];
    draw_more_limits(own);
    most_concurrency_.push_back(own.concurrency);
    rows_.emplace_back(config.flags);
    for (Row& row : rows_.back()) draw_row(row);
  }
  if (config.budgets && dice_.one_in(3))
    global_budget_ = static_cast<int64_t>(dice_.between(100, 2000)) * 1'000'000;
  for (uint32_t i = 0; i < config.scenarios; ++i) {
    chains_.push_back(config.fallbacks ? static_cast<uint32_t>(dice_.below(16)) : 0);
  }
  layers_ = static_cast<uint32_t>(dice_.next());
  draw_hosts();
  static constexpr const char* kTtls[] = {"5ms", "60ms", "2s", "60s", "10m", "10m", "10m", ""};
  for (uint32_t unit = 0; unit < unit_count(); ++unit)
    ttls_.push_back(config.cache ? more_dice_.pick(kTtls) : "");
  static constexpr uint32_t kShares[] = {0, 20, 100, 100};
  for (uint32_t flag = 0; flag < config.flags; ++flag)
    shadows_.push_back(config.shadow ? more_dice_.pick(kShares) : 0);
  shadow_budget_ = static_cast<int64_t>(more_dice_.between(60, 3000)) * 1'000'000;
}

void TableMaker::draw_more_limits(TenantLimits& own) {
  const auto tokens = [&] { return static_cast<uint32_t>(more_dice_.between(100, 900)); };
  if (config_.token_limits) {
    if (more_dice_.one_in(2)) own.tpm = tokens();
    if (more_dice_.one_in(4)) own.key_tpm = tokens();
    if (more_dice_.one_in(3)) own.user_tpm = tokens();
  }
  static constexpr const char* kSoft[] = {"economy", "static", "cached", "cached"};
  if (config_.soft_limits && more_dice_.one_in(2)) own.limits_on_exceed = more_dice_.pick(kSoft);
  // With flags: stable has answered some, and is to answer others in a candidate's place.
  if (config_.cached_limits && more_dice_.one_in(2)) {
    own.limits_on_exceed = "cached";
    if (own.rpm == 0) own.rpm = static_cast<uint32_t>(more_dice_.between(2, 8));
  }
}

// How much each allows, not which there are.
void TableMaker::change_limits(TenantLimits& own) {
  const auto again = [&](uint32_t& limit, uint64_t least, uint64_t most) {
    if (limit != 0 && more_dice_.one_in(2)) limit = static_cast<uint32_t>(more_dice_.between(least, most));
  };
  again(own.rpm, 1, 12);
  again(own.key_rpm, 1, 12);
  again(own.user_rpm, 1, 6);
  again(own.concurrency, 1, 3);
  again(own.user_concurrency, 1, 2);
  for (uint32_t* limit : {&own.tpm, &own.key_tpm, &own.user_tpm}) again(*limit, 100, 900);
}

// Whoever serves a model now may be somebody else's in the next table.
void TableMaker::draw_hosts() {
  if (!config_.hosts) return;
  weights_.assign(config_.providers, std::vector<uint32_t>(config_.providers));
  for (auto& weights : weights_) {
    for (uint32_t& weight : weights)
      weight = dice_.one_in(4) ? 0 : static_cast<uint32_t>(dice_.between(1, 4));
  }
}

bool TableMaker::hard_budget(uint32_t tenant) const {
  return std::string_view(limits_[tenant].on_exceed) == "reject" ||
         std::string_view(limits_[tenant].on_exceed) == "kill";
}

void TableMaker::draw_row(Row& row) {
  row.present = dice_.chance(0.7);
  row.state = static_cast<uint32_t>(dice_.below(3));
  static constexpr uint32_t kPercents[] = {0, 1, 30, 50, 99, 100};
  row.percent = dice_.pick(kPercents);
  row.segments = dice_.one_in(3) ? static_cast<uint32_t>(dice_.below(4)) : 0;
  row.total_requests =
      config_.pilot_limits && dice_.one_in(2) ? static_cast<uint32_t>(dice_.between(1, 4)) : 0;
  row.concurrency = config_.pilot_limits && dice_.one_in(3) ? static_cast<uint32_t>(dice_.between(1, 2)) : 0;
  row.tpm = config_.pilot_limits && dice_.one_in(3) ? static_cast<uint32_t>(dice_.between(100, 900)) : 0;
  row.starts_in_s = dice_.one_in(5) ? static_cast<int64_t>(dice_.below(30)) + 1 : 0;
  row.expires_in_s = dice_.one_in(5) ? static_cast<int64_t>(dice_.below(60)) + 40 : 0;
  row.on_rollback = static_cast<uint32_t>(dice_.below(3));
}

void TableMaker::change() {
  for (auto& tenant : rows_) {
    for (Row& row : tenant) {
      if (dice_.one_in(3)) draw_row(row);
    }
  }
  if (dice_.one_in(2)) ++rotation_;
  if (dice_.one_in(3)) temperature_ = static_cast<uint32_t>(dice_.below(10));
  if (dice_.one_in(2)) draw_hosts();
  for (uint32_t tenant = 0; config_.limits_change && tenant < config_.tenants; ++tenant) {
    change_limits(limits_[tenant]);
    most_concurrency_[tenant] = std::max(most_concurrency_[tenant], limits_[tenant].concurrency);
  }
  if (dice_.one_in(4)) excludes_ = static_cast<uint32_t>(dice_.next());
}

void TableMaker::change_kills() {
  using routing::KillScope;
  if (!kills_.kills().empty() && dice_.chance(0.6)) {
    const routing::Kill kill = dice_.pick(kills_.kills());
    kills_.remove(kill.scope, kill.name);
    return;
  }
  const auto any = [&](const char* prefix, uint64_t count) {
    return prefix + std::to_string(dice_.below(count));
  };
  routing::Kill kill{.scope = KillScope::unit, .name = any("u", unit_count()), .reason = "a drill"};
  switch (dice_.below(8)) {
    case 0:
      kill = {.scope = KillScope::global, .name = "", .reason = "a drill"};
      break;
    case 1:
      kill = {.scope = KillScope::provider, .name = any("p", config_.providers), .reason = "a drill"};
      break;
    case 2:
      kill = {.scope = KillScope::scenario, .name = any("chat", config_.scenarios), .reason = "a drill"};
      break;
    case 3:
      kill = {.scope = KillScope::tenant, .name = any("t", config_.tenants), .reason = "a drill"};
      break;
    case 4:
    case 5:
      if (config_.flags > 0)
        kill = {.scope = KillScope::flag, .name = any("f", config_.flags), .reason = "a drill"};
      break;
    default:
      break;
  }
  kills_.add(kill);
}

std::string TableMaker::model_text(uint32_t model) const {
  std::string hosts;
  if (config_.hosts) {
    for (uint32_t i = 0; i < config_.providers; ++i) {
      if (const uint32_t weight = weights_[model][i]; weight > 0)
        hosts += fmt::format(R"({}"p{}":{})", hosts.empty() ? "" : ",", i, weight);
    }
  }
  const std::string served =
      hosts.empty() ? fmt::format(R"("provider":"p{}")", model) : fmt::format(R"("providers":{{{}}})", hosts);
  return fmt::format(R"("m{}":{{{},"tier":"{}","price":{{"input":10,"output":1000}}}})", model, served,
                     model == 0 ? "economy" : "standard");
}

std::string TableMaker::unit_text(uint32_t unit) const {
  return fmt::format(
      R"("u{}":{{"model":"m{}","params":{{"temperature":0.{},"max_tokens":{}}},"retries":{}{}{},)"
      R"("timeouts":{{"connect":"2s","first_token":"3s","idle":"3s","total":"20s"}}}})",
      unit, unit % config_.providers, (temperature_ + unit) % 10, kSwarmOutputTokens - unit % 2 * 20,
      config_.retries ? unit % 3 : 0, config_.prompts && unit % 2 == 0 ? R"(,"prompt":"hello@1.0.0")" : "",
      *ttls_[unit] == '\0' ? "" : fmt::format(R"(,"cache_ttl":"{}")", ttls_[unit]));
}

std::string TableMaker::scenario_text(uint32_t scenario) const {
  std::string chain;
  if (chains_[scenario] & 1) chain += fmt::format(R"({{"unit":"u{}"}},)", (scenario + 1) % unit_count());
  if (chains_[scenario] & 8) chain += fmt::format(R"({{"unit":"u{}"}},)", (scenario + 2) % unit_count());
  if (chains_[scenario] & 2) chain += R"({"cached":true},)";
  if (chains_[scenario] & 4) chain += fmt::format(R"({{"static":"{}"}},)", kStaticText);
  if (!chain.empty()) chain = ",\"fallback\":[" + chain.substr(0, chain.size() - 1) + "]";
  static constexpr const char* kSticky[] = {R"(["conversation","user"])", R"(["user"])",
                                            R"(["user","tenant"])"};
  return fmt::format(R"("chat{}":{{"stable":"u{}","sticky_by":{}{}}})", scenario, scenario,
                     kSticky[layers_ % 3], chain);
}

std::string TableMaker::flag_text(uint32_t flag) const {
  const uint32_t scenario = flag % config_.scenarios;
  const bool first = flag < config_.scenarios;
  std::string candidate = fmt::format(R"({{"params":{{"seed":{}}}}})", flag + 1);
  if (first && unit_count() > 1) {
    candidate = fmt::format(R"({{"unit":"u{}"}})",
                            (scenario + 1 + (layers_ >> 8) % (unit_count() - 1)) % unit_count());
  } else if ((layers_ >> flag & 1) != 0) {
    candidate = fmt::format(R"({{"model":"m{}"}})", (scenario + 1) % config_.providers);
  }
  const bool excludes = ((excludes_ >> flag & 1) != 0);
  std::string shadow;
  if (shadows_[flag] != 0) {
    shadow = fmt::format(R"(,"shadow":{{"percent":{},"budget_usd":{},"window":"1h"{}}})", shadows_[flag],
                         usd(shadow_budget_), flag % 3 == 2 ? R"(,"sticky":true)" : "");
  }
  return fmt::format(R"("f{}":{{"scenario":"chat{}","candidate":{}{}{}}})", flag, scenario, candidate,
                     excludes ? R"(,"exclude":["staff"])" : "", shadow);
}

std::string TableMaker::tenant_text(uint32_t tenant) const {
  const TenantLimits& own = limits_[tenant];
  std::string rows;
  for (uint32_t flag = 0; flag < config_.flags; ++flag) {
    const Row& row = rows_[tenant][flag];
    if (!row.present) continue;
    std::string more;
    if (row.state == 1) more += fmt::format(R"(,"percent":{})", row.percent);
    std::vector<std::string> segments;
    if (row.segments & 1) segments.push_back("staff");
    if (row.segments & 2) segments.push_back("eu");
    if (!segments.empty() && row.state == 1) more += ",\"segments\":" + json_list(segments);
    if (row.starts_in_s != 0) more += fmt::format(R"(,"start":"{}")", when(row.starts_in_s));
    if (row.expires_in_s != 0) more += fmt::format(R"(,"expires":"{}")", when(row.expires_in_s));
    std::string limits;
    if (row.total_requests != 0) limits += fmt::format(R"("total_requests":{},)", row.total_requests);
    if (row.concurrency != 0) limits += fmt::format(R"("concurrency":{},)", row.concurrency);
    if (row.tpm != 0) limits += fmt::format(R"("tpm":{},)", row.tpm);
    if (!limits.empty() && row.state == 1)
      more += ",\"limits\":{" + limits.substr(0, limits.size() - 1) + "}";
    rows +=
        fmt::format(R"("f{}":{{"state":"{}","owner":"o","approver":"a","reason":"r","review":"2030-01-01",)"
                    R"("previous":"u{}","on_rollback":"{}"{}}},)",
                    flag, kStates[row.state], flag % config_.scenarios, kRollbacks[row.on_rollback], more);
  }
  if (!rows.empty()) rows.pop_back();
  std::string limits;
  if (own.rpm != 0) limits += fmt::format("\"rpm\":{},", own.rpm);
  if (own.concurrency != 0) limits += fmt::format("\"concurrency\":{},", own.concurrency);
  if (own.tpm != 0) limits += fmt::format("\"tpm\":{},", own.tpm);
  if (!limits.empty()) limits += fmt::format("\"on_exceed\":\"{}\",", own.limits_on_exceed);
  if (!limits.empty()) limits.pop_back();
  std::string users;
  if (own.user_rpm != 0) users += fmt::format("\"rpm\":{},", own.user_rpm);
  if (own.user_concurrency != 0) users += fmt::format("\"concurrency\":{},", own.user_concurrency);
  if (own.user_tpm != 0) users += fmt::format("\"tpm\":{},", own.user_tpm);
  if (!users.empty()) users.pop_back();
  std::vector<std::string> models;
  for (uint32_t model = 0; model < config_.providers; ++model) models.push_back("m" + std::to_string(model));
  std::string out = fmt::format(R"("t{}":{{"flags":{{{}}},"models":{})", tenant, rows, json_list(models));
  if (!limits.empty()) out += ",\"limits\":{" + limits + "}";
  if (!users.empty()) out += ",\"user_limits\":{" + users + "}";
  if (own.budget_nano_usd != 0) {
    out += fmt::format(R"(,"budgets":[{{"window":"1h","usd":{},"on_exceed":"{}"}}])",
                       usd(own.budget_nano_usd), own.on_exceed);
  }
  return out + "}";
}

std::string TableMaker::text() const {
  const auto section = [](const char* name, uint32_t count, uint32_t from, const auto& member,
                          const char* more = "") {
    std::string out = fmt::format("\"{}\":{{", name);
    for (uint32_t i = 0; i < count; ++i) out += (i > 0 ? "," : "") + member((i + from) % count);
    return out + more + "},";
  };
  std::string out = "{";
  out += section("providers", config_.providers, rotation_, [&](uint32_t i) {
    return fmt::format(
        R"("p{}":{{"dialect":"openai","base_url":"http://127.0.0.1:{}/v1","api_key":"env:P{}"}})", i,
        ports_[i], i);
  });
  // Nobody asks for the scenario `spare`: with it every action of a budget can act somewhere.
  out += section(
      "models", config_.providers, rotation_, [&](uint32_t i) { return model_text(i); },
      R"(,"dear":{"provider":"p0","tier":"premium","price":{"input":10,"output":1000}})");
  if (config_.prompts)
    out += R"("prompts":{"hello@1.0.0":{"system":"You serve {{tenant.name}} and {{user}}."}},)";
  out += section(
      "units", unit_count(), rotation_, [&](uint32_t i) { return unit_text(i); },
      R"(,"spare":{"model":"dear","cache_ttl":"1s"})");
  out += R"("attributes":{"staff":"boolean","region":"string"},)";
  out += R"("segments":{"staff":{"staff":true},"eu":{"region":"eu"}},)";
  out += section(
      "scenarios", config_.scenarios, rotation_, [&](uint32_t i) { return scenario_text(i); },
      R"(,"spare":{"stable":"spare","fallback":[{"unit":"u0"},{"static":"nobody hears this"}]})");
  if (config_.flags > 0) out += section("flags", config_.flags, 0, [&](uint32_t i) { return flag_text(i); });
  if (global_budget_ != 0) {
    out +=
        fmt::format(R"("budgets":[{{"window":"1h","usd":{},"on_exceed":"reject"}}],)", usd(global_budget_));
  }
  out += section("tenants", config_.tenants, rotation_, [&](uint32_t i) { return tenant_text(i); });
  out += "\"keys\":[";
  for (uint32_t i = 0; i < config_.tenants; ++i) {
    const uint32_t tenant = (i + rotation_) % config_.tenants;
    std::string limits;
    if (limits_[tenant].key_rpm != 0) limits += fmt::format(R"("rpm":{},)", limits_[tenant].key_rpm);
    if (limits_[tenant].key_tpm != 0) limits += fmt::format(R"("tpm":{},)", limits_[tenant].key_tpm);
    if (!limits.empty()) limits = ",\"limits\":{" + limits.substr(0, limits.size() - 1) + "}";
    out += fmt::format(R"({}{{"id":"k{}","tenant":"t{}",{}"hash":"{}"{}}})", i > 0 ? "," : "", tenant, tenant,
                       tenant == 0 ? R"("scenario":"chat0",)" : "",
                       routing::hash_key(kKeyHashSecret, client_token(tenant)), limits);
  }
  return out + "]}";
}

// The rows once more, as written; only the names are looked up.
std::vector<routing::TenantSpec> TableMaker::specs(const routing::Table& table) const {
  const routing::TableBody& body = *table.body;
  std::vector<routing::TenantSpec> specs;
  for (uint32_t i = 0; i < config_.tenants; ++i) {
    const uint32_t tenant = (i + rotation_) % config_.tenants;
    routing::TenantSpec& spec = specs.emplace_back();
    spec.id = "t" + std::to_string(tenant);
    for (uint32_t flag = 0; flag < config_.flags; ++flag) {
      const Row& from = rows_[tenant][flag];
      if (!from.present) continue;
      routing::TenantFlag& row = spec.flags.emplace_back();
      row.flag = static_cast<routing::FlagIndex>(*body.flag_names.find("f" + std::to_string(flag)));
      row.state = static_cast<routing::FlagState>(from.state);
      row.milli_percent = from.state == 1 ? from.percent * 1000 : 0;
      if (from.state == 1) {
        for (uint32_t bit = 0; bit < 2; ++bit) {
          if ((from.segments >> bit & 1) == 0) continue;
          row.segments.push_back(
              static_cast<routing::SegmentIndex>(*body.segment_names.find(bit == 0 ? "staff" : "eu")));
        }
        row.limits = {
            .tpm = from.tpm, .concurrency = from.concurrency, .total_requests = from.total_requests};
      }
      if (from.starts_in_s != 0) row.start_ns = kBeginWallNs + from.starts_in_s * kNanoUsd;
      if (from.expires_in_s != 0) row.expires_ns = kBeginWallNs + from.expires_in_s * kNanoUsd;
      row.on_rollback = static_cast<routing::OnRollback>(from.on_rollback);
      row.previous = static_cast<routing::UnitIndex>(
          *body.unit_names.find("u" + std::to_string(flag % config_.scenarios)));
    }
  }
  return specs;
}

std::unique_ptr<const routing::Table> TableMaker::make(routing::Gateway& gateway, int64_t wall_ns) {
  const std::string document = text();
  routing::CompileOptions options;
  options.keep_source = false;
  options.resolve_secret =
      [](const routing::SecretReference& reference) -> std::expected<std::string, std::string> {
    return provider_token(static_cast<uint32_t>(reference.name.back() - '0'));
  };
  auto compiled = routing::compile_text(document, routing::TableFormat::json, options);
  if (!compiled) {
    std::string problems;
    for (const auto& problem : compiled.error()) problems += routing::to_string(problem) + "\n";
    throw std::logic_error("the table does not compile: " + problems + document);
  }
  auto table = std::make_unique<routing::Table>();
  table->revision = ++revision_;
  table->published_wall_ns = wall_ns;
  table->body = std::move(compiled->body);
  table->tenants = std::move(compiled->tenants);
  table->kills = kills_.resolve(*table->body, *table->tenants);
  table->guards = routing::GuardPlan::bind(*table->body, *table->tenants, gateway.arena);
  auto kept = std::make_unique<PublishedTable>();
  kept->table = *table;
  kept->table.guards = nullptr;  // or limits would be remembered for longer than the gateway does
  kept->tenants = specs(*table);
  kept->limits = limits_;
  published_[revision_] = std::move(kept);
  return table;
}

}  // namespace weir::sim
