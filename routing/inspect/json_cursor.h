// A strict JSON reader that walks a document once, in place, and says exactly where each value begins and
// ends.
//
// It walks the positions that TokenIndex finds, so a string of 30 KB costs as much here as one of three
// bytes. simdjson's own readers were the other choice: its On-Demand front checks only what is touched and
// gives no exact ends, its DOM copies every string and takes five times as long on a 32 KB prompt
// (bench/inspect_bench.cc). Its DOM parser is the oracle of the tests.
//
// Grammar: RFC 8259, one document, nothing after it; strings without control characters, with well-formed
// escapes and paired surrogates; numbers of any size; at most limits::kMaxJsonDepth containers deep;
// at most limits::kMaxJsonTokens brackets, colons, commas, scalars and quotes.
//
//   JsonCursor cursor(document);
//   if (!cursor.open_object()) return cursor.error();
//   JsonString key;
//   while (cursor.next_member(key)) {            // now at the value
//     if (...) cursor.skip_value(); else ...
//   }
//   if (!cursor.finish()) return cursor.error();
//
// Invariants
//  1. The first error sticks: every later call answers false.
//  2. Nothing beyond kPadding bytes after the document is read, and what stands there changes no result that
//     finish() confirms. Until finish() says so, the document may still turn out to be cut or not UTF-8.
//  3. Each value must be consumed exactly once (one read_*, skip_value or open_* to its end).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "core/error.h"
#include "core/limits.h"
#include "routing/inspect/json_index.h"

namespace weir::routing {

enum class JsonType : uint8_t { null, boolean, number, string, array, object };

// Half-open byte range of a document.
struct ByteRange {
  uint32_t begin = 0;
  uint32_t end = 0;
  uint32_t size() const { return end - begin; }
  friend bool operator==(ByteRange, ByteRange) = default;
};

// A string as it stands: what is between the quotes, not unescaped. (Not a string_view, and filled in place:
// g++ 12 copies one with a 16-byte load right after two 8-byte stores, which cannot be forwarded: 20 cycles
// for each key.)
struct JsonString {
  const char* data = nullptr;
  uint32_t size = 0;
  bool escaped = false;  // it holds a backslash

  std::string_view inside() const { return {data, size}; }
};

class JsonCursor {
 public:
  static constexpr uint32_t kPadding = TokenIndex::kPadding;

  // body_has_bom at once if there is one.
  explicit JsonCursor(std::span<const uint8_t> document);

  // ---- offsets in the document ----
  uint32_t value_begin() const { return *token_; }  // of the value the cursor stands at
  uint32_t last_end() const { return last_end_; }   // one past the value or bracket read last
  uint32_t offset_of(const char* part) const {
    return static_cast<uint32_t>(reinterpret_cast<const uint8_t*>(part) - document_.data());
  }

  // Type of the value that begins here, by its first byte; it still has to be read. nullopt fails the cursor.
  std::optional<JsonType> type() {
    if (!ensure()) return std::nullopt;
    const uint8_t type = kTypeOf[byte()];
    if (type != kNoType) return static_cast<JsonType>(type);
    fail();
    return std::nullopt;
  }

  // ---- values ----
  bool skip_value();
  bool read_string(JsonString& string);
  bool read_bool(bool& value);
  bool read_null();
  bool read_number(std::string_view& text);

  // Reads an array of objects in one go, at the speed of skip_value(). The visitor is told of each element
  // and of each member of it (not of deeper ones); when it answers false the walk ends, and it has failed the
  // cursor.
  //   bool begin_element(uint32_t begin, bool is_object);  void end_element(uint32_t end);
  //   bool wants(uint8_t first_byte_of_key);               // cheap: most keys are of no interest
  //   bool member(const JsonString& key, const JsonString* value);   // value: if it is a string, else
  //   nullptr
  template <typename Visitor>
  bool read_objects(Visitor& visitor) {
    if (!ensure()) return false;
    if (byte() != '[') return fail();
    return walk_container(visitor);
  }

  // ---- containers, step by step ----
  bool open_object() { return open('{'); }
  bool open_array() { return open('['); }
  // Moves to the next member: reads key and colon and stands at the value. False at the end (the closing
  // bracket has been read) or on error.
  bool next_member(JsonString& key);
  // Moves to the next element. False at the end (the closing bracket has been read) or on error.
  bool next_element();

  // After the root value: only blanks may follow, and all of the document must be UTF-8.
  bool finish();

  bool failed() const { return failed_; }
  core::ErrorCode error() const { return error_; }
  // Fails the cursor for a reason of the caller's.
  bool fail(core::ErrorCode code = core::ErrorCode::body_not_json) {
    if (!failed_) error_ = code;
    failed_ = true;
    safe_end_ = nullptr;  // every ensure() ends in refill(), which refuses
    return false;
  }

