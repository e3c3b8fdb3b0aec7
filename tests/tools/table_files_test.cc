#include "tools/weirctl/table_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/support/process.h"

namespace weir::tools {
namespace {

using nlohmann::json;
using ::testing::EndsWith;
using ::testing::HasSubstr;

class TableFiles : public ::testing::Test {
 protected:
  std::string problem() {
    const auto table = read_table(folder.path());
    return table ? "none" : table.error();
  }
  weir::testing::TemporaryFolder folder;
};

TEST_F(TableFiles, AreReadAsTheyAreWhenThereIsOne) {
  const auto table = read_table(folder.write("table.yaml", "units: {}  # none\n"));
  ASSERT_TRUE(table.has_value());
  EXPECT_EQ(table->text, "units: {}  # none\n");
  EXPECT_EQ(table->content_type, "application/yaml");
  EXPECT_EQ(read_table(folder.write("table.json", "{}"))->content_type, "application/json");
}

TEST_F(TableFiles, OfAFolderMakeOneDocument) {
  folder.write("10-units.yaml", "units: { a: { model: m } }\nprompt_source: git\n");
  folder.write("20-more.json", R"({"units":{"b":{"model":"m"}},"keys":[{"id":"k1","tenant":"t"}]})");
  std::filesystem::create_directory(folder.file("tenants"));
  folder.write("tenants/t.yml", "tenants: { t: {} }\nkeys: [ { id: k2, tenant: t } ]\n");
  folder.write("comments.yaml", "# nothing yet\n");
  folder.write("README.md", "no table");
  folder.write(".hidden.yaml", "units: { a: {} }\n");
  const auto table = read_table(folder.path());
  ASSERT_TRUE(table.has_value()) << table.error();
  EXPECT_EQ(table->content_type, "application/json");
  EXPECT_EQ(
      json::parse(table->text),
      json::parse(R"({"units":{"a":{"model":"m"},"b":{"model":"m"}},"tenants":{"t":{}},"prompt_source":"git",
                            "keys":[{"id":"k1","tenant":"t"},{"id":"k2","tenant":"t"}]})"));
  EXPECT_THAT(table->file_of("units.b.model"), EndsWith("20-more.json"));
  EXPECT_THAT(table->file_of("units.a"), EndsWith("10-units.yaml"));
  EXPECT_THAT(table->file_of("keys[1].tenant"), EndsWith("tenants/t.yml"));
  EXPECT_EQ(table->file_of("units.c"), "");
}

TEST_F(TableFiles, FindThePathsOfNamesThatNeedQuotes) {
  folder.write("p.yaml", "prompts: { support@2.1.0: { system: hello } }\n");
  EXPECT_THAT(read_table(folder.path())->file_of("prompts[\"support@2.1.0\"].system"), EndsWith("p.yaml"));
}

TEST_F(TableFiles, MustNotBothHoldAName) {
  folder.write("a.yaml", "units: { u: { model: m } }\n");
  folder.write("b.yaml", "units: { u: { model: n } }\n");
  EXPECT_EQ(problem(), folder.file("a.yaml") + " and " + folder.file("b.yaml") + " both hold unit u");
}

TEST_F(TableFiles, KeepSettingsInOnePlace) {
  folder.write("a.yaml", "prompt_source: git\n");
  folder.write("b.yaml", "budgets: []\n");
  EXPECT_THAT(problem(), HasSubstr("both hold settings"));
}

TEST_F(TableFiles, AreNamedWhenTheyCannotBeRead) {
  EXPECT_THAT(problem(), HasSubstr("holds no .yaml, .yml or .json file"));
  folder.write("a.yaml", "units: [ what, is, this\n");
  EXPECT_THAT(problem(), HasSubstr(folder.file("a.yaml") + ": line "));
  EXPECT_THAT(read_table(folder.file("none.yaml")).error(), HasSubstr("No such file"));
}

TEST_F(TableFiles, LoseNothingThatHasAWrongShape) {
  folder.write("a.yaml", "units: [ u ]\n");
  EXPECT_EQ(problem(), folder.file("a.yaml") + ": units must be a mapping of names");
  folder.write("a.yaml", "keys: { k: {} }\n");
  EXPECT_EQ(problem(), folder.file("a.yaml") + ": keys must be a list");
  folder.write("a.yaml", "keys: [ { tenant: t } ]\n");
  EXPECT_EQ(problem(), folder.file("a.yaml") + ": every key needs an id that is text");
  folder.write("a.yaml", "just text\n");
  EXPECT_EQ(problem(), folder.file("a.yaml") + ": must be a mapping of sections");
}

}  // namespace
}  // namespace weir::tools
