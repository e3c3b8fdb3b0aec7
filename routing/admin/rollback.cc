#include "routing/admin/rollback.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "routing/admin/edits.h"
#include "routing/table/canonical_json.h"

namespace weir::routing {
namespace {

using nlohmann::json;
using Scope = Rollback::Scope;
using Name = std::pair<ObjectKind, std::string>;

constexpr auto kRollbackScopes = std::to_array<std::string_view>({"tenant", "flag", "scenario", "all"});
constexpr std::string_view kAction = "rollback";
constexpr std::string_view kRestored = "restored_revision";

// The text at `member`; empty when it is not there.
std::string text_at(const json& object, const char* member) {
  if (!object.is_object()) return {};
  const auto found = object.find(member);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// Every text in the list at `member`, given to `each`.
template <typename Each>
void each_text(const json& object, const char* member, Each&& each) {
  if (!object.is_object()) return;
  const auto found = object.find(member);
  if (found == object.end() || !found->is_array()) return;
  for (const json& item : *found) {
    if (item.is_string()) each(item.get<std::string>());
  }
}

// What an object's body names.
std::vector<Name> references(ObjectKind kind, const std::string& text) {
  std::vector<Name> names;
  const json body = parse_json(text);
  const auto add = [&](ObjectKind named, std::string name) {
    if (!name.empty()) names.emplace_back(named, std::move(name));
  };
  const auto add_all = [&](ObjectKind named, const json& object, const char* member) {
    each_text(object, member, [&](std::string name) { add(named, std::move(name)); });
  };
  switch (kind) {
    case ObjectKind::model:
      add(ObjectKind::provider, text_at(body, "provider"));
      if (body.is_object() && body.contains("providers") && body["providers"].is_object()) {
        for (const auto& [provider, weight] : body["providers"].items()) add(ObjectKind::provider, provider);
      }
      break;
    case ObjectKind::unit:
      add(ObjectKind::model, text_at(body, "model"));
      add(ObjectKind::prompt, text_at(body, "prompt"));
      break;
    case ObjectKind::scenario:
      add(ObjectKind::unit, text_at(body, "stable"));
      if (body.is_object() && body.contains("fallback") && body["fallback"].is_array()) {
        for (const json& hop : body["fallback"]) add(ObjectKind::unit, text_at(hop, "unit"));
      }
      break;
    case ObjectKind::flag:
      add(ObjectKind::scenario, text_at(body, "scenario"));
      add_all(ObjectKind::segment, body, "exclude");
      if (body.is_object() && body.contains("candidate")) {
        add(ObjectKind::unit, text_at(body["candidate"], "unit"));
        add(ObjectKind::model, text_at(body["candidate"], "model"));
        add(ObjectKind::prompt, text_at(body["candidate"], "prompt"));
      }
      break;
    case ObjectKind::tenant:
      add_all(ObjectKind::model, body, "models");
      if (body.is_object() && body.contains("flags") && body["flags"].is_object()) {
        for (const auto& [flag, row] : body["flags"].items()) {
          add(ObjectKind::flag, flag);
          add(ObjectKind::unit, text_at(row, "previous"));
          add_all(ObjectKind::segment, row, "segments");
        }
      }
      break;
    default:
      break;  // segments name attributes, which a declaration more never hurts: compile() says when one is
              // gone
  }
  return names;
}

// `then` under the rules for approvals of `now`: a rollback waits for nobody, so it must not take them away.
std::string with_rules_of(const std::optional<std::string>& now, const std::string& then) {
  if (!now) return then;
  const json rules = parse_json(*now);
  json body = parse_json(then);
  if (!rules.is_object() || !body.is_object() || !rules.contains("approvals")) return then;
  if (body.contains("approvals") && body["approvals"] == rules["approvals"]) return then;
  body["approvals"] = rules["approvals"];
  return canonical_text(body.dump(-1, ' ', false, json::error_handler_t::replace)).value_or(then);
}

// What is meant by the scope.
class Meant {
 public:
  static std::expected<Meant, Refusal> of(const Rollback& rollback, const Newest& newest) {
    Meant meant(rollback);
    const TableBody& body = newest.body;
    if (rollback.scope == Scope::scenario) {
      const auto scenario = body.scenario_names.find(rollback.name);
      if (!scenario) return unknown("scenario", rollback.name);
      for (const FlagIndex flag : body.scenarios[*scenario].flags) meant.flags_.insert(body[flag].name);
    }
    if (rollback.scope == Scope::flag) {
      if (!body.flag_names.find(rollback.name)) return unknown("flag", rollback.name);
      meant.flags_.insert(rollback.name);
    }
    if (rollback.scope == Scope::tenant) {
      if (!newest.tenants.find(rollback.name)) return unknown("tenant", rollback.name);
      if (!rollback.flag.empty()) meant.flags_.insert(rollback.flag);
    }
    return meant;
  }

  // The object as the rollback wants it, given how it is and how it was; none = it is not meant, or stays.
  std::optional<std::string> restored(const ObjectChange& change) const {
    const auto& [kind, name, now, then] = change;
    if (kind == ObjectKind::key) return std::nullopt;
    if (kind == ObjectKind::tenant) return restored_tenant(name, now, then);
    const bool meant =
        rollback_.scope == Scope::all || (kind == ObjectKind::flag && flags_.contains(name)) ||
        (kind == ObjectKind::scenario && rollback_.scope == Scope::scenario && name == rollback_.name);
    if (!meant || !then) return std::nullopt;
    if (kind == ObjectKind::flag || kind == ObjectKind::scenario) return with_rules_of(now, *then);
    return then;
  }

  // Pages of the log that may hold changes of the scope.
  std::vector<AuditQuery> queries() const {
    switch (rollback_.scope) {
      case Scope::all:
        return {{}};
      case Scope::tenant:
        return {{.flag = rollback_.flag, .tenant = rollback_.name}};
      case Scope::flag:
      case Scope::scenario:
        break;
    }
    std::vector<AuditQuery> queries;
    if (rollback_.scope == Scope::scenario)
      queries.push_back({.kind = ObjectKind::scenario, .name = rollback_.name});
    for (const std::string& flag : flags_) queries.push_back({.flag = flag});
    return queries;
  }

 private:
  explicit Meant(const Rollback& rollback) : rollback_(rollback) {}

  static std::unexpected<Refusal> unknown(std::string_view kind, const std::string& name) {
    return refuse(Refusal::Kind::unknown_name, fmt::format("There is no {} {}.", kind, name), "name");
  }

  std::optional<std::string> restored_tenant(const std::string& name, const std::optional<std::string>& now,
                                             const std::optional<std::string>& then) const {
    if (rollback_.scope == Scope::tenant && name != rollback_.name) return std::nullopt;
    const bool whole =
        rollback_.scope == Scope::all || (rollback_.scope == Scope::tenant && rollback_.flag.empty());
    if (whole && then) return then;
    if (!now) return std::nullopt;
    return with_rows_of(*now, then,
                        [&](std::string_view flag) { return whole || flags_.contains(std::string(flag)); });
  }

  const Rollback& rollback_;
  std::set<std::string> flags_;
};

// What takes the scope back to `revision`, by what is and what was.
std::expected<std::vector<ObjectChange>, Refusal> changes_back(const Meant& meant, const Newest& newest,
                                                               uint64_t revision) {
  auto differences = newest.registry.changed_between(newest.revision, revision);
  if (!differences) return refuse(differences.error());
  std::vector<ObjectChange> changes;
  for (ObjectChange& difference : *differences) {
    auto wanted = meant.restored(difference);
    if (!wanted || wanted == difference.before) continue;
    changes.push_back(
        {difference.kind, std::move(difference.name), std::move(difference.before), std::move(wanted)});
  }
  return changes;
}

// The revision that a rollback went back to; 0 for any other change.
uint64_t restored_by(const Change& change) {
  if (change.action != kAction) return 0;
  const json detail = parse_json(change.detail);
  if (!detail.is_object() || !detail.contains(kRestored) || !detail[kRestored].is_number_unsigned()) return 0;
  return detail[kRestored].get<uint64_t>();
}

// Changes of the scope, newest first.
RegistryResult<std::vector<Change>> history(const Meant& meant, const Newest& newest) {
  std::vector<Change> all;
  for (AuditQuery query : meant.queries()) {
    query.limit = core::limits::kMaxAuditRows;
    query.with_bodies = false;
    auto changes = newest.registry.audit(query);
    if (!changes) return std::unexpected(std::move(changes.error()));
    std::ranges::move(*changes, std::back_inserter(all));
  }
  std::ranges::sort(all, std::ranges::greater(), &Change::revision);
  const auto again = std::ranges::unique(all, {}, &Change::revision);
  all.erase(again.begin(), again.end());
  return all;
}

struct Found {
  uint64_t revision;
  std::vector<ObjectChange> changes;
};

std::expected<Found, Refusal> find_previous(const Meant& meant, const Newest& newest) {
  auto changes = history(meant, newest);
  if (!changes) return refuse(changes.error());
  uint64_t ceiling = UINT64_MAX;  // changes from this revision on are undone already
  for (const Change& change : *changes) {
    if (change.object_count == 0 || change.revision >= ceiling) continue;
    if (const uint64_t restored = restored_by(change); restored != 0) {
      ceiling = std::min(ceiling, restored + 1);
      continue;
    }
    const uint64_t before = change.revision - 1;
    if (before == 0) break;
    auto back = changes_back(meant, newest, before);
    if (!back) return std::unexpected(std::move(back.error()));
    // Empty: the change touched something else of the object.
    if (!back->empty()) return Found{before, *std::move(back)};
  }
  return refuse(Refusal::Kind::nothing_to_roll_back, "There is no earlier state to go back to.");
}

std::expected<uint64_t, Refusal> named_revision(const Rollback& rollback, const Newest& newest) {
  if (rollback.wall_ns) {
    auto revision = newest.registry.revision_at(*rollback.wall_ns);
    if (!revision) return refuse(Refusal::Kind::unknown_revision, "Nothing was there at that time.", "to");
    return *revision;
  }
  if (rollback.label) {
    auto revision = newest.registry.label(*rollback.label);
    if (!revision) return refuse(revision.error());
    if (!*revision) {
      return refuse(Refusal::Kind::unknown_label,
                    fmt::format("No revision has the label {}.", *rollback.label), "to");
    }
    return **revision;
  }
  return *rollback.revision;
}

// Adds what the changes refer to and is gone, as it was.
std::expected<void, Refusal> bring_back(const Newest& newest, uint64_t revision,
                                        std::vector<ObjectChange>& changes) {
  std::set<Name> there;
  for (const ObjectChange& change : changes) there.emplace(change.kind, change.name);
  for (size_t i = 0; i < changes.size(); ++i) {
    for (Name& name : references(changes[i].kind, *changes[i].after)) {
      if (!there.insert(name).second) continue;
      auto now = newest.object(name.first, name.second);
      if (!now) return refuse(now.error());
      if (*now) continue;
      auto then = newest.registry.read_object(revision, name.first, name.second);
      if (!then) return refuse(then.error());
      if (!*then) continue;  // compile() says what is missing
      changes.push_back({name.first, std::move(name.second), std::nullopt, *std::move(then)});
    }
  }
  return {};
}

std::string bundle(const Rollback& rollback, uint64_t revision) {
  json detail{{"scope", to_string(rollback.scope)}, {kRestored, revision}};
  if (!rollback.name.empty()) detail["name"] = rollback.name;
  if (!rollback.flag.empty()) detail["flag"] = rollback.flag;
  if (!rollback.note.empty()) detail["note"] = rollback.note;
  if (!rollback.evidence.empty()) detail["evidence"] = parse_json(rollback.evidence);
  return detail.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

std::string_view to_string(Rollback::Scope scope) {
  return kRollbackScopes[static_cast<size_t>(scope)];
}

std::optional<Rollback::Scope> parse_rollback_scope(std::string_view text) {
  const auto found = std::ranges::find(kRollbackScopes, text);
  if (found == kRollbackScopes.end()) return std::nullopt;
  return static_cast<Rollback::Scope>(found - kRollbackScopes.begin());
}

std::expected<Plan, Refusal> plan_rollback(const Rollback& rollback, const Newest& newest) {
  const auto meant = Meant::of(rollback, newest);
  if (!meant) return std::unexpected(meant.error());
  Found found{};
  if (!rollback.revision && !rollback.wall_ns && !rollback.label) {
    auto previous = find_previous(*meant, newest);
    if (!previous) return std::unexpected(std::move(previous.error()));
    found = *std::move(previous);
  } else {
    auto revision = named_revision(rollback, newest);
    if (!revision) return std::unexpected(std::move(revision.error()));
    auto changes = changes_back(*meant, newest, *revision);
    if (!changes) return std::unexpected(std::move(changes.error()));
    if (changes->empty()) return refuse(Refusal::Kind::nothing_to_roll_back);
    found = {*revision, *std::move(changes)};
  }
  if (auto brought = bring_back(newest, found.revision, found.changes); !brought) {
    return std::unexpected(std::move(brought.error()));
  }
  return Plan{.changes = std::move(found.changes),
              .detail = bundle(rollback, found.revision),
              .restored_revision = found.revision};
}

}  // namespace weir::routing
