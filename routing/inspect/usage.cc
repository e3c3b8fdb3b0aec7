#include "routing/inspect/usage.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>

#include "routing/inspect/json_cursor.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace weir::routing {
namespace {

constexpr int64_t kMaxReportedTokens = int64_t{1} << 40;  // more is a fault of the provider's, not a count

// ---- five-letter keys: "usage", "error", "model" ----

constexpr uint32_t kKeyBytes = 7;

// The seven bytes of a quoted five-letter word as a number.
constexpr uint64_t quoted(std::string_view word) {
  uint64_t bytes = uint64_t{'"'} | uint64_t{'"'} << 48;
  for (size_t i = 0; i < 5; ++i) bytes |= uint64_t{static_cast<uint8_t>(word[i])} << (8 * (i + 1));
  return bytes;
}
constexpr uint64_t kUsageKey = quoted("usage");
constexpr uint64_t kErrorKey = quoted("error");
constexpr uint64_t kModelKey = quoted("model");

uint64_t load_key(const uint8_t* at) {
  static_assert(std::endian::native == std::endian::little);
  uint32_t low;
  uint32_t high;
  std::memcpy(&low, at, 4);
  std::memcpy(&high, at + 3, 4);
  return low | uint64_t{high} << 24;
}

// The next position at or after `from` with a quote there and another six bytes on; `size` if there is none.
uint32_t find_quoted(const uint8_t* data, uint32_t from, uint32_t size) {
  uint32_t at = from;
#if defined(__SSE2__)
  const __m128i quote = _mm_set1_epi8('"');
  for (; at + 16 + kKeyBytes - 1 <= size; at += 16) {
    const __m128i first = _mm_loadu_si128(reinterpret_cast<const __m128i*>(data + at));
    const __m128i second = _mm_loadu_si128(reinterpret_cast<const __m128i*>(data + at + kKeyBytes - 1));
    const int both =
        _mm_movemask_epi8(_mm_and_si128(_mm_cmpeq_epi8(first, quote), _mm_cmpeq_epi8(second, quote)));
    if (both != 0) return at + static_cast<uint32_t>(__builtin_ctz(static_cast<uint32_t>(both)));
  }
#endif
  for (; at + kKeyBytes <= size; ++at) {
    if (data[at] == '"' && data[at + kKeyBytes - 1] == '"') return at;
  }
  return size;
}

// Calls visit(at) for all of them, in order. Inspector::kPadding bytes must be readable after the data, so
// that every block is whole.
template <typename Visit>
inline void for_each_quoted(std::span<const uint8_t> data, Visit visit) {
  const auto size = static_cast<uint32_t>(data.size());
#if defined(__SSE2__)
  if (size < kKeyBytes) return;
  const uint32_t last = size - kKeyBytes;  // where one may stand
  const __m128i quote = _mm_set1_epi8('"');
  for (uint32_t at = 0; at <= last; at += 16) {
    const __m128i first = _mm_loadu_si128(reinterpret_cast<const __m128i*>(data.data() + at));
    const __m128i second =
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(data.data() + at + kKeyBytes - 1));
    auto both = static_cast<uint32_t>(
        _mm_movemask_epi8(_mm_and_si128(_mm_cmpeq_epi8(first, quote), _mm_cmpeq_epi8(second, quote))));
    for (; both != 0; both &= both - 1) {
      const uint32_t found = at + static_cast<uint32_t>(std::countr_zero(both));
      if (found <= last) visit(found);
    }
  }
#else
  for (uint32_t at = find_quoted(data.data(), 0, size); at < size;
       at = find_quoted(data.data(), at + 1, size))
    visit(at);
#endif
}

