// Usage of a plain answer against a slow reading of the whole of it, in pieces of any size: the last usage
// object counts, whatever else stands in the answer, and what is no JSON is at least no negative count.
#include <cstring>

#include "routing/inspect/usage.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/usage_oracle.h"
#include "tests/routing/inspect/json_reference.h"

namespace weir::fuzz {
namespace {

using routing::UsageReader;

UsageReader read_whole(Input body) {
  std::vector<uint8_t> padded(body.size() + routing::Inspector::kPadding, '{');
  if (!body.empty()) std::memcpy(padded.data(), body.data(), body.size());
  UsageReader reader(routing::Endpoint::chat_completions);
  reader.feed(Input(padded).first(body.size()), UsageReader::Position::whole);
  return reader;
}

UsageReader read_in_pieces(Input body, size_t size) {
  using Position = UsageReader::Position;
  UsageReader reader(routing::Endpoint::chat_completions);
  for (size_t at = 0; at < body.size(); at += size) {
    const size_t end = std::min(body.size(), at + size);
    std::vector<uint8_t> piece(body.begin() + static_cast<std::ptrdiff_t>(at),
                               body.begin() + static_cast<std::ptrdiff_t>(end));
    reader.feed(piece, at == 0 ? Position::first : end == body.size() ? Position::last : Position::middle);
  }
  return reader;
}

void expect_plausible(const UsageReader& reader) {
  const routing::Usage& usage = reader.usage();
  for (const int64_t count : {usage.input, usage.cached_input, usage.output, usage.reasoning}) {
    EXPECT_GE(count, 0);
    EXPECT_LE(count, int64_t{1} << 40);
  }
  EXPECT_LE(reader.model().size(), UsageReader::kMaxModelBytes);
}

// The one that is named, or one of several; whether an escape ends it is nobody's business.
void expect_model(std::string_view model, const std::vector<std::string_view>& named, std::string_view text) {
  const auto is_it = [&](std::string_view quoted) {
    const std::string_view inside = raw_inside(quoted);
    return model == inside.substr(0, UsageReader::kMaxModelBytes) ||
           model == inside.substr(0, inside.find('\\')).substr(0, UsageReader::kMaxModelBytes);
  };
  const bool may_be_none = named.size() != 1;
  EXPECT_TRUE((may_be_none && model.empty()) || std::ranges::any_of(named, is_it)) << model << " of " << text;
}

bool names_twice(std::string_view text, std::string_view name) {
  return text.find(name) != text.rfind(name);
}

}  // namespace
}  // namespace weir::fuzz

WEIR_FUZZ_TARGET(usage) {
  using namespace weir;
  fuzz::Choices choices(input);
  const size_t step = 1 + choices.below(40);
  const fuzz::Input body = choices.rest();
  const std::string_view text = fuzz::text_of(body);
  const fuzz::UsageReader whole = fuzz::read_whole(body);
  const fuzz::UsageReader pieces = fuzz::read_in_pieces(body, step);
  const fuzz::UsageReader bytes = fuzz::read_in_pieces(body, 1);
  for (const fuzz::UsageReader* reader : {&whole, &pieces, &bytes}) fuzz::expect_plausible(*reader);
  if (!routing::SlowJson::valid(text, core::limits::kMaxJsonDepth)) return;

  const std::vector<std::string_view> usages = fuzz::slow_find(text, "usage", '{');
  const auto too_large = [](std::string_view object) { return object.size() > core::limits::kMaxUsageBytes; };
  if (std::ranges::any_of(usages, too_large)) return;  // promised to nobody
  const routing::Usage last = fuzz::slow_last_usage(usages);
  EXPECT_EQ(pieces.usage(), last) << text;
  EXPECT_EQ(bytes.usage(), last) << text;
  // Read exactly, those that are no answer's own do not count: where one could doubt which is meant.
  const bool in_doubt = fuzz::names_twice(text, "\"usage\"") || fuzz::names_twice(text, "\"model\"") ||
                        text.contains("\"error\"");
  const routing::Usage own = fuzz::slow_last_usage(fuzz::SlowAnswer(text).usages);
  EXPECT_TRUE(whole.usage() == last || (in_doubt && whole.usage() == own)) << text;

  const std::vector<std::string_view> models = fuzz::slow_find(text, "model", '"');
  for (const fuzz::UsageReader* reader : {&pieces, &bytes}) fuzz::expect_model(reader->model(), models, text);
  if (models.empty() || fuzz::SlowAnswer(text).model.empty()) return;  // none, or not its own
  fuzz::expect_model(whole.model(), models, text);
}
