// How long things take (or how large they are), recorded by one shard in a few nanoseconds and read by the
// control thread while recording goes on.
//
// Log-linear buckets, as in HdrHistogram: each power of two is cut into 16 equal buckets, and the values
// below 32 have one each. A bucket is never wider than 1/16 of its lower bound.
//
//     value   0 1 2 ... 31 | 32 34 36 ... 62 | 64 68 72 ... 124 | 128 136 ...
//     width        1       |        2        |         4        |     8
//
// Limits: 0 to 2^42 - 1 (73 minutes in nanoseconds); anything above counts in the last bucket, and exactly
// in the sum and the maximum. 5 KiB.
//
// Thread: record() the owning shard only; merge_into() any. Counters are relaxed atomics written by load and
// store (see core/counter.h), so a snapshot is not of one instant: a value may be in its bucket and not yet
// in the sum. The count is defined as the sum of the buckets, so percentiles and Prometheus buckets always
// add up.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/assert.h"
#include "core/counter.h"

namespace weir::core {

// Which values share a bucket: 2^LinearBits buckets per power of two.
template <unsigned LinearBits>
struct LogLinearBuckets {
  static constexpr unsigned kValueBits = 42;
  static constexpr unsigned kLinearBits = LinearBits;
  static constexpr uint64_t kMaxValue = (uint64_t{1} << kValueBits) - 1;
  static constexpr unsigned kCount = (kValueBits - kLinearBits + 1) << kLinearBits;

  // The bucket of a value; no branch but the clamp.
  static constexpr unsigned index_of(uint64_t value) {
    value = std::min(value, kMaxValue);
    const unsigned shift =
        static_cast<unsigned>(std::bit_width(value | (1u << kLinearBits))) - (kLinearBits + 1);
    return (shift << kLinearBits) + static_cast<unsigned>(value >> shift);
  }

  // The smallest and the largest value of a bucket.
  static constexpr uint64_t lowest(unsigned index) {
    if (index < 2u << kLinearBits) return index;
    const unsigned shift = (index >> kLinearBits) - 1;
    return uint64_t{(index & ((1u << kLinearBits) - 1)) | 1u << kLinearBits} << shift;
  }
  static constexpr uint64_t highest(unsigned index) {
    return index + 1 == kCount ? kMaxValue : lowest(index + 1) - 1;
  }
};

using HistogramBuckets = LogLinearBuckets<4>;

// Histograms of several shards added up. A plain value of one thread.
class HistogramSnapshot {
 public:
  uint64_t count() const { return count_; }
  uint64_t sum() const { return sum_; }
  uint64_t max() const { return max_; }
  double mean() const { return count_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(count_); }

  // The smallest recorded value (up to bucket width, never less than the true one) that at least `percent`
  // of all values do not exceed; 0 when there are none. 0 <= percent <= 100.
  uint64_t percentile(double percent) const {
    WEIR_ASSERT(percent >= 0 && percent <= 100);
    if (count_ == 0) return 0;
    const double exact_rank = std::ceil(percent / 100 * static_cast<double>(count_));
    const uint64_t rank = std::clamp<uint64_t>(static_cast<uint64_t>(exact_rank), 1, count_);
    uint64_t seen = 0;
    for (unsigned index = 0; index < HistogramBuckets::kCount; ++index) {
      seen += counts_[index];
      if (seen >= rank) {
        // The last bucket is open-ended, and in every other the maximum may be below the bucket's end.
        return index + 1 == HistogramBuckets::kCount ? max_
                                                     : std::min(HistogramBuckets::highest(index), max_);
      }
    }
    return max_;
  }

  // For Prometheus: counts[i] = how many values are <= bounds[i] (ascending). A value whose bucket reaches
  // past the bound counts with the next one, so a bound acts as if up to 1/16 smaller, and exactly if it is
  // the highest value of a bucket. The implicit last bound, infinity, is count().
  void cumulative(std::span<const uint64_t> bounds, std::span<uint64_t> counts) const {
    WEIR_ASSERT(bounds.size() == counts.size());
    uint64_t seen = 0;
    unsigned index = 0;
    for (size_t i = 0; i < bounds.size(); ++i) {
      // The last bucket holds values of any size and belongs to infinity alone.
      while (index + 1 < HistogramBuckets::kCount && HistogramBuckets::highest(index) <= bounds[i]) {
        seen += counts_[index++];
      }
      counts[i] = seen;
    }
  }

 private:
  friend class Histogram;

  std::array<uint64_t, HistogramBuckets::kCount> counts_{};
  uint64_t count_ = 0;
  uint64_t sum_ = 0;
  uint64_t max_ = 0;
};

class alignas(kCacheLineBytes) Histogram {
 public:
  Histogram() = default;
  Histogram(const Histogram&) = delete;
  Histogram& operator=(const Histogram&) = delete;

  void record(uint64_t value) {
    counts_[HistogramBuckets::index_of(value)].add();
    sum_.add(value);
    if (value > max_.load(std::memory_order_relaxed)) max_.store(value, std::memory_order_relaxed);
  }

  // Adds what has been recorded so far to a snapshot.
  void merge_into(HistogramSnapshot& snapshot) const {
    for (unsigned index = 0; index < HistogramBuckets::kCount; ++index) {
      const uint64_t count = counts_[index].value();
      snapshot.counts_[index] += count;
      snapshot.count_ += count;
    }
    snapshot.sum_ += sum_.value();
    snapshot.max_ = std::max(snapshot.max_, max_.load(std::memory_order_relaxed));
  }

 private:
  Counter sum_;
  std::atomic<uint64_t> max_{0};
  std::array<Counter, HistogramBuckets::kCount> counts_;
};

static_assert(sizeof(Histogram) <= 8192);

}  // namespace weir::core
