#include "core/error.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <type_traits>

namespace weir::core {
namespace {

// Runs `check` on every row, naming the row when it fails.
template <typename Check>
void for_each_row(Check check) {
  for (unsigned i = 0; i < kErrorCodeCount; ++i) {
    const ErrorInfo& info = describe(static_cast<ErrorCode>(i));
    SCOPED_TRACE(std::string(info.token));
    check(info);
  }
}

TEST(ErrorTable, DescribesACodeByItsOwnRow) {
  EXPECT_EQ(describe(ErrorCode::body_not_json).token, "body_not_json");
  EXPECT_EQ(describe(ErrorCode::upstream_status).token, "upstream_status");
  EXPECT_EQ(describe(ErrorCode::unknown_key).status, 401);
}

TEST(ErrorTable, GivesEveryCodeItsOwnToken) {
  std::set<std::string_view> tokens;
  for_each_row([&](const ErrorInfo& info) {
    EXPECT_FALSE(info.token.empty());
    EXPECT_EQ(info.token.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"), std::string_view::npos);
    EXPECT_TRUE(tokens.insert(info.token).second);
  });
}

TEST(ErrorTable, EndsEverySentenceWithAFullStop) {
  for_each_row([](const ErrorInfo& info) {
    ASSERT_FALSE(info.sentence.empty());
    EXPECT_TRUE(info.sentence.ends_with('.'));
    EXPECT_TRUE(info.sentence.front() >= 'A' && info.sentence.front() <= 'Z');
  });
}

// Sentences and codes are written into JSON as they stand.
TEST(ErrorTable, NeedsNoEscaping) {
  for_each_row([](const ErrorInfo& info) {
    for (const std::string_view text : {info.token, info.type, info.code, info.sentence}) {
      for (const char c : text) EXPECT_TRUE(c >= ' ' && c <= '~' && c != '"' && c != '\\') << text;
    }
  });
}

TEST(ErrorTable, AnswersWithAnErrorStatusOrNotAtAll) {
  for_each_row([](const ErrorInfo& info) {
    EXPECT_TRUE(info.status == 0 || (info.status >= 400 && info.status <= 599)) << info.status;
    EXPECT_EQ(info.type.empty(), info.status == 0) << "an answer needs an error type";
  });
}

TEST(ErrorTable, BlamesTheRightSideByStatus) {
  for_each_row([](const ErrorInfo& info) {
    if (info.side == Side::provider) {
      EXPECT_TRUE(info.status >= 500 || info.status == 429) << info.status;
    }
    if (info.side == Side::client) {
      EXPECT_TRUE(info.status < 500 || info.status == 505);
    }
  });
}

TEST(ErrorTable, NeverRetriesWhatTheClientGotWrong) {
  for_each_row([](const ErrorInfo& info) {
    if (info.side == Side::client) {
      EXPECT_FALSE(info.retry_on_next_hop);
    }
  });
}

TEST(Error, IsSmallAndTriviallyCopied) {
  EXPECT_TRUE(std::is_trivially_copyable_v<Error>);
  EXPECT_LE(sizeof(Error), 16u);
}

TEST(Error, TravelsInAResult) {
  const Result<int> failed = fail(ErrorCode::duplicate_field, "model");
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code, ErrorCode::duplicate_field);
  EXPECT_STREQ(failed.error().param, "model");
  EXPECT_EQ(failed.error(), Error{ErrorCode::duplicate_field})
      << "the parameter names, it does not distinguish";
}

}  // namespace
}  // namespace weir::core
