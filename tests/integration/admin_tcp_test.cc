// The admin API over TCP: TLS, tokens, and what a web page cannot do.
#include <gmock/gmock.h>

#include "tests/integration/tls_client.h"
#include "tests/support/test_certificates.h"

namespace weir::tests::admin_tcp_test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kToken = "weir-admin-token-of-the-test";
constexpr std::string_view kTable =
    R"({"providers":{"p":{"dialect":"openai","base_url":"http://127.0.0.1:1/v1"}},
    "models":{"m":{"provider":"p","tier":"economy","price":{"input":1,"output":2}}},
    "units":{"u":{"model":"m"}},"scenarios":{"chat":{"stable":"u"}},"tenants":{"t":{}}})";

class AdminTcp : public ::testing::Test {
 protected:
  static std::string section(const net::TlsCertificateFiles& files) {
    const auto token = [](const char* id, std::string_view secret, const char* role, const char* scopes) {
      return std::string("{ id: ") + id + ", hash: \"" + routing::hash_key(kKeySecret, secret) +
             "\", role: " + role + ", scopes: [" + scopes + "] }, ";
    };
    return ", tcp: { listen: \"127.0.0.1:0\", hosts: [weir.internal], origins: "
           "[\"https://console.internal\"], "
           "certificates: [ { cert: \"" +
           files.certificate_chain_path + "\", key: \"" + files.private_key_path + "\" } ], tokens: [ " +
           token("ci", kToken, "operator", "read, kill") + token("probe", "weir-probe", "viewer", "metrics") +
           "] }";
  }
  Answer call(const std::string& line, std::string_view token = kToken,
              const std::string& host = "weir.internal", const std::string& fields = "",
              const std::string& body = "") {
    TlsClient client(gateway_.admin_port(),
                     {.ca_path = authority_.root_path(), .server_name = "weir.internal"});
    EXPECT_TRUE(client.connected()) << client.problem();
    std::string request = line + " HTTP/1.1\r\nhost: " + host + "\r\n" + fields;
    if (!token.empty()) request += "authorization: Bearer " + std::string(token) + "\r\n";
    if (!body.empty()) {
      request += "content-type: application/json\r\ncontent-length: " + std::to_string(body.size()) + "\r\n";
    }
    EXPECT_TRUE(client.send(request + "\r\n" + body));
    return client.receive();
  }

  TestAuthority authority_;
  Gateway gateway_{std::string(kTable), "", section(authority_.issue({.dns_names = {"weir.internal"}}))};
};

TEST_F(AdminTcp, ATokenMayWhatItsRoleAndScopesSay) {
  const Answer status = call("GET /v1/status");
  EXPECT_EQ(status.status, 200) << status.body;
  EXPECT_THAT(status.body, HasSubstr(R"("caller":{"name":"token ci","role":"operator"})"));
  const std::string kill = R"({"scope":"unit","name":"u","reason":"r"})";
  EXPECT_EQ(call("POST /v1/kill", kToken, "weir.internal", "", kill).status, 200);
  const Answer scope = call("POST /v1/rollback", kToken, "weir.internal", "", kill);
  EXPECT_EQ(scope.status, 403);
  EXPECT_THAT(scope.body, HasSubstr("scope rollback"));
  EXPECT_EQ(call("PUT /v1/units/v?reason=r", kToken, "weir.internal", "", "{}").status, 403);
  EXPECT_EQ(call("GET /metrics", "weir-probe").status, 200);
  EXPECT_EQ(call("GET /v1/status", "weir-probe").status, 403);
}

TEST_F(AdminTcp, NobodyGetsInWithoutAToken) {
  const Answer none = call("GET /v1/status", "");
  EXPECT_EQ(none.status, 401);
  EXPECT_EQ(none.header("www-authenticate"), "Bearer");
  const Answer wrong = call("GET /v1/status", "weir-admin-token-of-somebody");
  EXPECT_EQ(wrong.status, 401);
  EXPECT_THAT(wrong.body, Not(HasSubstr("somebody")));
  EXPECT_EQ(call("GET /nothing", "").status, 401) << "who is not known learns nothing of what there is";
}

TEST_F(AdminTcp, AnsweredOnlyForItsOwnNamesAndOrigins) {
  EXPECT_EQ(call("GET /v1/status", kToken, "weir.internal:8444").status, 200);
  EXPECT_EQ(call("GET /v1/status", kToken, "WEIR.internal").status, 200);
  EXPECT_EQ(call("GET /v1/status", kToken, "evil.example").status, 400)
      << "a name that was made to point here";
  EXPECT_EQ(call("GET /v1/status", kToken, "weir.internal", "origin: https://evil.example\r\n").status, 403);
  EXPECT_EQ(call("GET /v1/status", kToken, "weir.internal", "origin: null\r\n").status, 403);
  EXPECT_EQ(call("GET /v1/status", kToken, "weir.internal", "origin: https://console.internal\r\n").status,
            200);
}

TEST_F(AdminTcp, SpeaksNothingButTls) {
  BlockingClient plain(gateway_.admin_port());
  plain.send("GET /v1/status HTTP/1.1\r\nhost: weir.internal\r\nauthorization: Bearer " +
             std::string(kToken) + "\r\n\r\n");
  EXPECT_EQ(plain.receive().status, 0);
}

}  // namespace
}  // namespace weir::tests::admin_tcp_test
