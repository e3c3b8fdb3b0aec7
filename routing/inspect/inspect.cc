#include "routing/inspect/inspect.h"

#include <algorithm>

namespace weir::routing {

using core::ErrorCode;
namespace limits = core::limits;

namespace {

constexpr uint64_t bit_of(FieldName name) {
  return uint64_t{1} << static_cast<unsigned>(name);
}
static_assert(kFieldNameCount <= 64);

// What the provider turns into prompt tokens.
constexpr uint64_t kInputFields = bit_of(FieldName::messages) | bit_of(FieldName::input) |
                                  bit_of(FieldName::prompt) | bit_of(FieldName::instructions) |
                                  bit_of(FieldName::tools) | bit_of(FieldName::functions) |
                                  bit_of(FieldName::response_format) | bit_of(FieldName::text);

constexpr uint32_t kEscapeBytes = 6;  // an escape is at most six times as long as the text it stands for

// Nested names that weir compares are short; a key that could still match one once unescaped fits in this.
constexpr uint32_t kMaxNestedNameBytes = 20;

// Longest escaped form of a role that counts.
constexpr size_t kMaxRoleBytes = 9 * kEscapeBytes;

bool is_system_role(const JsonString& role) {
  std::string_view text = role.inside();
  std::array<uint8_t, kMaxRoleBytes> room;
  if (role.escaped) {
    if (text.size() > room.size()) return false;
    ScratchWriter unescaped(room);
    unescape_json_string(role.inside(), unescaped);
    text = unescaped.text(0, unescaped.size());
  }
  return match_name(text, "system") != NameMatch::none || match_name(text, "developer") != NameMatch::none;
}

}  // namespace

// One pass over one body. Functions return false once `error_` or the cursor has failed.
class Inspector::Walk {
 public:
  Walk(Inspection& out, std::span<uint8_t> scratch, Endpoint endpoint, std::span<const uint8_t> body)
      : out_(out), cursor_(body), scratch_(scratch) {
    out.endpoint = endpoint;
    out.field_count = 0;
    out.model = out.user = out.safety_identifier = out.conversation = {};
    out.stream = out.include_usage_requested = false;
    out.include_usage = {};
    out.stream_options_begin = 0;
    out.stream_options_empty = false;
    out.n = out.best_of = 0;
    out.max_tokens = out.max_completion_tokens = out.max_output_tokens = 0;
    out.input_bytes = out.media_bytes = 0;
    out.prompt_count = 1;
    out.message_count = out.messages_begin = out.messages_end = 0;
    out.system_message_count = 0;
    out.more_system_messages = false;
    out.tool_count = out.tools_begin = out.tools_end = 0;
    out.present = 0;
  }

  bool run() {
    const std::optional<JsonType> root = cursor_.type();
    if (!root) return false;
    if (*root != JsonType::object) return cursor_.fail(ErrorCode::body_not_object);
    out_.object_begin = cursor_.value_begin();
    cursor_.open_object();
    JsonString key;
    while (cursor_.next_member(key)) {
      if (!member(key)) return false;
    }
    out_.object_end = cursor_.last_end();
    if (!cursor_.finish()) return false;
    if (out_.endpoint == Endpoint::chat_completions && out_.messages_begin == 0) {
      return refuse(ErrorCode::missing_field, FieldName::messages);
    }
    out_.input_elsewhere = cursor_.saw_reference() || (out_.endpoint == Endpoint::responses && is_continued());
    for (const std::string_view candidate :
         {metadata_conversation_, conversation_, previous_response_, cache_key_}) {
      if (out_.conversation.empty()) out_.conversation = candidate;
    }
    return true;
  }

  core::Error error() const { return {cursor_.error(), param_}; }

 private:
  // Of responses: whether the provider adds what it has kept.
  bool is_continued() const {
    const Field* prompt = out_.field(FieldName::prompt);
    return !previous_response_.empty() || !conversation_.empty() || cursor_.saw_id() ||
           (prompt != nullptr && prompt->type != JsonType::null);
  }

  bool refuse(ErrorCode code, FieldName name) {
    if (!cursor_.failed() && name != FieldName::other) param_ = to_string(name);
    return cursor_.fail(code);
  }

  // ---- top level ----

