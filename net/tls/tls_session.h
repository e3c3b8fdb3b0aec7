// One TLS connection end without I/O: ciphertext in, plaintext out, and the other way round. The ring moves
// ciphertext only; OpenSSL never sees a socket.
//
//      ring receives                                                         HTTP parser
//   ─────────────────▶ feed(ciphertext) ─▶ handshake() / read(plaintext) ─────────────▶
//   ◀───────────────── CiphertextSink   ◀─ write(plaintext) / begin_close() ◀──────────
//      ring sends        (written once, into the pooled send buffers)         HTTP writer
//
//   Life:  accept/connect ─▶ handshake() until done ─▶ read/write ─▶ begin_close() ─▶ destroyed
//                                 │ failure                │ closed, truncated or failure
//                                 ▼                        ▼
//                        flush the sink (it may hold an alert), close the socket
//
// The driver's turn, whenever ciphertext arrives:
//     session.feed(received);                       // borrowed, not copied
//     until handshake_done(): session.handshake();
//     while room for plaintext: step = session.read(room); until step.state != more
//     session.release_input();                      // now `received` may be reused
//     send what the sink holds: any call may have produced ciphertext, reading too (alerts, tickets, key
//     updates)
//
// Invariants
//   1. Borrowed ciphertext is touched only between feed() and release_input(). When read() has said
//      want_more, nothing is left of it and release_input() copies nothing.
//   2. After a failure every call fails with the same code; failure_reason() says why. Plaintext decrypted
//      before the failure is delivered first.
//   3. `closed` means that the peer ended its stream on purpose (close_notify). `truncated` means that the
//      transport ended without it: a body that lasts until close is then incomplete (RFC 9112 section 9.8).
//   4. write() leaves all bytes in the sink: one record per call up to kTlsRecordBytes, however many pieces
//      it has.
//   5. Between handshake and release_idle_buffers() nothing is allocated here (back pressure that makes
//      release_input() copy is the exception) and OpenSSL keeps its two record buffers, about 33 KiB per
//      active session, which release_idle_buffers() gives back. OpenSSL 3.0 itself still takes and frees 40
//      bytes of bookkeeping once or twice per record.
//
// Limits: kMaxTlsCarryBytes (out_of_buffers).
//
// Threads: create on any thread, then one shard only. Not copied, not moved: OpenSSL holds its address.
#pragma once

#include <openssl/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "net/tls/ciphertext_sink.h"
#include "net/tls/tls_client_context.h"
#include "net/tls/tls_server_context.h"
#include "net/tls/tls_version.h"

namespace weir::net {

class TlsSession {
 public:
  // Plaintext of a full record (RFC 8446 section 5.1).
  static constexpr size_t kTlsRecordBytes = 16 * 1024;

  enum class HandshakeStep : uint8_t { want_more, done };

  enum class ReadState : uint8_t {
    more,       // the output is full (or a failure comes next): call read() again
    want_more,  // all ciphertext fed so far is used up
    closed,     // close_notify: nothing will follow
    truncated,  // feed_end() came without close_notify: nothing will follow
  };

  struct ReadStep {
    size_t bytes;  // plaintext at the front of the output
    ReadState state;
  };

  // The server's end of an accepted connection; `sink` must outlive the session. Error: internal (no memory).
  static core::Result<std::unique_ptr<TlsSession>> accept(std::shared_ptr<const TlsServerContext> context,
                                                          CiphertextSink& sink);

  // The client's end of a connection to `peer`, which is named (SNI, unless it is an IP literal) and
  // verified. The first handshake() produces the first bytes. Errors: internal (no memory),
  // upstream_tls_failed (a host that cannot be a name).
  static core::Result<std::unique_ptr<TlsSession>> connect(std::shared_ptr<TlsClientContext> context,
                                                           CiphertextSink& sink, const TlsPeer& peer);

  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  // ---- ciphertext from the transport ----

