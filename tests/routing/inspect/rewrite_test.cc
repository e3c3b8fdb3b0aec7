#include "routing/inspect/rewrite.h"

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "tests/routing/inspect/json_reference.h"
#include "tests/routing/inspect/slow_rewrite.h"
#include "tests/support/sanitized.h"

namespace weir::routing {
namespace {

using core::ErrorCode;
using nlohmann::json;
namespace limits = core::limits;

using Unit = OwnedUnit;

class RewriteTest : public ::testing::Test {
 protected:
  // The rewritten body; empty if it was refused (then `error` says why).
  std::string rewrite(std::string_view body, const Unit& unit,
                      Endpoint endpoint = Endpoint::chat_completions) {
    document_ = std::make_unique<PaddedDocument>(body);
    const auto inspection = inspector_->inspect(endpoint, document_->bytes());
    EXPECT_TRUE(inspection.has_value()) << body;
    if (!inspection) return "";
    ScratchWriter scratch({scratch_.data(), scratch_bytes_});
    scratch.append("other");  // the caller may have written before
    const auto result =
        plan_rewrite(**inspection, document_->bytes(), unit.view(), values_, scratch, pieces_);
    if (!result) {
      error_ = result.error();
      return "";
    }
    usage_hidden_ = result->usage_hidden;
    bound_ = output_bound(**inspection, unit.view());
    std::string text;
    for (const Piece& piece : pieces_.pieces()) {
      EXPECT_NE(piece.size, 0u);
      text += piece.from_body ? document_->text(piece.offset, piece.offset + piece.size)
                              : scratch.text(piece.offset, piece.offset + piece.size);
    }
    EXPECT_EQ(result->content_length, text.size());
    EXPECT_LE(pieces_.size(), PieceList::kCapacity);
    return text;
  }

