#include "net/http/writer.h"

#include <array>
#include <charconv>
#include <iterator>

#include "core/assert.h"
#include "net/http/scan.h"

namespace weir::net {
namespace {

const uint8_t* bytes_of(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

// The first and the last N of N to 2 N bytes.
template <size_t N>
void copy_ends(const char* from, size_t size, char* out) {
  char first[N];
  char last[N];
  std::memcpy(first, from, N);
  std::memcpy(last, from + size - N, N);
  std::memcpy(out, first, N);
  std::memcpy(out + size - N, last, N);
}

// Most texts here are a few bytes long: two copies that overlap are faster than a call.
char* copy(std::string_view text, char* out) {
  const char* const from = text.data();
  const size_t size = text.size();
  if (size > 32) {
    std::memcpy(out, from, size);
  } else if (size >= 16) {
    copy_ends<16>(from, size, out);
  } else if (size >= 8) {
    copy_ends<8>(from, size, out);
  } else if (size >= 4) {
    copy_ends<4>(from, size, out);
  } else {
    for (size_t i = 0; i < size; ++i) out[i] = from[i];
  }
  return out + size;
}

constexpr std::array<char, 200> kTwoDigits = [] {
  std::array<char, 200> digits{};
  for (size_t i = 0; i < 100; ++i) {
    digits[2 * i] = static_cast<char>('0' + i / 10);
    digits[2 * i + 1] = static_cast<char>('0' + i % 10);
  }
  return digits;
}();

// Copies what is not in the class; returns the new end.
template <class Class>
char* copy_without(std::string_view text, char* out) {
  for (const char c : text)
    if (!Class::of(static_cast<uint8_t>(c))) *out++ = c;
  return out;
}

// Control characters but HTAB: none may stand in a value (RFC 9110 section 5.5).
struct NotValue {
  static bool of(uint8_t byte) { return (byte < 0x20 && byte != '\t') || byte == 0x7f; }
};

// Copies a value, dropping what may not stand in one. Nearly every value is plain and copied whole.
char* copy_value(std::string_view value, char* out) {
  if (holds_any<NotPlainText>(bytes_of(value), value.size())) return copy_without<NotValue>(value, out);
  return copy(value, out);
}

}  // namespace

void HeadWriter::status_line(int status) {
  WEIR_ASSERT(status >= 100 && status <= 999);
  const std::string_view phrase = reason_phrase(status);
  constexpr std::string_view kVersion = "HTTP/1.1 ";
  if (!reserve(kVersion.size() + 4 + phrase.size() + 2)) return;
  cursor_ = copy(kVersion, cursor_);
  *cursor_++ = static_cast<char>('0' + status / 100);
  *cursor_++ = static_cast<char>('0' + status / 10 % 10);
  *cursor_++ = static_cast<char>('0' + status % 10);
  *cursor_++ = ' ';
  cursor_ = copy(phrase, cursor_);
  cursor_ = copy("\r\n", cursor_);
}

void HeadWriter::request_line(Method method, std::string_view target) {
  WEIR_ASSERT(method != Method::other);
  const std::string_view name = method_name(method);
  constexpr std::string_view kVersion = " HTTP/1.1\r\n";
  if (!reserve(name.size() + 1 + target.size() + kVersion.size())) return;
  cursor_ = copy(name, cursor_);
  *cursor_++ = ' ';
  cursor_ = copy_without<NotTarget>(target, cursor_);
  cursor_ = copy(kVersion, cursor_);
}

void HeadWriter::put_value(std::string_view value) {
  cursor_ = copy_value(value, cursor_);
  cursor_ = copy("\r\n", cursor_);
}

void HeadWriter::put_number(uint64_t value) {
  char digits[20];
  char* first = std::end(digits);
  for (; value >= 100; value /= 100) {
    first -= 2;
    std::memcpy(first, kTwoDigits.data() + 2 * (value % 100), 2);
  }
  if (value >= 10) {
    first -= 2;
    std::memcpy(first, kTwoDigits.data() + 2 * value, 2);
  } else {
    *--first = static_cast<char>('0' + value);
  }
  const std::string_view text(first, std::end(digits));
  if (!reserve(text.size() + 2)) return;
  cursor_ = copy(text, cursor_);
  cursor_ = copy("\r\n", cursor_);
}

void HeadWriter::parsed_field(std::string_view name, std::string_view value) {
  if (!is_token(name) || !reserve(name.size() + kFieldSyntaxBytes + value.size())) return;
  cursor_ = copy(name, cursor_);
  cursor_ = copy(": ", cursor_);
  put_value(value);
}

void HeadWriter::end() {
  if (reserve(2)) cursor_ = copy("\r\n", cursor_);
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 402:
      return "Payment Required";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 425:
      return "Too Early";
    case 426:
      return "Upgrade Required";
    case 428:
      return "Precondition Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 451:
      return "Unavailable For Legal Reasons";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    case 507:
      return "Insufficient Storage";
    default:
      return {};
  }
}

size_t render_chunk_header(uint64_t size, std::span<char, kMaxChunkHeaderBytes> out) {
  WEIR_ASSERT(size != 0);
  char* end = std::to_chars(out.data(), out.data() + 16, size, 16).ptr;
  *end++ = '\r';
  *end++ = '\n';
  return static_cast<size_t>(end - out.data());
}

}  // namespace weir::net
