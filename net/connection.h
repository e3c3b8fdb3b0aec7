// One TCP (or unix-domain) connection, either leg, plain or TLS: the driver between core::Io and a handler.
//
//   adopt(fd) ────────────────────────────┐
//   connect(address) ─▶ connecting ───────┴▶ [handshaking] ─▶ open ─▶ finishing ─▶ lingering ─▶ closing ─▶ closed
//                            │                     │           │   (flush queue)  (FIN sent)       ▲
//                            └─────────────────────┴───────────┴────────────────────────────────────┘
//                                       close() or a failure, from any state
//
// Invariants
//   1. At most one receive, one send and one connect operation is armed; each has its Operation.
//   2. closing cancels every armed operation, waits for its last completion, closes the descriptor, and only
//      then, at the end of a turn, tells on_closed(); after that the owner may free the connection, not before.
//   3. After on_failed() only on_closed() follows. After close() only on_closed() follows. A failure closes at once,
//      but one of TLS goes by finishing, for its alert.
//   4. Handlers may call anything here from inside any event; no call here leads to an event before it returns.
//   5. What is sent in one turn leaves in one system operation (and, over TLS, in one record per 16 KiB), up to
//      limits::kMaxQueuedSendBytes; more takes several.
//
// Thread: its loop's.
#pragma once

#include <cstdint>
#include <memory>

#include "core/error.h"
#include "core/io.h"
#include "core/limits.h"
#include "core/loop.h"
#include "core/socket.h"
#include "net/slice_queue.h"
#include "net/tls/tls_session.h"

namespace weir::net {

class Connection;

class ConnectionHandler {
 public:
  virtual void on_open() {}                             // connected, and the TLS handshake done
  virtual void on_received(core::Slice data) = 0;
  virtual void on_end() = 0;                            // the peer ended its sending side, cleanly
  virtual void on_send_queue_low() {}                   // fell below the low-water mark again
  virtual void on_failed(core::Error error) = 0;        // the connection is closing itself
  virtual void on_closed() = 0;                         // nothing refers to the connection any more

 protected:
  ~ConnectionHandler() = default;
};

enum class Leg : uint8_t { downstream, upstream };

class Connection final : private CiphertextSink {
 public:
  enum class State : uint8_t { closed, connecting, handshaking, open, finishing, lingering, closing };

  Connection(core::Loop& loop, ConnectionHandler& handler, Leg leg);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Takes over an accepted descriptor; with a context, TLS begins.
  void adopt(int descriptor, std::shared_ptr<const TlsServerContext> tls = nullptr);
  // Opens a connection; with a context, TLS follows, verified against `peer`.
  void connect(const core::SocketAddress& address, std::shared_ptr<TlsClientContext> tls = nullptr,
               const TlsPeer& peer = {});

  // How long connect() and its TLS handshake may take. A request's own connect clock may be shorter, but it
  // only abandons the request; the connection would go on for as long as the kernel tries.
  void set_connect_timeout(uint32_t timeout_ms) { connect_timeout_ms_ = timeout_ms; }

  // Queues bytes; they leave at the end of the turn. Ignored when the connection is not open (any more).
  void send(core::Slice data);
  // The queue is at its high-water mark: the producer should pause; on_send_queue_low() tells when to go on.
  bool send_queue_high() const { return send_queue_high_; }
  uint64_t queued_bytes() const;

  // How long one send (of at most limits::kMaxQueuedSendBytes) may take before the peer counts as stalled.
  void set_write_stall_timeout(uint32_t timeout_ms) { write_stall_timeout_ms_ = timeout_ms; }

  // Stops or resumes on_received(); a little may still arrive after pausing.
  void pause_receiving();
  void resume_receiving();

  // Sends what is queued, ends our side, waits (bounded) for the peer's end, then closes. No more events but
  // on_closed(): what still arrives is dropped.
  void finish();
  // Closes now; what is queued is lost.
  void close();

  // For tools that do what a gateway never does to a socket; -1 once it is closed.
  int descriptor() const { return descriptor_; }

  State state() const { return state_; }
  bool is_open() const { return state_ == State::open; }
  const char* tls_failure_reason() const;
  // Gives back what an idle connection does not need.
  void release_idle_memory();

 private:
  struct Tls;

  // CiphertextSink
  std::span<uint8_t> reserve(size_t minimum) override;
  void commit(size_t bytes) override;

  static void on_connected(void* self, core::Completion& completion);
  static void on_receive(void* self, core::Completion& completion);
  static void on_sent(void* self, core::Completion& completion);
  static void on_flush(core::TurnTask& task);
  static void on_starved(core::TurnTask& task);
  static void on_memory_short(core::TurnTask& task);
  static void on_timer(core::Timer& timer);

  bool receiving() const;
  void arm_receive();
  void begin();
  void transport_received(core::Slice data);
  void transport_ended();
  bool drive_tls();
  void flush();
  void encrypt_queue();
  void after_drained();
  void fail(core::ErrorCode code);
  void fail_with_alert(core::ErrorCode code);
  void fail_later(core::ErrorCode code);
  void start_closing();
  void check_closed();
  core::ErrorCode reset_code() const;

  core::Loop& loop_;
  ConnectionHandler& handler_;
  std::unique_ptr<Tls> tls_;
  core::Operation receive_;
  core::Operation send_;
  core::Operation connect_;
  core::TurnTask flush_task_;
  core::TurnTask starved_task_;
  core::TurnTask copy_out_task_;   // queued while a send is under way: it holds receive blocks
  core::Timer timer_;              // connecting, write stall while open, the bound on lingering after
  SliceQueue wire_;                // bytes as they go over the wire
  int descriptor_ = -1;
  uint32_t connect_timeout_ms_ = core::limits::kUpstreamConnectMs;
  uint32_t write_stall_timeout_ms_ = core::limits::kWriteStallTimeoutMs;
  State state_ = State::closed;
  Leg leg_;
  core::ErrorCode pending_failure_ = core::ErrorCode::internal;  // meaningful when failure_pending_
  bool failure_pending_ = false;   // a call of the handler's failed: told at the end of the turn, not from inside
  bool want_receive_ = false;
  bool received_some_ = false;     // by the receive that is armed
  bool receive_ended_ = false;     // the peer has ended its side; nothing more can be received
  bool send_queue_high_ = false;
  bool copy_out_ = false;          // the send was called back, so that its rest can be copied out
  bool closed_told_ = true;
};

}  // namespace weir::net
