// Carries alerts to a webhook: from what guards have counted (alert_scan.h) to signed requests, on a thread of its own.
// The data path and the control loop never wait for it.
//
//   POST <url>
//   content-type: application/json
//   x-weir-alert: <id>                                    the same in every try: for receivers that count
//   x-weir-signature: t=<Unix seconds>,v1=<hex>           HMAC-SHA-256(secret, "<t>.<body>")
//
// Thread: the control loop's; `post` is called on the sender's own.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "core/loop.h"
#include "routing/admin/alert_book.h"
#include "routing/admin/alert_queue.h"
#include "routing/admin/alert_scan.h"
#include "routing/admin/worker.h"
#include "routing/exchange/record.h"
#include "routing/guard/guard_time.h"

namespace weir::routing {

struct WebhookRequest {
  std::string id;
  std::string signature;
  std::string body;
};

// "t=...,v1=..." as above.
std::string sign_webhook(std::string_view secret, int64_t unix_seconds, std::string_view body);

// What is looked at.
struct AlertSources {
  const Calendar& calendar;
  UserGuards& users;
  std::function<const Table&()> table;      // the one that serves
  std::function<uint64_t()> turned_away{};  // requests, since ever, because the node is overloaded
};

class AlertSender {
 public:
  // True: the target has taken it (2xx). It gives up soon after `stop` is requested.
  using Post = std::function<bool(const WebhookRequest&, std::stop_token stop)>;
  static constexpr uint64_t kLookEveryNs = 1'000'000'000;
  static constexpr uint64_t kSliceEveryNs = 5'000'000;  // of a look that takes several

  // Looks for the first time a moment later.
  AlertSender(core::Loop& loop, AlertSources sources, std::string secret, uint64_t first_id, Post post);
  ~AlertSender();  // the request that is under way is given up
  AlertSender(const AlertSender&) = delete;
  AlertSender& operator=(const AlertSender&) = delete;

  // Looks at a record as it is drained: clients that loop are found by it. They have no lines that could be looked at,
  // and who loops makes a record with every refusal: one that is lost is not the last.
  void see(const Record& record);

  uint64_t delivered() const { return delivered_; }
  uint64_t failures() const { return failures_; }
  uint64_t dropped() const { return dropped_; }  // clients that loop, of whom nobody is told
  const AlertQueue& queue() const { return queue_; }

 private:
  const GuardTime& now() { return calendar_reader_.at(loop_.now_ns(), sources_.calendar.point()); }
  void look();
  void send_next();
  static void on_due(core::Timer& timer);
  static void on_look(core::Timer& timer);

  core::Loop& loop_;
  const AlertSources sources_;
  const std::string secret_;
  const Post post_;
  std::stop_source stop_;
  AlertQueue queue_;
  AlertBook book_{queue_};
  AlertScan scan_;
  CalendarReader calendar_reader_;
  core::Timer due_, look_;
  uint64_t look_began_ns_ = 0;  // 0: none is under way
  uint64_t delivered_ = 0;
  uint64_t failures_ = 0;
  uint64_t dropped_ = 0;
  const std::shared_ptr<char> alive_;  // results that come later look at it
  std::unique_ptr<Worker> worker_;     // last: it uses the others
};

}  // namespace weir::routing
