#include "net/tls/tls_server_context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "tests/net/tls/tls_pair.h"
#include "tests/support/test_certificates.h"

namespace weir::tests {
namespace {

using net::TlsServerContext;
using net::TlsServerOptions;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class TlsServerContextTest : public ::testing::Test {
 protected:
  static std::vector<std::string> problems(const TlsServerOptions& options) {
    const auto loaded = TlsServerContext::load(options);
    return loaded ? std::vector<std::string>{} : loaded.error();
  }

  std::shared_ptr<const TlsServerContext> load(std::vector<net::TlsCertificateFiles> certificates) {
    return TlsServerContext::load({.certificates = std::move(certificates)}).value();
  }

  // The first DNS name of the certificate that a client asking for `name` gets (null: no name).
  static std::string presented(const std::shared_ptr<const TlsServerContext>& context, const char* name) {
    RawClient client;
    if (name != nullptr) SSL_set_tlsext_host_name(client.ssl(), name);
    End server;
    server.session = net::TlsSession::accept(context, server.sink).value();
    client.settle(server);
    EXPECT_TRUE(client.done());
    return client.server_name();
  }

  TestAuthority authority_;
};

TEST_F(TlsServerContextTest, NeedsACertificate) {
  EXPECT_THAT(problems({.certificates = {}}), ElementsAre(HasSubstr("at least one certificate")));
}

TEST_F(TlsServerContextTest, ReportsAllProblemsAtOnce) {
  const auto good = authority_.issue({.dns_names = {"a.test"}});
  const auto other = authority_.issue({.dns_names = {"b.test"}});
  const auto expired = authority_.issue({.dns_names = {"c.test"}, .validity = Validity::expired});
  const auto not_yet = authority_.issue({.dns_names = {"d.test"}, .validity = Validity::not_yet});
  const std::string missing = authority_.folder() / "missing.pem";
  EXPECT_THAT(
      problems({.certificates = {good,
                                 {missing, good.private_key_path},
                                 {good.certificate_chain_path, other.private_key_path},
                                 expired,
                                 not_yet}}),
      ElementsAre(AllOf(StartsWith(missing), HasSubstr("does not exist")),
                  AllOf(StartsWith(other.private_key_path), HasSubstr("is not the private key of")),
                  AllOf(StartsWith(expired.certificate_chain_path), HasSubstr("has expired; renew it")),
                  AllOf(StartsWith(not_yet.certificate_chain_path), HasSubstr("not valid yet"))));
}

TEST_F(TlsServerContextTest, SaysWhatIsWrongWithAFile) {
  const auto good = authority_.issue({.dns_names = {"a.test"}});
  const std::string text = authority_.write_file("text.pem", "not a certificate\n");
  const std::string empty = authority_.write_file("empty.pem", "");
  const std::string folder = authority_.folder();
  const std::string damaged =
      authority_.write_file("damaged.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
  EXPECT_THAT(problems({.certificates = {{text, good.private_key_path}}}),
              ElementsAre(HasSubstr("no certificate")));
  EXPECT_THAT(problems({.certificates = {{empty, good.private_key_path}}}),
              ElementsAre(HasSubstr("is empty")));
  EXPECT_THAT(problems({.certificates = {{folder, good.private_key_path}}}),
              ElementsAre(HasSubstr("cannot be read")));
  EXPECT_THAT(problems({.certificates = {{damaged, good.private_key_path}}}),
              ElementsAre(HasSubstr("certificate 1 is damaged")));
  EXPECT_THAT(problems({.certificates = {{good.certificate_chain_path, text}}}),
              ElementsAre(HasSubstr("no private key")));
}

TEST_F(TlsServerContextTest, RefusesAnUnreadableKey) {
  const auto files = authority_.issue({.dns_names = {"a.test"}});
  chmod(authority_.folder().c_str(), 0755);
  chmod(files.private_key_path.c_str(), 0);
  // Permissions do not stop root, so root steps down for the moment.
  constexpr uid_t kNobody = 65534;
  const bool root = geteuid() == 0;
  if (root && seteuid(kNobody) != 0) GTEST_SKIP() << "this root may not step down";
  const std::vector<std::string> found = problems({.certificates = {files}});
  if (root && seteuid(0) != 0) abort();
  EXPECT_THAT(found, ElementsAre(AllOf(StartsWith(files.private_key_path), HasSubstr("permission denied"))));
}

TEST_F(TlsServerContextTest, RefusesAnEncryptedKeyWithoutAsking) {
  const auto files = authority_.issue({.dns_names = {"a.test"}});
  const net::BioPtr plain(BIO_new_file(files.private_key_path.c_str(), "rb"));
  const net::PrivateKeyPtr key(PEM_read_bio_PrivateKey(plain.get(), nullptr, nullptr, nullptr));
  const std::string path = authority_.write_file("encrypted.key", "");
  const net::BioPtr encrypted(BIO_new_file(path.c_str(), "wb"));
  unsigned char phrase[] = "phrase";
  PEM_write_bio_PKCS8PrivateKey(encrypted.get(), key.get(), EVP_aes_128_cbc(),
                                reinterpret_cast<char*>(phrase), 6, nullptr, nullptr);
  BIO_flush(encrypted.get());
  EXPECT_THAT(problems({.certificates = {{files.certificate_chain_path, path}}}),
              ElementsAre(HasSubstr("the private key is encrypted")));
}

TEST_F(TlsServerContextTest, RefusesAWeakKey) {
  EXPECT_THAT(
      problems({.certificates = {authority_.issue({.dns_names = {"a.test"}, .key = KeyKind::rsa_1024})}}),
      ElementsAre(AllOf(HasSubstr("is not usable"), HasSubstr("2048"))));
}

TEST_F(TlsServerContextTest, TakesRsaAndIntermediates) {
  const auto context = load({authority_.issue(
      {.dns_names = {"api.test"}, .key = KeyKind::rsa_2048, .through_intermediate = true})});
  const auto client = net::TlsClientContext::load({.ca_path = authority_.root_path()}).value();
  EXPECT_TRUE(join(context, client)->both_done());
}

TEST_F(TlsServerContextTest, KnowsWhenTheFirstCertificateRunsOut) {
  const auto context = load({authority_.issue({.dns_names = {"a.test"}})});
  const int64_t in_thirty_days = static_cast<int64_t>(time(nullptr)) + 30 * 24 * 3600;
  EXPECT_NEAR(static_cast<double>(context->first_expiry_seconds()), static_cast<double>(in_thirty_days), 600);
}

TEST_F(TlsServerContextTest, ChoosesTheCertificateByServerName) {
  const auto context = load({authority_.issue({.dns_names = {"first.test"}}),
                             authority_.issue({.dns_names = {"one.test", "TWO.test", "deep.wild.test"}}),
                             authority_.issue({.dns_names = {"*.wild.test"}})});
  EXPECT_EQ(presented(context, "first.test"), "first.test");
  EXPECT_EQ(presented(context, "one.test"), "one.test");
  EXPECT_EQ(presented(context, "two.TEST"), "one.test");
  EXPECT_EQ(presented(context, "any.wild.test"), "*.wild.test");
  EXPECT_EQ(presented(context, "deep.wild.test"), "one.test") << "an exact name goes before a wildcard";
  EXPECT_EQ(presented(context, "a.b.wild.test"), "first.test") << "a wildcard stands for one label";
  EXPECT_EQ(presented(context, "wild.test"), "first.test") << "a wildcard stands for at least one label";
  EXPECT_EQ(presented(context, "unknown.test"), "first.test");
  EXPECT_EQ(presented(context, nullptr), "first.test");
}

TEST_F(TlsServerContextTest, FindsNothingForNamesThatAreNone) {
  const auto context = load({authority_.issue({.dns_names = {"a.test", "*.test"}})});
  EXPECT_NE(context->find("a.test"), nullptr);
  EXPECT_NE(context->find("a.test."), nullptr);
  EXPECT_EQ(context->find(""), nullptr);
  EXPECT_EQ(context->find("."), nullptr);
  EXPECT_EQ(context->find(".test"), nullptr);
  EXPECT_EQ(context->find("test"), nullptr);
  EXPECT_EQ(context->find(std::string(300, 'a') + ".test"), nullptr);
}

TEST_F(TlsServerContextTest, OfEqualNamesTheFirstListedWins) {
  const auto context = load({authority_.issue({.dns_names = {"x.test"}}),
                             authority_.issue({.dns_names = {"second.test", "same.test"}}),
                             authority_.issue({.dns_names = {"third.test", "same.test"}})});
  EXPECT_EQ(presented(context, "same.test"), "second.test");
}

TEST_F(TlsServerContextTest, ServesShardsWhileItIsReloadedAndItsKeysRotate) {
  const auto files = authority_.issue({.dns_names = {"api.test"}});
  const auto first = load({files});
  const auto client = net::TlsClientContext::load({.ca_path = authority_.root_path()}).value();
  net::TlsServerContextHolder holder(first);
  std::vector<std::thread> shards;
  std::atomic<int> done = 0;
  for (int shard = 0; shard < 3; ++shard) {
    shards.emplace_back([&holder, &done, own = client->for_another_shard()] {
      net::TlsServerContextView view(holder);
      for (int round = 0; round < 30; ++round) done += join(view.current(), own)->both_done() ? 1 : 0;
    });
  }
  for (int reload = 0; reload < 10; ++reload) {
    EXPECT_TRUE(first->ticket_keys()->rotate());
    holder.replace(
        TlsServerContext::load({.certificates = {files}, .ticket_keys = holder.get()->ticket_keys()})
            .value());
  }
  for (std::thread& shard : shards) shard.join();
  EXPECT_EQ(done, 90);
}

TEST_F(TlsServerContextTest, AViewSeesAReload) {
  const auto before = load({authority_.issue({.dns_names = {"a.test"}})});
  const auto after = load({authority_.issue({.dns_names = {"b.test"}})});
  net::TlsServerContextHolder holder(before);
  net::TlsServerContextView view(holder);
  EXPECT_EQ(view.current(), before);
  holder.replace(after);
  EXPECT_EQ(view.current(), after);
  EXPECT_EQ(holder.get(), after);
}

}  // namespace
}  // namespace weir::tests
