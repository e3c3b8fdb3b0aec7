// Counters and histograms of one shard, written by it alone and read by the control thread at any time.
//
// What has labels (tenant, scenario, unit, arm, provider) lives in series, found by a hash of the label
// values, which outlive table revisions. Their number is bounded (limits::kMaxMetricSeries): what comes after
// is counted under the label value "other".
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/counter.h"
#include "core/error.h"
#include "core/histogram.h"
#include "core/limits.h"
#include "routing/exchange/record.h"
#include "routing/guard/admission.h"

namespace weir::routing {

struct MetricLabels {
  std::string tenant, scenario, unit, arm, provider;
};

// How many tokens calls use: the buckets that the OTel GenAI conventions give gen_ai.client.token.usage,
// powers of four from 1 to 4^13. Written and read like a Counter.
class TokenHistogram {
 public:
  static constexpr unsigned kBounds = 14;

  static constexpr unsigned index_of(uint64_t tokens) {
    const unsigned bits = tokens <= 1 ? 0 : static_cast<unsigned>(std::bit_width(tokens - 1));
    return std::min((bits + 1) / 2, kBounds);
  }
  static constexpr uint64_t bound(unsigned index) { return uint64_t{1} << (2 * index); }

  void record(uint64_t tokens) {
    counts_[index_of(tokens)].add();
    sum_.add(tokens);
  }
  uint64_t count(unsigned index) const {
    return counts_[index].value();
  }  // not cumulative; kBounds: above all
  uint64_t sum() const { return sum_.value(); }

 private:
  core::Counter sum_;
  std::array<core::Counter, kBounds + 1> counts_;
};

// The statuses that are counted apart; any other is counted as the last one, 0.
inline constexpr auto kCountedStatuses =
    std::to_array<uint16_t>({200, 400, 401, 403, 404, 405, 408, 409, 411, 413, 414, 415,
                             417, 422, 429, 431, 499, 500, 502, 503, 504, 505, 529, 0});

// One label set. Created by the shard, then read by anyone.
struct MetricSeries {
  MetricLabels labels;
  std::array<core::Counter, kCountedStatuses.size()> exchanges;  // by kCountedStatuses
  core::Counter fallbacks;  // of a unit that was decided and that another hop had to answer for
  core::Counter cached_input_tokens, reasoning_tokens;
  core::Counter cost_nano_usd;
  TokenHistogram input_tokens, output_tokens;
  core::Histogram duration_ns;
  core::Histogram first_token_ns;
};

class ShardMetrics {
 public:
  ShardMetrics();

  // Counts a finished exchange. Allocates only when a label set is seen for the first time.
  void count(const Record& record);

  core::Counter requests;  // whole requests, and refusals
  core::Counter attempts;
  core::Counter records_dropped;  // the queue to the control thread was full
  core::Counter pins_written;
  core::Counter evaluations;            // OFREP requests answered with an evaluation, or that nothing changed
  core::Counter evaluations_unchanged;  // of those, the latter
  core::Counter events_sent;
  core::Gauge event_streams;  // open
  core::Counter breakers_opened;
  core::Counter cache_hits, cache_misses, cache_stores, cache_too_large;
  core::Counter runaway_refused;
  core::Counter limit_warnings;
  core::Counter shadow_started, shadow_dropped, shadow_over_budget, shadow_failed;
  core::Counter shed;  // answered 503 because the node is overloaded
  core::Gauge overload_rung;
  // Requests that a limit or budget refused or led elsewhere, by what decided.
  std::array<std::array<core::Counter, kLimitKinds>, kGuardScopes> limited;
  core::Gauge exchanges;  // open
  // Set once per turn from counts that are kept elsewhere on the shard.
  core::Gauge connections, accepted, connections_passed_on, connections_refused;
  core::Gauge kernel_enters, operations, completions, no_buffers, overflows;
  core::Gauge receive_bytes, buffer_bytes;
  core::Counter turns;
  core::Histogram turn_ns;  // work in a turn, waiting excluded
  std::array<core::Counter, core::kErrorCodeCount> errors;

  // Series [0, series_count()) are complete and stay where they are. Any thread.
  uint32_t series_count() const { return series_count_.load(std::memory_order_acquire); }
  const MetricSeries& series(uint32_t index) const { return *series_[index]; }

 private:
  MetricSeries& series_for(const Record& record);
  MetricSeries* add_series(MetricLabels labels);

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

// Prometheus text format 0.0.4 of all shards together; the names follow the OTel GenAI conventions where one
// exists. Series of the same labels are added up over the shards; what describes a shard has the label
// `shard`.
void append_prometheus(std::span<const ShardMetrics* const> shards, std::string& out);

}  // namespace weir::routing
