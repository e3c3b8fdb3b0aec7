#include "routing/table/objects.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "routing/table/canonical_json.h"
#include "routing/table/document.h"
#include "tests/routing/table/example.h"

namespace weir::routing {
namespace {

Document document(std::string_view text) {
  return *Document::parse(std::string(text), detect_format("", text));
}

std::string listed(std::string_view text) {
  std::string list;
  const Document parsed = document(text);
  split_document(parsed.root(), [&](const ObjectView& object) {
    list += fmt::format("{} {} {}\n", to_string(object.kind), object.name, object.body);
  });
  return list;
}

std::string rebuilt(std::string_view text) {
  DocumentBuilder builder;
  const Document parsed = document(text);
  split_document(parsed.root(), [&](const ObjectView& object) { builder.add(object); });
  return builder.take();
}

TEST(ObjectKinds, HaveASingularForRecordsAndAPluralForPaths) {
  for (uint8_t i = 0; i < kObjectKindCount; i++) {
    const auto kind = static_cast<ObjectKind>(i);
    EXPECT_EQ(parse_object_kind(to_string(kind)), kind);
    EXPECT_EQ(parse_object_kind(plural(kind)), kind);
  }
  EXPECT_EQ(to_string(ObjectKind::key), "key");
  EXPECT_EQ(plural(ObjectKind::tenant), "tenants");
  EXPECT_EQ(plural(ObjectKind::settings), "settings");
  EXPECT_EQ(parse_object_kind("tenantses"), std::nullopt);
  EXPECT_EQ(parse_object_kind(""), std::nullopt);
}

// Registries hold these numbers.
TEST(ObjectKinds, KeepTheirNumbers) {
  EXPECT_EQ(static_cast<int>(ObjectKind::settings), 0);
  EXPECT_EQ(static_cast<int>(ObjectKind::unit), 4);
  EXPECT_EQ(static_cast<int>(ObjectKind::key), 10);
}

TEST(SplitDocument, TellsEveryObjectByKindWithItsCanonicalBody) {
  EXPECT_EQ(listed(R"({"tenants":{"b":{"name":"B","limits":{"tpm":2,"rpm":1.0}},"a":{}},
                       "prompt_source":"git","budgets":[],
                       "keys":[{"tenant":"a","id":"k2"},{"id":"k1"}],
                       "attributes":{"plan":["free","pro"],"region":"string"},
                       "units":{"u":{"model":"m"}}})"),
            "settings table {\"budgets\":[],\"prompt_source\":\"git\"}\n"
            "unit u {\"model\":\"m\"}\n"
            "attribute plan [\"free\",\"pro\"]\n"
            "attribute region \"string\"\n"
            "tenant b {\"limits\":{\"rpm\":1,\"tpm\":2},\"name\":\"B\"}\n"
            "tenant a {}\n"
            "key k2 {\"id\":\"k2\",\"tenant\":\"a\"}\n"
            "key k1 {\"id\":\"k1\"}\n");
}

TEST(SplitDocument, LeavesOutWhatIsNoObjectOfAKnownSection) {
  EXPECT_EQ(listed("{}"), "");
  EXPECT_EQ(listed(R"({"tenants":null,"units":[1],"keys":{"id":"x"}})"), "");
  EXPECT_EQ(listed(R"({"keys":[1,{"id":2},{"tenant":"t"}]})"), "");
}

TEST(DocumentBuilder, PutsADocumentTogetherAgain) {
  const std::string once = rebuilt(example());
  EXPECT_EQ(rebuilt(once), once);
  EXPECT_EQ(listed(once), listed(example()));
  const CompileResult result = compile_json(once);
  ASSERT_TRUE(result.has_value()) << print(result.error());
  EXPECT_EQ(result->body->units[0].hash_hex, must_compile(example())->units[0].hash_hex);
}

TEST(DocumentBuilder, IsExactForADocumentInCanonicalForm) {
  // Names are sorted in the example's canonical form, and so they stay.
  const Document parsed =
      document("$schema: s\nprompt_source: api\nbudgets: [ { window: 1h, usd: 5 } ]\n" + example());
  const std::string canonical = canonical_json(parsed.root());
  EXPECT_EQ(rebuilt(canonical), canonical);
}

TEST(DocumentBuilder, KeepsTheOrderOfNamesInWhichObjectsCome) {
  DocumentBuilder builder;
  builder.add({ObjectKind::key, "k2", R"({"id":"k2"})"});
  builder.add({ObjectKind::flag, "z", "{}"});
  builder.add({ObjectKind::flag, "a \"quoted\" name", "{}"});
  builder.add({ObjectKind::key, "k1", R"({"id":"k1"})"});
  builder.add({ObjectKind::settings, kSettingsName, R"({"$schema":"s","prompt_source":"git"})"});
  EXPECT_EQ(builder.take(), R"({"$schema":"s","flags":{"z":{},"a \"quoted\" name":{}},)"
                            R"("keys":[{"id":"k2"},{"id":"k1"}],"prompt_source":"git"})");
  EXPECT_EQ(builder.take(), "{}");
}

TEST(DocumentBuilder, LeavesItToTheCompilerToRefuseForeignSettings) {
  for (const std::string_view settings : {"[1]", "{broken", "7"}) {
    DocumentBuilder builder;
    builder.add({ObjectKind::settings, kSettingsName, settings});
    EXPECT_FALSE(compile_json(builder.take()).has_value()) << settings;
  }
}

TEST(Order, IsByNameButOfTenantsAndKeys) {
  const auto in_order = [](std::string json) {
    const auto parsed = Document::parse(std::move(json), TableFormat::json);
    return parsed.has_value() && is_in_order(parsed->root());
  };
  EXPECT_TRUE(in_order("{}"));
  EXPECT_TRUE(in_order("[]"));
  EXPECT_TRUE(
      in_order(R"({"units":{"a":{},"b":{}},"flags":{"a":{}},"tenants":{"z":{},"a":{}},"x":{"b":1,"a":1}})"));
  EXPECT_FALSE(in_order(R"({"flags":{"b":{},"a":{}}})"));
  const auto parsed = Document::parse(
      R"({"flags":{"b":{"x":1},"a":{}},"units":{"z":{},"y":{}},"tenants":{"z":{},"a":{}},"prompt_source":"api"})",
      TableFormat::json);
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(
      put_in_order(parsed->root()),
      R"({"flags":{"a":{},"b":{"x":1}},"prompt_source":"api","tenants":{"z":{},"a":{}},"units":{"y":{},"z":{}}})");
}

TEST(Immutable, AreUnitsAndPrompts) {
  std::string names;
  for (uint8_t i = 0; i < kObjectKindCount; i++) {
    if (is_immutable(static_cast<ObjectKind>(i)))
      names.append(to_string(static_cast<ObjectKind>(i))).append(" ");
  }
  EXPECT_EQ(names, "prompt unit ");
}

}  // namespace
}  // namespace weir::routing
