// Renders HTTP/1.1 heads into a buffer of the caller's. No allocation; nothing that comes from a peer can
// break out of its place.
//
// Invariants:
//  1. The output is a well-formed head whatever values are given: control characters (CR and LF above all)
//  are
//     dropped from values, everything but visible ASCII from targets, and a parsed field whose name is not a
//     token is left out. A field name of our own is checked when compiled.
//  2. When the buffer is too small, the writer becomes overflowed and writes nothing more; it never writes
//  outside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "net/http/head.h"

namespace weir::net {

void field_name_is_not_a_token();  // never defined: a FieldName that would call it does not compile

// A field name written in our source: a literal, checked by the compiler.
class FieldName {
 public:
  template <size_t N>
  consteval FieldName(const char (&literal)[N]) : text_(literal, N - 1) {  // NOLINT: implicit by design
    if (N < 2) field_name_is_not_a_token();
    for (const char c : text_) {
      const bool letter_or_digit = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
      if (!letter_or_digit && c != '-') field_name_is_not_a_token();
    }
  }
  constexpr std::string_view text() const { return text_; }

 private:
  std::string_view text_;
};

class HeadWriter {
 public:
  // The buffer must outlive the writer.
  explicit HeadWriter(std::span<char> buffer)
      : begin_(buffer.data()), cursor_(buffer.data()), end_(buffer.data() + buffer.size()) {}

  // "HTTP/1.1 200 OK\r\n". `status` must lie in 100–999.
  void status_line(int status);
  // "POST /v1/chat/completions HTTP/1.1\r\n". `method` must not be Method::other.
  void request_line(Method method, std::string_view target);
  void field(FieldName name, std::string_view value) {
    if (!begin_field(name, value.size())) return;
    put_value(value);
  }
  void field(FieldName name, uint64_t value) {
    if (!begin_field(name, 0)) return;
    put_number(value);
  }
  // A field whose name came from a peer.
  void parsed_field(std::string_view name, std::string_view value);
  // The empty line.
  void end();

  bool overflowed() const { return overflowed_; }
  // Bytes written; meaningless once overflowed.
  size_t size() const { return static_cast<size_t>(cursor_ - begin_); }
  std::string_view text() const { return {begin_, size()}; }

 private:
  bool reserve(size_t size) {
    if (static_cast<size_t>(end_ - cursor_) < size) overflowed_ = true;
    return !overflowed_;
  }
  // Inlined with the literal, the name is a few constant stores.
  [[gnu::always_inline]] bool begin_field(FieldName name, size_t value_size) {
    const std::string_view text = name.text();
    if (!reserve(text.size() + kFieldSyntaxBytes + value_size)) return false;
    std::memcpy(cursor_, text.data(), text.size());
    std::memcpy(cursor_ + text.size(), ": ", 2);
    cursor_ += text.size() + 2;
    return true;
  }
  // Write the value and the line's end; room for a text's was reserved.
  void put_value(std::string_view value);
  void put_number(uint64_t value);

  static constexpr size_t kFieldSyntaxBytes = 4;  // ": " and CR LF

  char* begin_;
  char* cursor_;
  char* end_;
  bool overflowed_ = false;
};

// "OK" for 200, …; empty for a status without a registered phrase (RFC 9112 section 4 allows that).
std::string_view reason_phrase(int status);

// Room for the longest chunk header: 16 hex digits, CR, LF.
inline constexpr size_t kMaxChunkHeaderBytes = 18;

// Renders "c8\r\n" at `out` and returns its length. `size` must not be 0: that would end the body.
size_t render_chunk_header(uint64_t size, std::span<char, kMaxChunkHeaderBytes> out);

// What follows the payload of a chunk, and what ends a chunked body.
inline constexpr std::string_view kChunkEnd = "\r\n";
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace weir::net
