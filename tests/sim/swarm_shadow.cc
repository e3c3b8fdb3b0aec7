// Copies to candidates: they are of requests that may be copied, stand beside the answer that their client got, are
// paid for by their flag's budget and by nobody else, and reach no client.
#include <fmt/format.h>

#include <algorithm>

#include "routing/guard/guard_plan.h"
#include "tests/sim/swarm_checks.h"

namespace weir::sim {

using routing::Record;

void SwarmChecks::check_shadow(const routing::Gateway& gateway) {
  Findings& findings = journal_.findings;
  uint64_t started = 0;
  for (const auto& metrics : gateway.metrics) started += metrics->shadow_started.value();
  findings.check(started == journal_.pairs.size(),
                 fmt::format("{} copies were made, and {} pairs", started, journal_.pairs.size()));
  findings.check(config_.shadow || started == 0, "copies were made of what nobody wants copied");
  std::map<std::string, int64_t> spent;  // by flag
  bool capped = false;
  for (const Paired& paired : journal_.pairs) {
    const auto settled = records_.find(paired.id);
    if (settled == records_.end()) {
      findings.add("a pair is of nobody's request");
      continue;
    }
    check_pair(paired, *settled->second);
    spent[tables_.at(paired.revision).table.body->flags[paired.pair.flag].name] +=
        paired.pair.shadow.cost_nano_usd;
    capped |= paired.pair.shadow.cost_nano_usd > routing::kMaxCost;
  }
  if (capped || tables_.revision() == 0) return;
  const routing::Table& newest = tables_.at(tables_.revision()).table;
  for (const routing::ScopeGuard& guard : gateway.tables.newest()->guards->scopes()) {
    if (guard.scope != routing::GuardScope::shadow) continue;
    const int64_t counted = guard.budgets[0].line->spent.load();
    const int64_t owed = spent[newest.body->flags[guard.owner].name];
    findings.check(counted == owed,
                   fmt::format("the copies of a flag cost {} and its budget says {}", owed, counted));
  }
}

void SwarmChecks::check_pair(const Paired& paired, const Settled& settled) {
  const routing::ShadowPair& pair = paired.pair;
  const Record& record = settled.record;
  const PublishedTable& published = tables_.at(settled.revision);
  const routing::Table& table = published.table;
  const routing::TableBody& body = *table.body;
  Findings& findings = journal_.findings;
  const auto expect = [&](bool good, const std::string& what) {
    findings.check(good, fmt::format("{} (copy of {}, flag {}, status {} beside {})", what, paired.id,
                                     pair.flag, pair.shadow.status, pair.primary.status));
  };
  expect(paired.revision == settled.revision && pair.tenant == record.tenant &&
             pair.scenario == record.scenario && pair.endpoint == record.endpoint &&
             pair.streamed == record.streamed && pair.wall_ns == record.wall_ns,
         "a pair is not of its record's request");
  expect(pair.primary.status == record.status && pair.primary.error == record.error &&
             pair.primary.cost_nano_usd == record.cost_nano_usd && pair.primary.total_ns == record.total_ns &&
             pair.primary.usage.output == record.output_tokens,
         "a pair's answer is not its record's");
  expect(record.attempts > 0, "a request that nobody was asked for was copied");
  const routing::Flag& flag = body.flags[pair.flag];
  expect(flag.shadow_milli_percent > 0, "a flag without shadow was copied to");
  expect(!table.kills.any ||
             (!table.kills.flags[pair.flag] && !is_unit_killed(table, routing::UnitIndex{pair.shadow.unit})),
         "what is switched off was copied to");
  expect(pair.shadow.unit != record.decided_unit || record.reason == routing::Reason::economy,
         "a request was copied to the unit that answers it");
  expect(pair.shadow.status != 0 || pair.shadow.error || pair.shadow.truncated, "a pair has only one answer");

  // A copy's text names the attempt that it was; so does the client's.
  const uint64_t copy = number_behind(paired.shadow, " at ");
  if (copy < journal_.attempts.size()) {
    const Attempt& attempt = journal_.attempts[copy];
    const std::string& model = body[body.units[pair.shadow.unit].model].name;
    expect(attempt.request_id == paired.id || journal_.strayed, "a copy's answer is to another request");
    expect(model == "m" + std::to_string(attempt.model), "a copy went to another unit's model");
  }
  const Asked* const asked = asked_of(settled);
  if (asked == nullptr) return;
  const uint64_t answered = number_behind(asked->answer.body, " at ");
  check(answered == UINT64_MAX || answered != copy, *asked, "a copy's answer reached the client");
  if (asked->end != Asked::End::answered || record.error || record.status != 200) return;
  if (record.unit == Record::kNone || record.cache == routing::CacheUse::hit ||
      asked->stream != asked->answer.stream)
    return;
  const std::string& told = asked->answer.body;
  check(pair.primary.truncated ? told.starts_with(paired.primary) : told == paired.primary, *asked,
        "a pair does not hold what its client was answered");
}

}  // namespace weir::sim
