#include "routing/table/diff.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/routing/table/example.h"

namespace weir::routing {
namespace {

std::vector<ObjectChange> changes_between(std::string_view before, std::string_view after) {
  const auto parse = [](std::string_view text) {
    return *Document::parse(std::string(text), detect_format("", text));
  };
  const Document old_document = parse(before);
  const Document new_document = parse(after);
  return diff_documents(old_document.root(), new_document.root());
}

ObjectChange tenant_change(std::string before, std::string after) {
  return {.kind = ObjectKind::tenant, .name = "t", .before = std::move(before), .after = std::move(after)};
}

TEST(DiffObject, NamesEveryMemberThatDiffers) {
  EXPECT_EQ(diff_object(tenant_change(R"({"a":1,"b":{"c":[1,2],"d":"x","keep":0},"gone":null})",
                                      R"({"a":1,"b":{"c":[1,3],"keep":0,"with space":true},"new":{}})")),
            (std::vector<MemberChange>{{"b.c", "[1,2]", "[1,3]"},
                                       {"b.d", "\"x\"", ""},
                                       {"b[\"with space\"]", "", "true"},
                                       {"gone", "null", ""},
                                       {"new", "", "{}"}}));
}

TEST(DiffObject, ComparesWhatIsNoMappingAsAWhole) {
  EXPECT_EQ(diff_object(tenant_change(R"(["free"])", R"(["free","pro"])")),
            (std::vector<MemberChange>{{"", R"(["free"])", R"(["free","pro"])"}}));
  EXPECT_EQ(diff_object(tenant_change(R"({"a":{"b":1}})", R"({"a":"text"})")),
            (std::vector<MemberChange>{{"a", R"({"b":1})", R"("text")"}}));
  EXPECT_TRUE(diff_object(tenant_change(R"({"a":1.0,"b":2})", R"({"b":2,"a":1})")).empty());
  EXPECT_EQ(diff_object(tenant_change("{broken", "{}")), (std::vector<MemberChange>{{"", "{broken", "{}"}}));
}

TEST(DiffDocuments, FindsWhatCameWentAndChanged) {
  const std::string before = example();
  std::string after = replaced(before, "state: pilot, percent: 5", "state: pilot, percent: 25");
  after = replaced(after, "  internal: { staff: true }\n",
                   "  internal: { staff: true }\n  beta: { plan: pro }\n");
  after = replaced(after, "  - { id: bank-17-app", "  - { id: bank-18-app");
  const auto changes = changes_between(before, after);
  EXPECT_EQ(diff_text(changes),
            "+ segment beta {\"plan\":\"pro\"}\n"
            "~ tenant bank-17\n"
            "    flags.support-v2.percent: 5 -> 25\n"
            "+ key bank-18-app "
            "{\"hash\":\"hmac-sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\","
            "\"id\":\"bank-18-app\",\"limits\":{\"rpm…\n"
            "- key bank-17-app "
            "{\"hash\":\"hmac-sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\","
            "\"id\":\"bank-17-app\",\"limits\":{\"rpm…\n"
            "2 added, 1 removed, 1 changed\n");
  const auto json = nlohmann::json::parse(diff_json(changes));
  ASSERT_EQ(json.size(), 4u);
  EXPECT_EQ(json[1], nlohmann::json::parse(R"({"kind":"tenant","name":"bank-17","change":"changed",
      "members":[{"path":"flags.support-v2.percent","before":5,"after":25}]})"));
  EXPECT_EQ(json[0]["change"], "added");
  EXPECT_EQ(json[0]["members"][0]["after"]["plan"], "pro");
  EXPECT_FALSE(json[0]["members"][0].contains("before"));
  EXPECT_EQ(json[3]["change"], "removed");
}

TEST(DiffDocuments, IgnoreHowThingsAreWrittenAndInWhichOrder) {
  EXPECT_TRUE(changes_between(example(), must_compile(example())->source_json).empty());
  EXPECT_TRUE(
      changes_between(R"({"units":{"a":{"model":"m"},"b":{}}})", R"({"units":{"b":{},"a":{"model":"m"}}})")
          .empty());
  EXPECT_EQ(diff_text(changes_between("{}", "{}")), "no difference\n");
  EXPECT_EQ(diff_json(changes_between("{}", "{}")), "[]");
}

TEST(DiffDocuments, KnowTheSettings) {
  EXPECT_EQ(diff_text(changes_between("{}", R"({"prompt_source":"git"})")),
            "+ settings table {\"prompt_source\":\"git\"}\n1 added, 0 removed, 0 changed\n");
  EXPECT_EQ(diff_text(changes_between(R"({"prompt_source":"api"})", R"({"prompt_source":"git"})")),
            "~ settings table\n    prompt_source: \"api\" -> \"git\"\n0 added, 0 removed, 1 changed\n");
}

TEST(DiffText, CountsWhatIsPastItsBound) {
  const auto changes = changes_between("{}", R"({"units":{"a":{},"b":{},"c":{}}})");
  EXPECT_EQ(diff_text(changes, 1), "+ unit a {}\n… and 2 more objects\n3 added, 0 removed, 0 changed\n");
}

TEST(DiffText, ShowsNothingThatATerminalWouldActUpon) {
  ObjectChange change = tenant_change(R"({"name":"a"})", "{\"name\":\"\u202ez\"}");
  change.name = "t\x1b[2J";
  EXPECT_EQ(diff_text({&change, 1}),
            "~ tenant t\\x1b[2J\n    name: \"a\" -> \"\\u202ez\"\n0 added, 0 removed, 1 changed\n");
}

}  // namespace
}  // namespace weir::routing
