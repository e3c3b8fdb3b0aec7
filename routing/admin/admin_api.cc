#include "routing/admin/admin_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "core/clock.h"
#include "core/display_text.h"
#include "core/strong.h"
#include "net/http/head_rules.h"
#include "net/http/json_body.h"
#include "net/http/writer.h"
#include "routing/table/reader.h"

namespace weir::routing {
namespace {

using core::ErrorCode;
using net::HeaderId;

constexpr uint32_t kAdminAnswerHeadBytes = 1024;
constexpr uint32_t kPieceBytes = 1u << core::BufferPool::kLargestClass;  // of a long answer

std::optional<TableFormat> table_format(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (type.ends_with(' ') || type.ends_with('\t')) type.remove_suffix(1);
  if (net::equals_ignoring_case(type, "application/json")) return TableFormat::json;
  for (const std::string_view yaml : {"application/yaml", "application/x-yaml", "text/yaml"}) {
    if (net::equals_ignoring_case(type, yaml)) return TableFormat::yaml;
  }
  return std::nullopt;
}

core::Result<void> check_table_body(const net::RequestHead& head, const uint8_t* base) {
  if (!head.framing.has_body()) return core::fail(ErrorCode::length_required);
  const bool known = head.fields.count(HeaderId::content_type) == 1 &&
                     table_format(head.fields.value(HeaderId::content_type, base)).has_value();
  if (!known) return core::fail(ErrorCode::unsupported_media_type, "content-type");
  return {};
}

// If-Match (RFC 9110 section 13.1.1) with the one tag that GET /v1/table gives, or with *.
bool parse_if_match(std::string_view value, std::optional<uint64_t>* revision) {
  if (value == "*") return true;
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
    value = value.substr(1, value.size() - 2);
  uint64_t number = 0;
  const auto [stop, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (value.empty() || error != std::errc{} || stop != value.data() + value.size()) return false;
  *revision = number;
  return true;
}

std::string_view path_of(std::string_view target) {
  return target.substr(0, target.find('?'));
}

}  // namespace

AdminApi::AdminApi(ControlThread& control, About about, AccessRules rules)
    : control_(control),
      about_(std::move(about)),
      access_(std::move(rules)),
      local_(control.loop(), *this, core::limits::kMaxAdminConnections),
      remote_(control.loop(), *this, core::limits::kMaxAdminConnections) {
  for (net::HttpServer* server : {&local_, &remote_}) {
    server->settings().max_body_bytes = core::limits::kMaxAdminBodyBytes;
  }
}

AdminApi::~AdminApi() = default;

void AdminApi::close() {
  for (auto& [session, ticket] : pending_) ticket->session = nullptr;
  pending_.clear();
  for (net::HttpServer* server : {&local_, &remote_}) {
    server->begin_drain();
    server->close_all();
  }
}

// Refused before the body is read: what cannot be answered anyway.
core::Result<void> AdminApi::on_head(net::ServerSession& session, const net::RequestHead& head,
                                     const uint8_t* base) {
  const auto match = match_call(path_of(head.target.view(base)), head.method);
  auto caller = access_.identify(session.connection().descriptor(), head, base, control_.loop().now_ns());
  // Who is not known learns nothing of what there is.
  if (!caller) return std::unexpected(caller.error());
  if (!match) {
    return match.error().allow == nullptr ? core::fail(ErrorCode::not_found)
                                          : core::fail(ErrorCode::method_not_allowed, match.error().allow);
  }
  if (auto refusal = refusal_of(*caller, match->permission)) {
    not_permitted_[&session] = *std::move(refusal);
    return core::fail(ErrorCode::forbidden);
  }
  if (head.fields.find(HeaderId::content_encoding) != nullptr) {
    return core::fail(ErrorCode::unsupported_content_encoding, "content-encoding");
  }
  switch (call_rows()[match->row].body) {
    case CallBody::none:
      if (head.framing.has_body()) return core::fail(ErrorCode::unexpected_body);
      return {};
    case CallBody::json:
      return net::require_json_body(head, base);
    case CallBody::table:
      return check_table_body(head, base);
  }
  return {};
}

void AdminApi::on_request(net::ServerSession& session, const net::Request& request) {
  static constexpr void (AdminApi::* kHandlers[])(const Ticket&, const Call&) = {
#define X(handler, ...) &AdminApi::handler,
      WEIR_ADMIN_CALLS(X)
#undef X
  };
  const Ticket ticket = std::make_shared<Pending>(&session);
  pending_[&session] = ticket;
  const net::RequestHead& head = request.head;
  auto target = Target::parse(head.target.view(request.base));
  if (!target) return answer(ticket, {.status = 400, .body = to_text(error_view({ErrorCode::bad_target}))});
  auto match = match_call(target->path(), head.method);
  auto caller =
      access_.identify(session.connection().descriptor(), head, request.base, control_.loop().now_ns());
  WEIR_ASSERT(match && caller);  // on_head() saw to it
  const CallRow& row = call_rows()[match->row];
  for (const auto& [name, value] : target->parameters()) {
    if (!takes_parameter(row, name)) {
      return refuse(ticket, core::displayable(name), "This call takes no such parameter.");
    }
  }
  for (const std::string& name : match->names) {
    if (is_name(name)) continue;
    return refuse(ticket, row.path.find("{name}") != std::string_view::npos ? "name" : "path",
                  fmt::format("{} is no name: letters, digits and . _ @ : - only, at most {} bytes.",
                              quote(name), core::limits::kMaxNameBytes));
  }

  Call call{.target = *std::move(target),
            .names = std::move(match->names),
            .kind = match->kind,
            .caller = *std::move(caller),
            .body = std::string(reinterpret_cast<const char*>(request.body.data()), request.body.size()),
            .began_ns = core::monotonic_now_ns()};
  if (const auto format = table_format(head.fields.value(HeaderId::content_type, request.base)))
    call.format = *format;
  const auto* if_match = head.fields.find(HeaderId::if_match);
  if (if_match != nullptr && (head.fields.count(HeaderId::if_match) != 1 ||
                              !parse_if_match(if_match->value(request.base), &call.if_match))) {
    return refuse(ticket, "if-match", "If-Match must name one revision, as GET /v1/table does in its etag.");
  }
  (this->*kHandlers[match->row])(ticket, call);
}

void AdminApi::on_refused(net::ServerSession& session, core::Error error) {
  const core::ErrorInfo& info = core::describe(error.code);
  auto why = not_permitted_.extract(&session);
  on_client_gone(session, error);  // an answer that is still owed to it will not be sent
  if (info.status == 0) return session.abort();
  const Ticket ticket = std::make_shared<Pending>(&session);
  pending_[&session] = ticket;
  const bool method = error.code == ErrorCode::method_not_allowed && error.param != nullptr;
  const std::string_view allow = method ? error.param : "";
  if (method) error.param = nullptr;
  Json view = error_view(error);
  if (why) view["error"]["message"] = why.mapped();
  answer(ticket, {.status = info.status, .body = to_text(view), .allow = allow});
}

void AdminApi::on_client_gone(net::ServerSession& session, core::Error) {
  not_permitted_.erase(&session);
  const auto found = pending_.find(&session);
  if (found == pending_.end()) return;
  found->second->session = nullptr;
  pending_.erase(found);
}

void AdminApi::answer(const Ticket& ticket, const Answer& answer) {
  net::ServerSession* const session = std::exchange(ticket->session, nullptr);
  if (session == nullptr) return;
  pending_.erase(session);
  core::BufferPool& buffers = session->loop().buffers();
  core::Slice head = buffers.allocate(kAdminAnswerHeadBytes);
  if (head.block() == nullptr) return session->abort();
  net::HeadWriter writer({reinterpret_cast<char*>(head.mutable_data()), kAdminAnswerHeadBytes});
  writer.status_line(answer.status);
  writer.field("content-type", answer.content_type);
  writer.field("content-length", answer.body.size());
  writer.field("cache-control", "no-store");
  if (!answer.etag.empty()) writer.field("etag", answer.etag);
  if (answer.status == 401) writer.field("www-authenticate", "Bearer");
  if (!answer.allow.empty()) writer.field("allow", answer.allow);
  if (session->must_close()) writer.field("connection", "close");
  writer.end();
  WEIR_ASSERT(!writer.overflowed());
  head.set_size(static_cast<uint32_t>(writer.size()));
  session->send(std::move(head));
  const size_t content_size = session->head_only() ? 0 : answer.body.size();
  for (size_t at = 0; at < content_size; at += kPieceBytes) {
    const std::string_view piece = std::string_view(answer.body).substr(at, kPieceBytes);
    core::Slice copy = buffers.copy_of({reinterpret_cast<const uint8_t*>(piece.data()), piece.size()});
    if (copy.block() == nullptr) return session->abort();
    session->send(std::move(copy));
  }
  session->end_response();
}

// ---- what handlers share ----------------------------------------------------------------------------

void AdminApi::refuse(const Ticket& ticket, const Refusal& refusal) {
  answer(ticket, {.status = describe(refusal.kind).status, .body = to_text(refusal_view(refusal))});
}

void AdminApi::refuse(const Ticket& ticket, std::string_view param, std::string message) {
  refuse(
      ticket,
      Refusal{.kind = Refusal::Kind::bad_value, .message = std::move(message), .param = std::string(param)});
}

ChangeDone AdminApi::answer_change(const Ticket& ticket) {
  return [this, ticket](const ChangeResult& result) {
    if (!result) return refuse(ticket, result.error());
    Answer made{.body = to_text(outcome_view(*result))};
    if (result->kind == ChangeOutcome::Kind::proposed) made.status = 202;
    if (result->kind == ChangeOutcome::Kind::made) made.etag = fmt::format("\"{}\"", result->revision);
    answer(ticket, made);
  };
}

std::optional<ChangeRequest> AdminApi::change_request(const Ticket& ticket, const Call& call,
                                                      std::string action, std::string target,
                                                      std::string reason) {
  ChangeRequest request{.caller = call.caller,
                        .action = std::move(action),
                        .target = std::move(target),
                        .reason = std::move(reason),
                        .began_ns = call.began_ns,
                        .if_match = call.if_match};
  const std::string_view dry_run = call.target["dry_run"];
  if (!dry_run.empty() && dry_run != "true" && dry_run != "false") {
    refuse(ticket, "dry_run", "Write dry_run=true, or leave it out.");
    return std::nullopt;
  }
  request.dry_run = dry_run == "true";
  std::optional<uint64_t> proposal;
  if (!number_of(ticket, call, "proposal", &proposal)) return std::nullopt;
  request.proposal = proposal.value_or(0);
  return request;
}

std::optional<std::string> AdminApi::reason_of(const Ticket& ticket, std::string_view reason) {
  return told(ticket, read_reason(reason));
}

std::optional<Json> AdminApi::members_of(const Ticket& ticket, const Call& call,
                                         std::initializer_list<std::string_view> known) {
  const auto members = told(ticket, read_members(call.body, known));
  return members ? std::optional(Json(*members)) : std::nullopt;
}

bool AdminApi::number_of(const Ticket& ticket, const Call& call, std::string_view parameter,
                         std::optional<uint64_t>* number) {
  const std::string_view text = call.target[parameter];
  if (text.empty()) return true;
  uint64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || stop != text.data() + text.size() || value == 0) {
    refuse(ticket, parameter, fmt::format("{} is no number from 1.", quote(text)));
    return false;
  }
  *number = value;
  return true;
}

}  // namespace weir::routing