  std::unique_ptr<Inspector> inspector_ = std::make_unique<Inspector>();
  std::unique_ptr<PaddedDocument> document_;
  std::vector<uint8_t> scratch_ = std::vector<uint8_t>(64 * 1024);
  size_t scratch_bytes_ = 64 * 1024;
  PromptValues values_{};
  PieceList pieces_;
  core::Error error_{ErrorCode::internal};
  bool usage_hidden_ = false;
  OutputBound bound_{};
};

TEST_F(RewriteTest, ReplacesTheModelWhereItStands) {
  EXPECT_EQ(rewrite(R"({"model":"a","messages":[]})", Unit{}), R"({"model":"real","messages":[]})");
  EXPECT_EQ(rewrite(R"( { "messages" : [] , "model" : "a" } )", Unit{}),
            R"({ "messages" : [],"model":"real"})");
  EXPECT_EQ(rewrite(R"({"messages":[],"mod\u0065l":"a","x":1})", Unit{}),
            R"({"messages":[],"model":"real","x":1})");
  EXPECT_EQ(rewrite(R"({"messages":[]})", Unit{}), R"({"model":"real","messages":[]})");
  EXPECT_EQ(rewrite("{}", Unit{}, Endpoint::embeddings), R"({"model":"real"})");
}

TEST_F(RewriteTest, LeavesALongBodyWhereItIs) {
  const std::string prompt(30'000, 'x');
  const std::string body = R"({"model":"a","messages":[{"role":"user","content":")" + prompt + R"("}]})";
  EXPECT_EQ(rewrite(body, Unit{}),
            R"({"model":"real","messages":[{"role":"user","content":")" + prompt + R"("}]})");
  EXPECT_EQ(pieces_.size(), 2u);
  EXPECT_FALSE(pieces_.pieces()[0].from_body);
  EXPECT_TRUE(pieces_.pieces()[1].from_body);
}

TEST_F(RewriteTest, SetsParams) {
  Unit unit;
  unit.set("temperature", "\"temperature\"", "0.2").set("top_k", "\"top_k\"", "{\"a\":[1]}");
  EXPECT_EQ(rewrite(R"({"model":"a","messages":[]})", unit),
            R"({"temperature":0.2,"top_k":{"a":[1]},"model":"real","messages":[]})");
  EXPECT_EQ(rewrite(R"({"Top_K":1,"messages":[],"temperature":2})", unit),
            R"({"model":"real","top_k":{"a":[1]},"messages":[],"temperature":0.2})");
}

TEST_F(RewriteTest, KeepsOneBoundOnTheOutput) {
  Unit unit;
  unit.set("max_tokens", "\"max_tokens\"", "800");
  EXPECT_EQ(rewrite(R"({"max_completion_tokens":9,"messages":[],"model":"m"})", unit),
            R"({"max_tokens":800,"messages":[],"model":"real"})");
  EXPECT_EQ(bound_.tokens_per_choice, 800u);
  EXPECT_EQ(rewrite(R"({"messages":[],"model":"m","max_completion_tokens":9,"max_tokens":7})", unit),
            R"({"messages":[],"model":"real","max_tokens":800})");
  EXPECT_EQ(rewrite(R"({"input":"x","model":"m","max_output_tokens":9})", unit, Endpoint::responses),
            R"({"input":"x","model":"real","max_output_tokens":800})");
  EXPECT_EQ(bound_.tokens_per_choice, 800u);
  Unit newer;
  newer.set("max_output_tokens", "\"max_output_tokens\"", "700");
  EXPECT_EQ(rewrite(R"({"messages":[],"model":"m","max_tokens":9})", newer),
            R"({"max_completion_tokens":700,"messages":[],"model":"real"})");
  EXPECT_EQ(rewrite(R"({"prompt":"x","model":"m"})", newer, Endpoint::completions),
            R"({"max_tokens":700,"prompt":"x","model":"real"})");
}

TEST_F(RewriteTest, LeavesOutParamsTheEndpointDoesNotKnow) {
  Unit unit;
  unit.set("temperature", "\"temperature\"", "0").set("frequency_penalty", "\"frequency_penalty\"", "1");
  unit.set("max_tokens", "\"max_tokens\"", "5");
  EXPECT_EQ(rewrite(R"({"input":"x","model":"m","temperature":1})", unit, Endpoint::embeddings),
            R"({"input":"x","model":"real","temperature":1})");
  EXPECT_EQ(rewrite(R"({"input":"x","model":"m"})", unit, Endpoint::responses),
            R"({"temperature":0,"max_output_tokens":5,"input":"x","model":"real"})");
}

TEST_F(RewriteTest, SaysWhatTheUpstreamMayProduce) {
  const auto bound = [&](std::string_view body, const Unit& unit, Endpoint endpoint) {
    rewrite(body, unit, endpoint);
    return std::pair(bound_.tokens_per_choice, bound_.choices);
  };
  using Pair = std::pair<uint32_t, uint64_t>;
  Unit plain;
  EXPECT_EQ(bound(R"({"messages":[]})", plain, Endpoint::chat_completions), Pair(0, 1));
  EXPECT_EQ(bound(R"({"messages":[],"max_tokens":5,"max_completion_tokens":6,"n":3})", plain,
                  Endpoint::chat_completions),
            Pair(6, 3));
  EXPECT_EQ(bound(R"({"prompt":["a","b"],"max_tokens":5,"n":2,"best_of":4})", plain, Endpoint::completions),
            Pair(5, 8));
  EXPECT_EQ(bound(R"({"input":"","max_output_tokens":5,"max_tokens":9,"n":9})", plain, Endpoint::responses),
            Pair(5, 1));
  EXPECT_EQ(bound(R"({"input":"","max_tokens":9})", plain, Endpoint::embeddings), Pair(0, 1));
  Unit unit;
  unit.set("n", "\"n\"", "2").set("max_tokens", "\"max_tokens\"", "100");
  EXPECT_EQ(bound(R"({"messages":[],"max_completion_tokens":6,"n":30})", unit, Endpoint::chat_completions),
            Pair(100, 2));
}

TEST_F(RewriteTest, PutsThePromptInPlaceOfSystemMessages) {
  const std::string ours = R"({"role":"system","content":"Ours"})";
  const std::string s = R"({"role":"system","content":"S"})";
  const std::string d = R"({"role":"developer","content":"D"})";
  const std::string u = R"({"role":"user","content":"U"})";
  Unit unit;
  unit.say(PromptMode::replace, "Ours");
  const auto messages = [&](const std::string& theirs) {
    const std::string text = rewrite("{\"model\":\"m\",\"messages\":[" + theirs + "]}", unit);
    const std::string before = R"({"model":"real","messages":[)";
    EXPECT_TRUE(text.starts_with(before) && text.ends_with("]}")) << text;
    return text.substr(before.size(), text.size() - before.size() - 2);
  };
  EXPECT_EQ(messages(""), ours);
  EXPECT_EQ(messages(u), ours + "," + u);
  EXPECT_EQ(messages(s), ours);
  EXPECT_EQ(messages(s + "," + d), ours);
  EXPECT_EQ(messages(s + "," + u), ours + "," + u);
  EXPECT_EQ(messages(u + "," + s), ours + "," + u);
  EXPECT_EQ(messages(u + " , " + s + "," + d), ours + "," + u);
  EXPECT_EQ(messages(u + "," + s + "," + u), ours + "," + u + "," + u);
  EXPECT_EQ(messages(s + "," + u + "," + d + "," + s + "," + u + "," + s), ours + "," + u + "," + u);
}

TEST_F(RewriteTest, PrependsThePromptOrGivesItOnlyIfThereIsNone) {
  Unit unit;
  unit.say(PromptMode::prepend, "Ours");
  EXPECT_EQ(rewrite(R"({"model":"m","messages":[{"role":"system"}]})", unit),
            R"({"model":"real","messages":[{"role":"system","content":"Ours"},{"role":"system"}]})");
  unit.say(PromptMode::if_absent, "Ours");
  EXPECT_EQ(rewrite(R"({"model":"m","messages":[{"role":"system"}]})", unit),
            R"({"model":"real","messages":[{"role":"system"}]})");
  EXPECT_EQ(rewrite(R"({"model":"m","messages":[{"role":"user"}]})", unit),
            R"({"model":"real","messages":[{"role":"system","content":"Ours"},{"role":"user"}]})");
}

TEST_F(RewriteTest, PutsThePromptIntoTheInstructionsOfResponses) {
  Unit unit;
  unit.say(PromptMode::replace, "Ours");
  EXPECT_EQ(rewrite(R"({"model":"m","instructions":"T\n","input":"x"})", unit, Endpoint::responses),
            R"({"model":"real","instructions":"Ours","input":"x"})");
  EXPECT_EQ(rewrite(R"({"model":"m","input":"x"})", unit, Endpoint::responses),
            R"({"instructions":"Ours","model":"real","input":"x"})");
  unit.say(PromptMode::prepend, "Ours");
  EXPECT_EQ(rewrite(R"({"model":"m","instructions":"T\n","input":"x"})", unit, Endpoint::responses),
            R"({"model":"real","instructions":"Ours\nT\n","input":"x"})");
  EXPECT_EQ(rewrite(R"({"model":"m","instructions":null})", unit, Endpoint::responses),
            R"({"model":"real","instructions":"Ours"})");
  unit.say(PromptMode::if_absent, "Ours");
  EXPECT_EQ(rewrite(R"({"model":"m","instructions":"T"})", unit, Endpoint::responses),
            R"({"model":"real","instructions":"T"})");
  EXPECT_EQ(rewrite(R"({"model":"m","instructions":null})", unit, Endpoint::responses),
            R"({"model":"real","instructions":"Ours"})");
}

TEST_F(RewriteTest, FillsInThePromptsVariables) {
  Unit unit;
  unit.prompt = {{"You serve ", PromptVariable::tenant_name},
                 {" as ", PromptVariable::scenario},
                 {".\\n", PromptVariable::none}};
  values_.of[static_cast<size_t>(PromptVariable::tenant_name)] = R"(\"Bank\" 17)";
  values_.of[static_cast<size_t>(PromptVariable::scenario)] = "support";
  EXPECT_EQ(
      rewrite(R"({"model":"m","messages":[]})", unit),
      R"({"model":"real","messages":[{"role":"system","content":"You serve \"Bank\" 17 as support.\n"}]})");
  EXPECT_EQ(prompt_bytes(unit.view(), values_),
            std::string_view(R"(You serve \"Bank\" 17 as support.\n)").size());
}

