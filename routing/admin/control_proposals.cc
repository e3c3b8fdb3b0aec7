// Approvals of what waits for them: who may give the next one, and what the last one sets going. control.h
// has the contract.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "routing/admin/control.h"
#include "routing/table/canonical_json.h"

namespace weir::routing {
namespace {

// The open proposal, if `caller` is one whose approval it waits for.
std::expected<Proposal, Refusal> proposal_to_approve(const Registry& registry, uint64_t id,
                                                     const Caller& caller) {
  auto found = registry.proposal(id);
  if (!found) return std::unexpected(refusal_of(found.error()));
  if (!*found) return refuse(Refusal::Kind::unknown_proposal);
  Proposal proposal = *std::move(*found);
  if (proposal.state != Proposal::State::open) {
    return refuse(Refusal::Kind::proposal_not_open,
                  fmt::format("Proposal {} is {}.", id, to_string(proposal.state)));
  }
  if (proposal.author.name == caller.name) return refuse(Refusal::Kind::self_approval);
  if (std::ranges::find(proposal.approvals, caller.name, &Actor::name) != proposal.approvals.end()) {
    return refuse(Refusal::Kind::approved_already);
  }
  const std::string& waits_for = proposal.required.at(proposal.approvals.size());
  if (caller.role < parse_role(waits_for).value_or(Role::admin)) {
    return refuse(Refusal::Kind::wrong_role,
                  fmt::format("Proposal {} waits for the role {}; {} has the role {}.", id, waits_for,
                              caller.name, to_string(caller.role)));
  }
  return proposal;
}

// What it changes must be what it was when it was proposed.
std::expected<Plan, Refusal> plan_of(const Proposal& proposal, const std::string& approval_reason,
                                     const Newest& newest) {
  // Its author may have edited it while the last approval was on its way, which voids them all.
  auto kept = newest.registry.proposal(proposal.id);
  if (!kept) return std::unexpected(refusal_of(kept.error()));
  if (!*kept) return refuse(Refusal::Kind::unknown_proposal);
  if ((*kept)->state != Proposal::State::open) return refuse(Refusal::Kind::proposal_not_open);
  const bool same = (*kept)->wall_ns == proposal.wall_ns &&
                    (*kept)->approvals.size() + 1 == proposal.approvals.size() &&
                    std::ranges::equal((*kept)->objects, proposal.objects,
                                       [](const ObjectChange& a, const ObjectChange& b) {
                                         return a.kind == b.kind && a.name == b.name && a.after == b.after;
                                       });
  if (!same) {
    return refuse(Refusal::Kind::proposal_not_open,
                  fmt::format("Proposal {} has been edited since: look at it, then approve it again.",
                              proposal.id));
  }
  for (const ObjectChange& change : proposal.objects) {
    auto now = newest.object(change.kind, change.name);
    if (!now) return std::unexpected(refusal_of(now.error()));
    if (*now == change.before) continue;
    return refuse(Refusal::Kind::stale_proposal,
                  fmt::format("{} {} has changed since revision {}; the proposal is void, propose anew.",
                              to_string(change.kind), change.name, proposal.based_on));
  }
  Plan plan{.changes = proposal.objects};
  plan.detail = R"({"approval_reason":)";
  append_json_string(plan.detail, approval_reason);
  plan.detail += '}';
  return plan;
}

}  // namespace

void ControlThread::approve(Approval approval, ChangeDone done) {
  const int64_t wall_ns = loop_.wall_now_ns();
  write(
      [approval, wall_ns](Registry& registry) -> std::expected<Proposal, Refusal> {
        auto proposal = proposal_to_approve(registry, approval.proposal, approval.caller);
        if (!proposal) return proposal;
        proposal->approvals.push_back(approval.caller.actor());
        if (proposal->approvals.size() == proposal->required.size())
          return proposal;  // kept when it is carried out
        auto updated = registry.update_proposal(*proposal, {.actor = approval.caller.actor(),
                                                            .action = "approve",
                                                            .reason = approval.reason,
                                                            .wall_ns = wall_ns});
        if (!updated) return std::unexpected(refusal_of(updated.error()));
        return proposal;
      },
      [this, approval, done = std::move(done)](std::expected<Proposal, Refusal> proposal) mutable {
        if (!proposal) return done(std::unexpected(std::move(proposal.error())));
        if (proposal->approvals.size() < proposal->required.size()) {
          return done(ChangeOutcome{.kind = ChangeOutcome::Kind::proposed,
                                    .revision = revision_,
                                    .proposal = proposal->id,
                                    .required = std::move(proposal->required)});
        }
        carry_out(*std::move(proposal), approval, std::move(done));
      });
}

void ControlThread::carry_out(Proposal proposal, const Approval& approval, ChangeDone done) {
  ChangeRequest request{.caller = {.name = proposal.author.name,
                                   .role = parse_role(proposal.author.role).value_or(Role::viewer)},
                        .action = proposal.action,
                        .target = proposal.target,
                        .reason = proposal.reason,
                        .began_ns = approval.began_ns,
                        .proposal = proposal.id,
                        .plan = [proposal, reason = approval.reason](
                                    const Newest& newest) { return plan_of(proposal, reason, newest); },
                        .approvals = ChangeRequest::Approvals::given,
                        .deploys = true,
                        .approved_by = proposal.approvals};
  change(std::move(request), [this, proposal = std::move(proposal), actor = approval.caller.actor(),
                              done = std::move(done)](ChangeResult result) mutable {
    if (result || result.error().kind != Refusal::Kind::stale_proposal) return done(std::move(result));
    proposal.state = Proposal::State::stale;
    proposal.approvals.pop_back();
    const Deed deed{.actor = std::move(actor),
                    .action = "void",
                    .reason = result.error().message,
                    .wall_ns = loop_.wall_now_ns()};
    write(
        [proposal = std::move(proposal), deed](Registry& registry) {
          return registry.update_proposal(proposal, deed);
        },
        [done = std::move(done), result = std::move(result)](const RegistryResult<void>&) { done(result); });
  });
}

void ControlThread::withdraw(Approval withdrawal, ChangeDone done) {
  const int64_t wall_ns = loop_.wall_now_ns();
  write(
      [withdrawal, wall_ns](Registry& registry) -> std::expected<Proposal, Refusal> {
        auto found = registry.proposal(withdrawal.proposal);
        if (!found) return std::unexpected(refusal_of(found.error()));
        if (!*found) return refuse(Refusal::Kind::unknown_proposal);
        Proposal proposal = *std::move(*found);
        const Caller& caller = withdrawal.caller;
        if (proposal.state != Proposal::State::open) return refuse(Refusal::Kind::proposal_not_open);
        if (proposal.author.name != caller.name && caller.role != Role::admin)
          return refuse(Refusal::Kind::not_author);
        proposal.state = Proposal::State::withdrawn;
        auto updated = registry.update_proposal(
            proposal,
            {.actor = caller.actor(), .action = "withdraw", .reason = withdrawal.reason, .wall_ns = wall_ns});
        if (!updated) return std::unexpected(refusal_of(updated.error()));
        return proposal;
      },
      [this, done = std::move(done)](std::expected<Proposal, Refusal> proposal) {
        if (!proposal) return done(std::unexpected(std::move(proposal.error())));
        done(ChangeOutcome{
            .kind = ChangeOutcome::Kind::proposed, .revision = revision_, .proposal = proposal->id});
      });
}

}  // namespace weir::routing