bool is_blank(uint8_t byte) {
  return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

// Where the value of a key begins whose closing quote is just before `at`; where it is no key, the byte after
// the blanks; the size at the end.
uint32_t value_after(std::span<const uint8_t> data, uint32_t at) {
  const auto size = static_cast<uint32_t>(data.size());
  while (at < size && is_blank(data[at])) ++at;
  if (at == size || data[at] != ':') return at;
  ++at;
  while (at < size && is_blank(data[at])) ++at;
  return at;
}

// Whether the string that ends just before `at` is a key.
bool names_a_value(std::span<const uint8_t> data, uint32_t at) {
  while (at < data.size() && is_blank(data[at])) ++at;
  return at < data.size() && data[at] == ':';
}

// What a document holds, by its unescaped five-letter keys at any depth.
struct Hints {
  uint32_t usage_keys = 0;
  uint32_t usage_key_at = 0;  // the opening quote of the first one
  uint32_t usage_objects = 0;
  uint32_t usage_at = 0;  // the '{' of the last one
  uint32_t models = 0;
  uint32_t model_at = 0;  // the opening quote of the value of the last one
  bool error = false;     // as a key with something else than null, or as a value
};

Hints find_hints(std::span<const uint8_t> data) {
  Hints hints;
  const auto size = static_cast<uint32_t>(data.size());
  for_each_quoted(data, [&](uint32_t at) {
    const uint64_t key = load_key(data.data() + at);
    if (key != kUsageKey && key != kErrorKey && key != kModelKey) return;
    if (at != 0 && data[at - 1] == '\\') return;
    const uint32_t value_at = value_after(data, at + kKeyBytes);
    const uint8_t value = value_at < size ? data[value_at] : uint8_t{0};
    if (key == kErrorKey) {
      hints.error |= value != 'n';
    } else if (key == kUsageKey) {
      if (!names_a_value(data, at + kKeyBytes)) return;  // the text "usage"
      if (hints.usage_keys++ == 0) hints.usage_key_at = at;
      if (value == '{') ++hints.usage_objects, hints.usage_at = value_at;
    } else if (value == '"') {
      ++hints.models, hints.model_at = value_at;
    }
  });
  return hints;
}

// ---- exact reading ----

std::optional<int64_t> to_count(std::string_view text) {
  int64_t value = 0;
  for (const char digit : text) {
    if (digit < '0' || digit > '9') return std::nullopt;
    value = value * 10 + (digit - '0');
    if (value > kMaxReportedTokens) return std::nullopt;
  }
  return value;
}

// Which count a key names. `inner`: inside one of the details objects.
int64_t* count_named(Usage& usage, std::string_view key, bool inner) {
  if (inner) {
    if (key == "cached_tokens") return &usage.cached_input;
    if (key == "reasoning_tokens") return &usage.reasoning;
    return nullptr;
  }
  if (key == "prompt_tokens" || key == "input_tokens") return &usage.input;
  if (key == "completion_tokens" || key == "output_tokens") return &usage.output;
  return nullptr;
}

bool read_counts(JsonCursor& cursor, Usage& usage, bool inner) {
  cursor.open_object();
  JsonString key;
  while (cursor.next_member(key)) {
    const std::optional<JsonType> type = cursor.type();
    if (!type) return false;
    if (*type == JsonType::object && !inner) {
      if (!read_counts(cursor, usage, true)) return false;
      continue;
    }
    int64_t* count = count_named(usage, key.inside(), inner);
    if (count == nullptr || *type != JsonType::number) {
      if (!cursor.skip_value()) return false;
      continue;
    }
    std::string_view text;
    if (!cursor.read_number(text)) return false;
    if (const std::optional<int64_t> value = to_count(text)) {
      *count = *value;
      usage.present |= !inner;
    }
  }
  return !cursor.failed();
}

// What one document says.
struct Answer {
  Usage usage;
  std::string_view model;
  std::string_view type;
  bool has_choices = false;
  bool choices_empty = false;
  bool content = false;
  bool refusal = false;
  bool error = false;
};

// Reads a string if there is one, else skips.
bool read_text(JsonCursor& cursor, std::string_view& text) {
  const std::optional<JsonType> type = cursor.type();
  if (!type) return false;
  if (*type != JsonType::string) return cursor.skip_value();
  JsonString string;
  if (!cursor.read_string(string)) return false;
  text = string.inside();
  return true;
}

// Is the value at the cursor a non-empty string, object or array? Skips it.
bool skip_filled(JsonCursor& cursor, bool& filled) {
  const std::optional<JsonType> type = cursor.type();
  if (!type) return false;
  const uint32_t begin = cursor.value_begin();
  if (!cursor.skip_value()) return false;
  const bool can_hold = *type == JsonType::string || *type == JsonType::object || *type == JsonType::array;
  filled |= can_hold && cursor.last_end() - begin > 2;
  return true;
}

bool bears_token(std::string_view key) {
  return key == "content" || key == "refusal" || key == "reasoning_content" || key == "reasoning" ||
         key == "tool_calls" || key == "function_call" || key == "audio";
}

// {"delta":{"content":...}} of a stream, {"text":...} of completions, {"message":{"content":...}} of a plain
// answer.
bool read_choice(JsonCursor& cursor, Answer& answer) {
  const std::optional<JsonType> type = cursor.type();
  if (!type) return false;
  if (*type != JsonType::object) return cursor.skip_value();
  cursor.open_object();
  JsonString key;
  while (cursor.next_member(key)) {
    const std::string_view name = key.inside();
    const std::optional<JsonType> member = cursor.type();
    if (!member) return false;
    if ((name == "delta" || name == "message") && *member == JsonType::object) {
      cursor.open_object();
      JsonString inner;
      while (cursor.next_member(inner)) {
        bool filled = false;
        if (!(bears_token(inner.inside()) ? skip_filled(cursor, filled) : cursor.skip_value())) return false;
        answer.content |= filled;
        answer.refusal |= filled && inner.inside() == "refusal";
      }
      if (cursor.failed()) return false;
    } else if (!(name == "text" ? skip_filled(cursor, answer.content) : cursor.skip_value())) {
      return false;
    }
  }
  return !cursor.failed();
}

bool read_choices(JsonCursor& cursor, Answer& answer) {
  const std::optional<JsonType> type = cursor.type();
  if (!type) return false;
  if (*type != JsonType::array) return cursor.skip_value();
  answer.has_choices = answer.choices_empty = true;
  cursor.open_array();
  while (cursor.next_element()) {
    answer.choices_empty = false;
    if (!read_choice(cursor, answer)) return false;
  }
  return !cursor.failed();
}

// The members of an answer, or of the `response` object inside a responses event.
bool read_answer(JsonCursor& cursor, Answer& answer, bool inner) {
  bool delta = false;
  cursor.open_object();
  JsonString key;
  while (cursor.next_member(key)) {
    const std::string_view name = key.inside();
    const std::optional<JsonType> type = cursor.type();
    if (!type) return false;
    bool read = true;
    if (name == "usage" && *type == JsonType::object) {
      Usage usage;  // the last one counts whole: two are not one made of their parts
      read = read_counts(cursor, usage, false);
      if (usage.present) answer.usage = usage;
    } else if (name == "choices" && !inner) {
      read = read_choices(cursor, answer);
    } else if (name == "model") {
      read = read_text(cursor, answer.model);
    } else if (name == "type" && !inner) {
      read = read_text(cursor, answer.type);
    } else if (name == "response" && !inner && *type == JsonType::object) {
      read = read_answer(cursor, answer, true);
    } else if (name == "delta" && !inner) {
      read = skip_filled(cursor, delta);
    } else {
      if (name == "error") answer.error |= *type != JsonType::null;
      read = cursor.skip_value();
    }
    if (!read) return false;
  }
  answer.content |= delta && answer.type.ends_with(".delta");
  answer.refusal |= delta && answer.type == "response.refusal.delta";
  return !cursor.failed();
}

}  // namespace

