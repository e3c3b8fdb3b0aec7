#include "net/http/head_rules.h"

#include <string_view>

#include "core/ascii.h"
#include "net/http/scan.h"

namespace weir::net {
namespace {

using core::ErrorCode;
using core::fail;

constexpr size_t kMaxContentLengthDigits = 19;  // 10^19 - 1 fits in 64 bits, so nothing can overflow
constexpr size_t kMaxPortDigits = 5;

bool is_port(std::string_view text) {
  if (text.empty() || text.size() > kMaxPortDigits) return false;
  unsigned port = 0;
  for (const char c : text) {
    if (!core::is_digit(c)) return false;
    port = port * 10 + static_cast<unsigned>(c - '0');
  }
  return port <= 65535;
}

bool is_address_literal(std::string_view text) {
  if (text.size() < 2) return false;
  for (const char c : text)
    if (!core::is_digit(c) && !(folded(static_cast<uint8_t>(c)) >= 'a' && folded(static_cast<uint8_t>(c)) <= 'f') &&
        c != ':' && c != '.')
      return false;
  return text.contains(':');
}

// host [ ":" port ], RFC 9110 section 7.2.
bool is_host(std::string_view text) {
  size_t host_size = 0;
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos || !is_address_literal(text.substr(1, close - 1))) return false;
    host_size = close + 1;
  } else {
    // Percent-encoding and sub-delimiters, which RFC 3986 would allow, stand in no name that exists.
    host_size = find_first<NotHostName>(reinterpret_cast<const uint8_t*>(text.data()), 0, text.size());
  }
  if (host_size == 0) return false;
  if (host_size == text.size()) return true;
  return text[host_size] == ':' && is_port(text.substr(host_size + 1));
}

core::Result<void> check_host(const FieldTable& fields, const uint8_t* base) {
  const uint32_t count = fields.count(HeaderId::host);
  if (count == 0) return fail(ErrorCode::missing_host, "host");
  if (count > 1) return fail(ErrorCode::duplicate_host, "host");
  if (!is_host(fields.value(HeaderId::host, base))) return fail(ErrorCode::bad_host, "host");
  return {};
}

core::Result<uint64_t> content_length(std::string_view text) {
  if (text.empty() || text.size() > kMaxContentLengthDigits)
    return fail(ErrorCode::bad_content_length, "content-length");
  uint64_t length = 0;
  for (const char c : text) {
    if (!core::is_digit(c)) return fail(ErrorCode::bad_content_length, "content-length");
    length = length * 10 + static_cast<uint64_t>(c - '0');
  }
  return length;
}

// What the two framing fields say; `none` if neither is there. RFC 9112 section 6.3, without any of its
// repairs.
core::Result<Framing> framing_fields(const FieldTable& fields, const uint8_t* base) {
  const uint32_t lengths = fields.count(HeaderId::content_length);
  const uint32_t codings = fields.count(HeaderId::transfer_encoding);
  if (lengths != 0 && codings != 0) return fail(ErrorCode::conflicting_framing, "transfer-encoding");
  if (codings != 0) {
    if (codings > 1 || !equals_ignoring_case(fields.value(HeaderId::transfer_encoding, base), "chunked"))
      return fail(ErrorCode::bad_transfer_encoding, "transfer-encoding");
    return Framing{BodyKind::chunked, 0};
  }
  if (lengths != 0) {
    if (lengths > 1) return fail(ErrorCode::bad_content_length, "content-length");
    const core::Result<uint64_t> length = content_length(fields.value(HeaderId::content_length, base));
    if (!length) return std::unexpected(length.error());
    return Framing{BodyKind::content_length, *length};
  }
  return Framing{};
}

// Fields that Connection may not name: a hop that removed them would leave another message than was sent.
bool may_be_hop_by_hop(HeaderId id) {
  switch (id) {
    case HeaderId::host:
    case HeaderId::content_length:
    case HeaderId::transfer_encoding:
    case HeaderId::content_type:
    case HeaderId::content_encoding:
    case HeaderId::authorization:
    case HeaderId::cookie:
    case HeaderId::set_cookie:
    case HeaderId::expect:
    case HeaderId::traceparent:
    case HeaderId::tracestate:
    case HeaderId::weir_scenario:
    case HeaderId::weir_conversation:
    case HeaderId::weir_user:
    case HeaderId::weir_tenant:
    case HeaderId::weir_attribute:
    case HeaderId::weir_other:
      return false;
    default:
      return true;
  }
}