TEST_F(RewriteTest, FillsInAttributesEscapedAndAbsentOnesAsNothing) {
  Unit unit;
  unit.prompt = {{"Plan ", PromptVariable::attribute, 3},
                 {", region ", PromptVariable::attribute, 31},
                 {", age ", PromptVariable::attribute, 0},
                 {".", PromptVariable::none}};
  const std::string_view head = "x-weir-attr-region: a\"b\\c\td\r\nx-weir-attr-plan: pro\r\n";
  const SentAttribute sent[] = {{20, 7, 31}, {47, 3, 3}};
  values_.attributes = sent;
  values_.request = reinterpret_cast<const uint8_t*>(head.data());
  EXPECT_EQ(
      rewrite(R"({"model":"m","messages":[]})", unit),
      R"({"model":"real","messages":[{"role":"system","content":"Plan pro, region a\"b\\c\td, age ."}]})");
  EXPECT_GE(prompt_bytes(unit.view(), values_), std::string_view(R"(Plan pro, region a\"b\\c\td, age .)").size());
}

TEST_F(RewriteTest, AsksForUsageOnEveryStream) {
  EXPECT_EQ(rewrite(R"({"model":"m","messages":[],"stream":true})", Unit{}),
            R"({"stream_options":{"include_usage":true},"model":"real","messages":[],"stream":true})");
  EXPECT_TRUE(usage_hidden_);
  EXPECT_EQ(
      rewrite(R"({"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}})", Unit{}),
      R"({"model":"real","messages":[],"stream":true,"stream_options":{"include_usage":true}})");
  EXPECT_FALSE(usage_hidden_);
  EXPECT_EQ(
      rewrite(R"({"model":"m","messages":[],"stream":true,"stream_options":{"include_usage": false ,"x":1}})",
              Unit{}),
      R"({"model":"real","messages":[],"stream":true,"stream_options":{"include_usage": true ,"x":1}})");
  EXPECT_TRUE(usage_hidden_);
  EXPECT_EQ(rewrite(R"({"model":"m","messages":[],"stream":true,"stream_options":{"x":1}})", Unit{}),
            R"({"model":"real","messages":[],"stream":true,"stream_options":{"include_usage":true,"x":1}})");
  EXPECT_EQ(rewrite(R"({"model":"m","messages":[],"stream":true,"stream_options":{ }})", Unit{}),
            R"({"model":"real","messages":[],"stream":true,"stream_options":{"include_usage":true }})");
  EXPECT_EQ(rewrite(R"({"model":"m","messages":[],"stream":true,"stream_options":null})", Unit{}),
            R"({"model":"real","messages":[],"stream":true,"stream_options":{"include_usage":true}})");
  EXPECT_EQ(rewrite(R"({"model":"m","prompt":"","stream":true})", Unit{}, Endpoint::completions),
            R"({"stream_options":{"include_usage":true},"model":"real","prompt":"","stream":true})");
  EXPECT_EQ(rewrite(R"({"model":"m","input":"","stream":true})", Unit{}, Endpoint::responses),
            R"({"model":"real","input":"","stream":true})");
  EXPECT_FALSE(usage_hidden_);
  EXPECT_EQ(rewrite(R"({"model":"m","messages":[],"stream":false})", Unit{}),
            R"({"model":"real","messages":[],"stream":false})");
  EXPECT_FALSE(usage_hidden_);
}

