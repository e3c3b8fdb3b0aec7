#include "net/http/sse.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/limits.h"
#include "net/http/scan.h"

namespace weir::net {
namespace {

using core::ErrorCode;
using core::fail;
using core::limits::kMaxSseEventBytes;

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

// One line of an event, taken apart (9.2.6: field name, colon, one optional space, value).
struct Line {
  std::string_view name;  // empty in a comment
  std::string_view value;
};

// Enumerates the lines of one event without their ends.
class LineReader {
 public:
  explicit LineReader(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  // False after the last line. Blank lines are skipped: within one event they only occur at its ends.
  bool next(Line& line) {
    while (at_ < bytes_.size()) {
      const size_t begin = at_;
      const size_t end = find_first<LineEnd>(bytes_.data(), begin, bytes_.size());
      at_ = end + 1;  // a CR LF is a line and a blank line: the same to us
      if (end != begin) {
        line = cut({reinterpret_cast<const char*>(bytes_.data()) + begin, end - begin});
        return true;
      }
    }
    return false;
  }

 private:
  static Line cut(std::string_view text) {
    const size_t colon = text.find(':');
    if (colon == std::string_view::npos) return {text, {}};
    const size_t space = colon + 1 < text.size() && text[colon + 1] == ' ' ? 1 : 0;
    return {text.substr(0, colon), text.substr(colon + 1 + space)};
  }

  std::span<const uint8_t> bytes_;
  size_t at_ = 0;
};

}  // namespace

core::Result<size_t> SseSplitter::find_event_end(std::span<const uint8_t> bytes) {
  const size_t size = bytes.size();
  size_t at = 0;
  if (after_cr_ && size != 0) {
    after_cr_ = false;
    if (bytes[0] == '\n') at = 1;
  }
  while (at < size) {
    const size_t end = find_first<LineEnd>(bytes.data(), at, size);
    if (end != at) line_empty_ = false;
    if (end == size) break;
    const bool blank = line_empty_;
    if (!blank) ++lines_;
    line_empty_ = true;
    at = end + 1;
    if (bytes[end] == '\r') {
      if (at == size)
        after_cr_ = true;
      else if (bytes[at] == '\n')
        ++at;
    }
    if (blank) {
      if (event_bytes_ + at > kMaxSseEventBytes) return fail(ErrorCode::upstream_frame_too_large);
      event_bytes_ = 0;
      event_lines_ = std::exchange(lines_, 0);
      return at;
    }
  }
  event_bytes_ += size;
  if (event_bytes_ > kMaxSseEventBytes) return fail(ErrorCode::upstream_frame_too_large);
  return npos;
}

SseEvent parse_event(std::span<const uint8_t> bytes, EventPosition position, EventLines line_count) {
  if (line_count == EventLines::one) {
    // "data: …\n\n", the way everybody writes it; anything else is read line by line below.
    constexpr std::string_view kBegin = "data: ", kEnd = "\n\n";
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (text.size() > kBegin.size() + kEnd.size() && text.starts_with(kBegin) && text.ends_with(kEnd)) {
      const std::string_view data = text.substr(kBegin.size(), text.size() - kBegin.size() - kEnd.size());
      if (data.back() != '\r') return {.data = data, .name = {}, .has_data = true};
    }
  }
  if (position == EventPosition::first && bytes.size() >= kByteOrderMark.size() &&
      std::memcmp(bytes.data(), kByteOrderMark.data(), kByteOrderMark.size()) == 0)
    bytes = bytes.subspan(kByteOrderMark.size());

  SseEvent event;
  LineReader lines(bytes);
  for (Line line; lines.next(line);) {
    if (line.name == "data") {
      if (event.has_data)
        event.multi_line_data = true;
      else
        event.data = line.value;
      event.has_data = true;
    } else if (line.name == "event") {
      event.name = line.value;
    }
  }
  return event;
}

std::optional<std::string_view> join_data(std::span<const uint8_t> bytes, std::span<char> out) {
  size_t size = 0;
  bool first = true;
  LineReader lines(bytes);
  for (Line line; lines.next(line);) {
    if (line.name != "data") continue;
    const size_t break_size = first ? 0 : 1;
    if (line.value.size() + break_size > out.size() - size) return std::nullopt;
    if (!first) out[size++] = '\n';
    std::ranges::copy(line.value, out.begin() + static_cast<std::ptrdiff_t>(size));
    size += line.value.size();
    first = false;
  }
  return std::string_view(out.data(), size);
}

}  // namespace weir::net
