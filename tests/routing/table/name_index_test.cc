#include "routing/table/name_index.h"

#include <gtest/gtest.h>

#include <deque>
#include <set>
#include <string>

namespace weir::routing {
namespace {

TEST(NameIndex, FindsNothingWhenEmpty) {
  NameIndex index;
  EXPECT_EQ(index.find("a"), std::nullopt);
  EXPECT_EQ(index.find(""), std::nullopt);
}

TEST(NameIndex, FindsEveryNameAndNoOther) {
  std::deque<std::string> names;
  NameIndex index;
  for (uint32_t i = 0; i < 5000; i++) {
    names.push_back("tenant-" + std::to_string(i * 7919));
    ASSERT_TRUE(index.insert(names.back(), i));
  }
  EXPECT_EQ(index.size(), 5000u);
  for (uint32_t i = 0; i < 5000; i++) {
    ASSERT_EQ(index.find(std::string(names[i])), i);
    ASSERT_EQ(index.find(names[i] + "x"), std::nullopt);
    ASSERT_EQ(index.find(std::string_view(names[i]).substr(1)), std::nullopt);
  }
}

TEST(NameIndex, KeepsTheFirstOfTwoEqualNames) {
  NameIndex index;
  EXPECT_TRUE(index.insert("a", 1));
  EXPECT_FALSE(index.insert("a", 2));
  EXPECT_EQ(index.find("a"), 1u);
  EXPECT_EQ(index.size(), 1u);
}

TEST(NameIndex, DistinguishesEveryByteAtEveryLength) {
  for (size_t length = 1; length <= 70; length++) {
    const std::string base(length, 'a');
    std::deque<std::string> variants;
    NameIndex index;
    for (size_t at = 0; at < length; at++) {
      variants.push_back(base);
      variants.back()[at] = 'b';
      ASSERT_TRUE(index.insert(variants.back(), static_cast<uint32_t>(at)));
    }
    for (size_t at = 0; at < length; at++) ASSERT_EQ(index.find(variants[at]), at) << length;
    ASSERT_EQ(index.find(base), std::nullopt);
  }
}

TEST(NameIndex, ItsHashReadsEveryByte) {
  for (size_t length = 1; length <= 70; length++) {
    std::set<uint64_t> seen{hash_name(std::string(length, 'a'))};
    for (size_t at = 0; at < length; at++) {
      std::string variant(length, 'a');
      variant[at] = 'b';
      EXPECT_TRUE(seen.insert(hash_name(variant)).second) << length << ' ' << at;
    }
  }
}

TEST(HashDigest, SpreadsDigestsThatOnlyCountUpwards) {
  std::set<uint64_t> slots;
  for (size_t at = 0; at < 32; at++) {
    for (uint8_t i = 1; i < 100; i++) {
      Digest digest{};
      digest[at] = i;
      slots.insert(hash_digest(digest) & 0xffff);
    }
  }
  EXPECT_GT(slots.size(), 3000u);  // of 3168 in 65536 slots about 3093 should differ
}

TEST(ShortHashIndex, FindsWhatWasInserted) {
  ShortHashIndex index;
  EXPECT_EQ(index.find(0), std::nullopt);
  for (uint32_t i = 0; i < 1000; i++)
    ASSERT_TRUE(index.insert(uint64_t{i} << 32, i));  // all on one probe path
  EXPECT_FALSE(index.insert(0, 5));
  for (uint32_t i = 0; i < 1000; i++) ASSERT_EQ(index.find(uint64_t{i} << 32), i);
  EXPECT_EQ(index.find(1), std::nullopt);
}

}  // namespace
}  // namespace weir::routing
