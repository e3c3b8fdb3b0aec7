// The request head parser: the outcome does not depend on how the bytes arrive, and what it accepts is free
// of everything that two parsers could read in two ways.
#include <cctype>
#include <string>

#include "net/http/head_parser.h"
#include "tests/fuzz/head_checks.h"

namespace weir::fuzz {
namespace {

// The head again, by splitting at CR LF: nothing but the grammar that every recipient agrees on.
void expect_unambiguous(std::string_view head, const net::RequestHead& parsed, const uint8_t* base) {
  ASSERT_TRUE(head.ends_with("\r\n\r\n"));
  std::string_view lines = head.substr(0, head.size() - 2);
  const std::string_view start = lines.substr(0, lines.find("\r\n"));
  EXPECT_EQ(start, std::string(parsed.method_text.view(base)) + " " + std::string(parsed.target.view(base)) +
                       " HTTP/1.1");
  EXPECT_EQ(std::count(start.begin(), start.end(), ' '), 2);
  expect_fields_agree(lines.substr(start.size() + 2), parsed.fields, base);
  EXPECT_EQ(parsed.fields.count(net::HeaderId::host), 1u);
  const bool length = parsed.fields.count(net::HeaderId::content_length) != 0;
  const bool encoding = parsed.fields.count(net::HeaderId::transfer_encoding) != 0;
  EXPECT_FALSE(length && encoding);
  EXPECT_LE(parsed.fields.count(net::HeaderId::content_length), 1u);
  EXPECT_LE(parsed.fields.count(net::HeaderId::transfer_encoding), 1u);
  EXPECT_EQ(parsed.framing.kind == net::BodyKind::chunked, encoding);
  EXPECT_NE(parsed.framing.kind, net::BodyKind::until_close);
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
  if (!outcome || *outcome != net::ParseStatus::done) return;
  EXPECT_LE(whole.head_size(), core::limits::kMaxHeadBytes);
  fuzz::expect_unambiguous(fuzz::text_of(bytes).substr(0, whole.head_size()), whole.head(), bytes.data());
}
