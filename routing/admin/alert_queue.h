// Which alert is sent when: each thing once in a while, retried until it is through, never more than a
// bounded number at a time.
//
//   wants() ─ the same key within kQuietNs ─▶ counted, told with the next one ("suppressed")
//       └─ add() ─▶ waiting ── next() ──▶ on its way ── delivered() ──▶ gone
//                     ▲                        └────── failed() ──┐   1 s, 2 s, 4 s ... 5 min later
//                     └───────────────────────────────────────────┘
//
// A full queue drops its oldest alert and counts it: what is new matters more than what nobody has heard for
// so long. Pages go last, and are remembered when there is no room for other keys. One delivery at a time, in order, so a target that is down is asked once per pause.
//
// Pure. Thread: its owner's.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>

#include "core/limits.h"

namespace weir::routing {

struct Alert {
  std::string key;   // two alerts with the same key are about the same thing
  std::string body;  // a JSON object
  bool pages = false;
};

class AlertQueue {
 public:
  static constexpr uint64_t kQuietNs = 600'000'000'000;
  static constexpr uint64_t kFirstPauseNs = 1'000'000'000;
  static constexpr uint64_t kLongestPauseNs = 300'000'000'000;

  // Whether add() would take an alert with this key. False: it is not told (now), which is counted.
  bool wants(const std::string& key, bool pages, uint64_t now_ns);
  // `id` becomes the alert's; false: as above.
  bool add(Alert alert, uint64_t id, uint64_t now_ns);

  // The alert to be sent now, whose body has its `id` and `suppressed`; nothing while one is on its way, or
  // before its pause is over.
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
  uint64_t dropped() const { return dropped_; }

 private:
  struct Waiting {
    uint64_t id;
    std::string body;
    bool pages;
  };
  struct Told {
    uint64_t at_ns = 0;
    uint64_t suppressed = 0;
  };
  void forget_old(uint64_t now_ns);
  void drop_one();

  std::deque<Waiting> waiting_;
  std::unordered_map<std::string, Told> told_;
  uint64_t forgot_ns_ = 0;
  bool on_its_way_ = false;
  bool front_dropped_ = false;  // the one on its way was dropped from the queue meanwhile
  uint64_t pause_ns_ = 0;
  uint64_t not_before_ns_ = 0;
  uint64_t dropped_ = 0;
};

}  // namespace weir::routing