TEST_F(RewriteTest, LetsOnlyTheUnitsToolsPass) {
  const std::string a = R"({"type":"function","function":{"name":"a"}})";
  const std::string b = R"({"type":"function","function":{"name":"b"}})";
  const std::string web = R"({"type":"web_search"})";
  Unit unit;
  unit.allow({"a", "web_search"});
  const auto tools = [&](const std::string& theirs) {
    return rewrite(R"({"model":"m","messages":[],"tool_choice":"auto","tools":[)" + theirs +
                       R"(],"parallel_tool_calls":true})",
                   unit);
  };
  const auto expected = [&](const std::string& ours) {
    return R"({"model":"real","messages":[],"tool_choice":"auto","tools":[)" + ours +
           R"(],"parallel_tool_calls":true})";
  };
  EXPECT_EQ(tools(a), expected(a));
  EXPECT_EQ(tools(a + "," + b), expected(a));
  EXPECT_EQ(tools(b + "," + a), expected(a));
  EXPECT_EQ(tools(b + " , " + a + " , " + b + "," + web + "," + b), expected(a + "," + web));
  EXPECT_EQ(tools(b), R"({"model":"real","messages":[]})");
  EXPECT_EQ(tools(""), R"({"model":"real","messages":[]})");
  EXPECT_EQ(rewrite(R"({"functions":[],"model":"m","messages":[],"function_call":"x"})", unit),
            R"({"model":"real","messages":[]})");
  EXPECT_EQ(rewrite(R"({"model":"m","tools":[{"type":"function","name":"a"},{"type":"mcp","name":"a"}]})",
                    unit, Endpoint::responses),
            R"({"model":"real","tools":[{"type":"function","name":"a"}]})");
  unit.set("tool_choice", "\"tool_choice\"", "\"none\"");
  EXPECT_EQ(rewrite(R"({"model":"m","messages":[]})", unit), R"({"model":"real","messages":[]})");
  EXPECT_EQ(tools(b), R"({"model":"real","messages":[]})");
  EXPECT_EQ(rewrite(R"({"model":"m","messages":[],"tools":[{"type":"x"}]})", Unit{}),
            R"({"model":"real","messages":[],"tools":[{"type":"x"}]})");
}

