// Nobody is turned away for nothing: each error that a well-behaved request got is explained by what this run is
// like. A gateway that refuses too much is found here; one that refuses too little, by the other checks.
#include <fmt/format.h>

#include "tests/sim/swarm_checks.h"
#include "tests/sim/swarm_watch.h"

namespace weir::sim {
namespace {

using core::ErrorCode;
using routing::Record;

bool network_is_bad(const Faults& faults) {
  return faults.no_buffers > 0 || faults.refuse_connect > 0 || faults.slow_connect > 0 || faults.reset > 0 ||
         faults.stall > 0 || faults.receive_pressure > 0;
}

}  // namespace

bool SwarmChecks::is_explained(const Asked& asked, const Settled& settled) const {
  const Record& record = settled.record;
  const ErrorCode code = *record.error;
  const TenantLimits& limits = tables_.limits(asked.tenant);
  const ClientHabits& client = config_.client;
  const ProviderHabits& provider = config_.provider;
  const bool time_runs = config_.pause > 0 || config_.faults.stall > 0;
  switch (code) {
    case ErrorCode::rate_limited:
      return limits.rpm != 0 || limits.key_rpm != 0 || limits.concurrency != 0 || limits.user_rpm != 0 ||
             limits.user_concurrency != 0 || limits.tpm != 0 || limits.key_tpm != 0 || limits.user_tpm != 0;
    case ErrorCode::request_over_limit:
      return limits.tpm != 0 || limits.key_tpm != 0 || limits.user_tpm != 0;
    case ErrorCode::budget_exceeded:
      return limits.budget_nano_usd != 0 || tables_.global_budget_nano_usd() != 0;
    case ErrorCode::killed:
      return config_.kill > 0 || std::string_view(limits.on_exceed) == "kill";
    case ErrorCode::conversation_restarted:
      return !asked.conversation.empty() &&
             (config_.publish > 0 || config_.kill > 0 || config_.pilot_limits || config_.wall_jump > 0 ||
              config_.flags > 0);
    case ErrorCode::not_ready:
      return settled.revision == 0;
    case ErrorCode::shutting_down:
      return journal_.draining;
    case ErrorCode::too_many_connections:
    case ErrorCode::too_many_exchanges:
      return config_.small_gateway;
    case ErrorCode::body_too_large:
      return config_.small_gateway && client.large > 0;
    case ErrorCode::overloaded:
    case ErrorCode::out_of_buffers:
      return config_.faults.receive_pressure > 0 || config_.faults.no_buffers > 0;
    case ErrorCode::head_timeout:
    case ErrorCode::body_timeout:
      return client.dribble > 0 || time_runs;
    case ErrorCode::client_closed:
    case ErrorCode::client_reset:
      return client.leave > 0 || client.half_close > 0 || config_.faults.reset > 0 || journal_.draining;
    case ErrorCode::client_stalled:
      return client.slow_reader > 0 || time_runs;
    case ErrorCode::upstream_queue_full:
      return pool_max_waiting < 100;
    default:
      break;
  }
  // What remains is the provider's doing, or the way's to it; weir's own and the client's faults are not.
  if (core::describe(code).side != core::Side::provider) return false;
  return network_is_bad(config_.faults) || provider.slow > 0 || provider.silent > 0 || provider.error > 0 ||
         provider.cut > 0 || provider.garbage > 0 || provider.odd_stream > 0 || provider.large > 0 ||
         provider.idle_closing > 0 || time_runs || journal_.draining;
}

void SwarmChecks::check_refusal(const Asked& asked) {
  const Settled* settled = record_of(asked);
  if (settled == nullptr || asked.hostile || asked.kind != Asked::Kind::completion) return;
  if (!settled->record.error) {
    const bool providers = settled->record.attempts > 0 && config_.provider.error > 0;  // told as it is
    check(asked.answer.status < 400 || providers, asked, "an error that no record tells of");
    return;
  }
  check(is_explained(asked, *settled), asked,
        fmt::format("turned away for nothing: {}", core::describe(*settled->record.error).token));
}

}  // namespace weir::sim