  // Lends received bytes until release_input(). One loan at a time.
  void feed(std::span<const uint8_t> ciphertext);

  // The transport has ended (the peer's FIN): what is fed so far is all there will be.
  void feed_end();

  // Ends the loan: copies what is not used up (only back pressure leaves any) so that the lender may reuse
  // its buffer. Error: out_of_buffers past kMaxTlsCarryBytes; stop receiving while unread_ciphertext() is not
  // 0.
  core::Result<void> release_input();

  // Ciphertext that has been fed and not yet taken in by OpenSSL (which holds a record or so), in bytes.
  size_t unread_ciphertext() const { return borrowed_.size() + (carry_.size() - carry_begin_); }

  // ---- handshake ----

  // Takes the handshake as far as the input allows. `done` is said again if called again. Errors:
  // client_tls_failed or upstream_tls_failed; also when the transport ends before it is done.
  core::Result<HandshakeStep> handshake();

  bool handshake_done() const { return handshake_done_; }

  // ---- plaintext ----

  // Decrypts as much as `plaintext` (not empty) holds. Requires handshake_done(). Errors: client_tls_failed
  // or upstream_tls_failed (forged, malformed or unexpected records), out_of_buffers.
  core::Result<ReadStep> read(std::span<uint8_t> plaintext);

  // Encrypts all of it into the sink and returns the plaintext bytes taken: all. Requires handshake_done()
  // and that begin_close() has not been called. Errors as read().
  core::Result<size_t> write(std::span<const uint8_t> plaintext);

  // The same for pieces, gathered so that they share records: an SSE event and its framing leave as one.
  core::Result<size_t> write(std::span<const iovec> pieces);

  // Says close_notify once: our direction has ended, reading goes on. Nothing happens before the handshake is
  // done or after a failure.
  void begin_close();

  // Gives OpenSSL's record buffers back while the connection idles; the next use allocates them again. False
  // if a partial record has arrived, so that they are needed.
  bool release_idle_buffers();

  // ---- facts, once the handshake is done ----

  std::string_view alpn() const;  // "http/1.1", or empty if the peer does not negotiate
  TlsVersion version() const;
  std::string_view cipher() const;  // OpenSSL's name; static
  bool resumed() const;

  // Why the session failed, for the log: OpenSSL's or the certificate verifier's words; static. Null = no
  // failure.
  const char* failure_reason() const { return failure_reason_; }

 private:
  friend class TlsClientContext;
  enum class Role : uint8_t { server, client };
  struct Transport;  // the BIO between OpenSSL and the members below

  TlsSession(Role role, CiphertextSink& sink) : sink_(sink), role_(role) {}
  bool prepare(SSL_CTX* context);
  core::Result<size_t> encrypt(const uint8_t* data, size_t bytes);
  std::unexpected<core::Error> fail_from_openssl(int ssl_error);
  std::unexpected<core::Error> fail_with(core::ErrorCode code, const char* reason);
  core::ErrorCode tls_failed() const {
    return role_ == Role::server ? core::ErrorCode::client_tls_failed : core::ErrorCode::upstream_tls_failed;
  }

  SSL* ssl_ = nullptr;  // owned
  CiphertextSink& sink_;
  std::span<const uint8_t> borrowed_;  // the lender's; read after carry_
  std::vector<uint8_t> carry_;         // what back pressure left of earlier loans
  size_t carry_begin_ = 0;
  const Role role_;
  bool handshake_done_ = false;
  bool transport_ended_ = false;
  bool peer_closed_ = false;
  bool close_sent_ = false;
  bool sink_refused_ = false;
  core::ErrorCode failure_ = core::ErrorCode::internal;  // meaningful if failure_reason_ is set
  const char* failure_reason_ = nullptr;
  std::shared_ptr<const TlsServerContext> server_context_;  // its callbacks are used during the handshake
  std::shared_ptr<TlsClientContext> client_context_;
  std::string peer_key_;  // client: "host:port", the key of the session cache
};

}  // namespace weir::net
