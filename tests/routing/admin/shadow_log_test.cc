#include "routing/admin/shadow_log.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/routing/guard/guard_fixture.h"

namespace weir::routing::shadow_log_test {
namespace {

constexpr std::string_view kAnswer =
    R"({"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"Write to anna@example.org"}}]})";
// The address is cut into pieces, as models do.
constexpr std::string_view kStream =
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"
    "data: {\"choices\":[{\"delta\":{\"content\":\"Write to anna@exa\"}}]}\r\n\r\n"
    "data: {\"choices\":[{\"delta\":{\"content\":\"mple.org\"}}]}\n\n"
    ": a comment\n\ndata: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n";

struct World {
  World() {
    const tests::GuardedTable compiled = tests::guarded_table();
    table.body = compiled.body;
    table.tenants = compiled.tenants;
    table.revision = 7;
    pair.table = &table;
    pair.primary.bytes = primary;
    pair.shadow.bytes = shadow;
    pair.primary.status = pair.shadow.status = 200;
    pair.shadow.unit = 1;
  }
  nlohmann::json line(ShadowText text = ShadowText::masked,
                      const std::vector<std::string>& custom = {}) const {
    const ShadowPolicies policies{.standard = {.text = text, .mask = custom}, .tenants = tenants};
    const std::string line = shadow_line(pair, policies, ShadowDigest(secret));
    EXPECT_TRUE(line.ends_with("}\n"));
    return nlohmann::json::parse(line);
  }
  static void say(ShadowSide& side, std::string_view text) {
    side.append({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }
  std::string_view secret = "a secret of this weir";
  std::map<std::string, ShadowPolicy, std::less<>> tenants = {};
  Table table;
  ShadowPair pair;
  uint8_t primary[core::limits::kMaxShadowTextBytes];
  uint8_t shadow[core::limits::kMaxShadowTextBytes];
};

TEST(ShadowLog, PutsBothAnswersSideBySideAndMasksThem) {
  const auto world = std::make_unique<World>();
  World::say(world->pair.primary, kAnswer);
  World::say(world->pair.shadow, R"({"choices":[{"message":{"content":"Call +49 30 901820"}}]})");
  world->pair.primary.usage = {.input = 3, .output = 2, .present = true};
  world->pair.primary.cost_nano_usd = 1'500'000'000;
  world->pair.primary.total_ns = 5'000'000;
  const nlohmann::json line = world->line();
  EXPECT_EQ(line["tenant"], "t1");
  EXPECT_EQ(line["flag"], "f");
  EXPECT_EQ(line["revision"], 7);
  EXPECT_EQ(line["primary"]["unit"], "big");
  EXPECT_EQ(line["shadow"]["unit"], "mini");
  EXPECT_EQ(line["primary"]["text"], "Write to [email]");
  EXPECT_EQ(line["shadow"]["text"], "Call [phone]");
  EXPECT_EQ(line["primary"]["output_tokens"], 2);
  EXPECT_EQ(line["primary"]["usage"], "reported");
  EXPECT_EQ(line["primary"]["cost_usd"], 1.5);
  EXPECT_EQ(line["primary"]["total_us"], 5000);
  EXPECT_EQ(line["shadow"]["usage"], "estimated");
}

TEST(ShadowLog, PutsAStreamTogetherBeforeItMasks) {
  const auto world = std::make_unique<World>();
  world->pair.streamed = true;
  World::say(world->pair.primary, kStream);
  EXPECT_EQ(world->line()["primary"]["text"], "Write to [email]");
}

TEST(ShadowLog, ADigestTellsAnswersApartAndNothingElse) {
  const auto world = std::make_unique<World>();
  World::say(world->pair.primary, kAnswer);
  World::say(world->pair.shadow, kAnswer);
  nlohmann::json line = world->line(ShadowText::digest);
  EXPECT_EQ(line["primary"]["digest"], line["shadow"]["digest"]);
  EXPECT_FALSE(line["primary"].contains("text"));
  EXPECT_EQ(line.dump().find("anna"), std::string::npos);
}

// The same call, whole and in pieces, of both APIs.
TEST(ShadowLog, ToolCallsAreSaidByNameAndArguments) {
  const auto chat = [](std::string_view body) {
    return answer_text(Endpoint::chat_completions, false, body);
  };
  const auto chunks = [](std::string_view body) {
    return answer_text(Endpoint::chat_completions, true, body);
  };
  const auto response = [](std::string_view body) { return answer_text(Endpoint::responses, false, body); };
  const auto events = [](std::string_view body) { return answer_text(Endpoint::responses, true, body); };
  const std::string weather = R"(weather({"city":"Bonn"}))";
  EXPECT_EQ(chat(R"({"choices":[{"message":{"content":null,"tool_calls":[{"id":"c","type":"function",)"
                 R"("function":{"name":"weather","arguments":"{\"city\":\"Bonn\"}"}}]}}]})"),
            weather);
  EXPECT_EQ(chat(R"({"choices":[{"message":{"function_call":{"name":"weather",)"
                 R"("arguments":"{\"city\":\"Bonn\"}"}}}]})"),
            weather);
  EXPECT_EQ(chat(R"({"choices":[{"message":{"tool_calls":[{"type":"custom","custom":{"name":"sql",)"
                 R"("input":"SELECT 1"}}]}}]})"),
            "sql(SELECT 1)");
  EXPECT_EQ(
      chunks(
          "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"weather\","
          "\"arguments\":\"\"}}]}}]}\n\n"
          "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":"
          "\"{\\\"city\\\":\"}}]}}]}\n\n"
          "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":"
          "\"\\\"Bonn\\\"}\"}}]}}]}\n\n"),
      weather);
  const std::string item = R"({"type":"function_call","call_id":"c","name":"weather",)"
                           R"("arguments":"{\"city\":\"Bonn\"}"})";
  EXPECT_EQ(response(R"({"output":[{"type":"reasoning","summary":[]},)" + item + "]}"), weather);
  EXPECT_EQ(response(R"({"output":[{"type":"custom_tool_call","name":"sql","input":"SELECT 1"}]})"),
            "sql(SELECT 1)");
  const std::string added =
      "data: "
      "{\"type\":\"response.output_item.added\",\"output_index\":1,\"item\":{\"type\":\"function_call\","
      "\"name\":\"weather\",\"arguments\":\"\"}}\n\n";
  const auto piece = [](const std::string& text) {
    return "data: {\"type\":\"response.function_call_arguments.delta\",\"output_index\":1,\"delta\":\"" +
           text + "\"}\n\n";
  };
  const std::string done =
      "data: {\"type\":\"response.output_item.done\",\"output_index\":1,\"item\":" + item + "}\n\n";
  const std::string completed =
      "data: {\"type\":\"response.completed\",\"response\":{\"output\":[" + item + "]}}\n\n";
  EXPECT_EQ(events(added + piece(R"({\"city\")") + piece(R"(:\"Bonn\"})") + done + completed), weather);
  EXPECT_EQ(events(done), weather) << "without pieces";
}

