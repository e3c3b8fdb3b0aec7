// What a run found: a summary for people, HdrHistogram's percentile table, and JSON for programs. Pure.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tools/load/load_options.h"
#include "tools/load/load_worker.h"

namespace weir::tools {

std::string summary(const LoadOptions& options, const LoadResult& result);

// "Value Percentile TotalCount 1/(1-Percentile)" as HdrHistogram prints it (values in microseconds), which
// its plotters read.
std::string percentile_table(const LoadHistogram& histogram);

nlohmann::json report_json(const LoadOptions& options, const LoadResult& result);

// "1,234,567"
std::string grouped(uint64_t number);

}  // namespace weir::tools
