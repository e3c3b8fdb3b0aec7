// Carries alerts to a webhook: from records to signed requests, on a thread of its own. The data path and the
// control loop never wait for it.
//
//   POST <url>
//   content-type: application/json
//   x-weir-alert: <id>                                    the same in every try: for receivers that count
//   x-weir-signature: t=<Unix seconds>,v1=<hex>           HMAC-SHA-256(secret, "<t>.<body>")
//
// Thread: see() and the counters on the control loop; `post` is called on the sender's own.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "core/loop.h"
#include "routing/admin/alert_queue.h"
#include "routing/admin/open_rule.h"
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

class AlertSender {
 public:
  // True: the target has taken it (2xx). It gives up soon after `stop` is requested.
  using Post = std::function<bool(const WebhookRequest&, std::stop_token stop)>;
  // `newest`: the table that serves; with it, it is told when what was told to be open is closed again.
  AlertSender(core::Loop& loop, const Calendar& calendar, std::string secret, uint64_t first_id, Post post,
              std::function<const Table&()> newest = {});
  ~AlertSender();  // the request that is under way is given up
  AlertSender(const AlertSender&) = delete;
  AlertSender& operator=(const AlertSender&) = delete;

  // Looks at a record as it is drained.
  void see(const Record& record);

  uint64_t delivered() const { return delivered_; }
  uint64_t failures() const { return failures_; }
  const AlertQueue& queue() const { return queue_; }

 private:
  static constexpr uint64_t kLookEveryNs = 1'000'000'000;

  void tell(Alert alert, uint64_t now_ns);
  void send_next();
  void look_at_open_rules();
  static void on_due(core::Timer& timer);
  static void on_look(core::Timer& timer);

  core::Loop& loop_;
  const Calendar& calendar_;
  const std::string secret_;
  const Post post_;
  const std::function<const Table&()> newest_;
  std::stop_source stop_;
  AlertQueue queue_;
  CalendarReader calendar_reader_;
  std::map<std::string, OpenRule> open_;  // by the key it was told with; at most limits::kMaxAlerts
  core::Timer due_, look_;
  uint64_t next_id_;
  uint64_t delivered_ = 0;
  uint64_t failures_ = 0;
  const std::shared_ptr<char> alive_;  // results that come later look at it
  std::unique_ptr<Worker> worker_;     // last: it uses the others
};

}  // namespace weir::routing
