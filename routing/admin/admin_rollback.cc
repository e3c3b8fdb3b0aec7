// POST /v1/rollback: routing/admin/rollback.h has what it does.
#include <utility>

#include "routing/admin/admin_api.h"
#include "routing/admin/bodies.h"
#include "routing/admin/rollback.h"

namespace weir::routing {
namespace {

std::string target_of(const Rollback& rollback) {
  std::string target(to_string(rollback.scope));
  if (!rollback.name.empty()) target += " " + rollback.name;
  if (!rollback.flag.empty()) target += " on flag " + rollback.flag;
  return target;
}

}  // namespace

void AdminApi::rollback(const Ticket& ticket, const Call& call) {
  auto body = told(ticket, read_rollback(call.body));
  if (!body) return;
  auto request = change_request(ticket, call, "rollback", target_of(body->rollback), std::move(body->reason));
  if (!request) return;
  request->approvals = ChangeRequest::Approvals::not_asked;
  request->deploys = true;  // what comes back was there already
  request->plan = [wanted = std::move(body->rollback)](const Newest& newest) {
    return plan_rollback(wanted, newest);
  };
  control_.change(*std::move(request), answer_change(ticket));
}

}  // namespace weir::routing
