#include "net/tls/tls_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "core/limits.h"
#include "tests/net/tls/tls_pair.h"
#include "tests/support/test_certificates.h"

namespace weir::tests {
namespace {

using core::ErrorCode;
using net::TlsClientContext;
using net::TlsServerContext;
using net::TlsSession;
using net::TlsVersion;
using ReadState = TlsSession::ReadState;

// Watches what OpenSSL allocates on this thread. It must be told before its first allocation, hence before
// main().
thread_local size_t openssl_allocations = 0;
thread_local size_t largest_openssl_allocation = 0;
void note_allocation(size_t size) {
  ++openssl_allocations;
  largest_openssl_allocation = std::max(largest_openssl_allocation, size);
}
const bool watching = CRYPTO_set_mem_functions(
                          [](size_t size, const char*, int) {
                            note_allocation(size);
                            return std::malloc(size);
                          },
                          [](void* memory, size_t size, const char*, int) {
                            note_allocation(size);
                            return std::realloc(memory, size);
                          },
                          [](void* memory, const char*, int) { std::free(memory); }) == 1;

enum class Cut { whole, byte_by_byte, random };

class TlsSessionTest : public testing::Test {
 protected:
  static void only(TlsVersion version, const std::shared_ptr<TlsClientContext>& client) {
    SSL_CTX_set_max_proto_version(client->context(),
                                  version == TlsVersion::tls_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION);
  }

  std::unique_ptr<Pair> joined(Splitter splitter = Splitter::whole()) {
    auto pair = join(server_, client_, "api.test", std::move(splitter));
    EXPECT_TRUE(pair->both_done()) << pair->client.reason() << pair->server.reason();
    return pair;
  }

  End accepted() {
    End end;
    end.session = TlsSession::accept(server_, end.sink).value();
    return end;
  }

  static std::span<const uint8_t> bytes_of(std::string_view text) {
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
  }

