#include "routing/inspect/usage.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/routing/inspect/json_reference.h"

namespace weir::routing {
namespace {

EventFacts read(UsageReader& reader, std::string_view data) {
  const PaddedDocument document(data);
  return reader.read_event(document.bytes());
}

EventFacts read_first(std::string_view data, Endpoint endpoint = Endpoint::chat_completions) {
  UsageReader reader(endpoint);
  return read(reader, data);
}

// A chunk of a chat stream with this delta and these further members.
std::string chunk(std::string_view delta, std::string_view more = R"(,"usage":null)") {
  return R"({"id":"c-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"delta":)" +
         std::string(delta) + R"(,"logprobs":null,"finish_reason":null}])" + std::string(more) + "}";
}

const std::string kUsageChunk =
    R"({"id":"c-1","object":"chat.completion.chunk","model":"gpt-4o-mini-2024-07-18","choices":[],"usage":{"prompt_tokens":120,)"
    R"("completion_tokens":30,"total_tokens":150,"prompt_tokens_details":{"cached_tokens":100,"audio_tokens":0},)"
    R"("completion_tokens_details":{"reasoning_tokens":8,"accepted_prediction_tokens":0}}})";
const Usage kUsage{120, 100, 30, 8, true};

// ---- events of chat completions ----

TEST(UsageReader, TellsContentFromTheRest) {
  EXPECT_FALSE(read_first(chunk(R"({"role":"assistant"})")).content);
  EXPECT_FALSE(read_first(chunk(R"({"role":"assistant","content":""})")).content);
  EXPECT_FALSE(read_first(chunk(R"({"role":"assistant","content":null,"refusal":null})")).content);
  EXPECT_FALSE(read_first(chunk("{}")).content);
  EXPECT_FALSE(read_first(chunk(R"({"tool_calls":[]})")).content);
  EXPECT_TRUE(read_first(chunk(R"({"content":"Hi"})")).content);
  EXPECT_TRUE(read_first(chunk(R"({"content":" "})")).content);
  EXPECT_TRUE(read_first(chunk(R"({"reasoning_content":"Hm"})")).content);
  EXPECT_TRUE(read_first(chunk(R"({"refusal":"No"})")).content);
  EXPECT_TRUE(read_first(chunk(R"({"tool_calls":[{"index":0}]})")).content);
  EXPECT_TRUE(read_first(R"({"choices":[{"index":0,"text":"Hi"}]})", Endpoint::completions).content);
  EXPECT_FALSE(read_first(R"({"choices":[{"index":0,"text":""}]})", Endpoint::completions).content);
  EXPECT_EQ(read_first("[DONE]"), EventFacts{});
  EXPECT_EQ(read_first(""), EventFacts{});
}

TEST(UsageReader, ReadsUsageFromItsOwnChunk) {
  UsageReader reader(Endpoint::chat_completions);
  EXPECT_FALSE(read(reader, chunk(R"({"role":"assistant"})")).content);
  EXPECT_FALSE(reader.saw_content());
  EXPECT_TRUE(read(reader, chunk(R"({"content":"Hi"})")).content);
  EXPECT_TRUE(reader.saw_content());
  EXPECT_FALSE(reader.usage().present);
  const EventFacts facts = read(reader, kUsageChunk);
  EXPECT_TRUE(facts.usage);
  EXPECT_TRUE(facts.usage_only);
  EXPECT_FALSE(facts.content);
  EXPECT_EQ(reader.usage(), kUsage);
  EXPECT_EQ(reader.model(), "gpt-4o-mini-2024-07-18");
}

TEST(UsageReader, ReadsUsageFromAChunkWithChoicesToo) {
  UsageReader reader(Endpoint::chat_completions);
  const EventFacts facts =
      read(reader, chunk(R"({"content":"x"})", R"(,"usage":{"prompt_tokens":1,"completion_tokens":2})"));
  EXPECT_TRUE(facts.usage);
  EXPECT_FALSE(facts.usage_only);
  EXPECT_EQ(reader.usage(), (Usage{1, 0, 2, 0, true}));
}

TEST(UsageReader, KeepsTheLatestUsage) {
  UsageReader reader(Endpoint::chat_completions);
  read(reader, chunk(R"({"content":"x"})", R"(,"usage":{"prompt_tokens":1,"completion_tokens":2})"));
  read(reader, chunk(R"({"content":"y"})", R"(,"usage": null)"));
  EXPECT_EQ(reader.usage().output, 2);
  read(reader, chunk(R"({"content":"y"})", R"(,"usage" : { "completion_tokens" : 5, "prompt_tokens" : 1 })"));
  EXPECT_EQ(reader.usage().output, 5);
}

TEST(UsageReader, TakesTheLastOfTwoUsagesWhole) {
  const std::string body = R"({"usage":{"prompt_tokens":7,"completion_tokens":2},"response":{"usage":)"
                           R"({"input_tokens":5}},"choices":[]})";
  UsageReader events(Endpoint::responses);
  EXPECT_TRUE(read(events, body).usage);
  EXPECT_EQ(events.usage(), (Usage{5, 0, 0, 0, true}));
  for (const auto position : {UsageReader::Position::whole, UsageReader::Position::first}) {
    UsageReader plain(Endpoint::responses);
    plain.feed(PaddedDocument(body).bytes(), position);
    EXPECT_EQ(plain.usage(), (Usage{5, 0, 0, 0, true}));
  }
}

TEST(UsageReader, ReadsAnEventWithBlanksBeforeIt) {
  UsageReader reader(Endpoint::chat_completions);
  EXPECT_TRUE(read(reader, " \t" + kUsageChunk).usage_only);
  EXPECT_EQ(reader.usage(), kUsage);
  EXPECT_EQ(read(reader, "  "), EventFacts{});
}

TEST(UsageReader, IgnoresUsageInsideText) {
  UsageReader reader(Endpoint::chat_completions);
  read(reader, chunk(R"({"content":"x"})"));
  EXPECT_EQ(read(reader, chunk(R"({"content":"\"usage\":{\"prompt_tokens\":9}"})")), EventFacts{});
  EXPECT_EQ(read(reader, chunk(R"({"content":"usage"})")), EventFacts{});
  EXPECT_FALSE(reader.usage().present);
}

TEST(UsageReader, TellsWhereAnEventNamesUsage) {
  UsageReader reader(Endpoint::chat_completions);
  const auto key_in = [&](const std::string& data) {
    read(reader, data);
    return reader.usage_key();
  };
  EXPECT_EQ(key_in(R"({"usage":null,"choices":[]})"), 1u);
  const std::string after_text = R"({"choices":[{"delta":{"content":"usage"}}],"usage" : null})";
  EXPECT_EQ(key_in(after_text), after_text.rfind("\"usage\""));
  EXPECT_EQ(key_in(R"({"choices":[{"delta":{"content":"\"usage\":1"}}]})"), UsageReader::kNoUsageKey);
  EXPECT_EQ(key_in("[DONE]"), UsageReader::kNoUsageKey);
  EXPECT_EQ(key_in(""), UsageReader::kNoUsageKey);
  for (size_t padding = 0; padding < 70; ++padding) {  // at every place of a block
    const std::string before = "{\"x\":\"" + std::string(padding, 'y') + "\",";
    EXPECT_EQ(key_in(before + "\"usage\":null}"), before.size());
    EXPECT_EQ(key_in(before + "\"usage\""), UsageReader::kNoUsageKey);
  }
}

