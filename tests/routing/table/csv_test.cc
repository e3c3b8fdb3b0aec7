#include "routing/table/csv.h"

#include <gtest/gtest.h>

#include "tests/routing/table/example.h"

namespace weir::routing {
namespace {

std::string field(std::string_view text) {
  std::string out;
  append_csv_field(out, text);
  return out;
}

TEST(CsvField, IsQuotedWhereItMustBe) {
  EXPECT_EQ(field(""), "");
  EXPECT_EQ(field("plain text"), "plain text");
  EXPECT_EQ(field("a,b"), "\"a,b\"");
  EXPECT_EQ(field("say \"hi\""), "\"say \"\"hi\"\"\"");
  EXPECT_EQ(field("two\r\nlines"), "\"two\r\nlines\"");
  EXPECT_EQ(field("é;ü"), "é;ü");
}

TEST(CsvField, IsNeverAFormula) {
  EXPECT_EQ(field("=1+1"), "'=1+1");
  EXPECT_EQ(field("+49"), "'+49");
  EXPECT_EQ(field("-5"), "'-5");
  EXPECT_EQ(field("@SUM(A1)"), "'@SUM(A1)");
  EXPECT_EQ(field("  =1"), "'  =1");
  EXPECT_EQ(field("\t=1"), "'\t=1");
  EXPECT_EQ(field("\n=HYPERLINK(\"http://a.example\",1)"), "\"'\n=HYPERLINK(\"\"http://a.example\"\",1)\"");
  EXPECT_EQ(field("a=1"), "a=1");
  EXPECT_EQ(field("5-6"), "5-6");
}

std::string launches(std::string_view yaml) {
  const Document document = *Document::parse(std::string(yaml), TableFormat::yaml);
  LaunchCsv csv;
  std::string out(LaunchCsv::header());
  split_document(document.root(), [&](const ObjectView& object) { csv.add(object, out); });
  return out;
}

TEST(LaunchCsv, HasALineForEveryRow) {
  std::string table =
      replaced(example(), "tenants:\n",
               "tenants:\n  aero: { flags: { cool: { state: production }, support-v2: { state: off, "
               "reason: \"=cmd, \\\"quoted\\\"\" } } }\n  none: {}\n");
  table = replaced(table, "total_requests: 50000", "total_requests: 50000, tpm: 30000, concurrency: 4");
  table = replaced(table, "flags:\n",
                   "flags:\n  cool: { scenario: support-chat, candidate: { params: { seed: 1 } } }\n");
  EXPECT_EQ(
      launches(table),
      "flag,scenario,candidate,tenant,state,percent,segments,start,expires,on_expiry,review,owner,approver,"
      "reason,previous,rpm,total_requests,until,on_rollback,tpm,concurrency\r\n"
      "cool,support-chat,\"{\"\"params\"\":{\"\"seed\"\":1}}\",aero,production,,,,,,,,,,,,,,,,\r\n"
      "support-v2,support-chat,support-41,aero,off,,,,,,,,,\"'=cmd, \"\"quoted\"\"\",,,,,,,\r\n"
      "support-v2,support-chat,support-41,bank-17,pilot,5,internal,2026-12-01T09:00Z,2027-01-15,,2026-12-08,"
      "u-4021,u-1187,security review 1182 passed,support-mini,600,50000,,,30000,4\r\n");
}

TEST(LaunchCsv, SurvivesObjectsThatAreNone) {
  LaunchCsv csv;
  std::string out;
  csv.add({ObjectKind::tenant, "t", "{broken"}, out);
  csv.add({ObjectKind::tenant, "t", R"({"flags":[1]})"}, out);
  EXPECT_EQ(out, "");
  csv.add({ObjectKind::tenant, "t", R"({"flags":{"gone":{"segments":["a","b"],"state":null}}})"}, out);
  EXPECT_EQ(out, "gone,,,t,,,a b,,,,,,,,,,,,,,\r\n");
}

TEST(ObjectCsv, HasALineForEveryObject) {
  std::string out(ObjectCsv::header());
  ObjectCsv::add({ObjectKind::unit, "u-1", R"({"model":"m"})"}, out);
  ObjectCsv::add({ObjectKind::attribute, "plan", R"("string")"}, out);
  EXPECT_EQ(
      out,
      "kind,name,body\r\nunit,u-1,\"{\"\"model\"\":\"\"m\"\"}\"\r\nattribute,plan,\"\"\"string\"\"\"\r\n");
}

}  // namespace
}  // namespace weir::routing
