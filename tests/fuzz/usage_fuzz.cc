// Usage of a plain answer, in pieces of any size: never negative, and for valid JSON the same however it was cut.
#include <cstring>

#include "routing/inspect/usage.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/routing/inspect/json_reference.h"

WEIR_FUZZ_TARGET(usage) {
  using namespace weir;
  using Position = routing::UsageReader::Position;
  fuzz::Choices choices(input);
  const size_t step = 1 + choices.below(40);
  const fuzz::Input body = choices.rest();
  std::vector<uint8_t> padded(body.size() + routing::Inspector::kPadding, '{');
  if (!body.empty()) std::memcpy(padded.data(), body.data(), body.size());
  routing::UsageReader whole(routing::Endpoint::chat_completions);
  whole.feed(fuzz::Input(padded).first(body.size()), Position::whole);

  const auto in_pieces = [&](size_t size) {
    routing::UsageReader reader(routing::Endpoint::chat_completions);
    for (size_t at = 0; at < body.size(); at += size) {
      const size_t end = std::min(body.size(), at + size);
      reader.feed(body.subspan(at, end - at), at == 0              ? Position::first
                                              : end == body.size() ? Position::last
                                                                   : Position::middle);
    }
    return reader.usage();
  };
  const routing::Usage pieces = in_pieces(step);
  if (routing::SlowJson::valid(fuzz::text_of(body), core::limits::kMaxJsonDepth)) {
    EXPECT_EQ(pieces, in_pieces(1)) << "it depends on how the answer was cut: " << fuzz::text_of(body);
  }
  for (const routing::Usage& usage : {whole.usage(), pieces}) {
    EXPECT_GE(usage.input, 0);
    EXPECT_GE(usage.cached_input, 0);
    EXPECT_GE(usage.output, 0);
    EXPECT_GE(usage.reasoning, 0);
  }
  EXPECT_LE(whole.model().size(), routing::UsageReader::kMaxModelBytes);
}