  // Bytes of string values that are "data:" URLs under url, image_url, file_url or file_data, among what
  // skip_value() and read_objects() have passed. In whatever letter case, as some upstreams take them; not under
  // a key with an escape.
  uint32_t media_bytes() const { return media_bytes_; }
  // Whether there were strings that stand for content held elsewhere: other URLs under url, image_url or
  // file_url, anything under file_id. In whatever letter case, and under a key with an escape, which might be
  // any of them.
  bool saw_reference() const { return saw_reference_; }
  bool saw_id() const { return saw_id_; }  // a string under id

 private:
  static constexpr uint32_t kMinMediaBytes = 256;  // shorter ones make no difference to an estimate
  // Whether a key that begins so may be one of those above.
  static bool may_be_source(uint8_t first) {
    const auto letter = static_cast<uint8_t>(first | 0x20);
    return letter == 'u' || letter == 'i' || letter == 'f' || first == '\\';
  }
  static constexpr uint8_t kNoType = 0xff;
  // JsonType of the value that a byte begins, or kNoType.
  static constexpr std::array<uint8_t, 256> kTypeOf = [] {
    std::array<uint8_t, 256> table;
    table.fill(kNoType);
    for (int digit = '0'; digit <= '9'; ++digit)
      table[static_cast<size_t>(digit)] = static_cast<uint8_t>(JsonType::number);
    table['-'] = static_cast<uint8_t>(JsonType::number);
    table['"'] = static_cast<uint8_t>(JsonType::string);
    table['{'] = static_cast<uint8_t>(JsonType::object);
    table['['] = static_cast<uint8_t>(JsonType::array);
    table['t'] = table['f'] = static_cast<uint8_t>(JsonType::boolean);
    table['n'] = static_cast<uint8_t>(JsonType::null);
    return table;
  }();

  // Is there a token at `token_`? If so, kLookAhead positions may be read from there on, some perhaps the
  // size of the document: the byte there may be anything, and finish() finds that they were consumed.
  bool ensure() {
    if (token_ < safe_end_) [[likely]]
      return true;
    return refill();
  }
  bool refill();
  uint8_t byte() const { return document_[*token_]; }
  void string_at(const uint32_t* open, JsonString& string) const {
    string.data = reinterpret_cast<const char*>(document_.data()) + open[0] + 1;
    string.size = open[1] - open[0] - 1;
    string.escaped = index_.saw_backslash() && string.inside().find('\\') != std::string_view::npos;
  }
  bool open(char bracket);
  bool next_item(char bracket);
  bool literal();
  bool number();
  bool ends_here(uint32_t end) const;
  uint32_t literal_end(uint32_t begin) const;
  uint32_t number_end(uint32_t begin) const;
  bool skip_string();
  bool string_here(JsonString& string);
  bool skip_container();
  template <typename Visitor>
  bool walk_container(Visitor& visitor);
  void note_source(ByteRange key, ByteRange value);

