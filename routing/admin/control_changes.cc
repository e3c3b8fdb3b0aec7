// How a change of the table, a kill or an approval goes through: control.h has the picture.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/clock.h"
#include "core/log.h"
#include "routing/admin/control.h"

namespace weir::routing {
namespace {

constexpr std::chrono::milliseconds kFirstLookupPatience{2'000};

// What a commit brought, and how long the registry took for it.
struct Committed {
  RegistryResult<uint64_t> revision;
  uint64_t took_ns;
};

Committed commit_now(Registry& registry, const Commit& change) {
  const uint64_t began_ns = core::monotonic_now_ns();
  auto revision = registry.commit(change);
  return {std::move(revision), core::monotonic_now_ns() - began_ns};
}

std::string kill_target(KillScope scope, std::string_view name) {
  return name.empty() ? std::string(to_string(scope)) : fmt::format("{} {}", to_string(scope), name);
}

}  // namespace

bool ControlThread::is_stale(const std::optional<uint64_t>& if_match) const {
  // Kills make revisions, and leave the table as it is.
  return if_match && (*if_match < table_revision_ || *if_match > revision_);
}

Refusal ControlThread::lost_update() const {
  return {.kind = Refusal::Kind::lost_update,
          .message = fmt::format(
              "The table has changed: its newest revision is {}; look at it before you change it.",
              table_revision_),
          .param = "if-match",
          .revision = table_revision_};
}

// ---- changes of the table ---------------------------------------------------------------------------

void ControlThread::change(ChangeRequest request, ChangeDone done) {
  if (is_stale(request.if_match)) return done(std::unexpected(lost_update()));
  if (changes_.size() >= core::limits::kMaxQueuedChanges) return done(refuse(Refusal::Kind::queue_full));
  changes_.push_back({std::make_shared<const ChangeRequest>(std::move(request)), std::move(done)});
  if (changes_.size() == 1) begin_next_change();
}

void ControlThread::begin_next_change() {
  if (changes_.empty()) return;
  const std::shared_ptr<const ChangeRequest> request = changes_.front().request;
  // The change before this one may have been another's.
  if (is_stale(request->if_match)) return end_change(std::unexpected(lost_update()));
  in_background(
      worker_,
      [request, current = current_, revision = table_revision_, wall_now_ns = loop_.wall_now_ns(),
       loader = loader_, &registry = registry_, &addresses = addresses_] {
        const Newest newest{registry.planner(), revision, *current.body, *current.tenants, wall_now_ns};
        auto prepared = prepare(*request, newest, current, *loader);
        if (prepared && prepared->reloaded && !request->dry_run) {
          addresses.add_hosts(prepared->table.hosts);
          addresses.wait_for_first_attempts(kFirstLookupPatience);
        }
        return prepared;
      },
      [this, reloads = trust_reloads_](std::expected<Prepared, Refusal> prepared) {
        if (prepared) prepared->trust_is_old = reloads != trust_reloads_;
        on_prepared(std::move(prepared));
      });
}

void ControlThread::on_prepared(std::expected<Prepared, Refusal> prepared) {
  if (!prepared) return end_change(std::unexpected(std::move(prepared.error())));
  const ChangeRequest& request = *changes_.front().request;
  if (request.dry_run) {
    return end_change(ChangeOutcome{.kind = ChangeOutcome::Kind::dry_run,
                                    .revision = revision_,
                                    .changed = prepared->changes.size(),
                                    .restored_revision = prepared->restored_revision,
                                    .required = std::move(prepared->required),
                                    .changes = std::move(prepared->changes)});
  }
  if (prepared->changes.empty()) {
    // Nothing to be kept; but the same table put again reads its credentials anew.
    if (prepared->reloaded) {
      current_ = std::move(prepared->table);
      publish(request.reason);
      if (prepared->trust_is_old) reload_trust();
    }
    return end_change(ChangeOutcome{.revision = revision_, .restored_revision = prepared->restored_revision});
  }
  if (request.approvals == ChangeRequest::Approvals::needed && !prepared->required.empty()) {
    return propose(std::move(*prepared));
  }
  commit(std::move(*prepared));
}

void ControlThread::propose(Prepared prepared) {
  const ChangeRequest& request = *changes_.front().request;
  Proposal proposal{.id = request.proposal,
                    .author = request.caller.actor(),
                    .wall_ns = loop_.wall_now_ns(),
                    .based_on = table_revision_,
                    .action = request.action,
                    .target = request.target,
                    .reason = request.reason,
                    .objects = std::move(prepared.changes),
                    .required = prepared.required};
  write(
      [proposal = std::move(proposal)](Registry& registry) -> RegistryResult<uint64_t> {
        Deed deed{.actor = proposal.author,
                  .action = proposal.id == 0 ? "propose" : "edit",
                  .reason = proposal.reason,
                  .wall_ns = proposal.wall_ns};
        if (proposal.id == 0) return registry.add_proposal(proposal, deed);
        auto updated = registry.update_proposal(proposal, deed);  // its approvals are void now
        if (!updated) return std::unexpected(std::move(updated.error()));
        return proposal.id;
      },
      [this, required = std::move(prepared.required)](const RegistryResult<uint64_t>& id) {
        if (!id) return end_change(std::unexpected(refusal_of(id.error())));
        end_change(ChangeOutcome{.kind = ChangeOutcome::Kind::proposed,
                                 .revision = revision_,
                                 .proposal = *id,
                                 .required = required});
      });
}

void ControlThread::commit(Prepared prepared) {
  const ChangeRequest& request = *changes_.front().request;
  auto change = std::make_shared<Commit>(Commit{.actor = request.caller.actor(),
                                                .action = request.action,
                                                .target = request.target,
                                                .reason = request.reason,
                                                .based_on = table_revision_,
                                                .approved_by = request.approved_by,
                                                .objects = std::move(prepared.changes),
                                                .detail = std::move(prepared.detail),
                                                .wall_ns = loop_.wall_now_ns(),
                                                .proposal = request.proposal});
  ChangeOutcome outcome{.changed = change->objects.size(), .restored_revision = prepared.restored_revision};
  write(
      [change = std::move(change)](Registry& registry) mutable {
        Committed committed = commit_now(registry, *change);
        change.reset();  // a million bodies are freed here, not on the loop
        return committed;
      },
      [this, outcome, table = std::move(prepared.table), reloads = trust_reloads_,
       trust_is_old = prepared.trust_is_old,
       tenants_compiled = prepared.tenants_compiled](const Committed& committed) mutable {
        if (!committed.revision) {
          Refusal refusal = refusal_of(committed.revision.error());
          refusal.revision = table_revision_;
          return end_change(std::unexpected(std::move(refusal)));
        }
        current_ = std::move(table);
        revision_ = table_revision_ = *committed.revision;
        publish(changes_.front().request->reason);
        tend_image(outcome.changed, tenants_compiled);
        if (trust_is_old || reloads != trust_reloads_) reload_trust();  // they were read again meanwhile
        outcome.revision = revision_;
        outcome.commit_ns = committed.took_ns;
        outcome.durable_ns = core::monotonic_now_ns() - changes_.front().request->began_ns;
        end_change(outcome);
      });
}

// Goes on with the next change of the queue and answers the first one; if it was made, when every shard uses
// it.
void ControlThread::end_change(ChangeResult result) {
  const Queued ended = std::move(changes_.front());
  changes_.pop_front();
  hosts_dirty_ = true;
  begin_next_change();  // first: whoever hears the answer may ask for another change at once
  if (result && result->kind == ChangeOutcome::Kind::made) {
    when_everyone_uses(gateway_.tables.newest_version(), *std::move(result), ended.request->began_ns,
                       ended.done);
  } else {
    ended.done(std::move(result));
  }
}

// ---- kills ------------------------------------------------------------------------------------------

bool ControlThread::names_something(KillScope scope, const std::string& name) const {
  const TableBody& body = *current_.body;
  switch (scope) {
    case KillScope::global:
      return name.empty();
    case KillScope::provider:
      return body.provider_names.find(name).has_value();
    case KillScope::unit:
      return body.unit_names.find(name).has_value();
    case KillScope::scenario:
      return body.scenario_names.find(name).has_value();
    case KillScope::flag:
      return body.flag_names.find(name).has_value();
    case KillScope::tenant:
      return current_.tenants->find(name).has_value();
  }
  return false;
}

bool ControlThread::is_killed(KillScope scope, std::string_view name) const {
  return std::ranges::any_of(kills_.kills(),
                             [&](const Kill& kill) { return kill.scope == scope && kill.name == name; });
}

bool ControlThread::is_registered(KillScope scope, std::string_view name) const {
  return std::ranges::any_of(registered_kills_,
                             [&](const auto& kill) { return kill.first == scope && kill.second == name; });
}

bool ControlThread::is_durable(KillScope scope, std::string_view name) const {
  return is_registered(scope, name) && std::ranges::none_of(unkilling_, [&](const Unkilling& unkilling) {
           return unkilling.scope == scope && unkilling.name == name;
         });
}

void ControlThread::kill(Flip flip, ChangeDone done) {
  if (is_stale(flip.if_match)) return done(std::unexpected(lost_update()));
  if (!names_something(flip.scope, flip.name)) {
    return done(std::unexpected(Refusal{.kind = Refusal::Kind::unknown_name, .param = "name"}));
  }
  const Kill kill{
      .scope = flip.scope, .name = flip.name, .reason = flip.reason, .since_wall_ns = loop_.wall_now_ns()};
  // An unkill that is being written would take this one away when it is done.
  bool overtakes = false;
  for (const Unkilling& unkilling : unkilling_) {
    if (unkilling.scope == flip.scope && unkilling.name == flip.name)
      overtakes |= !std::exchange(*unkilling.overtaken, true);
  }
  if (overtakes) kills_.remove(flip.scope, flip.name);
  if (kills_.add(kill)) {
    core::log_warning("killed", {{"scope", to_string(flip.scope)},
                                 {"name", flip.name},
                                 {"by", flip.caller.name},
                                 {"reason", flip.reason}});
    publish(flip.reason);  // at once: an incident does not wait for the disk
  } else if (is_durable(flip.scope, flip.name)) {
    // It must still be true of every shard before it is answered.
    return when_everyone_uses(gateway_.tables.newest_version(), {.revision = revision_}, flip.began_ns,
                              std::move(done));
  }
  Commit change{.actor = flip.caller.actor(),
                .action = "kill",
                .target = kill_target(flip.scope, flip.name),
                .reason = flip.reason,
                .killed = {kill},
                .wall_ns = kill.since_wall_ns};
  write([change = std::move(change)](Registry& registry) { return commit_now(registry, change); },
        [this, flip = std::move(flip), done = std::move(done)](const Committed& committed) {
          if (committed.revision) {
            if (!is_registered(flip.scope, flip.name)) registered_kills_.emplace_back(flip.scope, flip.name);
            return finish_flip(flip, *committed.revision, committed.took_ns, done);
          }
          const RegistryError& error = committed.revision.error();
          core::log_error("kill_not_durable",
                          {{"scope", to_string(flip.scope)}, {"name", flip.name}, {"reason", error.message}});
          const auto kind = error.kind == RegistryError::Kind::disk_full ? Refusal::Kind::not_durable_full
                                                                         : Refusal::Kind::not_durable;
          when_everyone_uses(gateway_.tables.newest_version(), {}, flip.began_ns,
                             [done, kind, revision = revision_](const ChangeResult&) {
                               done(std::unexpected(Refusal{.kind = kind, .revision = revision}));
                             });
        });
}

void ControlThread::unkill(Flip flip, ChangeDone done) {
  if (is_stale(flip.if_match)) return done(std::unexpected(lost_update()));
  if (!is_killed(flip.scope, flip.name)) {
    return done(std::unexpected(Refusal{.kind = Refusal::Kind::not_killed, .param = "name"}));
  }
  Commit change{.actor = flip.caller.actor(),
                .action = "unkill",
                .target = kill_target(flip.scope, flip.name),
                .reason = flip.reason,
                .unkilled = {{.scope = flip.scope, .name = flip.name, .reason = flip.reason}},
                .wall_ns = loop_.wall_now_ns()};
  const auto overtaken = std::make_shared<bool>(false);
  unkilling_.push_back({flip.scope, flip.name, overtaken});
  write([change = std::move(change)](Registry& registry) { return commit_now(registry, change); },
        [this, overtaken, flip = std::move(flip), done = std::move(done)](const Committed& committed) {
          std::erase_if(unkilling_,
                        [&](const Unkilling& unkilling) { return unkilling.overtaken == overtaken; });
          if (committed.revision) std::erase(registered_kills_, std::pair(flip.scope, flip.name));
          // A kill that never became durable is not in the registry: there is nothing left to fail.
          if (!committed.revision && (*overtaken || is_registered(flip.scope, flip.name))) {
            return done(std::unexpected(refusal_of(committed.revision.error())));
          }
          if (*overtaken) {  // killed again meanwhile, and that stays
            return finish_flip(flip, *committed.revision, committed.took_ns, done);
          }
          kills_.remove(flip.scope, flip.name);
          core::log_warning("unkilled", {{"scope", to_string(flip.scope)},
                                         {"name", flip.name},
                                         {"by", flip.caller.name},
                                         {"reason", flip.reason}});
          finish_flip(flip, committed.revision.value_or(revision_), committed.took_ns, done);
        });
}

void ControlThread::finish_flip(const Flip& flip, uint64_t revision, uint64_t commit_ns,
                                const ChangeDone& done) {
  revision_ = revision;
  const uint64_t version = publish(flip.reason);
  when_everyone_uses(
      version,
      {.revision = revision, .durable_ns = core::monotonic_now_ns() - flip.began_ns, .commit_ns = commit_ns},
      flip.began_ns, done);
}

}  // namespace weir::routing
