#include "routing/inspect/inspect.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <memory>

#include "tests/routing/inspect/json_reference.h"
#include "tests/support/sanitized.h"

namespace weir::routing {
namespace {

using core::ErrorCode;
namespace limits = core::limits;

class InspectorTest : public ::testing::Test {
 protected:
  // The body stays alive until the next call.
  const Inspection* inspect(std::string_view body, Endpoint endpoint = Endpoint::chat_completions) {
    document_ = std::make_unique<PaddedDocument>(body);
    const auto result = inspector_->inspect(endpoint, document_->bytes());
    EXPECT_TRUE(result.has_value()) << body << ' '
                                    << (result ? "" : core::describe(result.error().code).token);
    return result ? *result : nullptr;
  }

  // The code and the param, as "duplicate_field model".
  std::string refusal(std::string_view body, Endpoint endpoint = Endpoint::chat_completions) {
    document_ = std::make_unique<PaddedDocument>(body);
    const auto result = inspector_->inspect(endpoint, document_->bytes());
    if (result) return "accepted";
    std::string text(core::describe(result.error().code).token);
    if (result.error().param != nullptr) text += std::string(" ") + result.error().param;
    return text;
  }

  // A chat body with these members besides the messages.
  static std::string chat(std::string_view members) {
    return "{" + std::string(members) + (members.empty() ? "" : ",") +
           R"("messages":[{"role":"user","content":"hi"}]})";
  }
  std::string refused_member(std::string_view member) { return refusal(chat(member)); }

  std::string_view text(ByteRange range) const { return document_->text(range.begin, range.end); }