  std::span<const uint8_t> document_;
  const uint32_t* token_ = nullptr;     // the next one
  const uint32_t* safe_end_ = nullptr;  // before it ensure() holds
  const uint32_t* batch_end_ = nullptr;
  uint32_t tokens_ = 0;  // up to batch_end_
  uint32_t last_end_ = 0;
  uint32_t depth_ = 0;
  uint32_t media_bytes_ = 0;
  bool saw_reference_ = false;
  bool saw_id_ = false;
  bool first_ = false;  // just after an opening bracket
  bool failed_ = false;
  core::ErrorCode error_ = core::ErrorCode::body_not_json;
  TokenIndex index_;
};

// ---- implementation: small, and called for every key ----

// At an opening quote. The position after it is the closing one: TokenIndex lists nothing in between.
inline bool JsonCursor::skip_string() {
  const uint32_t close = token_[1];
  if (close <= token_[0]) return fail();  // beyond the document
  last_end_ = close + 1;
  token_ += 2;
  return true;
}

inline bool JsonCursor::string_here(JsonString& string) {
  const uint32_t* open = token_;
  if (byte() != '"' || !skip_string()) return fail();
  string_at(open, string);
  return true;
}

inline bool JsonCursor::read_string(JsonString& string) {
  return ensure() && string_here(string);
}

inline bool JsonCursor::skip_value() {
  if (!ensure()) return false;
  switch (byte()) {
    case '"':
      return skip_string();
    case '{':
    case '[':
      return skip_container();
    case 't':
    case 'f':
    case 'n':
      return literal();
    default:
      return number();
  }
}

inline bool JsonCursor::open(char bracket) {
  if (!ensure()) return false;
  if (byte() != static_cast<uint8_t>(bracket)) return fail();
  if (++depth_ > core::limits::kMaxJsonDepth) return fail(core::ErrorCode::body_too_deep);
  last_end_ = *token_ + 1;
  ++token_;
  first_ = true;
  return true;
}

// Stands at the item after the comma, or before the first one. False at the closing bracket or on error.
inline bool JsonCursor::next_item(char bracket) {
  if (!ensure()) return false;
  const bool first = first_;
  first_ = false;
  if (byte() == static_cast<uint8_t>(bracket)) {
    last_end_ = *token_ + 1;
    ++token_;
    --depth_;
    return false;
  }
  if (first) return true;
  if (byte() != ',') return fail();
  ++token_;
  return true;
}

[[gnu::always_inline]] inline bool JsonCursor::next_member(JsonString& key) {
  if (!next_item('}') || !string_here(key)) return false;
  if (byte() != ':') return fail();
  ++token_;
  return true;
}

inline bool JsonCursor::next_element() {
  return next_item(']');
}

// Which of the open containers are objects.
class ContainerStack {
 public:
  void push(bool object) {
    high_ = high_ << 1 | low_ >> 63;
    low_ = low_ << 1 | (object ? 1 : 0);
  }
  void pop() {
    low_ = low_ >> 1 | high_ << 63;
    high_ >>= 1;
  }
  bool in_object() const { return (low_ & 1) != 0; }

 private:
  uint64_t low_ = 0;  // bit 0 is the innermost one
  uint64_t high_ = 0;
};
static_assert(core::limits::kMaxJsonDepth <= 128, "ContainerStack holds 128");

// At an opening bracket. The grammar as a loop. The position is kept in a local: through `this` every token
// would wait for the store of the one before.
template <typename Visitor>
bool JsonCursor::walk_container(Visitor& visitor) {
  const uint8_t* const document = document_.data();
  const uint32_t* token = token_;
  const uint32_t* safe_end = safe_end_;
  uint32_t depth = 0;
  ContainerStack stack;

  const auto ensure_here = [&] {
    if (token < safe_end) [[likely]]
      return true;
    token_ = token;
    if (!refill()) return false;
    token = token_;
    safe_end = safe_end_;
    return true;
  };

begin_container:
  if (++depth + depth_ > core::limits::kMaxJsonDepth) return fail(core::ErrorCode::body_too_deep);
  stack.push(document[*token] == '{');
  if (document[token[1]] == (stack.in_object() ? '}' : ']')) {
    ++token;
    goto end_container;
  }

item:  // at the bracket or comma before it; up to seven positions are read from here on
  if (!ensure_here()) return false;
  ++token;
  if (stack.in_object()) {
    const uint32_t* const key = token;
    if (document[key[0]] != '"' || key[1] <= key[0] || document[key[2]] != ':') return fail();
    token += 3;
    const bool is_string = document[*token] == '"';
    if (is_string && may_be_source(document[key[0] + 1]) && token[1] > token[0])
      note_source({key[0] + 1, key[1]}, {token[0] + 1, token[1]});
    if constexpr (Visitor::kVisits) {
      if (depth == 2 && visitor.wants(document[key[0] + 1])) {
        if (is_string && token[1] <= token[0]) return fail();
        JsonString name;
        JsonString value;
        string_at(key, name);
        if (is_string) string_at(token, value);
        if (!visitor.member(name, is_string ? &value : nullptr)) return false;
      }
    }
  } else if constexpr (Visitor::kVisits) {
    if (depth == 1 && !visitor.begin_element(*token, document[*token] == '{')) return false;
  }
  switch (document[*token]) {
    case '"':
      if (token[1] <= token[0]) return fail();  // beyond the document
      token += 2;
      break;
    case '{':
    case '[':
      goto begin_container;
    case 't':
    case 'f':
    case 'n':
      if (literal_end(*token++) == 0) return fail();
      break;
    default:
      if (number_end(*token++) == 0) return fail();
  }

after_value:
  if (document[*token] == ',') goto item;
  if (document[*token] != (stack.in_object() ? '}' : ']')) return fail();

end_container:
  stack.pop();
  ++token;
  if (--depth != 0) {
    if constexpr (Visitor::kVisits) {
      if (depth == 1) visitor.end_element(token[-1] + 1);
    }
    if (!ensure_here()) return false;
    goto after_value;
  }
  last_end_ = token[-1] + 1;
  token_ = token;
  return true;
}

}  // namespace weir::routing
