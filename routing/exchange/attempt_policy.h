// What happens after an attempt failed: pure.
//
//   nothing has gone downstream              something has
//   ──────────────────────────────           ─────────────
//   stale pooled connection ─▶ same hop, once more, free of charge
//   another provider of it  ─▶ same hop there, if this one took no request (connect, 429) or was only probed
//   retries and time left   ─▶ same hop
//   a hop answers to it     ─▶ next hop       cut: the client must see that the answer is not whole
//   provider's own answer   ─▶ forward it (an error of its own, a refusal of the model)
//   else                    ─▶ answer the error
#pragma once

#include <cstdint>
#include <optional>

#include "core/error.h"
#include "net/http/head.h"
#include "routing/table/table.h"

namespace weir::routing {

enum class AfterFailure : uint8_t { same_hop_free, same_hop, next_hop, forward, answer, cut };

struct AttemptFailure {
  core::ErrorCode code;
  uint16_t upstream_status = 0;   // upstream_status only
  bool committed = false;         // bytes of this answer have gone downstream
  bool stale_connection = false;  // a reused connection died before a byte of the answer came
  bool free_retry_left = false;
  bool other_provider = false;  // one that has not been asked may answer in its place
  uint32_t retries_left = 0;
  bool hop_answers = false;  // to cause_of() this, and in the time that is left
  bool time_left = true;     // of the total deadline
};

// Whether the same hop is asked again: then nobody need look for another one.
bool stays_on_hop(const AttemptFailure& failure);

// The cause that a fallback hop may answer to; none for failures no hop can help with.
std::optional<FallbackCause> cause_of(core::ErrorCode code, uint16_t upstream_status);

AfterFailure after_failure(const AttemptFailure& failure);

// Statuses of a provider that are failures of the attempt (429 and 5xx), and those that must never be shown
// to a client because they speak of weir's own credential (401, 403) or lead elsewhere (3xx).
bool is_attempt_failure(uint16_t upstream_status);
bool is_hidden_status(uint16_t upstream_status);
// Those that a provider charges for.
bool is_paid_for(uint16_t upstream_status);

// What a provider says about when to come back: seconds, milliseconds or a date; 0 = nothing that can be read.
uint64_t retry_after_of(const net::ResponseHead& head, const uint8_t* base, int64_t wall_now_ns);

}  // namespace weir::routing