  // A member whose key has just been read.
  bool member(const JsonString& key) {
    if (out_.field_count == limits::kMaxTopLevelFields) return cursor_.fail(ErrorCode::field_too_long);
    Field& field = out_.fields[out_.field_count];
    field.key_begin = cursor_.offset_of(key.data) - 1;
    field.key = key.inside();
    // The well-meant case first. Escaped keys are never equal to a known name as they stand.
    field.name = exact_field_name(key.inside(), field.key_hash);
    if (field.name == FieldName::other) {
      if (!unusual_key(key, field)) return false;
    } else {
      const uint64_t bit = bit_of(field.name);
      if ((out_.present & bit) != 0) return refuse(ErrorCode::duplicate_field, field.name);
      out_.present |= bit;
      out_.position[static_cast<unsigned>(field.name)] = static_cast<uint16_t>(out_.field_count);
    }
    const std::optional<JsonType> type = cursor_.type();
    if (!type) return false;
    field.type = *type;
    field.value_begin = cursor_.value_begin();
    const uint32_t media_before = cursor_.media_bytes();
    if (!value(field)) return false;
    field.value_end = cursor_.last_end();
    if (field.name != FieldName::other && (bit_of(field.name) & kInputFields) != 0) {
      out_.input_bytes += field.value_end - field.value_begin;
      out_.media_bytes += cursor_.media_bytes() - media_before;
    }
    ++out_.field_count;
    return true;
  }

  // A key that is no known name as it stands: escaped, in another case, or of a field weir does not know.
  bool unusual_key(const JsonString& key, Field& field) {
    if (key.escaped && !unescape_key(key, field.key)) return false;
    if (field.key.size() > limits::kMaxKeyBytes) return cursor_.fail(ErrorCode::field_too_long);
    field.key_hash = key_hash(field.key);
    field.name = folded_field_name(field.key, field.key_hash);
    if (field.name != FieldName::other) {
      if ((out_.present & bit_of(field.name)) != 0) return refuse(ErrorCode::duplicate_field, field.name);
      if (field.key != to_string(field.name)) return refuse(ErrorCode::ambiguous_field, field.name);
      out_.present |= bit_of(field.name);
      out_.position[static_cast<unsigned>(field.name)] = static_cast<uint16_t>(out_.field_count);
      return true;
    }
    const uint64_t bit = uint64_t{1} << (field.key_hash & 63);
    if ((other_keys_ & bit) != 0 && out_.find(field.key, field.key_hash) != nullptr) {
      return cursor_.fail(ErrorCode::duplicate_field);
    }
    other_keys_ |= bit;
    return true;
  }

  bool unescape_key(const JsonString& key, std::string_view& text) {
    if (key.size > limits::kMaxKeyBytes * kEscapeBytes || !unescape(key.inside(), text)) {
      return cursor_.fail(ErrorCode::field_too_long);
    }
    // A server that keeps keys as C strings would read a different one.
    if (text.find('\0') != std::string_view::npos) return cursor_.fail(ErrorCode::ambiguous_field);
    return true;
  }

  bool value(const Field& field) {
    const bool chat = out_.endpoint == Endpoint::chat_completions;
    const bool responses = out_.endpoint == Endpoint::responses;
    switch (field.name) {
      case FieldName::model:
        return text(field, limits::kMaxModelBytes, out_.model);
      case FieldName::user:
        return text(field, limits::kMaxIdentifierBytes, out_.user);
      case FieldName::safety_identifier:
        return text(field, limits::kMaxIdentifierBytes, out_.safety_identifier);
      case FieldName::previous_response_id:
        return text(field, limits::kMaxIdentifierBytes, previous_response_);
      case FieldName::prompt_cache_key:
        return text(field, limits::kMaxIdentifierBytes, cache_key_);
      case FieldName::conversation:
        return conversation(field);
      case FieldName::metadata:
        return metadata(field);
      case FieldName::stream:
        return flag(field, out_.stream);
      case FieldName::stream_options:
        return stream_options(field);
      case FieldName::n:
        return count(field, out_.n);
      case FieldName::best_of:
        return count(field, out_.best_of);
      case FieldName::max_tokens:
        return count(field, out_.max_tokens);
      case FieldName::max_completion_tokens:
        return count(field, out_.max_completion_tokens);
      case FieldName::max_output_tokens:
        return count(field, out_.max_output_tokens);
      case FieldName::messages:
        return chat ? messages(field) : cursor_.skip_value();
      case FieldName::tools:
        return chat || responses ? tools(field) : cursor_.skip_value();
      case FieldName::prompt:
        return out_.endpoint == Endpoint::completions ? prompts(field) : cursor_.skip_value();
      case FieldName::instructions:
        if (responses && field.type != JsonType::string && field.type != JsonType::null) {
          return refuse(ErrorCode::bad_field_type, field.name);
        }
        return cursor_.skip_value();
      case FieldName::service_tier:
        return service_tier(field);
      case FieldName::background:
        return responses ? background(field) : cursor_.skip_value();
      default:
        return cursor_.skip_value();
    }
  }

