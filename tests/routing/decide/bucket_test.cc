#include "routing/decide/bucket.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace weir::routing {
namespace {

// open-feature/flagd-testbed: keys whose hash is at the edges of the projection.
TEST(Bucket, ProjectsThePublishedEdgeKeys) {
  const std::pair<const char*, uint32_t> edges[] = {
      {"ejOoVL", 0}, {"bY9fO-", 1}, {"SI7p-", 0x7fffffff}, {"6LvT0", 0x80000000}, {"ceQdGm", 0xffffffff}};
  for (const auto& [key, hash] : edges) {
    EXPECT_EQ(core::murmur3_32(key), hash) << key;
    EXPECT_EQ(bucket_of(core::Murmur3(0), key), project(hash, kBuckets)) << key;
  }
  EXPECT_EQ(project(0, kBuckets), 0u);
  EXPECT_EQ(project(1, kBuckets), 0u);
  EXPECT_EQ(project(0x7fffffff, kBuckets), 49'999u);
  EXPECT_EQ(project(0x80000000, kBuckets), 50'000u);
  EXPECT_EQ(project(0xffffffff, kBuckets), 99'999u);
}

TEST(Bucket, HashesSaltColonKey) {
  for (const std::string salt : {"", "s", "sal", "salt", "support-v2", "a-salt-that-is-longer"}) {
    for (const std::string key : {"", "u", "user-4711", "c0ffee-c0ffee-c0ffee"}) {
      EXPECT_EQ(bucket_of(begin_split(salt), key), project(core::murmur3_32(salt + ":" + key), kBuckets));
    }
  }
}

TEST(Bucket, CutsTheSamePeopleIndependentlyWithAnotherSalt) {
  unsigned both = 0;
  for (int i = 0; i < 40'000; i++) {
    const std::string key = "u" + std::to_string(i);
    both += bucket_of(begin_split("one"), key) < kBuckets / 2 &&
            bucket_of(begin_split("two"), key) < kBuckets / 2;
  }
  EXPECT_NEAR(both, 10'000, 500);
}

}  // namespace
}  // namespace weir::routing
