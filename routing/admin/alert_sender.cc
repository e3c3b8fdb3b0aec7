#include "routing/admin/alert_sender.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/assert.h"
#include "core/log.h"

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

AlertSender::AlertSender(core::Loop& loop, AlertSources sources, std::string secret, uint64_t first_id,
                         Post post)
    : loop_(loop),
      sources_(std::move(sources)),
      secret_(std::move(secret)),
      post_(std::move(post)),
      queue_(first_id),
      scan_(book_, sources_.users),
      due_(on_due, this),
      look_(on_look, this),
      alive_(std::make_shared<char>()),
      worker_(std::make_unique<Worker>()) {
  loop_.timers().schedule(look_, loop_.now_ns() + kSliceEveryNs);
}

AlertSender::~AlertSender() {
  due_.cancel();
  look_.cancel();
  stop_.request_stop();
  worker_.reset();
}

void AlertSender::look() {
  const uint64_t now_ns = loop_.now_ns();
  if (look_began_ns_ == 0) look_began_ns_ = now_ns;
  uint64_t next_ns = now_ns + kSliceEveryNs;
  if (scan_.look(sources_.table(), sources_.turned_away ? sources_.turned_away() : 0, now())) {
    next_ns = std::max(next_ns, std::exchange(look_began_ns_, 0) + kLookEveryNs);
  }
  loop_.timers().schedule(look_, next_ns);
  send_next();
}

void AlertSender::on_look(core::Timer& timer) {
  timer.owner<AlertSender>().look();
}

void AlertSender::see(const Record& record) {
  if (record.limit == nullptr || !std::string_view(record.limit).starts_with("runaway.")) return;
  AlertThing thing{.key = record.limit, .about = {{"type", "runaway"}}};
  const auto name = [&](const char* member, std::string_view value) {
    thing.about[member] = value;
    thing.key += ' ';
    thing.key += value;
  };
  const Table& table = *record.table;
  if (record.tenant != Record::kNone) name("tenant", table[TenantIndex{record.tenant}].id());
  if (record.key != Record::kNone) name("key", table[KeyIndex{record.key}].id());
  thing.about["limit"] = record.limit;
  if (!book_.event(
          thing, {}, [] { return nlohmann::ordered_json::object(); }, now()))
    ++dropped_;
  send_next();
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
                              {{"waiting", queue_.waiting()}, {"failures", failures_}});
      }
      send_next();
    });
  });
}

void AlertSender::on_due(core::Timer& timer) {
  timer.owner<AlertSender>().send_next();
}

}  // namespace weir::routing
