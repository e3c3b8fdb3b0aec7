// The response head parser: as request_head, for what a provider sends, and where its body ends.
#include "net/http/head_parser.h"
#include "tests/fuzz/head_checks.h"

WEIR_FUZZ_TARGET(response_head) {
  using namespace weir;
  fuzz::Choices choices(input);
  const uint8_t choice = choices.byte();
  const uint32_t step = 1 + choice % 7;
  const net::Method asked = choice / 7 % 4 == 3 ? net::Method::head : net::Method::post;
  const fuzz::Input bytes = choices.rest();
  net::ResponseHeadParser whole(asked);
  const auto outcome = whole.parse(bytes);
  net::ResponseHeadParser split(asked);
  fuzz::expect_same_outcome(split, bytes, step, outcome, whole.head_size());
  const std::string_view text = fuzz::text_of(bytes);
  const fuzz::SlowHead slow = fuzz::SlowHead::response(text);
  if (!fuzz::expect_verdict(outcome, slow, text)) return;
  EXPECT_EQ(whole.head_size(), slow.size);
  EXPECT_EQ(whole.head().status, slow.status);
  EXPECT_EQ(whole.head().interim(), slow.status < 200);
  const std::string_view lines = text.substr(0, slow.size - 2);
  fuzz::expect_fields_agree(lines.substr(lines.find("\r\n") + 2), whole.head().fields, bytes.data());
  fuzz::expect_ids_agree(whole.head().fields, bytes.data());
  const bool is_bodiless =
      slow.status < 200 || slow.status == 204 || slow.status == 304 || asked == net::Method::head;
  const bool is_framed = slow.chunked || slow.length.has_value();
  if (is_bodiless) {
    EXPECT_EQ(whole.head().framing, net::Framing{});
  } else if (!is_framed) {
    EXPECT_EQ(whole.head().framing, (net::Framing{net::BodyKind::until_close, 0}));
  } else {
    fuzz::expect_framing_agrees(whole.head().framing, slow);
  }
  if (slow.verdict == fuzz::SlowHead::Verdict::clean) {
    EXPECT_EQ(whole.head().keep_alive, !slow.close && (is_bodiless || is_framed));
  }
}
