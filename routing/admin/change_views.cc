// Changes, refusals and proposals as JSON: the shapes of tools/weirctl/admin_client.h.
#include <algorithm>
#include <utility>

#include "core/strong.h"
#include "core/timestamp.h"
#include "routing/admin/admin_views.h"

namespace weir::routing {
namespace {

Json actors_view(std::span<const Actor> actors) {
  Json view = Json::array();
  for (const Actor& actor : actors) view.push_back(actor_view(actor));
  return view;
}

Json kills_view(std::span<const Kill> kills) {
  Json view = Json::array();
  for (const Kill& kill : kills) view.push_back(kill_view(kill));
  return view;
}

double milliseconds_of(uint64_t ns) {
  return static_cast<double>(ns / 1000) / 1000;
}

}  // namespace

std::string time_text(int64_t wall_ns) {
  return std::string(core::timestamp(wall_ns).view());
}

Json refusal_view(const Refusal& refusal) {
  if (refusal.kind == Refusal::Kind::problems) return problems_view(refusal.problems);
  const RefusalRow& row = describe(refusal.kind);
  Json view =
      error_view(refusal.message.empty() ? row.sentence : std::string_view(refusal.message),
                 row.status < 500 ? "invalid_request_error" : "server_error", refusal.param, row.code);
  if (refusal.revision != 0) view["revision"] = refusal.revision;
  return view;
}

Json outcome_view(const ChangeOutcome& outcome) {
  switch (outcome.kind) {
    case ChangeOutcome::Kind::proposed: {
      Json view{{"proposal", outcome.proposal}, {"waits_for", nullptr}, {"approvals", outcome.required}};
      if (!outcome.required.empty()) view["waits_for"] = outcome.required.front();
      return view;
    }
    case ChangeOutcome::Kind::dry_run: {
      Json view{{"dry_run", true},
                {"revision", outcome.revision},
                {"changes", object_changes_view(outcome.changes)},
                {"count", outcome.changed},
                {"approvals", outcome.required}};
      if (outcome.restored_revision != 0) view["restored_revision"] = outcome.restored_revision;
      return view;
    }
    case ChangeOutcome::Kind::made:
      break;
  }
  Json view{{"revision", outcome.revision},
            {"changed", outcome.changed},
            {"durable_in_ms", milliseconds_of(outcome.durable_ns)},
            {"live_in_ms", milliseconds_of(outcome.live_ns)},
            {"commit_ms", milliseconds_of(outcome.commit_ns)}};
  if (outcome.restored_revision != 0) view["restored_revision"] = outcome.restored_revision;
  return view;
}

Json actor_view(const Actor& actor) {
  return {{"name", actor.name}, {"role", actor.role}};
}

Json kill_view(const Kill& kill) {
  return {{"scope", to_string(kill.scope)},
          {"name", text_or_null(kill.name)},
          {"reason", kill.reason},
          {"since", time_text(kill.since_wall_ns)}};
}

Json body_view(const std::optional<std::string>& body) {
  if (!body) return nullptr;
  Json view = Json::parse(*body, nullptr, /*allow_exceptions=*/false);
  return view.is_discarded() ? Json() : view;
}

Json object_change_view(const ObjectChange& change) {
  return {{"kind", to_string(change.kind)},
          {"name", change.name},
          {"before", body_view(change.before)},
          {"after", body_view(change.after)}};
}

Json object_changes_view(std::span<const ObjectChange> changes) {
  Json view = Json::array();
  for (const ObjectChange& change :
       changes.subspan(0, std::min<size_t>(changes.size(), core::limits::kMaxListedObjects))) {
    view.push_back(object_change_view(change));
  }
  return view;
}

Json change_view(const Change& change) {
  return {{"revision", change.revision == 0 ? Json() : Json(change.revision)},
          {"sequence", change.sequence},
          {"at", time_text(change.wall_ns)},
          {"actor", actor_view(change.actor)},
          {"action", change.action},
          {"target", text_or_null(change.target)},
          {"reason", change.reason},
          {"based_on", change.based_on ? Json(*change.based_on) : Json()},
          {"approved_by", actors_view(change.approved_by)},
          {"objects", object_changes_view(change.objects)},
          {"object_count", change.object_count},
          {"killed", kills_view(change.killed)},
          {"unkilled", kills_view(change.unkilled)},
          {"detail", change.detail.empty() ? Json() : body_view(change.detail)},
          {"hash", change.hash}};
}

Json proposal_view(const Proposal& proposal) {
  const bool waits =
      proposal.state == Proposal::State::open && proposal.approvals.size() < proposal.required.size();
  return {{"id", proposal.id},
          {"state", to_string(proposal.state)},
          {"author", actor_view(proposal.author)},
          {"at", time_text(proposal.wall_ns)},
          {"based_on", proposal.based_on},
          {"action", proposal.action},
          {"target", text_or_null(proposal.target)},
          {"reason", proposal.reason},
          {"objects", object_changes_view(proposal.objects)},
          {"required", proposal.required},
          {"approvals", actors_view(proposal.approvals)},
          {"waits_for", waits ? Json(proposal.required[proposal.approvals.size()]) : Json()}};
}

}  // namespace weir::routing
