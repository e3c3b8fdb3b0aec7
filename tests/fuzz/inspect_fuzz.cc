// Inspection of a request body against three other readers. A slow one with the same rules says what must be
// refused, what must be accepted, and where everything stands; simdjson's DOM and a parser that lets the last
// member win stand for the upstreams: what weir meters is what they would run.
#include <simdjson.h>

#include <nlohmann/json.hpp>

#include "routing/inspect/inspect.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/inspect_oracle.h"
#include "tests/routing/inspect/json_reference.h"

namespace weir::fuzz {
namespace {

using nlohmann::json;

// ---- what an upstream would run ----

void expect_dom_agrees(const routing::Inspection& in, const std::string& text) {
  static simdjson::dom::parser parser;
  simdjson::dom::object document;
  ASSERT_EQ(parser.parse(text).get(document), simdjson::SUCCESS) << text;
  const auto said = [&](const char* key) {
    std::string_view value;
    return document[key].get(value) == simdjson::SUCCESS ? value : std::string_view{};
  };
  const auto count = [&](const char* key) {
    uint64_t value = 0;
    return document[key].get(value) == simdjson::SUCCESS ? value : 0;
  };
  const auto elements = [&](const char* key) {
    simdjson::dom::array array;
    return document[key].get(array) == simdjson::SUCCESS ? array.size() : 0;
  };
  EXPECT_EQ(in.field_count, document.size());
  EXPECT_EQ(in.model, said("model"));
  EXPECT_EQ(in.user, said("user"));
  EXPECT_EQ(in.safety_identifier, said("safety_identifier"));
  bool flag = false;
  EXPECT_EQ(in.stream, document["stream"].get(flag) == simdjson::SUCCESS && flag);
  flag = false;
  EXPECT_EQ(in.include_usage_requested,
            document["stream_options"]["include_usage"].get(flag) == simdjson::SUCCESS && flag);
  EXPECT_EQ(in.n, count("n"));
  EXPECT_EQ(in.best_of, count("best_of"));
  EXPECT_EQ(in.max_tokens, count("max_tokens"));
  EXPECT_EQ(in.max_completion_tokens, count("max_completion_tokens"));
  EXPECT_EQ(in.max_output_tokens, count("max_output_tokens"));
  if (in.endpoint == routing::Endpoint::chat_completions) {
    EXPECT_EQ(in.message_count, elements("messages"));
    EXPECT_EQ(in.tool_count, elements("tools"));
  }
}

void expect_last_wins_agrees(const routing::Inspection& in, const std::string& text) {
  const json document = json::parse(text, nullptr, false);
  ASSERT_TRUE(document.is_object()) << text;
  const auto is = [&](uint64_t value, const char* key) {
    return value == 0 ? !document.contains(key) || document[key].is_null()
                      : document.contains(key) && document[key] == value;
  };
  EXPECT_EQ(in.field_count, document.size()) << "a member twice";
  EXPECT_TRUE(in.model.empty() || document["model"] == in.model);
  EXPECT_EQ(in.stream, document.contains("stream") && document["stream"] == true);
  EXPECT_TRUE(is(in.n, "n") && is(in.best_of, "best_of") && is(in.max_tokens, "max_tokens") &&
              is(in.max_completion_tokens, "max_completion_tokens") &&
              is(in.max_output_tokens, "max_output_tokens"));
}

// ---- the same rules, slowly ----

class Comparison {
 public:
  Comparison(std::string_view text, const routing::Inspection& in, const SlowInspection& slow)
      : text_(text), in_(in), slow_(slow) {}

  void run() const {
    values();
    fields();
    messages();
    tools();
  }

 private:
  static routing::JsonType type_of(std::string_view value) {
    switch (kind_of(value)) {
      case 'n':
        return routing::JsonType::null;
      case 't':
      case 'f':
        return routing::JsonType::boolean;
      case '"':
        return routing::JsonType::string;
      case '[':
        return routing::JsonType::array;
      case '{':
        return routing::JsonType::object;
      default:
        return routing::JsonType::number;
    }
  }
  std::string_view at(uint32_t begin, uint32_t end) const { return text_.substr(begin, end - begin); }
  std::string_view at(routing::ByteRange range) const { return at(range.begin, range.end); }
  uint32_t offset(std::string_view part) const { return static_cast<uint32_t>(part.data() - text_.data()); }
  // Equal, and at the same place.
  void expect_at(std::string_view actual, std::string_view wanted) const {
    EXPECT_EQ(actual, wanted);
    EXPECT_TRUE(actual.data() == wanted.data()) << "another one than this: " << wanted;
  }

