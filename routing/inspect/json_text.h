// JSON strings in and out, and the bounded byte buffer that rewriting writes to.
// Pure and allocation-free; any thread.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace weir::routing {

// Appends to a fixed piece of memory that somebody else owns. Running out of room is remembered, not
// reported at each step: a caller writes everything, then asks overflowed() once.
//
// Invariants
//  1. Bytes once written never move: an offset stays valid as long as the memory.
//  2. After an overflow nothing more is written and size() no longer grows.
class ScratchWriter {
 public:
  explicit ScratchWriter(std::span<uint8_t> room)
      : begin_(room.data()), capacity_(static_cast<uint32_t>(room.size())) {}

  void append(std::string_view text) {
    if (text.size() > capacity_ - size_ || overflowed_) {
      overflowed_ = true;
      return;
    }
    if (!text.empty()) std::memcpy(begin_ + size_, text.data(), text.size());
    size_ += static_cast<uint32_t>(text.size());
  }
  void append(char byte) { append(std::string_view(&byte, 1)); }

  uint32_t size() const { return size_; }
  uint32_t room() const { return overflowed_ ? 0 : capacity_ - size_; }
  bool overflowed() const { return overflowed_; }
  const uint8_t* data() const { return begin_; }
  std::string_view text(uint32_t begin, uint32_t end) const {
    return {reinterpret_cast<const char*>(begin_) + begin, end - begin};
  }
  void clear() { size_ = 0, overflowed_ = false; }

 private:
  uint8_t* begin_;
  uint32_t capacity_;
  uint32_t size_ = 0;
  bool overflowed_ = false;
};

// Appends `text` (valid UTF-8) as a JSON string, quotes included. Escapes only what RFC 8259 section 7
// asks for: the quote, the backslash and U+0000 to U+001F.
void render_json_string(std::string_view text, ScratchWriter& out);

// The same without the quotes: what a string holds between them.
void render_json_string_body(std::string_view text, ScratchWriter& out);

// Appends the text that the inside of a JSON string stands for. `inside` is what a JsonCursor has read: its
// escapes are known to be well-formed.
void unescape_json_string(std::string_view inside, ScratchWriter& out);

}  // namespace weir::routing
