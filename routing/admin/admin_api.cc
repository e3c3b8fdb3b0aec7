#include "routing/admin/admin_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <iterator>
#include <optional>
#include <utility>

#include "core/strong.h"
#include "net/http/head_rules.h"
#include "net/http/json_body.h"
#include "net/http/writer.h"
#include "routing/admin/admin_views.h"
#include "routing/admin/guard_views.h"

namespace weir::routing {
namespace {

using core::ErrorCode;
using net::HeaderId;
using net::Method;

constexpr std::string_view kJson = "application/json";
constexpr std::string_view kPrometheus = "text/plain; version=0.0.4; charset=utf-8";
constexpr uint32_t kMaxAnswerHeadBytes = 1024;
constexpr uint32_t kPieceBytes = 1u << core::BufferPool::kLargestClass;  // of a long answer

enum class Body : uint8_t { none, json, table };

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

}  // namespace

struct AdminApi::Answer {
  int status = 200;
  std::string body = {};
  std::string_view content_type = kJson;
  std::string etag = {};
  std::string_view allow = {};
};

// What a request says, out of the session's memory.
struct AdminApi::Call {
  Target target;
  std::string body;
  TableFormat format = TableFormat::json;
  std::optional<uint64_t> if_match = {};
};

struct AdminApi::Route {
  std::string_view path;
  Method method;
  Body body;
  Run run;
};

const AdminApi::Route* AdminApi::find_route(std::string_view path, Method method) {
  static constexpr Route kRoutes[] = {
      {"/v1/status", Method::get, Body::none, &AdminApi::get_status},
      {"/v1/table", Method::get, Body::none, &AdminApi::get_table},
      {"/v1/table", Method::put, Body::table, &AdminApi::put_table},
      {"/v1/table:validate", Method::post, Body::table, &AdminApi::validate_table},
      {"/v1/kill", Method::post, Body::json, &AdminApi::kill},
      {"/v1/unkill", Method::post, Body::json, &AdminApi::unkill},
      {"/v1/kill:unkill", Method::post, Body::json, &AdminApi::unkill},
      {"/v1/explain", Method::get, Body::none, &AdminApi::get_explain},
      {"/v1/limits", Method::get, Body::none, &AdminApi::get_limits},
      {"/v1/budgets", Method::get, Body::none, &AdminApi::get_budgets},
      {"/v1/breakers", Method::get, Body::none, &AdminApi::get_breakers},
      {"/v1/cache:purge", Method::post, Body::json, &AdminApi::purge_cache},
      {"/metrics", Method::get, Body::none, &AdminApi::get_metrics},
      {"/healthz", Method::get, Body::none, &AdminApi::get_health},
  };
  const Route* of_path = nullptr;
  for (const Route& route : kRoutes) {
    if (route.path != path) continue;
    if (route.method == method) return &route;
    of_path = &route;
  }
  return of_path;
}

AdminApi::AdminApi(ControlThread& control, About about)
    : control_(control),
      about_(std::move(about)),
      server_(control.loop(), *this, core::limits::kMaxAdminConnections) {
  server_.settings().max_body_bytes = core::limits::kMaxAdminBodyBytes;
}

AdminApi::~AdminApi() = default;

void AdminApi::close() {
  for (auto& [session, ticket] : pending_) ticket->session = nullptr;
  pending_.clear();
  server_.begin_drain();
  server_.close_all();
}

// Refused before the body is read: what cannot be answered anyway.
core::Result<void> AdminApi::on_head(net::ServerSession&, const net::RequestHead& head, const uint8_t* base) {
  const std::string_view target = head.target.view(base);
  const Route* route = find_route(target.substr(0, target.find('?')), head.method);
  if (route == nullptr) return core::fail(ErrorCode::not_found);
  if (route->method != head.method) {
    const bool table = route->path == "/v1/table";
    return core::fail(ErrorCode::method_not_allowed, table                          ? "GET, PUT"
                                                     : route->method == Method::get ? "GET"
                                                                                    : "POST");
  }
  if (head.fields.find(HeaderId::content_encoding) != nullptr) {
    return core::fail(ErrorCode::unsupported_content_encoding, "content-encoding");
  }
  switch (route->body) {
    case Body::none:
      if (head.framing.has_body()) return core::fail(ErrorCode::unexpected_body);
      return {};
    case Body::json:
      return net::require_json_body(head, base);
    case Body::table:
      return check_table_body(head, base);
  }
  return {};
}

void AdminApi::on_request(net::ServerSession& session, const net::Request& request) {
  const Ticket ticket = std::make_shared<Pending>(&session);
  pending_[&session] = ticket;
  const net::RequestHead& head = request.head;
  auto target = Target::parse(head.target.view(request.base));
  if (!target) return answer(ticket, {.status = 400, .body = to_text(error_view({ErrorCode::bad_target}))});

  Call call{.target = *std::move(target),
            .body = std::string(reinterpret_cast<const char*>(request.body.data()), request.body.size())};
  if (const auto format = table_format(head.fields.value(HeaderId::content_type, request.base)))
    call.format = *format;
  const auto bad_if_match = [&] {
    const auto* field = head.fields.find(HeaderId::if_match);
    if (field == nullptr) return false;
    return head.fields.count(HeaderId::if_match) != 1 ||
           !parse_if_match(field->value(request.base), &call.if_match);
  };
  if (bad_if_match()) {
    const Json error = error_view("If-Match must name one revision, as GET /v1/table does in its etag.",
                                  "invalid_request_error", "if-match", "");
    return answer(ticket, {.status = 400, .body = to_text(error)});
  }
  const Route* route = find_route(call.target.path(), head.method);
  WEIR_ASSERT(route != nullptr && route->method == head.method);  // on_head() saw to it
  (this->*route->run)(ticket, call);
}

void AdminApi::on_refused(net::ServerSession& session, core::Error error) {
  const core::ErrorInfo& info = core::describe(error.code);
  on_client_gone(session, error);  // an answer that is still owed to it will not be sent
  if (info.status == 0) return session.abort();
  const Ticket ticket = std::make_shared<Pending>(&session);
  pending_[&session] = ticket;
  const bool method = error.code == ErrorCode::method_not_allowed && error.param != nullptr;
  const std::string_view allow = method ? error.param : "";
  if (method) error.param = nullptr;
  answer(ticket, {.status = info.status, .body = to_text(error_view(error)), .allow = allow});
}

void AdminApi::on_client_gone(net::ServerSession& session, core::Error) {
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
  core::Slice head = buffers.allocate(kMaxAnswerHeadBytes);
  if (head.block() == nullptr) return session->abort();
  net::HeadWriter writer({reinterpret_cast<char*>(head.mutable_data()), kMaxAnswerHeadBytes});
  writer.status_line(answer.status);
  writer.field("content-type", answer.content_type);
  writer.field("content-length", answer.body.size());
  writer.field("cache-control", "no-store");
  if (!answer.etag.empty()) writer.field("etag", answer.etag);
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

namespace {

struct Outcome {
  int status;
  Json body;
};

// A change that was not made, or not everywhere.
Outcome refusal_outcome(const Refusal& refusal) {
  switch (refusal.kind) {
    case Refusal::Kind::problems:
      return {422, problems_view(refusal.problems)};
    case Refusal::Kind::lost_update:
      return {409, error_view(fmt::format("Revision {} serves now; look at it before you change it.",
                                          refusal.revision),
                              "invalid_request_error", "if-match", "lost_update")};
    case Refusal::Kind::unknown_name:
      return {404, error_view("The table holds nothing of that scope and name.", "invalid_request_error",
                              "name", "unknown_name")};
    case Refusal::Kind::not_killed:
      return {404, error_view("Nothing of that scope and name is killed.", "invalid_request_error", "name",
                              "not_killed")};
    case Refusal::Kind::slow_shards:
      return {504,
              error_view(fmt::format("Revision {} is published, but not every shard has taken it up in time.",
                                     refusal.revision),
                         "server_error", "", "not_everywhere")};
  }
  return {500, error_view({ErrorCode::internal})};
}

// The members of POST /v1/kill: nothing else, and all of them text.
struct KillBody {
  KillScope scope;
  std::string name;
  std::string reason;
};

std::expected<KillBody, Json> parse_kill(const std::string& text) {
  const auto refuse = [](std::string_view message, std::string_view param) {
    return std::unexpected(error_view(message, "invalid_request_error", param, ""));
  };
  const Json body = Json::parse(text, nullptr, false);
  if (body.is_discarded()) return refuse("The body is not valid JSON.", "");
  if (!body.is_object()) return refuse("The body must be a JSON object with scope, name and reason.", "");
  KillBody kill{.scope = KillScope::global, .name = {}, .reason = {}};
  std::optional<KillScope> scope;
  for (const auto& [member, value] : body.items()) {
    if (member != "scope" && member != "name" && member != "reason")
      return refuse("This member is not known.", member);
    if (member == "name" && value.is_null()) continue;
    if (!value.is_string()) return refuse("This member must be a string.", member);
    const auto& given = value.get_ref<const std::string&>();
    if (member == "scope") scope = parse_kill_scope(given);
    if (member == "name") kill.name = given;
    if (member == "reason") kill.reason = given;
  }
  if (!scope) return refuse("The scope must be global, provider, unit, scenario, flag or tenant.", "scope");
  kill.scope = *scope;
  if ((kill.scope == KillScope::global) != kill.name.empty()) {
    return refuse("Every scope but global needs the name of what it is about.", "name");
  }
  if (kill.reason.size() > core::limits::kMaxTextBytes) return refuse("The reason is too long.", "reason");
  return kill;
}

Process process_of(const AdminApi::About& about, uint64_t now_ns) {
  return {.version = about.version,
          .uptime_s = static_cast<double>((now_ns - about.started_ns) / core::kNsPerMs) / 1000};
}

}  // namespace

void AdminApi::get_status(const Ticket& ticket, const Call&) {
  answer(ticket, {.body = to_text(status_view(control_, process_of(about_, control_.loop().now_ns())))});
}

void AdminApi::get_table(const Ticket& ticket, const Call&) {
  control_.export_table([this, ticket](uint64_t revision, const std::string& json) {
    answer(ticket, {.body = json, .etag = fmt::format("\"{}\"", revision)});
  });
}

void AdminApi::put_table(const Ticket& ticket, const Call& call) {
  const uint64_t began_ns = control_.loop().now_ns();
  std::string reason(call.target["reason"]);
  if (reason.size() > core::limits::kMaxTextBytes) reason.resize(core::limits::kMaxTextBytes);
  control_.apply(call.body, call.format, {.reason = std::move(reason), .based_on = call.if_match},
                 [this, ticket, began_ns](const std::expected<uint64_t, Refusal>& outcome) {
                   if (!outcome) {
                     const Outcome refused = refusal_outcome(outcome.error());
                     return answer(ticket, {.status = refused.status, .body = to_text(refused.body)});
                   }
                   const double ms = static_cast<double>((control_.loop().now_ns() - began_ns) / 1000) / 1000;
                   answer(ticket, {.body = to_text({{"revision", *outcome}, {"applied_in_ms", ms}}),
                                   .etag = fmt::format("\"{}\"", *outcome)});
                 });
}

void AdminApi::validate_table(const Ticket& ticket, const Call& call) {
  control_.validate(call.body, call.format, [this, ticket](const std::vector<Problem>& problems) {
    if (problems.empty()) return answer(ticket, {.body = to_text({{"valid", true}})});
    answer(ticket, {.status = 422, .body = to_text(problems_view(problems))});
  });
}

void AdminApi::kill(const Ticket& ticket, const Call& call) {
  switch_kill(ticket, call, true);
}

void AdminApi::unkill(const Ticket& ticket, const Call& call) {
  switch_kill(ticket, call, false);
}

void AdminApi::switch_kill(const Ticket& ticket, const Call& call, bool kills) {
  auto body = parse_kill(call.body);
  if (!body) return answer(ticket, {.status = 400, .body = to_text(body.error())});
  ControlThread::Change change{.reason = std::move(body->reason), .based_on = call.if_match};
  auto done = [this, ticket](const std::expected<uint64_t, Refusal>& outcome) {
    if (outcome) return answer(ticket, {.body = to_text({{"revision", *outcome}})});
    const Outcome refused = refusal_outcome(outcome.error());
    answer(ticket, {.status = refused.status, .body = to_text(refused.body)});
  };
  if (kills) {
    control_.kill(body->scope, std::move(body->name), std::move(change), std::move(done));
  } else {
    control_.unkill(body->scope, body->name, std::move(change), std::move(done));
  }
}

void AdminApi::get_explain(const Ticket& ticket, const Call& call) {
  auto view = explain_view(control_, call.target);
  if (view) return answer(ticket, {.body = to_text(*view)});
  const ExplainRefusal& refusal = view.error();
  answer(ticket, {.status = refusal.status,
                  .body = to_text(error_view(refusal.message, "invalid_request_error", refusal.param, ""))});
}

void AdminApi::get_metrics(const Ticket& ticket, const Call&) {
  std::vector<const ShardMetrics*> shards;
  for (const auto& metrics : control_.gateway().metrics) shards.push_back(metrics.get());
  std::string text;
  append_prometheus(shards, text);
  append_control_metrics(control_, process_of(about_, control_.loop().now_ns()), text);
  answer(ticket, {.body = std::move(text), .content_type = kPrometheus});
}

void AdminApi::get_health(const Ticket& ticket, const Call&) {
  answer(ticket, {.body = to_text({{"status", "ok"}})});
}

// ---- guards ---------------------------------------------------------------------------------------------

const GuardTime& AdminApi::guard_time() {
  return calendar_.at(control_.loop().now_ns(), control_.loop().wall_now_ns());
}

void AdminApi::get_limits(const Ticket& ticket, const Call& call) {
  const Json view = limits_view(control_.table(), {.tenant = call.target["tenant"]}, guard_time());
  answer(ticket, {.body = to_text(view)});
}

void AdminApi::get_budgets(const Ticket& ticket, const Call& call) {
  const Json view = budgets_view(control_.table(), {.tenant = call.target["tenant"]}, guard_time());
  answer(ticket, {.body = to_text(view)});
}

void AdminApi::get_breakers(const Ticket& ticket, const Call&) {
  answer(ticket, {.body = to_text(breakers_view(control_.table(), guard_time()))});
}

void AdminApi::purge_cache(const Ticket& ticket, const Call& call) {
  const Json body = Json::parse(call.body, nullptr, false);
  const auto text = [&](const char* member) {
    const auto found = body.is_object() ? body.find(member) : body.end();
    return found != body.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  static constexpr std::pair<std::string_view, std::atomic<uint64_t> CacheLine::*> kLabels[] = {
      {"tenant", &CacheLine::tenant}, {"unit", &CacheLine::unit}, {"scenario", &CacheLine::scenario}};
  const std::string scope = text("scope"), name = text("name");
  const auto* label = std::ranges::find(kLabels, scope, [](const auto& row) { return row.first; });
  if (label == std::end(kLabels) || name.empty()) {
    const Json error = error_view("The body must have a scope (tenant, unit or scenario) and a name.",
                                  "invalid_request_error", label == std::end(kLabels) ? "scope" : "name", "");
    return answer(ticket, {.status = 400, .body = to_text(error)});
  }
  answer(ticket,
         {.body = to_text({{"purged", control_.gateway().cache.purge(label->second, hash_name(name))}})});
}

}  // namespace weir::routing
