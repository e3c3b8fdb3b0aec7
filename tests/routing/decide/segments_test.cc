#include "routing/decide/segments.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/routing/decide/table_builder.h"

namespace weir::routing {
namespace {

using core::ErrorCode;
using Kind = ConditionStep::Kind;
using Steps = std::vector<ConditionStep>;

class Segments : public ::testing::Test {
 protected:
  Segments() {
    plan = build.attribute("plan", AttributeKind::enumeration, {"free", "pro", "enterprise"});
    region = build.attribute("region", AttributeKind::string);
    staff = build.attribute("staff", AttributeKind::boolean);
    seats = build.attribute("seats", AttributeKind::number);
    table = build.build();
  }

  core::Result<void> send(std::string_view name, std::string_view value) {
    return parse_attribute(*table.body, name, value, values);
  }
  ErrorCode refusal(std::string_view name, std::string_view value) {
    values.clear();
    const auto result = send(name, value);
    return result ? ErrorCode::internal : result.error().code;
  }
  bool holds(Steps steps) const { return matches({"segment", std::move(steps)}, values); }

  TableBuilder build;
  AttributeIndex plan{}, region{}, staff{}, seats{};
  Table table;
  AttributeValues values;
};

TEST_F(Segments, TestTexts) {
  ASSERT_TRUE(send("plan", "pro"));
  ASSERT_TRUE(send("region", "eu-west"));
  EXPECT_TRUE(holds({text_step(Kind::equals, plan, {"pro"})}));
  EXPECT_FALSE(holds({text_step(Kind::equals, plan, {"free"})}));
  EXPECT_TRUE(holds({text_step(Kind::one_of, plan, {"free", "pro"})}));
  EXPECT_FALSE(holds({text_step(Kind::one_of, plan, {"free", "enterprise"})}));
  EXPECT_TRUE(holds({text_step(Kind::starts_with, region, {"eu-"})}));
  EXPECT_FALSE(holds({text_step(Kind::starts_with, region, {"us-"})}));
  EXPECT_TRUE(holds({text_step(Kind::ends_with, region, {"west"})}));
  EXPECT_FALSE(holds({text_step(Kind::ends_with, region, {"a-longer-text-eu-west"})}));
}

TEST_F(Segments, TestBooleans) {
  ASSERT_TRUE(send("staff", "true"));
  EXPECT_TRUE(holds({number_step(Kind::is_true, staff)}));
  EXPECT_FALSE(holds({number_step(Kind::is_false, staff)}));
  values.clear();
  ASSERT_TRUE(send("staff", "false"));
  EXPECT_FALSE(holds({number_step(Kind::is_true, staff)}));
  EXPECT_TRUE(holds({number_step(Kind::is_false, staff)}));
}

TEST_F(Segments, CompareNumbers) {
  ASSERT_TRUE(send("seats", "10"));
  struct Case {
    Kind kind;
    bool at_9, at_10, at_11;
  };
  for (const Case& c : {Case{Kind::less, false, false, true}, Case{Kind::less_equal, false, true, true},
                        Case{Kind::greater, true, false, false}, Case{Kind::greater_equal, true, true, false},
                        Case{Kind::number_equals, false, true, false}}) {
    EXPECT_EQ(holds({number_step(c.kind, seats, 9)}), c.at_9);
    EXPECT_EQ(holds({number_step(c.kind, seats, 10)}), c.at_10);
    EXPECT_EQ(holds({number_step(c.kind, seats, 11)}), c.at_11);
  }
}

TEST_F(Segments, AreFalseForAnAbsentAttributeAndTrueForItsNegation) {
  for (const ConditionStep& step :
       {text_step(Kind::equals, plan, {"pro"}), text_step(Kind::one_of, plan, {"pro"}),
        text_step(Kind::starts_with, region, {""}), number_step(Kind::is_true, staff),
        number_step(Kind::is_false, staff), number_step(Kind::less, seats, 5),
        number_step(Kind::greater_equal, seats, 5)}) {
    EXPECT_FALSE(holds({step}));
    EXPECT_TRUE(holds({step, join(Kind::negate)}));
  }
}

TEST_F(Segments, JoinConditions) {
  ASSERT_TRUE(send("staff", "true"));
  const ConditionStep yes = number_step(Kind::is_true, staff);
  const ConditionStep no = number_step(Kind::is_false, staff);
  EXPECT_TRUE(holds({yes, yes, join(Kind::all, 2)}));
  EXPECT_FALSE(holds({yes, no, join(Kind::all, 2)}));
  EXPECT_TRUE(holds({no, yes, join(Kind::any, 2)}));
  EXPECT_FALSE(holds({no, no, join(Kind::any, 2)}));
  // all(yes, any(no, not(no)))
  EXPECT_TRUE(holds({yes, no, no, join(Kind::negate), join(Kind::any, 2), join(Kind::all, 2)}));
  EXPECT_TRUE(holds({join(Kind::all, 0)}));
  EXPECT_FALSE(holds({join(Kind::any, 0)}));
}

TEST_F(Segments, HoldUpTo_kMaxPendingConditions) {
  ASSERT_TRUE(send("staff", "true"));
  constexpr uint32_t most = core::limits::kMaxPendingConditions;
  const ConditionStep yes = number_step(Kind::is_true, staff);
  const ConditionStep no = number_step(Kind::is_false, staff);
  for (uint32_t place = 0; place < most; place++) {
    Steps steps(most, yes);
    steps[place] = no;
    steps.push_back(join(Kind::all, most));
    EXPECT_EQ(peak_pending(steps), most);
    EXPECT_FALSE(holds(steps));
    for (uint32_t i = 0; i < most; i++) steps[i] = i == place ? yes : no;
    steps.back() = join(Kind::any, most);
    EXPECT_TRUE(holds(steps));
  }
  Steps steps(most + 1, yes);
  steps.push_back(join(Kind::all, most + 1));
  EXPECT_EQ(peak_pending(steps), std::nullopt);
}

TEST_F(Segments, TellMalformedPrograms) {
  const ConditionStep yes = number_step(Kind::is_true, staff);
  EXPECT_EQ(peak_pending(Steps{yes}), 1u);
  EXPECT_EQ(peak_pending(Steps{yes, yes, yes, join(Kind::all, 2), join(Kind::any, 2)}), 3u);
  EXPECT_EQ(peak_pending(Steps{}), std::nullopt);
  EXPECT_EQ(peak_pending(Steps{yes, yes}), std::nullopt);
  EXPECT_EQ(peak_pending(Steps{join(Kind::negate)}), std::nullopt);
  EXPECT_EQ(peak_pending(Steps{yes, join(Kind::all, 2)}), std::nullopt);
  EXPECT_EQ(peak_pending(Steps{text_step(Kind::equals, plan, {})}), std::nullopt);
  EXPECT_EQ(peak_pending(Steps{text_step(Kind::starts_with, plan, {"a", "b"})}), std::nullopt);
}

// ---- parse_attribute ----

TEST_F(Segments, TakeAttributeNamesInAnyCase) {
  ASSERT_TRUE(send("PlAn", "pro"));
  EXPECT_EQ(values.find(plan)->text(), "pro");
}

TEST_F(Segments, RefuseAnUndeclaredAttribute) {
  EXPECT_EQ(refusal("colour", "red"), ErrorCode::bad_control_header);
  EXPECT_EQ(refusal("", "red"), ErrorCode::bad_control_header);
  EXPECT_EQ(refusal(std::string(core::limits::kMaxNameBytes + 1, 'p'), "red"), ErrorCode::bad_control_header);
}

TEST_F(Segments, RefuseAnAttributeSentTwice) {
  ASSERT_TRUE(send("plan", "pro"));
  EXPECT_EQ(send("PLAN", "pro").error().code, ErrorCode::duplicate_control_header);
}

TEST_F(Segments, RefuseAValueLongerThan_kMaxIdentifierBytes) {
  EXPECT_TRUE(send("region", std::string(core::limits::kMaxIdentifierBytes, 'x')));
  EXPECT_EQ(refusal("region", std::string(core::limits::kMaxIdentifierBytes + 1, 'x')),
            ErrorCode::field_too_long);
}

TEST_F(Segments, HoldAsManyAttributesAs_kMaxAttributes) {
  for (uint32_t i = 0; i < core::limits::kMaxAttributes; i++) {
    values.set(AttributeIndex{i}, {.data = "", .size = 0, .number = double(i), .boolean = false});
  }
  for (uint32_t i = 0; i < core::limits::kMaxAttributes; i++)
    EXPECT_EQ(values.find(AttributeIndex{i})->number, i);
  EXPECT_EQ(values.find(AttributeIndex{core::limits::kMaxAttributes}), nullptr);
}

TEST_F(Segments, TakeOnlyDeclaredEnumerationValues) {
  EXPECT_EQ(refusal("plan", "Pro"), ErrorCode::bad_control_header);
  EXPECT_EQ(refusal("plan", ""), ErrorCode::bad_control_header);
  EXPECT_EQ(refusal("plan", "pro "), ErrorCode::bad_control_header);
}

TEST_F(Segments, TakeOnlyTrueAndFalseAsBooleans) {
  for (const char* value : {"", "True", "1", "0", "yes", "truefalse"}) {
    EXPECT_EQ(refusal("staff", value), ErrorCode::bad_control_header) << value;
  }
}

TEST_F(Segments, TakeOnlyJsonNumbers) {
  for (const auto& [text, number] : {std::pair{"0", 0.0},
                                     {"-0", 0.0},
                                     {"12", 12.0},
                                     {"-1.5", -1.5},
                                     {"1e3", 1000.0},
                                     {"2.5E-1", 0.25},
                                     {"1E+2", 100.0}}) {
    values.clear();
    ASSERT_TRUE(send("seats", text)) << text;
    EXPECT_EQ(values.find(seats)->number, number) << text;
  }
  for (const char* value : {"", "-", "+1", "01", ".5", "5.", "1e", "1e+", "0x10", "inf", "nan", "1 ", " 1",
                            "1,5", "1e999", "--1", "1.2.3"}) {
    EXPECT_EQ(refusal("seats", value), ErrorCode::bad_control_header) << value;
    EXPECT_TRUE(values.empty());
  }
}

}  // namespace
}  // namespace weir::routing
