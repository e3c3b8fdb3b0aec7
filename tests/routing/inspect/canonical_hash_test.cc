#include "routing/inspect/canonical_hash.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "routing/inspect/json_index.h"

namespace weir::routing {
namespace {

constexpr core::SipKey kKey{.low = 1, .high = 2};

core::Hash128 hash(std::string text) {
  const size_t size = text.size();
  text += "  \"]},: padding that says nothing ..............................";  // TokenIndex::kPadding
  return hash_tokens(kKey, std::span(reinterpret_cast<const uint8_t*>(text.data()), size));
}

// The tokens with blanks around them, or none.
std::string text_of(const std::vector<std::string>& tokens, std::mt19937* dice) {
  std::string text;
  const auto blanks = [&] {
    static constexpr std::string_view kBlanks = " \t\r\n";
    if (dice == nullptr || (*dice)() % 3 != 0) return;
    for (size_t count = (*dice)() % ((*dice)() % 20 == 0 ? 200 : 4); count > 0; --count)
      text += kBlanks[(*dice)() % kBlanks.size()];
  };
  for (const std::string& token : tokens) {
    blanks();
    text += token;
  }
  blanks();
  return text;
}

std::vector<std::string> random_tokens(std::mt19937& dice) {
  std::vector<std::string> tokens = {"["};
  for (size_t items = dice() % (dice() % 10 == 0 ? 2000 : 20) + 1; items > 0; --items) {
    if (tokens.back() != "[") tokens.push_back(",");
    switch (dice() % 6) {
      case 0:
        tokens.push_back(std::to_string(dice()));
        break;
      case 1:
        tokens.push_back("\"" + std::string(dice() % 9000, 'x') + " \\\" , : [ \\\\\"");
        break;
      case 2:
        tokens.insert(tokens.end(), {"{", "\" \"", ":", "true", "}"});
        break;
      case 3:
        tokens.insert(tokens.end(), {"{", "}"});
        break;
      case 4:
        tokens.push_back("\"\"");
        break;
      default:
        tokens.push_back("-0.5e+" + std::to_string(dice() % 100));
    }
  }
  tokens.push_back("]");
  return tokens;
}

TEST(CanonicalHash, BlanksBetweenTokensDoNotCount) {
  const std::string kernel(json_kernel());
  std::mt19937 dice(7);
  for (const std::string_view name : {"avx512", "avx2", "portable"}) {
    if (!use_json_kernel(name)) continue;
    for (int i = 0; i < 60; ++i) {
      const std::vector<std::string> tokens = random_tokens(dice);
      const core::Hash128 compact = hash(text_of(tokens, nullptr));
      for (int j = 0; j < 4; ++j) {
        const std::string blanks = text_of(tokens, &dice);
        ASSERT_EQ(hash(blanks), compact) << name << '\n' << blanks;
      }
    }
  }
  use_json_kernel(kernel);
}

TEST(CanonicalHash, EverythingElseCounts) {
  constexpr std::string_view kTexts[] = {R"({"a":1,"b":2})",
                                         R"({"b":2,"a":1})",
                                         R"({"a":1.0,"b":2})",
                                         R"({"a":12})",
                                         R"({"a":"1"})",
                                         R"({"a":"1 "})",
                                         R"({"a":" 1"})",
                                         R"({"a":"1\n"})",
                                         R"({"a":"\u0031"})",
                                         R"([1,2])",
                                         R"([12])",
                                         R"([1,[2]])",
                                         R"([[1],2])",
                                         R"(["a","b"])",
                                         R"(["a,b"])",
                                         R"(["a\",\"b"])",
                                         R"(["ab"])",
                                         R"(["a b"])",
                                         R"(["a  b"])",
                                         R"([true])",
                                         R"(true)",
                                         R"("true")",
                                         R"([])",
                                         R"([""])",
                                         R"([" "])",
                                         R"({})"};
  for (const std::string_view one : kTexts) {
    for (const std::string_view other : kTexts) {
      EXPECT_EQ(hash(std::string(one)) == hash(std::string(other)), one == other) << one << ' ' << other;
    }
  }
}

// Lengths around the slices, whatever the blanks cut them into.
TEST(CanonicalHash, SlicesAreTheSameWhereverBlanksStand) {
  std::vector<core::Hash128> seen;
  for (size_t size = kHashSlice - 8; size < 2 * kHashSlice + 9;
       size += size < kHashSlice + 9 ? 1 : kHashSlice / 2) {
    const std::string text(size, 'x');
    const core::Hash128 compact = hash("[1,\"" + text + "\",2]");
    EXPECT_EQ(hash("[ 1,\"" + text + "\" ,2 ]"), compact) << size;
    for (const core::Hash128 other : seen) EXPECT_FALSE(other == compact) << size;
    seen.push_back(compact);
  }
}

TEST(CanonicalHash, DependsOnItsKey) {
  const std::string text = "[1]" + std::string(TokenIndex::kPadding, ' ');
  const std::span json(reinterpret_cast<const uint8_t*>(text.data()), size_t{3});
  EXPECT_FALSE(hash_tokens(kKey, json) == hash_tokens({.low = 1, .high = 3}, json));
}

}  // namespace
}  // namespace weir::routing
