#include "net/tls/tls_client_context.h"

#include <openssl/x509.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/limits.h"
#include "net/tls/openssl.h"
#include "net/tls/tls_session.h"

namespace weir::net {
namespace {

// Where distributions keep the bundle of system roots: Debian, Fedora, Alpine. A bundle, and not OpenSSL's
// hashed directory, because that one is searched on disk in the middle of a handshake.
constexpr const char* kSystemBundles[] = {"/etc/ssl/certs/ca-certificates.crt",
                                          "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};

bool load_bundle(X509_STORE* store, const char* path) {
  const bool loaded = X509_STORE_load_file(store, path) == 1;
  ERR_clear_error();
  return loaded;
}

bool load_system_bundle(X509_STORE* store) {
  const char* chosen = std::getenv(X509_get_default_cert_file_env());  // SSL_CERT_FILE
  if (chosen != nullptr && *chosen != '\0') return load_bundle(store, chosen);
  for (const char* path : kSystemBundles) {
    if (load_bundle(store, path)) return true;
  }
  return false;
}

std::string describe_bad_bundle(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) {
    return path + ": the trusted certificates cannot be read: " + std::strerror(errno) +
           "; give the path of a PEM file that weir's user may read";
  }
  std::fclose(file);
  return path + ": holds no trusted certificate; give a PEM file of CA certificates";
}

bool apply_settings(SSL_CTX* context, X509_STORE* trust, TlsVersion minimum_version) {
  SSL_CTX_set_security_level(context, 2);
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_clear_mode(context, SSL_MODE_RELEASE_BUFFERS);
  // One copy per receive instead of two per record: 3 % of a small message.
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set1_cert_store(context, trust);
  // The session cache is ours: OpenSSL's does not serve clients.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  const int lowest = minimum_version == TlsVersion::tls_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
  return SSL_CTX_set_min_proto_version(context, lowest) == 1 &&
         SSL_CTX_set_max_proto_version(context, 0) == 1 &&
         SSL_CTX_set_cipher_list(context, kTls12Ciphers) == 1 &&
         SSL_CTX_set_ciphersuites(context, kTls13Ciphers) == 1 &&
         SSL_CTX_set1_groups_list(context, kKeyExchangeGroups) == 1 &&
         SSL_CTX_set_alpn_protos(context, kAlpnHttp11, sizeof(kAlpnHttp11)) == 0;  // 0 is success, here only
}

}  // namespace

std::expected<std::shared_ptr<TlsClientContext>, std::vector<std::string>> TlsClientContext::load(
    const TlsClientOptions& options) {
  std::vector<std::string> problems;
  const CertificateStorePtr trust(X509_STORE_new());
  if (!trust) {
    problems.push_back("TLS cannot be set up: out of memory");
  } else if (!options.ca_path.empty()) {
    if (!load_bundle(trust.get(), options.ca_path.c_str()))
      problems.push_back(describe_bad_bundle(options.ca_path));
  } else if (!load_system_bundle(trust.get())) {
    problems.push_back(
        "the system's trusted certificates cannot be found; install ca-certificates, or give the path of a "
        "CA file");
  }
  if (!problems.empty()) return std::unexpected(std::move(problems));
  std::shared_ptr<TlsClientContext> made = make(trust.get(), options.minimum_version);
  if (!made) return std::unexpected(std::vector<std::string>{"TLS cannot be set up: out of memory"});
  return made;
}

std::shared_ptr<TlsClientContext> TlsClientContext::for_another_shard() const {
  return make(SSL_CTX_get_cert_store(context_), minimum_version_);
}

std::shared_ptr<TlsClientContext> TlsClientContext::make(X509_STORE* trust, TlsVersion minimum_version) {
  SslContextPtr context(SSL_CTX_new(TLS_client_method()));
  if (!context || !apply_settings(context.get(), trust, minimum_version)) {
    ERR_clear_error();
    return nullptr;
  }
  SSL_CTX_sess_set_new_cb(context.get(), keep_session);
  std::shared_ptr<TlsClientContext> made(new TlsClientContext(context.release(), minimum_version));
  made->peers_.reserve(core::limits::kMaxTlsClientPeers);
  return made;
}

TlsClientContext::~TlsClientContext() {
  for (auto& [key, peer] : peers_) {
    for (SSL_SESSION* session : peer.sessions) SSL_SESSION_free(session);
  }
  SSL_CTX_free(context_);
}

size_t TlsClientContext::cached_sessions(const TlsPeer& peer) const {
  const auto found = peers_.find(peer_key(peer));
  return found == peers_.end() ? 0 : found->second.sessions.size();
}

std::string TlsClientContext::peer_key(const TlsPeer& peer) {
  return std::string(peer.host) + ":" + std::to_string(peer.port);
}

// OpenSSL's "new session" callback: a ticket has arrived (TLS 1.3), or the handshake is done (TLS 1.2).
int TlsClientContext::keep_session(SSL* ssl, SSL_SESSION* session) {
  constexpr int kKept = 1;  // the reference is ours now
  constexpr int kNotKept = 0;
  auto* owner = static_cast<TlsSession*>(SSL_get_app_data(ssl));
  if (SSL_SESSION_is_resumable(session) != 1) return kNotKept;
  owner->client_context_->put_session(owner->peer_key_, session);
  return kKept;
}

SSL_SESSION* TlsClientContext::take_session(const std::string& key) {
  const auto found = peers_.find(key);
  if (found == peers_.end()) return nullptr;
  found->second.last_used = ++uses_;
  std::vector<SSL_SESSION*>& sessions = found->second.sessions;
  while (!sessions.empty()) {
    SSL_SESSION* session = sessions.back();
    // OpenSSL withdraws a session when its connection fails.
    if (SSL_SESSION_is_resumable(session) == 1 &&
        SSL_SESSION_get_protocol_version(session) != TLS1_3_VERSION) {
      SSL_SESSION_up_ref(session);
      return session;
    }
    sessions.pop_back();
    if (SSL_SESSION_is_resumable(session) == 1) return session;
    SSL_SESSION_free(session);
  }
  return nullptr;
}

void TlsClientContext::put_session(const std::string& key, SSL_SESSION* session) {
  if (!peers_.contains(key) && peers_.size() >= core::limits::kMaxTlsClientPeers) forget_least_recent_peer();
  PeerSessions& peer = peers_[key];
  peer.last_used = ++uses_;
  const bool reusable = SSL_SESSION_get_protocol_version(session) != TLS1_3_VERSION;
  const size_t kept = reusable ? 0 : core::limits::kMaxTlsSessionsPerPeer - 1;
  while (peer.sessions.size() > kept) {
    SSL_SESSION_free(peer.sessions.front());
    peer.sessions.erase(peer.sessions.begin());
  }
  peer.sessions.push_back(session);
}

void TlsClientContext::forget_least_recent_peer() {
  auto oldest = peers_.begin();
  for (auto it = peers_.begin(); it != peers_.end(); ++it) {
    if (it->second.last_used < oldest->second.last_used) oldest = it;
  }
  for (SSL_SESSION* session : oldest->second.sessions) SSL_SESSION_free(session);
  peers_.erase(oldest);
}

}  // namespace weir::net
