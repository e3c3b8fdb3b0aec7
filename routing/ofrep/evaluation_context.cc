#include "routing/ofrep/evaluation_context.h"

#include <optional>
#include <utility>

#include "routing/decide/segments.h"
#include "routing/inspect/json_cursor.h"
#include "routing/inspect/json_text.h"

namespace weir::routing {

using core::ErrorCode;
namespace limits = core::limits;

class EvaluationContextReader::Walk {
 public:
  Walk(const TableBody& table, std::span<const uint8_t> body, EvaluationContext& context,
       std::span<uint8_t> scratch)
      : table_(table), cursor_(body), context_(context), scratch_(scratch) {}

  bool run() {
    const std::optional<JsonType> root = cursor_.type();
    if (!root) return false;
    if (*root != JsonType::object) return cursor_.fail(ErrorCode::body_not_object);
    cursor_.open_object();
    bool seen = false;
    JsonString key;
    while (cursor_.next_member(key)) {
      if (name_of(key) != "context") {
        if (!cursor_.skip_value()) return false;
        continue;
      }
      if (std::exchange(seen, true)) return fail(ErrorCode::duplicate_field, "context");
      if (!context()) return false;
    }
    return cursor_.finish();
  }

  ContextFault fault() const { return {cursor_.error(), member_}; }

 private:
  bool fail(ErrorCode code, std::string_view member) {
    member_ = member;
    return cursor_.fail(code);
  }

  bool context() {
    const std::optional<JsonType> type = cursor_.type();
    if (!type) return false;
    if (*type == JsonType::null) return cursor_.read_null();
    if (*type != JsonType::object) return fail(ErrorCode::bad_context, "context");
    cursor_.open_object();
    JsonString key;
    while (cursor_.next_member(key)) {
      if (!member(name_of(key))) return false;
    }
    return !cursor_.failed();
  }

  bool member(std::string_view name) {
    if (name == "targetingKey") return text("targetingKey", seen_user_, context_.user);
    const auto attribute = table_.attribute_names.find(name);
    if (name == "conversation" && !attribute)
      return text("conversation", seen_conversation_, context_.conversation);
    if (!attribute) return cursor_.skip_value();
    if (!read_attribute(AttributeIndex{*attribute})) return false;
    // A table may declare an attribute of that name too.
    if (name != "conversation") return true;
    const AttributeValues::Value* value = context_.attributes.find(AttributeIndex{*attribute});
    if (value != nullptr && table_[AttributeIndex{*attribute}].kind == AttributeKind::string) {
      context_.conversation = value->text();
    }
    return true;
  }

  bool text(std::string_view name, bool& seen, std::string_view& value) {
    if (std::exchange(seen, true)) return fail(ErrorCode::duplicate_field, name);
    const std::optional<JsonType> type = cursor_.type();
    if (!type) return false;
    if (*type == JsonType::null) return cursor_.read_null();
    if (*type != JsonType::string) return fail(ErrorCode::bad_context, name);
    return unescaped(name, value);
  }

  bool read_attribute(AttributeIndex index) {
    const Attribute& attribute = table_[index];
    const std::string_view name = attribute.name;
    const std::optional<JsonType> type = cursor_.type();
    if (!type) return false;
    if (*type == JsonType::null) return cursor_.read_null();
    std::string_view value;
    bool is_true = false;
    switch (attribute.kind) {
      case AttributeKind::string:
      case AttributeKind::enumeration:
        if (*type != JsonType::string) return fail(ErrorCode::bad_context, name);
        if (!unescaped(name, value)) return false;
        break;
      case AttributeKind::boolean:
        if (*type != JsonType::boolean) return fail(ErrorCode::bad_context, name);
        if (!cursor_.read_bool(is_true)) return false;
        value = is_true ? "true" : "false";
        break;
      case AttributeKind::number:
        if (*type != JsonType::number) return fail(ErrorCode::bad_context, name);
        if (!cursor_.read_number(value)) return false;
        break;
    }
    const auto parsed = parse_attribute(table_, name, value, context_.attributes);
    if (parsed) return true;
    const ErrorCode code = parsed.error().code;
    return fail(code == ErrorCode::duplicate_control_header ? ErrorCode::duplicate_field
                : code == ErrorCode::bad_control_header     ? ErrorCode::bad_context
                                                            : code,
                name);
  }

  bool unescaped(std::string_view name, std::string_view& value) {
    JsonString string;
    if (!cursor_.read_string(string)) return false;
    value = string.inside();
    if (string.escaped) {
      constexpr size_t kLongestEscape = 6;  // \u0041, for one byte
      if (value.size() > kLongestEscape * limits::kMaxIdentifierBytes)
        return fail(ErrorCode::field_too_long, name);
      const uint32_t begin = scratch_.size();
      unescape_json_string(value, scratch_);
      if (scratch_.overflowed()) return fail(ErrorCode::field_too_long, name);
      value = scratch_.text(begin, scratch_.size());
    }
    return value.size() <= limits::kMaxIdentifierBytes || fail(ErrorCode::field_too_long, name);
  }

  // The member's name, unescaped; empty if it is longer than any that is known.
  std::string_view name_of(const JsonString& key) {
    if (key.size > limits::kMaxKeyBytes) return {};
    if (!key.escaped) return key.inside();
    ScratchWriter out(name_);
    unescape_json_string(key.inside(), out);
    return out.text(0, out.size());
  }

  const TableBody& table_;
  JsonCursor cursor_;
  EvaluationContext& context_;
  ScratchWriter scratch_;
  std::array<uint8_t, limits::kMaxKeyBytes> name_;
  std::string_view member_;
  bool seen_user_ = false;
  bool seen_conversation_ = false;
};

std::expected<const EvaluationContext*, ContextFault> EvaluationContextReader::read(
    const TableBody& table, std::span<const uint8_t> body) {
  context_.user = context_.conversation = {};
  context_.attributes.clear();
  Walk walk(table, body, context_, scratch_);
  if (!walk.run()) return std::unexpected(walk.fault());
  return &context_;
}

}  // namespace weir::routing
