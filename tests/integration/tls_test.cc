// TLS of the real binaries on both legs: certificates by server name, versions, resumption, reload, and what
// happens to bytes that are not TLS; providers that are who they say, and those that are not.
#include <openssl/pem.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "tests/integration/gateway_fixture.h"
#include "tests/integration/lying_provider.h"
#include "tests/integration/tls_client.h"
#include "tests/support/test_certificates.h"

namespace weir::tests::tls_test {
namespace {

using core::ErrorCode;
using net::TlsCertificateFiles;
using Peer = LyingProvider::Peer;

constexpr int kVersions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
constexpr int kConnections = 12;  // enough to meet both shards
const std::string kBody = R"({"object":"chat.completion","choices":[]})";
const std::string kAnswer =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " + std::to_string(kBody.size()) +
    "\r\n\r\n" + kBody;

std::string table(const std::string& base_url, const std::string& ca_file = "") {
  const std::string ca = ca_file.empty() ? "" : R"(,"ca_file":")" + ca_file + "\"";
  return R"({"providers":{"p":{"dialect":"openai","api_key":"env:MOCK_KEY","base_url":")" + base_url + "\"" +
         ca + R"(}},
    "models":{"m":{"provider":"p","tier":"economy","price":{"input":1,"output":2}}},
    "units":{"u":{"model":"m","retries":0}},"scenarios":{"chat":{"stable":"u"}},"tenants":{"t":{}},
    "keys":[{"id":"k","tenant":"t","hash":")" +
         key_hash() + R"("}]})";
}
std::string at(const std::string& scheme, uint16_t port) {
  return scheme + "://127.0.0.1:" + std::to_string(port) + "/v1";
}
std::string certificates(const std::vector<TlsCertificateFiles>& list) {
  std::string text = "tls:\n  listen: \"127.0.0.1:0\"\n  certificates:\n";
  for (const TlsCertificateFiles& files : list) {
    text +=
        "    - { cert: \"" + files.certificate_chain_path + "\", key: \"" + files.private_key_path + "\" }\n";
  }
  return text;
}
void put_in_place(const TlsCertificateFiles& from, const TlsCertificateFiles& to) {
  const auto options = std::filesystem::copy_options::overwrite_existing;
  std::filesystem::copy_file(from.certificate_chain_path, to.certificate_chain_path, options);
  std::filesystem::copy_file(from.private_key_path, to.private_key_path, options);
}
void reload(Gateway& gateway, const std::string& outcome) {
  gateway.process().signal(SIGHUP);
  ASSERT_TRUE(gateway.process().wait_for_errors(outcome)) << gateway.process().errors();
}
// What a client gets that leaves then: a gateway that stops waits for those who stay.
Answer ask(const Gateway& gateway) {
  BlockingClient client(gateway.port());
  client.send(chat_request());
  return client.receive();
}
// Answers every request, each time over the same connection.
void serve(Peer& peer) {
  while (!peer.receive().empty() && peer.send(kAnswer)) continue;
}

// ---- clients ----

class TlsListener : public ::testing::Test {
 protected:
  TlsClientSettings settings(int version, const std::string& name = "a.test",
                             SSL_SESSION* session = nullptr) {
    return {.ca_path = authority_.root_path(), .server_name = name, .version = version, .session = session};
  }

  TestAuthority authority_;
  TlsCertificateFiles a_ = authority_.issue({.dns_names = {"a.test"}});
  TlsCertificateFiles b_ =
      authority_.issue({.dns_names = {"b.test"}, .key = KeyKind::rsa_2048, .through_intermediate = true});
  EchoProvider provider_;
  Gateway gateway_{table(at("http", provider_.port())), certificates({a_, b_})};
};

