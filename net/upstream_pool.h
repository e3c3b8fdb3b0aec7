// The connections of one shard to one provider endpoint: UpstreamPoolMachine with sockets.
//
// A request acquires a session, uses it for one exchange, and releases it. A request that has to wait is
// told through its UpstreamWaiter. An idle connection keeps a receive armed, so a dead one reports itself;
// one that has idled too long is closed.
//
// Thread: its loop's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/loop.h"
#include "core/slab.h"
#include "net/client_session.h"
#include "net/upstream_pool_machine.h"

namespace weir::net {

// Where an endpoint is and how to speak to it.
struct UpstreamTarget {
  std::string host;                          // name or address: the certificate's name
  uint16_t port = 0;
  bool tls = false;
  std::shared_ptr<TlsClientContext> context; // with tls
  uint32_t idle_timeout_ms = core::limits::kUpstreamIdleMs;
};

// Addresses of a host; asked only when a connection is opened. May be called on any shard.
class AddressSource {
 public:
  // Copies up to `count` addresses to `out`; returns how many, 0 when the name does not resolve (yet).
  virtual size_t addresses(const std::string& host, uint16_t port, core::SocketAddress* out, size_t count) = 0;

 protected:
  ~AddressSource() = default;
};

// A request waiting for a connection; embedded in its owner, on at most one pool's queue.
class UpstreamWaiter {
 public:
  virtual void on_upstream_ready(ClientSession& session) = 0;
  virtual void on_upstream_refused(core::Error error) = 0;
  bool waiting() const { return previous_ != nullptr; }

 protected:
  virtual ~UpstreamWaiter() { WEIR_ASSERT(!waiting()); }

 private:
  friend class UpstreamPool;
  UpstreamWaiter* next_ = nullptr;
  UpstreamWaiter* previous_ = nullptr;
};

class UpstreamPool final : private ClientSessionOwner {
 public:
  UpstreamPool(core::Loop& loop, UpstreamTarget target, AddressSource& addresses, ResponseHeadParser& parser,
               UpstreamPoolMachine machine = UpstreamPoolMachine());
  ~UpstreamPool();
  UpstreamPool(const UpstreamPool&) = delete;
  UpstreamPool& operator=(const UpstreamPool&) = delete;

  // An idle session at once, or null: the waiter is queued and told later (never from inside this call),
  // or refused (`error` is set).
  // A connection opened for it gives up after `connect_timeout_ms`.
  ClientSession* acquire(UpstreamWaiter& waiter, core::Result<void>& outcome,
                         uint32_t connect_timeout_ms = core::limits::kUpstreamConnectMs);
  // The waiter no longer wants a session. It must be waiting.
  void abandon(UpstreamWaiter& waiter);
  // The exchange on `session` is over. With Reuse::no it is closing or will be closed here.
  void release(ClientSession& session, ResponseHandler::Reuse reuse);

  const UpstreamTarget& target() const { return target_; }
  const UpstreamPoolMachine& machine() const { return machine_; }
  // New connections use `context`, and idle ones made with another are closed; busy ones end their exchange.
  void replace_context(std::shared_ptr<TlsClientContext> context);
  // Closes what is idle or connecting; closed() once all are gone.
  void begin_close();
  bool closed() const { return live_ == 0; }

 private:
  void on_session_open(ClientSession& session) override;
  void on_session_failed(ClientSession& session, core::Error error) override;
  void on_session_closed(ClientSession& session) override;
  static void on_retry(core::TurnTask& task);
  static void on_idle_timer(core::Timer& timer);

  void open();
  void serve(ClientSession& session, UpstreamPoolMachine::Free action);
  void open_failed(core::Error error);
  UpstreamWaiter* pop_waiter();
  void remove_idle(ClientSession& session);
  void close_idle();

  core::Loop& loop_;
  UpstreamTarget target_;
  AddressSource& addresses_;
  ResponseHeadParser& parser_;
  UpstreamPoolMachine machine_;
  std::vector<ClientSession*> idle_;          // the last is the hottest
  core::Slab<ClientSession> sessions_;
  UpstreamWaiter* first_waiter_ = nullptr;    // doubly linked, circular through previous_
  core::TurnTask failures_task_;
  core::Timer idle_timer_;
  uint32_t failures_to_report_ = 0;           // opens that failed before a connection was tried
  core::Error failure_{core::ErrorCode::name_not_resolved};
  uint32_t next_address_ = 0;
  uint32_t connect_timeout_ms_ = core::limits::kUpstreamConnectMs;  // of whoever asked last
  uint32_t live_ = 0;
  bool closing_ = false;
};

}  // namespace weir::net
