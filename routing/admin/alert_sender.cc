#include "routing/admin/alert_sender.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <utility>

#include "core/assert.h"
#include "core/log.h"
#include "routing/admin/alert.h"

namespace weir::routing {
namespace {

constinit core::RateLimitedLog delivery_failures(1);

}  // namespace

std::string sign_webhook(std::string_view secret, int64_t unix_seconds, std::string_view body) {
  const std::string text = fmt::format("{}.{}", unix_seconds, body);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  const auto* bytes =
      HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), &size);
  WEIR_ASSERT(bytes != nullptr && size == 32);
  std::string signature = fmt::format("t={},v1=", unix_seconds);
  for (unsigned i = 0; i < size; ++i) signature += fmt::format("{:02x}", digest[i]);
  return signature;
}

AlertSender::AlertSender(core::Loop& loop, const Calendar& calendar, std::string secret, uint64_t first_id,
                         Post post, std::function<const Table&()> newest)
    : loop_(loop),
      calendar_(calendar),
      secret_(std::move(secret)),
      post_(std::move(post)),
      newest_(std::move(newest)),
      due_(on_due, this),
      look_(on_look, this),
      next_id_(first_id),
      alive_(std::make_shared<char>()),
      worker_(std::make_unique<Worker>()) {}

AlertSender::~AlertSender() {
  due_.cancel();
  look_.cancel();
  stop_.request_stop();
  worker_.reset();
}

void AlertSender::see(const Record& record) {
  const uint64_t now_ns = loop_.now_ns();
  for (AlertCause& cause : alert_causes(record)) {
    if (!queue_.wants(cause.key, cause.pages, now_ns)) continue;
    std::string body = alert_body(cause, record, calendar_reader_.at(now_ns, calendar_.point()));
    if (newest_ && open_.size() < core::limits::kMaxAlerts) {
      if (auto rule = open_rule_of(cause, record)) {
        open_.insert_or_assign(cause.key, *std::move(rule));
        if (!look_.armed()) loop_.timers().schedule(look_, now_ns + kLookEveryNs);
      }
    }
    const bool pages = cause.pages;
    tell({.key = std::move(cause.key), .body = std::move(body), .pages = pages}, now_ns);
  }
}

void AlertSender::tell(Alert alert, uint64_t now_ns) {
  if (queue_.add(std::move(alert), next_id_, now_ns)) ++next_id_;
  send_next();
}

void AlertSender::look_at_open_rules() {
  const uint64_t now_ns = loop_.now_ns();
  const GuardTime& now = calendar_reader_.at(now_ns, calendar_.point());
  for (auto at = open_.begin(); at != open_.end();) {
    if (is_open(at->second, newest_(), now)) {
      ++at;
      continue;
    }
    tell({.key = "closed " + at->first, .body = closed_body(at->second, now)}, now_ns);
    at = open_.erase(at);
  }
  if (!open_.empty()) loop_.timers().schedule(look_, now_ns + kLookEveryNs);
}

void AlertSender::on_look(core::Timer& timer) {
  timer.owner<AlertSender>().look_at_open_rules();
}

void AlertSender::send_next() {
  const uint64_t now_ns = loop_.now_ns();
  auto delivery = queue_.next(now_ns);
  if (!delivery) {
    if (queue_.due_ns() != UINT64_MAX) loop_.timers().schedule(due_, queue_.due_ns());
    return;
  }
  WebhookRequest request{
      .id = fmt::format("{:016x}", delivery->id), .signature = {}, .body = std::move(delivery->body)};
  request.signature = sign_webhook(secret_, loop_.wall_now_ns() / 1'000'000'000, request.body);
  worker_->run([this, alive = std::weak_ptr<char>(alive_), &loop = loop_, request = std::move(request)] {
    const bool taken = post_(request, stop_.get_token());
    loop.post([this, alive, taken] {
      if (alive.expired()) return;
      const uint64_t then_ns = loop_.now_ns();
      if (taken) {
        ++delivered_;
        queue_.delivered();
      } else {
        ++failures_;
        queue_.failed(then_ns);
        delivery_failures.log(then_ns, core::LogLevel::warning, "alert_not_delivered",
                        {{"waiting", queue_.waiting()}, {"dropped", queue_.dropped()}});
      }
      send_next();
    });
  });
}

void AlertSender::on_due(core::Timer& timer) {
  timer.owner<AlertSender>().send_next();
}

}  // namespace weir::routing
