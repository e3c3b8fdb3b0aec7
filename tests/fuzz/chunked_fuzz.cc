// The chunked decoder against a slow one that has the whole body before it, for both sides.
#include <charconv>
#include <optional>
#include <string>

#include "net/http/chunked.h"
#include "tests/fuzz/fuzz_target.h"

namespace weir::fuzz {
namespace {

struct Decoded {
  bool failed = false;
  bool done = false;
  std::string payload;
  size_t consumed = 0;
};

Decoded decode(Input bytes, net::MessageSide side, size_t step) {
  net::ChunkedDecoder decoder(side);
  Decoded decoded;
  size_t given = 0;
  while (given < bytes.size() && !decoded.done) {
    const size_t size = std::min(step, bytes.size() - given);
    std::vector<uint8_t> piece(bytes.begin() + static_cast<std::ptrdiff_t>(given),
                               bytes.begin() + static_cast<std::ptrdiff_t>(given + size));
    piece.shrink_to_fit();
    Input rest(piece);
    while (!rest.empty() && !decoded.done) {
      const auto outcome = decoder.next(rest);
      if (!outcome) {
        decoded.failed = true;
        return decoded;
      }
      if (outcome->consumed == 0) {
        ADD_FAILURE() << "no progress";
        return decoded;
      }
      EXPECT_LE(outcome->payload_offset + outcome->payload_size, outcome->consumed);
      decoded.payload.append(text_of(rest.subspan(outcome->payload_offset, outcome->payload_size)));
      decoded.consumed += outcome->consumed;
      decoded.done = outcome->done;
      rest = rest.subspan(outcome->consumed);
    }
    given += size;
  }
  return decoded;
}

// A request's body by the book: hex CRLF data CRLF ... 0 CRLF CRLF. None: it is not that, or not complete.
std::optional<std::string> slow_decode(std::string_view text, size_t* consumed) {
  const size_t all = text.size();
  std::string payload;
  for (;;) {
    const size_t end = text.find("\r\n");
    if (end == std::string_view::npos || end == 0 || end > 16) return std::nullopt;
    uint64_t size = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + end, size, 16);
    if (error != std::errc() || stop != text.data() + end) return std::nullopt;
    text.remove_prefix(end + 2);
    if (size == 0) {
      if (!text.starts_with("\r\n")) return std::nullopt;
      *consumed = all - text.size() + 2;
      return payload;
    }
    if (text.size() < 2 || size > text.size() - 2 || text.substr(size, 2) != "\r\n") return std::nullopt;
    payload.append(text.substr(0, size));
    text.remove_prefix(size + 2);
  }
}

}  // namespace
}  // namespace weir::fuzz

WEIR_FUZZ_TARGET(chunked) {
  using namespace weir;
  fuzz::Choices choices(input);
  const size_t step = 1 + choices.below(9);
  const fuzz::Input bytes = choices.rest();
  for (const auto side : {net::MessageSide::request, net::MessageSide::response}) {
    const fuzz::Decoded whole = fuzz::decode(bytes, side, bytes.size());
    const fuzz::Decoded split = fuzz::decode(bytes, side, step);
    EXPECT_EQ(whole.failed, split.failed);
    EXPECT_EQ(whole.done, split.done);
    if (!whole.failed) {
      EXPECT_EQ(whole.payload, split.payload);
    }
    if (whole.done) {
      EXPECT_EQ(whole.consumed, split.consumed);
    }
    if (side == net::MessageSide::response) continue;
    size_t consumed = 0;
    const auto slow = fuzz::slow_decode(fuzz::text_of(bytes), &consumed);
    ASSERT_EQ(slow.has_value(), whole.done) << fuzz::text_of(bytes);
    if (slow) {
      EXPECT_EQ(*slow, whole.payload);
      EXPECT_EQ(consumed, whole.consumed);
    }
  }
}
