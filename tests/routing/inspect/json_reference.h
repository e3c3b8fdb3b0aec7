// Slow and simple twins of what routing/inspect does fast, and documents to try both on. Everything is
// seeded.
#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "routing/inspect/json_cursor.h"

namespace weir::routing {

// A document as it stands in a receive buffer: followed by JsonCursor::kPadding bytes that belong to somebody
// else and look like more JSON. Allocated to the byte, so that a sanitizer sees what reads beyond.
class PaddedDocument {
 public:
  explicit PaddedDocument(std::string_view text, std::string_view after = "\"}]},:1\\u{[\"")
      : size_(text.size()) {
    bytes_.resize(text.size() + JsonCursor::kPadding);
    bytes_.shrink_to_fit();
    if (!text.empty()) std::memcpy(bytes_.data(), text.data(), text.size());
    for (size_t i = 0; i < JsonCursor::kPadding; ++i) {
      bytes_[text.size() + i] = static_cast<uint8_t>(after[i % after.size()]);
    }
  }

  std::span<const uint8_t> bytes() const { return {bytes_.data(), size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(bytes_.data()), size_}; }
  std::string_view text(uint32_t begin, uint32_t end) const { return text().substr(begin, end - begin); }

 private:
  size_t size_;
  std::vector<uint8_t> bytes_;
};

// RFC 8259 by the book, one byte at a time.
class SlowJson {
 public:
  static bool valid(std::string_view text, uint32_t max_depth) {
    SlowJson json(text, max_depth);
    json.blanks();
    if (!json.value(0)) return false;
    json.blanks();
    return json.at_ == text.size() && utf8(text);
  }

  static bool utf8(std::string_view text) {
    for (size_t i = 0; i < text.size();) {
      const auto byte = [&](size_t at) { return at < text.size() ? static_cast<uint8_t>(text[at]) : 0u; };
      const auto more = [&](size_t at) { return (byte(at) & 0xc0) == 0x80; };
      const unsigned first = byte(i);
      if (first < 0x80) {
        i += 1;
      } else if (first >= 0xc2 && first < 0xe0 && more(i + 1)) {
        i += 2;
      } else if ((first & 0xf0) == 0xe0 && more(i + 1) && more(i + 2)) {
        const unsigned point = (first & 15) << 12 | (byte(i + 1) & 63) << 6 | (byte(i + 2) & 63);
        if (point < 0x800 || (point >= 0xd800 && point < 0xe000)) return false;
        i += 3;
      } else if ((first & 0xf8) == 0xf0 && more(i + 1) && more(i + 2) && more(i + 3)) {
        const unsigned point =
            (first & 7) << 18 | (byte(i + 1) & 63) << 12 | (byte(i + 2) & 63) << 6 | (byte(i + 3) & 63);
        if (point < 0x10000 || point > 0x10ffff) return false;
        i += 4;
      } else {
        return false;
      }
    }
    return true;
  }

 private:
  SlowJson(std::string_view text, uint32_t max_depth) : text_(text), max_depth_(max_depth) {}

  int peek() const { return at_ < text_.size() ? static_cast<uint8_t>(text_[at_]) : -1; }
  bool take(char wanted) {
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }
  void blanks() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r') ++at_;
  }
  bool word(std::string_view wanted) {
    if (text_.substr(at_, wanted.size()) != wanted) return false;
    at_ += wanted.size();
    return true;
  }
  bool digits() {
    const size_t begin = at_;
    while (peek() >= '0' && peek() <= '9') ++at_;
    return at_ != begin;
  }
  bool number() {
    take('-');
    if (!take('0') && !digits()) return false;
    if (take('.') && !digits()) return false;
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      if (!digits()) return false;
    }
    return true;
  }
  int hex4() {
    int unit = 0;
    for (int i = 0; i < 4; ++i) {
      const int byte = peek();
      int digit;
      if (byte >= '0' && byte <= '9') {
        digit = byte - '0';
      } else if (byte >= 'a' && byte <= 'f') {
        digit = byte - 'a' + 10;
      } else if (byte >= 'A' && byte <= 'F') {
        digit = byte - 'A' + 10;
      } else {
        return -1;
      }
      unit = unit * 16 + digit;
      ++at_;
    }
    return unit;
  }
  bool string() {
    if (!take('"')) return false;
    for (;;) {
      const int byte = peek();
      if (byte < 0x20) return false;
      ++at_;
      if (byte == '"') return true;
      if (byte != '\\') continue;
      const int kind = peek();
      if (kind < 0 ||
          std::string_view("\"\\/bfnrtu").find(static_cast<char>(kind)) == std::string_view::npos) {
        return false;
      }
      ++at_;
      if (kind != 'u') continue;
      const int unit = hex4();
      if (unit < 0 || (unit >= 0xdc00 && unit < 0xe000)) return false;
      if (unit < 0xd800 || unit >= 0xe000) continue;
      if (!word("\\u")) return false;
      const int low = hex4();
      if (low < 0xdc00 || low >= 0xe000) return false;
    }
  }
  bool items(char close, uint32_t depth, bool object) {
    if (depth > max_depth_) return false;
    blanks();
    if (take(close)) return true;
    do {
      blanks();
      if (object) {
        if (!string()) return false;
        blanks();
        if (!take(':')) return false;
        blanks();
      }
      if (!value(depth)) return false;
      blanks();
    } while (take(','));
    return take(close);
  }
  bool value(uint32_t depth) {
    switch (peek()) {
      case '{':
        ++at_;
        return items('}', depth + 1, true);
      case '[':
        ++at_;
        return items(']', depth + 1, false);
      case '"':
        return string();
      case 't':
        return word("true");
      case 'f':
        return word("false");
      case 'n':
        return word("null");
      default:
        return number();
    }
  }

  std::string_view text_;
  uint32_t max_depth_;
  size_t at_ = 0;
};

