#include "tests/sim/swarm_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "routing/guard/guard_plan.h"

namespace weir::sim {
namespace {

using routing::Record;

std::string id_of(const Record& record) {
  return {routing::to_hex(record.id).data(), 32};
}

// Admitted by limits: it got as far as an attempt or a fixed text.
bool admitted(const Record& record) {
  return record.attempts > 0 || (record.status == 200 && !is_limited(record));
}

uint64_t number_behind(const std::string& text, std::string_view mark) {
  const size_t at = text.find(mark);
  if (at == std::string::npos) return UINT64_MAX;
  return std::stoull(text.substr(at + mark.size(), 12));
}

}  // namespace

bool SwarmChecks::check(bool good, const Asked& asked, const std::string& what) {
  if (!good) {
    const Settled* settled = record_of(asked);
    std::string line;
    if (settled != nullptr) {
      const Record& r = settled->record;
      line =
          fmt::format(" record: status {} attempts {} reason {} arm {} decided_unit {} revision {} error {}",
                      r.status, r.attempts, routing::token(r.reason), routing::token(r.arm), r.decided_unit,
                      settled->revision, r.error ? core::describe(*r.error).token : "none");
    }
    journal_.findings.add(fmt::format(
        "{} ({} {}, end {}, status {}, unit {}, arm {}, reason {}, id {}, body {:.60};{})", what,
        tag_of(asked.number), asked.path, static_cast<int>(asked.end), asked.answer.status, asked.answer.unit,
        asked.answer.arm, asked.answer.reason, asked.answer.request_id, asked.answer.body, line));
  }
  return good;
}

const Settled* SwarmChecks::record_of(const Asked& asked) const {
  const auto found = records_.find(asked.answer.request_id);
  return found == records_.end() ? nullptr : found->second;
}

void SwarmChecks::while_running(const routing::Table& newest) {
  const routing::GuardPlan& plan = *newest.guards;
  for (uint32_t i = 0; i < config_.tenants; ++i) {
    const routing::ScopeGuard* guard = plan.of(routing::TenantIndex{i});
    if (guard == nullptr) continue;
    const TableMaker::TenantLimits& limits =
        tables_.limits(TableMaker::tenant_number(tables_.at(newest.revision).tenants[i].id));
    if (guard->line != nullptr && limits.concurrency != 0) {
      journal_.findings.check(guard->line->in_flight.load() <= limits.concurrency,
                              "a tenant's concurrency is exceeded");
    }
    for (const routing::BudgetGuard& budget : guard->budgets) {
      if (budget.spec.soft() || journal_.usage_lied) continue;
      journal_.findings.check(budget.line->committed.load() - budget.line->base.load() <= budget.spec.limit,
                              "a hard budget is exceeded");
    }
  }
}

void SwarmChecks::index_records() {
  for (const Settled& settled : journal_.records) {
    const bool fresh = records_.emplace(id_of(settled.record), &settled).second;
    journal_.findings.check(fresh, "an exchange settled twice: " + id_of(settled.record));
  }
  for (const Attempt& attempt : journal_.attempts) attempts_[attempt.number].push_back(&attempt);
}

void SwarmChecks::at_the_end(const routing::Gateway& gateway,
                             const std::vector<std::unique_ptr<SwarmClient>>& clients) {
  index_records();
  check_counts(gateway, clients);
  if (tables_.revision() > 0) check_guards(*gateway.tables.newest());
  check_rates(clients);
  check_pilots();
  for (const auto& client : clients) {
    for (const Asked& asked : client->asked()) {
      check_answer(asked);
      check_refusal(asked);
    }
    check_decisions(*client);
  }
}

void SwarmChecks::check_counts(const routing::Gateway& gateway,
                               const std::vector<std::unique_ptr<SwarmClient>>& clients) {
  Findings& findings = journal_.findings;
  uint64_t requests = 0, dropped = 0, exchanges = 0, attempts_made = 0;
  for (const auto& metrics : gateway.metrics) {
    requests += metrics->requests.value();
    dropped += metrics->records_dropped.value();
    exchanges += static_cast<uint64_t>(metrics->exchanges.value());
    attempts_made += metrics->attempts.value();
  }
  uint64_t probe_answers = 0, probes_unseen = 0, heads = 0, unseen = 0;
  std::set<std::string> ids;
  for (const auto& client : clients) {
    for (const Asked& asked : client->asked()) {
      findings.check(asked.end != Asked::End::open, "a request never ended");
      const bool head = !asked.answer.request_id.empty();
      if (asked.kind == Asked::Kind::probe && record_of(asked) == nullptr) {
        ++(head ? probe_answers : probes_unseen);
        continue;
      }
      ++(head ? heads : unseen);
      if (!head) continue;
      check(ids.insert(asked.answer.request_id).second, asked, "two answers have one id");
      check(record_of(asked) != nullptr, asked, "an answer has no record");
    }
  }
  const uint64_t records = journal_.records.size() + dropped;
  findings.check(exchanges == 0, "an exchange is still open");
  findings.check(requests >= records + probe_answers && requests <= records + probe_answers + probes_unseen,
                 fmt::format("requests {} are not records {} and {} to {} probes", requests, records,
                             probe_answers, probe_answers + probes_unseen));
  // A record whose answer nobody saw belongs to a request whose client lost it, or to a connection that was
  // turned away before it said anything.
  uint64_t nobodys = 0, attempts_recorded = 0;
  for (const Settled& settled : journal_.records) {
    attempts_recorded += settled.record.attempts;
    const auto code = settled.record.error;
    const bool connection =
        code == core::ErrorCode::too_many_connections || code == core::ErrorCode::head_timeout;
    if (!ids.contains(id_of(settled.record)) && !connection) ++nobodys;
  }
  unseen += probes_unseen;
  findings.check(nobodys <= unseen,
                 fmt::format("{} records belong to nobody, and {} requests were lost", nobodys, unseen));
  findings.check(attempts_recorded == attempts_made, "attempts of records are not the attempts made");
  std::map<std::string, uint64_t> reached;
  for (const Attempt& attempt : journal_.attempts) {
    ++reached[attempt.request_id];
    if (const auto of = records_.find(attempt.request_id); of != records_.end())
      check_attempt(attempt, *of->second);
  }
  for (const auto& [id, count] : reached) {
    const auto found = records_.find(id);
    if (found == records_.end()) {
      findings.add("a provider got a request that no record is of: " + id);
    } else {
      findings.check(count <= found->second->record.attempts,
                     "a provider got a request more often than it was tried: " + id);
    }
  }
}

// A model is asked for where the request's table says that it is served, and not where that is switched off.
void SwarmChecks::check_attempt(const Attempt& attempt, const Settled& settled) {
  const routing::Table& table = tables_.at(settled.revision).table;
  const routing::TableBody& body = *table.body;
  const auto index = body.model_names.find("m" + std::to_string(attempt.model));
  if (!index) return journal_.findings.add("a provider got a request for no model");
  const routing::Model& model = body[static_cast<routing::ModelIndex>(*index)];
  const std::string name = "p" + std::to_string(attempt.provider);
  for (size_t i = 0; i < std::max<size_t>(model.hosts.size(), 1); ++i) {
    const auto provider = model.provider_at(i);
    if (body[provider].name != name) continue;
    const bool killed = table.kills.any && table.kills.providers[static_cast<size_t>(provider)];
    return journal_.findings.check(!killed, "a provider that is killed was asked: " + attempt.request_id);
  }
  journal_.findings.add("a provider got a request for another's model: " + attempt.request_id);
}

void SwarmChecks::check_guards(const routing::Table& newest) {
  Findings& findings = journal_.findings;
  std::vector<int64_t> spent(config_.tenants, 0);
  int64_t all = 0;
  bool capped = false;
  for (const Settled& settled : journal_.records) {
    const Record& record = settled.record;
    if (record.tenant == Record::kNone || settled.revision == 0) continue;
    const std::string& id = tables_.at(settled.revision).tenants[record.tenant].id;
    spent[TableMaker::tenant_number(id)] += record.cost_nano_usd;
    all += record.cost_nano_usd;
    capped |= record.cost_nano_usd > routing::kMaxCost;
  }
  for (const routing::ScopeGuard& guard : newest.guards->scopes()) {
    const std::string scope(routing::token(guard.scope));
    if (guard.scope == routing::GuardScope::user) continue;
    if (guard.line != nullptr) {
      findings.check(guard.line->in_flight.load() == 0, "a place under a limit was not given back: " + scope);
    }
    for (const routing::BudgetGuard& budget : guard.budgets) {
      const int64_t counted = budget.line->spent.load();
      findings.check(budget.line->committed.load() == counted, "a reservation was left: " + scope);
      if (capped) continue;
      if (guard.scope == routing::GuardScope::tenant) {
        const uint32_t tenant =
            TableMaker::tenant_number(tables_.at(newest.revision).tenants[guard.owner].id);
        findings.check(counted == spent[tenant],
                       fmt::format("a tenant spent {} and its records say {}", counted, spent[tenant]));
      }
      if (guard.scope == routing::GuardScope::global)
        findings.check(counted == all, "spend is not the sum of records");
    }
  }
}

// Any n requests within a time t: n - 1 of them after the first, of which the limit admits its burst and what
// time brings. The words round to the slow side, so this bound is never met from above.
void SwarmChecks::check_rate(const char* what, std::vector<uint64_t> times, uint32_t per_minute) {
  std::sort(times.begin(), times.end());
  const double interval = 60e9 / per_minute;
  for (size_t i = 0; i < times.size(); ++i) {
    for (size_t j = i + per_minute; j < times.size(); ++j) {
      const double brought = static_cast<double>(times[j] - times[i]) / interval;
      const auto most = static_cast<size_t>(brought + 1e-6) + per_minute;
      if (j - i + 1 > most)
        return journal_.findings.add(fmt::format("{}: {} where {} fit", what, j - i + 1, most));
    }
  }
}

void SwarmChecks::check_overlap(const char* what, std::vector<std::pair<int64_t, int64_t>> spans,
                                uint32_t most) {
  std::vector<std::pair<int64_t, int>> edges;  // at one moment ends come before beginnings
  for (const auto& [begin, end] : spans) {
    if (begin == end) continue;
    edges.emplace_back(begin, 1);
    edges.emplace_back(end, -1);
  }
  std::sort(edges.begin(), edges.end());
  int under_way = 0;
  for (const auto& [at, step] : edges) {
    under_way += step;
    if (under_way > static_cast<int>(most))
      return journal_.findings.add(fmt::format("{}: {} at once", what, under_way));
  }
}

void SwarmChecks::check_rates(const std::vector<std::unique_ptr<SwarmClient>>& clients) {
  if (config_.wall_jump > 0) return;  // records say what the calendar said
  struct Seen {
    std::vector<uint64_t> times;
    std::vector<std::pair<int64_t, int64_t>> spans;
  };
  std::map<std::string, Seen> tenants, users;
  const auto note = [](Seen& seen, const Record& record) {
    seen.times.push_back(static_cast<uint64_t>(record.wall_ns));
    seen.spans.emplace_back(record.wall_ns, record.wall_ns + static_cast<int64_t>(record.total_ns));
  };
  for (const Settled& settled : journal_.records) {
    if (!admitted(settled.record) || settled.record.decided_unit == Record::kNone) continue;
    note(tenants[tables_.at(settled.revision).tenants[settled.record.tenant].id], settled.record);
  }
  for (const auto& client : clients) {
    for (const Asked& asked : client->asked()) {
      const Settled* settled = record_of(asked);
      if (asked.user.empty() || settled == nullptr || !admitted(settled->record)) continue;
      note(users[fmt::format("t{} {}", asked.tenant, asked.user)], settled->record);
    }
  }
  for (auto& [name, seen] : tenants) {
    const TableMaker::TenantLimits& limits = tables_.limits(TableMaker::tenant_number(name));
    if (limits.rpm != 0) check_rate("a tenant's rpm", seen.times, limits.rpm);
    if (limits.key_rpm != 0) check_rate("a key's rpm", seen.times, limits.key_rpm);
    if (limits.concurrency != 0) check_overlap("a tenant's concurrency", seen.spans, limits.concurrency);
  }
  for (auto& [name, seen] : users) {
    const TableMaker::TenantLimits& limits = tables_.limits(TableMaker::tenant_number(name.substr(0, 2)));
    if (limits.user_rpm != 0) check_rate("a user's rpm", seen.times, limits.user_rpm);
    if (limits.user_concurrency != 0)
      check_overlap("a user's concurrency", seen.spans, limits.user_concurrency);
  }
}

// One table, one flag: whom the pilot let in, but for conversations that had begun on it.
void SwarmChecks::check_pilots() {
  if (tables_.revision() != 1 || config_.flags != 1) return;
  std::map<uint32_t, uint64_t> let_in;
  for (const Settled& settled : journal_.records) {
    const Record& record = settled.record;
    const bool by_flag =
        record.reason == routing::Reason::split_in || record.reason == routing::Reason::segment;
    if (by_flag && record.arm == routing::Arm::candidate && has_begun(settled)) ++let_in[record.tenant];
  }
  for (const auto& [tenant, count] : let_in) {
    const uint64_t most = tables_.at(1).tenants[tenant].flags.at(0).limits.total_requests;
    if (most != 0)
      journal_.findings.check(count <= most, fmt::format("a pilot of {} let {} in", most, count));
  }
}

void SwarmChecks::check_answer(const Asked& asked) {
  const Settled* settled = record_of(asked);
  const auto reached = attempts_.find(asked.number);
  if (asked.hostile) {
    check(reached == attempts_.end(), asked, "a request that must be refused reached a provider");
    check(asked.end != Asked::End::answered || asked.answer.status >= 400, asked,
          "a request that must be refused was not");
  }
  if (settled != nullptr) {
    const Record& record = settled->record;
    if (record.attempts == 0)
      check(reached == attempts_.end(), asked, "a refused request reached a provider");
    // The head may have been made before the end was known, but the status is the record's unless nothing
    // could be sent.
    check(record.status == asked.answer.status || record.status == 0, asked,
          "an answer's status is not its record's");
    if (asked.answer.revision != 0)
      check(asked.answer.revision == settled->revision, asked, "an answer names another table");
    if (reached != attempts_.end()) {
      for (const Attempt* attempt : reached->second) {
        check(attempt->request_id == asked.answer.request_id, asked,
              "one request went upstream under two ids");
      }
    }
  }
  if (asked.end == Asked::End::answered) check_body(asked, settled);
}

void SwarmChecks::check_body(const Asked& asked, const Settled* settled) {
  const Answer& answer = asked.answer;
  if (answer.status != 200 || asked.kind != Asked::Kind::completion) {
    const bool shaped = answer.status < 400 || answer.body.find("\"error\"") != std::string::npos;
    check(shaped || asked.kind == Asked::Kind::probe, asked, "an error is not in the shape of errors");
    return;
  }
  // An answer that nobody had asked for, behind another on its connection, is taken for the next one's if
  // that is on its way by then: nothing in HTTP/1.1 tells them apart.
  if (answer.body == kStrayBody && journal_.strayed) return;
  check(answer.stream == asked.stream, asked, "a stream and a plain answer are mixed up");
  if (asked.stream) check(answer.done, asked, "a stream ended cleanly without its end mark");
  if (answer.unit.empty()) {
    check(answer.body.find(kStaticText) != std::string::npos, asked, "nobody's answer is no fixed text");
    return;
  }
  if (answer.body.find("\"usage\"") != std::string::npos)
    check(!asked.stream, asked, "usage was not asked for");
  if (const auto reached = attempts_.find(asked.number);
      reached != attempts_.end() && reached->second.back()->contentless) {
    return;
  }
  check(answer.body.find(tag_of(asked.number)) != std::string::npos, asked,
        "the answer is to another request");
  const uint64_t attempt = number_behind(answer.body, " at ");
  if (!check(attempt < journal_.attempts.size() && attempt == number_behind(answer.body, " end "), asked,
             "an answer that says it is whole is not")) {
    return;
  }
  const Attempt& from = journal_.attempts[attempt];
  check(from.number == asked.number, asked, "the answer is to another request");
  check(from.whole, asked, "an answer that was cut is not seen as cut");
  check(static_cast<size_t>(std::count(answer.body.begin(), answer.body.end(), 'y')) == from.padding, asked,
        "an answer's content has changed");
  if (settled == nullptr || answer.revision == 0) return;
  const routing::TableBody& body = *tables_.at(answer.revision).table.body;
  const auto unit = body.unit_names.find(answer.unit);
  uint32_t index = settled->record.unit;
  if (unit) index = *unit;
  check(body[body.units[index].model].name == "m" + std::to_string(from.model), asked,
        "another unit's model answered");
  check(body[static_cast<routing::ProviderIndex>(settled->record.provider)].name ==
            "p" + std::to_string(from.provider),
        asked, "another provider answered than the record says");
}

}  // namespace weir::sim
