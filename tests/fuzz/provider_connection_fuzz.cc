// A provider that answers anything at all. The client gets a whole answer, an error, or a visibly broken end;
// a stream whose end mark did not come is never ended cleanly.
#include "tests/fuzz/fuzz_gateway.h"

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
  const bool events = received.find("content-type: text/event-stream") != std::string_view::npos;
  if (received.starts_with("HTTP/1.1 200") && events && received.ends_with("\r\n0\r\n\r\n")) {
    EXPECT_NE(gateway.provider.answer.find("[DONE]"), std::string::npos) << "a cut stream looks complete:\n"
                                                                         << received;
  }
  gateway.end();
  EXPECT_EQ(gateway.records, 1);
}
