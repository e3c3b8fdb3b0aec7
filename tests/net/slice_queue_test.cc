#include "net/slice_queue.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace weir::net {
namespace {

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

class SliceQueueTest : public ::testing::Test {
 protected:
  ~SliceQueueTest() override { queue.drop_all(); }

  void refer(std::string_view text) {
    ASSERT_TRUE(queue.push(buffers.copy_of(bytes_of(text)), SliceQueue::Keep::reference, buffers));
  }
  void copy(std::string_view text) {
    ASSERT_TRUE(queue.push(buffers.copy_of(bytes_of(text)), SliceQueue::Keep::copy, buffers));
  }
  std::vector<std::string> lock() {
    iovec pieces[SliceQueue::kCapacity];
    const uint32_t count = queue.lock(pieces);
    std::vector<std::string> texts;
    for (uint32_t i = 0; i < count; ++i)
      texts.emplace_back(static_cast<char*>(pieces[i].iov_base), pieces[i].iov_len);
    return texts;
  }
  // Everything that is queued, in order; the queue is empty after.
  std::string drain() {
    std::string all;
    while (!queue.empty()) {
      uint64_t size = 0;
      for (const std::string& piece : lock()) {
        all += piece;
        size += piece.size();
      }
      queue.unlock(size);
    }
    return all;
  }

  core::BufferPool buffers;
  SliceQueue queue;
};

TEST_F(SliceQueueTest, SendsPiecesFromWhereTheyAre) {
  core::Slice piece = buffers.copy_of(bytes_of("in place"));
  const void* where = piece.data();
  ASSERT_TRUE(queue.push(std::move(piece), SliceQueue::Keep::reference, buffers));
  iovec pieces[SliceQueue::kCapacity];
  ASSERT_EQ(queue.lock(pieces), 1u);
  EXPECT_EQ(pieces[0].iov_base, where);
  queue.unlock(8);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(buffers.live_blocks(), 0u);
}

TEST_F(SliceQueueTest, JoinsPiecesThatLieBehindEachOther) {
  const core::Slice whole = buffers.copy_of(bytes_of("onetwothree"));
  ASSERT_TRUE(queue.push(whole.share(0, 3), SliceQueue::Keep::reference, buffers));
  ASSERT_TRUE(queue.push(whole.share(3, 3), SliceQueue::Keep::reference, buffers));
  ASSERT_TRUE(queue.push(whole.share(6, 5), SliceQueue::Keep::reference, buffers));
  EXPECT_EQ(lock(), std::vector<std::string>{"onetwothree"});
  queue.unlock(11);
}

TEST_F(SliceQueueTest, IgnoresEmptyPieces) {
  refer("");
  copy("");
  EXPECT_TRUE(queue.empty());
}

TEST_F(SliceQueueTest, CopiesTogetherWhatWaitsBehindASend) {
  refer("being sent");
  ASSERT_EQ(lock(), std::vector<std::string>{"being sent"});
  copy("a");
  copy("b");
  copy("c");
  EXPECT_EQ(queue.bytes(), 13u);
  queue.unlock(10);
  EXPECT_EQ(lock(), std::vector<std::string>{"abc"});
  queue.unlock(3);
}

TEST_F(SliceQueueTest, NeverJoinsOntoWhatIsBeingSent) {
  const core::Slice whole = buffers.copy_of(bytes_of("firstsecond"));
  ASSERT_TRUE(queue.push(whole.share(0, 5), SliceQueue::Keep::reference, buffers));
  EXPECT_EQ(lock(), std::vector<std::string>{"first"});
  ASSERT_TRUE(queue.push(whole.share(5, 6), SliceQueue::Keep::reference, buffers));
  queue.unlock(5);
  EXPECT_EQ(lock(), std::vector<std::string>{"second"});
  queue.unlock(6);
}

TEST_F(SliceQueueTest, GoesOnWhereAShortSendEnded) {
  refer("abc");
  refer("def");
  lock();
  queue.unlock(4);
  EXPECT_EQ(queue.bytes(), 2u);
  EXPECT_EQ(drain(), "ef");
}

TEST_F(SliceQueueTest, KeepsEverythingOfASendThatFailed) {
  refer("abc");
  copy("def");
  lock();
  queue.unlock(0);
  EXPECT_EQ(drain(), "abcdef");
}

TEST_F(SliceQueueTest, TakesMorePiecesThanItHasPlaces) {
  std::string expected;
  for (uint32_t i = 0; i < 5 * SliceQueue::kCapacity; ++i) {
    expected += std::to_string(i) + ",";
    refer(std::to_string(i) + ",");
  }
  EXPECT_EQ(queue.bytes(), expected.size());
  EXPECT_EQ(drain(), expected);
}

TEST_F(SliceQueueTest, AcceptsPiecesWhileAFullRingIsBeingSent) {
  std::string expected;
  for (uint32_t i = 0; i < SliceQueue::kCapacity; ++i) {
    expected += std::to_string(i) + ",";
    refer(std::to_string(i) + ",");
  }
  const auto sending = lock();
  uint64_t size = 0;
  for (const std::string& piece : sending) size += piece.size();
  for (int i = 0; i < 100; ++i) {
    expected += "more,";
    copy("more,");
  }
  queue.unlock(size);
  std::string seen;
  for (const std::string& piece : sending) seen += piece;
  EXPECT_EQ(seen + drain(), expected);
}

TEST_F(SliceQueueTest, AppendsNothingWithoutMemory) {
  core::BufferPool small(1024);
  SliceQueue full;
  ASSERT_TRUE(full.push(core::Slice::of_static("first"), SliceQueue::Keep::reference, small));
  EXPECT_FALSE(full.push(core::Slice::of_static("second"), SliceQueue::Keep::copy, small));
  EXPECT_EQ(full.bytes(), 5u);
  full.drop_all();
}

TEST_F(SliceQueueTest, DropsWithoutLeaving) {
  for (int i = 0; i < 40; ++i) refer("piece");
  queue.drop_all();
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.bytes(), 0u);
  EXPECT_EQ(buffers.live_blocks(), 0u);
}

// Any order of pushes, sends, short sends and failures yields the bytes in order.
TEST_F(SliceQueueTest, BehavesLikeOneLongString) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    std::mt19937 random(seed);
    std::string pushed, sent;
    std::vector<std::string> sending;
    bool busy = false;
    for (int step = 0; step < 500; ++step) {
      switch (random() % 4) {
        case 0:
        case 1: {
          const std::string piece(random() % 4 == 0 ? random() % 40'000 : random() % 200,
                                  static_cast<char>('a' + random() % 26));
          pushed += piece;
          random() % 2 ? copy(piece) : refer(piece);
          break;
        }
        case 2:
          if (!busy && !queue.empty()) {
            sending = lock();
            busy = true;
          }
          break;
        default:
          if (busy) {
            std::string all;
            for (const std::string& piece : sending) all += piece;
            const size_t count = random() % 3 == 0 ? random() % (all.size() + 1) : all.size();
            queue.unlock(count);
            sent += all.substr(0, count);
            busy = false;
          }
      }
      ASSERT_EQ(queue.bytes(), pushed.size() - sent.size());
    }
    if (busy) queue.unlock(0);
    sent += drain();
    ASSERT_TRUE(sent == pushed) << "seed " << seed;
    EXPECT_EQ(buffers.live_blocks(), 0u);
  }
}

}  // namespace
}  // namespace weir::net
