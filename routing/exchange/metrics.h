// Counters and histograms of one shard, written by it alone and read by the control thread at any time.
//
// What has labels (tenant, scenario, unit, arm, provider) lives in series, found by a hash of the label
// values, which outlive table revisions. Their number is bounded (limits::kMaxMetricSeries): what comes after
// is counted under the label value "other".
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/counter.h"
#include "core/error.h"
#include "core/histogram.h"
#include "core/limits.h"
#include "routing/exchange/record.h"

namespace weir::routing {

struct MetricLabels {
  std::string tenant, scenario, unit, arm, provider;
};

// One label set. Created by the shard, then read by anyone.
struct MetricSeries {
  MetricLabels labels;
  core::Counter exchanges;
  core::Counter errors;
  core::Counter input_tokens, cached_input_tokens, output_tokens, reasoning_tokens;
  core::Counter cost_nano_usd;
  core::Histogram duration_ns;
  core::Histogram first_token_ns;
};

class ShardMetrics {
 public:
  ShardMetrics();

  // Counts a finished exchange. Allocates only when a label set is seen for the first time.
  void count(const Record& record);

  core::Counter requests;                 // whole requests, and refusals
  core::Counter attempts;
  core::Counter records_dropped;          // the queue to the control thread was full
  core::Counter pins_written;
  core::Gauge exchanges;                  // open
  // Set once per turn from counts that are kept elsewhere on the shard.
  core::Gauge connections, accepted, connections_refused;
  core::Gauge kernel_enters, operations, completions, no_buffers, overflows;
  core::Gauge receive_bytes, buffer_bytes;
  core::Counter turns;
  core::Histogram turn_ns;                // work in a turn, waiting excluded
  std::array<core::Counter, core::kErrorCodeCount> errors;

  // Series [0, series_count()) are complete and stay where they are. Any thread.
  uint32_t series_count() const { return series_count_.load(std::memory_order_acquire); }
  const MetricSeries& series(uint32_t index) const { return *series_[index]; }

 private:
  MetricSeries& series_for(const Record& record);

  static constexpr uint32_t kBuckets = 4096;
  static_assert(core::limits::kMaxMetricSeries * 2 < kBuckets);
  struct Bucket {
    uint64_t hash = 0;
    uint32_t series = UINT32_MAX;
  };
  std::array<std::unique_ptr<MetricSeries>, core::limits::kMaxMetricSeries + 1> series_;  // [0] is "other"
  std::atomic<uint32_t> series_count_{0};
  std::unique_ptr<Bucket[]> buckets_;
};

// Prometheus text of all shards together (names follow the OTel GenAI conventions where one exists).
void append_prometheus(std::span<const ShardMetrics* const> shards, std::string& out);

}  // namespace weir::routing