TEST_F(TlsListener, AnswersOverBothVersionsAsOverThePlainPort) {
  ASSERT_NE(gateway_.tls_port(), 0);
  for (const int version : kVersions) {
    TlsClient client(gateway_.tls_port(), settings(version));
    ASSERT_TRUE(client.connected()) << client.problem();
    EXPECT_EQ(client.protocol(), version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3");
    EXPECT_EQ(client.alpn(), "http/1.1");
    for (int request = 0; request < 3; ++request) {
      client.send(chat_request());
      EXPECT_EQ(client.receive().status, 200);
    }
    // Errors too, and the end that follows them is said.
    client.send("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n");
    EXPECT_EQ(client.receive().status, 400);
    EXPECT_TRUE(client.ends());
  }
  BlockingClient plain(gateway_.port());
  plain.send(chat_request());
  EXPECT_EQ(plain.receive().status, 200);
}

TEST_F(TlsListener, ChoosesTheCertificateByServerName) {
  const std::pair<std::string, const TlsCertificateFiles&> cases[] = {
      {"a.test", a_}, {"b.test", b_}, {"B.Test", b_}, {"", a_}};
  for (const int version : kVersions) {
    for (const auto& [name, files] : cases) {
      TlsClient client(gateway_.tls_port(), settings(version, name));
      EXPECT_TRUE(client.connected()) << name << ": " << client.problem();
      EXPECT_EQ(client.fingerprint(), TlsClient::fingerprint_of(files)) << name;
    }
    TlsClient stranger(gateway_.tls_port(), settings(version, "c.test"));
    EXPECT_FALSE(stranger.connected());
    EXPECT_EQ(stranger.problem(), "certificate verify failed");
  }
}

TEST_F(TlsListener, ResumesASessionOnEveryShard) {
  for (const int version : kVersions) {
    TlsClient first(gateway_.tls_port(), settings(version));
    first.send(chat_request());
    ASSERT_EQ(first.receive().status, 200);
    EXPECT_FALSE(first.resumed());
    const net::SslSessionPtr session = first.session();
    for (int count = 0; count < kConnections; ++count) {
      TlsClient next(gateway_.tls_port(), settings(version, "a.test", session.get()));
      ASSERT_TRUE(next.connected()) << next.problem();
      EXPECT_TRUE(next.resumed()) << next.protocol();
      next.send(chat_request());
      EXPECT_EQ(next.receive().status, 200);
    }
  }
}

TEST_F(TlsListener, CarriesALargeRequest) {
  TlsClient client(gateway_.tls_port(), settings(TLS1_3_VERSION));
  const std::string body = R"({"model":"chat","seed":7,"messages":[{"role":"user","content":")" +
                           std::string(5'000'000, 'x') + "\"}]}";
  client.send(
      "POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer " + std::string(kClientKey) +
      "\r\ncontent-type: application/json\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n");
  client.send(body);
  const Answer answer = client.receive();
  EXPECT_EQ(answer.status, 200);
  EXPECT_NE(answer.body.find("\"seen_seed\":7"), std::string::npos) << answer.body;
}

TEST_F(TlsListener, GivesPlainTextAnEndThatIsNoReset) {
  BlockingClient plain(gateway_.tls_port());
  // Much more than is looked at: an end that left some of it unread would be a reset.
  EXPECT_TRUE(plain.send(chat_request() + std::string(1'000'000, 'x')));
  EXPECT_TRUE(plain.ends());
  TlsClient client(gateway_.tls_port(), settings(TLS1_3_VERSION));
  client.send(chat_request());
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(provider_.requests(), 1u);
}

TEST_F(TlsListener, TellsAClientOfAnOldVersionWhy) {
  TlsClient old(gateway_.tls_port(), settings(TLS1_1_VERSION));
  EXPECT_FALSE(old.connected());
  EXPECT_EQ(old.problem(), "tlsv1 alert protocol version");
}

TEST_F(TlsListener, TakesANewCertificateWithoutDroppingAConnectionInUse) {
  const std::string before = TlsClient::fingerprint_of(a_);
  TlsClient busy(gateway_.tls_port(), settings(TLS1_3_VERSION));
  ASSERT_TRUE(busy.connected());
  busy.send(chat_request());
  EXPECT_EQ(busy.receive().status, 200);
  const std::string request = chat_request();
  busy.send(request.substr(0, request.size() / 2));
  const net::SslSessionPtr session = busy.session();

  put_in_place(authority_.issue({.dns_names = {"a.test"}}), a_);
  reload(gateway_, "certificates_reloaded");
  ASSERT_NE(TlsClient::fingerprint_of(a_), before);
  for (int count = 0; count < kConnections; ++count) {
    TlsClient next(gateway_.tls_port(), settings(TLS1_3_VERSION));
    EXPECT_EQ(next.fingerprint(), TlsClient::fingerprint_of(a_));
  }
  TlsClient returning(gateway_.tls_port(), settings(TLS1_3_VERSION, "a.test", session.get()));
  EXPECT_TRUE(returning.resumed()) << "a reload ended everyone's sessions";

  busy.send(request.substr(request.size() / 2));
  EXPECT_EQ(busy.receive().status, 200);
  busy.send(chat_request());
  EXPECT_EQ(busy.receive().status, 200);
  EXPECT_EQ(busy.fingerprint(), before);
}

