#include "routing/table/problem.h"

#include <gtest/gtest.h>

#include <array>

namespace weir::routing {
namespace {

TEST(Path, IsDottedAndBracketed) {
  const Path root;
  EXPECT_EQ(root.text(), "");
  const Path tenants(root, "tenants");
  const Path tenant(tenants, "bank-17");
  EXPECT_EQ(Path(tenant, "name").text(), "tenants.bank-17.name");
  const Path budgets(tenant, "budgets");
  const Path second(budgets, size_t{1});
  EXPECT_EQ(Path(second, "usd").text(), "tenants.bank-17.budgets[1].usd");
  EXPECT_EQ(Path(Path(root, "prompts"), "support@2.1.0").text(), "prompts[\"support@2.1.0\"]");
  EXPECT_EQ(Path(root, "").text(), "[\"\"]");
}

TEST(Problems, AreCountedPastTheLimit) {
  Problems problems;
  const Path path;
  for (uint32_t i = 0; i < core::limits::kMaxTableProblems + 7; i++) problems.add(path, "wrong");
  EXPECT_EQ(problems.count(), core::limits::kMaxTableProblems + 7);
  const auto list = problems.take();
  ASSERT_EQ(list.size(), core::limits::kMaxTableProblems + 1);
  EXPECT_EQ(list.back().message, "and 7 more problems");
}

TEST(Problem, PrintsItsPlace) {
  EXPECT_EQ(to_string(Problem{.path = "a.b", .message = "is wrong"}), "a.b: is wrong");
  EXPECT_EQ(to_string(Problem{.path = "", .message = "is wrong"}), "is wrong");
  EXPECT_EQ(to_string(Problem{.path = "", .message = "is wrong", .line = 3, .column = 7}),
            "line 3, column 7: is wrong");
}

TEST(Quote, ShortensAtACharacterAndShowsControls) {
  EXPECT_EQ(quote("a\"b\\c\n"), "\"a\\\"b\\\\c\\x0a\"");
  EXPECT_EQ(quote(std::string(79, 'a') + "é and more"), "\"" + std::string(79, 'a') + "…\"");
}

TEST(Nearest, FindsTypingErrorsAndNothingElse) {
  constexpr std::array<std::string_view, 3> kNames = {"percent", "segments", "state"};
  EXPECT_EQ(nearest("percnt", kNames), "percent");
  EXPECT_EQ(nearest("pecrent", kNames), "percent");
  EXPECT_EQ(nearest("stat", kNames), "state");
  EXPECT_EQ(nearest("budget", kNames), "");
  EXPECT_EQ(nearest("", kNames), "");
  EXPECT_EQ(nearest(std::string(1000, 'x'), kNames), "");
}

}  // namespace
}  // namespace weir::routing