TEST(ShadowLog, ADigestTellsCallsApart) {
  const auto digest_of = [](std::string_view name, std::string_view arguments) {
    const auto world = std::make_unique<World>();
    world->pair.endpoint = Endpoint::responses;
    World::say(
        world->pair.primary,
        nlohmann::json{{"output", {{{"type", "function_call"}, {"name", name}, {"arguments", arguments}}}}}
            .dump());
    return world->line(ShadowText::digest)["primary"]["digest"].get<std::string>();
  };
  EXPECT_EQ(digest_of("pay", "{}"), digest_of("pay", "{}"));
  EXPECT_NE(digest_of("pay", "{}"), digest_of("refund", "{}"));
  EXPECT_NE(digest_of("pay", "{}"), digest_of("pay", R"({"usd":1})"));
  EXPECT_NE(digest_of("pay", "1"), digest_of("pay1", ""));
}

TEST(ShadowLog, RefusalsAreSaidWhereverTheyStand) {
  EXPECT_EQ(answer_text(Endpoint::chat_completions, false, R"({"choices":[{"message":{"refusal":"No."}}]})"),
            "No.");
  EXPECT_EQ(answer_text(Endpoint::chat_completions, true,
                        "data: {\"choices\":[{\"delta\":{\"refusal\":\"No\"}}]}\n"
                        "data: {\"choices\":[{\"delta\":{\"refusal\":\".\"}}]}\n"),
            "No.");
  EXPECT_EQ(answer_text(Endpoint::responses, false,
                        R"({"output":[{"type":"message","content":[{"type":"refusal","refusal":"No."}]}]})"),
            "No.");
  EXPECT_EQ(answer_text(Endpoint::responses, true,
                        "data: {\"type\":\"response.refusal.delta\",\"output_index\":0,\"delta\":\"No\"}\n"
                        "data: {\"type\":\"response.refusal.delta\",\"output_index\":0,\"delta\":\".\"}\n"),
            "No.");
}

