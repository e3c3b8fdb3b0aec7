// One answer on its way: an Answer sent in its own time, with what a Fault does to it.
//
//   start() ─▶ waits to begin ─▶ head ─▶ frame ─▶ … ─▶ end of the body ─▶ delivered
//                                          │  ▲ a token's delay, a full send queue, a piece per turn
//                                          └──┘
//                                          └─▶ cut: ends, resets or stalls in the middle
//
// Invariants
//   1. DeliveryOwner::on_delivered() comes exactly once, unless the client goes first: then client_gone()
//      must be called. After either nothing touches the session.
//   2. What a turn produces is sent as one slice.
//
// Thread: the loop's.
#pragma once

#include <cstdint>
#include <string>

#include "core/loop.h"
#include "net/server_session.h"
#include "tools/mock-provider/answer.h"
#include "tools/mock-provider/fault.h"

namespace weir::tools {

class Delivery;

class DeliveryOwner {
 public:
  // May destroy the delivery. `complete`: nothing was cut.
  virtual void on_delivered(Delivery& delivery, bool complete) = 0;

 protected:
  ~DeliveryOwner() = default;
};

struct DeliveryOptions {
  uint64_t number = 0;          // for x-request-id
  uint64_t token_delay_ms = 0;  // where the fault does not say
};

class Delivery {
 public:
  Delivery(net::ServerSession& session, DeliveryOwner& owner, Answer answer, Fault fault,
           const DeliveryOptions& options);
  Delivery(const Delivery&) = delete;
  Delivery& operator=(const Delivery&) = delete;

  void start();
  // The session's queue has room again.
  void on_send_queue_low();
  // The session is closing; stop.
  void client_gone();

  uint64_t sent_bytes() const { return body_bytes_; }
  int status() const { return answer_.status; }
  const Fault& fault() const { return fault_; }
  uint64_t entry = 0;  // the owner's: the journal's id

 private:
  enum class Phase : uint8_t { begin, frames, end, reset, stalled, over };

  static void on_timer(core::Timer& timer);
  static void on_turn(core::TurnTask& task);

  void advance();
  void write_head();
  bool write_frame(const std::string& bytes);
  void write_end();
  void cut(uint64_t room, const std::string& bytes);
  void wait(uint64_t delay_ms);
  uint64_t delay_of(Frame::Waits waits) const;
  void flush();
  void reset_when_sent();
  void end_early();
  void finish(bool complete);

  net::ServerSession& session_;
  DeliveryOwner& owner_;
  Answer answer_;
  const Fault fault_;
  const DeliveryOptions options_;
  core::Timer timer_;
  core::TurnTask next_piece_;
  std::string pending_;      // rendered in this turn
  uint64_t body_bytes_ = 0;  // so far, without framing
  uint64_t cut_at_ = UINT64_MAX;
  size_t next_frame_ = 0;
  bool waited_ = false;  // for the next frame's delay
  Phase phase_ = Phase::begin;
};

}  // namespace weir::tools