TEST(UsageReader, DoesNotBelieveNonsense) {
  for (const char* usage : {R"({"prompt_tokens":-5})", R"({"prompt_tokens":"5"})", R"({"prompt_tokens":1.5})",
                            R"({"prompt_tokens":1e3})", R"({"prompt_tokens":99999999999999999999999})",
                            R"({})", R"([])", "7", R"({"total_tokens":5})"}) {
    UsageReader reader(Endpoint::chat_completions);
    EXPECT_FALSE(read(reader, chunk("{}", ",\"usage\":" + std::string(usage))).usage) << usage;
    EXPECT_FALSE(reader.usage().present) << usage;
  }
  UsageReader reader(Endpoint::chat_completions);
  EXPECT_EQ(read(reader, R"({"choices":[],"usage":{"prompt_tokens":5})"), EventFacts{});
  EXPECT_FALSE(reader.usage().present);
}

TEST(UsageReader, SeesAnErrorInAStream) {
  UsageReader reader(Endpoint::chat_completions);
  EXPECT_FALSE(read(reader, chunk(R"({"content":"x"})", R"(,"error":null)")).error);
  EXPECT_FALSE(read(reader, chunk(R"({"content":"an \"error\": yes"})")).error);
  EXPECT_TRUE(
      read(reader, R"({"error":{"message":"m","type":"server_error","param":null,"code":null}})").error);
  EXPECT_TRUE(reader.saw_error());
}

// ---- events of responses ----

TEST(UsageReader, FollowsAResponsesStream) {
  UsageReader reader(Endpoint::responses);
  EXPECT_EQ(
      read(
          reader,
          R"({"type":"response.created","response":{"id":"r","model":"gpt-4.1","error":null,"usage":null}})"),
      EventFacts{});
  EXPECT_EQ(reader.model(), "gpt-4.1");
  EXPECT_FALSE(read(reader, R"({"type":"response.output_item.added","item":{"content":[]}})").content);
  EXPECT_TRUE(read(reader, R"({"type":"response.output_text.delta","delta":"Hi"})").content);
  EXPECT_EQ(read(reader, R"({"type":"response.output_text.delta","delta":" there"})"), EventFacts{});
  const EventFacts facts =
      read(reader, R"({"type":"response.completed","response":{"error":null,"usage":{"input_tokens":120,)"
                   R"("input_tokens_details":{"cached_tokens":100},"output_tokens":30,)"
                   R"("output_tokens_details":{"reasoning_tokens":8},"total_tokens":150}}})");
  EXPECT_TRUE(facts.usage);
  EXPECT_FALSE(facts.usage_only);
  EXPECT_TRUE(facts.terminal);
  EXPECT_FALSE(facts.error);
  EXPECT_EQ(reader.usage(), kUsage);
}

TEST(UsageReader, KnowsHowAResponsesStreamEnds) {
  const auto ends = [](std::string_view data) {
    UsageReader reader(Endpoint::responses);
    read(reader, R"({"type":"response.output_text.delta","delta":"Hi"})");
    return read(reader, data);
  };
  EXPECT_TRUE(ends(R"({"type":"response.incomplete","response":{"error":null,"usage":{"input_tokens":1}}})")
                  .terminal);
  EXPECT_TRUE(ends(R"({"type":"response.completed","response":{"usage":null}})").terminal);
  EventFacts facts = ends(R"({"type":"response.failed","response":{"error":{"code":"x"},"usage":null}})");
  EXPECT_TRUE(facts.terminal && facts.error);
  facts = ends(R"({"type":"error","code":"x","message":"m"})");
  EXPECT_TRUE(facts.terminal && facts.error);
  EXPECT_FALSE(ends(R"({"type":"response.in_progress","response":{"usage":null}})").terminal);
}

// ---- plain bodies ----

const std::string kAnswer =
    R"({"id":"c-1","object":"chat.completion","created":1,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant",)"
    R"("content":"The word \"usage\": {\"prompt_tokens\": 7} and \\"},"finish_reason":"stop"}],"usage":{"prompt_tokens":120,"completion_tokens":30,)"
    R"("total_tokens":150,"prompt_tokens_details":{"cached_tokens":100,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":8}},)"
    R"("service_tier":"default"})";

