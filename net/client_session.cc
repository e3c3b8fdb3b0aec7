#include "net/client_session.h"

#include <bit>
#include <cstring>
#include <utility>

namespace weir::net {
namespace {

using core::ErrorCode;

// True when `payload_offset` bytes are just the hex digits of the size and CR LF: no extension, no zeros.
bool plainest_chunk_header(size_t payload_offset, size_t payload_size) {
  const auto digits = static_cast<size_t>(std::bit_width(payload_size) + 3) / 4;
  return payload_offset == digits + 2;
}

}  // namespace

ClientSession::ClientSession(core::Loop& loop, ClientSessionOwner& owner, ResponseHeadParser& parser)
    : loop_(loop), owner_(owner), parser_(parser), connection_(loop, *this, Leg::upstream) {}

void ClientSession::open(const core::SocketAddress& address, std::shared_ptr<TlsClientContext> tls,
                         const TlsPeer& peer) {
  connection_.connect(address, std::move(tls), peer);
}

void ClientSession::on_open() {
  state_ = State::idle;
  idle_since_ns_ = loop_.now_ns();
  owner_.on_session_open(*this);
}

void ClientSession::begin(ResponseHandler& handler, Method method) {
  WEIR_ASSERT(state_ == State::idle);
  state_ = State::waiting;
  begun_turn_ = loop_.turns();
  handler_ = &handler;
  method_ = method;
  ++exchanges_;
}

void ClientSession::cancel() {
  if (state_ == State::closing) return;
  state_ = State::closing;
  handler_ = nullptr;
  connection_.close();
}

void ClientSession::on_received(core::Slice data) {
  switch (state_) {
    case State::waiting:
      // The request leaves at the end of its turn: what comes before that answers something else.
      if (loop_.turns() == begun_turn_) return fail({ErrorCode::upstream_malformed});
      if (!partial_head_.empty()) {
        core::Slice joined = loop_.buffers().allocate(partial_head_.size() + data.size());
        if (joined.block() == nullptr) return fail({ErrorCode::out_of_buffers});
        std::memcpy(joined.mutable_data(), partial_head_.data(), partial_head_.size());
        std::memcpy(joined.mutable_data() + partial_head_.size(), data.data(), data.size());
        joined.set_size(partial_head_.size() + data.size());
        partial_head_.reset();
        data = std::move(joined);
      }
      return read_head(std::move(data));
    case State::body:
      return read_body(std::move(data));
    case State::connecting:
    case State::idle:
      return fail({ErrorCode::upstream_malformed});  // bytes nobody asked for
    case State::closing:
      return;
  }
}

void ClientSession::read_head(core::Slice data) {
  for (;;) {
    parser_.reset(method_);
    auto status = parser_.parse(data.bytes());
    if (!status) return fail(status.error());
    if (*status == ParseStatus::need_more) {
      partial_head_ = data.block() != nullptr && data.block()->is_receive ? loop_.buffers().copy_of(data.bytes())
                                                                          : std::move(data);
      if (partial_head_.block() == nullptr) fail({ErrorCode::out_of_buffers});
      return;
    }
    if (!parser_.head().interim()) break;
    data.drop_front(parser_.head_size());
    if (data.empty()) return;
  }
  const ResponseHead& head = parser_.head();
  keep_alive_ = head.keep_alive;
  state_ = State::body;
  if (auto started = body_.start(MessageSide::response, head.framing, kNoBodyLimit); !started) {
    return fail(started.error());
  }
  const uint32_t head_size = parser_.head_size();
  handler_->on_response_head(head, data.data());
  if (state_ != State::body) return;  // the handler gave up
  data.drop_front(head_size);
  if (body_.done()) return end_response(!data.empty());
  if (!data.empty()) read_body(std::move(data));
}

void ClientSession::read_body(core::Slice data) {
  while (!data.empty()) {
    const bool at_boundary = body_.at_chunk_boundary();
    auto step = body_.next(data.bytes());
    if (!step) return fail(step.error());
    if (step->payload_size > 0) {
      const bool whole = at_boundary && !step->done && body_.at_chunk_boundary() &&
                         plainest_chunk_header(step->payload_offset, step->payload_size);
      handler_->on_response_body({data.share(0, static_cast<uint32_t>(step->consumed)),
                                  static_cast<uint32_t>(step->payload_offset),
                                  static_cast<uint32_t>(step->payload_size), whole});
      if (state_ != State::body) return;
    }
    data.drop_front(static_cast<uint32_t>(step->consumed));
    if (step->done) return end_response(!data.empty());
  }
}

void ClientSession::end_response(bool leftover) {
  // An answer that ends before the request has left, or with bytes behind it, leaves the connection in doubt.
  const bool reusable = keep_alive_ && !leftover && connection_.queued_bytes() == 0 && connection_.is_open();
  ResponseHandler* handler = std::exchange(handler_, nullptr);
  if (reusable) {
    state_ = State::idle;
    idle_since_ns_ = loop_.now_ns();
    // The handler may have paused it; an idle connection always listens, so that a dead one shows.
    connection_.resume_receiving();
  } else {
    state_ = State::closing;
    connection_.close();
  }
  handler->on_response_end(reusable ? ResponseHandler::Reuse::yes : ResponseHandler::Reuse::no);
}

void ClientSession::on_end() {
  if (state_ == State::body) {
    auto ended = body_.on_close();
    if (ended) {
      keep_alive_ = false;
      return end_response(false);
    }
    return fail(ended.error());
  }
  fail({ErrorCode::upstream_closed});
}

void ClientSession::fail(core::Error error) {
  if (state_ == State::closing) return;
  connection_.close();
  on_failed(error);
}

void ClientSession::on_failed(core::Error error) {
  if (state_ == State::closing) return;
  const State was = std::exchange(state_, State::closing);
  if (was == State::connecting && (error.code == ErrorCode::upstream_reset || error.code == ErrorCode::upstream_closed)) {
    error.code = ErrorCode::connect_failed;  // a reset in the middle of the TLS handshake
  }
  if (was == State::waiting || was == State::body) {
    std::exchange(handler_, nullptr)->on_response_failed(error);
  } else {
    owner_.on_session_failed(*this, error);
  }
}

void ClientSession::on_closed() {
  partial_head_.reset();
  owner_.on_session_closed(*this);
}

}  // namespace weir::net
