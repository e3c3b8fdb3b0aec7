#include "net/tls/tls_client_context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/limits.h"
#include "tests/net/tls/tls_pair.h"
#include "tests/support/test_certificates.h"

namespace weir::tests {
namespace {

using core::ErrorCode;
using net::TlsClientContext;
using net::TlsPeer;
using net::TlsServerContext;
using net::TlsVersion;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class TlsClientContextTest : public ::testing::Test {
 protected:
  std::shared_ptr<const TlsServerContext> serve(const LeafOptions& leaf) {
    return TlsServerContext::load({.certificates = {authority_.issue(leaf)}, .ticket_keys = keys_}).value();
  }

  static void only(TlsVersion version, const std::shared_ptr<TlsClientContext>& client) {
    SSL_CTX_set_max_proto_version(client->context(),
                                  version == TlsVersion::tls_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION);
  }

  // A first meeting: nothing to resume.
  std::unique_ptr<Pair> meet(const std::shared_ptr<const TlsServerContext>& server, std::string_view host) {
    return join(server, client_->for_another_shard(), host);
  }

  void expect_refused(const Pair& pair, std::string_view reason) {
    EXPECT_EQ(pair.client.failure, ErrorCode::upstream_tls_failed);
    EXPECT_EQ(pair.client.reason(), reason);
    EXPECT_FALSE(pair.client.session->handshake_done());
    // The alert reaches the server, in whatever state it is.
    EXPECT_EQ(pair.server.failure, ErrorCode::client_tls_failed);
  }

  TestAuthority authority_;
  std::shared_ptr<net::TlsTicketKeys> keys_ = net::TlsTicketKeys::create();
  std::shared_ptr<TlsClientContext> client_ =
      TlsClientContext::load({.ca_path = authority_.root_path()}).value();
};

TEST_F(TlsClientContextTest, SaysWhatIsWrongWithTheCaFile) {
  const std::string missing = authority_.folder() / "missing.pem";
  const std::string text = authority_.write_file("text.pem", "hello\n");
  EXPECT_THAT(TlsClientContext::load({.ca_path = missing}).error(),
              ElementsAre(AllOf(StartsWith(missing), HasSubstr("No such file"))));
  EXPECT_THAT(TlsClientContext::load({.ca_path = text}).error(),
              ElementsAre(AllOf(StartsWith(text), HasSubstr("no trusted certificate"))));
}

TEST_F(TlsClientContextTest, AcceptsACertificateForTheDialledName) {
  EXPECT_TRUE(meet(serve({.dns_names = {"other.test", "api.test"}}), "api.test")->both_done());
  EXPECT_TRUE(meet(serve({.dns_names = {"api.test"}}), "API.test")->both_done());
  EXPECT_TRUE(meet(serve({.dns_names = {"api.test"}}), "api.test.")->both_done());
  EXPECT_TRUE(meet(serve({.dns_names = {"*.weir.test"}}), "api.weir.test")->both_done());
}

TEST_F(TlsClientContextTest, RefusesAnotherName) {
  for (const char* name :
       {"evil.test", "*.test", "api.test.evil.test", "*.api.test", "a*.test", "test", "leaf"}) {
    expect_refused(*meet(serve({.dns_names = {name}}), "api.test"), "hostname mismatch");
  }
}

TEST_F(TlsClientContextTest, DoesNotTakeTheCommonNameForAName) {
  expect_refused(*meet(serve({}), "leaf"), "hostname mismatch");
}

TEST_F(TlsClientContextTest, VerifiesAddresses) {
  const auto server = serve({.dns_names = {"api.test"}, .addresses = {"127.0.0.1", "::1"}});
  EXPECT_TRUE(meet(server, "127.0.0.1")->both_done());
  EXPECT_TRUE(meet(server, "::1")->both_done());
  expect_refused(*meet(server, "127.0.0.2"), "IP address mismatch");
  expect_refused(*meet(serve({.dns_names = {"127.0.0.1"}}), "127.0.0.1"), "IP address mismatch");
}

TEST_F(TlsClientContextTest, NamesTheServerButNotAnAddress) {
  const auto server = serve({.dns_names = {"api.test"}, .addresses = {"127.0.0.1"}});
  for (const auto& [host, named] : {std::pair{"api.test", true}, std::pair{"127.0.0.1", false}}) {
    End client;
    client.session = net::TlsSession::connect(client_, client.sink, {.host = host, .port = 443}).value();
    client.run();
    const std::string hello(client.sink.bytes().begin(), client.sink.bytes().end());
    EXPECT_EQ(hello.find(host) != std::string::npos, named);
  }
}

TEST_F(TlsClientContextTest, RefusesHostsThatWouldSwitchTheCheckOff) {
  MemorySink sink;
  for (const std::string& host : {std::string(), std::string("."), std::string(".test"),
                                  std::string("api.test\0x", 10), std::string(300, 'a')}) {
    const auto session = net::TlsSession::connect(client_, sink, {.host = host, .port = 443});
    ASSERT_FALSE(session.has_value()) << host;
    EXPECT_EQ(session.error().code, ErrorCode::upstream_tls_failed);
  }
}

TEST_F(TlsClientContextTest, RefusesSelfSignedCertificates) {
  const auto files = authority_.issue_self_signed({.dns_names = {"api.test"}});
  const auto server = TlsServerContext::load({.certificates = {files}}).value();
  expect_refused(*join(server, client_), "self-signed certificate");
  const auto trusting = TlsClientContext::load({.ca_path = files.certificate_chain_path}).value();
  EXPECT_TRUE(join(server, trusting)->both_done()) << "unless the operator trusts that very certificate";
}

TEST_F(TlsClientContextTest, RefusesAnotherAuthority) {
  TestAuthority stranger;
  const auto server =
      TlsServerContext::load({.certificates = {stranger.issue({.dns_names = {"api.test"}})}}).value();
  const auto pair = join(server, client_);
  EXPECT_EQ(pair->client.failure, ErrorCode::upstream_tls_failed);
}

TEST_F(TlsClientContextTest, RefusesAnExpiredCertificate) {
  // weir does not load one, so plain OpenSSL serves it.
  const auto good = serve({.dns_names = {"api.test"}});
  for (const auto& [validity, reason] : {std::pair{Validity::expired, "certificate has expired"},
                                         std::pair{Validity::not_yet, "certificate is not yet valid"}}) {
    const auto files = authority_.issue({.dns_names = {"api.test"}, .validity = validity});
    SSL_CTX* const context = good->default_context();
    ASSERT_EQ(SSL_CTX_use_certificate_chain_file(context, files.certificate_chain_path.c_str()), 1);
    ASSERT_EQ(SSL_CTX_use_PrivateKey_file(context, files.private_key_path.c_str(), SSL_FILETYPE_PEM), 1);
    expect_refused(*join(good, client_), reason);
  }
}

// ---- resumption ------------------------------------------------------------------------------------------

class TlsResumptionTest : public TlsClientContextTest, public ::testing::WithParamInterface<TlsVersion> {
 protected:
  void SetUp() override { only(GetParam(), client_); }
  static constexpr TlsPeer kPeer{.host = "api.test", .port = 443};
};

INSTANTIATE_TEST_SUITE_P(Versions, TlsResumptionTest,
                         ::testing::Values(TlsVersion::tls_1_2, TlsVersion::tls_1_3), [](const auto& version) {
                           return version.param == TlsVersion::tls_1_2 ? "Tls12" : "Tls13";
                         });

TEST_P(TlsResumptionTest, ResumesWithTheSameServer) {
  const auto server = serve({.dns_names = {"api.test"}});
  const auto first = join(server, client_);
  EXPECT_FALSE(first->client.session->resumed());
  EXPECT_GE(client_->cached_sessions(kPeer), 1u);
  for (int round = 0; round < 3; ++round) {
    const auto next = join(server, client_);
    EXPECT_TRUE(next->both_done());
    EXPECT_TRUE(next->client.session->resumed());
    EXPECT_TRUE(next->server.session->resumed());
    EXPECT_EQ(next->client.session->version(), GetParam());
    EXPECT_EQ(next->server.session->alpn(), "http/1.1");
  }
}

TEST_P(TlsResumptionTest, ResumesAfterTheFirstConnectionHasEnded) {
  const auto server = serve({.dns_names = {"api.test"}});
  join(server, client_).reset();
  EXPECT_TRUE(join(server, client_)->client.session->resumed());
}

TEST_P(TlsResumptionTest, ResumesAfterAReloadAndAKeyRotation) {
  join(serve({.dns_names = {"api.test"}}), client_);
  ASSERT_TRUE(keys_->rotate());
  const auto reloaded = serve({.dns_names = {"api.test"}});
  EXPECT_TRUE(join(reloaded, client_)->client.session->resumed());
}

TEST_P(TlsResumptionTest, ShakesHandsInFullWhenTheKeysAreForgotten) {
  join(serve({.dns_names = {"api.test"}}), client_);
  keys_ = net::TlsTicketKeys::create();
  const auto pair = join(serve({.dns_names = {"api.test"}}), client_);
  EXPECT_TRUE(pair->both_done());
  EXPECT_FALSE(pair->client.session->resumed());
}

TEST_P(TlsResumptionTest, ResumesWithACertificateChosenByName) {
  const auto server =
      TlsServerContext::load({.certificates = {authority_.issue({.dns_names = {"first.test"}}),
                                               authority_.issue({.dns_names = {"api.test"}})}})
          .value();
  EXPECT_FALSE(join(server, client_)->client.session->resumed());
  EXPECT_TRUE(join(server, client_)->client.session->resumed());
}

TEST_P(TlsResumptionTest, NeverVouchesForAnotherNameOrPort) {
  const auto server = serve({.dns_names = {"api.test"}});
  join(server, client_);
  expect_refused(*join(server, client_, "evil.test"), "hostname mismatch");
  EXPECT_EQ(client_->cached_sessions({.host = "api.test", .port = 8443}), 0u);
}

TEST_P(TlsResumptionTest, DoesNotResumeWhatFailed) {
  const auto server = serve({.dns_names = {"api.test"}});
  SSL_CTX_set_num_tickets(server->default_context(), 1);
  const auto first = join(server, client_);
  std::vector<uint8_t> forged = {kApplicationData, 3, 3, 0, 40};
  forged.resize(45);
  first->client.feed(forged);
  EXPECT_EQ(first->client.failure, ErrorCode::upstream_tls_failed);
  const auto next = join(server, client_);
  EXPECT_TRUE(next->both_done());
  EXPECT_FALSE(next->client.session->resumed());
}

TEST_P(TlsResumptionTest, EachShardHasItsOwnCacheAndTheSameTrust) {
  const auto server = serve({.dns_names = {"api.test"}});
  const auto other = client_->for_another_shard();
  only(GetParam(), other);
  join(server, client_);
  EXPECT_EQ(other->cached_sessions(kPeer), 0u);
  EXPECT_FALSE(join(server, other)->client.session->resumed());
  EXPECT_TRUE(join(server, other)->client.session->resumed());
}

TEST_P(TlsResumptionTest, TicketsAreGoodForKTlsTicketLifetimeS) {
  RawClient client;
  SSL_set_max_proto_version(client.ssl(),
                            GetParam() == TlsVersion::tls_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION);
  End server;
  server.session = net::TlsSession::accept(serve({.dns_names = {"api.test"}}), server.sink).value();
  client.settle(server);
  ASSERT_TRUE(client.done());
  EXPECT_EQ(SSL_SESSION_get_ticket_lifetime_hint(SSL_get_session(client.ssl())),
            core::limits::kTlsTicketLifetimeS);
}

TEST_F(TlsClientContextTest, UsesATls13TicketOnce) {
  only(TlsVersion::tls_1_3, client_);
  const auto server = serve({.dns_names = {"api.test"}});
  join(server, client_);
  const size_t cached = client_->cached_sessions({.host = "api.test", .port = 443});
  MemorySink sink;
  const auto resuming = net::TlsSession::connect(client_, sink, {.host = "api.test", .port = 443}).value();
  EXPECT_EQ(client_->cached_sessions({.host = "api.test", .port = 443}), cached - 1);
}

TEST_F(TlsClientContextTest, KeepsAtMostKMaxTlsSessionsPerPeer) {
  only(TlsVersion::tls_1_3, client_);
  const auto server = serve({.dns_names = {"api.test"}});
  SSL_CTX_set_num_tickets(server->default_context(), core::limits::kMaxTlsSessionsPerPeer + 5);
  join(server, client_);
  EXPECT_EQ(client_->cached_sessions({.host = "api.test", .port = 443}),
            core::limits::kMaxTlsSessionsPerPeer);
}

TEST_F(TlsClientContextTest, KeepsSessionsOfAtMostKMaxTlsClientPeers) {
  const auto server = serve({.dns_names = {"*.weir.test"}});
  for (uint32_t number = 0; number < core::limits::kMaxTlsClientPeers; ++number) {
    ASSERT_TRUE(join(server, client_, "h" + std::to_string(number) + ".weir.test")->both_done());
  }
  EXPECT_GE(client_->cached_sessions({.host = "h0.weir.test", .port = 443}), 1u);
  join(server, client_, "h0.weir.test");  // used again: no longer the oldest
  join(server, client_, "last.weir.test");
  EXPECT_GE(client_->cached_sessions({.host = "last.weir.test", .port = 443}), 1u);
  EXPECT_GE(client_->cached_sessions({.host = "h0.weir.test", .port = 443}), 1u);
  EXPECT_EQ(client_->cached_sessions({.host = "h1.weir.test", .port = 443}), 0u);
}

}  // namespace
}  // namespace weir::tests