void feed(UsageReader& reader, std::string_view piece, UsageReader::Position position) {
  const PaddedDocument document(piece);
  reader.feed(document.bytes(), position);
}

TEST(UsageReader, ReadsAPlainAnswerWhole) {
  UsageReader reader(Endpoint::chat_completions);
  feed(reader, kAnswer, UsageReader::Position::whole);
  EXPECT_EQ(reader.usage(), kUsage);
  EXPECT_EQ(reader.model(), "gpt-4o-mini-2024-07-18");
}

TEST(UsageReader, PrefersTheTopLevelOfAPlainAnswer) {
  UsageReader reader(Endpoint::chat_completions);
  feed(reader,
       R"({"usage":{"prompt_tokens":1,"completion_tokens":2},"model":"top",)"
       R"("choices":[{"model":"inner","usage":{"prompt_tokens":7,"completion_tokens":8}}]})",
       UsageReader::Position::whole);
  EXPECT_EQ(reader.usage(), (Usage{1, 0, 2, 0, true}));
  EXPECT_EQ(reader.model(), "top");
}

TEST(UsageReader, SeesAnErrorInAPlainAnswer) {
  UsageReader reader(Endpoint::chat_completions);
  feed(reader, R"({"error":{"message":"no"}})", UsageReader::Position::whole);
  EXPECT_TRUE(reader.saw_error());
}

