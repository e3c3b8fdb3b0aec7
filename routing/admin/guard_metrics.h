// Metrics of guards: budgets and breakers as they stand, what was given up for want of room, and alerts.
//
// Only what a table names has series, at most limits::kMaxBudgetSeries of budgets: those of everything, of
// scenarios and flags first, then tenants' and keys'. Users are not named anywhere.
//
// Thread: the control loop's.
#pragma once

#include <string>

#include "routing/admin/alert_sender.h"
#include "routing/exchange/gateway.h"
#include "routing/guard/guard_time.h"

namespace weir::routing {

void append_guard_metrics(const Gateway& gateway, const Table& table, const GuardTime& now, std::string& out);
void append_alert_metrics(const AlertSender& alerts, std::string& out);

}  // namespace weir::routing
