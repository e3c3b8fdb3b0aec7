#include "routing/inspect/field_name.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/routing/inspect/json_reference.h"

namespace weir::routing {
namespace {

FieldName exact(std::string_view key) {
  const PaddedDocument padded(key, "xyz");
  uint32_t hash = 0;
  const FieldName name = exact_field_name(padded.text(), hash);
  if (name != FieldName::other) {
    EXPECT_EQ(hash, key_hash(key)) << key;
  }
  return name;
}

std::string upper(std::string text) {
  for (char& byte : text) byte = static_cast<char>(std::toupper(static_cast<unsigned char>(byte)));
  return text;
}

TEST(FieldName, FindsEachKnownNameAndNoOther) {
  for (unsigned i = 0; i < kFieldNameCount; ++i) {
    const auto name = static_cast<FieldName>(i);
    const std::string text = to_string(name);
    EXPECT_EQ(exact(text), name) << text;
    EXPECT_EQ(folded_field_name(text, key_hash(text)), name);
    EXPECT_EQ(exact(text + "x"), FieldName::other) << text;
    EXPECT_EQ(exact(upper(text)), FieldName::other) << text;
    EXPECT_EQ(folded_field_name(upper(text), key_hash(upper(text))), name);
    EXPECT_NE(exact(std::string_view(text).substr(1)), name);
  }
  EXPECT_EQ(exact(""), FieldName::other);
  EXPECT_STREQ(to_string(FieldName::other), "");
}

TEST(FieldName, FoldsCaseAndTheTwoLettersThatFoldOntoAscii) {
  EXPECT_TRUE(same_key("Max_Tokens", "max_tokens"));
  EXPECT_TRUE(same_key("ſtream", "STREAM"));
  EXPECT_TRUE(same_key("max_to\u212aens", "max_tokens"));
  EXPECT_FALSE(same_key("max_token", "max_tokens"));
  EXPECT_FALSE(same_key("max-tokens", "max_tokens"));
  EXPECT_FALSE(same_key("[odel", "{odel"));
  EXPECT_FALSE(same_key("É", "é"));
}

TEST(FieldName, HashesEqualKeysEqually) {
  EXPECT_EQ(key_hash("Max_Tokens"), key_hash("max_tokens"));
  EXPECT_EQ(key_hash("\u017ftream"), key_hash("stream"));
  EXPECT_EQ(key_hash("MAX_TO\u212aENS"), key_hash("max_tokens"));
  for (size_t size = 0; size < 40; ++size) {
    EXPECT_EQ(key_hash(std::string(size, 'K')), key_hash(std::string(size, 'k'))) << size;
  }
}

TEST(FieldName, MatchesOneNameExactlyOrButForCase) {
  EXPECT_EQ(match_name("role", "role"), NameMatch::exact);
  EXPECT_EQ(match_name("Role", "role"), NameMatch::differs_in_case);
  EXPECT_EQ(match_name("u\u017fer", "user"), NameMatch::differs_in_case);
  EXPECT_EQ(match_name("\u017fystem", "system"), NameMatch::differs_in_case);
  EXPECT_EQ(match_name("", "role"), NameMatch::none);
  EXPECT_EQ(match_name("rol", "role"), NameMatch::none);
  EXPECT_EQ(match_name("roles", "role"), NameMatch::none);
  EXPECT_EQ(match_name("content", "role"), NameMatch::none);
}

}  // namespace
}  // namespace weir::routing