TEST(UsageReader, ReadsAPlainAnswerAtEverySplit) {
  for (size_t split = 0; split <= kAnswer.size(); ++split) {
    UsageReader reader(Endpoint::chat_completions);
    feed(reader, std::string_view(kAnswer).substr(0, split), UsageReader::Position::first);
    feed(reader, std::string_view(kAnswer).substr(split), UsageReader::Position::last);
    ASSERT_EQ(reader.usage(), kUsage) << split;
    ASSERT_EQ(reader.model(), "gpt-4o-mini-2024-07-18") << split;
  }
}

TEST(UsageReader, ReadsAPlainAnswerInPiecesOfEverySize) {
  for (size_t size = 1; size < 40; ++size) {
    UsageReader reader(Endpoint::chat_completions);
    for (size_t at = 0; at < kAnswer.size(); at += size) {
      const auto position = at == 0                       ? UsageReader::Position::first
                            : at + size >= kAnswer.size() ? UsageReader::Position::last
                                                          : UsageReader::Position::middle;
      feed(reader, std::string_view(kAnswer).substr(at, size), position);
    }
    ASSERT_EQ(reader.usage(), kUsage) << size;
    ASSERT_EQ(reader.model(), "gpt-4o-mini-2024-07-18") << size;
  }
}

TEST(UsageReader, FindsTheSameInRandomPieces) {
  JsonMaker make(5);
  for (int i = 0; i < 5'000; ++i) {
    const std::string body = "{\"data\":" + make.value() + ",\"usage\" :" + make.blanks() +
                             "{\"prompt_tokens\":" + make.blanks() + "12 , \"x\":" + make.value(3) +
                             ",\"completion_tokens\":34}, \"tail\":" + make.value() + "}";
    UsageReader reader(Endpoint::chat_completions);
    bool first = true;
    for (size_t at = 0; at < body.size();) {
      const size_t size = 1 + make.below(make.chance(50) ? 8 : 200);
      const bool last = at + size >= body.size();
      feed(reader, std::string_view(body).substr(at, size),
           first && last ? UsageReader::Position::first
           : last        ? UsageReader::Position::last
           : first       ? UsageReader::Position::first
                         : UsageReader::Position::middle);
      first = false;
      at += size;
    }
    ASSERT_EQ(reader.usage().input, 12) << body;
    ASSERT_EQ(reader.usage().output, 34) << body;
  }
}

TEST(UsageReader, TakesNoCountFromAnArray) {
  const std::string body = R"({"usage":{"prompt_tokens":3,"cached_tokens":[9],"x":["cached_tokens",[8],7],)"
                           R"("prompt_tokens_details":{"a":[[1]],"cached_tokens":2}}})";
  for (const auto position : {UsageReader::Position::whole, UsageReader::Position::first}) {
    UsageReader reader(Endpoint::chat_completions);
    reader.feed(PaddedDocument(body).bytes(), position);
    EXPECT_EQ(reader.usage(), (Usage{3, 2, 0, 0, true}));
  }
}

TEST(UsageReader, ReadsALongAnswerWithoutParsingIt) {
  const std::string body = R"({"model":"e","data":[{"embedding":")" +
                           std::string(UsageReader::kMaxExactBytes, 'A') +
                           R"("}],"usage":{"prompt_tokens":8,"total_tokens":8}})";
  UsageReader reader(Endpoint::embeddings);
  feed(reader, body, UsageReader::Position::whole);
  EXPECT_EQ(reader.usage(), (Usage{8, 0, 0, 0, true}));
  EXPECT_EQ(reader.model(), "e");
}

