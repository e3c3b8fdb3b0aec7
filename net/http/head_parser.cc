#include "net/http/head_parser.h"

#include <algorithm>
#include <cstring>

#include "core/assert.h"
#include "net/http/head_rules.h"
#include "net/http/header_id_table.h"
#include "net/http/scan.h"

namespace weir::net {
namespace {

using core::ErrorCode;
using core::fail;
using core::limits::kMaxHeadBytes;
using core::limits::kMaxTargetBytes;

constexpr std::string_view kVersion = "HTTP/1.1";

// The longest request line that can be valid: method SP target SP version.
constexpr uint32_t kMaxRequestLineBytes = kMaxMethodBytes + 1 + kMaxTargetBytes + 1 + kVersion.size();

// Fields that nothing is decided by, whose values may hold obs-text (RFC 9110 section 5.5).
constexpr bool may_hold_text(HeaderId id) {
  switch (id) {
    case HeaderId::other:
    case HeaderId::user_agent:
    case HeaderId::server:
    case HeaderId::cookie:
    case HeaderId::set_cookie:
    case HeaderId::content_disposition:
    case HeaderId::location:
    case HeaderId::openai:
      return true;
    default:
      return false;
  }
}

std::string_view text_of(const uint8_t* base, uint32_t begin, uint32_t end) {
  return {reinterpret_cast<const char*>(base) + begin, end - begin};
}

bool is_http_1_1(const uint8_t* bytes) {
  return std::memcmp(bytes, kVersion.data(), kVersion.size()) == 0;
}

bool is_line_break(const uint8_t* bytes) {
  return std::memcmp(bytes, "\r\n", 2) == 0;
}

Method method_of(std::string_view name) {
  for (const Method method : {Method::get, Method::post, Method::put, Method::patch, Method::delete_,
                              Method::head, Method::options})
    if (name == method_name(method)) return method;
  return Method::other;
}

// A control character stands at `size`: which part of the request line does it spoil?
ErrorCode request_line_control(const uint8_t* base, uint32_t size) {
  const std::string_view before = text_of(base, 0, size);
  switch (std::ranges::count(before, ' ')) {
    case 0:
      return ErrorCode::bad_method;
    case 1:
      return ErrorCode::bad_target;
    default:
      return ErrorCode::bad_version;
  }
}

// The request line is longer than any valid one, and only its first bytes may be there.
ErrorCode request_line_too_long(const uint8_t* base) {
  return text_of(base, 0, kMaxMethodBytes + 1).contains(' ') ? ErrorCode::target_too_long
                                                             : ErrorCode::bad_method;
}

}  // namespace

// The lines of the bytes at hand, from where the last call stopped.
class HeadParser::Lines {
 public:
  enum class Outcome : uint8_t {
    whole,         // CR LF stands at end()
    partial,       // the line goes on past the bytes at hand; scanning resumes at end()
    bare_break,    // a CR or LF alone stands at end()
    control_byte,  // another control character stands at end()
  };

  Lines(std::span<const uint8_t> bytes, uint32_t from, bool line_has_text)
      : base_(bytes.data()),
        has_text_(line_has_text),
        head_full_(bytes.size() >= kMaxHeadBytes),
        scanner_(bytes.data(), from, static_cast<uint32_t>(std::min<size_t>(bytes.size(), kMaxHeadBytes))) {}

  // Finds the end of the current line.
  [[gnu::always_inline]] Outcome find_end() {
    while (scanner_.next(end_)) {
      const bool last_byte = end_ + 1 == scanner_.size();
      if (!last_byte && is_line_break(base_ + end_)) [[likely]] {
        scanner_.skip(end_ + 1);
        return Outcome::whole;
      }
      const uint8_t byte = base_[end_];
      if (byte == '\t') continue;
      if (byte >= 0x80) {
        has_text_ = true;
        continue;
      }
      if (byte == '\r' && last_byte) return Outcome::partial;
      return LineEnd::of(byte) ? Outcome::bare_break : Outcome::control_byte;
    }
    end_ = scanner_.size();
    return Outcome::partial;
  }

