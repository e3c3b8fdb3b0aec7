// Reads the body of an OFREP request: who is asked about.
//
//   {"context": {"targetingKey": "u-7", "conversation": "c-12", "plan": "pro", "page": {"url": "/cart"}}}
//
//   targetingKey   string   the user, for the split
//   conversation   string   an open conversation keeps the unit it is pinned to
//   <attribute>             a declared attribute, of its declared type
//
// All may be left out or null, and so may the context. Applications put whatever they like into their
// context, so everything else in it is ignored; it is never kept, logged or sent on. What is read is read as
// strictly as anywhere: the whole document must be JSON, and what steers may appear once and must have its
// type.
//
// No allocation. Thread: the owner's.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <span>
#include <string_view>

#include "core/error.h"
#include "core/limits.h"
#include "routing/decide/decide.h"
#include "routing/table/table.h"

namespace weir::routing {

// Views into the body, the table, and the reader.
struct EvaluationContext {
  std::string_view user;          // empty = none
  std::string_view conversation;  // empty = none
  AttributeValues attributes;
};

struct ContextFault {
  core::ErrorCode code{};
  std::string_view member;  // at fault: constant, or the name of a declared attribute; may be empty
};

class EvaluationContextReader {
 public:
  // `body` is followed by JsonCursor::kPadding readable bytes. The result holds until the next read(), and no
  // longer than `body` and `table`. Errors: those of JSON (body_not_json, ...), body_not_object,
  // duplicate_field, bad_context, field_too_long.
  std::expected<const EvaluationContext*, ContextFault> read(const TableBody& table,
                                                             std::span<const uint8_t> body);

 private:
  class Walk;

  EvaluationContext context_;
  // Escaped values, unescaped: the user, the conversation, and every attribute.
  std::array<uint8_t, (2 + core::limits::kMaxAttributes) * core::limits::kMaxIdentifierBytes> scratch_;
};

}  // namespace weir::routing
