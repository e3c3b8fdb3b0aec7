// What weir presents to clients over TLS: certificates chosen by server name, protocol settings, ticket keys.
//
//   control thread                               shard (one TlsServerContextView each)
//   load(options) ──▶ TlsServerContext ──▶ TlsServerContextHolder ──▶ view.current() ──▶ TlsSession::accept()
//        │ every problem, or a context             │ replace() = reload                      │ keeps its
//        context ▼                                         ▼                                         ▼ until
//        it ends
//   printed by the operator's tool          new connections see the new one
//
// Invariants
//   1. A context never changes after load(): a reload is a new context. A context that has any problem is not
//      made, so a failed reload leaves the old one in service.
//   2. Settings are the safe ones and cannot be loosened: TLS 1.2 or 1.3, ephemeral keys, authenticated
//      ciphers in our order, no compression, no renegotiation, no early data, ALPN "http/1.1" only.
//   3. Resumption is by stateless tickets only (TlsTicketKeys): no session cache, nothing shared that is
//      written during a request.
//
// Threads: load() and replace() anywhere (they block on files); a view belongs to one shard.
#pragma once

#include <openssl/types.h>

#include <atomic>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/tls/tls_ticket_keys.h"
#include "net/tls/tls_version.h"

namespace weir::net {

// Two PEM files: the leaf certificate followed by its intermediates, and the leaf's unencrypted private key.
struct TlsCertificateFiles {
  std::string certificate_chain_path;
  std::string private_key_path;
};

struct TlsServerOptions {
  std::vector<TlsCertificateFiles> certificates;  // the first answers clients that name no known server
  TlsVersion minimum_version = TlsVersion::tls_1_2;
  std::shared_ptr<TlsTicketKeys> ticket_keys =
      nullptr;  // null = fresh ones; a reload hands over the previous context's
};

class TlsServerContext {
 public:
  // Reads and checks every file. On failure: all problems, each with its path and what would be right.
  // Problems are: no certificate at all, a file missing, unreadable or not PEM, an encrypted key, a key that
  // is not the certificate's, a certificate of the chain that has expired or is not valid yet, a key too
  // weak.
  static std::expected<std::shared_ptr<const TlsServerContext>, std::vector<std::string>> load(
      const TlsServerOptions& options);

  ~TlsServerContext();
  TlsServerContext(const TlsServerContext&) = delete;
  TlsServerContext& operator=(const TlsServerContext&) = delete;

  // The context of the certificate for `server_name` (any case): an exact DNS name first, then a wildcard
  // that stands for exactly one label (RFC 6125 section 6.4.3); of several, the one listed first. Null = no
  // match.
  SSL_CTX* find(std::string_view server_name) const;

  // The context sessions begin with: the first certificate. Borrowed.
  SSL_CTX* default_context() const { return contexts_.front(); }

  const std::shared_ptr<TlsTicketKeys>& ticket_keys() const { return ticket_keys_; }

  // When the first of the certificates (intermediates included) runs out, in seconds since 1970: for an
  // alert.
  int64_t first_expiry_seconds() const { return first_expiry_seconds_; }

 private:
  // Keys are in lower case; of equal names the certificate listed first has it.
  using Names = std::map<std::string, SSL_CTX*, std::less<>>;

  TlsServerContext() = default;
  static int choose_certificate(SSL* ssl, int* alert, void* self);

  std::vector<SSL_CTX*> contexts_;  // owned; one per certificate, in the order of the options
  Names exact_names_;
  Names wildcards_;  // without the "*", e.g. ".example.com"
  std::shared_ptr<TlsTicketKeys> ticket_keys_;
  int64_t first_expiry_seconds_ = 0;
};

// The current context of a listener. Shards look at the version, a word that is only written by a reload, and
// take the lock only when it has changed.
class TlsServerContextHolder {
 public:
  explicit TlsServerContextHolder(std::shared_ptr<const TlsServerContext> first)
      : current_(std::move(first)) {}
  TlsServerContextHolder(const TlsServerContextHolder&) = delete;
  TlsServerContextHolder& operator=(const TlsServerContextHolder&) = delete;

  // Connections accepted from now on use `next`; open ones keep what they began with.
  void replace(std::shared_ptr<const TlsServerContext> next);

  std::shared_ptr<const TlsServerContext> get() const;

 private:
  friend class TlsServerContextView;

  mutable std::mutex mutex_;
  std::shared_ptr<const TlsServerContext> current_;  // guarded by mutex_
  // Only a hint to look again, so relaxed suffices: the context itself is read under the mutex.
  std::atomic<uint64_t> version_{1};
};

// One shard's view of a holder: no lock and no shared write while nothing has been reloaded.
class TlsServerContextView {
 public:
  explicit TlsServerContextView(const TlsServerContextHolder& holder) : holder_(holder) {}
  TlsServerContextView(const TlsServerContextView&) = delete;
  TlsServerContextView& operator=(const TlsServerContextView&) = delete;

  const std::shared_ptr<const TlsServerContext>& current();

 private:
  const TlsServerContextHolder& holder_;
  uint64_t seen_version_ = 0;
  std::shared_ptr<const TlsServerContext> context_;
};

}  // namespace weir::net
