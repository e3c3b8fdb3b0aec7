#include "tools/mock-provider/delivery.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/strong.h"
#include "net/http/writer.h"

namespace weir::tools {
namespace {

constexpr size_t kMaxHeadBytes = 16 * 1024;
constexpr size_t kSliceBytes = 1u << 20;

// All frames as pieces of one size, whatever lay where.
std::vector<Frame> cut_evenly(const std::vector<Frame>& frames, size_t size) {
  std::string all;
  for (const Frame& frame : frames) all += frame.bytes;
  std::vector<Frame> pieces;
  for (size_t at = 0; at < all.size(); at += size) pieces.push_back({all.substr(at, size)});
  return pieces;
}

}  // namespace

Delivery::Delivery(net::ServerSession& session, DeliveryOwner& owner, Answer answer, Fault fault,
                   const DeliveryOptions& options)
    : session_(session),
      owner_(owner),
      answer_(std::move(answer)),
      fault_(std::move(fault)),
      options_(options),
      timer_(on_timer, this),
      next_piece_(on_turn, this) {
  if (fault_.chunk_bytes != 0) answer_.frames = cut_evenly(answer_.frames, fault_.chunk_bytes);
  for (const auto& at : {fault_.truncate_at, fault_.reset_at, fault_.stall_at})
    cut_at_ = std::min(cut_at_, at.value_or(UINT64_MAX));
}

void Delivery::start() {
  uint64_t delay_ms = fault_.delay_ms + fault_.head_delay_ms;
  if (!answer_.stream) delay_ms += fault_.first_token_delay_ms;
  if (delay_ms != 0) return wait(delay_ms);
  advance();
}

void Delivery::wait(uint64_t delay_ms) {
  core::Loop& loop = session_.loop();
  loop.timers().schedule(timer_, core::deadline_after(loop.now_ns(), core::milliseconds(delay_ms)));
}

void Delivery::on_timer(core::Timer& timer) {
  auto& self = timer.owner<Delivery>();
  self.phase_ == Phase::reset ? self.reset_when_sent() : self.advance();
}

void Delivery::on_turn(core::TurnTask& task) {
  task.owner<Delivery>().advance();
}

void Delivery::on_send_queue_low() {
  if (phase_ == Phase::frames && !timer_.armed() && !next_piece_.queued()) advance();
}

void Delivery::client_gone() {
  phase_ = Phase::over;
  timer_.cancel();
  next_piece_.unlink();
}

uint64_t Delivery::delay_of(Frame::Waits waits) const {
  switch (waits) {
    case Frame::Waits::not_at_all:
      return 0;
    case Frame::Waits::for_first_token:
      return answer_.stream ? fault_.first_token_delay_ms : 0;
    case Frame::Waits::for_token:
      return fault_.token_delay_ms.value_or(options_.token_delay_ms);
  }
  return 0;
}

void Delivery::advance() {
  if (phase_ == Phase::begin) {
    if (fault_.bad_head) {
      pending_ = "HTTP/1.1 200 OK\ncontent-length 2\n\nok";
      return end_early();
    }
    write_head();
    phase_ = Phase::frames;
  }
  while (next_frame_ < answer_.frames.size()) {
    const Frame& frame = answer_.frames[next_frame_];
    if (!waited_) {
      if (const uint64_t delay_ms = delay_of(frame.waits); delay_ms != 0) {
        waited_ = true;
        flush();
        return wait(delay_ms);
      }
    }
    waited_ = false;
    ++next_frame_;
    if (!write_frame(frame.bytes)) return;
    if (fault_.bad_chunk && answer_.stream) {
      pending_ += "zz\r\nnot a chunk\r\n";
      return end_early();
    }
    if (fault_.chunk_bytes != 0) {
      flush();
      return session_.loop().at_end_of_turn(next_piece_);
    }
    if (pending_.size() >= kSliceBytes) {
      flush();
      if (session_.send_queue_high()) return;  // on_send_queue_low() goes on
    }
  }
  write_end();
}

void Delivery::write_head() {
  char memory[kMaxHeadBytes];
  net::HeadWriter head(memory);
  head.status_line(answer_.status);
  if (answer_.stream) {
    head.field("content-type", "text/event-stream; charset=utf-8");
    head.field("cache-control", "no-cache");
    head.field("transfer-encoding", "chunked");
  } else {
    uint64_t size = 0;
    for (const Frame& frame : answer_.frames) size += frame.bytes.size();
    head.field("content-type", "application/json");
    head.field("content-length", size + static_cast<uint64_t>(fault_.content_length_delta));
  }
  head.field("x-request-id", "req_mock_" + std::to_string(options_.number));
  if (fault_.retry_after) head.field("retry-after", *fault_.retry_after);
  for (const auto& [name, value] : fault_.headers) head.parsed_field(name, value);
  if (session_.must_close()) head.field("connection", "close");
  head.end();
  pending_ += head.text();
}

// False when the answer ends here.
bool Delivery::write_frame(const std::string& bytes) {
  if (bytes.empty()) return true;
  if (answer_.stream) {
    char size[net::kMaxChunkHeaderBytes];
    pending_.append(size, net::render_chunk_header(bytes.size(), size));
  }
  if (bytes.size() >= cut_at_ - body_bytes_) {
    cut(cut_at_ - body_bytes_, bytes);
    return false;
  }
  pending_ += bytes;
  body_bytes_ += bytes.size();
  if (answer_.stream) pending_ += net::kChunkEnd;
  return true;
}

void Delivery::cut(uint64_t room, const std::string& bytes) {
  pending_.append(bytes, 0, room);
  body_bytes_ += room;
  if (fault_.truncate_at == cut_at_) return end_early();
  flush();
  phase_ = fault_.reset_at == cut_at_ ? Phase::reset : Phase::stalled;
  if (phase_ == Phase::reset) reset_when_sent();
}

// A reset destroys what the kernel has not sent yet, so it waits until all has left.
void Delivery::reset_when_sent() {
  if (session_.connection().queued_bytes() != 0) return wait(1);
  const linger now{1, 0};
  ::setsockopt(session_.connection().descriptor(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  session_.abort();
  finish(false);
}

void Delivery::write_end() {
  if (answer_.stream) pending_ += net::kLastChunk;
  if (fault_.content_length_delta != 0) return end_early();
  pending_.append(fault_.extra_bytes, 'x');
  flush();
  session_.end_response();
  finish(true);
}

void Delivery::end_early() {
  flush();
  session_.cut();
  finish(false);
}

void Delivery::flush() {
  for (size_t at = 0; at < pending_.size(); at += kSliceBytes) {
    const std::string_view part = std::string_view(pending_).substr(at, kSliceBytes);
    core::Slice slice =
        session_.loop().buffers().copy_of({reinterpret_cast<const uint8_t*>(part.data()), part.size()});
    if (slice.block() == nullptr) break;  // the answer is cut, and the client sees it
    session_.send(std::move(slice));
  }
  pending_.clear();
}

void Delivery::finish(bool complete) {
  phase_ = Phase::over;
  owner_.on_delivered(*this, complete);
}

}  // namespace weir::tools
