// Changes of single objects (DESIGN section 7): from a body as it is and what somebody wants, the body as it
// should be. Whether the table is right with it is for compile() to say; here only the shape of the request
// is judged. Pure; any thread.
#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "routing/table/objects.h"
#include "routing/table/problem.h"

namespace weir::routing {

using EditResult = std::expected<std::string, std::vector<Problem>>;

// PATCH: JSON merge patch (RFC 7396). `body` is JSON of ours. Members that are null in the patch go away, so
// a layer's param that is null itself can only be written with PUT. Problems: the patch is no JSON, or says a
// member twice. The result is canonical JSON.
EditResult merge_patch(std::string_view body, std::string_view patch);

// The everyday change: what POST /v1/flags/{flag}/tenants/{tenant} does to the tenant's row.
struct RowEdit {
  std::string_view flag;
  std::string_view change;  // JSON: members of the row; null takes one away. `reason` is mandatory
  std::string_view stable;  // the stable unit of the flag's scenario
};

// The tenant's body with the changed row.
//   - `change` is merged over the row that is there, so a change of state keeps the rest
//   - `previous` of a row that has none becomes `stable`: the unit that answers without a row
//   - a row that goes to production loses its `percent`, unless the change says one: production is everybody
//   - members that are no member of a row are problems, with what was probably meant
// Problems have paths into the change: "percent", "reason", ...
EditResult edit_row(std::string_view tenant_body, const RowEdit& edit);

// A row that has expired with on_expiry `freeze`, and that a change touches though it may not.
struct FrozenRow {
  std::string tenant;
  std::string flag;
};

// The frozen rows among tenants' `changes`. A frozen row may be switched off, taken away, or renewed with an
// `expires` after `wall_now_ns`; every other change of it is refused until then. What rolls back or kills
// does not ask.
std::vector<FrozenRow> frozen_rows(std::span<const ObjectChange> changes, int64_t wall_now_ns);

}  // namespace weir::routing