// One Connection field: token *( OWS "," OWS token ). Returns whether it says close.
core::Result<bool> connection_says_close(std::string_view list) {
  if (equals_ignoring_case(list, "keep-alive")) return false;
  bool close = false;
  for (size_t begin = 0; begin <= list.size();) {
    size_t end = begin;
    while (end < list.size() && list[end] != ',') ++end;
    std::string_view token = list.substr(begin, end - begin);
    while (!token.empty() && is_white_space(static_cast<uint8_t>(token.front()))) token.remove_prefix(1);
    while (!token.empty() && is_white_space(static_cast<uint8_t>(token.back()))) token.remove_suffix(1);
    if (token.empty()) return fail(ErrorCode::bad_connection_header, "connection");
    for (const char c : token)
      if (!is_token_character(static_cast<uint8_t>(c)))
        return fail(ErrorCode::bad_connection_header, "connection");
    if (equals_ignoring_case(token, "close"))
      close = true;
    else if (!may_be_hop_by_hop(header_id(token)))
      return fail(ErrorCode::bad_connection_header, "connection");
    begin = end + 1;
  }
  return close;
}

core::Result<bool> keeps_alive(const FieldTable& fields, const uint8_t* base) {
  uint32_t left = fields.count(HeaderId::connection);
  bool close = false;
  for (const Field* field = fields.find(HeaderId::connection); left != 0; ++field) {
    if (field->id != HeaderId::connection) continue;
    const core::Result<bool> says_close = connection_says_close(field->value(base));
    if (!says_close) return says_close;
    close |= *says_close;
    --left;
  }
  return !close;
}

}  // namespace

bool equals_ignoring_case(std::string_view value, std::string_view lower_case) {
  if (value.size() != lower_case.size()) return false;
  for (size_t i = 0; i < value.size(); ++i)
    if (folded(static_cast<uint8_t>(value[i])) != static_cast<uint8_t>(lower_case[i])) return false;
  return true;
}

core::Result<void> apply_request_rules(RequestHead& head, const uint8_t* base) {
  const FieldTable& fields = head.fields;
  if (const auto host = check_host(fields, base); !host) return host;

  const core::Result<Framing> framing = framing_fields(fields, base);
  if (!framing) return std::unexpected(framing.error());
  head.framing = *framing;

  const core::Result<bool> keep_alive = keeps_alive(fields, base);
  if (!keep_alive) return std::unexpected(keep_alive.error());
  head.keep_alive = *keep_alive;

  head.expect_continue = false;
  if (const uint32_t expectations = fields.count(HeaderId::expect); expectations != 0) {
    if (expectations > 1 || !equals_ignoring_case(fields.value(HeaderId::expect, base), "100-continue"))
      return fail(ErrorCode::bad_expectation, "expect");
    head.expect_continue = framing->has_body();  // RFC 9110 section 10.1.1: ignored without a body
  }

  if (const uint32_t encodings = fields.count(HeaderId::content_encoding); encodings != 0) {
    if (encodings > 1 || !equals_ignoring_case(fields.value(HeaderId::content_encoding, base), "identity"))
      return fail(ErrorCode::unsupported_content_encoding, "content-encoding");
  }

  if ((head.method == Method::get || head.method == Method::head) && framing->has_body())
    return fail(ErrorCode::unexpected_body);
  return {};
}

core::Result<void> apply_response_rules(ResponseHead& head, const uint8_t* base, Method request_method) {
  const FieldTable& fields = head.fields;
  const core::Result<Framing> framing = framing_fields(fields, base);
  if (!framing) return std::unexpected(framing.error());

  const core::Result<bool> keep_alive = keeps_alive(fields, base);
  if (!keep_alive) return std::unexpected(keep_alive.error());
  head.keep_alive = *keep_alive;

  if (head.interim() || head.status == 204) {
    // RFC 9112 section 6.3 item 1: no body whatever the fields say. A provider whose fields say otherwise may
    // send one all the same, which would be read as the next response.
    if (framing->has_body()) return fail(ErrorCode::conflicting_framing);
    head.framing = Framing{};
  } else if (head.status == 304 || request_method == Method::head) {
    head.framing = Framing{};
  } else if (framing->kind == BodyKind::none) {
    head.framing = Framing{BodyKind::until_close, 0};
    head.keep_alive = false;
  } else {
    head.framing = *framing;
  }
  return {};
}

}  // namespace weir::net
