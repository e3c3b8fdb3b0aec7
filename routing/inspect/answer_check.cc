#include "routing/inspect/answer_check.h"

#include <optional>
#include <string_view>

#include "core/assert.h"

namespace weir::routing {
namespace {

bool is_json(std::span<const uint8_t> text) {
  JsonCursor cursor(text);
  return cursor.skip_value() && cursor.finish();
}

class VerdictReader {
 public:
  VerdictReader(AnswerCheck check, std::span<uint8_t> scratch) : check_(check), scratch_(scratch) {}

  // False: the document is not what it should be.
  bool read(JsonCursor& cursor, Endpoint endpoint) {
    const std::string_view list = endpoint == Endpoint::responses ? "output" : "choices";
    return members(cursor, [&](std::string_view key, JsonType type) {
      if (key != list || type != JsonType::array) return cursor.skip_value();
      return elements(cursor, [&] {
        filled_ = false;
        const bool good = endpoint == Endpoint::responses ? read_output(cursor) : read_choice(cursor);
        seen_ = true;
        empty_ |= !filled_;
        return good;
      });
    });
  }

  AnswerVerdict verdict() const {
    AnswerVerdict made{.refused = refused_};
    // The responses list holds items that are no messages (reasoning): together they must say something.
    if (check_ != AnswerCheck::any) made.valid = seen_ && !empty_ && !broken_;
    return made;
  }
  void together() { empty_ = !any_filled_; }

 private:
  template <typename Each>
  static bool members(JsonCursor& cursor, Each&& each) {
    if (!cursor.open_object()) return false;
    JsonString key;
    while (cursor.next_member(key)) {
      const std::optional<JsonType> type = cursor.type();
      if (!type || !each(key.inside(), *type)) return false;
    }
    return !cursor.failed();
  }
  template <typename Each>
  static bool elements(JsonCursor& cursor, Each&& each) {
    cursor.open_array();
    while (cursor.next_element()) {
      const std::optional<JsonType> type = cursor.type();
      if (!type) return false;
      if (!(*type == JsonType::object ? each() : cursor.skip_value())) return false;
    }
    return !cursor.failed();
  }
  static bool text(JsonCursor& cursor, JsonType type, JsonString& string) {
    return type == JsonType::string ? cursor.read_string(string) : cursor.skip_value();
  }

  void say(const JsonString& said) {
    if (said.size == 0) return;
    fill();
    if (check_ != AnswerCheck::json) return;
    ScratchWriter plain(scratch_);
    unescape_json_string(said.inside(), plain);
    WEIR_ASSERT(plain.room() >= JsonCursor::kPadding);  // no text is longer unescaped
    broken_ |= !is_json({plain.data(), plain.size()});
  }
  void fill() { filled_ = any_filled_ = true; }

  bool read_choice(JsonCursor& cursor) {
    return members(cursor, [&](std::string_view key, JsonType type) {
      JsonString value;
      if (key == "text") {
        if (!text(cursor, type, value)) return false;
        say(value);
      } else if (key == "finish_reason") {
        if (!text(cursor, type, value)) return false;
        refused_ |= value.inside() == "content_filter";
      } else if (key == "message" && type == JsonType::object) {
        return read_message(cursor);
      } else {
        return cursor.skip_value();
      }
      return true;
    });
  }

  bool read_message(JsonCursor& cursor) {
    return members(cursor, [&](std::string_view key, JsonType type) {
      JsonString value;
      if (key == "content") {
        if (!text(cursor, type, value)) return false;
        say(value);
      } else if (key == "refusal") {
        if (!text(cursor, type, value)) return false;
        refused_ |= value.size != 0;
      } else {
        const uint32_t begin = cursor.value_begin();
        if (!cursor.skip_value()) return false;
        const bool calls = key == "tool_calls" || key == "function_call";
        if (calls && type != JsonType::null && cursor.last_end() - begin > 2) fill();
      }
      return true;
    });
  }

  bool read_output(JsonCursor& cursor) {
    return members(cursor, [&](std::string_view key, JsonType type) {
      JsonString value;
      if (key == "type") {
        if (!text(cursor, type, value)) return false;
        if (value.inside() != "message" && value.inside() != "reasoning") fill();
        return true;
      }
      if (key != "content" || type != JsonType::array) return cursor.skip_value();
      return elements(cursor, [&] {
        return members(cursor, [&](std::string_view inner, JsonType inner_type) {
          JsonString part;
          if (inner != "text" && inner != "refusal") return cursor.skip_value();
          if (!text(cursor, inner_type, part)) return false;
          if (inner == "text") say(part);
          refused_ |= inner == "refusal" && part.size != 0;
          return true;
        });
      });
    });
  }

  const AnswerCheck check_;
  const std::span<uint8_t> scratch_;
  bool refused_ = false;
  bool broken_ = false;
  bool seen_ = false;
  bool empty_ = false;
  bool filled_ = false;  // the choice that is being read says something
  bool any_filled_ = false;
};

}  // namespace

AnswerVerdict check_answer(Endpoint endpoint, std::span<const uint8_t> body, AnswerCheck check,
                           std::span<uint8_t> scratch) {
  WEIR_ASSERT(scratch.size() >= body.size() + JsonCursor::kPadding);
  JsonCursor cursor(body);
  VerdictReader reader(check, scratch);
  if (endpoint == Endpoint::embeddings) return {.valid = check == AnswerCheck::any || is_json(body)};
  const std::optional<JsonType> root = cursor.type();
  if (!root || *root != JsonType::object || !reader.read(cursor, endpoint) || !cursor.finish()) {
    return {.valid = check == AnswerCheck::any};
  }
  if (endpoint == Endpoint::responses) reader.together();
  return reader.verdict();
}

}  // namespace weir::routing
