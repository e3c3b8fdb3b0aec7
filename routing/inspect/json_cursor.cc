#include "routing/inspect/json_cursor.h"

#include <array>
#include <cstring>

#include "core/assert.h"
#include "routing/inspect/field_name.h"

namespace weir::routing {

using core::ErrorCode;
using core::limits::kMaxJsonDepth;
using core::limits::kMaxJsonTokens;

namespace {

bool is_digit(uint8_t byte) {
  return static_cast<uint8_t>(byte - '0') <= 9;
}

// Bytes that may stand after a number or literal.
constexpr std::array<bool, 256> kMayFollow = [] {
  std::array<bool, 256> table{};
  for (const uint8_t byte : {',', '}', ']', ' ', '\t', '\n', '\r'}) table[byte] = true;
  return table;
}();

struct NoVisitor {
  static constexpr bool kVisits = false;
};

}  // namespace

JsonCursor::JsonCursor(std::span<const uint8_t> document) : document_(document), index_(document) {
  if (document.size() >= 3 && document[0] == 0xef && document[1] == 0xbb && document[2] == 0xbf) {
    fail(ErrorCode::body_has_bom);
  }
}

bool JsonCursor::refill() {
  const auto keep = static_cast<uint32_t>(batch_end_ - token_);
  if (failed_ || token_ > batch_end_ || !index_.next_batch(keep)) return fail();
  tokens_ += index_.count() - keep;
  if (tokens_ > kMaxJsonTokens) return fail(ErrorCode::body_too_complex);
  token_ = index_.positions();
  batch_end_ = token_ + index_.count();
  safe_end_ = index_.at_end() ? batch_end_ : batch_end_ - TokenIndex::kLookAhead;
  return true;
}

// At a token.
bool JsonCursor::literal() {
  const uint32_t end = literal_end(*token_);
  if (end == 0) return fail();
  last_end_ = end;
  ++token_;
  return true;
}

// At a token.
bool JsonCursor::number() {
  const uint32_t end = number_end(*token_);
  if (end == 0) return fail();
  last_end_ = end;
  ++token_;
  return true;
}

bool JsonCursor::read_bool(bool& value) {
  if (!ensure()) return false;
  if (byte() == 'n') return fail();
  value = byte() == 't';
  return literal();
}

bool JsonCursor::read_null() {
  if (!ensure()) return false;
  if (byte() != 'n') return fail();
  return literal();
}

bool JsonCursor::read_number(std::string_view& text) {
  if (!ensure()) return false;
  const uint32_t begin = *token_;
  if (!number()) return false;
  text = {reinterpret_cast<const char*>(document_.data()) + begin, last_end_ - begin};
  return true;
}

bool JsonCursor::skip_container() {
  NoVisitor visitor;
  return walk_container(visitor);
}

void JsonCursor::note_source(ByteRange key, ByteRange value) {
  const auto* text = reinterpret_cast<const char*>(document_.data());
  const std::string_view name(text + key.begin, key.size());
  const bool inline_data = std::string_view(text + value.begin, value.size()).starts_with("data:");
  if (same_key(name, "id")) {
    saw_id_ = true;
  } else if (same_key(name, "url") || same_key(name, "image_url") || same_key(name, "file_url")) {
    saw_reference_ |= !inline_data;
  } else if (same_key(name, "file_id") || name.find('\\') != std::string_view::npos) {
    saw_reference_ = saw_id_ = true;
    return;
  } else if (!same_key(name, "file_data")) {
    return;
  }
  if (inline_data && value.size() >= kMinMediaBytes) media_bytes_ += value.size();
}

// Does a number or literal end at `end`? TokenIndex lists the start of a run of bytes, not its end.
bool JsonCursor::ends_here(uint32_t end) const {
  return end < document_.size() ? kMayFollow[document_[end]] : end == document_.size();
}

// One past the literal that begins at `begin`, 0 if there is none.
uint32_t JsonCursor::literal_end(uint32_t begin) const {
  const uint8_t* at = document_.data() + begin;
  uint32_t end = 0;
  if (std::memcmp(at, "true", 4) == 0 || std::memcmp(at, "null", 4) == 0) end = begin + 4;
  if (std::memcmp(at, "false", 5) == 0) end = begin + 5;
  return end != 0 && ends_here(end) ? end : 0;
}

// One past the number that begins at `begin`, 0 if there is none.
uint32_t JsonCursor::number_end(uint32_t begin) const {
  const uint8_t* at = document_.data() + begin;
  // Up to seven plain digits at once: eight bytes, those above 9 after the exclusive or are no digits. A
  // carry goes only beyond the first of them.
  uint64_t word;
  std::memcpy(&word, at, sizeof word);
  word ^= 0x3030'3030'3030'3030;
  const uint64_t others = (word | (word + 0x7676'7676'7676'7676)) & 0x8080'8080'8080'8080;
  const auto digits = static_cast<uint32_t>(__builtin_ctzll(others | uint64_t{1} << 63)) / 8;
  if (digits - 1 <= 6 && kMayFollow[at[digits]] && (*at != '0' || digits == 1)) {
    return begin + digits <= document_.size() ? begin + digits : 0;
  }

  const uint8_t* end = document_.data() + document_.size();
  if (*at == '-') ++at;
  if (*at == '0') {
    ++at;
  } else {
    if (!is_digit(*at)) return 0;
    while (is_digit(*at) && at < end) ++at;
  }
  if (*at == '.') {
    if (!is_digit(*++at)) return 0;
    while (is_digit(*at) && at < end) ++at;
  }
  if ((*at | 0x20) == 'e') {
    ++at;
    if (*at == '+' || *at == '-') ++at;
    if (!is_digit(*at)) return 0;
    while (is_digit(*at) && at < end) ++at;
  }
  const auto offset = static_cast<uint32_t>(at - document_.data());
  return ends_here(offset) ? offset : 0;
}

bool JsonCursor::finish() {
  if (failed_) return false;
  WEIR_ASSERT(depth_ == 0);
  if (token_ != batch_end_ || (!index_.at_end() && index_.next_batch()) || index_.faulty()) return fail();
  if (!index_.is_utf8()) return fail(ErrorCode::body_not_utf8);
  return true;
}

}  // namespace weir::routing
