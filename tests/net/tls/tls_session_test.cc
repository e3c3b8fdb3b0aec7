#include "net/tls/tls_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/limits.h"
#include "tests/net/tls/tls_session_fixture.h"

namespace weir::tests {
namespace {

using core::ErrorCode;
using net::TlsClientContext;
using net::TlsServerContext;
using net::TlsSession;
using net::TlsVersion;
using ReadState = TlsSession::ReadState;

enum class Cut { whole, byte_by_byte, random };

// ---- both versions, every way the transport may cut ------------------------------------------------------

class TlsTransferTest : public TlsSessionTest,
                        public ::testing::WithParamInterface<std::tuple<TlsVersion, Cut>> {
 protected:
  void SetUp() override { only(std::get<0>(GetParam()), client_); }

  Splitter splitter(uint32_t seed = 1) const {
    switch (std::get<1>(GetParam())) {
      case Cut::byte_by_byte:
        return Splitter::byte_by_byte();
      case Cut::random:
        return Splitter::random(seed);
      case Cut::whole:
        break;
    }
    return Splitter::whole();
  }
};

std::string name_of(const ::testing::TestParamInfo<std::tuple<TlsVersion, Cut>>& info) {
  constexpr const char* kCuts[] = {"Whole", "ByteByByte", "Random"};
  const auto [version, cut] = info.param;
  return std::string(version == TlsVersion::tls_1_2 ? "Tls12" : "Tls13") + kCuts[static_cast<int>(cut)];
}

INSTANTIATE_TEST_SUITE_P(Cuts, TlsTransferTest,
                         ::testing::Combine(::testing::Values(TlsVersion::tls_1_2, TlsVersion::tls_1_3),
                                          ::testing::Values(Cut::whole, Cut::byte_by_byte, Cut::random)),
                         name_of);

TEST_P(TlsTransferTest, ShakesHandsAndNegotiates) {
  const auto pair = joined(splitter());
  for (const End* end : {&pair->client, &pair->server}) {
    EXPECT_EQ(end->session->version(), std::get<0>(GetParam()));
    EXPECT_EQ(end->session->alpn(), "http/1.1");
    EXPECT_THAT(end->session->cipher(),
                ::testing::AnyOf("ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_AES_128_GCM_SHA256"));
    EXPECT_FALSE(end->session->resumed());
    EXPECT_EQ(end->session->failure_reason(), nullptr);
  }
}

TEST_P(TlsTransferTest, CarriesBothWays) {
  const auto pair = joined(splitter());
  ASSERT_EQ(pair->client.write("request"), 7u);
  ASSERT_EQ(pair->server.write("response"), 8u);
  pair->settle();
  EXPECT_EQ(pair->server.received, "request");
  EXPECT_EQ(pair->client.received, "response");
  EXPECT_EQ(pair->client.state, ReadState::want_more);
}

TEST_P(TlsTransferTest, CarriesAMebibyteBothWays) {
  const bool slow = std::get<1>(GetParam()) == Cut::byte_by_byte;
  const std::string text = random_text(slow ? 64 * 1024 : 1024 * 1024);
  const auto pair = joined(splitter());
  pair->server.room = 64 * 1024;
  pair->client.room = 999;
  ASSERT_EQ(pair->client.write(text), text.size());
  ASSERT_EQ(pair->server.write(text), text.size());
  pair->settle();
  EXPECT_TRUE(pair->server.received == text);
  EXPECT_TRUE(pair->client.received == text);
}

TEST_P(TlsTransferTest, TellsCleanEndsFromTruncation) {
  const auto clean = joined(splitter());
  ASSERT_TRUE(clean->server.write("last words").has_value());
  clean->server.session->begin_close();
  clean->settle();
  clean->client.feed_end();
  EXPECT_EQ(clean->client.received, "last words");
  EXPECT_EQ(clean->client.state, ReadState::closed);
  EXPECT_EQ(clean->client.failure, std::nullopt);

  const auto cut = joined(splitter());
  ASSERT_TRUE(cut->server.write("last words").has_value());
  cut->settle();
  EXPECT_EQ(cut->client.state, ReadState::want_more);
  cut->client.feed_end();
  EXPECT_EQ(cut->client.received, "last words");
  EXPECT_EQ(cut->client.state, ReadState::truncated);
}

TEST_F(TlsSessionTest, ShakesHandsAtRandomSplits) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    only(seed % 2 == 0 ? TlsVersion::tls_1_2 : TlsVersion::tls_1_3, client_);
    const auto pair = joined(Splitter::random(seed));
    ASSERT_TRUE(pair->client.write("request").has_value());
    pair->settle();
    EXPECT_EQ(pair->server.received, "request");
  }
}

