// What the conditions of segments mean once compiled.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "tests/routing/table/example.h"

namespace weir::routing {
namespace {

// What a condition answers for attributes given as text, and how deep its stack grows.
struct Evaluation {
  bool result;
  size_t depth;
};

Evaluation evaluate(const TableBody& body, const Segment& segment,
                    const std::vector<std::pair<std::string, std::string>>& attributes) {
  using Kind = ConditionStep::Kind;
  std::vector<bool> stack;
  size_t depth = 0;
  for (const ConditionStep& step : segment.steps) {
    if (step.kind == Kind::all || step.kind == Kind::any) {
      bool result = step.kind == Kind::all;
      for (uint32_t i = 0; i < step.count; i++) {
        result = step.kind == Kind::all ? result && stack.back() : result || stack.back();
        stack.pop_back();
      }
      stack.push_back(result);
    } else if (step.kind == Kind::negate) {
      stack.back() = !stack.back();
    } else {
      bool result = false;
      for (const auto& [name, value] : attributes) {
        if (body[step.attribute].name != name) continue;
        const double number = std::atof(value.c_str());
        switch (step.kind) {
          case Kind::equals:
          case Kind::one_of:
            result = std::ranges::find(step.operands, value) != step.operands.end();
            break;
          case Kind::starts_with:
            result = value.starts_with(step.operands[0]);
            break;
          case Kind::ends_with:
            result = value.ends_with(step.operands[0]);
            break;
          case Kind::is_true:
            result = value == "true";
            break;
          case Kind::is_false:
            result = value == "false";
            break;
          case Kind::less:
            result = number < step.number;
            break;
          case Kind::less_equal:
            result = number <= step.number;
            break;
          case Kind::greater:
            result = number > step.number;
            break;
          case Kind::greater_equal:
            result = number >= step.number;
            break;
          case Kind::number_equals:
            result = number == step.number;
            break;
          default:
            break;
        }
      }
      stack.push_back(result);
    }
    depth = std::max(depth, stack.size());
  }
  EXPECT_EQ(stack.size(), 1u);
  return {stack.at(0), depth};
}

constexpr std::string_view kAttributes =
    "attributes: { plan: [free, pro], region: string, staff: boolean, age: number }\nsegments:\n  s: ";

bool matches(std::string_view condition, const std::vector<std::pair<std::string, std::string>>& attributes) {
  const auto body = must_compile(std::string(kAttributes) + std::string(condition));
  if (body->segments.empty()) return false;
  const Evaluation evaluation = evaluate(*body, body->segments[0], attributes);
  EXPECT_LE(evaluation.depth, core::limits::kMaxSegmentDepth);
  return evaluation.result;
}

TEST(SegmentConditions, CompareEachKindOfAttribute) {
  EXPECT_TRUE(matches("{ plan: pro }", {{"plan", "pro"}}));
  EXPECT_FALSE(matches("{ plan: pro }", {{"plan", "free"}}));
  EXPECT_TRUE(matches("{ plan: [free, pro] }", {{"plan", "free"}}));
  EXPECT_TRUE(matches("{ region: { starts_with: eu-, ends_with: '-1' } }", {{"region", "eu-west-1"}}));
  EXPECT_FALSE(matches("{ region: { starts_with: eu-, ends_with: '-1' } }", {{"region", "eu-west-2"}}));
  EXPECT_TRUE(matches("{ region: { eq: eu } }", {{"region", "eu"}}));
  EXPECT_TRUE(matches("{ staff: false }", {{"staff", "false"}}));
  EXPECT_FALSE(matches("{ staff: true }", {}));
  EXPECT_TRUE(matches("{ age: 18 }", {{"age", "18"}}));
  EXPECT_TRUE(matches("{ age: { ge: 18, lt: 65 } }", {{"age", "18"}}));
  EXPECT_FALSE(matches("{ age: { gt: 18, le: 65 } }", {{"age", "18"}}));
  EXPECT_TRUE(matches("{ age: { eq: 0.5 } }", {{"age", "0.5"}}));
}

TEST(SegmentConditions, CombineConditions) {
  const std::vector<std::pair<std::string, std::string>> somebody = {
      {"plan", "pro"}, {"staff", "true"}, {"age", "7"}};
  EXPECT_TRUE(matches("{ plan: pro, staff: true, age: 7 }", somebody));
  EXPECT_FALSE(matches("{ plan: pro, staff: true, age: 8 }", somebody));
  EXPECT_TRUE(matches("{ all: [ { plan: pro }, { staff: true } ] }", somebody));
  EXPECT_TRUE(matches("{ any: [ { plan: free }, { staff: false }, { age: 7 } ] }", somebody));
  EXPECT_FALSE(matches("{ any: [ { plan: free }, { staff: false } ] }", somebody));
  EXPECT_FALSE(matches("{ not: { plan: pro } }", somebody));
  EXPECT_TRUE(matches("{ not: { plan: free, staff: true }, any: [ { not: { age: 8 } } ] }", somebody));
}

TEST(SegmentConditions, NeedAStackOfTheirDepthOnly) {
  std::string condition = "{ any: [";
  for (int i = 0; i < 200; i++) condition += fmt::format("{{ region: r{} }},", i);
  EXPECT_TRUE(matches(condition + "] }", {{"region", "r199"}}));
}

TEST(SegmentConditions, CompareWithLargeNumbersButNameNone) {
  EXPECT_TRUE(matches("{ age: { gt: 491511234567 } }", {{"age", "491511234568"}}));
  const CompileResult result = compile_yaml(std::string(kAttributes) + "{ age: 491511234567 }");
  ASSERT_FALSE(result.has_value());
  EXPECT_NE(print(result.error()).find("phone number"), std::string::npos) << print(result.error());
}

TEST(SegmentConditions, MayNameADomainAndAVersion) {
  EXPECT_TRUE(matches("{ region: { ends_with: \"@example.com\" } }", {{"region", "a@example.com"}}));
  EXPECT_TRUE(matches("{ region: support@2.1.0 }", {{"region", "support@2.1.0"}}));
}

std::string nested_condition(uint32_t depth) {
  std::string condition = "{ plan: pro }";
  for (uint32_t i = 1; i < depth; i++) condition = "{ all: [ { staff: true }, " + condition + " ] }";
  return condition;
}

TEST(SegmentConditions, NestAtMostKMaxSegmentDepth) {
  EXPECT_TRUE(
      matches(nested_condition(core::limits::kMaxSegmentDepth), {{"plan", "pro"}, {"staff", "true"}}));
  const CompileResult result =
      compile_yaml(std::string(kAttributes) + nested_condition(core::limits::kMaxSegmentDepth + 1));
  ASSERT_FALSE(result.has_value());
  EXPECT_NE(print(result.error()).find("is nested deeper than 16 levels"), std::string::npos);
}
}  // namespace
}  // namespace weir::routing