  void values() const {
    EXPECT_EQ(in_.model, slow_.model);
    EXPECT_EQ(in_.user, slow_.user);
    EXPECT_EQ(in_.safety_identifier, slow_.safety_identifier);
    EXPECT_EQ(in_.conversation, slow_.conversation);
    EXPECT_EQ(in_.stream, slow_.stream);
    EXPECT_EQ(in_.include_usage_requested, slow_.include_usage);
    EXPECT_EQ(in_.include_usage.size(), slow_.include_usage_value.size());
    if (in_.include_usage.size() != 0) expect_at(at(in_.include_usage), slow_.include_usage_value);
    const bool has_options = !slow_.stream_options.empty();
    EXPECT_EQ(in_.stream_options_begin, has_options ? offset(slow_.stream_options) + 1 : 0);
    EXPECT_EQ(in_.stream_options_empty, has_options && slow_members(slow_.stream_options).empty());
    EXPECT_EQ(in_.n, slow_.n);
    EXPECT_EQ(in_.best_of, slow_.best_of);
    EXPECT_EQ(in_.max_tokens, slow_.max_tokens);
    EXPECT_EQ(in_.max_completion_tokens, slow_.max_completion_tokens);
    EXPECT_EQ(in_.max_output_tokens, slow_.max_output_tokens);
    EXPECT_EQ(in_.input_bytes, slow_.input_bytes);
    EXPECT_EQ(in_.prompt_count, slow_.prompt_count);
    EXPECT_GE(in_.media_bytes, slow_.least_media);
    EXPECT_LE(in_.media_bytes, slow_.most_media);
  }

  void fields() const {
    expect_at(at(in_.object_begin, in_.object_end), trimmed(text_));
    ASSERT_EQ(in_.field_count, slow_.fields.size());
    for (uint32_t i = 0; i < in_.field_count; ++i) {
      const routing::Field& field = in_.fields[i];
      const SlowMember& slow = slow_.fields[i];
      EXPECT_EQ(field.key, slow.key());
      EXPECT_EQ(field.key_begin + 1, offset(slow.raw_key));
      expect_at(at(field.value_begin, field.value_end), slow.value);
      EXPECT_EQ(field.type, type_of(slow.value));
      EXPECT_EQ(in_.find(slow.key(), routing::key_hash(slow.key())), &field);
      if (field.name != routing::FieldName::other) {
        EXPECT_EQ(slow.key(), routing::to_string(field.name));
        EXPECT_EQ(in_.field(field.name), &field);
      }
    }
  }

  void messages() const {
    const std::vector<std::string_view>& all = slow_.messages;
    ASSERT_EQ(in_.message_count, all.size());
    if (in_.endpoint == routing::Endpoint::chat_completions) {
      expect_at(at(in_.messages_begin - 1, in_.messages_end + 1), at_field(routing::FieldName::messages));
    }
    ASSERT_EQ(in_.system_message_count, std::min<size_t>(slow_.system.size(), routing::kMaxSystemMessages));
    EXPECT_EQ(in_.more_system_messages, slow_.system.size() > routing::kMaxSystemMessages);
    for (uint32_t i = 0; i < in_.system_message_count; ++i) {
      const routing::Inspection::SystemMessage& message = in_.system_messages[i];
      const size_t which = slow_.system[i];
      expect_at(at(message.range), all[which]);
      EXPECT_EQ(message.previous_end,
                which == 0 ? 0 : offset(all[which - 1]) + static_cast<uint32_t>(all[which - 1].size()));
      EXPECT_EQ(message.next_begin, which + 1 == all.size() ? 0 : offset(all[which + 1]));
    }
  }
  std::string_view at_field(routing::FieldName name) const {
    const routing::Field* field = in_.field(name);
    return field == nullptr ? std::string_view{} : at(field->value_begin, field->value_end);
  }

  void tools() const {
    ASSERT_EQ(in_.tool_count, slow_.tools.size());
    for (uint32_t i = 0; i < in_.tool_count; ++i) {
      expect_at(at(in_.tools[i].range), slow_.tools[i]);
      EXPECT_EQ(in_.tools[i].name, slow_.tool_names[i]);
    }
    if (in_.tool_count != 0)
      expect_at(at(in_.tools_begin - 1, in_.tools_end + 1), at_field(routing::FieldName::tools));
  }

  std::string_view text_;
  const routing::Inspection& in_;
  const SlowInspection& slow_;
};

}  // namespace
}  // namespace weir::fuzz

WEIR_FUZZ_TARGET(inspect) {
  using namespace weir;
  fuzz::Choices choices(input);
  const auto endpoint = static_cast<routing::Endpoint>(choices.below(4));
  const routing::PaddedDocument document(fuzz::text_of(choices.rest()));
  const std::string_view text = document.text();
  static routing::Inspector inspector;
  const auto outcome = inspector.inspect(endpoint, document.bytes());
  if (!routing::SlowJson::valid(text, core::limits::kMaxJsonDepth)) {
    EXPECT_FALSE(outcome.has_value()) << text;
    return;
  }
  const fuzz::SlowInspection slow(endpoint, text);
  if (!outcome) {
    using enum core::ErrorCode;
    const core::ErrorCode code = outcome.error().code;
    EXPECT_TRUE(code != body_not_json && code != body_not_utf8 && code != body_too_deep) << text;
    const bool no_room = code == field_too_long && text.size() > core::limits::kMaxInspectScratchBytes;
    EXPECT_TRUE(!slow.refused.empty() || no_room) << core::describe(code).token << " for " << text;
    return;
  }
  EXPECT_EQ(slow.refused, "") << text;
  const ::testing::ScopedTrace trace(__FILE__, __LINE__, std::string(text));
  fuzz::Comparison(text, **outcome, slow).run();
  const std::string small = fuzz::with_small_numbers(text);
  fuzz::expect_dom_agrees(**outcome, small);
  fuzz::expect_last_wins_agrees(**outcome, small);
}
