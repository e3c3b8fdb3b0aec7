#include "net/tls/tls_session.h"

#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <utility>

#include "core/assert.h"
#include "core/limits.h"
#include "net/tls/openssl.h"

namespace weir::net {

// ---- the BIO: OpenSSL's only way to the outside ----------------------------------------------------------

struct TlsSession::Transport {
  static TlsSession& session(BIO* bio) { return *static_cast<TlsSession*>(BIO_get_data(bio)); }

  static int read(BIO* bio, char* out, size_t size, size_t* taken) {
    TlsSession& self = session(bio);
    BIO_clear_retry_flags(bio);
    size_t done = 0;
    if (!self.carry_.empty()) {
      done = std::min(size, self.carry_.size() - self.carry_begin_);
      std::memcpy(out, self.carry_.data() + self.carry_begin_, done);
      self.carry_begin_ += done;
      if (self.carry_begin_ == self.carry_.size()) {
        self.carry_.clear();
        self.carry_begin_ = 0;
      }
    }
    if (done < size && !self.borrowed_.empty()) {
      const size_t more = std::min(size - done, self.borrowed_.size());
      std::memcpy(out + done, self.borrowed_.data(), more);
      self.borrowed_ = self.borrowed_.subspan(more);
      done += more;
    }
    *taken = done;
    if (done != 0) return 1;
    BIO_set_retry_read(bio);
    return 0;
  }

  static int write(BIO* bio, const char* data, size_t size, size_t* taken) {
    TlsSession& self = session(bio);
    BIO_clear_retry_flags(bio);
    *taken = 0;
    while (*taken < size) {
      // A full record is a little more than 16 KiB: two reservations waste less than a buffer of twice the
      // size.
      const std::span<uint8_t> room = self.sink_.reserve(std::min(size - *taken, kTlsRecordBytes));
      if (room.empty()) {
        self.sink_refused_ = true;
        return 0;
      }
      const size_t part = std::min(room.size(), size - *taken);
      std::memcpy(room.data(), data + *taken, part);
      self.sink_.commit(part);
      *taken += part;
    }
    return 1;
  }

  static long control(BIO*, int command, long, void*) {
    // OpenSSL flushes after each flight; what is committed is on its way already. Nothing else is offered.
    return command == BIO_CTRL_FLUSH ? 1 : 0;
  }

