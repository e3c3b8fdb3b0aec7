// Alerts on their way: in order, each retried until it is through, a bounded number at a time.
//
//   add() ──▶ waiting ── next() ──▶ on its way ── delivered() ──▶ gone
//               ▲                        └────── failed() ──┐   1 s, 2 s, 4 s ... 5 min later
//               └───────────────────────────────────────────┘
//
// Nothing is dropped: while there is no room whoever has something to tell keeps it (alert_book.h). Pages have as much
// room again. One delivery at a time, so a target that is down is asked once per pause.
//
// Pure. Thread: its owner's.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "core/limits.h"

namespace weir::routing {

class AlertQueue {
 public:
  static constexpr uint64_t kFirstPauseNs = 1'000'000'000;
  static constexpr uint64_t kLongestPauseNs = 300'000'000'000;

  explicit AlertQueue(uint64_t first_id) : next_id_(first_id) {}

  bool has_room(bool pages) const {
    return waiting_.size() < (pages ? 2 : 1) * size_t{core::limits::kMaxAlerts};
  }
  // A JSON object with members, which gets an `id`. There is room.
  void add(const std::string& body);

  // The alert to be sent now; nothing while one is on its way, or before its pause is over.
  struct Delivery {
    uint64_t id = 0;
    std::string body;
  };
  std::optional<Delivery> next(uint64_t now_ns);
  void delivered();
  void failed(uint64_t now_ns);
  // When next() may have something; UINT64_MAX: nothing waits.
  uint64_t due_ns() const;

  size_t waiting() const { return waiting_.size(); }

 private:
  std::deque<Delivery> waiting_;
  uint64_t next_id_;
  bool on_its_way_ = false;
  uint64_t pause_ns_ = 0;
  uint64_t not_before_ns_ = 0;
};

}  // namespace weir::routing
