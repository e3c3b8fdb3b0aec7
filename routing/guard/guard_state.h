// What budgets have counted, as text that outlives the process: written about once a second, read once at
// start.
//
//   weir-guards 1
//   tenant bank-17 3600000000000 economy 0 497222 12500000000 350000000 closed
//   scope  name    window        action  n window spent       reserved  breaker
//
// A line names its rule as a table does (n counts rules of the same window and action), so it finds its place
// in whatever table is loaded next; a rule that is gone is passed over, and so is a line that cannot be read.
// After a crash the last second of spend is missing, and everything that was reserved counts as spent: on the
// whole the safe side, since a second of traffic costs less than what is under way at worst.
//
// Users' budgets and rate limits are not written: their periods are short, or their number has no bound.
//
// Pure: text in and out. Thread: save() any; restore() before the plan serves.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "routing/table/table.h"

namespace weir::routing {

// Rules that have counted nothing are left out.
std::string save_budgets(const Table& table);
// How many rules found their state. Rules that have counted something already keep it.
size_t restore_budgets(const Table& table, std::string_view text);

}  // namespace weir::routing
