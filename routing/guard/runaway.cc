#include "routing/guard/runaway.h"

#include <algorithm>

namespace weir::routing {
namespace {

constexpr auto kMinute = static_cast<unsigned>(RateKind::minute);

enum class Rule : uint64_t { same_request = 1, same_conversation, full_length_user, full_length_key };

// Users' own tags are made with the same key and no rule.
uint64_t tag_of(core::SipKey key, std::string_view tenant, Rule rule, std::string_view text) {
  const core::Hash128 hash = core::siphash128(key, tenant);
  const auto which = static_cast<uint64_t>(rule) * 0x9e3779b97f4a7c15u;
  return std::max<uint64_t>(core::siphash64({hash.low ^ which, hash.high}, text), 1);
}

// The same words of two users, or in two conversations, are no loop. Each text under a key made from the one
// before, as a user's tag.
core::SipKey key_of_asker(core::SipKey key, const RunawayRequest& request) {
  constexpr uint64_t kOfKey = 0xd6e8feb86659fd93;
  const auto next = [](const core::Hash128& hash) {
    return core::SipKey{.low = hash.low, .high = hash.high};
  };
  const bool user = !request.user.empty();
  if (!user) key.low ^= kOfKey;
  return next(core::siphash128(next(core::siphash128(key, user ? request.user : request.key_id)),
                               request.conversation));
}

RateSpec per_minute(uint64_t limit) {
  return rate_spec(limit, kRatePeriodsNs[kMinute]);
}

// Calls use(rate) on the tag's line, if it can be had.
template <typename Use>
void with_line(UserGuards& users, uint64_t tag, uint64_t now_ns, Use&& use) {
  LimitLine* line = users.limits.acquire(
      tag, [&](const LimitLine& held) { return held.idle(now_ns) ? 0 : held.busy_until(); });
  if (line == nullptr) return;
  use(line->rates[kMinute]);
  users.limits.release(*line);
}

}  // namespace

RunawayVerdict check_runaway(UserGuards& users, const Runaway& rules, const RunawayRequest& request,
                             uint64_t now_ns) {
  RunawayVerdict verdict;
  const auto count = [&](uint64_t limit, core::SipKey key, Rule rule, std::string_view text,
                         const char* name) {
    if (text.empty() || verdict.rule != nullptr) return;
    with_line(users, tag_of(key, request.tenant_id, rule, text), now_ns, [&](std::atomic<uint64_t>& rate) {
      const RateOutcome outcome = take(rate, per_minute(limit), 1, now_ns);
      if (!outcome) verdict = {.rule = name, .retry_after_ns = outcome.retry_after_ns()};
    });
  };
  if (rules.full_length_rpm != 0) {
    const bool user = !request.user.empty();
    verdict.full_length_tag =
        tag_of(users.key, request.tenant_id, user ? Rule::full_length_user : Rule::full_length_key,
               user ? request.user : request.key_id);
    with_line(users, verdict.full_length_tag, now_ns, [&](std::atomic<uint64_t>& rate) {
      const RateSpec spec = per_minute(rules.full_length_rpm);
      // What a take() of one would answer, without taking it.
      const RateView seen = view(rate, spec, now_ns);
      if (seen.remaining != 0) return;
      const uint64_t fits_ns = (spec.burst() - spec.interval) / kTicksPerNs;
      verdict.rule = "runaway.full_length";
      verdict.retry_after_ns = seen.reset_ns - std::min(fits_ns, seen.reset_ns);
    });
  }
  if (rules.same_request_rpm != 0) {
    count(rules.same_request_rpm, key_of_asker(users.key, request), Rule::same_request, request.body,
          "runaway.same_request");
  }
  if (rules.same_conversation_rpm != 0) {
    count(rules.same_conversation_rpm, users.key, Rule::same_conversation, request.conversation,
          "runaway.same_conversation");
  }
  return verdict;
}

void count_full_length(UserGuards& users, uint64_t tag, const Runaway& rules, uint64_t now_ns) {
  with_line(users, tag, now_ns,
            [&](std::atomic<uint64_t>& rate) { charge(rate, per_minute(rules.full_length_rpm), 1, now_ns); });
}

}  // namespace weir::routing
