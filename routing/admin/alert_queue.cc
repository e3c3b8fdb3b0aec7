#include "routing/admin/alert_queue.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/assert.h"

namespace weir::routing {

using core::limits::kMaxAlerts;

// Keys are as many as tenants: those whose quiet time is over are forgotten when they pile up.
void AlertQueue::forget_old(uint64_t now_ns) {
  if (told_.size() < 4 * kMaxAlerts) return;
  std::erase_if(told_, [&](const auto& entry) { return now_ns - entry.second.at_ns >= kQuietNs; });
}

bool AlertQueue::add(Alert alert, uint64_t id, uint64_t now_ns) {
  forget_old(now_ns);
  const auto known = told_.find(alert.key);
  if (known != told_.end() && now_ns - known->second.at_ns < kQuietNs) {
    ++known->second.suppressed;
    return false;
  }
  if (known == told_.end() && told_.size() >= 8 * kMaxAlerts) {
    ++dropped_;
    return false;
  }
  Told& told = told_[alert.key];
  WEIR_ASSERT(alert.body.starts_with('{') && alert.body.size() > 2);
  std::string body = fmt::format("{{\"id\":\"{:016x}\",\"suppressed\":{},", id, told.suppressed);
  body.append(alert.body, 1);
  told = {.at_ns = now_ns};
  if (waiting_.size() >= kMaxAlerts) {
    front_dropped_ |= on_its_way_;
    waiting_.pop_front();
    ++dropped_;
  }
  waiting_.push_back({id, std::move(body)});
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
