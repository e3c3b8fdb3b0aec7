#include "net/http/body_decoder.h"

#include <algorithm>

namespace weir::net {

using core::ErrorCode;
using core::fail;

core::Result<void> BodyDecoder::start(MessageSide side, const Framing& framing, uint64_t max_bytes) {
  side_ = side;
  kind_ = framing.kind;
  received_ = 0;
  content_length_ = kind_ == BodyKind::until_close ? max_bytes : framing.content_length;
  chunked_ = ChunkedDecoder(side, max_bytes);
  done_ = !framing.has_body();
  if (kind_ == BodyKind::content_length && content_length_ > max_bytes)
    return fail(side == MessageSide::request ? ErrorCode::body_too_large : ErrorCode::upstream_malformed);
  return {};
}

core::Result<BodyStep> BodyDecoder::next(std::span<const uint8_t> in) {
  if (done_) return BodyStep{.done = true};
  if (kind_ == BodyKind::chunked) {
    const core::Result<BodyStep> step = chunked_.next(in);
    if (step) {
      received_ += step->payload_size;
      done_ = step->done;
    }
    return step;
  }
  BodyStep step;
  step.payload_size = static_cast<size_t>(std::min<uint64_t>(content_length_ - received_, in.size()));
  step.consumed = step.payload_size;
  received_ += step.payload_size;
  if (kind_ == BodyKind::until_close) {
    if (step.consumed != in.size()) return fail(ErrorCode::upstream_malformed);
  } else {
    step.done = done_ = received_ == content_length_;
  }
  return step;
}

core::Result<void> BodyDecoder::on_close() {
  if (!done_ && kind_ != BodyKind::until_close)
    return fail(side_ == MessageSide::request ? ErrorCode::client_closed : ErrorCode::upstream_truncated);
  done_ = true;
  return {};
}

}  // namespace weir::net
