#include "routing/table/document.h"

#include <gtest/gtest.h>

#include "core/limits.h"
#include "routing/table/yaml.h"

namespace weir::routing {
namespace {

std::string json_of(std::string_view yaml) {
  auto json = yaml_to_json(yaml);
  return json ? *json : "problem: " + to_string(json.error());
}

std::string problem_of(std::string text, TableFormat format) {
  const auto document = Document::parse(std::move(text), format);
  if (document) return "no problem";
  EXPECT_EQ(document.error().size(), 1u);
  return to_string(document.error().front());
}

TEST(Yaml, ResolvesPlainScalarsByTheCoreSchema) {
  EXPECT_EQ(json_of("[true, True, TRUE, false, False, FALSE]"), "[true,true,true,false,false,false]");
  EXPECT_EQ(json_of("[null, ~, Null, NULL, ]"), "[null,null,null,null]");
  EXPECT_EQ(json_of("a:\nb: 1"), R"({"a":null,"b":1})");
  EXPECT_EQ(json_of("[0, 12, -12, +12, 007, -0, 0o17, 0x1F]"), "[0,12,-12,12,7,-0,15,31]");
  EXPECT_EQ(json_of("[18446744073709551615, -9223372036854775808]"),
            "[18446744073709551615,-9223372036854775808]");
  EXPECT_EQ(json_of("[0.15, .5, 5., 1e3, 1.5E-3, +1.5, -00.5]"), "[0.15,0.5,5,1e3,1.5e-3,1.5,-0.5]");
}

TEST(Yaml, LeavesEverythingElseAsText) {
  EXPECT_EQ(json_of("[yes, no, on, off, y, n]"), R"(["yes","no","on","off","y","n"])");
  EXPECT_EQ(json_of("[2026-12-01T09:00Z, 2026-12-08, 09:00, 1h, 300ms]"),
            R"(["2026-12-01T09:00Z","2026-12-08","09:00","1h","300ms"])");
  EXPECT_EQ(json_of("[1.2.3, 1_000, 0b1, 1e, e3, ., -, tRUE, nULL, 0x, 0o8]"),
            R"(["1.2.3","1_000","0b1","1e","e3",".","-","tRUE","nULL","0x","0o8"])");
  EXPECT_EQ(json_of("[\"true\", 'null', \"1\", '0.5', '~', \"\"]"), R"(["true","null","1","0.5","~",""])");
}

TEST(Yaml, WritesKeysAsText) {
  EXPECT_EQ(json_of("429: a\ntrue: b\n\"x y\": c\n1.50: d"),
            R"({"429":"a","true":"b","x y":"c","1.50":"d"})");
}

TEST(Yaml, KeepsDuplicateKeysForTheReader) {
  EXPECT_EQ(json_of("{a: 1, a: 2}"), R"({"a":1,"a":2})");
}

TEST(Yaml, EscapesText) {
  EXPECT_EQ(json_of(R"(["a\"b\\c\n\t\0", 'it''s', "é€😀"])"), R"(["a\"b\\c\n\t\u0000","it's","é€😀"])");
  EXPECT_EQ(json_of("a: |\n  one\n  two\nb: >\n  one\n  two\n"), R"({"a":"one\ntwo\n","b":"one two\n"})");
}

TEST(Yaml, NestsCollectionsInBothStyles) {
  EXPECT_EQ(json_of("a:\n  - b: 1\n    c: [ ]\n  - { }\n  - [1, [2]]\n"),
            R"({"a":[{"b":1,"c":[]},{},[1,[2]]]})");
}

TEST(Yaml, CopiesAnchors) {
  EXPECT_EQ(json_of("a: &x {b: [1, 2]}\nc: *x\nd: [*x, &y z, *y]"),
            R"({"a":{"b":[1,2]},"c":{"b":[1,2]},"d":[{"b":[1,2]},"z","z"]})");
}

TEST(Yaml, RefusesAnAliasInsideItsOwnAnchor) {
  EXPECT_EQ(json_of("a: &x [*x]"), "problem: line 1, column 8: an alias inside its own anchor");
}

TEST(Yaml, BoundsWhatAliasesCopy) {
  // Each level holds the one before ten times: a billion elements from half a kilobyte.
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int level = 1; level < 10; level++) {
    const std::string before = "*a" + std::to_string(level - 1);
    bomb += "a" + std::to_string(level) + ": &a" + std::to_string(level) + " [" + before;
    for (int i = 0; i < 9; i++) bomb += "," + before;
    bomb += "]\n";
  }
  const std::string limit = std::to_string(core::limits::kMaxYamlAliasBytes);
  EXPECT_NE(json_of(bomb).find("aliases copy more than " + limit + " bytes"), std::string::npos);
}

TEST(Yaml, RefusesWhatHasNoPlaceInATable) {
  EXPECT_EQ(json_of("a: !!str 1"), "problem: line 1, column 4: YAML tags (!...) are not accepted");
  EXPECT_EQ(json_of("a: !custom {b: 1}"), "problem: line 1, column 4: YAML tags (!...) are not accepted");
  EXPECT_EQ(json_of("a: &x {b: 1}\nc:\n  <<: *x\n"),
            "problem: line 3, column 3: merge keys (<<) are not accepted; write the fields out");
  EXPECT_EQ(json_of("a: 1\n---\nb: 2\n"),
            "problem: line 2, column 1: a second YAML document begins here; a table is one document");
  EXPECT_EQ(json_of("? [a, b]\n: 1\n"), "problem: line 1, column 3: a key must be a plain or quoted name");
  EXPECT_EQ(json_of("~: 1"), "problem: line 1, column 1: a key must be a plain or quoted name");
  EXPECT_EQ(json_of("a: .inf"),
            "problem: line 1, column 4: \".inf\" is not a number a table can hold; quote it if it is text");
  EXPECT_EQ(json_of("a: -.INF").find("problem"), 0u);
  EXPECT_EQ(json_of("a: .nan").find("problem"), 0u);
  EXPECT_EQ(
      json_of("a: 123456789012345678901234567890"),
      "problem: line 1, column 4: the number \"123456789012345678901234567890\" is out of range; quote it if "
      "it is text");
  EXPECT_EQ(json_of("a: 1e999").find("problem"), 0u);
}

// yaml-cpp takes U+0004 for the end of the text: what follows it would be ignored without a word.
TEST(Yaml, RefusesControlCharacters) {
  EXPECT_EQ(json_of("a: é1\nb: \x04x"), "problem: line 2, column 4: control character U+0004 in the text");
  EXPECT_EQ(json_of(std::string_view("a\0b", 3)),
            "problem: line 1, column 2: control character U+0000 in the text");
}

TEST(Yaml, ReportsSyntaxErrorsWithTheirPlace) {
  EXPECT_EQ(json_of("a: 1\nb: [1, 2\n").find("problem: line "), 0u);
  EXPECT_EQ(json_of("a: {b: 1\nc: 2").find("problem: line "), 0u);
  EXPECT_EQ(json_of("a: \"open").find("problem: line 1"), 0u);
  EXPECT_EQ(json_of("a: *nowhere").find("problem: line 1"), 0u);
  EXPECT_EQ(json_of("a: b: c").find("problem: line 1"), 0u);
}

TEST(Yaml, EndsOnStrayPunctuation) {
  for (const char* text : {",", ",x]", ",x].b: [*a,*a].\nunits: *a\n", "]\n]", "}"}) {
    EXPECT_TRUE(json_of(text).starts_with("problem: ")) << text;
  }
}

TEST(Document, FindsOutItsFormat) {
  EXPECT_EQ(detect_format("table.json", "a: 1"), TableFormat::json);
  EXPECT_EQ(detect_format("table.yaml", "{}"), TableFormat::yaml);
  EXPECT_EQ(detect_format("table.yml", "{}"), TableFormat::yaml);
  EXPECT_EQ(detect_format("-", " \n {"), TableFormat::json);
  EXPECT_EQ(detect_format("", "\xef\xbb\xbf{"), TableFormat::json);
  EXPECT_EQ(detect_format("", "units: {}"), TableFormat::yaml);
  EXPECT_EQ(detect_format("", ""), TableFormat::yaml);
}

TEST(Document, SurvivesBeingMoved) {
  auto parsed = Document::parse(R"({"a":"text that is too long for a small string"})", TableFormat::json);
  ASSERT_TRUE(parsed.has_value());
  Document document = std::move(*parsed);
  EXPECT_EQ(document.take_json(), R"({"a":"text that is too long for a small string"})");
  EXPECT_EQ(document.root().at_key("a").get_string().value(), "text that is too long for a small string");
}

TEST(Document, SkipsAByteOrderMark) {
  EXPECT_EQ(problem_of("\xef\xbb\xbf{}", TableFormat::json), "no problem");
  EXPECT_EQ(problem_of("\xef\xbb\xbfunits: {}", TableFormat::yaml), "no problem");
}

TEST(Document, ReportsJsonErrorsWithTheirPlace) {
  EXPECT_EQ(
      problem_of("{\n  \"a\": 1,\n  \"é\": x\n}", TableFormat::json).find("line 3, column 8: not valid JSON"),
      0u);
  EXPECT_EQ(problem_of("{\"a\": 1,}", TableFormat::json).find("line 1, column 9: not valid JSON"), 0u);
  EXPECT_EQ(problem_of("{} {}", TableFormat::json).find("line 1, column 4: not valid JSON"), 0u);
  EXPECT_EQ(problem_of("{\"a\": 1e999}", TableFormat::json).find("line 1, column "), 0u);
  EXPECT_NE(problem_of("{\"a\": 123456789012345678901234567890}", TableFormat::json).find("not valid JSON"),
            std::string::npos);
}

TEST(Document, RefusesEmptyAndForeignText) {
  EXPECT_EQ(problem_of("", TableFormat::json), "empty; an empty table is written {}");
  EXPECT_EQ(problem_of(" \n", TableFormat::yaml), "empty; an empty table is written {}");
  EXPECT_EQ(problem_of("{\"a\":\"\xff\"}", TableFormat::json), "not valid UTF-8; save the file as UTF-8");
  EXPECT_EQ(problem_of("a: \xc3", TableFormat::yaml), "not valid UTF-8; save the file as UTF-8");
}

std::string nested(uint32_t depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

TEST(Document, RefusesNestingPastKMaxJsonDepth) {
  constexpr uint32_t kLimit = core::limits::kMaxJsonDepth;
  const std::string message = "nested deeper than " + std::to_string(kLimit) + " levels";
  for (const TableFormat format : {TableFormat::json, TableFormat::yaml}) {
    EXPECT_EQ(problem_of(nested(kLimit - 1), format), "no problem");
    EXPECT_EQ(problem_of(nested(kLimit + 1), format), message);
  }
  EXPECT_NE(problem_of(nested(100'000), TableFormat::json), "no problem");
  EXPECT_NE(problem_of(nested(100'000), TableFormat::yaml), "no problem");
}

}  // namespace
}  // namespace weir::routing
