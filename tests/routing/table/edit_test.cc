#include "routing/table/edit.h"

#include <gtest/gtest.h>

#include "routing/table/scalars.h"
#include "tests/routing/table/example.h"

namespace weir::routing {
namespace {

std::string patched(std::string_view body, std::string_view patch) {
  const EditResult result = merge_patch(body, patch);
  return result ? *result : print(result.error());
}

// The examples of RFC 7396, appendix A, in canonical form.
TEST(MergePatch, DoesWhatItsStandardSays) {
  struct Row {
    std::string_view body, patch, result;
  };
  for (const Row& row : {
           Row{R"({"a":"b"})", R"({"a":"c"})", R"({"a":"c"})"},
           Row{R"({"a":"b"})", R"({"b":"c"})", R"({"a":"b","b":"c"})"},
           Row{R"({"a":"b"})", R"({"a":null})", R"({})"},
           Row{R"({"a":"b","b":"c"})", R"({"a":null})", R"({"b":"c"})"},
           Row{R"({"a":["b"]})", R"({"a":"c"})", R"({"a":"c"})"},
           Row{R"({"a":"c"})", R"({"a":["b"]})", R"({"a":["b"]})"},
           Row{R"({"a":{"b":"c"}})", R"({"a":{"b":"d","c":null}})", R"({"a":{"b":"d"}})"},
           Row{R"({"a":[{"b":"c"}]})", R"({"a":[1]})", R"({"a":[1]})"},
           Row{R"(["a","b"])", R"(["c","d"])", R"(["c","d"])"},
           Row{R"({"a":"b"})", R"(["c"])", R"(["c"])"},
           Row{R"({"a":"foo"})", R"("bar")", R"("bar")"},
           Row{R"({"e":null})", R"({"a":1})", R"({"a":1,"e":null})"},
           Row{R"([1,2])", R"({"a":"b","c":null})", R"({"a":"b"})"},
           Row{R"({})", R"({"a":{"bb":{"ccc":null}}})", R"({"a":{"bb":{}}})"},
       }) {
    EXPECT_EQ(patched(row.body, row.patch), row.result) << row.body << " " << row.patch;
  }
}

TEST(MergePatch, KeepsNumbersAndTextsExact) {
  EXPECT_EQ(patched(R"({"n":18446744073709551615,"x":0.1})", R"({"t":"é\u202e","y":1e21,"z":100.0})"),
            "{\"n\":18446744073709551615,\"t\":\"é\u202e\",\"x\":0.1,\"y\":1e+21,\"z\":100}");
}

TEST(MergePatch, SaysWhatIsWrongWithAPatch) {
  EXPECT_EQ(patched("{}", R"({"a":)"),
            "line 1, column 6: not valid JSON: The JSON document has an improper "
            "structure: missing or superfluous commas, braces, missing keys, etc.\n");
  EXPECT_EQ(patched("{}", R"({"a":{"b":1,"b":2}})"), "a.b: appears twice; keep one\n");
  EXPECT_EQ(patched("{}", ""), "is empty; send JSON\n");
  EXPECT_EQ(patched("{", "{}"), "what is stored of the object is not valid JSON; write it anew\n");
}

// ---- the everyday change ----

constexpr std::string_view kTenant =
    R"({"flags":{"support-v2":{"limits":{"rpm":600},"owner":"u-1","percent":5,"previous":"support-mini",)"
    R"("reason":"first","review":"2026-12-08","segments":["internal"],"state":"pilot"}},"name":"Bank"})";

std::string edited(std::string_view change, std::string_view tenant = kTenant,
                   std::string_view flag = "support-v2") {
  const EditResult result = edit_row(tenant, {.flag = flag, .change = change, .stable = "stable-unit"});
  return result ? *result : print(result.error());
}

TEST(EditRow, ChangesWhatIsSaidAndKeepsTheRest) {
  EXPECT_EQ(edited(R"({"percent":25,"reason":"looks good"})"),
            replaced(replaced(kTenant, "\"percent\":5", "\"percent\":25"), "first", "looks good"));
  EXPECT_EQ(edited(R"({"state":"off","reason":"incident 311"})"),
            replaced(replaced(kTenant, "pilot", "off"), "first", "incident 311"));
  EXPECT_EQ(edited(R"({"limits":{"total_requests":9},"reason":"first"})"),
            replaced(kTenant, "\"rpm\":600", "\"rpm\":600,\"total_requests\":9"));
  EXPECT_EQ(edited(R"({"segments":null,"reason":"first"})"),
            replaced(kTenant, "\"segments\":[\"internal\"],", ""));
}

TEST(EditRow, TakesThePercentageAwayInProduction) {
  EXPECT_EQ(edited(R"({"state":"production","reason":"first"})"),
            replaced(replaced(kTenant, "pilot", "production"), "\"percent\":5,", ""));
  EXPECT_EQ(edited(R"({"state":"production","percent":100,"reason":"first"})"),
            replaced(replaced(kTenant, "pilot", "production"), "\"percent\":5", "\"percent\":100"));
}

TEST(EditRow, BeginsARowThatReturnsToTheUnitThatAnswersNow) {
  EXPECT_EQ(
      edited(R"({"state":"pilot","percent":1,"reason":"start","owner":"u-1","review":"2027-01-01"})", "{}"),
      R"({"flags":{"support-v2":{"owner":"u-1","percent":1,"previous":"stable-unit","reason":"start",)"
      R"("review":"2027-01-01","state":"pilot"}}})");
  EXPECT_EQ(edited(R"({"state":"off","reason":"r","previous":"mine"})", kTenant, "other"),
            replaced(kTenant, "{\"flags\":{",
                     R"({"flags":{"other":{"previous":"mine","reason":"r","state":"off"},)"));
}

TEST(EditRow, WantsAReasonAndOnlyKnownMembers) {
  EXPECT_EQ(edited(R"({"percent":25})"), "reason: is missing: say in a sentence why\n");
  EXPECT_EQ(edited(R"({"percent":25,"reason":""})"), "reason: is missing: say in a sentence why\n");
  EXPECT_EQ(edited(R"({"percent":25,"reason":null})"), "reason: is missing: say in a sentence why\n");
  EXPECT_EQ(edited(R"({"percnt":25,"reason":"r"})"), "percnt: unknown field; did you mean \"percent\"?\n");
  EXPECT_EQ(edited("[1]"), "must be an object with the members of the row that change\n");
  EXPECT_EQ(edited(R"({"percent":1,"percent":2,"reason":"r"})"), "percent: appears twice; keep one\n");
  EXPECT_EQ(edited(R"({"reason":"r"})", "[]"), "what is stored of the tenant is no object; write it anew\n");
}

TEST(EditRow, MakesATenantThatCompiles) {
  const auto before = must_compile(example());
  const EditResult tenant =
      edit_row("{}", {.flag = "support-v2",
                      .change = R"({"state":"production","owner":"u-7","reason":"go","review":"2027-02-01"})",
                      .stable = "support-mini"});
  ASSERT_TRUE(tenant.has_value());
  const std::string json =
      replaced(before->source_json, "\"tenants\":{", "\"tenants\":{\"new\":" + *tenant + ",");
  const CompileResult after = compile_json(json);
  ASSERT_TRUE(after.has_value()) << print(after.error());
}

// ---- frozen rows ----

const int64_t kNow = *parse_timestamp_ns("2027-06-01T12:00Z");

std::string frozen_after(std::string_view before, std::optional<std::string> after) {
  const std::vector<ObjectChange> changes = {
      {.kind = ObjectKind::tenant, .name = "bank", .before = std::string(before), .after = std::move(after)}};
  std::string list;
  for (const FrozenRow& row : frozen_rows(changes, kNow)) list += row.tenant + "/" + row.flag + " ";
  return list;
}

TEST(FrozenRows, MayOnlyBeSwitchedOffTakenAwayOrRenewed) {
  constexpr std::string_view kFrozen =
      R"({"flags":{"a":{"expires":"2027-06-01","on_expiry":"freeze","percent":5,"state":"pilot"}}})";
  EXPECT_EQ(frozen_after(kFrozen, replaced(kFrozen, ":5", ":6")), "bank/a ");
  EXPECT_EQ(frozen_after(kFrozen, replaced(kFrozen, "pilot", "production")), "bank/a ");
  EXPECT_EQ(frozen_after(kFrozen, replaced(kFrozen, "freeze", "alert")), "bank/a ");
  EXPECT_EQ(frozen_after(kFrozen, replaced(kFrozen, "2027-06-01", "2027-06-01T12:00Z")), "bank/a ");
  EXPECT_EQ(frozen_after(kFrozen, replaced(kFrozen, "2027-06-01", "never")), "bank/a ");

  EXPECT_EQ(frozen_after(kFrozen, std::string(kFrozen)), "");
  EXPECT_EQ(frozen_after(kFrozen, replaced(kFrozen, "{\"flags\"", "{\"name\":\"Bank\",\"flags\"")), "");
  EXPECT_EQ(frozen_after(kFrozen, replaced(kFrozen, "pilot", "off")), "");
  EXPECT_EQ(frozen_after(kFrozen, replaced(replaced(kFrozen, "2027-06-01", "2027-07-01"), ":5", ":6")), "");
  EXPECT_EQ(
      frozen_after(kFrozen, replaced(kFrozen, "\"expires\":\"2027-06-01\",\"on_expiry\":\"freeze\",", "")),
      "");
  EXPECT_EQ(frozen_after(kFrozen, R"({"flags":{}})"), "");
  EXPECT_EQ(frozen_after(kFrozen, "{}"), "");
  EXPECT_EQ(frozen_after(kFrozen, std::nullopt), "");
}

TEST(FrozenRows, AreThoseThatHaveExpiredAndSaySo) {
  const auto row = [](std::string_view members) {
    return "{\"flags\":{\"a\":{" + std::string(members) + "\"percent\":5}}}";
  };
  const std::string after = R"({"flags":{"a":{"percent":6,"expires":"2020-01-01"}}})";
  EXPECT_EQ(frozen_after(row(R"("expires":"2027-06-01T12:00Z","on_expiry":"freeze",)"), after), "bank/a ");
  EXPECT_EQ(frozen_after(row(R"("expires":"2027-06-01T12:00:01Z","on_expiry":"freeze",)"), after), "");
  EXPECT_EQ(frozen_after(row(R"("expires":"2027-06-01","on_expiry":"alert",)"), after), "");
  EXPECT_EQ(frozen_after(row(R"("expires":"2027-06-01",)"), after), "");
  EXPECT_EQ(frozen_after(row(R"("on_expiry":"freeze",)"), after), "");
  EXPECT_EQ(frozen_after(R"({"name":"freeze"})", after), "");
}

}  // namespace
}  // namespace weir::routing