TEST(UsageReader, ReadsResponsesAnswers) {
  UsageReader reader(Endpoint::responses);
  feed(reader,
       R"({"object":"response","model":"m","error":null,"usage":{"input_tokens":5,"output_tokens":6}})",
       UsageReader::Position::whole);
  EXPECT_EQ(reader.usage(), (Usage{5, 0, 6, 0, true}));
}

TEST(UsageReader, GivesUpOnAUsageObjectLargerThanKMaxUsageBytes) {
  const auto usage_of = [](size_t filling) {
    const std::string body = R"({"usage":{"x":")" + std::string(filling, 'x') + R"(","prompt_tokens":5}})";
    UsageReader reader(Endpoint::chat_completions);
    feed(reader, body, UsageReader::Position::first);
    return reader.usage().present;
  };
  EXPECT_TRUE(usage_of(core::limits::kMaxUsageBytes - 100));
  EXPECT_FALSE(usage_of(core::limits::kMaxUsageBytes));
}

TEST(UsageReader, CutsALongModelName) {
  const std::string name(UsageReader::kMaxModelBytes + 10, 'm');
  for (const auto position : {UsageReader::Position::whole, UsageReader::Position::first}) {
    UsageReader reader(Endpoint::chat_completions);
    feed(reader, "{\"model\":\"" + name + "\"}", position);
    EXPECT_EQ(reader.model(), name.substr(0, UsageReader::kMaxModelBytes));
  }
}

TEST(UsageReader, SurvivesAnyBytes) {
  JsonMaker make(3);
  for (int i = 0; i < 30'000; ++i) {
    std::string body = make.chance(50) ? kUsageChunk : kAnswer;
    make.mutate(body);
    UsageReader reader(make.chance(50) ? Endpoint::responses : Endpoint::chat_completions);
    read(reader, body);
    const size_t split = make.below(static_cast<uint32_t>(body.size()) + 1);
    feed(reader, std::string_view(body).substr(0, split), UsageReader::Position::first);
    feed(reader, std::string_view(body).substr(split), UsageReader::Position::last);
    EXPECT_GE(reader.usage().input, 0);
    EXPECT_GE(reader.usage().output, 0);
  }
}

// ---- cost ----

TEST(Cost, IsTheExactSumRoundedUpOnce) {
  const Price price{150'000'000, 75'000'000, 600'000'000};  // 0.15, 0.075, 0.60 USD per million
  EXPECT_EQ(cost({1'000'000, 0, 0, 0, true}, price), 150'000'000);
  EXPECT_EQ(cost({120, 100, 30, 8, true}, price), 20 * 150 + 100 * 75 + 30 * 600);
  EXPECT_EQ(cost({0, 0, 0, 0, true}, price), 0);
  EXPECT_EQ(cost({1, 0, 0, 0, true}, {1, 0, 0}), 1);
  EXPECT_EQ(cost({1, 0, 1, 0, true}, {1, 0, 1}), 1);
  EXPECT_EQ(cost({1'000'000, 0, 0, 0, true}, {1, 0, 0}), 1);
  EXPECT_EQ(cost({1'000'001, 0, 0, 0, true}, {1, 0, 0}), 2);
}

TEST(Cost, TakesOddCountsForWhatTheyCanBe) {
  const Price price{1'000'000, 500'000, 2'000'000};
  EXPECT_EQ(cost({-5, 0, -5, 0, true}, price), 0);
  EXPECT_EQ(cost({10, 50, 0, 0, true}, price), 5);
  EXPECT_EQ(cost({10, -50, 0, 0, true}, price), 10);
}

TEST(Cost, Saturates) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(cost({kMost, 0, kMost, 0, true}, {kMost, kMost, kMost}), kMost);
  EXPECT_EQ(cost({kMost, kMost, kMost, 0, true}, {kMost, kMost, kMost}), kMost);
  EXPECT_EQ(cost({1'000'000, 0, 0, 0, true}, {kMost, 0, 0}), kMost);
}

}  // namespace
}  // namespace weir::routing