  // ---- scalars ----

  bool unescape(std::string_view inside, std::string_view& text) {
    const uint32_t begin = scratch_.size();
    unescape_json_string(inside, scratch_);
    text = scratch_.text(begin, scratch_.size());
    return !scratch_.overflowed();
  }

  // A string (or null, for absent) of at most `max_bytes`, at the cursor; faults are the field's.
  bool text_here(FieldName name, JsonType type, uint32_t max_bytes, std::string_view& text) {
    if (type == JsonType::null) return cursor_.read_null();
    if (type != JsonType::string) return refuse(ErrorCode::bad_field_type, name);
    JsonString string;
    if (!cursor_.read_string(string)) return false;
    text = string.inside();
    if (string.escaped) {
      if (string.size > uint64_t{max_bytes} * kEscapeBytes || !unescape(string.inside(), text)) {
        return refuse(ErrorCode::field_too_long, name);
      }
      if (text.find('\0') != std::string_view::npos) return refuse(ErrorCode::bad_field_type, name);
    }
    if (text.size() > max_bytes) return refuse(ErrorCode::field_too_long, name);
    return true;
  }
  bool text(const Field& field, uint32_t max_bytes, std::string_view& text) {
    return text_here(field.name, field.type, max_bytes, text);
  }

  bool flag_here(FieldName name, JsonType type, bool& flag) {
    if (type == JsonType::null) return cursor_.read_null();
    if (type != JsonType::boolean) return refuse(ErrorCode::bad_field_type, name);
    return cursor_.read_bool(flag);
  }
  bool flag(const Field& field, bool& flag) { return flag_here(field.name, field.type, flag); }

  // A positive integer in plain digits.
  bool count(const Field& field, uint32_t& count) {
    if (field.type == JsonType::null) return cursor_.read_null();
    if (field.type != JsonType::number) return refuse(ErrorCode::bad_field_type, field.name);
    std::string_view digits;
    if (!cursor_.read_number(digits)) return false;
    uint64_t value = 0;
    for (const char digit : digits) {
      if (digit < '0' || digit > '9') return refuse(ErrorCode::bad_field_type, field.name);
      value = value * 10 + static_cast<uint64_t>(digit - '0');
      if (value > limits::kMaxCount) return refuse(ErrorCode::bad_field_type, field.name);
    }
    if (value == 0) return refuse(ErrorCode::bad_field_type, field.name);
    count = static_cast<uint32_t>(value);
    return true;
  }

  // ---- options whose cost cannot be counted ----

  // Other tiers have other prices.
  bool service_tier(const Field& field) {
    std::string_view tier;
    if (!text(field, limits::kMaxIdentifierBytes, tier)) return false;
    if (tier.empty() || tier == "auto" || tier == "default") return true;
    return refuse(ErrorCode::field_not_accepted, field.name);
  }

  // Its answer says nothing yet of what it will have cost.
  bool background(const Field& field) {
    bool background = false;
    if (!flag(field, background)) return false;
    return !background || refuse(ErrorCode::field_not_accepted, field.name);
  }

  // ---- nested control members ----

  // Does this key name the member `name`, which may come once? Refused for `field`: a second one, and one
  // that differs in case only. `result` says whether it does.
  bool is_member(const JsonString& key, std::string_view name, FieldName field, bool& seen, bool& result) {
    result = false;
    if (!key.escaped && match_name(key.inside(), name) == NameMatch::none) [[likely]]
      return true;
    std::string_view text = key.inside();
    std::array<uint8_t, kMaxNestedNameBytes * kEscapeBytes> room;
    if (key.escaped) {
      if (key.size > name.size() * kEscapeBytes) return true;
      ScratchWriter unescaped(room);
      unescape_json_string(key.inside(), unescaped);
      text = unescaped.text(0, unescaped.size());
    }
    switch (match_name(text, name)) {
      case NameMatch::none:
        return true;
      case NameMatch::differs_in_case:
        return refuse(ErrorCode::ambiguous_field, field);
      case NameMatch::exact:
        break;
    }
    if (seen) return refuse(ErrorCode::duplicate_field, field);
    seen = result = true;
    return true;
  }