// What is masked could be found by trying, if everybody could compute the digest.
TEST(ShadowLog, ADigestCannotBeComputedWithoutTheSecret) {
  const auto world = std::make_unique<World>();
  World::say(world->pair.primary, R"({"choices":[{"message":{"content":"abc"}}]})");
  const std::string digest = world->line()["primary"]["digest"];
  EXPECT_EQ(digest.size(), 64u);
  EXPECT_NE(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad") << "SHA-256 of abc";
  EXPECT_NE("hmac-sha256:" + digest, hash_key(world->secret, "abc")) << "nor the hash of a client key";
  EXPECT_EQ(world->line()["primary"]["digest"], digest) << "the same after a restart";
  world->secret = "the secret of another weir";
  EXPECT_NE(world->line()["primary"]["digest"], digest);
}

TEST(ShadowLog, WordsOfTheOperatorAreMaskedToo) {
  const auto world = std::make_unique<World>();
  World::say(world->pair.primary, R"({"choices":[{"message":{"content":"Project Falcon begins"}}]})");
  EXPECT_EQ(world->line(ShadowText::masked, {"Falcon"})["primary"]["text"].get<std::string>().find("Falcon"),
            std::string::npos);
}

TEST(ShadowLog, EachTenantHasItsOwnPolicy) {
  const auto world = std::make_unique<World>();
  World::say(world->pair.primary, R"({"choices":[{"message":{"content":"Project Falcon begins"}}]})");
  world->tenants = {{"t1", {.text = ShadowText::masked, .mask = {"Falcon"}}},
                    {"t2", {.text = ShadowText::none}}};
  EXPECT_EQ(world->line(ShadowText::digest)["primary"]["text"], "Project [custom] begins");
  world->pair.tenant = 1;
  EXPECT_FALSE(world->line()["primary"].contains("text"));
  EXPECT_FALSE(world->line()["primary"].contains("digest"));
  EXPECT_TRUE(world->line()["primary"].contains("output_tokens"));
  world->tenants.erase("t2");
  EXPECT_EQ(world->line()["primary"]["text"], "Project Falcon begins");
}

// What cannot be read is not written down: cut JSON, bytes that are none, errors of a provider.
TEST(ShadowLog, FailsClosed) {
  for (const std::string_view body :
       {kAnswer.substr(0, 90), std::string_view("sk-abcdefghijklmnopqrstuvwxyz123456"),
        std::string_view("\xff\xfe"), std::string_view("[1]")}) {
    const auto world = std::make_unique<World>();
    World::say(world->pair.primary, body);
    EXPECT_FALSE(world->line()["primary"].contains("text")) << body;
    EXPECT_FALSE(world->line()["primary"].contains("digest")) << body;
  }
  const auto world = std::make_unique<World>();
  World::say(world->pair.shadow, R"({"choices":[{"message":{"content":"x"}}]})");
  world->pair.shadow.status = 500;
  world->pair.shadow.error = core::ErrorCode::upstream_status;
  EXPECT_FALSE(world->line()["shadow"].contains("text"));
  EXPECT_EQ(world->line()["shadow"]["error"], "upstream_status");
}

TEST(ShadowPairs, NotesKMaxShadowTextBytesOfAnAnswerAndSaysWhenThereWasMore) {
  ShadowPairs pairs;
  ShadowPair* pair = pairs.take();
  const std::vector<uint8_t> text(core::limits::kMaxShadowTextBytes, 'x');
  pair->primary.append(text);
  EXPECT_FALSE(pair->primary.truncated);
  pair->primary.append(std::span(text).first(1));
  EXPECT_TRUE(pair->primary.truncated);
  EXPECT_EQ(pair->primary.size, core::limits::kMaxShadowTextBytes);
  EXPECT_EQ(pair->shadow.size, 0u);
}

TEST(ShadowPairs, AreKMaxShadowPairsAndComeBackOnceWrittenDown) {
  ShadowPairs pairs;
  std::vector<ShadowPair*> taken;
  for (uint32_t i = 0; i < core::limits::kMaxShadowPairs; ++i) {
    EXPECT_TRUE(pairs.any_free());
    taken.push_back(pairs.take());
    taken.back()->tenant = i;
  }
  EXPECT_FALSE(pairs.any_free());
  EXPECT_EQ(pairs.take(), nullptr);
  pairs.finish(*taken[5], taken[5]->shadow);
  EXPECT_EQ(pairs.drain([](const ShadowPair&) { FAIL(); }), 0u) << "one side is missing";
  pairs.finish(*taken[5], taken[5]->primary);
  EXPECT_EQ(pairs.drain([](const ShadowPair& pair) { EXPECT_EQ(pair.tenant, 5u); }), 1u);
  EXPECT_TRUE(pairs.any_free());
  EXPECT_EQ(pairs.take(), taken[5]);
  EXPECT_EQ(taken[5]->tenant, 0u) << "empty again";
}

}  // namespace
}  // namespace weir::routing::shadow_log_test