TEST_F(TlsListener, KeepsItsCertificateWhenTheNewOneIsBad) {
  const std::string before = TlsClient::fingerprint_of(a_);
  const std::string other_key = authority_.issue({.dns_names = {"a.test"}}).private_key_path;
  std::filesystem::copy_file(other_key, a_.private_key_path,
                             std::filesystem::copy_options::overwrite_existing);
  reload(gateway_, "certificates_not_reloaded");
  EXPECT_NE(gateway_.process().errors().find(a_.private_key_path), std::string::npos)
      << gateway_.process().errors();
  TlsClient client(gateway_.tls_port(), settings(TLS1_3_VERSION));
  client.send(chat_request());
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(client.fingerprint(), before);
}

// ---- providers ----

class HttpsProvider : public ::testing::Test {
 protected:
  // What the client of a gateway gets in front of a provider with this certificate.
  void expect_refused(const std::string& what, const TlsCertificateFiles& files, const std::string& reason,
                      const std::string& alert) {
    SCOPED_TRACE(what);
    const net::SslContextPtr context = serving(files);
    LyingProvider provider(serve, context.get());
    Gateway gateway(table(at("https", provider.port()), authority_.root_path()), readable());
    ASSERT_NE(gateway.port(), 0);
    const Answer answer = ask(gateway);
    const core::ErrorInfo& info = core::describe(ErrorCode::upstream_tls_failed);
    EXPECT_EQ(answer.status, 502) << answer.head;
    const nlohmann::json error = {
        {"message", info.sentence}, {"type", info.type}, {"param", nullptr}, {"code", info.code}};
    EXPECT_EQ(nlohmann::json::parse(answer.body, nullptr, false), (nlohmann::json{{"error", error}}))
        << answer.body;
    EXPECT_EQ(provider.served(), std::vector<int>()) << "the request reached someone else";
    EXPECT_EQ(gateway.process().stop(), 0);
    EXPECT_EQ(provider.refusals(), std::vector<std::string>({alert}));
    EXPECT_NE(gateway.access_log().find(R"("error":"upstream_tls_failed")"), std::string::npos);
    const std::string log = gateway.process().errors();
    EXPECT_NE(log.find("provider_tls_failed"), std::string::npos) << log;
    EXPECT_NE(log.find(reason), std::string::npos) << log;
    for (const std::string& text : {answer.head, answer.body, gateway.access_log(), log}) {
      EXPECT_EQ(text.find("sk-provider"), std::string::npos) << text;
      EXPECT_EQ(text.find(kClientKey), std::string::npos) << text;
    }
  }

  // Where the table's ca_file is: outside of the gateway's own folder.
  std::string readable() const { return "readable: [ \"" + authority_.root_path() + "\" ]\n"; }

  TestAuthority authority_;
  TlsCertificateFiles good_ = authority_.issue({.addresses = {"127.0.0.1"}});
};

TEST_F(HttpsProvider, IsReachedWithTheTrustOfItsCaFile) {
  auto mock = weir::testing::Process::start(
      WEIR_MOCK_PROVIDER_BINARY,
      {.arguments = {"--tls-cert", good_.certificate_chain_path, "--tls-key", good_.private_key_path}});
  const auto listening = mock->wait_for_json("port");
  ASSERT_TRUE(listening.has_value()) << mock->errors();
  Gateway gateway(table(at("https", (*listening)["port"]), authority_.root_path()), readable());
  BlockingClient client(gateway.port());
  for (int request = 0; request < 3; ++request) {
    client.send(chat_request());
    const Answer answer = client.receive();
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_NE(answer.body.find("\"object\":\"chat.completion\""), std::string::npos) << answer.body;
  }
}