TEST_F(TlsSessionTest, ReadsAClientHelloCutAnywhere) {
  End client;
  client.session = TlsSession::connect(client_, client.sink, {.host = "api.test", .port = 443}).value();
  client.run();
  const std::vector<uint8_t> hello = client.sink.take();
  for (size_t cut = 1; cut < hello.size(); ++cut) {
    End server = accepted();
    server.feed(std::span(hello).first(cut));
    ASSERT_TRUE(server.sink.bytes().empty());
    server.feed(std::span(hello).subspan(cut));
    ASSERT_FALSE(server.sink.bytes().empty()) << cut;
    ASSERT_EQ(server.failure, std::nullopt);
  }
}

TEST_F(TlsSessionTest, ReadsARecordCutAnywhere) {
  const auto pair = joined();
  for (size_t cut = 0;; ++cut) {
    pair->server.received.clear();
    ASSERT_TRUE(pair->client.write("a small record").has_value());
    const std::vector<uint8_t> record = pair->client.sink.take();
    if (cut == record.size()) break;
    pair->server.feed(std::span(record).first(cut));
    ASSERT_EQ(pair->server.received, "");
    pair->server.feed(std::span(record).subspan(cut));
    ASSERT_EQ(pair->server.received, "a small record") << cut;
  }
}

// ---- who may come in -------------------------------------------------------------------------------------

TEST_F(TlsSessionTest, ChoosesHttp11AmongOffers) {
  RawClient client;
  const unsigned char offer[] = "\x02h2\x08http/1.1";
  SSL_set_alpn_protos(client.ssl(), offer, sizeof(offer) - 1);
  End server = accepted();
  client.settle(server);
  EXPECT_TRUE(client.done());
  EXPECT_EQ(server.session->alpn(), "http/1.1");
}

TEST_F(TlsSessionTest, RefusesClientsThatOfferOtherProtocolsOnly) {
  RawClient client;
  const unsigned char offer[] = "\x02h2\x08http/1.0";
  SSL_set_alpn_protos(client.ssl(), offer, sizeof(offer) - 1);
  End server = accepted();
  client.settle(server);
  EXPECT_EQ(server.failure, ErrorCode::client_tls_failed);
  EXPECT_EQ(server.reason(), "no application protocol");
}

TEST_F(TlsSessionTest, AcceptsClientsThatDoNotNegotiateAProtocol) {
  RawClient client;
  End server = accepted();
  client.settle(server);
  EXPECT_TRUE(client.done());
  EXPECT_EQ(server.session->alpn(), "");
}

TEST_F(TlsSessionTest, RefusesOldVersions) {
  RawClient client;
  SSL_set_security_level(client.ssl(), 0);
  SSL_set_min_proto_version(client.ssl(), TLS1_VERSION);
  SSL_set_max_proto_version(client.ssl(), TLS1_1_VERSION);
  SSL_set_cipher_list(client.ssl(), "ALL:@SECLEVEL=0");
  End server = accepted();
  client.settle(server);
  EXPECT_EQ(server.failure, ErrorCode::client_tls_failed);
  EXPECT_EQ(server.reason(), "unsupported protocol");
}

TEST_F(TlsSessionTest, RefusesTls12WhenTheOperatorWants13) {
  const auto strict = TlsServerContext::load({.certificates = {authority_.issue({.dns_names = {"api.test"}})},
                                              .minimum_version = TlsVersion::tls_1_3})
                          .value();
  only(TlsVersion::tls_1_2, client_);
  EXPECT_EQ(join(strict, client_)->client.failure, ErrorCode::upstream_tls_failed);
}

TEST_F(TlsSessionTest, RefusesCiphersWithoutForwardSecrecyOrAuthentication) {
  for (const char* cipher : {"AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA256"}) {
    RawClient client;
    SSL_set_max_proto_version(client.ssl(), TLS1_2_VERSION);
    ASSERT_EQ(SSL_set_cipher_list(client.ssl(), cipher), 1);
    End server = accepted();
    client.settle(server);
    EXPECT_EQ(server.failure, ErrorCode::client_tls_failed) << cipher;
    EXPECT_EQ(server.reason(), "no shared cipher");
  }
}

TEST_F(TlsSessionTest, RefusesRenegotiation) {
  RawClient client;
  SSL_set_max_proto_version(client.ssl(), TLS1_2_VERSION);
  End server = accepted();
  client.settle(server);
  ASSERT_TRUE(client.done());
  ASSERT_EQ(SSL_renegotiate(client.ssl()), 1);
  SSL_do_handshake(client.ssl());
  client.settle(server);
  EXPECT_FALSE(client.done());
  EXPECT_EQ(client.reason(), "no renegotiation");
  EXPECT_TRUE(server.received.empty());
}

