// What copies to candidates may cost a shard, whatever a candidate does: so many new connections and so many
// bytes per second, on top of how many may be under way. A candidate that is dead, that ends each connection,
// or that never stops sending would otherwise have the shard's time.
//
//   admits() ─▶ a copy begins ─▶ charge_connection() if it had to open one, charge_bytes() when it is over
//
// What a copy costs is known only afterwards, so it is charged then: the debt keeps the next ones away.
//
// Pure. Thread: one shard.
#pragma once

#include <algorithm>
#include <cstdint>

namespace weir::routing {

class ShadowGate {
 public:
  static constexpr uint64_t kConnectionsPerSecond = 200;
  static constexpr uint64_t kBytesPerSecond = 32 * 1024 * 1024;
  static constexpr uint64_t kBurstNs = 250'000'000;  // this much of a second may come at once

  bool admits(uint64_t now_ns) const {
    return std::max(connections_until_ns_, bytes_until_ns_) <= now_ns + kBurstNs;
  }
  void charge_connection(uint64_t now_ns) {
    connections_until_ns_ = std::max(connections_until_ns_, now_ns) + kNsPerSecond / kConnectionsPerSecond;
  }
  void charge_bytes(uint64_t bytes, uint64_t now_ns) {
    const uint64_t most = uint64_t{1} << 33;  // a second's nanoseconds times more would not fit
    bytes_until_ns_ =
        std::max(bytes_until_ns_, now_ns) + std::min(bytes, most) * kNsPerSecond / kBytesPerSecond;
  }

 private:
  static constexpr uint64_t kNsPerSecond = 1'000'000'000;
  // Until when the share of a second that has been used up reaches; the past = all is free.
  uint64_t connections_until_ns_ = 0;
  uint64_t bytes_until_ns_ = 0;
};

}  // namespace weir::routing