TEST_F(RewriteTest, RefusesAResultThatDoesNotFit) {
  Unit unit;
  const std::string text(1000, 'x');
  unit.say(PromptMode::replace, text);
  scratch_bytes_ = 900;
  EXPECT_EQ(rewrite(R"({"model":"m","messages":[]})", unit), "");
  EXPECT_EQ(error_.code, ErrorCode::rewrite_too_large);
}

TEST_F(RewriteTest, RefusesAResultAboveKMaxRewrittenBytes) {
  static_assert(limits::kMaxRewrittenBytes > limits::kMaxBodyBytes);
  const std::string prompt(limits::kMaxRewrittenBytes, 'x');
  Unit unit;
  unit.say(PromptMode::replace, prompt);
  scratch_.resize(limits::kMaxRewrittenBytes + 4096);
  scratch_bytes_ = scratch_.size();
  EXPECT_EQ(rewrite(R"({"model":"m","messages":[]})", unit), "");
  EXPECT_EQ(error_.code, ErrorCode::rewrite_too_large);
}

TEST_F(RewriteTest, RefusesToReplaceMoreThanKMaxSystemMessages) {
  std::string messages;
  for (uint32_t i = 0; i <= kMaxSystemMessages; ++i)
    messages += std::string(i ? "," : "") + R"({"role":"system"})";
  Unit unit;
  unit.say(PromptMode::replace, "x");
  EXPECT_EQ(rewrite("{\"messages\":[" + messages + "]}", unit), "");
  EXPECT_EQ(error_.code, ErrorCode::field_too_long);
  EXPECT_STREQ(error_.param, "messages");
  unit.say(PromptMode::prepend, "x");
  EXPECT_NE(rewrite("{\"messages\":[" + messages + "]}", unit), "");
}

TEST_F(RewriteTest, CopiesWhenThePiecesRunOut) {
  std::string tools;
  std::string kept;
  const std::string schema(200, 'd');
  for (uint32_t i = 0; i < limits::kMaxTools; ++i) {
    const std::string tool = R"({"type":"function","function":{"name":")" + std::string(i % 2 ? "a" : "b") +
                             R"(","description":")" + schema + "\"}}";
    tools += (i ? "," : "") + tool;
    if (i % 2 == 1) kept += (kept.empty() ? "" : ",") + tool;
  }
  Unit unit;
  unit.allow({"a"});
  EXPECT_EQ(rewrite(R"({"model":"m","messages":[],"tools":[)" + tools + R"(],"user":"u"})", unit),
            R"({"model":"real","messages":[],"tools":[)" + kept + R"(],"user":"u"})");
  EXPECT_EQ(pieces_.size(), PieceList::kCapacity);
}

TEST(RewriteParam, KnowsWhatAUnitMayNotSet) {
  for (const char* key : {"model", "messages", "stream", "stream_options", "tools", "functions", "input",
                          "prompt", "instructions", "user", "metadata", "Model", "conversation"}) {
    EXPECT_TRUE(is_reserved_param(key)) << key;
  }
  for (const char* key : {"temperature", "max_tokens", "top_k", "tool_choice", "reasoning_effort"}) {
    EXPECT_FALSE(is_reserved_param(key)) << key;
  }
}

TEST(RewriteParam, KnowsCounts) {
  EXPECT_EQ(make_param("max_tokens", "", "800").count, 800u);
  EXPECT_EQ(make_param("max_tokens", "", "8.5").count, 0u);
  EXPECT_EQ(make_param("temperature", "", "-1").count, 0u);
  EXPECT_EQ(make_param("x", "", "99999999999").count, 0u);
}

// ---- against a slow rewrite on parsed values (tests/routing/inspect/slow_rewrite.h) ----

