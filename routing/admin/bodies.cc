#include "routing/admin/bodies.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/display_text.h"
#include "core/limits.h"
#include "routing/admin/edits.h"
#include "routing/table/reader.h"
#include "routing/table/scalars.h"

namespace weir::routing {
namespace {

using nlohmann::json;

std::unexpected<Refusal> refuse(std::string_view param, std::string message) {
  return std::unexpected(
      Refusal{.kind = Refusal::Kind::bad_value, .message = std::move(message), .param = std::string(param)});
}

// A member that is text; empty when it is not there.
BodyResult<std::string> text_of(const json& members, std::string_view member) {
  const auto found = members.find(member);
  if (found == members.end()) return "";
  if (!found->is_string()) return refuse(member, "This member must be a string.");
  return found->get<std::string>();
}

BodyResult<std::string> reason_of(const json& members) {
  const auto reason = text_of(members, "reason");
  return reason ? read_reason(*reason) : reason;
}

// Where to: "previous", a revision, a time, or the label of a revision.
BodyResult<void> read_to(const json& members, Rollback* rollback) {
  const auto to = members.find("to");
  if (to == members.end()) return refuse("to", "Say where to: previous, a revision, a time or a label.");
  if (to->is_number_unsigned() && to->get<uint64_t>() > 0) {
    rollback->revision = to->get<uint64_t>();
    return {};
  }
  if (to->is_string()) {
    const auto& text = to->get_ref<const std::string&>();
    if (text == "previous") return {};
    rollback->wall_ns = parse_timestamp_ns(text);
    if (rollback->wall_ns) return {};
    if (is_name(text)) {
      rollback->label = text;
      return {};
    }
  }
  return refuse("to",
                "Say previous, a revision's number, a time such as 2026-12-01T09:00Z, or a label such as "
                "known_good.");
}

BodyResult<void> read_evidence(const json& members, Rollback* rollback) {
  const auto evidence = members.find("evidence");
  if (evidence == members.end()) return {};
  std::string text = evidence->dump();  // of canonical text: no deeper than that may be, and UTF-8
  if (!evidence->is_object() || text.size() > core::limits::kMaxEvidenceBytes) {
    return refuse("evidence", fmt::format("The evidence must be an object of at most {} bytes.",
                                          core::limits::kMaxEvidenceBytes));
  }
  rollback->evidence = canonical_text(text).value_or(text);
  return {};
}

}  // namespace

BodyResult<json> read_members(std::string_view body, std::initializer_list<std::string_view> known) {
  const auto text = canonical_text(body);  // bounds the depth, too: json's own writer recurses
  json members = text ? json::parse(*text, nullptr, /*allow_exceptions=*/false) : json();
  if (!members.is_object()) return refuse("", "The body must be a JSON object without members given twice.");
  for (const auto& [member, value] : members.items()) {
    if (std::ranges::find(known, member) == known.end())
      return refuse(core::displayable(member), "This member is not known.");
  }
  for (const std::string_view member : known) {
    const auto found = members.find(member);
    if (found != members.end() && found->is_null()) members.erase(found);
  }
  return members;
}

BodyResult<std::string> read_reason(std::string_view reason) {
  if (reason.empty()) return refuse("reason", "Say why: every change has a reason, which is kept with it.");
  if (reason.size() > core::limits::kMaxTextBytes) {
    return refuse("reason", fmt::format("The reason is longer than {} bytes.", core::limits::kMaxTextBytes));
  }
  if (!core::is_displayable_text(reason)) {
    return refuse("reason", fmt::format("The reason holds characters that cannot be shown as they are: {}",
                                        quote(reason)));
  }
  return std::string(reason);
}

BodyResult<KillBody> read_kill(std::string_view body) {
  const auto members = read_members(body, {"scope", "name", "reason"});
  if (!members) return std::unexpected(members.error());
  const auto scope_text = text_of(*members, "scope");
  if (!scope_text) return std::unexpected(scope_text.error());
  auto name = text_of(*members, "name");
  if (!name) return std::unexpected(name.error());
  const auto scope = parse_kill_scope(*scope_text);
  if (!scope) return refuse("scope", "The scope must be global, provider, unit, scenario, flag or tenant.");
  if ((*scope == KillScope::global) != name->empty())
    return refuse("name", "Every scope but global needs the name of what it is about.");
  auto reason = reason_of(*members);
  if (!reason) return std::unexpected(reason.error());
  return KillBody{.scope = *scope, .name = *std::move(name), .reason = *std::move(reason)};
}

BodyResult<RollbackBody> read_rollback(std::string_view body) {
  const auto members = read_members(body, {"scope", "name", "flag", "to", "reason", "note", "evidence"});
  if (!members) return std::unexpected(members.error());
  std::string texts[4];
  for (size_t i = 0; const char* member : {"scope", "name", "flag", "note"}) {
    auto text = text_of(*members, member);
    if (!text) return std::unexpected(text.error());
    texts[i++] = *std::move(text);
  }
  auto& [scope_text, name, flag, note] = texts;
  const auto scope = parse_rollback_scope(scope_text);
  if (!scope) return refuse("scope", "The scope must be tenant, flag, scenario or all.");
  if ((*scope == Rollback::Scope::all) != name.empty())
    return refuse("name", "Every scope but all needs the name of what goes back.");
  if (!flag.empty() && *scope != Rollback::Scope::tenant)
    return refuse("flag", "Only scope tenant takes a flag: the row on it alone.");
  Rollback rollback{
      .scope = *scope, .name = std::move(name), .flag = std::move(flag), .note = std::move(note)};
  if (const auto read = read_to(*members, &rollback); !read) return std::unexpected(read.error());
  if (rollback.note.size() > core::limits::kMaxTextBytes || !core::is_displayable_text(rollback.note))
    return refuse("note", "The note is too long, or holds characters that cannot be shown as they are.");
  if (const auto read = read_evidence(*members, &rollback); !read) return std::unexpected(read.error());
  auto reason = reason_of(*members);
  if (!reason) return std::unexpected(reason.error());
  return RollbackBody{.rollback = std::move(rollback), .reason = *std::move(reason)};
}

BodyResult<std::string> read_decision(std::string_view body) {
  const auto members = read_members(body, {"reason"});
  if (!members) return std::unexpected(members.error());
  return reason_of(*members);
}

BodyResult<LabelBody> read_label(std::string_view body) {
  const auto members = read_members(body, {"revision", "reason"});
  if (!members) return std::unexpected(members.error());
  LabelBody label;
  if (const auto given = members->find("revision"); given != members->end()) {
    if (!given->is_number_unsigned()) return refuse("revision", "The revision must be a number.");
    label.revision = given->get<uint64_t>();
  }
  auto reason = reason_of(*members);
  if (!reason) return std::unexpected(reason.error());
  label.reason = *std::move(reason);
  return label;
}

}  // namespace weir::routing
