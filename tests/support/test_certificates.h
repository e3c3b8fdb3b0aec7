// Certificates made while a test runs, so that none lies in the repository and none expires there. An
// authority is a root of its own in a temporary folder that goes away with it.
//
//   TestAuthority authority;
//   net::TlsServerOptions server{.certificates = {authority.issue({.dns_names = {"api.test"}})}};
//   net::TlsClientOptions client{.ca_path = authority.root_path()};
#pragma once

#include <openssl/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "net/tls/tls_server_context.h"

namespace weir::tests {

enum class Validity { now, expired, not_yet };
enum class KeyKind { p256, rsa_2048, rsa_1024 };

struct LeafOptions {
  std::vector<std::string> dns_names = {};
  std::vector<std::string> addresses = {};  // IP literals
  Validity validity = Validity::now;
  KeyKind key = KeyKind::p256;
  bool through_intermediate = false;  // root -> intermediate -> leaf; the chain file holds the last two
};

// Failures of OpenSSL or the disk end the test program: they are the machine's, not the tested code's.
class TestAuthority {
 public:
  TestAuthority();
  ~TestAuthority();
  TestAuthority(const TestAuthority&) = delete;
  TestAuthority& operator=(const TestAuthority&) = delete;

  // PEM file of the root certificate.
  std::string root_path() const { return folder_ / "root.pem"; }

  // A leaf signed by this authority, as two new PEM files.
  net::TlsCertificateFiles issue(const LeafOptions& options);

  // A leaf that vouches for itself.
  net::TlsCertificateFiles issue_self_signed(const LeafOptions& options);

  // A new file in the authority's folder; returns its path.
  std::string write_file(const std::string& name, const std::string& text);

  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path folder_;
  EVP_PKEY* key_;
  X509* root_;
  int issued_ = 0;
};

}  // namespace weir::tests
