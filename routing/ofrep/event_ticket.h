// What lets a browser open an event stream: its EventSource can send no header, so the stream's address must
// carry a credential, and addresses end up in logs. Hence not the key, but a ticket that is good for nothing
// else and not for long. It says that a tenant's key was shown here:
//
//   20789.bank-17.9f86d081884c7d659a2feaa0c55ad015
//   day   tenant  first half of HMAC-SHA-256(key hash secret, "ofrep-events" LF day LF tenant), in hex
//
// Good on its day (UTC) and the next; on every node that has the same secret. All a stream tells is that
// there is a new table, and which.
//
// Pure; any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "routing/decide/identify.h"
#include "routing/inspect/json_text.h"
#include "routing/table/table.h"

namespace weir::routing {

void render_event_ticket(const KeyHasher& hasher, std::string_view tenant, int64_t wall_now_ns,
                         ScratchWriter& out);

// Whether it is one of ours, of today or yesterday, for a tenant that the table still has. In constant time.
bool is_event_ticket(const KeyHasher& hasher, const TenantTable& tenants, std::string_view ticket,
                     int64_t wall_now_ns);

}  // namespace weir::routing
