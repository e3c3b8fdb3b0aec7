// How long things took, finely enough to compare two runs: buckets are never wider than 1/128 of their lower
// bound. core/histogram.h is the shards' own, coarser and readable while it is written; this one belongs to
// one thread and is merged when that thread has ended.
//
// Values are nanoseconds; above core's kMaxValue (73 minutes) they count in the last bucket. 36 KiB.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/histogram.h"

namespace weir::tools {

class LoadHistogram {
 public:
  using Buckets = core::LogLinearBuckets<7>;

  LoadHistogram() : counts_(Buckets::kCount) {}

  void record(uint64_t value) {
    ++counts_[Buckets::index_of(value)];
    ++count_;
    sum_ += static_cast<double>(value);
    max_ = std::max(max_, value);
    min_ = std::min(min_, value);
  }
  void merge(const LoadHistogram& other) {
    for (unsigned index = 0; index < Buckets::kCount; ++index) counts_[index] += other.counts_[index];
    count_ += other.count_;
    sum_ += other.sum_;
    max_ = std::max(max_, other.max_);
    min_ = std::min(min_, other.min_);
  }

  uint64_t count() const { return count_; }
  uint64_t max() const { return max_; }
  uint64_t min() const { return count_ == 0 ? 0 : min_; }
  double mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }

  // A value that at least `percent` of all do not exceed, up to bucket width too high, never above the
  // maximum.
  uint64_t percentile(double percent) const {
    const double exact_rank = std::ceil(percent / 100 * static_cast<double>(count_));
    const uint64_t rank = std::max<uint64_t>(static_cast<uint64_t>(exact_rank), 1);
    uint64_t seen = 0;
    for (unsigned index = 0; index < Buckets::kCount; ++index) {
      seen += counts_[index];
      if (seen >= rank) return index + 1 == Buckets::kCount ? max_ : std::min(Buckets::highest(index), max_);
    }
    return max_;
  }
  // How many values are known not to exceed `value`.
  uint64_t count_up_to(uint64_t value) const {
    uint64_t seen = 0;
    for (unsigned index = 0; index < Buckets::kCount && Buckets::lowest(index) <= value; ++index) {
      seen += counts_[index];
    }
    return seen;
  }

 private:
  std::vector<uint64_t> counts_;
  uint64_t count_ = 0;
  double sum_ = 0;
  uint64_t max_ = 0;
  uint64_t min_ = std::numeric_limits<uint64_t>::max();
};

}  // namespace weir::tools
