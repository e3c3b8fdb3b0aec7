#include "routing/table/hash_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace weir::routing {
namespace {

using Entry = HashIndex::Entry;

std::optional<uint32_t> find(const HashIndex& index, uint32_t hash, uint32_t value) {
  return index.find(hash, [&](uint32_t candidate) { return candidate == value; });
}

TEST(HashIndex, FindsNothingWhenEmpty) {
  EXPECT_EQ(find(HashIndex(), 1, 1), std::nullopt);
}

TEST(HashIndex, FindsEveryEntryAtEverySize) {
  std::mt19937 random(1);
  for (const size_t size : {1, 2, 3, 1'023, 1'024, 1'025, 5'000, 50'000}) {
    std::vector<Entry> entries;
    for (uint32_t i = 0; i < size; i++) entries.push_back({static_cast<uint32_t>(random()), i});
    const HashIndex index = HashIndex::build(entries);
    ASSERT_EQ(index.size(), size);
    for (const Entry& entry : entries) ASSERT_EQ(find(index, entry.hash, entry.value), entry.value);
    for (int i = 0; i < 100; i++) {
      ASSERT_EQ(index.find(static_cast<uint32_t>(random()), [](uint32_t) { return false; }), std::nullopt);
    }
  }
}

TEST(HashIndex, NamesThePairsWithEqualHashes) {
  std::vector<Entry> entries;
  for (uint32_t i = 0; i < 3'000; i++) entries.push_back({i * 1'000'003, i});
  entries.push_back({7 * 1'000'003, 3'000});
  entries.push_back({7 * 1'000'003, 3'001});
  std::vector<HashIndex::Pair> suspects;
  HashIndex::build(entries, &suspects);
  std::ranges::sort(suspects);
  EXPECT_EQ(suspects, (std::vector<HashIndex::Pair>{{7, 3'000}, {7, 3'001}, {3'000, 3'001}}));
}

TEST(HashIndex, ChangesAsAMapDoes) {
  std::mt19937 random(2);
  HashIndex index;
  std::map<uint32_t, uint32_t> model;  // value -> hash
  uint32_t next = 0;
  for (int round = 0; round < 300; round++) {
    std::vector<Entry> removed, added;
    for (uint32_t count = random() % 40; count != 0 && !model.empty(); count--) {
      const auto at = std::next(model.begin(), static_cast<ptrdiff_t>(random() % model.size()));
      removed.push_back({at->second, at->first});
      model.erase(at);
    }
    for (uint32_t count = random() % 100; count != 0; count--) {
      added.push_back({static_cast<uint32_t>(random()) & 0xfff0ffff, next});
      model[next++] = added.back().hash;
    }
    const HashIndex before = index;
    index = index.with(removed, added);
    ASSERT_EQ(index.size(), model.size());
    for (const Entry& entry : removed) {
      ASSERT_EQ(find(index, entry.hash, entry.value), std::nullopt);
      ASSERT_EQ(find(before, entry.hash, entry.value), entry.value);
    }
  }
  for (const auto& [value, hash] : model) ASSERT_EQ(find(index, hash, value), value);
  EXPECT_GT(index.parts().size(), 1u);  // it has grown past one part
}

TEST(HashIndex, SharesThePartsThatAChangeDoesNotTouch) {
  std::vector<Entry> entries;
  for (uint32_t i = 0; i < 20'000; i++) entries.push_back({i * 214'748, i});
  const HashIndex index = HashIndex::build(entries);
  const HashIndex changed = index.with(std::vector{entries[0]}, {});
  size_t shared = 0;
  for (size_t i = 0; i < index.parts().size(); i++) {
    shared += index.parts().block(i) == changed.parts().block(i) ? 1 : 0;
  }
  EXPECT_EQ(shared, index.parts().size() - 1);
}

TEST(HashIndex, ComesBackFromItsParts) {
  std::vector<Entry> entries;
  for (uint32_t i = 0; i < 20'000; i++) entries.push_back({i * 214'748, i});
  const HashIndex index = HashIndex::build(entries);
  std::vector<BlockPtr> parts;
  for (size_t i = 0; i < index.parts().size(); i++) parts.push_back(index.parts().block(i));
  const HashIndex again = HashIndex::restore(parts);
  EXPECT_EQ(again.size(), index.size());
  for (const Entry& entry : entries) ASSERT_EQ(find(again, entry.hash, entry.value), entry.value);
}

}  // namespace
}  // namespace weir::routing
