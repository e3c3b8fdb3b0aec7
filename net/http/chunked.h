// Incremental decoder of the chunked transfer coding (RFC 9112 section 7.1). Pure, zero-copy: it tells which
// part of the input is payload.
//
//   size ──▶ [extension] ──▶ CRLF ──▶ data … ──▶ CRLF ──▶ size … ──▶ "0" CRLF ──▶ [trailers] ──▶ CRLF ──▶
//   done
//    ▲ at_chunk_boundary                          │
//    └────────────────────────────────────────────┘
//
// Strictness: 1–16 hex digits, CR LF exactly, every chunk closed by CR LF. A request may have neither
// extensions (bad_chunk) nor trailers (trailers_refused): nobody needs them, and smuggling does. In a
// response both are checked and skipped.
//
// Errors: requests bad_chunk, trailers_refused; responses upstream_malformed, upstream_head_too_large
// (trailers past core::limits::kMaxHeadBytes or kMaxHeaders). After an error only reset() may be called.
// Limits: core::limits::kMaxChunkLineBytes for the size and its extension.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "core/error.h"

namespace weir::net {

enum class MessageSide : uint8_t { request, response };

inline constexpr uint64_t kNoBodyLimit = std::numeric_limits<uint64_t>::max();

// One step of decoding: in[payload_offset, payload_offset + payload_size) is payload, in[0, consumed) is used
// up.
struct BodyStep {
  size_t consumed = 0;
  size_t payload_offset = 0;
  size_t payload_size = 0;  // 0: only framing was consumed
  bool done = false;        // the body is complete; what follows in[consumed) is not part of it
};

class ChunkedDecoder {
 public:
  // `max_payload` bytes may be announced in all.
  explicit ChunkedDecoder(MessageSide side = MessageSide::request, uint64_t max_payload = kNoBodyLimit)
      : allowed_(max_payload), side_(side) {}

  // Consumes from the front of `in` up to one range of payload and the framing around it. Call again with the
  // rest until `consumed` equals the size of the input or the step is done; each call with input makes
  // progress.
  core::Result<BodyStep> next(std::span<const uint8_t> in);

  // True between two chunks: before the first size, and after the CR LF that closes a chunk. Bytes of our own
  // may be inserted into a relayed body here and nowhere else.
  bool at_chunk_boundary() const { return state_ == State::size && line_bytes_ == 0; }

  // Payload bytes of the current chunk that are still to come.
  uint64_t remaining() const { return state_ == State::data ? remaining_ : 0; }

  bool done() const { return state_ == State::done; }

 private:
  enum class State : uint8_t {
    size,
    extension_space,       // white space before ';'
    extension_name_begin,  // after ';', white space allowed
    extension_name,
    extension_name_end,     // white space after the name
    extension_value_begin,  // after '=', white space allowed
    extension_value,
    extension_quoted,
    extension_quoted_pair,
    extension_value_end,  // after a closing quote
    size_line_feed,
    data,
    data_carriage_return,
    data_line_feed,
    trailer_begin,
    trailer_name,
    trailer_value,
    trailer_line_feed,
    end_line_feed,
    done,
  };

  // The step of one whole chunk in its plainest form at the front of `in`; false (and nothing is changed) if
  // it is anything else.
  bool take_whole_chunk(std::span<const uint8_t> in, BodyStep& step);
  // Each takes one byte of framing and returns false if it may not stand there.
  bool take(uint8_t byte);
  bool take_size(uint8_t byte);
  bool take_extension(uint8_t byte);
  bool take_trailer(uint8_t byte);
  core::Error error_here(uint8_t byte) const;

  uint64_t remaining_ = 0;   // of the current chunk; its size while that is read
  uint64_t allowed_;         // payload bytes that further chunks may announce
  uint32_t line_bytes_ = 0;  // of the current size line, its CR included
  uint32_t trailer_bytes_ = 0;
  uint32_t trailer_count_ = 0;
  uint8_t digits_ = 0;
  bool too_large_ = false;
  MessageSide side_;
  State state_ = State::size;
};

}  // namespace weir::net
