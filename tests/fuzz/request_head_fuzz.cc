// The request head parser against a naive splitter: what is clean to it must be accepted, what two recipients
// could read in two ways must be refused, and framing, target and fields are the same. The outcome does not
// depend on how the bytes arrive.
#include <string>

#include "net/http/head_parser.h"
#include "tests/fuzz/head_checks.h"

namespace weir::fuzz {
namespace {

void expect_same_head(std::string_view text, const net::RequestHead& parsed, const uint8_t* base,
                      const SlowHead& slow) {
  EXPECT_EQ(parsed.method_text.view(base), slow.method);
  EXPECT_EQ(parsed.target.view(base), slow.target);
  const bool is_known = slow.method == net::method_name(parsed.method);
  EXPECT_TRUE(is_known || parsed.method == net::Method::other);
  const std::string_view lines = text.substr(0, slow.size - 2);
  expect_fields_agree(lines.substr(lines.find("\r\n") + 2), parsed.fields, base);
  expect_ids_agree(parsed.fields, base);
  expect_framing_agrees(parsed.framing, slow);
  EXPECT_EQ(parsed.expect_continue, !slow.all("expect").empty() && slow.has_body());
  if (slow.verdict == SlowHead::Verdict::clean) {
    EXPECT_EQ(parsed.keep_alive, !slow.close);
  }
}

}  // namespace
}  // namespace weir::fuzz

WEIR_FUZZ_TARGET(request_head) {
  using namespace weir;
  fuzz::Choices choices(input);
  const uint32_t step = 1 + choices.below(7);
  const fuzz::Input bytes = choices.rest();
  net::RequestHeadParser whole;
  const auto outcome = whole.parse(bytes);
  net::RequestHeadParser split;
  fuzz::expect_same_outcome(split, bytes, step, outcome, whole.head_size());
  const fuzz::SlowHead slow = fuzz::SlowHead::request(fuzz::text_of(bytes));
  if (!fuzz::expect_verdict(outcome, slow, fuzz::text_of(bytes))) return;
  EXPECT_EQ(whole.head_size(), slow.size);
  fuzz::expect_same_head(fuzz::text_of(bytes), whole.head(), bytes.data(), slow);
}