  static BIO_METHOD* method() {
    static BIO_METHOD* const made = [] {
      BIO_METHOD* created = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weir transport");
      if (created != nullptr) {
        BIO_meth_set_read_ex(created, read);
        BIO_meth_set_write_ex(created, write);
        BIO_meth_set_ctrl(created, control);
      }
      return created;
    }();
    return made;
  }
};

// ---- beginning and end -----------------------------------------------------------------------------------

core::Result<std::unique_ptr<TlsSession>> TlsSession::accept(std::shared_ptr<const TlsServerContext> context,
                                                             CiphertextSink& sink) {
  std::unique_ptr<TlsSession> session(new TlsSession(Role::server, sink));
  if (!session->prepare(context->default_context())) return core::fail(core::ErrorCode::internal);
  session->server_context_ = std::move(context);
  SSL_set_accept_state(session->ssl_);
  return session;
}

core::Result<std::unique_ptr<TlsSession>> TlsSession::connect(std::shared_ptr<TlsClientContext> context,
                                                              CiphertextSink& sink, const TlsPeer& peer) {
  std::string host(peer.host);
  if (host.ends_with('.')) host.pop_back();  // the absolute form of the same name; certificates do without
  // OpenSSL takes an empty name for "do not check" and a leading dot for "any subdomain".
  if (host.empty() || host.starts_with('.') || host.find('\0') != std::string::npos) {
    return core::fail(core::ErrorCode::upstream_tls_failed);
  }
  std::unique_ptr<TlsSession> session(new TlsSession(Role::client, sink));
  if (!session->prepare(context->context())) return core::fail(core::ErrorCode::internal);
  SSL* const ssl = session->ssl_;
  X509_VERIFY_PARAM* const expected = SSL_get0_param(ssl);
  if (X509_VERIFY_PARAM_set1_ip_asc(expected, host.c_str()) != 1) {
    X509_VERIFY_PARAM_set_hostflags(
        expected, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (X509_VERIFY_PARAM_set1_host(expected, host.data(), host.size()) != 1 ||
        SSL_set_tlsext_host_name(ssl, host.c_str()) != 1) {
      ERR_clear_error();
      return core::fail(core::ErrorCode::upstream_tls_failed);
    }
  }
  ERR_clear_error();
  session->peer_key_ = TlsClientContext::peer_key(peer);
  if (const SslSessionPtr earlier{context->take_session(session->peer_key_)})
    SSL_set_session(ssl, earlier.get());
  session->client_context_ = std::move(context);
  SSL_set_connect_state(ssl);
  return session;
}

bool TlsSession::prepare(SSL_CTX* context) {
  ssl_ = SSL_new(context);
  BIO* const bio = Transport::method() == nullptr ? nullptr : BIO_new(Transport::method());
  if (ssl_ == nullptr || bio == nullptr) {
    BIO_free(bio);
    ERR_clear_error();
    return false;
  }
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);  // takes the one reference
  SSL_set_app_data(ssl_, this);
  return true;
}

TlsSession::~TlsSession() {
  if (ssl_ == nullptr) return;
  // Without this OpenSSL withdraws the session from resumption, as SSL 3 wanted it after a missing
  // close_notify; TLS does not (RFC 5246 section 7.2.1). After a failure it is withdrawn.
  if (failure_reason_ == nullptr) SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(ssl_);
  ERR_clear_error();
}

// ---- ciphertext in ---------------------------------------------------------------------------------------

void TlsSession::feed(std::span<const uint8_t> ciphertext) {
  WEIR_ASSERT(borrowed_.empty());
  borrowed_ = ciphertext;
}

void TlsSession::feed_end() {
  transport_ended_ = true;
}

core::Result<void> TlsSession::release_input() {
  if (borrowed_.empty()) return {};
  const std::span<const uint8_t> rest = std::exchange(borrowed_, {});
  if (failure_reason_ != nullptr || peer_closed_) return {};  // nobody will read it
  carry_.erase(carry_.begin(), carry_.begin() + static_cast<std::ptrdiff_t>(std::exchange(carry_begin_, 0)));
  if (carry_.size() + rest.size() > core::limits::kMaxTlsCarryBytes) {
    return fail_with(core::ErrorCode::out_of_buffers, "the peer sent more than may wait to be decrypted");
  }
  carry_.insert(carry_.end(), rest.begin(), rest.end());
  return {};
}

// ---- handshake and plaintext -----------------------------------------------------------------------------

core::Result<TlsSession::HandshakeStep> TlsSession::handshake() {
  if (failure_reason_ != nullptr) return core::fail(failure_);
  if (handshake_done_) return HandshakeStep::done;
  const int result = SSL_do_handshake(ssl_);
  if (result == 1) {
    handshake_done_ = true;
    return HandshakeStep::done;
  }
  const int error = SSL_get_error(ssl_, result);
  if (error != SSL_ERROR_WANT_READ) return fail_from_openssl(error);
  if (transport_ended_) return fail_with(tls_failed(), "the connection ended during the handshake");
  return HandshakeStep::want_more;
}

core::Result<TlsSession::ReadStep> TlsSession::read(std::span<uint8_t> plaintext) {
  WEIR_ASSERT(handshake_done_ && !plaintext.empty());
  if (failure_reason_ != nullptr) return core::fail(failure_);
  const ReadState dry = transport_ended_ ? ReadState::truncated : ReadState::want_more;
  size_t filled = 0;
  while (filled < plaintext.size()) {
    if (peer_closed_) return ReadStep{filled, ReadState::closed};
    // Nothing left anywhere: spare OpenSSL the call that would find that out.
    if (filled != 0 && unread_ciphertext() == 0 && SSL_has_pending(ssl_) == 0) return ReadStep{filled, dry};
    size_t bytes = 0;
    if (SSL_read_ex(ssl_, plaintext.data() + filled, plaintext.size() - filled, &bytes) == 1) {
      filled += bytes;
      continue;
    }
    const int error = SSL_get_error(ssl_, 0);
    if (error == SSL_ERROR_WANT_READ) return ReadStep{filled, dry};
    if (error == SSL_ERROR_ZERO_RETURN) {
      peer_closed_ = true;
      continue;
    }
    const std::unexpected<core::Error> failure = fail_from_openssl(error);
    if (filled == 0) return failure;
    break;  // what is good goes first; the next call says the rest
  }
  return ReadStep{filled, ReadState::more};
}

core::Result<size_t> TlsSession::write(std::span<const uint8_t> plaintext) {
  WEIR_ASSERT(handshake_done_ && !close_sent_);
  if (failure_reason_ != nullptr) return core::fail(failure_);
  return encrypt(plaintext.data(), plaintext.size());
}

core::Result<size_t> TlsSession::write(std::span<const iovec> pieces) {
  WEIR_ASSERT(handshake_done_ && !close_sent_);
  if (failure_reason_ != nullptr) return core::fail(failure_);
  std::array<uint8_t, kTlsRecordBytes> record;  // uninitialised: only what is gathered is touched
  size_t gathered = 0;
  size_t total = 0;
  for (size_t index = 0; index < pieces.size(); ++index) {
    const auto* data = static_cast<const uint8_t*>(pieces[index].iov_base);
    size_t left = pieces[index].iov_len;
    total += left;
    while (left != 0) {
      // A piece that fills whole records, or is the last one, needs no gathering.
      const bool last = index + 1 == pieces.size();
      if (gathered == 0 && (last || left >= kTlsRecordBytes)) {
        const size_t direct = last ? left : left - left % kTlsRecordBytes;
        if (const auto written = encrypt(data, direct); !written) return written;
        data += direct;
        left -= direct;
        continue;
      }
      const size_t part = std::min(left, record.size() - gathered);
      std::memcpy(record.data() + gathered, data, part);
      gathered += part;
      data += part;
      left -= part;
      if (gathered == record.size()) {
        if (const auto written = encrypt(record.data(), std::exchange(gathered, 0)); !written) return written;
      }
    }
  }
  if (gathered != 0) {
    if (const auto written = encrypt(record.data(), gathered); !written) return written;
  }
  return total;
}

core::Result<size_t> TlsSession::encrypt(const uint8_t* data, size_t bytes) {
  if (bytes == 0) return 0;  // OpenSSL would make an empty record of it
  size_t written = 0;
  // The transport never asks to wait, so OpenSSL takes all bytes or fails.
  if (SSL_write_ex(ssl_, data, bytes, &written) != 1) return fail_from_openssl(SSL_get_error(ssl_, 0));
  return written;
}

void TlsSession::begin_close() {
  if (close_sent_ || !handshake_done_ || failure_reason_ != nullptr) return;
  close_sent_ = true;
  if (SSL_shutdown(ssl_) < 0) (void)fail_from_openssl(SSL_get_error(ssl_, -1));
}

bool TlsSession::release_idle_buffers() {
  if (carry_.empty()) carry_.shrink_to_fit();
  return SSL_free_buffers(ssl_) == 1;
}

// ---- facts -----------------------------------------------------------------------------------------------

std::string_view TlsSession::alpn() const {
  const unsigned char* name = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(ssl_, &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

TlsVersion TlsSession::version() const {
  return SSL_version(ssl_) == TLS1_3_VERSION ? TlsVersion::tls_1_3 : TlsVersion::tls_1_2;
}

std::string_view TlsSession::cipher() const {
  return SSL_get_cipher_name(ssl_);
}

bool TlsSession::resumed() const {
  return SSL_session_reused(ssl_) == 1;
}

// ---- failures --------------------------------------------------------------------------------------------

std::unexpected<core::Error> TlsSession::fail_from_openssl(int ssl_error) {
  const char* reason = nullptr;
  const long verdict = SSL_get_verify_result(ssl_);
  if (sink_refused_) {
    ERR_clear_error();
    return fail_with(core::ErrorCode::out_of_buffers, "no send buffer for a record");
  }
  if (role_ == Role::client && verdict != X509_V_OK) {
    reason = X509_verify_cert_error_string(verdict);
  } else if (ssl_error == SSL_ERROR_SSL) {
    reason = ERR_reason_error_string(ERR_peek_last_error());
  }
  // Others on this thread must not find our error: SSL_get_error() looks at the queue.
  ERR_clear_error();
  return fail_with(tls_failed(), reason == nullptr ? "unexpected TLS state" : reason);
}

std::unexpected<core::Error> TlsSession::fail_with(core::ErrorCode code, const char* reason) {
  failure_ = code;
  failure_reason_ = reason;
  return core::fail(code);
}

}  // namespace weir::net