int64_t cost(const Usage& usage, const Price& price) {
  __extension__ using Wide = __int128;
  const Wide input = std::max<int64_t>(usage.input, 0);
  const Wide cached = std::clamp<int64_t>(usage.cached_input, 0, std::max<int64_t>(usage.input, 0));
  const Wide output = std::max<int64_t>(usage.output, 0);
  constexpr Wide kMillion = 1'000'000;
  constexpr Wide kMost = std::numeric_limits<int64_t>::max();
  // At most two products of 63-bit numbers (cached input is part of the input): below 2^127.
  const Wide sum = (input - cached) * price.input + cached * price.cached_input + output * price.output;
  if (sum <= 0) return 0;
  return static_cast<int64_t>(std::min((sum + kMillion - 1) / kMillion, kMost));
}

void UsageReader::keep_model(std::string_view name) {
  if (model_size_ != 0 || name.empty()) return;
  model_size_ = static_cast<uint8_t>(std::min<size_t>(name.size(), kMaxModelBytes));
  std::memcpy(model_.data(), name.data(), model_size_);
}

void UsageReader::take(const Usage& usage) {
  if (usage.present) usage_ = usage;
}

bool UsageReader::read_exactly(std::span<const uint8_t> data, EventFacts& facts) {
  JsonCursor cursor(data);
  const std::optional<JsonType> root = cursor.type();
  if (!root || *root != JsonType::object) return false;
  Answer answer;
  if (!read_answer(cursor, answer, false) || !cursor.finish()) return false;
  take(answer.usage);
  keep_model(answer.model);
  facts.usage = answer.usage.present;
  facts.usage_only = answer.usage.present && answer.has_choices && answer.choices_empty;
  facts.content = answer.content;
  facts.refusal = answer.refusal;
  facts.error = answer.error;
  if (endpoint_ == Endpoint::responses) {
    const bool failed = answer.type == "error" || answer.type == "response.failed";
    facts.error |= failed;
    facts.terminal = failed || answer.type == "response.completed" || answer.type == "response.incomplete";
  }
  return true;
}