TEST_F(HttpsProvider, IsToldItsNameAndResumesSessions) {
  const net::SslContextPtr context = serving(authority_.issue({.dns_names = {"localhost"}}));
  std::vector<std::string> names;
  std::vector<bool> resumed;
  LyingProvider provider(
      [&](Peer& peer) {  // one request a connection; the next begins when this one has ended
        if (peer.receive().empty()) return;
        const char* name = SSL_get_servername(peer.tls(), TLSEXT_NAMETYPE_host_name);
        names.emplace_back(name != nullptr ? name : "");
        resumed.push_back(SSL_session_reused(peer.tls()) == 1);
        peer.send("HTTP/1.1 200 OK\r\nconnection: close\r\n" + kAnswer.substr(kAnswer.find('\n') + 1));
        peer.say_end();
      },
      context.get());
  Gateway gateway(
      table("https://localhost:" + std::to_string(provider.port()) + "/v1", authority_.root_path()),
      readable());
  BlockingClient client(gateway.port());  // of one shard, which has the sessions
  for (int request = 0; request < 3; ++request) {
    client.send(chat_request());
    ASSERT_EQ(client.receive().status, 200);
  }
  EXPECT_EQ(names, std::vector<std::string>(3, "localhost"));
  EXPECT_EQ(resumed, std::vector<bool>({false, true, true}));
}

TEST_F(HttpsProvider, IsRefusedWhenItCannotProveWhoItIs) {
  expect_refused("another name", authority_.issue({.dns_names = {"127.0.0.1", "localhost"}}),
                 "IP address mismatch", "sslv3 alert bad certificate");
  expect_refused("another address", authority_.issue({.addresses = {"127.0.0.2"}}), "IP address mismatch",
                 "sslv3 alert bad certificate");
  expect_refused("expired", authority_.issue({.addresses = {"127.0.0.1"}, .validity = Validity::expired}),
                 "certificate has expired", "sslv3 alert certificate expired");
  expect_refused("not valid yet",
                 authority_.issue({.addresses = {"127.0.0.1"}, .validity = Validity::not_yet}),
                 "certificate is not yet valid", "sslv3 alert bad certificate");
  TestAuthority stranger;
  expect_refused("another authority of the same name", stranger.issue({.addresses = {"127.0.0.1"}}),
                 "certificate signature failure", "tlsv1 alert decrypt error");
  expect_refused("its own authority", authority_.issue_self_signed({.addresses = {"127.0.0.1"}}),
                 "self-signed certificate", "tlsv1 alert unknown ca");
}

TEST_F(HttpsProvider, IsRefusedWhenItDoesNotSpeakTls) {
  EchoProvider plain;
  Gateway gateway(table(at("https", plain.port()), authority_.root_path()), readable());
  EXPECT_EQ(ask(gateway).status, 502);
  EXPECT_EQ(plain.requests(), 0u);
}

TEST_F(HttpsProvider, ThatIsCutInItsAnswerIsNoCleanEnd) {
  const net::SslContextPtr context = serving(good_);
  const auto answer_until_end = [](bool say_end) {
    return [say_end](Peer& peer) {
      if (peer.receive().empty()) return;
      peer.send("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n" + kBody);
      if (say_end) peer.say_end();
    };
  };
  for (const bool say_end : {true, false}) {
    LyingProvider provider(answer_until_end(say_end), context.get());
    Gateway gateway(table(at("https", provider.port()), authority_.root_path()), readable());
    std::string bytes;
    {
      BlockingClient client(gateway.port());
      client.send(chat_request());
      bytes = client.receive_until("0\r\n\r\n");
    }
    // A body that lasts until the end needs an end that is said (RFC 9112 section 9.8).
    EXPECT_EQ(bytes.ends_with("0\r\n\r\n"), say_end) << bytes;
    EXPECT_EQ(gateway.process().stop(), 0);
    EXPECT_EQ(gateway.access_log().find("\"error\":null") != std::string::npos, say_end)
        << gateway.access_log();
  }
}

TEST_F(HttpsProvider, IsTrustedAgainOnceItsCaFileIsReplaced) {
  TestAuthority next;
  const net::SslContextPtr context = serving(next.issue({.addresses = {"127.0.0.1"}}));
  LyingProvider provider(serve, context.get());
  Gateway gateway(table(at("https", provider.port()), authority_.root_path()), readable());
  EXPECT_EQ(ask(gateway).status, 502);
  std::filesystem::copy_file(next.root_path(), authority_.root_path(),
                             std::filesystem::copy_options::overwrite_existing);
  reload(gateway, "trust anchors read again");
  for (int count = 0; count < kConnections; ++count) {
    EXPECT_EQ(ask(gateway).status, 200);
  }
}

}  // namespace
}  // namespace weir::tests::tls_test
