#include "core/buffer.h"

#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <vector>

namespace weir::core {
namespace {

constexpr uint64_t kMiB = 1 << 20;

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

TEST(BufferPool, GivesAtLeastTheRoomAskedFor) {
  BufferPool pool;
  for (const uint32_t size : {0u, 1u, 511u, 512u, 513u, 65'536u, 65'537u, 1'000'000u}) {
    Slice slice = pool.allocate(size);
    ASSERT_NE(slice.block(), nullptr) << size;
    EXPECT_GE(slice.room(), size);
    EXPECT_TRUE(slice.empty());
  }
  EXPECT_EQ(pool.live_blocks(), 0u);
}

TEST(BufferPool, HasReadablePaddingBehindEveryBlock) {
  BufferPool pool;
  Slice slice = pool.allocate(512);
  ASSERT_EQ(slice.room(), 512u);
  slice.set_size(512);
  for (uint32_t i = 0; i < BufferPool::kPadding; ++i) EXPECT_EQ(slice.data()[512 + i], 0);
}

TEST(BufferPool, ReusesTheBlockReleasedLastWithoutAllocating) {
  BufferPool pool;
  const uint8_t* first = pool.allocate(1000).data();
  const uint64_t allocated = pool.allocated_bytes();
  EXPECT_EQ(pool.allocate(1000).data(), first);
  EXPECT_EQ(pool.allocated_bytes(), allocated);
}

TEST(BufferPool, RefusesPastItsLimitAndRecovers) {
  BufferPool pool(2 * kMiB);
  Slice first = pool.allocate(kMiB);
  Slice second = pool.allocate(kMiB);
  ASSERT_NE(second.block(), nullptr);
  EXPECT_EQ(pool.allocate(1).block(), nullptr);
  second.reset();
  EXPECT_NE(pool.allocate(kMiB).block(), nullptr);
}

TEST(BufferPool, HoldsNoMoreThanKMaxBufferBytesPerShard) {
  BufferPool pool;
  constexpr uint32_t kLargest = 1u << BufferPool::kLargestClass;
  std::vector<Slice> held;
  for (uint64_t total = 0; total + kLargest <= limits::kMaxBufferBytesPerShard; total += kLargest) {
    held.push_back(pool.allocate(kLargest));
    ASSERT_NE(held.back().block(), nullptr) << total;
  }
  EXPECT_EQ(pool.allocate(1).block(), nullptr);
}

TEST(BufferPool, RefusesABlockAboveItsLargestClass) {
  BufferPool pool;
  EXPECT_EQ(pool.allocate((1u << BufferPool::kLargestClass) + 1).block(), nullptr);
}

TEST(BufferPool, ReturnsLargeBlocksToTheAllocator) {
  BufferPool pool;
  {
    std::vector<Slice> burst;
    for (int i = 0; i < 8; ++i) burst.push_back(pool.allocate(4 * kMiB));
    EXPECT_EQ(pool.allocated_bytes(), 32 * kMiB);
  }
  EXPECT_LE(pool.allocated_bytes(), 8 * kMiB);
}

TEST(BufferPool, KeepsAQuarterOfWhatIsInUseAndLittleOnceTheLoadEnds) {
  BufferPool pool;
  std::vector<Slice> load;
  for (int i = 0; i < 100; ++i) load.push_back(pool.allocate(kMiB));
  load.resize(88);
  EXPECT_EQ(pool.allocated_bytes(), 100 * kMiB);  // 12 wait for the next burst
  load.clear();
  EXPECT_LE(pool.allocated_bytes(), 4 * kMiB);
}

TEST(BufferPool, GivesUpWhatItKeepsBeforeItRefuses) {
  BufferPool pool(4 * kMiB);
  for (int i = 0; i < 3; ++i) std::ignore = pool.allocate(kMiB >> i);
  EXPECT_NE(pool.allocate(4 * kMiB).block(), nullptr);
}

TEST(Slice, KeepsItsBlockUntilTheLastShareIsGone) {
  BufferPool pool;
  Slice whole = pool.copy_of(bytes_of("headbody"));
  Slice body = whole.share(4, 4);
  whole.reset();
  EXPECT_EQ(pool.live_blocks(), 1u);
  EXPECT_EQ(body.text(), "body");
  body.reset();
  EXPECT_EQ(pool.live_blocks(), 0u);
}

TEST(Slice, MovesItsReference) {
  BufferPool pool;
  Slice first = pool.copy_of(bytes_of("abc"));
  Slice second = std::move(first);
  EXPECT_TRUE(first.empty());
  EXPECT_EQ(first.block(), nullptr);
  second = pool.copy_of(bytes_of("def"));
  EXPECT_EQ(pool.live_blocks(), 1u);
  EXPECT_EQ(second.text(), "def");
}

TEST(Slice, ViewsStaticMemoryWithoutABlock) {
  Slice slice = Slice::of_static("constant");
  EXPECT_EQ(slice.block(), nullptr);
  EXPECT_EQ(slice.room(), 0u);
  slice.drop_front(3);
  EXPECT_EQ(slice.share().text(), "stant");
}

TEST(Slice, AbsorbsOnlyWhatLiesDirectlyBehind) {
  BufferPool pool;
  Slice whole = pool.copy_of(bytes_of("0123456789"));
  Slice front = whole.share(0, 3);
  EXPECT_FALSE(front.absorb(whole.share(4, 2)));
  EXPECT_TRUE(front.absorb(whole.share(3, 4)));
  EXPECT_EQ(front.text(), "0123456");
  Slice other = pool.copy_of(bytes_of("789"));
  EXPECT_FALSE(front.absorb(other));
  Slice constant = Slice::of_static("ab");
  EXPECT_FALSE(constant.absorb(constant.share(1, 1)));
}

TEST(Slice, FillsItsRoom) {
  BufferPool pool;
  Slice slice = pool.allocate(600);
  std::memcpy(slice.mutable_data(), "written", 7);
  slice.set_size(7);
  slice.drop_front(3);
  EXPECT_EQ(slice.text(), "tten");
  EXPECT_EQ(slice.room(), 1024u - 3u);
  slice.truncate(1);
  EXPECT_EQ(slice.text(), "t");
}

TEST(BufferPool, HandsReceiveBlocksBackToIo) {
  BufferPool pool;
  uint8_t memory[16] = {};
  Block block;
  block.base = memory;
  block.capacity = sizeof memory;
  block.references = 1;  // the kernel's
  block.is_receive = true;
  block.pool = &pool;
  std::vector<Block*> recycled;
  pool.on_recycle([](void* list, Block& back) { static_cast<std::vector<Block*>*>(list)->push_back(&back); },
                  &recycled);
  ++block.references;
  Slice slice(memory, 4, &block);
  --block.references;  // the kernel is done with it
  EXPECT_TRUE(recycled.empty());
  slice.reset();
  EXPECT_EQ(recycled, std::vector<Block*>{&block});
}

}  // namespace
}  // namespace weir::core
