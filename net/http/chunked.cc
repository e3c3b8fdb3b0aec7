#include "net/http/chunked.h"

#include <algorithm>

#include "core/limits.h"
#include "net/http/scan.h"

namespace weir::net {
namespace {

using core::ErrorCode;
using core::limits::kMaxChunkLineBytes;
using core::limits::kMaxHeadBytes;
using core::limits::kMaxHeaders;

constexpr uint8_t kMaxSizeDigits = 16;

// -1 if the byte is not a hex digit.
int hex_value(uint8_t byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  const uint8_t letter = folded(byte);
  return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

// qdtext and the second byte of a quoted-pair (RFC 9110 section 5.6.4), and field values: no controls but
// HTAB.
bool is_text(uint8_t byte) {
  return (byte >= 0x20 && byte != 0x7f) || byte == '\t';
}

}  // namespace

core::Result<BodyStep> ChunkedDecoder::next(std::span<const uint8_t> in) {
  BodyStep step;
  if (at_chunk_boundary() && take_whole_chunk(in, step)) return step;
  size_t at = 0;
  while (at < in.size() && state_ != State::done) {
    if (state_ == State::data) {
      if (step.payload_size != 0) break;  // one range per step
      step.payload_offset = at;
      step.payload_size = static_cast<size_t>(std::min<uint64_t>(remaining_, in.size() - at));
      remaining_ -= step.payload_size;
      at += step.payload_size;
      if (remaining_ == 0) state_ = State::data_carriage_return;
      continue;
    }
    if (!take(in[at])) return std::unexpected(error_here(in[at]));
    ++at;
    if (step.payload_size != 0 && at_chunk_boundary())
      break;  // exactly one chunk, which may be relayed as it is
  }
  step.consumed = at;
  step.done = state_ == State::done;
  return step;
}

bool ChunkedDecoder::take_whole_chunk(std::span<const uint8_t> in, BodyStep& step) {
  constexpr size_t kMostDigits = 8, kLineEnd = 2;
  size_t digits = 0;
  uint64_t size = 0;
  for (; digits < in.size() && digits < kMostDigits; ++digits) {
    const int value = hex_value(in[digits]);
    if (value < 0) break;
    size = size << 4 | static_cast<uint64_t>(value);
  }
  const size_t begin = digits + kLineEnd;
  // Size 0 ends the body, and what may not be or is not all here is for the bytewise way to tell.
  if (digits == 0 || size == 0 || size > allowed_ || in.size() < begin + size + kLineEnd) return false;
  const uint8_t* const after = in.data() + begin + size;
  if (in[digits] != '\r' || in[digits + 1] != '\n' || after[0] != '\r' || after[1] != '\n') return false;
  allowed_ -= size;
  step.payload_offset = begin;
  step.payload_size = size;
  step.consumed = begin + size + kLineEnd;
  return true;
}

bool ChunkedDecoder::take(uint8_t byte) {
  switch (state_) {
    case State::size:
      return ++line_bytes_ <= kMaxChunkLineBytes + 1 && take_size(byte);
    case State::size_line_feed:
      if (byte != '\n') return false;
      line_bytes_ = 0;
      digits_ = 0;
      too_large_ = remaining_ > allowed_;
      allowed_ -= remaining_;
      state_ = remaining_ == 0 ? State::trailer_begin : State::data;
      return !too_large_;
    case State::data_carriage_return:
      state_ = State::data_line_feed;
      return byte == '\r';
    case State::data_line_feed:
      state_ = State::size;
      return byte == '\n';
    case State::trailer_begin:
    case State::trailer_name:
    case State::trailer_value:
    case State::trailer_line_feed:
      return take_trailer(byte);
    case State::end_line_feed:
      state_ = State::done;
      return byte == '\n';
    case State::data:
    case State::done:
      return false;
    default:
      return ++line_bytes_ <= kMaxChunkLineBytes + 1 && take_extension(byte);
  }
}

bool ChunkedDecoder::take_size(uint8_t byte) {
  if (const int value = hex_value(byte); value >= 0) {
    if (++digits_ > kMaxSizeDigits) return false;
    remaining_ = remaining_ << 4 | static_cast<uint64_t>(value);
    return true;
  }
  if (digits_ == 0) return false;
  if (byte == '\r') {
    state_ = State::size_line_feed;
    return true;
  }
  if (side_ == MessageSide::request) return false;
  state_ = State::extension_space;
  return take_extension(byte);
}

// RFC 9112 section 7.1.1: *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ). White space that
// no ';' follows is refused.
bool ChunkedDecoder::take_extension(uint8_t byte) {
  switch (state_) {
    case State::extension_space:
      if (byte == ';') state_ = State::extension_name_begin;
      return byte == ';' || is_white_space(byte);
    case State::extension_name_begin:
      if (is_white_space(byte)) return true;
      state_ = State::extension_name;
      return is_token_character(byte);
    case State::extension_name:
      if (is_token_character(byte)) return true;
      if (byte == '\r') {
        state_ = State::size_line_feed;
        return true;
      }
      state_ = State::extension_name_end;
      [[fallthrough]];
    case State::extension_name_end:
      if (byte == '=') state_ = State::extension_value_begin;
      if (byte == ';') state_ = State::extension_name_begin;
      return byte == '=' || byte == ';' || is_white_space(byte);
    case State::extension_value_begin:
      if (is_white_space(byte)) return true;
      state_ = byte == '"' ? State::extension_quoted : State::extension_value;
      return byte == '"' || is_token_character(byte);
    case State::extension_quoted:
      if (byte == '"') state_ = State::extension_value_end;
      if (byte == '\\') state_ = State::extension_quoted_pair;
      return is_text(byte);
    case State::extension_quoted_pair:
      state_ = State::extension_quoted;
      return is_text(byte);
    case State::extension_value:
      if (is_token_character(byte)) return true;
      [[fallthrough]];
    case State::extension_value_end:
      if (byte == '\r') {
        state_ = State::size_line_feed;
        return true;
      }
      state_ = State::extension_space;
      return take_extension(byte);
    default:
      return false;
  }
}

bool ChunkedDecoder::take_trailer(uint8_t byte) {
  if (state_ == State::trailer_begin) {
    if (byte == '\r') {
      state_ = State::end_line_feed;
      return true;
    }
    if (side_ == MessageSide::request || ++trailer_count_ > kMaxHeaders) return false;
    state_ = State::trailer_name;
    ++trailer_bytes_;
    return trailer_bytes_ <= kMaxHeadBytes && is_token_character(byte);
  }
  if (++trailer_bytes_ > kMaxHeadBytes) return false;
  if (state_ == State::trailer_name) {
    if (byte == ':') state_ = State::trailer_value;
    return byte == ':' || is_token_character(byte);
  }
  if (state_ == State::trailer_value) {
    if (byte == '\r') state_ = State::trailer_line_feed;
    return byte == '\r' || is_text(byte);
  }
  state_ = State::trailer_begin;
  return byte == '\n';
}

// Why `byte` was refused.
core::Error ChunkedDecoder::error_here(uint8_t byte) const {
  if (side_ == MessageSide::request) {
    if (too_large_) return {ErrorCode::body_too_large};
    // A request has no trailer, so its last line may only be empty: other text there is one, a stray control
    // is not.
    const bool trailer = state_ == State::trailer_begin && is_token_character(byte);
    return {trailer ? ErrorCode::trailers_refused : ErrorCode::bad_chunk};
  }
  const bool too_large = trailer_count_ > kMaxHeaders || trailer_bytes_ > kMaxHeadBytes;
  return {too_large ? ErrorCode::upstream_head_too_large : ErrorCode::upstream_malformed};
}

}  // namespace weir::net
