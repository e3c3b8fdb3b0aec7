// Server-sent events (WHATWG HTML, "Server-sent events", 9.2.5–9.2.6): where each ends, and what is in it.
// Pure, zero-copy: offsets and views into the caller's bytes.
//
// A line ends with LF, CR LF or CR; an event ends with a blank line. An event here is all bytes up to and
// including that blank line, so events are a partition of the stream and may be relayed or withheld whole.
//
// When a piece ends right after a CR that ends an event, the event is reported at once; an LF that follows
// belongs to the same line end and becomes the first byte of the next event, where it means nothing.
//
// Limit: core::limits::kMaxSseEventBytes (upstream_frame_too_large).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "core/error.h"

namespace weir::net {

class SseSplitter {
 public:
  static constexpr size_t npos = static_cast<size_t>(-1);

  // The offset in `bytes` just past the next event's end, or npos if it does not end in this piece, which is
  // then wholly consumed. The next call continues where the event ended, or with the next piece.
  core::Result<size_t> find_event_end(std::span<const uint8_t> bytes);

  // True if no byte of an unfinished event has been seen.
  bool at_event_boundary() const { return event_bytes_ == 0; }

  // The event found last was one line and the blank line: what nearly all are. See EventLines.
  bool single_line() const { return event_lines_ == 1; }

  // Bytes of the unfinished event so far.
  size_t event_bytes() const { return event_bytes_; }

  void reset() { *this = SseSplitter(); }

 private:
  size_t event_bytes_ = 0;
  uint32_t lines_ = 0;        // of the unfinished event that are not blank
  uint32_t event_lines_ = 0;  // of the event found last
  bool line_empty_ = true;    // no byte of the current line has been seen
  bool after_cr_ = false;     // the last byte was a CR: an LF now is the rest of that line end
};

enum class EventPosition : uint8_t { first, later };
enum class EventLines : uint8_t {
  any,
  one
};  // one: SseSplitter::single_line() said so; saves looking for more

// All views point into the bytes given to parse_event.
struct SseEvent {
  std::string_view data;         // payload of the first data line
  std::string_view name;         // of the last event line; empty = "message"
  bool has_data = false;         // false: comments and settings only; clients dispatch nothing
  bool multi_line_data = false;  // there are more data lines: join_data() gives the whole

  // A keep-alive comment or an empty event: no token, no first token.
  bool comment_only() const { return !has_data; }
};

// Reads one whole event. Only the first of a stream may begin with a byte order mark, which is skipped.
SseEvent parse_event(std::span<const uint8_t> bytes, EventPosition position = EventPosition::later,
                     EventLines lines = EventLines::any);

// The data lines of an event joined by LF, copied to `out`; nothing if it is too small.
std::optional<std::string_view> join_data(std::span<const uint8_t> bytes, std::span<char> out);

// The end mark of an OpenAI stream; clients only look at its beginning.
inline bool is_done(std::string_view data) {
  return data.starts_with("[DONE]");
}

}  // namespace weir::net
