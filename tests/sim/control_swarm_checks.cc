#include "tests/sim/control_swarm_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "routing/admin/edits.h"

namespace weir::sim {

using namespace routing;  // NOLINT: a test

namespace {

std::string kill_text(const KillHistory::Key& key) {
  return fmt::format("kill {} {}", to_string(key.first), key.second);
}

// None: the table does not hold the name.
std::optional<bool> is_killed(const Table& table, const KillHistory::Key& key) {
  const auto& [scope, name] = key;
  const auto among = [&](const NameIndex& names, const std::vector<bool>& killed) -> std::optional<bool> {
    const auto index = names.find(name);
    if (!index) return std::nullopt;
    return table.kills.any && killed.at(*index);
  };
  switch (scope) {
    case KillScope::global:
      return table.kills.global;
    case KillScope::provider:
      return among(table.body->provider_names, table.kills.providers);
    case KillScope::unit:
      return among(table.body->unit_names, table.kills.units);
    case KillScope::scenario:
      return among(table.body->scenario_names, table.kills.scenarios);
    case KillScope::flag:
      return among(table.body->flag_names, table.kills.flags);
    case KillScope::tenant:
      break;
  }
  const auto index = table.tenants->find(name);
  if (!index) return std::nullopt;
  return std::ranges::binary_search(table.kills.tenants, *index);
}

}  // namespace

void ControlChecks::began(const Ask& ask) {
  if (ask.flips()) kills_.began(ask);
}

void ControlChecks::answered(ControlProcess& process, const Ask& ask) {
  if (ask.answers != 1) find(ask.to_string() + ": answered twice");
  if (ask.life != journal_.life) find(ask.to_string() + ": answered by a later process");
  if (ask.flips()) kills_.answered(ask);
  const ControlThread& control = process.control();
  if (!*ask.result) {
    const Refusal& refusal = ask.result->error();
    const bool stale =
        ask.if_match && (*ask.if_match < control.table_revision() || *ask.if_match > control.revision());
    if (refusal.kind == Refusal::Kind::lost_update && !stale)
      find(ask.to_string() + ": it names the newest table, and is refused");
    return;
  }
  const ChangeOutcome& outcome = **ask.result;
  if (outcome.revision > control.revision()) find(ask.to_string() + ": of a revision that is not there yet");
  if (!ask.made()) return;
  if (sure_) revision_ = std::max(revision_, outcome.revision);
  for (const auto& shard : process.shards()) {
    if (shard->reader.current().revision < outcome.revision) {
      find(fmt::format("{}: a shard is still at revision {}", ask.to_string(),
                       shard->reader.current().revision));
    }
    check_kills(shard->reader.current(), "when a change was answered");
  }
  if (outcome.changed == 0) return;
  const auto row = process.registry().change_of(outcome.revision);
  if (row && !*row) find(ask.to_string() + ": answered before it was durable");
  check_effect(process.registry(), ask, outcome);
}

// What the change was to do.
void ControlChecks::check_effect(const Registry& registry, const Ask& ask, const ChangeOutcome& outcome) {
  if (ask.what == What::rollback) return check_rollback(registry, ask, outcome);
  if (ask.what == What::replace) {
    const auto document = registry.document(outcome.revision);
    if (document && Json::parse(*document) != ask.body)
      find(fmt::format("{}: the table is {}, not {}", ask.to_string(), *document, ask.body.dump()));
    return;
  }
  if (ask.what == What::approve) return;
  const auto body = registry.read_object(outcome.revision, ask.kind, ask.name);
  if (!body) return;
  const Json now = *body ? Json::parse(**body) : Json();
  bool good = true;
  if (ask.what == What::put) good = now == ask.body;
  if (ask.what == What::remove) good = now.is_null();
  if (ask.what == What::patch || ask.what == What::row) {
    const Json& target =
        ask.what == What::row && now.contains("flags") ? now["flags"].value(ask.flag, Json()) : now;
    for (const auto& [member, value] : ask.body.items()) good = good && target.value(member, Json()) == value;
  }
  if (!good) find(fmt::format("{}: {} is not what was asked for", ask.to_string(), now.dump()));
}

void ControlChecks::check_rollback(const Registry& registry, const Ask& ask, const ChangeOutcome& outcome) {
  const auto left = registry.changed_between(outcome.revision, outcome.restored_revision);
  if (!left) return;
  for (const ObjectChange& change : *left) {
    if (!change.after || change.kind == ObjectKind::key) continue;  // these stay
    const bool rules_stay = change.kind == ObjectKind::flag || change.kind == ObjectKind::scenario;
    Json now = change.before ? Json::parse(*change.before) : Json(), then = Json::parse(*change.after);
    if (rules_stay && now.is_object()) {
      now.erase("approvals");
      then.erase("approvals");
    }
    bool meant = ask.rollback.scope == Rollback::Scope::all;
    if (ask.rollback.scope == Rollback::Scope::flag) {
      meant = change.kind == ObjectKind::flag && change.name == ask.name;
      const Json nothing = Json::object();
      if (change.kind == ObjectKind::tenant && now.is_object() &&
          now.value("flags", nothing).value(ask.name, Json()) !=
              then.value("flags", nothing).value(ask.name, Json())) {
        find(fmt::format("{}: the row of {} is not what it was", ask.to_string(), change.name));
      }
    }
    if (ask.rollback.scope == Rollback::Scope::scenario)
      meant = change.kind == ObjectKind::scenario && change.name == ask.name;
    if (ask.rollback.scope == Rollback::Scope::tenant)
      meant = ask.rollback.flag.empty() && change.kind == ObjectKind::tenant && change.name == ask.name;
    if (meant && now != then) {
      find(fmt::format("{} to {}: {} {} is {}, was {}", ask.to_string(), outcome.restored_revision,
                       to_string(change.kind), change.name, now.dump(), then.dump()));
    }
  }
}

void ControlChecks::check_kills(const Table& table, const char* when) {
  for (const KillHistory::Key& key : kills_.keys()) {
    const auto killed = is_killed(table, key);
    const KillHistory::Standing standing = kills_.of(key);
    if (!killed || standing == KillHistory::Standing::unknown) continue;
    if (*killed != (standing == KillHistory::Standing::killed)) {
      find(fmt::format("{} {} at a shard, revision {}, {}", kill_text(key),
                       *killed ? "holds" : "does not hold", table.revision, when));
    }
  }
}

void ControlChecks::refreshed(ControlProcess&, const SwarmShard& shard) {
  const Table& table = shard.reader.current();
  check_kills(table, "when it took the table");
  if (!sure_) return;
  std::string words = describe(*table.body, *table.tenants);
  const auto [seen, is_new] = tables_.emplace(table.revision, words);
  if (!is_new && seen->second != words) {
    find(fmt::format("revision {} is two tables:\n{}\n---\n{}", table.revision, seen->second, words));
  }
}

void ControlChecks::while_running(ControlProcess& process) {
  core::SocketAddress address;
  const auto check = [&](const Table& table) {
    for (const Provider& provider : table.body->providers) {
      if (process.addresses().addresses(provider.host, provider.port, &address, 1) == 0)
        find(fmt::format("the address book does not know {} of revision {}", provider.host, table.revision));
    }
  };
  for (const auto& shard : process.shards()) {
    check(shard->reader.current());
    for (const auto& pin : shard->pins) check(*pin);
  }
}

void ControlChecks::ended(bool ghosts) {
  kills_.forget(ghosts, !sure_);
  sure_ = true;
  for (Ask& ask : journal_.asked) {
    if (ask.answers == 0) ask.lost = true;
    if (ghosts && ask.life == journal_.life && ask.refused_by_registry()) ask.ghost = true;
  }
}

void ControlChecks::started(ControlProcess& process, bool durable) {
  sure_ = durable;
  const Registry& registry = process.registry();
  if (registry.revision() < revision_)
    find(fmt::format("the registry begins at revision {}, {} was acknowledged", registry.revision(),
                     revision_));
  const auto kills = registry.kills();
  if (!kills) return;
  kills_.adopt(*kills);
  for (const auto& shard : process.shards()) refreshed(process, *shard);
  check_log(registry);
}

void ControlChecks::at_the_end(ControlProcess& process) {
  for (const Ask& ask : journal_.asked) {
    if (ask.answers == 0 && !ask.lost) find(ask.to_string() + ": never answered");
  }
  const Gateway& gateway = process.control().gateway();
  if (gateway.tables.live_versions() != 1)
    find(fmt::format("{} tables are left", gateway.tables.live_versions()));
  check_log(process.registry());
  check_tables(process);
}

// Every table that a shard has seen is that of the registry.
void ControlChecks::check_tables(ControlProcess& process) {
  TableLoader loader({}, {}, nullptr);
  for (const auto& [revision, words] : tables_) {
    auto document = process.registry().document(revision);
    if (!document) {
      find(fmt::format("a shard has seen revision {}: {}", revision, document.error().message));
      continue;
    }
    const auto loaded = loader.load(*std::move(document), TableFormat::json);
    if (!loaded) {
      find(fmt::format("revision {}: {}", revision, routing::to_string(loaded.error().front())));
      continue;
    }
    const std::string wanted = describe(*loaded->body, *loaded->tenants);
    if (words != wanted) find(fmt::format("as revision {} a shard saw\n{}not\n{}", revision, words, wanted));
  }
}

}  // namespace weir::sim
