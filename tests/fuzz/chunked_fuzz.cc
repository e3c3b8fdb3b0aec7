// The chunked decoder against a slow one that has the whole body before it, for both sides.
#include <string>

#include "net/http/chunked.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/message_oracle.h"

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
