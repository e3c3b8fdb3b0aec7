// A client's connection as a sequence of events: bytes in pieces, pauses, time passing, an end. Whatever it
// does, the shard answers or closes, keeps nothing, and forwards only what it has accepted.
#include "tests/fuzz/fuzz_gateway.h"

WEIR_FUZZ_TARGET(client_connection) {
  using namespace weir;
  constexpr std::string_view kAnswer =
      R"({"choices":[{"index":0,"message":{"role":"assistant","content":"hi"}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}})";
  fuzz::Choices choices(input);
  const uint32_t events = choices.below(12);
  struct Event {
    uint32_t kind, size;
  };
  std::vector<Event> script;
  for (uint32_t i = 0; i < events; ++i) {
    const uint32_t kind = choices.below(4);
    script.push_back({kind, 1u + choices.byte() * (kind == 0 ? 1u : 8u)});
  }
  std::string_view bytes = fuzz::text_of(choices.rest());

  fuzz::FuzzGateway gateway;
  gateway.provider.answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " +
                            std::to_string(kAnswer.size()) + "\r\n\r\n" + std::string(kAnswer);
  for (const Event& event : script) {
    if (event.kind < 2) {
      gateway.client.send(bytes.substr(0, event.size));
      bytes.remove_prefix(std::min<size_t>(bytes.size(), event.size));
      gateway.turns(2);
    } else if (event.kind == 2) {
      gateway.turns(8);
    } else {
      gateway.turn(uint64_t{event.size} * 10'000'000);
    }
  }
  gateway.client.send(bytes);
  gateway.turns(20);
  const std::string& received = gateway.client.received;
  EXPECT_TRUE(received.empty() || received.starts_with("HTTP/1.1 ")) << received;
  EXPECT_EQ(received.find(fuzz::FuzzGateway::kToken), std::string::npos) << "the key came back";
  gateway.wait_out();
  EXPECT_FALSE(gateway.client.open()) << "a silent connection stays open";
  gateway.end();
}
