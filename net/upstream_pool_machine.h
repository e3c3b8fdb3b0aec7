// The policy of one upstream pool (one endpoint, one shard), without sockets: events in, actions out.
//
//   request ──on_acquire──▶ use_idle | open_and_wait | wait | refuse
//   connection opened ──on_opened──▶ serve_waiter | keep_idle
//   exchange over ──on_released──▶ serve_waiter | keep_idle         (reusable)
//                 ──on_lost──▶ open_for_waiter | nothing            (not reusable, or an idle one died)
//   connect failed ──on_open_failed──▶ fail_waiter | fail_waiter_and_open | nothing
//
// Idle connections are used last in, first out: the hottest socket with the widest congestion window.
// Invariants
//   1. idle + opening + busy <= max_connections.
//   2. Somebody waits only if no connection is idle.
//   3. While requests wait and the limit allows, as many connections are opening as requests wait.
#pragma once

#include <cstdint>

#include "core/assert.h"
#include "core/limits.h"

namespace weir::net {

class UpstreamPoolMachine {
 public:
  enum class Acquire : uint8_t { use_idle, open_and_wait, wait, refuse };
  enum class Free : uint8_t { serve_waiter, keep_idle };
  enum class Lost : uint8_t { nothing, open_for_waiter };
  enum class OpenFailed : uint8_t { nothing, fail_waiter, fail_waiter_and_open };

  explicit UpstreamPoolMachine(uint32_t max_connections = core::limits::kMaxUpstreamConnectionsPerEndpoint,
                               uint32_t max_waiting = core::limits::kMaxUpstreamQueue)
      : max_connections_(max_connections), max_waiting_(max_waiting) {}

  // A request wants a connection. use_idle: it has one, busy from now on. wait: it was queued.
  Acquire on_acquire() {
    if (idle_ > 0) {
      --idle_;
      ++busy_;
      return Acquire::use_idle;
    }
    if (waiting_ == max_waiting_) return Acquire::refuse;
    ++waiting_;
    return may_open() ? open(), Acquire::open_and_wait : Acquire::wait;
  }
  // A queued request no longer wants one.
  void on_abandoned() {
    WEIR_ASSERT(waiting_ > 0);
    --waiting_;
  }
  Free on_opened() {
    WEIR_ASSERT(opening_ > 0);
    --opening_;
    return give();
  }
  // A connect attempt failed: the request that has waited longest fails with it. The place it took may be what
  // another one waited for.
  OpenFailed on_open_failed() {
    WEIR_ASSERT(opening_ > 0);
    --opening_;
    if (waiting_ == 0) return OpenFailed::nothing;
    --waiting_;
    return may_open() ? open(), OpenFailed::fail_waiter_and_open : OpenFailed::fail_waiter;
  }
  Free on_released() {
    WEIR_ASSERT(busy_ > 0);
    --busy_;
    return give();
  }
  enum class Was : uint8_t { idle, busy };
  Lost on_lost(Was was) {
    uint32_t& count = was == Was::idle ? idle_ : busy_;
    WEIR_ASSERT(count > 0);
    --count;
    if (!may_open()) return Lost::nothing;
    open();
    return Lost::open_for_waiter;
  }

  uint32_t idle() const { return idle_; }
  uint32_t opening() const { return opening_; }
  uint32_t busy() const { return busy_; }
  uint32_t waiting() const { return waiting_; }
  uint32_t connections() const { return idle_ + opening_ + busy_; }

 private:
  bool may_open() const { return waiting_ > opening_ && connections() < max_connections_; }
  void open() { ++opening_; }
  Free give() {
    if (waiting_ > 0) {
      --waiting_;
      ++busy_;
      return Free::serve_waiter;
    }
    ++idle_;
    return Free::keep_idle;
  }

  uint32_t max_connections_;
  uint32_t max_waiting_;
  uint32_t idle_ = 0;
  uint32_t opening_ = 0;
  uint32_t busy_ = 0;
  uint32_t waiting_ = 0;
};

}  // namespace weir::net
