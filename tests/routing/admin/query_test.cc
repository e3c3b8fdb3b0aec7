#include "routing/admin/query.h"

#include <gtest/gtest.h>

namespace weir::routing {
namespace {

TEST(Target, TakesPathAndParametersApart) {
  const auto target = Target::parse("/v1/explain?tenant=bank-17&attr.plan=pro&flag&empty=");
  ASSERT_TRUE(target.has_value());
  EXPECT_EQ(target->path(), "/v1/explain");
  EXPECT_EQ((*target)["tenant"], "bank-17");
  EXPECT_EQ((*target)["attr.plan"], "pro");
  EXPECT_EQ((*target)["flag"], "");
  EXPECT_EQ((*target)["missing"], "");
  EXPECT_EQ(target->parameters().size(), 4u);
}

TEST(Target, DecodesEscapesInNamesAndValuesAndKeepsAPlus) {
  const auto target = Target::parse("/p?a%20b=c%3D%26+%C3%A4");
  ASSERT_TRUE(target.has_value());
  EXPECT_EQ((*target)["a b"], "c=&+\xc3\xa4");
}

TEST(Target, LeavesThePathAsItIs) {
  EXPECT_EQ(Target::parse("/v1/%73tatus")->path(), "/v1/%73tatus");
  EXPECT_EQ(Target::parse("/p?")->path(), "/p");
  EXPECT_TRUE(Target::parse("/p?&&")->parameters().empty());
}

TEST(Target, RefusesWhatIsMalformedOrDoubled) {
  for (const char* bad : {"/p?a=%", "/p?a=%2", "/p?a=%zz", "/p?a=%0a", "/p?a=%00", "/p?a=%7f", "/p?=x",
                          "/p?a=1&a=2", "/p?a=1&%61=2", "/p?a=%+1"}) {
    EXPECT_FALSE(Target::parse(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace weir::routing
