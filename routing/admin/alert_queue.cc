#include "routing/admin/alert_queue.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/assert.h"

namespace weir::routing {

void AlertQueue::add(const std::string& body) {
  WEIR_ASSERT(has_room(/*pages=*/true) && body.starts_with('{') && body.size() > 2);
  const uint64_t id = next_id_++;
  waiting_.push_back({.id = id, .body = fmt::format("{{\"id\":\"{:016x}\",", id) + body.substr(1)});
}

uint64_t AlertQueue::due_ns() const {
  return waiting_.empty() || on_its_way_ ? UINT64_MAX : not_before_ns_;
}

std::optional<AlertQueue::Delivery> AlertQueue::next(uint64_t now_ns) {
  if (due_ns() > now_ns) return std::nullopt;
  on_its_way_ = true;
  return waiting_.front();
}

void AlertQueue::delivered() {
  WEIR_ASSERT(on_its_way_);
  on_its_way_ = false;
  waiting_.pop_front();
  pause_ns_ = not_before_ns_ = 0;
}

void AlertQueue::failed(uint64_t now_ns) {
  WEIR_ASSERT(on_its_way_);
  on_its_way_ = false;
  pause_ns_ = pause_ns_ == 0 ? kFirstPauseNs : std::min(2 * pause_ns_, kLongestPauseNs);
  not_before_ns_ = now_ns + pause_ns_;
}

}  // namespace weir::routing
