#include "routing/admin/alert_queue.h"

#include <gtest/gtest.h>

#include <set>

namespace weir::routing::alert_queue_test {
namespace {

using core::limits::kMaxAlerts;

TEST(AlertQueue, DeliversInOrderOneAtATime) {
  AlertQueue queue(7);
  queue.add(R"({"a":1})");
  queue.add(R"({"a":2})");
  EXPECT_EQ(queue.next(0)->body, R"({"id":"0000000000000007","a":1})");
  EXPECT_FALSE(queue.next(0).has_value()) << "it is on its way";
  queue.delivered();
  EXPECT_EQ(queue.next(0)->id, 8u);
  queue.delivered();
  EXPECT_EQ(queue.due_ns(), UINT64_MAX);
}

TEST(AlertQueue, TriesAgainAfterLongerAndLongerPauses) {
  AlertQueue queue(1);
  queue.add(R"({"a":1})");
  uint64_t now = 0;
  std::set<uint64_t> pauses;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(queue.next(now).has_value());
    queue.failed(now);
    EXPECT_FALSE(queue.next(queue.due_ns() - 1).has_value());
    pauses.insert(queue.due_ns() - now);
    now = queue.due_ns();
  }
  EXPECT_EQ(*pauses.begin(), AlertQueue::kFirstPauseNs);
  EXPECT_EQ(*pauses.rbegin(), AlertQueue::kLongestPauseNs);
  ASSERT_TRUE(queue.next(now).has_value());
  queue.delivered();
  EXPECT_EQ(queue.due_ns(), UINT64_MAX);
}

TEST(AlertQueue, HasRoomForKMaxAlertsAndAsManyPages) {
  AlertQueue queue(1);
  for (uint64_t i = 0; i < kMaxAlerts; ++i) {
    EXPECT_TRUE(queue.has_room(/*pages=*/false));
    queue.add(R"({"a":1})");
  }
  EXPECT_FALSE(queue.has_room(/*pages=*/false));
  for (uint64_t i = 0; i < kMaxAlerts; ++i) {
    EXPECT_TRUE(queue.has_room(/*pages=*/true));
    queue.add(R"({"a":1})");
  }
  EXPECT_FALSE(queue.has_room(/*pages=*/true));
  queue.next(0);
  queue.delivered();
  EXPECT_TRUE(queue.has_room(/*pages=*/true));
}

}  // namespace
}  // namespace weir::routing::alert_queue_test
