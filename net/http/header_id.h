// The header names weir knows. A parsed field carries a HeaderId, so that nobody compares names twice:
// one hash of length and eight bytes, one comparison, at parse time (header_id.cc).
//
// Names compare case-insensitively (RFC 9110 section 5.1). A name that is not in the table is `other`,
// unless it begins with one of the prefixes that share an id.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

// X(enumerator, "name in lower case"), one row per name that has an id of its own.
#define WEIR_HEADER_TABLE(X)                          \
  X(host, "host")                                     \
  X(content_length, "content-length")                 \
  X(transfer_encoding, "transfer-encoding")           \
  X(connection, "connection")                         \
  X(expect, "expect")                                 \
  X(content_type, "content-type")                     \
  X(content_encoding, "content-encoding")             \
  X(authorization, "authorization")                   \
  X(api_key, "x-api-key")                             \
  X(accept, "accept")                                 \
  X(user_agent, "user-agent")                         \
  X(traceparent, "traceparent")                       \
  X(tracestate, "tracestate")                         \
  X(weir_scenario, "x-weir-scenario")                 \
  X(weir_conversation, "x-weir-conversation")         \
  X(weir_user, "x-weir-user")                         \
  X(weir_tenant, "x-weir-tenant")                     \
  X(stainless_retry_count, "x-stainless-retry-count") \
  X(request_id, "x-request-id")                       \
  X(retry_after, "retry-after")                       \
  X(retry_after_ms, "retry-after-ms")                 \
  X(should_retry, "x-should-retry")                   \
  X(date, "date")                                     \
  X(server, "server")                                 \
  X(upgrade, "upgrade")                               \
  X(trailer, "trailer")                               \
  X(te, "te")                                         \
  X(keep_alive, "keep-alive")                         \
  X(proxy_connection, "proxy-connection")             \
  X(cookie, "cookie")                                 \
  X(if_match, "if-match")                             \
  X(if_none_match, "if-none-match")                   \
  X(last_event_id, "last-event-id")                   \
  X(set_cookie, "set-cookie")                         \
  X(content_disposition, "content-disposition")       \
  X(location, "location")

namespace weir::net {

enum class HeaderId : uint8_t {
  other = 0,
#define X(enumerator, name) enumerator,
  WEIR_HEADER_TABLE(X)
#undef X
      weir_attribute,  // x-weir-attr-*
  weir_other,          // any other x-weir-*
  rate_limit,          // x-ratelimit-*
  openai,              // openai-*
};

inline constexpr size_t kHeaderIdCount = static_cast<size_t>(HeaderId::openai) + 1;

// What stands before the name of an attribute in an x-weir-attr-* header.
inline constexpr std::string_view kWeirAttributePrefix = "x-weir-attr-";

// The id of a field name. `name` must consist of token characters (RFC 9110 section 5.6.2) only.
HeaderId header_id(const uint8_t* name, size_t size);
HeaderId header_id(std::string_view name);

// The lower-case name of an id; for an id that a prefix shares, the prefix; empty for `other`.
std::string_view header_name(HeaderId id);

}  // namespace weir::net
