// Packs the tenants' rows for decide() (PackedRows in routing/table/table.h).
//
// A tenant's row as people wrote it (TenantFlag) is over a hundred bytes with a vector of its own; a hundred
// of them per tenant are too far apart to search in the time a decision has. Packed, a row is eight bytes:
// dates and segments, which launches share, stand apart and once. Two layouts:
//
//   blocks[t] ─▶ dense: rows on a good part of all flags, so there is a row for every flag, by rank
//                [s0 b0][s0 b1][s1 b0][s2 b0]...             row = first + Scenario::first_rank + bit
//             ─▶ sparse: groups by scenario, then the rows
//                {s0, 2}{s7, 4} [s0 b0][s0 b1] [s7 b2]       binary search among the groups; mostly one line
//                in all
#pragma once

#include <span>

#include "routing/table/table.h"

namespace weir::routing {

// Fills body.rows, Scenario::combination_hashes, Scenario::first_rank and Flag::split. The last step of
// compile(): everything else in `body` is final and valid. Control thread.
void index_rows(TableBody& body);

// The tenant's rows on the scenario's flags, sorted by bit; skip those that are not `present`.
// O(1) for tenants with rows on at least half of the flags, else O(log scenarios). Any thread.
std::span<const PackedRow> find_rows(const TableBody& body, TenantIndex tenant, ScenarioIndex scenario);

// The whole row, for what the packed one leaves out (limits, previous); null if the tenant has none. O(log
// flags).
const TenantFlag* find_row(const TableBody& body, TenantIndex tenant, FlagIndex flag);

}  // namespace weir::routing
