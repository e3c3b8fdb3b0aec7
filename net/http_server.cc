#include "net/http_server.h"

#include <cerrno>
#include <utility>

#include "core/log.h"

namespace weir::net {
namespace {

// Connections past the limit that may still be told so.
constexpr uint32_t kRefusalRoom = 64;
constexpr uint32_t kAcceptRetryMs = 100;

}  // namespace

HttpServer::Listener::Listener(HttpServer& owner, int listening, const TlsServerContextHolder* context)
    : server(owner), descriptor(listening), holder(context), accept(this, on_accepted), retry(on_retry, this) {
  if (holder != nullptr) tls = std::make_unique<TlsServerContextView>(*holder);
}

HttpServer::HttpServer(core::Loop& loop, RequestHandler& handler, uint32_t max_connections)
    : loop_(loop),
      handler_(handler),
      sessions_(max_connections + kRefusalRoom),
      max_connections_(max_connections) {}

HttpServer::~HttpServer() {
  WEIR_ASSERT(closed());
}

void HttpServer::join(AcceptBalance& balance, uint32_t index) {
  WEIR_ASSERT(listeners_.empty());
  balance_ = &balance;
  index_ = index;
  balance.join(index, loop_, [this](int descriptor, const TlsServerContextHolder* tls) {
    // All servers listen to the same addresses, so there is one of the same kind, whether or not it still accepts.
    for (auto& listener : listeners_) {
      if (listener->holder == tls) return adopt(descriptor, *listener);
    }
    WEIR_ASSERT(false);
  });
}

void HttpServer::listen(int listener, const TlsServerContextHolder* tls) {
  listeners_.push_back(std::make_unique<Listener>(*this, listener, tls));
  ++open_listeners_;
  loop_.io().accept(listeners_.back()->accept, listener);
}

void HttpServer::on_accepted(void* listener_pointer, core::Completion& completion) {
  auto& listener = *static_cast<Listener*>(listener_pointer);
  HttpServer& self = listener.server;
  // Cancelled: by us, to pause or to drain. A client that is gone before he is accepted (ECONNABORTED) is nothing
  // unusual, so only the second failure in a row waits for its retry.
  const bool failed = completion.result < 0 && completion.result != -ECANCELED;
  const bool failed_before = std::exchange(listener.failed, failed);
  if (completion.result >= 0) self.place(completion.result, listener);
  if (listener.accept.armed()) return;
  if (self.draining_) return self.close_listener(listener);
  if (self.paused_) return;
  const bool exhausted = completion.result == -EMFILE || completion.result == -ENFILE ||
                         completion.result == -ENOBUFS || completion.result == -ENOMEM;
  if (!exhausted && !(failed && failed_before))
    return self.loop_.io().accept(listener.accept, listener.descriptor);
  static core::RateLimitedLog exhaustion(1), other_failures(1);  // neither hides the other
  (exhausted ? exhaustion : other_failures)
      .log(self.loop_.now_ns(), core::LogLevel::warning, "accept_failed",
           {{"hint", exhausted ? "no descriptors or memory left; raise the limit on open files"
                               : "connections wait until it works again"},
            {"errno", -completion.result}});
  self.loop_.timers().schedule(listener.retry, self.loop_.now_ns() + core::milliseconds(kAcceptRetryMs));
}

void HttpServer::place(int descriptor, Listener& listener) {
  if (balance_ == nullptr) return adopt(descriptor, listener);
  const uint32_t whose = balance_->place(index_);
  if (whose == index_) return adopt(descriptor, listener);
  ++passed_on_;
  balance_->hand_over(whose, descriptor, listener.holder);
}

// Also while draining: who was accepted before the kernel heard that nobody should be is owed an answer.
void HttpServer::adopt(int descriptor, Listener& listener) {
  ServerSession* session = closing_ ? nullptr
                                    : sessions_.acquire(loop_, static_cast<ServerSessionOwner&>(*this), handler_,
                                                        settings_);
  if (session == nullptr) {
    ++refused_;
    loop_.io().close(descriptor);
    if (balance_ != nullptr) balance_->leave(index_);
    return;
  }
  session->number = ++accepted_;
  session->adopt(descriptor, listener.tls != nullptr ? listener.tls->current() : nullptr);
  if (sessions_.live() > max_connections_) {
    ++refused_;
    session->reject({core::ErrorCode::too_many_connections});
  }
}

// Whoever waits in the queue has a connection as far as he knows, and would see it reset: taken in first. An accept
// that is armed and cancelled in one go takes all that is there.
void HttpServer::close_listener(Listener& listener) {
  if (!std::exchange(listener.swept, true)) {
    loop_.io().accept(listener.accept, listener.descriptor);
    loop_.io().cancel(listener.accept);
    return;
  }
  loop_.io().close(std::exchange(listener.descriptor, -1));
  --open_listeners_;
}

void HttpServer::on_retry(core::Timer& timer) {
  auto& listener = timer.owner<Listener>();
  if (listener.accept.armed() || listener.descriptor < 0 || listener.server.paused_) return;
  listener.server.loop_.io().accept(listener.accept, listener.descriptor);
}

void HttpServer::pause_accepting(bool paused) {
  if (draining_ || std::exchange(paused_, paused) == paused) return;
  if (balance_ != nullptr) balance_->set_open(index_, !paused);
  for (auto& listener : listeners_) {
    const bool armed = listener->accept.armed();
    if (paused && armed) loop_.io().cancel(listener->accept);
    // One whose cancellation is still under way is armed again when that has come.
    if (!paused && !armed) loop_.io().accept(listener->accept, listener->descriptor);
  }
}

void HttpServer::begin_drain(uint32_t idle_ms) {
  if (std::exchange(draining_, true)) return;
  settings_.draining = true;
  if (balance_ != nullptr) balance_->set_open(index_, false);
  settings_.drain_idle_ms = idle_ms;
  for (auto& listener : listeners_) {
    if (listener->accept.armed()) {
      loop_.io().cancel(listener->accept);
    } else {
      listener->retry.cancel();
      close_listener(*listener);
    }
  }
  sessions_.for_each([](ServerSession& session) { session.begin_drain(); });
}

void HttpServer::close_all() {
  closing_ = draining_;
  sessions_.for_each([](ServerSession& session) { session.close({core::ErrorCode::shutting_down}); });
}

void HttpServer::on_session_closed(ServerSession& session) {
  sessions_.release(&session);
  if (balance_ != nullptr) balance_->leave(index_);
}

}  // namespace weir::net
