// A client of plain OpenSSL that speaks to the real gateway over TLS, and the contexts that its tests need.
#pragma once

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <csignal>
#include <string>
#include <string_view>

#include "net/tls/openssl.h"
#include "net/tls/tls_server_context.h"
#include "tests/integration/gateway_fixture.h"

namespace weir::tests {

// A provider's side, of any certificate; for LyingProvider.
inline net::SslContextPtr serving(const net::TlsCertificateFiles& files) {
  net::SslContextPtr context(SSL_CTX_new(TLS_server_method()));
  EXPECT_EQ(SSL_CTX_use_certificate_chain_file(context.get(), files.certificate_chain_path.c_str()), 1);
  EXPECT_EQ(SSL_CTX_use_PrivateKey_file(context.get(), files.private_key_path.c_str(), SSL_FILETYPE_PEM), 1);
  return context;
}

struct TlsClientSettings {
  std::string ca_path;
  std::string server_name = {};    // as SNI and as what the certificate must say; empty = neither
  int version = TLS1_3_VERSION;    // the only one
  SSL_SESSION* session = nullptr;  // offered for resumption
};

class TlsClient final : public BlockingClient {
 public:
  TlsClient(uint16_t port, const TlsClientSettings& settings)
      : BlockingClient(port), context_(SSL_CTX_new(TLS_client_method())) {
    std::signal(SIGPIPE, SIG_IGN);
    SSL_CTX_set_security_level(context_.get(), 0);  // so that versions can be offered that weir refuses
    SSL_CTX_set_min_proto_version(context_.get(), settings.version);
    SSL_CTX_set_max_proto_version(context_.get(), settings.version);
    EXPECT_EQ(SSL_CTX_load_verify_file(context_.get(), settings.ca_path.c_str()), 1);
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
    ssl_ = SSL_new(context_.get());
    SSL_set_fd(ssl_, descriptor());
    if (!settings.server_name.empty()) {
      SSL_set_tlsext_host_name(ssl_, settings.server_name.c_str());
      SSL_set1_host(ssl_, settings.server_name.c_str());
    }
    if (settings.session != nullptr) SSL_set_session(ssl_, settings.session);
    SSL_set_alpn_protos(ssl_, net::kAlpnHttp11, sizeof net::kAlpnHttp11);
    connected_ = SSL_connect(ssl_) == 1;
    if (const char* reason = ERR_reason_error_string(ERR_peek_last_error()); !connected_ && reason != nullptr)
      problem_ = reason;
    ERR_clear_error();
  }
  ~TlsClient() override {
    SSL_shutdown(ssl_);
    SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);  // else OpenSSL spoils the session
    ERR_clear_error();
    SSL_free(ssl_);
  }

  bool connected() const { return connected_; }
  const std::string& problem() const { return problem_; }  // why it is not connected, in OpenSSL's words
  bool resumed() const { return SSL_session_reused(ssl_) == 1; }
  std::string_view protocol() const { return SSL_get_version(ssl_); }
  std::string_view alpn() const {
    const unsigned char* name = nullptr;
    unsigned int size = 0;
    SSL_get0_alpn_selected(ssl_, &name, &size);
    return {reinterpret_cast<const char*>(name), size};
  }
  // Identifies the certificate that the gateway presented.
  std::string fingerprint() const { return fingerprint_of(SSL_get0_peer_certificate(ssl_)); }
  // To be offered by the next client; TLS 1.3 sends it behind the handshake, so ask after an answer.
  net::SslSessionPtr session() const { return net::SslSessionPtr(SSL_get1_session(ssl_)); }

  static std::string fingerprint_of(X509* certificate) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    if (certificate == nullptr || X509_digest(certificate, EVP_sha256(), digest, &size) != 1) return {};
    return {reinterpret_cast<const char*>(digest), size};
  }
  static std::string fingerprint_of(const net::TlsCertificateFiles& files) {
    const net::BioPtr file(BIO_new_file(files.certificate_chain_path.c_str(), "rb"));
    const net::CertificatePtr leaf(PEM_read_bio_X509(file.get(), nullptr, nullptr, nullptr));
    return fingerprint_of(leaf.get());
  }

 protected:
  ssize_t write_some(std::string_view bytes) override {
    return SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()));
  }
  // 0 only when TLS says the end: without that it is a cut (RFC 8446 section 6.1).
  ssize_t read_some(char* bytes, size_t size) override {
    const int count = SSL_read(ssl_, bytes, static_cast<int>(size));
    if (count > 0) return count;
    const bool clean = SSL_get_error(ssl_, count) == SSL_ERROR_ZERO_RETURN;
    ERR_clear_error();
    return clean ? 0 : -1;
  }

 private:
  net::SslContextPtr context_;
  SSL* ssl_ = nullptr;
  bool connected_ = false;
  std::string problem_;
};

}  // namespace weir::tests
