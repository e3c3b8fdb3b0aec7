#include "routing/exchange/attempt_policy.h"

#include <algorithm>
#include <charconv>

#include "core/strong.h"
#include "net/http/date.h"
#include "routing/guard/breaker.h"

namespace weir::routing {

using core::ErrorCode;

std::optional<FallbackCause> cause_of(ErrorCode code, uint16_t upstream_status) {
  switch (code) {
    case ErrorCode::upstream_status:
      if (upstream_status == 429) return FallbackCause::rate_limited;
      return FallbackCause::server_error;
    case ErrorCode::provider_limited:
      return FallbackCause::rate_limited;
    case ErrorCode::answer_invalid:
      return FallbackCause::invalid;
    case ErrorCode::answer_refused:
      return FallbackCause::refusal;
    case ErrorCode::connect_timeout:
    case ErrorCode::connect_failed:
    case ErrorCode::name_not_resolved:
    case ErrorCode::upstream_tls_failed:
    case ErrorCode::upstream_queue_full:
    case ErrorCode::breaker_open:
      return FallbackCause::connect;
    case ErrorCode::header_timeout:
    case ErrorCode::first_token_timeout:
    case ErrorCode::idle_timeout:
    case ErrorCode::total_timeout:
      return FallbackCause::timeout;
    case ErrorCode::upstream_closed:
    case ErrorCode::upstream_reset:
    case ErrorCode::upstream_malformed:
    case ErrorCode::upstream_head_too_large:
    case ErrorCode::upstream_truncated:
    case ErrorCode::upstream_frame_too_large:
      return FallbackCause::server_error;
    default:
      return std::nullopt;
  }
}

bool stays_on_hop(const AttemptFailure& failure) {
  if (failure.committed || !failure.time_left) return false;
  if ((failure.stale_connection && failure.free_retry_left) || failure.other_provider) return true;
  // A breaker would say the same again.
  const bool asked = failure.code != ErrorCode::breaker_open && failure.code != ErrorCode::provider_limited;
  return asked && core::describe(failure.code).retry_on_next_hop && failure.retries_left > 0;
}

AfterFailure after_failure(const AttemptFailure& failure) {
  if (failure.committed) return AfterFailure::cut;
  if (stays_on_hop(failure)) {
    const bool free = (failure.stale_connection && failure.free_retry_left) || failure.other_provider;
    return free ? AfterFailure::same_hop_free : AfterFailure::same_hop;
  }
  if (failure.hop_answers) return AfterFailure::next_hop;
  const bool has_answer =
      failure.code == ErrorCode::answer_refused ||
      (failure.code == ErrorCode::upstream_status && !is_hidden_status(failure.upstream_status));
  return has_answer ? AfterFailure::forward : AfterFailure::answer;
}

bool is_attempt_failure(uint16_t upstream_status) {
  return upstream_status == 429 || upstream_status >= 500;
}

bool is_paid_for(uint16_t upstream_status) {
  return upstream_status >= 200 && upstream_status < 300;
}

bool is_hidden_status(uint16_t upstream_status) {
  return upstream_status == 401 || upstream_status == 403 ||
         (upstream_status >= 300 && upstream_status < 400);
}

uint64_t retry_after_of(const net::ResponseHead& head, const uint8_t* base, int64_t wall_now_ns) {
  const auto number = [&](net::HeaderId id) -> uint64_t {
    const std::string_view text = head.fields.value(id, base);
    uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (end != text.data() + text.size()) return 0;
    return error == std::errc::result_out_of_range ? UINT32_MAX : error == std::errc{} ? value : 0;
  };
  const uint64_t ms = number(net::HeaderId::retry_after_ms);
  if (ms != 0) return core::milliseconds(ms);
  if (const uint64_t seconds = number(net::HeaderId::retry_after); seconds != 0)
    return core::seconds(seconds);
  const auto date = net::parse_http_date(head.fields.value(net::HeaderId::retry_after, base));
  if (!date) return 0;
  // Its clock or ours may be wrong: as long as any retry-after is believed, at most.
  constexpr auto kMost = static_cast<int64_t>(BreakerRules::kMaxLimitedNs);
  return static_cast<uint64_t>(
      std::clamp<int64_t>(*date * int64_t{core::kNsPerSecond} - wall_now_ns, 0, kMost));
}

}  // namespace weir::routing
