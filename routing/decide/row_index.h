// Packs the tenants' rows for decide() (PackedRows in routing/table/table.h).
//
// A tenant's row as people wrote it (TenantFlag) is over a hundred bytes with two owned vectors; a hundred of
// them per tenant are too far apart to search in the time a decision has. Packed, they are 32 bytes each and
// grouped by scenario:
//
//   groups_of_tenant[t] ─▶ groups   {scenario 0, row 0} {scenario 3, row 2} {scenario 4, row 5} ...
//                                        │                   │
//                                        ▼                   ▼
//                          rows     [bit 0][bit 1]      [bit 0][bit 1][bit 5] ...
//
// A tenant with rows on every scenario is found without a search: its group for scenario s is the s-th.
#pragma once

#include <span>

#include "routing/table/table.h"

namespace weir::routing {

// Fills body.rows, Scenario::combination_hashes and Flag::split. The last step of compile(): everything else in `body` is
// final and valid. Control thread.
void index_rows(TableBody& body);

// The tenant's rows on the scenario's flags, sorted by bit. O(log scenarios) at worst, O(1) for tenants with rows
// on all scenarios. Any thread.
std::span<const PackedRow> find_rows(const TableBody& body, TenantIndex tenant, ScenarioIndex scenario);

// The whole row, for what the packed one leaves out (limits, previous); null if the tenant has none. O(log flags).
const TenantFlag* find_row(const TableBody& body, TenantIndex tenant, FlagIndex flag);

}  // namespace weir::routing
