// A provider that answers anything at all. The client gets a whole answer, an error, or a visibly broken end;
// a stream whose end mark did not come is never ended cleanly.
#include "tests/fuzz/fuzz_gateway.h"
#include "tests/fuzz/message_oracle.h"

WEIR_FUZZ_TARGET(provider_connection) {
  using namespace weir;
  fuzz::Choices choices(input);
  const bool stream = choices.below(2) != 0;
  fuzz::FuzzGateway gateway;
  gateway.provider.ends_connection = choices.below(2) != 0;
  if (const uint32_t piece = choices.below(64); piece != 0) gateway.provider.piece = piece;
  gateway.provider.answer = fuzz::text_of(choices.rest());

  const std::string body = std::string(R"({"model":"chat","messages":[{"role":"user","content":"hi"}])") +
                           (stream ? R"(,"stream":true})" : "}");
  const std::string request =
      "POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer sk-sim\r\n"
      "content-type: application/json\r\ncontent-length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body;
  gateway.client.send(request);
  gateway.turns(30);
  gateway.wait_out();
  const std::string_view received = gateway.client.received;
  EXPECT_TRUE(received.empty() || received.starts_with("HTTP/1.1 ")) << received;
  // As a client reads it: by the head's fields, and whole when the last chunk has come.
  const fuzz::SlowHead head = fuzz::SlowHead::response(received);
  const auto is_events = [](std::string_view type) {
    return fuzz::SlowHead::lower(type).starts_with("text/event-stream");
  };
  if (stream && head.status >= 200 && head.status < 300 &&
      std::ranges::any_of(head.all("content-type"), is_events)) {
    EXPECT_TRUE(head.chunked) << received;
    size_t consumed = 0;
    const auto events = fuzz::slow_decode(received.substr(head.size), &consumed);
    EXPECT_TRUE(!events || events->contains("[DONE]")) << "a cut stream looks complete:\n" << received;
  }
  gateway.end();
  EXPECT_EQ(gateway.records, 1);
}
