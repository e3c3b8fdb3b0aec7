// The parsed form of an HTTP/1.1 head: offsets into the bytes it was read from, never pointers, so that the
// bytes may move. Filled by net/http/head_parser.h; only values here, no behaviour but look-up.
//
//   base ─▶ P O S T   / v 1 / …   H T T P / 1 . 1 \r\n  h o s t :   a . b \r\n  …  \r\n\r\n  body …
//                     └ target ┘                        └name┘      └value┘             ▲
//                                                                                       size
// Invariants of a head that a parser reported as done:
//  1. Every name is a non-empty token; every value is free of control characters but HTAB and has no white
//     space at its ends; all offsets lie inside the head.
//  2. `framing` follows from the head alone and is unambiguous (RFC 9112 section 6.3).
//  3. A request has exactly one Host, which is valid.
//
// Limits: core::limits::kMaxHeadBytes, kMaxHeaders, kMaxTargetBytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/limits.h"
#include "net/http/header_id.h"

namespace weir::net {

enum class Method : uint8_t { get, post, put, patch, delete_, head, options, other };

// "GET", …; empty for Method::other.
std::string_view method_name(Method method);

// Bytes of a head, by offset from its first byte.
struct Slice {
  uint32_t begin = 0;
  uint32_t size = 0;

  std::string_view view(const uint8_t* base) const {
    return {reinterpret_cast<const char*>(base) + begin, size};
  }
};

struct Field {
  uint32_t name_begin;
  uint32_t value_begin;
  uint32_t value_size;
  uint16_t name_size;
  HeaderId id;

  std::string_view name(const uint8_t* base) const {
    return {reinterpret_cast<const char*>(base) + name_begin, name_size};
  }
  std::string_view value(const uint8_t* base) const {
    return {reinterpret_cast<const char*>(base) + value_begin, value_size};
  }
};
static_assert(sizeof(Field) == 16);

// The fields of one head in the order received, with O(1) look-up by id.
class FieldTable {
 public:
  FieldTable() { clear(); }

  // First field with this id, or nullptr.
  const Field* find(HeaderId id) const {
    return counts_[static_cast<size_t>(id)] == 0 ? nullptr : &fields_[first_[static_cast<size_t>(id)]];
  }
  // Value of the first field with this id; empty if there is none.
  std::string_view value(HeaderId id, const uint8_t* base) const {
    const Field* field = find(id);
    return field == nullptr ? std::string_view{} : field->value(base);
  }
  // How many fields have this id.
  uint32_t count(HeaderId id) const { return counts_[static_cast<size_t>(id)]; }

  const Field* begin() const { return fields_.data(); }
  const Field* end() const { return fields_.data() + size_; }
  uint32_t size() const { return size_; }
  bool full() const { return size_ == core::limits::kMaxHeaders; }

  // For the parser. The table must not be full.
  void append(const Field& field) {
    const auto id = static_cast<size_t>(field.id);
    if (counts_[id]++ == 0) first_[id] = static_cast<uint8_t>(size_);
    fields_[size_++] = field;
  }
  void clear() {
    size_ = 0;
    counts_.fill(0);
  }

 private:
  static_assert(core::limits::kMaxHeaders <= UINT8_MAX, "indices and counts are bytes");

  uint32_t size_;
  std::array<uint8_t, kHeaderIdCount> counts_;
  std::array<uint8_t, kHeaderIdCount> first_;  // valid where counts_ is not 0
  std::array<Field, core::limits::kMaxHeaders> fields_;
};

// How the end of a body is found (RFC 9112 section 6.3).
enum class BodyKind : uint8_t {
  none,
  content_length,
  chunked,
  until_close,  // responses only
};

struct Framing {
  BodyKind kind = BodyKind::none;
  uint64_t content_length = 0;  // bytes; 0 unless kind is content_length

  // A body of zero bytes is no body.
  bool has_body() const {
    return kind == BodyKind::content_length ? content_length != 0 : kind != BodyKind::none;
  }
  friend bool operator==(const Framing&, const Framing&) = default;
};

struct RequestHead {
  Method method = Method::other;
  Slice method_text;
  Slice target;  // origin form, not decoded or normalised
  FieldTable fields;
  Framing framing;
  bool keep_alive = true;
  bool expect_continue = false;  // the client waits for a 100 before it sends the body
};

struct ResponseHead {
  uint16_t status = 0;
  FieldTable fields;
  Framing framing;
  bool keep_alive = true;

  // 1xx: a final response follows on the same connection.
  bool interim() const { return status < 200; }
};

}  // namespace weir::net
