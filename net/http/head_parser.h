// Strict, incremental parsers for HTTP/1.1 heads (RFC 9110, RFC 9112). Pure: bytes in, offsets out.
//
// Why our own: what lenient parsers repair, two parsers repair differently, and the difference is a smuggled
// request. Everything RFC 9112 lets a recipient repair (bare LF, obs-fold, lists in Content-Length, empty
// lines before the start line, …) is refused here.
//
//             need_more                    done                   error
//   parse ──▶ (call again with       or    (head(), head_size())  (the connection is
//              more bytes)                                         beyond repair)
//
// Contract:
//  1. The caller keeps the head contiguous from its first byte and passes all bytes so far at every call; the
//     bytes may move between calls, but not change. Bytes past the head are allowed and never interpreted.
//  2. Nothing outside the span is read. No allocation, no exception; total work is O(bytes), however they
//     arrive.
//  3. The outcome is a function of the bytes alone, not of how they were split into calls.
//  4. After `done` or an error, only head(), head_size() and reset() may be called.
//
// What is accepted, beyond the grammar:
//  - Start line: single spaces, HTTP/1.1 only. Requests: method of at most 20 token characters, target in
//    origin form, printable ASCII without '#'. Responses: status 100–599 but 101; 1xx, 204 and 304 have no
//    body.
//  - Values: visible ASCII, SP, HTAB; bytes from 0x80 only in fields that do not steer anything.
//  - Host exactly once, host[:port]. Content-Length once, 1–19 digits. Transfer-Encoding once, "chunked".
//    Never both. Connection a list of tokens that names no framing or credential field. Expect only
//    100-continue.
//  - GET and HEAD requests have no body. Content-Encoding of a request may only be "identity".
//
// Errors: each kind has its code in requests; in responses all are upstream_malformed, but those about size
// are upstream_head_too_large. Error::param names the field at fault where there is one. Thread: none in
// particular; one parser per connection side. Measured (bench/http_bench.cc): see the figures there.
#pragma once

#include <cstdint>
#include <span>

#include "core/error.h"
#include "net/http/head.h"

namespace weir::net {

enum class ParseStatus : uint8_t { need_more, done };

inline constexpr uint32_t kMaxMethodBytes = 20;

// The part both directions share: finding lines, cutting them into fields, resuming.
class HeadParser {
 public:
  // Bytes of the complete head, with its empty line; the body begins there. Valid after done.
  uint32_t head_size() const { return line_begin_; }

 protected:
  class Lines;
  enum class Phase : uint8_t { start_line, fields, done, failed };

  HeadParser() = default;
  void restart() { *this = HeadParser(); }

  core::Result<ParseStatus> parse_fields(const Lines& from, FieldTable& fields);

  Phase phase_ = Phase::start_line;
  bool line_has_text_ = false;  // obs-text (0x80–0xff) was seen in [line_begin_, scanned_)
  uint32_t line_begin_ = 0;     // offset of the first line not yet parsed
  uint32_t scanned_ = 0;        // no line ends in [line_begin_, scanned_)
};

class RequestHeadParser : public HeadParser {
 public:
  // Continues with all bytes received so far from the head's first byte on.
  core::Result<ParseStatus> parse(std::span<const uint8_t> bytes);

  // Valid after done.
  const RequestHead& head() const { return head_; }

  // Prepares for the next head.
  void reset();

 private:
  core::Result<ParseStatus> parse_head(std::span<const uint8_t> bytes);
  core::Result<void> parse_request_line(const uint8_t* base, uint32_t size);

  RequestHead head_;
};

class ResponseHeadParser : public HeadParser {
 public:
  // `request_method` decides whether the answer has a body (RFC 9112 section 6.3, item 1).
  explicit ResponseHeadParser(Method request_method = Method::post) : request_method_(request_method) {}

  core::Result<ParseStatus> parse(std::span<const uint8_t> bytes);

  // Valid after done. An interim head (1xx) is followed by another: reset and parse from head_size() on.
  const ResponseHead& head() const { return head_; }

  void reset(Method request_method);

 private:
  core::Result<ParseStatus> parse_head(std::span<const uint8_t> bytes);
  core::Result<void> parse_status_line(const uint8_t* base, uint32_t size);

  Method request_method_;
  ResponseHead head_;
};

}  // namespace weir::net
