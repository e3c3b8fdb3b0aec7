// Nothing is bounded, and no error raised, that no test asks for: every constant of core/limits.h and every row
// of core/error_table.h is named by a test. That the test reaches it is for its reader to see.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace weir {
namespace {

namespace fs = std::filesystem;

const fs::path kRoot = WEIR_SOURCE_ROOT;

std::string text_of(const fs::path& path) {
  std::ifstream stream(path);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// The first group of every match of `pattern`.
std::vector<std::string> matches(const std::string& text, const std::string& pattern) {
  const std::regex expression(pattern);
  std::vector<std::string> found;
  for (std::sregex_iterator match(text.begin(), text.end(), expression), end; match != end; ++match) {
    found.push_back((*match)[1]);
  }
  return found;
}

// The same over all tests, without comments: naming is not testing.
std::set<std::string> named_in_tests(const std::string& pattern) {
  static const std::regex comment("//[^\n]*");
  std::set<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(kRoot / "tests")) {
    const std::string extension = entry.path().extension();
    if (extension != ".h" && extension != ".cc") continue;
    for (std::string& name : matches(std::regex_replace(text_of(entry.path()), comment, ""), pattern)) {
      names.insert(std::move(name));
    }
  }
  return names;
}

TEST(Coverage, EveryLimitIsNamedByATest) {
  const auto limits = matches(text_of(kRoot / "core/limits.h"), R"(inline constexpr \w+ (k\w+) =)");
  ASSERT_GT(limits.size(), 50u);
  const auto named = named_in_tests(R"(\b(k[A-Z]\w+))");
  for (const std::string& limit : limits) {
    EXPECT_TRUE(named.contains(limit)) << "core/limits.h: no test reaches " << limit;
  }
}

TEST(Coverage, EveryErrorIsNamedByATest) {
  const auto errors = matches(text_of(kRoot / "core/error_table.h"), R"(\n  X\((\w+),)");
  ASSERT_GT(errors.size(), 50u);
  const auto named = named_in_tests(R"(ErrorCode::(\w+))");
  for (const std::string& error : errors) {
    EXPECT_TRUE(named.contains(error)) << "core/error_table.h: no test expects ErrorCode::" << error;
  }
}

}  // namespace
}  // namespace weir
