// The server's side of one HTTP/1.1 connection: reads whole requests, one after the other, and carries the
// answers. The data plane, the admin socket and the mock provider all stand on it.
//
//            ┌──────────────────────────────── end_response(), keep-alive ───────────────────────────────┐
//            ▼                                                                                           │
//   accepted ─▶ idle ─▶ head ─▶ body ─▶ responding (on_request() called; the handler answers when it can) ┤
//                        │        │                                                                       │
//                        └────────┴─▶ refused: on_refused() answers, then the connection closes ◀─────────┘
//                                                                              must_close(), abort()
// Invariants
//   1. on_request() gets a whole, valid request: head and body lie one behind the other, in place where they
//      were received if they came in one piece, else copied together once. They stay until end_response().
//   2. Requests are answered in order, one at a time; what a client pipelines waits (bounded).
//   3. Every request that on_request() or on_refused() told of ends exactly once: end_response(), abort(), or
//      on_client_gone().
//   4. A refusal closes the connection after the answer; nothing that came behind it is looked at.
//
// Limits: kMaxHeadBytes, kMaxHeaders, kMaxTargetBytes, the body limit given, kHeadTimeoutMs,
// kBodyStallTimeoutMs, kBodyGraceMs, kMinBodyBytesPerSecond, kIdleTimeoutMs. Thread: its loop's.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "core/error.h"
#include "core/loop.h"
#include "net/connection.h"
#include "net/http/body_decoder.h"
#include "net/http/head.h"
#include "net/http/head_parser.h"

namespace weir::net {

class ServerSession;

// A whole request. Valid until end_response().
struct Request {
  const RequestHead& head;        // valid during on_request() only
  const uint8_t* base;            // what the head's offsets count from
  std::span<const uint8_t> body;  // followed by BufferPool::kPadding readable bytes
};

class RequestHandler {
 public:
  // The head is there, the body may not be. An error refuses the request before its body is read.
  virtual core::Result<void> on_head(ServerSession& session, const RequestHead& head, const uint8_t* base) = 0;
  // Answer through the session, now or later.
  virtual void on_request(ServerSession& session, const Request& request) = 0;
  // The request was refused by the protocol or by on_head(): answer with describe(error.code) and
  // end_response().
  virtual void on_refused(ServerSession& session, core::Error error) = 0;
  // The client is gone while its answer was owed. The session is closing.
  virtual void on_client_gone(ServerSession& session, core::Error error) = 0;
  // send_queue_high() has become false again.
  virtual void on_send_queue_low(ServerSession&) {}

 protected:
  ~RequestHandler() = default;
};

class ServerSessionOwner {
 public:
  virtual void on_session_closed(ServerSession& session) = 0;  // nothing refers to it: free it

 protected:
  ~ServerSessionOwner() = default;
};

// What the sessions of one listener and shard share.
struct ServerSettings {
  uint32_t max_body_bytes = core::limits::kMaxBodyBytes;
  uint32_t head_timeout_ms = core::limits::kHeadTimeoutMs;
  uint32_t body_stall_timeout_ms = core::limits::kBodyStallTimeoutMs;
  uint32_t idle_timeout_ms = core::limits::kIdleTimeoutMs;
  uint32_t write_stall_timeout_ms = core::limits::kWriteStallTimeoutMs;
  bool draining = false;          // every answer from now on says Connection: close
  uint32_t drain_idle_ms = core::limits::kDrainIdleMs;  // then in the place of idle_timeout_ms
  bool thinning = false;          // every answer that begins now does: on and off, to lose some connections
  RequestHeadParser parser;       // a head is parsed in one go, so one parser serves all
};

class ServerSession final : private ConnectionHandler {
 public:
  enum class State : uint8_t { idle, head, body, responding, closing };

  ServerSession(core::Loop& loop, ServerSessionOwner& owner, RequestHandler& handler, ServerSettings& settings);
  ServerSession(const ServerSession&) = delete;
  ServerSession& operator=(const ServerSession&) = delete;

  void adopt(int descriptor, std::shared_ptr<const TlsServerContext> tls = nullptr);

  // ---- answering ----
  // The answer must say "connection: close": the client asked for it, the request was refused, the server ends or has
  // too many. Asked while the head is written: an answer that has not said so leaves the connection open, because the
  // next request may be on its way already.
  bool must_close() { return must_close_ |= settings_.draining || settings_.thinning; }
  // The request's method is HEAD: the answer ends with its head (RFC 9110 section 9.3.2).
  bool head_only() const { return head_only_; }
  void send(core::Slice data) { connection_.send(std::move(data)); }
  bool send_queue_high() const { return connection_.send_queue_high(); }
  void end_response();
  // Refuses whatever comes: on_refused() is called with `error` before anything is read.
  void reject(core::Error error) { refuse(error); }
  // Sends what is queued and ends the connection in the middle of the answer: the client sees that it is cut.
  void cut();
  // The same at once; what is queued is lost.
  void abort();
  // Closes now, from outside: a request being answered ends with on_client_gone(reason).
  void close(core::Error reason);

  // The bytes of the current request (head and body), for holding on to them past end_response(). Of a refused one,
  // what had come of it, from its first byte on; empty if nothing could be kept.
  const core::Slice& request_bytes() const { return request_; }
  // The request's bytes move out of the receive blocks everyone shares; `body` of the Request is invalid then.
  bool move_request_to_own_block();

  // The settings say that the server drains: the connection ends with its next answer, or once it has been idle for
  // a while, in which a request that was on its way arrives.
  void begin_drain();

  State state() const { return state_; }
  Connection& connection() { return connection_; }
  core::Loop& loop() { return loop_; }
  void* exchange = nullptr;       // the handler's, for the request being answered
  uint64_t number = 0;            // of the connection, from 1, in the order in which its server accepted

 private:
  void on_received(core::Slice data) override;
  void on_end() override;
  void on_send_queue_low() override;
  void on_failed(core::Error error) override;
  void on_closed() override;
  static void on_timer(core::Timer& timer);
  static void on_next(core::TurnTask& task);

  void consume(core::Slice data);
  void parse_head(core::Slice data);
  void begin_body(core::Slice data, const RequestHead& head, uint32_t head_size);
  void append_body(core::Slice data);
  void wait_for_body();
  bool append(core::Slice& to, std::span<const uint8_t> bytes);
  void complete(core::Slice request, uint32_t head_size, core::Slice rest);
  bool keep_for_later(core::Slice data);
  void refuse(core::Error error);
  void refuse(core::Error error, core::Slice received);
  void become_idle();
  void wait_for_request(uint32_t timeout_ms);

  core::Loop& loop_;
  ServerSessionOwner& owner_;
  RequestHandler& handler_;
  ServerSettings& settings_;
  Connection connection_;
  core::Timer clock_;             // idle, head or body, by state_
  core::TurnTask next_task_;
  core::Slice request_;           // the request being read (copied together) or answered
  core::Slice pending_;           // what came behind the request being answered
  BodyDecoder body_;
  uint64_t body_begun_ns_ = 0;
  uint32_t head_size_ = 0;
  State state_ = State::idle;
  bool must_close_ = false;
  bool head_only_ = false;
};

}  // namespace weir::net
