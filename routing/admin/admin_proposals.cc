// Changes that wait for approval.
#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "routing/admin/admin_api.h"

namespace weir::routing {
namespace {

// 0 = no proposal can have that id.
uint64_t proposal_id(std::string_view text) {
  uint64_t id = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  return error == std::errc{} && stop == text.data() + text.size() ? id : 0;
}

}  // namespace

void AdminApi::get_proposals(const Ticket& ticket, const Call& call) {
  const bool open_only = call.target["all"] != "true";
  control_.read([open_only](const Registry& registry) { return registry.proposals(open_only); },
                [this, ticket](const RegistryResult<std::vector<Proposal>>& proposals) {
                  if (!proposals) return refuse(ticket, proposals.error());
                  Json list = Json::array();
                  for (const Proposal& proposal : *proposals) list.push_back(proposal_view(proposal));
                  answer_json(ticket, Json{{"proposals", std::move(list)}});
                });
}

void AdminApi::get_proposal(const Ticket& ticket, const Call& call) {
  control_.read([id = proposal_id(call.names[0])](const Registry& registry) { return registry.proposal(id); },
                [this, ticket](const RegistryResult<std::optional<Proposal>>& proposal) {
                  if (!proposal) return refuse(ticket, proposal.error());
                  if (!*proposal) return refuse(ticket, Refusal{.kind = Refusal::Kind::unknown_proposal});
                  answer_json(ticket, proposal_view(**proposal));
                });
}

void AdminApi::approve_proposal(const Ticket& ticket, const Call& call) {
  decide_proposal(ticket, call, true);
}

void AdminApi::withdraw_proposal(const Ticket& ticket, const Call& call) {
  decide_proposal(ticket, call, false);
}

void AdminApi::decide_proposal(const Ticket& ticket, const Call& call, bool approves) {
  auto reason = told(ticket, read_decision(call.body));
  if (!reason) return;
  ControlThread::Approval approval{.caller = call.caller,
                                   .proposal = proposal_id(call.names[0]),
                                   .reason = *std::move(reason),
                                   .began_ns = call.began_ns};
  // While it still waits, and when it is withdrawn, the answer is how it stands now.
  auto done = [this, ticket, call](const ChangeResult& result) {
    if (result && result->kind == ChangeOutcome::Kind::proposed) return get_proposal(ticket, call);
    answer_change(ticket)(result);
  };
  if (approves) {
    control_.approve(std::move(approval), std::move(done));
  } else {
    control_.withdraw(std::move(approval), std::move(done));
  }
}

}  // namespace weir::routing
