// What on-call does, and what tells how weir is: kill, rollback, labels, explain, status, metrics, health.
#include <fmt/format.h>

#include <utility>

#include "core/strong.h"
#include "routing/admin/admin_api.h"
#include "routing/admin/guard_metrics.h"
#include "routing/exchange/metrics.h"

namespace weir::routing {
namespace {

constexpr std::string_view kPrometheus = "text/plain; version=0.0.4; charset=utf-8";

double seconds_since(uint64_t began_ns, uint64_t now_ns) {
  return static_cast<double>((now_ns - began_ns) / core::kNsPerMs) / 1000;
}

}  // namespace

void AdminApi::get_status(const Ticket& ticket, const Call& call) {
  const Process process{.version = about_.version,
                        .uptime_s = seconds_since(about_.started_ns, control_.loop().now_ns()),
                        .upgrading = upgrading_,
                        .upgrade_failure = about_.upgrade_failure};
  answer_json(ticket, status_view(control_, process, call.caller));
}

// Whoever asks for the status from now on waits in the socket's queue for the one that serves next.
void AdminApi::upgrade(const Ticket& ticket, const Call&) {
  const std::string refused = about_.upgrade ? about_.upgrade() : "this process cannot start another one";
  if (!refused.empty()) {
    const Json error = error_view("No successor is started: " + refused + ".", "invalid_request_error", "",
                                  "upgrade_refused");
    return answer(ticket, {.status = 409, .body = to_text(error)});
  }
  upgrading_ = true;
  answer_json(ticket, Json{{"upgrading", true}});
}

void AdminApi::get_metrics(const Ticket& ticket, const Call&) {
  std::vector<const ShardMetrics*> shards;
  for (const auto& metrics : control_.gateway().metrics) shards.push_back(metrics.get());
  std::string text;
  append_prometheus(shards, text);
  append_control_metrics(
      control_,
      {.version = about_.version, .uptime_s = seconds_since(about_.started_ns, control_.loop().now_ns())},
      text);
  append_guard_metrics(control_.gateway(), control_.table(), guard_time(), text);
  if (about_.append_metrics) about_.append_metrics(text);
  answer(ticket, {.body = std::move(text), .content_type = kPrometheus});
}

void AdminApi::get_health(const Ticket& ticket, const Call&) {
  answer_json(ticket, Json{{"status", "ok"}});
}

void AdminApi::kill(const Ticket& ticket, const Call& call) {
  flip(ticket, call, true);
}

void AdminApi::unkill(const Ticket& ticket, const Call& call) {
  flip(ticket, call, false);
}

void AdminApi::kill_unkill(const Ticket& ticket, const Call& call) {
  flip(ticket, call, false);
}

void AdminApi::flip(const Ticket& ticket, const Call& call, bool kills) {
  auto body = told(ticket, read_kill(call.body));
  if (!body) return;
  ControlThread::Flip flip{.caller = call.caller,
                           .scope = body->scope,
                           .name = std::move(body->name),
                           .reason = std::move(body->reason),
                           .began_ns = call.began_ns,
                           .if_match = call.if_match};
  if (kills) {
    control_.kill(std::move(flip), answer_change(ticket));
  } else {
    control_.unkill(std::move(flip), answer_change(ticket));
  }
}

void AdminApi::set_label(const Ticket& ticket, const Call& call) {
  auto body = told(ticket, read_label(call.body));
  if (!body) return;
  const uint64_t revision = body->revision.value_or(control_.revision());
  Deed deed{.actor = call.caller.actor(),
            .action = "label",
            .reason = std::move(body->reason),
            .wall_ns = control_.loop().wall_now_ns()};
  control_.write([name = call.names[0], revision, deed = std::move(deed)](
                     Registry& registry) { return registry.set_label(name, revision, deed); },
                 [this, ticket, name = call.names[0], revision](const RegistryResult<void>& set) {
                   if (!set) return refuse(ticket, set.error());
                   answer_json(ticket, Json{{"label", name}, {"revision", revision}});
                 });
}

void AdminApi::get_label(const Ticket& ticket, const Call& call) {
  control_.read(
      [name = call.names[0]](const Registry& registry) { return registry.label(name); },
      [this, ticket, name = call.names[0]](const RegistryResult<std::optional<uint64_t>>& revision) {
        if (!revision) return refuse(ticket, revision.error());
        if (!*revision) return refuse(ticket, Refusal{.kind = Refusal::Kind::unknown_label});
        answer_json(ticket, Json{{"label", name}, {"revision", **revision}});
      });
}

}  // namespace weir::routing
