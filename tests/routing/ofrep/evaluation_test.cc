#include "routing/ofrep/evaluation.h"

#include <map>
#include <set>

#include "routing/guard/admission.h"
#include "routing/guard/guard_arena.h"
#include "routing/guard/guard_plan.h"
#include "tests/routing/decide/table_builder.h"
#include "tests/routing/ofrep/ofrep_fixture.h"

namespace weir::routing {
namespace {

using core::ErrorCode;
using Json = nlohmann::json;

class Evaluations : public Ofrep {
 protected:
  // The answer, or the token of the error.
  Json ask(std::string_view of, std::string_view key) {
    const auto asked = find_flag_key(body(), key);
    if (!asked) return "no such key";
    std::vector<uint8_t> room(64 * 1024);
    ScratchWriter out(room);
    const auto rendered = render_evaluation(input(of), *asked, key, out);
    if (!rendered) {
      EXPECT_EQ(out.size(), 0u);
      return core::describe(rendered.error().code).token;
    }
    return Json::parse(out.text(0, out.size()));
  }
  Json value(std::string_view of, std::string_view key) {
    const Json answer = ask(of, key);
    return answer.is_object() ? answer["value"] : answer;
  }
  std::string all_text(std::string_view of) {
    std::vector<uint8_t> room(256 * 1024);
    ScratchWriter out(room);
    render_all_evaluations(input(of), "/ofrep/v1/events?ticket=t", out);
    EXPECT_FALSE(out.overflowed());
    return std::string(out.text(0, out.size()));
  }
  void be_staff() {
    context.attributes.set(AttributeIndex{*body().attribute_names.find("staff")},
                           {.data = "true", .size = 4, .number = 0, .boolean = true});
  }
};

TEST_F(Evaluations, OfAFlagAreTheWholeUnitThatAnswers) {
  const Json answer = ask("b", "launch");
  const std::string hash = body()[unit("new")].hash_hex;
  EXPECT_EQ(answer, Json::parse(R"({
    "key": "launch",
    "value": {"name": "new", "hash": ")" +
                                hash + R"(", "model": "m-new", "prompt": "greet@1.0.0",
              "params": {"seed": 7, "stop": "\"end\""}, "tools": ["find", "search"],
              "timeouts": {"connect_ms": 2000, "header_ms": 60000, "first_token_ms": 60000, "idle_ms": 30000,
                           "total_ms": 120000},
              "arm": "candidate"},
    "reason": "STATIC",
    "variant": "new",
    "metadata": {"tenant": "b", "scenario": "chat", "flag": "launch", "state": "production",
                 "weirReason": "production", "arm": "candidate", "revision": 7}})"));
}

TEST_F(Evaluations, LeaveOutWhatAUnitDoesNotHave) {
  const Json unit_value = value("c", "plain");
  EXPECT_FALSE(unit_value.contains("prompt"));
  EXPECT_FALSE(unit_value.contains("tools"));
  EXPECT_EQ(unit_value["params"], Json::parse(R"({"logit_bias":{"5":1},"temperature":0.2})"));
  EXPECT_EQ(unit_value["timeouts"]["connect_ms"], 300);
  EXPECT_EQ(ask("c", "plain.prompt"), "flag_not_found");
  EXPECT_EQ(ask("c", "plain.params.seed"), "flag_not_found");
}

TEST_F(Evaluations, OfViewsHaveTheirTypes) {
  EXPECT_EQ(value("b", "launch.enabled"), true);
  EXPECT_EQ(value("a", "launch.enabled"), false);
  EXPECT_EQ(value("a", "launch.state"), "pilot");
  EXPECT_EQ(value("a", "warmer.state"), "off");
  EXPECT_EQ(value("c", "launch.state"), "off");
  EXPECT_EQ(value("a", "launch.percent"), 12.305);
  EXPECT_EQ(value("a", "warmer.percent"), 0);
  EXPECT_EQ(value("b", "launch.percent"), 100);
  EXPECT_EQ(value("b", "launch.unit"), "new");
  EXPECT_EQ(value("b", "launch.model"), "m-new");
  EXPECT_EQ(value("b", "launch.prompt"), "greet@1.0.0");
  EXPECT_EQ(value("b", "launch.arm"), "candidate");
  EXPECT_EQ(value("b", "launch.params.seed"), 7);
  EXPECT_EQ(value("b", "launch.params.stop"), "\"end\"");
  EXPECT_EQ(value("a", "chat.params.logit_bias"), Json::parse(R"({"5":1})"));
  EXPECT_EQ(value("a", "chat.unit"), "old");
}

TEST_F(Evaluations, TellOfEachFlagByItself) {
  be_staff();
  EXPECT_EQ(ask("a", "launch")["metadata"]["weirReason"], "segment");
  // The same unit answers, but not because of this flag.
  const Json other = ask("a", "warmer");
  EXPECT_EQ(other["value"]["name"], "new");
  EXPECT_EQ(other["reason"], "DISABLED");
  EXPECT_EQ(other["metadata"]["weirReason"], "off");
  EXPECT_EQ(other["metadata"]["state"], "off");
  EXPECT_EQ(value("a", "warmer.enabled"), false);
}

TEST_F(Evaluations, OfAScenarioTellOfTheFlagThatExplainsIt) {
  be_staff();
  const Json answer = ask("a", "chat");
  EXPECT_EQ(answer["metadata"]["flag"], "launch");
  EXPECT_EQ(answer["metadata"]["state"], "pilot");
  EXPECT_EQ(answer["reason"], "TARGETING_MATCH");
  EXPECT_EQ(ask("a", "last.resort")["reason"], "STATIC");
  EXPECT_FALSE(ask("a", "last.resort")["metadata"].contains("flag"));
}

TEST_F(Evaluations, MapEveryReasonToOneOfOpenFeatures) {
  const std::set<std::string_view> known = {"STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "DEFAULT"};
#define X(name, sentence) EXPECT_TRUE(known.contains(openfeature_reason(Reason::name))) << #name;
  WEIR_REASON_TABLE(X)
#undef X
}

TEST_F(Evaluations, TakeTheUserForTheSplit) {
  std::map<std::string, int> units;
  for (int user = 0; user < 1000; user++) {
    const std::string name = "u" + std::to_string(user);
    context.user = name;
    const Json answer = ask("a", "launch.unit");
    EXPECT_EQ(answer["reason"], "SPLIT");
    EXPECT_EQ(answer["metadata"]["weirReason"], answer["value"] == "new" ? "split_in" : "split_out");
    units[answer["value"]]++;
  }
  EXPECT_NEAR(units["new"], 123, 40);
  context.user = {};
  EXPECT_EQ(ask("a", "launch")["reason"], "DEFAULT");
  EXPECT_EQ(ask("a", "launch")["metadata"]["weirReason"], "no_sticky_key");
}

TEST_F(Evaluations, LookAtAPinAndLeaveItAlone) {
  const uint64_t pin = pins.key("a", "chat", "c-1");
  pins.store(pin, body()[unit("new")].short_hash, 0);
  context.conversation = "c-1";
  const Json answer = ask("a", "launch");
  EXPECT_EQ(answer["value"]["name"], "new");
  EXPECT_EQ(answer["reason"], "TARGETING_MATCH");
  EXPECT_EQ(answer["metadata"]["weirReason"], "pinned");
  context.conversation = "c-2";
  ask("a", "launch");
  EXPECT_EQ(pins.peek(pins.key("a", "chat", "c-2"), 1), std::nullopt) << "asking pinned a conversation";
  context.conversation = "c-1";
  for (int asked = 0; asked < 100; asked++) ask("a", "launch");
  EXPECT_EQ(pins.peek(pin, 1'000'000), std::nullopt) << "asking kept a pin alive";
}

TEST_F(Evaluations, OfAPilotWhoseLimitIsUsedUpAreOfItsPreviousUnit) {
  auto arena = std::make_shared<GuardArena>(64);
  table.guards = GuardPlan::bind(body(), *table.tenants, arena);
  be_staff();
  for (int asked = 0; asked < 10; asked++) EXPECT_EQ(value("a", "launch.unit"), "new");
  const ScopeGuard& pilot = *table.guards->pilot(tenant("a"), flag("launch"));
  PilotPlaces places;
  for (int i = 0; i < 3 && !places.take(pilot, 0, {.now_ns = 1}); ++i) {
  }
  ASSERT_FALSE(would_be_within_pilot(pilot, 1));
  const Json answer = ask("a", "launch");
  EXPECT_EQ(answer["value"]["name"], "old");
  EXPECT_EQ(answer["metadata"]["weirReason"], "pilot_limit");
  EXPECT_EQ(answer["metadata"]["state"], "pilot");
  EXPECT_EQ(answer["reason"], "DEFAULT");
  EXPECT_EQ(value("a", "launch.enabled"), false);
  EXPECT_EQ(ask("a", "warmer")["metadata"]["weirReason"], "off");
}

TEST_F(Evaluations, UnderAKilledUnitAreOfTheUnitThatAnswersInstead) {
  kill_unit(table, unit("new"));
  const Json answer = ask("b", "launch");
  EXPECT_EQ(answer["value"]["name"], "old");
  EXPECT_EQ(answer["value"]["arm"], "stable");
  EXPECT_EQ(answer["reason"], "DISABLED");
  EXPECT_EQ(answer["metadata"]["weirReason"], "killed");
  EXPECT_EQ(value("b", "launch.enabled"), false);
}

TEST_F(Evaluations, WhereNothingAnswersTheUnitIsAnErrorAndTheFlagIsOff) {
  kill(table.kills.scenarios, table, scenario("chat"));
  for (const char* key : {"launch", "launch.unit", "launch.model", "launch.arm", "launch.prompt",
                          "launch.params.seed", "chat"}) {
    EXPECT_EQ(ask("b", key), "killed") << key;
  }
  const Json enabled = ask("b", "launch.enabled");
  EXPECT_EQ(enabled["value"], false);
  EXPECT_EQ(enabled["reason"], "DISABLED");
  EXPECT_FALSE(enabled.contains("variant"));
  EXPECT_FALSE(enabled["metadata"].contains("arm"));
  EXPECT_EQ(value("b", "launch.state"), "production");
}

TEST_F(Evaluations, WhereAStaticTextAnswersNoUnitDoes) {
  kill_unit(table, unit("old"));
  EXPECT_EQ(ask("c", "last.resort"), core::describe(ErrorCode::no_unit_answers).token);
  EXPECT_EQ(ask("c", "plain"), "killed");
}

TEST_F(Evaluations, OfAllFlagsAreThoseTheTenantHasRowsOnWithTheirScenarios) {
  const Json answer = Json::parse(all_text("a"));
  std::set<std::string> keys;
  for (const Json& flag_answer : answer["flags"]) {
    EXPECT_TRUE(keys.insert(flag_answer["key"]).second) << "twice: " << flag_answer["key"];
    EXPECT_FALSE(flag_answer["value"].is_null());
    EXPECT_EQ(flag_answer, ask("a", std::string(flag_answer["key"])));
  }
  const std::set<std::string> expected = {"launch",
                                          "launch.unit",
                                          "launch.model",
                                          "launch.arm",
                                          "launch.params.temperature",
                                          "launch.params.logit_bias",
                                          "launch.enabled",
                                          "launch.state",
                                          "launch.percent",
                                          "warmer",
                                          "warmer.unit",
                                          "warmer.model",
                                          "warmer.arm",
                                          "warmer.params.temperature",
                                          "warmer.params.logit_bias",
                                          "warmer.enabled",
                                          "warmer.state",
                                          "warmer.percent",
                                          "chat",
                                          "chat.unit",
                                          "chat.model",
                                          "chat.arm",
                                          "chat.params.temperature",
                                          "chat.params.logit_bias",
                                          "plain",
                                          "plain.unit",
                                          "plain.model",
                                          "plain.arm",
                                          "plain.params.temperature",
                                          "plain.params.logit_bias"};
  EXPECT_EQ(keys, expected);
  EXPECT_EQ(answer["metadata"], Json::parse(R"({"tenant":"a","revision":7})"));
  EXPECT_EQ(answer["eventStreams"],
            Json::parse(R"([{"type":"sse","endpoint":{"requestUri":"/ofrep/v1/events?ticket=t"}}])"));
}

TEST_F(Evaluations, OfAllFlagsOfATenantWithoutRowsAreItsKeysScenario) {
  std::set<std::string> keys;
  const Json all = Json::parse(all_text("c"));
  for (const Json& answer : all["flags"]) keys.insert(answer["key"]);
  EXPECT_TRUE(keys.contains("plain"));
  EXPECT_FALSE(keys.contains("chat"));
}

TEST_F(Evaluations, OfAllFlagsLeaveOutNamesThatCannotBeAskedFor) {
  EXPECT_EQ(all_text("b").find(R"("key":"odd)"), std::string::npos);
  EXPECT_NE(all_text("b").find(R"("key":"launch")"), std::string::npos);
}

TEST_F(Evaluations, OfAllFlagsHoldFailuresBesideSuccesses) {
  kill(table.kills.scenarios, table, scenario("chat"));
  std::map<std::string, Json> answers;
  const Json all = Json::parse(all_text("b"));
  for (const Json& answer : all["flags"]) answers[answer["key"]] = answer;
  EXPECT_EQ(answers["launch"]["errorCode"], "GENERAL");
  EXPECT_FALSE(answers["launch"].contains("value"));
  EXPECT_EQ(answers["launch.enabled"]["value"], false);
  EXPECT_EQ(answers["plain"]["value"]["name"], "old+odd:name");
}

TEST_F(Evaluations, ThatDoNotFitSaySoAndAreTheSameAgain) {
  const std::string whole = all_text("a");
  std::vector<uint8_t> room(whole.size());
  for (size_t size = 0; size < whole.size(); size += 97) {
    ScratchWriter out({room.data(), size});
    render_all_evaluations(input("a"), "/ofrep/v1/events?ticket=t", out);
    EXPECT_TRUE(out.overflowed());
  }
  ScratchWriter out(room);
  render_all_evaluations(input("a"), "/ofrep/v1/events?ticket=t", out);
  EXPECT_EQ(out.text(0, out.size()), whole);
}

}  // namespace
}  // namespace weir::routing
