// A server "api.test" with a fresh authority and a client that trusts it.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "tests/net/tls/tls_pair.h"
#include "tests/support/test_certificates.h"

namespace weir::tests {

class TlsSessionTest : public ::testing::Test {
 protected:
  static void only(net::TlsVersion version, const std::shared_ptr<net::TlsClientContext>& client) {
    SSL_CTX_set_max_proto_version(client->context(),
                                  version == net::TlsVersion::tls_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION);
  }

  std::unique_ptr<Pair> joined(Splitter splitter = Splitter::whole()) {
    auto pair = join(server_, client_, "api.test", std::move(splitter));
    EXPECT_TRUE(pair->both_done()) << pair->client.reason() << pair->server.reason();
    return pair;
  }

  End accepted() {
    End end;
    end.session = net::TlsSession::accept(server_, end.sink).value();
    return end;
  }

  static std::span<const uint8_t> bytes_of(std::string_view text) {
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
  }

  TestAuthority authority_;
  std::shared_ptr<const net::TlsServerContext> server_ =
      net::TlsServerContext::load({.certificates = {authority_.issue({.dns_names = {"api.test"}})}}).value();
  std::shared_ptr<net::TlsClientContext> client_ =
      net::TlsClientContext::load({.ca_path = authority_.root_path()}).value();
};

}  // namespace weir::tests
