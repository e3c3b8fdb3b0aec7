// One decoder for every way a body may be framed (RFC 9112 section 6.3), with the bound on its length. Pure,
// zero-copy, same steps as ChunkedDecoder.
//
// Limits: `max_bytes` of payload; passing it is body_too_large in a request, as soon as it is announced
// (Content-Length, chunk size), and upstream_malformed in a response, whose caller passes kNoBodyLimit as a
// rule. After an error only start() may be called.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/error.h"
#include "net/http/chunked.h"
#include "net/http/head.h"

namespace weir::net {

class BodyDecoder {
 public:
  // Begins a body. Errors: body_too_large if its announced length is beyond `max_bytes`.
  core::Result<void> start(MessageSide side, const Framing& framing, uint64_t max_bytes);

  // Consumes from the front of `in`; see BodyStep. A done decoder consumes nothing.
  core::Result<BodyStep> next(std::span<const uint8_t> in);

  // The peer closed its sending side: the end of an until_close body, and the truncation of any other that is
  // not done (client_closed, upstream_truncated).
  core::Result<void> on_close();

  bool done() const { return done_; }

  // Payload bytes so far.
  uint64_t received() const { return received_; }

  // True where a relay that passes the framing on untouched may insert bytes of its own.
  bool at_chunk_boundary() const { return kind_ == BodyKind::chunked && chunked_.at_chunk_boundary(); }

 private:
  MessageSide side_ = MessageSide::request;
  BodyKind kind_ = BodyKind::none;
  bool done_ = true;
  uint64_t received_ = 0;
  uint64_t content_length_ = 0;  // until_close: the bound
  ChunkedDecoder chunked_;
};

}  // namespace weir::net
