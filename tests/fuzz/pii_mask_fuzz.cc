// Masking a stream in pieces, cut anywhere, gives what masking it whole gives; and nothing well known gets
// through.
#include <algorithm>
#include <string>
#include <vector>

#include "routing/guard/pii_mask.h"
#include "tests/fuzz/fuzz_target.h"

WEIR_FUZZ_TARGET(pii_mask) {
  using namespace weir;
  static const std::vector<std::string> custom = {"Project-X", "bank"};
  fuzz::Choices choices(input);
  std::vector<uint32_t> cuts;
  for (uint32_t i = choices.below(16); i > 0; --i) cuts.push_back(1 + choices.below(600));
  const std::string text(fuzz::text_of(choices.rest()));

  routing::PiiMask mask(custom);
  std::string whole;
  mask.feed(text, whole);
  mask.finish(whole);
  const uint64_t masked = mask.masked();

  std::string pieces;
  size_t at = 0;
  for (const uint32_t cut : cuts) {
    mask.feed(std::string_view(text).substr(std::min(at, text.size()), cut), pieces);
    at += cut;
  }
  mask.feed(std::string_view(text).substr(std::min(at, text.size())), pieces);
  mask.finish(pieces);
  EXPECT_EQ(pieces, whole);
  EXPECT_EQ(mask.masked(), 2 * masked);
  if (masked == 0) {
    EXPECT_EQ(whole, text);
  }

  // Behind whatever came, once it has ended, the plain cases are seen.
  std::string more;
  mask.feed(text, more);
  mask.feed("\n,anna@example.org,4111111111111111,BANK,\n", more);
  mask.finish(more);
  const std::string line = more.substr(more.rfind('\n', more.size() - 2));
  EXPECT_EQ(line.find_first_of("@4"), std::string::npos) << more;
  EXPECT_EQ(line.find("BANK"), std::string::npos) << more;
}