  // An object whose member `name` is an identifier.
  bool identifier_inside(const Field& field, std::string_view name, std::string_view& identifier) {
    cursor_.open_object();
    JsonString key;
    bool seen = false;
    while (cursor_.next_member(key)) {
      bool wanted;
      if (!is_member(key, name, field.name, seen, wanted)) return false;
      if (!wanted) {
        if (!cursor_.skip_value()) return false;
        continue;
      }
      const std::optional<JsonType> type = cursor_.type();
      if (!type || !text_here(field.name, *type, limits::kMaxIdentifierBytes, identifier)) return false;
    }
    return !cursor_.failed();
  }

  bool conversation(const Field& field) {
    if (field.type == JsonType::object) return identifier_inside(field, "id", conversation_);
    return text(field, limits::kMaxIdentifierBytes, conversation_);
  }

  bool metadata(const Field& field) {
    if (field.type == JsonType::null) return cursor_.read_null();
    if (field.type != JsonType::object) return refuse(ErrorCode::bad_field_type, field.name);
    return identifier_inside(field, "conversation_id", metadata_conversation_);
  }

  bool stream_options(const Field& field) {
    if (field.type == JsonType::null) return cursor_.read_null();
    if (field.type != JsonType::object) return refuse(ErrorCode::bad_field_type, field.name);
    cursor_.open_object();
    out_.stream_options_begin = cursor_.last_end();
    out_.stream_options_empty = true;
    JsonString key;
    bool seen = false;
    while (cursor_.next_member(key)) {
      out_.stream_options_empty = false;
      bool wanted;
      if (!is_member(key, "include_usage", field.name, seen, wanted)) return false;
      if (!wanted) {
        if (!cursor_.skip_value()) return false;
        continue;
      }
      const std::optional<JsonType> type = cursor_.type();
      out_.include_usage.begin = type ? cursor_.value_begin() : 0;
      if (!type || !flag_here(field.name, *type, out_.include_usage_requested)) return false;
      out_.include_usage.end = cursor_.last_end();
    }
    return !cursor_.failed();
  }

  // ---- messages ----

  // Told by the cursor what is in the array.
  class MessageVisitor {
   public:
    static constexpr bool kVisits = true;

    MessageVisitor(Walk& walk, FieldName field) : walk_(walk), out_(walk.out_), field_(field) {}

    bool begin_element(uint32_t begin, bool is_object) {
      if (!is_object) return walk_.refuse(ErrorCode::bad_field_type, field_);
      if (before_is_recorded_) {
        out_.system_messages[out_.system_message_count - 1].next_begin = begin;
        before_is_recorded_ = false;
      }
      begin_ = begin;
      role_seen_ = system_ = false;
      return true;
    }

    bool wants(uint8_t first) const { return (first | 0x20) == 'r' || first == '\\' || first > 0x7f; }

    bool member(const JsonString& key, const JsonString* value) {
      if (key.inside() == "role" && !role_seen_) [[likely]] {
        role_seen_ = true;
      } else {
        bool is_role;
        if (!walk_.is_member(key, "role", field_, role_seen_, is_role)) return false;
        if (!is_role) return true;
      }
      if (value == nullptr) return walk_.refuse(ErrorCode::bad_field_type, field_);
      system_ = is_system_role(*value);
      return true;
    }

    void end_element(uint32_t end) {
      ++count_;
      if (system_) record(end);
      previous_end_ = end;
    }

    uint32_t count() const { return count_; }

   private:
    void record(uint32_t end) {
      if (out_.system_message_count == kMaxSystemMessages) {
        out_.more_system_messages = true;
        return;
      }
      Inspection::SystemMessage& message = out_.system_messages[out_.system_message_count++];
      message.range.begin = begin_;
      message.range.end = end;
      message.previous_end = previous_end_;
      message.next_begin = 0;
      before_is_recorded_ = true;
    }

    Walk& walk_;
    Inspection& out_;
    FieldName field_;
    uint32_t count_ = 0;
    uint32_t begin_ = 0;
    uint32_t previous_end_ = 0;
    bool role_seen_ = false;
    bool system_ = false;
    bool before_is_recorded_ = false;  // the message before is the last of system_messages
  };

  bool messages(const Field& field) {
    if (field.type == JsonType::null) return cursor_.read_null();
    if (field.type != JsonType::array) return refuse(ErrorCode::bad_field_type, field.name);
    MessageVisitor visitor(*this, field.name);
    if (!cursor_.read_objects(visitor)) return false;
    out_.messages_begin = field.value_begin + 1;
    out_.messages_end = cursor_.last_end() - 1;
    out_.message_count = visitor.count();
    return true;
  }

