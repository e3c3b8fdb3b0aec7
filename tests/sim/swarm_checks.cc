#include "tests/sim/swarm_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "routing/guard/guard_plan.h"

namespace weir::sim {

using routing::Record;

uint64_t number_behind(const std::string& text, std::string_view mark) {
  const size_t at = text.find(mark);
  if (at == std::string::npos) return UINT64_MAX;
  uint64_t number = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data() + at + mark.size(), last, number);
  return error == std::errc{} && end != last && *end == ';' ? number : UINT64_MAX;
}

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
    journal_.findings.add(
        fmt::format("{} ({} {}, end {}, status {}, unit {}, arm {}, reason {}, id {}, body {:.60};{})", what,
                    tag_of(asked.subject), asked.path, static_cast<int>(asked.end), asked.answer.status,
                    asked.answer.unit, asked.answer.arm, asked.answer.reason, asked.answer.request_id,
                    asked.answer.body, line));
  }
  return good;
}

const Settled* SwarmChecks::record_of(const Asked& asked) const {
  const auto found = records_.find(asked.answer.request_id);
  return found == records_.end() ? nullptr : found->second;
}

const Asked* SwarmChecks::asked_of(const Settled& settled) const {
  const auto found = asked_.find(id_of(settled.record));
  return found == asked_.end() ? nullptr : found->second;
}

// What came to providers of this request, its copy too.
std::vector<const Attempt*> SwarmChecks::reached_by(const Asked& asked) const {
  if (asked.repeats()) {
    const auto found = attempts_.find(asked.answer.request_id);
    return found == attempts_.end() ? std::vector<const Attempt*>() : found->second;
  }
  const auto found = by_subject_.find(asked.subject);
  return found == by_subject_.end() ? std::vector<const Attempt*>() : found->second;
}

void SwarmChecks::while_running(const routing::Table& newest, routing::UserGuards& users) {
  if (config_.token_limits || config_.pilot_limits) note_token_words(newest, users);
  const routing::GuardPlan& plan = *newest.guards;
  for (uint32_t i = 0; i < config_.tenants; ++i) {
    const routing::ScopeGuard* guard = plan.of(routing::TenantIndex{i});
    if (guard == nullptr) continue;
    const uint32_t most = tables_.most_concurrency(tables_.at(newest.revision).tenant_number(i));
    if (guard->line != nullptr && most != 0) {
      journal_.findings.check(guard->line->in_flight.load() <= most, "a tenant's concurrency is exceeded");
    }
    for (const routing::BudgetGuard& budget : guard->budgets) {
      if (budget.spec.soft() || journal_.usage_lied) continue;
      journal_.findings.check(budget.line->committed.load() - budget.line->base.load() <= budget.spec.limit,
                              "a hard budget is exceeded");
    }
  }
  for (uint32_t i = 0; i < config_.flags && config_.shadow && !journal_.usage_lied; ++i) {
    const routing::ScopeGuard* guard = plan.shadow(routing::FlagIndex{i});
    if (guard == nullptr) continue;
    const routing::BudgetGuard& budget = guard->budgets[0];
    journal_.findings.check(budget.line->committed.load() - budget.line->base.load() <= budget.spec.limit,
                            "a budget of copies is exceeded");
  }
}

void SwarmChecks::index_records(const std::vector<std::unique_ptr<SwarmClient>>& clients) {
  for (const Settled& settled : journal_.records) {
    const bool fresh = records_.emplace(id_of(settled.record), &settled).second;
    journal_.findings.check(fresh, "an exchange settled twice: " + id_of(settled.record));
  }
  for (const Attempt& attempt : journal_.attempts) {
    by_subject_[attempt.subject].push_back(&attempt);
    attempts_[attempt.request_id].push_back(&attempt);
  }
  for (const Paired& paired : journal_.pairs) {
    journal_.findings.check(pairs_.emplace(paired.id, &paired).second,
                            "a request was copied twice: " + paired.id);
  }
  for (const auto& client : clients) {
    for (const Asked& asked : client->asked()) {
      if (!asked.answer.request_id.empty()) asked_.emplace(asked.answer.request_id, &asked);
    }
  }
}

void SwarmChecks::at_the_end(const routing::Gateway& gateway,
                             const std::vector<std::unique_ptr<SwarmClient>>& clients) {
  index_records(clients);
  check_counts(gateway, clients);
  if (tables_.revision() > 0) check_guards(*gateway.tables.newest());
  check_limits();
  if (!journal_.usage_lied) check_token_words();
  check_pilots();
  if (config_.cache) check_cache();
  check_shadow(gateway);
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
  for (const Attempt& attempt : journal_.attempts) {
    if (const auto of = records_.find(attempt.request_id); of != records_.end())
      check_attempt(attempt, *of->second);
  }
  for (const auto& [id, attempts] : attempts_) {
    const auto found = records_.find(id);
    if (found == records_.end()) {
      findings.add("a provider got a request that no record is of: " + id);
    } else {
      findings.check(attempts.size() <= found->second->record.attempts + pairs_.count(id),
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
  const std::vector<const Attempt*> reached = reached_by(asked);
  if (asked.hostile) {
    check(reached.empty(), asked, "a request that must be refused reached a provider");
    check(asked.end != Asked::End::answered || asked.answer.status >= 400, asked,
          "a request that must be refused was not");
  }
  if (settled != nullptr) {
    const Record& record = settled->record;
    if (record.attempts == 0) check(reached.empty(), asked, "a refused request reached a provider");
    // The head may have been made before the end was known, but the status is the record's unless nothing
    // could be sent.
    check(record.status == asked.answer.status || record.status == 0, asked,
          "an answer's status is not its record's");
    if (asked.answer.revision != 0)
      check(asked.answer.revision == settled->revision, asked, "an answer names another table");
    for (const Attempt* attempt : reached) {
      check(attempt->request_id == asked.answer.request_id, asked, "one request went upstream under two ids");
    }
    check_cached(asked, *settled);
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
  const bool again = answer.cache == "hit";
  const auto is_empty = [](const Attempt* attempt) { return attempt->contentless; };
  // Of another who asked the same, if it is given again.
  const auto all = by_subject_.find(asked.subject);
  if (again ? all != by_subject_.end() && std::ranges::any_of(all->second, is_empty) &&
                  answer.body.find(" at ") == std::string::npos
            : std::ranges::any_of(reached_by(asked), is_empty)) {
    return;
  }
  check(answer.body.find(tag_of(asked.subject)) != std::string::npos, asked,
        "the answer is to another request");
  const uint64_t attempt = number_behind(answer.body, " at ");
  if (!check(attempt < journal_.attempts.size() && attempt == number_behind(answer.body, " end "), asked,
             "an answer that says it is whole is not")) {
    return;
  }
  const Attempt& from = journal_.attempts[attempt];
  check(from.subject == asked.subject && (again || from.request_id == answer.request_id), asked,
        "the answer is to another request");
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
  if (again) return;  // who answered then, swarm_cache.cc looks at
  check(body[static_cast<routing::ProviderIndex>(settled->record.provider)].name ==
            "p" + std::to_string(from.provider),
        asked, "another provider answered than the record says");
}

}  // namespace weir::sim