  void begin_line() { has_text_ = false; }

  const uint8_t* base() const { return base_; }
  // Bytes that may be read.
  uint32_t size() const { return scanner_.size(); }
  uint32_t end() const { return end_; }
  bool has_text() const { return has_text_; }    // obs-text in the current line
  bool head_full() const { return head_full_; }  // no head may have more bytes than are here

 private:
  const uint8_t* base_;
  uint32_t end_ = 0;
  bool has_text_;
  bool head_full_;
  Scanner<NotPlainText> scanner_;
};

namespace {

// Offset of the first byte from `begin` on that is not common in names: the CR that ends the line at the
// latest.
[[gnu::always_inline]] inline uint32_t name_end(const uint8_t* base, uint32_t begin, uint32_t size) {
  if (begin + 16 <= size) [[likely]] {
    const uint32_t bits = lane_bits(NotCommonName::of(load_lanes(base + begin)));
    if (bits != 0) [[likely]]
      return begin + static_cast<uint32_t>(std::countr_zero(bits));
    begin += 16;
  }
  return static_cast<uint32_t>(find_first<NotCommonName>(base, begin, size));
}

// The name of the field line [begin, end), which is not a plain name and a colon; `at` is its first byte that
// is not common in names. Returns the offset of the colon.
core::Result<uint32_t> uncommon_name(const uint8_t* base, uint32_t begin, uint32_t at, uint32_t end) {
  if (is_white_space(base[begin])) return fail(ErrorCode::folded_header);  // RFC 9112 sections 2.2 and 5.2
  while (at < end && is_token_character(base[at])) ++at;
  if (at == begin || at >= end || base[at] != ':') return fail(ErrorCode::bad_header_name);
  return at;
}

}  // namespace

core::Result<ParseStatus> HeadParser::parse_fields(const Lines& from, FieldTable& fields) {
  Lines lines = from;  // a local that nobody else can see stays in registers
  const uint8_t* const base = lines.base();
  uint32_t begin = line_begin_;
  for (;;) {
    const Lines::Outcome outcome = lines.find_end();
    const uint32_t end = lines.end();
    if (outcome != Lines::Outcome::whole) [[unlikely]] {
      if (outcome == Lines::Outcome::bare_break) return fail(ErrorCode::bare_line_break);
      if (outcome == Lines::Outcome::control_byte)
        return fail(text_of(base, begin, end).contains(':') ? ErrorCode::bad_header_value
                                                            : ErrorCode::bad_header_name);
      if (lines.head_full()) return fail(ErrorCode::head_too_large);
      line_begin_ = begin;
      scanned_ = end;
      line_has_text_ = lines.has_text();
      return ParseStatus::need_more;
    }
    if (end == begin) break;  // the empty line

    uint32_t colon = name_end(base, begin, lines.size());
    if (base[colon] != ':' || colon == begin) [[unlikely]] {
      const core::Result<uint32_t> found = uncommon_name(base, begin, colon, end);
      if (!found) return std::unexpected(found.error());
      colon = *found;
    }
    // One space before the value and none behind it is what everybody sends. Nothing below a space is left in
    // the line but HTAB, and the CR that ends it.
    uint32_t value_begin = colon + 2;
    uint32_t value_end = end;
    if (base[colon + 1] != ' ' || base[value_begin] <= ' ' || base[end - 1] <= ' ') [[unlikely]] {
      value_begin = colon + 1;
      while (value_begin < value_end && is_white_space(base[value_begin])) ++value_begin;
      while (value_end > value_begin && is_white_space(base[value_end - 1])) --value_end;
    }

    const HeaderId id = look_up_header_id(base + begin, colon - begin);
    if (lines.has_text()) [[unlikely]] {
      if (!may_hold_text(id)) return fail(ErrorCode::bad_header_value);
      lines.begin_line();
    }
    if (fields.full()) [[unlikely]]
      return fail(ErrorCode::too_many_headers);
    fields.append({.name_begin = begin,
                   .value_begin = value_begin,
                   .value_size = value_end - value_begin,
                   .name_size = static_cast<uint16_t>(colon - begin),
                   .id = id});
    begin = end + 2;
  }
  line_begin_ = begin + 2;
  return ParseStatus::done;
}

// ---- requests ---------------------------------------------------------------------------------------

void RequestHeadParser::reset() {
  restart();
  head_.fields.clear();
}

core::Result<ParseStatus> RequestHeadParser::parse(std::span<const uint8_t> bytes) {
  WEIR_ASSERT(phase_ == Phase::start_line || phase_ == Phase::fields);
  core::Result<ParseStatus> status = parse_head(bytes);
  if (!status)
    phase_ = Phase::failed;
  else if (*status == ParseStatus::done)
    phase_ = Phase::done;
  return status;
}

core::Result<ParseStatus> RequestHeadParser::parse_head(std::span<const uint8_t> bytes) {
  Lines lines(bytes, scanned_, line_has_text_);
  if (phase_ == Phase::start_line) {
    const Lines::Outcome outcome = lines.find_end();
    if (lines.end() > kMaxRequestLineBytes) return fail(request_line_too_long(lines.base()));
    switch (outcome) {
      case Lines::Outcome::whole:
        break;
      case Lines::Outcome::partial:
        if (lines.head_full()) return fail(ErrorCode::head_too_large);
        scanned_ = lines.end();
        line_has_text_ = lines.has_text();
        return ParseStatus::need_more;
      case Lines::Outcome::bare_break:
        return fail(ErrorCode::bare_line_break);
      case Lines::Outcome::control_byte:
        return fail(request_line_control(lines.base(), lines.end()));
    }
    if (const auto parsed = parse_request_line(lines.base(), lines.end()); !parsed)
      return std::unexpected(parsed.error());
    line_begin_ = lines.end() + 2;
    lines.begin_line();
    phase_ = Phase::fields;
  }
  const core::Result<ParseStatus> status = parse_fields(lines, head_.fields);
  if (status && *status == ParseStatus::done)
    if (const auto ruled = apply_request_rules(head_, bytes.data()); !ruled)
      return std::unexpected(ruled.error());
  return status;
}

// RFC 9112 section 3: method SP request-target SP HTTP-version, here of `size` bytes and followed by CR LF.
core::Result<void> RequestHeadParser::parse_request_line(const uint8_t* base, uint32_t size) {
  const std::string_view line = text_of(base, 0, size);
  size_t method_size;
  if (line.starts_with("POST ")) {
    head_.method = Method::post;
    method_size = 4;
  } else if (line.starts_with("GET ")) {
    head_.method = Method::get;
    method_size = 3;
  } else {
    method_size = line.find(' ');
    if (method_size == std::string_view::npos) return fail(ErrorCode::bad_request_line);
    const std::string_view method = line.substr(0, method_size);
    if (method_size > kMaxMethodBytes || !is_token(method)) return fail(ErrorCode::bad_method);
    head_.method = method_of(method);
  }

  const auto target_begin = static_cast<uint32_t>(method_size) + 1;
  const size_t tail_size = 1 + kVersion.size();
  if (size >= target_begin + tail_size && is_http_1_1(base + size - kVersion.size()) &&
      line[size - tail_size] == ' ') [[likely]] {
    const auto target_end = static_cast<uint32_t>(size - tail_size);
    // The scan may read on into the version, but stops at the space before it.
    const auto spoiled = static_cast<uint32_t>(find_first<NotTarget>(base, target_begin, size));
    if (spoiled == target_end && base[target_begin] == '/' && target_end - target_begin <= kMaxTargetBytes)
        [[likely]] {
      head_.method_text = {0, static_cast<uint32_t>(method_size)};
      head_.target = {target_begin, target_end - target_begin};
      return {};
    }
  }

  // Something is wrong: the first of its parts that is.
  const std::string_view rest = line.substr(target_begin);
  if (std::ranges::count(rest, ' ') != 1) return fail(ErrorCode::bad_request_line);
  const size_t target_size = rest.find(' ');
  if (rest.substr(target_size + 1) != kVersion) return fail(ErrorCode::bad_version);
  return fail(target_size > kMaxTargetBytes ? ErrorCode::target_too_long : ErrorCode::bad_target);
}

// ---- responses --------------------------------------------------------------------------------------

void ResponseHeadParser::reset(Method request_method) {
  restart();
  request_method_ = request_method;
  head_.fields.clear();
}

core::Result<ParseStatus> ResponseHeadParser::parse(std::span<const uint8_t> bytes) {
  WEIR_ASSERT(phase_ == Phase::start_line || phase_ == Phase::fields);
  core::Result<ParseStatus> status = parse_head(bytes);
  if (!status) {
    phase_ = Phase::failed;
    const ErrorCode code = status.error().code;
    const bool size = code == ErrorCode::head_too_large || code == ErrorCode::too_many_headers;
    // Without the field's name: to a client, `param` is a field of its own request.
    return fail(size ? ErrorCode::upstream_head_too_large : ErrorCode::upstream_malformed);
  }
  if (*status == ParseStatus::done) phase_ = Phase::done;
  return status;
}

core::Result<ParseStatus> ResponseHeadParser::parse_head(std::span<const uint8_t> bytes) {
  Lines lines(bytes, scanned_, line_has_text_);
  if (phase_ == Phase::start_line) {
    const Lines::Outcome outcome = lines.find_end();
    if (outcome == Lines::Outcome::partial) {
      if (lines.head_full()) return fail(ErrorCode::head_too_large);
      scanned_ = lines.end();
      line_has_text_ = lines.has_text();
      return ParseStatus::need_more;
    }
    if (outcome != Lines::Outcome::whole) return fail(ErrorCode::upstream_malformed);
    if (const auto parsed = parse_status_line(lines.base(), lines.end()); !parsed)
      return std::unexpected(parsed.error());
    line_begin_ = lines.end() + 2;
    lines.begin_line();
    phase_ = Phase::fields;
  }
  const core::Result<ParseStatus> status = parse_fields(lines, head_.fields);
  if (status && *status == ParseStatus::done)
    if (const auto ruled = apply_response_rules(head_, bytes.data(), request_method_); !ruled)
      return std::unexpected(ruled.error());
  return status;
}

// RFC 9112 section 4: HTTP-version SP status-code SP [ reason-phrase ]. The last space is required. Controls
// were found with the end of the line, so that any reason phrase is fine.
core::Result<void> ResponseHeadParser::parse_status_line(const uint8_t* base, uint32_t size) {
  constexpr uint32_t kStatusBegin = kVersion.size() + 1;
  if (size < kStatusBegin + 4 || !is_http_1_1(base) || base[kStatusBegin - 1] != ' ' ||
      base[kStatusBegin + 3] != ' ')
    return fail(ErrorCode::upstream_malformed);
  unsigned status = 0;
  for (uint32_t i = kStatusBegin; i < kStatusBegin + 3; ++i) {
    if (base[i] < '0' || base[i] > '9') return fail(ErrorCode::upstream_malformed);
    status = status * 10 + (base[i] - '0');
  }
  // We never ask for an upgrade, so a switch of protocols is none of ours.
  if (status < 100 || status > 599 || status == 101) return fail(ErrorCode::upstream_malformed);
  head_.status = static_cast<uint16_t>(status);
  return {};
}

}  // namespace weir::net
