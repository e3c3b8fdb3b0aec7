// Finds what somebody should be told about: looks at all rules of the table that serves, about once a second, and at what
// their lines say has happened since the last look. The data path does nothing for it but to count (BudgetLine::trips,
// refused; BreakerLine::opened) and to leave marks (trip_marks.h); so nothing is lost when records are, and of several
// rules that act on one request each is told.
//
//   budgets    open: its breaker is. One whose action is `reject` has none: it opens when a request did not fit and
//              kTripPermille of it are used, and closes as the others do
//   limits     open: an action other than `reject` applies. That a rate refuses is everyday life
//   users      an action has applied to one of them: an event, for what is theirs is not looked at without a request
//   breakers   open until they are closed
//   overload   requests were turned away: an event
//
// A pass over many rules is made in slices, so that the control loop has other turns between them: kSlice holders
// with a limit and a budget each take 0.05 to 0.2 ms, 200,000 of them 3 to 9 ms a pass.
//
// Thread: the control loop's; it alone writes what its looks have seen into the lines.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "routing/admin/alert_book.h"
#include "routing/guard/admission.h"
#include "routing/guard/guard_time.h"
#include "routing/table/table.h"

namespace weir::routing {

class AlertScan {
 public:
  static constexpr size_t kSlice = 4096;

  // `users`: whose lines the tags of UserTrips belong to.
  AlertScan(AlertBook& book, UserGuards& users) : book_(book), users_(users) {}

  // Goes on with a pass, or begins one. True: it is over. `turned_away`: requests since ever.
  bool look(const Table& table, uint64_t turned_away, const GuardTime& now);

 private:
  void begin_pass(const Table& table, uint64_t turned_away, const GuardTime& now);
  void look_at(const Table& table, const ScopeGuard& guard, const GuardTime& now);
  void look_at_budget(const Table& table, const ScopeGuard& guard, size_t at, const GuardTime& now);
  void look_at_limits(const Table& table, const ScopeGuard& guard, const GuardTime& now);
  uint64_t look_at_limit(const Table& table, const ScopeGuard& guard, unsigned kind, uint64_t marks,
                         const GuardTime& now);
  bool look_at_user(const Table& table, const ScopeGuard& guard, uint64_t user, uint64_t rules,
                    const GuardTime& now);
  void look_at_breaker(const Table& table, ModelIndex model, uint32_t host, const GuardTime& now);

  AlertBook& book_;
  UserGuards& users_;
  std::shared_ptr<const GuardPlan> plan_;  // of the pass under way
  bool whole_ = true;                      // it has been the table's all the time
  size_t piece_ = 0;                       // the next one
  uint64_t turned_away_ = 0;
};

}  // namespace weir::routing
