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
//   budget user 00c3f5a9e1b27d48 1796169600000000000 497222 12500000000 350000000 0
//   rate user 00c3f5a9e1b27d48 day 1796126400000000000
//
//   budget user tag end                 the same; when that window ends, Unix nanoseconds
//   rate   user tag kind                the same
//
// What is reserved in a window that is over stands in the next one too, and is written as of the window of now.
//
// A line names its rule as a table does (n counts rules of the same window), so it finds its place
// in whatever table is loaded next; a rule that is gone is passed over, and so is a line that cannot be read. Users are
// not declared: theirs are all that their tables hold (user_lines.h) and that has counted something, by tag, which is
// a hash under UserGuards::key. They are found again for as long as that key stays; no user's name is in the file.
// After a crash the last second of spend is missing, and everything that was reserved counts as spent: on the
// whole the safe side, since a second of traffic costs less than what is under way at worst.
//
// Of rates, those of hours and days are written; seconds and minutes are over by the time a process is back.
//
// What a process that was replaced counts after its last state is a text of differences, which its successor adds:
//
//   weir-guards-late 1
//   budget tenant bank-17 3600000000000 0 497222 -340000000    window-number, nano-USD with what was reserved then
//   rate user 00c3f5a9e1b27d48 day 86400000000                 nanoseconds that it is unused later
//   total pilot bank-17/support-v2 1
//
// Where a window has ended meanwhile and nobody has begun the next, what has been settled since that state counts in the
// window of now: nobody knows in which of them it was, and that is the safe side.
//
// and the state says which of them are to come, or have been added (guard_keeper.h has the order):
//
//   late 1796125400123456789 awaited                           or added
//
// Pure: text in and out. Thread: any, but restore_guards() before the table serves. save_guards() walks over all users:
// 4 ms where there are a thousand in 64 MiB, 240 ms and 24 MB for 200,000 (bench/guard_bench.cc), nothing for none.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "routing/guard/admission.h"
#include "routing/guard/guard_time.h"
#include "routing/table/table.h"

namespace weir::routing {

// `counted` leaves out rules that have counted nothing, `all` those that were never asked.
enum class SavedRules : uint8_t { counted, all };
std::string save_guards(const Table& table, const UserGuards& users, const GuardTime& now,
                        SavedRules which = SavedRules::counted);
// How many rules found their state, those of each user with them. Rules that have counted something already keep it.
// Users for whom there is less memory than before give way to each other (UserLines::evictions). Nothing: it is no
// state, or one of another version; an empty text is a state of nothing.
std::optional<size_t> restore_guards(const Table& table, UserGuards& users, std::string_view text,
                                     const GuardTime& now);

// What was counted between two states: `before`, saved at `then`, and `after`, saved later, at the latest `now`.
//   kept       `after` is of the process that saved `before`, with all rules and the same time `then`: no rate has run
//              empty meanwhile. Who has restored `before` and adds this has counted what `after` has, and of a rate that
//              ran empty and was used again up to as much more as time has paid off. Of users that had to give way
//              meanwhile nothing is taken off.
//   restored   `after` is of a process that has restored `before`, to which all that was reserved there was spent.
//              Nothing is taken off. Who saved `before` and adds this has counted what both have, and of rates up to as
//              much more as time has paid off.
enum class SavedBy : uint8_t { kept, restored };
std::string guards_since(std::string_view before, std::string_view after, const GuardTime& then,
                         const GuardTime& now, SavedBy by = SavedBy::kept);
// Adds it to whatever has been counted. How many rules there were; nothing: it is no such text, or of another version.
std::optional<size_t> add_guards(const Table& table, UserGuards& users, std::string_view late,
                                 const GuardTime& now);

// A text of differences, by its number.
struct LateMark {
  uint64_t id = 0;
  bool added = false;  // else awaited

  friend bool operator==(const LateMark&, const LateMark&) = default;
};
void append_late_mark(std::string& state, const LateMark& mark);
std::vector<LateMark> late_marks(std::string_view state);
// Whether this version can read it.
bool is_guard_state(std::string_view text);

}  // namespace weir::routing
