#include "routing/table/canonical_json.h"

#include <gtest/gtest.h>

namespace weir::routing {
namespace {

std::string canonical(std::string_view json) {
  simdjson::dom::parser parser;
  simdjson::dom::element element;
  EXPECT_EQ(parser.parse(json.data(), json.size()).get(element), simdjson::SUCCESS) << json;
  return canonical_json(element);
}

TEST(CanonicalJson, SortsMembersAndDropsBlanks) {
  EXPECT_EQ(canonical(R"( { "b" : [ 1 , true , null ] , "a" : { "d" : "x" , "c" : { } } } )"),
            R"({"a":{"c":{},"d":"x"},"b":[1,true,null]})");
}

// RFC 8785 section 3.2.3.
TEST(CanonicalJson, SortsByUtf16) {
  EXPECT_EQ(canonical(R"({"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7})"),
            "{\"\\r\":2,\"1\":4,\"\u0080\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\ufb33\":3}");
}

TEST(CanonicalJson, EscapesOnlyWhatItMust) {
  EXPECT_EQ(canonical(R"("\u0000\u001f\b\t\n\f\r\"\\\/\u00e9")"),
            "\"\\u0000\\u001f\\b\\t\\n\\f\\r\\\"\\\\/é\"");
}

TEST(CanonicalJson, WritesEqualNumbersAlike) {
  EXPECT_EQ(canonical("[1,1.0,1e0,10e-1]"), "[1,1,1,1]");
  EXPECT_EQ(canonical("[9223372036854775807,18446744073709551615,-9223372036854775808]"),
            "[9223372036854775807,18446744073709551615,-9223372036854775808]");
}

// With digits alone they could not be read again.
TEST(CanonicalJson, WritesNumbersPast64BitsAsNoIntegers) {
  EXPECT_EQ(canonical("[1.8446744073709552e19,1e20,999999999999999700000.0,1e21]"),
            "[18446744073709552000.0,100000000000000000000.0,999999999999999700000.0,1e+21]");
  EXPECT_EQ(canonical("[-9.223372036854776e18,-9.223372036854775e18]"),
            "[-9223372036854776000.0,-9223372036854775000]");
  EXPECT_EQ(canonical("[1.8446744073709550e19,1e18]"), "[18446744073709550000,1000000000000000000]");
  for (const char* text : {"18446744073709552000.0", "-9223372036854776000.0", "18446744073709550000",
                           "-9223372036854775000", "100000000000000000000.0", "1e+21"}) {
    EXPECT_EQ(canonical(text), text);
  }
}

TEST(CanonicalJson, KeepsBothOfTwoEqualMembers) {
  EXPECT_EQ(canonical(R"({"a":1,"a":2})"), R"({"a":1,"a":2})");
}

}  // namespace
}  // namespace weir::routing
