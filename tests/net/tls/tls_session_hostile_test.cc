// What a peer that is broken or means harm can do to a session: nothing but end it.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "net/tls/tls_session.h"
#include "tests/net/tls/tls_session_fixture.h"

namespace weir::tests {
namespace {

using core::ErrorCode;
using net::TlsSession;
using net::TlsVersion;

class TlsHostileTest : public TlsSessionTest {};

TEST_F(TlsHostileTest, NamesPlainHttpOnTheTlsPort) {
  End server = accepted();
  server.feed(bytes_of("POST /v1/chat/completions HTTP/1.1\r\nHost: api.test\r\n\r\n"));
  EXPECT_EQ(server.failure, ErrorCode::client_tls_failed);
  EXPECT_EQ(server.reason(), "http request");
}

TEST_F(TlsHostileTest, NamesPlainHttpFromAProvider) {
  End client;
  client.session = TlsSession::connect(client_, client.sink, {.host = "api.test", .port = 443}).value();
  client.run();
  client.feed(bytes_of("HTTP/1.1 400 Bad Request\r\n\r\n"));
  EXPECT_EQ(client.failure, ErrorCode::upstream_tls_failed);
}

TEST_F(TlsHostileTest, DeliversWhatCameBeforeAForgedRecord) {
  const auto pair = joined();
  ASSERT_TRUE(pair->client.write("honest").has_value());
  std::vector<uint8_t> flight = pair->client.sink.take();
  ASSERT_TRUE(pair->client.write("forged").has_value());
  std::vector<uint8_t> forged = pair->client.sink.take();
  forged.back() ^= 1;
  flight.insert(flight.end(), forged.begin(), forged.end());
  pair->server.feed(flight);
  EXPECT_EQ(pair->server.received, "honest");
  EXPECT_EQ(pair->server.failure, ErrorCode::client_tls_failed);
  EXPECT_EQ(pair->server.reason(), "decryption failed or bad record mac");
  EXPECT_FALSE(pair->server.sink.bytes().empty()) << "an alert tells the peer";
  EXPECT_EQ(pair->server.write("x").error().code, ErrorCode::client_tls_failed);
}

TEST_F(TlsHostileTest, AFailureOfOneSessionDoesNotShowInAnother) {
  const auto pair = joined();
  End victim = accepted();
  victim.feed(bytes_of("GET / HTTP/1.1\r\n\r\n"));
  ASSERT_TRUE(victim.failure.has_value());
  EXPECT_EQ(ERR_peek_error(), 0u);
  ASSERT_TRUE(pair->client.write("fine").has_value());
  pair->settle();
  EXPECT_EQ(pair->server.received, "fine");
}

// After whatever `hostile` bytes: either the session waits, or it has failed for good with its one code.
void expect_sane(End& end, ErrorCode code) {
  if (!end.failure) return;
  ASSERT_EQ(*end.failure, code);
  ASSERT_NE(end.session->failure_reason(), nullptr);
  std::vector<uint8_t> room(10);
  if (end.session->handshake_done()) {
    ASSERT_EQ(end.session->read(room).error().code, code);
    ASSERT_EQ(end.write("x").error().code, code);
  } else {
    ASSERT_EQ(end.session->handshake().error().code, code);
  }
  end.session->begin_close();
}

TEST_F(TlsHostileTest, SurvivesGarbage) {
  std::mt19937 random(11);
  for (int round = 0; round < 500; ++round) {
    std::string garbage = random_text(1 + random() % 400);
    // Every other round looks like a record at first.
    if (round % 2 == 0 && garbage.size() > 5) {
      garbage[0] = static_cast<char>(20 + random() % 5);
      garbage[1] = 3;
      garbage[2] = static_cast<char>(random() % 5);
      garbage[3] = 0;
    }
    End server = accepted();
    server.feed(bytes_of(garbage));
    server.feed_end();
    ASSERT_TRUE(server.failure.has_value());
    expect_sane(server, ErrorCode::client_tls_failed);
  }
}

TEST_F(TlsHostileTest, SurvivesDamagedFlights) {
  std::mt19937 random(13);
  const auto damage = [&](std::vector<uint8_t>& flight) {
    for (uint32_t hits = 1 + random() % 3; hits > 0 && !flight.empty(); --hits) {
      const size_t at = random() % flight.size();
      switch (random() % 4) {
        case 0:
          flight[at] ^= static_cast<uint8_t>(1u << random() % 8);
          break;
        case 1:
          flight[at] = static_cast<uint8_t>(random());
          break;
        case 2:
          flight.resize(at);
          break;
        case 3:
          flight.insert(flight.begin() + static_cast<std::ptrdiff_t>(at), static_cast<uint8_t>(random()));
          break;
      }
    }
  };
  for (int round = 0; round < 600; ++round) {
    only(round % 2 == 0 ? TlsVersion::tls_1_2 : TlsVersion::tls_1_3, client_);
    Pair pair;
    pair.server.session = TlsSession::accept(server_, pair.server.sink).value();
    pair.client.session =
        TlsSession::connect(client_, pair.client.sink, {.host = "api.test", .port = 443}).value();
    pair.client.run();
    const uint32_t damaged_step = random() % 6;
    for (uint32_t step = 0; step < 12; ++step) {
      End& from = step % 2 == 0 ? pair.client : pair.server;
      End& to = step % 2 == 0 ? pair.server : pair.client;
      if (from.session->handshake_done() && !from.failure) (void)from.write("some plaintext");
      std::vector<uint8_t> flight = from.sink.take();
      if (step == damaged_step) damage(flight);
      to.feed(flight);
    }
    expect_sane(pair.server, ErrorCode::client_tls_failed);
    expect_sane(pair.client, ErrorCode::upstream_tls_failed);
    const std::string_view honest =
        "some plaintextsome plaintextsome plaintextsome plaintextsome plaintextsome plaintext";
    ASSERT_TRUE(honest.starts_with(pair.server.received)) << "nothing forged is ever delivered";
    ASSERT_TRUE(honest.starts_with(pair.client.received));
  }
}

}  // namespace
}  // namespace weir::tests
