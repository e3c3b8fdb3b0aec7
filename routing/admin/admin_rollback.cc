// POST /v1/rollback: routing/admin/rollback.h has what it does.
#include <fmt/format.h>

#include <utility>

#include "core/display_text.h"
#include "routing/admin/admin_api.h"
#include "routing/admin/edits.h"
#include "routing/admin/rollback.h"
#include "routing/table/reader.h"
#include "routing/table/scalars.h"

namespace weir::routing {
namespace {

std::string target_of(const Rollback& rollback) {
  std::string target(to_string(rollback.scope));
  if (!rollback.name.empty()) target += " " + rollback.name;
  if (!rollback.flag.empty()) target += " on flag " + rollback.flag;
  return target;
}

// Where to: "previous", a revision, a time, or the label of a revision. A sentence when it is none of them.
std::optional<std::string> read_to(const Json& to, Rollback* rollback) {
  if (to.is_number_unsigned() && to.get<uint64_t>() > 0) {
    rollback->revision = to.get<uint64_t>();
    return std::nullopt;
  }
  if (to.is_string()) {
    const auto& text = to.get_ref<const std::string&>();
    if (text == "previous") return std::nullopt;
    rollback->wall_ns = parse_timestamp_ns(text);
    if (rollback->wall_ns) return std::nullopt;
    if (is_name(text)) {
      rollback->label = text;
      return std::nullopt;
    }
  }
  return "Say previous, a revision's number, a time such as 2026-12-01T09:00Z, or a label such as "
         "known_good.";
}

}  // namespace

void AdminApi::rollback(const Ticket& ticket, const Call& call) {
  const auto body = members_of(ticket, call, {"scope", "name", "flag", "to", "reason", "note", "evidence"});
  if (!body) return;
  const auto text_of = [&](const char* member) -> std::optional<std::string> {
    if (!body->contains(member)) return "";
    if (!(*body)[member].is_string()) return std::nullopt;
    return (*body)[member].get<std::string>();
  };
  for (const char* member : {"scope", "name", "flag", "reason", "note"}) {
    if (!text_of(member)) return refuse(ticket, member, "This member must be a string.");
  }
  const auto scope = parse_rollback_scope(*text_of("scope"));
  if (!scope) return refuse(ticket, "scope", "The scope must be tenant, flag, scenario or all.");
  Rollback wanted{
      .scope = *scope, .name = *text_of("name"), .flag = *text_of("flag"), .note = *text_of("note")};
  if ((wanted.scope == Rollback::Scope::all) != wanted.name.empty()) {
    return refuse(ticket, "name", "Every scope but all needs the name of what goes back.");
  }
  if (!wanted.flag.empty() && wanted.scope != Rollback::Scope::tenant) {
    return refuse(ticket, "flag", "Only scope tenant takes a flag: the row on it alone.");
  }
  if (!body->contains("to"))
    return refuse(ticket, "to", "Say where to: previous, a revision, a time or a label.");
  if (auto problem = read_to((*body)["to"], &wanted)) return refuse(ticket, "to", *std::move(problem));
  if (wanted.note.size() > core::limits::kMaxTextBytes || !core::is_displayable_text(wanted.note)) {
    return refuse(ticket, "note",
                  "The note is too long, or holds characters that cannot be shown as they are.");
  }
  if (body->contains("evidence")) {
    const auto evidence = canonical_text(to_text((*body)["evidence"]));
    if (!(*body)["evidence"].is_object() || !evidence || evidence->size() > core::limits::kMaxEvidenceBytes) {
      return refuse(ticket, "evidence",
                    fmt::format("The evidence must be an object of at most {} bytes.",
                                core::limits::kMaxEvidenceBytes));
    }
    wanted.evidence = *evidence;
  }
  auto reason = reason_of(ticket, *text_of("reason"));
  if (!reason) return;
  auto request = change_request(ticket, call, "rollback", target_of(wanted), *std::move(reason));
  if (!request) return;
  request->approvals = ChangeRequest::Approvals::not_asked;
  request->deploys = true;  // what comes back was there already
  request->plan = [wanted = std::move(wanted)](const Newest& newest) {
    return plan_rollback(wanted, newest);
  };
  control_.change(*std::move(request), answer_change(ticket));
}

}  // namespace weir::routing
