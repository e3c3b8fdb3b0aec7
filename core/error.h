// The one error type of the data path: small, trivially copied, no text of its own.
// All facts about a code stand in core/error_table.h. Errors are for input (client, provider, file,
// operator); our own mistakes are assertions (core/assert.h).
#pragma once

#include <cstdint>
#include <expected>
#include <string_view>

#include "core/error_table.h"

namespace weir::core {

enum class ErrorCode : uint8_t {
#define X(name, ...) name,
  WEIR_ERROR_TABLE(X)
#undef X
};

inline constexpr unsigned kErrorCodeCount = 0
#define X(...) +1
    WEIR_ERROR_TABLE(X)
#undef X
    ;

// Who caused it.
enum class Side : uint8_t { client, provider, weir };

// One row of the error table. All text is static.
struct ErrorInfo {
  std::string_view token;     // log token and metric label, e.g. "body_not_json"
  Side side;
  bool retry_on_next_hop;     // may another hop be tried while nothing has gone downstream
  uint16_t status;            // HTTP status for the client; 0 = no answer is possible
  std::string_view type;      // OpenAI error type
  std::string_view code;      // OpenAI error code; empty = null
  std::string_view sentence;  // OpenAI error message
};

const ErrorInfo& describe(ErrorCode code);

// An error as it travels. `param` optionally names the request field or header at fault; it must
// point to static storage (field names are compile-time constants), never into a request.
struct Error {
  ErrorCode code;
  const char* param = nullptr;

  friend bool operator==(const Error& a, const Error& b) { return a.code == b.code; }
};

template <typename T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(ErrorCode code, const char* param = nullptr) {
  return std::unexpected(Error{code, param});
}

}  // namespace weir::core
