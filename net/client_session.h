// The client's side of one HTTP/1.1 connection to a provider: one request at a time, keep-alive between.
// Providers are not trusted: the same strict parser reads them, and a connection on which anything was odd
// (bytes nobody asked for, a lying length, an early answer) is closed, never used again.
//
//   open() ─▶ connecting ─▶ idle ──begin()──▶ waiting ──head──▶ body ──end──▶ idle (or closing)
//                  │          ▲                  │                 │
//                  └──────────┴──────── any failure, cancel() ─────┴─▶ closing ─▶ closed
//
// Invariants
//   1. Each begin() is answered by exactly one on_response_end() or on_response_failed(), unless cancel()ed.
//   2. After on_response_end(reusable = true) the session is idle; otherwise it is closing.
//   3. Events to the handler come in order: head, body*, end | failed.
//
// Thread: its loop's.
#pragma once

#include <cstdint>
#include <memory>

#include "core/error.h"
#include "core/loop.h"
#include "net/connection.h"
#include "net/http/body_decoder.h"
#include "net/http/head_parser.h"

namespace weir::net {

class ClientSession;

// A piece of a response body as it arrived.
struct BodyPiece {
  core::Slice bytes;        // payload with the chunk framing around it
  uint32_t payload_offset;
  uint32_t payload_size;
  bool whole_chunk;         // `bytes` is exactly one chunk in its plainest form: it may be relayed as it is

  core::Slice payload() const { return bytes.share(payload_offset, payload_size); }
};

class ResponseHandler {
 public:
  virtual void on_response_head(const ResponseHead& head, const uint8_t* base) = 0;
  virtual void on_response_body(BodyPiece piece) = 0;
  enum class Reuse : uint8_t { yes, no };
  virtual void on_response_end(Reuse reuse) = 0;
  virtual void on_response_failed(core::Error error) = 0;

 protected:
  ~ResponseHandler() = default;
};

// Who owns sessions: the pool.
class ClientSessionOwner {
 public:
  virtual void on_session_open(ClientSession& session) = 0;
  virtual void on_session_failed(ClientSession& session, core::Error error) = 0;  // not open or idle
  virtual void on_session_closed(ClientSession& session) = 0;                     // may be freed

 protected:
  ~ClientSessionOwner() = default;
};

class ClientSession final : private ConnectionHandler {
 public:
  enum class State : uint8_t { connecting, idle, waiting, body, closing };

  // `parser` is shared by the sessions of a shard.
  ClientSession(core::Loop& loop, ClientSessionOwner& owner, ResponseHeadParser& parser);
  ClientSession(const ClientSession&) = delete;
  ClientSession& operator=(const ClientSession&) = delete;

  void open(const core::SocketAddress& address, std::shared_ptr<TlsClientContext> tls, const TlsPeer& peer);
  void set_connect_timeout(uint32_t timeout_ms) { connection_.set_connect_timeout(timeout_ms); }  // before open()
  // Begins an exchange on an idle session; the request is then sent piece by piece.
  void begin(ResponseHandler& handler, Method method);
  void send(core::Slice data) { connection_.send(std::move(data)); }
  // Gives up: no more events to the response handler; the connection closes.
  void cancel();
  void close() { cancel(); }

  void pause_receiving() { connection_.pause_receiving(); }
  void resume_receiving() { connection_.resume_receiving(); }

  State state() const { return state_; }
  const Connection& connection() const { return connection_; }
  uint64_t idle_since_ns() const { return idle_since_ns_; }
  uint64_t exchanges() const { return exchanges_; }

 private:
  void on_open() override;
  void on_received(core::Slice data) override;
  void on_end() override;
  void on_failed(core::Error error) override;
  void on_closed() override;

  void read_head(core::Slice data);
  void read_body(core::Slice data);
  void end_response(bool leftover);
  void fail(core::Error error);

  core::Loop& loop_;
  ClientSessionOwner& owner_;
  ResponseHeadParser& parser_;
  Connection connection_;
  ResponseHandler* handler_ = nullptr;
  core::Slice partial_head_;
  BodyDecoder body_;
  uint64_t idle_since_ns_ = 0;
  uint64_t exchanges_ = 0;
  uint64_t begun_turn_ = 0;
  Method method_ = Method::get;
  State state_ = State::connecting;
  bool keep_alive_ = false;
};

}  // namespace weir::net
