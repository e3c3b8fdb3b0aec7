#include "tools/load/load_connection.h"

#include <algorithm>

#include "core/strong.h"

namespace weir::tools {
namespace {

constexpr uint64_t kReopenMs = 100;  // after a connection was refused

}  // namespace

void LoadConnection::open() {
  opened_ = false;
  session_.emplace(*worker_.loop_, static_cast<net::ClientSessionOwner&>(*this), worker_.parser_);
  const routing::BaseUrl& url = worker_.options_.urls[url_];
  session_->open(worker_.addresses_[url_], url.tls ? worker_.tls_ : nullptr,
                 {.host = url.host, .port = url.port});
}

void LoadConnection::close() {
  timer_.cancel();
  if (session_) session_->close();
}

void LoadConnection::on_session_open(net::ClientSession&) {
  opened_ = true;
  worker_.progress_.open.add(1);
  worker_.on_opened(*this);
}

void LoadConnection::on_session_failed(net::ClientSession&, core::Error error) {
  // An idle connection may end when the other side likes; it is opened again.
  if (opened_) return static_cast<void>(std::erase(worker_.free_, this));
  worker_.on_open_failed(*this, error);
}

void LoadConnection::on_session_closed(net::ClientSession&) {
  if (opened_) worker_.progress_.open.add(-1);
  const bool was_open = opened_;
  session_.reset();
  timer_.cancel();
  if (worker_.phase_ == LoadWorker::Phase::closing) return;
  if (was_open) {
    ++worker_.result_.reconnects;
    return open();
  }
  worker_.loop_->timers().schedule(timer_, worker_.loop_->now_ns() + core::milliseconds(kReopenMs));
}

void LoadConnection::on_timer(core::Timer& timer) {
  auto& self = timer.owner<LoadConnection>();
  if (!self.session_) return self.open();
  if (self.session_->state() == net::ClientSession::State::idle) self.worker_.on_free(self);
}

void LoadConnection::free_after(uint64_t wait_ns) {
  worker_.loop_->timers().schedule(timer_, core::deadline_after(worker_.loop_->now_ns(), wait_ns));
}

void LoadConnection::start(uint64_t intended_ns, bool recorded) {
  intended_ns_ = intended_ns;
  recorded_ = recorded;
  last_frame_ns_ = 0;
  token_seen_ = false;
  head_verdict_ = Verdict::ok;
  ++worker_.in_flight_;
  worker_.progress_.in_flight.set(worker_.in_flight_);
  session_->begin(*this, net::Method::post);
  RenderedRequest request = worker_.mix_.next(url_, worker_.loop_->buffers());
  worker_.result_.sent_bytes += request.first.size() + request.body.size();
  session_->send(std::move(request.first));
  if (!request.body.empty()) session_->send(std::move(request.body));
  worker_.just_sent_.push_back(this);
}

void LoadConnection::sent(uint64_t now_ns) {
  sent_ns_ = now_ns;
  if (intended_ns_ == 0) intended_ns_ = now_ns;
}

bool LoadConnection::has_headers(const net::ResponseHead& head, const uint8_t* base) const {
  const auto same = [](std::string_view a, std::string_view lower) {
    return std::ranges::equal(a, lower,
                              [](char x, char y) { return (x >= 'A' && x <= 'Z' ? x + 32 : x) == y; });
  };
  return std::ranges::all_of(worker_.options_.required_headers, [&](const std::string& wanted) {
    return std::any_of(head.fields.begin(), head.fields.end(), [&](const net::Field& field) {
      return same(field.name(base), wanted) && field.value_size > 0;
    });
  });
}

void LoadConnection::on_response_head(const net::ResponseHead& head, const uint8_t* base) {
  const LoadOptions& options = worker_.options_;
  status_ = head.status;
  const bool success = head.status >= 200 && head.status < 300;
  const bool events = head.fields.value(net::HeaderId::content_type, base).starts_with("text/event-stream");
  if (!success &&
      std::ranges::find(options.allowed_statuses, head.status) == options.allowed_statuses.end()) {
    head_verdict_ = Verdict::bad_status;
  } else if (success && !options.required_headers.empty() && !has_headers(head, base)) {
    head_verdict_ = Verdict::header_missing;
  } else if (success && options.stream && !events) {
    head_verdict_ = Verdict::not_a_stream;
  }
  reader_.begin(events ? Body::events : Body::plain, !success || head_verdict_ != Verdict::ok);
}

void LoadConnection::on_response_body(net::BodyPiece piece) {
  const auto payload = piece.bytes.bytes().subspan(piece.payload_offset, piece.payload_size);
  LoadResult& result = worker_.result_;
  result.all_bytes += payload.size();
  const AnswerReader::Seen seen = reader_.feed(payload);
  if (seen.frames == 0) return;
  result.all_frames += seen.frames;
  worker_.progress_.frames.add(seen.frames);
  const uint64_t now_ns = worker_.loop_->now_ns();
  if (worker_.in_window(now_ns)) result.window_frames += seen.frames;
  if (recorded_) {
    if (seen.content_frames > 0 && !token_seen_) {
      token_seen_ = true;
      result.first_token.record(now_ns - intended_ns_);
    }
    if (last_frame_ns_ != 0) result.frame_gap.record(now_ns - last_frame_ns_);
    for (uint32_t more = 1; more < seen.frames; ++more) result.frame_gap.record(0);  // came together
  }
  last_frame_ns_ = now_ns;
}

void LoadConnection::on_response_end(Reuse reuse) {
  LoadResult& result = worker_.result_;
  const uint64_t now_ns = worker_.loop_->now_ns();
  const Verdict verdict = head_verdict_ != Verdict::ok ? head_verdict_
                          : status_ >= 300             ? Verdict::ok  // allowed: nothing to check
                                                       : reader_.end(worker_.options_.expected_frames);
  ++result.all_answers;
  worker_.progress_.answers.add();
  ++result.statuses[status_];
  if (verdict != Verdict::ok) {
    const bool status = verdict == Verdict::bad_status;
    worker_.count_error(status ? "status_" + std::to_string(status_) : std::string(name_of(verdict)),
                        reader_.example().empty() ? reader_.text() : reader_.example());
  } else {
    if (worker_.in_window(now_ns)) ++result.window_answers;
    if (recorded_) {
      result.latency.record(now_ns - intended_ns_);
      result.service.record(now_ns - std::min(now_ns, sent_ns_));
    }
  }
  end_request();
  if (reuse == Reuse::no) return;
  const uint64_t think_ns = worker_.options_.think_ns;
  if (think_ns > 0 && !worker_.open_loop()) return free_after(think_ns);
  worker_.on_free(*this);
}

void LoadConnection::on_response_failed(core::Error error) {
  worker_.count_error(core::describe(error.code).token, "");
  end_request();
}

void LoadConnection::end_request() {
  --worker_.in_flight_;
  worker_.progress_.in_flight.set(worker_.in_flight_);
}

}  // namespace weir::tools