// ---- reload ----------------------------------------------------------------------------------------------

TEST_F(TlsSessionTest, AReloadChangesNewSessionsOnly) {
  net::TlsServerContextHolder holder(server_);
  net::TlsServerContextView view(holder);
  const auto open = join(view.current(), client_);
  auto opening = std::make_unique<Pair>();
  opening->server.session = TlsSession::accept(view.current(), opening->server.sink).value();
  opening->client.session =
      TlsSession::connect(client_->for_another_shard(), opening->client.sink, {.host = "api.test", .port = 1})
          .value();

  holder.replace(TlsServerContext::load({.certificates = {authority_.issue({.dns_names = {"new.test"}})},
                                         .ticket_keys = holder.get()->ticket_keys()})
                     .value());
  server_.reset();  // the old context now lives by its sessions only

  ASSERT_TRUE(open->client.write("still here").has_value());
  open->settle();
  EXPECT_EQ(open->server.received, "still here");
  EXPECT_TRUE(join(view.current(), client_, "new.test")->both_done());
  opening->settle();
  EXPECT_TRUE(opening->both_done()) << "begun before the reload, with the old certificate";
}

// ---- records ---------------------------------------------------------------------------------------------

TEST_F(TlsSessionTest, GathersPiecesIntoOneRecord) {
  const auto pair = joined();
  std::string event = "data: {\"x\":1}";
  std::string end = "\n\n";
  std::string empty;
  const iovec pieces[] = {{event.data(), event.size()}, {empty.data(), 0}, {end.data(), end.size()}};
  ASSERT_EQ(pair->server.session->write(pieces), event.size() + end.size());
  EXPECT_EQ(count_records(pair->server.sink.bytes(), kApplicationData), 1u);
  pair->settle();
  EXPECT_EQ(pair->client.received, event + end);
}

TEST_F(TlsSessionTest, GathersPiecesOfEverySizeInOrderAndInFullRecords) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    const auto pair = joined();
    std::vector<std::string> texts(1 + random() % 6);
    std::string all;
    std::vector<iovec> pieces;
    for (std::string& text : texts) {
      text = random_text(random() % 3 == 0 ? random() % 50000 : random() % 300);
      if (random() % 10 == 0) text = random_text(TlsSession::kTlsRecordBytes);
      all += text;
      pieces.push_back({text.data(), text.size()});
    }
    ASSERT_EQ(pair->server.session->write(pieces), all.size());
    EXPECT_EQ(count_records(pair->server.sink.bytes(), kApplicationData),
              (all.size() + TlsSession::kTlsRecordBytes - 1) / TlsSession::kTlsRecordBytes);
    pair->settle();
    EXPECT_TRUE(pair->client.received == all);
  }
}

TEST_F(TlsSessionTest, WritesNoRecordForNothing) {
  const auto pair = joined();
  EXPECT_EQ(pair->server.write(""), 0u);
  EXPECT_EQ(pair->server.session->write(std::span<const iovec>()), 0u);
  EXPECT_TRUE(pair->server.sink.bytes().empty());
}

TEST_F(TlsSessionTest, AsksTheSinkForWholeRecordsOfAtMost16Kibibytes) {
  const auto pair = joined();
  ASSERT_TRUE(pair->server.write(random_text(200)).has_value());
  EXPECT_EQ(pair->server.sink.last_minimum(), pair->server.sink.bytes().size());
  pair->settle();
  ASSERT_TRUE(pair->server.write(random_text(TlsSession::kTlsRecordBytes)).has_value());
  EXPECT_EQ(pair->server.sink.largest_minimum(), TlsSession::kTlsRecordBytes);
  EXPECT_EQ(pair->server.sink.last_minimum(), pair->server.sink.bytes().size() - TlsSession::kTlsRecordBytes);
}

TEST_F(TlsSessionTest, FailsForGoodWhenTheSinkHasNoRoom) {
  const auto pair = joined();
  pair->server.sink.refuse();
  EXPECT_EQ(pair->server.write("x").error().code, ErrorCode::out_of_buffers);
  EXPECT_EQ(pair->server.write("x").error().code, ErrorCode::out_of_buffers);
  std::vector<uint8_t> room(10);
  EXPECT_EQ(pair->server.session->read(room).error().code, ErrorCode::out_of_buffers);
  pair->server.session->begin_close();
  EXPECT_EQ(pair->server.reason(), "no send buffer for a record");

  MemorySink full;
  full.refuse();
  const auto hello = TlsSession::connect(client_, full, {.host = "api.test", .port = 443}).value();
  EXPECT_EQ(hello->handshake().error().code, ErrorCode::out_of_buffers);
}

// ---- back pressure ---------------------------------------------------------------------------------------

