// Answers of which one byte is another, at each place: what comes of them is what was sent, or an error, or a visible
// cut.
#include <atomic>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "tests/integration/faults/broken_answers.h"
#include "tests/integration/faults/shard_probe.h"
#include "tests/integration/lying_provider.h"

namespace weir::tests::corruption_test {
namespace {

using Peer = LyingProvider::Peer;

const GatewayHow kOneShard{.shards = 1};

// The body of a whole answer, without chunked framing; nothing when there is none, or no end of it.
std::optional<std::string> whole_body(std::string_view answer) {
  const size_t head_end = answer.find("\r\n\r\n");
  if (head_end == std::string_view::npos) return std::nullopt;
  const std::string_view head = answer.substr(0, head_end + 2);
  std::string_view rest = answer.substr(head_end + 4);
  if (const auto length = between(head, "content-length: ", "\r\n"); !length.empty()) {
    if (std::stoul(std::string(length)) != rest.size()) return std::nullopt;
    return std::string(rest);
  }
  std::string body;
  while (true) {
    const size_t line_end = rest.find("\r\n");
    if (line_end == std::string_view::npos) return std::nullopt;
    const size_t size = std::stoul(std::string(rest.substr(0, line_end)), nullptr, 16);
    if (size == 0) return rest == "0\r\n\r\n" ? std::optional(body) : std::nullopt;
    if (rest.size() < line_end + 2 + size + 2) return std::nullopt;
    body += rest.substr(line_end + 2, size);
    rest.remove_prefix(line_end + 2 + size + 2);
  }
}

// One byte is another. Of framing: an error of the gateway's own. Of anything else: the very bytes that came, since
// they are the provider's to answer for. A length that became another is believed: if smaller, what follows is not
// read; if larger, the answer is cut.
TEST(Corruption, OfAnAnswerEndsInItsExactBodyOrAnError) {
  std::atomic<size_t> at{0};
  std::atomic<bool> good{false};
  const auto corrupted = [&] {
    std::string answer = kPlain;
    answer[at] = static_cast<char>(answer[at] ^ 0x15);
    return answer;
  };
  LyingProvider provider([&](Peer& peer) {
    if (peer.receive().empty()) return;
    if (good) return void(peer.send(kGood));
    peer.send(corrupted());
    peer.end_own_side();
    peer.wait_for_end();
  });
  Gateway gateway(table(provider.port()), "", kOneShard);
  ShardProbe probe(gateway);
  const size_t length_at = kPlain.find(": ", kPlain.find("content-length")) + 2;
  int exact = 0, errors = 0;
  for (at = 0; at < kPlain.size(); ++at) {
    SCOPED_TRACE(at);
    keep_in_use(gateway, good);
    BlockingClient client(gateway.port());
    client.send(chat_request("connection: close\r\n"));
    const std::string bytes = client.receive_to_end();
    EXPECT_FALSE(client.broken());
    const auto body = whole_body(bytes);
    if (at == length_at - 1) {  // the space before it became a digit
      EXPECT_FALSE(body.has_value()) << bytes;
      continue;
    }
    ASSERT_TRUE(body.has_value()) << bytes;
    if (bytes.starts_with("HTTP/1.1 502 ")) {
      const auto error = nlohmann::json::parse(*body, nullptr, false);
      EXPECT_TRUE(error.is_object() && error["error"]["code"].is_string()) << *body;
      ++errors;
      continue;
    }
    EXPECT_TRUE(bytes.starts_with("HTTP/1.1 200 ")) << bytes;
    std::string sent = corrupted().substr(kPlain.size() - kBody.size());
    if (at == length_at || at == length_at + 1) sent.resize(std::stoul(corrupted().substr(length_at)));
    EXPECT_EQ(*body, sent);
    ++exact;
  }
  EXPECT_GE(exact, static_cast<int>(kBody.size()));
  EXPECT_GE(errors, 10);
}

// Without chunked framing, as far as it is there.
std::string content_of(std::string_view chunks) {
  std::string content;
  while (true) {
    const size_t line_end = chunks.find("\r\n");
    if (line_end == std::string_view::npos) return content;
    const size_t size = std::stoul("0" + std::string(chunks.substr(0, line_end)), nullptr, 16);
    chunks.remove_prefix(line_end + 2);
    content += chunks.substr(0, size);
    if (size == 0 || chunks.size() < size + 2) return content;
    chunks.remove_prefix(size + 2);
  }
}

// A byte of an event is the provider's to answer for and arrives as it came; one of framing ends the stream where it
// stands, without the end that a whole one has.
TEST(Corruption, OfAStreamEndsInItsExactEventsOrAVisibleCut) {
  std::atomic<size_t> at{0};
  std::atomic<bool> good{false};
  const auto corrupted = [&] {
    std::string answer = kStream;
    answer[at] = static_cast<char>(answer[at] ^ 0x15);
    return answer;
  };
  LyingProvider provider([&](Peer& peer) {
    if (peer.receive().empty()) return;
    if (good) return void(peer.send(kGood));
    peer.send(corrupted());
    peer.end_own_side();
    peer.wait_for_end();
  });
  Gateway gateway(table(provider.port()), "", kOneShard);
  ShardProbe probe(gateway);
  const size_t body_begin = kStream.find("\r\n\r\n") + 4;
  int exact = 0, cut = 0, errors = 0;
  for (at = 0; at < kStream.size(); ++at) {
    SCOPED_TRACE(at);
    keep_in_use(gateway, good);
    BlockingClient client(gateway.port());
    client.send(kStreamRequest);
    const std::string bytes = client.receive_to_end();
    EXPECT_FALSE(client.broken());
    if (bytes.starts_with("HTTP/1.1 502 ")) {
      const auto body = whole_body(bytes);
      const auto error = nlohmann::json::parse(body.value_or(""), nullptr, false);
      EXPECT_TRUE(error.is_object() && error["error"]["code"].is_string()) << bytes;
      ++errors;
      continue;
    }
    EXPECT_TRUE(bytes.starts_with("HTTP/1.1 200 ")) << bytes;
    const std::string raw = corrupted().substr(body_begin);
    if (const auto body = whole_body(bytes)) {
      // Without its framing's header an answer goes on to the end of the connection, chunks and all; of a stream what
      // follows the end mark means nothing.
      const bool unframed = at < body_begin && raw.starts_with(*body) && body->ends_with("data: [DONE]\n\n");
      EXPECT_TRUE(*body == content_of(raw) || unframed) << bytes;
      ++exact;
      continue;
    }
    std::string came = content_of(std::string_view(bytes).substr(bytes.find("\r\n\r\n") + 4));
    came.resize(std::min(came.size(), came.find("data: {\"error\"")));
    EXPECT_TRUE(content_of(raw).starts_with(came) || raw.starts_with(came)) << bytes;
    EXPECT_FALSE(bytes.ends_with("0\r\n\r\n")) << bytes;
    ++cut;
  }
  EXPECT_GE(exact, 100);
  EXPECT_GE(cut, 10);
  EXPECT_GE(errors, 10);
}

}  // namespace
}  // namespace weir::tests::corruption_test
