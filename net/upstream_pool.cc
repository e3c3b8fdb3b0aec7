#include "net/upstream_pool.h"

#include <algorithm>
#include <utility>

#include "core/limits.h"
#include "core/log.h"

namespace weir::net {
namespace {

constexpr size_t kMaxAddresses = 16;
core::RateLimitedLog tls_log(1);

}  // namespace

UpstreamPool::UpstreamPool(core::Loop& loop, UpstreamTarget target, AddressSource& addresses,
                           ResponseHeadParser& parser, UpstreamPoolMachine machine)
    : loop_(loop),
      target_(std::move(target)),
      addresses_(addresses),
      parser_(parser),
      machine_(machine),
      sessions_(core::limits::kMaxUpstreamConnectionsPerEndpoint * 2),  // closing ones still take a place
      failures_task_(on_retry, this),
      idle_timer_(on_idle_timer, this) {
  idle_.reserve(64);
}

UpstreamPool::~UpstreamPool() { WEIR_ASSERT(live_ == 0 && first_waiter_ == nullptr); }

ClientSession* UpstreamPool::acquire(UpstreamWaiter& waiter, core::Result<void>& outcome,
                                     uint32_t connect_timeout_ms) {
  connect_timeout_ms_ = connect_timeout_ms;
  WEIR_ASSERT(!waiter.waiting());
  if (closing_) {
    outcome = core::fail(core::ErrorCode::shutting_down);
    return nullptr;
  }
  const auto action = machine_.on_acquire();
  switch (action) {
    case UpstreamPoolMachine::Acquire::use_idle: {
      ClientSession* session = idle_.back();
      idle_.pop_back();
      return session;
    }
    case UpstreamPoolMachine::Acquire::refuse:
      outcome = core::fail(core::ErrorCode::upstream_queue_full);
      return nullptr;
    case UpstreamPoolMachine::Acquire::open_and_wait:
    case UpstreamPoolMachine::Acquire::wait:
      break;
  }
  if (first_waiter_ == nullptr) {
    first_waiter_ = waiter.next_ = waiter.previous_ = &waiter;
  } else {
    waiter.next_ = first_waiter_;
    waiter.previous_ = first_waiter_->previous_;
    waiter.previous_->next_ = &waiter;
    first_waiter_->previous_ = &waiter;
  }
  if (action == UpstreamPoolMachine::Acquire::open_and_wait) open();
  return nullptr;
}

void UpstreamPool::abandon(UpstreamWaiter& waiter) {
  WEIR_ASSERT(waiter.waiting());
  machine_.on_abandoned();
  if (waiter.next_ == &waiter) {
    first_waiter_ = nullptr;
  } else {
    waiter.previous_->next_ = waiter.next_;
    waiter.next_->previous_ = waiter.previous_;
    if (first_waiter_ == &waiter) first_waiter_ = waiter.next_;
  }
  waiter.next_ = waiter.previous_ = nullptr;
}

// The oldest waiter, off the queue; the machine has counted it out already.
UpstreamWaiter* UpstreamPool::pop_waiter() {
  UpstreamWaiter* waiter = first_waiter_;
  WEIR_ASSERT(waiter != nullptr);
  if (waiter->next_ == waiter) {
    first_waiter_ = nullptr;
  } else {
    first_waiter_ = waiter->next_;
    first_waiter_->previous_ = waiter->previous_;
    waiter->previous_->next_ = first_waiter_;
  }
  waiter->next_ = waiter->previous_ = nullptr;
  return waiter;
}

void UpstreamPool::open() {
  core::SocketAddress found[kMaxAddresses];
  const size_t count = addresses_.addresses(target_.host, target_.port, found, kMaxAddresses);
  ClientSession* session = count == 0 ? nullptr : sessions_.acquire(loop_, static_cast<ClientSessionOwner&>(*this), parser_);
  if (session == nullptr) {
    // Told at the end of the turn: nobody expects an answer from inside acquire().
    failure_ = {count == 0 ? core::ErrorCode::name_not_resolved : core::ErrorCode::upstream_queue_full};
    ++failures_to_report_;
    loop_.at_end_of_turn(failures_task_);
    return;
  }
  ++live_;
  session->set_connect_timeout(connect_timeout_ms_);
  session->open(found[next_address_++ % count], target_.context, {target_.host, target_.port});
}

void UpstreamPool::on_retry(core::TurnTask& task) {
  auto& self = task.owner<UpstreamPool>();
  // Those told may ask again and fail again: that is for the next turn.
  const core::Error failure = self.failure_;
  for (uint32_t count = std::exchange(self.failures_to_report_, 0); count > 0; --count) self.open_failed(failure);
}

void UpstreamPool::open_failed(core::Error error) {
  const auto action = machine_.on_open_failed();
  if (action == UpstreamPoolMachine::OpenFailed::nothing) return;
  UpstreamWaiter* waiter = pop_waiter();
  if (action == UpstreamPoolMachine::OpenFailed::fail_waiter_and_open) open();
  waiter->on_upstream_refused(error);
}

void UpstreamPool::serve(ClientSession& session, UpstreamPoolMachine::Free action) {
  if (action == UpstreamPoolMachine::Free::serve_waiter) {
    pop_waiter()->on_upstream_ready(session);
    return;
  }
  idle_.push_back(&session);
  if (closing_) {
    close_idle();
  } else if (!idle_timer_.armed()) {
    loop_.timers().schedule(idle_timer_, loop_.now_ns() + core::milliseconds(target_.idle_timeout_ms));
  }
}

void UpstreamPool::on_session_open(ClientSession& session) { serve(session, machine_.on_opened()); }

void UpstreamPool::release(ClientSession& session, ResponseHandler::Reuse reuse) {
  if (reuse == ResponseHandler::Reuse::yes && session.state() == ClientSession::State::idle) {
    serve(session, machine_.on_released());
    return;
  }
  session.close();
  if (machine_.on_lost(UpstreamPoolMachine::Was::busy) == UpstreamPoolMachine::Lost::open_for_waiter) open();
}

void UpstreamPool::remove_idle(ClientSession& session) {
  const auto found = std::find(idle_.begin(), idle_.end(), &session);
  WEIR_ASSERT(found != idle_.end());
  idle_.erase(found);
  if (machine_.on_lost(UpstreamPoolMachine::Was::idle) == UpstreamPoolMachine::Lost::open_for_waiter) open();
}

void UpstreamPool::on_session_failed(ClientSession& session, core::Error error) {
  if (std::find(idle_.begin(), idle_.end(), &session) != idle_.end()) {
    remove_idle(session);
  } else {
    // An expired certificate and a wrong name are one error to the client; the operator must know which.
    if (const char* reason = session.connection().tls_failure_reason()) {
      tls_log.log(loop_.now_ns(), core::LogLevel::warning, "provider_tls_failed",
                  {{"host", target_.host}, {"port", target_.port}, {"reason", reason}});
    }
    open_failed(error);
  }
}

void UpstreamPool::on_session_closed(ClientSession& session) {
  --live_;
  sessions_.release(&session);
}

void UpstreamPool::on_idle_timer(core::Timer& timer) {
  auto& self = timer.owner<UpstreamPool>();
  const uint64_t limit_ns = core::milliseconds(self.target_.idle_timeout_ms);
  const uint64_t now_ns = self.loop_.now_ns();
  // The front of the stack has idled longest.
  while (!self.idle_.empty() && now_ns - self.idle_.front()->idle_since_ns() >= limit_ns) {
    ClientSession& session = *self.idle_.front();
    session.close();
    self.remove_idle(session);
  }
  if (self.idle_.empty()) return;
  self.loop_.timers().schedule(timer, self.idle_.front()->idle_since_ns() + limit_ns);
}

void UpstreamPool::close_idle() {
  while (!idle_.empty()) {
    ClientSession& session = *idle_.back();
    session.close();
    remove_idle(session);
  }
}

void UpstreamPool::begin_close() {
  if (closing_) return;
  closing_ = true;
  idle_timer_.cancel();
  close_idle();
  sessions_.for_each([this](ClientSession& session) {
    if (session.state() != ClientSession::State::connecting) return;
    session.close();
    open_failed({core::ErrorCode::shutting_down});
  });
}

void UpstreamPool::replace_context(std::shared_ptr<TlsClientContext> context) {
  target_.context = std::move(context);
  close_idle();
}

}  // namespace weir::net
