#include "net/connection.h"

#include <cerrno>

#include "core/limits.h"

namespace weir::net {
namespace {

using core::ErrorCode;

constexpr uint32_t kLingerMs = 2'000;
constexpr uint32_t kPlaintextBytes = 16 * 1024;

// Shortens `count` pieces to what one send may take. The kernel tells of a send only when all of it has gone,
// so without a bound a large answer to a slow but willing reader would look like a stall.
uint32_t cut(iovec* pieces, uint32_t count) {
  size_t room = core::limits::kMaxQueuedSendBytes;
  for (uint32_t i = 0; i < count; ++i) {
    if (pieces[i].iov_len >= room) {
      pieces[i].iov_len = room;
      return i + 1;
    }
    room -= pieces[i].iov_len;
  }
  return count;
}

}  // namespace

struct Connection::Tls {
  std::unique_ptr<TlsSession> session;
  core::SocketAddress address;    // where a client connects to; must outlive the connect operation
  SliceQueue plaintext;           // waits for the end of the turn, so that it shares records
  core::Slice cipher_block;       // where the next ciphertext goes
  bool receive_ended = false;
};

Connection::Connection(core::Loop& loop, ConnectionHandler& handler, Leg leg)
    : loop_(loop),
      handler_(handler),
      receive_(this, on_receive),
      send_(this, on_sent),
      connect_(this, on_connected),
      flush_task_(on_flush, this),
      starved_task_(on_starved, this),
      copy_out_task_(on_memory_short, this),
      timer_(on_timer, this),
      leg_(leg) {}

Connection::~Connection() { WEIR_ASSERT(state_ == State::closed); }

ErrorCode Connection::reset_code() const {
  return leg_ == Leg::downstream ? ErrorCode::client_reset : ErrorCode::upstream_reset;
}

void Connection::adopt(int descriptor, std::shared_ptr<const TlsServerContext> tls) {
  WEIR_ASSERT(state_ == State::closed);
  descriptor_ = descriptor;
  closed_told_ = false;
  want_receive_ = true;
  receive_ended_ = false;
  failure_pending_ = false;
  send_queue_high_ = false;
  state_ = State::open;
  if (tls != nullptr) {
    auto session = TlsSession::accept(std::move(tls), *this);
    tls_ = std::make_unique<Tls>();
    state_ = State::handshaking;
    if (!session) return fail_later(session.error().code);
    tls_->session = std::move(*session);
  }
  arm_receive();
}

void Connection::connect(const core::SocketAddress& address, std::shared_ptr<TlsClientContext> tls,
                         const TlsPeer& peer) {
  WEIR_ASSERT(state_ == State::closed);
  closed_told_ = false;
  want_receive_ = true;
  receive_ended_ = false;
  failure_pending_ = false;
  send_queue_high_ = false;
  state_ = State::connecting;
  tls_ = std::make_unique<Tls>();
  tls_->address = address;
  descriptor_ = core::open_tcp_socket(address.family());
  if (descriptor_ < 0) {
    descriptor_ = -1;
    return fail_later(ErrorCode::connect_failed);
  }
  if (tls != nullptr) {
    auto session = TlsSession::connect(std::move(tls), *this, peer);
    if (!session) return fail_later(session.error().code);
    tls_->session = std::move(*session);
  }
  loop_.timers().schedule(timer_, loop_.now_ns() + core::milliseconds(connect_timeout_ms_));
  loop_.io().connect(connect_, descriptor_, tls_->address.get(), tls_->address.size());
}

void Connection::on_connected(void* self_pointer, core::Completion& completion) {
  auto& self = *static_cast<Connection*>(self_pointer);
  if (self.state_ == State::closing) return self.check_closed();
  if (completion.result < 0) return self.fail(ErrorCode::connect_failed);
  if (self.tls_->session == nullptr) {
    self.tls_.reset();
    self.timer_.cancel();
    self.state_ = State::open;
    self.arm_receive();
    self.handler_.on_open();
    return;
  }
  self.state_ = State::handshaking;
  self.arm_receive();
  self.drive_tls();
}

bool Connection::receiving() const {
  return state_ == State::handshaking || state_ == State::open || state_ == State::finishing ||
         state_ == State::lingering;
}

void Connection::arm_receive() {
  if (receive_.armed() || !want_receive_ || receive_ended_ || !receiving()) return;
  received_some_ = false;
  loop_.io().receive(receive_, descriptor_);
}

void Connection::pause_receiving() {
  if (!want_receive_) return;
  want_receive_ = false;
  starved_task_.unlink();
  if (receive_.armed()) loop_.io().cancel(receive_);
}

void Connection::resume_receiving() {
  if (want_receive_) return;
  want_receive_ = true;
  arm_receive();
}

void Connection::on_starved(core::TurnTask& task) { task.owner<Connection>().arm_receive(); }

void Connection::on_receive(void* self_pointer, core::Completion& completion) {
  auto& self = *static_cast<Connection*>(self_pointer);
  if (self.state_ == State::closing) return self.check_closed();
  const int32_t result = completion.result;
  if (result > 0) {
    self.received_some_ = true;
    self.transport_received(std::move(completion.data));
  } else if (result == 0) {
    self.receive_ended_ = true;
    self.transport_ended();
  } else if (result == -ENOBUFS) {
    self.loop_.when_buffers_return(self.starved_task_, self.received_some_);
  } else if (result != -ECANCELED && result != -EINTR) {
    self.fail(self.reset_code());
  }
  // A multishot receive may end at any completion (invariant 2 of core::Io).
  if (!self.starved_task_.queued()) self.arm_receive();
}

void Connection::transport_received(core::Slice data) {
  if (state_ != State::open && state_ != State::handshaking) return;  // we are leaving; nobody wants it
  if (tls_ == nullptr) return handler_.on_received(std::move(data));
  tls_->session->feed(data.bytes());
  if (drive_tls()) {
    if (auto released = tls_->session->release_input(); !released) fail(released.error().code);
  }
}

void Connection::transport_ended() {
  if (tls_ != nullptr && (state_ == State::open || state_ == State::handshaking)) {
    tls_->session->feed_end();
    drive_tls();
    return;
  }
  switch (state_) {
    case State::open:
      handler_.on_end();
      break;
    case State::lingering:
      start_closing();
      break;
    default:
      break;
  }
}

// Takes the session as far as its input allows. False when the connection is no longer alive.
bool Connection::drive_tls() {
  TlsSession& session = *tls_->session;
  if (state_ == State::handshaking) {
    auto step = session.handshake();
    loop_.at_end_of_turn(flush_task_);
    if (!step) {
      fail_with_alert(step.error().code);
      return false;
    }
    if (*step == TlsSession::HandshakeStep::want_more) return true;
    timer_.cancel();
    state_ = State::open;
    handler_.on_open();
  }
  while (state_ == State::open) {
    core::Slice plaintext = loop_.buffers().allocate(kPlaintextBytes);
    if (plaintext.block() == nullptr) {
      fail(ErrorCode::out_of_buffers);
      return false;
    }
    auto step = session.read({plaintext.mutable_data(), plaintext.room()});
    loop_.at_end_of_turn(flush_task_);  // reading may answer (tickets, key updates, alerts)
    if (!step) {
      fail_with_alert(step.error().code);
      return false;
    }
    if (step->bytes > 0) {
      plaintext.set_size(static_cast<uint32_t>(step->bytes));
      handler_.on_received(std::move(plaintext));
    }
    if (step->state == TlsSession::ReadState::more) continue;
    if (step->state == TlsSession::ReadState::want_more) break;
    if (state_ != State::open || tls_->receive_ended) break;
    tls_->receive_ended = true;
    if (step->state == TlsSession::ReadState::closed) {
      handler_.on_end();
    } else {
      fail(reset_code());
    }
    break;
  }
  return state_ == State::open || state_ == State::handshaking;
}

// TLS has failed, and said why in an alert (RFC 8446 section 6.2) or, to what is not TLS, nothing. Either leaves
// by the way of finish(), so that the peer sees the alert and a clean end rather than a reset.
void Connection::fail_with_alert(ErrorCode code) {
  if (state_ != State::open && state_ != State::handshaking) return;  // the sink had no room: failed already
  state_ = State::finishing;
  tls_->plaintext.drop_all();
  timer_.cancel();
  handler_.on_failed({code});
}

void Connection::send(core::Slice data) {
  if (state_ != State::open || failure_pending_) return;
  SliceQueue& queue = tls_ != nullptr ? tls_->plaintext : wire_;
  const auto keep = send_.armed() ? SliceQueue::Keep::copy : SliceQueue::Keep::reference;
  if (!queue.push(std::move(data), keep, loop_.buffers())) return fail_later(ErrorCode::out_of_buffers);
  if (queued_bytes() >= core::limits::kMaxQueuedSendBytes) send_queue_high_ = true;
  loop_.at_end_of_turn(flush_task_);
}

uint64_t Connection::queued_bytes() const { return wire_.bytes() + (tls_ != nullptr ? tls_->plaintext.bytes() : 0); }

std::span<uint8_t> Connection::reserve(size_t minimum) {
  core::Slice& block = tls_->cipher_block;
  if (block.block() == nullptr || block.room() < minimum) {
    block = loop_.buffers().allocate(static_cast<uint32_t>(minimum));
    if (block.block() == nullptr) return {};
  }
  return {block.mutable_data(), block.room()};
}

void Connection::commit(size_t bytes) {
  core::Slice& block = tls_->cipher_block;
  block.set_size(static_cast<uint32_t>(bytes));
  core::Slice written = block.share();
  block.drop_front(static_cast<uint32_t>(bytes));
  if (!wire_.push(std::move(written), send_.armed() ? SliceQueue::Keep::copy : SliceQueue::Keep::reference,
                  loop_.buffers())) {
    fail(ErrorCode::out_of_buffers);
  }
  if (block.room() == 0) block.reset();
}

void Connection::encrypt_queue() {
  if (tls_ == nullptr || !tls_->session->handshake_done()) return;
  while (!tls_->plaintext.empty() && state_ != State::closing) {
    iovec pieces[SliceQueue::kCapacity];
    const uint32_t count = tls_->plaintext.lock(pieces);
    uint64_t size = 0;
    for (uint32_t i = 0; i < count; ++i) size += pieces[i].iov_len;
    auto written = tls_->session->write(std::span<const iovec>(pieces, count));
    tls_->plaintext.unlock(size);
    if (!written) return fail(written.error().code);
  }
  // The block is kept only within a turn: an idle connection holds none.
  tls_->cipher_block.reset();
}

void Connection::on_flush(core::TurnTask& task) {
  auto& self = task.owner<Connection>();
  if (self.state_ == State::closing) return self.check_closed();
  if (self.failure_pending_) return self.fail(self.pending_failure_);
  self.flush();
}

void Connection::flush() {
  encrypt_queue();
  if (send_.armed() || state_ == State::closing || state_ == State::closed || state_ == State::connecting) return;
  if (wire_.empty()) return after_drained();
  iovec pieces[SliceQueue::kCapacity];
  const uint32_t count = cut(pieces, wire_.lock(pieces));
  loop_.io().send(send_, descriptor_, std::span<const iovec>(pieces, count));
  loop_.when_receive_memory_is_short(copy_out_task_);
  if (state_ == State::handshaking) return;  // the clock of connecting runs on
  // Moved on with every send, looked at only when it fires: a store per send.
  loop_.timers().schedule(timer_, loop_.now_ns() + core::milliseconds(write_stall_timeout_ms_));
}

void Connection::on_sent(void* self_pointer, core::Completion& completion) {
  auto& self = *static_cast<Connection*>(self_pointer);
  const bool failed = completion.result < 0;
  self.wire_.unlock(failed ? 0 : static_cast<uint64_t>(completion.result));
  self.copy_out_task_.unlink();
  if (self.state_ == State::closing) return self.check_closed();
  const bool called_back = std::exchange(self.copy_out_, false);
  if (failed && completion.result != -EINTR && completion.result != -EAGAIN &&
      !(called_back && completion.result == -ECANCELED)) {
    return self.fail(self.reset_code());
  }
  if (called_back && !self.wire_.copy_out(self.loop_.buffers())) return self.fail(ErrorCode::out_of_buffers);
  if (self.send_queue_high_ && self.queued_bytes() <= core::limits::kResumeQueuedSendBytes) {
    self.send_queue_high_ = false;
    if (self.state_ == State::open) self.handler_.on_send_queue_low();
  }
  if (self.state_ == State::closing) return;
  if (!self.wire_.empty() || self.state_ == State::finishing) self.loop_.at_end_of_turn(self.flush_task_);
}

// Receive memory is short, and this send has not ended: the peer reads slowly. What it has not taken yet moves
// to memory of our own.
void Connection::on_memory_short(core::TurnTask& task) {
  auto& self = task.owner<Connection>();
  if (!self.send_.armed() || self.state_ == State::closing || self.copy_out_) return;
  if (!self.loop_.worth_copying_out(self.wire_.bytes())) return self.loop_.when_receive_memory_is_short(task);
  self.copy_out_ = true;
  self.loop_.io().cancel(self.send_);
}

void Connection::finish() {
  if (state_ == State::connecting || state_ == State::handshaking) return close();
  if (state_ != State::open) return;
  state_ = State::finishing;
  if (tls_ != nullptr) {
    encrypt_queue();
    if (state_ != State::finishing) return;
    tls_->session->begin_close();
    tls_->cipher_block.reset();
  }
  loop_.at_end_of_turn(flush_task_);
}

// The queue is empty. While finishing: end our side and wait for the peer's, because a close with unread
// bytes resets the connection and may destroy the answer before the client has read it (RFC 9112 9.6).
void Connection::after_drained() {
  if (state_ != State::finishing) return;
  state_ = State::lingering;
  // Nothing that a provider has yet to read is worth waiting for.
  if (receive_ended_ || leg_ == Leg::upstream) return start_closing();
  loop_.io().shutdown_write(descriptor_);
  loop_.timers().schedule(timer_, loop_.now_ns() + core::milliseconds(kLingerMs));
  want_receive_ = true;  // also when the handler had paused: what arrives is dropped
  if (!starved_task_.queued()) arm_receive();
}

void Connection::on_timer(core::Timer& timer) {
  auto& self = timer.owner<Connection>();
  if (self.state_ == State::lingering) return self.start_closing();
  if (self.state_ == State::connecting || self.state_ == State::handshaking) return self.fail(ErrorCode::connect_timeout);
  if (self.send_.armed() && self.state_ != State::closing) {
    self.fail(self.leg_ == Leg::downstream ? ErrorCode::client_stalled : ErrorCode::idle_timeout);
  }
}

void Connection::fail(ErrorCode code) {
  if (state_ == State::closing || state_ == State::closed) return;
  const bool told = state_ == State::finishing || state_ == State::lingering;
  start_closing();
  if (!told) handler_.on_failed({code});
}

void Connection::fail_later(ErrorCode code) {
  failure_pending_ = true;
  pending_failure_ = code;
  loop_.at_end_of_turn(flush_task_);
}

void Connection::close() {
  if (state_ == State::closing || state_ == State::closed) return;
  start_closing();
}

void Connection::start_closing() {
  state_ = State::closing;
  want_receive_ = false;
  timer_.cancel();
  starved_task_.unlink();
  if (receive_.armed()) loop_.io().cancel(receive_);
  if (send_.armed()) loop_.io().cancel(send_);
  if (connect_.armed()) loop_.io().cancel(connect_);
  loop_.at_end_of_turn(flush_task_);  // on_closed() comes from there, never from inside another event
}

void Connection::check_closed() {
  if (receive_.armed() || send_.armed() || connect_.armed()) return;
  if (flush_task_.queued()) return;  // comes again at the end of the turn
  if (descriptor_ >= 0) loop_.io().close(std::exchange(descriptor_, -1));
  wire_.drop_all();
  tls_.reset();
  state_ = State::closed;
  if (!std::exchange(closed_told_, true)) handler_.on_closed();
}

const char* Connection::tls_failure_reason() const {
  return tls_ != nullptr && tls_->session != nullptr ? tls_->session->failure_reason() : nullptr;
}

void Connection::release_idle_memory() {
  if (tls_ != nullptr && tls_->session != nullptr) tls_->session->release_idle_buffers();
}

}  // namespace weir::net