  // A prompt is a string or an array of tokens; an array of prompts holds strings or arrays.
  bool prompts(const Field& field) {
    if (field.type != JsonType::array) return cursor_.skip_value();
    cursor_.open_array();
    uint32_t prompts = 0;
    while (cursor_.next_element()) {
      const std::optional<JsonType> type = cursor_.type();
      if (!type) return false;
      if (*type == JsonType::string || *type == JsonType::array) ++prompts;
      if (!cursor_.skip_value()) return false;
    }
    out_.prompt_count = std::max(prompts, 1u);
    return !cursor_.failed();
  }

  // ---- tools ----

  bool tools(const Field& field) {
    if (field.type == JsonType::null) return cursor_.read_null();
    if (field.type != JsonType::array) return refuse(ErrorCode::bad_field_type, field.name);
    cursor_.open_array();
    out_.tools_begin = cursor_.last_end();
    while (cursor_.next_element()) {
      if (out_.tool_count == limits::kMaxTools) return refuse(ErrorCode::field_too_long, field.name);
      Tool& one = out_.tools[out_.tool_count];
      one.range.begin = cursor_.value_begin();
      if (!tool(field, one.name)) return false;
      one.range.end = cursor_.last_end();
      ++out_.tool_count;
    }
    out_.tools_end = cursor_.last_end() - 1;
    return !cursor_.failed();
  }

  // {"type":"function","function":{"name":...}} in chat completions, {"type":"function","name":...} in
  // responses.
  bool tool(const Field& field, std::string_view& name) {
    const std::optional<JsonType> type = cursor_.type();
    if (!type) return false;
    if (*type != JsonType::object) return refuse(ErrorCode::bad_field_type, field.name);
    const bool nested = out_.endpoint == Endpoint::chat_completions;
    std::string_view kind = "function";
    std::string_view function_name;
    bool type_seen = false;
    bool function_seen = false;
    cursor_.open_object();
    JsonString key;
    while (cursor_.next_member(key)) {
      bool is_type;
      bool is_function;
      if (!is_member(key, "type", field.name, type_seen, is_type)) return false;
      if (!is_member(key, nested ? "function" : "name", field.name, function_seen, is_function)) return false;
      if (is_type) {
        if (!tool_text(field, kind)) return false;
      } else if (!is_function) {
        if (!cursor_.skip_value()) return false;
      } else if (!nested) {
        if (!tool_text(field, function_name)) return false;
      } else if (!function(field, function_name)) {
        return false;
      }
    }
    name = kind == "function" ? function_name : kind;
    return !cursor_.failed();
  }

  bool function(const Field& field, std::string_view& name) {
    const std::optional<JsonType> type = cursor_.type();
    if (!type) return false;
    if (*type != JsonType::object) return refuse(ErrorCode::bad_field_type, field.name);
    cursor_.open_object();
    JsonString key;
    bool seen = false;
    while (cursor_.next_member(key)) {
      bool wanted;
      if (!is_member(key, "name", field.name, seen, wanted)) return false;
      if (!(wanted ? tool_text(field, name) : cursor_.skip_value())) return false;
    }
    return !cursor_.failed();
  }

  bool tool_text(const Field& field, std::string_view& text) {
    const std::optional<JsonType> type = cursor_.type();
    if (!type) return false;
    if (*type != JsonType::string) return refuse(ErrorCode::bad_field_type, field.name);
    return text_here(field.name, *type, limits::kMaxIdentifierBytes, text);
  }

  Inspection& out_;
  JsonCursor cursor_;
  ScratchWriter scratch_;
  const char* param_ = nullptr;
  uint64_t other_keys_ =
      0;  // a bit per hash of the keys that are not in the field table: no bit, no duplicate
  std::string_view metadata_conversation_;
  std::string_view conversation_;
  std::string_view previous_response_;
  std::string_view cache_key_;
};

const Field* Inspection::find(std::string_view key, uint32_t hash) const {
  for (uint32_t i = 0; i < field_count; ++i) {
    if (fields[i].key_hash == hash && same_key(fields[i].key, key)) return &fields[i];
  }
  return nullptr;
}

core::Result<const Inspection*> Inspector::inspect(Endpoint endpoint, std::span<const uint8_t> body) {
  if (body.size() > limits::kMaxBodyBytes) return core::fail(ErrorCode::body_too_large);
  Walk walk(inspection_, scratch_, endpoint, body);
  if (!walk.run()) return std::unexpected(walk.error());
  return &inspection_;
}

}  // namespace weir::routing
