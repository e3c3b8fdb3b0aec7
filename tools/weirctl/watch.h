// `weirctl watch`: which unit answers how much, how well, how fast and at what cost, from readings of
// /metrics.
//
// What it reads there (labels it does not know are summed over; a metric that is missing prints as "-"):
//   weir_exchanges_total{scenario, unit, arm, tenant, status, …}   counter; status is the number sent, like
//   "200" weir_cost_usd_total{…}                                         counter
//   gen_ai_server_request_duration_seconds_bucket{…, le}           histogram of whole exchanges
//   gen_ai_server_time_to_first_token_seconds_bucket{…, le}
//
// Pure but for run_watch, which owns the terminal.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "tools/weirctl/admin_client.h"

namespace weir::tools {

// A row of the page: what one unit did in one arm of one scenario.
struct UnitKey {
  std::string scenario, unit, arm;
  auto operator<=>(const UnitKey&) const = default;
};

// Cumulative buckets of a histogram: upper bound -> count of values at or below it.
using Buckets = std::map<double, double>;

struct UnitTotals {
  double exchanges = 0;
  double errors = 0;  // status 429 or from 500 on: what a caller of a healthy gateway does not see
  double cost_usd = 0;
  Buckets duration, first_token;
};

using Totals = std::map<UnitKey, UnitTotals>;

struct WatchOptions {
  std::string scenario, tenant;  // only these; empty = all
  double interval_seconds = 1;
  double window_seconds = 10;  // that figures cover
  bool once = false;           // the totals since weir's start, then leave
  bool json = false;           // a JSON object a reading, on a line
};

Totals read_totals(std::string_view metrics, const WatchOptions& options = {});

// The value below which `quantile` (0 to 1) of the values lie, interpolated within its bucket as Prometheus
// does; negative when there are no values.
double quantile_of(const Buckets& buckets, double quantile);

// What happened between two readings. A counter that went down belongs to a restarted process: its new value
// counts whole.
Totals difference(const Totals& before, const Totals& after);

// A table for each scenario, in at most `width` columns; `seconds` is the time between the readings, 0 =
// totals since the start, without rates.
std::string render_units(const Totals& totals, double seconds, size_t width);

// { revision, seconds, units: [ { scenario, unit, arm, requests, share, errors, p50_s, p99_s, ttft_p99_s, usd
// } ] }; null where there is nothing to tell.
nlohmann::json units_json(const Totals& totals, double seconds);

// Shows and refreshes until q, Ctrl-C or the end of the input; `once` prints the totals and returns.
// Returns an exit code.
int run_watch(AdminClient& client, const WatchOptions& options);

}  // namespace weir::tools
