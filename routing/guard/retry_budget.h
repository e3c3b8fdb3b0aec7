// Retries as a share of traffic: when everything fails, retrying everything would multiply the load on
// whoever is failing. Each exchange pays a tenth of a retry in, each retry takes one out; a small stock lets
// a quiet gateway retry at all. How long a retry waits: exponential, with full jitter between half and one
// and a half times.
//
// Thread: one shard.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/strong.h"

namespace weir::routing {

class RetryBudget {
 public:
  static constexpr uint32_t kPerMille = 100;  // retries per thousand exchanges
  static constexpr uint32_t kStock = 10;      // retries in hand when there was no traffic
  static constexpr uint32_t kMost = 100;      // that may be saved up
  static constexpr uint64_t kFirstDelayMs = 20;
  static constexpr uint64_t kLongestDelayMs = 2'000;  // a provider that wants more is not waited for

  void exchange_begins() { thousandths_ = std::min(thousandths_ + kPerMille, kMost * 1000); }
  bool may_retry() const { return thousandths_ >= 1000; }
  void retry_begins() { thousandths_ -= std::min<uint32_t>(thousandths_, 1000); }

  // Before the n-th retry (from 0). `dice` is any random number.
  static uint64_t delay_ns(uint32_t retry, uint32_t dice) {
    const uint64_t base_ns = core::milliseconds(kFirstDelayMs) << std::min(retry, 6u);
    return base_ns / 2 + base_ns * (dice % 1024) / 1024;
  }

 private:
  uint32_t thousandths_ = kStock * 1000;
};

}  // namespace weir::routing
