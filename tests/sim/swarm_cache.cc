// Answers that are given again: the very bytes, to the same tenant for the same request and unit, within their time,
// not after a purge, for nothing. And what must be there is found.
#include <fmt/format.h>

#include <algorithm>

#include "tests/sim/swarm_checks.h"

namespace weir::sim {
namespace {

using routing::CacheUse;
using routing::Record;

// A small cache aside, an answer up to this size is kept.
constexpr size_t kSurelyKeptBytes = 100 * 1024;

// The tenant's, unit's and scenario's names under which an exchange's answer is kept.
bool is_about(const Purge& purge, const PublishedTable& published, const Record& record) {
  const routing::TableBody& body = *published.table.body;
  switch (purge.scope) {
    case Purge::Scope::tenant:
      return published.tenants[record.tenant].id == purge.name;
    case Purge::Scope::unit:
      return body.units[record.unit].name == purge.name;
    case Purge::Scope::scenario:
      return record.scenario != Record::kNone && body.scenarios[record.scenario].name == purge.name;
  }
  return false;
}

bool same_unit(const PublishedTable& one, uint32_t unit, const PublishedTable& other, uint32_t other_unit) {
  return one.table.body->units[unit].hash == other.table.body->units[other_unit].hash;
}

}  // namespace

// `asked` has been answered, or cut after the head, and `settled` is its record.
void SwarmChecks::check_cached(const Asked& asked, const Settled& settled) {
  const Record& record = settled.record;
  const bool hit = record.cache == CacheUse::hit;
  const std::string said = record.cache == CacheUse::none ? "" : std::string(token(record.cache));
  check(asked.answer.cache == said || asked.answer.status != record.status, asked,
        "x-weir-cache is not what the record says");
  if (!hit) return;
  check(config_.cache && record.status == 200 && !asked.hostile && asked.path != "/v1/responses", asked,
        "an answer that cannot be from the cache");
  check(record.cost_nano_usd == 0 || record.attempts > 0, asked, "an answer from the cache costs something");
  check(record.input_tokens == 0 && record.output_tokens == 0 && !record.usage_reported, asked,
        "an answer from the cache used tokens");
  if (record.decided_unit != record.unit && record.reason != routing::Reason::economy) {
    check(record.arm == routing::Arm::fallback && record.reason == routing::Reason::fallback &&
              record.first_failure.has_value(),
          asked, "another unit's answer from the cache is no fallback to the record");
  }
  if (asked.end != Asked::End::answered) return;

  const uint64_t number = number_behind(asked.answer.body, " at ");
  if (number >= journal_.attempts.size()) return;  // check_body() says what such an answer may be
  const Attempt& from = journal_.attempts[number];
  const auto found = records_.find(from.request_id);
  if (!check(found != records_.end() && found->second != &settled, asked,
             "it is from the cache, but of nobody's answer"))
    return;
  const Settled& first = *found->second;
  const PublishedTable &now = tables_.at(settled.revision), &then = tables_.at(first.revision);
  check(then.tenants[first.record.tenant].id == now.tenants[record.tenant].id, asked,
        "another tenant's answer was given again");
  if (!check(first.record.unit != Record::kNone && !first.record.error && first.record.status == 200, asked,
             "an answer that failed was given again")) {
    return;
  }
  check(same_unit(now, record.unit, then, first.record.unit), asked, "another unit's answer was given again");
  check(!is_unit_killed(now.table, routing::UnitIndex{record.unit}), asked,
        "an answer of what is switched off was given again");
  check(first.record.endpoint == record.endpoint && first.record.streamed == record.streamed, asked,
        "an answer of another kind was given again");
  const uint64_t ttl_ns = then.table.body->units[first.record.unit].cache_ttl_ns;
  check(settled.end_ns >= first.end_ns && settled.end_ns < first.end_ns + ttl_ns, asked,
        fmt::format("an answer was given again {} us after it was kept for {} us",
                    (settled.end_ns - first.end_ns) / 1000, ttl_ns / 1000));
  for (const Purge& purge : journal_.purges) {
    if (from.at_ns > purge.at_ns || purge.at_ns >= settled.end_ns) continue;
    check(!is_about(purge, then, first.record), asked, "an answer was given again after it was purged");
  }
  const Asked* const before = asked_of(first);
  if (before == nullptr) return;
  check(before->same_as(asked), asked, "an answer to another request was given again");
  check(before->end != Asked::End::answered || before->answer.body == asked.answer.body, asked,
        "an answer that was given again has changed");
}

// What was surely kept answers whoever asks the same, be it that its unit is decided on, be it that a limit or budget
// leaves nothing but the cache.
void SwarmChecks::check_cache() {
  if (config_.small_cache || journal_.strayed) return;
  const auto surely_kept = [&](const Asked& asked, const Settled& settled) {
    const Record& record = settled.record;
    if (!asked.repeats() || asked.end != Asked::End::answered || record.error || record.status != 200)
      return false;
    if (record.attempts == 0 || record.unit == Record::kNone || record.client_gone) return false;
    if (asked.path == "/v1/responses" || record.cache == CacheUse::hit) return false;
    return asked.answer.body.size() < kSurelyKeptBytes && asked.answer.stream == asked.stream &&
           asked.answer.body.find(" end ") != std::string::npos && (!asked.stream || asked.answer.done);
  };
  // What `asked` would be given by `unit`.
  const auto kept_for = [&](const Asked& asked, const Settled& settled, uint32_t unit) {
    const uint64_t at_ns = settled.begin_ns();
    return std::ranges::any_of(asked_, [&](const auto& entry) {
      const Asked& before = *entry.second;
      if (!before.same_as(asked) || before.user != asked.user) return false;
      const Settled* first = record_of(before);
      if (first == nullptr || !surely_kept(before, *first) || first->end_ns >= at_ns) return false;
      const PublishedTable& then = tables_.at(first->revision);
      if (!same_unit(tables_.at(settled.revision), unit, then, first->record.unit)) return false;
      const uint64_t ttl_ns = then.table.body->units[first->record.unit].cache_ttl_ns;
      if (at_ns >= first->end_ns + ttl_ns) return false;
      return std::ranges::none_of(journal_.purges, [&](const Purge& purge) {
        return purge.at_ns >= first->begin_ns() && purge.at_ns <= at_ns;
      });
    });
  };
  for (const auto& [id, asked] : asked_) {
    const Settled* settled = record_of(*asked);
    if (settled == nullptr || !asked->repeats() || asked->path == "/v1/responses") continue;
    const Record& record = settled->record;
    if (settled->revision == 0 || record.decided_unit == Record::kNone) continue;
    if (record.cache == CacheUse::miss && !is_limited(record)) {
      check(!kept_for(*asked, *settled, record.decided_unit), *asked, "what is kept was asked for again");
    }
    const PublishedTable& now = tables_.at(settled->revision);
    const TenantLimits& limits = now.limits_of(record.tenant);
    if (!is_limited(record) || !std::string_view(record.limit).starts_with("tenant.")) continue;
    const bool budget = std::string_view(record.limit) == "tenant.budget";
    if (std::string_view(budget ? limits.on_exceed : limits.limits_on_exceed) != "cached") continue;
    const bool free = record.unit == Record::kNone && record.status == 200;  // a fixed text was decided on
    check(record.attempts == 0, *asked, "a provider was asked though only the cache may answer");
    if (record.cache == CacheUse::hit || free || record.scenario == Record::kNone) continue;
    check(record.error == (budget ? core::ErrorCode::budget_exceeded : core::ErrorCode::rate_limited), *asked,
          "neither the cache answers nor an error");
    const auto scenario = static_cast<routing::ScenarioIndex>(record.scenario);
    const auto stable = static_cast<uint32_t>((*now.table.body)[scenario].stable);
    for (const uint32_t unit : {record.decided_unit, stable}) {
      if (is_unit_killed(now.table, routing::UnitIndex{unit})) continue;
      check(!kept_for(*asked, *settled, unit), *asked, "refused though the cache has its answer");
    }
  }
}

}  // namespace weir::sim
