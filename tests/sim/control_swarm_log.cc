// The log of the registry against what was asked for and answered.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "tests/sim/control_swarm_checks.h"

namespace weir::sim {

using namespace routing;  // NOLINT: a test

struct ControlChecks::Rows {
  std::vector<Change> all;                          // oldest first
  std::multimap<std::string, const Change*> makes;  // by mark: those that made a revision

  const Change* of_revision(uint64_t revision) const {
    const auto found = std::ranges::find(all, revision, &Change::revision);
    return found == all.end() ? nullptr : &*found;
  }
  // The newest revision before `revision` that changed an object.
  uint64_t table_before(uint64_t revision) const {
    uint64_t newest = 0;
    for (const Change& row : all) {
      if (row.revision < revision && row.object_count > 0) newest = std::max(newest, row.revision);
    }
    return newest;
  }
};

namespace {

using Objects = std::map<std::pair<ObjectKind, std::string>, std::string>;

std::string row_text(const Change& row) {
  return fmt::format("row {} ({} {}, revision {})", row.sequence, row.action, row.reason, row.revision);
}

// Follows one row; what is wrong, or nothing.
std::string follow(const Change& row, Objects& objects, std::vector<KillHistory::Key>& kills) {
  for (const ObjectChange& change : row.revision == 0 ? std::vector<ObjectChange>{} : row.objects) {
    const auto key = std::pair(change.kind, change.name);
    const auto found = objects.find(key);
    const bool same = found == objects.end() ? !change.before : change.before == found->second;
    if (!same)
      return fmt::format("{}: {} {} was another before", row_text(row), to_string(change.kind), change.name);
    if (change.after) {
      objects[key] = *change.after;
    } else {
      objects.erase(key);
    }
  }
  for (const Kill& kill : row.killed) {
    if (std::ranges::find(kills, KillHistory::Key(kill.scope, kill.name)) != kills.end())
      return row_text(row) + ": killed twice";
    kills.emplace_back(kill.scope, kill.name);
  }
  for (const Kill& kill : row.unkilled) {
    if (std::erase(kills, KillHistory::Key(kill.scope, kill.name)) == 0)
      return row_text(row) + ": was not killed";
  }
  return {};
}

bool is_refused(const Ask& ask) {
  return ask.result && !*ask.result && !ask.slow_shards() && !ask.ghost;
}

}  // namespace

void ControlChecks::check_ask(const Rows& rows, const Ask& ask) {
  const uint64_t count = rows.makes.count(ask.mark());
  if (count > 1) find(ask.to_string() + ": made twice");
  if (count > 0 && (is_refused(ask) || ask.dry_run)) find(ask.to_string() + ": is in the log all the same");
  if (ask.what == What::approve) {
    const bool carried_out = std::ranges::any_of(rows.all, [&](const Change& row) {
      return row.revision != 0 && row.detail.find('"' + ask.mark() + '"') != std::string::npos;
    });
    if (is_refused(ask) && carried_out) find(ask.to_string() + ": was carried out all the same");
    if (ask.made() && (*ask.result)->changed > 0 && !carried_out)
      find(ask.to_string() + ": was not carried out");
    return;
  }
  uint64_t revision = 0;
  if (ask.made() && (*ask.result)->changed > 0) revision = (*ask.result)->revision;
  if (ask.slow_shards() && !ask.flips() && count > 0) revision = ask.result->error().revision;
  if (revision == 0) return;
  const Change* row = rows.of_revision(revision);
  if (row == nullptr || row->reason != ask.mark()) {
    find(fmt::format("{}: revision {} is {}", ask.to_string(), revision,
                     row == nullptr ? "lost" : row_text(*row)));
  } else if (ask.if_match && rows.table_before(revision) > *ask.if_match) {
    find(fmt::format("{}: the table had changed at {}", ask.to_string(), rows.table_before(revision)));
  }
}

// What was approved is what was made, of what it was made of when it was proposed.
void ControlChecks::check_proposal(const Registry& registry, const Change& row) {
  if (row.proposal == 0 || row.revision == 0 || row.approved_by.empty()) return;
  const auto proposal = registry.proposal(row.proposal);
  if (!proposal || !*proposal) return find(row_text(row) + ": its proposal is lost");
  if ((*proposal)->state != Proposal::State::applied) find(row_text(row) + ": its proposal is not applied");
  for (const ObjectChange& change : row.objects) {
    const bool as_proposed = std::ranges::any_of((*proposal)->objects, [&](const ObjectChange& other) {
      return other.kind == change.kind && other.name == change.name && other.before == change.before &&
             other.after == change.after;
    });
    if (!as_proposed)
      find(fmt::format("{}: {} {} was not proposed so", row_text(row), to_string(change.kind), change.name));
  }
}

void ControlChecks::check_log(const Registry& registry) {
  Rows rows;
  while (true) {
    AuditQuery query{.limit = 200};
    if (!rows.all.empty()) query.before_sequence = rows.all.back().sequence;
    auto page = registry.audit(query);
    if (!page) return find("the log cannot be read: " + page.error().message);
    if (page->empty()) break;
    std::ranges::move(*page, std::back_inserter(rows.all));
  }
  std::ranges::reverse(rows.all);
  Objects objects;
  std::vector<KillHistory::Key> kills;
  uint64_t sequence = 0, revision = 0;
  for (const Change& row : rows.all) {
    if (row.sequence != ++sequence || (row.revision != 0 && row.revision != ++revision))
      find(row_text(row) + ": does not follow");
    if (row.revision != 0) rows.makes.emplace(row.reason, &row);
    if (const std::string wrong = follow(row, objects, kills); !wrong.empty()) find(wrong);
  }
  for (const Ask& ask : journal_.asked) check_ask(rows, ask);
  for (const Change& row : rows.all) check_proposal(registry, row);

  const auto read = registry.read_objects(0, [&](const ObjectView& object) {
    const auto found = objects.find({object.kind, std::string(object.name)});
    if (found == objects.end() || found->second != object.body)
      find(fmt::format("{} {} is not what the log says", to_string(object.kind), object.name));
    objects.erase({object.kind, std::string(object.name)});
  });
  if (!read) find("the objects cannot be read: " + read.error().message);
  if (!objects.empty()) find(fmt::format("{} is lost", objects.begin()->first.second));
  const auto kept = registry.kills();
  if (!kept || kept->size() != kills.size()) find("the kills are not what the log says");
  for (const KillHistory::Key& key : kills_.keys()) {
    const bool killed = std::ranges::find(kills, key) != kills.end();
    if (killed && kills_.of(key) == KillHistory::Standing::free)
      find(fmt::format("the kill of {} {} is lifted, but the registry has it", to_string(key.first),
                       key.second));
    if (!killed && kills_.durable(key))
      find(fmt::format("the registry has no kill of {} {}", to_string(key.first), key.second));
  }
  const auto verified = registry.verify({});
  if (!verified) return find("cannot be verified: " + verified.error().message);
  if (!verified->faults.empty()) find("verify: " + verified->faults.front());
}

}  // namespace weir::sim