EventFacts UsageReader::read_event(std::span<const uint8_t> data) {
  EventFacts facts;
  usage_key_ = kNoUsageKey;
  if (data.empty()) return facts;
  const Hints hints = find_hints(data);
  if (hints.usage_keys != 0) usage_key_ = hints.usage_key_at;
  size_t begin = 0;  // "data:  {", with more than the one blank that is no part of the data
  while (begin < data.size() && is_blank(data[begin])) ++begin;
  if (begin == data.size() || data[begin] != '{') return facts;
  const bool lifecycle = endpoint_ == Endpoint::responses && hints.usage_keys != 0;
  if (saw_content_ && hints.usage_objects == 0 && !hints.error && !lifecycle) return facts;
  read_exactly(data, facts);
  saw_content_ |= facts.content;
  saw_error_ |= facts.error;
  return facts;
}

// ---- plain bodies ----

// Most answers name usage and model once, so that there is no doubt which ones count and nothing else has to
// be read.
bool UsageReader::read_plainly(std::span<const uint8_t> body) {
  const Hints hints = find_hints(body);
  if (hints.error || hints.usage_objects > 1 || hints.models > 1) return false;
  if (hints.usage_objects == 1) {
    JsonCursor cursor(body.subspan(hints.usage_at));
    Usage usage;
    if (!read_counts(cursor, usage, false)) return false;
    take(usage);
  }
  if (hints.models == 1) {
    const std::string_view rest(reinterpret_cast<const char*>(body.data()) + hints.model_at + 1,
                                body.size() - hints.model_at - 1);
    keep_model(rest.substr(0, rest.find_first_of("\"\\")));
  }
  return true;
}

void UsageReader::feed(std::span<const uint8_t> piece, Position position) {
  if (position == Position::whole && piece.size() <= kMaxExactBytes) {
    EventFacts facts;
    if (read_plainly(piece)) return;
    if (read_exactly(piece, facts)) {
      saw_error_ |= facts.error;
      return;
    }
  }
  if (position == Position::whole || position == Position::first) {
    phase_ = Phase::searching;
    carry_size_ = 0;
  }
  search(piece);
}

void UsageReader::search(std::span<const uint8_t> piece) {
  const auto size = static_cast<uint32_t>(piece.size());
  uint32_t at = 0;
  if (phase_ == Phase::searching && carry_size_ != 0) {
    // A key that is split: its first bytes are the carry's, the rest begins the piece.
    std::array<uint8_t, kCarryBytes + kKeyBytes> joined;
    const uint32_t more = std::min(size, kKeyBytes - 1);
    std::memcpy(joined.data(), carry_.data(), carry_size_);
    std::memcpy(joined.data() + carry_size_, piece.data(), more);
    const uint32_t joined_size = carry_size_ + more;
    for (uint32_t i = find_quoted(joined.data(), 0, joined_size); i < joined_size;
         i = find_quoted(joined.data(), i + 1, joined_size)) {
      if (i >= carry_size_ || i + kKeyBytes <= carry_size_) continue;  // all in the piece; or seen before
      if (i != 0 && joined[i - 1] == '\\') continue;
      const uint64_t key = load_key(joined.data() + i);
      if (key != kUsageKey && key != kModelKey) continue;
      start(key == kUsageKey ? 'u' : 'm');
      at = i + kKeyBytes - carry_size_;
      break;
    }
  }
  for (;;) {
    if (phase_ != Phase::searching) at += follow(piece.subspan(at));
    if (phase_ != Phase::searching) {
      carry_size_ = 0;
      return;
    }
    const uint32_t found = find_quoted(piece.data(), at, size);
    if (found == size) break;
    const uint64_t key = load_key(piece.data() + found);
    const bool escaped =
        found != 0 ? piece[found - 1] == '\\' : carry_size_ != 0 && carry_[carry_size_ - 1] == '\\';
    at = found + 1;
    if (escaped || (key != kUsageKey && key != kModelKey)) continue;
    start(key == kUsageKey ? 'u' : 'm');
    at = found + kKeyBytes;
  }
  // Bytes from `at` on have been searched too, but a key may begin in the last of them.
  const uint32_t kept = std::min(size, kCarryBytes);
  if (kept < kCarryBytes) {
    const uint32_t old = std::min<uint32_t>(carry_size_, kCarryBytes - kept);
    std::memmove(carry_.data(), carry_.data() + carry_size_ - old, old);
    carry_size_ = static_cast<uint8_t>(old);
  } else {
    carry_size_ = 0;
  }
  std::memcpy(carry_.data() + carry_size_, piece.data() + size - kept, kept);
  carry_size_ = static_cast<uint8_t>(carry_size_ + kept);
}

