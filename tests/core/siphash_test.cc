#include "core/siphash.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace weir::core {
namespace {

// Key 00 01 ... 0f, input 00 01 ... (length - 1), as in the reference code's vectors; output bytes in hex.
struct Vector {
  size_t length;
  std::string_view hex64;
  std::string_view hex128;
};
constexpr Vector kVectors[] = {
    {0, "310e0edd47db6f72", "a3817f04ba25a8e66df67214c7550293"},
    {1, "fd67dc93c539f874", "da87c1d86b99af44347659119b22fc45"},
    {2, "5a4fa9d909806c0d", "8177228da4a45dc7fca38bdef60affe4"},
    {3, "2d7efbd796666785", "9c70b60c5267a94e5f33b6b02985ed51"},
    {4, "b7877127e09427cf", "f88164c12d9c8faf7d0f6e7c7bcd5579"},
    {5, "8da699cd64557618", "1368875980776f8854527a07690e9627"},
    {6, "cee3fe586e46c9cb", "14eeca338b208613485ea0308fd7a15e"},
    {7, "37d1018bf50002ab", "a1f1ebbed8dbc153c0b84aa61ff08239"},
    {8, "6224939a79f5f593", "3b62a9ba6258f5610f83e264f31497b4"},
    {9, "b0e4a90bdf82009e", "264499060ad9baabc47f8b02bb6d71ed"},
    {10, "f3b9dd94c5bb5d7a", "00110dc378146956c95447d3f3d0fbba"},
    {11, "a7ad6b22462fb3f4", "0151c568386b6677a2b4dc6f81e5dc18"},
    {12, "fbe50e86bc8f1e75", "d626b266905ef35882634df68532c125"},
    {13, "903d84c02756ea14", "9869e247e9c08b10d029934fc4b952f7"},
    {14, "eef27a8e90ca23f7", "31fcefac66d7de9c7ec7485fe4494902"},
    {15, "e545be4961ca29a1", "5493e99933b0a8117e08ec0f97cfc3d9"},
    {16, "db9bc2577fcc2a3f", "6ee2a4ca67b054bbfd3315bf85230577"},
    {17, "9447be2cf5e99a69", "473d06e8738db89854c066c47ae47740"},
    {31, "42c341d8fa92d832", "2939b0183223fafc1723de4f52c43d35"},
    {32, "ce7cf2722f512771", "7c3956ca5eeafc3e363e9d556546eb68"},
    {51, "5a1645b276d592a1", "5fe2c1a172fe93c4b15cd37caef9f538"},
    {63, "724506eb4c328a95", "5150d1772f50834a503e069a973fbd7c"},
};
constexpr SipKey kKey = {.low = 0x0706050403020100, .high = 0x0f0e0d0c0b0a0908};

std::string input(size_t length) {
  std::string bytes;
  for (size_t i = 0; i < length; ++i) bytes += static_cast<char>(i);
  return bytes;
}

std::string hex(uint64_t word) {
  std::string text;
  for (int i = 0; i < 8; ++i, word >>= 8) {
    text += "0123456789abcdef"[word >> 4 & 15];
    text += "0123456789abcdef"[word & 15];
  }
  return text;
}

TEST(SipHash, ReproducesTheReferenceVectorsOf64Bits) {
  for (const Vector& vector : kVectors) {
    EXPECT_EQ(hex(siphash64(kKey, input(vector.length))), vector.hex64) << vector.length;
  }
}

TEST(SipHash, ReproducesTheReferenceVectorsOf128Bits) {
  for (const Vector& vector : kVectors) {
    const Hash128 hash = siphash128(kKey, input(vector.length));
    EXPECT_EQ(hex(hash.low) + hex(hash.high), vector.hex128) << vector.length;
  }
}

TEST(SipHash, DependsOnTheKey) {
  EXPECT_NE(siphash64(kKey, "sk-1"), siphash64(SipKey{}, "sk-1"));
  EXPECT_FALSE(siphash128(kKey, "sk-1") == siphash128(SipKey{}, "sk-1"));
}

// The tail is loaded from before its own start; never from before the input's.
TEST(SipHash, ReadsNothingOutsideTheInput) {
  for (size_t length = 0; length < 40; ++length) {
    const std::string bytes = input(length);
    const auto exact = std::make_unique<char[]>(length);
    bytes.copy(exact.get(), length);
    EXPECT_EQ(siphash64(kKey, {exact.get(), length}), siphash64(kKey, bytes));
  }
}

}  // namespace
}  // namespace weir::core