  std::unique_ptr<Inspector> inspector_ = std::make_unique<Inspector>();
  std::unique_ptr<PaddedDocument> document_;
};

// ---- what is found ----

TEST_F(InspectorTest, FindsTheControlFieldsOfAChat) {
  const Inspection* in = inspect(
      R"({"model":"support-chat","stream":true,"n":2,"max_tokens":800,"max_completion_tokens":900,"user":"u-1",)"
      R"("safety_identifier":"s-1","stream_options":{"include_usage":true},"metadata":{"conversation_id":"c-1"},)"
      R"("messages":[{"role":"user","content":"hi"}]})");
  ASSERT_NE(in, nullptr);
  EXPECT_EQ(in->model, "support-chat");
  EXPECT_EQ(in->user, "u-1");
  EXPECT_EQ(in->safety_identifier, "s-1");
  EXPECT_EQ(in->conversation, "c-1");
  EXPECT_TRUE(in->stream);
  EXPECT_TRUE(in->include_usage_requested);
  EXPECT_EQ(in->n, 2u);
  EXPECT_EQ(in->max_tokens, 800u);
  EXPECT_EQ(in->max_completion_tokens, 900u);
  EXPECT_EQ(in->message_count, 1u);
}

TEST_F(InspectorTest, GivesExactSpansOfEveryField) {
  const std::string body =
      " {\n \"model\" : \"m\" , \"x\":[1, 2 ]  ,\"messages\":[ ],\"temperature\":0.5 }\n";
  const Inspection* in = inspect(body);
  ASSERT_NE(in, nullptr);
  ASSERT_EQ(in->field_count, 4u);
  EXPECT_EQ(in->object_begin, 1u);
  EXPECT_EQ(in->object_end, body.size() - 1);
  const auto member = [&](uint32_t i) {
    return body.substr(in->fields[i].key_begin, in->fields[i].value_end - in->fields[i].key_begin);
  };
  const auto value = [&](uint32_t i) {
    return body.substr(in->fields[i].value_begin, in->fields[i].value_end - in->fields[i].value_begin);
  };
  EXPECT_EQ(member(0), "\"model\" : \"m\"");
  EXPECT_EQ(value(0), "\"m\"");
  EXPECT_EQ(in->fields[1].key, "x");
  EXPECT_EQ(in->fields[1].name, FieldName::other);
  EXPECT_EQ(in->fields[1].type, JsonType::array);
  EXPECT_EQ(value(1), "[1, 2 ]");
  EXPECT_EQ(value(2), "[ ]");
  EXPECT_EQ(value(3), "0.5");
  EXPECT_EQ(in->field(FieldName::temperature), &in->fields[3]);
  EXPECT_EQ(in->field(FieldName::user), nullptr);
  EXPECT_EQ(in->find("X", key_hash("X")), &in->fields[1]);
  EXPECT_EQ(in->find("y", key_hash("y")), nullptr);
}

TEST_F(InspectorTest, ComparesKeysUnescaped) {
  const Inspection* in =
      inspect(chat(R"("mod\u0065l":"g\u0070t","\u0073tream":true,"us\u0065r":"J\u00fcrgen")"));
  ASSERT_NE(in, nullptr);
  EXPECT_EQ(in->model, "gpt");
  EXPECT_TRUE(in->stream);
  EXPECT_EQ(in->user, "Jürgen");
  EXPECT_EQ(in->fields[0].key, "model");
  EXPECT_EQ(in->field(FieldName::model), &in->fields[0]);
}

TEST_F(InspectorTest, TakesNullAsAbsent) {
  const Inspection* in = inspect(chat(
      R"("model":null,"stream":null,"n":null,"max_tokens":null,"user":null,"metadata":null,"stream_options":null,"tools":null)"));
  ASSERT_NE(in, nullptr);
  EXPECT_EQ(in->model, "");
  EXPECT_FALSE(in->stream);
  EXPECT_EQ(in->n, 0u);
  EXPECT_EQ(in->conversation, "");
  EXPECT_EQ(in->tools_begin, 0u);
}

TEST_F(InspectorTest, StartsAfreshWithEachBody) {
  ASSERT_NE(inspect(chat(R"("model":"m","stream":true,"n":3,"user":"u","tools":[{"type":"x"}])")), nullptr);
  const Inspection* in = inspect(R"({"messages":[]})");
  ASSERT_NE(in, nullptr);
  EXPECT_EQ(in->model, "");
  EXPECT_EQ(in->user, "");
  EXPECT_FALSE(in->stream);
  EXPECT_EQ(in->n, 0u);
  EXPECT_EQ(in->tool_count, 0u);
  EXPECT_EQ(in->message_count, 0u);
  EXPECT_EQ(in->field(FieldName::model), nullptr);
}

TEST_F(InspectorTest, PrefersTheConversationIdsInOrder) {
  EXPECT_EQ(
      inspect(
          chat(
              R"("prompt_cache_key":"4","previous_response_id":"3","conversation":"2","metadata":{"conversation_id":"1"})"))
          ->conversation,
      "1");
  EXPECT_EQ(
      inspect(
          chat(
              R"("prompt_cache_key":"4","previous_response_id":"3","conversation":"2","metadata":{"x":"1"})"))
          ->conversation,
      "2");
  EXPECT_EQ(
      inspect(chat(R"("prompt_cache_key":"4","previous_response_id":"3","conversation":{"a":[],"id":"2b"})"))
          ->conversation,
      "2b");
  EXPECT_EQ(
      inspect(chat(R"("prompt_cache_key":"4","previous_response_id":"3","conversation":null)"))->conversation,
      "3");
  EXPECT_EQ(inspect(chat(R"("prompt_cache_key":"4","previous_response_id":"")"))->conversation, "4");
  EXPECT_EQ(inspect(chat(""))->conversation, "");
}

TEST_F(InspectorTest, ListsSystemAndDeveloperMessages) {
  const std::string system = R"({"role":"system","content":"S"})";
  const std::string developer = R"({ "content":[{"role":"user"}], "role" : "developer" })";
  const std::string user = R"({"role":"user","content":"system"})";
  const Inspection* in =
      inspect("{\"messages\":[ " + user + " , " + system + "," + developer + ",\n" + user + "]}");
  ASSERT_NE(in, nullptr);
  EXPECT_EQ(in->message_count, 4u);
  ASSERT_EQ(in->system_message_count, 2u);
  EXPECT_FALSE(in->more_system_messages);
  EXPECT_EQ(text(in->system_messages[0].range), system);
  EXPECT_EQ(text(in->system_messages[1].range), developer);
  EXPECT_EQ(in->system_messages[0].next_begin, in->system_messages[1].range.begin);
  EXPECT_EQ(document_->text(in->system_messages[1].next_begin, in->messages_end), user);
  EXPECT_EQ(document_->text(0, in->system_messages[0].previous_end), "{\"messages\":[ " + user);
  EXPECT_EQ(in->system_messages[1].previous_end, in->system_messages[0].range.end);
  EXPECT_EQ(document_->text()[in->messages_end], ']');
  EXPECT_EQ(document_->text()[in->messages_begin - 1], '[');
}

TEST_F(InspectorTest, KnowsARoleHoweverItIsWritten) {
  EXPECT_EQ(inspect(R"({"messages":[{"ro\u006ce":"syst\u0065m"}]})")->system_message_count, 1u);
  EXPECT_EQ(inspect(R"({"messages":[{"role":"System"},{"role":"DEVELOPER"}]})")->system_message_count, 2u);
  EXPECT_EQ(inspect(R"({"messages":[{"role":"systems"},{"role":""},{},{"role":"\u0073\n"}]})")
                ->system_message_count,
            0u);
}

TEST_F(InspectorTest, CountsSystemMessagesBeyondKMaxSystemMessages) {
  std::string messages;
  for (uint32_t i = 0; i <= kMaxSystemMessages; ++i)
    messages += std::string(i ? "," : "") + R"({"role":"system"})";
  const Inspection* in = inspect("{\"messages\":[" + messages + "]}");
  ASSERT_NE(in, nullptr);
  EXPECT_EQ(in->system_message_count, kMaxSystemMessages);
  EXPECT_TRUE(in->more_system_messages);
  EXPECT_EQ(in->message_count, kMaxSystemMessages + 1);
}

TEST_F(InspectorTest, ListsToolsByNameOrElseByType) {
  const Inspection* in = inspect(chat(
      R"("tools":[{"type":"function","function":{"description":"d","name":"se\u0061rch","parameters":{"name":"no"}}},)"
      R"( {"type":"custom","custom":{"name":"x"}} ,{"function":{"name":"f"}},{"type":"function"}])"));
  ASSERT_NE(in, nullptr);
  ASSERT_EQ(in->tool_count, 4u);
  EXPECT_EQ(in->tools[0].name, "search");
  EXPECT_EQ(in->tools[1].name, "custom");
  EXPECT_EQ(text(in->tools[1].range), R"({"type":"custom","custom":{"name":"x"}})");
  EXPECT_EQ(in->tools[2].name, "f");
  EXPECT_EQ(in->tools[3].name, "");
  in = inspect(
      R"({"input":"x","tools":[{"type":"function","name":"f","function":{"name":"no"}},{"type":"mcp","name":"f"}]})",
      Endpoint::responses);
  ASSERT_NE(in, nullptr);
  EXPECT_EQ(in->tools[0].name, "f");
  EXPECT_EQ(in->tools[1].name, "mcp");
}

TEST_F(InspectorTest, KnowsWhereUsageIsAskedFor) {
  const Inspection* in = inspect(chat(R"("stream_options":{"x":1,"include_usage": false })"));
  ASSERT_NE(in, nullptr);
  EXPECT_FALSE(in->include_usage_requested);
  EXPECT_EQ(text(in->include_usage), "false");
  EXPECT_FALSE(in->stream_options_empty);
  in = inspect(chat(R"("stream_options":{})"));
  EXPECT_TRUE(in->stream_options_empty);
  EXPECT_EQ(document_->text()[in->stream_options_begin], '}');
  EXPECT_EQ(in->include_usage.size(), 0u);
}

TEST_F(InspectorTest, MeasuresTheInput) {
  const std::string data = "data:image/png;base64," + std::string(2000, 'A');
  const std::string messages =
      R"([{"role":"user","content":[{"type":"image_url","image_url":{"url":")" + data + R"("}}]}])";
  const Inspection* in = inspect(R"({"model":"m","messages":)" + messages + R"(,"user":"u","tools":[]})");
  ASSERT_NE(in, nullptr);
  EXPECT_EQ(in->input_bytes, messages.size() + 2);
  EXPECT_EQ(in->media_bytes, data.size());
}

TEST_F(InspectorTest, SeesWhatIsHeldElsewhere) {
  const auto elsewhere = [&](const std::string& body, Endpoint endpoint) {
    const Inspection* in = inspect(body, endpoint);
    EXPECT_NE(in, nullptr) << body;
    return in != nullptr && in->input_elsewhere;
  };
  const auto response = [&](const std::string& members) {
    return elsewhere(R"({"model":"m",)" + members + "}", Endpoint::responses);
  };
  EXPECT_FALSE(response(R"("input":[{"role":"user","content":"see https://a.b/c, url, file_id"}])"));
  EXPECT_FALSE(response(R"("input":"x","previous_response_id":null,"conversation":null,"prompt":null)"));
  EXPECT_TRUE(response(R"("input":"x","previous_response_id":"r")"));
  EXPECT_TRUE(response(R"("input":"x","conversation":"c")"));
  EXPECT_TRUE(response(R"("input":"x","conversation":{"id":"c"})"));
  EXPECT_TRUE(response(R"("prompt":{"id":"p","variables":{}})"));
  EXPECT_TRUE(response(R"("input":[{"type":"item_reference","id":"msg_1"}])"));
  EXPECT_TRUE(response(R"("input":[{"content":[{"type":"input_image","file_id":"f"}]}])"));
  EXPECT_TRUE(response(R"("input":[{"content":[{"type":"input_file","file_url":"https://a.b/c.pdf"}]}])"));
  const auto chat_part = [&](const std::string& part) {
    return elsewhere(R"({"model":"m","messages":[{"role":"user","content":[)" + part + "]}]}",
                     Endpoint::chat_completions);
  };
  const std::string data = "data:image/png;base64," + std::string(1000, 'A');
  EXPECT_FALSE(chat_part(R"({"type":"image_url","image_url":{"url":")" + data + "\"}}"));
  EXPECT_FALSE(chat_part(R"({"type":"image_url","image_url":{"url":"data:,x"}})"));
  EXPECT_FALSE(chat_part(R"({"type":"text","text":"https://a.b/c"})"));
  EXPECT_TRUE(chat_part(R"({"type":"image_url","image_url":{"url":"https://a.b/c"}})"));
  EXPECT_TRUE(chat_part(R"({"type":"image_url","image_url":{"url":"HTTP://a.b/c"}})"));
  EXPECT_TRUE(chat_part(R"({"type":"image_url","image_url":{"URL":"https://a.b/c"}})")) << "Go reads it";
  EXPECT_TRUE(chat_part(R"({"type":"image_url","image_url":{"\u0075rl":"https://a.b/c"}})"));
  EXPECT_TRUE(chat_part(R"({"type":"image_url","image_url":{"u\u0072l":"https://a.b/c"}})"));
  EXPECT_TRUE(chat_part(R"({"type":"file","file":{"file_id":"f"}})"));
  EXPECT_FALSE(elsewhere(R"({"messages":[{"role":"assistant","tool_calls":[{"id":"call_1"}]}],"conversation":"c"})",
                         Endpoint::chat_completions));
}

// It would take what the prompt costs off its estimate.
TEST_F(InspectorTest, CountsNoMediaThatIsNoInput) {
  const std::string data = "data:image/png;base64," + std::string(2000, 'A');
  const Inspection* in = inspect(R"({"messages":[],"metadata":{"x":{"url":")" + data + R"("}},"store":[{"url":")" +
                                 data + R"("}]})");
  ASSERT_NE(in, nullptr);
  EXPECT_EQ(in->input_bytes, 2u);
  EXPECT_EQ(in->media_bytes, 0u);
}

TEST_F(InspectorTest, CountsPromptsThatEachHaveTheirOwnChoices) {
  const auto prompts = [&](std::string_view prompt) {
    return inspect(R"({"prompt":)" + std::string(prompt) + "}", Endpoint::completions)->prompt_count;
  };
  EXPECT_EQ(prompts("\"a\""), 1u);
  EXPECT_EQ(prompts("[]"), 1u);
  EXPECT_EQ(prompts("[1,2,3]"), 1u);
  EXPECT_EQ(prompts(R"(["a","b","c"])"), 3u);
  EXPECT_EQ(prompts("[[1,2],[3]]"), 2u);
}

// ---- what is refused ----

TEST_F(InspectorTest, RefusesWhatIsNoJsonObject) {
  EXPECT_EQ(refusal(""), "body_not_json");
  EXPECT_EQ(refusal("what?"), "body_not_json");
  EXPECT_EQ(refusal("[]"), "body_not_object");
  EXPECT_EQ(refusal("\"x\""), "body_not_object");
  EXPECT_EQ(refusal("12"), "body_not_object");
  EXPECT_EQ(refusal("null"), "body_not_object");
  EXPECT_EQ(refusal(chat("") + "x"), "body_not_json");
  EXPECT_EQ(refusal(chat("") + "{}"), "body_not_json");
  EXPECT_EQ(refusal(chat("") + std::string(1, '\0')), "body_not_json");
  EXPECT_EQ(refusal("\xef\xbb\xbf" + chat("")), "body_has_bom");
  EXPECT_EQ(refused_member("\"x\":\"\xff\""), "body_not_utf8");
  EXPECT_EQ(refused_member(R"("x":"\ud800")"), "body_not_json");
  EXPECT_EQ(refused_member("\"x\":" + std::string(200, '[') + std::string(200, ']')), "body_too_deep");
  std::string numbers = "\"x\":[0";
  for (uint32_t i = 0; i < limits::kMaxJsonTokens / 2; ++i) numbers += ",0";
  EXPECT_EQ(refused_member(numbers + "]"), "body_too_complex");
}

TEST_F(InspectorTest, RefusesABodyLargerThanKMaxBodyBytes) {
  std::string body(limits::kMaxBodyBytes + 1, ' ');
  EXPECT_EQ(refusal(body), "body_too_large");
}

TEST_F(InspectorTest, RefusesAnyTopLevelKeySentTwice) {
  EXPECT_EQ(refused_member(R"("model":"a","model":"b")"), "duplicate_field model");
  EXPECT_EQ(refused_member(R"("model":"a","x":1,"model":"a")"), "duplicate_field model");
  EXPECT_EQ(refused_member(R"("model":"a","mod\u0065l":"b")"), "duplicate_field model");
  EXPECT_EQ(refused_member(R"("model":"a","MODEL":"b")"), "duplicate_field model");
  EXPECT_EQ(refused_member(R"("top_k":1,"top_k":2)"), "duplicate_field");
  EXPECT_EQ(refused_member(R"("top_k":1,"top\u005fk":2)"), "duplicate_field");
  EXPECT_EQ(refused_member(R"("top_k":1,"Top_K":2)"), "duplicate_field");
  EXPECT_EQ(refused_member("\"top_k\":1,\"top_\u212a\":2"), "duplicate_field");
  EXPECT_EQ(refused_member(R"("":1,"":2)"), "duplicate_field");
  EXPECT_EQ(refusal(R"({"messages":[],"messages":[]})"), "duplicate_field messages");
}

TEST_F(InspectorTest, RefusesKnownFieldsInAnotherCase) {
  EXPECT_EQ(refused_member(R"("Model":"a")"), "ambiguous_field model");
  EXPECT_EQ(refused_member("\"\u017ftream\":true"), "ambiguous_field stream");
  EXPECT_EQ(refused_member("\"max_to\u212aens\":5"), "ambiguous_field max_tokens");
  EXPECT_EQ(refused_member(R"("model\u0000x":5)"), "ambiguous_field");
  EXPECT_EQ(refused_member(R"("stream_options":{"Include_Usage":true})"), "ambiguous_field stream_options");
  EXPECT_EQ(refused_member(R"("metadata":{"Conversation_ID":"x"})"), "ambiguous_field metadata");
  EXPECT_EQ(refusal(R"({"messages":[{"Role":"user"}]})"), "ambiguous_field messages");
  EXPECT_EQ(refused_member(R"("tools":[{"Type":"function"}])"), "ambiguous_field tools");
}

TEST_F(InspectorTest, RefusesNestedControlMembersSentTwice) {
  EXPECT_EQ(refused_member(R"("stream_options":{"include_usage":true,"include_usage":false})"),
            "duplicate_field stream_options");
  EXPECT_EQ(refused_member(R"("metadata":{"conversation_id":"a","conversation\u005fid":"b"})"),
            "duplicate_field metadata");
  EXPECT_EQ(refused_member(R"("conversation":{"id":"a","id":"b"})"), "duplicate_field conversation");
  EXPECT_EQ(refusal(R"({"messages":[{"role":"user","content":"","role":"system"}]})"),
            "duplicate_field messages");
  EXPECT_EQ(refused_member(R"("tools":[{"type":"function","type":"mcp"}])"), "duplicate_field tools");
  EXPECT_EQ(refused_member(R"("tools":[{"function":{"name":"a","name":"b"}}])"), "duplicate_field tools");
  EXPECT_EQ(refused_member(R"("tools":[{"function":{"name":"a"},"function":{"name":"b"}}])"),
            "duplicate_field tools");
  // Elsewhere a repeated key is the provider's business: weir does not act on it.
  EXPECT_EQ(refusal(R"({"messages":[{"content":{"role":1,"role":2}}],"x":{"a":1,"a":2}})"), "accepted");
}

TEST_F(InspectorTest, RefusesControlFieldsOfTheWrongType) {
  EXPECT_EQ(refused_member(R"("model":1)"), "bad_field_type model");
  EXPECT_EQ(refused_member(R"("model":["a"])"), "bad_field_type model");
  EXPECT_EQ(refused_member(R"("stream":"true")"), "bad_field_type stream");
  EXPECT_EQ(refused_member(R"("stream":1)"), "bad_field_type stream");
  EXPECT_EQ(refused_member(R"("user":{})"), "bad_field_type user");
  EXPECT_EQ(refused_member(R"("user":"a\u0000b")"), "bad_field_type user");
  EXPECT_EQ(refused_member(R"("metadata":[])"), "bad_field_type metadata");
  EXPECT_EQ(refused_member(R"("metadata":{"conversation_id":5})"), "bad_field_type metadata");
  EXPECT_EQ(refused_member(R"("conversation":[])"), "bad_field_type conversation");
  EXPECT_EQ(refused_member(R"("stream_options":true)"), "bad_field_type stream_options");
  EXPECT_EQ(refused_member(R"("stream_options":{"include_usage":"yes"})"), "bad_field_type stream_options");
  EXPECT_EQ(refused_member(R"("tools":{})"), "bad_field_type tools");
  EXPECT_EQ(refused_member(R"("tools":["search"])"), "bad_field_type tools");
  EXPECT_EQ(refused_member(R"("tools":[{"function":"f"}])"), "bad_field_type tools");
  EXPECT_EQ(refused_member(R"("tools":[{"type":null}])"), "bad_field_type tools");
  EXPECT_EQ(refusal(R"({"messages":{}})"), "bad_field_type messages");
  EXPECT_EQ(refusal(R"({"messages":["hi"]})"), "bad_field_type messages");
  EXPECT_EQ(refusal(R"({"messages":[{"role":1}]})"), "bad_field_type messages");
  EXPECT_EQ(refusal(R"({"instructions":["x"]})", Endpoint::responses), "bad_field_type instructions");
}

TEST_F(InspectorTest, RefusesWhatCannotBeMetered) {
  for (const Endpoint endpoint : {Endpoint::chat_completions, Endpoint::completions, Endpoint::responses}) {
    const auto tier = [&](const std::string& json) {
      return refusal(R"({"messages":[],"service_tier":)" + json + "}", endpoint);
    };
    for (const char* good : {R"("auto")", R"("default")", R"("\u0061uto")", "null", R"("")"}) {
      EXPECT_EQ(tier(good), "accepted") << good;
    }
    for (const char* other : {R"("priority")", R"("flex")", R"("scale")", R"("Auto")"}) {
      EXPECT_EQ(tier(other), "field_not_accepted service_tier") << other;
    }
    EXPECT_EQ(tier("1"), "bad_field_type service_tier");
  }
  const auto background = [&](const std::string& json, Endpoint endpoint = Endpoint::responses) {
    return refusal(R"({"messages":[],"background":)" + json + "}", endpoint);
  };
  EXPECT_EQ(background("true"), "field_not_accepted background");
  EXPECT_EQ(background("false"), "accepted");
  EXPECT_EQ(background("null"), "accepted");
  EXPECT_EQ(background("\"true\""), "bad_field_type background");
  EXPECT_EQ(background("true", Endpoint::chat_completions), "accepted") << "which knows no such field";
}

TEST_F(InspectorTest, TakesCountsInPlainPositiveDigitsOnly) {
  for (const char* name : {"n", "best_of", "max_tokens", "max_completion_tokens", "max_output_tokens"}) {
    for (const char* value :
         {"0", "-1", "1.0", "1e3", "2147483648", "99999999999999999999", "\"5\"", "true", "[]"}) {
      EXPECT_EQ(refused_member("\"" + std::string(name) + "\":" + value),
                "bad_field_type " + std::string(name))
          << value;
    }
  }
  EXPECT_EQ(limits::kMaxCount, 2'147'483'647u);
  EXPECT_EQ(inspect(chat("\"max_tokens\":2147483647"))->max_tokens, limits::kMaxCount);
}

TEST_F(InspectorTest, AsksAChatForMessages) {
  EXPECT_EQ(refusal("{}"), "missing_field messages");
  EXPECT_EQ(refusal(R"({"messages":null})"), "missing_field messages");
  EXPECT_EQ(refusal("{}", Endpoint::embeddings), "accepted");
}

TEST_F(InspectorTest, BoundsLengths) {
  const auto long_text = [](uint32_t size) { return std::string(size, 'x'); };
  EXPECT_EQ(inspect(chat("\"model\":\"" + long_text(limits::kMaxModelBytes) + "\""))->model.size(),
            limits::kMaxModelBytes);
  EXPECT_EQ(refused_member("\"model\":\"" + long_text(limits::kMaxModelBytes + 1) + "\""),
            "field_too_long model");
  EXPECT_EQ(inspect(chat("\"user\":\"" + long_text(limits::kMaxIdentifierBytes) + "\""))->user.size(),
            limits::kMaxIdentifierBytes);
  for (const char* name :
       {"user", "safety_identifier", "conversation", "previous_response_id", "prompt_cache_key"}) {
    EXPECT_EQ(refused_member("\"" + std::string(name) + "\":\"" + long_text(limits::kMaxIdentifierBytes + 1) +
                             "\""),
              "field_too_long " + std::string(name));
  }
  EXPECT_EQ(refused_member("\"metadata\":{\"conversation_id\":\"" +
                           long_text(limits::kMaxIdentifierBytes + 1) + "\"}"),
            "field_too_long metadata");
  // Escapes count as what they stand for.
  std::string escaped;
  for (uint32_t i = 0; i < limits::kMaxModelBytes; ++i) escaped += "\\u0061";
  EXPECT_EQ(inspect(chat("\"model\":\"" + escaped + "\""))->model, std::string(limits::kMaxModelBytes, 'a'));
  EXPECT_EQ(refused_member("\"model\":\"" + escaped + "\\u0061\""), "field_too_long model");
  EXPECT_EQ(inspect(chat("\"" + long_text(limits::kMaxKeyBytes) + "\":1"))->field_count, 2u);
  EXPECT_EQ(refused_member("\"" + long_text(limits::kMaxKeyBytes + 1) + "\":1"), "field_too_long");
}

TEST_F(InspectorTest, TakesKMaxTopLevelFieldsAndNoMore) {
  std::string members;
  for (uint32_t i = 0; i < limits::kMaxTopLevelFields - 1; ++i)
    members += "\"f" + std::to_string(i) + "\":1,";
  EXPECT_EQ(inspect("{" + members + "\"messages\":[]}")->field_count, limits::kMaxTopLevelFields);
  EXPECT_EQ(refusal("{" + members + "\"messages\":[],\"z\":1}"), "field_too_long");
  EXPECT_EQ(refusal("{" + members + "\"messages\":[],\"f100\":1}"), "field_too_long");
  EXPECT_EQ(refusal("{" + members + "\"f17\":1}"), "duplicate_field");
}

TEST_F(InspectorTest, TakesKMaxToolsAndNoMore) {
  std::string tools;
  for (uint32_t i = 0; i < limits::kMaxTools; ++i) tools += std::string(i ? "," : "") + R"({"type":"x"})";
  EXPECT_EQ(inspect(chat("\"tools\":[" + tools + "]"))->tool_count, limits::kMaxTools);
  EXPECT_EQ(refused_member("\"tools\":[" + tools + ",{}]"), "field_too_long tools");
}

TEST_F(InspectorTest, RefusesMoreEscapedNamesThanKMaxInspectScratchBytes) {
  std::string tools;
  for (uint32_t i = 0; i < limits::kMaxTools; ++i) {
    tools += std::string(i ? "," : "") + R"({"function":{"name":"\n)" + std::string(200, 'x') + "\"}}";
  }
  static_assert(limits::kMaxTools * 200 > limits::kMaxInspectScratchBytes);
  EXPECT_EQ(refused_member("\"tools\":[" + tools + "]"), "field_too_long tools");
}

// ---- against simdjson's DOM parser ----

// Bodies as clients send them, with all that weir looks at.
std::string make_body(JsonMaker& make) {
  static const std::vector<std::string> members = {R"("model":"gpt")",
                                                   R"("mod\u0065l":"g")",
                                                   R"("stream":true)",
                                                   R"("stream":null)",
                                                   R"("n":2)",
                                                   R"("max_tokens":800)",
                                                   R"("max_completion_tokens":9)",
                                                   R"("temperature":0.2)",
                                                   R"("user":"u\u002d1")",
                                                   R"("metadata":{"conversation_id":"c","x":"y"})",
                                                   R"("stream_options":{"include_usage":true})",
                                                   R"("stream_options":{ })",
                                                   R"("tools":[{"type":"function","function":{"name":"f"}}])",
                                                   R"("top_k":5)",
                                                   R"("Top_K":5)",
                                                   R"("conversation":{"id":"x"})",
                                                   R"("response_format":{"type":"json_object"})",
                                                   R"("tool_choice":"auto")"};
  static const std::vector<std::string> roles = {"user",      "system", "assistant",
                                                 "developer", "tool",   "us\\u0065r"};
  std::string body = make.blanks() + "{";
  const uint32_t count = make.below(7);
  for (uint32_t i = 0; i < count; ++i) body += make.blanks() + make.one_of(members) + make.blanks() + ",";
  if (make.chance(40)) body += make.string() + ":" + make.value() + ",";
  body += "\"messages\":" + make.blanks() + "[";
  const uint32_t messages = make.below(4);
  for (uint32_t i = 0; i < messages; ++i) {
    body += (i ? "," : "") + make.blanks() + "{\"role\":\"" + make.one_of(roles) +
            "\",\"content\":" + make.value(3) + "}";
  }
  return body + "]" + make.blanks() + "}" + make.blanks();
}

bool has_duplicate_keys(const simdjson::dom::object& object) {
  std::vector<std::string> keys;
  for (const auto& member : object) {
    for (const std::string& key : keys) {
      if (same_key(key, member.key)) return true;
    }
    keys.emplace_back(member.key);
  }
  return false;
}

TEST_F(InspectorTest, AgreesWithTheDomParserOnMutatedBodies) {
  JsonMaker make(17);
  simdjson::dom::parser dom;
  ASSERT_EQ(dom.allocate(1 << 20, limits::kMaxJsonDepth), simdjson::SUCCESS);
  simdjson::dom::parser part;
  uint32_t accepted = 0;
  uint32_t duplicates = 0;
  constexpr uint32_t kBodies = tests::rounds(100'000);
  for (uint32_t i = 0; i < kBodies; ++i) {
    std::string body = make_body(make);
    if (!make.chance(40)) make.mutate(body);
    document_ = std::make_unique<PaddedDocument>(body);
    const auto result = inspector_->inspect(Endpoint::chat_completions, document_->bytes());
    simdjson::dom::object object;
    const simdjson::error_code error = dom.parse(body).get(object);
    if (error == simdjson::NUMBER_ERROR) continue;  // a number that no double holds is JSON all the same
    const bool valid = SlowJson::valid(body, limits::kMaxJsonDepth) && error == simdjson::SUCCESS;
    if (!result) {
      switch (result.error().code) {
        case ErrorCode::body_not_json:
        case ErrorCode::body_not_utf8:
        case ErrorCode::body_has_bom:
        case ErrorCode::body_not_object:
          ASSERT_FALSE(valid) << body;
          break;
        case ErrorCode::duplicate_field:
          ++duplicates;
          [[fallthrough]];
        default:
          break;  // refused for what it says, before or after a fault in the syntax
      }
      continue;
    }
    ++accepted;
    ASSERT_TRUE(valid) << body;
    ASSERT_FALSE(has_duplicate_keys(object)) << body;
    const Inspection& in = **result;
    ASSERT_EQ(in.field_count, object.size()) << body;
    uint32_t at = 0;
    for (const auto& member : object) {
      const Field& field = in.fields[at++];
      ASSERT_EQ(field.key, member.key) << body;
      const std::string value(document_->text(field.value_begin, field.value_end));
      simdjson::dom::element element;
      ASSERT_EQ(part.parse(value).get(element), simdjson::SUCCESS) << value;
      ASSERT_EQ(simdjson::minify(element), simdjson::minify(member.value)) << body;
      const std::string key(document_->text(field.key_begin, field.value_begin));
      ASSERT_EQ(key.front(), '"');
      if (field.name == FieldName::model && member.value.is_string()) {
        ASSERT_EQ(in.model, std::string_view(member.value));
      }
    }
    ASSERT_EQ(in.message_count, simdjson::dom::array(object["messages"]).size()) << body;
  }
  EXPECT_GT(accepted, kBodies / 5);
  EXPECT_GT(duplicates, kBodies / 20);
}

}  // namespace
}  // namespace weir::routing
