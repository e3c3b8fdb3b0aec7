// Every bound of a table: what is just accepted, and one more.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/routing/table/example.h"

namespace weir::routing {
namespace {

std::string problems_with(std::string_view from, const std::string& to) {
  const CompileResult result = compile_yaml(replaced(example(), from, to));
  return result ? "" : print(result.error());
}

TEST(Limits, HoldOnNames) {
  const std::string longest(core::limits::kMaxNameBytes, 'n');
  EXPECT_EQ(problems_with("tenants:\n", "tenants:\n  " + longest + ": {}\n"), "");
  EXPECT_NE(problems_with("tenants:\n", "tenants:\n  " + longest + "n: {}\n").find("at most 64 bytes"),
            std::string::npos);
  EXPECT_NE(problems_with("tenants:\n", "tenants:\n  \"\": {}\n").find("is not a name"), std::string::npos);
  const CompileResult result = compile_json("{\"tenants\":{\"" + std::string(70'000, 'n') + "\":{}}}");
  ASSERT_FALSE(result.has_value());
  EXPECT_NE(print(result.error()).find("is not a name"), std::string::npos);
}

TEST(Limits, HoldOnPrompts) {
  const std::string longest(core::limits::kMaxPromptBytes, 'p');
  EXPECT_EQ(problems_with("\"…\"", longest), "");
  EXPECT_NE(problems_with("\"…\"", longest + "p").find("at most 262144 are accepted"), std::string::npos);
}

TEST(Limits, HoldOnTexts) {
  const std::string longest(core::limits::kMaxTextBytes, 't');
  EXPECT_EQ(problems_with("\"Bank Seventeen\"", longest), "");
  EXPECT_NE(problems_with("\"Bank Seventeen\"", longest + "t").find("at most 4096 are accepted"),
            std::string::npos);
  EXPECT_EQ(problems_with("\"A colleague will reply shortly.\"", longest), "");
  EXPECT_NE(problems_with("\"A colleague will reply shortly.\"", longest + "t").find("1 to 4096 bytes"),
            std::string::npos);
}

TEST(Limits, HoldOnRetries) {
  EXPECT_EQ(problems_with("retries: 1", fmt::format("retries: {}", core::limits::kMaxRetries)), "");
  EXPECT_NE(problems_with("retries: 1", fmt::format("retries: {}", core::limits::kMaxRetries + 1)), "");
}

std::string repeated(uint32_t count, const std::function<std::string(uint32_t)>& item) {
  std::string list;
  for (uint32_t i = 0; i < count; i++) list += (i == 0 ? "" : ", ") + item(i);
  return list;
}

TEST(Limits, HoldOnApprovals) {
  const auto approvals = [](uint32_t count) {
    return "stable: support-mini\n    approvals: { for: [widen], by: [" +
           repeated(count, [](uint32_t) { return "approver"; }) + "] }";
  };
  EXPECT_EQ(problems_with("stable: support-mini", approvals(core::limits::kMaxApprovals)), "");
  EXPECT_NE(problems_with("stable: support-mini", approvals(core::limits::kMaxApprovals + 1))
                .find("lists 9 roles; from 1 to 8 are accepted"),
            std::string::npos);
}

TEST(Limits, HoldOnBudgets) {
  const auto budgets = [](uint32_t count) {
    return "budgets: [ " +
           repeated(count, [](uint32_t i) { return fmt::format("{{ window: {}h, usd: 1 }}", i + 1); }) +
           ", { window: 1h";
  };
  EXPECT_EQ(problems_with("budgets: [ { window: 1h", budgets(core::limits::kMaxBudgets - 2)), "");
  EXPECT_NE(problems_with("budgets: [ { window: 1h", budgets(core::limits::kMaxBudgets - 1))
                .find("has 9 budgets; at most 8 are accepted"),
            std::string::npos);
}

TEST(Limits, HoldOnTools) {
  const auto tools = [](uint32_t count) {
    return "tools: [" + repeated(count, [](uint32_t i) { return fmt::format("t{}", i); }) + "]";
  };
  EXPECT_EQ(problems_with("tools: [search, summarize]", tools(core::limits::kMaxTools)), "");
  EXPECT_NE(
      problems_with("tools: [search, summarize]", tools(core::limits::kMaxTools + 1)).find("at most 128"),
      std::string::npos);
}

TEST(Limits, HoldOnParams) {
  const auto params = [](uint32_t count) {
    return "params: { " + repeated(count, [](uint32_t i) { return fmt::format("p{}: 1", i); }) + " }";
  };
  constexpr std::string_view kParams = "params: { temperature: 0.2, max_tokens: 800 }";
  EXPECT_EQ(problems_with(kParams, params(core::limits::kMaxTopLevelFields)), "");
  EXPECT_NE(problems_with(kParams, params(core::limits::kMaxTopLevelFields + 1)).find("at most 256"),
            std::string::npos);
}

TEST(Limits, HoldOnAttributes) {
  const auto attributes = [](uint32_t count) {
    return "attributes: { " + repeated(count - 3, [](uint32_t i) { return fmt::format("a{}: string", i); }) +
           ", ";
  };
  EXPECT_EQ(problems_with("attributes: { ", attributes(core::limits::kMaxAttributes)), "");
  EXPECT_NE(problems_with("attributes: { ", attributes(core::limits::kMaxAttributes + 1))
                .find("attributes: declares 33; at most 32 are accepted"),
            std::string::npos);
}

TEST(Limits, HoldOnSegments) {
  const auto segments = [](uint32_t count) {
    return "segments: { " + repeated(count, [](uint32_t i) { return fmt::format("s{}: {{ a: x }}", i); }) +
           " }\nattributes: { a: string }\n";
  };
  EXPECT_TRUE(compile_yaml(segments(core::limits::kMaxSegments)).has_value());
  const CompileResult result = compile_yaml(segments(core::limits::kMaxSegments + 1));
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(print(result.error()), "segments: declares 4097; at most 4096 are accepted\n");
}

TEST(Limits, HoldOnFlags) {
  const auto table = [](uint32_t count) {
    std::string json =
        R"({"providers":{"p":{"base_url":"http://a.example"}},"models":{"m":{"provider":"p","price":)"
        R"({"input":1,"output":1}}},"units":{"u":{"model":"m"}},"scenarios":{)";
    // Each scenario takes four flags.
    json += repeated((count + 3) / 4, [](uint32_t i) { return fmt::format(R"("s{}":{{"stable":"u"}})", i); });
    json += R"(},"flags":{)" + repeated(count, [](uint32_t i) {
              return fmt::format(R"("f{}":{{"scenario":"s{}","candidate":{{"unit":"u"}}}})", i, i / 4);
            });
    return json + "}}";
  };
  const CompileResult full = compile_json(table(core::limits::kMaxFlags));
  EXPECT_TRUE(full.has_value());
  const CompileResult result = compile_json(table(core::limits::kMaxFlags + 1));
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(print(result.error()), "flags: declares 65537; at most 65536 are accepted\n");
}

TEST(Limits, HoldOnFallbackHops) {
  std::string units;
  for (uint32_t i = 0; i < core::limits::kMaxFallbackHops; i++) {
    units += fmt::format("  u{}: {{ model: gpt-4.1-2025-04-14 }}\n", i);
  }
  const auto chain = [](uint32_t count) {
    return "fallback: [ " + repeated(count, [](uint32_t i) { return fmt::format("{{ unit: u{} }}", i); }) +
           ", { unit: support-mini,";
  };
  const std::string table = replaced(example(), "units:\n", "units:\n" + units);
  const auto problems = [&](uint32_t count) {
    const CompileResult result =
        compile_yaml(replaced(table, "fallback: [ { unit: support-mini,", chain(count)));
    return result ? "" : print(result.error());
  };
  EXPECT_EQ(problems(core::limits::kMaxFallbackHops - 3), "");
  EXPECT_NE(problems(core::limits::kMaxFallbackHops - 2).find("has 9 hops; at most 8 are accepted"),
            std::string::npos);
}

}  // namespace
}  // namespace weir::routing
