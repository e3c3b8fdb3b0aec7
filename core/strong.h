// Strong types for the quantities and ids that every layer shares: money, shards, points in time.
//
// Money is integer nano-USD: prices per million tokens are exact in it, sums do not drift, and a budget of
// nine billion dollars fits. Arithmetic saturates instead of wrapping: an absurd number from a table or a
// provider makes a budget trip, never turns it into credit.
//
// Time is nanoseconds in uint64_t, of a monotonic clock unless a name says wall. A `deadline` is a point in
// time, a `timeout` a length; the helpers below are the only way from one to the other.
//
// Values: any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>
#include <string>

#include "core/assert.h"

namespace weir::core {

class NanoUsd {
 public:
  static constexpr int64_t kPerUsd = 1'000'000'000;

  constexpr NanoUsd() = default;
  explicit constexpr NanoUsd(int64_t nano_usd) : value_(nano_usd) {}
  static constexpr NanoUsd max() { return NanoUsd(std::numeric_limits<int64_t>::max()); }
  static constexpr NanoUsd min() { return NanoUsd(std::numeric_limits<int64_t>::min()); }

  constexpr int64_t value() const { return value_; }

  friend constexpr NanoUsd operator+(NanoUsd a, NanoUsd b) {
    int64_t sum = 0;
    if (__builtin_add_overflow(a.value_, b.value_, &sum)) return b.value_ < 0 ? min() : max();
    return NanoUsd(sum);
  }
  friend constexpr NanoUsd operator-(NanoUsd a, NanoUsd b) {
    int64_t difference = 0;
    if (__builtin_sub_overflow(a.value_, b.value_, &difference)) return b.value_ > 0 ? min() : max();
    return NanoUsd(difference);
  }
  friend constexpr NanoUsd operator*(NanoUsd a, uint64_t count) {
    int64_t product = 0;
    if (__builtin_mul_overflow(a.value_, count, &product)) return a.value_ < 0 ? min() : max();
    return NanoUsd(product);
  }
  constexpr NanoUsd& operator+=(NanoUsd other) { return *this = *this + other; }
  constexpr NanoUsd& operator-=(NanoUsd other) { return *this = *this - other; }

  // This amount is the price of `per` items (say a million tokens): the price of `count` of them, rounded
  // up to a whole nano-USD so that many small calls are never free. This amount is not negative.
  constexpr NanoUsd prorated(uint64_t count, uint64_t per) const {
    WEIR_ASSERT(value_ >= 0 && per > 0);
    __extension__ using Wide = unsigned __int128;
    const Wide price = (Wide{static_cast<uint64_t>(value_)} * count + (per - 1)) / per;
    return price > static_cast<Wide>(max().value_) ? max() : NanoUsd(static_cast<int64_t>(price));
  }

  friend constexpr auto operator<=>(NanoUsd, NanoUsd) = default;

 private:
  int64_t value_ = 0;
};

// "-12.345000000": dollars with all nine decimals. For logs, records and people.
inline std::string to_string(NanoUsd amount) {
  const bool negative = amount.value() < 0;
  const uint64_t magnitude =
      negative ? uint64_t{0} - static_cast<uint64_t>(amount.value()) : static_cast<uint64_t>(amount.value());
  const std::string decimals = std::to_string(magnitude % NanoUsd::kPerUsd);
  return (negative ? "-" : "") + std::to_string(magnitude / NanoUsd::kPerUsd) + "." +
         std::string(9 - decimals.size(), '0') + decimals;
}

// Which shard, 0 ... shards - 1 (limits::kMaxShards).
struct ShardIndex {
  uint16_t value = 0;

  friend constexpr auto operator<=>(ShardIndex, ShardIndex) = default;
};

// The deadline that never comes.
inline constexpr uint64_t kNoDeadline = std::numeric_limits<uint64_t>::max();

inline constexpr uint64_t kNsPerMs = 1'000'000;
inline constexpr uint64_t kNsPerSecond = 1'000'000'000;

// The timeout of `count` milliseconds in nanoseconds; saturates.
constexpr uint64_t milliseconds(uint64_t count) {
  uint64_t ns = 0;
  return __builtin_mul_overflow(count, kNsPerMs, &ns) ? kNoDeadline : ns;
}

// The timeout of `count` seconds in nanoseconds; saturates.
constexpr uint64_t seconds(uint64_t count) {
  uint64_t ns = 0;
  return __builtin_mul_overflow(count, kNsPerSecond, &ns) ? kNoDeadline : ns;
}

// The deadline `timeout_ns` from now; saturates to kNoDeadline.
constexpr uint64_t deadline_after(uint64_t now_ns, uint64_t timeout_ns) {
  uint64_t deadline_ns = 0;
  return __builtin_add_overflow(now_ns, timeout_ns, &deadline_ns) ? kNoDeadline : deadline_ns;
}

// The timeout left until a deadline: 0 when it has passed, kNoDeadline when it never comes.
constexpr uint64_t timeout_until(uint64_t deadline_ns, uint64_t now_ns) {
  if (deadline_ns == kNoDeadline) return kNoDeadline;
  return deadline_ns > now_ns ? deadline_ns - now_ns : 0;
}

}  // namespace weir::core
