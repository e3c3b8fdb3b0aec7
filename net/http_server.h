// Listeners and the sessions they accept, for one loop. What to answer is the handler's business.
//
// Thread: its loop's.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/loop.h"
#include "core/slab.h"
#include "net/accept_balance.h"
#include "net/server_session.h"

namespace weir::net {

class HttpServer final : private ServerSessionOwner {
 public:
  HttpServer(core::Loop& loop, RequestHandler& handler, uint32_t max_connections);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Takes over a listening descriptor and accepts from it; with `tls`, every connection speaks TLS.
  void listen(int listener, const TlsServerContextHolder* tls = nullptr);
  // Shares the process's connections with other servers, as number `index` of them. Before listen().
  void join(AcceptBalance& balance, uint32_t index);
  // While paused, new connections wait in the kernel's queue, and past it at their clients.
  void pause_accepting(bool paused);
  // Stops accepting. Busy connections end after an answer that says so, idle ones after `idle_ms`: a request that a
  // client has sent by now is answered.
  void begin_drain(uint32_t idle_ms = core::limits::kDrainIdleMs);
  // Closes every connection now; requests being answered end with on_client_gone(shutting_down).
  void close_all();
  bool closed() const {
    const bool awaits = balance_ != nullptr && balance_->connections(index_) > 0;
    return sessions_.live() == 0 && open_listeners_ == 0 && !awaits;
  }

  ServerSettings& settings() { return settings_; }
  uint32_t connections() const { return sessions_.live(); }
  uint64_t accepted() const { return accepted_; }
  uint64_t refused() const { return refused_; }
  uint64_t passed_on() const { return passed_on_; }
  template <typename Visitor>
  void for_each_session(Visitor&& visit) {
    sessions_.for_each(visit);
  }

 private:
  struct Listener {
    Listener(HttpServer& owner, int listening, const TlsServerContextHolder* holder);
    HttpServer& server;
    int descriptor;
    const TlsServerContextHolder* holder;
    core::Operation accept;
    core::Timer retry;             // out of descriptors, or an error again
    bool failed = false;           // the last accept
    bool swept = false;            // draining: what waited in its queue has been accepted
    std::unique_ptr<TlsServerContextView> tls;
  };

  void on_session_closed(ServerSession& session) override;
  static void on_accepted(void* listener, core::Completion& completion);
  void place(int descriptor, Listener& listener);
  void adopt(int descriptor, Listener& listener);
  static void on_retry(core::Timer& timer);
  void close_listener(Listener& listener);

  core::Loop& loop_;
  RequestHandler& handler_;
  ServerSettings settings_;
  core::Slab<ServerSession> sessions_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  uint32_t max_connections_;
  uint32_t open_listeners_ = 0;
  AcceptBalance* balance_ = nullptr;
  uint32_t index_ = 0;                    // there
  uint64_t accepted_ = 0;
  uint64_t refused_ = 0;
  uint64_t passed_on_ = 0;
  bool draining_ = false;
  bool closing_ = false;                  // whoever is still accepted is closed as well
  bool paused_ = false;
};

}  // namespace weir::net
