#include "net/server_session.h"

#include <algorithm>
#include <cstring>

#include "core/limits.h"

namespace weir::net {
namespace {

using core::ErrorCode;
namespace limits = core::limits;

constexpr uint32_t kMaxPendingBytes = 64 * 1024;  // pipelined bytes kept before reading stops
constexpr uint32_t kFirstHeadBytes = 4096;
constexpr uint32_t kFirstBodyBytes = 16 * 1024;
constexpr uint32_t kMostAnnouncedBytes = 128 * 1024;

}  // namespace

ServerSession::ServerSession(core::Loop& loop, ServerSessionOwner& owner, RequestHandler& handler,
                             ServerSettings& settings)
    : loop_(loop),
      owner_(owner),
      handler_(handler),
      settings_(settings),
      connection_(loop, *this, Leg::downstream),
      clock_(on_timer, this),
      next_task_(on_next, this) {}

void ServerSession::adopt(int descriptor, std::shared_ptr<const TlsServerContext> tls) {
  become_idle();
  // A new connection must bring its first request within the head's time, not the idle time.
  wait_for_request(settings_.head_timeout_ms);
  connection_.set_write_stall_timeout(settings_.write_stall_timeout_ms);
  connection_.adopt(descriptor, std::move(tls));
}

void ServerSession::become_idle() {
  state_ = State::idle;
  must_close_ = false;
  head_only_ = false;
  request_.reset();
  exchange = nullptr;
  wait_for_request(settings_.idle_timeout_ms);  // later than what is armed as a rule: one store
}

void ServerSession::wait_for_request(uint32_t timeout_ms) {
  if (settings_.draining) [[unlikely]] timeout_ms = std::min(timeout_ms, settings_.drain_idle_ms);
  loop_.timers().schedule(clock_, loop_.now_ns() + core::milliseconds(timeout_ms));
}

void ServerSession::on_received(core::Slice data) {
  if (state_ == State::closing) return;
  // Also while idle, until on_next() has taken what came before.
  if (state_ == State::responding || pending_.block() != nullptr) {
    if (!keep_for_later(std::move(data))) close({ErrorCode::out_of_buffers});
    return;
  }
  consume(std::move(data));
}

void ServerSession::consume(core::Slice data) {
  if (state_ == State::body) return append_body(std::move(data));
  if (request_.empty()) return parse_head(std::move(data));
  if (!append(request_, data.bytes())) return refuse({ErrorCode::out_of_buffers});
  parse_head(std::move(request_));
}

// `data` begins with the head's first byte. The head is parsed from its start each time more has arrived:
// most come whole, and the size of a head is bounded.
void ServerSession::parse_head(core::Slice data) {
  RequestHeadParser& parser = settings_.parser;
  parser.reset();
  auto status = parser.parse(data.bytes());
  if (!status) return refuse(status.error(), std::move(data));
  if (*status == ParseStatus::need_more) {
    if (state_ != State::head) {
      state_ = State::head;
      loop_.timers().schedule(clock_, loop_.now_ns() + core::milliseconds(settings_.head_timeout_ms));
    }
    if (data.block() != nullptr && !data.block()->is_receive) {
      request_ = std::move(data);
      return;
    }
    // A partial head waits in memory of its own, not in the blocks all connections receive into.
    core::Slice own = loop_.buffers().allocate(std::max(kFirstHeadBytes, data.size()));
    if (own.block() == nullptr) return refuse({ErrorCode::out_of_buffers});
    std::memcpy(own.mutable_data(), data.data(), data.size());
    own.set_size(data.size());
    request_ = std::move(own);
    return;
  }
  const RequestHead& head = parser.head();
  if (!head.keep_alive) must_close_ = true;
  head_only_ = head.method == Method::head;
  if (auto accepted = handler_.on_head(*this, head, data.data()); !accepted) {
    return refuse(accepted.error(), std::move(data));
  }
  begin_body(std::move(data), head, parser.head_size());
}

void ServerSession::begin_body(core::Slice data, const RequestHead& head, uint32_t head_size) {
  const Framing framing = head.framing;
  if (auto started = body_.start(MessageSide::request, framing, settings_.max_body_bytes); !started) {
    return refuse(started.error(), std::move(data));
  }
  if (framing.kind != BodyKind::chunked) {
    const uint64_t whole = head_size + framing.content_length;
    if (data.size() >= whole) {
      core::Slice request = data.share(0, static_cast<uint32_t>(whole));
      data.drop_front(static_cast<uint32_t>(whole));
      return complete(std::move(request), head_size, std::move(data));
    }
  }
  if (head.expect_continue && data.size() == head_size) {
    connection_.send(core::Slice::of_static("HTTP/1.1 100 Continue\r\n\r\n"));
  }
  // The body is not whole yet: one contiguous block for head and body. What is only announced costs nothing: a
  // large block is grown into as the bytes come.
  const uint64_t expected = framing.kind == BodyKind::chunked
                                ? std::max<uint64_t>(data.size(), kFirstBodyBytes)
                                : std::min<uint64_t>(head_size + framing.content_length,
                                                     std::max<uint64_t>(data.size(), kMostAnnouncedBytes));
  core::Slice own = loop_.buffers().allocate(static_cast<uint32_t>(expected));
  if (own.block() == nullptr) return refuse({ErrorCode::out_of_buffers});
  std::memcpy(own.mutable_data(), data.data(), head_size);
  own.set_size(head_size);
  request_ = std::move(own);
  head_size_ = head_size;
  state_ = State::body;
  body_begun_ns_ = loop_.now_ns();
  data.drop_front(head_size);
  append_body(std::move(data));
}

void ServerSession::append_body(core::Slice data) {
  while (!data.empty()) {
    auto step = body_.next(data.bytes());
    if (!step) return refuse(step.error());
    if (step->payload_size > 0 && !append(request_, data.bytes().subspan(step->payload_offset, step->payload_size))) {
      return refuse({ErrorCode::out_of_buffers});
    }
    data.drop_front(static_cast<uint32_t>(step->consumed));
    if (step->done) {
      // The head was parsed when it arrived; handlers see it again beside the body.
      RequestHeadParser& parser = settings_.parser;
      parser.reset();
      const auto status = parser.parse(request_.bytes().first(head_size_));
      WEIR_ASSERT(status && *status == ParseStatus::done);
      return complete(std::move(request_), head_size_, std::move(data));
    }
  }
  wait_for_body();
}

// Two clocks in one timer: no pause may be longer than a stall, and a body that trickles so that none is must
// have come at the least rate on average, with some time to begin in. Without the second, a few bytes a minute
// hold a connection and up to the largest body's memory for hours.
void ServerSession::wait_for_body() {
  const uint64_t stall_ns = core::milliseconds(settings_.body_stall_timeout_ms);
  const uint64_t received = request_.size() - head_size_;
  const uint64_t grace_ns = std::max(stall_ns, core::milliseconds(core::limits::kBodyGraceMs));
  const uint64_t rate_ns = received * core::kNsPerSecond / core::limits::kMinBodyBytesPerSecond;
  loop_.timers().schedule(clock_, std::min(loop_.now_ns() + stall_ns, body_begun_ns_ + grace_ns + rate_ns));
}

// Appends, moving what is there to a block of twice the size when it is full.
bool ServerSession::append(core::Slice& to, std::span<const uint8_t> bytes) {
  const auto size = static_cast<uint32_t>(bytes.size());
  if (to.room() - to.size() < size) {
    const uint64_t needed = uint64_t{to.size()} + size;
    constexpr uint64_t kLargest = uint64_t{1} << core::BufferPool::kLargestClass;
    if (needed > kLargest) return false;
    core::Slice larger = loop_.buffers().allocate(static_cast<uint32_t>(std::min(needed * 2, kLargest)));
    if (larger.block() == nullptr) return false;
    std::memcpy(larger.mutable_data(), to.data(), to.size());
    larger.set_size(to.size());
    to = std::move(larger);
  }
  std::memcpy(to.mutable_data() + to.size(), bytes.data(), size);
  to.set_size(to.size() + size);
  return true;
}

void ServerSession::complete(core::Slice request, uint32_t head_size, core::Slice rest) {
  request_ = std::move(request);
  state_ = State::responding;
  if (!rest.empty() && !keep_for_later(std::move(rest))) return refuse({ErrorCode::out_of_buffers});
  handler_.on_request(*this, {settings_.parser.head(), request_.data(), request_.bytes().subspan(head_size)});
}

// Always copied: it waits for as long as the answer takes, and receive blocks are everyone's. False: no memory.
bool ServerSession::keep_for_later(core::Slice data) {
  if (pending_.block() == nullptr) {
    pending_ = loop_.buffers().copy_of(data.bytes());
    if (pending_.block() == nullptr) return false;
  } else if (!append(pending_, data.bytes())) {
    return false;
  }
  if (pending_.size() >= kMaxPendingBytes) connection_.pause_receiving();
  return true;
}

void ServerSession::refuse(core::Error error, core::Slice received) {
  if (state_ == State::closing) return;
  request_ = std::move(received);
  refuse(error);
}

void ServerSession::refuse(core::Error error) {
  if (state_ == State::closing) return;
  must_close_ = true;
  state_ = State::responding;
  handler_.on_refused(*this, error);
}

void ServerSession::end_response() {
  if (state_ != State::responding) return;
  if (must_close_) return cut();
  become_idle();
  if (pending_.block() != nullptr) loop_.at_end_of_turn(next_task_);
}

void ServerSession::on_next(core::TurnTask& task) {
  auto& self = task.owner<ServerSession>();
  if (self.state_ != State::idle || self.pending_.block() == nullptr) return;
  core::Slice data = std::move(self.pending_);
  self.connection_.resume_receiving();
  self.consume(std::move(data));
}

void ServerSession::cut() {
  if (state_ == State::closing) return;
  state_ = State::closing;
  exchange = nullptr;
  request_.reset();
  pending_.reset();
  connection_.finish();
}

void ServerSession::abort() {
  if (state_ == State::closing) return;
  state_ = State::closing;
  exchange = nullptr;
  connection_.close();
}

void ServerSession::close(core::Error reason) {
  if (state_ == State::closing) return;
  const bool owed = state_ == State::responding;
  state_ = State::closing;
  connection_.close();
  if (owed) handler_.on_client_gone(*this, reason);
}

bool ServerSession::move_request_to_own_block() {
  if (request_.block() == nullptr || !request_.block()->is_receive) return true;
  core::Slice own = loop_.buffers().copy_of(request_.bytes());
  if (own.block() == nullptr) return false;
  request_ = std::move(own);
  return true;
}

void ServerSession::begin_drain() {
  if (state_ == State::idle) wait_for_request(settings_.idle_timeout_ms);
}

void ServerSession::on_end() {
  if (state_ == State::responding) return close({ErrorCode::client_closed});
  // Nothing is owed, but the last answer may still be on its way.
  state_ = State::closing;
  connection_.finish();
}

void ServerSession::on_failed(core::Error error) {
  const bool owed = state_ == State::responding;
  state_ = State::closing;
  if (owed) handler_.on_client_gone(*this, error);
}

void ServerSession::on_send_queue_low() { handler_.on_send_queue_low(*this); }

void ServerSession::on_closed() {
  clock_.cancel();
  next_task_.unlink();
  request_.reset();
  pending_.reset();
  owner_.on_session_closed(*this);
}

void ServerSession::on_timer(core::Timer& timer) {
  auto& self = timer.owner<ServerSession>();
  switch (self.state_) {
    case State::idle:
      self.state_ = State::closing;
      self.connection_.finish();
      break;
    case State::head:
      self.refuse({ErrorCode::head_timeout});
      break;
    case State::body:
      self.refuse({ErrorCode::body_timeout});
      break;
    case State::responding:
    case State::closing:
      break;
  }
}

}  // namespace weir::net
