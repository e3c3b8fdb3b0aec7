#include "routing/admin/alert_queue.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/assert.h"

namespace weir::routing {

using core::limits::kMaxAlerts;

namespace {

// Keys are as many as tenants.
constexpr size_t kMaxKeys = 8 * kMaxAlerts;
constexpr uint64_t kForgetEveryNs = 1'000'000'000;  // it looks at all of them

}  // namespace

// Those whose quiet time is over are forgotten when they pile up.
void AlertQueue::forget_old(uint64_t now_ns) {
  if (told_.size() < kMaxKeys / 2 || now_ns - forgot_ns_ < kForgetEveryNs) return;
  forgot_ns_ = now_ns;
  std::erase_if(told_, [&](const auto& entry) { return now_ns - entry.second.at_ns >= kQuietNs; });
}

bool AlertQueue::wants(const std::string& key, bool pages, uint64_t now_ns) {
  const auto known = told_.find(key);
  if (known != told_.end()) {
    if (now_ns - known->second.at_ns >= kQuietNs) return true;
    ++known->second.suppressed;
    return false;
  }
  forget_old(now_ns);
  if (told_.size() < (pages ? 2 * kMaxKeys : kMaxKeys)) return true;
  ++dropped_;
  return false;
}

// The oldest one that pages nobody, else the oldest.
void AlertQueue::drop_one() {
  auto chosen = std::ranges::find(waiting_, false, &Waiting::pages);
  if (chosen == waiting_.end()) chosen = waiting_.begin();
  front_dropped_ |= on_its_way_ && chosen == waiting_.begin();
  waiting_.erase(chosen);
  ++dropped_;
}

bool AlertQueue::add(Alert alert, uint64_t id, uint64_t now_ns) {
  if (!wants(alert.key, alert.pages, now_ns)) return false;
  Told& told = told_[alert.key];
  WEIR_ASSERT(alert.body.starts_with('{') && alert.body.size() > 2);
  std::string body = fmt::format("{{\"id\":\"{:016x}\",\"suppressed\":{},", id, told.suppressed);
  body.append(alert.body, 1);
  told = {.at_ns = now_ns};
  if (waiting_.size() >= kMaxAlerts) drop_one();
  waiting_.push_back({id, std::move(body), alert.pages});
  return true;
}

uint64_t AlertQueue::due_ns() const {
  return waiting_.empty() || on_its_way_ ? UINT64_MAX : not_before_ns_;
}

std::optional<AlertQueue::Delivery> AlertQueue::next(uint64_t now_ns) {
  if (due_ns() > now_ns) return std::nullopt;
  on_its_way_ = true;
  front_dropped_ = false;
  return Delivery{waiting_.front().id, waiting_.front().body};
}

void AlertQueue::delivered() {
  WEIR_ASSERT(on_its_way_);
  on_its_way_ = false;
  if (!front_dropped_) waiting_.pop_front();
  pause_ns_ = not_before_ns_ = 0;
}

void AlertQueue::failed(uint64_t now_ns) {
  WEIR_ASSERT(on_its_way_);
  on_its_way_ = false;
  pause_ns_ = pause_ns_ == 0 ? kFirstPauseNs : std::min(2 * pause_ns_, kLongestPauseNs);
  not_before_ns_ = now_ns + pause_ns_;
}

}  // namespace weir::routing
