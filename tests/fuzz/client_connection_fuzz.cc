// A client's connection as a sequence of events: bytes in pieces, pauses, time passing, an end; with a kernel
// that does as asked, or one that sends and receives little at a time and in another order. Whatever the client
// does, the shard answers or closes, and keeps nothing. What the provider sees is what a naive splitter of the
// client's bytes finds: whole requests with the right key, in order, each at most once, with its own body.
#include <nlohmann/json.hpp>

#include "tests/fuzz/fuzz_gateway.h"
#include "tests/fuzz/inspect_oracle.h"
#include "tests/fuzz/message_oracle.h"
#include "tests/routing/inspect/json_reference.h"

namespace weir::fuzz {
namespace {

// What a request asks for, without what the gateway is there to change.
nlohmann::json asked(const std::string& body) {
  auto members = nlohmann::json::parse(with_small_numbers(body), nullptr, false);
  if (!members.is_object()) return {};
  for (const char* changed : {"model", "temperature", "stream_options"}) members.erase(changed);
  return members;
}

bool has_key(const SlowHead& head) {
  const std::vector<std::string_view> keys = head.all("authorization");
  return keys.size() == 1 && SlowHead::lower(keys[0].substr(0, 7)) == "bearer " &&
         trimmed(keys[0].substr(7)) == FuzzGateway::kToken;
}

void expect_only_these(const std::vector<SlowRequest>& sent,
                       const std::vector<ScriptedProvider::Seen>& seen) {
  auto next = sent.begin();
  for (const ScriptedProvider::Seen& request : seen) {
    next = std::find_if(next, sent.end(), [&](const SlowRequest& candidate) {
      return candidate.head.method == request.method && candidate.head.target == request.target &&
             has_key(candidate.head) && asked(candidate.body) == asked(request.body) &&
             asked(request.body).is_object();
    });
    ASSERT_NE(next, sent.end()) << "nobody sent this: " << request.target << "\n" << request.body;
    ++next;
  }
}

// A plain chat that there is no reason to refuse.
bool must_arrive(const SlowRequest& request) {
  const SlowHead& head = request.head;
  if (head.verdict != SlowHead::Verdict::clean || head.method != "POST" ||
      head.target != "/v1/chat/completions" || !has_key(head)) {
    return false;
  }
  for (const auto& [name, value] : head.fields) {
    if (name == "content-type" && value != "application/json") return false;
    if (name != "host" && name != "authorization" && name != "content-type" && name != "content-length")
      return false;
  }
  if (head.all("content-type").size() != 1 ||
      !routing::SlowJson::valid(request.body, core::limits::kMaxJsonDepth))
    return false;
  const SlowInspection body(routing::Endpoint::chat_completions, request.body);
  if (!body.refused.empty() || body.model != "chat") return false;
  return std::ranges::all_of(body.fields, [](const SlowMember& field) {
    return field.raw_key == "model" || field.raw_key == "messages" || field.raw_key == "user" ||
           field.raw_key == "max_tokens" || field.raw_key == "stream";
  });
}

sim::Faults slow_kernel() {
  return {.short_send = 0.3,
          .short_receive = 0.3,
          .no_buffers = 0.1,
          .lost_multishot = 0.1,
          .reorder = 0.3,
          .late_cancel = 0.3,
          .receive_pressure = 0.05,
          .stall = 0.1,
          .socket_buffer_bytes = 512,
          .max_receive_bytes = 64};
}

}  // namespace
}  // namespace weir::fuzz

WEIR_FUZZ_TARGET(client_connection) {
  using namespace weir;
  constexpr std::string_view kAnswer =
      R"({"choices":[{"index":0,"message":{"role":"assistant","content":"hi"}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}})";
  fuzz::Choices choices(input);
  const uint8_t first = choices.byte();
  const bool kernel_is_slow = first >= 128;
  struct Event {
    uint32_t kind, size;
  };
  std::vector<Event> script;
  for (uint32_t i = 0; i < first % 12u; ++i) {
    const uint32_t kind = choices.below(4);
    script.push_back({kind, 1u + choices.byte() * (kind == 0 ? 1u : 8u)});
  }
  std::string_view bytes = fuzz::text_of(choices.rest());
  const std::vector<fuzz::SlowRequest> sent = fuzz::slow_requests(bytes);

  fuzz::FuzzGateway gateway(kernel_is_slow ? fuzz::slow_kernel() : sim::Faults{});
  gateway.provider.answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " +
                            std::to_string(kAnswer.size()) + "\r\n\r\n" + std::string(kAnswer);
  // What is on its way gets there before time passes: a provider that runs out of it is not the subject.
  const int on_the_way = kernel_is_slow ? 200 + static_cast<int>(bytes.size() / 16) : 0;
  bool in_time = true;
  for (const Event& event : script) {
    if (event.kind < 2) {
      gateway.client.send(bytes.substr(0, event.size));
      bytes.remove_prefix(std::min<size_t>(bytes.size(), event.size));
      gateway.turns(2);
    } else if (event.kind == 2) {
      gateway.turns(8);
    } else {
      gateway.turns(on_the_way);
      gateway.turn(uint64_t{event.size} * 10'000'000);
      in_time = false;
    }
  }
  gateway.client.send(bytes);
  gateway.turns(20 + on_the_way);
  const std::string& received = gateway.client.received;
  EXPECT_TRUE(received.empty() || received.starts_with("HTTP/1.1 ")) << received;
  EXPECT_EQ(received.find(fuzz::FuzzGateway::kToken), std::string::npos) << "the key came back";
  gateway.wait_out();
  EXPECT_FALSE(gateway.client.open()) << "a silent connection stays open";
  gateway.end();
  fuzz::expect_only_these(sent, gateway.provider.seen);
  if (in_time && !kernel_is_slow && !sent.empty() && fuzz::must_arrive(sent[0])) {
    EXPECT_FALSE(gateway.provider.seen.empty()) << received;
  }
}
