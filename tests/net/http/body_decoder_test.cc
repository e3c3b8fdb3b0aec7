#include "net/http/body_decoder.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/limits.h"

namespace weir::net {
namespace {

using core::ErrorCode;
using core::limits::kMaxBodyBytes;

std::string token_of(core::Error error) {
  return std::string(core::describe(error.code).token);
}

std::string decode_at(MessageSide side, const Framing& framing, uint64_t max_bytes, std::string_view text,
                      const std::vector<size_t>& ends) {
  BodyDecoder decoder;
  if (const auto started = decoder.start(side, framing, max_bytes); !started)
    return token_of(started.error());
  std::string payload;
  size_t used = 0;
  for (const size_t end : ends) {
    while (used < end && !decoder.done()) {
      const size_t size = end - used;
      const std::unique_ptr<uint8_t[]> in(new uint8_t[size]);
      std::memcpy(in.get(), text.data() + used, size);
      const core::Result<BodyStep> step = decoder.next({in.get(), size});
      if (!step) return token_of(step.error());
      payload.append(reinterpret_cast<const char*>(in.get()) + step->payload_offset, step->payload_size);
      used += step->consumed;
      EXPECT_EQ(step->done, decoder.done());
    }
  }
  EXPECT_EQ(decoder.received(), payload.size());
  return (decoder.done() ? "done " : "more ") + std::to_string(used) + " " + payload;
}

std::string decode(MessageSide side, const Framing& framing, std::string_view text,
                   uint64_t max_bytes = kNoBodyLimit) {
  const std::string whole = decode_at(side, framing, max_bytes, text, {text.size()});
  std::vector<size_t> every;
  for (size_t end = 1; end <= text.size(); ++end) every.push_back(end);
  EXPECT_EQ(decode_at(side, framing, max_bytes, text, every), whole);
  for (size_t split = 0; split < text.size(); ++split)
    EXPECT_EQ(decode_at(side, framing, max_bytes, text, {split, text.size()}), whole) << split;
  return whole;
}

constexpr Framing kChunked{BodyKind::chunked, 0};
constexpr Framing kUntilClose{BodyKind::until_close, 0};
constexpr Framing length(uint64_t bytes) {
  return {BodyKind::content_length, bytes};
}

TEST(BodyDecoder, ReadsEveryKindOfFraming) {
  EXPECT_EQ(decode(MessageSide::request, {}, "next"), "done 0 ");
  EXPECT_EQ(decode(MessageSide::request, length(0), "next"), "done 0 ");
  EXPECT_EQ(decode(MessageSide::request, length(5), "hellonext"), "done 5 hello");
  EXPECT_EQ(decode(MessageSide::request, length(5), "hell"), "more 4 hell");
  EXPECT_EQ(decode(MessageSide::request, kChunked, "5\r\nhello\r\n0\r\n\r\nnext"), "done 15 hello");
  EXPECT_EQ(decode(MessageSide::response, kUntilClose, "hello"), "more 5 hello");
}

TEST(BodyDecoder, ConsumesNothingOnceDone) {
  BodyDecoder decoder;
  ASSERT_TRUE(decoder.start(MessageSide::request, {}, kMaxBodyBytes).has_value());
  const uint8_t byte = 'x';
  const auto step = decoder.next({&byte, 1});
  ASSERT_TRUE(step.has_value());
  EXPECT_TRUE(step->done);
  EXPECT_EQ(step->consumed, 0u);
}

TEST(BodyDecoder, RefusesARequestBodyOfMoreThanMaxBodyBytesWhenItIsAnnounced) {
  BodyDecoder decoder;
  EXPECT_TRUE(decoder.start(MessageSide::request, length(kMaxBodyBytes), kMaxBodyBytes).has_value());
  EXPECT_EQ(decoder.start(MessageSide::request, length(kMaxBodyBytes + 1ull), kMaxBodyBytes).error().code,
            ErrorCode::body_too_large);
  EXPECT_EQ(decode(MessageSide::request, kChunked, "2000000\r\n", kMaxBodyBytes), "more 9 ");
  EXPECT_EQ(decode(MessageSide::request, kChunked, "2000001\r\n", kMaxBodyBytes), "body_too_large");
}

TEST(BodyDecoder, HoldsResponsesToTheirBound) {
  EXPECT_EQ(decode(MessageSide::response, length(6), "hello!", 5), "upstream_malformed");
  EXPECT_EQ(decode(MessageSide::response, kChunked, "6\r\nhello!\r\n", 5), "upstream_malformed");
  EXPECT_EQ(decode(MessageSide::response, kUntilClose, "hello!", 5), "upstream_malformed");
  EXPECT_EQ(decode(MessageSide::response, kUntilClose, "hello", 5), "more 5 hello");
}

TEST(BodyDecoder, TakesACloseForTheEndOnlyWhereItIsOne) {
  BodyDecoder decoder;
  ASSERT_TRUE(decoder.start(MessageSide::response, kUntilClose, kNoBodyLimit).has_value());
  EXPECT_TRUE(decoder.on_close().has_value());
  EXPECT_TRUE(decoder.done());

  ASSERT_TRUE(decoder.start(MessageSide::response, length(5), kNoBodyLimit).has_value());
  EXPECT_EQ(decoder.on_close().error().code, ErrorCode::upstream_truncated);
  ASSERT_TRUE(decoder.start(MessageSide::response, kChunked, kNoBodyLimit).has_value());
  EXPECT_EQ(decoder.on_close().error().code, ErrorCode::upstream_truncated);
  ASSERT_TRUE(decoder.start(MessageSide::request, length(5), kMaxBodyBytes).has_value());
  EXPECT_EQ(decoder.on_close().error().code, ErrorCode::client_closed);
  ASSERT_TRUE(decoder.start(MessageSide::request, length(0), kMaxBodyBytes).has_value());
  EXPECT_TRUE(decoder.on_close().has_value());
}

TEST(BodyDecoder, StandsAtABoundaryOnlyBetweenChunks) {
  BodyDecoder decoder;
  ASSERT_TRUE(decoder.start(MessageSide::response, kChunked, kNoBodyLimit).has_value());
  EXPECT_TRUE(decoder.at_chunk_boundary());
  const std::string_view text = "5\r\nhel";
  ASSERT_TRUE(decoder.next({reinterpret_cast<const uint8_t*>(text.data()), text.size()}).has_value());
  EXPECT_FALSE(decoder.at_chunk_boundary());
  ASSERT_TRUE(decoder.start(MessageSide::response, length(5), kNoBodyLimit).has_value());
  EXPECT_FALSE(decoder.at_chunk_boundary());
}

}  // namespace
}  // namespace weir::net
