#include "routing/decide/identify.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/routing/decide/table_builder.h"

namespace weir::routing {
namespace {

using core::ErrorCode;

class Identify : public ::testing::Test {
 protected:
  KeyIndex add(std::string_view token) { return build.key(TenantIndex{}, std::nullopt, hasher.hash(token)); }
  KeyIndex found(const Table& table, const std::string& value) {
    const auto key = identifier.identify(table, value);
    EXPECT_TRUE(key.has_value()) << value;
    return key.value_or(KeyIndex{UINT32_MAX});
  }
  ErrorCode refusal(const Table& table, const std::string& value) {
    const auto key = identifier.identify(table, value);
    EXPECT_FALSE(key.has_value()) << value;
    return key ? ErrorCode::internal : key.error().code;
  }

  TableBuilder build;
  KeyHasher hasher{"a secret of the node"};
  Identifier identifier{hasher, {.low = 1, .high = 2}};
};

// RFC 4231, cases 1, 2, 3, 4, 6 and 7.
TEST(HashKey, ReproducesThePublishedVectors) {
  const std::string prefix = "hmac-sha256:";
  EXPECT_EQ(hash_key(std::string(20, '\x0b'), "Hi There"),
            prefix + "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(hash_key("Jefe", "what do ya want for nothing?"),
            prefix + "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(hash_key(std::string(20, '\xaa'), std::string(50, '\xdd')),
            prefix + "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
  EXPECT_EQ(
      hash_key(std::string("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14"
                           "\x15\x16\x17\x18\x19"),
               std::string(50, '\xcd')),
      prefix + "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
  EXPECT_EQ(hash_key(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First"),
            prefix + "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
  EXPECT_EQ(
      hash_key(std::string(131, '\xaa'),
               "This is a test using a larger than block-size key and a larger than block-size data. The key "
               "needs to be hashed before being used by the HMAC algorithm."),
      prefix + "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2");
}

TEST_F(Identify, FindsTheKeyOfAToken) {
  const KeyIndex first = add("sk-first");
  const KeyIndex second = add("sk-second");
  const Table table = build.build();
  EXPECT_EQ(found(table, "Bearer sk-first"), first);
  EXPECT_EQ(found(table, "bearer sk-second"), second);
  EXPECT_EQ(found(table, "BEARER sk-second"), second);
}

TEST_F(Identify, RefusesAnythingButBearerOneSpaceAndAToken) {
  add("sk-first");
  const Table table = build.build();
  EXPECT_EQ(refusal(table, ""), ErrorCode::missing_key);
  for (const std::string value :
       {"Bearer", "Bearer ", "Bearer  sk-first", "Bearer\tsk-first", "Bearer sk-first ", " Bearer sk-first",
        "Basic sk-first", "Bearersk-first", "sk-first", "Bearer sk first", "Bearer sk-\x7f",
        "Bearer sk-\xc3\xa9", "Bearer sk-\x1f", "B%arer sk-first", "Bearer:sk-first"}) {
    EXPECT_EQ(refusal(table, value), ErrorCode::malformed_authorization) << value;
  }
  EXPECT_EQ(refusal(table, std::string("Bearer sk-first\0", 16)), ErrorCode::malformed_authorization);
}

TEST_F(Identify, BoundsTheTokenBy_kMaxIdentifierBytes) {
  const std::string longest(core::limits::kMaxIdentifierBytes, 'k');
  const KeyIndex key = add(longest);
  const Table table = build.build();
  EXPECT_EQ(found(table, "Bearer " + longest), key);
  EXPECT_EQ(refusal(table, "Bearer " + longest + "k"), ErrorCode::malformed_authorization);
}

TEST_F(Identify, RefusesUnknownTokensEachTime) {
  add("sk-first");
  const Table table = build.build();
  for (int i = 0; i < 3; i++) EXPECT_EQ(refusal(table, "Bearer sk-other"), ErrorCode::unknown_key);
  EXPECT_EQ(identifier.cache_misses(), 3u);  // what is not known is not remembered
}

TEST_F(Identify, ComputesTheHmacOncePerToken) {
  const KeyIndex key = add("sk-first");
  const Table table = build.build();
  for (int i = 0; i < 5; i++) EXPECT_EQ(found(table, "Bearer sk-first"), key);
  EXPECT_EQ(identifier.cache_misses(), 1u);
}

TEST_F(Identify, FollowsAKeyThatMovesInTheNextTable) {
  add("sk-first");
  const Table before = build.build();
  found(before, "Bearer sk-first");
  TableBuilder next;
  next.key({}, std::nullopt, hasher.hash("sk-new"));
  const KeyIndex moved = next.key({}, std::nullopt, hasher.hash("sk-first"));
  const Table after = next.build();
  EXPECT_EQ(found(after, "Bearer sk-first"), moved);
  EXPECT_EQ(found(after, "Bearer sk-first"), moved);
  EXPECT_EQ(identifier.cache_misses(), 1u);
}

TEST_F(Identify, RefusesARevokedKeyOnTheFirstRequestThatSeesTheNewTable) {
  add("sk-first");
  const Table before = build.build();
  found(before, "Bearer sk-first");
  TableBuilder next;
  next.key({}, std::nullopt, hasher.hash("sk-other"));
  const Table after = next.build();
  EXPECT_EQ(refusal(after, "Bearer sk-first"), ErrorCode::unknown_key);
  EXPECT_EQ(refusal(TableBuilder().build(), "Bearer sk-first"), ErrorCode::unknown_key);
  EXPECT_EQ(found(before, "Bearer sk-first"), KeyIndex{0});
}

TEST_F(Identify, StaysRightWithMoreKeysThanTheCacheHolds) {
  constexpr uint32_t keys = Identifier::kCacheEntries * 2;
  for (uint32_t i = 0; i < keys; i++) add("sk-" + std::to_string(i));
  const Table table = build.build();
  for (int round = 0; round < 2; round++) {
    for (uint32_t i = 0; i < keys; i++)
      ASSERT_EQ(found(table, "Bearer sk-" + std::to_string(i)), KeyIndex{i});
  }
}

TEST_F(Identify, FindsTheKeyOfABareToken) {
  const KeyIndex key = add("sk-first");
  const Table table = build.build();
  const auto found_key = identifier.identify_token(table, "sk-first", "x-api-key");
  ASSERT_TRUE(found_key.has_value());
  EXPECT_EQ(*found_key, key);
  const auto unknown = identifier.identify_token(table, "sk-other", "x-api-key");
  EXPECT_EQ(unknown.error().code, ErrorCode::unknown_key);
  EXPECT_STREQ(unknown.error().param, "x-api-key");
  for (const std::string& token : {std::string(), std::string("two words"), std::string(1000, 'k')}) {
    EXPECT_EQ(identifier.identify_token(table, token, "x-api-key").error().code,
              ErrorCode::malformed_authorization);
  }
}

TEST(ActingTenant, IsTheKeysOwnOrOneThatItMayActFor) {
  TableBuilder build;
  const TenantIndex own = build.tenant("own");
  const TenantIndex friendly = build.tenant("friend");
  build.tenant("stranger");
  const KeyIndex key = build.key(own);
  build.at(key).act_as = {friendly};
  const Table table = build.build();
  EXPECT_EQ(acting_tenant(table, key, ""), own);
  EXPECT_EQ(acting_tenant(table, key, "own"), own);
  EXPECT_EQ(acting_tenant(table, key, "friend"), friendly);
  for (const char* named : {"stranger", "nobody"}) {
    const auto refused = acting_tenant(table, key, named);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::tenant_not_allowed);
  }
}

}  // namespace
}  // namespace weir::routing
