// What guards have counted, as text that outlives the process: written about once a second, read once at
// start.
//
//   weir-guards 2
//   budget tenant bank-17 3600000000000 0 497222 12500000000 350000000 0
//   rate tenant bank-17 hour 1796126400000000000
//   total pilot bank-17/support-v2 4711
//
//   budget scope name window n          window-number spent reserved breaker (OpenMark in budget.h)
//   rate   scope name kind              when it is unused again, Unix nanoseconds, in whole seconds
//   total  scope name                   how many there have been
//
// A line names its rule as a table does (n counts rules of the same window), so it finds its place
// in whatever table is loaded next; a rule that is gone is passed over, and so is a line that cannot be read.
// After a crash the last second of spend is missing, and everything that was reserved counts as spent: on the
// whole the safe side, since a second of traffic costs less than what is under way at worst.
//
// Of rates, those of hours and days are written; seconds and minutes are over by the time a process is back.
// Users' are not: their number has no bound.
//
// Pure: text in and out. Thread: save_guards() any; restore_guards() before the table serves.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "routing/guard/guard_time.h"
#include "routing/table/table.h"

namespace weir::routing {

// Rules that have counted nothing are left out.
std::string save_guards(const Table& table, const GuardTime& now);
// How many rules found their state. Rules that have counted something already keep it. Nothing: it is no state, or one
// of another version; an empty text is a state of nothing.
std::optional<size_t> restore_guards(const Table& table, std::string_view text, const GuardTime& now);

}  // namespace weir::routing