  TestAuthority authority_;
  std::shared_ptr<const TlsServerContext> server_ =
      TlsServerContext::load({.certificates = {authority_.issue({.dns_names = {"api.test"}})}}).value();
  std::shared_ptr<TlsClientContext> client_ =
      TlsClientContext::load({.ca_path = authority_.root_path()}).value();
};

// ---- both versions, every way the transport may cut
// -------------------------------------------------------------

class TlsTransferTest : public TlsSessionTest,
                        public testing::WithParamInterface<std::tuple<TlsVersion, Cut>> {
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

std::string name_of(const testing::TestParamInfo<std::tuple<TlsVersion, Cut>>& info) {
  constexpr const char* kCuts[] = {"Whole", "ByteByByte", "Random"};
  const auto [version, cut] = info.param;
  return std::string(version == TlsVersion::tls_1_2 ? "Tls12" : "Tls13") + kCuts[static_cast<int>(cut)];
}

INSTANTIATE_TEST_SUITE_P(Cuts, TlsTransferTest,
                         testing::Combine(testing::Values(TlsVersion::tls_1_2, TlsVersion::tls_1_3),
                                          testing::Values(Cut::whole, Cut::byte_by_byte, Cut::random)),
                         name_of);

TEST_P(TlsTransferTest, ShakesHandsAndNegotiates) {
  const auto pair = joined(splitter());
  for (const End* end : {&pair->client, &pair->server}) {
    EXPECT_EQ(end->session->version(), std::get<0>(GetParam()));
    EXPECT_EQ(end->session->alpn(), "http/1.1");
    EXPECT_THAT(end->session->cipher(),
                testing::AnyOf("ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_AES_128_GCM_SHA256"));
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

// ---- who may come in
// --------------------------------------------------------------------------------------------

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

// ---- reload
// -----------------------------------------------------------------------------------------------------

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

// ---- records
// ----------------------------------------------------------------------------------------------------

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

// ---- back pressure
// ----------------------------------------------------------------------------------------------

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

// ---- close
// ------------------------------------------------------------------------------------------------------

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

// ---- hostile input
// ----------------------------------------------------------------------------------------------

TEST_F(TlsSessionTest, NamesPlainHttpOnTheTlsPort) {
  End server = accepted();
  server.feed(bytes_of("POST /v1/chat/completions HTTP/1.1\r\nHost: api.test\r\n\r\n"));
  EXPECT_EQ(server.failure, ErrorCode::client_tls_failed);
  EXPECT_EQ(server.reason(), "http request");
}

TEST_F(TlsSessionTest, NamesPlainHttpFromAProvider) {
  End client;
  client.session = TlsSession::connect(client_, client.sink, {.host = "api.test", .port = 443}).value();
  client.run();
  client.feed(bytes_of("HTTP/1.1 400 Bad Request\r\n\r\n"));
  EXPECT_EQ(client.failure, ErrorCode::upstream_tls_failed);
}

TEST_F(TlsSessionTest, DeliversWhatCameBeforeAForgedRecord) {
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

TEST_F(TlsSessionTest, AFailureOfOneSessionDoesNotShowInAnother) {
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

TEST_F(TlsSessionTest, SurvivesGarbage) {
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

TEST_F(TlsSessionTest, SurvivesDamagedFlights) {
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

// ---- memory
// -----------------------------------------------------------------------------------------------------

class TlsMemoryTest : public TlsSessionTest {
 protected:
  // One exchange without any allocation of the test's own.
  class FixedSink final : public net::CiphertextSink {
   public:
    std::span<uint8_t> reserve(size_t) override { return std::span(bytes_).subspan(used_); }
    void commit(size_t bytes) override { used_ += bytes; }
    std::span<const uint8_t> take() { return std::span(bytes_).first(std::exchange(used_, 0)); }

   private:
    std::array<uint8_t, 200'000> bytes_;
    size_t used_ = 0;
  };

  static void exchange(TlsSession& from, FixedSink& sink, TlsSession& to, size_t bytes) {
    static std::array<uint8_t, 40'000> data;
    static std::array<uint8_t, 40'000> room;
    ASSERT_TRUE(from.write(std::span(data).first(bytes)).has_value());
    to.feed(sink.take());
    const auto step = to.read(room);
    ASSERT_TRUE(step.has_value());
    ASSERT_EQ(step->bytes, bytes);
    ASSERT_TRUE(to.release_input().has_value());
  }
};

TEST_F(TlsMemoryTest, KeepsItsBuffersBetweenHandshakeAndIdle) {
  ASSERT_TRUE(watching);
  for (const TlsVersion version : {TlsVersion::tls_1_2, TlsVersion::tls_1_3}) {
    only(version, client_);
    const auto server_sink = std::make_unique<FixedSink>();
    const auto client_sink = std::make_unique<FixedSink>();
    const auto server = TlsSession::accept(server_, *server_sink).value();
    const auto client = TlsSession::connect(client_, *client_sink, {.host = "api.test", .port = 443}).value();
    for (int step = 0; step < 6; ++step) {
      for (auto& [end, input] :
           {std::pair{client.get(), server_sink.get()}, std::pair{server.get(), client_sink.get()}}) {
        end->feed(input->take());
        std::array<uint8_t, 100> room;
        if (end->handshake_done()) {
          ASSERT_TRUE(end->read(room).has_value());
        } else {
          ASSERT_TRUE(end->handshake().has_value());
        }
      }
    }
    ASSERT_TRUE(client->handshake_done() && server->handshake_done());
    // The first use of each direction may still set something up.
    exchange(*client, *client_sink, *server, 100);
    exchange(*server, *server_sink, *client, 100);

    // Per record OpenSSL 3.0 allocates a few bytes of bookkeeping (WPACKET), three times to write and once to
    // read, and frees them at once; the record buffers stay.
    constexpr size_t kRecords = 2 * (1 + 1 + 1 + 1 + 3);
    openssl_allocations = largest_openssl_allocation = 0;
    for (const size_t bytes : {1u, 200u, 1000u, 16'384u, 40'000u}) {
      exchange(*client, *client_sink, *server, bytes);
      exchange(*server, *server_sink, *client, bytes);
    }
    EXPECT_LE(openssl_allocations, 4 * kRecords);
    EXPECT_LE(largest_openssl_allocation, 64u);

    EXPECT_TRUE(server->release_idle_buffers());
    exchange(*client, *client_sink, *server, 1000);
    EXPECT_GT(largest_openssl_allocation, TlsSession::kTlsRecordBytes) << "the buffer had been given back";
  }
}

TEST_F(TlsMemoryTest, KeepsItsBuffersWhileAPartialRecordIsInThem) {
  const auto pair = joined();
  ASSERT_TRUE(pair->client.write("request").has_value());
  const std::vector<uint8_t> flight = pair->client.sink.take();
  pair->server.feed(std::span(flight).first(10));
  EXPECT_FALSE(pair->server.session->release_idle_buffers());
  pair->server.feed(std::span(flight).subspan(10));
  EXPECT_EQ(pair->server.received, "request");
  EXPECT_TRUE(pair->server.session->release_idle_buffers());
}

}  // namespace
}  // namespace weir::tests
