#include "net/http/chunked.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/limits.h"

namespace weir::net {
namespace {

using core::limits::kMaxChunkLineBytes;
using core::limits::kMaxHeadBytes;
using core::limits::kMaxHeaders;
using namespace std::string_literals;

// "done <bytes used> <payload>", "more <payload>", or the token of the error.
std::string decode_at(ChunkedDecoder decoder, std::string_view text, const std::vector<size_t>& ends) {
  std::string payload;
  size_t used = 0;
  for (const size_t end : ends) {
    while (used < end) {
      const size_t size = end - used;
      const std::unique_ptr<uint8_t[]> in(new uint8_t[size]);  // exactly the input, for the sanitizer
      std::memcpy(in.get(), text.data() + used, size);
      const core::Result<BodyStep> step = decoder.next({in.get(), size});
      if (!step) return std::string(core::describe(step.error().code).token);
      EXPECT_GT(step->consumed, 0u);
      EXPECT_LE(step->payload_offset + step->payload_size, step->consumed);
      payload.append(reinterpret_cast<const char*>(in.get()) + step->payload_offset, step->payload_size);
      used += step->consumed;
      EXPECT_EQ(step->done, decoder.done());
      if (step->done) return "done " + std::to_string(used) + " " + payload;
    }
  }
  return "more " + payload;
}

std::string decode(MessageSide side, std::string_view text, uint64_t max_payload = kNoBodyLimit) {
  const ChunkedDecoder decoder(side, max_payload);
  const std::string whole = decode_at(decoder, text, {text.size()});
  std::vector<size_t> every;
  for (size_t end = 1; end <= text.size(); ++end) every.push_back(end);
  EXPECT_EQ(decode_at(decoder, text, every), whole) << "byte by byte: " << text;
  for (size_t split = 0; split < text.size(); ++split)
    EXPECT_EQ(decode_at(decoder, text, {split, text.size()}), whole) << "split at " << split << ": " << text;
  return whole;
}
std::string decode_request(std::string_view text) {
  return decode(MessageSide::request, text);
}
std::string decode_response(std::string_view text) {
  return decode(MessageSide::response, text);
}

TEST(ChunkedDecoder, ReadsChunks) {
  EXPECT_EQ(decode_request("0\r\n\r\n"), "done 5 ");
  EXPECT_EQ(decode_request("5\r\nhello\r\n0\r\n\r\n"), "done 15 hello");
  EXPECT_EQ(decode_request("5\r\nhello\r\n1\r\n,\r\n6\r\n world\r\n0\r\n\r\n"), "done 32 hello, world");
  EXPECT_EQ(decode_request("1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n"),
            "done 37 abcdefghijklmnopqrstuvwxyz");
  EXPECT_EQ(decode_request("1a\r\nabcdefghijklmnopqrstuvwxyz\r\n00\r\n\r\n"),
            "done 38 abcdefghijklmnopqrstuvwxyz");
  EXPECT_EQ(decode_request("0000000000000005\r\nhello\r\n0\r\n\r\n"), "done 30 hello");
  EXPECT_EQ(decode_request("7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"),
            "done 17 \r\n0\r\n\r\n");  // looks like an end, is data
}

TEST(ChunkedDecoder, LeavesWhatFollowsTheBodyAlone) {
  EXPECT_EQ(decode_request("1\r\na\r\n0\r\n\r\nGET /"), "done 11 a");
  EXPECT_EQ(decode_request("0\r\n\r\n\r\n"), "done 5 ");
}

TEST(ChunkedDecoder, WaitsForTheRest) {
  EXPECT_EQ(decode_request(""), "more ");
  EXPECT_EQ(decode_request("5"), "more ");
  EXPECT_EQ(decode_request("5\r\nhel"), "more hel");
  EXPECT_EQ(decode_request("5\r\nhello\r\n0\r\n\r"), "more hello");
}

TEST(ChunkedDecoder, GivesExactlyOneChunkWithItsFraming) {
  const std::string_view text = "5\r\nhello\r\n0\r\n\r\n";
  ChunkedDecoder decoder;
  const auto step = decoder.next({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  ASSERT_TRUE(step.has_value());
  EXPECT_EQ(step->payload_offset, 3u);
  EXPECT_EQ(step->payload_size, 5u);
  EXPECT_EQ(step->consumed, 10u);  // not the size line of the next chunk
  EXPECT_FALSE(step->done);
  EXPECT_TRUE(decoder.at_chunk_boundary());
  const auto last = decoder.next({reinterpret_cast<const uint8_t*>(text.data()) + 10, text.size() - 10});
  ASSERT_TRUE(last.has_value());
  EXPECT_EQ(last->payload_size, 0u);
  EXPECT_TRUE(last->done);
}

TEST(ChunkedDecoder, RefusesMalformedChunksInBothDirections) {
  const std::string cases[] = {
      "\r\n",  // no size
      "\n",
      " 5\r\nhello\r\n0\r\n\r\n",
      "+5\r\nhello\r\n0\r\n\r\n",
      "-5\r\nhello\r\n0\r\n\r\n",
      "0x5\r\nhello\r\n0\r\n\r\n",
      "5h\r\nhello\r\n0\r\n\r\n",
      "g\r\n",
      "5_0\r\n",
      "\xef\xbc\x95\r\n",
      "5 \r\nhello\r\n0\r\n\r\n",  // white space that nothing follows
      "5\t\r\nhello\r\n0\r\n\r\n",
      "5\nhello\r\n0\r\n\r\n",  // bare LF, bare CR
      "5\rhello\r\n0\r\n\r\n",
      "5\r\rhello\r\n0\r\n\r\n",
      "5\r\nhello\n0\r\n\r\n",
      "5\r\nhello\r0\r\n\r\n",
      "5\r\nhello0\r\n\r\n",  // data longer than announced
      "5\r\nhelloo\r\n0\r\n\r\n",
      "5\r\nhell\r\n0\r\n\r\n",  // and shorter
      "5\r\nhello\r\n\r\n0\r\n\r\n",
      "0\n\r\n",
      "0\r\n\n",
      "0\r\r\n",
      "0\r\n\rX",
      "5\0\r\nhello\r\n0\r\n\r\n"s,
      "10000000000000000\r\n",  // 17 digits: 2^64
      "00000000000000005\r\nhello\r\n",
      "FFFFFFFFFFFFFFFFF\r\n",
      "5;\n\r\nhello\r\n0\r\n\r\n",  // a line end inside an extension
      "5;a\nhello\r\n0\r\n\r\n",
      "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
      "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n",
      "5;a\rb\r\nhello\r\n0\r\n\r\n",
      "5;\r\nhello\r\n0\r\n\r\n",
      "5;a=\r\nhello\r\n0\r\n\r\n",
      "5;=b\r\nhello\r\n0\r\n\r\n",
      "5;a b\r\nhello\r\n0\r\n\r\n",
      "5;a \r\nhello\r\n0\r\n\r\n",
      "5;a=b c\r\nhello\r\n0\r\n\r\n",
      "5;a=\"b\"c\r\nhello\r\n0\r\n\r\n",
      "5;a=\"\\\n\"\r\nhello\r\n0\r\n\r\n",
      "5;a=\x7f\r\nhello\r\n0\r\n\r\n",
      "5 a\r\nhello\r\n0\r\n\r\n",
  };
  for (const std::string& text : cases) {
    EXPECT_EQ(decode_request(text), "bad_chunk") << ::testing::PrintToString(text);
    EXPECT_EQ(decode_response(text), "upstream_malformed") << ::testing::PrintToString(text);
  }
}

TEST(ChunkedDecoder, SkipsValidExtensionsInResponsesOnly) {
  for (const std::string extension :
       {";a", ";a=b", ";a=b;c", ";a;b;c=d", " ; a = b", "\t;\ta", ";a=\"b c;\\\"d\"", ";a=\"\"", ";a=\"\";b",
        ";a=\"\t\xc3\xa9\\\\\" ;b"}) {
    const std::string text = "5" + extension + "\r\nhello\r\n0" + extension + "\r\n\r\n";
    EXPECT_EQ(decode_response(text), "done " + std::to_string(text.size()) + " hello") << extension;
    EXPECT_EQ(decode_request(text), "bad_chunk") << extension;
  }
}

TEST(ChunkedDecoder, RefusesTrailersInRequests) {
  EXPECT_EQ(decode_request("0\r\nA: b\r\n\r\n"), "trailers_refused");
  EXPECT_EQ(decode_request("5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n"), "trailers_refused");
  EXPECT_EQ(decode_request("0\r\n A: b\r\n\r\n"), "bad_chunk");
}

TEST(ChunkedDecoder, SkipsTrailersInResponses) {
  EXPECT_EQ(decode_response("0\r\nA: b\r\nServer-Timing: total;dur=1\r\n\r\nX"), "done 39 ");
  EXPECT_EQ(decode_response("0\r\nA:\r\n\r\n"), "done 9 ");
}

TEST(ChunkedDecoder, RefusesMalformedTrailersInResponses) {
  for (const std::string& text :
       {"0\r\nA b\r\n\r\n"s, "0\r\nA : b\r\n\r\n"s, "0\r\n: b\r\n\r\n"s, "0\r\n A: b\r\n\r\n"s,
        "0\r\nA: b\n\r\n"s, "0\r\nA: b\r\r\n\r\n"s, "0\r\nA: b\rc\r\n\r\n"s, "0\r\nA\r\n\r\n"s,
        "0\r\nA: \0\r\n\r\n"s, "0\r\nA: b\r\n c\r\n\r\n"s})
    EXPECT_EQ(decode_response(text), "upstream_malformed") << ::testing::PrintToString(text);
}

TEST(ChunkedDecoder, HoldsToMaxChunkLineBytes) {
  const auto line_of = [](size_t size) {
    return "5;a=" + std::string(size - 4, 'x') + "\r\nhello\r\n0\r\n\r\n";
  };
  EXPECT_TRUE(decode_response(line_of(kMaxChunkLineBytes)).starts_with("done"));
  EXPECT_EQ(decode_response(line_of(kMaxChunkLineBytes + 1)), "upstream_malformed");
  EXPECT_EQ(decode_response("5;" + std::string(2 * kMaxChunkLineBytes, 'x')), "upstream_malformed");
}

TEST(ChunkedDecoder, HoldsToMaxHeadBytesAndMaxHeadersInTrailers) {
  const ChunkedDecoder decoder(MessageSide::response);
  const auto at_once = [&](const std::string& text) { return decode_at(decoder, text, {text.size()}); };
  std::string lines;
  for (unsigned i = 0; i < kMaxHeaders; ++i) lines += "A: b\r\n";
  EXPECT_TRUE(at_once("0\r\n" + lines + "\r\n").starts_with("done"));
  EXPECT_EQ(at_once("0\r\n" + lines + "A: b\r\n\r\n"), "upstream_head_too_large");

  const auto trailer_of = [](size_t size) { return "0\r\nA: " + std::string(size - 5, 'x') + "\r\n\r\n"; };
  EXPECT_TRUE(at_once(trailer_of(kMaxHeadBytes)).starts_with("done"));
  EXPECT_EQ(at_once(trailer_of(kMaxHeadBytes + 1)), "upstream_head_too_large");
}

TEST(ChunkedDecoder, RefusesMoreThanIsAllowedWhenItIsAnnounced) {
  const std::string text = "5\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n";
  EXPECT_TRUE(decode(MessageSide::request, text, 8).starts_with("done"));
  EXPECT_EQ(decode(MessageSide::request, text, 7), "body_too_large");
  EXPECT_EQ(decode(MessageSide::request, "6\r\n", 5), "body_too_large");
  EXPECT_EQ(decode(MessageSide::request, "FFFFFFFFFFFFFFFF\r\n", 5), "body_too_large");
  EXPECT_EQ(decode(MessageSide::request, "5\r\nhello\r\nFFFFFFFFFFFFFFFE\r\n", 100), "body_too_large");
  EXPECT_EQ(decode(MessageSide::response, text, 7), "upstream_malformed");
}

TEST(ChunkedDecoder, KnowsWhenItStandsBetweenChunks) {
  const std::string_view text = "5\r\nhello\r\n1\r\na\r\n0\r\n\r\n";
  const std::vector<size_t> boundaries = {0, 10, 16};
  ChunkedDecoder decoder;
  for (size_t at = 0; at < text.size(); ++at) {
    EXPECT_EQ(decoder.at_chunk_boundary(), std::ranges::find(boundaries, at) != boundaries.end()) << at;
    ASSERT_TRUE(decoder.next({reinterpret_cast<const uint8_t*>(text.data()) + at, 1}).has_value());
  }
  EXPECT_TRUE(decoder.done());
  EXPECT_FALSE(decoder.at_chunk_boundary());
}

TEST(ChunkedDecoder, TellsWhatIsLeftOfAChunk) {
  const std::string_view text = "5\r\nhel";
  ChunkedDecoder decoder;
  EXPECT_EQ(decoder.remaining(), 0u);
  ASSERT_TRUE(decoder.next({reinterpret_cast<const uint8_t*>(text.data()), text.size()}).has_value());
  EXPECT_EQ(decoder.remaining(), 2u);
}

}  // namespace
}  // namespace weir::net
