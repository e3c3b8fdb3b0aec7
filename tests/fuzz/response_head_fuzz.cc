// The response head parser: as request_head, for what a provider sends.
#include "net/http/head_parser.h"
#include "tests/fuzz/head_checks.h"

WEIR_FUZZ_TARGET(response_head) {
  using namespace weir;
  fuzz::Choices choices(input);
  const uint32_t step = 1 + choices.below(7);
  const fuzz::Input bytes = choices.rest();
  net::ResponseHeadParser whole;
  const auto outcome = whole.parse(bytes);
  net::ResponseHeadParser split;
  fuzz::expect_same_outcome(split, bytes, step, outcome, whole.head_size());
  if (!outcome || *outcome != net::ParseStatus::done) return;
  const std::string_view head = fuzz::text_of(bytes).substr(0, whole.head_size());
  ASSERT_TRUE(head.ends_with("\r\n\r\n"));
  EXPECT_TRUE(head.starts_with("HTTP/1.1 " + std::to_string(whole.head().status)));
  EXPECT_GE(whole.head().status, 100);
  EXPECT_LE(whole.head().status, 599);
  const std::string_view lines = head.substr(0, head.size() - 2);
  fuzz::expect_fields_agree(lines.substr(lines.find("\r\n") + 2), whole.head().fields, bytes.data());
}