TEST_F(RewriteTest, AgreesWithASlowRewriteOnRandomBodiesAndUnits) {
  JsonMaker make(99);
  static const std::vector<std::string> members = {R"("model":"gpt")",
                                                   R"("mod\u0065l":"g")",
                                                   R"("stream":true)",
                                                   R"("stream" : true)",
                                                   R"("n":2)",
                                                   R"("max_tokens":800)",
                                                   R"("max_completion_tokens":9)",
                                                   R"("max_output_tokens":77)",
                                                   R"("temperature":0.2)",
                                                   R"("TOP_K":5)",
                                                   R"("user":"u\u002d1")",
                                                   R"("stream_options":{"include_usage":true})",
                                                   R"("stream_options":{"include_usage": null })",
                                                   R"("stream_options":{ })",
                                                   R"("stream_options":{"x":[1,2]})",
                                                   R"("stream_options":null)",
                                                   R"("tool_choice":"auto")",
                                                   R"("parallel_tool_calls":false)",
                                                   R"("functions":[{"name":"f"}])",
                                                   R"("instructions":"Th\u0065y \" say")",
                                                   R"("instructions":null)",
                                                   R"("frequency_penalty":1)",
                                                   R"("tools":[])"};
  static const std::vector<std::string> tools = {R"({"type":"function","function":{"name":"a","x":1}})",
                                                 R"({"type":"function","function":{"name":"b"},"name":"b"})",
                                                 R"({"type":"function","name":"a"})",
                                                 R"({"type":"web"})",
                                                 R"({ "function" : { "name" : "\u0061" } })",
                                                 R"({})"};
  static const std::vector<std::string> roles = {"user",      "system",     "assistant",
                                                 "developer", "us\\u0065r", "syst\\u0065m"};
  static const std::vector<Endpoint> endpoints = {Endpoint::chat_completions, Endpoint::chat_completions,
                                                  Endpoint::responses, Endpoint::completions,
                                                  Endpoint::embeddings};
  uint32_t compared = 0;
  for (int i = 0; i < tests::rounds(60'000); ++i) {
    const Endpoint endpoint = make.one_of(endpoints);
    std::vector<std::string> parts;
    const uint32_t count = make.below(6);
    for (uint32_t k = 0; k < count; ++k) parts.push_back(make.one_of(members));
    if (make.chance(50)) {
      std::string list = "\"tools\":[";
      const uint32_t size = make.below(5);
      for (uint32_t k = 0; k < size; ++k)
        list += (k ? "," : "") + make.blanks() + make.one_of(tools) + make.blanks();
      parts.push_back(list + "]");
    }
    std::string messages = "\"messages\":" + make.blanks() + "[";
    const uint32_t size = make.below(6);
    for (uint32_t k = 0; k < size; ++k) {
      messages += (k ? "," : "") + make.blanks() + "{\"role\":\"" + make.one_of(roles) +
                  "\",\"content\":" + make.value(3) + "}" + make.blanks();
    }
    parts.insert(parts.begin() + make.below(static_cast<uint32_t>(parts.size()) + 1), messages + "]");
    std::string body = make.blanks() + "{";
    for (size_t k = 0; k < parts.size(); ++k)
      body += (k ? "," : "") + make.blanks() + parts[k] + make.blanks();
    body += "}" + make.blanks();

    Unit unit;
    if (make.chance(40)) unit.set("temperature", "\"temperature\"", "0.7");
    if (make.chance(30)) unit.set("max_tokens", "\"max_tokens\"", "123");
    if (make.chance(20)) unit.set("top_k", "\"top_k\"", "[1]");
    if (make.chance(20)) unit.set("tool_choice", "\"tool_choice\"", "\"none\"");
    if (make.chance(20)) unit.set("frequency_penalty", "\"frequency_penalty\"", "2");
    if (make.chance(60)) unit.say(static_cast<PromptMode>(make.below(3)), "Our \\\"own\\\" text\\n");
    if (make.chance(50))
      unit.allow(make.chance(70) ? std::vector<std::string_view>{"a", "web"}
                                 : std::vector<std::string_view>{});

    document_ = std::make_unique<PaddedDocument>(body);
    if (!inspector_->inspect(endpoint, document_->bytes())) continue;  // a member twice
    const std::string result = rewrite(body, unit, endpoint);
    ++compared;
    ASSERT_TRUE(SlowJson::valid(result, limits::kMaxJsonDepth)) << body << "\n" << result;
    ASSERT_EQ(json::parse(result), slow_rewrite(json::parse(body), unit, endpoint)) << body << "\n" << result;
    // No member twice: the parsed form would hide it.
    document_ = std::make_unique<PaddedDocument>(result);
    ASSERT_TRUE(inspector_->inspect(endpoint, document_->bytes()).has_value()) << body << "\n" << result;
  }
  EXPECT_GT(compared, static_cast<uint32_t>(tests::rounds(20'000)));
}

}  // namespace
}  // namespace weir::routing
