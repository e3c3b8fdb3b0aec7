// How weir meets providers over TLS: whom it trusts, and the sessions it may resume.
//
// Invariants
//   1. Every provider is verified: chain to a trusted root, validity, and the name or address that was
//      dialled. There is no option to turn that off.
//   2. A session is offered again only to the host and port it came from: a resumption is not verified anew,
//      so it must never vouch for another name.
//   3. TLS 1.3 tickets are used once (RFC 8446 appendix C.4), newest first. TLS 1.2 sessions are used until
//      replaced.
//   4. No file is read during a handshake: the trusted certificates are all loaded at start.
//
// Limits: kMaxTlsClientPeers, kMaxTlsSessionsPerPeer; the oldest makes room.
//
// Threads: one context per shard, used by that shard only (the session cache has no lock). load() and
// for_another_shard() run anywhere before that. The trusted certificates are shared between them.
#pragma once

#include <openssl/types.h>

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "net/tls/tls_version.h"

struct ssl_session_st;  // SSL_SESSION, missing from <openssl/types.h>

namespace weir::net {

struct TlsClientOptions {
  std::string ca_path = {};  // PEM file of the trusted roots; empty = the system's
  TlsVersion minimum_version = TlsVersion::tls_1_2;
};

// Whom a client session is for. `host` is a DNS name or an IP literal (without brackets).
struct TlsPeer {
  std::string_view host;
  uint16_t port;
};

class TlsClientContext {
 public:
  // Reads the trusted certificates. On failure: all problems, each with its path and what would be right.
  static std::expected<std::shared_ptr<TlsClientContext>, std::vector<std::string>> load(
      const TlsClientOptions& options);

  // A context with the same trust and settings and a session cache of its own; null if memory is short.
  std::shared_ptr<TlsClientContext> for_another_shard() const;

  ~TlsClientContext();
  TlsClientContext(const TlsClientContext&) = delete;
  TlsClientContext& operator=(const TlsClientContext&) = delete;

  SSL_CTX* context() const { return context_; }  // borrowed

  // How many sessions wait to be resumed with `peer`.
  size_t cached_sessions(const TlsPeer& peer) const;

 private:
  friend class TlsSession;

  struct PeerSessions {
    std::vector<ssl_session_st*> sessions;  // owned, oldest first
    uint64_t last_used = 0;
  };

  TlsClientContext(SSL_CTX* context, TlsVersion minimum_version)
      : context_(context), minimum_version_(minimum_version) {}
  static std::string peer_key(const TlsPeer& peer);
  static std::shared_ptr<TlsClientContext> make(X509_STORE* trust, TlsVersion minimum_version);
  static int keep_session(SSL* ssl, ssl_session_st* session);

  // A session to offer to `peer_key`, or null. The caller owns one reference.
  ssl_session_st* take_session(const std::string& key);
  // Takes over the caller's reference.
  void put_session(const std::string& key, ssl_session_st* session);
  void forget_least_recent_peer();

  SSL_CTX* const context_;  // owned
  const TlsVersion minimum_version_;
  std::unordered_map<std::string, PeerSessions> peers_;  // by "host:port"
  uint64_t uses_ = 0;
};

}  // namespace weir::net