void UsageReader::start(uint8_t letter) {
  if (letter == 'm' && model_size_ != 0) return;
  phase_ = letter == 'u' ? Phase::usage_colon : Phase::model_colon;
}

// Takes bytes until the phase is searching again or they are used up; returns how many were taken.
uint32_t UsageReader::follow(std::span<const uint8_t> bytes) {
  uint32_t at = 0;
  while (at < bytes.size() && phase_ != Phase::searching) {
    const Phase before = phase_;
    follow_byte(bytes[at]);
    // A byte that ends the attempt may begin the next key.
    const bool gave_up =
        phase_ == Phase::searching && before != Phase::usage_object && before != Phase::model_text;
    if (gave_up) break;
    ++at;
  }
  return at;
}

void UsageReader::follow_byte(uint8_t byte) {
  switch (phase_) {
    case Phase::searching:
      return;
    case Phase::usage_object:
      follow_object(byte);
      return;
    case Phase::model_text:
      if (byte == '"' || byte == '\\') {
        phase_ = Phase::searching;
      } else if (model_size_ < kMaxModelBytes) {
        model_[model_size_++] = static_cast<char>(byte);
      }
      return;
    default:
      break;
  }
  if (is_blank(byte)) return;
  switch (phase_) {
    case Phase::usage_colon:
      phase_ = byte == ':' ? Phase::usage_value : Phase::searching;
      return;
    case Phase::model_colon:
      phase_ = byte == ':' ? Phase::model_value : Phase::searching;
      return;
    case Phase::model_value:
      phase_ = byte == '"' ? Phase::model_text : Phase::searching;
      return;
    default:
      break;
  }
  phase_ = Phase::searching;
  if (byte != '{') return;
  phase_ = Phase::usage_object;
  object_bytes_ = 1;
  depth_ = 1;
  array_depth_ = 0;
  in_string_ = escaped_ = has_number_ = false;
  key_size_ = 0;
  found_ = {};
}

void UsageReader::follow_object(uint8_t byte) {
  if (++object_bytes_ > core::limits::kMaxUsageBytes) {
    phase_ = Phase::searching;
    return;
  }
  if (in_string_) {
    if (escaped_) {
      escaped_ = false;
    } else if (byte == '\\') {
      escaped_ = true;
    } else if (byte == '"') {
      in_string_ = false;
      return;
    }
    if (key_size_ < kMaxKeyBytes) {
      key_[key_size_++] = static_cast<char>(byte);
    } else {
      key_size_ = kMaxKeyBytes + 1;
    }
    return;
  }
  if (byte >= '0' && byte <= '9') {
    if (!has_number_) number_ = 0;
    has_number_ = true;
    if (number_ >= 0) number_ = number_ * 10 + (byte - '0');
    if (number_ > kMaxReportedTokens) number_ = -1;
    return;
  }
  switch (byte) {
    case '"':
      in_string_ = true;
      key_size_ = 0;
      return;
    case '-':
    case '+':
    case '.':
    case 'e':
    case 'E':  // no plain count
      has_number_ = true;
      number_ = -1;
      return;
    case '{':
    case '[':
      if (++depth_ > core::limits::kMaxJsonDepth) phase_ = Phase::searching;
      if (byte == '[' && array_depth_ == 0) array_depth_ = depth_;
      return;
    case '}':
    case ']':
      end_number();
      if (depth_ == array_depth_) array_depth_ = 0;
      if (--depth_ == 0) {
        take(found_);
        phase_ = Phase::searching;
      }
      return;
    default:
      end_number();
  }
}

void UsageReader::end_number() {
  if (!has_number_) return;
  has_number_ = false;
  if (number_ < 0 || key_size_ > kMaxKeyBytes || depth_ > 2 || array_depth_ != 0) return;
  if (int64_t* count = count_named(found_, {key_.data(), key_size_}, depth_ == 2)) {
    *count = number_;
    found_.present |= depth_ == 1;
  }
}

}  // namespace weir::routing