TEST_F(TlsSessionTest, KeepsWhatBackPressureLeftUnread) {
  const std::string text = random_text(100'000);
  const auto pair = joined();
  ASSERT_TRUE(pair->client.write(text).has_value());
  std::string received;
  std::vector<uint8_t> room(1000);
  const auto read_once = [&] {
    const auto step = pair->server.session->read(room);
    ASSERT_TRUE(step.has_value());
    received.append(reinterpret_cast<const char*>(room.data()), step->bytes);
  };
  {
    // Arrives in three loans, of which only a little is read at once.
    const std::vector<uint8_t> flight = pair->client.sink.take();
    for (size_t at = 0; at < flight.size(); at += 40'000) {
      const std::vector<uint8_t> loan(
          flight.begin() + static_cast<std::ptrdiff_t>(at),
          flight.begin() + static_cast<std::ptrdiff_t>(std::min(at + 40'000, flight.size())));
      pair->server.session->feed(loan);
      read_once();
      ASSERT_TRUE(pair->server.session->release_input().has_value());
    }
  }
  EXPECT_GT(pair->server.session->unread_ciphertext(), 50'000u);
  for (int reads = 0; reads < 1000 && received.size() < text.size(); ++reads) read_once();
  EXPECT_TRUE(received == text);
  EXPECT_EQ(pair->server.session->unread_ciphertext(), 0u);
}

TEST_F(TlsSessionTest, KeepsAtMostKMaxTlsCarryBytes) {
  const auto pair = joined();
  const std::vector<uint8_t> most(core::limits::kMaxTlsCarryBytes);
  pair->server.session->feed(most);
  ASSERT_TRUE(pair->server.session->release_input().has_value());
  const std::vector<uint8_t> one(1);
  pair->server.session->feed(one);
  const auto refused = pair->server.session->release_input();
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::out_of_buffers);
}

// ---- close -----------------------------------------------------------------------------------------------

TEST_F(TlsSessionTest, ReadsOnAfterItHasSaidCloseNotify) {
  for (const TlsVersion version : {TlsVersion::tls_1_2, TlsVersion::tls_1_3}) {
    only(version, client_);
    const auto pair = joined();
    pair->client.session->begin_close();
    pair->client.session->begin_close();
    EXPECT_EQ(
        count_records(pair->client.sink.bytes(), version == TlsVersion::tls_1_2 ? 21 : kApplicationData), 1u);
    pair->settle();
    EXPECT_EQ(pair->server.state, ReadState::closed);
    ASSERT_TRUE(pair->server.write("answer").has_value());
    pair->server.session->begin_close();
    pair->settle();
    EXPECT_EQ(pair->client.received, "answer");
    EXPECT_EQ(pair->client.state, ReadState::closed);
  }
}

TEST_F(TlsSessionTest, ReadsTicketsAfterItHasSaidCloseNotify) {
  Pair pair;
  pair.server.session = TlsSession::accept(server_, pair.server.sink).value();
  pair.client.session =
      TlsSession::connect(client_, pair.client.sink, {.host = "api.test", .port = 443}).value();
  pair.client.run();
  pair.move(pair.client, pair.server);
  pair.move(pair.server, pair.client);
  ASSERT_TRUE(pair.client.session->handshake_done());
  pair.client.session->begin_close();
  pair.move(pair.client, pair.server);  // the server answers with its tickets
  ASSERT_TRUE(pair.server.write("answer").has_value());
  pair.settle();
  EXPECT_EQ(pair.client.failure, std::nullopt) << pair.client.reason();
  EXPECT_EQ(pair.client.received, "answer");
}

TEST_F(TlsSessionTest, IgnoresWhatFollowsACloseNotify) {
  const auto pair = joined();
  pair->client.session->begin_close();
  pair->move(pair->client, pair->server);
  pair->server.feed(bytes_of("garbage after the end"));
  EXPECT_EQ(pair->server.state, ReadState::closed);
  EXPECT_EQ(pair->server.failure, std::nullopt);
}

TEST_F(TlsSessionTest, ClosingBeforeTheHandshakeSaysNothing) {
  End server = accepted();
  server.session->begin_close();
  EXPECT_TRUE(server.sink.bytes().empty());
}

TEST_F(TlsSessionTest, AnEndDuringTheHandshakeIsAFailure) {
  End server = accepted();
  server.feed_end();
  EXPECT_EQ(server.failure, ErrorCode::client_tls_failed);
  EXPECT_EQ(server.reason(), "the connection ended during the handshake");

  End client;
  client.session = TlsSession::connect(client_, client.sink, {.host = "api.test", .port = 443}).value();
  client.feed_end();
  EXPECT_EQ(client.failure, ErrorCode::upstream_tls_failed);
}

}  // namespace
}  // namespace weir::tests
