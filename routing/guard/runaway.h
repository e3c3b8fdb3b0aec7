// Detectors for clients that loop: the same request again and again, one conversation without an end, answers
// that are always as long as they may be. What a table accepts of each per minute stands in its `runaway`;
// more is refused until the rate fits again.
//
//   same_request        per tenant, user (or key where none is named), conversation, and body, byte for byte
//   same_conversation   per tenant and conversation
//   full_length         per tenant and user, or key where no user is named; counted when the answer is there
//
// They count in users' lines (user_lines.h), under tags of their own, with the same error bound. When a line
// cannot be had the request passes: these are detectors, not limits.
//
// Pure, no allocation. Thread: any.
#pragma once

#include <cstdint>
#include <string_view>

#include "routing/guard/admission.h"
#include "routing/table/table.h"

namespace weir::routing {

struct RunawayRequest {  // an empty user or conversation: none
  std::string_view tenant_id;
  std::string_view key_id;
  std::string_view user;
  std::string_view conversation;
  std::string_view body;
};

struct RunawayVerdict {
  const char* rule = nullptr;  // "runaway.same_request" ...; null: it may pass
  uint64_t retry_after_ns = 0;
  uint64_t full_length_tag = 0;  // for count_full_length(); 0 = it is not looked at
};

// Counts the request under the first two rules, and asks the third.
RunawayVerdict check_runaway(UserGuards& users, const Runaway& rules, const RunawayRequest& request,
                             uint64_t now_ns);
// An answer was as long as it may be.
void count_full_length(UserGuards& users, uint64_t tag, const Runaway& rules, uint64_t now_ns);

}  // namespace weir::routing
