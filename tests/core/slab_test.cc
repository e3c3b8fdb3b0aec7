#include "core/slab.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

namespace weir::core {
namespace {

struct Tracked {
  Tracked(int& count, int v) : alive(&count), value(v) { ++*alive; }
  ~Tracked() { --*alive; }
  int* alive;
  int value;
};

struct alignas(128) Wide {
  char byte = 'w';
};

TEST(Slab, ConstructsOnAcquireAndDestroysOnRelease) {
  int alive = 0;
  Slab<Tracked> slab(10);
  Tracked* object = slab.acquire(alive, 42);
  ASSERT_NE(object, nullptr);
  EXPECT_EQ(object->value, 42);
  EXPECT_EQ(alive, 1);
  EXPECT_EQ(slab.live(), 1u);
  slab.release(object);
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(slab.live(), 0u);
}

TEST(Slab, AnswersNullptrAtTheLimitAndRecovers) {
  Slab<int> slab(3);
  std::vector<int*> objects;
  for (int i = 0; i < 3; ++i) objects.push_back(slab.acquire(i));
  EXPECT_EQ(slab.acquire(9), nullptr);
  slab.release(objects[1]);
  EXPECT_NE(slab.acquire(9), nullptr);
  EXPECT_EQ(slab.acquire(9), nullptr);
  EXPECT_EQ(slab.live(), 3u);
}

TEST(Slab, AnswersNullptrWhenTheLimitIsZero) {
  Slab<int> slab(0);
  EXPECT_EQ(slab.acquire(1), nullptr);
}

TEST(Slab, KeepsAddressesAcrossGrowth) {
  Slab<uint64_t> slab(1000);
  std::vector<uint64_t*> objects;
  for (uint64_t i = 0; i < 1000; ++i) objects.push_back(slab.acquire(i));
  std::set<uint64_t*> distinct(objects.begin(), objects.end());
  EXPECT_EQ(distinct.size(), 1000u);
  for (uint64_t i = 0; i < 1000; ++i) EXPECT_EQ(*objects[i], i);
}

TEST(Slab, ResolvesAHandleUntilItsObjectIsReleased) {
  Slab<int> slab(10);
  int* first = slab.acquire(1);
  const Handle<int> handle = slab.handle_of(first);
  EXPECT_EQ(slab.get(handle), first);
  slab.release(first);
  EXPECT_EQ(slab.get(handle), nullptr);
  int* second = slab.acquire(2);
  EXPECT_EQ(second, first) << "the slot is reused";
  EXPECT_EQ(slab.get(handle), nullptr) << "but the old handle stays stale";
  EXPECT_EQ(slab.get(slab.handle_of(second)), second);
}

TEST(Slab, NeverResolvesADefaultOrForeignHandle) {
  Slab<int> slab(200);
  EXPECT_EQ(slab.get({}), nullptr);
  int* object = slab.acquire(1);
  EXPECT_EQ(slab.get({}), nullptr);
  EXPECT_EQ(slab.get({.index = 150, .generation = 1}), nullptr);
  slab.release(object);
  EXPECT_EQ(slab.get({.index = 0, .generation = 2}), nullptr) << "the generation of a free slot";
}

TEST(Slab, PacksAHandleInto64Bits) {
  Slab<int> slab(200);
  for (int i = 0; i < 100; ++i) slab.acquire(i);
  int* object = slab.acquire(7);
  const Handle<int> handle = slab.handle_of(object);
  EXPECT_EQ(Handle<int>::from_packed(handle.packed()), handle);
  EXPECT_EQ(slab.get(Handle<int>::from_packed(handle.packed())), object);
}

TEST(Slab, ReusesTheSlotReleasedLastFirst) {
  Slab<int> slab(10);
  int* a = slab.acquire(1);
  int* b = slab.acquire(2);
  int* c = slab.acquire(3);
  slab.release(a);
  slab.release(c);
  slab.release(b);
  EXPECT_EQ(slab.acquire(4), b);
  EXPECT_EQ(slab.acquire(5), c);
  EXPECT_EQ(slab.acquire(6), a);
}

TEST(Slab, TakesNoMemoryInSteadyState) {
  Slab<int> slab(1'000'000);
  EXPECT_EQ(slab.memory_bytes(), 0u);
  std::vector<int*> objects;
  for (int i = 0; i < 65; ++i) objects.push_back(slab.acquire(i));
  const size_t two_chunks = slab.memory_bytes();
  for (int round = 0; round < 1000; ++round) {
    for (int*& object : objects) {
      slab.release(object);
      object = slab.acquire(round);
    }
  }
  EXPECT_EQ(slab.memory_bytes(), two_chunks);
}

TEST(Slab, DestroysWhatStillLives) {
  int alive = 0;
  {
    Slab<Tracked> slab(100);
    for (int i = 0; i < 70; ++i) slab.acquire(alive, i);
    EXPECT_EQ(alive, 70);
  }
  EXPECT_EQ(alive, 0);
}

TEST(Slab, VisitsLiveObjectsAndLetsTheVisitorReleaseThem) {
  Slab<int> slab(100);
  std::vector<int*> objects;
  for (int i = 0; i < 70; ++i) objects.push_back(slab.acquire(i));
  slab.release(objects[3]);
  int seen = 0;
  slab.for_each([&](int& value) {
    EXPECT_NE(value, 3);
    ++seen;
    slab.release(&value);
  });
  EXPECT_EQ(seen, 69);
  EXPECT_EQ(slab.live(), 0u);
}

TEST(Slab, HonoursAlignmentAndHoldsMoveOnlyObjects) {
  Slab<Wide> wide(100);
  for (int i = 0; i < 70; ++i) EXPECT_EQ(reinterpret_cast<uintptr_t>(wide.acquire()) % 128, 0u);
  Slab<std::unique_ptr<std::string>> owners(4);
  auto* owner = owners.acquire(std::make_unique<std::string>("held"));
  EXPECT_EQ(**owner, "held");
}

TEST(SlabDeathTest, RefusesADoubleRelease) {
  Slab<int> slab(4);
  int* object = slab.acquire(1);
  slab.release(object);
  EXPECT_DEATH(slab.release(object), "");
}

#ifdef WEIR_POISONING
TEST(SlabDeathTest, PoisonsReleasedObjects) {
  Slab<uint64_t> slab(4);
  uint64_t* object = slab.acquire(1u);
  slab.release(object);
  EXPECT_DEATH(*static_cast<volatile uint64_t*>(object) = 2, "use-after-poison");
}
#endif

}  // namespace
}  // namespace weir::core
