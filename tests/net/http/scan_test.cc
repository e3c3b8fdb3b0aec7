#include "net/http/scan.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

namespace weir::net {
namespace {

template <class Class>
void agrees_for_every_byte(const char* name) {
  for (unsigned byte = 0; byte < 256; ++byte) {
    Lanes lanes{};
    lanes += static_cast<uint8_t>(byte);
    EXPECT_EQ(lane_bits(Class::of(lanes)), Class::of(static_cast<uint8_t>(byte)) ? 0xffffu : 0u)
        << name << byte;
  }
}

TEST(Scan, LanesAndBytesAgreeInEveryClass) {
  agrees_for_every_byte<NotPlainText>("NotPlainText ");
  agrees_for_every_byte<NotTarget>("NotTarget ");
  agrees_for_every_byte<NotCommonName>("NotCommonName ");
  agrees_for_every_byte<NotHostName>("NotHostName ");
  agrees_for_every_byte<LineEnd>("LineEnd ");
}

TEST(Scan, BitsAreInTheOrderOfBytes) {
  for (unsigned i = 0; i < 16; ++i) {
    uint8_t bytes[16] = {};
    bytes[i] = 0xff;
    EXPECT_EQ(lane_bits(load_lanes(bytes)), 1u << i);
  }
}

// A line end at every place of ranges of every length, in buffers that end where the range ends.
TEST(Scan, FindsTheFirstByteWhereverItStands) {
  for (size_t size = 0; size <= 70; ++size) {
    const std::unique_ptr<uint8_t[]> bytes(new uint8_t[size]);
    for (size_t from = 0; from <= size; ++from) {
      std::fill_n(bytes.get(), size, '\n');
      std::fill_n(bytes.get() + from, size - from, 'x');
      EXPECT_EQ(find_first<LineEnd>(bytes.get(), from, size), size);
      for (size_t at = from; at < size; ++at) {
        bytes[at] = '\r';
        EXPECT_EQ(find_first<LineEnd>(bytes.get(), from, size), at);
        bytes[at] = 'x';
      }
    }
  }
}

std::vector<uint32_t> scan(const uint8_t* bytes, uint32_t from, uint32_t size) {
  std::vector<uint32_t> found;
  Scanner<LineEnd> scanner(bytes, from, size);
  for (uint32_t at = 0; scanner.next(at);) found.push_back(at);
  return found;
}

TEST(Scan, EnumeratesEveryByteInRangesOfEveryLength) {
  for (uint32_t size = 0; size <= 200; ++size) {
    const std::unique_ptr<uint8_t[]> bytes(new uint8_t[size]);
    std::fill_n(bytes.get(), size, 'x');
    for (uint32_t at = 0; at < size; at += 1 + at % 5) bytes[at] = '\n';
    for (uint32_t from = 0; from <= size; from += 3) {
      std::vector<uint32_t> expected;
      for (uint32_t at = from; at < size; ++at)
        if (bytes[at] == '\n') expected.push_back(at);
      EXPECT_EQ(scan(bytes.get(), from, size), expected) << from << " " << size;
    }
  }
}

TEST(Scan, SkipsTheSecondByteOfAPairWhereverABlockEnds) {
  for (uint32_t gap = 0; gap <= 130; ++gap) {
    std::vector<uint8_t> bytes(gap, 'x');
    for (int pair = 0; pair < 4; ++pair) bytes.insert(bytes.end(), {'\r', '\n', 'y'});
    Scanner<LineEnd> scanner(bytes.data(), 0, static_cast<uint32_t>(bytes.size()));
    for (uint32_t pair = 0; pair < 4; ++pair) {
      uint32_t at = 0;
      ASSERT_TRUE(scanner.next(at));
      EXPECT_EQ(at, gap + 3 * pair);
      scanner.skip(at + 1);
    }
    uint32_t at = 0;
    EXPECT_FALSE(scanner.next(at));
  }
}

TEST(Scan, HoldsAnyAgreesWithALookAtEachByteAtEveryLengthAndPlace) {
  for (size_t size = 0; size <= 80; ++size) {
    // Exactly as large as it says, so that a sanitizer sees a load outside.
    const std::unique_ptr<uint8_t[]> bytes(new uint8_t[size]);
    std::memset(bytes.get(), 'x', size);
    EXPECT_FALSE(holds_any<NotPlainText>(bytes.get(), size)) << size;
    for (size_t at = 0; at < size; ++at) {
      bytes[at] = '\n';
      EXPECT_TRUE(holds_any<NotPlainText>(bytes.get(), size)) << size << " " << at;
      bytes[at] = 'x';
    }
  }
}

}  // namespace
}  // namespace weir::net
