// Runs a head through a parser in every way it may arrive, each time from a heap buffer of exactly the bytes
// received so far: a read past the end is a sanitizer error, and a pointer kept across calls is a use after
// free.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "net/http/head_parser.h"

namespace weir::net {

// What came of a head, in a form to compare and print: "done …", "need_more" or the token of an error.
using Verdict = std::string;

inline Verdict verdict_of(core::ErrorCode code) {
  return std::string(core::describe(code).token);
}

inline std::string describe_framing(const Framing& framing) {
  switch (framing.kind) {
    case BodyKind::none:
      return "none";
    case BodyKind::content_length:
      return "length " + std::to_string(framing.content_length);
    case BodyKind::chunked:
      return "chunked";
    case BodyKind::until_close:
      return "until_close";
  }
  return {};
}

inline std::string describe_fields(const FieldTable& fields, const uint8_t* base) {
  std::string text;
  for (const Field& field : fields)
    text += " [" + std::string(field.name(base)) + "=" + std::string(field.value(base)) + "]";
  return text;
}

inline std::string describe_head(const RequestHead& head, const uint8_t* base) {
  return std::string(head.method_text.view(base)) + " " + std::string(head.target.view(base)) + " " +
         describe_framing(head.framing) + (head.keep_alive ? " keep" : " close") +
         (head.expect_continue ? " expect" : "") + describe_fields(head.fields, base);
}

inline std::string describe_head(const ResponseHead& head, const uint8_t* base) {
  return std::to_string(head.status) + " " + describe_framing(head.framing) +
         (head.keep_alive ? " keep" : " close") + describe_fields(head.fields, base);
}

class Received {
 public:
  // A fresh copy of exactly the first `size` bytes of `text`.
  static std::unique_ptr<uint8_t[]> copy(std::string_view text, size_t size) {
    std::unique_ptr<uint8_t[]> bytes(new uint8_t[size]);
    std::memcpy(bytes.get(), text.data(), size);
    return bytes;
  }
};

// Feeds `text` with calls at each of `ends` (ascending offsets, the last being text.size()).
template <class Parser>
Verdict parse_at(Parser parser, std::string_view text, const std::vector<size_t>& ends) {
  for (const size_t end : ends) {
    const std::unique_ptr<uint8_t[]> bytes = Received::copy(text, end);
    const core::Result<ParseStatus> status = parser.parse({bytes.get(), end});
    if (!status) return verdict_of(status.error().code);
    if (*status == ParseStatus::done)
      return "done " + std::to_string(parser.head_size()) + " " + describe_head(parser.head(), bytes.get());
  }
  return "need_more";
}

// Parses `text` whole, byte by byte, and at every split in two; all must come to the same.
template <class Parser>
Verdict parse_every_way(const Parser& parser, std::string_view text) {
  const Verdict whole = parse_at(parser, text, {text.size()});
  std::vector<size_t> every;
  for (size_t end = 1; end <= text.size(); ++end) every.push_back(end);
  EXPECT_EQ(parse_at(parser, text, every), whole) << "byte by byte: " << text;
  for (size_t split = 0; split < text.size(); ++split)
    EXPECT_EQ(parse_at(parser, text, {split, text.size()}), whole) << "split at " << split << ": " << text;
  return whole;
}

inline Verdict parse_request(std::string_view text) {
  return parse_every_way(RequestHeadParser(), text);
}
inline Verdict parse_response(std::string_view text, Method request_method = Method::post) {
  return parse_every_way(ResponseHeadParser(request_method), text);
}

// A request that is fine but for `lines`, each of which ends in CR LF.
inline std::string request_with(std::string_view lines, std::string_view method = "POST") {
  return std::string(method) + " /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\n" + std::string(lines) +
         "\r\n";
}
inline std::string response_with(std::string_view lines, std::string_view status = "200 OK") {
  return "HTTP/1.1 " + std::string(status) + "\r\n" + std::string(lines) + "\r\n";
}

}  // namespace weir::net
