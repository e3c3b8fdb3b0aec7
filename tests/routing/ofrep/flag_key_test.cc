#include "routing/ofrep/flag_key.h"

#include "tests/routing/ofrep/ofrep_fixture.h"

namespace weir::routing {
namespace {

// "flag launch enabled", "scenario chat param temperature"; empty when there is no such flag.
class FlagKeys : public Ofrep {
 protected:
  std::string found(std::string_view key) const {
    const auto flag_key = find_flag_key(body(), key);
    if (!flag_key) return {};
    std::string text = flag_key->flag ? "flag " + body()[*flag_key->flag].name
                                      : "scenario " + body()[flag_key->scenario].name;
    if (flag_key->view != FlagView::object) text += " " + std::string(token(flag_key->view));
    if (flag_key->view == FlagView::param) text += " " + std::string(flag_key->param);
    return text;
  }
};

TEST_F(FlagKeys, NameFlagsScenariosAndTheirViews) {
  EXPECT_EQ(found("launch"), "flag launch");
  EXPECT_EQ(found("launch.enabled"), "flag launch enabled");
  EXPECT_EQ(found("launch.state"), "flag launch state");
  EXPECT_EQ(found("launch.percent"), "flag launch percent");
  EXPECT_EQ(found("launch.unit"), "flag launch unit");
  EXPECT_EQ(found("launch.model"), "flag launch model");
  EXPECT_EQ(found("launch.prompt"), "flag launch prompt");
  EXPECT_EQ(found("launch.arm"), "flag launch arm");
  EXPECT_EQ(found("warmer.params.temperature"), "flag warmer params temperature");
  EXPECT_EQ(found("warmer.params.a.b"), "flag warmer params a.b");
  EXPECT_EQ(found("chat"), "scenario chat");
  EXPECT_EQ(found("chat.unit"), "scenario chat unit");
  EXPECT_EQ(found("chat.params.seed"), "scenario chat params seed");
}

TEST_F(FlagKeys, OfNamesWithDotsTheLongestThatLeavesAViewWins) {
  EXPECT_EQ(found("last.resort"), "scenario last.resort");
  EXPECT_EQ(found("last.resort.arm"), "scenario last.resort arm");
  EXPECT_EQ(found("launch.params"), "flag launch.params");
  EXPECT_EQ(found("launch.params.enabled"), "flag launch.params enabled");
  EXPECT_EQ(found("launch.params.temperature"), "flag launch params temperature");
}

TEST_F(FlagKeys, NameNothingElse) {
  for (const std::string& key :
       {std::string(), std::string("nothing"), std::string("launch."), std::string("launch.nothing"),
        std::string("launch.params."), std::string("warmer.params"), std::string("chat.enabled"),
        std::string("chat.state"), std::string("chat.percent"), std::string("Launch"),
        std::string(".enabled"), std::string("odd:name"), std::string("launch%2eenabled"),
        std::string("launch/enabled"), std::string("old"), std::string("m-old"),
        "launch" + std::string(100, '.'), std::string(2000, 'x')}) {
    EXPECT_EQ(found(key), "") << key;
  }
}

TEST(FlagKey, IsLettersDigitsDotsUnderlinesAndHyphens) {
  EXPECT_TRUE(is_flag_key("aZ09._-"));
  for (const char* text : {"", "a b", "a/b", "a:b", "a@b", "ä", "a%20"})
    EXPECT_FALSE(is_flag_key(text)) << text;
}

}  // namespace
}  // namespace weir::routing
