#include "routing/ofrep/etag.h"

#include <gtest/gtest.h>

#include <string>

namespace weir::routing {
namespace {

EntityTag tag_of(std::string_view question, std::string_view answer) {
  return {{reinterpret_cast<const uint8_t*>(question.data()), question.size()}, answer};
}

TEST(EntityTag, IsAQuotedHashOfQuestionAndAnswer) {
  const std::string tag(tag_of("q", "a").text());
  EXPECT_EQ(tag.size(), 34u);
  EXPECT_TRUE(tag.starts_with('"') && tag.ends_with('"'));
  EXPECT_EQ(tag.find_first_not_of("\"0123456789abcdef"), std::string::npos);
  EXPECT_EQ(tag, tag_of("q", "a").text());
  EXPECT_NE(tag, tag_of("r", "a").text());
  EXPECT_NE(tag, tag_of("q", "b").text());
  EXPECT_NE(tag_of("ab", "c").text(), tag_of("a", "bc").text());
  // All nodes must say the same, today and after an upgrade that changes nothing else.
  EXPECT_EQ(tag_of("", "").text(), tag_of("", "").text());
}

TEST(EntityTag, IsFoundInAList) {
  const EntityTag tag = tag_of("q", "a");
  const std::string text(tag.text());
  for (const std::string& list : {text, "W/" + text, "\"x\", " + text, text + ",\"x\"",
                                  "\"x\" ,\tW/" + text + " ,", std::string("*"), std::string(" * ")}) {
    EXPECT_TRUE(tag.matches(list)) << list;
  }
  for (const std::string& list : {std::string(), std::string("\"x\""), text.substr(1), "w/" + text,
                                  "x" + text, std::string(",,,"), text.substr(0, 33)}) {
    EXPECT_FALSE(tag.matches(list)) << list;
  }
}

}  // namespace
}  // namespace weir::routing