// Random documents. The same seed gives the same documents.
class JsonMaker {
 public:
  explicit JsonMaker(uint32_t seed) : random_(seed) {}

  uint32_t below(uint32_t limit) { return static_cast<uint32_t>(random_() % limit); }
  bool chance(uint32_t percent) { return below(100) < percent; }
  template <typename T>
  const T& one_of(const std::vector<T>& choices) {
    return choices[below(static_cast<uint32_t>(choices.size()))];
  }

  std::string blanks() {
    if (chance(80)) return "";
    static const std::vector<std::string> choices = {" ", "\n", "\t", "\r\n", "  ", "            "};
    return one_of(choices);
  }

  // The inside of a string.
  std::string inside() {
    static const std::vector<std::string> parts = {
        "a",
        "usage",
        "hello world",
        "\\n",
        "\\\"",
        "\\\\",
        "\\/",
        "\\u0041",
        "\\u00e9",
        "é",
        "漢",
        "😀",
        "\\ud83d\\ude00",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\\\\\\\"",
        "model",
        "the quick brown fox jumps over the lazy dog and rests for a while"};
    std::string text;
    const uint32_t count = chance(90) ? below(4) : below(40);
    for (uint32_t i = 0; i < count; ++i) text += one_of(parts);
    return text;
  }
  std::string string() { return '"' + inside() + '"'; }

  std::string number() {
    static const std::vector<std::string> choices = {
        "0",     "-0",  "1",    "12",      "800",          "1234567", "12345678", "0.5",
        "-1.25", "1e5", "2E-3", "1.5e+10", "123456789012", "0.0",     "7"};
    return one_of(choices);
  }

  std::string value(uint32_t depth = 0) {
    const uint32_t kind = below(depth > 4 ? 5 : 8);
    switch (kind) {
      case 0:
        return "true";
      case 1:
        return "false";
      case 2:
        return "null";
      case 3:
        return number();
      case 4:
        return string();
      case 5: {
        std::string text = "[";
        const uint32_t count = below(4);
        for (uint32_t i = 0; i < count; ++i) text += (i ? "," : "") + blanks() + value(depth + 1) + blanks();
        return text + "]";
      }
      default: {
        std::string text = "{";
        const uint32_t count = below(4);
        for (uint32_t i = 0; i < count; ++i) {
          text +=
              (i ? "," : "") + blanks() + string() + blanks() + ":" + blanks() + value(depth + 1) + blanks();
        }
        return text + "}";
      }
    }
  }

  // Changes a few bytes: flips, inserts, removes, repeats, cuts.
  void mutate(std::string& text) {
    static const std::string kBytes =
        std::string("\"\\{}[]:,0123456789-+.eEtfnulrsa \n\t\x01\x1f\x7f\x80\xc3\xe2\xed\xff") + '\0';
    const uint32_t count = 1 + below(3);
    for (uint32_t i = 0; i < count && !text.empty(); ++i) {
      const uint32_t at = below(static_cast<uint32_t>(text.size()));
      const char byte = kBytes[below(static_cast<uint32_t>(kBytes.size()))];
      switch (below(7)) {
        case 0:
          text[at] = byte;
          break;
        case 1:
          text.insert(at, 1, byte);
          break;
        case 2:
          text.erase(at, 1);
          break;
        case 3:
          text.insert(at, text.substr(at, 1 + below(8)));
          break;
        case 4:
          text.erase(at, 1 + below(4));
          break;
        case 5:
          text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
          break;
        default:
          if (chance(20)) text.resize(at);
      }
    }
  }

 private:
  std::mt19937 random_;
};

inline const std::vector<std::string>& json_kernels() {
  static const std::vector<std::string> kernels = {"portable", "avx2", "avx512"};
  return kernels;
}

}  // namespace weir::routing
