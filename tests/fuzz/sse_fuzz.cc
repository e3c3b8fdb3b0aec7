// The event splitter against a slow one, and usage read from events: the numbers do not depend on how the
// stream was cut, and are never negative.
#include <algorithm>

#include "net/http/sse.h"
#include "routing/inspect/usage.h"
#include "tests/fuzz/fuzz_target.h"

namespace weir::fuzz {
namespace {

// Where each event ends, by the standard's words: at the blank line.
std::vector<size_t> slow_ends(std::string_view stream) {
  std::vector<size_t> ends;
  bool line_empty = true;
  for (size_t i = 0; i < stream.size(); ++i) {
    const char byte = stream[i];
    if (byte != '\n' && byte != '\r') {
      line_empty = false;
      continue;
    }
    if (byte == '\r' && i + 1 < stream.size() && stream[i + 1] == '\n') ++i;
    if (line_empty) ends.push_back(i + 1);
    line_empty = true;
  }
  return ends;
}

std::vector<size_t> ends_of(Input stream, size_t step) {
  net::SseSplitter splitter;
  std::vector<size_t> ends;
  for (size_t at = 0; at < stream.size(); at += step) {
    Input piece = stream.subspan(at, std::min(step, stream.size() - at));
    size_t base = at;
    while (!piece.empty()) {
      const auto end = splitter.find_event_end(piece);
      if (!end) return ends;
      if (*end == net::SseSplitter::npos) break;
      ends.push_back(base + *end);
      base += *end;
      piece = piece.subspan(*end);
    }
  }
  return ends;
}

void read_usage(Input event, routing::Endpoint endpoint) {
  const net::SseEvent parsed = net::parse_event(event);
  EXPECT_EQ(parsed.comment_only(), !parsed.has_data);
  std::vector<uint8_t> padded(parsed.data.size() + routing::Inspector::kPadding, '"');
  std::ranges::copy(parsed.data, padded.begin());
  routing::UsageReader reader(endpoint);
  const routing::EventFacts facts = reader.read_event(Input(padded).first(parsed.data.size()));
  EXPECT_TRUE(!facts.usage_only || facts.usage);
  const routing::Usage& usage = reader.usage();
  EXPECT_GE(usage.input, 0);
  EXPECT_GE(usage.cached_input, 0);
  EXPECT_GE(usage.output, 0);
  EXPECT_GE(usage.reasoning, 0);
  EXPECT_GE(routing::cost(usage, {.input = 150'000'000, .cached_input = 75'000'000, .output = 600'000'000}),
            0);
}

}  // namespace
}  // namespace weir::fuzz

WEIR_FUZZ_TARGET(sse) {
  using namespace weir;
  fuzz::Choices choices(input);
  const size_t step = 1 + choices.below(9);
  const fuzz::Input stream = choices.rest();
  const std::vector<size_t> whole = fuzz::ends_of(stream, stream.size() + 1);
  EXPECT_EQ(whole, fuzz::slow_ends(fuzz::text_of(stream)));
  // Cut between CR and LF, an event is reported at the CR; the LF then begins the next one.
  std::vector<size_t> split = fuzz::ends_of(stream, step);
  ASSERT_EQ(split.size(), whole.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    if (split[i] + 1 == whole[i] && stream[split[i]] == '\n') ++split[i];
    EXPECT_EQ(split[i], whole[i]);
  }
  size_t begin = 0;
  for (const size_t end : whole) {
    fuzz::read_usage(stream.subspan(begin, end - begin), routing::Endpoint::chat_completions);
    fuzz::read_usage(stream.subspan(begin, end - begin), routing::Endpoint::responses);
    begin = end;
  }
}
