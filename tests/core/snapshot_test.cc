#include "core/snapshot.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <vector>

namespace weir::core {
namespace {

// A table whose words all say the same, and say something else once it has been freed.
struct Table {
  explicit Table(uint64_t v) : value(v) {
    words.fill(v);
    alive.fetch_add(1);
  }
  ~Table() {
    words.fill(~uint64_t{0});
    alive.fetch_sub(1);
  }
  bool whole() const {
    for (const uint64_t word : words) {
      if (word != value) return false;
    }
    return true;
  }
  const uint64_t value;
  std::array<uint64_t, 64> words;
  static inline std::atomic<int> alive{0};
};

class SnapshotTest : public ::testing::Test {
 protected:
  SnapshotTest() {
    for (size_t i = 0; i < 2; ++i) readers.push_back(std::make_unique<SnapshotReader<Table>>(publisher, i));
  }
  uint64_t publish(uint64_t value) { return publisher.publish(std::make_unique<Table>(value)); }
  void refresh_all() {
    for (auto& reader : readers) reader->refresh();
  }

  int wakes = 0;
  SnapshotPublisher<Table> publisher{2, [this] { ++wakes; }};
  std::vector<std::unique_ptr<SnapshotReader<Table>>> readers;
};

TEST_F(SnapshotTest, HasNothingBeforeTheFirstPublish) {
  EXPECT_FALSE(readers[0]->refresh());
  EXPECT_FALSE(readers[0]->has_current());
  EXPECT_EQ(readers[0]->current_version(), 0u);
  EXPECT_EQ(publisher.newest(), nullptr);
  EXPECT_EQ(publisher.live_versions(), 0u);
}

TEST_F(SnapshotTest, ShowsAPublishedVersionAtTheNextRefreshOnly) {
  EXPECT_EQ(publish(10), 1u);
  EXPECT_FALSE(readers[0]->has_current());
  EXPECT_TRUE(readers[0]->refresh());
  EXPECT_EQ(readers[0]->current().value, 10u);
  EXPECT_EQ(publish(20), 2u);
  EXPECT_EQ(readers[0]->current().value, 10u);
  EXPECT_TRUE(readers[0]->refresh());
  EXPECT_FALSE(readers[0]->refresh());
  EXPECT_EQ(readers[0]->current().value, 20u);
  EXPECT_EQ(readers[0]->current_version(), 2u);
}

TEST_F(SnapshotTest, WakesTheReadersOnEveryPublish) {
  publish(1);
  publish(2);
  EXPECT_EQ(wakes, 2);
}

TEST_F(SnapshotTest, KnowsWhenEveryoneUsesAVersion) {
  const uint64_t first = publish(1);
  EXPECT_FALSE(publisher.everyone_uses(first));
  readers[0]->refresh();
  EXPECT_FALSE(publisher.everyone_uses(first));
  readers[1]->refresh();
  EXPECT_TRUE(publisher.everyone_uses(first));
  const uint64_t second = publish(2);
  EXPECT_TRUE(publisher.everyone_uses(first));
  EXPECT_FALSE(publisher.everyone_uses(second));
  refresh_all();
  EXPECT_TRUE(publisher.everyone_uses(second));
}

TEST_F(SnapshotTest, FreesAVersionOnceEveryReaderHasMovedOn) {
  publish(1);
  refresh_all();
  publish(2);
  EXPECT_EQ(publisher.reclaim(), 0u);
  readers[0]->refresh();
  EXPECT_EQ(publisher.reclaim(), 0u);
  EXPECT_TRUE(readers[1]->current().whole());
  readers[1]->refresh();
  EXPECT_EQ(publisher.reclaim(), 1u);
  EXPECT_EQ(publisher.live_versions(), 1u);
  EXPECT_TRUE(readers[1]->current().whole());
}

TEST_F(SnapshotTest, NeverFreesTheNewest) {
  publish(1);
  refresh_all();
  EXPECT_EQ(publisher.reclaim(), 0u);
  readers.clear();
  EXPECT_EQ(publisher.reclaim(), 0u);
  EXPECT_EQ(publisher.live_versions(), 1u);
}

TEST_F(SnapshotTest, FreesVersionsThatReadersSleptThrough) {
  publish(1);
  refresh_all();
  for (uint64_t i = 2; i <= 10; ++i) publish(i);
  EXPECT_EQ(publisher.reclaim(), 0u) << "somebody might be about to take any of them";
  refresh_all();
  EXPECT_EQ(publisher.reclaim(), 9u);
  EXPECT_EQ(readers[0]->current().value, 10u);
}

TEST_F(SnapshotTest, KeepsAPinnedVersionAndFreesThoseAround) {
  publish(1);
  refresh_all();
  publish(2);
  refresh_all();
  SnapshotRef<Table> stream = readers[0]->pin();
  publish(3);
  refresh_all();
  publish(4);
  refresh_all();
  EXPECT_EQ(publisher.reclaim(), 2u);
  EXPECT_EQ(publisher.live_versions(), 2u);
  EXPECT_EQ(stream->value, 2u);
  EXPECT_TRUE(stream->whole());
  EXPECT_TRUE(publisher.everyone_uses(4)) << "a pin does not hold back the acknowledgement";
  stream.reset();
  EXPECT_FALSE(stream);
  EXPECT_EQ(publisher.reclaim(), 1u);
}

TEST_F(SnapshotTest, CountsPinsPerReader) {
  publish(1);
  refresh_all();
  std::optional<SnapshotRef<Table>> a(readers[0]->pin());
  std::optional<SnapshotRef<Table>> b(readers[0]->pin());
  std::optional<SnapshotRef<Table>> c(readers[1]->pin());
  publish(2);
  refresh_all();
  a.reset();
  EXPECT_EQ(publisher.reclaim(), 0u);
  c.reset();
  EXPECT_EQ(publisher.reclaim(), 0u);
  b.reset();
  EXPECT_EQ(publisher.reclaim(), 1u);
}

TEST_F(SnapshotTest, ReleasesAPinOfTheCurrentVersionWithoutHarm) {
  publish(1);
  refresh_all();
  readers[0]->pin().reset();
  EXPECT_EQ(publisher.reclaim(), 0u);
  EXPECT_TRUE(readers[0]->current().whole());
}

TEST_F(SnapshotTest, MovesAPin) {
  publish(1);
  refresh_all();
  SnapshotRef<Table> first = readers[0]->pin();
  publish(2);
  refresh_all();
  SnapshotRef<Table> second = readers[0]->pin();
  SnapshotRef<Table> moved = std::move(first);
  EXPECT_FALSE(first);  // NOLINT: the moved-from state is the subject
  EXPECT_EQ(moved->value, 1u);
  moved = std::move(second);
  EXPECT_EQ(moved->value, 2u);
  EXPECT_EQ(publisher.reclaim(), 1u) << "assignment let go of the old version";
  moved = {};
  EXPECT_FALSE(moved);
}

TEST_F(SnapshotTest, DoesNotWaitForAReaderThatHasGone) {
  publish(1);
  refresh_all();
  SnapshotRef<Table> left_behind = readers[0]->pin();
  readers[0].reset();
  const uint64_t second = publish(2);
  readers[1]->refresh();
  EXPECT_TRUE(publisher.everyone_uses(second));
  EXPECT_EQ(publisher.reclaim(), 0u);
  EXPECT_TRUE(left_behind->whole());
  left_behind.reset();
  EXPECT_EQ(publisher.reclaim(), 1u);
  readers.erase(readers.begin());
}

TEST(SnapshotDeathTest, RefusesToFreeWhatIsStillRead) {
  EXPECT_DEATH(
      {
        auto publisher = std::make_unique<SnapshotPublisher<int>>(1, nullptr);
        SnapshotReader<int> reader(*publisher, 0);
        publisher->publish(std::make_unique<int>(1));
        reader.refresh();
        publisher.reset();
      },
      "");
}

// Three shards read, pin for random numbers of turns and let go, while the control thread swaps ten thousand
// times. No reader may ever see a torn, freed or older version; in the end all but the newest are freed.
TEST(Snapshot, SurvivesTenThousandSwapsUnderReaders) {
  constexpr size_t kReaders = 3;
  constexpr uint64_t kSwaps = 10'000;
  {
    SnapshotPublisher<Table> publisher(kReaders, nullptr);
    std::atomic<int> bad{0};
    std::atomic<size_t> caught_up{0};
    std::vector<std::thread> shards;
    for (size_t index = 0; index < kReaders; ++index) {
      shards.emplace_back([&, index] {
        std::mt19937_64 random(index);
        SnapshotReader<Table> reader(publisher, index);
        std::deque<SnapshotRef<Table>> streams;
        uint64_t last = 0;
        while (last < kSwaps) {
          if (!reader.refresh()) std::this_thread::yield();
          if (!reader.has_current()) continue;
          const Table& table = reader.current();
          bad += !table.whole() || table.value < last;
          last = table.value;
          for (uint64_t n = random() % 3; n > 0 && streams.size() < 50; --n) streams.push_back(reader.pin());
          for (uint64_t n = random() % 4; n > 0 && !streams.empty(); --n) {
            const size_t which = random() % streams.size();
            bad += !streams[which]->whole();
            streams.erase(streams.begin() + static_cast<ptrdiff_t>(which));
          }
        }
        for (const auto& stream : streams) bad += !stream->whole();
        streams.clear();
        ++caught_up;
        while (caught_up.load() <= kReaders) std::this_thread::yield();  // until the test has looked
      });
    }
    size_t freed = 0;
    for (uint64_t value = 1; value <= kSwaps; ++value) {
      EXPECT_EQ(publisher.publish(std::make_unique<Table>(value)), value);
      if (value % 7 == 0) freed += publisher.reclaim();
      // Keeps publisher and readers interleaved even on one core.
      while (value % 50 == 0 && !publisher.everyone_uses(value - 40)) std::this_thread::yield();
    }
    while (caught_up.load() < kReaders) std::this_thread::yield();
    EXPECT_TRUE(publisher.everyone_uses(kSwaps));
    freed += publisher.reclaim();
    EXPECT_EQ(publisher.live_versions(), 1u);
    EXPECT_EQ(freed, kSwaps - 1);
    ++caught_up;
    for (std::thread& shard : shards) shard.join();
    EXPECT_EQ(bad, 0);
  }
  EXPECT_EQ(Table::alive, 0);
}

}  // namespace
}  // namespace weir::core
