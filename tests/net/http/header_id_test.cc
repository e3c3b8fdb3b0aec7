#include "net/http/header_id.h"

#include <gtest/gtest.h>

#include <cctype>
#include <memory>
#include <string>
#include <string_view>

#include "tests/net/http/head_fixture.h"

namespace weir::net {
namespace {

// From a buffer of exactly the name, so that a read outside it is found.
HeaderId id_of(std::string_view name) {
  const auto bytes = Received::copy(name, name.size());
  return header_id(bytes.get(), name.size());
}

std::string upper(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return result;
}

constexpr struct {
  HeaderId id;
  std::string_view name;
} kKnown[] = {
#define X(enumerator, name) {HeaderId::enumerator, name},
    WEIR_HEADER_TABLE(X)
#undef X
};

TEST(HeaderId, IsFoundForEveryNameInAnyCase) {
  for (const auto& [id, name] : kKnown) {
    EXPECT_EQ(id_of(name), id) << name;
    EXPECT_EQ(id_of(upper(name)), id) << name;
    EXPECT_EQ(header_name(id), name);
  }
}

TEST(HeaderId, IsNotFoundForANameThatDiffersInOneCharacter) {
  for (const auto& [id, name] : kKnown) {
    for (size_t i = 0; i < name.size(); ++i) {
      std::string other(name);
      other[i] = '.';
      EXPECT_NE(id_of(other), id) << other;
      EXPECT_NE(id_of(name.substr(0, i)), id) << name << i;
    }
    EXPECT_NE(id_of(std::string(name) + "s"), id);
    EXPECT_NE(id_of("x" + std::string(name)), id);
  }
}

TEST(HeaderId, IsSharedByAPrefix) {
  EXPECT_EQ(id_of("x-weir-attr-plan"), HeaderId::weir_attribute);
  EXPECT_EQ(id_of("X-Weir-Attr-a"), HeaderId::weir_attribute);
  EXPECT_EQ(id_of("x-weir-attr-a-very-long-attribute-name"), HeaderId::weir_attribute);
  EXPECT_EQ(id_of("x-weir-attr-"), HeaderId::weir_other);
  EXPECT_EQ(id_of("x-weir-attr"), HeaderId::weir_other);
  EXPECT_EQ(id_of("x-weir-unit"), HeaderId::weir_other);
  EXPECT_EQ(id_of("x-weir-scenarios"), HeaderId::weir_other);
  EXPECT_EQ(id_of("x-weir-a"), HeaderId::weir_other);
  EXPECT_EQ(id_of("x-ratelimit-limit-requests"), HeaderId::rate_limit);
  EXPECT_EQ(id_of("X-RateLimit-Reset-Tokens"), HeaderId::rate_limit);
  EXPECT_EQ(id_of("openai-organization"), HeaderId::openai);
  EXPECT_EQ(id_of("OpenAI-Processing-Ms"), HeaderId::openai);
}

TEST(HeaderId, IsOtherForEverythingElse) {
  for (const std::string_view name :
       {"a", "ab", "abc", "xt", "tf", "x-weir", "x-weird-a", "x-ratelimit", "x-ratelimits-a", "x-ratelim",
        "openai", "open-ai-x", "x-stainless-lang", "accept-encoding", "x-stainless-retry-counts-of-all-kinds",
        "content_length"})
    EXPECT_EQ(id_of(name), HeaderId::other) << name;
}

}  // namespace
}  // namespace weir::net
