#include "core/murmur3.h"

#include <gtest/gtest.h>

#include <string>

namespace weir::core {
namespace {

// open-feature/flagd-testbed: keys chosen to hash to the edges of the range.
TEST(Murmur3, ReproducesThePublishedEdgeKeys) {
  EXPECT_EQ(murmur3_32("ejOoVL"), 0u);
  EXPECT_EQ(murmur3_32("bY9fO-"), 1u);
  EXPECT_EQ(murmur3_32("SI7p-"), 0x7fffffffu);
  EXPECT_EQ(murmur3_32("6LvT0"), 0x80000000u);
  EXPECT_EQ(murmur3_32("ceQdGm"), 0xffffffffu);
}

// Widely published vectors of the original, every tail length and several seeds.
TEST(Murmur3, ReproducesTheOriginal) {
  EXPECT_EQ(murmur3_32("", 0), 0u);
  EXPECT_EQ(murmur3_32("", 1), 0x514e28b7u);
  EXPECT_EQ(murmur3_32("", 0xffffffff), 0x81f16f39u);
  EXPECT_EQ(murmur3_32("\xff\xff\xff\xff", 0), 0x76293b50u);
  EXPECT_EQ(murmur3_32("\x21\x43\x65\x87", 0), 0xf55b516bu);
  EXPECT_EQ(murmur3_32("\x21\x43\x65\x87", 0x5082edee), 0x2362f9deu);
  EXPECT_EQ(murmur3_32("\x21\x43\x65", 0), 0x7e4a8634u);
  EXPECT_EQ(murmur3_32("\x21\x43", 0), 0xa0f7b07au);
  EXPECT_EQ(murmur3_32("\x21", 0), 0x72661cf4u);
}

TEST(Murmur3, GivesTheSameHashHoweverTheInputIsCut) {
  const std::string text = "support-v2:conversation-00d1ff";
  const uint32_t whole = murmur3_32(text, 9);
  for (size_t first = 0; first <= text.size(); ++first) {
    for (size_t second = first; second <= text.size(); ++second) {
      Murmur3 state(9);
      state.update(std::string_view(text).substr(0, first));
      state.update(std::string_view(text).substr(first, second - first));
      state.update(std::string_view(text).substr(second));
      ASSERT_EQ(state.finish(), whole) << first << " " << second;
    }
  }
}

TEST(Murmur3, ContinuesFromACopiedState) {
  Murmur3 salted;
  salted.update("support-v2:");
  Murmur3 one = salted;
  one.update("u-1");
  Murmur3 two = salted;
  two.update("u-2");
  EXPECT_EQ(one.finish(), murmur3_32("support-v2:u-1"));
  EXPECT_EQ(two.finish(), murmur3_32("support-v2:u-2"));
}

}  // namespace
}  // namespace weir::core
