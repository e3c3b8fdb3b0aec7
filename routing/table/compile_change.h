// A change of single tenants and keys, without compiling the table: what is not changed is shared (picture in
// routing/table/tenant_table.h). At a million tenants it costs some tens of microseconds.
//
//   TableBody, TenantTable ─┬─ change_tenants(tenants and keys as JSON) ─▶ TenantTable of the same body |
//   problems
//                           └─ the same document with these objects, compiled, decides the same
//
// Checks what compile() checks of a tenant or key, with the same words. Paths name keys by id, as the objects
// of a change have no positions:  keys.bank-17-app.scenario
//
// A change of anything else needs compile(). If the new body has the same TableBody::basis (prices,
// credentials, salts, timeouts and so on are not in it), the tenant table is good for it as it stands, and a
// document without tenants and keys is enough to compile.
//
// Thread: any one; reads `body` and `base`, which may be in use.
#pragma once

#include <expected>
#include <memory>
#include <span>
#include <vector>

#include "routing/table/objects.h"
#include "routing/table/problem.h"
#include "routing/table/table.h"

namespace weir::routing {

// `base` belongs to `body`. Every change is of kind tenant or key: `after` is its whole new body, none
// removes it; `before` is not looked at. A tenant can be removed once no key names it, after this change.
std::expected<std::unique_ptr<TenantTable>, std::vector<Problem>> change_tenants(
    const TableBody& body, const TenantTable& base, std::span<const ObjectChange> changes);

}  // namespace weir::routing
