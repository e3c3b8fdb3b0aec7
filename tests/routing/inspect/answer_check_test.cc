#include "routing/inspect/answer_check.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace weir::routing {
namespace {

AnswerVerdict judge(std::string_view body, AnswerCheck check,
                    Endpoint endpoint = Endpoint::chat_completions) {
  std::vector<uint8_t> bytes(body.begin(), body.end());
  bytes.resize(body.size() + JsonCursor::kPadding);
  std::vector<uint8_t> scratch(bytes.size());
  return check_answer(endpoint, std::span(bytes).first(body.size()), check, scratch);
}
std::string chat(std::string_view message) {
  return R"({"id":"x","choices":[{"index":0,"finish_reason":"stop","message":)" + std::string(message) +
         "}]}";
}

TEST(AnswerCheck, TellsARefusalFromAnAnswer) {
  EXPECT_FALSE(judge(chat(R"({"content":"hello","refusal":null})"), AnswerCheck::any).refused);
  EXPECT_FALSE(judge(chat(R"({"content":"hello","refusal":""})"), AnswerCheck::any).refused);
  EXPECT_TRUE(judge(chat(R"({"content":null,"refusal":"I cannot"})"), AnswerCheck::any).refused);
  EXPECT_TRUE(judge(R"({"choices":[{"message":{"content":"a"}},{"finish_reason":"content_filter"}]})",
                    AnswerCheck::any)
                  .refused);
  EXPECT_TRUE(judge(R"({"output":[{"type":"message","content":[{"type":"refusal","refusal":"no"}]}]})",
                    AnswerCheck::any, Endpoint::responses)
                  .refused);
  EXPECT_FALSE(judge(chat(R"({"content":"the \"refusal\":\"x\" of it"})"), AnswerCheck::any).refused);
}

TEST(AnswerCheck, WantsSomethingSaid) {
  const auto valid = [](std::string_view message) {
    return judge(chat(message), AnswerCheck::nonempty).valid;
  };
  EXPECT_TRUE(valid(R"({"content":"x"})"));
  EXPECT_FALSE(valid(R"({"content":""})"));
  EXPECT_FALSE(valid(R"({"content":null})"));
  EXPECT_TRUE(valid(R"({"content":null,"tool_calls":[{"id":"1"}]})"));
  EXPECT_FALSE(valid(R"({"content":null,"tool_calls":[]})"));
  EXPECT_FALSE(judge(R"({"choices":[]})", AnswerCheck::nonempty).valid);
  EXPECT_FALSE(
      judge(R"({"choices":[{"message":{"content":"a"}},{"message":{"content":""}}]})", AnswerCheck::nonempty)
          .valid);
  EXPECT_TRUE(judge(R"({"choices":[{"text":"a"}]})", AnswerCheck::nonempty, Endpoint::completions).valid);
  EXPECT_TRUE(judge(R"({"output":[{"type":"reasoning"},{"type":"message","content":[{"text":"a"}]}]})",
                    AnswerCheck::nonempty, Endpoint::responses)
                  .valid);
  EXPECT_FALSE(
      judge(R"({"output":[{"type":"reasoning"}]})", AnswerCheck::nonempty, Endpoint::responses).valid);
}

TEST(AnswerCheck, WantsJsonWhereItWasDeclared) {
  const auto valid = [](std::string_view message) { return judge(chat(message), AnswerCheck::json).valid; };
  EXPECT_TRUE(valid(R"({"content":"{\"a\":[1,2,\"\\u00e9\"]}"})"));
  EXPECT_TRUE(valid(R"({"content":" [] "})"));
  EXPECT_FALSE(valid(R"({"content":"{\"a\":"})"));
  EXPECT_FALSE(valid(R"({"content":"Here it is: {}"})"));
  EXPECT_FALSE(valid(R"({"content":"{} {}"})"));
  EXPECT_TRUE(valid(R"({"content":null,"tool_calls":[{"id":"1"}]})"));
}

TEST(AnswerCheck, AnAnswerThatIsNoJsonIsNoAnswer) {
  const std::string whole = chat(R"({"content":"{}"})");
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(judge(whole.substr(0, size), AnswerCheck::json).valid) << size;
    EXPECT_TRUE(judge(whole.substr(0, size), AnswerCheck::any).valid);
  }
  EXPECT_FALSE(judge("[]", AnswerCheck::nonempty).valid);
  EXPECT_FALSE(judge("{\"data\":[", AnswerCheck::nonempty, Endpoint::embeddings).valid);
  EXPECT_TRUE(judge("{\"data\":[]}", AnswerCheck::nonempty, Endpoint::embeddings).valid);
}

}  // namespace
}  // namespace weir::routing
