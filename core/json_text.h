// Writes JSON into a fixed piece of memory: log lines and records. No allocation, no exception; what does not
// fit is noticed, and taken back to a mark by the caller.
//
// Strings come from anywhere, and the lines are read by people in terminals and by line-based tools. So
// beyond what JSON demands, everything is escaped that could forge a line, hide text or turn its direction:
// control characters of both ranges, bidirectional and invisible formatting characters, line separators.
// Bytes that are not UTF-8 (RFC 3629) become U+FFFD. A JSON parser gets back exactly what was meant.
//
// Thread: the owner's.
#pragma once

#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace weir::core {

class JsonText {
 public:
  explicit JsonText(std::span<char> room) : begin_(room.data()), end_(begin_ + room.size()), at_(begin_) {}

  // Appends bytes as they stand: punctuation and literals of ours.
  void raw(std::string_view bytes) {
    if (bytes.size() > static_cast<size_t>(end_ - at_)) {
      overflowed_ = true;
      return;
    }
    std::memcpy(at_, bytes.data(), bytes.size());
    at_ += bytes.size();
  }

  // Appends a string in quotes, escaped; of one longer than `max_bytes` only the beginning, whole characters,
  // then an ellipsis.
  void string(std::string_view text, size_t max_bytes = SIZE_MAX);

  template <std::integral Number>
  requires(!std::same_as<Number, bool>) void number(Number value) {
    const auto [end, error] = std::to_chars(at_, end_, value);
    if (error == std::errc()) {
      at_ = end;
    } else {
      overflowed_ = true;
    }
  }

  void boolean(bool value) { raw(value ? "true" : "false"); }

  // Whether something did not fit since the last rewind(). Later, shorter pieces may have fitted.
  bool overflowed() const { return overflowed_; }
  size_t size() const { return static_cast<size_t>(at_ - begin_); }
  std::string_view view() const { return {begin_, size()}; }
  // Forgets everything after the first `size` bytes, and the overflow.
  void rewind(size_t size) {
    at_ = begin_ + size;
    overflowed_ = false;
  }

 private:
  char* const begin_;
  char* const end_;
  char* at_;
  bool overflowed_ = false;
};

}  // namespace weir::core
